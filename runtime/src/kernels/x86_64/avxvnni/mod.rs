//! The set `avxvnni`: AVX2 and the byte dot product in 256 bits (AVX-VNNI), for processors without AVX-512.

use super::conv::{self as convolution, Panel};
use super::detect::AvxVnni;
use super::ymm::dot::Vnni;
use super::ymm::vector::Ymm;

super::ymm::set!("avxvnni", "avx2,avxvnni", Ymm<Vnni>, ymm::none);

/// The set.
pub(super) fn kernels(_: AvxVnni) -> &'static Kernels {
    &SET
}

super::entries! { "avx2,avxvnni";
    fn tile<const R: usize, const N: usize>(t: &ConvTile, row: usize, count: usize, first: usize) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { convolution::tile::<Ymm<Vnni>, R, N>(t, row, count, &Panel::packed(t, first)) }
    }

    /// Compiled by itself: what many rows share costs one or two rows more than the call.
    #[inline(never)]
    fn lone<const R: usize, const N: usize>(t: &ConvTile, row: usize, first: usize) {
        // SAFETY: the caller's.
        unsafe { tile::<R, N>(t, row, R, first) }
    }

    fn conv(t: &ConvTile) {
        // SAFETY: the tile is valid (the caller).
        unsafe {
            match t.rows_in.len() {
                1 => by_vector::<1, 8>(t),
                2 => by_vector::<2, 4>(t),
                _ => by_vector::<8, 2>(t),
            }
            ymm::table::apply(t);
        }
    }

    /// Vectors of 8 outputs outside, rows inside; at most `N` vectors and `R` rows to a tile.
    fn by_vector<const R: usize, const N: usize>(t: &ConvTile) {
        let vectors = t.oc.div_ceil(8);
        let mut first = 0;
        while first < vectors {
            let left = vectors - first;
            // SAFETY: `first + n <= vectors`.
            unsafe {
                first += match left {
                    8.. if N >= 8 => { by_row::<R, 8>(t, first); 8 }
                    4.. if N >= 4 => { by_row::<R, 4>(t, first); 4 }
                    2.. => { by_row::<R, 2>(t, first); 2 }
                    _ => { by_row::<R, 1>(t, first); 1 }
                };
            }
        }
    }

    /// Twelve sums at most: with the weights and a row they fill the registers.
    fn by_row<const R: usize, const N: usize>(t: &ConvTile, first: usize) {
        let rows = t.rows_in.len();
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            // SAFETY: `row + count <= rows`.
            unsafe {
                row += match left {
                    7.. if R == 8 && N == 1 => { tile::<8, N>(t, row, left.min(8), first); left.min(8) }
                    5.. if R == 8 => { tile::<6, N>(t, row, left.min(6), first); left.min(6) }
                    3.. if R == 8 => { tile::<4, N>(t, row, left.min(4), first); left.min(4) }
                    2.. if R >= 2 => { lone::<2, N>(t, row, first); 2 }
                    _ => { lone::<1, N>(t, row, first); 1 }
                };
            }
        }
    }
}
