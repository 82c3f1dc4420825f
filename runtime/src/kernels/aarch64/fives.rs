//! Columns of a depthwise 5 x 5. By a byte dot product: four taps side by side, and the fifth.
//!
//! ```text
//! trn1 a, b and c, d, zip pairs:   a0 b0 c0 d0  a2 b2 c2 d2 ..        even channels; trn2: the odd ones
//! zip pairs of e with itself:      e0 e1 e0 e1  e2 e3 e2 e3 ..        for both: the other's weight is 0
//! ```

use core::arch::{aarch64::*, asm};
use core::mem::MaybeUninit;

use super::super::DepthwiseTile;
use super::super::columns::Column;
use super::depthwise::{Dot, KEPT, now, widen};
use super::finish::{Affine, Sums};
use super::threes::pixel;

/// Weights of 16 channels, even and odd ones apart.
pub(super) struct Fives<D, const TIGHT: bool> {
    /// Of each column the first four taps.
    fours: [[int8x16_t; 4]; 5],
    /// The fifth.
    fifths: [[int8x16_t; 4]; 5],
    start: [int32x4_t; 4],
    affine: Affine,
    dot: core::marker::PhantomData<D>,
}

impl<D: Dot, const TIGHT: bool> Fives<D, TIGHT> {
    /// Those of channels from `at` of a tile whose taps are 5 x 5.
    ///
    /// # Safety
    /// The tile is valid and has the channels; the processor has the instruction.
    #[inline(always)]
    pub(super) unsafe fn new(t: &DepthwiseTile, at: usize) -> Self {
        // Of four channels, byte `16 q + 4 k + j` is tap `4 q + j` of channel k. The first four quads are one table, the others another;
        // indices beyond a table give 0.
        const fn index(first: usize, taps: [usize; 4]) -> [u8; 16] {
            let (mut index, mut i) = ([255; 16], 0);
            while i < 16 {
                let tap = taps[i % 4];
                if tap < 25 && tap >= first {
                    index[i] = ((tap - first) / 4 * 16 + i / 4 * 4 + tap % 4) as u8;
                }
                i += 1;
            }
            index
        }
        const fn indices(j: usize) -> [[u8; 16]; 4] {
            let fours = [j, 5 + j, 10 + j, 15 + j];
            [index(0, fours), index(16, fours), index(16, [20 + j, 25, 25, 25]), index(16, [25, 20 + j, 25, 25])]
        }
        const INDICES: [[[u8; 16]; 4]; 5] = [indices(0), indices(1), indices(2), indices(3), indices(4)];
        // SAFETY: seven quads of weights of the block (validity of the tile); features: the caller.
        unsafe {
            let w = t.weights.as_ptr().add(at / 16 * t.quads * 64);
            let (mut fours, mut fifths) = ([[vdupq_n_s8(0); 4]; 5], [[vdupq_n_s8(0); 4]; 5]);
            for n in [0, 2] {
                let quad = |q: usize, n: usize| vld1q_s8(w.add(64 * q + 16 * n));
                let tables =
                    |n| (int8x16x4_t(quad(0, n), quad(1, n), quad(2, n), quad(3, n)), int8x16x3_t(quad(4, n), quad(5, n), quad(6, n)));
                let (lo, hi) = (tables(n), tables(n + 1));
                for (j, index) in INDICES.iter().enumerate() {
                    let index = index.map(|index| vld1q_u8(index.as_ptr()));
                    let four = |t: (int8x16x4_t, int8x16x3_t)| {
                        vreinterpretq_s32_s8(vorrq_s8(vqtbl4q_s8(t.0, index[0]), vqtbl3q_s8(t.1, index[1])))
                    };
                    let fifth = |t: (int8x16x4_t, int8x16x3_t), i: usize| vreinterpretq_s32_s8(vqtbl3q_s8(t.1, index[i]));
                    fours[j][n] = vreinterpretq_s8_s32(vuzp1q_s32(four(lo), four(hi)));
                    fours[j][n + 1] = vreinterpretq_s8_s32(vuzp2q_s32(four(lo), four(hi)));
                    fifths[j][n] = vreinterpretq_s8_s32(vuzp1q_s32(fifth(lo, 2), fifth(hi, 2)));
                    fifths[j][n + 1] = vreinterpretq_s8_s32(vuzp2q_s32(fifth(lo, 3), fifth(hi, 3)));
                }
            }
            let mut start = [vdupq_n_s32(0); 4];
            if D::FLIP != 0 {
                for n in 0..4 {
                    for j in 0..5 {
                        start[n] = D::dot(start[n], vdupq_n_u8(D::FLIP), fours[j][n]);
                        start[n] = D::dot(start[n], vdupq_n_u8(D::FLIP), fifths[j][n]);
                    }
                    start[n] = vnegq_s32(start[n]);
                }
            }
            Fives { fours, fifths, start, affine: Affine::load(t, at).apart(), dot: core::marker::PhantomData }
        }
    }
}

impl<D: Dot, const TIGHT: bool> Column<5> for Fives<D, TIGHT> {
    type Codes = ([uint8x16_t; 4], [uint8x16_t; 2]);
    type Sums = [int32x4_t; 4];

    #[inline(always)]
    unsafe fn load(&self, p: [*const u8; 5]) -> Self::Codes {
        // SAFETY: the caller's.
        unsafe {
            let flip = vdupq_n_u8(D::FLIP);
            let mut x = [pixel::<4>(p[0]), pixel::<4>(p[1]), pixel::<4>(p[2]), pixel::<4>(p[3]), pixel::<4>(p[4])];
            if D::FLIP != 0 {
                for x in &mut x {
                    *x = veorq_u8(*x, flip);
                }
            }
            let [a, b, c, d, e] = x;
            let pairs = |x| vreinterpretq_u16_u8(x);
            let [even, odd, e] =
                [[pairs(vtrn1q_u8(a, b)), pairs(vtrn1q_u8(c, d))], [pairs(vtrn2q_u8(a, b)), pairs(vtrn2q_u8(c, d))], [pairs(e), pairs(e)]];
            let lo = |[x, y]: [uint16x8_t; 2]| vreinterpretq_u8_u16(vzip1q_u16(x, y));
            let hi = |[x, y]: [uint16x8_t; 2]| vreinterpretq_u8_u16(vzip2q_u16(x, y));
            ([lo(even), lo(odd), hi(even), hi(odd)], [lo(e), hi(e)])
        }
    }

    #[inline(always)]
    unsafe fn add<const J: usize>(&self, acc: &mut [int32x4_t; 4], (fours, [lo, hi]): Self::Codes) {
        // SAFETY: the caller's; weights of a column are 64 bytes.
        unsafe {
            *acc = D::four::<J>(*acc, fours, self.fours.as_ptr().cast());
            *acc = D::four::<J>(*acc, [lo, lo, hi, hi], self.fifths.as_ptr().cast());
        }
    }

    #[inline(always)]
    fn start(&self) -> [int32x4_t; 4] {
        self.start
    }

    #[inline(always)]
    unsafe fn put(&self, out: *mut u8, acc: [int32x4_t; 4]) {
        // SAFETY: the caller's.
        unsafe { self.affine.put_apart::<4, TIGHT>(out, acc) }
    }
}

/// The weights, read here: the compiler, left to itself, reads those of all columns at once, halves apart, and finds no registers for them.
#[inline(always)]
unsafe fn here(w: &[int8x16_t; 5]) -> [int8x16_t; 5] {
    let (a, b, c, d, e);
    // SAFETY: reads 80 bytes.
    unsafe {
        asm!("ldp {a:q}, {b:q}, [{w}]", "ldp {c:q}, {d:q}, [{w}, 32]", "ldr {e:q}, [{w}, 64]", w = in(reg) w,
            a = out(vreg) a, b = out(vreg) b, c = out(vreg) c, d = out(vreg) d, e = out(vreg) e,
            options(readonly, nostack, preserves_flags));
    }
    [a, b, c, d, e]
}

/// Columns of 16 channels by products of 16 bits, added up there in groups of up to `GROUP`: of 2 always, of more if their weights' magnitudes
/// are at most 255 in the sum.
pub(super) struct Products<const GROUP: usize, const TIGHT: bool> {
    weights: [[int8x16_t; 5]; 5],
    start: Sums,
    affine: Affine,
}

impl<const GROUP: usize, const TIGHT: bool> Products<GROUP, TIGHT> {
    /// Those of channels from `at` of a tile whose taps are 5 x 5, weights in `kept`, above -128; `None` if they do not fit so.
    ///
    /// # Safety
    /// The tile is valid and has the channels; `kept` holds a vector for each tap.
    #[inline(always)]
    pub(super) unsafe fn new(t: &DepthwiseTile, at: usize, kept: &[MaybeUninit<int8x16_t>; KEPT]) -> Option<Self> {
        // SAFETY: 25 are there (the caller).
        unsafe {
            let (mut weights, mut most, mut start) = ([[vdupq_n_s8(0); 5]; 5], vdupq_n_u8(0), [vdupq_n_s32(0); 4]);
            for j in 0..5 {
                let mut size = vdupq_n_u8(0);
                for i in 0..5 {
                    let w = kept[5 * i + j].assume_init();
                    weights[j][i] = w;
                    let this = vreinterpretq_u8_s8(vabsq_s8(w));
                    size = if i % GROUP == 0 { this } else { vqaddq_u8(size, this) };
                    most = vmaxq_u8(most, size);
                    widen(&mut start, vshll_n_s8::<7>(vget_low_s8(w)), vshll_high_n_s8::<7>(w));
                }
            }
            // A sum of 255 may be a larger one, saturated; two are at most 254.
            (vmaxvq_u8(most) < 255).then_some(Products { weights, start, affine: Affine::load(t, at) })
        }
    }
}

impl<const GROUP: usize, const TIGHT: bool> Column<5> for Products<GROUP, TIGHT> {
    type Codes = [int8x16_t; 5];
    type Sums = Sums;

    #[inline(always)]
    unsafe fn load(&self, p: [*const u8; 5]) -> [int8x16_t; 5] {
        // SAFETY: the caller's.
        unsafe {
            let signed = |p| vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)));
            [signed(p[0]), signed(p[1]), signed(p[2]), signed(p[3]), signed(p[4])]
        }
    }

    #[inline(always)]
    unsafe fn add<const J: usize>(&self, acc: &mut Sums, x: [int8x16_t; 5]) {
        // SAFETY: NEON is part of the target.
        unsafe {
            let w = here(&self.weights[J]);
            let (mut lo, mut hi) = (vmull_s8(vget_low_s8(x[0]), vget_low_s8(w[0])), vmull_high_s8(x[0], w[0]));
            for i in 1..5 {
                if i % GROUP == 0 {
                    widen(acc, lo, hi);
                    (lo, hi) = (vmull_s8(vget_low_s8(x[i]), vget_low_s8(w[i])), vmull_high_s8(x[i], w[i]));
                } else {
                    (lo, hi) = (vmlal_s8(lo, vget_low_s8(x[i]), vget_low_s8(w[i])), vmlal_high_s8(hi, x[i], w[i]));
                }
            }
            widen(acc, lo, hi);
            now(acc);
        }
    }

    #[inline(always)]
    fn start(&self) -> Sums {
        self.start
    }

    #[inline(always)]
    unsafe fn put(&self, out: *mut u8, acc: Sums) {
        // SAFETY: the caller's.
        unsafe {
            if TIGHT {
                self.affine.put::<4, true, false>(out, 16, &acc);
            } else {
                self.affine.put::<4, false, true>(out, 16, &acc);
            }
        }
    }
}
