//! How long a dense frame may take, for tests that run foreign artifacts.

use quiescent::format::{Conv, ConvF32, Model, Op, Pool, Step, Window};

/// A rough count of a dense frame's elementary operations; the header's own count may lie.
pub fn work(m: &Model) -> u64 {
    let area = |w: &Window| w.kernel.iter().map(|k| u64::from(*k)).product::<u64>();
    let one = |s: &Step| {
        let (x, y) = (&m.tensors[s.inputs[0] as usize], &m.tensors[s.output as usize]);
        let of = |r: usize, c: u32| r as u64 * u64::from(c);
        let (input, output) = (of(x.rows(), x.c), of(y.rows(), y.c));
        let taps = match Op::new(s.op) {
            Some(Op::Conv | Op::Depthwise) => m.record::<Conv>(s.param).map_or(1, |c| area(&c.window) * u64::from(x.c)),
            Some(Op::ConvF32) => m.record::<ConvF32>(s.param).map_or(1, |c| area(&c.window) * u64::from(x.c)),
            Some(Op::MaxPool | Op::AvgPool) => m.record::<Pool>(s.param).map_or(1, |p| area(&p.window)),
            _ => 4,
        };
        input.saturating_add(output.saturating_mul(taps))
    };
    m.steps.iter().map(one).fold(0, u64::saturating_add)
}
