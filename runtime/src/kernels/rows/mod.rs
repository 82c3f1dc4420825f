//! Element-wise rows: operands become f32, a function is applied, the result becomes codes or stays f32.
//!
//! The bodies are inlined into each kernel set, so that the compiler vectorises them for the
//! set's features: each works on blocks of a fixed number of channels. The last block ends with the row and overlaps the
//! one before it (every channel is a function of the operands alone, so that computing it twice changes nothing). Rows
//! shorter than a block are copied into padded ones first. Several adjacent rows are worked on as one long row, in
//! which the per-channel arrays repeat. Every operation is a single IEEE addition, multiplication, division, square
//! root, minimum or maximum, never fused: the bits are the same on every target.

mod binary;
mod map;
mod math;
mod operand;
mod plain;
mod row;
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
mod softmax;
mod walk;

use crate::format::{BinaryFn, MapFn};

pub(super) use binary::binary;
pub(super) use map::map;
pub(crate) use math::{clamp, exp};
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
pub(super) use softmax::softmax;

/// Channels worked on at a time.
pub(crate) const BLOCK: usize = 16;

/// Entries a per-channel array holds after a period, if that is no whole number of blocks.
pub const BEYOND: usize = BLOCK - 1;

/// An operand row.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// `f32(code) * scale + offset`.
    Codes {
        /// The row.
        codes: &'a [u8],
        /// Per channel.
        scale: &'a [f32],
        /// Per channel.
        offset: &'a [f32],
    },
    /// As they are.
    Reals(&'a [Real]),
    /// One value per channel, repeated like the arrays of codes.
    Repeat(&'a [f32]),
    /// Channel 0 of a row for every channel.
    One(f32),
}

/// Four bytes of an f32: arena rows need not be aligned for it.
pub type Real = [u8; 4];

/// A result row.
pub enum Row<'a> {
    /// `rne(clamp(y * scale + offset, lo, hi))`, then the table.
    Codes {
        /// The row.
        codes: &'a mut [u8],
        /// Per channel.
        scale: &'a [f32],
        /// Per channel.
        offset: &'a [f32],
        /// Lower bound in codes, at least 0.
        lo: f32,
        /// Upper bound in codes, at most 255.
        hi: f32,
        /// Applied last.
        table: Option<&'a [u8; 256]>,
    },
    /// `clamp(y, lo, hi)`.
    Reals {
        /// The row.
        reals: &'a mut [Real],
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
}

/// A row of a two-operand function.
pub struct Bin<'a> {
    /// The function.
    pub f: BinaryFn,
    /// Channels of a pixel. Where the row holds several pixels, per-channel arrays hold a whole number of blocks, or
    /// go on with [`BEYOND`] entries from their start.
    pub period: usize,
    /// First operand.
    pub a: Operand<'a>,
    /// Second operand.
    pub b: Operand<'a>,
}

/// A row of a one-operand function.
pub struct Uni<'a> {
    /// The function.
    pub f: MapFn,
    /// As in [`Bin`].
    pub period: usize,
    /// Its parameters.
    pub p: [f32; 2],
    /// Slopes of `PRelu`.
    pub slope: &'a [f32],
    /// The operand.
    pub a: Operand<'a>,
}
