//! The set `neon`: exact products of 16 bits.
//!
//! ```text
//! w = weights of 4 outputs, 4 inputs each      x = 4 bytes of a row, less 128, repeated
//! p  = w[0..8] * x[0..8]                        16-bit products, 4 of each of 2 outputs
//! p += w'[0..8] * x'[0..8]                      of the next 4 inputs
//! acc[0..4] += neighbours of p                  two 32-bit sums an output, added at the end
//! ```
//!
//! Two products fit 16 bits unless both are (-128) * (-128). A block that holds a weight of -128 adds them one by one.

use core::arch::aarch64::*;

use super::super::{ConvTile, DepthwiseTile, Kernels, scalar};
use super::conv::{self, Any, Finish, Kind, Rows, Whole};
use super::finish::Sums;
use super::{depthwise, table};

/// The set.
pub(super) static KERNELS: Kernels = super::set("neon", convolution, channelwise);

/// Rows at a time: with 8 sums each, 16 of 32 registers.
const ROWS: usize = 2;

/// Rows at a time in a narrow block, with 4 sums each: four would leave no registers for their codes.
const NARROW: usize = 3;

unsafe fn channelwise(t: &DepthwiseTile) {
    // SAFETY: the tile is valid (the caller); then its rows are written.
    unsafe {
        depthwise::products(t);
        table::apply(t);
    }
}

unsafe fn convolution(t: &ConvTile) {
    // SAFETY: the tile is valid (the caller).
    unsafe {
        if t.segments.is_empty() {
            return (scalar::KERNELS.conv)(t);
        }
        for block in 0..t.oc.div_ceil(16) {
            let (start, pairs) = prepare(t, block);
            match conv::kind(t, block) {
                _ if !pairs => rows::<false, _>(t, block, &start, &Any(16 * block)),
                Kind::Tight => rows::<true, _>(t, block, &start, &Whole::<true>::of(t, block)),
                Kind::Plain => rows::<true, _>(t, block, &start, &Whole::<false>::of(t, block)),
                Kind::Other => rows::<true, _>(t, block, &start, &Any(16 * block)),
            }
        }
        table::apply(t);
    }
}

#[inline(never)]
unsafe fn rows<const PAIRS: bool, F: Finish>(t: &ConvTile, block: usize, start: &Sums, finish: &F) {
    let mut rows = Rows::of(t);
    // SAFETY: the tile is valid (the caller); as many rows are left as each call does.
    unsafe {
        if conv::narrow(t, block) {
            while rows.left >= NARROW {
                tile::<NARROW, 2, PAIRS>(t, rows, block, start, finish);
                rows.pass(NARROW);
            }
            match rows.left {
                1 => tile::<1, 2, PAIRS>(t, rows, block, start, finish),
                2 => tile::<2, 2, PAIRS>(t, rows, block, start, finish),
                _ => {}
            }
            return;
        }
        while rows.left >= ROWS {
            tile::<ROWS, 4, PAIRS>(t, rows, block, start, finish);
            rows.pass(ROWS);
        }
        if rows.left > 0 {
            tile::<1, 4, PAIRS>(t, rows, block, start, finish);
        }
    }
}

/// 128 times the sum of each output's weights, and whether products may be added in pairs.
#[inline(always)]
unsafe fn prepare(t: &ConvTile, block: usize) -> (Sums, bool) {
    // SAFETY: the panel's bytes (validity of the tile).
    unsafe {
        let w = conv::panel(t, block);
        let (mut sums, mut least) = ([vdupq_n_s32(0); 4], vdupq_n_s8(0));
        for quad in 0..t.segments.len() * t.quads {
            for n in 0..4 {
                let w = vld1q_s8(w.add(64 * quad + 16 * n));
                least = vminq_s8(least, w);
                sums[n] = vpadalq_s16(sums[n], vpaddlq_s8(w));
            }
        }
        for sum in &mut sums {
            *sum = vshlq_n_s32::<7>(*sum);
        }
        (sums, vminvq_s8(least) > i8::MIN)
    }
}

/// Twice the sums of each output, not yet added.
type Halves = [int32x4_t; 8];

#[inline(always)]
unsafe fn tile<const R: usize, const N: usize, const PAIRS: bool>(
    t: &ConvTile, rows: Rows, block: usize, start: &Sums, finish: &impl Finish,
) {
    // SAFETY: `4 * quads` bytes from each row and segment are readable, weights of all quads there (validity of the tile).
    unsafe {
        let first = conv::rows::<R>(t, rows, R);
        let mut w = conv::panel(t, block);
        let mut acc: [Halves; R] = [[vdupq_n_s32(0); 8]; R];
        let mut segments = t.segments.as_ptr_range();
        loop {
            let mut x = first;
            for x in &mut x {
                *x = x.add(*segments.start as usize);
            }
            let mut codes = [vdupq_n_s32(0); R];
            let whole = w.add(64 * (t.quads & !3));
            while w != whole {
                for r in 0..R {
                    codes[r] = signed(vld1q_u8(x[r]));
                    x[r] = x[r].add(16);
                }
                two::<R, N, 0, 1, PAIRS>(&mut acc, w, &codes);
                two::<R, N, 2, 3, PAIRS>(&mut acc, w.add(128), &codes);
                w = w.add(256);
            }
            if t.quads & 2 != 0 {
                for r in 0..R {
                    codes[r] = signed(conv::two_quads(x[r]));
                    x[r] = x[r].add(8);
                }
                two::<R, N, 0, 1, PAIRS>(&mut acc, w, &codes);
                w = w.add(128);
            }
            if t.quads & 1 != 0 {
                for r in 0..R {
                    codes[r] = signed(conv::quad(x[r]));
                }
                for n in 0..N {
                    let w = vld1q_s8(w.add(16 * n));
                    for r in 0..R {
                        let x = vreinterpretq_s8_s32(vdupq_laneq_s32::<0>(codes[r]));
                        one(&mut acc[r], n, w, x);
                    }
                }
                w = w.add(64);
            }
            segments.start = segments.start.add(1);
            if segments.start == segments.end {
                break;
            }
        }
        let mut sums = [*start; R];
        for r in 0..R {
            for n in 0..N {
                sums[r][n] = vaddq_s32(sums[r][n], vpaddq_s32(acc[r][2 * n], acc[r][2 * n + 1]));
            }
        }
        finish.store::<R, N>(t, rows, R, &sums);
    }
}

/// Codes less 128, four to an element.
#[inline(always)]
unsafe fn signed(x: uint8x16_t) -> int32x4_t {
    // SAFETY: NEON is part of the target.
    unsafe { vreinterpretq_s32_u8(veorq_u8(x, vdupq_n_u8(0x80))) }
}

/// Quads `A` and `B` of the codes, which meet 64 bytes of weights each.
#[inline(always)]
unsafe fn two<const R: usize, const N: usize, const A: i32, const B: i32, const PAIRS: bool>(
    acc: &mut [Halves; R], w: *const i8, codes: &[int32x4_t; R],
) {
    // SAFETY: 128 bytes of weights (the caller).
    unsafe {
        for n in 0..N {
            let (wa, wb) = (vld1q_s8(w.add(16 * n)), vld1q_s8(w.add(64 + 16 * n)));
            for r in 0..R {
                let a = vreinterpretq_s8_s32(vdupq_laneq_s32::<A>(codes[r]));
                let b = vreinterpretq_s8_s32(vdupq_laneq_s32::<B>(codes[r]));
                if PAIRS {
                    let lo = vmlal_s8(vmull_s8(vget_low_s8(wa), vget_low_s8(a)), vget_low_s8(wb), vget_low_s8(b));
                    let hi = vmlal_high_s8(vmull_high_s8(wa, a), wb, b);
                    acc[r][2 * n] = vpadalq_s16(acc[r][2 * n], lo);
                    acc[r][2 * n + 1] = vpadalq_s16(acc[r][2 * n + 1], hi);
                } else {
                    one(&mut acc[r], n, wa, a);
                    one(&mut acc[r], n, wb, b);
                }
            }
        }
    }
}

/// 4 outputs, 4 inputs.
#[inline(always)]
unsafe fn one(acc: &mut Halves, n: usize, w: int8x16_t, x: int8x16_t) {
    // SAFETY: NEON is part of the target.
    unsafe {
        acc[2 * n] = vpadalq_s16(acc[2 * n], vmull_s8(vget_low_s8(w), vget_low_s8(x)));
        acc[2 * n + 1] = vpadalq_s16(acc[2 * n + 1], vmull_high_s8(w, x));
    }
}
