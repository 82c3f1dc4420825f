//! The records of version 1. Sizes in bytes unless a name says otherwise; `data` offsets are from the section's start.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offset and length of a section, in bytes from the start of the file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Span {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// The start of the file.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`super::MAGIC`].
    pub magic: u32,
    /// [`super::VERSION`].
    pub version: u16,
    /// Target the tool chose kernels and gates for: a [`Profile`] code.
    pub profile: u16,
    /// How weights lie in memory: a [`Packing`] code. A kernel set says which it reads.
    pub packing: u16,
    /// Index of the input tensor.
    pub input: u16,
    /// Length of the file.
    pub file_len: u32,
    /// CRC-32 (IEEE) of the file with this field zero.
    pub checksum: u32,
    /// Arena the engine needs.
    pub arena_len: u32,
    /// Arena a plan without held tensors would need (for reports).
    pub arena_dense_len: u32,
    /// First byte of the arena after the tensors; masks follow.
    pub tensors_end: u32,
    /// Records.
    pub tensors: Span,
    /// Records.
    pub segments: Span,
    /// Records.
    pub steps: Span,
    /// Records.
    pub gates: Span,
    /// Records.
    pub outputs: Span,
    /// Records.
    pub points: Span,
    /// Parameters, weights, tables.
    pub data: Span,
    /// JSON.
    pub cold: Span,
    /// Input gate.
    pub input_gate: InputGate,
    /// Cost model of a gated frame against a dense one.
    pub cost: Cost,
}

/// Which machine the tool aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Profile {
    /// Runs with every kernel set that reads its packing.
    Any = 0,
    /// x86-64 with AVX2.
    X86Avx2 = 1,
    /// x86-64 with AVX-512 VNNI.
    X86Avx512 = 2,
    /// 64-bit ARM with NEON alone.
    Aarch64Neon = 3,
    /// 64-bit ARM with dot products.
    Aarch64DotProd = 4,
    /// 64-bit ARM with 8-bit matrix products.
    Aarch64I8mm = 5,
    /// x86-64 with AVX-VNNI.
    X86AvxVnni = 6,
}

impl Profile {
    /// From its code.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            0 => Some(Profile::Any),
            1 => Some(Profile::X86Avx2),
            2 => Some(Profile::X86Avx512),
            3 => Some(Profile::Aarch64Neon),
            4 => Some(Profile::Aarch64DotProd),
            5 => Some(Profile::Aarch64I8mm),
            6 => Some(Profile::X86AvxVnni),
            _ => None,
        }
    }
}

/// Order of weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Packing {
    /// `[oc / 16][k / 4][16][4]` s8, k padded to a multiple of 4 in every tap line, oc to 16.
    K4N16 = 0,
}

impl Packing {
    /// From its code.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            0 => Some(Packing::K4N16),
            _ => None,
        }
    }
}

/// The test every pixel of a frame passes before it replaces the held one. A pixel's change is the largest
/// `|new - held|` over its channels, in codes.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InputGate {
    /// A change above this counts if one of the 8 neighbours also changed, or if it is above twice this.
    pub pixel: u16,
    /// Mean signed change of an 8 x 8 block, in 1/16 codes, above which the whole block is replaced; 0: no block test.
    pub block: u16,
    /// Gated work, in sixteenths of a dense frame's, after which a scene at rest is computed whole once (one that does not
    /// come to rest after four times as much); 0: never.
    pub refresh: u16,
    /// Zero.
    pub reserved: u16,
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

/// A 64-bit count with 4-byte alignment.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct u64Le {
    lo: u32,
    hi: u32,
}

impl u64Le {
    /// Stores `v`.
    pub const fn new(v: u64) -> Self {
        Self { lo: v as u32, hi: (v >> 32) as u32 }
    }
    /// The value.
    pub const fn get(self) -> u64 {
        self.lo as u64 | (self.hi as u64) << 32
    }
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dtype {
    /// Codes.
    U8 = 0,
    /// Reals.
    F32 = 1,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F32 => 4,
        }
    }
    /// From its code.
    pub const fn new(code: u8) -> Option<Self> {
        match code {
            0 => Some(Dtype::U8),
            1 => Some(Dtype::F32),
            _ => None,
        }
    }
}

/// [`Tensor::flags`]: the tensor keeps its rows from frame to frame.
pub const HELD: u8 = 1;
/// [`Tensor::flags`]: rows lie in another tensor's memory (concatenation, reshape); its producer writes through.
pub const VIEW: u8 = 2;

/// A map `[h, w, c]` in the arena. Pixel `(y, x)` starts at `origin + y * line + x * pixel`; around it lies a border
/// (`top, left, bottom, right` pixels) that always holds the zero codes, so that convolutions read padding as data.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tensor {
    /// Byte of pixel (0, 0).
    pub origin: u32,
    /// Bytes from a pixel to its right neighbour.
    pub pixel: u32,
    /// Bytes from a line to the next.
    pub line: u32,
    /// Lines.
    pub h: u32,
    /// Pixels of a line.
    pub w: u32,
    /// Channels of a pixel.
    pub c: u32,
    /// [`Dtype`] code.
    pub dtype: u8,
    /// [`HELD`], [`VIEW`].
    pub flags: u8,
    /// Border `top, left, bottom, right`, in pixels.
    pub border: [u8; 4],
    /// Entries of `scale` and `zero`: 0 (reals), 1 or c.
    pub quant_len: u16,
    /// Arena byte of the row mask: `h` lines of `ceil(w / 64)` words; where the tensor is held a second mask of the same size
    /// (rows put off by the budget) follows. Without length in a network whose frames are all computed whole ([`super::Model::dense`]).
    pub mask: u32,
    /// Data offset of `c` zero codes, what the border holds; `NONE` without border.
    pub fill: u32,
    /// Data offset of f32 scales: real = scale * (code - zero).
    pub scale: u32,
    /// Data offset of u8 zero codes.
    pub zero: u32,
    /// 0; or lines in memory, where a chain of steps passes the map on through so few. `origin` then is pixel (0, 0) of the
    /// first line in memory; there are no lines above it.
    pub lines: u32,
}

impl Tensor {
    /// Pixels.
    pub fn rows(&self) -> usize {
        self.h as usize * self.w as usize
    }
    /// Mask words of a line.
    pub fn words(&self) -> usize {
        self.w.div_ceil(64) as usize
    }
    /// Mask words.
    pub fn mask_words(&self) -> usize {
        self.h as usize * self.words()
    }
    /// Whether the tensor keeps its rows from frame to frame.
    pub fn held(&self) -> bool {
        self.flags & HELD != 0
    }
    /// Element type (validated by the check).
    pub fn dtype(&self) -> Dtype {
        Dtype::new(self.dtype).unwrap_or(Dtype::U8)
    }
}

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
    /// u8 x s8 convolution, dense over channels, optional residual input. [`Conv`].
    Conv = 0,
    /// Depthwise u8 x s8 convolution. [`Conv`].
    Depthwise = 1,
    /// Convolution in f32, any groups. [`ConvF32`].
    ConvF32 = 2,
    /// Two operands, element-wise. [`Binary`].
    Binary = 3,
    /// One operand, element-wise, through f32. [`Map`].
    Map = 4,
    /// One operand, u8 to u8, by a 256-entry table. [`Table`].
    Table = 5,
    /// [`Pool`].
    MaxPool = 6,
    /// [`Pool`].
    AvgPool = 7,
    /// Mean of all pixels. [`Global`].
    GlobalAvg = 8,
    /// Maximum of all pixels. [`Global`].
    GlobalMax = 9,
    /// The same rows elsewhere.
    Copy = 10,
    /// Rows chosen by line and column. [`Index`].
    Index = 11,
    /// Linear interpolation. [`Bilinear`].
    Bilinear = 12,
    /// [`Block`].
    DepthToSpace = 13,
    /// [`Block`].
    SpaceToDepth = 14,
    /// Channels chosen by index. [`Channels`].
    Channels = 15,
    /// Same memory, other extents: moves no data.
    Reshape = 16,
    /// Elements chosen by index. [`Channels`].
    Permute = 17,
    /// Over channels. [`Affine`].
    Softmax = 18,
    /// Sum over channels, scaled. [`Affine`].
    ReduceChannels = 19,
    /// The input already lies in the output at pixel `y0, x0`: moves no data, passes the mask on. [`Join`].
    Join = 20,
    /// One operand, u8 to u8, by a 256-entry table for each channel. [`Table`].
    Tables = 21,
}

impl Op {
    /// From its code.
    pub const fn new(code: u16) -> Option<Self> {
        const ALL: [Op; 22] = [
            Op::Conv, Op::Depthwise, Op::ConvF32, Op::Binary, Op::Map, Op::Table, Op::MaxPool,
            Op::AvgPool, Op::GlobalAvg, Op::GlobalMax, Op::Copy, Op::Index, Op::Bilinear,
            Op::DepthToSpace, Op::SpaceToDepth, Op::Channels, Op::Reshape, Op::Permute,
            Op::Softmax, Op::ReduceChannels, Op::Join, Op::Tables,
        ];
        if (code as usize) < ALL.len() { Some(ALL[code as usize]) } else { None }
    }
}

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
    /// 1: the taps of a kernel line are contiguous in memory and packed as one.
    pub merged: u32,
    /// Lower bound.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
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

/// How an operand becomes reals and how reals become the result: `x = f32(code) * scale[c] + offset[c]` (an f32
/// operand is taken as it is), result code `rne(clamp(y * scale[c] + offset[c]))`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Affine {
    /// Data offset of c f32, or `NONE` for f32 tensors.
    pub scale: u32,
    /// Data offset of c f32, or `NONE`.
    pub offset: u32,
}

/// Two-operand functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BinaryFn {
    /// a + b
    Add = 0,
    /// a - b
    Sub = 1,
    /// a * b
    Mul = 2,
    /// a / b
    Div = 3,
    /// smaller
    Min = 4,
    /// larger
    Max = 5,
}

impl BinaryFn {
    /// From its code.
    pub const fn new(code: u32) -> Option<Self> {
        use BinaryFn::*;
        const ALL: [BinaryFn; 6] = [Add, Sub, Mul, Div, Min, Max];
        if (code as usize) < ALL.len() { Some(ALL[code as usize]) } else { None }
    }
}

/// `y = f(a, b)`, clamped to `lo..=hi` in result units, then the table.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Binary {
    /// [`BinaryFn`] code.
    pub function: u32,
    /// Bit 0: every row reads row 0 of b; bit 1: every channel reads channel 0 of b; bits 2, 3 the same for a.
    pub broadcast: u32,
    /// First operand.
    pub a: Affine,
    /// Second operand.
    pub b: Affine,
    /// Data offset of a constant second operand: f32, rows x c as the broadcast says; else `NONE`.
    pub constant: u32,
    /// Result.
    pub out: Affine,
    /// Lower bound, codes for a u8 result.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
    /// Data offset of a 256-byte table or `NONE`.
    pub table: u32,
}

/// One-operand functions computed in f32, the same arithmetic on every target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapFn {
    /// x
    Identity = 0,
    /// 1 / (1 + e^-x)
    Sigmoid = 1,
    /// e^x
    Exp = 2,
    /// tanh x
    Tanh = 3,
    /// x sigmoid(x)
    Silu = 4,
    /// x < 0 ? p0 x : x
    LeakyRelu = 5,
    /// min(max(p0 x + p1, 0), 1)
    HardSigmoid = 6,
    /// x min(max(x / 6 + 1/2, 0), 1)
    HardSwish = 7,
    /// square root
    Sqrt = 8,
    /// 1 / x
    Reciprocal = 9,
    /// |x|
    Abs = 10,
    /// -x
    Neg = 11,
    /// natural logarithm
    Log = 12,
    /// per-channel slope for x < 0 (the slopes are a c-long f32 array at `slope`)
    PRelu = 13,
}

impl MapFn {
    /// From its code.
    pub const fn new(code: u32) -> Option<Self> {
        use MapFn::*;
        const ALL: [MapFn; 14] = [
            Identity, Sigmoid, Exp, Tanh, Silu, LeakyRelu, HardSigmoid, HardSwish, Sqrt, Reciprocal,
            Abs, Neg, Log, PRelu,
        ];
        if (code as usize) < ALL.len() { Some(ALL[code as usize]) } else { None }
    }
}

/// `y = f(x)`, clamped to `lo..=hi`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Map {
    /// [`MapFn`] code.
    pub function: u32,
    /// Parameters.
    pub p: [f32; 2],
    /// Data offset of slopes or `NONE`.
    pub slope: u32,
    /// Operand.
    pub a: Affine,
    /// Result.
    pub out: Affine,
    /// Lower bound, codes for a u8 result.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
}

/// `out = table[in]`; of `Tables`, `out = table[channel][in]`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Table {
    /// Data offset of 256 bytes, for each channel.
    pub table: u32,
}

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

/// Block size of [`Op::DepthToSpace`] and [`Op::SpaceToDepth`].
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Block {
    /// Pixels.
    pub block: u32,
}

/// `out[k] = in[index[k]]`, per row ([`Op::Channels`]) or over the whole map ([`Op::Permute`]).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Channels {
    /// Data offset of u32 indices.
    pub index: u32,
}

/// Parameters of [`Op::Softmax`] and [`Op::ReduceChannels`].
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
