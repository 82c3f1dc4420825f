//! Kernel sets for x86-64: `avx2`, and `avx512vnni` with its byte dot product.
//!
//! Both are the same code over a [`Vector`](vector::Vector): [`conv`], [`depthwise`], [`pool`] and [`rows`] hold the methods, the
//! folders hold a vector type, the shapes of its register tiles, and the entries of the table, compiled for the set's
//! features.
//!
//! The dot step everything rests on takes 4 neighbouring unsigned bytes and 4 signed ones per 32-bit lane. With VNNI it
//! is one instruction (`vpdpbusd`, which wraps). `vpmaddubsw` saturates, so AVX2 widens even and odd bytes to 16 bits
//! and adds two `vpmaddwd`, which cannot overflow.

mod avx2;
mod avx512vnni;
mod conv;
mod depthwise;
mod detect;
mod judge;
mod pool;
mod rows;
mod vector;

use super::Kernels;

/// The sets this CPU can run, slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    let avx2 = detect::Avx2::new().map(avx2::kernels);
    let vnni = detect::Avx512Vnni::new()
        .map(|proof| avx512vnni::kernels(proof, detect::Avx512Vbmi::new()));
    avx2.into_iter().chain(vnni)
}
