//! Nodes whose inputs are all constant are computed once.

use crate::exec;
use crate::ir::{Graph, Output};

/// Most elements of a constant that is made; larger results are computed at run time.
const LIMIT: usize = 1 << 22;

pub(super) fn fold(graph: &mut Graph) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        let node = &graph.nodes[i];
        let constant = node.inputs.iter().all(|&t| graph.tensors[t].constant.is_some());
        if !constant || graph.tensors[node.output].shape.len() > LIMIT {
            i += 1;
            continue;
        }
        // One node as a graph of its own.
        let mut part = Graph { tensors: Vec::new(), nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
        let mut alone = node.clone();
        alone.inputs = node.inputs.iter().map(|&t| push(&mut part, graph, t)).collect();
        alone.output = push(&mut part, graph, node.output);
        let out = alone.output;
        part.outputs.push(Output {
            tensor: out,
            name: String::new(),
            onnx_shape: Vec::new(),
            strides: Vec::new(),
            offset: 0,
            onnx_type: crate::ir::ElementType::F32,
            codes: None,
        });
        part.nodes.push(alone);
        match exec::run(&part, &[]).ok().and_then(|mut v| v[out].take()) {
            Some(values) if values.iter().all(|v| !v.is_nan()) => {
                let output = graph.nodes[i].output;
                graph.tensors[output].constant = Some(values);
                graph.tensors[output].codes = None;
                graph.nodes.remove(i);
                count += 1;
            }
            _ => i += 1,
        }
    }
    count
}

fn push(part: &mut Graph, graph: &Graph, t: usize) -> usize {
    part.tensors.push(graph.tensors[t].clone());
    part.tensors.len() - 1
}
