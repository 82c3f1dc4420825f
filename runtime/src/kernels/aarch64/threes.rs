//! Columns of a depthwise 3 x 3.

use core::arch::aarch64::*;
use core::mem::MaybeUninit;

use super::super::DepthwiseTile;
use super::super::columns::Column;
use super::depthwise::{Dot, KEPT, widen};
use super::finish::{Affine, Sums};

/// `4 N` bytes.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub(super) unsafe fn pixel<const N: usize>(p: *const u8) -> uint8x16_t {
    // SAFETY: readable (the caller).
    unsafe { if N == 4 { vld1q_u8(p) } else { vcombine_u8(vld1_u8(p), vdup_n_u8(0)) } }
}

/// Columns by a byte dot product: even and odd channels apart, where two transpositions and a zip a vector bring three
/// taps of a channel together. The fourth byte is a neighbour's, of weight 0.
///
/// ```text
/// trn1 a, b:       a0 b0 a2 b2 ..                trn2 a, b:       a1 b1 a3 b3 ..
/// zip pairs, c:    a0 b0 c0 c1  a2 b2 c2 c3 ..   zip pairs, c:    a1 b1 c0 c1  a3 b3 c2 c3 ..
/// ```
pub(super) struct Dots<D, const N: usize, const TIGHT: bool> {
    weights: [[int8x16_t; N]; 3],
    start: [int32x4_t; N],
    affine: Affine,
    dot: core::marker::PhantomData<D>,
}

impl<D: Dot, const N: usize, const TIGHT: bool> Dots<D, N, TIGHT> {
    /// Those of channels from `at` of a tile of a [`Grid`].
    ///
    /// # Safety
    /// The tile is valid and has the channels; the processor has the instruction.
    #[inline(always)]
    pub(super) unsafe fn new(t: &DepthwiseTile, at: usize) -> Self {
        // Of four channels, byte `16 q + 4 k + j` is tap `4 q + j` of channel k; 255 gives 0.
        const fn index(taps: [u8; 3], odd: bool) -> [u8; 16] {
            let (mut index, mut k) = ([255; 16], 0);
            while k < 4 {
                index[4 * k] = taps[0] + 4 * k as u8;
                index[4 * k + 1] = taps[1] + 4 * k as u8;
                index[4 * k + if odd { 3 } else { 2 }] = taps[2] + 4 * k as u8;
                k += 1;
            }
            index
        }
        // Taps 0, 3, 6, then 1, 4, 7, then 2, 5, 8.
        const INDEX: [[[u8; 16]; 2]; 3] = [
            [index([0, 3, 18], false), index([0, 3, 18], true)],
            [index([1, 16, 19], false), index([1, 16, 19], true)],
            [index([2, 17, 32], false), index([2, 17, 32], true)],
        ];
        // SAFETY: three quads of weights of the block (`Grid::of`, validity of the tile); features: the caller.
        unsafe {
            let w = t.weights.as_ptr().add(at / 16 * t.quads * 64);
            let (mut weights, mut start) = ([[vdupq_n_s8(0); N]; 3], [vdupq_n_s32(0); N]);
            for n in (0..N).step_by(2) {
                let taps = |n: usize| int8x16x3_t(vld1q_s8(w.add(16 * n)), vld1q_s8(w.add(64 + 16 * n)), vld1q_s8(w.add(128 + 16 * n)));
                let (lo, hi) = (taps(n), taps(n + 1));
                for j in 0..3 {
                    let pick = |index: usize, taps| vreinterpretq_s32_s8(vqtbl3q_s8(taps, vld1q_u8(INDEX[j][index].as_ptr())));
                    weights[j][n] = vreinterpretq_s8_s32(vuzp1q_s32(pick(0, lo), pick(0, hi)));
                    weights[j][n + 1] = vreinterpretq_s8_s32(vuzp2q_s32(pick(1, lo), pick(1, hi)));
                }
            }
            if D::FLIP != 0 {
                for n in 0..N {
                    for weights in &weights {
                        start[n] = D::dot(start[n], vdupq_n_u8(D::FLIP), weights[n]);
                    }
                    start[n] = vnegq_s32(start[n]);
                }
            }
            Dots { weights, start, affine: Affine::load(t, at).apart(), dot: core::marker::PhantomData }
        }
    }
}

impl<D: Dot, const N: usize, const TIGHT: bool> Column<3> for Dots<D, N, TIGHT> {
    type Codes = [uint8x16_t; N];
    type Sums = [int32x4_t; N];

    #[inline(always)]
    unsafe fn load(&self, p: [*const u8; 3]) -> [uint8x16_t; N] {
        // SAFETY: the caller's.
        unsafe {
            let flip = vdupq_n_u8(D::FLIP);
            let [a, b, c] = [pixel::<N>(p[0]), pixel::<N>(p[1]), pixel::<N>(p[2])];
            let [a, b, c] = if D::FLIP == 0 { [a, b, c] } else { [veorq_u8(a, flip), veorq_u8(b, flip), veorq_u8(c, flip)] };
            let (even, odd) = (vreinterpretq_u16_u8(vtrn1q_u8(a, b)), vreinterpretq_u16_u8(vtrn2q_u8(a, b)));
            let c = vreinterpretq_u16_u8(c);
            let mut columns = [vreinterpretq_u8_u16(vzip1q_u16(even, c)); N];
            columns[1] = vreinterpretq_u8_u16(vzip1q_u16(odd, c));
            if N == 4 {
                columns[2] = vreinterpretq_u8_u16(vzip2q_u16(even, c));
                columns[3] = vreinterpretq_u8_u16(vzip2q_u16(odd, c));
            }
            columns
        }
    }

    #[inline(always)]
    unsafe fn add<const J: usize>(&self, acc: &mut [int32x4_t; N], column: [uint8x16_t; N]) {
        if let (Ok(sums), Ok(column)) = (<&mut [int32x4_t; 4]>::try_from(&mut acc[..]), <[uint8x16_t; 4]>::try_from(&column[..])) {
            // SAFETY: the caller's; with four vectors, those of a tap of the column are 64 bytes.
            *sums = unsafe { D::four::<J>(*sums, column, self.weights.as_ptr().cast()) };
            return;
        }
        for n in 0..N {
            // SAFETY: the caller's.
            acc[n] = unsafe { D::dot(acc[n], column[n], self.weights[J % 3][n]) };
        }
    }

    #[inline(always)]
    fn start(&self) -> [int32x4_t; N] {
        self.start
    }

    #[inline(always)]
    unsafe fn put(&self, out: *mut u8, acc: [int32x4_t; N]) {
        // SAFETY: the caller's.
        unsafe { self.affine.put_apart::<N, TIGHT>(out, acc) }
    }
}

/// Columns by products of 16 bits, of which two fit; three if their weights' magnitudes are at most 255 in the sum (`THREE`).
pub(super) struct Products<const N: usize, const THREE: bool, const TIGHT: bool> {
    weights: [[int8x16_t; 3]; 3],
    start: [int32x4_t; N],
    affine: Affine,
}

impl<const N: usize, const THREE: bool, const TIGHT: bool> Products<N, THREE, TIGHT> {
    /// Those of channels from `at` of a tile of a [`Grid`], whose weights are in `kept`, above -128; `None` if three products do not fit.
    ///
    /// # Safety
    /// The tile is valid and has the channels; `kept` holds a vector for each tap.
    #[inline(always)]
    pub(super) unsafe fn new(t: &DepthwiseTile, at: usize, kept: &[MaybeUninit<int8x16_t>; KEPT]) -> Option<Self> {
        // SAFETY: nine are there (the caller).
        unsafe {
            let (mut weights, mut most, mut sums) = ([[vdupq_n_s8(0); 3]; 3], vdupq_n_u8(0), [vdupq_n_s32(0); 4]);
            for j in 0..3 {
                let mut size = vdupq_n_u8(0);
                for i in 0..3 {
                    let w = kept[3 * i + j].assume_init();
                    weights[j][i] = w;
                    size = vqaddq_u8(size, vreinterpretq_u8_s8(vabsq_s8(w)));
                    widen(&mut sums, vshll_n_s8::<7>(vget_low_s8(w)), vshll_high_n_s8::<7>(w));
                }
                most = vmaxq_u8(most, size);
            }
            let mut start = [sums[0]; N];
            start.copy_from_slice(&sums[..N]);
            // A sum of 255 may be a larger one, saturated.
            (!THREE || vmaxvq_u8(most) < 255).then_some(Products { weights, start, affine: Affine::load(t, at) })
        }
    }
}

/// Adds 16-bit elements of `4 N` channels.
#[inline(always)]
unsafe fn wider<const N: usize>(acc: &mut [int32x4_t; N], lo: int16x8_t, hi: int16x8_t) {
    // SAFETY: NEON is part of the target.
    unsafe {
        acc[0] = vaddw_s16(acc[0], vget_low_s16(lo));
        acc[1] = vaddw_high_s16(acc[1], lo);
        if N == 4 {
            acc[2] = vaddw_s16(acc[2], vget_low_s16(hi));
            acc[3] = vaddw_high_s16(acc[3], hi);
        }
    }
}

impl<const N: usize, const THREE: bool, const TIGHT: bool> Column<3> for Products<N, THREE, TIGHT> {
    type Codes = [int8x16_t; 3];
    type Sums = [int32x4_t; N];

    #[inline(always)]
    unsafe fn load(&self, p: [*const u8; 3]) -> [int8x16_t; 3] {
        // SAFETY: the caller's.
        unsafe {
            let signed = |p| vreinterpretq_s8_u8(veorq_u8(pixel::<N>(p), vdupq_n_u8(0x80)));
            [signed(p[0]), signed(p[1]), signed(p[2])]
        }
    }

    #[inline(always)]
    unsafe fn add<const J: usize>(&self, acc: &mut [int32x4_t; N], [a, b, c]: [int8x16_t; 3]) {
        let w = &self.weights[J % 3];
        // SAFETY: NEON is part of the target.
        unsafe {
            let lo = vmull_s8(vget_low_s8(a), vget_low_s8(w[0]));
            let lo = vmlal_s8(lo, vget_low_s8(b), vget_low_s8(w[1]));
            let hi = vmlal_high_s8(vmull_high_s8(a, w[0]), b, w[1]);
            if THREE {
                wider(acc, vmlal_s8(lo, vget_low_s8(c), vget_low_s8(w[2])), vmlal_high_s8(hi, c, w[2]));
            } else {
                wider(acc, lo, hi);
                wider(acc, vmull_s8(vget_low_s8(c), vget_low_s8(w[2])), vmull_high_s8(c, w[2]));
            }
        }
    }

    #[inline(always)]
    fn start(&self) -> [int32x4_t; N] {
        self.start
    }

    #[inline(always)]
    unsafe fn put(&self, out: *mut u8, acc: [int32x4_t; N]) {
        // SAFETY: the caller's; the other half of 8 outputs is not used.
        unsafe {
            let zero = vdupq_n_s32(0);
            let sums: Sums = if N == 4 { [acc[0], acc[1], acc[2], acc[3]] } else { [acc[0], acc[1], zero, zero] };
            if TIGHT {
                self.affine.put::<N, true, false>(out, 4 * N, &sums);
            } else {
                self.affine.put::<N, false, true>(out, 4 * N, &sums);
            }
        }
    }
}
