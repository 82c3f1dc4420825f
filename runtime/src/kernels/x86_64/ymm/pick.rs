//! Channels by index: every 32 result bytes are put together from the 16-byte pieces of the row they come from, by `pshufb`.

use core::arch::x86_64::*;

use super::super::vector::Vector;
use super::dot::Widening;
use super::vector::{load_lane, of};
use crate::kernels::{PickTile, scalar};

/// Bytes of a piece.
const PIECE: usize = 16;
/// Pieces of the rows that are taken.
const PIECES: usize = 16;
/// The fewest rows that are worth the preparation.
const FEWEST: usize = 4;

/// What one piece gives to 32 result bytes.
#[derive(Clone, Copy)]
struct Part {
    /// Its first byte in the row.
    at: usize,
    /// Where each result byte lies in it; the highest bit where it comes from another.
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
        let mut parts = [Part { at: 0, from: _mm256_setzero_si256() }; PIECES];
        let mut used = 0;
        for piece in 0..t.c.div_ceil(PIECE) {
            // The last piece ends with the row; bytes that the one before has too are taken from that.
            let at = (PIECE * piece).min(t.c - bytes);
            let mut from = [0x80u8; 32];
            for (from, &k) in from.iter_mut().zip(index) {
                if k as usize / PIECE == piece {
                    *from = (k as usize - at) as u8;
                }
            }
            if from.iter().any(|&from| from < 0x80) {
                // SAFETY: 32 bytes.
                parts[used] = Part { at, from: unsafe { _mm256_loadu_si256(from.as_ptr().cast()) } };
                used += 1;
            }
        }
        for (&row, &out) in t.rows_in.iter().zip(t.rows_out) {
            let mut y = _mm256_setzero_si256();
            // SAFETY: pieces lie in a row of `c` bytes; the results are the row's from byte `32 k` on.
            unsafe {
                for part in &parts[..used] {
                    let x = load_lane(t.input.add(row as usize + part.at), bytes);
                    y = _mm256_or_si256(y, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), part.from));
                }
                of::<Widening>(y).store_part(t.output.add(out as usize + 32 * k), index.len());
            }
        }
    }
}
