//! Operators that move no numbers: other views of the same map.

use crate::import::constant::{Const, RANK_LIMIT, volume};
use crate::import::node::{Node, axis};
use crate::import::view::{Atom, C, Groups, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};

use super::Made;
use super::elementwise::complete;

pub(super) fn identity(_: &mut Importer, node: &Node) -> Made {
    Ok(vec![node.value(0)?.clone()])
}

pub(super) fn shape(im: &mut Importer, node: &Node) -> Made {
    let shape = node.any_map(0)?.shape();
    let rank = shape.len() as i64;
    let clip = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
    let (start, end) = (clip(node.int("start", 0)), clip(node.int("end", rank)));
    let list: Vec<i64> = shape.get(start..end.max(start)).unwrap_or(&[]).iter().map(|&n| n as i64).collect();
    Ok(vec![im.charged(Const::ints(vec![list.len()], list))?])
}

pub(super) fn size(im: &mut Importer, node: &Node) -> Made {
    let n = node.any_map(0)?.shape().iter().product::<usize>();
    Ok(vec![im.charged(Const::ints(vec![], vec![n as i64]))?])
}

/// The extents a Reshape asks for: 0 copies, one -1 is worked out.
pub(in crate::import) fn reshape_extents(from: &[usize], wanted: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, Fail> {
    let len = volume(from).ok_or_else(|| invalid("too large"))?;
    if wanted.len() > RANK_LIMIT {
        return Err(unsupported(format!("a value of rank {}", wanted.len())));
    }
    let mut out = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &w) in wanted.iter().enumerate() {
        out.push(match w {
            0 if !zero_is_zero => *from.get(i).ok_or_else(|| invalid(format!("{wanted:?} copies axis {i} of {from:?}")))?,
            -1 if open.is_none() => {
                open = Some(i);
                1
            }
            w => usize::try_from(w).map_err(|_| invalid(format!("extents {wanted:?}")))?,
        });
    }
    let known = volume(&out).ok_or_else(|| invalid("too large"))?;
    if let Some(i) = open {
        out[i] = len.checked_div(known).unwrap_or(0);
    }
    match volume(&out) == Some(len) {
        true => Ok(out),
        false => Err(invalid(format!("{from:?} cannot become {wanted:?}"))),
    }
}

/// `x` under another shape; the map is laid out in ONNX order first where an extent cuts an atom.
pub(super) fn reshape_view(im: &mut Importer, x: &View, shape: &[usize]) -> Result<View, Fail> {
    if let Some(v) = x.reshaped(shape) {
        return Ok(v);
    }
    let rank = x.axes.len();
    let groups = Groups([Vec::new(), Vec::new(), (0..rank).collect()]);
    let tensor = im.realise(x, &groups)?;
    let flat = View { int: x.int, ..View::of_groups(tensor, &x.shape(), &groups) };
    flat.reshaped(shape).ok_or_else(|| unsupported("a reshape across its layout"))
}

pub(super) fn reshape(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let wanted = match node.ints("shape") {
        Some(l) => l.to_vec(),
        None => node.constant(1, "the new shape")?.to_ints()?,
    };
    let shape = reshape_extents(&x.shape(), &wanted, node.int("allowzero", 0) != 0)?;
    Ok(vec![Value::Map(reshape_view(im, x, &shape)?)])
}

pub(super) fn flatten(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let shape = x.shape();
    let at = node.int("axis", 1);
    let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
    let (a, b) = shape.split_at(at);
    Ok(vec![Value::Map(reshape_view(im, x, &[a.iter().product(), b.iter().product()])?)])
}

pub(super) fn squeeze(_: &mut Importer, node: &Node) -> Made {
    let mut out = node.any_map(0)?.clone();
    let shape = out.shape();
    let gone = match node.axes(1, shape.len())? {
        Some(a) => a,
        None => (0..shape.len()).filter(|&a| shape[a] == 1).collect(),
    };
    if let Some(&a) = gone.iter().find(|&&a| shape[a] != 1) {
        return Err(invalid(format!("axis {a} of {shape:?} is longer than 1")));
    }
    out.axes = (0..shape.len()).filter(|a| !gone.contains(a)).map(|a| out.axes[a].clone()).collect();
    Ok(vec![Value::Map(out)])
}

pub(super) fn unsqueeze(_: &mut Importer, node: &Node) -> Made {
    let mut out = node.any_map(0)?.clone();
    let count = match (node.ints("axes"), node.optional_constant(1, "the list of axes")?) {
        (Some(l), _) => l.len(),
        (None, Some(c)) => c.len(),
        (None, None) => return Err(invalid("axes are missing")),
    };
    let rank = out.axes.len() + count;
    if rank > RANK_LIMIT {
        return Err(unsupported(format!("a value of rank {rank}")));
    }
    let mut axes = node.axes(1, rank)?.unwrap_or_default();
    axes.sort_unstable();
    for a in axes {
        out.axes.insert(a, Vec::new());
    }
    Ok(vec![Value::Map(out)])
}

/// The permutation of a Transpose; reversal when none is given.
pub(in crate::import) fn permutation(node: &Node, rank: usize) -> Result<Vec<usize>, Fail> {
    let perm: Vec<usize> = match node.ints("perm") {
        Some(l) => l.iter().map(|&a| axis(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    match perm.len() == rank && (0..rank).all(|a| perm.contains(&a)) {
        true => Ok(perm),
        false => Err(invalid(format!("perm {perm:?} of a value of rank {rank}"))),
    }
}

pub(super) fn transpose(_: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    Ok(vec![Value::Map(x.transposed(&permutation(node, x.axes.len())?))])
}

pub(super) fn expand(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let wanted = node.constant(1, "the new shape")?.to_ints()?;
    let wanted: Vec<usize> = wanted
        .iter()
        .map(|&w| usize::try_from(w).ok().filter(|&w| w > 0).ok_or_else(|| invalid(format!("extents {wanted:?}"))))
        .collect::<Result<_, _>>()?;
    let shape = crate::import::constant::broadcast_shape(&x.shape(), &wanted)
        .filter(|s| s.len() <= RANK_LIMIT)
        .ok_or_else(|| invalid(format!("{:?} does not broadcast to {wanted:?}", x.shape())))?;
    Ok(vec![repeat(im, x.padded(shape.len()), |a, n| if n == 1 { shape[a] } else { 1 })?])
}

pub(super) fn tile(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let times = node.constant(1, "the repeats")?.to_ints()?;
    if times.len() != x.axes.len() || times.iter().any(|&t| t < 1) {
        return Err(invalid(format!("repeats {times:?} of a value of rank {}", x.axes.len())));
    }
    Ok(vec![repeat(im, x.clone(), |a, _| times[a] as usize)?])
}

/// Repeats whole axes, by atoms of stride 0.
pub(super) fn repeat(im: &mut Importer, mut view: View, times: impl Fn(usize, usize) -> usize) -> Result<Value, Fail> {
    let shape = view.shape();
    let natural = view.natural(im.shape_of(view.tensor));
    let grown: Vec<usize> = (0..shape.len()).map(|a| shape[a].saturating_mul(times(a, shape[a]))).collect();
    let mut groups = natural;
    complete(&mut groups, &grown, None);
    im.checked_shape([H, W, C].map(|k| groups.0[k].iter().fold(1usize, |n, &a| n.saturating_mul(grown[a]))))?;
    for (a, &n) in shape.iter().enumerate() {
        let t = times(a, n);
        if t > 1 {
            let own = view.axes[a].first().map(|a| a.axis);
            let axis = own.or((0..3).find(|&k| groups.0[k].contains(&a))).unwrap_or(C);
            view.axes[a].insert(0, Atom { axis, stride: 0, extent: t });
        }
    }
    Ok(Value::Map(view))
}

/// `count` elements of an axis; settles the view first where the axis is no single atom.
pub(super) fn cut(im: &mut Importer, x: &View, axis: usize, start: usize, step: isize, count: usize) -> Result<View, Fail> {
    if let Some(v) = x.sliced(axis, start, step, count) {
        return Ok(v);
    }
    let (settled, _) = im.settle(x)?;
    settled.sliced(axis, start, step, count).ok_or_else(|| unsupported("a slice across its layout"))
}

/// `(start, step, count)` of each sliced axis.
pub(in crate::import) fn ranges(node: &Node, shape: &[usize]) -> Result<Vec<(usize, usize, i64, usize)>, Fail> {
    let given = |name: &str, i: usize, what: &str| -> Result<Option<Vec<i64>>, Fail> {
        match node.ints(name) {
            Some(l) => Ok(Some(l.to_vec())),
            None => node.optional_constant(i, what)?.map(|c| c.to_ints()).transpose(),
        }
    };
    let starts = given("starts", 1, "the start of the slice")?.ok_or_else(|| invalid("starts are missing"))?;
    let ends = given("ends", 2, "the end of the slice")?.ok_or_else(|| invalid("ends are missing"))?;
    let axes = given("axes", 3, "the list of axes")?.unwrap_or((0..starts.len() as i64).collect());
    let steps = given("steps", 4, "the step of the slice")?.unwrap_or(vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(invalid("starts, ends, axes and steps differ in length"));
    }
    let mut out = Vec::with_capacity(starts.len());
    for i in 0..starts.len() {
        let a = axis(axes[i], shape.len())?;
        let (n, step) = (shape[a] as i64, steps[i].clamp(-(1 << 40), 1 << 40));
        let place = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let (start, end) = (place(starts[i]), place(ends[i]));
        let (start, count) = match step {
            0 => return Err(invalid("a slice with step 0")),
            _ if n == 0 => (0, 0),
            s if s > 0 => {
                let (start, end) = (start.clamp(0, n), end.clamp(0, n));
                (start, (end - start).max(0).div_euclid(s) + i64::from((end - start).max(0) % s != 0))
            }
            s => {
                let (start, end) = (start.clamp(0, n - 1), end.clamp(-1, n - 1));
                let span = (start - end).max(0);
                (start, span / -s + i64::from(span % -s != 0))
            }
        };
        if out.iter().any(|r: &(usize, usize, i64, usize)| r.0 == a) {
            return Err(invalid(format!("axis {a} is sliced twice")));
        }
        out.push((a, start as usize, step, count as usize));
    }
    Ok(out)
}

pub(super) fn slice(im: &mut Importer, node: &Node) -> Made {
    let mut x = node.any_map(0)?.clone();
    for (a, start, step, count) in ranges(node, &x.shape())? {
        if count == 0 {
            return Err(invalid(format!("nothing is left of axis {a}")));
        }
        x = cut(im, &x, a, start, step as isize, count)?;
    }
    Ok(vec![Value::Map(x)])
}

/// Lengths of the parts of a Split of `n` elements.
pub(in crate::import) fn parts(node: &Node, n: usize) -> Result<Vec<usize>, Fail> {
    let given = match node.ints("split") {
        Some(l) => Some(l.to_vec()),
        None => node.optional_constant(1, "the lengths")?.map(|c| c.to_ints()).transpose()?,
    };
    let count = node.proto.output.len().max(1);
    let lengths: Vec<usize> = match given {
        Some(l) => l.iter().map(|&v| usize::try_from(v).map_err(|_| invalid(format!("lengths {l:?}")))).collect::<Result<_, _>>()?,
        None => {
            let each = n.div_ceil(count);
            (0..count).map(|i| each.min(n.saturating_sub(i * each))).collect()
        }
    };
    match lengths.iter().try_fold(0usize, |a, &b| a.checked_add(b)) == Some(n) && lengths.len() >= count {
        true => Ok(lengths),
        false => Err(invalid(format!("{n} elements in parts of {lengths:?}"))),
    }
}

pub(super) fn split(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let shape = x.shape();
    let a = node.axis(0, shape.len())?;
    let mut start = 0;
    let mut out = Vec::new();
    for length in parts(node, shape[a])? {
        if length == 0 {
            return Err(invalid("a part without elements"));
        }
        out.push(Value::Map(cut(im, x, a, start, 1, length)?));
        start += length;
    }
    Ok(out)
}

/// DepthToSpace and SpaceToDepth of `[1, C, H, W]` as the reshapes and transposes that define them.
pub(super) fn blocks(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let [1, c, h, w] = x.shape()[..] else {
        return Err(invalid(format!("a value of shape {:?}", x.shape())));
    };
    let b = usize::try_from(node.int("blocksize", 0)).ok().filter(|&b| (1..=1024).contains(&b));
    let b = b.ok_or_else(|| invalid("blocksize is missing"))?;
    let (split, perm, out): (Vec<usize>, [usize; 6], [usize; 4]) = if node.op() == "SpaceToDepth" {
        if h % b != 0 || w % b != 0 {
            return Err(invalid(format!("{h} x {w} in blocks of {b}")));
        }
        (vec![1, c, h / b, b, w / b, b], [0, 3, 5, 1, 2, 4], [1, c * b * b, h / b, w / b])
    } else {
        if c % (b * b) != 0 {
            return Err(invalid(format!("{c} channels in blocks of {b}")));
        }
        let d = c / (b * b);
        match node.text("mode", "DCR").as_str() {
            "CRD" => (vec![1, d, b, b, h, w], [0, 1, 4, 2, 5, 3], [1, d, h * b, w * b]),
            _ => (vec![1, b, b, d, h, w], [0, 3, 4, 1, 5, 2], [1, d, h * b, w * b]),
        }
    };
    let apart = reshape_view(im, x, &split)?.transposed(&perm);
    Ok(vec![Value::Map(reshape_view(im, &apart, &out)?)])
}
