//! Functions of f32 in single IEEE operations.

/// 1.5 * 2^23: added to `|x| < 2^22` it leaves the nearest even integer, which is also in the low bits of the sum.
pub(super) const MAGIC: f32 = 12_582_912.0;

/// `min(max(x, lo), hi)` with the operand order of the vector instructions: a NaN gives `lo`.
#[inline(always)]
pub(crate) fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x > lo { x } else { lo };
    if x < hi { x } else { hi }
}

/// As [`clamp`] of a sum that becomes a code, where zeros of either sign are one: then 64-bit ARM has instructions for it.
#[inline(always)]
pub(super) fn bounded(x: f32, lo: f32, hi: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { x.max(lo).min(hi) } else { clamp(x, lo, hi) }
}

/// `e^x` to about 2 units in the last place for `-87 <= x <= 88`, saturating outside (Cody and Waite reduction,
/// polynomial of degree 6 of the remainder).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = clamp(x, -87.0, 88.0);
    let shifted = x * core::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    // The integer n is in the low bits, where a conversion would have to check its range.
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127);
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let p = 1.388_888_9e-3;
    let p = p * r + 8.333_334e-3;
    let p = p * r + 4.166_666_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits(exponent << 23)
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
