//! Depthwise convolution: 16 channels of a row at a time.
//!
//! With a byte dot product, 4 taps of a channel are brought side by side by two rounds of zips, in the order the weights
//! have in memory:
//!
//! ```text
//! taps:        a0 a1 .. a15,  b0 .. b15,  c0 .. c15,  d0 .. d15
//! zip bytes:   a0 b0 a1 b1 .. a7 b7 | a8 b8 ..,      c0 d0 c1 d1 .. | c8 d8 ..
//! zip pairs:   a0 b0 c0 d0 .. a3 b3 c3 d3 | channels 4..8 | 8..12 | 12..16
//! ```
//!
//! Without one it is the weights that change their order: a load that takes four bytes apart (`ld4`) makes a vector of a tap
//! out of them, once a tile. Products of 16 bits are then added in pairs of taps, one by one where a weight is -128.

use core::arch::aarch64::*;
use core::mem::MaybeUninit;

use super::super::DepthwiseTile;
use super::super::columns::{self, Grid};
use super::finish::{Affine, Sums, any, plain, tight};
use super::fives::{self, Fives};
use super::threes::{Dots, Products};
use super::{conv, part};

/// A byte dot product.
pub(super) trait Dot {
    /// Flips the bits of codes that `dot` expects flipped.
    const FLIP: u8;

    /// `acc[i] + sum over j < 4 of x[4 i + j] * w[4 i + j]`, modulo 2^32; `x` is signed where `FLIP` flips its sign.
    ///
    /// # Safety
    /// The processor has the instruction.
    unsafe fn dot(acc: int32x4_t, x: uint8x16_t, w: int8x16_t) -> int32x4_t;

    /// The same of four vectors, weights `64 * AT` bytes from `w`. They are read here and nowhere else: the compiler, left to itself, reads
    /// them all at once, finds no registers for them, and puts sums or codes off to where it does.
    ///
    /// # Safety
    /// The processor has the instruction; the weights are readable.
    unsafe fn four<const AT: usize>(acc: [int32x4_t; 4], x: [uint8x16_t; 4], w: *const int8x16_t) -> [int32x4_t; 4];
}

/// [`Dot::four`] by an instruction.
macro_rules! four {
    ($dot:literal) => {
        #[inline(always)]
        unsafe fn four<const AT: usize>(acc: [int32x4_t; 4], x: [uint8x16_t; 4], w: *const int8x16_t) -> [int32x4_t; 4] {
            let [mut s0, mut s1, mut s2, mut s3] = acc;
            // SAFETY: reads 64 bytes (the caller); the processor has the instruction (the caller).
            unsafe {
                core::arch::asm!(
                    "ldp {w0:q}, {w1:q}, [{w}, {at}]",
                    "ldp {w2:q}, {w3:q}, [{w}, {at} + 32]",
                    concat!($dot, " {s0:v}.4s, {x0:v}.16b, {w0:v}.16b"),
                    concat!($dot, " {s1:v}.4s, {x1:v}.16b, {w1:v}.16b"),
                    concat!($dot, " {s2:v}.4s, {x2:v}.16b, {w2:v}.16b"),
                    concat!($dot, " {s3:v}.4s, {x3:v}.16b, {w3:v}.16b"),
                    w = in(reg) w, at = const 64 * AT,
                    w0 = out(vreg) _, w1 = out(vreg) _, w2 = out(vreg) _, w3 = out(vreg) _,
                    x0 = in(vreg) x[0], x1 = in(vreg) x[1], x2 = in(vreg) x[2], x3 = in(vreg) x[3],
                    s0 = inlateout(vreg) s0, s1 = inlateout(vreg) s1, s2 = inlateout(vreg) s2, s3 = inlateout(vreg) s3,
                    options(readonly, nostack, preserves_flags)
                );
            }
            [s0, s1, s2, s3]
        }
    };
}
pub(super) use four;

/// Channels `at..at + 16` of a tile that is [`plain`], and [`tight`](super::finish::tight) if `TIGHT`, by dot products.
///
/// # Safety
/// The tile is valid (see [`DepthwiseTile`]) and has the channels; the processor has the instruction.
#[inline(always)]
pub(super) unsafe fn sixteen<D: Dot, const TIGHT: bool>(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's.
    unsafe {
        if let Some(grid) = Grid::of(t).filter(|grid| grid.runs(t)) {
            columns::rows(t, at, &grid, &Fives::<D, TIGHT>::new(t, at));
        } else {
            dots_of::<D, 16, 4, true>(t, at, 16);
        }
    }
}

/// The same of a tile of 3 x 3 taps: whether it is one.
///
/// # Safety
/// As [`sixteen`].
#[inline(always)]
pub(super) unsafe fn threes<D: Dot, const TIGHT: bool>(t: &DepthwiseTile, at: usize) -> bool {
    let Some(grid) = Grid::of(t) else { return false };
    // SAFETY: the caller's.
    unsafe { columns::rows(t, at, &grid, &Dots::<D, 4, TIGHT>::new(t, at)) };
    true
}

/// Channels from `at`, up to 16, of any tile.
///
/// # Safety
/// As [`sixteen`].
#[inline(always)]
pub(super) unsafe fn some<D: Dot>(t: &DepthwiseTile, at: usize) {
    // SAFETY: the caller's; what is left of `oc`, at most 16.
    unsafe {
        match t.oc - at {
            8 if plain(t) => match Grid::of(t) {
                Some(grid) => columns::rows(t, at, &grid, &Dots::<D, 2, false>::new(t, at)),
                None => dots_of::<D, 8, 2, true>(t, at, 8),
            },
            left if plain(t) => dots_of::<D, 0, 4, true>(t, at, left.min(16)),
            left => dots_of::<D, 0, 4, false>(t, at, left.min(16)),
        }
    }
}

/// Channels `at..at + n` in `N` vectors of sums, of a tile that is plain if `PLAIN`. `BYTES` is `n`, if it is 16 or 8, else 0.
#[inline(always)]
unsafe fn dots_of<D: Dot, const BYTES: usize, const N: usize, const PLAIN: bool>(t: &DepthwiseTile, at: usize, n: usize) {
    let (quads, rest) = t.segments.as_chunks::<4>();
    // SAFETY: `n` channels from `at` of every tap are readable, weights of all quads there (validity of the tile).
    unsafe {
        let w = t.weights.as_ptr().add(at / 16 * t.quads * 64);
        let affine = Affine::load(t, at);
        let flip = vdupq_n_u8(D::FLIP);
        // A missing tap is code 0, so that the start takes its weight out again.
        let missing = flip;
        let mut start = [vdupq_n_s32(0); 4];
        if D::FLIP != 0 {
            for q in 0..t.quads {
                for (j, start) in start.iter_mut().enumerate() {
                    *start = D::dot(*start, flip, vld1q_s8(w.add(64 * q + 16 * j)));
                }
            }
            start = [vnegq_s32(start[0]), vnegq_s32(start[1]), vnegq_s32(start[2]), vnegq_s32(start[3])];
        }
        for row in 0..conv::len(t) {
            let x = t.input.add(t.rows_in[row] as usize + at);
            let mut acc = start;
            // Macros, because a closure would be compiled without the features of the set.
            macro_rules! load {
                ($tap:expr) => {{ veorq_u8(load::<BYTES>(x.add($tap as usize), n), flip) }};
            }
            macro_rules! dot {
                ($q:expr, $taps:expr) => {
                    let v = interleave($taps);
                    for j in 0..N {
                        acc[j] = D::dot(acc[j], v[j], vld1q_s8(w.add(64 * $q + 16 * j)));
                    }
                };
            }
            for (q, &[t0, t1, t2, t3]) in quads.iter().enumerate() {
                dot!(q, [load!(t0), load!(t1), load!(t2), load!(t3)]);
            }
            match *rest {
                [t0, t1, t2] => {
                    dot!(quads.len(), [load!(t0), load!(t1), load!(t2), missing]);
                }
                [t0, t1] => {
                    dot!(quads.len(), [load!(t0), load!(t1), missing, missing]);
                }
                [t0] => {
                    dot!(quads.len(), [load!(t0), missing, missing, missing]);
                }
                _ => {}
            }
            if PLAIN {
                affine.put::<N, false, true>(t.output.add(*t.rows_out.get_unchecked(row) as usize + at), n, &acc)
            } else {
                any(t, row, at, &[acc])
            }
        }
    }
}

/// `n` bytes: `BYTES`, if that is not 0.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn load<const BYTES: usize>(p: *const u8, n: usize) -> uint8x16_t {
    // SAFETY: the caller's.
    unsafe { part::load(p, if BYTES > 0 { BYTES } else { n }) }
}

/// Four taps to four vectors of 4 bytes a channel, as drawn above.
#[inline(always)]
unsafe fn interleave([a, b, c, d]: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let [ab_lo, ab_hi] = [vreinterpretq_u16_u8(vzip1q_u8(a, b)), vreinterpretq_u16_u8(vzip2q_u8(a, b))];
        let [cd_lo, cd_hi] = [vreinterpretq_u16_u8(vzip1q_u8(c, d)), vreinterpretq_u16_u8(vzip2q_u8(c, d))];
        [
            vreinterpretq_u8_u16(vzip1q_u16(ab_lo, cd_lo)),
            vreinterpretq_u8_u16(vzip2q_u16(ab_lo, cd_lo)),
            vreinterpretq_u8_u16(vzip1q_u16(ab_hi, cd_hi)),
            vreinterpretq_u8_u16(vzip2q_u16(ab_hi, cd_hi)),
        ]
    }
}

/// Taps whose weights are kept apart; larger kernels are summed one by one.
pub(super) const KEPT: usize = 64;

/// The tile by 16-bit products.
///
/// # Safety
/// The tile is valid (see [`DepthwiseTile`]).
#[inline(always)]
pub(super) unsafe fn products(t: &DepthwiseTile) {
    for at in (0..t.oc).step_by(16) {
        // SAFETY: the caller's; 16 channels from `at`, or what is left of `oc`.
        unsafe {
            let mut kept = [const { MaybeUninit::uninit() }; KEPT];
            let pairs = t.segments.len() <= KEPT && take_apart(t, at, &mut kept);
            match t.oc - at {
                left if !pairs => one_by_one(t, at, left.min(16)),
                16.. if tight(t, at) && (columns_of::<4, true, true>(t, at, &kept) || columns_of::<4, false, true>(t, at, &kept)) => {}
                16.. if plain(t) && columns_of::<4, false, false>(t, at, &kept) => {}
                16.. if plain(t) && fives_of(t, at, &kept) => {}
                8 if plain(t) && columns_of::<2, false, false>(t, at, &kept) => {}
                16.. if plain(t) => products_of::<16, 4, true>(t, at, 16, &kept),
                8 if plain(t) => products_of::<8, 2, true>(t, at, 8, &kept),
                left if plain(t) => products_of::<0, 4, true>(t, at, left, &kept),
                left => products_of::<0, 4, false>(t, at, left.min(16), &kept),
            }
        }
    }
}

/// A vector of weights for each of up to `KEPT` taps. Whether all are above -128.
#[inline(always)]
unsafe fn take_apart(t: &DepthwiseTile, at: usize, kept: &mut [MaybeUninit<int8x16_t>; KEPT]) -> bool {
    let mut kept = kept.as_chunks_mut::<4>().0.iter_mut();
    // SAFETY: the block's weights of all quads (validity of the tile).
    unsafe {
        let w = t.weights.as_ptr().add(at / 16 * t.quads * 64);
        let mut least = vdupq_n_s8(0);
        for (q, kept) in (0..t.quads).zip(&mut kept) {
            let int8x16x4_t(a, b, c, d) = vld4q_s8(w.add(64 * q));
            least = vminq_s8(least, vminq_s8(vminq_s8(a, b), vminq_s8(c, d)));
            *kept = [a, b, c, d].map(MaybeUninit::new);
        }
        vminvq_s8(least) > i8::MIN
    }
}

/// By columns, where taps and weights allow it: whether they do. The weights are in `kept`, above -128.
#[inline(never)]
unsafe fn columns_of<const N: usize, const THREE: bool, const TIGHT: bool>(
    t: &DepthwiseTile, at: usize, kept: &[MaybeUninit<int8x16_t>; KEPT],
) -> bool {
    let Some(grid) = Grid::of(t) else { return false };
    // SAFETY: the caller's.
    unsafe {
        let Some(weights) = Products::<N, THREE, TIGHT>::new(t, at, kept) else { return false };
        columns::rows(t, at, &grid, &weights);
    }
    true
}

/// The same of 5 x 5.
#[inline(always)]
unsafe fn fives_of(t: &DepthwiseTile, at: usize, kept: &[MaybeUninit<int8x16_t>; KEPT]) -> bool {
    let Some(grid) = Grid::of(t).filter(|grid| grid.runs(t)) else { return false };
    #[inline(never)]
    unsafe fn by<const GROUP: usize, const TIGHT: bool>(
        t: &DepthwiseTile, at: usize, grid: &Grid<5>, kept: &[MaybeUninit<int8x16_t>; KEPT],
    ) -> bool {
        // SAFETY: the caller's.
        unsafe {
            let Some(weights) = fives::Products::<GROUP, TIGHT>::new(t, at, kept) else { return false };
            columns::rows(t, at, grid, &weights);
        }
        true
    }
    // SAFETY: the caller's.
    unsafe {
        match tight(t, at) {
            true => by::<5, true>(t, at, &grid, kept) || by::<3, true>(t, at, &grid, kept) || by::<2, true>(t, at, &grid, kept),
            false => by::<2, false>(t, at, &grid, kept),
        }
    }
}

/// As [`dots_of`]. All weights are in `kept`, above -128.
#[inline(never)]
unsafe fn products_of<const BYTES: usize, const N: usize, const PLAIN: bool>(
    t: &DepthwiseTile, at: usize, n: usize, kept: &[MaybeUninit<int8x16_t>; KEPT],
) {
    // SAFETY: `n` channels from `at` of every tap are readable (validity of the tile); weights: the caller.
    unsafe {
        let affine = Affine::load(t, at);
        let flip = vdupq_n_u8(0x80);
        let load = |x: *const u8| vreinterpretq_s8_u8(veorq_u8(load::<BYTES>(x, n), flip));
        let w = core::slice::from_raw_parts(kept.as_ptr().cast::<int8x16_t>(), t.segments.len());
        let mut start = [vdupq_n_s32(0); 4];
        for &w in w {
            widen(&mut start, vshll_n_s8::<7>(vget_low_s8(w)), vshll_high_n_s8::<7>(w));
        }
        for row in 0..conv::len(t) {
            let x = t.input.add(t.rows_in[row] as usize + at);
            let mut acc = start;
            let (twos, last) = t.segments.as_chunks::<2>();
            let mut weights = w.as_ptr();
            for &[a, b] in twos {
                let (xa, xb) = (load(x.add(a as usize)), load(x.add(b as usize)));
                let (wa, wb) = (*weights, *weights.add(1));
                weights = weights.add(2);
                let lo = vmull_s8(vget_low_s8(xa), vget_low_s8(wa));
                let lo = vmlal_s8(lo, vget_low_s8(xb), vget_low_s8(wb));
                let hi = vmlal_high_s8(vmull_high_s8(xa, wa), xb, wb);
                widen(&mut acc, lo, hi);
            }
            if let [tap] = *last {
                let (x, w) = (load(x.add(tap as usize)), *weights);
                widen(&mut acc, vmull_s8(vget_low_s8(x), vget_low_s8(w)), vmull_high_s8(x, w));
            }
            if PLAIN {
                affine.put::<N, false, true>(t.output.add(*t.rows_out.get_unchecked(row) as usize + at), n, &acc)
            } else {
                any(t, row, at, &[acc])
            }
        }
    }
}

/// Adds 16-bit elements of 16 channels.
#[inline(always)]
pub(super) unsafe fn widen(acc: &mut Sums, lo: int16x8_t, hi: int16x8_t) {
    // SAFETY: NEON is part of the target.
    unsafe {
        acc[0] = vaddw_s16(acc[0], vget_low_s16(lo));
        acc[1] = vaddw_high_s16(acc[1], lo);
        acc[2] = vaddw_s16(acc[2], vget_low_s16(hi));
        acc[3] = vaddw_high_s16(acc[3], hi);
    }
}

/// Sums that are not put off, which would keep their columns alive.
///
/// # Safety
/// None: no instruction.
#[inline(always)]
pub(super) unsafe fn now([a, b, c, d]: &mut Sums) {
    // SAFETY: no instruction.
    unsafe {
        core::arch::asm!(
            "/* {a:v} {b:v} {c:v} {d:v} */",
            a = inout(vreg) * a,
            b = inout(vreg) * b,
            c = inout(vreg) * c,
            d = inout(vreg) * d,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Any weights, any number of taps.
#[inline(never)]
unsafe fn one_by_one(t: &DepthwiseTile, at: usize, n: usize) {
    // SAFETY: `n` channels from `at` of every tap are readable, weights of all quads there (validity of the tile).
    unsafe {
        let w = t.weights.as_ptr().add(at / 16 * t.quads * 64);
        for row in 0..conv::len(t) {
            let x = t.input.add(t.rows_in[row] as usize + at);
            let mut acc = [vdupq_n_s32(0); 4];
            for (taps, q) in t.segments.chunks(4).zip(0..t.quads) {
                let int8x16x4_t(a, b, c, d) = vld4q_s8(w.add(64 * q));
                for (&tap, w) in taps.iter().zip([a, b, c, d]) {
                    let x = part::load(x.add(tap as usize), n);
                    // 9 bits times 8 do not fit 16: code and weight are widened first.
                    let x = [vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x)].map(|x| vreinterpretq_s16_u16(x));
                    let w = [vmovl_s8(vget_low_s8(w)), vmovl_high_s8(w)];
                    acc[0] = vmlal_s16(acc[0], vget_low_s16(x[0]), vget_low_s16(w[0]));
                    acc[1] = vmlal_high_s16(acc[1], x[0], w[0]);
                    acc[2] = vmlal_s16(acc[2], vget_low_s16(x[1]), vget_low_s16(w[1]));
                    acc[3] = vmlal_high_s16(acc[3], x[1], w[1]);
                }
            }
            any(t, row, at, &[acc]);
        }
    }
}
