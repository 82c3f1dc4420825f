//! Executes one step over its active rows.

use core::ops::Range;

use super::band::Part;
use super::conv::{Prepared, taps};
use super::crew::Seat;
use super::ops::{Ends, row_bytes};
use super::room::{MARKED, TILE};
use super::spread::grid;
use super::tiles::{Cursor, List, Tile, WORDS};
use super::{Engine, Work};
use crate::format::{Join, MAX_TAPS, NONE, Op, Segment, Step};
use crate::gate::RowGate;
use crate::mask;

/// Which rows of a step are run.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Rows {
    All,
    /// Those marked, straight into the output.
    Marked,
    /// Those marked, past the step's gate.
    Judged,
}

impl Rows {
    /// Of a step in a frame, which is `gated` or not.
    pub fn of(step: &Step, gated: bool) -> Self {
        match (gated, step.gate) {
            (false, _) => Self::All,
            (true, NONE) => Self::Marked,
            (true, _) => Self::Judged,
        }
    }
}

/// What runs all rows of a part's lines (columns of a single line), convolutions of codes apart: without tiles where the operator has a way.
pub(super) const fn lines_of(op: Op) -> fn(&Engine, &Step, &Part) {
    match op {
        Op::Copy | Op::Table | Op::Tables | Op::Map | Op::Binary | Op::Softmax => |e, step, part| {
            e.dense_elementwise(step, part.first..part.end);
        },
        Op::Index | Op::DepthToSpace | Op::SpaceToDepth | Op::Channels => |e, step, part| {
            if e.dense_moves(step, part.first..part.end).is_none() {
                e.run_tiles::<WORDS>(step, None, Rows::All, part);
            }
        },
        Op::GlobalAvg => |e, step, _| _ = e.global_avg_dense(step),
        Op::Conv | Op::Depthwise | Op::Reshape | Op::Join => |_, _, _| {},
        Op::ConvF32 | Op::MaxPool | Op::AvgPool | Op::GlobalMax | Op::Bilinear | Op::Permute | Op::ReduceChannels => {
            |e, step, part| e.run_tiles::<WORDS>(step, None, Rows::All, part)
        }
    }
}

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
                    self.run_part(step, Rows::All, &Part::whole(&self.model.tensors[step.output as usize]));
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
    // Its frame lies below those of the kernels: what it calls else is apart.
    #[inline(never)]
    pub(super) fn run_gated(&mut self, segment: &Segment) {
        let (mut i, end) = (segment.first as usize, segment.end as usize);
        self.bound(i..end);
        while i < end {
            let last = self.chain_end(i) - 1;
            if let Some((step, rows)) = self.begin(i, last) {
                if i < last {
                    self.run_chain(i..last + 1, true);
                } else {
                    self.run_part(step, rows, &Part::whole(&self.model.tensors[step.output as usize]));
                    self.done(Work::Step(last));
                }
            }
            i = last + 1;
        }
        self.learn();
    }

    /// Step `last`, ready to run, and which of its rows; they count as done, as those of the steps from `first` on that make a chain with it.
    /// `None` without marked rows, or where there is nothing to do but to have marks.
    #[inline(never)]
    fn begin(&mut self, first: usize, last: usize) -> Option<(&'a Step, Rows)> {
        let step = self.model.steps.get(last)?;
        let out = step.output as usize;
        let rows = mask::count(self.mask(out));
        if rows == 0 {
            return None;
        }
        self.prepare(step);
        if moves_nothing(step) {
            return None;
        }
        for i in first..last {
            let step = &self.model.steps[i];
            self.count(i, step, mask::count(self.mask(step.output as usize)));
        }
        self.count(last, step, rows);
        let all = step.gate == NONE && rows == self.model.tensors[out].rows();
        Some((step, if all { Rows::All } else { Rows::of(step, true) }))
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

    /// Runs these rows of a part of the output's lines.
    // Its frame is gone when what it calls begins. Taps are kept on the stack, with room for not many more than there are.
    #[inline(never)]
    pub(super) fn run_part(&self, step: &Step, rows: Rows, part: &Part) {
        match self.conv_of(step).map(taps) {
            None => self.run_other(step, rows, part),
            Some(0..=10) => self.run_conv::<10>(step, rows, part),
            Some(11..=25) => self.run_conv::<25>(step, rows, part),
            Some(_) => self.run_conv::<MAX_TAPS>(step, rows, part),
        }
    }

    #[inline(never)]
    fn run_conv<const TAPS: usize>(&self, step: &Step, rows: Rows, part: &Part) {
        let mut room = [0; TAPS];
        let conv = self.prepare_conv(step, part.input, &mut room);
        let Some(conv) = &conv else { return };
        let Some(out) = self.model.tensors.get(step.output as usize) else { return };
        let all = rows == Rows::All;
        // SAFETY: rows of the output's lines, their words of the mask and a seat's share of the staging area are written, rows of inputs read.
        unsafe {
            self.share(part, self.cuts(step, rows, part), &|part, seat| match all {
                true => self.dense_conv(conv, out, part),
                false => self.listed(step, Some(conv), rows, part, seat),
            });
        }
    }

    /// The same of all but convolutions of codes.
    #[inline(never)]
    fn run_other(&self, step: &Step, rows: Rows, part: &Part) {
        let Some(op) = Op::new(step.op) else { return };
        let Some(linked) = self.kernels.linked.of(op) else { return };
        let (all, out) = (rows == Rows::All, &self.model.tensors[step.output as usize]);
        let elementwise = all && Self::elementwise(op);
        // A single line is done, and cut, by columns.
        let end = if elementwise && out.h == 1 { out.w as usize } else { part.end };
        let part = &Part { end, ..*part };
        // SAFETY: rows of the output's lines, their words of the mask and a seat's share of the staging area are written, rows of inputs read.
        unsafe {
            self.share(part, self.cuts(step, rows, part), &|part, seat| match all {
                true => (linked.lines)(self, step, part),
                false => self.listed(step, None, rows, part, seat),
            });
        }
    }

    /// Marked rows of a part, on one thread, a tile at a time.
    #[inline(always)]
    fn listed(&self, step: &Step, conv: Option<&Prepared>, rows: Rows, part: &Part, seat: Seat) {
        let Some(gates) = &self.kernels.linked.gates else { return };
        match rows {
            Rows::All => {}
            Rows::Marked => (gates.marked)(self, step, conv, rows, part),
            Rows::Judged => (gates.judged)(self, step, conv, part, seat),
        }
    }

    /// A tile of at most `most` rows, in `room` if there is some.
    #[inline(always)]
    fn tile_in<'r, const WORDS: usize>(&self, room: &'r mut [u32; WORDS], most: usize) -> Tile<'r>
    where
        'a: 'r,
    {
        Tile::new(if WORDS > 0 { room } else { self.listing() }, most)
    }

    #[inline(never)]
    pub(super) fn run_tiles<const WORDS: usize>(&self, step: &Step, conv: Option<&Prepared>, rows: Rows, part: &Part) {
        let out = &self.model.tensors[step.output as usize];
        let mut room = [0; WORDS];
        let (mut cursor, mut tile) = (Cursor::new(grid(out), part.first, part.end), self.tile_in(&mut room, TILE));
        let mask = (rows != Rows::All).then(|| &*self.mask_lines(step.output as usize, part));
        while cursor.next(mask, &mut tile) {
            tile.list_rows(List::Output, out, part.output);
            self.tile(step, conv, &mut tile, &Ends { start: self.arena.start(), input: part.input });
        }
    }

    /// Rows of a gated step that the staging area has room for.
    pub(super) fn staged(&self, step: &Step) -> usize {
        self.model.tensors.get(step.output as usize).map_or(0, |out| out.rows().min(TILE))
    }

    /// Runs the marked rows of a part into the staging area, lets the gate judge each, and leaves those marked that it passed on.
    #[inline(never)]
    pub(super) fn judge_tiles(&self, step: &Step, conv: Option<&Prepared>, part: &Part, seat: Seat) {
        let Some(out) = self.model.tensors.get(step.output as usize) else { return };
        let Some(gate) = self.model.gates.get(step.gate as usize) else { return };
        let (bytes, side) = (row_bytes(out), self.staged(step) / seat.of);
        // SAFETY: the gate has room for that many rows (check); these are in use by this seat alone.
        let staging = unsafe { self.arena.bytes_mut(gate.staging as usize + seat.part * side * bytes, side * bytes) };
        let mut room = [0; MARKED];
        let (mut cursor, mut tile) = (Cursor::new(grid(out), part.first, part.end), self.tile_in(&mut room, side));
        while cursor.next(Some(&*self.mask_lines(step.output as usize, part)), &mut tile) {
            tile.pack(bytes);
            self.tile(step, conv, &mut tile, &Ends { start: staging.as_mut_ptr(), input: part.input });
            self.judge(step, part, &mut tile, staging);
        }
    }

    /// Judges a tile's rows in the staging area.
    // Apart from its caller, whose frame lies below those of the kernels.
    #[inline(never)]
    fn judge(&self, step: &Step, part: &Part, tile: &mut Tile, staging: &[u8]) {
        let Some(gate) = self.model.gates.get(step.gate as usize) else { return };
        let super::Mode::Gated { scale } = self.mode else { return };
        let out = &self.model.tensors[step.output as usize];
        let gate = RowGate::new(self.kernels, gate, self.array(gate.weights, out.c as usize), scale);
        tile.list_rows(List::Output, out, 0);
        // SAFETY: rows of the output, each once; staging lies apart from it and from all that its segment reads (check).
        let mut passed = unsafe { gate.judge(staging, self.arena.start(), tile.rows(List::Output)) };
        let (marked, skipped) = (self.mask_lines(step.output as usize, part), part.first * out.words());
        for span in tile.spans() {
            let (word, bits) = span.bits(grid(out));
            if let Some(word) = marked.get_mut(word - skipped) {
                *word &= !bits | passed << (span.x % 64);
            }
            // In two steps: a shift by 64 is none.
            passed = passed >> (span.len - 1) >> 1;
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

    /// Keeps the steps of a segment within the budget, if there is one.
    #[inline(never)]
    fn bound(&self, steps: Range<usize>) {
        if let Some(budget) = self.budget {
            self.fit(steps, budget.saturating_sub(self.stats.cost));
        }
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
    #[inline(never)]
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
