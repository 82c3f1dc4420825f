//! The whole-file check: what it accepts, the engine executes without another bounds test.
//!
//! Proved here, in this order, in 64-bit arithmetic that cannot wrap, without allocation:
//!
//! 1. the header, the sections and the checksum (this file);
//! 2. every tensor with its border lies in `0..tensors_end`, every mask where [`layout`] puts it
//!    ([`memory`]);
//! 3. segments partition the steps; every tensor is written once, before it is read, and scratch tensors stay inside
//!    their segment ([`order`]);
//! 4. every step's parameters lie in the data section and fit its tensors, so that every address its kernel forms is
//!    inside its tensors ([`window`], [`ops`], [`views`]);
//! 5. no step writes memory that it reads or that a later step still needs ([`memory`]).
//!
//! Tables hold at most [`MAX_RECORDS`] records; time is quadratic in the number of steps and tensors, linear in
//! everything else.

mod band;
mod memory;
mod ops;
mod order;
mod views;
mod window;

pub(crate) use memory::apart_beyond;

#[cfg(feature = "std")]
pub(super) use memory::Region;

use core::ops::Deref;

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::layout::layout;
use super::{
    ALIGN, Dtype, Fault, FormatError, Gate, HELD, Header, MAGIC, MAX_ARENA, MAX_RECORDS, Model, NONE, Op, OutputRecord, Packing, Point,
    Profile, Section, Span, Step, Tensor, VERSION, VIEW, crc,
};

pub(crate) type Checked = Result<(), Fault>;

/// `Ok` if `holds`.
fn ensure(holds: bool, fault: Fault) -> Checked {
    if holds { Ok(()) } else { Err(fault) }
}

/// Checks what precedes the records: alignment, length, magic, version, profile, packing, the arena's limits and the
/// place of every section. Not the checksum.
pub fn header(bytes: &[u8]) -> Result<&Header, FormatError> {
    if !bytes.as_ptr().addr().is_multiple_of(align_of::<Header>()) {
        return Err(FormatError::Unaligned);
    }
    let h = bytes.get(..size_of::<Header>()).and_then(|b| Header::ref_from_bytes(b).ok());
    let h = h.ok_or(FormatError::Truncated)?;
    if h.magic != MAGIC {
        return Err(FormatError::Magic);
    }
    if h.version != VERSION {
        return Err(FormatError::Version { found: h.version });
    }
    Profile::new(h.profile).ok_or(FormatError::Profile { code: h.profile })?;
    Packing::new(h.packing).ok_or(FormatError::Packing { code: h.packing })?;
    if h.file_len as usize != bytes.len() {
        return Err(FormatError::Truncated);
    }
    let mut end = size_of::<Header>() as u64;
    for (section, span, record) in sections(h) {
        let at = |fault| Err(FormatError::Section { section, fault });
        if !span.offset.is_multiple_of(ALIGN as u32) || !(span.len as usize).is_multiple_of(record) {
            return at(Fault::Unaligned);
        }
        if (span.offset as u64) < end {
            return at(Fault::Order);
        }
        end = span.offset as u64 + span.len as u64;
        if end > bytes.len() as u64 {
            return at(Fault::Outside);
        }
        if record > 1 && span.len as usize / record > MAX_RECORDS {
            return at(Fault::TooMany);
        }
    }
    let fault = if h.arena_len > MAX_ARENA {
        Fault::TooLarge
    } else if h.tensors_end > h.arena_len {
        Fault::Outside
    } else if !h.cost.dense_above.is_finite() {
        Fault::Number
    } else {
        return Ok(h);
    };
    Err(FormatError::Header { fault })
}

/// Sections in order, with the bytes of a record.
fn sections(h: &Header) -> [(Section, Span, usize); 8] {
    [
        (Section::Tensors, h.tensors, size_of::<Tensor>()),
        (Section::Segments, h.segments, size_of::<super::Segment>()),
        (Section::Steps, h.steps, size_of::<Step>()),
        (Section::Gates, h.gates, size_of::<Gate>()),
        (Section::Outputs, h.outputs, size_of::<OutputRecord>()),
        (Section::Points, h.points, size_of::<Point>()),
        (Section::Data, h.data, 1),
        (Section::Cold, h.cold, 1),
    ]
}

/// A model that has passed the [`check()`]: what the engine executes without another bounds test.
#[derive(Clone, Copy)]
pub struct Proven<'a>(pub(super) Model<'a>);

impl<'a> Deref for Proven<'a> {
    type Target = Model<'a>;
    fn deref(&self) -> &Model<'a> {
        &self.0
    }
}

impl<'a> Proven<'a> {
    /// Views of an artifact that has been checked before; reads the header alone.
    ///
    /// # Safety
    /// The bytes have passed the [`check()`] and have not changed since.
    pub unsafe fn assume(bytes: &'a [u8]) -> Result<Self, FormatError> {
        views(bytes, header(bytes)?).map(Self)
    }
}

/// The sections as records.
pub(super) fn views<'a>(bytes: &'a [u8], h: &'a Header) -> Result<Model<'a>, FormatError> {
    Ok(Model {
        header: h,
        tensors: table(bytes, h.tensors, Section::Tensors)?,
        segments: table(bytes, h.segments, Section::Segments)?,
        steps: table(bytes, h.steps, Section::Steps)?,
        gates: table(bytes, h.gates, Section::Gates)?,
        outputs: table(bytes, h.outputs, Section::Outputs)?,
        points: table(bytes, h.points, Section::Points)?,
        data: table(bytes, h.data, Section::Data)?,
        cold: table(bytes, h.cold, Section::Cold)?,
    })
}

/// Proves that the artifact can be executed.
pub fn check(bytes: &[u8]) -> Result<Proven<'_>, FormatError> {
    let h = header(bytes)?;
    if crc::of_file(bytes) != h.checksum {
        return Err(FormatError::Checksum);
    }
    let m = views(bytes, h)?;
    // Whether there are masks depends on the input.
    ensure((h.input as usize) < m.tensors.len(), Fault::Index).map_err(|fault| FormatError::Header { fault })?;
    memory::tensors(&m)?;
    input(&m).map_err(|fault| FormatError::Header { fault })?;
    memory::masks(&m)?;
    let needed = layout(&m).total;
    if needed > h.arena_len as usize {
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        return Err(FormatError::Arena { needed, stated: h.arena_len });
    }
    order::segments(&m)?;
    order::steps(&m)?;
    let mut macs = 0u64;
    for (index, step) in (0..).zip(m.steps) {
        // A dense frame costs less than 2^48 multiply-accumulates: no count overflows.
        let rows = m.tensors[step.output as usize].rows() as u64;
        macs = macs.saturating_add(rows * step.macs as u64);
        ensure(macs < 1 << 48, Fault::Number).map_err(|fault| FormatError::Step { index, fault })?;
        let op = Op::new(step.op).ok_or(FormatError::Step { index, fault: Fault::Unknown })?;
        let ends = [&m.tensors[step.inputs[0] as usize], &m.tensors[step.output as usize]];
        let checked = ops::of(op)(&m, index as usize, step, ends).and_then(|()| gated(&m, step));
        checked.map_err(|fault| FormatError::Step { index, fault })?;
    }
    band::bands(&m)?;
    memory::lifetimes(&m)?;
    for (index, g) in (0..).zip(m.gates) {
        let ok = g.dead <= 255 && g.bound >= 0.0;
        ensure(ok, Fault::Number).map_err(|fault| FormatError::Gate { index, fault })?;
    }
    for (index, o) in (0..).zip(m.outputs) {
        output(&m, o).map_err(|fault| FormatError::Output { index, fault })?;
    }
    for (index, p) in (0..).zip(m.points) {
        let ok = p.scale >= 0.0 && [p.scale, p.agreement, p.work].iter().all(|v| v.is_finite());
        ensure(ok, Fault::Number).map_err(|fault| FormatError::Point { index, fault })?;
    }
    Ok(Proven(m))
}

fn table<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8], span: Span, section: Section) -> Result<&[T], FormatError> {
    let bytes = bytes.get(span.offset as usize..).and_then(|b| b.get(..span.len as usize));
    let bytes = bytes.ok_or(FormatError::Section { section, fault: Fault::Outside })?;
    <[T]>::ref_from_bytes(bytes).map_err(|_| FormatError::Section { section, fault: Fault::Unaligned })
}

fn input(m: &Model) -> Checked {
    let t = &m.tensors[m.header.input as usize];
    ensure(t.dtype == Dtype::U8 as u8 && t.flags & VIEW == 0 && t.lines == 0, Fault::Input)?;
    // Lines are compared and copied whole; frames of reals are quantised by the tensor's scale.
    ensure(t.pixel == t.c, Fault::Stride)?;
    ensure(t.quant_len > 0, Fault::Quant)?;
    ensure(m.steps.iter().all(|s| s.output != m.header.input as u32), Fault::Input)
}

/// A gate belongs to a held u8 result that the step computes.
fn gated(m: &Model, s: &Step) -> Checked {
    if s.gate == NONE {
        return Ok(());
    }
    let g = m.gates.get(s.gate as usize).ok_or(Fault::Index)?;
    let t = &m.tensors[s.output as usize];
    ensure(t.held() && t.dtype() == Dtype::U8 && computes(s), Fault::Gate)?;
    ensure(m.array::<u8>(g.weights, t.c as usize).is_some(), Fault::Outside)
}

/// Whether the step writes memory: joins and reshapes only pass masks on.
fn computes(s: &Step) -> bool {
    !matches!(Op::new(s.op), Some(Op::Join | Op::Reshape))
}

/// The step's inputs. `inputs_len` is 1 or 2 once [`order::steps`] has passed.
fn inputs(s: &Step) -> &[u32] {
    &s.inputs[..(s.inputs_len as usize).min(s.inputs.len())]
}

fn output(m: &Model, o: &OutputRecord) -> Checked {
    let t = m.tensors.get(o.tensor as usize).ok_or(Fault::Index)?;
    ensure(t.held(), Fault::Scratch)?;
    ensure(t.dtype() == Dtype::F32 || t.quant_len > 0, Fault::Quant)?;
    let elements = t.rows() as u64 * t.c as u64;
    let shape = o.shape.get(..o.rank as usize).ok_or(Fault::Shape)?;
    let (mut count, mut last) = (1u64, o.offset as u64);
    for (&n, &stride) in shape.iter().zip(&o.strides) {
        ensure(n >= 1, Fault::Shape)?;
        count = count.saturating_mul(n as u64);
        last = last.saturating_add((n as u64 - 1) * stride as u64);
    }
    ensure(count <= elements && last < elements, Fault::Shape)?;
    let name = m.array::<u8>(o.name, o.name_len as usize).ok_or(Fault::Outside)?;
    ensure(core::str::from_utf8(name).is_ok(), Fault::Text)
}
