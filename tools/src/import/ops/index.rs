//! Elements picked and put by constant indices: Gather, GatherND, ScatterND.
//!
//! A table of index tuples is taken apart into one list for each axis it names: PyTorch's `x[:, :, rows, columns]`, the
//! windows of an adaptive pooling and assignments to slices are all such products. Then axis after axis is picked from.

use crate::import::constant::{Const, offsets, strides};
use crate::import::node::Node;
use crate::import::view::{C, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};

use super::Made;
use super::join::beside;
use super::shape::{cut, reshape_view};

/// Places along an axis of `n`, counted from the end when negative.
fn places(list: &[i64], n: usize) -> Result<Vec<usize>, Fail> {
    let place = |&i: &i64| {
        let at = if i < 0 { i.saturating_add(n as i64) } else { i };
        usize::try_from(at).ok().filter(|&at| at < n).ok_or_else(|| invalid(format!("index {i} of {n}")))
    };
    list.iter().map(place).collect()
}

pub(super) fn gather(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let mut shape = x.shape();
    let a = node.axis(0, shape.len())?;
    let index = node.constant(1, "the indices")?;
    let picked = pick(im, x, a, &places(&index.to_ints()?, shape[a])?)?;
    shape.splice(a..=a, index.shape.iter().copied());
    Ok(vec![Value::Map(reshape_view(im, &picked, &shape)?)])
}

/// Axis `a` of `x` made up of the places in `list`.
fn pick(im: &mut Importer, x: &View, a: usize, list: &[usize]) -> Result<View, Fail> {
    let Some(&first) = list.first() else { return Err(invalid("no indices")) };
    let step = list.get(1).map_or(1, |&second| second as isize - first as isize);
    if step != 0 && list.windows(2).all(|p| p[1] as isize - p[0] as isize == step) {
        return cut(im, x, a, first, step, list.len());
    }
    // An irregular choice: lay the axis out as rows, columns or channels of its own and pick from it.
    let groups = x.natural(im.shape_of(x.tensor));
    let own = (0..3).find(|&k| groups.0[k] == [a]);
    let (groups, k) = match own {
        Some(k) => (groups, k),
        None => (x.with_channels(&[a], im.shape_of(x.tensor)), C),
    };
    let tensor = im.realise(x, &groups)?;
    let map = im.shape_of(tensor);
    let all = |n: usize| (0..n as isize).collect::<Vec<_>>();
    let mut lists = [all(map.h), all(map.w), all(map.c)];
    lists[k] = list.iter().map(|&i| i as isize).collect();
    let picked = im.select(tensor, &lists[H], &lists[W], &lists[C])?;
    let mut out = x.shape();
    out[a] = list.len();
    Ok(View { int: x.int, ..View::of_groups(picked, &out, &groups) })
}

/// A list of places for one axis, and the axes of the index table it varies along.
struct Along {
    table: Vec<usize>,
    list: Vec<i64>,
}

/// The tuples of `index` (its last axis holds one) as a product: what each coordinate is alone.
fn product(im: &mut Importer, index: &Const) -> Result<Vec<Along>, Fail> {
    let Some((&width, table)) = index.shape.split_last() else { return Err(invalid("indices without axes")) };
    let values = index.to_ints()?;
    if values.is_empty() {
        return Err(invalid("no indices"));
    }
    let steps = strides(&index.shape);
    let mut free: Vec<bool> = table.iter().map(|&n| n > 1).collect();
    let mut out = Vec::with_capacity(width);
    for coordinate in 0..width {
        let at = |i: usize| values[i * width + coordinate];
        let rows = values.len() / width;
        im.charge(rows * table.len())?;
        // An axis belongs to the coordinate when a step along it changes the coordinate somewhere.
        let varies = |a: usize| {
            let step = steps[a] / width;
            (0..rows).any(|i| !(i / step).is_multiple_of(table[a]) && at(i) != at(i - step))
        };
        // The last one takes what nobody varies along: its list repeats.
        let last = coordinate + 1 == width;
        let own: Vec<usize> = (0..table.len()).filter(|&a| table[a] > 1 && (varies(a) || last && free[a])).collect();
        if own.iter().any(|&a| !std::mem::take(&mut free[a])) {
            return Err(unsupported("indices that are no product of one list for each axis (a table of points)"));
        }
        let (sizes, moves): (Vec<usize>, Vec<usize>) = own.iter().map(|&a| (table[a], steps[a])).unzip();
        let list = offsets(&sizes, &moves).into_iter().map(|i| values[i + coordinate]).collect();
        out.push(Along { table: own, list });
    }
    Ok(out)
}

pub(super) fn gather_nd(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let index = node.constant(1, "the indices")?;
    if node.int("batch_dims", 0) != 0 {
        return Err(unsupported("batch_dims other than 0; pick with Gather instead"));
    }
    let lists = product(im, index)?;
    let shape = x.shape();
    if lists.len() > shape.len() {
        return Err(invalid(format!("indices of {} axes for a value of rank {}", lists.len(), shape.len())));
    }
    let mut picked = x.clone();
    for (a, along) in lists.iter().enumerate() {
        picked = pick(im, &picked, a, &places(&along.list, shape[a])?)?;
    }
    // The lists' axes in their own order, then as the table has them.
    let table = &index.shape[..index.shape.len() - 1];
    let order: Vec<usize> = lists.iter().flat_map(|l| l.table.iter().copied()).collect();
    let rest = &shape[lists.len()..];
    let apart: Vec<usize> = order.iter().map(|&a| table[a]).chain(rest.iter().copied()).collect();
    let mut sorted: Vec<usize> = (0..order.len()).collect();
    sorted.sort_by_key(|&i| order[i]);
    let perm: Vec<usize> = sorted.into_iter().chain(order.len()..apart.len()).collect();
    let out = [table, rest].concat();
    let turned = reshape_view(im, &picked, &apart)?.transposed(&perm);
    Ok(vec![Value::Map(reshape_view(im, &turned, &out)?)])
}

/// Assignment to a box of the map, as concatenations of what lies around it.
pub(super) fn scatter_nd(im: &mut Importer, node: &Node) -> Made {
    let (data, updates) = (node.value(0)?, node.value(2)?);
    let index = node.constant(1, "the indices")?;
    if node.text("reduction", "none") != "none" {
        return Err(unsupported("a reduction into places; compute it by operators that are converted"));
    }
    let lists = product(im, index)?;
    let shape = data.shape()?;
    if lists.len() > shape.len() {
        return Err(invalid(format!("indices of {} axes for a value of rank {}", lists.len(), shape.len())));
    }
    let mut ranges = Vec::with_capacity(lists.len());
    for (along, &n) in lists.iter().zip(&shape) {
        let list = places(&along.list, n)?;
        if list.windows(2).any(|p| p[1] != p[0] + 1) {
            return Err(unsupported("assignment to places that are no range along each axis; put the parts together with Concat"));
        }
        ranges.push((list[0], list.len()));
    }
    let table = index.shape.len() - 1;
    let inner: Vec<usize> = ranges.iter().map(|r| r.1).chain(shape[lists.len()..].iter().copied()).collect();
    if updates.shape()?.len() != table + shape.len() - lists.len() {
        return Err(invalid(format!("updates of shape {:?} for indices of shape {:?}", updates.shape()?, index.shape)));
    }
    let mut perm: Vec<usize> = lists.iter().flat_map(|l| l.table.iter().copied()).collect();
    perm.extend((0..table).filter(|&a| index.shape[a] == 1).chain(table..updates.shape()?.len()));
    let updates = match updates {
        Value::Const(c) if c.len() == inner.iter().product::<usize>() => c.transposed(&perm).reshaped(inner).into(),
        Value::Map(v) if v.shape().iter().product::<usize>() == inner.iter().product::<usize>() => {
            Value::Map(reshape_view(im, &v.transposed(&perm), &inner)?)
        }
        _ => return Err(invalid(format!("updates of shape {:?} for indices of shape {:?}", updates.shape()?, index.shape))),
    };
    Ok(vec![put(im, node, data, &ranges, 0, &updates)?])
}

/// `data` with `updates` at `ranges` (start and count of each axis from `axis` on; all of the axes behind).
fn put(im: &mut Importer, node: &Node, data: &Value, ranges: &[(usize, usize)], axis: usize, updates: &Value) -> Result<Value, Fail> {
    let Some(&(start, count)) = ranges.get(axis) else { return Ok(updates.clone()) };
    let n = data.shape()?[axis];
    let middle = part(im, data, axis, start, count)?;
    let mut parts = vec![put(im, node, &middle, ranges, axis + 1, updates)?];
    if start > 0 {
        parts.insert(0, part(im, data, axis, 0, start)?);
    }
    if start + count < n {
        parts.push(part(im, data, axis, start + count, n - start - count)?);
    }
    if let [_] = parts[..] {
        return Ok(parts.remove(0));
    }
    beside(im, node, &parts, axis)
}

/// `count` elements of an axis from `start`.
fn part(im: &mut Importer, x: &Value, axis: usize, start: usize, count: usize) -> Result<Value, Fail> {
    match x {
        Value::Map(v) => Ok(Value::Map(cut(im, v, axis, start, 1, count)?)),
        Value::Const(c) => {
            let steps = strides(&c.shape);
            let mut shape = c.shape.clone();
            shape[axis] = count;
            let index: Vec<usize> = offsets(&shape, &steps).into_iter().map(|i| i + start * steps[axis]).collect();
            im.charged(c.pick(shape, &index))
        }
        Value::Lost => Err(unsupported("its input could not be converted")),
    }
}
