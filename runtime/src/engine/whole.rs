//! When a frame is computed whole, and when not at all.
//!
//! - A *cut*: nearly all pixels changed, and by much. A lamp or the camera's exposure changes all pixels by little, which the
//!   first gates mostly stop.
//! - *Hopeless*: behind the first gates almost everything had to be recomputed; the rest of the frame runs densely.
//! - A *refresh*: gates let small errors stand, and when something has left the picture, what it left behind stands as long
//!   as the picture does. After a stated amount of gated work one frame is computed whole, preferably when the scene has come to
//!   rest. In proportion to the work done it costs a bounded share: at most one dense frame in `refresh` frames' worth of work.
//! - A *pause*, where asked for: while frame after frame recomputes more than it takes for gating to pay, as under a moving camera,
//!   frames run densely without being compared at all. Now and then one is gated to see whether that still holds, after twice as
//!   many frames each time.
//! - A *wait*: frames follow each other faster than what they show changes. For a stated number of frames after a computed one, changes of less than
//!   a stated share of the pixels are left for a later frame, which compares with the same held one and finds those that last. After stillness a
//!   change is computed at once. Under a budget nothing waits: what is left over does already.

use super::Engine;
use crate::engine::Frame;
use crate::format::Segment;

/// Share of recomputed work behind the first gates above which the rest is run densely.
const HOPELESS: f32 = 0.9;
/// Mean absolute change, in codes, above which a picture that changed everywhere is another one.
const CUT: f32 = 16.0;
/// A frame is quiet below this part of a dense frame's work.
const QUIET: u64 = 32;
/// Quiet frames in a row that make a scene at rest.
const REST: u32 = 3;
/// A scene that does not come to rest is refreshed after this multiple of the stated work.
const PATIENCE: u64 = 4;

/// Share of the work above which a gated frame takes longer than a dense one: comparing, listing and judging rows is not free.
const BREAK_EVEN: f32 = 0.5;
/// Frames in a row above it that begin a pause.
const DEAR: u32 = 3;
/// Shortest and longest pause, in frames.
const PAUSE: (u32, u32) = (2, 32);

/// Work of the frame so far, as weighed, and since the last dense frame, in multiply-accumulates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ledger {
    /// What the segments passed so far would have cost densely.
    possible: u64,
    /// The same without those that read the input, and what these did cost.
    behind: u64,
    behind_done: u64,
    /// Gated work since the last dense frame.
    spent: u64,
    /// Quiet frames in a row.
    quiet: u32,
    /// Gated frames in a row that did not pay.
    dear: u32,
    /// Frames left of a pause, and its length.
    left: u32,
    pause: u32,
}

impl Engine<'_> {
    /// Whether a frame shows another scene. A few lines tell: comparing them all is only for frames that are gated, and a frame is right
    /// either way.
    pub(super) fn is_cut(&self, frame: &Frame, scale: f32) -> bool {
        let header = &self.model.header;
        let (changed, change) = self.input().glance(frame, &header.input_gate, scale, self.scratch());
        changed > header.cost.dense_above && change > CUT
    }

    /// Whether almost everything so far had to be recomputed: a scene cut, a moving camera.
    #[inline(never)]
    pub(super) fn hopeless(&self) -> bool {
        let total = self.price_of_dense();
        let Ledger { possible, behind, behind_done, .. } = self.ledger;
        let nearly = |done: u64, of: u64| done as f32 > HOPELESS * of as f32;
        self.budget.is_none()
            && possible > total / 8
            && nearly(self.stats.cost, possible)
            && behind > total / 32
            && nearly(behind_done, behind)
    }

    /// Whether gating pauses. Budgets bound every frame and leave no room for dense ones.
    pub(super) fn paused(&self) -> bool {
        self.adaptive && self.ledger.left > 0 && self.budget.is_none()
    }

    /// Whether what the gates have let stand is to be replaced. Budgets bound every frame and leave no room for it.
    pub(super) fn refresh_due(&self) -> bool {
        let header = &self.model.header;
        let after = header.input_gate.refresh as u64 * header.cost.macs.get() / 16;
        let Ledger { spent, quiet, .. } = self.ledger;
        let due = spent >= PATIENCE * after || spent >= after && quiet >= REST;
        after > 0 && due && self.budget.is_none()
    }

    /// Whether so many changed pixels may be left for a later frame.
    pub(super) fn may_wait(&self, scale: f32, changed: usize) -> bool {
        let (gate, grid) = (&self.model.header.input_gate, self.input_grid());
        let few = (f32::from(gate.few) * scale) as u8;
        let recent = self.idle < u32::from(gate.wait) && self.budget.is_none();
        recent && changed > 0 && 256 * (changed as u64) < u64::from(few) * (grid.h * grid.w) as u64
    }

    /// Books a segment's work.
    #[inline(never)]
    pub(super) fn book(&mut self, segment: &Segment, done: u64) {
        let steps = &self.model.steps[segment.first as usize..segment.end as usize];
        let input = self.model.header.input as u32;
        let cost = self.price_of_all(segment.first as usize..segment.end as usize);
        self.ledger.possible += cost;
        if !steps.iter().any(|s| s.inputs[..s.inputs_len as usize].contains(&input)) {
            self.ledger.behind += cost;
            self.ledger.behind_done += done;
        }
    }

    /// Closes the books of a frame; `whole`: it was not gated to begin with.
    pub(super) fn settle(&mut self, whole: bool) {
        let waits = self.stats.waits;
        // Predicted time says itself what pays. A frame stands for those that waited for it.
        let frames = 1 + self.idle.min(self.model.header.input_gate.wait.into());
        let even = if self.times.is_some() { 1.0 } else { BREAK_EVEN } * frames as f32;
        let dear = self.stats.cost as f32 > even * self.price_of_dense() as f32;
        let computed = whole || self.stats.pixels > 0 && !waits;
        self.idle = if computed { 0 } else { self.idle.saturating_add(1) };
        let ledger = &mut self.ledger;
        ledger.left = ledger.left.saturating_sub(1);
        (ledger.possible, ledger.behind, ledger.behind_done) = (0, 0, 0);
        if waits {
            // Says nothing of what pays, nor of rest.
        } else if !whole && dear {
            ledger.dear = ledger.dear.saturating_add(1);
            if ledger.dear >= DEAR {
                ledger.pause = (2 * ledger.pause).clamp(PAUSE.0, PAUSE.1);
                ledger.left = ledger.pause;
            }
        } else if !whole {
            (ledger.dear, ledger.pause, ledger.left) = (0, 0, 0);
        }
        if self.stats.dense {
            (ledger.spent, ledger.quiet) = (0, 0);
            return;
        }
        let quiet = self.stats.macs < self.model.header.cost.macs.get() / QUIET;
        ledger.quiet = if waits {
            ledger.quiet
        } else if quiet {
            ledger.quiet.saturating_add(1)
        } else {
            0
        };
        ledger.spent = ledger.spent.saturating_add(self.stats.macs);
    }
}
