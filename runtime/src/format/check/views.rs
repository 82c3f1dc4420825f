//! Tensors in other tensors' memory.

use super::memory::{first_join, row_bytes};
use super::{Checked, Dtype, Fault, Model, Op, Step, Tensor, VIEW, ensure};
use crate::format::Join;

/// A reshape shows the same contiguous bytes under other extents; one of the two tensors owns them.
pub(super) fn reshape(a: &Tensor, b: &Tensor) -> Checked {
    ensure(a.dtype == b.dtype, Fault::Dtype)?;
    contiguous(a)?;
    contiguous(b)?;
    ensure((a.flags | b.flags) & VIEW != 0 && a.origin == b.origin, Fault::View)?;
    ensure(elements(a) == elements(b), Fault::Shape)
}

/// Elements lie one after the other.
pub(super) fn contiguous(t: &Tensor) -> Checked {
    let dense = t.pixel as u64 == row_bytes(t) && t.line as u64 == t.w as u64 * row_bytes(t);
    ensure(dense, Fault::Stride)?;
    ensure(t.border == [0; 4], Fault::Border)
}

pub(super) fn elements(t: &Tensor) -> u64 {
    t.h as u64 * t.w as u64 * t.c as u64
}

/// A join's view lies in its parent pixel by pixel, and the joins of a parent tile it.
pub(super) fn join(m: &Model, at: usize, s: &Step) -> Checked {
    let place = Place::of(m, s)?;
    let (view, parent) = (&m.tensors[s.inputs[0] as usize], &m.tensors[s.output as usize]);
    ensure(view.flags & VIEW != 0 && view.dtype == parent.dtype, Fault::View)?;
    let extent = [parent.h as u64, parent.w as u64, row_bytes(parent)];
    let inside = (0..3).all(|k| place.start[k] + place.len[k] <= extent[k]);
    ensure(inside && place.start[2].is_multiple_of(view.dtype().size() as u64), Fault::View)?;
    ensure(view.w == 1 || view.pixel == parent.pixel, Fault::View)?;
    ensure(view.h == 1 || view.line == parent.line, Fault::View)?;
    border(m, view, parent, &place)?;

    let record = m.record::<Join>(s.param).ok_or(Fault::Outside)?;
    let first = first_join(m, at);
    ensure(record.first == first as u32, Fault::Order)?;
    for other in joins(m, s.output, 0..at) {
        ensure(!Place::of(m, other)?.meets(&place), Fault::View)?;
    }
    if first {
        let mut tiled = 0;
        for other in joins(m, s.output, at..m.steps.len()) {
            tiled += Place::of(m, other)?.len.iter().product::<u64>();
        }
        ensure(tiled == extent.iter().product(), Fault::View)?;
    }
    Ok(())
}

fn joins<'a>(m: &Model<'a>, parent: u32, range: core::ops::Range<usize>) -> impl Iterator<Item = &'a Step> {
    m.steps[range].iter().filter(move |s| s.op == Op::Join as u16 && s.output == parent)
}

/// A box of the parent: lines, columns, bytes of a pixel.
struct Place {
    start: [u64; 3],
    len: [u64; 3],
}

impl Place {
    fn of(m: &Model, s: &Step) -> Result<Place, Fault> {
        let (view, parent) = (&m.tensors[s.inputs[0] as usize], &m.tensors[s.output as usize]);
        let j = m.record::<Join>(s.param).ok_or(Fault::Outside)?;
        ensure(j.y0 < parent.h && j.x0 < parent.w, Fault::View)?;
        let corner = parent.origin as u64 + j.y0 as u64 * parent.line as u64 + j.x0 as u64 * parent.pixel as u64;
        let channel = (view.origin as u64).checked_sub(corner).ok_or(Fault::View)?;
        Ok(Place { start: [j.y0 as u64, j.x0 as u64, channel], len: [view.h as u64, view.w as u64, row_bytes(view)] })
    }

    fn meets(&self, other: &Place) -> bool {
        (0..3).all(|k| self.start[k] < other.start[k] + other.len[k] && other.start[k] < self.start[k] + self.len[k])
    }
}

/// A view's border, where it has one, is part of its parent's and holds the same codes.
fn border(m: &Model, view: &Tensor, parent: &Tensor, place: &Place) -> Checked {
    if view.border == [0; 4] {
        return Ok(());
    }
    let [top, left] = [place.start[0] == 0, place.start[1] == 0];
    let bottom = place.start[0] + place.len[0] == parent.h as u64;
    let right = place.start[1] + place.len[1] == parent.w as u64;
    for (k, touches) in [top, left, bottom, right].into_iter().enumerate() {
        ensure(view.border[k] <= if touches { parent.border[k] } else { 0 }, Fault::Border)?;
    }
    // With a border the strides are in use even along an axis of extent 1.
    let [top, left, bottom, right] = view.border;
    ensure(left.max(right) == 0 || view.pixel == parent.pixel, Fault::Border)?;
    ensure(top.max(bottom) == 0 || view.line == parent.line, Fault::Border)?;
    if view.dtype() == Dtype::F32 {
        return Ok(());
    }
    let fill = m.array::<u8>(view.fill, view.c as usize).ok_or(Fault::Border)?;
    let whole = m.array::<u8>(parent.fill, parent.c as usize).ok_or(Fault::Border)?;
    ensure(whole.get(place.start[2] as usize..).is_some_and(|w| w.starts_with(fill)), Fault::Border)
}
