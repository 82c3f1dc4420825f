//! From sums to results: 16 outputs of a row.
//!
//! Codes are clamped after rounding, as bytes. Rounding is monotone, so `rne(clamp(y, lo, hi))` is
//! `clamp(rne(y), rne(lo), rne(hi))`; the conversion makes 0 of a NaN, which the bounds turn into `rne(lo)`, and saturates,
//! as narrowing does.

use core::arch::aarch64::*;

use super::super::{ConvTile, scalar};
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
    /// Whether saturation leaves the bounds anything to do.
    pub(super) bounded: bool,
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
                bounded: (lo, hi) != (0, 255),
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
    unsafe fn codes(&self, y: [float32x4_t; 4]) -> uint8x16_t {
        // SAFETY: NEON is part of the target.
        unsafe { self.bound(rounded(y)) }
    }

    #[inline(always)]
    unsafe fn bound(&self, codes: uint8x16_t) -> uint8x16_t {
        // SAFETY: NEON is part of the target.
        unsafe { vminq_u8(vmaxq_u8(codes, self.lo), self.hi) }
    }

    /// Codes of row `row`, outputs `at..at + left`, of a tile that is [`plain`]; the first `N` vectors of sums count, 2 or 4.
    /// `BOUNDED` may be left out where `bounded` is not set.
    ///
    /// # Safety
    /// As `load`; `row` is below the length of `rows_out`, `left` is `(4 * N).min(oc - at)`.
    #[inline(always)]
    pub(super) unsafe fn put<const N: usize, const BOUNDED: bool>(&self, t: &ConvTile, row: usize, at: usize, left: usize, sums: &Sums) {
        // SAFETY: `left` outputs of the row are writable (validity of the tile).
        unsafe { self.put_at::<N, BOUNDED>(t.output.add(*t.rows_out.get_unchecked(row) as usize + at), left, sums) }
    }

    /// The same at `out`.
    ///
    /// # Safety
    /// `left` codes are writable.
    #[inline(always)]
    pub(super) unsafe fn put_at<const N: usize, const BOUNDED: bool>(&self, out: *mut u8, left: usize, sums: &Sums) {
        // SAFETY: the caller's.
        unsafe {
            let y = self.apply(sums);
            // With two vectors, the other half of the result is not used, and costs nothing.
            let zero = vdupq_n_f32(0.0);
            let codes = rounded(if N == 4 { y } else { [y[0], y[1], zero, zero] });
            let codes = if BOUNDED { self.bound(codes) } else { codes };
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

    /// Codes of `4 N` outputs, 8 or 16, whose sums are [`apart`](Self::apart) as the multipliers are.
    ///
    /// # Safety
    /// They are writable.
    #[inline(always)]
    pub(super) unsafe fn put_apart<const N: usize>(&self, out: *mut u8, sums: [int32x4_t; N]) {
        // SAFETY: the caller's.
        unsafe {
            let zero = vdupq_n_s32(0);
            let [hi_even, hi_odd] = if N == 4 { [sums[2], sums[3]] } else { [zero; 2] };
            let y = self.apply(&[sums[0], sums[1], hi_even, hi_odd]);
            let narrow = |n: usize| {
                let lo = vqmovn_s32(vcvtnq_s32_f32(y[n]));
                vqmovun_s16(if N == 4 { vqmovn_high_s32(lo, vcvtnq_s32_f32(y[n + 2])) } else { vcombine_s16(lo, lo) })
            };
            let [even, odd] = [narrow(0), narrow(1)].map(|x| vcombine_u8(x, x));
            let codes = self.bound(vzip1q_u8(even, odd));
            if N == 4 { vst1q_u8(out, codes) } else { vst1_u8(out, vget_low_u8(codes)) }
        }
    }
}

/// Whether results are codes of the sums alone.
#[inline(always)]
pub(super) fn plain(t: &ConvTile) -> bool {
    !t.real && t.residual.is_none()
}

/// Results of row `row`, outputs from `at`, of any tile.
///
/// # Safety
/// The tile is valid, `row` in it, `at` a multiple of 16 below `oc`.
#[inline(never)]
pub(super) unsafe fn any(t: &ConvTile, row: usize, at: usize, sums: &Sums) {
    let left = 16.min(t.oc - at);
    // SAFETY: `left` outputs of the row are writable, and readable in the residual (validity of the tile).
    unsafe {
        let affine = Affine::load(t, at);
        let mut y = affine.apply(sums);
        if let Some(res) = &t.residual {
            let x = widened(part::load(res.input.add(res.rows[row] as usize + at), left));
            for n in 0..4 {
                let r = vld1q_f32(res.r.as_ptr().add(at + 4 * n));
                y[n] = vaddq_f32(y[n], vmulq_f32(vcvtq_f32_u32(x[n]), r));
            }
        }
        let out = t.output.add(t.rows_out[row] as usize);
        if t.real {
            return reals(t, out.cast::<f32>().add(at), left, &y);
        }
        part::store(affine.codes(y), out.add(at), left);
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
