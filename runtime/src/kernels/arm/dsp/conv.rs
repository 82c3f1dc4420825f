//! Convolution: four pixels at a time, their taps gathered and widened once, then all outputs over them. What is left of the
//! rows goes one by one.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::super::super::scalar;
use super::finish::{Bounds, finish, through_table};
use super::fours::{self, QUAD, Then};
use super::{four, readable, sums, unsigned};
use crate::kernels::ConvTile;

/// Words of the stack that four rows take, with all their taps or with parts of them and sums, when more goes on.
const AT_ONCE: usize = 256;
const IN_PARTS: usize = 224;

/// Outputs whose sums are kept where not all taps are widened at once; a multiple of 16.
const OUTPUTS: usize = 32;

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
        if in_fours < rows {
            one_row(t, in_fours..rows, bounds);
        }
        // Last, so that this function's frame is gone.
        match in_fours {
            0 => through_table(t),
            // Offsets of a second input have taken room already.
            _ if all * QUAD <= 4 * AT_ONCE && t.residual.is_none() => four_rows::<AT_ONCE>(t, in_fours, bounds),
            _ => four_rows::<IN_PARTS>(t, in_fours, bounds),
        }
    }
}

/// Rows up to `rows`, a multiple of four, of a tile whose results are an even number of codes; past its end its last one again.
/// Then all rows through the table.
///
/// # Safety
/// The tile is valid, its weights are readable.
#[inline(never)]
unsafe fn four_rows<const ROOM: usize>(t: &ConvTile, rows: usize, bounds: Bounds) {
    let mut room = [const { MaybeUninit::<u32>::uninit() }; ROOM];
    let mut job = fours::Job::new(t, bounds, room.as_mut_ptr().cast());
    let mut i = 0;
    while i < rows {
        if i + 4 > t.rows_in.len() {
            job.last(t, i);
        }
        // SAFETY: four rows; their quads have room. Blocks of weights follow one another.
        unsafe {
            fours::next(&mut job);
            job.first(t);
            if ROOM == AT_ONCE {
                fours::widen(&job, t.segments.as_ptr(), t.segments.len(), t.quads, job.x.cast_mut());
                job.outputs(t.weights.as_ptr(), t.oc / 2);
                fours::run(&mut job);
            } else {
                in_parts(t, &mut job);
            }
        }
        i += 4;
    }
    // SAFETY: all rows are written.
    unsafe { through_table(t) };
}

/// What sums start with.
static ZEROS: [i32; 8] = [0; 8];

impl fours::Job {
    // Apart from its caller, whose frame lies below those of the loops, as all that follows.
    #[inline(never)]
    fn new(t: &ConvTile, bounds: Bounds, x: *mut u32) -> Self {
        let all = t.segments.len() * t.quads;
        let (input, list) = t.residual.as_ref().map_or((t.input, t.rows_in), |res| (res.input, res.rows));
        Self {
            skip: (64 * all).wrapping_sub(64),
            bounds,
            x,
            quads: all,
            start: ZEROS.as_ptr(),
            step: 0,
            then: Self::then(t, &bounds),
            rows: [t.rows_in, t.rows_out, list].map(|list| list.as_ptr()),
            base: [t.input, t.output, input],
            // The rest is set for each group of rows.
            sums: x.cast(),
            m: t.m.as_ptr(),
            b: t.b.as_ptr(),
            w: t.weights.as_ptr(),
            pairs: 0,
            left: 0,
            r: t.m.as_ptr(),
            at: 0,
            out: [t.output; 4],
            added: [t.input; 4],
            pixels: [t.input; 4],
        }
    }

    fn then(t: &ConvTile, bounds: &Bounds) -> Then {
        match &t.residual {
            Some(_) => Then::Added,
            None if bounds.whole() => Then::Whole,
            None => Then::Codes,
        }
    }

    /// Takes the rows from `i` on next, of which there are three.
    #[inline(never)]
    fn last(&mut self, t: &ConvTile, i: usize) {
        let list = t.residual.as_ref().map_or(t.rows_in, |res| res.rows);
        for ((from, to), rows) in [t.rows_in, t.rows_out, list].into_iter().zip(0..).zip(&mut self.rows) {
            let to = self.x.cast_mut().cast::<[u32; 4]>().wrapping_add(to);
            // SAFETY: the room, which holds no activations yet.
            unsafe { *to = four(from, i) };
            *rows = to.cast();
        }
    }

    /// To the first outputs.
    #[inline(always)]
    fn first(&mut self, t: &ConvTile) {
        (self.m, self.b, self.at) = (t.m.as_ptr(), t.b.as_ptr(), 0);
        if let Some(res) = &t.residual {
            self.r = res.r.as_ptr();
        }
    }
}

/// Four rows whose taps do not all have room: some outputs over some quads at a time.
///
/// # Safety
/// The job is one of the valid tile, whose weights are readable; its `x` is [`IN_PARTS`] words.
#[inline(always)]
unsafe fn in_parts(t: &ConvTile, job: &mut fours::Job) {
    let all = t.segments.len() * t.quads;
    let outputs = t.oc.min(OUTPUTS);
    let quads = all.div_ceil(all.div_ceil((4 * IN_PARTS - outputs / 2 * QUAD) / QUAD));
    let mut at = 0;
    while at < t.oc {
        (job.start, job.step) = (ZEROS.as_ptr(), 0);
        let mut first = 0;
        while first < all {
            job.quads = quads.min(all - first);
            job.then = if first + job.quads < all { Then::Sums } else { fours::Job::then(t, &job.bounds) };
            job.outputs(t.weights.as_ptr().wrapping_add(4 * at * all + 64 * first), outputs.min(t.oc - at) / 2);
            // SAFETY: quads of the rows, with room for them and behind them for the sums of these outputs.
            unsafe {
                gather(t, job, first);
                let sums = job.x.cast_mut().wrapping_byte_add(quads * QUAD).cast();
                job.sums = sums;
                fours::run(job);
                (job.start, job.step) = (sums, QUAD);
            }
            first += job.quads;
        }
        at += outputs;
    }
}

/// Widens the job's quads from quad `first` on of the taps of its pixels.
///
/// # Safety
/// Those quads exist and are readable (validity of the tile); `x` takes them.
#[inline(always)]
unsafe fn gather(t: &ConvTile, job: &fours::Job, first: usize) {
    let mut to = job.x.cast_mut();
    runs(t, first, job.quads, |offset, run| {
        // SAFETY: as stated.
        to = unsafe { fours::widen(job, &(offset as u32), 1, run, to) };
    });
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
const QUADS: usize = 72;

/// Outputs of one pixel whose sums are kept; a multiple of 16.
const SUMS: usize = 64;

/// Rows one by one.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable.
#[inline(never)]
unsafe fn one_row(t: &ConvTile, rows: Range<usize>, bounds: Bounds) {
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
            unsafe { finish(t, i, at, end - at, sums.as_ptr(), &bounds) };
        }
    }
}
