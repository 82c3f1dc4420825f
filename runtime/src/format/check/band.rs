//! Pairs of steps that pass a map on through a few lines (see the engine's `band`).

use super::memory::apart;
use super::{Checked, Fault, FormatError, Model, Op, Step, Tensor, ensure, inputs};
use crate::format::{Conv, Pool, Segment, Window};

/// Every banded segment is a pair whose buffer holds a band's lines, and no other tensor has fewer lines than its map.
pub(super) fn bands(m: &Model) -> Result<(), FormatError> {
    for (index, s) in (0..).zip(m.segments) {
        if s.band > 0 {
            pair(m, s).map_err(|fault| FormatError::Segment { index, fault })?;
        }
    }
    for (index, t) in (0..).zip(m.tensors).filter(|(_, t)| t.lines > 0) {
        let made = |s: &Segment| s.band > 0 && m.steps[s.first as usize].output == index;
        let lawful = t.flags == 0 && m.segments.iter().any(made);
        ensure(lawful, Fault::Band).map_err(|fault| FormatError::Tensor { index, fault })?;
    }
    Ok(())
}

fn pair(m: &Model, segment: &Segment) -> Checked {
    let [make, take] = &m.steps[segment.first as usize..segment.end as usize] else { return Err(Fault::Band) };
    let (map, out): (&Tensor, &Tensor) = (&m.tensors[make.output as usize], &m.tensors[take.output as usize]);
    ensure(matches!(Op::new(make.op), Some(Op::Conv | Op::Depthwise)), Fault::Band)?;
    ensure(map.lines > 0 && map.flags == 0 && out.held(), Fault::Band)?;
    ensure(take.inputs[0] == make.output && inputs(take)[1..].iter().all(|i| *i != make.output), Fault::Band)?;
    let elsewhere = |s: &Step| s.output == make.output || inputs(s).contains(&make.output);
    let others = (0..).zip(m.steps).filter(|(k, _)| *k != segment.first && *k != segment.first + 1);
    ensure(!others.map(|(_, s)| s).any(elsewhere), Fault::Band)?;
    let w: &Window = match Op::new(take.op) {
        Some(Op::Conv | Op::Depthwise) => &m.record::<Conv>(take.param).ok_or(Fault::Outside)?.window,
        Some(Op::MaxPool | Op::AvgPool) => &m.record::<Pool>(take.param).ok_or(Fault::Outside)?.window,
        _ => return Err(Fault::Band),
    };
    let [kernel, stride, dilation] = [w.kernel, w.stride, w.dilation].map(|v| v[0] as u64);
    let reach = kernel.saturating_sub(1) * dilation + 1;
    // Every line of the map under the windows is seen by two bands at most one after the other, or made for one.
    ensure(stride <= reach, Fault::Band)?;
    // The reader writes while the maker has lines to make.
    for &i in inputs(make) {
        ensure(apart(&m.tensors[i as usize], out), Fault::Overlap)?;
    }
    let band = segment.band as u64;
    ensure(band <= 65535 && (band - 1) * stride + reach <= map.lines as u64, Fault::Band)
}
