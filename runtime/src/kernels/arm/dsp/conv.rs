//! Convolution: four pixels at a time, their taps gathered and widened once, then all outputs over them. What is left of the
//! rows goes one by one.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::super::scalar;
use super::finish::{Bounds, finish, through_table};
use super::fours::{self, QUAD, Then};
use super::{readable, sums, unsigned};
use crate::kernels::ConvTile;

/// Words a group of rows may take of the stack.
const ROOM: usize = 256;

/// Outputs whose sums are kept where not all taps are widened at once; a multiple of 16.
const OUTPUTS: usize = 32;

type Room = [MaybeUninit<u32>; ROOM];

pub unsafe fn conv(t: &ConvTile) {
    let all = t.segments.len() * t.quads;
    if all == 0 || !readable(t, t.oc.div_ceil(16) * all * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.conv)(t) };
    }
    let bounds = Bounds::new(t);
    let rows = t.rows_in.len().min(t.rows_out.len());
    // Of three rows left the last counts twice, which takes less than one by one.
    let in_fours = if t.real || !t.oc.is_multiple_of(2) { 0 } else { (rows + 1) / 4 * 4 };
    // SAFETY: rows of a valid tile, its weights readable.
    unsafe {
        if in_fours > 0 {
            four_rows(t, in_fours, bounds);
        }
        if in_fours < rows {
            one_row(t, in_fours..rows, &bounds);
        }
        through_table(t);
    }
}

/// Rows up to `rows`, a multiple of four, of a tile whose results are an even number of codes; past its end its last one again.
///
/// # Safety
/// The tile is valid, its weights are readable.
#[inline(never)]
unsafe fn four_rows(t: &ConvTile, rows: usize, bounds: Bounds) {
    let mut room: Room = [const { MaybeUninit::uninit() }; ROOM];
    let x: *mut u32 = room.as_mut_ptr().cast();
    let all = t.segments.len() * t.quads;
    let (outputs, quads) = if all * QUAD <= size_of::<Room>() {
        (t.oc, all)
    } else {
        let outputs = t.oc.min(OUTPUTS);
        (outputs, (size_of::<Room>() - outputs / 2 * QUAD) / QUAD)
    };
    let quads = all.div_ceil(all.div_ceil(quads));
    let mut job = fours::Job {
        bounds,
        x,
        kept: x.wrapping_byte_add(quads * QUAD).cast(),
        sums: x.cast(),
        pixels: [t.input; 4],
        // The rest is set for each group of rows, outputs and quads.
        m: t.m.as_ptr(),
        b: t.b.as_ptr(),
        w: t.weights.as_ptr(),
        pairs: 0,
        out: [t.output; 4],
        quads,
        start: ZEROS.as_ptr(),
        step: 0,
        then: Then::Sums,
        r: t.m.as_ptr(),
        at: 0,
        added: [t.input; 4],
    };
    for i in (0..rows).step_by(4) {
        job.start(t, i);
        for at in (0..t.oc).step_by(outputs) {
            for first in (0..all).step_by(quads) {
                // SAFETY: quads of the rows; they and the sums of these outputs fit.
                unsafe { part(t, &mut job, at..t.oc.min(at + outputs), first..all.min(first + quads)) };
            }
        }
    }
}

/// What sums start with.
static ZEROS: [i32; 8] = [0; 8];

/// Some outputs of the job's rows over some quads of their taps.
///
/// # Safety
/// The job is one of the valid tile, whose weights are readable; `x` takes the quads and `sums` the outputs.
#[inline(never)]
unsafe fn part(t: &ConvTile, job: &mut fours::Job, outputs: Range<usize>, quads: Range<usize>) {
    let all = t.segments.len() * t.quads;
    let mut to = job.x.cast_mut();
    job.quads = quads.len();
    job.then = match &t.residual {
        _ if quads.end < all => Then::Sums,
        None if job.bounds.whole() => Then::Whole,
        None => Then::Codes,
        Some(_) => Then::Added,
    };
    (job.start, job.step) = if quads.start == 0 { (ZEROS.as_ptr(), 0) } else { (job.kept.cast_const(), QUAD) };
    job.sums = job.kept;
    // SAFETY: as stated. Blocks of weights follow one another.
    unsafe {
        runs(t, quads.start, quads.len(), |offset, run| to = fours::widen(&job.pixels, offset, to, run));
        for block in outputs.clone().step_by(16) {
            job.w = t.weights.as_ptr().add(4 * block * all + 64 * quads.start);
            job.pairs = 16.min(outputs.end - block) / 2;
            fours::run(job);
        }
    }
}

impl fours::Job {
    /// To the first outputs of four rows from row `i` on.
    #[inline(never)]
    fn start(&mut self, t: &ConvTile, i: usize) {
        let last = t.rows_in.len().min(t.rows_out.len()) - 1;
        (self.m, self.b, self.at) = (t.m.as_ptr(), t.b.as_ptr(), 0);
        for k in 0..4 {
            let i = last.min(i + k);
            self.pixels[k] = t.input.wrapping_add(t.rows_in[i] as usize);
            self.out[k] = t.output.wrapping_add(t.rows_out[i] as usize);
            if let Some(res) = &t.residual {
                self.r = res.r.as_ptr();
                self.added[k] = res.input.wrapping_add(res.rows[i] as usize);
            }
        }
    }
}

/// Calls `f` with runs of quads, `n` from quad `first` on of the taps of a pixel: how far they lie from its first tap, how many.
#[inline(always)]
fn runs(t: &ConvTile, first: usize, mut n: usize, mut f: impl FnMut(usize, usize)) {
    let (mut segment, mut quad) = if first == 0 { (0, 0) } else { (first / t.quads, first % t.quads) };
    while n > 0 {
        let run = n.min(t.quads - quad);
        f(t.segments[segment] as usize + 4 * quad, run);
        (n, segment, quad) = (n - run, segment + 1, 0);
    }
}

/// Quads of one pixel that are widened at a time.
const QUADS: usize = 96;

/// Outputs of one pixel whose sums are kept; a multiple of 16.
const SUMS: usize = 64;

/// Rows one by one.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable.
#[inline(never)]
unsafe fn one_row(t: &ConvTile, rows: Range<usize>, bounds: &Bounds) {
    let mut wide = [const { MaybeUninit::<[u32; 2]>::uninit() }; QUADS];
    let mut sums = [0i32; SUMS];
    let x: *mut [u32; 2] = wide.as_mut_ptr().cast();
    let all = t.segments.len() * t.quads;
    let quads = all.div_ceil(all.div_ceil(QUADS));
    for i in rows {
        let pixel = t.input.wrapping_add(t.rows_in[i] as usize);
        for at in (0..t.oc).step_by(SUMS) {
            let end = t.oc.min(at + SUMS);
            sums.fill(0);
            for first in (0..all).step_by(quads) {
                let n = quads.min(all - first);
                let mut to = x;
                if at == 0 || n < all {
                    runs(t, first, n, |offset, run| {
                        for k in 0..run {
                            // SAFETY: a quad of the row, unaligned; `wide` takes `n` of them.
                            unsafe {
                                let quad = pixel.add(offset + 4 * k).cast::<u32>().read_unaligned();
                                *to = unsigned(quad);
                                to = to.add(1);
                            }
                        }
                    });
                }
                for block in (at..end).step_by(16) {
                    let fours = 16.min(end - block).div_ceil(4);
                    let w = t.weights.as_ptr().wrapping_add(4 * block * all + 64 * first);
                    // SAFETY: blocks of weights are whole, so three outputs more are readable, and so are their sums.
                    unsafe { sums::fours(x.cast(), n, w, sums.as_mut_ptr().add(block - at), fours) };
                }
            }
            // SAFETY: `end <= oc`, and the sums are written.
            unsafe { finish(t, i, at, end - at, sums.as_ptr(), bounds) };
        }
    }
}
