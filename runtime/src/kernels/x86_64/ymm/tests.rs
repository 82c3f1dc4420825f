//! Tiles in the shapes of `avxvnni` with the dot step of `avx2`: of them all but that step is tested on any core with AVX2.

use std::vec::Vec;

use super::super::conv;
use super::dot::Widening;
use super::vector::Ymm;
use crate::kernels::{ConvLayer, ConvTile, Residual, scalar};

const ROWS: usize = 8;
const OC: usize = 64;
const QUADS: usize = 3;

/// Bytes without order.
fn bytes(n: usize, seed: u32) -> Vec<u8> {
    (0..n as u32).map(|i| ((i + seed).wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize, const N: usize>(t: &ConvTile, count: usize, first: usize) {
    // SAFETY: the caller's.
    unsafe { conv::tile::<Ymm<Widening>, R, N>(t, ROWS - count, count, &conv::Panel::packed(t, first)) }
}

/// Every shape, whole and with repeated rows, with and without a second input, against the scalar set.
#[test]
fn shapes_of_avxvnni() {
    if !std::is_x86_feature_detected!("avx2") {
        std::println!("skipped: no AVX2");
        return;
    }
    let (input, second) = (bytes(ROWS * 4 * QUADS, 1), bytes(ROWS * OC, 2));
    let weights: Vec<i8> = bytes(OC * 4 * QUADS, 3).iter().map(|&w| w as i8).collect();
    let rows = |step: usize| -> Vec<u32> { (0..ROWS).map(|i| (i * step) as u32).collect() };
    // Sums are of the order of 4e4 either way; some results leave the bounds.
    let m: Vec<f32> = (0..OC).map(|k| 4e-3 + 1e-5 * k as f32).collect();
    let (b, r): (Vec<f32>, Vec<f32>) = (0..OC).map(|k| (100.0 + k as f32, 0.1 + 0.01 * k as f32)).unzip();
    let layer =
        ConvLayer { segments: &[0], quads: QUADS, weights: &weights, oc: OC, m: &m, b: &b, lo: 3.0, hi: 250.0, table: None, real: false };
    let (rows_in, rows_out) = (rows(4 * QUADS), rows(OC));
    for residual in [false, true] {
        let run = |tile: &dyn Fn(&ConvTile)| {
            let mut output = std::vec![0u8; ROWS * OC];
            let residual = residual.then_some(Residual { input: second.as_ptr(), rows: &rows_out, r: &r });
            let (input, output_at) = (input.as_ptr(), output.as_mut_ptr());
            tile(&ConvTile { layer: &layer, input, rows_in: &rows_in, residual, output: output_at, rows_out: &rows_out });
            output
        };
        // SAFETY: the tile is as it has to be.
        let expected = run(&|t| unsafe { (scalar::KERNELS.conv)(t) });
        assert!(expected.contains(&3) && expected.contains(&250), "no result reaches the bounds");
        macro_rules! shape {
            ($($r:literal $n:literal;)*) => {$(
                for (count, first) in [($r, 0), ($r, 8 - $n), (1.max($r - 1), 0)] {
                    // SAFETY: as above; AVX2 was detected, vectors from `first` on are in the tile.
                    let found = run(&|t| unsafe { tile::<$r, $n>(t, count, first) });
                    for row in ROWS - count..ROWS {
                        let of = |codes: &[u8]| codes[OC * row + 8 * first..][..8 * $n].to_vec();
                        assert_eq!(of(&found), of(&expected), "{} rows of {}, row {row}, {} vectors from {first}, residual {residual}", count, $r, $n);
                    }
                }
            )*};
        }
        shape!(1 8; 1 4; 1 2; 1 1; 2 4; 2 2; 2 1; 4 2; 4 1; 6 2; 6 1; 8 2; 8 1;);
    }
}
