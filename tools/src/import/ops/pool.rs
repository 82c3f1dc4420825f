//! Pooling and reductions.

use crate::import::constant::Const;
use crate::import::node::Node;
use crate::import::view::{C, Groups, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Binary, Op, Pad, TensorId, Unary, Window};

use super::Made;
use super::conv::{geometry, image_groups};
use super::elementwise::{apply, combine};
use super::shape::reshape_view;

pub(super) fn window(im: &mut Importer, node: &Node) -> Made {
    let max = node.op() == "MaxPool";
    let x = if max { node.any_map(0)? } else { node.map(0)? };
    let shape = x.shape();
    let groups = image_groups(shape.len())?;
    let spatial = shape.len() - 2;
    if node.attribute("kernel_shape").is_none() {
        return Err(invalid("kernel_shape is missing"));
    }
    if max && node.proto.output.get(1).is_some_and(|o| !o.is_empty()) {
        return Err(unsupported("the indices of the maxima"));
    }
    let kernel = node.extents("kernel_shape", spatial, 1, 1)?;
    let (kh, kw) = (kernel[0], kernel.get(1).copied().unwrap_or(1));
    let (h, w) = (shape[2], shape.get(3).copied().unwrap_or(1));
    let g = geometry(node, (h, w), (kh, kw), spatial)?;
    let beyond = |n: usize, k: usize, s: usize, d: usize, count: usize, pads: usize| (count - 1) * s + (k - 1) * d + 1 > n + pads;
    let overhangs = beyond(h, kh, g.stride.0, g.dilation.0, g.out.0, g.pad.t + g.pad.b)
        || beyond(w, kw, g.stride.1, g.dilation.1, g.out.1, g.pad.l + g.pad.r);
    let count_pad = node.int("count_include_pad", 0) != 0 && g.pad != Pad::default();
    let mut tensor = im.realise(x, &groups)?;
    let (mut pad, mut count_pad) = (g.pad, count_pad);
    if !max && count_pad && overhangs {
        // What lies behind the padding does not count: the padding becomes part of the map.
        let list = |n: usize, before: usize, after: usize| -> Vec<i32> {
            let fill = |count: usize| std::iter::repeat_n(-1, count);
            fill(before).chain(0..n as i32).chain(fill(after)).collect()
        };
        let (ys, xs) = (list(h, pad.t, pad.b), list(w, pad.l, pad.r));
        let grown = im.checked_shape([ys.len(), xs.len(), shape[1]])?;
        tensor = im.emit_node(node, Op::Index { ys, xs, fill: 0.0 }, vec![tensor], grown);
        (pad, count_pad) = (Pad::default(), false);
    }
    let window = Window { kh, kw, stride: g.stride, dilation: g.dilation, pad };
    let op = if max { Op::MaxPool(window) } else { Op::AvgPool { window, count_pad } };
    let map = im.checked_shape([g.out.0, g.out.1, shape[1]])?;
    let codes = im.graph.tensors[tensor].codes;
    let tensor = im.emit_node(node, op, vec![tensor], map);
    if x.int.is_some() {
        im.graph.tensors[tensor].codes = codes;
    }
    let mut made = vec![1, shape[1], g.out.0, g.out.1];
    made.truncate(shape.len());
    Ok(vec![Value::Map(View { int: x.int, ..View::of_groups(tensor, &made, &groups) })])
}

pub(super) fn global(im: &mut Importer, node: &Node) -> Made {
    let shape = node.map(0)?.shape();
    if shape.len() < 3 {
        return Err(invalid(format!("a value of rank {} has no spatial axes", shape.len())));
    }
    let axes: Vec<usize> = (2..shape.len()).collect();
    let kind = if node.op() == "GlobalMaxPool" { Kind::Max } else { Kind::Mean };
    Ok(vec![Value::Map(reduced(im, node, node.map(0)?, &axes, kind, true)?)])
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Mean,
    Sum,
    Max,
}

pub(super) fn reduce(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let rank = x.axes.len();
    let axes = match node.axes(1, rank)? {
        Some(a) if !a.is_empty() => a,
        _ if node.int("noop_with_empty_axes", 0) != 0 => return Ok(vec![node.value(0)?.clone()]),
        _ => (0..rank).collect(),
    };
    Ok(vec![Value::Map(norm(im, node, node.op(), x, &axes, node.int("keepdims", 1) != 0)?)])
}

/// The reduction called `op`: a mean, sum or maximum with functions of elements around it.
pub(super) fn norm(im: &mut Importer, node: &Node, op: &str, x: &View, axes: &[usize], keep: bool) -> Result<View, Fail> {
    let square = Unary::Pow { exponent: 2.0 };
    let (before, kind, after) = match op {
        "ReduceMean" => (None, Kind::Mean, None),
        "ReduceSum" => (None, Kind::Sum, None),
        "ReduceMax" => (None, Kind::Max, None),
        "ReduceMin" => (Some(Unary::Neg), Kind::Max, Some(Unary::Neg)),
        "ReduceL1" => (Some(Unary::Abs), Kind::Sum, None),
        "ReduceL2" => (Some(square), Kind::Sum, Some(Unary::Sqrt)),
        "ReduceSumSquare" => (Some(square), Kind::Sum, None),
        "ReduceLogSum" => (None, Kind::Sum, Some(Unary::Log)),
        // Below the maximum nothing overflows.
        "ReduceLogSumExp" => {
            let most = Value::Map(reduced(im, node, x, axes, Kind::Max, true)?);
            let below = combine(im, node, Binary::Sub, &Value::Map(x.clone()), &most)?;
            let powers = apply(im, node, Unary::Exp, below.map()?)?;
            let sum = reduced(im, node, &powers, axes, Kind::Sum, true)?;
            let logs = Value::Map(apply(im, node, Unary::Log, &sum)?);
            let out = combine(im, node, Binary::Add, &logs, &most)?;
            return Ok(without(out.map()?.clone(), axes, keep));
        }
        other => return Err(unsupported(format!("{other} is no reduction known here"))),
    };
    let x = match before {
        Some(f) => apply(im, node, f, x)?,
        None => x.clone(),
    };
    let mut out = reduced(im, node, &x, axes, kind, keep)?;
    if let Some(f) = after {
        out = apply(im, node, f, &out)?;
    }
    Ok(out)
}

/// Without the axes that are gone, unless they are kept with extent 1.
fn without(mut x: View, axes: &[usize], keep: bool) -> View {
    if !keep {
        let mut i = 0;
        x.axes.retain(|_| {
            i += 1;
            !axes.contains(&(i - 1))
        });
    }
    x
}

/// `x` reduced over `axes`: the channels of each pixel, all pixels, or lines of one direction.
pub(super) fn reduced(im: &mut Importer, node: &Node, x: &View, axes: &[usize], kind: Kind, keep: bool) -> Result<View, Fail> {
    let shape = x.shape();
    let source = im.shape_of(x.tensor);
    let gone: Vec<usize> = axes.iter().copied().filter(|&a| shape[a] > 1).collect();
    if gone.iter().any(|&a| x.axes[a].len() > 1) {
        return atom_by_atom(im, node, x, axes, kind, keep);
    }
    let kept: Vec<usize> = (0..shape.len()).filter(|a| shape[*a] > 1 && !gone.contains(a)).collect();
    let number: usize = gone.iter().map(|&a| shape[a]).product();
    let natural = x.natural(source);
    let only = |k: usize| !natural.0[k].is_empty() && natural.0[k].iter().all(|g| gone.contains(g));
    let untouched = |k: usize| natural.0[k].iter().all(|g| !gone.contains(g));
    // Of groups of channels and of pixels at once: pixels first, so that channels are regrouped on a small map.
    let (pixels, channels): (Vec<usize>, Vec<usize>) = gone.iter().partition(|&&a| x.axes[a][0].axis != C);
    if !pixels.is_empty() && !channels.is_empty() {
        let first = reduced(im, node, x, &pixels, kind, true)?;
        return Ok(without(reduced(im, node, &first, &channels, kind, true)?, axes, keep));
    }
    if let (&[a], true, false) = (&gone[..], untouched(H) && untouched(W), only(C))
        && shape[a] == 2
        && source.rows() > 1
        && let (Some(first), Some(second)) = (x.sliced(a, 0, 1, 1), x.sliced(a, 1, 1, 1))
    {
        return Ok(without(of_two(im, node, kind, first, second)?, axes, keep));
    }
    let made: Vec<usize> = (0..shape.len()).map(|a| if gone.contains(&a) { 1 } else { shape[a] }).collect();
    let (groups, tensor, averaged) = if gone.is_empty() {
        (natural.clone(), im.realise(x, &natural)?, false)
    } else if only(C) && untouched(H) && untouched(W) {
        let tensor = im.realise(x, &natural)?;
        (natural.clone(), across_channels(im, node, tensor, kind)?, false)
    } else if untouched(C) && (only(H) || untouched(H)) && (only(W) || untouched(W)) {
        let tensor = im.realise(x, &natural)?;
        let tensor = lines(im, node, tensor, only(H), only(W), kind)?;
        (natural.clone(), tensor, true)
    } else {
        let mut groups = x.with_channels(&kept, source);
        groups.0[H] = [std::mem::take(&mut groups.0[H]), std::mem::take(&mut groups.0[W])].concat();
        let tensor = im.realise(x, &groups)?;
        let tensor = lines(im, node, tensor, true, true, kind)?;
        (Groups([Vec::new(), Vec::new(), groups.0[C].clone()]), tensor, true)
    };
    let groups = Groups(groups.0.map(|g| g.into_iter().filter(|a| !gone.contains(a)).collect()));
    let mut out = View::of_groups(tensor, &made, &groups);
    if kind == Kind::Sum && averaged {
        let n = Const::reals(vec![], vec![number as f32]);
        out = match combine(im, node, Binary::Mul, &Value::Map(out), &n.into())? {
            Value::Map(v) => v,
            _ => return Err(invalid("a sum without a value")),
        };
    }
    Ok(without(out, axes, keep))
}

/// Of two choices of channels, as in split attention: a step of two operands, each once.
fn of_two(im: &mut Importer, node: &Node, kind: Kind, a: View, b: View) -> Result<View, Fail> {
    let op = if kind == Kind::Max { Binary::Max } else { Binary::Add };
    let mut out = combine(im, node, op, &Value::Map(a), &Value::Map(b))?;
    if kind == Kind::Mean {
        out = combine(im, node, Binary::Mul, &out, &Const::reals(vec![], vec![0.5]).into())?;
    }
    Ok(out.map()?.clone())
}

/// The same with an axis for each atom, for axes that join pixels and channels.
fn atom_by_atom(im: &mut Importer, node: &Node, x: &View, axes: &[usize], kind: Kind, keep: bool) -> Result<View, Fail> {
    let (parts, gone) = apart(x, axes);
    let made: Vec<usize> = x.shape().iter().enumerate().map(|(a, &n)| if axes.contains(&a) { 1 } else { n }).collect();
    let out = reduced(im, node, &parts, &gone, kind, true)?;
    Ok(without(reshape_view(im, &out, &made)?, axes, keep))
}

/// `x` with an axis for each atom, and which of them make up `axes`.
pub(super) fn apart(x: &View, axes: &[usize]) -> (View, Vec<usize>) {
    let (mut parts, mut gone) = (View { axes: Vec::new(), ..x.clone() }, Vec::new());
    for (a, atoms) in x.axes.iter().enumerate() {
        for &atom in atoms {
            if axes.contains(&a) {
                gone.push(parts.axes.len());
            }
            parts.axes.push(vec![atom]);
        }
    }
    (parts, gone)
}

/// Mean, sum or maximum of the channels of each pixel.
fn across_channels(im: &mut Importer, node: &Node, tensor: TensorId, kind: Kind) -> Result<TensorId, Fail> {
    let map = im.shape_of(tensor);
    let out = im.checked_shape([map.h, map.w, 1])?;
    if kind != Kind::Max {
        return Ok(im.emit_node(node, Op::ReduceChannels { mean: kind == Kind::Mean }, vec![tensor], out));
    }
    // One pixel a row, one channel a column.
    let turned = im.checked_shape([map.rows(), map.c, 1])?;
    let column = im.checked_shape([map.rows(), 1, 1])?;
    let name = im.layout_name(tensor);
    let wide = im.emit_node(node, Op::Reshape, vec![tensor], turned);
    let window = Window { kh: 1, kw: map.c, stride: (1, 1), dilation: (1, 1), pad: Pad::default() };
    let most = im.emit_node(node, Op::MaxPool(window), vec![wide], column);
    Ok(im.emit(name, Op::Reshape, vec![most], out))
}

/// Mean or maximum over all rows, all columns or both.
fn lines(im: &mut Importer, node: &Node, tensor: TensorId, rows: bool, columns: bool, kind: Kind) -> Result<TensorId, Fail> {
    let map = im.shape_of(tensor);
    let (kh, kw) = (if rows { map.h } else { 1 }, if columns { map.w } else { 1 });
    let out = im.checked_shape([map.h / kh, map.w / kw, map.c])?;
    let window = Window { kh, kw, stride: (1, 1), dilation: (1, 1), pad: Pad::default() };
    let op = match (kind, (out.h, out.w)) {
        (Kind::Max, (1, 1)) => Op::GlobalMaxPool,
        (Kind::Max, _) => Op::MaxPool(window),
        (_, (1, 1)) => Op::GlobalAvgPool,
        _ => Op::AvgPool { window, count_pad: false },
    };
    Ok(im.emit_node(node, op, vec![tensor], out))
}
