//! Kernel sets for x86-64.

use super::Kernels;

/// The sets this CPU can run, slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    core::iter::empty()
}
