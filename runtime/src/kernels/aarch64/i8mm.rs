//! The set `i8mm`: `usmmla`, which multiplies 2 rows by 2 outputs over 8 inputs.
//!
//! ```text
//! x = 8 bytes of row 0 | 8 bytes of row 1
//! a, b = weights of 4 outputs, quads q and q + 1:   a0 a1 a2 a3,  b0 b1 b2 b3         (4 inputs each)
//! zip 32-bit elements:                              a0 b0 a1 b1 | a2 b2 a3 b3         (8 inputs of 2 outputs each)
//! acc[pair][m] += x * zip[m]:                       row 0, outputs 2 m, 2 m + 1 | row 1, the same
//! ```
//!
//! So the packing `K4N16` serves as it is. A block's weights are zipped once for a tile of many rows, into room on the stack; for few
//! rows, or where they do not fit, at every use. Codes are unsigned here.

use core::arch::{aarch64::*, asm};
use core::mem::MaybeUninit;

use super::super::{ConvTile, DepthwiseTile, Kernels};
use super::depthwise::{self, Dot};
use super::detect::I8mm;
use super::{conv, finish, table};

/// The set.
pub(super) fn kernels(_: I8mm) -> &'static Kernels {
    static I8MM: Kernels = super::set("i8mm", convolution, channelwise);
    &I8MM
}

#[target_feature(enable = "neon,i8mm")]
unsafe fn channelwise(t: &DepthwiseTile) {
    // SAFETY: the tile is valid (the caller), the features are this function's; then its rows are written.
    unsafe {
        for at in (0..t.oc).step_by(16) {
            match t.oc - at >= 16 && finish::plain(t) {
                true if threes(t, at) => {}
                true => sixteen(t, at),
                false => some(t, at),
            }
        }
        table::apply(t);
    }
}

// Functions of their own, so that the common one has the registers to itself.

#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn threes(t: &DepthwiseTile, at: usize) -> bool {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::threes::<Mixed>(t, at) }
}

#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn sixteen(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::sixteen::<Mixed>(t, at) }
}

#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn some(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::some::<Mixed>(t, at) }
}

#[target_feature(enable = "neon,i8mm")]
unsafe fn convolution(t: &ConvTile) {
    // SAFETY: the tile is valid (the caller), the features are this function's.
    unsafe {
        for block in 0..t.oc.div_ceil(16) {
            rows(t, block);
        }
        table::apply(t);
    }
}

/// Groups of 8 inputs of a block whose zipped weights are kept: 8 KiB.
const KEPT: usize = 64;

/// Fewer rows do not repay the zips.
const FEW: usize = 8;

/// 8 inputs times 16 outputs: for each 4 outputs two vectors, zipped.
type Eight = [int8x16_t; 8];

#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn rows(t: &ConvTile, block: usize) {
    // SAFETY: the tile is valid (the caller), the features are this function's.
    unsafe {
        if conv::len(t) > FEW && t.segments.len() * t.quads.div_ceil(2) <= KEPT {
            let mut kept = [const { MaybeUninit::uninit() }; KEPT];
            zip(t, block, &mut kept);
            rows_by::<true>(t, block, kept.as_ptr().cast());
        } else {
            rows_by::<false>(t, block, conv::panel(t, block));
        }
    }
}

/// The block's weights in the order of their use; a lone quad of a segment with zeros.
#[inline(always)]
unsafe fn zip(t: &ConvTile, block: usize, kept: &mut [MaybeUninit<Eight>; KEPT]) {
    // SAFETY: the panel's bytes (validity of the tile).
    unsafe {
        let mut w = conv::panel(t, block);
        let mut kept = kept.iter_mut();
        for _ in t.segments {
            let mut quads = t.quads;
            while quads > 0 {
                let Some(eight) = kept.next() else { return };
                eight.write(if quads > 1 { zipped::<true>(w) } else { zipped::<false>(w) });
                w = w.add(64 * quads.min(2));
                quads -= quads.min(2);
            }
        }
    }
}

/// Two quads of weights, of which the second is zeros unless `BOTH`.
#[inline(always)]
unsafe fn zipped<const BOTH: bool>(w: *const i8) -> Eight {
    // SAFETY: 64 bytes of weights, 128 if `BOTH`.
    unsafe {
        let mut eight = [vdupq_n_s8(0); 8];
        for n in 0..4 {
            let a = vreinterpretq_s32_s8(vld1q_s8(w.add(16 * n)));
            let b = if BOTH { vreinterpretq_s32_s8(vld1q_s8(w.add(64 + 16 * n))) } else { vdupq_n_s32(0) };
            eight[2 * n] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
            eight[2 * n + 1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
        }
        eight
    }
}

/// `w` are the panel's weights, or zipped ones (`ZIPPED`).
#[inline(always)]
unsafe fn rows_by<const ZIPPED: bool>(t: &ConvTile, block: usize, w: *const i8) {
    // SAFETY: the tile is valid (the caller); rows up to `len` are in it; features: the caller.
    unsafe {
        let (mut row, len) = (0, conv::len(t));
        if conv::narrow(t, block) {
            while row + 8 <= len {
                tile::<4, 8, 8, 2, ZIPPED>(t, row, block, w);
                row += 8;
            }
            while row + 2 <= len {
                tile::<1, 2, 2, 2, ZIPPED>(t, row, block, w);
                row += 2;
            }
            if row < len {
                tile::<1, 2, 1, 2, ZIPPED>(t, row, block, w);
            }
            return;
        }
        while row + 4 <= len {
            tile::<2, 4, 4, 4, ZIPPED>(t, row, block, w);
            row += 4;
        }
        match len - row {
            1 => tile::<1, 2, 1, 4, ZIPPED>(t, row, block, w),
            2 => tile::<1, 2, 2, 4, ZIPPED>(t, row, block, w),
            3 => tile::<2, 4, 3, 4, ZIPPED>(t, row, block, w),
            _ => {}
        }
    }
}

/// `P` pairs of rows, `R = 2 P`, of which `COUNT` are stored, by `N` vectors of 4 outputs.
#[inline(always)]
unsafe fn tile<const P: usize, const R: usize, const COUNT: usize, const N: usize, const ZIPPED: bool>(
    t: &ConvTile,
    row: usize,
    block: usize,
    mut w: *const i8,
) {
    // SAFETY: `4 * quads` bytes from each row and segment are readable, weights of all quads there (validity of the tile).
    unsafe {
        let x = conv::rows::<R>(t, row, COUNT);
        let mut acc = [[vdupq_n_s32(0); 8]; P];
        let mut codes = [vdupq_n_u8(0); P];
        for &segment in t.segments {
            let (mut at, mut quads) = (segment as usize, t.quads);
            let mut next = codes;
            while quads >= 4 {
                for p in 0..P {
                    let [a, b] = [x[2 * p], x[2 * p + 1]].map(|x| vreinterpretq_u64_u8(vld1q_u8(x.add(at))));
                    codes[p] = vreinterpretq_u8_u64(vzip1q_u64(a, b));
                    next[p] = vreinterpretq_u8_u64(vzip2q_u64(a, b));
                }
                eight::<P, N, true, ZIPPED>(&mut acc, w, &codes);
                eight::<P, N, true, ZIPPED>(&mut acc, w.add(128), &next);
                w = w.add(256);
                at += 16;
                quads -= 4;
            }
            if quads >= 2 {
                for p in 0..P {
                    codes[p] = vcombine_u8(vld1_u8(x[2 * p].add(at)), vld1_u8(x[2 * p + 1].add(at)));
                }
                eight::<P, N, true, ZIPPED>(&mut acc, w, &codes);
                w = w.add(128);
                at += 8;
                quads -= 2;
            }
            if quads == 1 {
                for p in 0..P {
                    let [a, b] = [x[2 * p], x[2 * p + 1]].map(|x| vreinterpretq_u64_u8(conv::quad(x.add(at))));
                    codes[p] = vreinterpretq_u8_u64(vzip1q_u64(a, b));
                }
                eight::<P, N, false, ZIPPED>(&mut acc, w, &codes);
                w = w.add(if ZIPPED { 128 } else { 64 });
            }
        }
        let mut sums = [[vdupq_n_s32(0); 4]; R];
        for p in 0..P {
            for n in 0..N {
                let [a, b] = [acc[p][2 * n], acc[p][2 * n + 1]].map(|x| vreinterpretq_s64_s32(x));
                sums[2 * p][n] = vreinterpretq_s32_s64(vzip1q_s64(a, b));
                sums[2 * p + 1][n] = vreinterpretq_s32_s64(vzip2q_s64(a, b));
            }
        }
        conv::store::<R, N>(t, row, COUNT, block, &sums);
    }
}

/// 8 inputs of every row; the second 4 have no weights unless `BOTH`.
#[inline(always)]
unsafe fn eight<const P: usize, const N: usize, const BOTH: bool, const ZIPPED: bool>(
    acc: &mut [[int32x4_t; 8]; P],
    w: *const i8,
    codes: &[uint8x16_t; P],
) {
    // SAFETY: 128 bytes of zipped weights, or 64 of others, 128 if `BOTH`; features: the caller.
    unsafe {
        for n in 0..N {
            let [lo, hi] = if ZIPPED {
                [vld1q_s8(w.add(32 * n)), vld1q_s8(w.add(32 * n + 16))]
            } else {
                let eight = zipped::<BOTH>(w);
                [eight[2 * n], eight[2 * n + 1]]
            };
            for p in 0..P {
                acc[p][2 * n] = multiply(acc[p][2 * n], codes[p], lo);
                acc[p][2 * n + 1] = multiply(acc[p][2 * n + 1], codes[p], hi);
            }
        }
    }
}

/// `acc[2 i + j] + sum over k < 8 of x[8 i + k] * w[8 j + k]`.
#[inline(always)]
unsafe fn multiply(acc: int32x4_t, x: uint8x16_t, w: int8x16_t) -> int32x4_t {
    let mut acc = acc;
    // SAFETY: registers only; the processor has `i8mm` (the caller).
    unsafe {
        asm!("usmmla {acc:v}.4s, {x:v}.16b, {w:v}.16b", acc = inlateout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Codes times weights.
struct Mixed;

impl Dot for Mixed {
    const FLIP: u8 = 0;

    #[inline(always)]
    unsafe fn dot(acc: int32x4_t, x: uint8x16_t, w: int8x16_t) -> int32x4_t {
        let mut acc = acc;
        // SAFETY: registers only; the processor has `i8mm` (the caller).
        unsafe {
            asm!("usdot {acc:v}.4s, {x:v}.16b, {w:v}.16b", acc = inlateout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags));
        }
        acc
    }
}
