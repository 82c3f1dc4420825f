//! The set `avx2`: exact products of widened bytes (see [`vector`]).

pub(super) mod table;
mod vector;

use super::super::{Bin, CompareTile, ConvTile, DepthwiseTile, DriftTile, JudgeTile, Kernels, LerpTile, Operand, PoolTile, Row, Uni, compare as lines};
use super::detect::Avx2;
use super::{conv as convolution, depthwise as channelwise, judge, pool, rows};
use crate::mask;
use vector::Ymm;

/// The set.
pub(super) fn kernels(_: Avx2) -> &'static Kernels {
    static AVX2: Kernels = Kernels {
        name: "avx2",
        conv,
        depthwise,
        max_pool,
        avg_pool,
        compare,
        drift,
        score,
        settle,
        judge,
        table,
        tables: super::super::scalar::tables,
        max,
        sum,
        lerp,
        pick: super::super::scalar::pick,
        softmax,
        binary,
        map,
    };
    &AVX2
}

/// Declares entries with the features of the set.
macro_rules! entries {
    ($($(#[$doc:meta])* fn $name:ident $(<$(const $c:ident: $ct:ty),*>)? ($($args:tt)*) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            #[target_feature(enable = "avx2")]
            unsafe fn $name $(<$(const $c: $ct),*>)? ($($args)*) $(-> $ret)? $body
        )*
    };
}

entries! {
    /// Two vectors are a block of 16 outputs.
    fn tile<const R: usize>(t: &ConvTile, row: usize, count: usize, block: usize) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { convolution::tile::<Ymm, R, 2>(t, row, count, block) }
    }

    fn conv(t: &ConvTile) {
        let rows = t.rows_in.len();
        for block in 0..t.oc.div_ceil(16) {
            let mut row = 0;
            while row < rows {
                let left = rows - row;
                // SAFETY: the tile is valid (the caller); `row + count <= rows`.
                unsafe {
                    row += match left {
                        4.. => { tile::<4>(t, row, 4, block); 4 }
                        3 => { tile::<3>(t, row, 3, block); 3 }
                        2 => { tile::<2>(t, row, 2, block); 2 }
                        _ => { tile::<1>(t, row, 1, block); 1 }
                    };
                }
            }
        }
        // SAFETY: the rows are written.
        unsafe { table::apply(t) }
    }

    fn depthwise(t: &DepthwiseTile) {
        let rows = t.rows_in.len();
        let runs = channelwise::in_runs::<Ymm>(t);
        if runs {
            // SAFETY: the tile is valid (the caller); the features are this function's.
            unsafe { channelwise::runs::<Ymm>(t) }
        }
        let mut at = if runs { t.oc } else { 0 };
        while at < t.oc {
            let left = t.oc - at;
            // SAFETY: `at + n <= oc`; the tile is valid (the caller).
            unsafe {
                at += match left {
                    32.. => { channels::<1, true>(t, at, 32); 32 }
                    17.. if rows < 8 => { channels::<1, false>(t, at, left); left }
                    16.. if rows > 1 => { channels::<2, true>(t, at, 16); 16 }
                    _ if rows > 1 => { channels::<2, false>(t, at, left); left }
                    _ => { channels::<1, false>(t, at, left); left }
                };
            }
        }
        // SAFETY: the rows are written.
        unsafe { table::apply(t) }
    }

    fn channels<const ROWS: usize, const FULL: bool>(t: &DepthwiseTile, at: usize, n: usize) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { channelwise::channels::<Ymm, ROWS, FULL>(t, at, n) }
    }

    fn max_pool(t: &PoolTile) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { pool::max::<Ymm>(t) }
    }
    fn avg_pool(t: &PoolTile) {
        // SAFETY: as above.
        unsafe { pool::mean::<Ymm>(t) }
    }
    fn compare(t: &CompareTile, marks: [&mut [u64]; 2]) -> bool {
        // SAFETY: here and below: the features are this function's.
        lines::line(t, marks, |new, held, thresholds| unsafe { rows::exceed::<Ymm>(new, held, thresholds) }, mask::by_pixel)
    }
    fn drift(t: &DriftTile, sums: &mut [i32]) {
        // SAFETY: the caller's; the features are this function's.
        unsafe { rows::drift::<Ymm>(t, sums) }
    }
    fn score(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32 {
        // SAFETY: features.
        unsafe { judge::score::<Ymm>(new, held, weights, dead) }
    }
    fn judge(t: &JudgeTile) -> u64 {
        // SAFETY: the caller's; the features are this function's.
        unsafe { judge::judge::<Ymm>(t) }
    }

    fn settle(new: &[u8], held: &mut [u8], dead: u8) {
        // SAFETY: features.
        unsafe { judge::settle::<Ymm>(new, held, dead) }
    }
    fn max(x: &[u8], out: &mut [u8]) {
        // SAFETY: features.
        unsafe { rows::max::<Ymm>(x, out) }
    }
    fn sum(x: &[u8], out: &mut [i32]) {
        // SAFETY: features.
        unsafe { rows::sum::<Ymm>(x, out) }
    }
    fn lerp(t: &LerpTile) {
        // SAFETY: the caller's; the features are this function's.
        unsafe {
            match t.c {
                ..=16 => rows::lerp::<Ymm, 2>(t),
                _ => rows::lerp::<Ymm, 1>(t),
            }
        }
    }
    fn table(x: &[u8], out: &mut [u8], table: &[u8; 256]) {
        // SAFETY: within both slices, which do not overlap; the features are this function's.
        unsafe { table::look_up(x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len()), table) }
    }
    fn softmax(a: &Operand, c: usize, row: &mut Row) {
        super::super::rows::softmax(a, c, row);
    }
    fn binary(bin: &Bin, row: &mut Row) {
        super::super::rows::binary(bin, row);
    }
    fn map(uni: &Uni, row: &mut Row) {
        super::super::rows::map(uni, row);
    }
}
