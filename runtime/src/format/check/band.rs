//! Chains of steps that pass maps on through a few lines (see the engine's `band`).

use super::memory::apart;
use super::{Checked, Fault, FormatError, Model, Op, Step, Tensor, ensure, inputs};
use crate::format::{Conv, MAX_CHAIN, Pool, Segment, Window};

/// Every map with fewer lines in memory than it has is passed on by its chain, and the memory of a chain is apart.
pub(super) fn bands(m: &Model) -> Result<(), FormatError> {
    let passes = |s: &Step| m.tensors[s.output as usize].lines > 0;
    for segment in m.segments {
        let mut at = segment.first as usize;
        while at < segment.end as usize {
            let maps = m.steps[at..segment.end as usize].iter().take_while(|s| passes(s)).count();
            for k in at..at + maps {
                let tensor = |fault| FormatError::Tensor { index: m.steps[k].output, fault };
                passed(m, segment, k).and_then(|()| ensure(k - at < MAX_CHAIN, Fault::Band)).map_err(tensor)?;
            }
            for k in at..at + maps {
                let step = |fault| FormatError::Step { index: k as u32, fault };
                behind(m, k, &m.steps[k + 1..=at + maps]).map_err(step)?;
            }
            at += maps + 1;
        }
    }
    Ok(())
}

/// The result of step `k` is a map of its own that the next step alone reads, through enough lines for a window.
fn passed(m: &Model, segment: &Segment, k: usize) -> Checked {
    ensure(k + 1 < segment.end as usize, Fault::Band)?;
    let [make, take] = [&m.steps[k], &m.steps[k + 1]];
    let map: &Tensor = &m.tensors[make.output as usize];
    ensure(map.flags == 0 && window(m, make)?.is_some(), Fault::Band)?;
    ensure(take.inputs[0] == make.output && inputs(take)[1..].iter().all(|i| *i != make.output), Fault::Band)?;
    let elsewhere = |s: &Step| s.output == make.output || inputs(s).contains(&make.output);
    let others = m.steps.iter().enumerate().filter(|(i, _)| *i != k && *i != k + 1);
    ensure(!others.map(|(_, s)| s).any(elsewhere), Fault::Band)?;
    let w = window(m, take)?.ok_or(Fault::Band)?;
    let [kernel, stride, dilation] = [w.kernel, w.stride, w.dilation].map(|v| v[0] as u64);
    let reach = kernel.saturating_sub(1) * dilation + 1;
    // Lines of the map are left behind one after the other, and none is passed over.
    ensure(stride <= reach && reach <= map.lines as u64, Fault::Band)?;
    ensure(map.lines <= u16::MAX as u32, Fault::Band)
}

/// What step `k` reads is apart from what later steps of the chain write, while it still has lines to make.
fn behind(m: &Model, k: usize, later: &[Step]) -> Checked {
    let tensor = |i: u32| &m.tensors[i as usize];
    let fine = |i: &u32| later.iter().all(|s| apart(tensor(*i), tensor(s.output)));
    ensure(inputs(&m.steps[k]).iter().all(fine), Fault::Overlap)
}

/// The window of a step that can be part of a chain.
fn window<'a>(m: &Model<'a>, s: &Step) -> Result<Option<&'a Window>, Fault> {
    Ok(match Op::new(s.op) {
        Some(Op::Conv | Op::Depthwise) => Some(&m.record::<Conv>(s.param).ok_or(Fault::Outside)?.window),
        Some(Op::MaxPool | Op::AvgPool) => Some(&m.record::<Pool>(s.param).ok_or(Fault::Outside)?.window),
        _ => None,
    })
}
