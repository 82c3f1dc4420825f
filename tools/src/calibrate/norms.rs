//! Statistics a frame is normalised by, which are kept as reals.
//!
//! ```text
//! layer, instance, group   d = x - mean(x);  y = d / sqrt(mean(d * d) + e)     d, d * d, both means, the root
//! global response          g = sqrt(sum(x * x));  y = x * g / (mean(g) + e)    x * x, g, mean(g), their quotient
//! ```
//!
//! A square has twice the range of its root in decibels, 255 steps are few for it, and what is rounded there every value of the
//! pixel or map is divided by. The rule: squares, and what follows from them alone by means, element-wise steps and moves, where a mean
//! is among these; before them the deviations, the means these are from, and the convolution they alone read, which writes reals as well
//! as codes.

use super::rules::{Links, moves_values};
use crate::ir::{Binary, Graph, Node, Op, Pad, TensorId};

/// Longest side of a map whose reals are averaged: the window of one convolution.
pub const LONGEST: usize = 1024;

/// Per tensor, whether it is such a statistic.
pub fn statistics(g: &Graph, links: &Links) -> Vec<bool> {
    let varies = |t: &&TensorId| g.tensors[**t].constant.is_none();
    let square = |n: &Node| matches!(n.op, Op::Binary(Binary::Mul)) && n.inputs[0] == n.inputs[1];
    let mut chain = vec![false; g.tensors.len()];
    for n in &g.nodes {
        let mut from = n.inputs.iter().filter(varies).peekable();
        let follows = from.peek().is_some() && from.all(|&i| chain[i]) && takes_reals(g, n);
        chain[n.output] = (square(n) || follows) && g.tensors[n.output].codes.is_none();
    }
    // Of these, what a mean comes after or before.
    let mut meant = vec![false; g.tensors.len()];
    for n in &g.nodes {
        meant[n.output] = chain[n.output] && (averages(&n.op) || n.inputs.iter().any(|&i| meant[i]));
    }
    for n in g.nodes.iter().rev() {
        for &i in &n.inputs {
            meant[i] |= chain[i] && meant[n.output];
        }
    }
    let of_norm = Norm { g, links };
    let mut real: Vec<bool> = (0..g.tensors.len()).map(|t| meant[t] && of_norm.read(t, |n| meant[n.output])).collect();
    for n in g.nodes.iter().filter(|n| square(n)) {
        if real[n.output] {
            of_norm.deviations(n.inputs[0], &mut real);
        }
    }
    for n in &g.nodes {
        let ends = matches!(n.op, Op::Binary(_)) && !meant[n.output] && n.inputs.iter().any(|&i| real[i] && meant[i]);
        if ends && n.inputs.iter().all(|&i| g.tensors[i].constant.is_none()) {
            of_norm.affine(n.output, &mut real);
        }
    }
    real
}

struct Norm<'g> {
    g: &'g Graph,
    links: &'g Links,
}

impl Norm<'_> {
    fn maker(&self, t: TensorId) -> Option<&Node> {
        self.links.producer[t].map(|k| &self.g.nodes[k])
    }

    /// Whether `t` may be reals: all that read it are element-wise, or `ok`.
    fn read(&self, t: TensorId, ok: impl Fn(&Node) -> bool) -> bool {
        let mut readers = self.links.consumers[t].iter().map(|&k| &self.g.nodes[k]);
        let bound = self.g.tensors[t].codes.is_some() || self.links.is_output[t];
        !bound && readers.all(|n| ok(n) || matches!(n.op, Op::Binary(_)))
    }

    /// Marks `d = x - mean(x)`, the mean, and `x` where a convolution writes it for these alone.
    fn deviations(&self, d: TensorId, real: &mut [bool]) {
        let mut x = d;
        if let Some(n) = self.maker(d).filter(|n| matches!(n.op, Op::Binary(Binary::Sub)) && self.read(d, |_| false)) {
            let Some(mean) = self.mean(n.inputs[0], n.inputs[1]) else { return };
            mean.iter().chain([&d]).for_each(|&t| real[t] = true);
            x = n.inputs[0];
        }
        let written = matches!(self.maker(x).map(|n| &n.op), Some(Op::Conv(_)));
        let taken = self.read(x, |n| real[n.output] && takes_reals(self.g, n));
        real[x] |= written && taken;
    }

    /// The tensors from `x` to its mean `t`, where means and moves lead there.
    fn mean(&self, x: TensorId, t: TensorId) -> Option<Vec<TensorId>> {
        let mut path = vec![t];
        loop {
            let t = *path.last()?;
            let n = self.maker(t)?;
            let [from] = n.inputs[..] else { return None };
            let next = path.len().checked_sub(2).map(|k| path[k]);
            self.read(t, |reader| Some(reader.output) == next).then_some(())?;
            if from == x {
                return averages(&n.op).then_some(path);
            }
            takes_reals(self.g, n).then(|| path.push(from))?;
        }
    }

    /// Marks `t` and what follows, up to the last of its scales and shifts by constants.
    fn affine(&self, mut t: TensorId, real: &mut [bool]) {
        while let [k] = self.links.consumers[t][..] {
            let n = &self.g.nodes[k];
            let constant = n.inputs.iter().any(|&i| self.g.tensors[i].constant.is_some());
            if !matches!(n.op, Op::Binary(Binary::Mul | Binary::Add)) || !constant || !self.read(t, |_| false) {
                return;
            }
            real[t] = true;
            t = n.output;
        }
    }
}

fn averages(op: &Op) -> bool {
    matches!(op, Op::ReduceChannels { .. } | Op::GlobalAvgPool | Op::AvgPool { .. })
}

/// Whether a node's step takes reals to reals.
fn takes_reals(g: &Graph, n: &Node) -> bool {
    let x = g.tensors[n.inputs[0]].shape;
    match &n.op {
        Op::Binary(_) | Op::ReduceChannels { .. } => true,
        Op::Unary(f) => f.on_reals(),
        Op::GlobalAvgPool => x.h.max(x.w) <= LONGEST,
        // Windows that are cut by the border have other counts there.
        Op::AvgPool { window, .. } => window.kh.max(window.kw) <= LONGEST && window.pad == Pad::default(),
        op => moves_values(op) && !matches!(op, Op::MaxPool(_) | Op::GlobalMaxPool),
    }
}
