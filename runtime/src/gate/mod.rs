//! Where change is judged.
//!
//! A gated tensor keeps one held copy `H` of its codes: what its consumers see. In pseudo-code, per frame:
//!
//! ```text
//! marked[input] = pixels of the frame that differ from H[input] by more than the input test; they replace H[input]
//! for each operator, in order:
//!     candidates = output rows whose receptive field holds a marked input row
//!     for each candidate row:
//!         new = f(H[inputs])                      the full computation, never an update by differences
//!         if score(new, H[output]) > threshold:   H[output] = new, mark the row
//! ```
//!
//! A row that is not passed on keeps its held value, and is compared against that again the next time anything under it
//! changes: errors cannot add up over frames (no drift). The real code differs in one thing: tensors between two gates may be scratch, so
//! a segment of operators first spreads its candidates to its held outputs, then asks backwards which scratch rows those need.
//!
//! The idea of gating on held references is that of sigma-delta and event networks (O'Connor and Welling 2016; Cavigelli
//! et al. 2017, CBInfer); recomputing rows from held inputs replaces their accumulators.

pub mod input;
mod shift;

use crate::format::Gate;
use crate::kernels::{JudgeTile, Kernels};

/// An output gate at the scale in force.
pub(crate) struct RowGate<'a> {
    kernels: &'a Kernels,
    weights: &'a [u8],
    /// `None`: pass on if any code differs.
    limit: Option<u32>,
    dead: u8,
}

impl<'a> RowGate<'a> {
    pub fn new(kernels: &'a Kernels, gate: &Gate, weights: &'a [u8], scale: f32) -> Self {
        let limit = gate.threshold as f32 * scale * scale;
        let exact = gate.threshold == 0 || scale <= 0.0;
        Self { kernels, weights, limit: (!exact).then_some(limit as u32), dead: if exact { 0 } else { gate.dead as u8 } }
    }

    /// The largest score that is not passed on.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(0)
    }

    /// How far a recomputed row is from the held one.
    pub fn score(&self, new: &[u8], held: &[u8]) -> u32 {
        match self.limit {
            None => differing(new, held),
            // SAFETY: the CPU has the set's features (chosen by `kernels::select`).
            Some(_) => unsafe { (self.kernels.score)(new, held, self.weights, self.dead) },
        }
    }

    /// Judges recomputed rows, one after another in `new`, against those at `held + rows[i]`; takes over those that are to be
    /// passed on and answers with their bits.
    ///
    /// # Safety
    /// The rows are valid as [`JudgeTile`] says.
    pub unsafe fn judge(&self, new: &[u8], held: *mut u8, rows: &[u32]) -> u64 {
        let tile = JudgeTile { new, held, rows, weights: self.weights, dead: self.dead, limit: self.limit };
        // SAFETY: the caller's; the CPU has the set's features (chosen by `kernels::select`).
        unsafe { (self.kernels.judge)(&tile) }
    }
}

/// Bytes that differ.
pub(crate) fn differing(new: &[u8], held: &[u8]) -> u32 {
    new.iter().zip(held).filter(|(a, b)| a != b).count() as u32
}
