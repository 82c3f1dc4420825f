//! Three exact dot steps of 256 bits.
//!
//! AVX2 has no instruction for one. `vpmaddubsw` adds products of two bytes to 16 bits and saturates, so it cannot take the operands as they are:
//!
//! ```text
//! Widening   even and odd bytes as 16 bits, two vpmaddwd, which cannot overflow
//! Folding    x in 0..=255, w in -128..=127:   w x = |w| (x - 128) + 128 w      where w >= 0
//!                                             w x = |w| (127 - x) + 127 w      where w < 0
//! ```
//!
//! Both brackets are signed bytes, `x ^ 0x80` and `x ^ 0x7f`, and sums of two products with them lie in -32768..=32512. The second
//! terms do not depend on `x`: they are owed, once for all rows ([`Folds`]). That takes fewer instructions than widening, except for a few rows.

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::conv::Panel;
use super::vector::{Dot, Ymm, of};
use crate::kernels::ConvTile;

/// AVX2, for a few rows and depthwise tiles.
#[derive(Clone, Copy)]
pub(in super::super) struct Widening;

/// AVX2, for many rows; sums start with what is owed.
#[derive(Clone, Copy)]
pub(in super::super) struct Folding;

/// AVX-VNNI.
#[derive(Clone, Copy)]
pub(in super::super) struct Vnni;

/// Even and odd bytes as 16-bit elements.
#[derive(Clone, Copy)]
pub(in super::super) struct Widened {
    even: __m256i,
    odd: __m256i,
}

// SAFETY: registers alone; AVX2 is part of all 256-bit sets.
unsafe impl Dot for Widening {
    type Left = Widened;
    type Right = Widened;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn left(x: __m256i) -> Widened {
        Widened { even: _mm256_and_si256(x, _mm256_set1_epi16(255)), odd: _mm256_srli_epi16::<8>(x) }
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn right(w: __m256i) -> Widened {
        Widened { even: _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)), odd: _mm256_srai_epi16::<8>(w) }
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn dot(sum: __m256i, x: Widened, w: Widened) -> __m256i {
        let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x.even, w.even));
        _mm256_add_epi32(sum, _mm256_madd_epi16(x.odd, w.odd))
    }
}

/// Weights without their signs, and what the signs make of `x`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in super::super) struct Folded {
    size: __m256i,
    fold: __m256i,
}

/// Adds neighbouring 16-bit elements to the sums.
#[inline]
#[target_feature(enable = "avx2")]
fn add_pairs(sum: __m256i, pairs: __m256i) -> __m256i {
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// Adds what is owed of `w`: `fold` is 128 or 127 as an unsigned byte.
#[inline]
#[target_feature(enable = "avx2")]
fn owe(sum: __m256i, fold: __m256i, w: __m256i) -> __m256i {
    add_pairs(sum, _mm256_maddubs_epi16(fold, w))
}

// SAFETY: as above.
unsafe impl Dot for Folding {
    type Left = __m256i;
    type Right = Folded;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn left(x: __m256i) -> __m256i {
        x
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn right(w: __m256i) -> Folded {
        let negative = _mm256_cmpgt_epi8(_mm256_setzero_si256(), w);
        Folded { size: _mm256_abs_epi8(w), fold: _mm256_xor_si256(negative, _mm256_set1_epi8(-128)) }
    }
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn dot(sum: __m256i, x: __m256i, w: Folded) -> __m256i {
        add_pairs(sum, _mm256_maddubs_epi16(w.size, _mm256_xor_si256(x, w.fold)))
    }
    /// Folded weights.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn right_at(p: *const u8) -> Folded {
        // SAFETY: two vectors (the caller).
        unsafe { Folded { size: _mm256_loadu_si256(p.cast()), fold: _mm256_loadu_si256(p.add(32).cast()) } }
    }
}

/// Room for the folded weights of a vector of outputs.
pub(in super::super) struct Folds([MaybeUninit<Folded>; Folds::QUADS]);

impl Folds {
    /// Quads there is room for.
    pub(in super::super) const QUADS: usize = 512;

    #[inline(always)]
    pub(in super::super) fn new() -> Self {
        Folds([const { MaybeUninit::uninit() }; Folds::QUADS])
    }

    /// Vector `first` of outputs. The panel is of these folds and must not outlive them or see them change.
    ///
    /// # Safety
    /// The tile is valid (see [`ConvTile`]), the vector is in its blocks, which have at most [`QUADS`](Self::QUADS) quads.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) unsafe fn panel(&mut self, t: &ConvTile, first: usize) -> Panel<Ymm<Folding>, 1> {
        let quads = t.segments.len() * t.quads;
        // SAFETY: the vector's part of each quad is 32 bytes (the caller).
        unsafe {
            let mut panel = Panel::<Ymm<Folding>, 1>::packed(t, first);
            let mut owed = _mm256_setzero_si256();
            for (quad, folded) in self.0.iter_mut().enumerate().take(quads) {
                let w = _mm256_loadu_si256(panel.weights[0].add(64 * quad).cast());
                let right = Folding::right(w);
                owed = owe(owed, right.fold, w);
                folded.write(right);
            }
            panel.sums[0] = of(owed);
            panel.weights[0] = self.0.as_ptr().cast();
            panel
        }
    }
}

// SAFETY: registers alone; AVX-VNNI is the caller's.
unsafe impl Dot for Vnni {
    type Left = __m256i;
    type Right = __m256i;

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn left(x: __m256i) -> __m256i {
        x
    }
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn right(w: __m256i) -> __m256i {
        w
    }
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn dot(sum: __m256i, x: __m256i, w: __m256i) -> __m256i {
        _mm256_dpbusd_avx_epi32(sum, x, w)
    }
}
