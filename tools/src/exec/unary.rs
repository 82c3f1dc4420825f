//! The element-wise functions, defined once.
//!
//! [`unary`] computes in f64 and rounds once: the tables that stand for these functions on 8-bit codes are built from it.
//! [`unary_map`] is the same on whole maps. The functions built on the exponential take a single-precision exponential
//! there, written so that the compiler vectorises it (Cody-Waite reduction by ln 2 and a degree-6 polynomial,
//! relative error below 3e-7); the others call [`unary`].

use crate::ir::Unary;

/// `f(x)`, rounded once to f32.
pub fn unary(f: Unary, x: f32) -> f32 {
    // In f32, so that the bounds and the argument pass through unchanged.
    if let Unary::Clamp { lo, hi } = f {
        return x.max(lo).min(hi);
    }
    let v = f64::from(x);
    let y = match f {
        Unary::Clamp { .. } => v,
        Unary::LeakyRelu { alpha } => {
            if v < 0.0 {
                f64::from(alpha) * v
            } else {
                v
            }
        }
        Unary::Sigmoid => sigmoid(v),
        Unary::Tanh => v.tanh(),
        Unary::HardSigmoid { alpha, beta } => (f64::from(alpha) * v + f64::from(beta)).clamp(0.0, 1.0),
        Unary::HardSwish => v * (v / 6.0 + 0.5).clamp(0.0, 1.0),
        Unary::Silu => v * sigmoid(v),
        Unary::Mish => v * softplus(v).tanh(),
        Unary::Gelu => 0.5 * v * (1.0 + erf(v * std::f64::consts::FRAC_1_SQRT_2)),
        Unary::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v * v * v);
            0.5 * v * (1.0 + inner.tanh())
        }
        Unary::Erf => erf(v),
        Unary::Softplus => softplus(v),
        Unary::Elu { alpha } => {
            if v < 0.0 {
                f64::from(alpha) * v.exp_m1()
            } else {
                v
            }
        }
        Unary::Exp => v.exp(),
        Unary::Log => v.ln(),
        Unary::Sqrt => v.sqrt(),
        Unary::Reciprocal => 1.0 / v,
        Unary::Abs => v.abs(),
        Unary::Neg => -v,
        Unary::Floor => v.floor(),
        Unary::Ceil => v.ceil(),
        Unary::Pow { exponent } => v.powf(f64::from(exponent)),
    };
    y as f32
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

fn softplus(v: f64) -> f64 {
    v.max(0.0) + (-v.abs()).exp().ln_1p()
}

/// `2/sqrt(pi) * exp(-x^2) * sum_n 2^n x^(2n+1) / (2n+1)!!`: every term positive, so nothing cancels.
fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() >= 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let mut term = x;
    let mut sum = x;
    let mut n = 1.0;
    while term.abs() > 1e-17 * sum.abs() {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `y[i] = f(x[i])`; equal lengths.
pub fn unary_map(f: Unary, x: &[f32], y: &mut [f32]) {
    fn each(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    }
    match f {
        Unary::Clamp { lo, hi } => each(x, y, |v| v.max(lo).min(hi)),
        Unary::LeakyRelu { alpha } => each(x, y, |v| if v < 0.0 { alpha * v } else { v }),
        Unary::Sigmoid => each(x, y, |v| 1.0 / (1.0 + exp_f32(-v))),
        Unary::Silu => each(x, y, |v| v / (1.0 + exp_f32(-v))),
        Unary::HardSigmoid { alpha, beta } => each(x, y, |v| (alpha * v + beta).clamp(0.0, 1.0)),
        Unary::HardSwish => each(x, y, |v| v * (v * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
        Unary::Exp => each(x, y, exp_f32),
        Unary::Abs => each(x, y, f32::abs),
        Unary::Neg => each(x, y, |v| -v),
        Unary::Sqrt => each(x, y, f32::sqrt),
        Unary::Reciprocal => each(x, y, |v| 1.0 / v),
        _ => each(x, y, |v| unary(f, v)),
    }
}

/// `e^x`; arguments below -87.3 give a value near the smallest normal number, above 88.7 infinity.
#[inline(always)]
pub(super) fn exp_f32(x: f32) -> f32 {
    // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits of the significand.
    const SHIFT: f32 = 12_582_912.0;
    let over = x > 88.722_83;
    let x = x.clamp(-87.33, 88.722_83);
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    // ln 2 split in a part exact in few bits and the rest.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    // 2^n in two factors: n = 128 has no exponent of its own.
    let whole = (shifted.to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32);
    let half = whole >> 1;
    let a = f32::from_bits(((half + 127) as u32) << 23);
    let b = f32::from_bits(((whole - half + 127) as u32) << 23);
    let y = p * a * b;
    if over { f32::INFINITY } else { y }
}
