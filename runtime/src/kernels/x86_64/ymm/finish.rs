//! The end of a convolution tile: sums to codes, without leaving the registers.
//!
//! Four vectors of sums are packed together, of one row, or of two where outputs come in pairs of vectors, else of four, for little more than packing one
//! alone. The lower bound is taken last, of bytes: NaN and what is too small for an integer became the least integer, and 0 of that.
//!
//! Everything is inlined into the tile and every index is constant, else the sums would go through memory.

use core::arch::x86_64::*;

use super::super::conv::bytes_of;
use super::vector::{Dot, Ymm};
use crate::kernels::ConvTile;

/// Outputs of a vector.
const WORDS: usize = 8;

/// The codes of four vectors, one after another, none below `lo`.
#[inline]
#[target_feature(enable = "avx2")]
fn pack(y: [__m256i; 4], lo: __m256i) -> __m256i {
    let y = _mm256_packus_epi16(_mm256_packus_epi32(y[0], y[1]), _mm256_packus_epi32(y[2], y[3]));
    _mm256_permutevar8x32_epi32(_mm256_max_epu8(y, lo), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// See [`Vector::finish_whole`](super::super::vector::Vector::finish_whole). Rows that repeat the last one are stored again.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]), the rows and outputs are in it.
#[inline(always)]
pub(super) unsafe fn whole<D: Dot, const R: usize, const N: usize>(
    t: &ConvTile, row: usize, count: usize, at: usize, sums: &[[Ymm<D>; N]; R],
) -> bool {
    if at + N * WORDS > t.oc {
        return false;
    }
    // SAFETY: the caller's.
    unsafe {
        match &t.residual {
            None => sums_to_codes::<D, R, N, false>(t, [row, count, at], sums),
            Some(_) => sums_to_codes::<D, R, N, true>(t, [row, count, at], sums),
        }
    }
    true
}

/// Of `count` rows from `row` on and outputs from `at` on, with a second input if `SECOND`.
///
/// # Safety
/// As [`whole`].
#[inline(always)]
unsafe fn sums_to_codes<D: Dot, const R: usize, const N: usize, const SECOND: bool>(
    t: &ConvTile, [row, count, at]: [usize; 3], sums: &[[Ymm<D>; N]; R],
) {
    // SAFETY: features; arrays hold whole blocks; the rows hold `N` vectors from `at` on.
    unsafe {
        let (mut second, mut factors) = ([t.input; R], t.m.as_ptr());
        if let (true, Some(x)) = (SECOND, &t.residual) {
            (second, factors) = (bytes_of(x.input, x.rows, [row, count, at]), x.r.as_ptr());
        }
        let out = bytes_of::<R>(t.output, t.rows_out, [row, count, at]).map(<*const u8>::cast_mut);
        let hi = _mm256_set1_ps(t.hi);
        // Rounding keeps order: the bound of what is rounded is the bound, rounded.
        let lo = _mm256_set1_epi8(_mm_cvtsi128_si32(_mm_cvtps_epi32(_mm_set_ss(t.lo))) as i8);
        macro_rules! code {
            ($r:expr, $n:expr, $m:expr, $b:expr) => {{
                let mut y = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[$r][$n].0), $m), $b);
                if SECOND {
                    let x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(second[$r].add($n * WORDS).cast()));
                    y = _mm256_add_ps(y, _mm256_mul_ps(_mm256_cvtepi32_ps(x), _mm256_loadu_ps(factors.add(at + $n * WORDS))));
                }
                // Of two operands the second is taken where one is NaN.
                _mm256_cvtps_epi32(_mm256_min_ps(hi, y))
            }};
        }
        macro_rules! affine {
            ($n:expr) => {{
                let at = at + $n * WORDS;
                (_mm256_loadu_ps(t.m.as_ptr().add(at)), _mm256_loadu_ps(t.b.as_ptr().add(at)))
            }};
        }
        // Four vectors of a row from vector `n` on.
        macro_rules! across {
            ($n:literal) => {
                if N > $n {
                    let [(m0, b0), (m1, b1), (m2, b2), (m3, b3)] = [affine!($n), affine!($n + 1), affine!($n + 2), affine!($n + 3)];
                    let y = [code!(0, $n, m0, b0), code!(0, $n + 1, m1, b1), code!(0, $n + 2, m2, b2), code!(0, $n + 3, m3, b3)];
                    _mm256_storeu_si256(out[0].add($n * WORDS).cast(), pack(y, lo));
                }
            };
        }
        // Two vectors, from vector `n` on, of two rows.
        macro_rules! square {
            ($n:literal, $($r:literal)*) => {
                if N > $n {
                    let [(m0, b0), (m1, b1)] = [affine!($n), affine!($n + 1)];
                    $(if R > $r {
                        let next = (R - 1).min($r + 1);
                        let y = [code!($r, $n, m0, b0), code!($r, $n + 1, m1, b1), code!(next, $n, m0, b0), code!(next, $n + 1, m1, b1)];
                        let y = pack(y, lo);
                        _mm_storeu_si128(out[$r].add($n * WORDS).cast(), _mm256_castsi256_si128(y));
                        if R > $r + 1 {
                            _mm_storeu_si128(out[next].add($n * WORDS).cast(), _mm256_extracti128_si256::<1>(y));
                        }
                    })*
                }
            };
        }
        // A vector of four rows.
        macro_rules! down {
            ($($r:literal)*) => {
                let (m, b) = affine!(0);
                $(if R > $r {
                    let [second, third, fourth] = [(R - 1).min($r + 1), (R - 1).min($r + 2), (R - 1).min($r + 3)];
                    let y = pack([code!($r, 0, m, b), code!(second, 0, m, b), code!(third, 0, m, b), code!(fourth, 0, m, b)], lo);
                    let (first, last) = (_mm256_castsi256_si128(y), _mm256_extracti128_si256::<1>(y));
                    _mm_storel_epi64(out[$r].cast(), first);
                    if R > $r + 1 {
                        _mm_storeh_pd(out[second].cast(), _mm_castsi128_pd(first));
                    }
                    if R > $r + 2 {
                        _mm_storel_epi64(out[third].cast(), last);
                        _mm_storeh_pd(out[fourth].cast(), _mm_castsi128_pd(last));
                    }
                })*
            };
        }
        if N == 1 {
            down!(0 4);
        } else if R == 1 && N.is_multiple_of(4) {
            across!(0);
            across!(4);
        } else {
            square!(0, 0 2 4 6);
            square!(2, 0 2 4 6);
            square!(4, 0 2 4 6);
            square!(6, 0 2 4 6);
        }
    }
}
