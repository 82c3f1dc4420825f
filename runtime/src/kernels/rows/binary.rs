//! Functions of two operands.

use super::walk::{Load, Place, Store};
use super::{BLOCK, Bin, Row};
use crate::format::BinaryFn;

#[inline(always)]
pub(in crate::kernels) fn binary(bin: &Bin, row: &mut Row) {
    if row.len() < BLOCK {
        short_binary(bin, row);
    } else {
        binary_blocks(bin, row);
    }
}

/// Value by value, compiled once, for the features of the target: too few channels for more.
#[inline(never)]
fn short_binary(bin: &Bin, row: &mut Row) {
    for k in 0..row.len() {
        row.put(k, two(bin.f, bin.a.value(k, k), bin.b.value(k, k)));
    }
}

/// The function of two operands.
#[inline(always)]
fn two(f: BinaryFn, a: f32, b: f32) -> f32 {
    match f {
        BinaryFn::Add => a + b,
        BinaryFn::Sub => a - b,
        BinaryFn::Mul => a * b,
        BinaryFn::Div => a / b,
        BinaryFn::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        BinaryFn::Max => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

#[inline(always)]
fn binary_blocks(bin: &Bin, row: &mut Row) {
    let (len, period) = (row.len(), bin.period);
    // Common cases have loops of their own, without a choice in them.
    if let (Some(a), Some(mut row)) = (bin.a.plain(len, period), row.plain(period)) {
        match (bin.b.plain(len, period), bin.b.repeated(period)) {
            (Some(b), _) => return binary_loop(bin.f, period, &a, &b, len, &mut row),
            (_, Some(b)) => return binary_loop(bin.f, period, &a, &b, len, &mut row),
            _ => {}
        }
    }
    binary_loop(bin.f, period, &bin.a, &bin.b, len, row);
}

#[inline(always)]
fn binary_loop(f: BinaryFn, period: usize, a: &impl Load, b: &impl Load, len: usize, row: &mut impl Store) {
    let mut place = Place::new(period);
    macro_rules! each {
        ($f:ident) => {
            for k in 0..len.div_ceil(BLOCK) {
                let at = place.at(k, len);
                let phase = place.phase;
                let (mut x, y) = (a.load(at, phase), b.load(at, phase));
                for i in 0..BLOCK {
                    x[i] = two(BinaryFn::$f, x[i], y[i]);
                }
                row.store(at, phase, &x);
                place.next();
            }
        };
    }
    match f {
        BinaryFn::Add => each!(Add),
        BinaryFn::Sub => each!(Sub),
        BinaryFn::Mul => each!(Mul),
        BinaryFn::Div => each!(Div),
        BinaryFn::Min => each!(Min),
        BinaryFn::Max => each!(Max),
    }
}
