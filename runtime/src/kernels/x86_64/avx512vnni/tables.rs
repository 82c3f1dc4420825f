//! A table for each channel, with VBMI: 64 pixels of 16 channels are transposed, so that a register holds codes of one channel.
//!
//! ```text
//! register k, lane l:   the 16 channels of pixel 4 k + l
//! transposed, lane l:   register ch holds pixels l, 4 + l, .. 60 + l of channel ch
//! ```
//!
//! Transposing 16 x 16 bytes in every lane is four rounds of unpacking register i with register i + 8; the same again undoes it.

use core::arch::x86_64::*;

use super::super::super::scalar;
use super::vector::Table;

/// Channels of a block.
const BLOCK: usize = 16;

/// Pixels of a block.
const PIXELS: usize = 64;

/// The entry `tables`, for channels in whole blocks and at least [`PIXELS`] pixels; else the scalar one.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn tables(x: &[u8], out: &mut [u8], tables: &[[u8; 256]]) {
    let c = tables.len();
    let pixels = x.len().min(out.len()) / c.max(1);
    if !c.is_multiple_of(BLOCK) || pixels < PIXELS {
        return scalar::tables(x, out, tables);
    }
    for (block, tables) in tables.as_chunks::<BLOCK>().0.iter().enumerate() {
        let mut first = 0;
        while first < pixels {
            // The last block ends with the pixels and overlaps the one before.
            let at = first.min(pixels - PIXELS) * c + BLOCK * block;
            // SAFETY: 16 channels of 64 pixels from `at` on, `c` bytes apart.
            unsafe {
                let codes = transposed(load(x.as_ptr().add(at), c));
                let mut y = codes;
                for (y, table) in y.iter_mut().zip(tables) {
                    *y = Table::load(table).get(*y);
                }
                store(transposed(y), out.as_mut_ptr().add(at), c);
            }
            first += PIXELS;
        }
    }
}

type Registers = [__m512i; BLOCK];

/// Four pixels a register.
///
/// # Safety
/// 16 bytes of 64 pixels, `step` bytes apart, are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load(p: *const u8, step: usize) -> Registers {
    let mut r = [_mm512_setzero_si512(); BLOCK];
    for (k, r) in r.iter_mut().enumerate() {
        // SAFETY: pixels `4 k..4 k + 4`; adjacent ones are one load.
        unsafe {
            let p = p.add(4 * k * step);
            if step == BLOCK {
                *r = _mm512_loadu_si512(p.cast());
                continue;
            }
            let lane = |i: usize| _mm_loadu_si128(p.add(i * step).cast());
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
unsafe fn store(r: Registers, p: *mut u8, step: usize) {
    for (k, r) in r.iter().enumerate() {
        // SAFETY: pixels `4 k..4 k + 4`.
        unsafe {
            let p = p.add(4 * k * step);
            if step == BLOCK {
                _mm512_storeu_si512(p.cast(), *r);
                continue;
            }
            _mm_storeu_si128(p.cast(), _mm512_castsi512_si128(*r));
            _mm_storeu_si128(p.add(step).cast(), _mm512_extracti32x4_epi32::<1>(*r));
            _mm_storeu_si128(p.add(2 * step).cast(), _mm512_extracti32x4_epi32::<2>(*r));
            _mm_storeu_si128(p.add(3 * step).cast(), _mm512_extracti32x4_epi32::<3>(*r));
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
