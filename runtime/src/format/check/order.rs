//! Who writes a tensor, and when.

use super::{Checked, Fault, FormatError, HELD, Model, NONE, Op, VIEW, computes, ensure, inputs};

/// Segments partition the steps, in order.
pub(super) fn segments(m: &Model) -> Result<(), FormatError> {
    let mut end = 0;
    for (index, s) in (0..).zip(m.segments) {
        let at = |fault| FormatError::Segment { index, fault };
        ensure(s.first == end && s.end > s.first, Fault::Order).map_err(at)?;
        ensure(s.end as usize <= m.steps.len(), Fault::Outside).map_err(at)?;
        end = s.end;
    }
    let fault = Fault::Order;
    ensure(end as usize == m.steps.len(), fault).map_err(|fault| FormatError::Segment { index: m.segments.len() as u32, fault })
}

/// Every operator known, every index valid, every tensor written by one step (a parent: by its joins) before it is
/// read, scratch tensors within their segment.
pub(super) fn steps(m: &Model) -> Result<(), FormatError> {
    for (index, s) in (0..).zip(m.steps) {
        let known = || {
            let op = Op::new(s.op).ok_or(Fault::Unknown)?;
            let len = match op {
                Op::Conv | Op::Binary => 1..=2,
                _ => 1..=1,
            };
            ensure(len.contains(&s.inputs_len), Fault::Inputs)?;
            ensure(s.inputs_len == 2 || s.inputs[1] == NONE, Fault::Surplus)?;
            let valid = |t: &u32| (*t as usize) < m.tensors.len();
            ensure(inputs(s).iter().all(valid) && valid(&s.output), Fault::Index)
        };
        known().map_err(|fault| FormatError::Step { index, fault })?;
    }
    for segment in m.segments {
        for at in segment.first..segment.end {
            step(m, at as usize, segment.first as usize).map_err(|fault| FormatError::Step { index: at, fault })?;
        }
    }
    for (index, t) in (0..).zip(m.tensors) {
        let at = |fault| FormatError::Tensor { index, fault };
        let written = index == m.header.input as u32 || m.steps.iter().any(|s| s.output == index);
        ensure(written, Fault::Unwritten).map_err(at)?;
        let linked = |s: &super::Step| !computes(s) && (s.inputs[0] == index || s.output == index);
        ensure(t.flags & VIEW == 0 || m.steps.iter().any(linked), Fault::View).map_err(at)?;
    }
    Ok(())
}

/// `at` is a step of the segment that begins at `first`.
fn step(m: &Model, at: usize, first: usize) -> Checked {
    let s = &m.steps[at];
    let join = s.op == Op::Join as u16;
    for other in &m.steps[at + 1..] {
        ensure(other.output != s.output || join && other.op == s.op, Fault::Twice)?;
    }
    for &i in inputs(s) {
        if i == m.header.input as u32 {
            continue;
        }
        let mut written = false;
        for (k, other) in m.steps.iter().enumerate() {
            if other.output == i {
                ensure(k < at, Fault::Order)?;
                let held = m.tensors[i as usize].flags & HELD != 0;
                ensure(held || k >= first, Fault::Scratch)?;
                written = true;
            }
        }
        ensure(written, Fault::Unwritten)?;
    }
    Ok(())
}
