//! Functions of one operand.

use super::math::{clamp, exp, log, sigmoid, sqrt};
use super::walk::{Load, Place, Store, read};
use super::{BLOCK, Row, Uni};
use crate::format::MapFn;

#[inline(always)]
pub(in crate::kernels) fn map(uni: &Uni, row: &mut Row) {
    if row.len() < BLOCK {
        short_map(uni, row);
    } else {
        map_blocks(uni, row);
    }
}

/// As [`short_binary`].
#[inline(never)]
fn short_map(uni: &Uni, row: &mut Row) {
    for k in 0..row.len() {
        let slope = uni.slope.get(k).copied().unwrap_or(0.0);
        row.put(k, one(uni.f, uni.p, slope, uni.a.value(k, k)));
    }
}

/// The function of one operand.
#[inline(always)]
fn one(f: MapFn, [p0, p1]: [f32; 2], slope: f32, v: f32) -> f32 {
    match f {
        MapFn::Identity => v,
        MapFn::Sigmoid => sigmoid(v),
        MapFn::Exp => exp(v),
        MapFn::Tanh => 2.0 * sigmoid(2.0 * v) - 1.0,
        MapFn::Silu => v * sigmoid(v),
        MapFn::LeakyRelu => {
            if v < 0.0 {
                v * p0
            } else {
                v
            }
        }
        MapFn::HardSigmoid => clamp(v * p0 + p1, 0.0, 1.0),
        MapFn::HardSwish => v * clamp(v * (1.0 / 6.0) + 0.5, 0.0, 1.0),
        MapFn::Sqrt => sqrt(v),
        MapFn::Reciprocal => 1.0 / v,
        MapFn::Abs => {
            if v < 0.0 {
                -v
            } else {
                v
            }
        }
        MapFn::Neg => -v,
        MapFn::Log => log(v),
        MapFn::PRelu => {
            if v < 0.0 {
                v * slope
            } else {
                v
            }
        }
    }
}

#[inline(always)]
fn map_blocks(uni: &Uni, row: &mut Row) {
    let (len, period) = (row.len(), uni.period);
    if let (Some(a), Some(mut row)) = (uni.a.plain(len, period), row.plain(period)) {
        map_loop(uni, &a, len, &mut row);
    } else {
        map_loop(uni, &uni.a, len, row);
    }
}

#[inline(always)]
fn map_loop(uni: &Uni, a: &impl Load, len: usize, row: &mut impl Store) {
    let mut place = Place::new(uni.period);
    macro_rules! each {
        ($f:ident) => {
            for k in 0..len.div_ceil(BLOCK) {
                let at = place.at(k, len);
                let phase = place.phase;
                let mut x = a.load(at, phase);
                for x in &mut x {
                    *x = one(MapFn::$f, uni.p, 0.0, *x);
                }
                row.store(at, phase, &x);
                place.next();
            }
        };
    }
    match uni.f {
        MapFn::Identity => each!(Identity),
        MapFn::Sigmoid => each!(Sigmoid),
        MapFn::Exp => each!(Exp),
        MapFn::Tanh => each!(Tanh),
        MapFn::Silu => each!(Silu),
        MapFn::LeakyRelu => each!(LeakyRelu),
        MapFn::HardSigmoid => each!(HardSigmoid),
        MapFn::HardSwish => each!(HardSwish),
        MapFn::Sqrt => each!(Sqrt),
        MapFn::Reciprocal => each!(Reciprocal),
        MapFn::Abs => each!(Abs),
        MapFn::Neg => each!(Neg),
        MapFn::Log => each!(Log),
        MapFn::PRelu => {
            for k in 0..len.div_ceil(BLOCK) {
                let at = place.at(k, len);
                let phase = place.phase;
                let (mut x, slope) = (a.load(at, phase), read(uni.slope, phase));
                for i in 0..BLOCK {
                    x[i] = one(MapFn::PRelu, uni.p, slope[i], x[i]);
                }
                row.store(at, phase, &x);
                place.next();
            }
        }
    }
}
