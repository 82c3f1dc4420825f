//! Convolution: four pixels at a time, their taps gathered once, then all outputs over them. What is left of the rows goes one
//! by one.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::super::scalar;
use super::finish::{bound, finish, real, through_table};
use super::fours::{self, BLOCK, PIXEL, Then};
use super::{four, readable, sums};
use crate::kernels::{ConvTile, Residual};

/// Quads of a pixel that are gathered at a time. Loads may end up to 12 bytes behind them.
const QUADS: usize = (PIXEL - 16) / 4;

/// Outputs whose sums are kept where not all taps are gathered at once; a multiple of 16.
const OUTPUTS: usize = 32;

pub unsafe fn conv(t: &ConvTile) {
    let all = t.segments.len() * t.quads;
    if all == 0 || !readable(t, t.oc.div_ceil(16) * all * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.conv)(t) };
    }
    let rows = t.rows_in.len().min(t.rows_out.len());
    // Of three rows left the last counts twice, which takes less than one by one.
    let in_fours = if t.real { 0 } else { (rows + 1) / 4 * 4 };
    // SAFETY: rows of a valid tile, its weights readable.
    unsafe {
        if in_fours > 0 {
            four_rows(t, in_fours);
        }
        if in_fours < rows {
            one_row(t, in_fours..rows);
        }
        through_table(t);
    }
}

/// Rows up to `rows`, a multiple of four, of a tile of codes; past its end its last one again.
///
/// # Safety
/// The tile is valid, its weights are readable.
#[inline(never)]
unsafe fn four_rows(t: &ConvTile, rows: usize) {
    let mut taps = [const { MaybeUninit::<u64>::uninit() }; 4 * PIXEL / 8];
    let mut sums = [const { MaybeUninit::<u64>::uninit() }; OUTPUTS / 16 * BLOCK / 8];
    let all = t.segments.len() * t.quads;
    let (lo, hi) = (bound(t.lo) as u32, bound(t.hi) as u32);
    let (then, added) = match &t.residual {
        Some(res) => (Then::Added, Residual { ..*res }),
        None => (if lo > 0 { Then::Between } else { Then::Codes }, Residual { input: t.input, rows: t.rows_in, r: t.m }),
    };
    let lists = [t.rows_in, t.rows_out, added.rows];
    let mut job = fours::Job {
        x: taps.as_mut_ptr().cast(),
        quads: all,
        w_step: 64 * all,
        sums: sums.as_mut_ptr().cast(),
        sums_step: 0,
        then,
        lo,
        hi,
        rows: lists.map(|list| list.as_ptr()),
        base: [t.input, t.output, added.input],
        // The rest is set for each group of rows.
        start: [[0; 2]; 4],
        pixels: [(t.input, 0); 4],
        w: t.weights.as_ptr(),
        left: t.oc,
        m: t.m.as_ptr(),
        b: t.b.as_ptr(),
        r: added.r.as_ptr(),
        out: [t.output; 4],
        added: [t.input; 4],
        own: [0; 5],
    };
    let first = fours::First {
        m: job.m,
        b: job.b,
        r: job.r,
        w: t.weights.as_ptr().wrapping_sub(256),
        left: t.oc,
        offsets: t.segments.as_ptr(),
        count: t.segments.len(),
        bytes: 4 * t.quads,
        to: taps.as_mut_ptr().cast(),
    };
    // SAFETY: groups of four rows; their quads and the sums have room. Blocks of weights follow one another.
    let groups = |job: &mut fours::Job, n: usize| unsafe {
        if n > 0 && all <= QUADS {
            fours::at_once(job, &first, n);
        } else {
            (0..n).for_each(|_| in_parts(t, job, &first, then));
        }
    };
    let whole = t.rows_in.len().min(rows) / 4;
    groups(&mut job, whole);
    if 4 * whole < rows {
        let last = lists.map(|list| four(list, 4 * whole));
        job.rows = last.each_ref().map(|list| list.as_ptr());
        groups(&mut job, 1);
    }
}

/// Four rows whose taps do not all have room.
///
/// # Safety
/// The job is one of the valid tile, whose weights are readable; `taps` takes [`QUADS`], the job's sums [`OUTPUTS`].
#[inline(never)]
unsafe fn in_parts(t: &ConvTile, job: &mut fours::Job, start: &fours::First, then: Then) {
    // SAFETY: as stated.
    unsafe { fours::next(job) };
    (job.m, job.b, job.r) = (start.m, start.b, start.r);
    let all = t.segments.len() * t.quads;
    let quads = all.div_ceil(all.div_ceil(QUADS));
    let sums = job.sums;
    job.sums_step = BLOCK;
    for at in (0..t.oc).step_by(OUTPUTS) {
        for first in (0..all).step_by(quads) {
            (job.sums, job.left) = (sums, OUTPUTS.min(t.oc - at));
            job.pixels.iter_mut().for_each(|(_, total)| *total = 0);
            (job.quads, job.own) = (quads.min(all - first), [0; 5]);
            job.w = t.weights.as_ptr().wrapping_add(4 * at * all + 64 * first).wrapping_sub(256);
            job.then = if first + job.quads < all { Then::Sums } else { then };
            let mut to = start.to;
            runs(t, first, job.quads, |offset, bytes| {
                // SAFETY: quads of the rows, with room for them.
                unsafe { fours::gather(job, &(offset as u32), 1, bytes, to) };
                to = to.wrapping_add(bytes);
            });
            // SAFETY: as stated.
            unsafe { if first == 0 { fours::run(job) } else { fours::run_more(job) } };
        }
    }
    job.sums = sums;
}

/// What sums of unsigned weights start with to come to those of signed ones, twice.
#[inline(always)]
fn unsigned(total: u32) -> [i32; 2] {
    [(total as i32).wrapping_mul(-128); 2]
}

/// Calls `f` with runs of quads, `n` from quad `first` on of the taps of a pixel: how far they lie from its first tap, their bytes.
#[inline(always)]
fn runs(t: &ConvTile, first: usize, mut n: usize, mut f: impl FnMut(usize, usize)) {
    let (mut segment, mut quad) = if first == 0 { (0, 0) } else { (first / t.quads, first % t.quads) };
    while n > 0 {
        let run = n.min(t.quads - quad);
        f(t.segments[segment] as usize + 4 * quad, 4 * run);
        (n, segment, quad) = (n - run, segment + 1, 0);
    }
}

/// Outputs of one pixel whose sums are kept; a multiple of 16.
const SUMS: usize = 64;

/// Rows one by one.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable.
#[inline(never)]
unsafe fn one_row(t: &ConvTile, rows: Range<usize>) {
    let mut taps = [const { MaybeUninit::<u8>::uninit() }; PIXEL];
    let mut acc = [const { MaybeUninit::<i32>::uninit() }; SUMS];
    let (taps, acc): (*mut u8, *mut i32) = (taps.as_mut_ptr().cast(), acc.as_mut_ptr().cast());
    let all = t.segments.len() * t.quads;
    // A single tap is read where it lies.
    let quads = if t.segments.len() == 1 { all } else { all.div_ceil(all.div_ceil(QUADS)) };
    for i in rows {
        let pixel = t.input.wrapping_add(t.rows_in[i] as usize);
        for at in (0..t.oc).step_by(SUMS) {
            let end = t.oc.min(at + SUMS);
            for first in (0..all).step_by(quads) {
                let n = quads.min(all - first);
                let (mut x, mut to, mut total) = (taps.cast_const(), taps, 0);
                if let [segment] = t.segments {
                    x = pixel.wrapping_add(*segment as usize);
                    // SAFETY: the row's quads.
                    total = unsafe { sums::total(x, 4 * n) };
                } else {
                    runs(t, first, n, |offset, bytes| {
                        // SAFETY: the row's quads; there is room for them.
                        total = unsafe { sums::copy(pixel.wrapping_add(offset), to, bytes, total) };
                        to = to.wrapping_add(bytes);
                    });
                }
                let start = unsigned(total);
                if first > 0 {
                    // SAFETY: sums written before.
                    let acc = unsafe { core::slice::from_raw_parts_mut(acc, end - at) };
                    acc.iter_mut().for_each(|sum| *sum = sum.wrapping_add(start[0]));
                }
                for block in (at..end).step_by(16) {
                    let weights = t.weights.as_ptr().wrapping_add(4 * block * all + 64 * first).wrapping_sub(256);
                    let acc = acc.wrapping_add(block - at);
                    let end = acc.wrapping_add(16.min(end - block).next_multiple_of(4));
                    let job = sums::Job { x, quads: n, weights, sums: acc, end, start };
                    // SAFETY: blocks of weights are whole, so up to three outputs more are readable, and have room.
                    unsafe { if first == 0 { sums::one_pixel(&job) } else { sums::more_of_one_pixel(&job) } };
                }
            }
            // SAFETY: `end <= oc`, and the sums are written.
            unsafe {
                if t.real {
                    (at..end).for_each(|k| real(t, i, k, acc.add(k - at).read()));
                } else {
                    finish(t, i, at, end - at, acc);
                }
            }
        }
    }
}
