//! Set `dsp`, for Cortex-M4, M7 and M33: two 16-bit products an instruction (`SMLAD`), results scaled by the
//! floating-point unit.
//!
//! Bytes are widened in pairs, 0 and 2, then 1 and 3 of a word, activations and weights alike, so that nothing has to be
//! shuffled: `x` gives `[x & 0x00ff00ff, x >> 8 & 0x00ff00ff]`.

mod change;
mod conv;
mod depthwise;
mod finish;
mod fours;
mod pairs;
mod sums;
mod total;

use super::super::scalar;
use super::{four, readable};
use crate::kernels::Kernels;

/// The scalar set with these entries.
pub static KERNELS: Kernels = Kernels {
    name: "dsp",
    conv: conv::conv,
    depthwise: depthwise::depthwise,
    pairs: pairs::pairs,
    compare: change::compare,
    drift: change::drift,
    judge: change::judge,
    sum: total::sum,
    ..scalar::KERNELS
};

/// Bytes 0 and 2, and bytes 1 and 3, as unsigned halves.
#[inline(always)]
fn unsigned(x: u32) -> [u32; 2] {
    [x & 0x00ff_00ff, x >> 8 & 0x00ff_00ff]
}
