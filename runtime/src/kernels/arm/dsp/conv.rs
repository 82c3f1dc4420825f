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
    let (zeros, sums) = ([0i32; 8], x.wrapping_byte_add(quads * QUAD).cast::<i32>());
    let mut job = fours::Job::new(x, bounds);
    let then = match &t.residual {
        None if bounds.whole() => Then::Whole,
        None => Then::Codes,
        Some(_) => Then::Added,
    };
    for i in (0..rows).step_by(4) {
        let pixels = job.start(t, i);
        for at in (0..t.oc).step_by(outputs) {
            let end = t.oc.min(at + outputs);
            for first in (0..all).step_by(quads) {
                job.quads = quads.min(all - first);
                job.then = if first + job.quads < all { Then::Sums } else { then };
                (job.start, job.step) = if first == 0 { (zeros.as_ptr(), 0) } else { (sums.cast_const(), QUAD) };
                job.sums = sums;
                // SAFETY: quads of the rows; they and the sums of these outputs fit. Blocks of weights follow one another.
                unsafe {
                    let mut to = x;
                    runs(t, first, job.quads, |offset, run| to = fours::widen(&pixels, offset, to, run));
                    for block in (at..end).step_by(16) {
                        job.w = t.weights.as_ptr().add(4 * block * all + 64 * first);
                        job.pairs = 16.min(end - block) / 2;
                        fours::run(&mut job);
                    }
                }
            }
        }
    }
}

impl fours::Job {
    fn new(x: *const u32, bounds: Bounds) -> Self {
        use core::ptr::{null, null_mut};
        Self {
            m: null(),
            b: null(),
            w: null(),
            pairs: 0,
            out: [null_mut(); 4],
            bounds,
            x,
            quads: 0,
            start: null(),
            step: 0,
            sums: null_mut(),
            then: Then::Sums,
            r: null(),
            at: 0,
            added: [null(); 4],
        }
    }

    /// To the first outputs of four rows from row `i` on; returns their first taps.
    #[inline(always)]
    fn start(&mut self, t: &ConvTile, i: usize) -> [*const u8; 4] {
        let last = t.rows_in.len().min(t.rows_out.len()) - 1;
        let rows = [i, i + 1, i + 2, last.min(i + 3)];
        (self.m, self.b) = (t.m.as_ptr(), t.b.as_ptr());
        self.out = rows.map(|i| t.output.wrapping_add(t.rows_out[i] as usize));
        if let Some(res) = &t.residual {
            (self.r, self.at) = (res.r.as_ptr(), 0);
            self.added = rows.map(|i| res.input.wrapping_add(res.rows[i] as usize));
        }
        rows.map(|i| t.input.wrapping_add(t.rows_in[i] as usize))
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
