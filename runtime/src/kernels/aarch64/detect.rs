//! What the processor supports. Each answer is a value that only this file can make: holding one proves the check was made.
//!
//! With the standard library the operating system is asked; without it the features the program is compiled for count.
//! NEON needs no proof: this module exists only where the target has it.

/// Proof of `dotprod`.
#[derive(Clone, Copy)]
pub struct DotProd(());

/// Proof of `i8mm`.
#[derive(Clone, Copy)]
pub struct I8mm(());

macro_rules! has {
    ($feature:tt) => {{
        #[cfg(feature = "std")]
        let has = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}

impl DotProd {
    /// Asks the system.
    pub fn new() -> Option<Self> {
        has!("dotprod").then_some(DotProd(()))
    }
}

impl I8mm {
    /// Asks the system.
    pub fn new() -> Option<Self> {
        has!("i8mm").then_some(I8mm(()))
    }
}
