//! Convolution: two pixels at a time, their taps gathered and widened once, then all outputs over them.

use core::mem::MaybeUninit;

use super::super::super::scalar;
use super::finish::{Bounds, finish, through_table};
use super::{readable, sums, unsigned};
use crate::kernels::ConvTile;

/// Quads of two pixels, or half as many of one, that are widened at a time.
const QUADS: usize = 32;

/// Activations, widened.
type Wide = [MaybeUninit<u32>; 4 * QUADS];

/// Sums of a block of outputs, for two pixels.
#[repr(align(8))]
struct Sums([[i32; 16]; 2]);

const _: () = assert!(size_of::<[i32; 16]>() == sums::PIXEL);

pub unsafe fn conv(t: &ConvTile) {
    let all = t.segments.len() * t.quads;
    if all == 0 || !readable(t, t.oc.div_ceil(16) * all * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.conv)(t) };
    }
    let mut wide = [const { MaybeUninit::uninit() }; 4 * QUADS];
    let bounds = Bounds::new(t);
    let rows = t.rows_in.len();
    for i in (0..rows / 2 * 2).step_by(2) {
        // SAFETY: two rows of a valid tile, its weights readable.
        unsafe { pixels::<2>(t, i, &mut wide, &bounds) };
    }
    if !rows.is_multiple_of(2) {
        // SAFETY: a row of a valid tile.
        unsafe { pixels::<1>(t, rows - 1, &mut wide, &bounds) };
    }
    // SAFETY: all rows are written.
    unsafe { through_table(t) };
}

/// Rows `i..i + N`, `N` 1 or 2.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable.
unsafe fn pixels<const N: usize>(t: &ConvTile, i: usize, wide: &mut Wide, bounds: &Bounds) {
    let all = t.segments.len() * t.quads;
    let fit = 2 * QUADS / N;
    let x: [*const u8; N] = core::array::from_fn(|p| t.input.wrapping_add(t.rows_in[i + p] as usize));
    let mut acc = Sums([[0; 16]; 2]);
    for at in (0..t.oc).step_by(16) {
        let n = (t.oc - at).min(16);
        let weights = t.weights.as_ptr().wrapping_add(at * all * 4);
        let mut first = 0;
        while first < all {
            let quads = fit.min(all - first);
            // SAFETY: quads of the rows; blocks of weights are whole, so four outputs more than `n` are readable.
            unsafe {
                if at == 0 || all > fit {
                    gather(t, x, first, quads, wide);
                }
                let (x, w, sums) = (wide.as_ptr().cast(), weights.wrapping_add(64 * first), acc.0.as_mut_ptr().cast());
                let fours = n.div_ceil(4);
                match (N, first) {
                    (2, 0) => sums::pairs(x, quads, w, sums, 2 * fours),
                    (2, _) => sums::more_pairs(x, quads, w, sums, 2 * fours),
                    (_, 0) => sums::fours(x, quads, w, sums, fours),
                    (_, _) => sums::more_fours(x, quads, w, sums, fours),
                }
            }
            first += quads;
        }
        for (p, acc) in acc.0.iter().enumerate().take(N) {
            // SAFETY: `at + n <= oc`.
            unsafe { finish(t, i + p, at, n, acc, bounds) };
        }
    }
}

/// Widens `n` quads from quad `first` on of the taps that follow each pixel's first, quad by quad.
///
/// # Safety
/// Those quads exist and are readable (validity of the tile); `wide` holds them.
#[inline(always)]
unsafe fn gather<const N: usize>(t: &ConvTile, x: [*const u8; N], first: usize, mut n: usize, wide: &mut Wide) {
    let mut to = wide.as_mut_ptr().cast::<[[u32; 2]; N]>();
    let (mut segment, mut quad) = if first == 0 { (0, 0) } else { (first / t.quads, first % t.quads) };
    while n > 0 {
        let run = n.min(t.quads - quad);
        let mut from = x.map(|x| x.wrapping_add(t.segments[segment] as usize + 4 * quad));
        for _ in 0..run {
            // SAFETY: as stated; unaligned.
            unsafe { *to = from.map(|x| unsigned(x.cast::<u32>().read_unaligned())) };
            (to, from) = (to.wrapping_add(1), from.map(|x| x.wrapping_add(4)));
        }
        (n, segment, quad) = (n - run, segment + 1, 0);
    }
}
