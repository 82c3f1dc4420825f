//! Parameters of poolings, and of operators that move pixels and channels.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Affine, Window};

/// Pooling. Average: `rne(f32(sum) * (1 / f32(count)))`; padding adds the zero code when it counts.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pool {
    /// Geometry.
    pub window: Window,
    /// 1: padding counts.
    pub count_pad: u32,
}

/// Global pooling: mean as `rne(clamp(f32(sum) * m[c] + b[c]))`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Global {
    /// Data offset of c f32.
    pub m: u32,
    /// Data offset of c f32.
    pub b: u32,
}

/// `out[y, x] = in[ys[y], xs[x]]`; `0xFFFF` fills with the code at `fill`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Index {
    /// Data offset of h u16.
    pub ys: u32,
    /// Data offset of w u16.
    pub xs: u32,
    /// Data offset of one row of fill bytes or `NONE`.
    pub fill: u32,
}

/// [`Index`]: no source.
pub const FILL: u16 = u16::MAX;

/// Two neighbours and the weight of the second in 1/256.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lerp {
    /// First source.
    pub lo: u16,
    /// Second source.
    pub hi: u16,
    /// 0..=256.
    pub t: u32,
}

/// Separable interpolation of codes in integers: `(sum of 4 codes times weights + 2^15) >> 16`; of reals in f32.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bilinear {
    /// Data offset of h [`Lerp`].
    pub ys: u32,
    /// Data offset of w [`Lerp`].
    pub xs: u32,
}

/// Block size of [`Op::DepthToSpace`](super::Op::DepthToSpace) and [`Op::SpaceToDepth`](super::Op::SpaceToDepth).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Block {
    /// Pixels.
    pub block: u32,
}

/// `out[k] = in[index[k]]`, per row ([`Op::Channels`](super::Op::Channels)) or over the whole map ([`Op::Permute`](super::Op::Permute)).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Channels {
    /// Data offset of u32 indices.
    pub index: u32,
}

/// Parameters of [`Op::Softmax`](super::Op::Softmax) and [`Op::ReduceChannels`](super::Op::ReduceChannels).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Reduce {
    /// Operand.
    pub a: Affine,
    /// Result.
    pub out: Affine,
    /// Factor of the sum (1 or 1/c).
    pub factor: f32,
}

/// Where a view lies in its parent.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Join {
    /// Line of the parent that holds line 0.
    pub y0: u32,
    /// Column of the parent that holds column 0.
    pub x0: u32,
    /// 1 for the first view of the parent: its mask is cleared before.
    pub first: u32,
}
