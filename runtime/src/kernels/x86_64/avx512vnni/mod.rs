//! The set `avx512vnni`: AVX-512 F, BW, DQ, VL and VNNI; with VBMI, tables are looked up in registers.

mod finish;
mod halves;
mod tables;
mod vector;

use core::arch::x86_64::_pext_u64;

use super::super::{ConvTile, Kernels, LerpTile, scalar};
use super::conv::{self as convolution, Panel};
use super::detect::{Avx512Vbmi, Avx512Vnni};
use super::ymm;
use crate::mask;
use vector::Zmm;

/// The set, with the entries this CPU can run.
pub(super) fn kernels(_: Avx512Vnni, vbmi: Option<Avx512Vbmi>) -> &'static Kernels {
    static VNNI: Kernels = set::<false>();
    static VBMI: Kernels = set::<true>();
    if vbmi.is_some() { &VBMI } else { &VNNI }
}

const fn set<const VBMI: bool>() -> Kernels {
    Kernels {
        name: "avx512vnni",
        linked: crate::engine::Linked::ALL,
        conv: conv::<VBMI>,
        depthwise: depthwise::<VBMI>,
        pairs: scalar::pairs,
        max_pool,
        avg_pool,
        compare,
        drift,
        score,
        settle,
        judge,
        table: if VBMI { vector::table_vbmi } else { table },
        tables: if VBMI { tables::tables } else { ymm::tables },
        max,
        sum,
        lerp,
        pick: if VBMI { vector::pick_vbmi } else { ymm::pick },
        softmax,
        binary,
        map,
    }
}

/// [`mask::by_pixel`], bits picked by an instruction.
#[inline]
#[target_feature(enable = "bmi2")]
fn by_pixel(bytes: &[u64], c: usize) -> u64 {
    const THIRD: u64 = 0x9249_2492_4924_9249;
    let [a, b, d] = *bytes else { return mask::by_pixel(bytes, c) };
    let any = |word: u64, next: u64| word | (word >> 1 | next << 63) | (word >> 2 | next << 62);
    // A pixel's first bit is bit 0 of the first word, bit 2 of the second, bit 1 of the third.
    _pext_u64(any(a, b), THIRD) | _pext_u64(any(b, d), THIRD << 2) << 22 | _pext_u64(any(d, 0), THIRD << 1) << 43
}

super::rowwise!("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,bmi2", Zmm, |bytes, c| by_pixel(bytes, c));

super::entries! { "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,bmi2";
    fn tile<const R: usize, const N: usize>(t: &ConvTile, row: usize, count: usize, block: usize) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { convolution::tile::<Zmm, R, N>(t, row, count, &Panel::packed(t, block)) }
    }

    fn conv<const VBMI: bool>(t: &ConvTile) {
        // SAFETY: the tile is valid (the caller); rows and blocks below stay in it.
        unsafe {
            match t.rows_in.len() {
                1 => by_block::<1, 8>(t),
                2 => by_block::<2, 4>(t),
                3 | 4 => by_block::<4, 4>(t),
                _ => by_block::<8, 3>(t),
            }
            apply_table::<VBMI>(t);
        }
    }

    fn depthwise<const VBMI: bool>(t: &DepthwiseTile) {
        let rows = t.rows_in.len();
        let mut at = 0;
        if let Some(runs) = channelwise::Runs::of::<Zmm>(t) {
            // SAFETY: the tile is valid (the caller); the features are this function's.
            unsafe { channelwise::runs::<Zmm>(t, &runs) }
            at = t.oc;
        }
        while at < t.oc {
            let left = t.oc - at;
            // As many rows to a vector as leave the fewest lanes idle.
            // SAFETY: `at + n <= oc`; the tile is valid (the caller).
            unsafe {
                at += match left {
                    64.. => { channels::<1, true>(t, at, 64); 64 }
                    33.. if rows == 1 => { channels::<1, false>(t, at, left); left }
                    49.. => { channels::<1, false>(t, at, left); left }
                    32.. if rows > 1 => { channels::<2, true>(t, at, 32); 32 }
                    17.. if rows > 1 => { channels::<2, false>(t, at, left); left }
                    16 if rows > 2 => { channels::<4, true>(t, at, 16); 16 }
                    ..16 if rows > 2 => { channels::<4, false>(t, at, left); left }
                    _ if rows > 1 => { channels::<2, false>(t, at, left); left }
                    _ => { channels::<1, false>(t, at, left); left }
                };
            }
        }
        // SAFETY: the rows are written.
        unsafe { apply_table::<VBMI>(t) }
    }

    /// Blocks of 16 outputs outside, rows inside; `N` blocks and `R` rows to a tile while there are as many.
    fn by_block<const R: usize, const N: usize>(t: &ConvTile) {
        let half = halves::apply(t);
        let blocks = if half { t.oc / 16 } else { t.oc.div_ceil(16) };
        let mut block = 0;
        // SAFETY: `block + n <= blocks`, and half a block after them.
        unsafe {
            while block < blocks {
                let left = blocks - block;
                block += match left {
                    8.. if N >= 8 => { by_row::<R, 8>(t, block); 8 }
                    // Two pairs rather than three and one.
                    4 if N == 3 => { by_row::<R, 2>(t, block); 2 }
                    4.. if N >= 4 => { by_row::<R, 4>(t, block); 4 }
                    3.. => { by_row::<R, 3>(t, block); 3 }
                    _ if half => break,
                    2 => { by_row::<R, 2>(t, block); 2 }
                    _ => { by_row::<R, 1>(t, block); 1 }
                };
            }
            if half {
                match blocks - block {
                    0 => by_pair::<R, 0>(t, block),
                    1 => by_pair::<R, 1>(t, block),
                    _ => by_pair::<R, 2>(t, block),
                }
            }
        }
    }

    fn by_row<const R: usize, const N: usize>(t: &ConvTile, block: usize) {
        let rows = t.rows_in.len();
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            // SAFETY: `row + count <= rows`.
            unsafe {
                row += match left {
                    7.. if R == 8 => { tile::<8, N>(t, row, left.min(8), block); left.min(8) }
                    5.. if R == 8 => { tile::<6, N>(t, row, left.min(6), block); left.min(6) }
                    3.. if R >= 4 => { tile::<4, N>(t, row, left.min(4), block); left.min(4) }
                    2 if R >= 2 => { tile::<2, N>(t, row, 2, block); 2 }
                    _ => { tile::<1, N>(t, row, 1, block); 1 }
                };
            }
        }
    }

    /// As `by_row`, with half a block after `N` whole ones.
    fn by_pair<const R: usize, const N: usize>(t: &ConvTile, block: usize) {
        let rows = t.rows_in.len();
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            // SAFETY: `row + count <= rows`.
            unsafe {
                row += match left {
                    7.. if R == 8 => { halves::tile::<8, N>(t, row, left.min(8), block); left.min(8) }
                    5.. if R == 8 => { halves::tile::<6, N>(t, row, left.min(6), block); left.min(6) }
                    3.. if R >= 4 => { halves::tile::<4, N>(t, row, left.min(4), block); left.min(4) }
                    _ => { halves::tile::<2, N>(t, row, left.min(2), block); left.min(2) }
                };
            }
        }
    }

    fn apply_table<const VBMI: bool>(t: &ConvTile) {
        // SAFETY: the caller's; VBMI: the entry was chosen with its proof.
        unsafe {
            if VBMI {
                vector::apply_table_vbmi(t);
            } else {
                ymm::table::apply(t);
            }
        }
    }

    fn lerp(t: &LerpTile) {
        // SAFETY: the caller's; the features are this function's.
        unsafe {
            match t.c {
                ..=16 => rows::lerp::<Zmm, 4>(t),
                ..=32 => rows::lerp::<Zmm, 2>(t),
                _ => rows::lerp::<Zmm, 1>(t),
            }
        }
    }
    fn table(x: &[u8], out: &mut [u8], table: &[u8; 256]) {
        // SAFETY: within both slices, which do not overlap; AVX2 is part of the set's proof.
        unsafe { ymm::table::look_up(x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len()), table) }
    }
}
