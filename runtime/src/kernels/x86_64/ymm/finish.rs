//! The end of a convolution tile: sums to codes.
//!
//! Four vectors of sums are packed together, of one row, or of two where outputs come in pairs of vectors, else of four, for little more than packing one
//! alone. The lower bound is taken last, of bytes: NaN and what is too small for an integer became the least integer, and 0 of that.

use core::arch::x86_64::*;

use super::super::conv::{affine, finish_codes, residual};
use super::super::vector::Vector;
use super::vector::{Dot, Ymm, of, store_lane};
use crate::kernels::ConvTile;

/// See [`Vector::finish`]. Rows that repeat the last one are stored again.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]), the rows and outputs are in it.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn codes<D: Dot, const R: usize, const N: usize>(
    t: &ConvTile, row: usize, count: usize, at: usize, sums: &[[Ymm<D>; N]; R],
) {
    if R * N < 4 {
        // SAFETY: the caller's.
        return unsafe { finish_codes(t, row, count, at, sums) };
    }
    // Vectors of a row and rows.
    let (across, down) = match (R, N) {
        (1, 4 | 8) => (4, 1),
        _ if N.is_multiple_of(2) => (2, 2),
        _ => (1, 4),
    };
    let words = Ymm::<D>::WORDS;
    let (lo, hi) = (_mm256_set1_ps(t.lo), _mm256_set1_ps(t.hi));
    let lo = _mm256_cvtps_epi32(lo);
    let lo = _mm256_packus_epi32(lo, lo);
    let lo = _mm256_packus_epi16(lo, lo);
    // SAFETY: validity of the tile (the caller); a row stores what is left of `oc`.
    unsafe {
        let [m, b] = affine::<Ymm<D>, N>(t, at);
        for n in (0..N).step_by(across) {
            let at = at + n * words;
            let left = t.oc.saturating_sub(at).min(across * words);
            for r in (0..R).step_by(down) {
                let (mut y, mut out) = ([_mm256_setzero_si256(); 4], [t.output; 4]);
                for i in 0..down {
                    let row = row + (r + i).min(count - 1);
                    out[i] = t.output.add(*t.rows_out.get_unchecked(row) as usize + at);
                    for j in 0..across {
                        let x = _mm256_cvtepi32_ps(sums[(r + i).min(R - 1)][n + j].0);
                        let x = _mm256_add_ps(_mm256_mul_ps(x, m[n + j]), b[n + j]);
                        let x = residual::<Ymm<D>>(t, row, at + j * words, words.min(left.saturating_sub(j * words)), x);
                        // Of two operands the second is taken where one is NaN.
                        y[across * i + j] = _mm256_cvtps_epi32(_mm256_min_ps(hi, x));
                    }
                }
                let y = _mm256_packus_epi16(_mm256_packus_epi32(y[0], y[1]), _mm256_packus_epi32(y[2], y[3]));
                let y = _mm256_permutevar8x32_epi32(_mm256_max_epu8(y, lo), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
                let (first, last) = (_mm256_castsi256_si128(y), _mm256_extracti128_si256::<1>(y));
                if across == 4 {
                    of::<D>(y).store_part(out[0], left);
                } else if across == 2 {
                    store_lane(first, out[0], left);
                    store_lane(last, out[1], left);
                } else if left == 8 {
                    _mm_storel_epi64(out[0].cast(), first);
                    _mm_storeh_pd(out[1].cast(), _mm_castsi128_pd(first));
                    _mm_storel_epi64(out[2].cast(), last);
                    _mm_storeh_pd(out[3].cast(), _mm_castsi128_pd(last));
                } else {
                    store_lane(first, out[0], left);
                    store_lane(_mm_unpackhi_epi64(first, first), out[1], left);
                    store_lane(last, out[2], left);
                    store_lane(_mm_unpackhi_epi64(last, last), out[3], left);
                }
            }
        }
    }
}
