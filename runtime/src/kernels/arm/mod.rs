//! Kernel sets for Cortex-M, named by features of the crate, since such a processor cannot be asked and the compiler
//! does not tell.
//!
//! Their loops are naked functions: they need all fourteen registers, of which `asm!` may name twelve, and vector
//! registers, which it may not name at all.

/// The first line of what the assembler gets: a processor that has its instructions. The assembler learns of no feature of the
/// target where a program is optimised as a whole (`lto`), and Helium only by `-Ctarget-cpu`.
macro_rules! processor {
    (dsp) => {
        ".cpu cortex-m33"
    };
    (mve) => {
        ".cpu cortex-m55"
    };
}

#[cfg(feature = "dsp")]
mod dsp;
#[cfg(feature = "mve")]
mod mve;

use super::{ConvTile, Kernels};

/// The sets of the enabled features, slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    [
        #[cfg(feature = "dsp")]
        &dsp::KERNELS,
        #[cfg(feature = "mve")]
        &mve::KERNELS,
    ]
    .into_iter()
}

/// The last of them.
#[cfg(not(feature = "mve"))]
pub const BEST: &Kernels = &dsp::KERNELS;
/// The last of them.
#[cfg(feature = "mve")]
pub const BEST: &Kernels = &mve::KERNELS;

/// Their names.
pub const NAMES: &[&str] = &[
    "scalar",
    #[cfg(feature = "dsp")]
    "dsp",
    #[cfg(feature = "mve")]
    "mve",
];

/// Whether the loops can read the tile's weights: whole words, as many as the tile says.
fn readable(t: &ConvTile, bytes: usize) -> bool {
    t.weights.len() >= bytes && t.weights.as_ptr().cast::<u32>().is_aligned()
}

/// Four rows from row `i` on; of three that are left the last twice.
#[inline(always)]
fn four(rows: &[u32], i: usize) -> [u32; 4] {
    match rows.get(i..) {
        Some([a, b, c, d, ..]) => [*a, *b, *c, *d],
        Some([a, b, c]) => [*a, *b, *c, *c],
        _ => [0; 4],
    }
}
