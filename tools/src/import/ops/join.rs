//! Concat and Pad.

use crate::import::constant::volume;
use crate::import::node::{Node, axis};
use crate::import::view::{Atom, C, Groups, H, View, W, merge};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Axis, Op, TensorId};

use super::Made;
use super::elementwise::complete;

pub(super) fn concat(im: &mut Importer, node: &Node) -> Made {
    let values: Vec<Value> = (0..node.inputs.len()).map(|i| node.value(i).cloned()).collect::<Result<_, _>>()?;
    let rank = values.first().map_or(Ok(0), |v| v.shape().map(|s| s.len()))?;
    let along = axis(node.int("axis", 1), rank)?;
    Ok(vec![beside(im, node, &values, along)?])
}

/// Values side by side along an axis.
pub(super) fn beside(im: &mut Importer, node: &Node, values: &[Value], along: usize) -> Result<Value, Fail> {
    let shapes: Vec<Vec<usize>> = values.iter().map(Value::shape).collect::<Result<_, _>>()?;
    let views: Vec<&View> = values.iter().filter_map(|v| if let Value::Map(v) = v { Some(v) } else { None }).collect();
    let Some(most) = views.iter().max_by_key(|v| volume(&v.shape())) else {
        return Err(unsupported("constants only"));
    };
    let rank = shapes[0].len();
    let mut out = shapes[0].clone();
    for s in &shapes[1..] {
        if s.len() != rank || (0..rank).any(|a| a != along && s[a] != out[a]) {
            return Err(invalid(format!("{s:?} beside {:?} along axis {along}", shapes[0])));
        }
        out[along] = out[along].checked_add(s[along]).ok_or_else(|| invalid("too long"))?;
    }
    let int = most.int;
    if views.iter().any(|v| v.int != int) || int.is_some() && views.len() < values.len() {
        return Err(unsupported("integer codes of different scales side by side"));
    }
    if views.len() == values.len()
        && let Some(done) = stacked_pixels(im, node, &views, along)?
    {
        return Ok(Value::Map(done));
    }
    let mut groups = most.natural(im.shape_of(most.tensor));
    for v in &views {
        complete(&mut groups, &out, Some(&v.natural(im.shape_of(v.tensor))));
    }
    complete(&mut groups, &out, None);
    if let Some(g) = groups.0.iter_mut().find(|g| g.contains(&along)) {
        // The joined axis has to be the slowest of its group.
        if g.iter().position(|&a| a == along) != Some(0) {
            g.retain(|&a| a != along);
            g.insert(0, along);
        }
    }
    let physical = (0..3).find(|&k| groups.0[k].contains(&along)).unwrap_or(C);
    let mut inputs = Vec::with_capacity(values.len());
    for v in values {
        inputs.push(match v {
            Value::Map(v) => im.realise(v, &groups)?,
            Value::Const(c) => {
                let order: Vec<usize> = groups.0.iter().flatten().copied().collect();
                let missing = (0..rank).filter(|a| !order.contains(a));
                let perm: Vec<usize> = order.iter().copied().chain(missing).collect();
                im.charge(c.len())?;
                let extents = [H, W, C].map(|k| groups.0[k].iter().map(|&g| c.shape[g]).product());
                let map = im.checked_shape(extents)?;
                im.constant(map, c.transposed(&perm).to_reals())
            }
            Value::Lost => return Err(unsupported("its input could not be converted")),
        });
    }
    let extents = [H, W, C].map(|k| groups.0[k].iter().map(|&g| out[g]).product());
    let map = im.checked_shape(extents)?;
    let codes = im.graph.tensors[inputs[0]].codes;
    let tensor = join(im, node, inputs, physical, map)?;
    if int.is_some() {
        im.graph.tensors[tensor].codes = codes;
    }
    Ok(Value::Map(View { int, ..View::of_groups(tensor, &out, &groups) }))
}

fn join(im: &mut Importer, node: &Node, inputs: Vec<TensorId>, physical: usize, map: crate::ir::Shape) -> Result<TensorId, Fail> {
    let axis = [Axis::H, Axis::W, Axis::C][physical];
    if let [only] = inputs[..] {
        return Ok(only);
    }
    Ok(im.emit_node(node, Op::Concat(axis), inputs, map))
}

/// Strided slices of one map joined along the channels (the Focus layer of YOLO): SpaceToDepth and a choice of channels.
fn stacked_pixels(im: &mut Importer, node: &Node, views: &[&View], along: usize) -> Result<Option<View>, Fail> {
    let tensor = views[0].tensor;
    let source = im.shape_of(tensor);
    if views[0].axes.len() != 4 || views.len() < 2 || views.iter().any(|v| v.tensor != tensor) {
        return Ok(None);
    }
    let find = |v: &View, k: usize| (0..4).find(|&a| a != along && matches!(v.axes[a][..], [Atom { axis, .. }] if axis == k));
    let (Some(rows), Some(columns)) = (find(views[0], H), find(views[0], W)) else { return Ok(None) };
    let block = views[0].axes[rows][0].stride.unsigned_abs();
    if block < 2 || !source.h.is_multiple_of(block) || !source.w.is_multiple_of(block) {
        return Ok(None);
    }
    let whole = |n: usize, k: usize| vec![Atom { axis: k, stride: block as isize, extent: n / block }];
    let mut index = Vec::new();
    for v in views {
        let fits = merge(v.axes[rows].iter().copied()) == merge(whole(source.h, H))
            && merge(v.axes[columns].iter().copied()) == merge(whole(source.w, W))
            && v.axes[along].iter().all(|a| a.axis == C)
            && v.offset[H] < block as isize
            && v.offset[W] < block as isize
            && v.offset[H] >= 0
            && v.offset[W] >= 0;
        if !fits {
            return Ok(None);
        }
        let base = (v.offset[H] * block as isize + v.offset[W]) * source.c as isize + v.offset[C];
        index.extend(crate::import::view::walk(&v.axes[along], base, |a| a.stride));
    }
    let deep = im.checked_shape([source.h / block, source.w / block, source.c * block * block])?;
    let folded = im.emit_node(node, Op::SpaceToDepth { block }, vec![tensor], deep);
    let ys: Vec<isize> = (0..deep.h as isize).collect();
    let xs: Vec<isize> = (0..deep.w as isize).collect();
    let picked = im.select(folded, &ys, &xs, &index)?;
    let mut groups = Groups([vec![rows], vec![columns], vec![along]]);
    let mut shape = views[0].shape();
    shape[along] = index.len();
    for (k, n) in [(H, deep.h), (W, deep.w)] {
        if n == 1 {
            groups.0[k].clear();
        }
    }
    Ok(Some(View { int: views[0].int, ..View::of_groups(picked, &shape, &groups) }))
}

/// Before and after each axis, from the attribute or input 1 (with axes from input 3 since opset 18).
fn pads(node: &Node, rank: usize) -> Result<Vec<(i64, i64)>, Fail> {
    let list = match node.ints("pads").or(node.ints("paddings")) {
        Some(l) => l.to_vec(),
        None => node.constant(1, "the padding")?.to_ints()?,
    };
    let axes = match node.optional_constant(3, "the list of axes")? {
        Some(c) => c.to_ints()?.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if list.len() != 2 * axes.len() {
        return Err(invalid(format!("{} pads for {} axes", list.len(), axes.len())));
    }
    let mut out = vec![(0, 0); rank];
    for (i, &a) in axes.iter().enumerate() {
        out[a] = (list[i], list[axes.len() + i]);
        if [list[i], list[axes.len() + i]].iter().any(|p| p.unsigned_abs() > 1 << 20) {
            return Err(invalid(format!("pads {list:?}")));
        }
    }
    Ok(out)
}

pub(super) fn pad(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let shape = x.shape();
    let pads = pads(node, shape.len())?;
    let mode = node.text("mode", "constant");
    let mut fill = match node.optional_constant(2, "the padding value")? {
        Some(c) => c.scalar().ok_or_else(|| invalid("the padding value should be a scalar"))?,
        None => node.float("value", 0.0),
    };
    if fill.is_nan() {
        return Err(invalid("the padding value is NaN"));
    }
    if let Some(int) = x.int {
        let codes = int.codes.ok_or_else(|| unsupported("padding of codes before their scale is known"))?;
        fill = codes.scale * (fill + if int.signed { 128.0 } else { 0.0 } - f32::from(codes.zero));
    }
    // What negative pads take away goes first, so that reflections and repetitions are of what is left.
    let mut cut = x.clone();
    let mut out = shape.clone();
    for (a, &(before, after)) in pads.iter().enumerate() {
        let (start, end) = (-before.min(0), shape[a] as i64 + after.min(0));
        let n = shape[a] as i64 + before + after;
        out[a] = usize::try_from(n).ok().filter(|&n| n > 0 && start < end).ok_or_else(|| invalid(format!("pads leave {n} of axis {a}")))?;
        if before.min(after) < 0 {
            cut = super::shape::cut(im, &cut, a, start as usize, 1, (end - start) as usize)?;
        }
    }
    let pads: Vec<(i64, i64)> = pads.iter().map(|p| (p.0.max(0), p.1.max(0))).collect();
    let x = &cut;
    let groups = grown_groups(im, x, &pads)?;
    let mut tensor = im.realise(x, &groups)?;
    let map = im.shape_of(tensor);
    let source = |n: usize, k: usize| -> Result<Vec<i32>, Fail> {
        let (before, after) = groups.0[k].first().map_or((0, 0), |&a| pads[a]);
        (-before..n as i64 + after).map(|i| line(i, n as i64, &mode)).collect()
    };
    let (ys, xs, cs) = (source(map.h, H)?, source(map.w, W)?, source(map.c, C)?);
    im.charge(ys.len() + xs.len() + cs.len())?;
    if ys.len() != map.h || xs.len() != map.w || ys.iter().chain(&xs).any(|&i| i < 0) {
        let grown = im.checked_shape([ys.len(), xs.len(), map.c])?;
        tensor = im.emit_node(node, Op::Index { ys, xs, fill }, vec![tensor], grown);
    }
    if cs.len() != map.c || cs.iter().any(|&i| i < 0) {
        tensor = pad_channels(im, node, tensor, &cs, fill)?;
    }
    Ok(vec![Value::Map(View { int: x.int, ..View::of_groups(tensor, &out, &groups) })])
}

/// A layout in which every padded axis is rows, columns or channels by itself.
fn grown_groups(im: &Importer, x: &View, pads: &[(i64, i64)]) -> Result<Groups, Fail> {
    let shape = x.shape();
    let grows = |a: usize| pads[a] != (0, 0);
    let wanted: Vec<usize> = shape.iter().enumerate().map(|(a, &n)| n + usize::from(grows(a))).collect();
    let apart = |g: &Groups| g.0.iter().all(|g| g.len() < 2 || !g.iter().any(|&a| grows(a)));
    let mut natural = x.natural(im.shape_of(x.tensor));
    complete(&mut natural, &wanted, None);
    // Else the axes' usual places: pixels that came out of channels, or channels out of pixels, are laid out first.
    let mut usual = Groups::default();
    complete(&mut usual, &wanted, None);
    [natural, usual].into_iter().find(apart).ok_or_else(|| {
        unsupported("padding of an axis that shares rows, columns or channels with another; pad before the reshape that joins them")
    })
}

/// The line that stands at `i`, -1 for the fill.
fn line(i: i64, n: i64, mode: &str) -> Result<i32, Fail> {
    let inside = (0..n).contains(&i);
    let at = match mode {
        _ if inside => i,
        "constant" => -1,
        "edge" => i.clamp(0, n - 1),
        "reflect" if n > 1 => {
            let period = 2 * (n - 1);
            let m = i.rem_euclid(period);
            m.min(period - m)
        }
        "reflect" => 0,
        "wrap" => i.rem_euclid(n),
        other => return Err(unsupported(format!("padding mode `{other}`; constant, edge, reflect and wrap are supported"))),
    };
    Ok(at as i32)
}

/// Channels by index with constant channels for -1.
fn pad_channels(im: &mut Importer, node: &Node, tensor: TensorId, cs: &[i32], fill: f32) -> Result<TensorId, Fail> {
    let map = im.shape_of(tensor);
    let before = cs.iter().take_while(|&&c| c < 0).count();
    let after = if before == cs.len() { 0 } else { cs.iter().rev().take_while(|&&c| c < 0).count() };
    let middle: Vec<isize> = cs[before..cs.len() - after].iter().map(|&c| c as isize).collect();
    let mut parts = Vec::new();
    let constant = |im: &mut Importer, n: usize| -> Result<Option<TensorId>, Fail> {
        if n == 0 {
            return Ok(None);
        }
        let block = im.checked_shape([map.h, map.w, n])?;
        im.charge(block.len())?;
        Ok(Some(im.constant(block, vec![fill; block.len()])))
    };
    parts.extend(constant(im, before)?);
    if !middle.is_empty() {
        let ys: Vec<isize> = (0..map.h as isize).collect();
        let xs: Vec<isize> = (0..map.w as isize).collect();
        parts.push(im.select(tensor, &ys, &xs, &middle)?);
    }
    parts.extend(constant(im, after)?);
    let grown = im.checked_shape([map.h, map.w, cs.len()])?;
    let codes = im.graph.tensors[tensor].codes;
    let joined = join(im, node, parts, C, grown)?;
    if joined != tensor {
        im.graph.tensors[joined].codes = codes;
    }
    Ok(joined)
}
