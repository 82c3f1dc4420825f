//! Element-wise rows: operands become f32, a function is applied, the result becomes codes or stays f32.
//!
//! The bodies are generic over nothing and inlined into each kernel set, so that the compiler vectorises them for the
//! set's features. Every operation is a single IEEE addition, multiplication, division, square root, minimum or maximum, never
//! fused: the bits are the same on every target.

use super::scalar;
use crate::format::{BinaryFn, MapFn};

/// Channels worked on at a time.
const BLOCK: usize = 64;

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
        /// Lower bound in codes.
        lo: f32,
        /// Upper bound in codes.
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
    /// First operand.
    pub a: Operand<'a>,
    /// Second operand.
    pub b: Operand<'a>,
}

/// A row of a one-operand function.
pub struct Uni<'a> {
    /// The function.
    pub f: MapFn,
    /// Its parameters.
    pub p: [f32; 2],
    /// Slopes of `PRelu`.
    pub slope: &'a [f32],
    /// The operand.
    pub a: Operand<'a>,
}

impl Row<'_> {
    /// Stores one value.
    pub fn put(&mut self, k: usize, y: f32) {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => {
                let code = scalar::code(y * scale[k] + offset[k], lo.max(0.0), hi.min(255.0));
                codes[k] = table.map_or(code, |t| t[code as usize]);
            }
            Row::Reals { reals, lo, hi } => reals[k] = clamp(y, *lo, *hi).to_le_bytes(),
        }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            Row::Codes { codes, .. } => codes.len(),
            Row::Reals { reals, .. } => reals.len(),
        }
    }

    #[inline(always)]
    fn store(&mut self, at: usize, y: &[f32; BLOCK], n: usize) {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => {
                let (codes, scale, offset) =
                    (&mut codes[at..at + n], &scale[at..at + n], &offset[at..at + n]);
                for i in 0..n {
                    codes[i] = scalar::code(y[i] * scale[i] + offset[i], *lo, *hi);
                }
                if let Some(table) = table {
                    for c in codes {
                        *c = table[*c as usize];
                    }
                }
            }
            Row::Reals { reals, lo, hi } => {
                for (out, y) in reals[at..at + n].iter_mut().zip(y) {
                    *out = clamp(*y, *lo, *hi).to_le_bytes();
                }
            }
        }
    }
}

impl Operand<'_> {
    /// One value.
    pub fn get(&self, k: usize) -> f32 {
        match *self {
            Operand::Codes { codes, scale, offset } => codes[k] as f32 * scale[k] + offset[k],
            Operand::Reals(reals) => f32::from_le_bytes(reals[k]),
            Operand::One(v) => v,
        }
    }

    #[inline(always)]
    fn load(&self, at: usize, x: &mut [f32; BLOCK], n: usize) {
        match *self {
            Operand::Codes { codes, scale, offset } => {
                let (codes, scale, offset) =
                    (&codes[at..at + n], &scale[at..at + n], &offset[at..at + n]);
                for i in 0..n {
                    x[i] = codes[i] as f32 * scale[i] + offset[i];
                }
            }
            Operand::Reals(reals) => {
                for (x, r) in x.iter_mut().zip(&reals[at..at + n]) {
                    *x = f32::from_le_bytes(*r);
                }
            }
            Operand::One(v) => x[..n].fill(v),
        }
    }
}

/// `min(max(x, lo), hi)` with the operand order of the vector instructions: a NaN gives `lo`.
#[inline(always)]
pub(crate) fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x > lo { x } else { lo };
    if x < hi { x } else { hi }
}

#[inline(always)]
pub(super) fn binary(bin: &Bin, row: &mut Row) {
    let (mut x, mut y) = ([0.0; BLOCK], [0.0; BLOCK]);
    let len = row.len();
    let mut at = 0;
    while at < len {
        let n = BLOCK.min(len - at);
        bin.a.load(at, &mut x, n);
        bin.b.load(at, &mut y, n);
        macro_rules! each {
            ($f:expr) => {
                for i in 0..n {
                    x[i] = $f(x[i], y[i]);
                }
            };
        }
        match bin.f {
            BinaryFn::Add => each!(|a: f32, b: f32| a + b),
            BinaryFn::Sub => each!(|a: f32, b: f32| a - b),
            BinaryFn::Mul => each!(|a: f32, b: f32| a * b),
            BinaryFn::Div => each!(|a: f32, b: f32| a / b),
            BinaryFn::Min => each!(|a: f32, b: f32| if a < b { a } else { b }),
            BinaryFn::Max => each!(|a: f32, b: f32| if a > b { a } else { b }),
        }
        row.store(at, &x, n);
        at += n;
    }
}

#[inline(always)]
pub(super) fn map(uni: &Uni, row: &mut Row) {
    let mut x = [0.0; BLOCK];
    let len = row.len();
    let mut at = 0;
    while at < len {
        let n = BLOCK.min(len - at);
        uni.a.load(at, &mut x, n);
        macro_rules! each {
            ($f:expr) => {
                for v in &mut x[..n] {
                    *v = $f(*v);
                }
            };
        }
        let [p0, p1] = uni.p;
        match uni.f {
            MapFn::Identity => {}
            MapFn::Sigmoid => each!(sigmoid),
            MapFn::Exp => each!(exp),
            MapFn::Tanh => each!(|v: f32| 2.0 * sigmoid(2.0 * v) - 1.0),
            MapFn::Silu => each!(|v: f32| v * sigmoid(v)),
            MapFn::LeakyRelu => each!(|v: f32| if v < 0.0 { v * p0 } else { v }),
            MapFn::HardSigmoid => each!(|v: f32| clamp(v * p0 + p1, 0.0, 1.0)),
            MapFn::HardSwish => each!(|v: f32| v * clamp(v * (1.0 / 6.0) + 0.5, 0.0, 1.0)),
            MapFn::Sqrt => each!(sqrt),
            MapFn::Reciprocal => each!(|v: f32| 1.0 / v),
            MapFn::Abs => each!(|v: f32| if v < 0.0 { -v } else { v }),
            MapFn::Neg => each!(|v: f32| -v),
            MapFn::Log => each!(log),
            MapFn::PRelu => {
                for (v, s) in x[..n].iter_mut().zip(&uni.slope[at..at + n]) {
                    if *v < 0.0 {
                        *v *= *s;
                    }
                }
            }
        }
        row.store(at, &x, n);
        at += n;
    }
}

/// `e^x` to about 2 units in the last place for `-87 <= x <= 88`, saturating outside (Cody and Waite reduction,
/// polynomial of degree 6 of the remainder).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = clamp(x, -87.0, 88.0);
    let n = scalar::rne(x * core::f32::consts::LOG2_E);
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let p = 1.388_888_9e-3;
    let p = p * r + 8.333_334e-3;
    let p = p * r + 4.166_666_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Natural logarithm of positive normal numbers (atanh series of the mantissa); others give the smallest value.
#[inline(always)]
pub(crate) fn log(x: f32) -> f32 {
    let x = if x > f32::MIN_POSITIVE { x } else { f32::MIN_POSITIVE };
    let bits = x.to_bits();
    // The mantissa in [sqrt(1/2), sqrt(2)).
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let e = (shifted as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e as u32) << 23));
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let p = 2.0 / 9.0;
    let p = p * t2 + 2.0 / 7.0;
    let p = p * t2 + 2.0 / 5.0;
    let p = p * t2 + 2.0 / 3.0;
    let p = p * t2 + 2.0;
    p * t + e as f32 * core::f32::consts::LN_2
}

/// Square root by Newton's iteration on the reciprocal root: core has none without the standard library.
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    let half = 0.5 * x;
    let mut r = f32::from_bits(0x5f37_59df_u32.wrapping_sub(x.to_bits() >> 1));
    for _ in 0..3 {
        r = r * (1.5 - half * r * r);
    }
    let s = x * r;
    // One Heron step brings the last bits; 0 stays 0.
    if x > 0.0 { 0.5 * (s + x / s) } else { 0.0 }
}
