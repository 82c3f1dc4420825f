//! The end of a convolution tile: sums to codes, without leaving the registers.
//!
//! Four vectors are packed together, four blocks of outputs of a row or one block of four rows, for less than narrowing each alone. The lower
//! bound is taken last, of bytes: NaN and what is too small for an integer became the least integer, and 0 of that.
//!
//! Everything is inlined into the tile and every index is constant, else the sums would go through memory.

use core::arch::x86_64::*;

use super::super::conv::bytes_of;
use super::vector::Zmm;
use crate::kernels::ConvTile;

/// Outputs of a vector.
const WORDS: usize = 16;

/// The bounds of a tile.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// The lower one, as bytes.
    lo: __m512i,
    hi: __m512,
}

// SAFETY of all below: the CPU has the features of the set, in whose functions these are inlined.
impl Bounds {
    #[inline(always)]
    pub(super) unsafe fn of(t: &ConvTile) -> Self {
        // Rounding keeps order: the bound of what is rounded is the bound, rounded.
        // SAFETY: features.
        unsafe {
            let lo = _mm_cvtsi128_si32(_mm_cvtps_epi32(_mm_set_ss(t.lo)));
            Bounds { lo: _mm512_set1_epi8(lo as i8), hi: _mm512_set1_ps(t.hi) }
        }
    }

    /// Scaled, below the upper bound and rounded; what is too small stays so.
    #[inline(always)]
    pub(super) unsafe fn round(self, y: __m512) -> __m512i {
        // SAFETY: features. Of two operands the second is taken where one is NaN.
        unsafe { _mm512_cvtps_epi32(_mm512_min_ps(self.hi, y)) }
    }

    /// The codes of four vectors, one after another.
    #[inline(always)]
    pub(super) unsafe fn pack(self, y: [__m512i; 4]) -> __m512i {
        // SAFETY: features.
        unsafe {
            let y = _mm512_packus_epi16(_mm512_packus_epi32(y[0], y[1]), _mm512_packus_epi32(y[2], y[3]));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, _mm512_max_epu8(y, self.lo))
        }
    }
}

/// See [`Vector::finish_whole`](super::super::vector::Vector::finish_whole). Rows that repeat the last one are stored again.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]), the rows and outputs are in it.
#[inline(always)]
pub(super) unsafe fn whole<const R: usize, const N: usize>(
    t: &ConvTile, row: usize, count: usize, at: usize, sums: &[[Zmm; N]; R],
) -> bool {
    if at + N * WORDS > t.oc {
        return false;
    }
    // SAFETY: the caller's.
    unsafe {
        match &t.residual {
            None => sums_to_codes::<R, N, false>(t, [row, count, at], sums),
            Some(_) => sums_to_codes::<R, N, true>(t, [row, count, at], sums),
        }
    }
    true
}

/// Of `count` rows from `row` on and outputs from `at` on, with a second input if `SECOND`.
///
/// # Safety
/// As [`whole`].
#[inline(always)]
unsafe fn sums_to_codes<const R: usize, const N: usize, const SECOND: bool>(
    t: &ConvTile, [row, count, at]: [usize; 3], sums: &[[Zmm; N]; R],
) {
    // SAFETY: features; arrays hold whole blocks; the rows hold `N` blocks from `at` on.
    unsafe {
        let (mut second, mut factors) = ([t.input; R], t.m.as_ptr());
        if let (true, Some(x)) = (SECOND, &t.residual) {
            (second, factors) = (bytes_of(x.input, x.rows, [row, count, at]), x.r.as_ptr());
        }
        let out = bytes_of::<R>(t.output, t.rows_out, [row, count, at]).map(<*const u8>::cast_mut);
        let bounds = Bounds::of(t);
        macro_rules! code {
            ($r:expr, $n:expr, $m:expr, $b:expr) => {{
                let mut y = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[$r][$n].0), $m), $b);
                if SECOND {
                    let x = _mm512_cvtepu8_epi32(_mm_loadu_si128(second[$r].add($n * WORDS).cast()));
                    y = _mm512_add_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(x), _mm512_loadu_ps(factors.add(at + $n * WORDS))));
                }
                bounds.round(y)
            }};
        }
        macro_rules! affine {
            ($n:expr) => {{
                let at = at + $n * WORDS;
                (_mm512_loadu_ps(t.m.as_ptr().add(at)), _mm512_loadu_ps(t.b.as_ptr().add(at)))
            }};
        }
        // Four blocks from block `n` on, row by row.
        macro_rules! across {
            ($n:literal) => {
                if N >= $n + 4 {
                    let [(m0, b0), (m1, b1), (m2, b2), (m3, b3)] = [affine!($n), affine!($n + 1), affine!($n + 2), affine!($n + 3)];
                    macro_rules! row {
                        ($r:literal) => {
                            if R > $r {
                                let y = [
                                    code!($r, $n, m0, b0),
                                    code!($r, $n + 1, m1, b1),
                                    code!($r, $n + 2, m2, b2),
                                    code!($r, $n + 3, m3, b3),
                                ];
                                _mm512_storeu_si512(out[$r].add($n * WORDS).cast(), bounds.pack(y));
                            }
                        };
                    }
                    row!(0);
                    row!(1);
                    row!(2);
                    row!(3);
                }
            };
        }
        // Block `n` of four rows from row `r` on.
        macro_rules! down {
            ($n:literal) => {
                if N > $n {
                    let (m, b) = affine!($n);
                    macro_rules! rows {
                        ($r:literal) => {
                            if R > $r {
                                let last = R - 1;
                                let y = [
                                    code!($r, $n, m, b),
                                    code!(last.min($r + 1), $n, m, b),
                                    code!(last.min($r + 2), $n, m, b),
                                    code!(last.min($r + 3), $n, m, b),
                                ];
                                let y = bounds.pack(y);
                                _mm_storeu_si128(out[$r].add($n * WORDS).cast(), _mm512_castsi512_si128(y));
                                if R > $r + 1 {
                                    _mm_storeu_si128(out[last.min($r + 1)].add($n * WORDS).cast(), _mm512_extracti32x4_epi32::<1>(y));
                                }
                                if R > $r + 2 {
                                    _mm_storeu_si128(out[last.min($r + 2)].add($n * WORDS).cast(), _mm512_extracti32x4_epi32::<2>(y));
                                    _mm_storeu_si128(out[last.min($r + 3)].add($n * WORDS).cast(), _mm512_extracti32x4_epi32::<3>(y));
                                }
                            }
                        };
                    }
                    rows!(0);
                    rows!(4);
                }
            };
        }
        if N.is_multiple_of(4) && R <= 4 {
            across!(0);
            across!(4);
        } else {
            down!(0);
            down!(1);
            down!(2);
        }
    }
}
