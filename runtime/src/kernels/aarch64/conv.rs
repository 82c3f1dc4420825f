//! Convolution: what the sets share. Blocks of 16 outputs outside, rows inside, so that the weights of a block stay in the
//! first-level cache for all rows of the tile.
//!
//! A tile asked to do `count < R` rows repeats its last row and does not store the repetitions.

use core::arch::{aarch64::*, asm};

use super::super::ConvTile;
use super::finish::{self, Affine, Sums};

/// The rows of a tile not yet done.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    x: *const u32,
    out: *const u32,
    /// How many.
    pub(super) left: usize,
}

impl Rows {
    /// All of them.
    #[inline(always)]
    pub(super) fn of(t: &ConvTile) -> Self {
        Rows { x: t.rows_in.as_ptr(), out: t.rows_out.as_ptr(), left: len(t) }
    }

    /// Without the first `n`.
    ///
    /// # Safety
    /// As many are left.
    #[inline(always)]
    pub(super) unsafe fn pass(&mut self, n: usize) {
        // SAFETY: within the offsets of the tile (the caller).
        unsafe { *self = Rows { x: self.x.add(n), out: self.out.add(n), left: self.left - n } };
    }

    /// The results of one.
    ///
    /// # Safety
    /// More rows than `r` are left.
    #[inline(always)]
    pub(super) unsafe fn out(self, t: &ConvTile, r: usize) -> *mut u8 {
        // SAFETY: its offset (the caller).
        unsafe { t.output.add(*self.out.add(r) as usize) }
    }
}

/// First taps of `R` rows, the last one of `count` repeated.
///
/// # Safety
/// The tile is valid; `count` of its rows are left, `1 <= count`.
#[inline(always)]
pub(super) unsafe fn rows<const R: usize>(t: &ConvTile, rows: Rows, count: usize) -> [*const u8; R] {
    let mut x = [t.input; R];
    for (r, x) in x.iter_mut().enumerate() {
        // SAFETY: offsets of rows that are left.
        *x = unsafe { t.input.add(*rows.x.add(r.min(count - 1)) as usize) };
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

/// What a block's results are.
pub(super) enum Kind {
    /// Codes of 16 or 8 outputs, which fit 16 bits before they are bounded: [`Whole`].
    Tight,
    /// Codes of 16 or 8 outputs, bounded as bytes are: [`Whole`].
    Plain,
    /// All others: [`Any`].
    Other,
}

/// That of a block.
///
/// # Safety
/// The tile is valid and has the block.
#[inline(always)]
pub(super) unsafe fn kind(t: &ConvTile, block: usize) -> Kind {
    let left = t.oc - 16 * block;
    if (left < 16 && left != 8) || !finish::plain(t) || finish::bounded(t) {
        return Kind::Other;
    }
    // SAFETY: the caller's.
    if unsafe { finish::fits(t, 16 * block) } { Kind::Tight } else { Kind::Plain }
}

/// Where the sums of a block go.
pub(super) trait Finish {
    /// Takes what the first `count` rows sum to: the first `N` vectors, 2 in a [`narrow`] block, else 4.
    ///
    /// # Safety
    /// The tile is valid and has the block; `count` of its rows are left, `count <= R`.
    unsafe fn store<const R: usize, const N: usize>(&self, t: &ConvTile, rows: Rows, count: usize, sums: &[Sums; R]);
}

/// To codes of 16 or 8 outputs, as [`Kind`] has them.
pub(super) struct Whole<const TIGHT: bool> {
    affine: Affine,
    at: usize,
}

impl<const TIGHT: bool> Whole<TIGHT> {
    /// That of a block.
    ///
    /// # Safety
    /// The tile is valid and has the block.
    #[inline(always)]
    pub(super) unsafe fn of(t: &ConvTile, block: usize) -> Self {
        let at = 16 * block;
        // SAFETY: the caller's.
        Whole { affine: unsafe { Affine::load(t, at) }, at }
    }
}

impl<const TIGHT: bool> Finish for Whole<TIGHT> {
    #[inline(always)]
    unsafe fn store<const R: usize, const N: usize>(&self, t: &ConvTile, rows: Rows, count: usize, sums: &[Sums; R]) {
        for r in 0..R {
            if r < count {
                // SAFETY: the caller's; the block has `4 N` outputs.
                unsafe { self.affine.put::<N, TIGHT, false>(rows.out(t, r).add(self.at), 4 * N, &sums[r]) };
            }
        }
    }
}

/// To whatever the tile asks for; the block's first output.
pub(super) struct Any(pub(super) usize);

impl Finish for Any {
    #[inline(always)]
    unsafe fn store<const R: usize, const N: usize>(&self, t: &ConvTile, rows: Rows, count: usize, sums: &[Sums; R]) {
        // A copy: the caller's sums are registers if their address is never taken.
        let copy = sums.map(|[a, b, c, d]| [a, b, c, d]);
        // SAFETY: the caller's.
        unsafe {
            let first = rows.out.offset_from(t.rows_out.as_ptr()) as usize;
            finish::any(t, first, self.0, &copy[..count]);
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

/// 8 bytes, then zeros: likewise, where it would take two.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn two_quads(p: *const u8) -> uint8x16_t {
    let x: uint8x16_t;
    // SAFETY: reads 8 bytes (the caller), which need no alignment.
    unsafe { asm!("ldr {x:d}, [{p}]", x = out(vreg) x, p = in(reg) p, options(pure, readonly, nostack, preserves_flags)) };
    x
}
