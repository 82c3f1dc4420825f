//! Parameters of functions of one or two maps.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
        const ALL: [MapFn; 14] =
            [Identity, Sigmoid, Exp, Tanh, Silu, LeakyRelu, HardSigmoid, HardSwish, Sqrt, Reciprocal, Abs, Neg, Log, PRelu];
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
