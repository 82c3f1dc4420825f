//! Kernel sets for 64-bit ARM: `neon`, which every such processor with an operating system has, `dotprod` (Armv8.2, A55 and
//! A76 on) and `i8mm` (Armv8.6).
//!
//! All read the packing `K4N16`: 16 bytes of it are 4 outputs times 4 inputs, the operand of a byte dot product with
//! four 32-bit results. What differs is the instruction that takes it:
//!
//! | set | products | codes times weights |
//! |---|---|---|
//! | `neon` | `smull`, `smlal`, `sadalp` | signed: codes less 128 |
//! | `dotprod` | `sdot` by element | signed: codes less 128 |
//! | `i8mm` | `usmmla` on two quads, zipped; `usdot` | mixed: codes as they are |
//!
//! A code less 128 is its bits with the highest one flipped. The difference, 128 times the sum of an output's weights, is
//! added back in the start value of the sums: all of it is integers modulo 2^32, so the order does not matter.
//!
//! The entries `max`, `sum`, `binary` and `map` are the loops of the specification: NEON is part of the target here, and the
//! compiler makes vectors of them, as of `softmax` in blocks.

// Arrays stay in registers where every index is a constant, in loops of constant length.
#![allow(clippy::needless_range_loop)]

mod conv;
mod depthwise;
mod detect;
mod dotprod;
mod finish;
mod fives;
mod i8mm;
mod neon;
mod part;
mod pool;
mod rows;
mod table;
mod tables;
mod threes;

use super::{Kernels, scalar};

/// The sets this CPU can run, slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    let dotprod = detect::DotProd::new().map(dotprod::kernels);
    let i8mm = detect::I8mm::new().map(i8mm::kernels);
    core::iter::once(&neon::KERNELS).chain(dotprod).chain(i8mm)
}

/// A set: these two entries of its own and all others of `neon`.
const fn set(name: &'static str, conv: unsafe fn(&super::ConvTile), depthwise: unsafe fn(&super::DepthwiseTile)) -> Kernels {
    Kernels {
        name,
        conv,
        depthwise,
        max_pool: pool::max,
        avg_pool: pool::mean,
        compare: rows::compare,
        drift: rows::drift,
        score: rows::score,
        settle: rows::settle,
        judge: rows::judge,
        table: table::table,
        tables: tables::tables,
        lerp: rows::lerp,
        pick: table::pick,
        softmax: super::rows::softmax,
        ..scalar::KERNELS
    }
}
