//! Pooling and reductions.

use crate::import::constant::Const;
use crate::import::node::Node;
use crate::import::view::{C, Groups, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Binary, Op, Pad, TensorId, Window};

use super::Made;
use super::conv::{geometry, image_groups};
use super::elementwise::combine;

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
    if !max && count_pad && overhangs {
        return Err(unsupported("ceil_mode together with count_include_pad; windows reach past the padding"));
    }
    let tensor = im.realise(x, &groups)?;
    let window = Window { kh, kw, stride: g.stride, dilation: g.dilation, pad: g.pad };
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
enum Kind {
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
    let kind = match node.op() {
        "ReduceMean" => Kind::Mean,
        "ReduceSum" => Kind::Sum,
        _ => Kind::Max,
    };
    Ok(vec![Value::Map(reduced(im, node, x, &axes, kind, node.int("keepdims", 1) != 0)?)])
}

/// `x` reduced over `axes`: the channels of each pixel, all pixels, or lines of one direction.
fn reduced(im: &mut Importer, node: &Node, x: &View, axes: &[usize], kind: Kind, keep: bool) -> Result<View, Fail> {
    let shape = x.shape();
    let source = im.shape_of(x.tensor);
    let gone: Vec<usize> = axes.iter().copied().filter(|&a| shape[a] > 1).collect();
    let kept: Vec<usize> = (0..shape.len()).filter(|a| shape[*a] > 1 && !gone.contains(a)).collect();
    let number: usize = gone.iter().map(|&a| shape[a]).product();
    let natural = x.natural(source);
    let only = |k: usize| !natural.0[k].is_empty() && natural.0[k].iter().all(|g| gone.contains(g));
    let untouched = |k: usize| natural.0[k].iter().all(|g| !gone.contains(g));
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
    if !keep {
        let mut i = 0;
        out.axes.retain(|_| {
            i += 1;
            !axes.contains(&(i - 1))
        });
    }
    Ok(out)
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
