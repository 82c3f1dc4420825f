//! Operators that slide a window: convolutions and pooling.

use super::{Checked, Dtype, Fault, Model, NONE, Step, Tensor, ensure};
use crate::format::{Conv, ConvF32, MAX_TAPS, Packing, Pool, Window};

/// Largest kernel, stride and dilation.
const MAX_WINDOW: u16 = 1024;
/// Largest padding of a pooling; a convolution's is bounded by the border.
const MAX_PAD: u16 = 255;

fn in_range(w: &Window) -> Checked {
    let all = [w.kernel, w.stride, w.dilation];
    ensure(all.iter().flatten().all(|n| (1..=MAX_WINDOW).contains(n)), Fault::Window)
}

/// Along one axis (0: y, 1: x), every tap of every output lies in the input or its border.
fn within(w: &Window, axis: usize, out: u32, x: u32, before: u8, after: u8) -> bool {
    let [k, s, d, pad] = [w.kernel, w.stride, w.dilation, w.pad].map(|v| v[axis] as u64);
    let last = (out as u64 - 1) * s + (k - 1) * d;
    pad <= before as u64 && last <= pad + (x as u64 - 1) + after as u64
}

fn bordered(w: &Window, x: &Tensor, out: &Tensor) -> Checked {
    in_range(w)?;
    // Steps from tap to tap and from output to output are u32.
    let step = |n: u16, stride: u32| n as u64 * stride as u64 <= u32::MAX as u64;
    ensure(step(w.stride[0], x.line) && step(w.stride[1], x.pixel), Fault::Stride)?;
    let [top, left, bottom, right] = x.border;
    ensure(within(w, 0, out.h, x.h, top, bottom), Fault::Window)?;
    ensure(within(w, 1, out.w, x.w, left, right), Fault::Window)
}

/// Along one axis, every window holds an element of the input.
fn meets(w: &Window, axis: usize, out: u32, x: u32) -> bool {
    let [k, s, d, pad] = [w.kernel, w.stride, w.dilation, w.pad].map(|v| v[axis] as i64);
    let x = x as i64;
    // Windows that begin in the padding reach the first element or step over it.
    let begin = (0..out as i64).map(|o| o * s - pad).take_while(|start| *start < 0).all(|start| {
        let tap = (-start + d - 1) / d;
        tap < k && start + tap * d < x
    });
    begin && (out as i64 - 1) * s - pad < x
}

/// Bounds of a result: numbers in order, within the codes for u8.
pub(super) fn bounds(out: &Tensor, lo: f32, hi: f32) -> Checked {
    let codes = out.dtype() == Dtype::F32 || lo >= 0.0 && hi <= 255.0;
    // A NaN fails the comparison.
    ensure(lo <= hi && codes, Fault::Bounds)
}

/// A 256-byte table, allowed for u8 results.
pub(super) fn table(m: &Model, out: &Tensor, offset: u32) -> Checked {
    if offset == NONE {
        return Ok(());
    }
    ensure(out.dtype() == Dtype::U8, Fault::Surplus)?;
    ensure(m.array::<u8>(offset, 256).is_some(), Fault::Outside)
}

pub(super) fn conv(m: &Model, s: &Step, x: &Tensor, out: &Tensor, depthwise: bool) -> Checked {
    let p = m.record::<Conv>(s.param).ok_or(Fault::Outside)?;
    ensure(x.dtype() == Dtype::U8, Fault::Dtype)?;
    bordered(&p.window, x, out)?;
    let [kh, kw] = p.window.kernel.map(u64::from);
    let blocks = (out.c as u64).div_ceil(16);
    let (taps, len) = if depthwise {
        ensure(x.c == out.c, Fault::Shape)?;
        ensure(p.merged == 0, Fault::Surplus)?;
        (kh * kw, blocks * (kh * kw).div_ceil(4) * 64)
    } else {
        let paired = p.merged == Conv::PAIRED && m.header.packing == Packing::N2K16 as u16;
        ensure(p.merged <= 1 || paired, Fault::Unknown)?;
        let (taps, bytes) = if p.merged > 0 {
            let dense = p.window.dilation[1] == 1 && x.pixel == x.c;
            ensure(dense || paired && kw == 1, Fault::Stride)?;
            ensure(!paired || kh == 1, Fault::Window)?;
            (kh, kw * x.c as u64)
        } else {
            (kh * kw, x.c as u64)
        };
        (taps, blocks * 16 * taps * bytes.next_multiple_of(if paired { 16 } else { 4 }))
    };
    ensure(taps <= MAX_TAPS as u64, Fault::Taps)?;
    array::<i8>(m, p.weights, len)?;
    array::<f32>(m, p.m, 16 * blocks)?;
    array::<f32>(m, p.b, 16 * blocks)?;
    if s.inputs_len == 2 {
        let r = &m.tensors[s.inputs[1] as usize];
        ensure(r.dtype() == Dtype::U8, Fault::Dtype)?;
        ensure((r.h, r.w, r.c) == (out.h, out.w, out.c), Fault::Shape)?;
        array::<f32>(m, p.r, 16 * blocks)?;
    } else {
        ensure(p.r == NONE, Fault::Surplus)?;
    }
    bounds(out, p.lo, p.hi)?;
    table(m, out, p.table)
}

pub(super) fn conv_f32(m: &Model, s: &Step, x: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<ConvF32>(s.param).ok_or(Fault::Outside)?;
    ensure(x.dtype() == Dtype::F32 && out.dtype() == Dtype::F32, Fault::Dtype)?;
    bordered(&p.window, x, out)?;
    let divides = p.groups >= 1 && x.c.is_multiple_of(p.groups) && out.c.is_multiple_of(p.groups);
    ensure(divides, Fault::Shape)?;
    let [kh, kw] = p.window.kernel.map(u64::from);
    array::<f32>(m, p.weights, kh * kw * (x.c / p.groups) as u64 * out.c as u64)?;
    array::<f32>(m, p.b, out.c as u64)?;
    bounds(out, p.lo, p.hi)
}

pub(super) fn pool(m: &Model, s: &Step, x: &Tensor, out: &Tensor, mean: bool) -> Checked {
    let p = m.record::<Pool>(s.param).ok_or(Fault::Outside)?;
    ensure(x.dtype() == Dtype::U8 && out.dtype() == Dtype::U8, Fault::Dtype)?;
    ensure(x.c == out.c, Fault::Shape)?;
    in_range(&p.window)?;
    // Lines of marks are shifted by the padding within the layout's scratch.
    ensure(p.window.pad.iter().all(|n| *n <= MAX_PAD), Fault::Window)?;
    ensure(meets(&p.window, 0, out.h, x.h) && meets(&p.window, 1, out.w, x.w), Fault::Window)?;
    ensure(p.count_pad <= 1, Fault::Unknown)?;
    // Padding counts as the zero code.
    ensure(!mean || p.count_pad == 0 || x.quant_len > 0, Fault::Quant)
}

// The largest window sums to an i32.
const _: () = assert!(255 * (MAX_WINDOW as u64) * (MAX_WINDOW as u64) <= i32::MAX as u64);

/// `len` values in the data section.
pub(super) fn array<'a, T>(m: &Model<'a>, offset: u32, len: u64) -> Result<&'a [T], Fault>
where
    T: zerocopy::FromBytes + zerocopy::KnownLayout + zerocopy::Immutable,
{
    let len = usize::try_from(len).map_err(|_| Fault::Outside)?;
    m.array(offset, len).ok_or(Fault::Outside)
}
