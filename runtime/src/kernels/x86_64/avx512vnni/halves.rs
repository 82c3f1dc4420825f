//! Convolutions whose last block holds at most 8 outputs: two rows share a vector for it.
//!
//! ```text
//! row r:      | vectors 0 .. N of outputs | lanes 0 .. 8 of the shared vector  |
//! row r + 1:  | vectors 0 .. N of outputs | lanes 8 .. 16 of the shared vector |
//! ```
//!
//! 24 outputs of two rows take three dot steps a quad in place of four, and as many fewer vectors to finish.

use core::arch::x86_64::*;

use super::super::conv::{Panel, finish_codes, in_memory};
use super::super::vector::Vector;
use super::finish::{self, Bounds};
use super::vector::{Zmm, first};
use crate::kernels::ConvTile;

/// Outputs of half a block.
const HALF: usize = 8;

/// Whether the last block of a tile is one for [`tile`].
pub(super) fn apply(t: &ConvTile) -> bool {
    !t.real && t.rows_in.len() > 1 && matches!(t.oc % 16, 1..=HALF)
}

/// Rows `row..row + count` (`1..=R`, `R` even), `N` blocks of outputs from `block` on and the half one after them, the last.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]) and one for which [`apply`] holds; the rows and blocks are in it; the CPU has the features of the set.
#[inline(always)]
pub(super) unsafe fn tile<const R: usize, const N: usize>(t: &ConvTile, row: usize, count: usize, block: usize) {
    // SAFETY: Input: `4 * quads` bytes are readable from each row and segment (validity of the tile); weights: the blocks have as many quads;
    // the rest is the caller's.
    unsafe {
        let panel = Panel::<Zmm, N>::packed(t, block);
        let half = Panel::<Zmm, 1>::packed(t, block + N).weights[0];
        // Of the shared vectors half are used.
        let (mut acc, mut shared) = ([panel.sums; R], [_mm512_setzero_si512(); R]);
        let mut x = [t.input; R];
        for (r, x) in x.iter_mut().enumerate() {
            *x = t.input.add(t.rows_in[row + r.min(count - 1)] as usize);
        }
        // The compiler, knowing the mask, would shuffle two registers, which takes a multiplier's port.
        let upper = core::hint::black_box(0xff00);
        let mut quad = 0;
        for &segment in t.segments {
            let segment = segment as usize;
            let mut at = segment;
            while at < segment + 4 * t.quads {
                let mut right = [Zmm::zero().right(); N];
                for (n, right) in right.iter_mut().enumerate() {
                    *right = Zmm::right_at(panel.weights[n].add(quad));
                }
                let both = _mm512_broadcast_i64x4(_mm256_loadu_si256(half.add(quad).cast()));
                for r in (0..R).step_by(2) {
                    let left = [Zmm::left_repeated(x[r].add(at)), Zmm::left_repeated(x[r + 1].add(at))];
                    for n in 0..N {
                        acc[r][n] = acc[r][n].dot(left[0], right[n]);
                        acc[r + 1][n] = acc[r + 1][n].dot(left[1], right[n]);
                    }
                    let left = _mm512_mask_blend_epi32(upper, left[0], left[1]);
                    shared[r / 2] = _mm512_dpbusd_epi32(shared[r / 2], left, both);
                }
                quad += 64;
                at += 4;
            }
        }
        let at = block * Zmm::WORDS;
        if !finish::whole::<R, N>(t, row, count, at, &acc) {
            finish_codes::<Zmm, R, N>(t, row, count, at, &in_memory(&acc));
        }
        codes::<R>(t, row, count, at + N * Zmm::WORDS, &shared);
    }
}

/// Codes of the shared vectors of `R / 2 <= 4` pairs of rows, outputs from `at` on. Rows that repeat the last one are stored again.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn codes<const R: usize>(t: &ConvTile, row: usize, count: usize, at: usize, sums: &[__m512i; R]) {
    let n = (t.oc - at).min(HALF);
    // SAFETY: validity of the tile (the caller): arrays hold whole blocks, rows `n` outputs from `at` on.
    unsafe {
        let bounds = Bounds::of(t);
        let twice = |p: *const f32| _mm512_broadcast_f32x8(_mm256_loadu_ps(p.add(at)));
        let (m, b) = (twice(t.m.as_ptr()), twice(t.b.as_ptr()));
        macro_rules! pair {
            ($p:literal) => {{
                let mut x = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[$p]), m), b);
                if let Some(res) = &t.residual {
                    let of = |r: usize| load(res.input.add(res.rows[row + r.min(count - 1)] as usize + at), n);
                    let codes = _mm512_cvtepu8_epi32(_mm_unpacklo_epi64(of(2 * $p), of(2 * $p + 1)));
                    x = _mm512_add_ps(x, _mm512_mul_ps(_mm512_cvtepi32_ps(codes), twice(res.r.as_ptr())));
                }
                bounds.round(x)
            }};
        }
        let zero = _mm512_setzero_si512();
        let y = bounds.pack([
            pair!(0),
            if R > 2 { pair!(1) } else { zero },
            if R > 4 { pair!(2) } else { zero },
            if R > 6 { pair!(3) } else { zero },
        ]);
        macro_rules! put {
            ($p:literal, $y:expr) => {
                if R > 2 * $p {
                    let to = |r: usize| t.output.add(t.rows_out[row + r.min(count - 1)] as usize + at);
                    let y = $y;
                    store(y, to(2 * $p), n);
                    store(_mm_unpackhi_epi64(y, y), to(2 * $p + 1), n);
                }
            };
        }
        put!(0, _mm512_castsi512_si128(y));
        put!(1, _mm512_extracti32x4_epi32::<1>(y));
        put!(2, _mm512_extracti32x4_epi32::<2>(y));
        put!(3, _mm512_extracti32x4_epi32::<3>(y));
    }
}

/// `n <= 8` bytes.
///
/// # Safety
/// They are readable; features as in [`tile`].
#[inline(always)]
unsafe fn load(p: *const u8, n: usize) -> __m128i {
    // SAFETY: the caller's.
    unsafe { if n == HALF { _mm_loadl_epi64(p.cast()) } else { _mm_maskz_loadu_epi8(first(n) as u16, p.cast()) } }
}

/// The first `n <= 8` bytes.
///
/// # Safety
/// They are writable; features as in [`tile`].
#[inline(always)]
unsafe fn store(x: __m128i, p: *mut u8, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        if n == HALF {
            _mm_storel_epi64(p.cast(), x);
        } else {
            _mm_mask_storeu_epi8(p.cast(), first(n) as u16, x);
        }
    }
}
