//! Parameters of convolutions.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Geometry of a sliding window: output pixel `(y, x)` reads input lines `y * stride - pad + k * dilation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Window {
    /// Taps (y, x).
    pub kernel: [u16; 2],
    /// Stride (y, x).
    pub stride: [u16; 2],
    /// Dilation (y, x).
    pub dilation: [u16; 2],
    /// Padding (top, left).
    pub pad: [u16; 2],
}

/// `out = clamp(rne(f32(acc) * m + b + f32(residual) * r))`, then the table. `acc` is the exact i32 sum of code times
/// weight; zero points are in `b`. To an f32 output the clamped sum is written unrounded.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Conv {
    /// Geometry.
    pub window: Window,
    /// Data offset of packed weights.
    pub weights: u32,
    /// Data offset of f32 multipliers, output channels padded to 16.
    pub m: u32,
    /// Data offset of f32 offsets, likewise.
    pub b: u32,
    /// Data offset of f32 residual multipliers, likewise; `NONE` without second input.
    pub r: u32,
    /// Data offset of a 256-byte table or `NONE`.
    pub table: u32,
    /// 1: the taps of a kernel line are contiguous in memory and packed as one; [`Conv::PAIRED`].
    pub merged: u32,
    /// Lower bound.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
}

impl Conv {
    /// `merged`: the kernel is one line of taps that are contiguous in memory, and weights are packed as `N2K16`.
    pub const PAIRED: u32 = 2;
}

/// `out = clamp(b + sum w * x)` in f32, taps in order (y, x, channel), one rounding per multiplication and addition.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConvF32 {
    /// Geometry.
    pub window: Window,
    /// Data offset of f32 weights `[kh][kw][ic / groups][oc]`.
    pub weights: u32,
    /// Data offset of f32 bias `[oc]`.
    pub b: u32,
    /// Groups.
    pub groups: u32,
    /// Lower bound.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
}
