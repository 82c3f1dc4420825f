//! Who writes and reads each tensor, and small edits that keep the graph in order.

use crate::ir::{Graph, Op, TensorId};

/// Producers and readers by tensor; rebuilt after edits that move edges.
pub(super) struct Uses {
    producer: Vec<Option<usize>>,
    readers: Vec<Vec<usize>>,
    output: Vec<bool>,
}

impl Uses {
    pub fn of(graph: &Graph) -> Uses {
        let n = graph.tensors.len();
        let mut uses = Uses { producer: vec![None; n], readers: vec![Vec::new(); n], output: vec![false; n] };
        for (i, node) in graph.nodes.iter().enumerate() {
            uses.producer[node.output] = Some(i);
            for &t in &node.inputs {
                uses.readers[t].push(i);
            }
        }
        for o in &graph.outputs {
            uses.output[o.tensor] = true;
        }
        uses
    }

    pub fn producer(&self, t: TensorId) -> Option<usize> {
        self.producer[t]
    }

    /// Nodes that read `t`, one entry a use.
    pub fn readers(&self, t: TensorId) -> &[usize] {
        &self.readers[t]
    }

    pub fn is_output(&self, t: TensorId) -> bool {
        self.output[t]
    }

    /// The node that writes `t`, if `t` is used once, by a node, and carries no codes.
    pub fn private(&self, graph: &Graph, t: TensorId) -> Option<usize> {
        let once = self.readers[t].len() == 1 && !self.output[t] && graph.tensors[t].codes.is_none();
        self.producer[t].filter(|_| once)
    }
}

/// Every reader of `from` reads `to` instead.
pub(super) fn replace(graph: &mut Graph, from: TensorId, to: TensorId) {
    for node in &mut graph.nodes {
        for t in &mut node.inputs {
            if *t == from {
                *t = to;
            }
        }
    }
    for o in &mut graph.outputs {
        if o.tensor == from {
            o.tensor = to;
        }
    }
}

/// The only value of a constant.
pub(super) fn scalar(graph: &Graph, t: TensorId) -> Option<f32> {
    let values = graph.tensors[t].constant.as_ref()?;
    let (&first, rest) = values.split_first()?;
    rest.iter().all(|&v| v == first).then_some(first)
}

/// A constant operand as one value per channel of `c` channels; `None` when it varies with place or is no constant.
pub(super) fn per_channel(graph: &Graph, t: TensorId, c: usize) -> Option<Vec<f32>> {
    let tensor = &graph.tensors[t];
    let values = tensor.constant.as_ref()?;
    if let Some(v) = scalar(graph, t) {
        return Some(vec![v; c]);
    }
    (tensor.shape.rows() == 1 && tensor.shape.c == c).then(|| values.clone())
}

/// Whether an operator only moves numbers.
pub(super) fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Index { .. }
            | Op::Channels { .. }
            | Op::Reshape
            | Op::Permute { .. }
            | Op::DepthToSpace { .. }
            | Op::SpaceToDepth { .. }
            | Op::Concat(_)
    )
}
