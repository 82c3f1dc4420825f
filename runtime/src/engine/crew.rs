//! More than one thread: a step's output in parts.
//!
//! Steps follow one another. Within a step no row depends on another, so its lines are cut into parts of about equal work:
//! of as many lines where all rows are computed, of as many marked rows where a mask lists them. A crew runs the parts at once and
//! the next step begins when all are done. Every row is computed as one thread would, so results are the same, bit for bit.
//!
//! ```text
//! marked rows   line 0  ####      | part 0
//!               line 1  ########  |
//!               line 2
//!               line 3  ###########  part 1
//! ```
//!
//! A line of a mask is whole words, so parts share no word of it. A pair in bands makes the lines of a band in parts, then
//! reads them in parts.

use super::Engine;
use super::band::Part;
use super::room::PARTS;
use super::run::Rows;
use super::spread::grid;
use crate::format::{Op, Step, Tensor, apart_beyond, staging_len};
use crate::mask::{self, Grid};

/// The least work of a part, unless a crew knows better: less takes longer to hand over than to do.
pub const LEAST: u64 = 60_000;

/// Threads that run the parts of a job at once: `quiescent::threads::Pool` with the feature `std`, or a program's own.
///
/// # Safety
/// `run` calls the job exactly once for each part, and returns when every call has; what the calls wrote is then visible to
/// the caller, and what the caller had written was visible to them.
pub unsafe trait Crew: Sync {
    /// Threads, that of the caller among them.
    fn threads(&self) -> usize;

    /// Calls `job(k)` for each `k` of `0..parts`, on any threads in any order.
    fn run(&self, parts: usize, job: &(dyn Fn(usize) + Sync));

    /// The least work of a part, in multiply-accumulates of a dense convolution.
    fn least(&self) -> u64 {
        LEAST
    }
}

/// Which part of how many.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    pub part: usize,
    pub of: usize,
}

/// Where the parts of a step end.
pub(super) struct Cuts {
    ends: [u16; PARTS],
    len: usize,
}

/// What threads share while a job runs.
struct Shared<'r>(&'r dyn Fn(&Part, Seat));

// SAFETY: `Engine::share`'s caller answers for calls at once.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    fn run(&self, part: &Part, seat: Seat) {
        (self.0)(part, seat);
    }
}

impl Engine<'_> {
    /// Parts for these rows of the lines of `part`, if a crew is there and it pays.
    #[inline]
    pub(super) fn cuts(&self, step: &Step, rows: Rows, part: &Part) -> Option<Cuts> {
        if PARTS < 2 {
            return None;
        }
        let crew = self.crew?;
        let out = self.model.tensors.get(step.output as usize)?;
        let mask = (rows != Rows::All).then(|| &*self.mask(step.output as usize));
        let most = if rows == Rows::Judged { self.staged(step) } else { usize::MAX };
        let lines = part.end - part.first;
        let rows = match mask {
            Some(mask) => mask::count(of(mask, grid(out), part)),
            // Columns of a single line.
            None if part.end > out.h as usize => lines,
            None => lines * out.w as usize,
        };
        let pays = rows as u64 * work(step, out) / crew.least().max(1);
        let len = pays.min(crew.threads() as u64).min(lines.min(most).min(PARTS) as u64) as usize;
        if len < 2 || !self.divisible(step, out) {
            return None;
        }
        let mut cuts = Cuts { ends: [part.end as u16; PARTS], len };
        cut(&mut cuts.ends[..len], grid(out), mask, part);
        Some(cuts)
    }

    /// Calls `run` on all lines of `part`: on several threads at once where there are cuts.
    ///
    /// # Safety
    /// Calls of `run` on different parts, at once, write nothing but the output's rows in their lines and what belongs to their seat, and
    /// read nothing else that is written meanwhile. Rows of inputs are none of the output's (check), what is read past them neither
    /// ([`cuts`](Self::cuts)).
    #[inline]
    pub(super) unsafe fn share(&self, part: &Part, cuts: Option<Cuts>, run: &impl Fn(&Part, Seat)) {
        if PARTS < 2 {
            return run(part, Seat { part: 0, of: 1 });
        }
        let (Some(crew), Some(cuts)) = (self.crew, cuts) else { return run(part, Seat { part: 0, of: 1 }) };
        let (ends, shared) = (&cuts.ends[..cuts.len], Shared(run));
        crew.run(ends.len(), &|k| {
            let Some(&end) = ends.get(k) else { return };
            let first = if k == 0 { part.first } else { ends[k - 1] as usize };
            let part = Part { first, end: end as usize, ..*part };
            if part.first < part.end {
                shared.run(&part, Seat { part: k, of: ends.len() });
            }
        });
    }

    /// Whether no read of an input meets a byte that is written: a convolution reads taps in groups of 4 bytes, and so may read past them.
    fn divisible(&self, step: &Step, out: &Tensor) -> bool {
        let x = self.model.tensors.get(step.inputs[0] as usize);
        let staged = self.model.gates.get(step.gate as usize).map(|gate| {
            let len = staging_len(out) as u32;
            Tensor { origin: gate.staging, pixel: len, line: len, h: 1, w: 1, c: len, border: [0; 4], lines: 0, ..*out }
        });
        let apart = |x| apart_beyond(x, out, 3) && staged.is_none_or(|staged| apart_beyond(x, &staged, 3));
        x.is_none_or(|x| step.op != Op::Conv as u16 || x.c.is_multiple_of(4) || apart(x))
    }
}

/// About the work of a row, in multiply-accumulates of a dense convolution.
fn work(step: &Step, out: &Tensor) -> u64 {
    let (macs, c) = (step.macs as u64, out.c as u64);
    match Op::new(step.op) {
        Some(Op::Conv) => macs + 16 * c,
        Some(Op::Depthwise) => 4 * macs + 16 * c,
        Some(Op::MaxPool | Op::AvgPool | Op::Bilinear | Op::Binary | Op::Map) => 100 * c,
        Some(Op::ConvF32) => 100 * macs,
        Some(Op::Softmax) => 1000 * c,
        // Moves and tables.
        _ => 16 * c,
    }
}

/// The lines of a part.
fn of<'m>(mask: &'m [u64], grid: Grid, part: &Part) -> &'m [u64] {
    mask.get(part.first * grid.words()..part.end * grid.words()).unwrap_or(&[])
}

/// Where parts end, the last where `part` does.
fn cut(ends: &mut [u16], grid: Grid, mask: Option<&[u64]>, part: &Part) {
    let parts = ends.len();
    let Some(mask) = mask else {
        for (end, k) in ends.iter_mut().zip(1..) {
            *end = (part.first + (part.end - part.first) * k / parts) as u16;
        }
        return;
    };
    let marked = of(mask, grid, part);
    let all = mask::count(marked);
    let (mut k, mut seen) = (1, 0);
    for (line, y) in marked.chunks_exact(grid.words()).zip(part.first..) {
        seen += mask::count(line);
        while k < parts && seen * parts >= k * all {
            ends[k - 1] = (y + 1) as u16;
            k += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(first: usize, end: usize) -> Part {
        Part { first, end, input: 0, output: 0 }
    }

    #[test]
    fn lines_are_cut_evenly() {
        let grid = Grid { h: 20, w: 70 };
        let mut ends = [0; 4];
        cut(&mut ends, grid, None, &part(3, 13));
        assert_eq!(ends, [5, 8, 10, 13]);
    }

    #[test]
    fn marked_rows_are_cut_evenly() {
        let grid = Grid { h: 8, w: 70 };
        let mut mask = [0u64; 16];
        (0..70).for_each(|x| mask::set(&mut mask, grid, 5, x));
        (0..35).for_each(|x| mask::set(&mut mask, grid, 6, x));
        (0..35).for_each(|x| mask::set(&mut mask, grid, 7, x));
        // Outside the part.
        (0..70).for_each(|x| mask::set(&mut mask, grid, 0, x));
        let mut ends = [8; 2];
        cut(&mut ends, grid, Some(&mask), &part(1, 8));
        assert_eq!(ends, [6, 8]);
        let mut ends = [8; 4];
        cut(&mut ends, grid, Some(&mask), &part(1, 8));
        assert_eq!(ends, [6, 6, 7, 8]);
    }
}
