//! Columns of a depthwise 5 x 5 by a byte dot product: four taps side by side, and the fifth.
//!
//! ```text
//! trn1 a, b and c, d, zip pairs:   a0 b0 c0 d0  a2 b2 c2 d2 ..        even channels; trn2: the odd ones
//! zip pairs of e with itself:      e0 e1 e0 e1  e2 e3 e2 e3 ..        for both: the other's weight is 0
//! ```

use core::arch::aarch64::*;

use super::super::DepthwiseTile;
use super::super::columns::Column;
use super::depthwise::Dot;
use super::finish::Affine;
use super::threes::pixel;

/// Weights of `4 N` channels, even and odd ones apart.
pub(super) struct Fives<D, const N: usize> {
    /// Of each column the first four taps.
    fours: [[int8x16_t; N]; 5],
    /// The fifth.
    fifths: [[int8x16_t; N]; 5],
    start: [int32x4_t; N],
    affine: Affine,
    dot: core::marker::PhantomData<D>,
}

impl<D: Dot, const N: usize> Fives<D, N> {
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
            let (mut fours, mut fifths) = ([[vdupq_n_s8(0); N]; 5], [[vdupq_n_s8(0); N]; 5]);
            for n in (0..N).step_by(2) {
                let quad = |q: usize, n: usize| vld1q_s8(w.add(64 * q + 16 * n));
                let tables = |n| {
                    (int8x16x4_t(quad(0, n), quad(1, n), quad(2, n), quad(3, n)), int8x16x3_t(quad(4, n), quad(5, n), quad(6, n)))
                };
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
            let mut start = [vdupq_n_s32(0); N];
            if D::FLIP != 0 {
                for n in 0..N {
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

impl<D: Dot, const N: usize> Column<5> for Fives<D, N> {
    type Codes = ([uint8x16_t; N], [uint8x16_t; 2]);
    type Sums = [int32x4_t; N];

    #[inline(always)]
    unsafe fn load(&self, p: [*const u8; 5]) -> Self::Codes {
        // SAFETY: the caller's.
        unsafe {
            let flip = vdupq_n_u8(D::FLIP);
            let mut x = [pixel::<N>(p[0]), pixel::<N>(p[1]), pixel::<N>(p[2]), pixel::<N>(p[3]), pixel::<N>(p[4])];
            if D::FLIP != 0 {
                for x in &mut x {
                    *x = veorq_u8(*x, flip);
                }
            }
            let [a, b, c, d, e] = x;
            let pairs = |x| vreinterpretq_u16_u8(x);
            let [even, odd, e] = [
                [pairs(vtrn1q_u8(a, b)), pairs(vtrn1q_u8(c, d))],
                [pairs(vtrn2q_u8(a, b)), pairs(vtrn2q_u8(c, d))],
                [pairs(e), pairs(e)],
            ];
            let lo = |[x, y]: [uint16x8_t; 2]| vreinterpretq_u8_u16(vzip1q_u16(x, y));
            let hi = |[x, y]: [uint16x8_t; 2]| vreinterpretq_u8_u16(vzip2q_u16(x, y));
            let mut fours = [lo(even); N];
            fours[1] = lo(odd);
            if N == 4 {
                (fours[2], fours[3]) = (hi(even), hi(odd));
            }
            (fours, [lo(e), hi(e)])
        }
    }

    #[inline(always)]
    unsafe fn add<const J: usize>(&self, acc: &mut [int32x4_t; N], (fours, fifth): Self::Codes) {
        for n in 0..N {
            // SAFETY: the caller's.
            unsafe {
                acc[n] = D::dot(acc[n], fours[n], self.fours[J][n]);
                acc[n] = D::dot(acc[n], fifth[n / 2], self.fifths[J][n]);
            }
        }
    }

    #[inline(always)]
    fn start(&self) -> [int32x4_t; N] {
        self.start
    }

    #[inline(always)]
    unsafe fn put(&self, out: *mut u8, acc: [int32x4_t; N]) {
        // SAFETY: the caller's.
        unsafe { self.affine.put_apart(out, acc) }
    }
}
