//! What makes a graph well formed: every id exists, every tensor has one producer that runs before its consumers, and
//! every operator's inputs, parameters and output extent agree. Passes are checked with it one by one.

use super::{Axis, Conv, Graph, Node, Op, Output, Shape, Window};

/// `Err` says which node or output is wrong and how.
pub fn verify(graph: &Graph) -> Result<(), String> {
    let count = graph.tensors.len();
    let mut ready = vec![false; count];
    for (id, t) in graph.tensors.iter().enumerate() {
        if t.shape.is_empty() {
            return Err(format!("tensor %{id} `{}` has no elements: {:?}", t.name, t.shape));
        }
        if let Some(values) = &t.constant {
            if values.len() != t.shape.len() {
                return Err(format!("constant %{id} `{}`: {} values for {:?}", t.name, values.len(), t.shape));
            }
            ready[id] = true;
        }
    }
    for input in &graph.inputs {
        match ready.get_mut(input.tensor) {
            Some(r) if !*r => *r = true,
            Some(_) => return Err(format!("input `{}` names a tensor that has a value", input.name)),
            None => return Err(format!("input `{}` names no tensor", input.name)),
        }
    }
    for node in &graph.nodes {
        let fail = |what: String| Err(format!("node `{}` ({}): {what}", node.name, node.op));
        for &t in &node.inputs {
            match ready.get(t) {
                Some(true) => {}
                Some(false) => return fail(format!("reads %{t} before it is written")),
                None => return fail(format!("reads %{t}, which does not exist")),
            }
        }
        match ready.get_mut(node.output) {
            Some(r) if !*r => *r = true,
            Some(_) => return fail(format!("writes %{}, which has a value already", node.output)),
            None => return fail(format!("writes %{}, which does not exist", node.output)),
        }
        if let Err(what) = check_node(graph, node) {
            return fail(what);
        }
    }
    for out in &graph.outputs {
        if ready.get(out.tensor) != Some(&true) {
            return Err(format!("output `{}` reads a tensor that is never written", out.name));
        }
        check_output(graph, out)?;
    }
    Ok(())
}

fn check_output(graph: &Graph, out: &Output) -> Result<(), String> {
    if out.strides.len() != out.onnx_shape.len() {
        return Err(format!("output `{}`: {} strides for {:?}", out.name, out.strides.len(), out.onnx_shape));
    }
    let span = out
        .onnx_shape
        .iter()
        .zip(&out.strides)
        .try_fold(out.offset, |at, (&n, &s)| n.checked_sub(1).and_then(|n| n.checked_mul(s)).and_then(|d| at.checked_add(d)));
    match span {
        Some(last) if last < graph.tensors[out.tensor].shape.len() => Ok(()),
        _ => Err(format!("output `{}` reaches past its map", out.name)),
    }
}

fn check_node(graph: &Graph, node: &Node) -> Result<(), String> {
    let shape = |i: usize| graph.tensors[node.inputs[i]].shape;
    let out = graph.tensors[node.output].shape;
    let arity = match node.op {
        Op::Binary(_) => 2,
        Op::Concat(_) => node.inputs.len().max(1),
        _ => 1,
    };
    if node.inputs.len() != arity {
        return Err(format!("{} inputs where {arity} belong", node.inputs.len()));
    }
    let first = shape(0);
    let expected = match &node.op {
        Op::Conv(conv) => conv_extent(conv, first)?,
        Op::Unary(_) | Op::Softmax => first,
        Op::PRelu { slope } if slope.len() == first.c => first,
        Op::PRelu { slope } => return Err(format!("{} slopes for {} channels", slope.len(), first.c)),
        Op::Binary(_) => {
            for i in 0..2 {
                let s = shape(i);
                let fits = |a: usize, b: usize| a == b || a == 1;
                if !(fits(s.h, out.h) && fits(s.w, out.w) && fits(s.c, out.c)) {
                    return Err(format!("input {i} {s:?} does not broadcast to {out:?}"));
                }
            }
            out
        }
        Op::MaxPool(w) | Op::AvgPool { window: w, .. } => {
            check_window(w, first, out)?;
            Shape { c: first.c, ..out }
        }
        Op::GlobalAvgPool | Op::GlobalMaxPool => Shape { h: 1, w: 1, c: first.c },
        Op::Concat(axis) => {
            let mut sum = first;
            for i in 1..node.inputs.len() {
                let s = shape(i);
                let same = match axis {
                    Axis::H => (s.w, s.c) == (first.w, first.c),
                    Axis::W => (s.h, s.c) == (first.h, first.c),
                    Axis::C => (s.h, s.w) == (first.h, first.w),
                };
                if !same {
                    return Err(format!("input {i} {s:?} beside {first:?}"));
                }
                match axis {
                    Axis::H => sum.h += s.h,
                    Axis::W => sum.w += s.w,
                    Axis::C => sum.c += s.c,
                }
            }
            sum
        }
        Op::Index { ys, xs, .. } => {
            let bad = |list: &[i32], n: usize| list.iter().any(|&i| i < -1 || i >= n as i32);
            if bad(ys, first.h) || bad(xs, first.w) {
                return Err("an index lies outside the map".into());
            }
            Shape { h: ys.len(), w: xs.len(), c: first.c }
        }
        Op::Bilinear { ys, xs } => {
            let bad = |list: &[super::Lerp], n: usize| {
                list.iter().any(|l| l.lo as usize >= n || l.hi as usize >= n || !(0.0..=1.0).contains(&l.t))
            };
            if bad(ys, first.h) || bad(xs, first.w) {
                return Err("a source line lies outside the map".into());
            }
            Shape { h: ys.len(), w: xs.len(), c: first.c }
        }
        Op::DepthToSpace { block } => {
            if *block == 0 || first.c % (block * block) != 0 {
                return Err(format!("{} channels in blocks of {block}", first.c));
            }
            Shape { h: first.h * block, w: first.w * block, c: first.c / (block * block) }
        }
        Op::SpaceToDepth { block } => {
            if *block == 0 || first.h % block != 0 || first.w % block != 0 {
                return Err(format!("{first:?} in blocks of {block}"));
            }
            Shape { h: first.h / block, w: first.w / block, c: first.c * block * block }
        }
        Op::Channels { index } => {
            if index.iter().any(|&i| i as usize >= first.c) {
                return Err("a channel index is too large".into());
            }
            Shape { c: index.len(), ..first }
        }
        Op::Reshape if first.len() == out.len() => out,
        Op::Reshape => return Err(format!("{first:?} has not as many elements as {out:?}")),
        Op::Permute { index } => {
            if index.len() != out.len() || index.iter().any(|&i| i as usize >= first.len()) {
                return Err(format!("{} indices from {first:?} to {out:?}", index.len()));
            }
            out
        }
        Op::ReduceChannels { .. } => Shape { c: 1, ..first },
    };
    if expected == out { Ok(()) } else { Err(format!("gives {expected:?}, but its output is {out:?}")) }
}

/// Extent of the result of `conv` over `input`.
pub fn conv_extent(conv: &Conv, input: Shape) -> Result<Shape, String> {
    let (g, oc) = (conv.groups, conv.oc);
    if g == 0 || oc == 0 || !oc.is_multiple_of(g) || !input.c.is_multiple_of(g) {
        return Err(format!("{} inputs, {oc} outputs in {g} groups", input.c));
    }
    let weights = [oc, conv.kh, conv.kw, input.c / g].iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    if weights != Some(conv.weights.len()) || conv.bias.len() != oc {
        return Err(format!("{} weights and {} biases for {input:?}", conv.weights.len(), conv.bias.len()));
    }
    if conv.weight_scales.as_ref().is_some_and(|s| s.len() != oc) {
        return Err("weight scales are not one per output".into());
    }
    let along = |n: usize, k: usize, s: usize, d: usize, pads: usize| {
        let reach = (k.checked_sub(1)?).checked_mul(d)?.checked_add(1)?;
        Some(n.checked_add(pads)?.checked_sub(reach)?.checked_div(s)? + 1)
    };
    let h = along(input.h, conv.kh, conv.stride.0, conv.dilation.0, conv.pad.t + conv.pad.b);
    let w = along(input.w, conv.kw, conv.stride.1, conv.dilation.1, conv.pad.l + conv.pad.r);
    match (h, w) {
        (Some(h), Some(w)) => Ok(Shape { h, w, c: oc }),
        _ => Err(format!("kernel {conv} does not fit {input:?}")),
    }
}

/// Every window must hold at least one pixel of the map.
fn check_window(w: &Window, input: Shape, out: Shape) -> Result<(), String> {
    let fits = |n: usize, k: usize, s: usize, d: usize, pad: usize, count: usize| {
        let reach = (k.max(1) - 1) * d + 1;
        k > 0 && s > 0 && d > 0 && pad < reach && (count - 1) * s < n + pad
    };
    let ok = fits(input.h, w.kh, w.stride.0, w.dilation.0, w.pad.t, out.h) && fits(input.w, w.kw, w.stride.1, w.dilation.1, w.pad.l, out.w);
    if ok { Ok(()) } else { Err(format!("windows {w} leave {input:?} (output {out:?})")) }
}
