//! Pooling: a vector of channels at a time, over all taps of a row's window.
//!
//! Maxima take bytes; the last vector of a row ends with the row and overlaps the one before it (a maximum computed
//! twice is the same). Means widen to 32 bits, so that windows of any size sum exactly.

use super::vector::Vector;
use crate::kernels::{PoolTile, scalar};

/// See [`Kernels::max_pool`](super::super::Kernels::max_pool).
///
/// # Safety
/// The tile is valid and the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn max<V: Vector>(t: &PoolTile) {
    // SAFETY: the caller's.
    unsafe {
        match V::BYTES <= t.c {
            true => windows::<V, true>(t, V::BYTES),
            false => windows::<V, false>(t, t.c),
        }
    }
}

/// `n` channels at a time, `BYTES` if `FULL`.
#[inline(always)]
unsafe fn windows<V: Vector, const FULL: bool>(t: &PoolTile, n: usize) {
    let [down, right] = t.step;
    for (i, (&row, &(ny, nx))) in t.rows_in.iter().zip(t.taps).enumerate() {
        let mut at = 0;
        while at < t.c {
            let k = at.min(t.c - n);
            // SAFETY: `k + n <= c` channels of every tap are readable and of the result writable (the caller).
            unsafe {
                let first = t.input.add(row as usize + k);
                macro_rules! tap {
                    ($y:expr, $x:expr) => {
                        V::load_first::<FULL>(first.add($y * down + $x * right), n)
                    };
                }
                let max = match (ny, nx) {
                    (3, 3) => {
                        let top = tap!(0, 0).max_u8(tap!(0, 1)).max_u8(tap!(0, 2));
                        let middle = tap!(1, 0).max_u8(tap!(1, 1)).max_u8(tap!(1, 2));
                        top.max_u8(middle).max_u8(tap!(2, 0).max_u8(tap!(2, 1)).max_u8(tap!(2, 2)))
                    }
                    (2, 2) => tap!(0, 0).max_u8(tap!(0, 1)).max_u8(tap!(1, 0).max_u8(tap!(1, 1))),
                    _ => {
                        let mut max = tap!(0, 0);
                        for y in 0..ny as usize {
                            for x in 0..nx as usize {
                                max = max.max_u8(tap!(y, x));
                            }
                        }
                        max
                    }
                };
                max.store_part(t.output.add(t.rows_out[i] as usize + k), n);
            }
            at += V::BYTES;
        }
    }
}

/// See [`Kernels::avg_pool`](super::super::Kernels::avg_pool).
///
/// # Safety
/// As [`max`].
#[inline(always)]
pub(super) unsafe fn mean<V: Vector>(t: &PoolTile) {
    let (all, zero) = t.padding.unwrap_or((0, &[]));
    if zero.len() > 1 && zero.len() < t.c {
        // SAFETY: the caller's.
        return unsafe { scalar::avg_pool(t) };
    }
    for (i, (&row, &(ny, nx))) in t.rows_in.iter().zip(t.taps).enumerate() {
        let real = ny as u32 * nx as u32;
        let count = if t.padding.is_some() { all } else { real };
        let missing = all.saturating_sub(real);
        let mut at = 0;
        while at < t.c {
            let n = V::WORDS.min(t.c - at);
            // SAFETY: `at + n <= c`, as in `max`; `zero` holds one code, or `c`.
            unsafe {
                let mut sum = match zero {
                    [] => V::zero(),
                    [one] => V::splat_u32(missing.wrapping_mul(*one as u32)),
                    _ => V::load_widened(zero.as_ptr().add(at), n).mul_i32(V::splat_u32(missing)),
                };
                let mut line = t.input.add(row as usize + at);
                for _ in 0..ny {
                    let mut p = line;
                    for _ in 0..nx {
                        sum = sum.add_i32(V::load_widened(p, n));
                        p = p.wrapping_add(t.step[1]);
                    }
                    line = line.wrapping_add(t.step[0]);
                }
                let y = V::mul(sum.to_reals(), V::splat(1.0 / count as f32));
                let y = V::min(V::max(y, V::splat(0.0)), V::splat(255.0));
                V::round(y).store_narrowed(t.output.add(t.rows_out[i] as usize + at), n);
            }
            at += V::WORDS;
        }
    }
}
