//! Gates, outputs and operating points.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::u64Le;

/// The test every pixel of a frame passes before it replaces the held one. A pixel's change is the largest
/// `|new - held|` over its channels, in codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InputGate {
    /// A change above this counts if one of the 8 neighbours also changed, or if it is above twice this.
    pub pixel: u16,
    /// Mean signed change of an 8 x 8 block, in 1/16 codes, above which the whole block is replaced; 0: no block test.
    pub block: u16,
    /// Gated work, in sixteenths of a dense frame's, after which a scene at rest is computed whole once (one that does not
    /// come to rest after four times as much); 0: never.
    pub refresh: u8,
    /// Frames after a computed one in which changes of [`few`](Self::few) pixels are left for a later frame; 0: none is.
    pub wait: u8,
    /// Largest common shift of all pixels that is taken out of a frame before it is compared, in codes; 0: none is.
    pub shift: u8,
    /// Changed pixels that may wait are fewer than this many 256ths of all, times the scale.
    pub few: u8,
}

/// When to run densely.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cost {
    /// Share of changed input pixels above which a frame may be a scene cut, which runs densely.
    pub dense_above: f32,
    /// Multiply-accumulates of a dense frame.
    pub macs: u64Le,
}

/// The test of an output gate: with `e[c] = min(255, (weight[c] * max(0, |new - held| - dead)) >> 4)` a candidate row
/// replaces the held one if `sum e^2 > threshold * scale^2`; channels within `dead` keep the held code. A threshold
/// or a scale of 0 means: replace if any code differs.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Gate {
    /// Largest sum of squares that is not passed on.
    pub threshold: u32,
    /// Data offset of c u8 weights, 16 = 1.
    pub weights: u32,
    /// Dead zone in codes.
    pub dead: u32,
    /// Largest error a held value can have against its recomputation, in real units, at scale 1.
    pub bound: f32,
    /// Arena byte from which candidate rows lie one after another until they are judged: [`staging_len`](crate::format::staging_len) bytes. In
    /// a builder `NONE` stands for some behind the tensors.
    pub staging: u32,
}

/// Where the elements of an output lie: ONNX index `(i0, ..)` is element `offset + sum i * stride` of the dense
/// row-major `[h, w, c]` map.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OutputRecord {
    /// Tensor index.
    pub tensor: u32,
    /// Axes in use.
    pub rank: u32,
    /// Extents.
    pub shape: [u32; 6],
    /// Elements.
    pub strides: [u32; 6],
    /// Elements.
    pub offset: u32,
    /// Data offset of the UTF-8 name.
    pub name: u32,
    /// Bytes of the name.
    pub name_len: u32,
}

/// A calibrated setting: all gates scaled by `scale` gave this on the calibration clips.
#[derive(Clone, Copy, Debug, Default, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Point {
    /// Scale of all gate thresholds (and of the input threshold's excess over its floor).
    pub scale: f32,
    /// Agreement with the float model, 0..=1.
    pub agreement: f32,
    /// Share of the dense multiply-accumulates done.
    pub work: f32,
}
