//! What runs, in which order.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Steps `first..end`. Every scratch tensor is written and read within one segment.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Segment {
    /// First step.
    pub first: u32,
    /// One past the last step.
    pub end: u32,
}

/// One operator application.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Step {
    /// [`Op`] code.
    pub op: u16,
    /// Number of inputs.
    pub inputs_len: u16,
    /// Tensor indices.
    pub inputs: [u32; 2],
    /// Tensor index.
    pub output: u32,
    /// Data offset of the operator's parameter record.
    pub param: u32,
    /// Multiply-accumulates of one output row.
    pub macs: u32,
    /// Gate index or `NONE`.
    pub gate: u32,
    /// Predicted time of one output row, in picoseconds, on the target the tool measured.
    pub row_ps: u32,
}

/// Operators. The meaning of each is its scalar kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// u8 x s8 convolution, dense over channels, optional residual input. [`Conv`](super::Conv).
    Conv = 0,
    /// Depthwise u8 x s8 convolution. [`Conv`](super::Conv).
    Depthwise = 1,
    /// Convolution in f32, any groups. [`ConvF32`](super::ConvF32).
    ConvF32 = 2,
    /// Two operands, element-wise. [`Binary`](super::Binary).
    Binary = 3,
    /// One operand, element-wise, through f32. [`Map`](super::Map).
    Map = 4,
    /// One operand, u8 to u8, by a 256-entry table. [`Table`](super::Table).
    Table = 5,
    /// [`Pool`](super::Pool).
    MaxPool = 6,
    /// [`Pool`](super::Pool).
    AvgPool = 7,
    /// Mean of all pixels. [`Global`](super::Global).
    GlobalAvg = 8,
    /// Maximum of all pixels. [`Global`](super::Global).
    GlobalMax = 9,
    /// The same rows elsewhere.
    Copy = 10,
    /// Rows chosen by line and column. [`Index`](super::Index).
    Index = 11,
    /// Linear interpolation. [`Bilinear`](super::Bilinear).
    Bilinear = 12,
    /// [`Block`](super::Block).
    DepthToSpace = 13,
    /// [`Block`](super::Block).
    SpaceToDepth = 14,
    /// Channels chosen by index. [`Channels`](super::Channels).
    Channels = 15,
    /// Same memory, other extents: moves no data.
    Reshape = 16,
    /// Elements chosen by index. [`Channels`](super::Channels).
    Permute = 17,
    /// Over channels. [`Affine`](super::Affine).
    Softmax = 18,
    /// Sum over channels, scaled. [`Affine`](super::Affine).
    ReduceChannels = 19,
    /// The input already lies in the output at pixel `y0, x0`: moves no data, passes the mask on. [`Join`](super::Join).
    Join = 20,
    /// One operand, u8 to u8, by a 256-entry table for each channel. [`Table`](super::Table).
    Tables = 21,
}

impl Op {
    /// Codes are below it.
    pub(crate) const COUNT: usize = 22;

    /// From its code.
    pub const fn new(code: u16) -> Option<Self> {
        const ALL: [Op; Op::COUNT] = [
            Op::Conv,
            Op::Depthwise,
            Op::ConvF32,
            Op::Binary,
            Op::Map,
            Op::Table,
            Op::MaxPool,
            Op::AvgPool,
            Op::GlobalAvg,
            Op::GlobalMax,
            Op::Copy,
            Op::Index,
            Op::Bilinear,
            Op::DepthToSpace,
            Op::SpaceToDepth,
            Op::Channels,
            Op::Reshape,
            Op::Permute,
            Op::Softmax,
            Op::ReduceChannels,
            Op::Join,
            Op::Tables,
        ];
        if (code as usize) < ALL.len() { Some(ALL[code as usize]) } else { None }
    }
}
