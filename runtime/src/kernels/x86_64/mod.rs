//! Kernel sets for x86-64: `avx2`, and `avxvnni` and `avx512vnni` with their byte dot products.
//!
//! All are the same code over a `Vector`: `conv`, `depthwise`, `pool` and `rows` hold the methods, the
//! folders hold a vector type (`ymm` that of two sets), the shapes of its register tiles, and the entries of the table, compiled for
//! the set's features.
//!
//! The dot step everything rests on takes 4 neighbouring unsigned bytes and 4 signed ones per 32-bit lane. With VNNI it
//! is one instruction (`vpdpbusd`, which wraps). What AVX2 does instead is in `ymm::dot`.

mod avx2;
mod avx512vnni;
mod avxvnni;
mod conv;
mod depthwise;
mod detect;
mod entries;
mod judge;
mod pool;
mod rows;
mod vector;
mod ymm;

use super::Kernels;
use entries::{entries, rowwise};

/// The sets this CPU can run, slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    let avx2 = detect::Avx2::new().map(avx2::kernels);
    let avxvnni = detect::AvxVnni::new().map(avxvnni::kernels);
    let vnni = detect::Avx512Vnni::new().map(|proof| avx512vnni::kernels(proof, detect::Avx512Vbmi::new()));
    avx2.into_iter().chain(avxvnni).chain(vnni)
}
