//! Scales per channel where they cost nothing at run time.
//!
//! A convolution writes any scale per output channel, and the convolutions that read it take the scales into their
//! weights. For depthwise readers that is free, because each channel meets weights of its own. For dense readers it is
//! an exchange: channels of small range gain precision, but their folded weights shrink against those of the others
//! that share a weight scale. With input step `s_c`, weights `w_oc` and weight step `d_o = max_c |w_oc| s_c / 127`
//! the noise in output `o` is
//!
//! ```text
//! sum_c w_oc^2 s_c^2 / 12  +  sum_c d_o^2 / 12 * E[x_c^2] / s_c^2
//! ```
//!
//! taken relative to the output's power. Ranges are interpolated between the tensor's (`a = 0`) and the channel's own
//! (`a = 1`) as `tensor^(1-a) * channel^a`, and the `a` of least noise is taken. A sum or a product joins its operands channel by
//! channel and takes any scales; there the noise is `s_c^2 / 12`. Operators that move values pass the scales on. This is the cross-layer equalisation of
//! Nagel et al. (2019) with the exchange rate measured.

use super::rules::Links;
use super::{Quant, Stats, TensorStats};
use crate::ir::{Binary, Conv, Graph, Op, TensorId};

/// How far the ranges of channels follow what calibration saw.
#[derive(Clone, Copy)]
struct Trust {
    /// No channel's range is narrowed more than this, so that a channel silent in calibration keeps some.
    narrowest: f32,
    /// The same for a channel that every frame excites about alike.
    steady: f32,
    /// A channel's range over what was seen of it.
    headroom: f32,
}

/// For convolutions alone: what a channel shows on other scenes is often twice what a few clips showed, and clipping it costs
/// far more than the precision gained; no channel is taken for silent. What is alike over all frames will be on others.
const READERS: Trust = Trust { narrowest: 1.0 / 2.0, steady: 1.0 / 8.0, headroom: 2.0 };
/// For sums, whose channels differ by far more than that and pass their error on from block to block, for what tables write, and for
/// what those of later layers read.
const FINE: Trust = Trust { narrowest: 1.0 / 32.0, steady: 1.0 / 32.0, headroom: 2.0 };
/// Most channels of a layer that counts as early.
const EARLY: usize = 16;
/// For what table functions of early layers read: few channels, which every scene excites.
const TABLES: Trust = Trust { narrowest: 1.0 / 256.0, steady: 1.0 / 256.0, headroom: 1.0 };

/// Codes for a tensor, starting from one scale for all channels. `None` where one scale is best or a reader needs it. `moved`:
/// the tensor has its input's codes; `table`: a table function writes `t`.
pub fn for_readers(
    g: &Graph, stats: &Stats, links: &Links, moved: &dyn Fn(TensorId) -> bool, t: TensorId, q: &Quant, table: bool,
) -> Option<Quant> {
    let mut sinks = Vec::new();
    gather(g, links, moved, t, &mut sinks)?;
    if g.tensors[t].shape.c < 2 || q.scale.len() != 1 {
        return None;
    }
    let x = &stats.tensors[t];
    let cost = |q: &Quant| -> f64 {
        let noise = |s: &Sink| match *s {
            Sink::Conv(conv, y) => noise(conv, q, x, &stats.tensors[y]),
            Sink::Sum(y) | Sink::Mean(y) => rounding(q, &stats.tensors[y]),
        };
        sinks.iter().map(noise).sum()
    };
    let trust = if table || sinks.iter().any(|s| matches!(s, Sink::Sum(_))) { FINE } else { READERS };
    let candidates = [0.25, 0.5, 0.75, 1.0].map(|a| interpolated(x, q, a, trust));
    let best = candidates.into_iter().map(|q| (cost(&q), q)).min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 < 0.9 * cost(q)).then_some(best.1)
}

/// Where the noise of a tensor goes.
enum Sink<'g> {
    Conv(&'g Conv, TensorId),
    /// Into a sum or a product, channel by channel.
    Sum(TensorId),
    /// Into averages of the tensor.
    Mean(TensorId),
}

/// The sinks of a tensor, through operators that move its values; `None` where channels would have to mix.
fn gather<'g>(g: &'g Graph, links: &Links, moved: &dyn Fn(TensorId) -> bool, t: TensorId, sinks: &mut Vec<Sink<'g>>) -> Option<()> {
    if links.is_output[t] {
        sinks.push(Sink::Sum(t));
    }
    for n in links.consumers[t].iter().map(|&k| &g.nodes[k]) {
        let y = n.output;
        match &n.op {
            Op::Conv(c) => sinks.push(Sink::Conv(c, y)),
            Op::Binary(Binary::Mul | Binary::Div) => sinks.push(Sink::Sum(t)),
            Op::Binary(_) if g.tensors[y].shape.c == g.tensors[t].shape.c => sinks.push(Sink::Sum(y)),
            Op::MaxPool(_) | Op::AvgPool { .. } | Op::Bilinear { .. } | Op::Index { .. } if moved(y) => gather(g, links, moved, y, sinks)?,
            Op::AvgPool { .. } | Op::Bilinear { .. } | Op::GlobalAvgPool => sinks.push(Sink::Mean(t)),
            _ => return None,
        }
    }
    Some(())
}

/// Noise of rounding to `q`, relative to the power of `y`, mean over the channels.
fn rounding(q: &Quant, y: &TensorStats) -> f64 {
    let c = y.channel_mean_square.len();
    let mean = y.channel_mean_square.iter().map(|v| f64::from(*v)).sum::<f64>() / c.max(1) as f64;
    let one = |k: usize| f64::from(q.scale_of(k)).powi(2) / f64::from(y.channel_mean_square[k]).max(1e-3 * mean).max(1e-20);
    (0..c).map(one).sum::<f64>() / c.max(1) as f64
}

/// Each channel's own range, within the range of `q`.
pub fn own_ranges(stats: &TensorStats, q: &Quant) -> Quant {
    interpolated(stats, q, 1.0, if stats.channel_max.len() <= EARLY { TABLES } else { FINE })
}

fn interpolated(stats: &TensorStats, q: &Quant, a: f32, trust: Trust) -> Quant {
    let (lo, hi) = q.range(0);
    let end = |whole: f32, channel: f32, steady: bool| {
        let narrowest = if steady { trust.steady } else { trust.narrowest };
        whole * (trust.headroom * channel / whole).clamp(narrowest, 1.0).powf(a)
    };
    let each: Vec<Quant> = stats
        .channel_min
        .iter()
        .zip(&stats.channel_max)
        .enumerate()
        .map(|(k, (&min, &max))| {
            let down = if lo < 0.0 { end(lo, min.min(0.0), steady(stats.frames_of(&stats.frame_min, k).map(|v| -v))) } else { 0.0 };
            let up = if hi > 0.0 { end(hi, max.max(0.0), steady(stats.frames_of(&stats.frame_max, k))) } else { 0.0 };
            Quant::from_range(down, up)
        })
        .collect();
    Quant { scale: each.iter().map(|q| q.scale[0]).collect(), zero: each.iter().map(|q| q.zero[0]).collect() }
}

/// Whether extremes of frames are alike: the largest at most half above all but the least eighth. Few frames do not tell.
fn steady(extremes: impl Iterator<Item = f32>) -> bool {
    let mut sorted: Vec<f32> = extremes.collect();
    sorted.sort_unstable_by(f32::total_cmp);
    sorted.len() >= 8 && sorted[sorted.len() / 8] > 0.0 && sorted[sorted.len() - 1] <= 1.5 * sorted[sorted.len() / 8]
}

/// Noise a convolution's output takes from the rounding of its input and of its weights, relative to its power.
fn noise(conv: &Conv, q: &Quant, x: &TensorStats, y: &TensorStats) -> f64 {
    let per = (conv.weights.len() / conv.oc.max(1)).max(1);
    let icg = (per / (conv.kh * conv.kw)).max(1);
    let ocg = (conv.oc / conv.groups).max(1);
    let mut total = 0.0;
    for (o, row) in conv.weights.chunks_exact(per).enumerate() {
        let first = o / ocg * icg;
        let (mut step, mut input, mut square) = (0f64, 0f64, 0f64);
        for (k, &w) in row.iter().enumerate() {
            let c = first + k % icg;
            let folded = f64::from(w) * f64::from(q.scale_of(c));
            step = step.max(folded.abs() / 127.0);
            input += folded * folded;
            square += f64::from(x.channel_mean_square[c]) / f64::from(q.scale_of(c)).powi(2);
        }
        let power = f64::from(y.channel_mean_square.get(o).copied().unwrap_or(1.0)).max(1e-20);
        total += (input + step * step * square) / power;
    }
    total / conv.oc as f64
}
