//! A pair of steps through a few lines.
//!
//! Where a convolution's result is read by one window operator alone and is not held, its map need not exist: in bands of
//! a few output lines the pair makes the lines the band sees, reads them, and keeps those that the next band sees too.
//!
//! ```text
//! for each band y0..y1 of the reader's lines:
//!     from..to = lines of the map under its windows
//!     move the lines from..made to the front of the buffer
//!     make the lines made..to (marked rows only, in a gated frame), zero codes outside the map
//!     read: run the reader on y0..y1
//! ```
//!
//! Rows are those of the whole map and are recomputed once: results and marks are the same, bit for bit. Line `y` lies
//! `base` lines before its place in a whole map; kernels get offsets, so nothing else changes for them.

use super::ops::row_bytes;
use super::{Engine, Work};
use crate::format::{Conv, NONE, Op, Pool, Segment, Step, Tensor, Window};
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

/// Lines in memory.
#[derive(Clone, Copy)]
struct Lines {
    /// The line at the front of the buffer.
    base: i64,
    /// One past the last.
    end: i64,
}

impl<'a> Engine<'a> {
    /// The window of a step that a pair may read with.
    fn window(&self, step: &Step) -> Option<&'a Window> {
        match Op::new(step.op)? {
            Op::Conv | Op::Depthwise => Some(&self.model.record::<Conv>(step.param)?.window),
            Op::MaxPool | Op::AvgPool => Some(&self.model.record::<Pool>(step.param)?.window),
            _ => None,
        }
    }

    /// Runs a banded segment: the first step over the rows it has to make, all without `gated`, and `read` on each band of the second.
    pub(super) fn bands(&self, segment: &Segment, gated: bool, mut read: impl FnMut(&Self, &Step, Part)) -> Option<()> {
        let [make, take] = self.model.steps.get(segment.first as usize..segment.end as usize)? else { return None };
        let map = self.model.tensors.get(make.output as usize)?;
        let out = self.model.tensors.get(take.output as usize)?;
        let w = self.window(take)?;
        let [stride, pad, reach] =
            [w.stride[0] as i64, w.pad[0] as i64, (w.kernel[0] as i64 - 1) * w.dilation[0] as i64 + 1];
        self.blank_sides(map);
        let mut lines = Lines { base: 0, end: i64::MIN };
        for first in (0..out.h as usize).step_by(segment.band as usize) {
            let end = (out.h as usize).min(first + segment.band as usize);
            let words = out.words();
            if gated && !mask::any(&self.mask(take.output as usize)[first * words..end * words]) {
                continue;
            }
            let (from, to) = (first as i64 * stride - pad, (end as i64 - 1) * stride - pad + reach);
            self.keep(map, &mut lines, from);
            for y in (lines.end..to).filter(|y| *y < 0 || *y >= map.h as i64) {
                self.blank_line(map, (y - from) as isize);
            }
            let shift = (from as u32).wrapping_mul(map.line);
            let made = lines.end.max(0) as usize..to.min(map.h as i64).max(0) as usize;
            if made.start < made.end {
                let part = Part { first: made.start, end: made.end, input: 0, output: shift };
                self.run_part(make, gated.then(|| &*self.mask(make.output as usize)), part);
            }
            self.done(Work::Step(segment.first as usize));
            lines = Lines { base: from, end: to };
            read(self, take, Part { first, end, input: shift, output: 0 });
            self.done(Work::Step(segment.first as usize + 1));
        }
        Some(())
    }

    /// A banded segment of a frame.
    pub(super) fn run_bands(&self, segment: &Segment, gated: bool) {
        self.bands(segment, gated, |engine, step, part| match (gated, step.gate) {
            (true, NONE) => engine.run_part(step, Some(&*engine.mask(step.output as usize)), part),
            (true, _) => engine.run_judged(step, part),
            (false, _) => engine.run_part(step, None, part),
        });
    }

    /// Makes `from` the first line in memory; lines behind it stay.
    fn keep(&self, map: &Tensor, lines: &mut Lines, from: i64) {
        if lines.end > from {
            let left = map.border[1] as usize * map.pixel as usize;
            let (line, start) = (map.line as usize, map.origin as usize - left);
            let columns = map.w as usize + map.border[1] as usize + map.border[3] as usize;
            let last = (columns - 1) * map.pixel as usize + row_bytes(map);
            let (skip, kept) = ((from - lines.base) as usize, (lines.end - from) as usize);
            // SAFETY: lines of the buffer, which the check has proved to hold a band's; nothing else is in use here.
            let buffer = unsafe { self.arena.bytes_mut(start, (skip + kept - 1) * line + last) };
            buffer.copy_within(skip * line.., 0);
        } else {
            lines.end = from;
        }
        lines.base = from;
    }
}
