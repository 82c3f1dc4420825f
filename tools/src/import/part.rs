//! The part of a model that is converted: what its outputs need, in an order in which it can be worked out.
//!
//! What no output needs is left out unseen, whatever operators it holds: post-processing behind a cut, branches for training,
//! weights that nothing reads.

use std::collections::{BTreeSet, HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::Error;

/// The graph up to `outputs`, or to its own ones where that is empty.
pub(super) fn needed(mut graph: GraphProto, outputs: &[String]) -> GraphProto {
    if !outputs.is_empty() {
        graph.output = outputs.iter().map(|name| ValueInfoProto { name: name.clone(), ..Default::default() }).collect();
    }
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, n) in graph.node.iter().enumerate() {
        n.output.iter().for_each(|o| makers.entry(o).or_default().push(i));
    }
    let mut kept = vec![false; graph.node.len()];
    let mut names: HashSet<String> = HashSet::new();
    let mut open: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    while let Some(name) = open.pop() {
        if name.is_empty() || !names.insert(name.into()) {
            continue;
        }
        for &i in makers.get(name).into_iter().flatten() {
            if !kept[i] {
                kept[i] = true;
                reads(&graph.node[i], &mut open);
            }
        }
    }
    let mut kept = kept.into_iter();
    graph.node.retain(|_| kept.next().unwrap_or(true));
    graph.initializer.retain(|t| names.contains(&t.name));
    graph.sparse_initializer.retain(|t| t.values.as_ref().is_none_or(|v| names.contains(&v.name)));
    if graph.input.iter().any(|i| names.contains(&i.name) && graph.initializer.iter().all(|t| t.name != i.name)) {
        graph.input.retain(|i| names.contains(&i.name));
    }
    graph
}

/// What a node reads, in the graphs it holds as well.
fn reads<'a>(node: &'a NodeProto, to: &mut Vec<&'a str>) {
    to.extend(node.input.iter().map(String::as_str));
    for graph in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
        to.extend(graph.output.iter().map(|o| o.name.as_str()));
        graph.node.iter().for_each(|n| reads(n, to));
    }
}

/// What to call a node.
pub(super) fn name(node: &NodeProto) -> &str {
    let output = || node.output.iter().find(|o| !o.is_empty());
    if node.name.is_empty() { output().unwrap_or(&node.name) } else { &node.name }
}

/// For messages.
pub(super) fn at(node: &NodeProto) -> String {
    format!("node `{}` ({})", name(node), node.op_type)
}

/// The nodes so that each comes after the makers of its inputs; the file's order where that is one.
pub(super) fn sorted(nodes: &[NodeProto]) -> Result<Vec<&NodeProto>, Error> {
    let mut maker: HashMap<&str, usize> = HashMap::new();
    for (i, n) in nodes.iter().enumerate() {
        for o in n.output.iter().filter(|o| !o.is_empty()) {
            if maker.insert(o, i).is_some() {
                return Err(exists(n, o));
            }
        }
    }
    let mut waits = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, n) in nodes.iter().enumerate() {
        let mut names = Vec::new();
        reads(n, &mut names);
        for &m in names.iter().filter_map(|name| maker.get(name)) {
            waits[i] += 1;
            readers[m].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&i| waits[i] == 0).collect();
    let mut out = Vec::with_capacity(nodes.len());
    while let Some(i) = ready.pop_first() {
        out.push(&nodes[i]);
        for &r in &readers[i] {
            waits[r] -= 1;
            if waits[r] == 0 {
                ready.insert(r);
            }
        }
    }
    match waits.iter().position(|&w| w > 0) {
        None => Ok(out),
        Some(i) => Err(Error::Invalid { at: at(&nodes[i]), what: "it waits for its own output (a cycle)".into() }),
    }
}

/// A value made twice.
pub(super) fn exists(node: &NodeProto, output: &str) -> Error {
    Error::Invalid { at: at(node), what: format!("its output `{output}` exists already") }
}
