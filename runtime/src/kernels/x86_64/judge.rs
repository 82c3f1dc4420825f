//! Recomputed rows before a gate.
//!
//! Which rows pass cannot be foreseen: four rows are scored together without a branch, then those that pass are settled.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::super::JudgeTile;
use super::vector::Vector;

/// Bytes whose scores fit 32 bits: `2^16 * 255^2 < 2^32`.
const PART: usize = 1 << 16;

/// Rows whose held codes are asked for before they are scored: those were last in use a frame ago, and wait in the outer caches.
const AHEAD: usize = 8;

/// What scores are made of, the same for all rows.
struct Scale<V> {
    dead: V,
    cap: V,
}

impl<V: Vector> Scale<V> {
    /// # Safety
    /// Here and below: the CPU has the features of `V`.
    #[inline(always)]
    unsafe fn new(dead: u8) -> Self {
        // SAFETY: the caller's.
        unsafe { Self { dead: V::splat_u8(dead), cap: V::splat_u16(255) } }
    }

    /// Squared weighted changes, added up in fours.
    #[inline(always)]
    unsafe fn squares(&self, new: V, held: V, weights: V) -> V {
        // SAFETY: the caller's.
        unsafe {
            let (d, zero) = (new.abs_diff_u8(held).sub_saturating_u8(self.dead), V::zero());
            let lo = d.unpack_lo8(zero).mul_u16(weights.unpack_lo8(zero)).shr4_u16().min_u16(self.cap);
            let hi = d.unpack_hi8(zero).mul_u16(weights.unpack_hi8(zero)).shr4_u16().min_u16(self.cap);
            lo.mul_add_pairs_i16(lo).add_i32(hi.mul_add_pairs_i16(hi))
        }
    }
}

/// See [`Kernels::score`](super::super::Kernels::score).
#[inline(always)]
pub(super) unsafe fn score<V: Vector>(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32 {
    let len = new.len().min(held.len()).min(weights.len());
    let (mut total, mut at) = (0u64, 0);
    while at < len {
        let end = len.min(at + PART);
        // SAFETY: `at + n <= end`, within the three slices.
        unsafe {
            let (scale, mut sum) = (Scale::<V>::new(dead), V::zero());
            while at < end {
                let n = V::BYTES.min(end - at);
                let load = |row: &[u8]| V::load_part(row.as_ptr().add(at), n);
                sum = sum.add_i32(scale.squares(load(new), load(held), load(weights)));
                at += n;
            }
            total += sum.total_u32();
        }
    }
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// See [`Kernels::settle`](super::super::Kernels::settle).
#[inline(always)]
pub(super) unsafe fn settle<V: Vector>(new: &[u8], held: &mut [u8], dead: u8) {
    let len = new.len().min(held.len());
    let mut at = 0;
    while at < len {
        let n = V::BYTES.min(len - at);
        // SAFETY: `at + n <= len`.
        unsafe {
            let h = held.as_mut_ptr().add(at);
            let (new, old) = (V::load_part(new.as_ptr().add(at), n), V::load_part(h, n));
            let d = new.abs_diff_u8(old).sub_saturating_u8(V::splat_u8(dead));
            d.choose(new, old).store_part(h, n);
        }
        at += n;
    }
}

/// `held = new`, of equal lengths.
#[inline(always)]
unsafe fn copy<V: Vector>(new: &[u8], held: &mut [u8]) {
    let rest = new.len() % V::BYTES;
    let whole = new.len() - rest;
    // SAFETY: vectors, and what is left, of both slices; the features are the caller's.
    unsafe {
        for at in (0..whole).step_by(V::BYTES) {
            V::load(new.as_ptr().add(at)).store_part(held.as_mut_ptr().add(at), V::BYTES);
        }
        if rest > 0 {
            V::load_first::<false>(new.as_ptr().add(whole), rest).store_part(held.as_mut_ptr().add(whole), rest);
        }
    }
}

/// A recomputed row, and the held one.
type Pair = (*const u8, *const u8);

/// Bit i: the score of row i, of `weights.len() <= PART` bytes, is larger than `limit`.
#[inline(always)]
unsafe fn exceed<V: Vector>(rows: &[Pair; 4], weights: &[u8], scale: &Scale<V>, limit: u32) -> u64 {
    // SAFETY: the caller's.
    let mut sums = unsafe { [V::zero(); 4] };
    let whole = weights.len() / V::BYTES * V::BYTES;
    for at in (0..whole).step_by(V::BYTES) {
        // SAFETY: bytes `at..at + BYTES` of rows that have as many as there are weights.
        unsafe { add::<V, true>(&mut sums, rows, weights, scale, at) };
    }
    if whole < weights.len() {
        // SAFETY: the bytes that are left.
        unsafe { add::<V, false>(&mut sums, rows, weights, scale, whole) };
    }
    // SAFETY: the features are the caller's.
    unsafe { V::totals_above(sums, limit) }
}

/// Adds the squares of a vector of bytes from `at` on, or of what is left of the rows.
#[inline(always)]
unsafe fn add<V: Vector, const FULL: bool>(sums: &mut [V; 4], rows: &[Pair; 4], weights: &[u8], scale: &Scale<V>, at: usize) {
    let n = V::BYTES.min(weights.len() - at);
    // SAFETY: `n` bytes from `at` on; the caller's.
    unsafe {
        let load = |row: *const u8| V::load_first::<FULL>(row.add(at), n);
        let w = load(weights.as_ptr());
        for (sum, (new, held)) in sums.iter_mut().zip(rows) {
            *sum = sum.add_i32(scale.squares(load(*new), load(*held), w));
        }
    }
}

/// Bit i: row i, of `bytes` bytes, differs in any code.
#[inline(always)]
unsafe fn differ<V: Vector>(rows: &[Pair; 4], bytes: usize) -> u64 {
    let mut differ = 0;
    for at in (0..bytes).step_by(V::BYTES) {
        let n = V::BYTES.min(bytes - at);
        for (i, (new, held)) in rows.iter().enumerate() {
            // SAFETY: bytes `at..at + n` of both rows.
            let d = unsafe { V::load_part(new.add(at), n).abs_diff_u8(V::load_part(held.add(at), n)) };
            // SAFETY: the features are the caller's.
            differ |= unsafe { (d.nonzero() != 0) as u64 } << i;
        }
    }
    differ
}

/// Asks for the bytes from `row` on.
#[inline(always)]
fn bring_near(row: *const u8, bytes: usize) {
    for at in (0..bytes).step_by(64) {
        // SAFETY: a hint, which reads nothing, whatever the address; part of every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(at).cast()) };
    }
}

/// See [`Kernels::judge`](super::super::Kernels::judge).
///
/// # Safety
/// The tile is valid; the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn judge<V: Vector>(t: &JudgeTile) -> u64 {
    let bytes = t.weights.len();
    let rows = t.rows.len().min(64).min(t.new.len() / bytes.max(1));
    if rows == 0 {
        return 0;
    }
    let at = |i: usize| (t.new[i * bytes..].as_ptr(), t.held.wrapping_add(t.rows[i] as usize));
    // SAFETY: the features are the caller's.
    let scale = unsafe { Scale::<V>::new(t.dead) };
    let mut passed = 0;
    for first in (0..rows).step_by(4) {
        (first + AHEAD..rows.min(first + AHEAD + 4)).for_each(|i| bring_near(at(i).1, bytes));
        // The last row stands in for missing ones.
        let pair = |i: usize| {
            let (new, held) = at((first + i).min(rows - 1));
            (new, held.cast_const())
        };
        let four = [pair(0), pair(1), pair(2), pair(3)];
        // SAFETY: rows of `new` and of the held tensor (validity of the tile); the features are the caller's.
        passed |= unsafe {
            match t.limit {
                None => differ::<V>(&four, bytes),
                Some(limit) if bytes <= PART => exceed::<V>(&four, t.weights, &scale, limit),
                Some(limit) => four.iter().enumerate().fold(0, |bits, (i, (new, held))| {
                    let row = |p| core::slice::from_raw_parts(p, bytes);
                    bits | ((score::<V>(row(*new), row(*held), t.weights, t.dead) > limit) as u64) << i
                }),
            }
        } << first;
    }
    passed &= !0 >> (64 - rows);
    let mut left = passed;
    while left != 0 {
        let i = left.trailing_zeros() as usize;
        let new = &t.new[i * bytes..][..bytes];
        // SAFETY: the held row is writable and touched by nothing else (validity of the tile); the features are the caller's.
        unsafe {
            let held = core::slice::from_raw_parts_mut(at(i).1, bytes);
            match t.limit {
                Some(_) if t.dead > 0 => settle::<V>(new, held, t.dead),
                _ => copy::<V>(new, held),
            }
        }
        left &= left - 1;
    }
    passed
}
