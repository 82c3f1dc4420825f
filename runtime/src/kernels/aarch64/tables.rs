//! A table for each channel: channels become lines of pixels, which 16 registers of entries serve at once.
//!
//! ```text
//! 16 pixels x 16 channels:  transpose (64 zips)  ->  a vector a channel, 16 pixels  ->  look up  ->  transpose back
//! ```
//!
//! A piece of up to [`PIXELS`] pixels is transposed into a buffer, looked up channel by channel so that a table is loaded once a piece,
//! and transposed back.

use core::arch::aarch64::*;
use core::mem::MaybeUninit;

use super::super::{TablesTile, scalar};
use super::table::Table;

/// Vectors of 16 pixels in a piece.
const VECTORS: usize = 8;
const PIXELS: usize = 16 * VECTORS;

/// Fewer pixels do not repay the loading of tables.
const FEW: usize = 32;

/// `[channel][vector]`.
type Piece = [[MaybeUninit<uint8x16_t>; VECTORS]; 16];

/// See [`Kernels::tables`](super::super::Kernels::tables).
///
/// # Safety
/// The tile is valid.
pub(super) unsafe fn tables(t: &TablesTile) {
    let (whole, c) = (t.pixels / 16 * 16, t.tables.len());
    // SAFETY: pixels and channels below are the tile's; parts of a valid tile are valid.
    unsafe {
        if whole < FEW || c < 16 {
            return scalar::tables(t);
        }
        let mut piece: Piece = [[MaybeUninit::uninit(); VECTORS]; 16];
        for first in (0..whole).step_by(PIXELS) {
            let vectors = (whole - first).min(PIXELS) / 16;
            let (x, out) = (t.input.add(first * t.step[0]), t.output.add(first * t.step[1]));
            for (at, tables) in (0..).step_by(16).zip(t.tables.as_chunks::<16>().0) {
                for v in 0..vectors {
                    let rows = load(x.add(16 * v * t.step[0] + at), t.step[0]);
                    for (line, row) in piece.iter_mut().zip(transposed(rows)) {
                        line[v].write(row);
                    }
                }
                for (line, table) in piece.iter_mut().zip(tables) {
                    let table = Table::load(table.as_ptr(), 256);
                    for x in &mut line[..vectors] {
                        x.write(table.get(x.assume_init()));
                    }
                }
                for v in 0..vectors {
                    let mut rows = [vdupq_n_u8(0); 16];
                    for (row, line) in rows.iter_mut().zip(&piece) {
                        *row = line[v].assume_init();
                    }
                    let out = out.add(16 * v * t.step[1] + at);
                    for (i, row) in transposed(rows).into_iter().enumerate() {
                        vst1q_u8(out.add(i * t.step[1]), row);
                    }
                }
            }
        }
        // Channels and pixels left over.
        let at = c / 16 * 16;
        scalar::tables(&TablesTile { input: t.input.add(at), output: t.output.add(at), tables: &t.tables[at..], pixels: whole, ..*t });
        let (input, output) = (t.input.add(whole * t.step[0]), t.output.add(whole * t.step[1]));
        scalar::tables(&TablesTile { input, output, pixels: t.pixels - whole, ..*t });
    }
}

/// 16 bytes of each of 16 pixels.
#[inline(always)]
unsafe fn load(p: *const u8, step: usize) -> [uint8x16_t; 16] {
    // SAFETY: readable (the caller).
    unsafe {
        let mut rows = [vdupq_n_u8(0); 16];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = vld1q_u8(p.add(i * step));
        }
        rows
    }
}

/// Four times, vectors 8 apart are zipped: each time a bit of the byte's number moves to the vector's.
#[inline(always)]
unsafe fn transposed(mut x: [uint8x16_t; 16]) -> [uint8x16_t; 16] {
    for _ in 0..4 {
        let mut y = x;
        for i in 0..8 {
            // SAFETY: NEON is part of the target.
            unsafe {
                y[2 * i] = vzip1q_u8(x[i], x[i + 8]);
                y[2 * i + 1] = vzip2q_u8(x[i], x[i + 8]);
            }
        }
        x = y;
    }
    x
}
