//! Tables of 256 bytes, looked up 16 entries at a time.
//!
//! `pshufb` takes the low 4 bits of an index and gives 0 where its highest bit is set. With `t = x - 16 i`, exactly the
//! codes of entries `16 i..16 i + 16` have `t < 16`; adding 0x70 with saturation keeps their low bits and sets the
//! highest bit of all others. The 16 results are joined by `or`.

use core::arch::x86_64::*;

use super::super::{conv, vector::Vector};
use super::vector::Ymm;
use crate::kernels::ConvTile;

/// `out[i] = table[x[i]]` for `n` bytes.
///
/// # Safety
/// `x` is readable, `out` writable; they are equal or do not overlap.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn look_up(x: *const u8, out: *mut u8, n: usize, table: &[u8; 256]) {
    let mut at = 0;
    while at < n {
        let part = Ymm::BYTES.min(n - at);
        // SAFETY: `at + part <= n`.
        unsafe {
            let codes = Ymm::load_part(x.add(at), part);
            Ymm(get(codes.0, table)).store_part(out.add(at), part);
        }
        at += part;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn get(mut codes: __m256i, table: &[u8; 256]) -> __m256i {
    let mut y = _mm256_setzero_si256();
    for entries in table.as_chunks::<16>().0 {
        // SAFETY: 16 bytes.
        let entries = unsafe { _mm_loadu_si128(entries.as_ptr().cast()) };
        let index = _mm256_adds_epu8(codes, _mm256_set1_epi8(0x70));
        y = _mm256_or_si256(
            y,
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), index),
        );
        codes = _mm256_sub_epi8(codes, _mm256_set1_epi8(16));
    }
    y
}

/// Looks the codes of a finished tile up.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]) and its rows are written.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn apply(t: &ConvTile) {
    if let Some((table, runs)) = conv::untabled(t) {
        for (run, n) in runs {
            // SAFETY: the run holds `n` codes, now written (the caller).
            unsafe { look_up(run, run, n, table) }
        }
    }
}
