//! From sums to results: 16 outputs of a row.
//!
//! Codes are clamped after rounding, as bytes. Rounding is monotone, so `rne(clamp(y, lo, hi))` is
//! `clamp(rne(y), rne(lo), rne(hi))`; the conversion makes 0 of a NaN, which the bounds turn into `rne(lo)`, and saturates,
//! as narrowing does.
//!
//! Of almost every layer multipliers and offsets show that no sum can leave 16 bits, and bounds are those of a byte. Results are then
//! tight: halves of words are taken as they are, and only the last narrowing saturates.

use core::arch::aarch64::*;

use super::super::{ConvTile, DepthwiseTile, scalar};
use super::part;

/// Sums of 16 outputs.
pub(super) type Sums = [int32x4_t; 4];

/// Multipliers, offsets and bounds of 16 outputs.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    m: [float32x4_t; 4],
    b: [float32x4_t; 4],
    lo: uint8x16_t,
    hi: uint8x16_t,
}

impl Affine {
    /// Those of outputs `at..at + 16`: all there, because the arrays hold whole blocks.
    ///
    /// # Safety
    /// The tile is valid, `at` a multiple of 16 below `oc`.
    #[inline(always)]
    pub(super) unsafe fn load(t: &ConvTile, at: usize) -> Self {
        // SAFETY: 16 values from `at` (validity of the tile).
        unsafe {
            let four = |p: &[f32], n: usize| vld1q_f32(p.as_ptr().add(at + 4 * n));
            let (lo, hi) = (scalar::rne(t.lo) as u8, scalar::rne(t.hi) as u8);
            Affine {
                m: [four(t.m, 0), four(t.m, 1), four(t.m, 2), four(t.m, 3)],
                b: [four(t.b, 0), four(t.b, 1), four(t.b, 2), four(t.b, 3)],
                lo: vdupq_n_u8(lo),
                hi: vdupq_n_u8(hi),
            }
        }
    }

    /// `f32(sum) * m + b`.
    #[inline(always)]
    unsafe fn apply(&self, sums: &Sums) -> [float32x4_t; 4] {
        // SAFETY: NEON is part of the target.
        unsafe {
            let y = |n: usize| vaddq_f32(vmulq_f32(vcvtq_f32_s32(sums[n]), self.m[n]), self.b[n]);
            [y(0), y(1), y(2), y(3)]
        }
    }

    #[inline(always)]
    unsafe fn codes<const TIGHT: bool, const BOUNDED: bool>(&self, y: [float32x4_t; 4]) -> uint8x16_t {
        // SAFETY: NEON is part of the target.
        unsafe {
            let codes = if TIGHT { low(y) } else { rounded(y) };
            if BOUNDED { self.bound(codes) } else { codes }
        }
    }

    #[inline(always)]
    unsafe fn bound(&self, codes: uint8x16_t) -> uint8x16_t {
        // SAFETY: NEON is part of the target.
        unsafe { vminq_u8(vmaxq_u8(codes, self.lo), self.hi) }
    }

    /// Codes of `left` outputs at `out`; the first `N` vectors of sums count, 2 or 4. `TIGHT` where they [fit](fits), not
    /// `BOUNDED` where the tile is not [`bounded`].
    ///
    /// # Safety
    /// `left` codes are writable, at most `4 N`.
    #[inline(always)]
    pub(super) unsafe fn put<const N: usize, const TIGHT: bool, const BOUNDED: bool>(&self, out: *mut u8, left: usize, sums: &Sums) {
        // SAFETY: the caller's.
        unsafe {
            let y = self.apply(sums);
            // With two vectors, the other half of the result is not used, and costs nothing.
            let zero = vdupq_n_f32(0.0);
            let codes = self.codes::<TIGHT, BOUNDED>(if N == 4 { y } else { [y[0], y[1], zero, zero] });
            match left {
                16 => vst1q_u8(out, codes),
                8 => vst1_u8(out, vget_low_u8(codes)),
                _ => part::store(codes, out, left),
            }
        }
    }

    /// For sums whose even and odd outputs are apart: of each 8, the vector of the even ones comes first.
    #[inline(always)]
    pub(super) fn apart(self) -> Self {
        // SAFETY: NEON is part of the target.
        let apart = |x: [float32x4_t; 4]| unsafe {
            [vuzp1q_f32(x[0], x[1]), vuzp2q_f32(x[0], x[1]), vuzp1q_f32(x[2], x[3]), vuzp2q_f32(x[2], x[3])]
        };
        Affine { m: apart(self.m), b: apart(self.b), ..self }
    }

    /// Codes of `4 N` outputs, 8 or 16, whose sums are [`apart`](Self::apart) as the multipliers are; `TIGHT` as the tile is.
    ///
    /// # Safety
    /// They are writable.
    #[inline(always)]
    pub(super) unsafe fn put_apart<const N: usize, const TIGHT: bool>(&self, out: *mut u8, sums: [int32x4_t; N]) {
        // SAFETY: the caller's.
        unsafe {
            let zero = vdupq_n_s32(0);
            let [hi_even, hi_odd] = if N == 4 { [sums[2], sums[3]] } else { [zero; 2] };
            let y = self.apply(&[sums[0], sums[1], hi_even, hi_odd]);
            let codes = if TIGHT {
                let pair = |n: usize| vtrn1q_s16(halves(y[n]), halves(y[n + 1]));
                let lo = vqmovun_s16(pair(0));
                if N == 4 { vqmovun_high_s16(lo, pair(2)) } else { vcombine_u8(lo, lo) }
            } else {
                let narrow = |n: usize| {
                    let lo = vqmovn_s32(vcvtnq_s32_f32(y[n]));
                    vqmovun_s16(if N == 4 { vqmovn_high_s32(lo, vcvtnq_s32_f32(y[n + 2])) } else { vcombine_s16(lo, lo) })
                };
                let [even, odd] = [narrow(0), narrow(1)].map(|x| vcombine_u8(x, x));
                self.bound(vzip1q_u8(even, odd))
            };
            if N == 4 { vst1q_u8(out, codes) } else { vst1_u8(out, vget_low_u8(codes)) }
        }
    }
}

/// Whether saturation leaves the bounds of codes anything to do.
#[inline(always)]
pub(super) fn bounded(t: &ConvTile) -> bool {
    (scalar::rne(t.lo) as u8, scalar::rne(t.hi) as u8) != (0, 255)
}

/// Whether results of outputs `at..at + 16` fit 16 bits before they are bounded.
///
/// # Safety
/// As [`Affine::load`].
#[inline(always)]
pub(super) unsafe fn fits(t: &ConvTile, at: usize) -> bool {
    // No sum is larger, however it wraps: it is an i32.
    let products = t.quads.saturating_mul(t.segments.len()).min(1 << 16) * 4 * 255 * 128;
    // SAFETY: the caller's.
    let Affine { m, b, .. } = unsafe { Affine::load(t, at) };
    // SAFETY: NEON is part of the target.
    unsafe {
        let most = |x: [float32x4_t; 4]| {
            let x = x.map(|x| vabsq_f32(x));
            vmaxvq_f32(vmaxq_f32(vmaxq_f32(x[0], x[1]), vmaxq_f32(x[2], x[3])))
        };
        products as f32 * most(m) + most(b) < LIMIT
    }
}

/// Far enough below 2^15 for what multiplication and addition round. Comparisons with it are false for a NaN.
const LIMIT: f32 = 32_000.0;

/// Whether results of channels `at..at + 16` of a depthwise tile are codes of the sums alone that fit so and are not [`bounded`]: its few
/// weights are looked at.
///
/// # Safety
/// As [`Affine::load`].
#[inline(always)]
pub(super) unsafe fn tight(t: &DepthwiseTile, at: usize) -> bool {
    // SAFETY: the block's weights of all quads, four channels to a vector (validity of the tile).
    unsafe {
        let w = t.weights.as_ptr().add(at / 16 * t.quads * 64);
        let mut sizes = [vdupq_n_u32(0); 4];
        for q in 0..t.quads {
            for n in 0..4 {
                let size = vreinterpretq_u8_s8(vabsq_s8(vld1q_s8(w.add(64 * q + 16 * n))));
                sizes[n] = vpadalq_u16(sizes[n], vpaddlq_u8(size));
            }
        }
        let Affine { m, b, .. } = Affine::load(t, at);
        let mut most = vdupq_n_f32(0.0);
        for n in 0..4 {
            let sum = vmulq_n_f32(vcvtq_f32_u32(sizes[n]), 255.0);
            most = vmaxq_f32(most, vaddq_f32(vmulq_f32(sum, vabsq_f32(m[n])), vabsq_f32(b[n])));
        }
        plain(t) && !bounded(t) && vmaxvq_f32(most) < LIMIT
    }
}

/// Whether results are codes of the sums alone.
#[inline(always)]
pub(super) fn plain(t: &ConvTile) -> bool {
    !t.real && t.residual.is_none()
}

/// Results of rows from `first`, outputs from `at`, of any tile.
///
/// # Safety
/// The tile is valid, as many rows in it as there are sums, `at` a multiple of 16 below `oc`.
#[inline(never)]
pub(super) unsafe fn any(t: &ConvTile, first: usize, at: usize, sums: &[Sums]) {
    let left = 16.min(t.oc - at);
    // SAFETY: `left` outputs of the rows are writable, and readable in the residual (validity of the tile).
    unsafe {
        let affine = Affine::load(t, at);
        for (row, sums) in (first..).zip(sums) {
            let mut y = affine.apply(sums);
            if let Some(res) = &t.residual {
                let x = widened(part::load(res.input.add(*res.rows.get_unchecked(row) as usize + at), left));
                for n in 0..4 {
                    let r = vld1q_f32(res.r.as_ptr().add(at + 4 * n));
                    y[n] = vaddq_f32(y[n], vmulq_f32(vcvtq_f32_u32(x[n]), r));
                }
            }
            let out = t.output.add(*t.rows_out.get_unchecked(row) as usize);
            if t.real {
                reals(t, out.cast::<f32>().add(at), left, &y);
            } else {
                part::store(affine.codes::<false, true>(y), out.add(at), left);
            }
        }
    }
}

/// Bytes as 32-bit elements.
#[inline(always)]
pub(super) unsafe fn widened(x: uint8x16_t) -> [uint32x4_t; 4] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let (lo, hi) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
        [vmovl_u16(vget_low_u16(lo)), vmovl_high_u16(lo), vmovl_u16(vget_low_u16(hi)), vmovl_high_u16(hi)]
    }
}

/// Rounded to the nearest even code, saturating; 0 for a NaN.
#[inline(always)]
pub(super) unsafe fn rounded(y: [float32x4_t; 4]) -> uint8x16_t {
    // SAFETY: NEON is part of the target.
    unsafe {
        let lo = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(y[0])), vcvtnq_s32_f32(y[1]));
        let hi = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(y[2])), vcvtnq_s32_f32(y[3]));
        vqmovun_high_s16(vqmovun_s16(lo), hi)
    }
}

/// The integers nearest to four values, each in the lower half of its word if it fits.
#[inline(always)]
unsafe fn halves(y: float32x4_t) -> int16x8_t {
    // SAFETY: NEON is part of the target.
    unsafe { vreinterpretq_s16_s32(vcvtnq_s32_f32(y)) }
}

/// As [`rounded`], of values that fit 16 bits.
#[inline(always)]
pub(super) unsafe fn low(y: [float32x4_t; 4]) -> uint8x16_t {
    // SAFETY: NEON is part of the target.
    unsafe {
        let (lo, hi) = (vuzp1q_s16(halves(y[0]), halves(y[1])), vuzp1q_s16(halves(y[2]), halves(y[3])));
        vqmovun_high_s16(vqmovun_s16(lo), hi)
    }
}

/// For the few layers that leave the integers.
#[inline(never)]
unsafe fn reals(t: &ConvTile, out: *mut f32, left: usize, y: &[float32x4_t; 4]) {
    let mut values = [0f32; 16];
    // SAFETY: 16 values of an array; `left` values of the row, which may be unaligned (the caller).
    unsafe {
        let (lo, hi) = (vdupq_n_f32(t.lo), vdupq_n_f32(t.hi));
        for (n, &y) in y.iter().enumerate() {
            // By comparison: minimum and maximum order zeros of different sign.
            let y = vbslq_f32(vcgtq_f32(y, lo), y, lo);
            let y = vbslq_f32(vcltq_f32(y, hi), y, hi);
            vst1q_f32(values.as_mut_ptr().add(4 * n), y);
        }
        out.cast::<u8>().copy_from_nonoverlapping(values.as_ptr().cast(), 4 * left);
    }
}
