//! The arena behind the tensors.
//!
//! ```text
//! tensors .. tensors_end | masks | stats | line | scratch
//! ```
//!
//! The plan places tensors and what gates stage; everything behind them follows from the records by [`layout`], which the writer calls to
//! state the arena's length, the check to prove it and the engine to find its blocks.

use super::{ALIGN, Model, TILE, Tensor};

/// Byte offsets into an arena that starts at a multiple of [`ALIGN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Row masks, without gaps; none where frames are all computed whole. First those of held tensors, in tensor order, two each, of the input
    /// one; then those of scratch tensors, in order, one each. A multiple of 8.
    pub masks: usize,
    /// The input's strong pixels while a frame is compared: a mask, where scratch tensors have theirs later, so these have as many
    /// bytes at least. A multiple of 8.
    pub strong: usize,
    /// A u32 a step. A multiple of 8.
    pub stats: usize,
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
    let of = |held: bool| {
        let tensors = (0..).zip(model.tensors).filter(move |(_, t)| t.held() == held);
        tensors.map(|(i, t)| mask_bytes(model, i, t)).fold(0, u64::saturating_add)
    };
    let input = model.tensors.get(model.header.input as usize);
    let masks = place(of(true), 8);
    let strong = place(of(false).max(input.map_or(0, |t| mask_bytes(model, model.header.input as u32, t))), 8);
    let stats = place(4 * model.steps.len() as u64, 8);
    let line = place(input.map_or(0, |t| (t.w as u64).saturating_mul(t.c as u64)), 8);
    let words = model.tensors.iter().map(|t| t.words() as u64).max().unwrap_or(0);
    let scratch = place(if model.gated() { 4 * 8 * (words + 2) } else { 0 }, 8);
    let total = place(0, ALIGN as u64);
    Layout { masks, strong, stats, line, scratch, total }
}

/// Bytes a gate needs to stage rows of its output in: [`TILE`] rows, or all it has.
pub fn staging_len(out: &Tensor) -> u64 {
    (out.h as u64 * out.w as u64).min(TILE as u64) * out.c as u64 * out.dtype().size() as u64
}

/// Bytes of a tensor's masks: rows to do and, where it is held and not the input, rows put off.
pub(super) fn mask_bytes(model: &Model, index: u32, t: &Tensor) -> u64 {
    let off = t.held() && index != model.header.input as u32;
    let masks = if !model.gated() { 0 } else { 1 + off as u64 };
    masks * 8 * (t.h as u64) * (t.words() as u64)
}

/// Calls `place` with every tensor and where its masks are, from byte `at` of the arena on.
pub(super) fn place_masks(model: &Model, at: u64, mut place: impl FnMut(usize, u64)) {
    let mut at = round_up(at, 8);
    for held in [true, false] {
        for (i, t) in (0..).zip(model.tensors).filter(|(_, t)| t.held() == held) {
            place(i as usize, at);
            at = at.saturating_add(mask_bytes(model, i, t));
        }
    }
}

pub(super) fn round_up(v: u64, align: u64) -> u64 {
    v.checked_next_multiple_of(align).unwrap_or(u64::MAX)
}
