//! Tables of 256 bytes, looked up 16 entries at a time.
//!
//! `pshufb` takes the low 4 bits of an index and gives 0 where its highest bit is set. With `T[i]` entries `16 i..16 i + 16` and
//! `D[i] = T[i] ^ T[i - 1]`, code `x` below 128 has the entry `D[0][x] ^ D[1][x - 16] ^ ..`, as long as `x - 16 i` is not negative; a
//! subtraction that saturates keeps it negative from then on. Codes from 128 are the same without their highest bit, from `T[8]`.

use core::arch::x86_64::*;

use super::super::{conv, vector::Vector};
use super::dot::Widening;
use super::vector::{Ymm, of};
use crate::kernels::ConvTile;

type Bytes = Ymm<Widening>;

/// A table as differences.
#[derive(Clone, Copy)]
pub(super) struct Table([__m256i; 16]);

impl Table {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(table: &[u8; 256]) -> Self {
        let mut d = [_mm256_setzero_si256(); 16];
        for (d, entries) in d.iter_mut().zip(table.as_chunks::<16>().0) {
            // SAFETY: 16 bytes.
            *d = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(entries.as_ptr().cast()) });
        }
        for i in [7, 6, 5, 4, 3, 2, 1] {
            d[i] = _mm256_xor_si256(d[i], d[i - 1]);
            d[8 + i] = _mm256_xor_si256(d[8 + i], d[7 + i]);
        }
        Table(d)
    }

    /// Entries of `N` vectors of codes, of which every step loads a part of the table once.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn get<const N: usize>(&self, codes: [__m256i; N]) -> [__m256i; N] {
        let (mut low, mut high, mut y) = (codes, codes, codes);
        for n in 0..N {
            high[n] = _mm256_xor_si256(codes[n], _mm256_set1_epi8(-128));
            y[n] = _mm256_xor_si256(_mm256_shuffle_epi8(self.0[0], low[n]), _mm256_shuffle_epi8(self.0[8], high[n]));
        }
        let next = _mm256_set1_epi8(16);
        for i in 1..8 {
            for n in 0..N {
                low[n] = _mm256_subs_epi8(low[n], next);
                high[n] = _mm256_subs_epi8(high[n], next);
                let (a, b) = (_mm256_shuffle_epi8(self.0[i], low[n]), _mm256_shuffle_epi8(self.0[8 + i], high[n]));
                y[n] = _mm256_xor_si256(y[n], _mm256_xor_si256(a, b));
            }
        }
        y
    }
}

/// Bytes that are worth the making of differences.
const LONG: usize = 512;

/// Without differences: with `t = x - 16 i`, exactly the codes of `T[i]` have `t < 16`; adding 0x70 with saturation keeps their low bits and sets the
/// highest bit of all others.
///
/// # Safety
/// As [`look_up`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn look_up_short(x: *const u8, out: *mut u8, n: usize, table: &[u8; 256]) {
    for at in (0..n).step_by(Bytes::BYTES) {
        let part = Bytes::BYTES.min(n - at);
        // SAFETY: `at + part <= n`; 16 bytes of the table.
        unsafe {
            let (mut codes, mut y) = (Bytes::load_part(x.add(at), part).0, _mm256_setzero_si256());
            for entries in table.as_chunks::<16>().0 {
                let entries = _mm256_broadcastsi128_si256(_mm_loadu_si128(entries.as_ptr().cast()));
                let index = _mm256_adds_epu8(codes, _mm256_set1_epi8(0x70));
                y = _mm256_or_si256(y, _mm256_shuffle_epi8(entries, index));
                codes = _mm256_sub_epi8(codes, _mm256_set1_epi8(16));
            }
            of::<Widening>(y).store_part(out.add(at), part);
        }
    }
}

/// `out[i] = table[x[i]]` for `n` bytes.
///
/// # Safety
/// `x` is readable, `out` writable; they are equal or do not overlap.
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn look_up(x: *const u8, out: *mut u8, n: usize, table: &[u8; 256]) {
    // SAFETY: the caller's.
    unsafe { if n < LONG { look_up_short(x, out, n, table) } else { look_up_long(x, out, n, table) } }
}

/// # Safety
/// As [`look_up`].
#[target_feature(enable = "avx2")]
unsafe fn look_up_long(x: *const u8, out: *mut u8, n: usize, table: &[u8; 256]) {
    let table = Table::new(table);
    let mut at = 0;
    while at + 2 * Bytes::BYTES <= n {
        // SAFETY: two vectors from `at` on are below `n`.
        unsafe {
            let [a, b] = [0, 32].map(|k| _mm256_loadu_si256(x.add(at + k).cast()));
            let [a, b] = table.get([a, b]);
            _mm256_storeu_si256(out.add(at).cast(), a);
            _mm256_storeu_si256(out.add(at + 32).cast(), b);
        }
        at += 2 * Bytes::BYTES;
    }
    while at < n {
        let part = Bytes::BYTES.min(n - at);
        // SAFETY: `at + part <= n`.
        unsafe {
            let [y] = table.get([Bytes::load_part(x.add(at), part).0]);
            of::<Widening>(y).store_part(out.add(at), part);
        }
        at += part;
    }
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
