//! Where tensors lie, and who may share memory.
//!
//! Only steps that compute write; joins and reshapes show what was written under another name. A result therefore
//! *reaches* the tensors that follow from it through joins and reshapes. Two laws make sharing harmless:
//!
//! - **Held.** The memory of a held tensor belongs to the results that reach it; and a result that reaches a held
//!   tensor shares its memory with no other result.
//! - **Scratch.** From the step that writes a scratch tensor to the last step that reads it, no step writes that memory. (A
//!   joined view is needed until its parent has been read; so is the parent's border, which its joins write.)
//!
//! Rows that wait for a gate's word lie in memory that neither touches in their segment.
//!
//! Both count borders. Tensors whose extents overlap share no byte if they are interleaved: channels of the same pixels,
//! or columns of the same lines.

use super::{Checked, Dtype, Fault, FormatError, HELD, MAX_ARENA, Model, NONE, Op, Step, Tensor, VIEW};
use super::{computes, ensure, inputs};
use crate::format::layout::{place_masks, staging_len};
use crate::format::{MAX_VIEWS, SLACK, Segment};

/// The bytes from a tensor's first border pixel to its last.
#[derive(Clone, Copy, Debug)]
pub(in crate::format) struct Region {
    pub start: u64,
    pub end: u64,
}

impl Region {
    /// `None` if the border begins before the arena.
    pub fn of(t: &Tensor) -> Option<Region> {
        let [top, left, bottom, right] = t.border.map(u64::from);
        // A band has room for its border lines among the others.
        let (above, lines) = if t.lines > 0 { (0, t.lines as u64) } else { (top, t.h as u64 + bottom) };
        let before = (above * t.line as u64).checked_add(left * t.pixel as u64)?;
        let lines = lines.checked_sub(1)?;
        let columns = (t.w as u64 + right).checked_sub(1)?;
        let after = lines.checked_mul(t.line as u64)?.checked_add(columns.checked_mul(t.pixel as u64)?)?;
        let after = after.checked_add(t.c as u64 * t.dtype().size() as u64)?;
        let origin = t.origin as u64;
        Some(Region { start: origin.checked_sub(before)?, end: origin.checked_add(after)? })
    }

    fn meets(self, other: Region) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// Bytes of a pixel.
pub(super) fn row_bytes(t: &Tensor) -> u64 {
    t.c as u64 * t.dtype().size() as u64
}

/// Each tensor by itself: extents, strides, place, mask, fill, quantisation.
pub(super) fn tensors(m: &Model) -> Result<(), FormatError> {
    for (index, t) in (0..).zip(m.tensors) {
        tensor(m, t).map_err(|fault| FormatError::Tensor { index, fault })?;
    }
    Ok(())
}

/// Every mask where the layout puts it.
pub(super) fn masks(m: &Model) -> Result<(), FormatError> {
    let mut wrong = None;
    place_masks(m, m.header.tensors_end as u64, |i, mask| {
        if wrong.is_none() && m.tensors.get(i).is_some_and(|t| t.mask as u64 != mask) {
            wrong = Some(i as u32);
        }
    });
    wrong.map_or(Ok(()), |index| Err(FormatError::Tensor { index, fault: Fault::Mask }))
}

fn tensor(m: &Model, t: &Tensor) -> Checked {
    let dtype = Dtype::new(t.dtype).ok_or(Fault::Unknown)?;
    ensure(t.flags & !(HELD | VIEW) == 0, Fault::Unknown)?;
    ensure([t.h, t.w, t.c].iter().all(|n| (1..=65535).contains(n)), Fault::Shape)?;
    let [top, left, bottom, right] = t.border.map(u64::from);
    let (pixel, line, bytes) = (t.pixel as u64, t.line as u64, row_bytes(t));
    ensure(pixel.max(line) <= MAX_ARENA as u64, Fault::Stride)?;
    ensure(pixel >= bytes || t.w as u64 + left + right == 1, Fault::Stride)?;
    // A line and the border on either side of it, which may be shared with the neighbouring line's.
    let used = (t.w as u64 - 1 + left.max(right)) * pixel + bytes;
    ensure(line >= used || t.h as u64 + top + bottom == 1, Fault::Stride)?;
    let region = Region::of(t).ok_or(Fault::Outside)?;
    ensure(region.end + SLACK as u64 <= m.header.tensors_end as u64, Fault::Outside)?;
    if dtype == Dtype::F32 {
        ensure(t.quant_len == 0, Fault::Quant)?;
        ensure(t.border == [0; 4] || t.fill == NONE, Fault::Border)?;
    } else {
        let len = t.quant_len as usize;
        ensure(len <= 1 || len == t.c as usize, Fault::Quant)?;
        if len > 0 {
            let scales = m.array::<f32>(t.scale, len).ok_or(Fault::Quant)?;
            ensure(scales.iter().all(|s| s.is_finite()), Fault::Quant)?;
            ensure(m.array::<u8>(t.zero, len).is_some(), Fault::Quant)?;
        }
        let fill = || m.array::<u8>(t.fill, t.c as usize).is_some();
        ensure(t.border == [0; 4] || fill(), Fault::Border)?;
    }
    Ok(())
}

/// Whether two checked tensors, borders included, have no byte in common.
pub(super) fn apart(a: &Tensor, b: &Tensor) -> bool {
    apart_beyond(a, b, 0)
}

/// The same, with `past` more bytes after every row of `a`.
pub(crate) fn apart_beyond(a: &Tensor, b: &Tensor, past: u64) -> bool {
    match (Region::of(a), Region::of(b)) {
        (Some(ra), Some(rb)) => !Region { end: ra.end + past, ..ra }.meets(rb) || interleaved(a, b, ra, rb, past),
        _ => false,
    }
}

/// Channels of the same pixels, or columns of the same lines: modulo the common stride, the two occupy ranges of
/// residues that do not meet.
fn interleaved(a: &Tensor, b: &Tensor, ra: Region, rb: Region, past: u64) -> bool {
    let pixels = [a.pixel, b.pixel].iter().any(|&n| {
        let bytes = (row_bytes(a) + past, row_bytes(b));
        on_pixels(a, n) && on_pixels(b, n) && residues(n as u64, ra.start, bytes.0, rb.start, bytes.1)
    });
    pixels
        || [a.line, b.line].iter().any(|&n| {
            let spans = (line_bytes(a) + past, line_bytes(b));
            on_lines(a, n) && on_lines(b, n) && residues(n as u64, ra.start, spans.0, rb.start, spans.1)
        })
}

/// Whether the pixels start at multiples of `n` from each other.
fn on_pixels(t: &Tensor, n: u32) -> bool {
    let [top, left, bottom, right] = t.border.map(u32::from);
    n > 0 && (t.w + left + right == 1 || t.pixel.is_multiple_of(n)) && (t.h + top + bottom == 1 || t.line.is_multiple_of(n))
}

/// Whether the lines start at multiples of `n` from each other.
fn on_lines(t: &Tensor, n: u32) -> bool {
    let [top, _, bottom, _] = t.border.map(u32::from);
    n > 0 && (t.h + top + bottom == 1 || t.line.is_multiple_of(n))
}

/// Bytes from the first to the last border pixel of a line.
fn line_bytes(t: &Tensor) -> u64 {
    let [_, left, _, right] = t.border.map(u64::from);
    (t.w as u64 - 1 + left + right) * t.pixel as u64 + row_bytes(t)
}

/// Whether `a..a + la` and `b..b + lb`, modulo `n`, have nothing in common.
fn residues(n: u64, a: u64, la: u64, b: u64, lb: u64) -> bool {
    let d = (b % n + n - a % n) % n;
    d >= la && d + lb <= n
}

/// Tensors that show the same result.
struct Reach {
    tensors: [u32; MAX_VIEWS],
    len: usize,
}

impl Reach {
    /// From the tensor `from`, written before step `at`.
    fn of(m: &Model, from: u32, at: usize) -> Result<Reach, Fault> {
        let mut reach = Reach { tensors: [NONE; MAX_VIEWS], len: 1 };
        reach.tensors[0] = from;
        for s in &m.steps[at..] {
            if !computes(s) && reach.has(s.inputs[0]) && !reach.has(s.output) {
                *reach.tensors.get_mut(reach.len).ok_or(Fault::TooMany)? = s.output;
                reach.len += 1;
            }
        }
        Ok(reach)
    }

    fn has(&self, t: u32) -> bool {
        self.tensors[..self.len].contains(&t)
    }
}

/// No step writes memory that it reads or that is still needed.
pub(super) fn lifetimes(m: &Model) -> Result<(), FormatError> {
    let input = m.header.input as u32;
    let at = |fault| FormatError::Tensor { index: input, fault };
    let kept = if m.gated() { Reach::of(m, input, 0).and_then(|reach| owns(m, input, None, &reach)) } else { frame_lives(m, input) };
    kept.map_err(at)?;
    for (index, s) in (0..).zip(m.steps) {
        let at = index as usize;
        let alone = || {
            if !computes(s) {
                return if frame(m, s) && first_join(m, at) { parent(m, s.output) } else { Ok(()) };
            }
            let out = tensor_of(m, s.output);
            ensure(inputs(s).iter().all(|&i| apart(tensor_of(m, i), out)), Fault::Overlap)?;
            owns(m, s.output, Some(at), &Reach::of(m, s.output, at + 1)?)
        };
        alone().map_err(|fault| FormatError::Step { index, fault })?;
    }
    for segment in m.segments {
        for at in segment.first..segment.end {
            scratch(m, at as usize, segment.end as usize)?;
            staged(m, segment, &m.steps[at as usize]).map_err(|fault| FormatError::Step { index: at, fault })?;
        }
    }
    Ok(())
}

fn tensor_of<'a>(m: &Model<'a>, index: u32) -> &'a Tensor {
    &m.tensors[index as usize]
}

/// The law of scratch tensors for an input that is not held: nothing is written there until the last step that reads it. It is written
/// anew with every frame, so no held tensor may lie there, and no other name shows it.
fn frame_lives(m: &Model, input: u32) -> Checked {
    let x = tensor_of(m, input);
    let held = |t: &&Tensor| t.held();
    ensure(m.tensors.iter().filter(held).all(|t| apart(x, t)), Fault::Overlap)?;
    let reads = |s: &Step| inputs(s).contains(&input);
    ensure(m.steps.iter().filter(|s| reads(s)).all(computes), Fault::View)?;
    let last = m.steps.iter().rposition(reads).map_or(0, |k| k + 1);
    ensure(m.steps[..last].iter().all(|s| apart(x, tensor_of(m, s.output))), Fault::Overlap)
}

/// The law of held tensors for the result `from` of step `at` (`None`: the input).
fn owns(m: &Model, from: u32, at: Option<usize>, reach: &Reach) -> Checked {
    let out = tensor_of(m, from);
    for (index, t) in (0..).zip(m.tensors) {
        ensure(!t.held() || reach.has(index) || apart(out, t), Fault::Overlap)?;
    }
    if reach.tensors[..reach.len].iter().any(|t| tensor_of(m, *t).held()) {
        for (k, s) in m.steps.iter().enumerate() {
            let same = Some(k) == at || !computes(s);
            ensure(same || apart(out, tensor_of(m, s.output)), Fault::Overlap)?;
        }
    }
    Ok(())
}

/// Whether the step is a join that writes its parent's border.
fn frame(m: &Model, s: &Step) -> bool {
    s.op == Op::Join as u16 && tensor_of(m, s.output).border != [0; 4]
}

/// The law of held tensors for a parent's border, which no result covers.
fn parent(m: &Model, p: u32) -> Checked {
    let mut held = (0..).zip(m.tensors).filter(|(_, t)| t.held());
    held.try_for_each(|(index, _)| linked(m, p, index))
}

/// The law of scratch tensors for step `at` of the segment that ends at `end`.
fn scratch(m: &Model, at: usize, end: usize) -> Result<(), FormatError> {
    let s = &m.steps[at];
    if tensor_of(m, s.output).held() {
        return Ok(());
    }
    let reads = |k: &usize| inputs(&m.steps[*k]).contains(&s.output);
    let Some(last) = (at + 1..end).rev().find(reads) else { return Ok(()) };
    let join = s.op == Op::Join as u16;
    let shown = if join { s.inputs[0] } else { s.output };
    for (index, other) in (at as u32 + 1..).zip(&m.steps[at + 1..=last]) {
        let kept = || {
            if computes(other) {
                ensure(apart(tensor_of(m, shown), tensor_of(m, other.output)), Fault::Overlap)?;
            }
            let frames = frame(m, other);
            if frames {
                linked(m, shown, other.output)?;
            }
            if frame(m, s) && first_join(m, at) && (frames || computes(other)) {
                linked(m, s.output, other.output)?;
            }
            Ok(())
        };
        kept().map_err(|fault| FormatError::Step { index, fault })?;
    }
    Ok(())
}

/// Where a gate stages rows no held tensor lies, and no scratch tensor that its segment writes.
fn staged(m: &Model, segment: &Segment, s: &Step) -> Checked {
    let Some(gate) = m.gates.get(s.gate as usize).filter(|_| m.gated()) else { return Ok(()) };
    let start = gate.staging as u64;
    let room = Region { start, end: start + staging_len(tensor_of(m, s.output)) };
    ensure(room.end <= m.header.tensors_end as u64, Fault::Outside)?;
    let free = |t: &Tensor| Region::of(t).is_some_and(|r| !r.meets(room));
    let here = &m.steps[segment.first as usize..segment.end as usize];
    let held = m.tensors.iter().filter(|t| t.held()).all(free);
    ensure(held && here.iter().all(|s| free(tensor_of(m, s.output))), Fault::Overlap)
}

/// Whether two tensors have no byte in common or one shows the other.
fn linked(m: &Model, a: u32, b: u32) -> Checked {
    let shows = |a, b| Ok(Reach::of(m, a, 0)?.has(b));
    let fine = apart(tensor_of(m, a), tensor_of(m, b)) || shows(a, b)? || shows(b, a)?;
    ensure(fine, Fault::Overlap)
}

/// Whether no earlier step joins into the same parent.
pub(super) fn first_join(m: &Model, at: usize) -> bool {
    let output = m.steps[at].output;
    !m.steps[..at].iter().any(|s: &Step| s.output == output)
}
