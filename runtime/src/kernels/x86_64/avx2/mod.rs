//! The set `avx2`.

mod columns;

use super::conv::{self as convolution, Panel};
use super::detect::Avx2;
use super::ymm::dot::{Folding, Folds, Widening};
use super::ymm::vector::Ymm;

super::ymm::set!("avx2", "avx2", Ymm<Widening>, columns::channels);

/// The set.
pub(super) fn kernels(_: Avx2) -> &'static Kernels {
    &SET
}

/// Rows from which folding wins back what it owes.
const MANY: usize = 8;

super::entries! { "avx2";
    /// Compiled by itself, as [`many`]: registers then are its own.
    #[inline(never)]
    fn few<const R: usize, const N: usize>(t: &ConvTile, row: usize, first: usize) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { convolution::tile::<Ymm<Widening>, R, N>(t, row, R, &Panel::packed(t, first)) }
    }

    #[inline(never)]
    fn many<const R: usize>(t: &ConvTile, row: usize, count: usize, panel: &Panel<Ymm<Folding>, 1>) {
        // SAFETY: as above.
        unsafe { convolution::tile::<Ymm<Folding>, R, 1>(t, row, count, panel) }
    }

    /// Rows `row..end` by eights; where those that are left begin.
    #[inline(never)]
    fn eights(t: &ConvTile, row: usize, end: usize, panel: &Panel<Ymm<Folding>, 1>) -> usize {
        let mut row = row;
        while end - row >= 8 {
            // SAFETY: as above.
            unsafe { convolution::tile::<Ymm<Folding>, 8, 1>(t, row, 8, panel) }
            row += 8;
        }
        row
    }

    /// One vector of outputs: its weights take two registers, and a row is loaded in the shadow of its four instructions.
    #[inline(never)]
    fn many_rows(t: &ConvTile) {
        let rows = t.rows_in.len();
        let mut folds = Folds::new();
        for first in 0..t.oc.div_ceil(8) {
            // SAFETY: the tile is valid and its quads have room (the caller); `row + count <= rows`.
            unsafe {
                let panel = folds.panel(t, first);
                let mut row = eights(t, 0, rows, &panel);
                while row < rows {
                    let left = rows - row;
                    row += match left {
                        5.. => { many::<8>(t, row, left.min(8), &panel); left.min(8) }
                        3.. => { many::<4>(t, row, left, &panel); left }
                        _ => { many::<2>(t, row, left, &panel); left }
                    };
                }
            }
        }
    }

    fn few_rows<const N: usize>(t: &ConvTile, first: usize) {
        let rows = t.rows_in.len();
        let mut row = 0;
        while row < rows {
            // SAFETY: the tile is valid (the caller); so many rows are left.
            unsafe {
                row += match rows - row {
                    4.. => { few::<4, N>(t, row, first); 4 }
                    3 => { few::<3, N>(t, row, first); 3 }
                    2 => { few::<2, N>(t, row, first); 2 }
                    _ => { few::<1, N>(t, row, first); 1 }
                };
            }
        }
    }

    fn conv(t: &ConvTile) {
        let vectors = t.oc.div_ceil(8);
        let many = t.rows_in.len() >= MANY && t.segments.len() * t.quads <= Folds::QUADS;
        let mut first = 0;
        // SAFETY: the tile is valid (the caller); vectors below `vectors` are in its blocks.
        unsafe {
            if many {
                many_rows(t);
                first = vectors;
            }
            while first < vectors {
                first += match vectors - first {
                    2.. => { few_rows::<2>(t, first); 2 }
                    _ => { few_rows::<1>(t, first); 1 }
                };
            }
            ymm::table::apply(t);
        }
    }
}
