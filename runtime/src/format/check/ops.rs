//! Parameters of every operator against the tensors of its step.

use super::views::{contiguous, elements};
use super::window::{array, bounds, table};
use super::{Checked, Dtype, Fault, Model, NONE, Op, Step, Tensor, ensure, views, window};
use crate::format::{Affine, Bilinear, Binary, BinaryFn, Block, Channels, FILL, Global, Index, Lerp, Map, MapFn, Reduce, Table};

/// Proves the parameters of step `at`, whose operator and indices are known to be valid, against its first input and its output.
pub(super) type Check = fn(m: &Model, at: usize, s: &Step, [&Tensor; 2]) -> Checked;

/// The check of an operator's steps.
pub(super) const fn of(op: Op) -> Check {
    match op {
        Op::Conv => |m, _, s, [x, out]| window::conv(m, s, x, out, false),
        Op::Depthwise => |m, _, s, [x, out]| window::conv(m, s, x, out, true),
        Op::ConvF32 => |m, _, s, [x, out]| window::conv_f32(m, s, x, out),
        Op::Binary => |m, _, s, [x, out]| binary(m, s, x, out),
        Op::Map => |m, _, s, [x, out]| map(m, s, x, out),
        Op::Table => |m, _, s, [x, out]| {
            codes(x, out)?;
            same_shape(x, out)?;
            let p = m.record::<Table>(s.param).ok_or(Fault::Outside)?;
            ensure(p.table != NONE, Fault::Outside)?;
            table(m, out, p.table)
        },
        Op::Tables => |m, _, s, [x, out]| {
            codes(x, out)?;
            same_shape(x, out)?;
            let p = m.record::<Table>(s.param).ok_or(Fault::Outside)?;
            ensure(m.array::<u8>(p.table, 256 * out.c as usize).is_some(), Fault::Outside)
        },
        Op::MaxPool => |m, _, s, [x, out]| window::pool(m, s, x, out, false),
        Op::AvgPool => |m, _, s, [x, out]| window::pool(m, s, x, out, true),
        Op::GlobalAvg => |m, _, s, [x, out]| global_avg(m, s, x, out),
        Op::GlobalMax => |_, _, _, [x, out]| {
            codes(x, out)?;
            ensure((out.h, out.w, out.c) == (1, 1, x.c), Fault::Shape)
        },
        Op::Copy => |_, _, _, [x, out]| {
            same_dtype(x, out)?;
            same_shape(x, out)
        },
        Op::Index => |m, _, s, [x, out]| index(m, s, x, out),
        Op::Bilinear => |m, _, s, [x, out]| bilinear(m, s, x, out),
        Op::DepthToSpace => |m, _, s, [x, out]| block(m, s, x, out),
        Op::SpaceToDepth => |m, _, s, [x, out]| block(m, s, out, x),
        Op::Channels => |m, _, s, [x, out]| {
            same_dtype(x, out)?;
            ensure((x.h, x.w) == (out.h, out.w), Fault::Shape)?;
            choice(m, s, out.c as u64, x.c as u64)
        },
        Op::Permute => |m, _, s, [x, out]| {
            same_dtype(x, out)?;
            contiguous(x)?;
            contiguous(out)?;
            choice(m, s, elements(out), elements(x))
        },
        Op::Reshape => |_, _, _, [x, out]| views::reshape(x, out),
        Op::Join => |m, at, s, _| views::join(m, at, s),
        Op::Softmax => |m, _, s, [x, out]| {
            same_shape(x, out)?;
            reduce(m, s, x, out)
        },
        Op::ReduceChannels => |m, _, s, [x, out]| {
            ensure((out.h, out.w, out.c) == (x.h, x.w, 1), Fault::Shape)?;
            reduce(m, s, x, out)
        },
    }
}

fn same_dtype(x: &Tensor, out: &Tensor) -> Checked {
    ensure(x.dtype == out.dtype, Fault::Dtype)
}

fn codes(x: &Tensor, out: &Tensor) -> Checked {
    ensure(x.dtype() == Dtype::U8 && out.dtype() == Dtype::U8, Fault::Dtype)
}

fn same_shape(x: &Tensor, out: &Tensor) -> Checked {
    ensure((x.h, x.w, x.c) == (out.h, out.w, out.c), Fault::Shape)
}

/// Present with an entry per channel for codes, absent for reals.
fn affine(m: &Model, t: &Tensor, a: &Affine) -> Checked {
    match t.dtype() {
        Dtype::U8 => {
            array::<f32>(m, a.scale, t.c as u64)?;
            array::<f32>(m, a.offset, t.c as u64)?;
            Ok(())
        }
        Dtype::F32 => ensure(a.scale == NONE && a.offset == NONE, Fault::Surplus),
    }
}

fn binary(m: &Model, s: &Step, a: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<Binary>(s.param).ok_or(Fault::Outside)?;
    BinaryFn::new(p.function).ok_or(Fault::Unknown)?;
    ensure(p.broadcast < 16, Fault::Unknown)?;
    operand(a, out, p.broadcast >> 2)?;
    affine(m, a, &p.a)?;
    if s.inputs_len == 2 {
        let b = &m.tensors[s.inputs[1] as usize];
        operand(b, out, p.broadcast)?;
        affine(m, b, &p.b)?;
        ensure(p.constant == NONE, Fault::Surplus)?;
    } else {
        let rows = if p.broadcast & 1 != 0 { 1 } else { out.rows() as u64 };
        let channels = if p.broadcast & 2 != 0 { 1 } else { out.c as u64 };
        array::<f32>(m, p.constant, rows * channels)?;
        ensure(p.b.scale == NONE && p.b.offset == NONE, Fault::Surplus)?;
    }
    affine(m, out, &p.out)?;
    bounds(out, p.lo, p.hi)?;
    table(m, out, p.table)
}

/// Bit 0: the operand is one row; bit 1: one channel.
fn operand(t: &Tensor, out: &Tensor, broadcast: u32) -> Checked {
    let (h, w) = if broadcast & 1 != 0 { (1, 1) } else { (out.h, out.w) };
    let c = if broadcast & 2 != 0 { 1 } else { out.c };
    ensure((t.h, t.w, t.c) == (h, w, c), Fault::Shape)
}

fn map(m: &Model, s: &Step, x: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<Map>(s.param).ok_or(Fault::Outside)?;
    let function = MapFn::new(p.function).ok_or(Fault::Unknown)?;
    same_shape(x, out)?;
    ensure(p.p.iter().all(|v| v.is_finite()), Fault::Number)?;
    match function {
        MapFn::PRelu => _ = array::<f32>(m, p.slope, out.c as u64)?,
        _ => ensure(p.slope == NONE, Fault::Surplus)?,
    }
    affine(m, x, &p.a)?;
    affine(m, out, &p.out)?;
    bounds(out, p.lo, p.hi)
}

fn global_avg(m: &Model, s: &Step, x: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<Global>(s.param).ok_or(Fault::Outside)?;
    ensure(x.dtype() == Dtype::U8, Fault::Dtype)?;
    ensure((out.h, out.w, out.c) == (1, 1, x.c), Fault::Shape)?;
    // The sum is an i32.
    ensure(x.rows() as u64 * 255 <= i32::MAX as u64, Fault::Shape)?;
    array::<f32>(m, p.m, x.c as u64)?;
    array::<f32>(m, p.b, x.c as u64)?;
    Ok(())
}

fn index(m: &Model, s: &Step, x: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<Index>(s.param).ok_or(Fault::Outside)?;
    same_dtype(x, out)?;
    ensure(x.c == out.c, Fault::Shape)?;
    let ys = array::<u16>(m, p.ys, out.h as u64)?;
    let xs = array::<u16>(m, p.xs, out.w as u64)?;
    let inside = |list: &[u16], n: u32| list.iter().all(|&i| i == FILL || (i as u32) < n);
    ensure(inside(ys, x.h) && inside(xs, x.w), Fault::Outside)?;
    if ys.contains(&FILL) || xs.contains(&FILL) {
        array::<u8>(m, p.fill, super::memory::row_bytes(out))?;
    }
    Ok(())
}

fn bilinear(m: &Model, s: &Step, x: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<Bilinear>(s.param).ok_or(Fault::Outside)?;
    same_dtype(x, out)?;
    ensure(x.c == out.c, Fault::Shape)?;
    let ys = array::<Lerp>(m, p.ys, out.h as u64)?;
    let xs = array::<Lerp>(m, p.xs, out.w as u64)?;
    let inside = |list: &[Lerp], n: u32| list.iter().all(|l| (l.lo as u32) < n && (l.hi as u32) < n && l.t <= 256);
    ensure(inside(ys, x.h) && inside(xs, x.w), Fault::Outside)
}

/// `deep` has the channels of a block of pixels of `wide`.
fn block(m: &Model, s: &Step, deep: &Tensor, wide: &Tensor) -> Checked {
    let b = m.record::<Block>(s.param).ok_or(Fault::Outside)?.block as u64;
    same_dtype(deep, wide)?;
    let fits = |n: u32, of: u32| n as u64 == (of as u64).saturating_mul(b);
    let channels = deep.c as u64 == (wide.c as u64).saturating_mul(b).saturating_mul(b);
    ensure(fits(wide.h, deep.h) && fits(wide.w, deep.w) && channels, Fault::Shape)
}

/// `len` indices below `of`.
fn choice(m: &Model, s: &Step, len: u64, of: u64) -> Checked {
    let p = m.record::<Channels>(s.param).ok_or(Fault::Outside)?;
    let list = array::<u32>(m, p.index, len)?;
    ensure(list.iter().all(|&i| (i as u64) < of), Fault::Outside)
}

fn reduce(m: &Model, s: &Step, x: &Tensor, out: &Tensor) -> Checked {
    let p = m.record::<Reduce>(s.param).ok_or(Fault::Outside)?;
    ensure(p.factor.is_finite(), Fault::Number)?;
    affine(m, x, &p.a)?;
    affine(m, out, &p.out)
}
