//! The per-layer report.
//!
//! Outlier channels follow the statistic for massive activations: `r = max over channels of |x| / median over channels
//! of the channel's |x|`. With one 8-bit scale the median channel is left about `255 / r` codes; above `r = 30` that is
//! fewer than nine, and the channel is listed.

use super::rules::Links;
use super::{Plan, Simulation, Stats, Store};
use crate::ir::{Graph, Op};
use serde::Serialize;

/// Channels above this multiple of the median channel are listed.
pub const OUTLIER: f32 = 30.0;
/// Convolutions whose own error is above this (signal to noise, dB) are candidates for f32.
pub const POOR_DB: f32 = 12.0;

/// One computed tensor.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LayerReport {
    pub name: String,
    pub op: &'static str,
    /// Signal to quantisation noise with the errors of all layers before it, dB.
    pub sqnr_db: f32,
    /// The same with exact inputs: this layer's own error.
    pub own_sqnr_db: f32,
    pub cosine: f32,
    /// Share of values beyond the range of the codes.
    pub saturated: f32,
    /// Channels that never changed over the simulated frames.
    pub dead_channels: usize,
    pub outlier_channels: Vec<usize>,
    /// Least and greatest scale over the channels; both 0 for f32.
    pub scale_range: (f32, f32),
    /// 8 or 32.
    pub bits: u8,
    pub note: String,
}

/// Fills `layers` (a layer read by a function alone is judged by the function's value), `outputs_sqnr_db` and `notes`.
pub fn fill(g: &Graph, plan: &mut Plan, stats: &Stats, isolated: &Simulation, whole: &Simulation) {
    let links = Links::new(g);
    plan.layers = g
        .nodes
        .iter()
        .enumerate()
        .map(|(k, n)| {
            let judged = links.sole_unary(g, n.output).map_or(n.output, |(_, out)| out);
            let (own, all) = (&isolated.tensors[judged], &whole.tensors[judged]);
            let (bits, scale_range) = match &plan.tensors[n.output] {
                Some(Store::U8(q)) => {
                    let fold = q.scale.iter().fold((f32::INFINITY, 0f32), |(a, b), &s| (a.min(s), b.max(s)));
                    (8, fold)
                }
                _ => (32, (0.0, 0.0)),
            };
            let outlier_channels = outliers(stats, n.output);
            let mut notes = Vec::new();
            if plan.float_nodes.contains(&k) {
                notes.push("computed in f32".to_string());
            } else if matches!(n.op, Op::Conv(_)) && own.sqnr_db() < POOR_DB {
                notes.push("8 bits serve it badly: a candidate for --keep-float".to_string());
            }
            if !outlier_channels.is_empty() {
                notes.push(format!("{} outlier channels", outlier_channels.len()));
            }
            LayerReport {
                name: n.name.clone(),
                op: op_name(&n.op),
                sqnr_db: all.sqnr_db(),
                own_sqnr_db: own.sqnr_db(),
                cosine: all.cosine(),
                saturated: all.saturated as f32 / all.count.max(1) as f32,
                dead_channels: all.channel_range.iter().filter(|(lo, hi)| lo >= hi).count(),
                outlier_channels,
                scale_range,
                bits,
                note: notes.join("; "),
            }
        })
        .collect();
    plan.outputs_sqnr_db = g.outputs.iter().map(|o| whole.tensors[o.tensor].sqnr_db()).collect();
    for l in plan.layers.iter().filter(|l| l.bits == 8 && !l.outlier_channels.is_empty() && l.scale_range.0 == l.scale_range.1) {
        plan.notes.push(format!(
            "{}: channels {:?} reach more than {OUTLIER} times the median channel and share its scale",
            l.name, l.outlier_channels
        ));
    }
}

/// Channels whose greatest magnitude exceeds [`OUTLIER`] times the median channel's.
pub fn outliers(stats: &Stats, tensor: usize) -> Vec<usize> {
    let t = &stats.tensors[tensor];
    let top: Vec<f32> = t.channel_min.iter().zip(&t.channel_max).map(|(lo, hi)| hi.abs().max(lo.abs())).collect();
    let mut sorted: Vec<f32> = top.iter().copied().filter(|v| *v > 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    if sorted.len() < 4 {
        return Vec::new();
    }
    let median = sorted[sorted.len() / 2];
    (0..top.len()).filter(|&c| top[c] > OUTLIER * median).collect()
}

/// Moves the worst convolutions (at most three, own error above [`POOR_DB`]) to f32 and says so.
pub fn keep_worst_float(g: &Graph, plan: &mut Plan, isolated: &Simulation) {
    let links = Links::new(g);
    let judged = |t: usize| links.sole_unary(g, t).map_or(t, |(_, out)| out);
    let mut poor: Vec<(f32, usize)> = g
        .nodes
        .iter()
        .enumerate()
        .filter(|(k, n)| matches!(n.op, Op::Conv(_)) && !plan.float_nodes.contains(k))
        .map(|(k, n)| (isolated.tensors[judged(n.output)].sqnr_db(), k))
        .filter(|(db, _)| *db < POOR_DB)
        .collect();
    poor.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (db, k) in poor.into_iter().take(3) {
        plan.float_nodes.push(k);
        plan.notes.push(format!("{}: kept in f32, its own error is {db:.1} dB", g.nodes[k].name));
    }
    plan.float_nodes.sort_unstable();
}

/// Short name of an operator for reports.
pub fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Conv(c) if c.groups > 1 => "grouped conv",
        Op::Conv(_) => "conv",
        Op::Unary(_) => "unary",
        Op::PRelu { .. } => "prelu",
        Op::Binary(_) => "binary",
        Op::MaxPool(_) => "max pool",
        Op::AvgPool { .. } => "average pool",
        Op::GlobalAvgPool => "global average",
        Op::GlobalMaxPool => "global maximum",
        Op::Concat(_) => "concat",
        Op::Index { .. } => "index",
        Op::Bilinear { .. } => "bilinear",
        Op::DepthToSpace { .. } => "depth to space",
        Op::SpaceToDepth { .. } => "space to depth",
        Op::Channels { .. } => "channels",
        Op::Reshape => "reshape",
        Op::Permute { .. } => "permute",
        Op::Softmax => "softmax",
        Op::ReduceChannels { .. } => "reduce channels",
    }
}
