//! Kernel set for 32-bit ARM with the DSP extension: Cortex-M4, M7 and most M33, named by the feature `dsp`, since
//! such a processor cannot be asked and the compiler does not tell.

mod dsp;

pub use dsp::KERNELS;
