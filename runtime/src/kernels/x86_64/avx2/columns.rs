//! Columns of a depthwise 3 x 3 or 5 x 5 by `vpmaddwd`: two taps of a channel side by side as 16 bits, and the last one beside 0.
//!
//! ```text
//! widen a, b:         a0 a1 .. a7 | a8 .. a15        b0 b1 .. b7 | b8 .. b15
//! unpack low, high:   a0 b0 .. a3 b3 | a8 b8 .. a11 b11        a4 b4 .. a7 b7 | a12 b12 .. a15 b15
//! ```
//!
//! So sums of 16 channels are in the order that two rounds of packing make one. Eight channels fill one vector, in order. Weights
//! stay in memory, where the multiplication reads them.

use core::arch::x86_64::*;

use crate::kernels::DepthwiseTile;
use crate::kernels::columns::{self, Column, Grid};

/// Pairs of taps in a column of 5.
const PAIRS: usize = 3;

/// Weights, multipliers and offsets of `8 N` channels for `K` x `K` taps.
struct Pairs<const N: usize, const K: usize> {
    weights: [[[__m256i; N]; PAIRS]; K],
    m: [__m256; N],
    b: [__m256; N],
    lo: f32,
    hi: f32,
}

/// Part `n` of 64 bytes, 4 a channel, of the channels of vector `n` of `N`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn part<const N: usize>(p: *const u8, n: usize) -> __m256i {
    // SAFETY: 64 readable bytes, or 32 with one vector (the caller).
    unsafe {
        if N == 1 {
            return _mm256_loadu_si256(p.cast());
        }
        let at = |i: usize| _mm_loadu_si128(p.add(16 * i).cast());
        _mm256_set_m128i(at(2 + n), at(n))
    }
}

impl<const N: usize, const K: usize> Pairs<N, K> {
    /// Those of channels from `at`, a multiple of `8 N`.
    ///
    /// # Safety
    /// The tile is valid, has the channels and `K` x `K` taps.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new(t: &DepthwiseTile, at: usize) -> Self {
        // SAFETY: all quads of the channels' block, and its multipliers and offsets (validity of the tile).
        unsafe {
            let block = t.weights.as_ptr().cast::<u8>().add((at / 16 * t.quads * 16 + at % 16) * 4);
            // In the low 16 bits.
            let tap = |tap: usize, n: usize| {
                let quad = part::<N>(block.add(tap / 4 * 64), n);
                let shift = _mm_cvtsi32_si128(24 - 8 * (tap % 4) as i32);
                _mm256_srai_epi32::<24>(_mm256_sll_epi32(quad, shift))
            };
            let zero = _mm256_setzero_si256();
            let mut weights = [[[zero; N]; PAIRS]; K];
            for (j, weights) in weights.iter_mut().enumerate() {
                for (i, weights) in weights.iter_mut().enumerate().take(K.div_ceil(2)) {
                    for (n, weights) in weights.iter_mut().enumerate() {
                        let first = tap(2 * i * K + j, n);
                        let second = if 2 * i + 1 < K { tap((2 * i + 1) * K + j, n) } else { zero };
                        *weights = _mm256_blend_epi16::<0xaa>(first, _mm256_slli_epi32::<16>(second));
                    }
                }
            }
            let (mut m, mut b) = ([_mm256_setzero_ps(); N], [_mm256_setzero_ps(); N]);
            for n in 0..N {
                m[n] = _mm256_castsi256_ps(part::<N>(t.m.as_ptr().add(at).cast(), n));
                b[n] = _mm256_castsi256_ps(part::<N>(t.b.as_ptr().add(at).cast(), n));
            }
            Pairs { weights, m, b, lo: t.lo, hi: t.hi }
        }
    }
}

impl<const N: usize, const K: usize> Column<K> for Pairs<N, K> {
    type Codes = [[__m256i; N]; PAIRS];
    type Sums = [__m256i; N];

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(&self, p: [*const u8; K]) -> Self::Codes {
        let zero = _mm256_setzero_si256();
        let mut codes = [[zero; N]; PAIRS];
        for (codes, p) in codes.iter_mut().zip(p.chunks(2)) {
            // SAFETY: `8 N` bytes (the caller).
            unsafe {
                if N == 1 {
                    let a = _mm_loadl_epi64(p[0].cast());
                    let b = p.get(1).map_or(_mm_setzero_si128(), |b| _mm_loadl_epi64(b.cast()));
                    codes[0] = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
                } else {
                    let a = _mm256_cvtepu8_epi16(_mm_loadu_si128(p[0].cast()));
                    let b = p.get(1).map_or(zero, |b| _mm256_cvtepu8_epi16(_mm_loadu_si128(b.cast())));
                    codes[0] = _mm256_unpacklo_epi16(a, b);
                    codes[1] = _mm256_unpackhi_epi16(a, b);
                }
            }
        }
        codes
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add<const J: usize>(&self, sums: &mut [__m256i; N], column: Self::Codes) {
        for i in 0..K.div_ceil(2) {
            for n in 0..N {
                sums[n] = _mm256_add_epi32(sums[n], _mm256_madd_epi16(column[i][n], self.weights[J % K][i][n]));
            }
        }
    }

    #[inline(always)]
    fn start(&self) -> [__m256i; N] {
        // SAFETY: AVX2 is part of the set.
        [unsafe { _mm256_setzero_si256() }; N]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn put(&self, out: *mut u8, sums: [__m256i; N]) {
        let mut codes = [_mm256_setzero_si256(); 2];
        for n in 0..N {
            let y = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums[n]), self.m[n]), self.b[n]);
            codes[n] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(self.hi), y));
        }
        let words = _mm256_packus_epi32(codes[0], codes[N - 1]);
        let bytes = _mm256_packus_epi16(words, words);
        let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
        // The lower bound last: NaN and what is too small for an integer became the least integer, and 0 of that.
        let least = _mm_set1_epi8(self.lo as u8 as i8);
        // SAFETY: `8 N` bytes (the caller).
        unsafe {
            if N == 1 {
                _mm_storel_epi64(out.cast(), _mm_max_epu8(_mm_unpacklo_epi32(low, high), least));
            } else {
                _mm_storeu_si128(out.cast(), _mm_max_epu8(_mm_unpacklo_epi64(low, high), least));
            }
        }
    }
}

/// All rows of a tile and its channels in sixteens, with eight after them if these are the last: how many that are, 0 where this is not for
/// the tile.
///
/// # Safety
/// The tile is valid (see [`DepthwiseTile`]).
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn channels(t: &DepthwiseTile) -> usize {
    // SAFETY: the caller's.
    unsafe {
        match t.segments.len() {
            _ if t.real || t.residual.is_some() => 0,
            // Strings of rows do better.
            _ if t.oc < 32 && !t.oc.is_multiple_of(8) => 0,
            9 => Grid::<3>::of(t).map_or(0, |grid| with(t, &grid)),
            25 => Grid::<5>::of(t).map_or(0, |grid| with(t, &grid)),
            _ => 0,
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn with<const K: usize>(t: &DepthwiseTile, grid: &Grid<K>) -> usize {
    let end = if t.oc % 16 == 8 { t.oc } else { t.oc / 16 * 16 };
    let mut at = 0;
    // SAFETY: the channels are in the tile; features: this function's.
    unsafe {
        while at < end {
            // Sums of five outputs leave no registers for sixteen channels.
            if K == 3 && end - at >= 16 {
                columns::rows(t, at, grid, &Pairs::<2, K>::new(t, at));
                at += 16;
            } else {
                columns::rows(t, at, grid, &Pairs::<1, K>::new(t, at));
                at += 8;
            }
        }
    }
    end
}
