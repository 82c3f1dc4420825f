//! Kernel set for 32-bit ARM with the DSP extension: Cortex-M4, M7, M33 and M55 as usually built, named by the feature `dsp`, since
//! such a processor cannot be asked and the compiler does not tell.

mod dsp;

pub use dsp::KERNELS;
