//! What of the arena is in use at each step.
//!
//! A held tensor is always alive; a scratch tensor from the step that writes it (the input: from the begin of the frame) to the last
//! that reads it. Steps of a chain take turns, so what one of them needs is alive through all of them. Tensors may lie in one
//! another: bytes are those of all regions together. Rows that wait for a gate's word have their room through all of a segment.

use quiescent::format::{Model, NONE, Tensor, staging_len};
use serde::Serialize;

/// Memory at one step.
#[derive(Clone, Debug, Serialize)]
pub struct Alive {
    /// Bytes of the arena that hold something.
    pub bytes: usize,
    /// Tensors, by index.
    pub tensors: Vec<usize>,
    /// First byte of the room in which the segment's gates stage rows, and the one past its last.
    pub staging: Option<(usize, usize)>,
}

/// The first byte of a tensor's memory, border included, and the one past its last.
pub fn region(t: &Tensor) -> (usize, usize) {
    let [top, left, bottom, right] = t.border.map(usize::from);
    let (line, pixel) = (t.line as usize, t.pixel as usize);
    let (above, lines) = match t.lines {
        0 => (top, t.h as usize + bottom),
        n => (0, n as usize),
    };
    let origin = t.origin as usize;
    let end = origin + (lines - 1) * line + (t.w as usize + right - 1) * pixel + t.c as usize * t.dtype().size();
    (origin - above * line - left * pixel, end)
}

/// Bytes of a tensor's memory.
pub fn bytes(t: &Tensor) -> usize {
    let (start, end) = region(t);
    end - start
}

/// Every step's memory, in order.
pub fn alive(model: &Model) -> Vec<Alive> {
    let spans: Vec<(usize, usize)> = (0..model.tensors.len()).map(|t| span(model, t)).collect();
    (0..model.steps.len())
        .map(|k| {
            let tensors: Vec<usize> = (0..spans.len()).filter(|t| (spans[*t].0..=spans[*t].1).contains(&k)).collect();
            let staging = staging(model, k);
            let mut regions: Vec<_> = tensors.iter().map(|t| region(&model.tensors[*t])).chain(staging).collect();
            regions.sort_unstable();
            let (mut bytes, mut at) = (0, 0);
            for (start, end) in regions {
                bytes += end.max(at) - start.max(at);
                at = at.max(end);
            }
            Alive { bytes, tensors, staging }
        })
        .collect()
}

/// Where rows wait for the gates of step `k`'s segment.
fn staging(model: &Model, k: usize) -> Option<(usize, usize)> {
    let segment = model.segments.iter().find(|s| (s.first as usize..s.end as usize).contains(&k))?;
    let steps = &model.steps[segment.first as usize..segment.end as usize];
    let rooms = steps.iter().filter_map(|s| {
        let gate = model.gates.get(s.gate as usize).filter(|_| model.gated())?;
        let start = gate.staging as usize;
        Some((start, start + staging_len(&model.tensors[s.output as usize]) as usize))
    });
    rooms.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// First and last step a tensor is alive at.
fn span(model: &Model, t: usize) -> (usize, usize) {
    let last = model.steps.len().saturating_sub(1);
    if model.tensors[t].held() {
        return (0, last);
    }
    let reads = |k: &usize| model.steps[*k].inputs.iter().any(|i| *i != NONE && *i as usize == t);
    let writes = model.steps.iter().position(|s| s.output as usize == t).unwrap_or(0);
    let read = (0..model.steps.len()).rev().find(reads).unwrap_or(writes);
    let passes = |k: usize| model.steps.get(k).is_some_and(|s| model.tensors[s.output as usize].lines > 0);
    let first = (0..writes).rev().take_while(|k| passes(*k)).last().unwrap_or(writes);
    (first, (read..last).take_while(|k| passes(*k)).last().map_or(read, |k| k + 1))
}
