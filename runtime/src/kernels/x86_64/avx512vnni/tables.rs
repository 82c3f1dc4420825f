//! A table for each channel, with VBMI: 64 pixels of 16 channels are transposed, so that a register holds codes of one channel.
//!
//! ```text
//! register k, lane l:   the 16 channels of pixel 4 k + l
//! transposed, lane l:   register ch holds pixels l, 4 + l, .. 60 + l of channel ch
//! ```
//!
//! Transposing 16 x 16 bytes in every lane is four rounds of unpacking register i with register i + 8; the same again undoes it.

use core::arch::x86_64::*;

use super::super::super::{TablesTile, scalar};
use super::vector::Table;

/// Channels of a block.
const BLOCK: usize = 16;

/// Pixels of a block, and the fewest that are worth one.
const PIXELS: usize = 64;
const FEWEST: usize = 12;

/// The entry `tables`, for channels in whole blocks and not too few pixels; else the scalar one.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn tables(t: &TablesTile) {
    let pixels = t.pixels;
    if !t.tables.len().is_multiple_of(BLOCK) || pixels < FEWEST {
        // SAFETY: the caller's.
        return unsafe { scalar::tables(t) };
    }
    for (block, tables) in t.tables.as_chunks::<BLOCK>().0.iter().enumerate() {
        let mut first = 0;
        while first < pixels {
            // The last block ends with the pixels and overlaps the one before; a single one may be short.
            let at = first.min(pixels.saturating_sub(PIXELS));
            let n = PIXELS.min(pixels);
            let [input, output] = t.step.map(|step| at * step + BLOCK * block);
            // SAFETY: 16 channels of `n` pixels from pixel `at` on.
            unsafe {
                let codes = transposed(load(t.input.add(input), t.step[0], n));
                let mut y = codes;
                for (y, table) in y.iter_mut().zip(tables) {
                    *y = Table::load(table).get(*y);
                }
                store(transposed(y), t.output.add(output), t.step[1], n);
            }
            first += PIXELS;
        }
    }
}

type Registers = [__m512i; BLOCK];

/// Four pixels a register; the last of `n` stands in for those beyond.
///
/// # Safety
/// 16 bytes of `n` pixels, `step` bytes apart, are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load(p: *const u8, step: usize, n: usize) -> Registers {
    let mut r = [_mm512_setzero_si512(); BLOCK];
    for (k, r) in r.iter_mut().enumerate() {
        // SAFETY: pixels `4 k..4 k + 4`, below `n`; adjacent ones are one load.
        unsafe {
            if step == BLOCK && 4 * k + 4 <= n {
                *r = _mm512_loadu_si512(p.add(4 * k * step).cast());
                continue;
            }
            let lane = |i: usize| _mm_loadu_si128(p.add((4 * k + i).min(n - 1) * step).cast());
            let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(0)), lane(1));
            let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(2)), lane(3));
            *r = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high);
        }
    }
    r
}

/// As [`load`].
///
/// # Safety
/// They are writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn store(r: Registers, p: *mut u8, step: usize, n: usize) {
    for (k, r) in r.iter().enumerate() {
        // SAFETY: pixels `4 k..4 k + 4`, below `n`.
        unsafe {
            let p = p.add(4 * k * step);
            if step == BLOCK && 4 * k + 4 <= n {
                _mm512_storeu_si512(p.cast(), *r);
                continue;
            }
            let lanes = [
                _mm512_castsi512_si128(*r),
                _mm512_extracti32x4_epi32::<1>(*r),
                _mm512_extracti32x4_epi32::<2>(*r),
                _mm512_extracti32x4_epi32::<3>(*r),
            ];
            for (i, lane) in lanes.into_iter().enumerate().take(n.saturating_sub(4 * k)) {
                _mm_storeu_si128(p.add(i * step).cast(), lane);
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transposed(mut r: Registers) -> Registers {
    for _ in 0..4 {
        let mut next = r;
        for i in 0..8 {
            next[2 * i] = _mm512_unpacklo_epi8(r[i], r[i + 8]);
            next[2 * i + 1] = _mm512_unpackhi_epi8(r[i], r[i + 8]);
        }
        r = next;
    }
    r
}
