//! Questions about the structure of a graph that the choice of codes depends on.

use crate::ir::{Graph, Node, Op, TensorId, Unary};

/// Who writes and who reads each tensor.
pub struct Links {
    pub producer: Vec<Option<usize>>,
    pub consumers: Vec<Vec<usize>>,
    pub is_output: Vec<bool>,
}

impl Links {
    pub fn new(g: &Graph) -> Self {
        let mut producer = vec![None; g.tensors.len()];
        let mut consumers = vec![Vec::new(); g.tensors.len()];
        let mut is_output = vec![false; g.tensors.len()];
        for (k, n) in g.nodes.iter().enumerate() {
            producer[n.output] = Some(k);
            n.inputs.iter().for_each(|&i| consumers[i].push(k));
        }
        g.outputs.iter().for_each(|o| is_output[o.tensor] = true);
        Links { producer, consumers, is_output }
    }

    /// The function that alone reads a tensor, if one does.
    pub fn sole_unary(&self, g: &Graph, t: TensorId) -> Option<(Unary, TensorId)> {
        let [k] = self.consumers[t][..] else { return None };
        match (&g.nodes[k].op, self.is_output[t]) {
            (Op::Unary(f), false) => Some((*f, g.nodes[k].output)),
            _ => None,
        }
    }

    /// The function that alone reads a tensor's values, be it after operators that only move them.
    pub fn sole_unary_moved(&self, g: &Graph, mut t: TensorId) -> Option<Unary> {
        loop {
            if let Some((f, _)) = self.sole_unary(g, t) {
                return Some(f);
            }
            let [k] = self.consumers[t][..] else { return None };
            let n = &g.nodes[k];
            // A maximum is of the values before the function: only for those that keep order would it be the same.
            let moves = moves_values(&n.op) && !matches!(n.op, Op::MaxPool(_) | Op::GlobalMaxPool);
            if !moves || self.is_output[t] || g.tensors[n.output].codes.is_some() {
                return None;
            }
            t = n.output;
        }
    }
}

/// Every value of the output is a value of the input (or zero): the codes can be copied.
pub fn moves_values(op: &Op) -> bool {
    match op {
        // Another fill value need not be a code.
        Op::Index { fill, ys, xs } => *fill == 0.0 || ys.iter().chain(xs).all(|&k| k >= 0),
        Op::MaxPool(_)
        | Op::GlobalMaxPool
        | Op::Reshape
        | Op::Permute { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::Channels { .. } => true,
        _ => false,
    }
}

/// Averages: the input's codes serve unless the range shrinks a lot.
pub fn averages(op: &Op) -> bool {
    matches!(op, Op::AvgPool { .. } | Op::Bilinear { .. })
}

/// An average takes codes of its own where its range is below this share of its operand's. What an average of a window gains it
/// gains at no step more; an interpolation takes a conversion behind it.
pub fn narrow(op: &Op) -> f32 {
    if matches!(op, Op::AvgPool { .. }) { 0.75 } else { 0.5 }
}

/// The operator mixes channels, so that its input must have one scale for all of them.
pub fn wants_uniform(g: &Graph, n: &Node) -> bool {
    let c = |t: TensorId| g.tensors[t].shape.c;
    match n.op {
        Op::Reshape => c(n.inputs[0]) != c(n.output),
        Op::Permute { .. } | Op::DepthToSpace { .. } | Op::Unary(_) | Op::PRelu { .. } => true,
        _ => false,
    }
}

/// Moves pixels or makes maps of another extent: the mark of an image-like output.
fn is_spatial(op: &Op) -> bool {
    let repeats = |v: &[i32]| v.iter().any(|&k| k < 0) || (1..v.len()).any(|k| v[k] == v[k - 1]);
    match op {
        Op::Index { ys, xs, .. } => repeats(ys) || repeats(xs),
        Op::Bilinear { .. }
        | Op::DepthToSpace { .. }
        | Op::SpaceToDepth { .. }
        | Op::MaxPool(_)
        | Op::AvgPool { .. }
        | Op::GlobalMaxPool
        | Op::PRelu { .. } => true,
        _ => false,
    }
}

/// The tensors of the float tail: computed, with no convolution, global pooling or function that is a table of codes
/// downstream, in a branch that moves no pixels. A branch is what nodes of the tail connect.
pub fn float_tail(g: &Graph, links: &Links) -> Vec<bool> {
    let mut before = vec![false; g.tensors.len()];
    for n in g.nodes.iter().rev() {
        before[n.output] |= matches!(n.op, Op::Unary(f) if !f.on_reals());
        if before[n.output] || matches!(n.op, Op::Conv(_) | Op::GlobalAvgPool) {
            n.inputs.iter().for_each(|&i| before[i] = true);
        }
    }
    let tail = |t: TensorId| links.producer[t].is_some() && !before[t];
    let mut branch: Vec<usize> = (0..g.tensors.len()).collect();
    for n in g.nodes.iter().filter(|n| tail(n.output)) {
        for &i in n.inputs.iter().filter(|&&i| tail(i)) {
            let (a, b) = (root(&branch, i), root(&branch, n.output));
            branch[a] = b;
        }
    }
    let mut pictures = vec![false; g.tensors.len()];
    for n in g.nodes.iter().filter(|n| tail(n.output) && is_spatial(&n.op)) {
        pictures[root(&branch, n.output)] = true;
    }
    (0..g.tensors.len()).map(|t| tail(t) && !pictures[root(&branch, t)]).collect()
}

/// Representative of a set in a parent array.
pub fn root(parent: &[usize], mut t: usize) -> usize {
    while parent[t] != t {
        t = parent[t];
    }
    t
}
