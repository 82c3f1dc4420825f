//! What a change of each channel is worth to those that read it: the weights of a gate's score.

use anyhow::Result;

use super::Lowering;
use super::items::Kind;
use crate::calibrate::Store;
use crate::ir::Op;

/// For each channel of `t`, the norm of what one code's step does to its readers: `scale[c] * ||W_c||` over the
/// convolutions behind it (WINA's and CETT's price), looked for through at most `depth` operators that move values.
pub(super) fn importance(l: &Lowering, t: usize, depth: usize) -> Result<Vec<f64>> {
    let v = l.value(t)?;
    let c = v.shape.c;
    let scale = |k: usize| match &v.store {
        Store::U8(q) => q.scale_of(k) as f64,
        Store::F32 => 1.0,
    };
    let mut sum = vec![0f64; c];
    for item in l.items.iter().filter(|i| i.inputs.contains(&t)) {
        match &item.kind {
            Kind::Conv { node, .. } | Kind::ConvF32 { node, .. } if item.inputs[0] == t => {
                let Op::Conv(conv) = &l.graph.nodes[*node].op else { continue };
                let icg = c / conv.groups;
                let per = conv.kh * conv.kw * icg;
                for (o, w) in conv.weights.chunks_exact(per).enumerate() {
                    let first = o / (conv.oc / conv.groups) * icg;
                    for (i, w) in w.iter().enumerate() {
                        sum[first + i % icg] += (*w as f64 * scale(first + i % icg)).powi(2);
                    }
                }
            }
            Kind::Join { c0, .. } if depth > 0 => {
                let behind = importance(l, item.output, depth - 1)?;
                (0..c).for_each(|k| sum[k] += behind.get(c0 + k).map_or(0.0, |v| v * v));
            }
            _ if depth > 0 => {
                let behind = importance(l, item.output, depth - 1)?;
                if behind.len() == c {
                    (0..c).for_each(|k| sum[k] += behind[k] * behind[k]);
                }
            }
            _ => {}
        }
    }
    Ok(match sum.iter().all(|v| *v == 0.0) {
        true => (0..c).map(scale).collect(),
        false => sum.into_iter().map(f64::sqrt).collect(),
    })
}
