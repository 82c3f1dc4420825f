//! A Concat that is read only by a Concat along the same axis becomes part of it; constants in a Concat become maps.

use super::edit::Uses;
use crate::ir::{Axis, Binary, Conv, Graph, Node, Op, Pad, Shape, Tensor, TensorId};

pub(super) fn nested(graph: &mut Graph) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        let Op::Concat(axis) = graph.nodes[i].op else {
            i += 1;
            continue;
        };
        let uses = Uses::of(graph);
        let inner = graph.nodes[i]
            .inputs
            .iter()
            .position(|&t| uses.private(graph, t).is_some_and(|p| matches!(graph.nodes[p].op, Op::Concat(a) if a == axis)));
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
        let conv =
            Conv { weights, bias, oc, kh: 1, kw: 1, stride: (1, 1), dilation: (1, 1), pad: Pad::default(), groups: 1, weight_scales: None };
        g.nodes[n].op = Op::Conv(conv);
        g.nodes[n].inputs = vec![x];
        changes += 1;
    }
    changes
}

/// Any other constant in a concat, as the output of nodes: added to a zero, an Index of some map that finds nothing but its fill.
/// Nothing it reads ever changes, so that gated frames do not compute it again.
pub(super) fn joined(g: &mut Graph) -> usize {
    let mut changes = 0;
    let mut n = 0;
    while n < g.nodes.len() {
        let inputs = &g.nodes[n].inputs;
        let constant = |t: &TensorId| g.tensors[*t].constant.is_some();
        let found = (inputs.iter().position(&constant), inputs.iter().copied().find(|t| !constant(t)));
        match (&g.nodes[n].op, found) {
            (Op::Concat(_), (Some(k), Some(x))) => {
                let t = inputs[k];
                let made = from_zero(g, x, t);
                g.nodes[n].inputs[k] = made[made.len() - 1].output;
                let count = made.len();
                g.nodes.splice(n..n, made);
                n += count;
                changes += 1;
            }
            _ => n += 1,
        }
    }
    changes
}

/// A constant that is an output of the network, likewise.
pub(super) fn outputs(g: &mut Graph) -> usize {
    let mut changes = 0;
    for k in 0..g.outputs.len() {
        let t = g.outputs[k].tensor;
        if let (Some(_), Some(x)) = (&g.tensors[t].constant, g.inputs.first().map(|i| i.tensor)) {
            let made = from_zero(g, x, t);
            g.outputs[k].tensor = made[made.len() - 1].output;
            g.nodes.extend(made);
            changes += 1;
        }
    }
    changes
}

/// Nodes whose last output has the values of constant `t`.
fn from_zero(g: &mut Graph, x: TensorId, t: TensorId) -> Vec<Node> {
    let name = g.tensors[t].name.clone();
    let node = |g: &mut Graph, what: &str, op: Op, inputs: Vec<TensorId>, shape: Shape| {
        let name = format!("{name}/{what}");
        let codes = g.tensors[t].codes.filter(|_| what == "map");
        g.tensors.push(Tensor { name: name.clone(), shape, codes, constant: None });
        Node { name, op, inputs, output: g.tensors.len() - 1 }
    };
    let pixel = Shape { h: 1, w: 1, c: g.tensors[x].shape.c };
    let mut made = vec![node(g, "pixel", Op::Index { ys: vec![-1], xs: vec![-1], fill: 0.0 }, vec![x], pixel)];
    if pixel.c > 1 {
        let zero = Op::Channels { index: vec![0] };
        made.push(node(g, "zero", zero, vec![made[0].output], Shape { c: 1, ..pixel }));
    }
    let zero = made[made.len() - 1].output;
    made.push(node(g, "map", Op::Binary(Binary::Add), vec![zero, t], g.tensors[t].shape));
    made
}
