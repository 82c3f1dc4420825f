//! Channels by index: every 32 result bytes are put together from the 16-byte pieces of the row they come from, by `pshufb`.

use core::arch::x86_64::*;
use core::ops::Range;

use super::super::vector::Vector;
use super::dot::Widening;
use super::vector::{load_lane, of};
use crate::kernels::{PickTile, scalar};

/// Bytes of a piece.
const PIECE: usize = 16;
/// Pieces of the rows that are taken.
const PIECES: usize = 16;
/// Where a byte lies that comes from another piece: `pshufb` makes 0 of it.
const ELSEWHERE: u8 = 0x80;
/// The fewest rows that are worth the preparation.
const FEWEST: usize = 4;

/// What one piece gives to 32 result bytes.
#[derive(Clone, Copy)]
struct Part {
    /// Its first byte in the row.
    at: usize,
    /// Where each result byte lies in it, or [`ELSEWHERE`].
    from: __m256i,
}

/// See [`Kernels::pick`](crate::kernels::Kernels::pick).
///
/// # Safety
/// Rows are readable, results writable and disjoint.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn pick(t: &PickTile) {
    if t.c > PIECE * PIECES || t.rows_in.len() < FEWEST {
        // SAFETY: the caller's.
        return unsafe { scalar::pick(t) };
    }
    let bytes = PIECE.min(t.c);
    for (k, index) in t.index.chunks(32).enumerate() {
        // The last piece ends with the row; bytes that the one before has too are taken from that.
        let at = |piece: usize| (PIECE * piece).min(t.c - bytes);
        let mut from = [[ELSEWHERE; 32]; PIECES];
        for (i, &k) in index.iter().enumerate() {
            let piece = k as usize / PIECE;
            from[piece][i] = (k as usize - at(piece)) as u8;
        }
        let mut parts = [Part { at: 0, from: _mm256_setzero_si256() }; PIECES];
        let mut used = 0;
        for (piece, from) in from.iter().enumerate().take(t.c.div_ceil(PIECE)) {
            // SAFETY: 32 bytes.
            let from = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
            if _mm256_movemask_epi8(from) != -1 {
                parts[used] = Part { at: at(piece), from };
                used += 1;
            }
        }
        let to = 32 * k..32 * k + index.len();
        // SAFETY: pieces lie in a row of `c` bytes; the results are the row's from byte `32 k` on.
        unsafe {
            match used {
                _ if bytes < PIECE => put::<0, false>(t, &parts[..used], to),
                1 => put::<1, true>(t, &parts, to),
                2 => put::<2, true>(t, &parts, to),
                3 => put::<3, true>(t, &parts, to),
                4 => put::<4, true>(t, &parts, to),
                _ => put::<0, true>(t, &parts[..used], to),
            }
        }
    }
}

/// Bytes `to` of all results from parts of whole pieces if `WHOLE`; the first `N` of them, all if 0.
///
/// # Safety
/// Parts lie in the rows; results are writable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn put<const N: usize, const WHOLE: bool>(t: &PickTile, parts: &[Part], to: Range<usize>) {
    let parts = if N > 0 { &parts[..N] } else { parts };
    let bytes = if WHOLE { PIECE } else { t.c };
    for (&row, &out) in t.rows_in.iter().zip(t.rows_out) {
        let mut y = _mm256_setzero_si256();
        // SAFETY: the caller's.
        unsafe {
            for part in parts {
                let x = load_lane(t.input.add(row as usize + part.at), bytes);
                y = _mm256_or_si256(y, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), part.from));
            }
            of::<Widening>(y).store_part(t.output.add(out as usize + to.start), to.len());
        }
    }
}
