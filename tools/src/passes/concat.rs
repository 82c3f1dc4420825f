//! A Concat that is read only by a Concat along the same axis becomes part of it.

use super::edit::Uses;
use crate::ir::{Graph, Op};

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
