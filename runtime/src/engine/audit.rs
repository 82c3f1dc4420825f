//! The no-drift law, checked in place: every step with a held output is recomputed whole from the held inputs, and each
//! row is judged against the held one as the gate would.
//!
//! ```text
//! for each step, in order:
//!     scratch output   computed whole (scratch memory is free between frames)
//!     held output      computed a tile at a time into the staging area, compared, thrown away
//! ```
//!
//! Held tensors, masks and counters stay as they are. An audit costs a dense frame.

use super::band::Part;
use super::ops::{Ends, address, row_bytes};
use super::room::TILE;
use super::run::{Rows, moves_nothing};
use super::spread::grid;
use super::tiles::{Cursor, Tile, WORDS};
use super::{Engine, Mode};
use crate::format::{MAX_TAPS, NONE, Step, staging_len};
use crate::gate::RowGate;

/// How far the held rows of one step's output are from their recomputation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Index of the step.
    pub step: usize,
    /// Largest score of a row: the gate's sum of squares, or the number of differing bytes where there is no gate or
    /// its threshold is 0.
    pub worst: u32,
    /// Largest score the gate lets stand at the scale in force.
    pub limit: u32,
    /// Rows compared: all but those a budget has put off.
    pub rows: u32,
}

impl Engine<'_> {
    /// Recomputes every held tensor from held inputs and reports, step by step, how far its rows are off. After every
    /// frame `worst <= limit`, whatever came before. Empty before the first frame, and where frames are all
    /// computed whole. Steps without a gate whose rows are
    /// wider than a line of the input are computed but not reported.
    ///
    /// Scratch tensors are computed on the way: take every item for the result to mean anything.
    pub fn audit(&mut self) -> impl Iterator<Item = Audit> {
        let end = if self.warm && self.model.gated() { self.model.steps.len() } else { 0 };
        let engine: &Self = self;
        (0..end).filter_map(move |i| engine.audit_step(i))
    }

    fn audit_step(&self, i: usize) -> Option<Audit> {
        let step = self.model.steps.get(i)?;
        let out = self.model.tensors.get(step.output as usize)?;
        if !out.held() {
            self.prepare(step);
        }
        if moves_nothing(step) || out.lines > 0 {
            return None;
        }
        let first = (0..i).rev().take_while(|k| self.chain_end(*k) == i + 1).last().unwrap_or(i);
        match (first < i, out.held()) {
            (false, false) => self.run_part(step, Rows::All, &Part::whole(out)),
            (true, false) => self.run_chain(first..i + 1, false),
            (false, true) => return self.compare(i, step, Part::whole(out), None),
            (true, true) => {
                let mut audit = None;
                self.chain(first..i + 1, false, |last, step, part| match last {
                    true => audit = self.compare(i, step, *part, audit),
                    false => self.run_part(step, Rows::All, part),
                });
                return audit;
            }
        }
        None
    }

    /// Adds a part of the step's output to what `before` says of the parts before it.
    fn compare(&self, i: usize, step: &Step, part: Part, before: Option<Audit>) -> Option<Audit> {
        let out = self.model.tensors.get(step.output as usize)?;
        let bytes = row_bytes(out);
        let gate = (step.gate != NONE).then(|| self.model.gates.get(step.gate as usize)).flatten();
        // Without a gate the line for frames of reals has to do.
        let (at, room) = match gate {
            Some(gate) => (gate.staging as usize, staging_len(out) as usize),
            None => (self.layout.line, self.layout.scratch - self.layout.line),
        };
        let tile_rows = TILE.min(room / bytes.max(1));
        if tile_rows == 0 {
            return None;
        }
        let scale = match self.mode {
            Mode::Dense => 0.0,
            Mode::Gated { scale } => scale,
        };
        let gate = gate.map(|g| RowGate::new(self.kernels, g, self.array(g.weights, out.c as usize), scale));
        let limit = gate.as_ref().map_or(0, RowGate::limit);
        let mut audit = before.unwrap_or(Audit { step: i, worst: 0, limit, rows: 0 });
        // SAFETY: room for staging (check), or the line, which is not in use here; so many rows fit.
        let staging = unsafe { self.arena.bytes_mut(at, tile_rows * bytes) };
        let pending = self.pending(step.output as usize);
        let (mut taps, mut room) = ([0; MAX_TAPS], [0; WORDS]);
        let conv = self.prepare_conv(step, part.input, &mut taps);
        let (mut cursor, mut tile) = (Cursor::new(grid(out), part.first, part.end), Tile::new(&mut room, tile_rows));
        let ends = Ends { start: staging.as_mut_ptr(), input: part.input };
        while cursor.next(None, &mut tile) {
            tile.pack(bytes);
            self.tile(step, conv.as_ref(), &mut tile, &ends);
            for (new, (y, x)) in staging.chunks_exact(bytes).zip(tile.pixels()) {
                let (y, x) = (y as usize, x as usize);
                let word = pending.get(y * grid(out).words() + x / 64).copied().unwrap_or(0);
                if word >> (x % 64) & 1 != 0 {
                    continue;
                }
                // SAFETY: a row of the output; staging lies apart from it.
                let held = unsafe { self.arena.bytes(address(out, y, x), bytes) };
                let score = match &gate {
                    Some(gate) => gate.score(new, held),
                    None => crate::gate::differing(new, held),
                };
                audit.worst = audit.worst.max(score);
                audit.rows += 1;
            }
        }
        Some(audit)
    }

    /// The rows of a held tensor in row-major pixel order, each the bytes of its channels; `None` for scratch.
    pub fn held_rows(&self, tensor: usize) -> Option<impl Iterator<Item = &[u8]>> {
        let t = self.model.tensors.get(tensor).filter(|t| t.held())?;
        let at = move |y, x| address(t, y, x);
        let rows = (0..t.h as usize).flat_map(move |y| (0..t.w as usize).map(move |x| at(y, x)));
        // SAFETY: a row of the tensor; the engine is borrowed, so no step writes meanwhile.
        Some(rows.map(move |at| unsafe { self.arena.bytes(at, row_bytes(t)) }))
    }
}
