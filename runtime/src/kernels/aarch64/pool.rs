//! Pooling: 16 channels at a time, over all taps of a window.

use core::arch::aarch64::*;

use super::super::{PoolTile, scalar};
use super::finish::{rounded, widened};
use super::part;

/// See [`Kernels::max_pool`](super::super::Kernels::max_pool).
///
/// # Safety
/// The windows of the tile are readable, its results writable and disjoint.
pub(super) unsafe fn max(t: &PoolTile) {
    // SAFETY: the caller's.
    unsafe { if t.c < 16 { max_of::<false>(t) } else { max_of::<true>(t) } }
}

/// The last 16 channels of a `WIDE` row overlap those before them.
#[inline(always)]
unsafe fn max_of<const WIDE: bool>(t: &PoolTile) {
    let n = if WIDE { 16 } else { t.c };
    for (i, (&row, &(ny, nx))) in t.rows_in.iter().zip(t.taps).enumerate() {
        let mut next = 0;
        while next < t.c {
            let at = if WIDE { next.min(t.c - 16) } else { 0 };
            next += 16;
            // SAFETY: channels `at..at + n` of every tap (validity of the tile).
            unsafe {
                let mut most = vdupq_n_u8(0);
                let mut line = t.input.add(row as usize + at);
                for _ in 0..ny {
                    let (mut p, mut left) = (line, nx);
                    macro_rules! tap {
                        () => {
                            most = vmaxq_u8(most, part::load(p, n));
                            p = p.wrapping_add(t.step[1]);
                        };
                    }
                    while left >= 3 {
                        tap!();
                        tap!();
                        tap!();
                        left -= 3;
                    }
                    while left > 0 {
                        tap!();
                        left -= 1;
                    }
                    line = line.wrapping_add(t.step[0]);
                }
                part::store(most, t.output.add(t.rows_out[i] as usize + at), n);
            }
        }
    }
}

/// See [`Kernels::avg_pool`](super::super::Kernels::avg_pool).
///
/// # Safety
/// As [`max`].
pub(super) unsafe fn mean(t: &PoolTile) {
    /// Bytes whose sum fits 16 bits.
    const MANY: usize = 256;
    let (all, zero) = t.padding.unwrap_or((0, &[]));
    if zero.len() > 1 && zero.len() < t.c {
        // SAFETY: the caller's.
        return unsafe { scalar::avg_pool(t) };
    }
    for (i, (&row, &(ny, nx))) in t.rows_in.iter().zip(t.taps).enumerate() {
        let real = ny as u32 * nx as u32;
        let count = if t.padding.is_some() { all } else { real };
        let missing = all.saturating_sub(real);
        for at in (0..t.c).step_by(16) {
            let n = 16.min(t.c - at);
            // SAFETY: as in `max`; `zero` holds one code, or `c`.
            unsafe {
                let zero = match zero {
                    [] => vdupq_n_u8(0),
                    [one] => vdupq_n_u8(*one),
                    _ => part::load(zero.as_ptr().add(at), n),
                };
                let mut sum = widened(zero);
                for sum in &mut sum {
                    *sum = vmulq_n_u32(*sum, missing);
                }
                let mut line = t.input.add(row as usize + at);
                for _ in 0..ny {
                    let (mut p, mut left) = (line, nx as usize);
                    while left > 0 {
                        let (mut lo, mut hi) = (vdupq_n_u16(0), vdupq_n_u16(0));
                        for _ in 0..left.min(MANY) {
                            let x = part::load(p, n);
                            lo = vaddw_u8(lo, vget_low_u8(x));
                            hi = vaddw_high_u8(hi, x);
                            p = p.wrapping_add(t.step[1]);
                        }
                        left -= left.min(MANY);
                        sum[0] = vaddw_u16(sum[0], vget_low_u16(lo));
                        sum[1] = vaddw_high_u16(sum[1], lo);
                        sum[2] = vaddw_u16(sum[2], vget_low_u16(hi));
                        sum[3] = vaddw_high_u16(sum[3], hi);
                    }
                    line = line.wrapping_add(t.step[0]);
                }
                let recip = vdupq_n_f32(1.0 / count as f32);
                let mut y = [recip; 4];
                for (y, sum) in y.iter_mut().zip(sum) {
                    *y = vmulq_f32(vcvtq_f32_u32(sum), recip);
                }
                part::store(rounded(y), t.output.add(t.rows_out[i] as usize + at), n);
            }
        }
    }
}
