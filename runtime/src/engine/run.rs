//! Executes one step over its active rows.

use core::ops::Range;

use super::band::Part;
use super::conv::Prepared;
use super::crew::Seat;
use super::ops::{Target, row_bytes};
use super::room::TILE;
use super::spread::grid;
use super::tiles::{Cursor, Offsets, Tile};
use super::{Engine, Work};
use crate::format::{Join, NONE, Op, Segment, Step};
use crate::gate::RowGate;
use crate::mask;

impl<'a> Engine<'a> {
    /// Every row of every step from `first` on; no masks.
    #[inline(never)]
    pub(super) fn run_dense(&mut self, first: usize) {
        for segment in self.model.segments.iter().filter(|s| s.first as usize >= first) {
            let mut i = segment.first as usize;
            while i < segment.end as usize {
                let chain = i..self.chain_end(i);
                let step = &self.model.steps[chain.end - 1];
                self.prepare(step);
                if chain.len() > 1 {
                    self.run_chain(chain.clone(), false);
                } else if !moves_nothing(step) {
                    self.run_rows(step, None);
                    self.done(Work::Step(i));
                }
                for i in chain.clone() {
                    let step = &self.model.steps[i];
                    self.count(i, step, self.model.tensors[step.output as usize].rows());
                }
                i = chain.end;
            }
        }
        self.unmark();
        self.warm = true;
        if first == 0 {
            self.loosest = 0.0;
        }
        self.stats.dense = true;
    }

    // Apart from its caller, whose frame lies below those of the kernels, as `count` and `prepare` are.
    #[inline(never)]
    fn unmark(&self) {
        if !self.model.gated() {
            return;
        }
        for i in 0..self.model.tensors.len() {
            self.mask(i).fill(0);
            self.pending(i).fill(0);
        }
    }

    /// The steps of a segment over the rows their masks list.
    #[inline(never)]
    pub(super) fn run_gated(&mut self, segment: &Segment) {
        let steps = segment.first as usize..segment.end as usize;
        if let Some(budget) = self.budget {
            self.fit(steps.clone(), budget.saturating_sub(self.stats.cost));
        }
        let mut i = steps.start;
        while i < steps.end {
            let chain = i..self.chain_end(i);
            i = chain.end;
            let last = chain.end - 1;
            let step = &self.model.steps[last];
            let out = step.output as usize;
            let rows = mask::count(self.mask(out));
            if rows == 0 {
                continue;
            }
            self.prepare(step);
            if moves_nothing(step) {
                continue;
            }
            if chain.len() > 1 {
                self.run_chain(chain.clone(), true);
                for i in chain.start..last {
                    let step = &self.model.steps[i];
                    self.count(i, step, mask::count(self.mask(step.output as usize)));
                }
            } else {
                match step.gate {
                    NONE if rows == self.model.tensors[out].rows() => self.run_rows(step, None),
                    NONE => self.run_rows(step, Some(self.mask(out))),
                    _ => self.run_judged(step, &Part::whole(&self.model.tensors[out])),
                }
                self.done(Work::Step(last));
            }
            self.count(last, step, rows);
        }
        self.learn();
    }

    #[inline(never)]
    fn count(&mut self, i: usize, step: &Step, rows: usize) {
        if moves_nothing(step) {
            return;
        }
        self.stats.macs += rows as u64 * step.macs as u64;
        self.stats.cost += self.price(i, rows);
        if let Some(counter) = self.counters().get_mut(i) {
            *counter = rows as u32;
        }
    }

    /// Runs the rows of `mask` (all without one) straight into the output.
    #[inline(never)]
    pub(super) fn run_rows(&self, step: &Step, mask: Option<&[u64]>) {
        self.run_part(step, mask, &Part::whole(&self.model.tensors[step.output as usize]));
    }

    /// The same on a part of the output's lines.
    #[inline(always)]
    pub(super) fn run_part(&self, step: &Step, mask: Option<&[u64]>, part: &Part) {
        let out = &self.model.tensors[step.output as usize];
        let elementwise = mask.is_none() && Op::new(step.op).is_some_and(Self::elementwise);
        self.with_conv(step, part.input, |conv| {
            // A single line is done, and cut, by columns.
            let end = if elementwise && out.h == 1 { out.w as usize } else { part.end };
            let part = Part { end, ..*part };
            let cuts = self.cuts(step, mask, part, usize::MAX);
            // SAFETY: rows of the output's lines are written, rows of inputs and the mask read.
            unsafe {
                self.share(part, cuts, &|part, _| match (mask, conv) {
                    (None, Some(conv)) => self.dense_conv(conv, out, part),
                    (None, None) if self.run_whole(step, part.first..part.end).is_some() || elementwise => {}
                    _ => self.run_tiles(step, conv, mask, part),
                });
            }
        });
    }

    #[inline(never)]
    fn run_tiles(&self, step: &Step, conv: Option<&Prepared>, mask: Option<&[u64]>, part: Part) {
        let out = &self.model.tensors[step.output as usize];
        let (mut cursor, mut tile, mut rows_out) =
            (Cursor::new(grid(out), part.first, part.end), Tile::of(TILE), Offsets::new());
        let mask = mask.map(|mask| mask.get(part.first * out.words()..part.end * out.words()).unwrap_or(&[]));
        while cursor.next(mask, &mut tile) {
            let rows = rows_out.of(&tile, out, part.output);
            self.tile(step, conv, &tile, &Target { start: self.arena.start(), rows, input: part.input });
        }
    }

    /// All rows of some lines (columns of a single line) without tiles, where the operator has a way; else `None`. The input is a whole map.
    #[inline(never)]
    fn run_whole(&self, step: &Step, lines: Range<usize>) -> Option<()> {
        if Self::elementwise(Op::new(step.op)?) { self.dense_elementwise(step, lines) } else { self.dense_moves(step, lines) }
    }

    /// Runs the marked rows of a part into the staging area, lets the gate judge each, and leaves those marked that it passed on.
    pub(super) fn run_judged(&self, step: &Step, part: &Part) {
        let room = self.staged(step);
        self.with_conv(step, part.input, |conv| {
            let cuts = self.cuts(step, Some(self.mask(step.output as usize)), *part, room);
            // SAFETY: rows of the output's lines, their words of the mask and a seat's share of the staging area are written, rows of inputs
            // read.
            unsafe { self.share(*part, cuts, &|part, seat| self.judge_tiles(step, conv, part, seat)) };
        });
    }

    /// Rows of a gated step that the staging area has room for.
    fn staged(&self, step: &Step) -> usize {
        self.model.tensors.get(step.output as usize).map_or(0, |out| out.rows().min(TILE))
    }

    #[inline(never)]
    fn judge_tiles(&self, step: &Step, conv: Option<&Prepared>, part: Part, seat: Seat) {
        let out = &self.model.tensors[step.output as usize];
        let Some(gate) = self.model.gates.get(step.gate as usize) else { return };
        let super::Mode::Gated { scale } = self.mode else { return };
        let marked = self.mask_lines(step.output as usize, part);
        let (bytes, side) = (row_bytes(out), self.staged(step) / seat.of);
        // SAFETY: the gate has room for that many rows (check); these are in use by this seat alone.
        let staging = unsafe { self.arena.bytes_mut(gate.staging as usize + seat.part * side * bytes, side * bytes) };
        let gate = RowGate::new(self.kernels, gate, self.array(gate.weights, out.c as usize), scale);
        let (mut cursor, mut tile) = (Cursor::new(grid(out), part.first, part.end), Tile::of(side));
        let mut rows = Offsets::new();
        let skipped = part.first * out.words();
        while cursor.next(Some(&*marked), &mut tile) {
            let target = Target { start: staging.as_mut_ptr(), rows: rows.packed(tile.len(), bytes), input: part.input };
            self.tile(step, conv, &tile, &target);
            // SAFETY: rows of the output, each once; staging lies apart from it and from all that its segment reads (check).
            let mut passed = unsafe { gate.judge(staging, self.arena.start(), rows.of(&tile, out, 0)) };
            for span in tile.spans() {
                let (word, bits) = span.bits(grid(out));
                if let Some(word) = marked.get_mut(word - skipped) {
                    *word &= !bits | passed << (span.x % 64);
                }
                // In two steps: a shift by 64 is none.
                passed = passed >> (span.len - 1) >> 1;
            }
        }
    }

    /// Marks, from the segment's held outputs backwards, the scratch rows they need; `false` if nothing is to be done.
    pub(super) fn needs(&self, steps: &[Step]) -> bool {
        let scratch = |tensor: usize| !self.model.tensors[tensor].held();
        for step in steps.iter().filter(|s| scratch(s.output as usize)) {
            self.mask(step.output as usize).fill(0);
        }
        let mut any = false;
        for step in steps.iter().rev() {
            if !self.any_marked(step.output as usize) {
                continue;
            }
            any = true;
            for input in 0..step.inputs_len as usize {
                if self.is_tensor(step, input) && scratch(step.inputs[input] as usize) {
                    self.need(step, input);
                }
            }
        }
        any
    }

    /// Puts off rows of the segment's held outputs until what is left costs at most `most`.
    fn fit(&self, range: Range<usize>, most: u64) {
        let steps = &self.model.steps[range.clone()];
        let cost = || -> u64 {
            let marked = |i: usize| mask::count(self.mask(self.model.steps[i].output as usize));
            range.clone().map(|i| self.price(i, marked(i))).sum()
        };
        let mut left = cost();
        while left > most {
            let share = most as f32 / left as f32;
            let mut moved = false;
            for step in steps {
                let out = step.output as usize;
                if self.model.tensors[out].held() && !moves_nothing(step) {
                    let rows = mask::count(self.mask(out));
                    let keep = (rows as f32 * share * 0.95) as usize;
                    mask::split(self.mask(out), self.pending(out), keep);
                    moved |= keep < rows;
                }
            }
            if steps.len() > 1 {
                self.needs(steps);
            }
            // Fewer rows need not cost less: the rest may still need all of the scratch.
            left = cost();
            if !moved {
                return;
            }
        }
    }

    /// Follows the cost of a marked input pixel, for the budget.
    fn learn(&mut self) {
        if self.budget.is_some() && self.stats.pixels > 0 {
            let cost = self.stats.cost.saturating_sub(self.price_of_frame()) as f32 / self.stats.pixels as f32;
            let before = self.cost_per_pixel;
            self.cost_per_pixel = if before > 0.0 { 0.9 * before + 0.1 * cost } else { cost };
        }
    }

    /// Scratch memory is shared: a scratch tensor's border has to be written anew.
    #[inline(never)]
    pub(super) fn prepare(&self, step: &Step) {
        if !self.model.tensors[step.output as usize].held() {
            self.fill_border(step.output as usize);
        }
    }

    /// Whether input `input` is a tensor: a constant second operand is not.
    pub(super) fn is_tensor(&self, step: &Step, input: usize) -> bool {
        step.inputs.get(input).is_some_and(|i| *i != NONE)
    }

    pub(super) fn join_of(&self, step: &Step) -> Option<&'a Join> {
        (step.op == Op::Join as u16).then(|| self.model.record(step.param))?
    }
}

/// Whether a step only passes masks on.
pub(super) fn moves_nothing(step: &Step) -> bool {
    step.op == Op::Join as u16 || step.op == Op::Reshape as u16
}
