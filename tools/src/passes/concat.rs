//! A Concat that is read only by a Concat along the same axis becomes part of it.

use super::edit::Uses;
use crate::ir::{Axis, Conv, Graph, Op, Pad, TensorId};

pub(super) fn nested(graph: &mut Graph) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        let Op::Concat(axis) = graph.nodes[i].op else {
            i += 1;
            continue;
        };
        let uses = Uses::of(graph);
        let inner = graph.nodes[i].inputs.iter().position(|&t| {
            uses.private(graph, t).is_some_and(|p| matches!(graph.nodes[p].op, Op::Concat(a) if a == axis))
        });
        match inner.and_then(|at| Some((at, uses.producer(graph.nodes[i].inputs[at])?))) {
            Some((at, p)) => {
                let parts = graph.nodes[p].inputs.clone();
                graph.nodes[i].inputs.splice(at..=at, parts);
                graph.nodes.remove(p);
                count += 1;
            }
            None => i += 1,
        }
    }
    count
}

/// A concat of one tensor with constants along the channels, as a 1x1 convolution: the identity for the tensor's channels,
/// a bias for the others. Codes keep their meaning: an identity weight is exact in 8 bits.
pub(super) fn constants(g: &mut Graph) -> usize {
    let mut changes = 0;
    for n in 0..g.nodes.len() {
        let node = &g.nodes[n];
        let Op::Concat(Axis::C) = node.op else { continue };
        let constant = |t: TensorId| g.tensors[t].constant.is_some();
        let [x] = node.inputs.iter().copied().filter(|t| !constant(*t)).collect::<Vec<_>>()[..] else { continue };
        if node.inputs.len() < 2 {
            continue;
        }
        let (ic, oc) = (g.tensors[x].shape.c, g.tensors[node.output].shape.c);
        let (mut weights, mut bias, mut o) = (vec![0.0; oc * ic], vec![0.0; oc], 0);
        let mut uniform = true;
        for t in &node.inputs {
            let c = g.tensors[*t].shape.c;
            match &g.tensors[*t].constant {
                None => (0..c).for_each(|k| weights[(o + k) * ic + k] = 1.0),
                Some(v) => {
                    uniform &= v.chunks_exact(c).all(|row| row == &v[..c]);
                    bias[o..o + c].copy_from_slice(&v[..c]);
                }
            }
            o += c;
        }
        if !uniform {
            continue;
        }
        let conv = Conv {
            weights,
            bias,
            oc,
            kh: 1,
            kw: 1,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad::default(),
            groups: 1,
            weight_scales: None,
        };
        g.nodes[n].op = Op::Conv(conv);
        g.nodes[n].inputs = vec![x];
        changes += 1;
    }
    changes
}
