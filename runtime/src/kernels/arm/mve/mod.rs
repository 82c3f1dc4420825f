//! Set `mve`, for processors with Helium and its floating point (Cortex-M55, M85): 16 products an instruction.
//!
//! `VMLADAVA` adds the products of 16 bytes of two vectors to a register, of unsigned or of signed bytes, not mixed. So
//! weights are made unsigned by flipping their highest bit, which adds 128 to each, and sums start with -128 times
//! the sum of the pixel's activations. All of it is modulo 2^32, so the order does not matter.
//!
//! A load that gathers four words 64 bytes apart takes four quads of one output from the packing.
//!
//! Vector floating point flushes numbers below 2^-126 to zero. Codes do not notice: a product or a sum so changed
//! differs by less than 2^-94, which next to anything that rounds to a code other than 0 is lost in its rounding.

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
    name: "mve",
    conv: conv::conv,
    depthwise: depthwise::depthwise,
    pairs: pairs::pairs,
    compare: change::compare,
    drift: change::drift,
    sum: total::sum,
    ..scalar::KERNELS
};
