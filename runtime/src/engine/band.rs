//! A chain of steps through a few lines.
//!
//! Where a result is read by one window operator alone, the step after it, its map need not exist: a few lines of it do, and
//! the same may hold for that step's result. The last step of such a chain takes some lines at a time, and each map is
//! made as far as its reader sees, then moved up so that what is seen again stays.
//!
//! ```text
//! to make lines y0..y1 of a step, as many as its input's lines in memory serve:
//!     from..to = lines of the input under their windows
//!     move the lines from..made to the front of the buffer
//!     make the lines made..to in the same way (marked rows only, in a gated frame), zero codes outside the map
//!     run the step on y0..y1
//! ```
//!
//! Rows are those of the whole map and are computed once: results and marks are the same, bit for bit. Line `y` lies
//! `base` lines before its place in a whole map; kernels get offsets, so nothing else changes for them.

use core::ops::Range;

use super::moves::to_front;
use super::ops::row_bytes;
use super::run::Rows;
use super::{Engine, Work};
use crate::format::{Conv, MAX_CHAIN, Op, Pool, Step, Tensor, Window};
use crate::mask;

/// What of a step is run: lines of its output, and by how many bytes lines in memory precede their places in a whole map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub first: usize,
    pub end: usize,
    /// Of the first input.
    pub input: u32,
    /// Of the output.
    pub output: u32,
}

impl Part {
    pub fn whole(out: &Tensor) -> Self {
        Self { first: 0, end: out.h as usize, input: 0, output: 0 }
    }
}

/// Lines of a map, those of its border among them.
#[derive(Clone, Copy)]
struct Lines {
    /// The line at the front of the buffer.
    base: i32,
    /// How many from there are made, and how many the reader sees now: at most those in memory.
    made: u16,
    seen: u16,
}

/// Nothing made, nothing seen.
const NO_LINES: Lines = Lines { base: i32::MIN, made: 0, seen: 0 };

impl Lines {
    /// One past the last that is made.
    fn end(&self) -> i32 {
        self.base + self.made as i32
    }

    /// One past the last that the reader sees.
    fn goal(&self) -> i32 {
        self.base + self.seen as i32
    }
}

/// Where a chain is.
struct State<'l> {
    /// Of its maps; the last step is behind them.
    lines: &'l mut [Lines],
    /// The step at work.
    k: usize,
    /// The last step's next line.
    next: usize,
}

impl State<'_> {
    /// The reader takes over where all it sees is made.
    fn pass_on(&mut self) {
        self.k += usize::from(self.lines.get(self.k).is_some_and(|l| l.made == l.seen));
    }
}

/// How a window moves down: lines from one to the next, lines above the map, lines it spans.
#[derive(Clone, Copy)]
struct Slide {
    stride: i32,
    pad: i32,
    reach: i32,
}

impl Slide {
    fn of(w: &Window) -> Self {
        let reach = (w.kernel[0] as i32 - 1) * w.dilation[0] as i32 + 1;
        Self { stride: w.stride[0] as i32, pad: w.pad[0] as i32, reach }
    }

    /// Input lines under the windows of output lines.
    fn seen(self, first: usize, end: usize) -> Range<i32> {
        first as i32 * self.stride - self.pad..(end as i32 - 1) * self.stride - self.pad + self.reach
    }

    /// Output lines whose windows lie in so many lines.
    fn served(self, lines: u32) -> usize {
        ((lines as i32 - self.reach) / self.stride + 1).max(1) as usize
    }
}

impl<'a> Engine<'a> {
    /// One past the last step of the chain that begins at step `i`.
    pub(super) fn chain_end(&self, i: usize) -> usize {
        let passes = |s: &Step| self.model.tensors.get(s.output as usize).is_some_and(|t| t.lines > 0);
        i + 1 + self.model.steps.iter().skip(i).take_while(|s| passes(s)).count()
    }

    /// The window of a step that reads lines.
    fn slide(&self, step: &Step) -> Option<Slide> {
        let w: &Window = match Op::new(step.op)? {
            Op::Conv | Op::Depthwise => &self.model.record::<Conv>(step.param)?.window,
            Op::MaxPool | Op::AvgPool => &self.model.record::<Pool>(step.param)?.window,
            _ => return None,
        };
        Some(Slide::of(w))
    }

    /// Runs a chain of a frame.
    pub(super) fn run_chain(&self, steps: Range<usize>, gated: bool) {
        self.chain(steps, gated, |_, step, part| self.run_part(step, Rows::of(step, gated), part));
    }

    /// Calls `run` with the steps of a chain and the lines they have to make, marked rows alone where `gated`; and whether it is the last step.
    #[inline(never)]
    pub(super) fn chain(&self, steps: Range<usize>, gated: bool, mut run: impl FnMut(bool, &Step, &Part)) -> Option<()> {
        let chain = self.model.steps.get(steps.clone())?;
        let maps = chain.len().checked_sub(1)?;
        self.blank_all(chain.get(..maps)?);
        let mut lines = [NO_LINES; MAX_CHAIN];
        let mut state = State { lines: lines.get_mut(..maps)?, k: maps, next: 0 };
        while let Some(part) = self.turn(chain, &mut state, gated) {
            run(state.k == maps, chain.get(state.k)?, &part);
            self.done(Work::Step(steps.start + state.k));
            state.pass_on();
        }
        Some(())
    }

    // Apart from `chain`, whose frame lies below those of the kernels, as what it calls else.
    #[inline(never)]
    fn blank_all(&self, steps: &[Step]) {
        steps.iter().filter_map(|s| self.output_of(s)).for_each(|map| self.blank_sides(map));
    }

    /// What comes next in a chain, of which the lines then count as made: the step `k` that is at work, or one before it that has lines to
    /// make for it. `None` at the end.
    #[inline(never)]
    fn turn(&self, run: &[Step], state: &mut State, gated: bool) -> Option<Part> {
        let State { lines, k, next } = state;
        loop {
            let step = run.get(*k)?;
            let out = self.output_of(step)?;
            let (first, goal, output) = match lines.get(*k) {
                Some(l) => (l.end().max(0) as usize, l.goal().clamp(0, out.h as i32) as usize, l.base as u32),
                None => (*next, out.h as usize, 0),
            };
            if first >= goal {
                // Border lines follow by themselves.
                match lines.get_mut(*k) {
                    Some(l) => l.made = l.seen,
                    None => return None,
                }
                *k += 1;
                continue;
            }
            let mut part = Part { first, end: goal, input: 0, output: output.wrapping_mul(out.line) };
            let below = match k.checked_sub(1) {
                Some(below) => Some((below, self.output_of(run.get(below)?)?, self.slide(step)?)),
                None => None,
            };
            if let Some((_, map, slide)) = below {
                part.end = goal.min(first + slide.served(map.lines));
            }
            let idle = gated && !mask::any(self.mask_lines(step.output as usize, &part));
            if let (Some((below, map, slide)), false) = (below, idle) {
                let l = lines.get_mut(below)?;
                let seen = slide.seen(part.first, part.end);
                if (l.base, l.goal()) != (seen.start, seen.end) {
                    self.keep(map, l, seen.start);
                    l.seen = seen.len() as u16;
                    for y in (l.end()..l.goal().min(0)).chain(l.end().max(map.h as i32)..l.goal()) {
                        self.blank_line(map, (y - l.base) as isize);
                    }
                }
                if l.made < l.seen {
                    *k = below;
                    continue;
                }
                part.input = (l.base as u32).wrapping_mul(map.line);
            }
            match lines.get_mut(*k) {
                Some(l) => l.made = if part.end == goal { l.seen } else { (part.end as i32 - l.base) as u16 },
                None => *next = part.end,
            }
            if !idle {
                return Some(part);
            }
            // Nobody reads what is not marked.
            *k += usize::from(lines.get(*k).is_some_and(|l| l.made == l.seen));
        }
    }

    fn output_of(&self, step: &Step) -> Option<&'a Tensor> {
        self.model.tensors.get(step.output as usize)
    }

    /// Makes `from` the first line in memory; lines behind it stay.
    fn keep(&self, map: &Tensor, lines: &mut Lines, from: i32) {
        if lines.end() > from {
            let left = map.border[1] as usize * map.pixel as usize;
            let (line, start) = (map.line as usize, map.origin as usize - left);
            let columns = map.w as usize + map.border[1] as usize + map.border[3] as usize;
            let last = (columns - 1) * map.pixel as usize + row_bytes(map);
            let (skip, kept) = ((from - lines.base) as usize, (lines.end() - from) as usize);
            // SAFETY: lines of the buffer, which the check has proved to hold a band's; nothing else is in use here.
            let buffer = unsafe { self.arena.bytes_mut(start, (skip + kept - 1) * line + last) };
            to_front(buffer, skip * line);
            lines.made = kept as u16;
        } else {
            lines.made = 0;
        }
        lines.base = from;
    }
}
