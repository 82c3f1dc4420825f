//! The arena behind the tensors.
//!
//! ```text
//! tensors .. tensors_end | masks | stats | staging | line | scratch
//! ```
//!
//! The plan places tensors; everything behind them follows from the records by [`layout`], which the writer calls to
//! state the arena's length, the check to prove it and the engine to find its blocks.

use super::{ALIGN, Model, NONE, SLACK, TILE, Tensor};

/// Byte offsets into an arena that starts at a multiple of [`ALIGN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Row masks: two per held tensor, one per scratch tensor, in tensor order, without gaps; none where frames are all computed whole. A multiple of 8.
    pub masks: usize,
    /// A u32 a step. A multiple of 8.
    pub stats: usize,
    /// Results of one tile before a gate has passed them. A multiple of 64 where there is any.
    pub staging: usize,
    /// Bytes of `staging`: [`TILE`] rows of a gated output, or all it has, of whichever takes most; rounded up to 64, and
    /// [`SLACK`]. 0 where frames are all computed whole.
    pub staging_len: usize,
    /// One line of the input, `w * c` bytes. A multiple of 8.
    pub line: usize,
    /// Four lines of mask words, each two words longer than the longest mask line; none without masks. A multiple of 8.
    pub scratch: usize,
    /// One past the last byte. A multiple of 64.
    pub total: usize,
}

/// Computes the blocks. For records that have not passed the check the result may be meaningless (it saturates) but the
/// function does not panic.
pub fn layout(model: &Model) -> Layout {
    let mut end = round_up(model.header.tensors_end as u64, 8);
    let mut place = |len: u64, align: u64| {
        let at = round_up(end, align);
        end = at.saturating_add(len);
        usize::try_from(at).unwrap_or(usize::MAX)
    };
    let masks = place(model.tensors.iter().map(|t| mask_bytes(model, t)).fold(0, u64::saturating_add), 8);
    let stats = place(4 * model.steps.len() as u64, 8);
    let gated = model.steps.iter().filter(|s| s.gate != NONE);
    let tile = |t: &Tensor| (t.h as u64 * t.w as u64).min(TILE as u64) * t.c as u64 * t.dtype().size() as u64;
    let tile = gated.filter_map(|s| model.tensors.get(s.output as usize)).map(tile).max().unwrap_or(0);
    let staging_len = if model.gated() { round_up(tile, ALIGN as u64) + SLACK as u64 } else { 0 };
    let staging = place(staging_len, if staging_len > 0 { ALIGN as u64 } else { 8 });
    let input = model.tensors.get(model.header.input as usize);
    let line = place(input.map_or(0, |t| (t.w as u64).saturating_mul(t.c as u64)), 8);
    let words = model.tensors.iter().map(|t| t.words() as u64).max().unwrap_or(0);
    let scratch = place(if model.gated() { 4 * 8 * (words + 2) } else { 0 }, 8);
    let total = place(0, ALIGN as u64);
    let staging_len = usize::try_from(staging_len).unwrap_or(usize::MAX);
    Layout { masks, stats, staging, staging_len, line, scratch, total }
}

/// Bytes of a tensor's masks: rows to do and, where it is held, rows put off.
pub(super) fn mask_bytes(model: &Model, t: &Tensor) -> u64 {
    let masks = if !model.gated() { 0 } else { 1 + t.held() as u64 };
    masks * 8 * (t.h as u64) * (t.words() as u64)
}

pub(super) fn round_up(v: u64, align: u64) -> u64 {
    v.checked_next_multiple_of(align).unwrap_or(u64::MAX)
}
