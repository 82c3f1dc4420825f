//! Pooling: a vector of channels at a time, over all taps of a row's window.
//!
//! Maxima take bytes; the last vector of a row ends with the row and overlaps the one before it (a maximum computed
//! twice is the same). Pixels of few channels would fill a vector in part: where windows follow one another along a line, lines are first
//! taken together, whole vectors at a time, and columns then. Means widen to 32 bits, so that windows of any size sum exactly.

use core::mem::MaybeUninit;
use core::ops::Range;

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
        if V::BYTES <= t.c {
            return windows::<V, true>(t, 0..t.rows_in.len(), V::BYTES);
        }
        let (mut at, rows) = (0, t.rows_in.len());
        while at < rows {
            let end = if t.step[1] == t.c { run(t, at) } else { rows };
            let long = t.step[1] == t.c && end - at >= SHORT;
            match t.taps[at] {
                (3, 3) if long => lines::<V, 3, 3>(t, at..end),
                (2, 2) if long => lines::<V, 2, 2>(t, at..end),
                (5, 5) if long => lines::<V, 5, 5>(t, at..end),
                _ => windows::<V, false>(t, at..end, t.c),
            }
            at = end;
        }
    }
}

/// Bytes of lines that are taken together at a time.
const LINES: usize = 4096;
/// Bytes after them that a vector may read: one less than those of the longest.
const BEYOND: usize = 63;
/// Windows of a run that is worth it.
const SHORT: usize = 4;

/// The end of the run of rows from `first` on whose windows are of one size and evenly apart.
#[inline(always)]
fn run(t: &PoolTile, first: usize) -> usize {
    let apart = |i: usize| t.rows_in[i].wrapping_sub(t.rows_in[i - 1]);
    let mut end = first + 1;
    while end < t.rows_in.len()
        && t.taps[end] == t.taps[first]
        && apart(end) == apart(first + 1)
        && t.rows_in[end].wrapping_sub(t.rows_in[first]) as usize + t.taps[first].1 as usize * t.c <= LINES
    {
        end += 1;
    }
    end
}

/// A run of windows of `NY` by `NX` pixels without gaps: the maximum of the lines under them, then of the columns of each.
///
/// # Safety
/// As [`max`]; the rows are a [`run`] of such windows.
#[inline(always)]
unsafe fn lines<V: Vector, const NY: usize, const NX: usize>(t: &PoolTile, rows: Range<usize>) {
    let (first, c) = (t.rows_in[rows.start], t.c);
    let bytes = (t.rows_in[rows.end - 1] - first) as usize + NX * c;
    let mut room = [MaybeUninit::<u8>::uninit(); LINES + BEYOND];
    let room = room.as_mut_ptr().cast::<u8>();
    // SAFETY: `bytes <= LINES` bytes from the first pixel of the first window to the last of the last are pixels of the map, in each line;
    // all are written to the room before they are read, as are those beyond; the rest is the caller's.
    unsafe {
        let top = t.input.add(first as usize);
        let rest = bytes % V::BYTES;
        macro_rules! down {
            ($full:literal, $at:expr, $n:expr) => {{
                let line = |y: usize| V::load_first::<$full>(top.add(y * t.step[0] + $at), $n);
                (1..NY).fold(line(0), |max, y| max.max_u8(line(y))).store_part(room.add($at), $n)
            }};
        }
        for at in (0..bytes - rest).step_by(V::BYTES) {
            down!(true, at, V::BYTES);
        }
        if rest > 0 {
            down!(false, bytes - rest, rest);
        }
        room.add(bytes).write_bytes(0, BEYOND);
        for i in rows {
            let window = room.add((t.rows_in[i] - first) as usize);
            // Whole vectors: what lies beyond `c` channels is not stored.
            let column = |x: usize| V::load(window.add(x * c));
            (1..NX).fold(column(0), |max, x| max.max_u8(column(x))).store_part(t.output.add(t.rows_out[i] as usize), c);
        }
    }
}

/// `n` channels at a time, `BYTES` if `FULL`, of some rows.
#[inline(always)]
unsafe fn windows<V: Vector, const FULL: bool>(t: &PoolTile, rows: Range<usize>, n: usize) {
    let [down, right] = t.step;
    for i in rows {
        let (row, (ny, nx)) = (t.rows_in[i], t.taps[i]);
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
