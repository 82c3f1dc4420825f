//! Kernel sets for Cortex-M, named by features of the crate, since such a processor cannot be asked and the compiler
//! does not tell.
//!
//! Their loops are naked functions: they need all fourteen registers, of which `asm!` may name twelve.

mod dsp;

pub use dsp::KERNELS;
