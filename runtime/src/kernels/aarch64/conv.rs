//! Convolution: what the sets share. Blocks of 16 outputs outside, rows inside, so that the weights of a block stay in the
//! first-level cache for all rows of the tile.
//!
//! A tile asked to do `count < R` rows repeats its last row and does not store the repetitions.

use core::arch::{aarch64::*, asm};

use super::super::ConvTile;
use super::finish::{self, Affine, Sums};

/// First taps of `R` rows, the last one repeated.
///
/// # Safety
/// The tile is valid; `row + count` rows are in it, `1 <= count`.
#[inline(always)]
pub(super) unsafe fn rows<const R: usize>(t: &ConvTile, row: usize, count: usize) -> [*const u8; R] {
    let mut x = [t.input; R];
    for (r, x) in x.iter_mut().enumerate() {
        // SAFETY: offsets of the tile's rows, which `row + count` does not exceed.
        *x = unsafe { t.input.add(*t.rows_in.get_unchecked(row + r.min(count - 1)) as usize) };
    }
    x
}

/// The weights of a block.
///
/// # Safety
/// The tile is valid and has the block.
#[inline(always)]
pub(super) unsafe fn panel(t: &ConvTile, block: usize) -> *const i8 {
    // SAFETY: the weights hold all blocks.
    unsafe { t.weights.as_ptr().add(block * t.segments.len() * t.quads * 64) }
}

/// Rows of a tile.
#[inline(always)]
pub(super) fn len(t: &ConvTile) -> usize {
    t.rows_in.len().min(t.rows_out.len())
}

/// Whether a block has at most 8 outputs: half of its weights are padding, which need not be multiplied.
///
/// Padding is zeros in what the converter writes; whatever it is, no result depends on it.
#[inline(always)]
pub(super) fn narrow(t: &ConvTile, block: usize) -> bool {
    t.oc - 16 * block <= 8
}

/// Stores what rows `row..row + count` sum to: the first `N` vectors, 2 in a [`narrow`] block, else 4.
///
/// # Safety
/// The tile is valid; `row + count <= len`, `count <= R`; the block is in it.
#[inline(always)]
pub(super) unsafe fn store<const R: usize, const N: usize>(t: &ConvTile, row: usize, count: usize, block: usize, sums: &[Sums; R]) {
    let at = 16 * block;
    // SAFETY: the caller's.
    unsafe {
        if finish::plain(t) {
            let (affine, left) = (Affine::load(t, at), 16.min(t.oc - at));
            macro_rules! each {
                ($bounded:literal, $left:expr) => {
                    for r in 0..R {
                        if r < count {
                            affine.put::<N, $bounded>(t, row + r, at, $left, &sums[r]);
                        }
                    }
                };
            }
            // The usual cases have code of their own, without a choice a row.
            match (left == 4 * N, affine.bounded) {
                (true, false) => each!(false, 4 * N),
                (true, true) => each!(true, 4 * N),
                (false, _) => each!(true, left),
            }
        } else {
            for r in 0..R {
                if r < count {
                    // A copy of this row alone: the caller's sums are registers if their address is never taken.
                    let copy = [sums[r][0], sums[r][1], sums[r][2], sums[r][3]];
                    finish::any(t, row + r, at, &copy);
                }
            }
        }
    }
}

/// 4 bytes, then zeros: in one instruction, where the compiler would take four.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn quad(p: *const u8) -> uint8x16_t {
    let x: uint8x16_t;
    // SAFETY: reads 4 bytes (the caller), which need no alignment.
    unsafe { asm!("ldr {x:s}, [{p}]", x = out(vreg) x, p = in(reg) p, options(pure, readonly, nostack, preserves_flags)) };
    x
}

/// 8 bytes, then zeros.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn two_quads(p: *const u8) -> uint8x16_t {
    // SAFETY: the caller's.
    unsafe { vcombine_u8(vld1_u8(p), vdup_n_u8(0)) }
}
