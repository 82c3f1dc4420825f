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

use super::super::{ConvTile, DepthwiseTile, Kernels, scalar};
use super::conv::{self, Any, Finish, Kind, Rows};
use super::depthwise::{self, Dot};
use super::detect::I8mm;
use super::{finish, table};

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
                true if finish::tight(t, at) => sixteen::<true>(t, at),
                true => sixteen::<false>(t, at),
                false => some(t, at),
            }
        }
        table::apply(t);
    }
}

// Functions of their own, so that the common one has the registers to itself.

#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn threes<const TIGHT: bool>(t: &DepthwiseTile, at: usize) -> bool {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::threes::<Mixed, TIGHT>(t, at) }
}

#[inline(never)]
#[target_feature(enable = "neon,i8mm")]
unsafe fn sixteen<const TIGHT: bool>(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; the features are this function's.
    unsafe {
        if !threes::<TIGHT>(t, at) {
            depthwise::sixteen::<Mixed, TIGHT>(t, at);
        }
    }
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
        if t.segments.is_empty() {
            return (scalar::KERNELS.conv)(t);
        }
        for block in 0..t.oc.div_ceil(16) {
            match conv::kind(t, block) {
                Kind::Tight => rows(t, block, &Doubled::<true>::of(t, block)),
                Kind::Plain => rows(t, block, &Doubled::<false>::of(t, block)),
                Kind::Other => rows(t, block, &Any(16 * block)),
            }
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
unsafe fn rows(t: &ConvTile, block: usize, finish: &impl Pairs) {
    // SAFETY: the tile is valid (the caller), the features are this function's.
    unsafe {
        if conv::len(t) > FEW && t.segments.len() * t.quads.div_ceil(2) <= KEPT {
            let mut kept = [const { MaybeUninit::uninit() }; KEPT];
            zip(t, block, &mut kept);
            rows_by::<true, _>(t, block, kept.as_ptr().cast(), finish);
        } else {
            rows_by::<false, _>(t, block, conv::panel(t, block), finish);
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
unsafe fn rows_by<const ZIPPED: bool, F: Pairs>(t: &ConvTile, block: usize, w: *const i8, finish: &F) {
    // SAFETY: the tile is valid (the caller); rows up to `len` are in it; features: the caller.
    unsafe {
        let mut rows = Rows::of(t);
        if conv::narrow(t, block) {
            while rows.left >= 8 {
                tile::<4, 8, 8, 2, ZIPPED>(t, rows, w, finish);
                rows.pass(8);
            }
            while rows.left >= 2 {
                tile::<1, 2, 2, 2, ZIPPED>(t, rows, w, finish);
                rows.pass(2);
            }
            if rows.left > 0 {
                tile::<1, 2, 1, 2, ZIPPED>(t, rows, w, finish);
            }
            return;
        }
        while rows.left >= 4 {
            tile::<2, 4, 4, 4, ZIPPED>(t, rows, w, finish);
            rows.pass(4);
        }
        match rows.left {
            1 => tile::<1, 2, 1, 4, ZIPPED>(t, rows, w, finish),
            2 => tile::<1, 2, 2, 4, ZIPPED>(t, rows, w, finish),
            3 => tile::<2, 4, 3, 4, ZIPPED>(t, rows, w, finish),
            _ => {}
        }
    }
}

/// `P` pairs of rows, `R = 2 P`, of which `COUNT` are stored, by `N` vectors of 4 outputs.
#[inline(always)]
unsafe fn tile<const P: usize, const R: usize, const COUNT: usize, const N: usize, const ZIPPED: bool>(
    t: &ConvTile, rows: Rows, mut w: *const i8, finish: &impl Pairs,
) {
    // SAFETY: `4 * quads` bytes from each row and segment are readable, weights of all quads there (validity of the tile).
    unsafe {
        let first = conv::rows::<R>(t, rows, COUNT);
        let mut acc = [[vdupq_n_s32(0); 8]; P];
        let mut codes = [vdupq_n_u8(0); P];
        let mut segments = t.segments.as_ptr_range();
        loop {
            let mut x = first;
            for x in &mut x {
                *x = x.add(*segments.start as usize);
            }
            let mut next = codes;
            let whole = w.add(64 * (t.quads & !3));
            while w != whole {
                for p in 0..P {
                    let [a, b] = [x[2 * p], x[2 * p + 1]].map(|x| vreinterpretq_u64_u8(vld1q_u8(x)));
                    codes[p] = vreinterpretq_u8_u64(vzip1q_u64(a, b));
                    next[p] = vreinterpretq_u8_u64(vzip2q_u64(a, b));
                    x[2 * p] = x[2 * p].add(16);
                    x[2 * p + 1] = x[2 * p + 1].add(16);
                }
                eight::<P, N, true, ZIPPED>(&mut acc, w, &codes);
                eight::<P, N, true, ZIPPED>(&mut acc, w.add(128), &next);
                w = w.add(256);
            }
            if t.quads & 2 != 0 {
                for p in 0..P {
                    codes[p] = vcombine_u8(vld1_u8(x[2 * p]), vld1_u8(x[2 * p + 1]));
                    x[2 * p] = x[2 * p].add(8);
                    x[2 * p + 1] = x[2 * p + 1].add(8);
                }
                eight::<P, N, true, ZIPPED>(&mut acc, w, &codes);
                w = w.add(128);
            }
            if t.quads & 1 != 0 {
                for p in 0..P {
                    let [a, b] = [x[2 * p], x[2 * p + 1]].map(|x| vreinterpretq_u64_u8(conv::quad(x)));
                    codes[p] = vreinterpretq_u8_u64(vzip1q_u64(a, b));
                }
                eight::<P, N, false, ZIPPED>(&mut acc, w, &codes);
                w = w.add(if ZIPPED { 128 } else { 64 });
            }
            segments.start = segments.start.add(1);
            if segments.start == segments.end {
                break;
            }
        }
        finish.store::<P, R, COUNT, N>(t, rows, &acc);
    }
}

/// Where the sums of pairs of rows go: two outputs of each to a vector.
trait Pairs {
    /// Takes those of the first `COUNT` rows, as [`Finish::store`] does.
    ///
    /// # Safety
    /// As there.
    unsafe fn store<const P: usize, const R: usize, const COUNT: usize, const N: usize>(
        &self, t: &ConvTile, rows: Rows, acc: &[[int32x4_t; 8]; P],
    );
}

impl Pairs for Any {
    #[inline(always)]
    unsafe fn store<const P: usize, const R: usize, const COUNT: usize, const N: usize>(
        &self, t: &ConvTile, rows: Rows, acc: &[[int32x4_t; 8]; P],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); 4]; R];
            for p in 0..P {
                for n in 0..N {
                    let [a, b] = [acc[p][2 * n], acc[p][2 * n + 1]].map(|x| vreinterpretq_s64_s32(x));
                    sums[2 * p][n] = vreinterpretq_s32_s64(vzip1q_s64(a, b));
                    sums[2 * p + 1][n] = vreinterpretq_s32_s64(vzip2q_s64(a, b));
                }
            }
            Finish::store::<R, N>(self, t, rows, COUNT, &sums);
        }
    }
}

/// To codes of 16 or 8 outputs, as [`Kind`] has them: rows part as bytes. Multipliers and offsets of two outputs, twice.
struct Doubled<const TIGHT: bool> {
    m: [float32x4_t; 8],
    b: [float32x4_t; 8],
    at: usize,
}

impl<const TIGHT: bool> Doubled<TIGHT> {
    /// That of a block.
    ///
    /// # Safety
    /// The tile is valid and has the block.
    #[inline(always)]
    unsafe fn of(t: &ConvTile, block: usize) -> Self {
        let at = 16 * block;
        // SAFETY: 16 values from `at` (validity of the tile).
        unsafe {
            let twice = |x: &[f32]| {
                let mut pairs = [vdupq_n_f32(0.0); 8];
                for n in 0..4 {
                    let x = vreinterpretq_f64_f32(vld1q_f32(x.as_ptr().add(at + 4 * n)));
                    pairs[2 * n] = vreinterpretq_f32_f64(vdupq_laneq_f64::<0>(x));
                    pairs[2 * n + 1] = vreinterpretq_f32_f64(vdupq_laneq_f64::<1>(x));
                }
                pairs
            };
            Doubled { m: twice(t.m), b: twice(t.b), at }
        }
    }
}

impl<const TIGHT: bool> Pairs for Doubled<TIGHT> {
    #[inline(always)]
    unsafe fn store<const P: usize, const R: usize, const COUNT: usize, const N: usize>(
        &self, t: &ConvTile, rows: Rows, acc: &[[int32x4_t; 8]; P],
    ) {
        // SAFETY: the caller's; the block has `4 N` outputs.
        unsafe {
            for p in 0..P {
                let y = |n: usize| vaddq_f32(vmulq_f32(vcvtq_f32_s32(acc[p][n]), self.m[n]), self.b[n]);
                let codes = |y| vreinterpretq_u16_u8(if TIGHT { finish::low(y) } else { finish::rounded(y) });
                let lo = codes([y(0), y(1), y(2), y(3)]);
                let hi = if N == 4 { codes([y(4), y(5), y(6), y(7)]) } else { lo };
                let both = [vuzp1q_u16(lo, hi), vuzp2q_u16(lo, hi)].map(|x| vreinterpretq_u8_u16(x));
                for (i, codes) in both.into_iter().enumerate() {
                    if 2 * p + i < COUNT {
                        let out = rows.out(t, 2 * p + i).add(self.at);
                        if N == 4 { vst1q_u8(out, codes) } else { vst1_u8(out, vget_low_u8(codes)) }
                    }
                }
            }
        }
    }
}

/// 8 inputs of every row; the second 4 have no weights unless `BOTH`.
#[inline(always)]
unsafe fn eight<const P: usize, const N: usize, const BOTH: bool, const ZIPPED: bool>(
    acc: &mut [[int32x4_t; 8]; P], w: *const i8, codes: &[uint8x16_t; P],
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

    depthwise::four!("usdot");
}
