//! The set `dotprod`: `sdot` by element, four products and four additions an output.
//!
//! ```text
//! w[n] = weights of outputs 4 n..4 n + 4, 4 inputs each          x[r] = 16 bytes of row r, less 128
//! for each quad q of x, each n, each r: acc[r][n] += dot(w[n], x[r].quad[q])
//! ```
//!
//! The compiler has no stable name for the instruction: [`by_element`] and [`Signed::dot`] write it out.

use core::arch::{aarch64::*, asm};

use super::super::{ConvTile, DepthwiseTile, Kernels, scalar};
use super::conv::{self, Any, Finish, Kind, Rows, Whole};
use super::depthwise::{self, Dot};
use super::detect::DotProd;
use super::finish::{self, Sums};
use super::table;

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
#[target_feature(enable = "neon,dotprod")]
unsafe fn threes<const TIGHT: bool>(t: &DepthwiseTile, at: usize) -> bool {
    // SAFETY: the caller's; the features are this function's.
    unsafe { depthwise::threes::<Signed, TIGHT>(t, at) }
}

#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sixteen<const TIGHT: bool>(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; the features are this function's.
    unsafe {
        if !threes::<TIGHT>(t, at) {
            depthwise::sixteen::<Signed, TIGHT>(t, at);
        }
    }
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
        if t.segments.is_empty() {
            return (scalar::KERNELS.conv)(t);
        }
        for block in 0..t.oc.div_ceil(16) {
            match conv::kind(t, block) {
                Kind::Tight => rows(t, block, &Whole::<true>::of(t, block)),
                Kind::Plain => rows(t, block, &Whole::<false>::of(t, block)),
                Kind::Other => rows(t, block, &Any(16 * block)),
            }
        }
        table::apply(t);
    }
}

#[inline(never)]
#[target_feature(enable = "neon,dotprod")]
unsafe fn rows(t: &ConvTile, block: usize, finish: &impl Finish) {
    // SAFETY: the tile is valid (the caller), the features are this function's; rows up to `len` are in the tile.
    unsafe {
        let start = prepare(t, block);
        let mut rows = Rows::of(t);
        if conv::narrow(t, block) {
            while rows.left >= 2 * ROWS {
                tile::<{ 2 * ROWS }, 2>(t, rows, block, &start, finish);
                rows.pass(2 * ROWS);
            }
            while rows.left >= 2 {
                tile::<2, 2>(t, rows, block, &start, finish);
                rows.pass(2);
            }
            if rows.left > 0 {
                tile::<1, 2>(t, rows, block, &start, finish);
            }
            return;
        }
        while rows.left >= ROWS {
            tile::<ROWS, 4>(t, rows, block, &start, finish);
            rows.pass(ROWS);
        }
        match rows.left {
            1 => tile::<1, 4>(t, rows, block, &start, finish),
            2 => tile::<2, 4>(t, rows, block, &start, finish),
            3 => tile::<3, 4>(t, rows, block, &start, finish),
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
unsafe fn tile<const R: usize, const N: usize>(t: &ConvTile, rows: Rows, block: usize, start: &Sums, finish: &impl Finish) {
    // SAFETY: `4 * quads` bytes from each row and segment are readable, weights of all quads there (validity of the tile).
    unsafe {
        let first = conv::rows::<R>(t, rows, R);
        let mut w = conv::panel(t, block);
        let mut acc = [*start; R];
        let mut segments = t.segments.as_ptr_range();
        loop {
            let mut x = first;
            for x in &mut x {
                *x = x.add(*segments.start as usize);
            }
            let mut codes = [vdupq_n_u8(0); R];
            let whole = w.add(64 * (t.quads & !3));
            while w != whole {
                for r in 0..R {
                    codes[r] = signed(vld1q_u8(x[r]));
                    x[r] = x[r].add(16);
                }
                quad::<R, N, 0>(&mut acc, w, &codes);
                quad::<R, N, 1>(&mut acc, w.add(64), &codes);
                quad::<R, N, 2>(&mut acc, w.add(128), &codes);
                quad::<R, N, 3>(&mut acc, w.add(192), &codes);
                w = w.add(256);
            }
            if t.quads & 2 != 0 {
                for r in 0..R {
                    codes[r] = signed(conv::two_quads(x[r]));
                    x[r] = x[r].add(8);
                }
                quad::<R, N, 0>(&mut acc, w, &codes);
                quad::<R, N, 1>(&mut acc, w.add(64), &codes);
                w = w.add(128);
            }
            if t.quads & 1 != 0 {
                for r in 0..R {
                    codes[r] = signed(conv::quad(x[r]));
                }
                quad::<R, N, 0>(&mut acc, w, &codes);
                w = w.add(64);
            }
            segments.start = segments.start.add(1);
            if segments.start == segments.end {
                break;
            }
        }
        finish.store::<R, N>(t, rows, R, &acc);
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

    depthwise::four!("sdot");
}
