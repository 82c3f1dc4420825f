//! Convolution: four pixels at a time over a block of 16 outputs.

use core::mem::MaybeUninit;

use super::super::super::scalar;
use super::finish::{self, real, through_table};
use super::{readable, sums};
use crate::kernels::ConvTile;

/// Quads of a pixel that are gathered at a time, where its taps lie apart.
const QUADS: usize = 36;

/// Gathered activations of a pixel. Loads may end up to 12 bytes behind them.
type Taps = [MaybeUninit<u8>; 4 * QUADS + 16];

/// The sums of a block of outputs of a pixel.
type Sums = [i32; 16];

const _: () = assert!(size_of::<Sums>() == sums::PIXEL);

/// A loop over quads.
type Run<const N: usize> = unsafe extern "C" fn(&sums::Job<N>);

pub unsafe fn conv(t: &ConvTile) {
    let all = t.segments.len() * t.quads;
    if all == 0 || !readable(t, t.oc.div_ceil(16) * all * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.conv)(t) };
    }
    let rows = t.rows_in.len().min(t.rows_out.len());
    let fours = rows / 4 * 4;
    // A single tap is read where it lies.
    let at_once = !t.real && (t.segments.len() == 1 || all <= QUADS);
    // SAFETY: rows of a valid tile, its weights readable.
    unsafe {
        if at_once {
            rows_at_once::<4>(t, 0, fours, sums::four_pixels);
            rows_at_once::<1>(t, fours, rows, sums::one_pixel);
        } else {
            rows_in_parts::<4>(t, 0, fours, [sums::four_pixels, sums::more_of_four_pixels]);
            rows_in_parts::<1>(t, fours, rows, [sums::one_pixel, sums::more_of_one_pixel]);
        }
        through_table(t);
    }
}

impl<const N: usize> sums::Job<N> {
    fn new(sums: *mut i32) -> Self {
        use core::ptr::{null, null_mut};
        Self { x: [null(); N], quads: 0, weights: null(), sums, end: null_mut(), start: [[0; 2]; N] }
    }

    /// Finds or gathers the activations of rows `i..i + N`, `n` quads from quad `first` on.
    ///
    /// # Safety
    /// Those quads exist and are readable (validity of the tile); `taps` holds them, if there are several taps.
    #[inline(always)]
    unsafe fn gather(&mut self, t: &ConvTile, i: usize, first: usize, n: usize, taps: &mut [Taps; N]) {
        self.quads = n;
        for (p, taps) in taps.iter_mut().enumerate() {
            let x = t.input.wrapping_add(t.rows_in[i + p] as usize);
            // SAFETY: the caller's.
            let total = unsafe {
                if let [segment] = t.segments {
                    self.x[p] = x.wrapping_add(*segment as usize + 4 * first);
                    sums::total(self.x[p], 4 * n)
                } else {
                    self.x[p] = taps.as_ptr().cast();
                    gather(t, x, first, n, taps)
                }
            };
            self.start[p] = [(total as i32).wrapping_mul(-128); 2];
        }
    }
}

const fn room<const N: usize>() -> ([Taps; N], [MaybeUninit<Sums>; N]) {
    ([const { [const { MaybeUninit::uninit() }; 4 * QUADS + 16] }; N], [const { MaybeUninit::uninit() }; N])
}

/// Rows `from..to`, a multiple of `N`, of a tile of codes whose taps are gathered at once, or a single one.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable; `run` is for `N` pixels.
#[inline(never)]
unsafe fn rows_at_once<const N: usize>(t: &ConvTile, from: usize, to: usize, run: Run<N>) {
    let (mut taps, mut acc) = room::<N>();
    let all = t.segments.len() * t.quads;
    let mut job = sums::Job::<N>::new(acc.as_mut_ptr().cast());
    let mut scale = finish::Job::new(t, job.sums);
    for i in (from..to).step_by(N) {
        // SAFETY: blocks of weights are whole, so up to three outputs more than `n` are readable.
        unsafe {
            job.gather(t, i, 0, all, &mut taps);
            scale.start::<N>(t, i);
            let (mut left, mut weights) = (t.oc, t.weights.as_ptr().wrapping_sub(256));
            while left > 0 {
                let n = left.min(16);
                (job.weights, job.end) = (weights, job.sums.wrapping_add(n.next_multiple_of(4)));
                run(&job);
                scale.finish(t, n);
                (left, weights) = (left - n, weights.wrapping_add(64 * all));
            }
        }
    }
}

/// Rows `from..to`, a multiple of `N`, of any tile.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable; `run` are for `N` pixels: the first quads, more of them.
#[inline(never)]
unsafe fn rows_in_parts<const N: usize>(t: &ConvTile, from: usize, to: usize, run: [Run<N>; 2]) {
    let (mut taps, mut acc) = room::<N>();
    let all = t.segments.len() * t.quads;
    let mut job = sums::Job::<N>::new(acc.as_mut_ptr().cast());
    let mut scale = finish::Job::new(t, job.sums);
    for i in (from..to).step_by(N) {
        scale.start::<N>(t, i);
        for at in (0..t.oc).step_by(16) {
            let n = 16.min(t.oc - at);
            let weights = t.weights.as_ptr().wrapping_add(4 * at * all).wrapping_sub(256);
            job.end = job.sums.wrapping_add(n.next_multiple_of(4));
            for first in (0..all).step_by(QUADS) {
                job.weights = weights.wrapping_add(64 * first);
                // SAFETY: blocks of weights are whole, so up to three outputs more than `n` are readable.
                unsafe {
                    job.gather(t, i, first, QUADS.min(all - first), &mut taps);
                    if first == 0 {
                        run[0](&job);
                    } else {
                        for (acc, start) in acc.iter_mut().zip(job.start) {
                            let sums = core::slice::from_raw_parts_mut(acc.as_mut_ptr().cast::<i32>(), n);
                            sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(start[0]));
                        }
                        run[1](&job);
                    }
                }
            }
            // SAFETY: `at + n <= oc`, and the sums are written.
            unsafe {
                if t.real {
                    for (p, acc) in acc.iter().enumerate() {
                        (0..n).for_each(|k| real(t, i + p, at + k, acc.as_ptr().cast::<i32>().add(k).read()));
                    }
                } else {
                    scale.finish(t, n);
                }
            }
        }
    }
}

/// Copies `n` quads from quad `first` on of the taps that follow pixel `x`; returns the sum of their bytes.
///
/// # Safety
/// Those quads exist and are readable (validity of the tile); `taps` holds them.
unsafe fn gather(t: &ConvTile, x: *const u8, first: usize, n: usize, taps: &mut Taps) -> u32 {
    let (mut segment, mut quad) = if first == 0 { (0, 0) } else { (first / t.quads, first % t.quads) };
    let (mut to, mut left, mut total) = (taps.as_mut_ptr().cast::<u8>(), n, 0);
    while left > 0 {
        let run = left.min(t.quads - quad);
        let from = x.wrapping_add(t.segments[segment] as usize + 4 * quad);
        // SAFETY: as stated.
        total = unsafe { sums::copy(from, to, 4 * run, total) };
        to = to.wrapping_add(4 * run);
        (left, segment, quad) = (left - run, segment + 1, 0);
    }
    total
}
