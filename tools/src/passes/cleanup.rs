//! Nodes that do nothing, or what another node does already.

use std::collections::HashMap;

use super::edit::{Uses, moves, replace, scalar};
use crate::ir::{Binary, Graph, Node, Op, TensorId, Unary};

/// Removes nodes whose output equals an input: identity moves, `x + 0`, `x * 1`, clamps that cut nothing.
pub(super) fn identities(graph: &mut Graph) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        match same_as(graph, &graph.nodes[i]) {
            Some(source) => {
                let out = graph.nodes[i].output;
                if graph.tensors[source].codes.is_none() && graph.tensors[source].constant.is_none() {
                    set_codes(graph, source, out);
                }
                graph.nodes.remove(i);
                replace(graph, out, source);
                count += 1;
            }
            None => i += 1,
        }
    }
    count
}

fn set_codes(graph: &mut Graph, source: TensorId, out: TensorId) {
    graph.tensors[source].codes = graph.tensors[out].codes;
}

fn same_as(graph: &Graph, node: &Node) -> Option<TensorId> {
    let source = *node.inputs.first()?;
    let shape = graph.tensors[source].shape;
    let neutral = |v: f32, swapped: bool| {
        let (x, k) = if swapped { (node.inputs[1], node.inputs[0]) } else { (node.inputs[0], node.inputs[1]) };
        (scalar(graph, k) == Some(v)).then_some(x)
    };
    let found = match &node.op {
        Op::Index { ys, xs, .. } => {
            (counts(shape.h, ys.iter().map(|&v| v.into())) && counts(shape.w, xs.iter().map(|&v| v.into()))).then_some(source)
        }
        Op::Channels { index } => counts(shape.c, index.iter().map(|&v| v.into())).then_some(source),
        Op::Permute { index } => {
            let same = graph.tensors[node.output].shape == shape;
            (same && counts(shape.len(), index.iter().map(|&v| v.into()))).then_some(source)
        }
        Op::Reshape => (graph.tensors[node.output].shape == shape).then_some(source),
        Op::Concat(_) if node.inputs.len() == 1 => Some(source),
        Op::DepthToSpace { block: 1 } | Op::SpaceToDepth { block: 1 } => Some(source),
        Op::Unary(Unary::Clamp { lo, hi }) if *lo == f32::NEG_INFINITY && *hi == f32::INFINITY => Some(source),
        Op::Unary(Unary::Pow { exponent: 1.0 }) => Some(source),
        Op::Binary(Binary::Add) => neutral(0.0, false).or(neutral(0.0, true)),
        Op::Binary(Binary::Mul) => neutral(1.0, false).or(neutral(1.0, true)),
        Op::Binary(Binary::Sub) => neutral(0.0, false),
        Op::Binary(Binary::Div) => neutral(1.0, false),
        _ => None,
    }?;
    let (a, b) = (&graph.tensors[found], &graph.tensors[node.output]);
    // Requantisation is no identity, and an uncoded input must not take codes its other readers do not see.
    let codes = a.codes == b.codes
        || b.codes.is_none()
        || (a.codes.is_none() && {
            let uses = Uses::of(graph);
            uses.readers(found).len() == 1 && !uses.is_output(found)
        });
    let is_input = graph.inputs.iter().any(|i| i.tensor == found);
    (a.shape == b.shape && codes && (a.codes == b.codes || b.codes.is_none() || !is_input)).then_some(found)
}

/// Whether `list` is 0, 1, .. n - 1.
fn counts(n: usize, list: impl ExactSizeIterator<Item = i64>) -> bool {
    list.len() == n && list.enumerate().all(|(i, v)| v == i as i64)
}

/// Two moves of one kind in a row become one.
pub(super) fn join_moves(graph: &mut Graph) -> usize {
    let mut count = 0;
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        if !moves(&node.op) || node.inputs.len() != 1 {
            continue;
        }
        let middle = node.inputs[0];
        let Some(p) = graph.nodes.iter().position(|n| n.output == middle) else { continue };
        let before = &graph.nodes[p];
        if before.inputs.len() != 1 {
            continue;
        }
        // A move keeps codes, so a different code in the middle would be a requantisation.
        let source = before.inputs[0];
        let coded = [middle, source].map(|t| graph.tensors[t].codes);
        if coded[0].is_some() && coded[0] != coded[1] {
            continue;
        }
        let joined = match (&before.op, &node.op) {
            (Op::Channels { index: a }, Op::Channels { index: b }) => Op::Channels { index: b.iter().map(|&k| a[k as usize]).collect() },
            (Op::Permute { index: a }, Op::Permute { index: b }) => Op::Permute { index: b.iter().map(|&k| a[k as usize]).collect() },
            (Op::Reshape, Op::Reshape) => Op::Reshape,
            (Op::Index { ys: ya, xs: xa, fill: f }, Op::Index { ys: yb, xs: xb, fill: g }) => {
                let first = ya.iter().chain(xa).any(|&v| v < 0);
                let second = yb.iter().chain(xb).any(|&v| v < 0);
                if first && second && f != g {
                    continue;
                }
                let through = |a: &[i32], b: &[i32]| b.iter().map(|&k| if k < 0 { -1 } else { a[k as usize] }).collect();
                Op::Index { ys: through(ya, yb), xs: through(xa, xb), fill: if first { *f } else { *g } }
            }
            _ => continue,
        };
        graph.nodes[i].op = joined;
        graph.nodes[i].inputs = vec![source];
        count += 1;
    }
    count
}

/// Nodes that move the same tensor the same way become one.
pub(super) fn share(graph: &mut Graph) -> usize {
    let mut seen: HashMap<(TensorId, String), Vec<usize>> = HashMap::new();
    let mut same: Vec<(TensorId, TensorId)> = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let key = match &node.op {
            Op::Unary(u) => format!("{u:?}"),
            Op::Index { .. } => "Index".into(),
            Op::Channels { .. } => "Channels".into(),
            Op::DepthToSpace { block } => format!("DepthToSpace {block}"),
            Op::SpaceToDepth { block } => format!("SpaceToDepth {block}"),
            Op::Reshape => "Reshape".into(),
            _ => continue,
        };
        let earlier = seen.entry((node.inputs[0], key)).or_default();
        let equal = earlier.iter().find(|&&j| {
            let other = &graph.nodes[j];
            let parameters = match (&other.op, &node.op) {
                (Op::Index { ys: a, xs: b, fill: f }, Op::Index { ys: c, xs: d, fill: g }) => a == c && b == d && f == g,
                (Op::Channels { index: a }, Op::Channels { index: b }) => a == b,
                _ => true,
            };
            let (a, b) = (&graph.tensors[other.output], &graph.tensors[node.output]);
            parameters && a.shape == b.shape && a.codes == b.codes
        });
        match equal {
            Some(&j) => same.push((node.output, graph.nodes[j].output)),
            None => earlier.push(i),
        }
    }
    for &(from, to) in &same {
        replace(graph, from, to);
    }
    graph.nodes.retain(|n| !same.iter().any(|s| s.0 == n.output));
    same.len()
}

/// Removes nodes that no output needs, and tensors that no node uses.
pub(super) fn dead(graph: &mut Graph) -> usize {
    let mut needed = vec![false; graph.tensors.len()];
    graph.outputs.iter().for_each(|o| needed[o.tensor] = true);
    for node in graph.nodes.iter().rev() {
        if needed[node.output] {
            node.inputs.iter().for_each(|&t| needed[t] = true);
        }
    }
    let before = graph.nodes.len() + graph.tensors.len();
    graph.nodes.retain(|n| needed[n.output]);
    graph.inputs.iter().for_each(|i| needed[i.tensor] = true);
    let mut place = vec![0; needed.len()];
    let mut next = 0;
    for (t, &n) in needed.iter().enumerate() {
        place[t] = next;
        next += usize::from(n);
    }
    let mut keep = needed.iter();
    graph.tensors.retain(|_| keep.next().copied().unwrap_or(true));
    for node in &mut graph.nodes {
        node.output = place[node.output];
        node.inputs.iter_mut().for_each(|t| *t = place[*t]);
    }
    graph.inputs.iter_mut().for_each(|i| i.tensor = place[i.tensor]);
    graph.outputs.iter_mut().for_each(|o| o.tensor = place[o.tensor]);
    before - graph.nodes.len() - graph.tensors.len()
}
