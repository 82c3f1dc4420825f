//! Channel orders that a neighbouring convolution takes over by ordering its weights.
//!
//! A permutation in front of dense convolutions reorders their input weights. A choice of channels behind a dense
//! convolution of its own keeps only those outputs. Element-wise functions in between are stepped over.

use super::edit::Uses;
use crate::ir::{Conv, Graph, Op, TensorId};

pub(super) fn into_convs(graph: &mut Graph) -> usize {
    let mut count = 0;
    for i in 0..graph.nodes.len() {
        let changed = into_readers(graph, i).or_else(|| into_producer(graph, i)).or_else(|| before_unary(graph, i));
        count += usize::from(changed.is_some());
    }
    count
}

/// Channels node `i` that permutes all channels for dense convolutions only: they read its input.
fn into_readers(graph: &mut Graph, i: usize) -> Option<()> {
    let Op::Channels { index } = graph.nodes[i].op.clone() else { return None };
    let (source, output) = (graph.nodes[i].inputs[0], graph.nodes[i].output);
    let c = graph.tensors[source].shape.c;
    let uses = Uses::of(graph);
    let readers = uses.readers(output).to_vec();
    let dense = |r: &usize| matches!(&graph.nodes[*r].op, Op::Conv(c) if c.groups == 1);
    if !is_permutation(&index, c) || uses.is_output(output) || readers.is_empty() || !readers.iter().all(dense) {
        return None;
    }
    if !same_codes(graph, source, output) {
        return None;
    }
    for r in readers {
        if let Op::Conv(conv) = &mut graph.nodes[r].op {
            let old = conv.weights.clone();
            for (row, from) in conv.weights.chunks_exact_mut(c).zip(old.chunks_exact(c)) {
                for (k, &at) in index.iter().enumerate() {
                    row[at as usize] = from[k];
                }
            }
        }
        graph.nodes[r].inputs[0] = source;
    }
    Some(())
}

/// Channels node `i` behind a dense convolution nobody else reads: the convolution computes only what is chosen.
fn into_producer(graph: &mut Graph, i: usize) -> Option<()> {
    let Op::Channels { index } = graph.nodes[i].op.clone() else { return None };
    let (source, output) = (graph.nodes[i].inputs[0], graph.nodes[i].output);
    let uses = Uses::of(graph);
    let p = uses.producer(source)?;
    let alone = uses.readers(source).len() == 1 && !uses.is_output(source) && same_codes(graph, source, output);
    let Op::Conv(conv) = &graph.nodes[p].op else { return None };
    if !alone || conv.groups != 1 || index.len() > conv.oc {
        return None;
    }
    let made = chosen(conv, &index);
    graph.nodes[p].op = Op::Conv(made);
    graph.tensors[source].shape.c = index.len();
    // What is left of the node is an identity, removed with the others.
    graph.nodes[i].op = Op::Channels { index: (0..index.len() as u32).collect() };
    Some(())
}

fn chosen(conv: &Conv, index: &[u32]) -> Conv {
    let each = conv.weights.len() / conv.oc;
    let pick = |list: &[f32]| -> Vec<f32> { index.iter().map(|&k| list[k as usize]).collect() };
    Conv {
        weights: index.iter().flat_map(|&k| conv.weights[k as usize * each..][..each].iter().copied()).collect(),
        bias: pick(&conv.bias),
        oc: index.len(),
        weight_scales: conv.weight_scales.as_deref().map(pick),
        ..conv.clone()
    }
}

/// Channels node `i` behind an element-wise function of a convolution: they change places.
fn before_unary(graph: &mut Graph, i: usize) -> Option<()> {
    let Op::Channels { index } = graph.nodes[i].op.clone() else { return None };
    let (middle, output) = (graph.nodes[i].inputs[0], graph.nodes[i].output);
    let uses = Uses::of(graph);
    let u = uses.producer(middle)?;
    let alone = uses.readers(middle).len() == 1 && !uses.is_output(middle) && same_codes(graph, middle, output);
    let Op::Unary(f) = graph.nodes[u].op else { return None };
    let source = graph.nodes[u].inputs[0];
    let p = uses.private(graph, source)?;
    let dense = matches!(&graph.nodes[p].op, Op::Conv(c) if c.groups == 1);
    if !alone || !dense || index.len() > graph.tensors[source].shape.c {
        return None;
    }
    // The first node now chooses, the second applies the function.
    let shape = graph.tensors[output].shape;
    graph.nodes[u].op = Op::Channels { index };
    graph.nodes[i].op = Op::Unary(f);
    let name = graph.nodes[u].name.clone();
    graph.nodes[u].name = std::mem::replace(&mut graph.nodes[i].name, name);
    graph.tensors[middle].shape = shape;
    graph.tensors[middle].codes = None;
    Some(())
}

fn same_codes(graph: &Graph, a: TensorId, b: TensorId) -> bool {
    graph.tensors[a].codes == graph.tensors[b].codes || graph.tensors[b].codes.is_none()
}

fn is_permutation(index: &[u32], c: usize) -> bool {
    let mut seen = vec![false; c];
    index.len() == c && index.iter().all(|&k| (k as usize) < c && !std::mem::replace(&mut seen[k as usize], true))
}
