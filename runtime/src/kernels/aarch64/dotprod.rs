//! The set `dotprod`: `sdot` by element, four products and four additions an output.
//!
//! ```text
//! w[n] = weights of outputs 4 n..4 n + 4, 4 inputs each          x[r] = 16 bytes of row r, less 128
//! for each quad q of x, each n, each r: acc[r][n] += dot(w[n], x[r].quad[q])
//! ```
//!
//! The compiler has no stable name for the instruction: [`by_element`] and [`Signed::dot`] write it out.

use core::arch::{aarch64::*, asm};

use super::super::{ConvTile, DepthwiseTile, Kernels};
use super::depthwise::{self, Dot};
use super::detect::DotProd;
use super::finish::{self, Sums};
use super::{conv, table};

/// The set.
pub(super) fn kernels(_: DotProd) -> &'static Kernels {
    static DOTPROD: Kernels = super::set("dotprod", convolution, channelwise);
    &DOTPROD
}

/// Rows at a time: 16 sums, 4 vectors of codes and 4 of weights.
const ROWS: usize = 4;

#[target_feature(enable = "neon,dotprod")]
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
#[target_feature(enable = "neon,dotprod")]
unsafe fn threes(t: &DepthwiseTile, at: usize) -> bool {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::threes::<Signed>(t, at) }
}

#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sixteen(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::sixteen::<Signed>(t, at) }
}

#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn some(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::some::<Signed>(t, at) }
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn convolution(t: &ConvTile) {
    // SAFETY: the tile is valid (the caller), the features are this function's.
    unsafe {
        for block in 0..t.oc.div_ceil(16) {
            rows(t, block);
        }
        table::apply(t);
    }
}

#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn rows(t: &ConvTile, block: usize) {
    // SAFETY: the tile is valid (the caller), the features are this function's; rows up to `len` are in the tile.
    unsafe {
        let start = prepare(t, block);
        let (mut row, len) = (0, conv::len(t));
        if conv::narrow(t, block) {
            while row + 2 * ROWS <= len {
                tile::<{ 2 * ROWS }, 2>(t, row, block, &start);
                row += 2 * ROWS;
            }
            while row + 2 <= len {
                tile::<2, 2>(t, row, block, &start);
                row += 2;
            }
            if row < len {
                tile::<1, 2>(t, row, block, &start);
            }
            return;
        }
        while row + ROWS <= len {
            tile::<ROWS, 4>(t, row, block, &start);
            row += ROWS;
        }
        match len - row {
            1 => tile::<1, 4>(t, row, block, &start),
            2 => tile::<2, 4>(t, row, block, &start),
            3 => tile::<3, 4>(t, row, block, &start),
            _ => {}
        }
    }
}

/// 128 times the sum of each output's weights.
#[inline(always)]
unsafe fn prepare(t: &ConvTile, block: usize) -> Sums {
    // SAFETY: the panel's bytes (validity of the tile); features: the caller.
    unsafe {
        let w = conv::panel(t, block);
        let mut sums = [vdupq_n_s32(0); 4];
        for quad in 0..t.segments.len() * t.quads {
            for n in 0..4 {
                sums[n] = Signed::dot(sums[n], vdupq_n_u8(0x80), vld1q_s8(w.add(64 * quad + 16 * n)));
            }
        }
        // So far they are -128 times it.
        for sum in &mut sums {
            *sum = vnegq_s32(*sum);
        }
        sums
    }
}

#[inline(always)]
unsafe fn tile<const R: usize, const N: usize>(t: &ConvTile, row: usize, block: usize, start: &Sums) {
    // SAFETY: `4 * quads` bytes from each row and segment are readable, weights of all quads there (validity of the tile).
    unsafe {
        let x = conv::rows::<R>(t, row, R);
        let mut w = conv::panel(t, block);
        let mut acc = [*start; R];
        for &segment in t.segments {
            let (mut at, mut quads) = (segment as usize, t.quads);
            let mut codes = [vdupq_n_u8(0); R];
            while quads >= 4 {
                for r in 0..R {
                    codes[r] = signed(vld1q_u8(x[r].add(at)));
                }
                quad::<R, N, 0>(&mut acc, w, &codes);
                quad::<R, N, 1>(&mut acc, w.add(64), &codes);
                quad::<R, N, 2>(&mut acc, w.add(128), &codes);
                quad::<R, N, 3>(&mut acc, w.add(192), &codes);
                w = w.add(256);
                at += 16;
                quads -= 4;
            }
            if quads >= 2 {
                for r in 0..R {
                    codes[r] = signed(conv::two_quads(x[r].add(at)));
                }
                quad::<R, N, 0>(&mut acc, w, &codes);
                quad::<R, N, 1>(&mut acc, w.add(64), &codes);
                w = w.add(128);
                at += 8;
                quads -= 2;
            }
            if quads == 1 {
                for r in 0..R {
                    codes[r] = signed(conv::quad(x[r].add(at)));
                }
                quad::<R, N, 0>(&mut acc, w, &codes);
                w = w.add(64);
            }
        }
        conv::store::<R, N>(t, row, R, block, &acc);
    }
}

/// Codes less 128.
#[inline(always)]
unsafe fn signed(x: uint8x16_t) -> uint8x16_t {
    // SAFETY: NEON is part of the target.
    unsafe { veorq_u8(x, vdupq_n_u8(0x80)) }
}

/// Quad `Q` of the codes, which meets 64 bytes of weights.
#[inline(always)]
unsafe fn quad<const R: usize, const N: usize, const Q: i32>(acc: &mut [Sums; R], w: *const i8, codes: &[uint8x16_t; R]) {
    // SAFETY: 64 bytes of weights; features: the caller.
    unsafe {
        let mut weights = [vld1q_s8(w); N];
        for n in 1..N {
            weights[n] = vld1q_s8(w.add(16 * n));
        }
        for n in 0..N {
            for r in 0..R {
                acc[r][n] = by_element::<Q>(acc[r][n], weights[n], codes[r]);
            }
        }
    }
}

/// `acc[i] + sum over j < 4 of w[4 i + j] * x[4 Q + j]`, codes signed.
#[inline(always)]
unsafe fn by_element<const Q: i32>(acc: int32x4_t, w: int8x16_t, x: uint8x16_t) -> int32x4_t {
    let mut acc = acc;
    // SAFETY: registers only; the processor has `dotprod` (the caller).
    unsafe {
        asm!("sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{q}]", acc = inlateout(vreg) acc, w = in(vreg) w, x = in(vreg) x,
            q = const Q, options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Codes less 128 times weights.
struct Signed;

impl Dot for Signed {
    const FLIP: u8 = 0x80;

    #[inline(always)]
    unsafe fn dot(acc: int32x4_t, x: uint8x16_t, w: int8x16_t) -> int32x4_t {
        let mut acc = acc;
        // SAFETY: registers only; the processor has `dotprod` (the caller).
        unsafe {
            asm!("sdot {acc:v}.4s, {x:v}.16b, {w:v}.16b", acc = inlateout(vreg) acc, x = in(vreg) x, w = in(vreg) w,
                options(pure, nomem, nostack, preserves_flags));
        }
        acc
    }
}
