//! What a graph must satisfy before a node of it is run: extents that agree, indices inside their maps.
//!
//! Checked once, so that the operators need no error path of their own.

use crate::ir::{Axis, Conv, Graph, Node, Op, Pad, Shape, Window};
use anyhow::{Context, Result, bail, ensure};

/// Checks every node; an error names the first one at fault.
pub fn graph(g: &Graph) -> Result<()> {
    let mut known: Vec<bool> = g.tensors.iter().map(|t| t.constant.is_some()).collect();
    for (id, t) in g.tensors.iter().enumerate() {
        ensure!(!t.shape.is_empty(), "tensor {id} '{}' is empty", t.name);
        if let Some(v) = &t.constant {
            ensure!(
                v.len() == t.shape.len(),
                "constant '{}' holds {} values, its shape {:?} wants {}",
                t.name,
                v.len(),
                t.shape,
                t.shape.len()
            );
        }
    }
    for i in &g.inputs {
        *known.get_mut(i.tensor).with_context(|| format!("input '{}' names no tensor", i.name))? = true;
    }
    for n in &g.nodes {
        for &i in n.inputs.iter().chain([&n.output]) {
            ensure!(i < g.tensors.len(), "node '{}' names tensor {i}, which does not exist", n.name);
        }
        for &i in &n.inputs {
            ensure!(known[i], "node '{}' reads '{}' before it is written", n.name, g.tensors[i].name);
        }
        ensure!(!known[n.output], "node '{}' writes '{}' a second time", n.name, g.tensors[n.output].name);
        known[n.output] = true;
        node(g, n).with_context(|| format!("node '{}'", n.name))?;
    }
    for o in &g.outputs {
        ensure!(known.get(o.tensor) == Some(&true), "output '{}' is never written", o.name);
        let last: usize = o.onnx_shape.iter().zip(&o.strides).map(|(&n, &s)| n.saturating_sub(1) * s).sum();
        ensure!(
            o.onnx_shape.len() == o.strides.len() && o.offset + last < g.tensors[o.tensor].shape.len(),
            "output '{}' reaches outside its map",
            o.name
        );
    }
    Ok(())
}

fn node(g: &Graph, n: &Node) -> Result<()> {
    let o = g.tensors[n.output].shape;
    let shapes: Vec<Shape> = n.inputs.iter().map(|&i| g.tensors[i].shape).collect();
    let count = match n.op {
        Op::Binary(_) => 2,
        Op::Concat(_) => shapes.len().max(1),
        _ => 1,
    };
    ensure!(shapes.len() == count, "takes {count} inputs, has {}", shapes.len());
    let i = shapes[0];
    let want = |s: Shape| {
        ensure!(o == s, "output is {o:?}, should be {s:?}");
        Ok(())
    };
    match &n.op {
        Op::Conv(c) => conv(c, i, o),
        Op::Unary(_) | Op::Softmax => want(i),
        Op::PRelu { slope } => {
            ensure!(slope.len() == i.c, "{} slopes for {} channels", slope.len(), i.c);
            want(i)
        }
        Op::Binary(_) => {
            for s in &shapes {
                let fits = |a: usize, b: usize| a == b || a == 1;
                ensure!(fits(s.h, o.h) && fits(s.w, o.w) && fits(s.c, o.c), "{s:?} does not broadcast to {o:?}");
            }
            Ok(())
        }
        Op::MaxPool(w) | Op::AvgPool { window: w, .. } => window(w, i, o),
        Op::GlobalAvgPool | Op::GlobalMaxPool => want(Shape { h: 1, w: 1, c: i.c }),
        Op::Concat(axis) => {
            let mut s = i;
            for p in &shapes[1..] {
                let (same, grown, by) = match axis {
                    Axis::H => ((p.w, p.c) == (i.w, i.c), &mut s.h, p.h),
                    Axis::W => ((p.h, p.c) == (i.h, i.c), &mut s.w, p.w),
                    Axis::C => ((p.h, p.w) == (i.h, i.w), &mut s.c, p.c),
                };
                ensure!(same, "{p:?} does not join {i:?} along {axis:?}");
                *grown += by;
            }
            want(s)
        }
        Op::Index { ys, xs, .. } => {
            let inside = |v: &[i32], n: usize| v.iter().all(|&k| k >= -1 && (k < 0 || (k as usize) < n));
            ensure!(inside(ys, i.h) && inside(xs, i.w), "an index lies outside {i:?}");
            want(Shape { h: ys.len(), w: xs.len(), c: i.c })
        }
        Op::Bilinear { ys, xs } => {
            ensure!(
                ys.iter().all(|l| (l.lo.max(l.hi) as usize) < i.h) && xs.iter().all(|l| (l.lo.max(l.hi) as usize) < i.w),
                "a source line lies outside {i:?}"
            );
            want(Shape { h: ys.len(), w: xs.len(), c: i.c })
        }
        Op::DepthToSpace { block: b } => {
            ensure!(*b > 0 && i.c.is_multiple_of(b * b), "{} channels do not split into {b}x{b} blocks", i.c);
            want(Shape { h: i.h * b, w: i.w * b, c: i.c / (b * b) })
        }
        Op::SpaceToDepth { block: b } => {
            ensure!(*b > 0 && i.h.is_multiple_of(*b) && i.w.is_multiple_of(*b), "{i:?} does not split into {b}x{b} blocks");
            want(Shape { h: i.h / b, w: i.w / b, c: i.c * b * b })
        }
        Op::Channels { index } => {
            ensure!(index.iter().all(|&k| (k as usize) < i.c), "a channel lies outside {i:?}");
            want(Shape { c: index.len(), ..i })
        }
        Op::Reshape => {
            ensure!(i.len() == o.len(), "{i:?} and {o:?} hold different numbers of values");
            Ok(())
        }
        Op::Permute { index } => {
            ensure!(index.len() == o.len() && index.iter().all(|&k| (k as usize) < i.len()), "a source lies outside {i:?}");
            Ok(())
        }
        Op::ReduceChannels { .. } => want(Shape { c: 1, ..i }),
    }
}

fn conv(c: &Conv, i: Shape, o: Shape) -> Result<()> {
    ensure!(c.groups > 0 && i.c.is_multiple_of(c.groups) && c.oc.is_multiple_of(c.groups), "{} groups of {} to {}", c.groups, i.c, c.oc);
    ensure!(o.c == c.oc, "{} outputs into {} channels", c.oc, o.c);
    ensure!(c.bias.len() == c.oc, "{} biases for {} channels", c.bias.len(), c.oc);
    let want = c.oc * c.kh * c.kw * (i.c / c.groups);
    ensure!(c.weights.len() == want, "{} weights, should be {want}", c.weights.len());
    if let Some(s) = &c.weight_scales {
        ensure!(s.len() == c.oc, "{} weight scales for {} channels", s.len(), c.oc);
    }
    ensure!(c.kh > 0 && c.kw > 0, "kernel without taps");
    extents(c.kh, c.kw, c.stride, c.dilation, c.pad, i, o)
}

fn window(w: &Window, i: Shape, o: Shape) -> Result<()> {
    ensure!(o.c == i.c, "pooling turns {} channels into {}", i.c, o.c);
    extents(w.kh, w.kw, w.stride, w.dilation, w.pad, i, o)?;
    // The extent of a pooled map is given, not derived: every window must hold at least one pixel.
    for (out, stride, taps, dilation, pad, extent) in
        [(o.h, w.stride.0, w.kh, w.dilation.0, w.pad.t, i.h), (o.w, w.stride.1, w.kw, w.dilation.1, w.pad.l, i.w)]
    {
        if (0..out).any(|o| super::conv::inside(o, stride, taps, dilation, pad, extent).is_empty()) {
            bail!("a window covers padding only");
        }
    }
    Ok(())
}

fn extents(kh: usize, kw: usize, stride: (usize, usize), dilation: (usize, usize), pad: Pad, i: Shape, o: Shape) -> Result<()> {
    ensure!(stride.0 > 0 && stride.1 > 0 && dilation.0 > 0 && dilation.1 > 0, "stride or dilation of 0");
    for (axis, out, stride, k, dilation, total) in
        [("h", o.h, stride.0, kh, dilation.0, i.h + pad.t + pad.b), ("w", o.w, stride.1, kw, dilation.1, i.w + pad.l + pad.r)]
    {
        // One more window than fits whole is what rounding up gives.
        let most = total.saturating_sub((k.max(1) - 1) * dilation + 1).div_ceil(stride) + 1;
        ensure!(out <= most, "{axis}: {out} outputs, at most {most} fit");
    }
    Ok(())
}
