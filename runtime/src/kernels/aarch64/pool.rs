//! Pooling: 16 channels at a time, over all taps of a window. Windows that follow one another along a line share columns:
//!
//! ```text
//! columns of the line:    maximum of the window's lines, once each
//! each window:            maximum of its columns
//! ```

use core::arch::aarch64::*;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::{PoolTile, scalar};
use super::finish::{rounded, widened};
use super::part;

/// See [`Kernels::max_pool`](super::super::Kernels::max_pool).
///
/// # Safety
/// The windows of the tile are readable, its results writable and disjoint.
pub(super) unsafe fn max(t: &PoolTile) {
    // SAFETY: the caller's; of up to 16 channels at least 16.
    unsafe {
        if t.c < 16 {
            return windows::<false>(t, 0..t.rows_in.len());
        }
        let mut row = 0;
        while row < t.rows_in.len() {
            let (end, stride) = run(t, row);
            for at in (0..t.c).step_by(16).map(|at| at.min(t.c - 16)).filter(|_| stride > 0) {
                if stride == 2 && t.taps[row] == (3, 3) { threes(t, row..end, at) } else { shared(t, row..end, stride, at) }
            }
            if stride == 0 {
                windows::<true>(t, row..end);
            }
            row = end;
        }
    }
}

/// Columns of a run.
const ROOM: usize = 160;

/// The end of the rows from `first` on whose windows are of one size and as many columns apart, and how many; 0 if they share none.
#[inline(always)]
fn run(t: &PoolTile, first: usize) -> (usize, usize) {
    let (taps, x) = (&t.taps[first..], &t.rows_in[first..]);
    let apart = match x {
        [a, b, ..] => b.wrapping_sub(*a),
        _ => 0,
    };
    let (stride, nx) = (apart as usize / t.step[1].max(1), taps[0].1 as usize);
    if stride == 0 || stride >= nx || nx > ROOM || stride * t.step[1] != apart as usize {
        return (first + 1, 0);
    }
    let fit = (ROOM - nx) / stride;
    let next = x.windows(2).zip(&taps[1..]).take(fit).take_while(|(x, next)| x[1].wrapping_sub(x[0]) == apart && **next == taps[0]);
    (first + 1 + next.count(), stride)
}

/// 16 channels from `at` of a [`run`] of 3 x 3 windows two columns apart.
#[inline(always)]
unsafe fn threes(t: &PoolTile, rows: Range<usize>, at: usize) {
    // SAFETY: columns are those of the rows' windows (validity of the tile).
    unsafe {
        let first = t.input.add(t.rows_in[rows.start] as usize + at);
        let (middle, last) = (first.wrapping_add(t.step[0]), first.wrapping_add(2 * t.step[0]));
        let column = |x: usize| {
            vmaxq_u8(vmaxq_u8(vld1q_u8(first.wrapping_add(x)), vld1q_u8(middle.wrapping_add(x))), vld1q_u8(last.wrapping_add(x)))
        };
        let (mut x, mut left) = (0, column(0));
        for &out in &t.rows_out[rows] {
            let right = column(x + 2 * t.step[1]);
            vst1q_u8(t.output.add(out as usize + at), vmaxq_u8(vmaxq_u8(left, column(x + t.step[1])), right));
            left = right;
            x += 2 * t.step[1];
        }
    }
}

/// 16 channels from `at` of a [`run`].
#[inline(always)]
unsafe fn shared(t: &PoolTile, rows: Range<usize>, stride: usize, at: usize) {
    let (ny, nx) = (t.taps[rows.start].0, t.taps[rows.start].1 as usize);
    let mut columns = [const { MaybeUninit::<uint8x16_t>::uninit() }; ROOM];
    // SAFETY: columns are those of the rows' windows (validity of the tile), as many as there is room for; each is written before it is read.
    unsafe {
        let mut first = t.input.add(t.rows_in[rows.start] as usize + at);
        for column in &mut columns[..(rows.len() - 1) * stride + nx] {
            let (mut p, mut most) = (first, vld1q_u8(first));
            for _ in 1..ny {
                p = p.wrapping_add(t.step[0]);
                most = vmaxq_u8(most, vld1q_u8(p));
            }
            column.write(most);
            first = first.wrapping_add(t.step[1]);
        }
        let mut columns = columns.as_ptr().cast::<uint8x16_t>();
        for &out in &t.rows_out[rows] {
            let mut most = *columns;
            for x in 1..nx {
                most = vmaxq_u8(most, *columns.add(x));
            }
            vst1q_u8(t.output.add(out as usize + at), most);
            columns = columns.wrapping_add(stride);
        }
    }
}

/// The last 16 channels of a `WIDE` row overlap those before them.
#[inline(always)]
unsafe fn windows<const WIDE: bool>(t: &PoolTile, rows: Range<usize>) {
    let n = if WIDE { 16 } else { t.c };
    for i in rows {
        let (row, (ny, nx)) = (t.rows_in[i], t.taps[i]);
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
