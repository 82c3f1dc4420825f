//! Convolution: four pixels at a time over a block of 16 outputs.

use core::mem::MaybeUninit;

use super::super::super::scalar;
use super::finish::{finish, through_table};
use super::{readable, sums};
use crate::kernels::ConvTile;

/// Quads of a pixel that are gathered at a time, where its taps lie apart.
const QUADS: usize = 64;

/// Gathered activations of a pixel. Loads may end up to 12 bytes behind them.
type Taps = [MaybeUninit<u8>; 4 * QUADS + 16];

const _: () = assert!(size_of::<[i32; 16]>() == sums::PIXEL);

pub unsafe fn conv(t: &ConvTile) {
    let all = t.segments.len() * t.quads;
    if all == 0 || !readable(t, t.oc.div_ceil(16) * all * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.conv)(t) };
    }
    let mut taps = [const { [const { MaybeUninit::uninit() }; 4 * QUADS + 16] }; 4];
    let rows = t.rows_in.len();
    let fours = rows / 4 * 4;
    for i in (0..fours).step_by(4) {
        // SAFETY: four rows of a valid tile, its weights readable.
        unsafe { pixels(t, i, &mut taps, |job| sums::four_pixels(job)) };
    }
    let [taps, ..] = &mut taps;
    for i in fours..rows {
        // SAFETY: a row of a valid tile.
        unsafe { pixels(t, i, core::array::from_mut(taps), |job| sums::one_pixel(job)) };
    }
    // SAFETY: all rows are written.
    unsafe { through_table(t) };
}

/// Rows `i..i + N`, whose sums `run` makes.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable.
#[inline(always)]
unsafe fn pixels<const N: usize>(t: &ConvTile, i: usize, taps: &mut [Taps; N], run: unsafe fn(&sums::Job<N>)) {
    let all = t.segments.len() * t.quads;
    // A single tap is read where it lies.
    let fit = if t.segments.len() == 1 { all } else { QUADS };
    let x: [*const u8; N] = core::array::from_fn(|p| t.input.wrapping_add(t.rows_in[i + p] as usize));
    let mut acc = [[0i32; 16]; N];
    let mut totals = [0u32; N];
    let mut job = sums::Job {
        x: x.map(|x| x.wrapping_add(t.segments[0] as usize)),
        quads: all,
        weights: core::ptr::null(),
        sums: core::ptr::null_mut(),
        end: core::ptr::null_mut(),
    };
    for at in (0..t.oc).step_by(16) {
        let n = (t.oc - at).min(16);
        let weights = t.weights.as_ptr().wrapping_add(at * all * 4).wrapping_sub(256);
        let mut first = 0;
        while first < all {
            job.quads = fit.min(all - first);
            if at == 0 || all > fit {
                for p in 0..N {
                    // SAFETY: quads of the rows (validity of the tile).
                    totals[p] = unsafe {
                        if t.segments.len() == 1 {
                            sums::total(job.x[p], 4 * all)
                        } else {
                            job.x[p] = taps[p].as_ptr().cast();
                            gather(t, x[p], first, job.quads, &mut taps[p])
                        }
                    };
                }
            }
            for (acc, total) in acc.iter_mut().zip(totals) {
                let start = (total as i32).wrapping_mul(-128);
                match first {
                    0 => *acc = [start; 16],
                    _ => acc.iter_mut().for_each(|acc| *acc = acc.wrapping_add(start)),
                }
            }
            job.weights = weights.wrapping_add(64 * first);
            job.sums = acc.as_mut_ptr().cast();
            job.end = job.sums.wrapping_add(n.next_multiple_of(4));
            // SAFETY: blocks of weights are whole, so up to three outputs more than `n` are readable.
            unsafe { run(&job) };
            first += job.quads;
        }
        // SAFETY: `at + n <= oc`.
        unsafe { finish(t, i, at, n, &acc) };
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
