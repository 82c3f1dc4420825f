//! What the last frame cost.

use super::Engine;

/// Work of the last frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Frames since load or reset.
    pub frames: u64,
    /// Multiply-accumulates done.
    pub macs: u64,
    /// What gating weighs work by: multiply-accumulates, or predicted picoseconds with [`Times`](super::Times).
    pub cost: u64,
    /// Input pixels marked as changed (0 in a dense frame).
    pub pixels: u32,
    /// These were few and the last computed frame is recent: none was taken in, those that last are found again.
    pub waits: bool,
    /// Common shift taken out of the frame's pixels before they were compared, in 1/16 codes.
    pub shift: i32,
    /// The frame was computed whole, or so much of its first part that the rest was.
    pub dense: bool,
}

impl Stats {
    pub(super) fn begin(&mut self) {
        *self = Self { frames: self.frames, ..Self::default() };
    }

    pub(super) fn end(&mut self) {
        self.frames += 1;
    }
}

/// A piece of a frame's work, for [`Engine::observe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Comparing the frame with the held input, and taking it in.
    Input,
    /// Finding the rows of a segment that may have changed.
    Marks,
    /// Rows of the step with this index. A step that runs in bands is told once a band.
    Step(usize),
}

/// Work of one step in the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepStats {
    /// Index of the step.
    pub step: usize,
    /// Output rows recomputed.
    pub rows: u32,
    /// Output rows there are.
    pub of: u32,
    /// Multiply-accumulates done.
    pub macs: u64,
    /// Multiply-accumulates avoided.
    pub avoided: u64,
}

impl Engine<'_> {
    /// Totals of the last frame.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The last frame, step by step.
    pub fn step_stats(&self) -> impl Iterator<Item = StepStats> {
        let counters: &[u32] = self.counters();
        self.model.steps.iter().zip(counters).enumerate().map(|(i, (step, rows))| {
            let of = self.model.tensors[step.output as usize].rows() as u32;
            let row = step.macs as u64;
            StepStats { step: i, rows: *rows, of, macs: *rows as u64 * row, avoided: (of - rows.min(&of)) as u64 * row }
        })
    }

    /// The mask of a tensor after the last frame: the rows that changed for its consumers, one bit per pixel in
    /// lines of `ceil(w / 64)` words. All zero after a dense frame.
    pub fn changed(&self, tensor: usize) -> Option<&[u64]> {
        (tensor < self.model.tensors.len()).then(|| &*self.mask(tensor))
    }
}
