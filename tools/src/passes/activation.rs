//! Compositions of element-wise operators that are one function: SiLU, Mish, h-swish, GELU; minima and maxima as clamps.

use super::edit::{Uses, scalar};
use crate::ir::{Binary, Graph, Op, TensorId, Unary};

/// Max or Min with a number becomes a clamp; clamps in a row become one.
pub(super) fn clamps(graph: &mut Graph) -> usize {
    let mut count = 0;
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        if let Op::Binary(op @ (Binary::Min | Binary::Max)) = node.op {
            let found = [(0, 1), (1, 0)].into_iter().find_map(|(x, k)| {
                let (x, v) = (node.inputs[x], scalar(graph, node.inputs[k])?);
                let same = graph.tensors[x].shape == graph.tensors[node.output].shape;
                (same && graph.tensors[x].constant.is_none()).then_some((x, v))
            });
            if let Some((x, v)) = found {
                let f = match op {
                    Binary::Min => Unary::Clamp { lo: f32::NEG_INFINITY, hi: v },
                    _ => Unary::Clamp { lo: v, hi: f32::INFINITY },
                };
                graph.nodes[i].op = Op::Unary(f);
                graph.nodes[i].inputs = vec![x];
                count += 1;
            }
        }
    }
    let mut i = 0;
    while i < graph.nodes.len() {
        let joined = (|| {
            let node = &graph.nodes[i];
            let Op::Unary(Unary::Clamp { lo, hi }) = node.op else { return None };
            let p = Uses::of(graph).private(graph, node.inputs[0])?;
            let Op::Unary(Unary::Clamp { lo: l, hi: h }) = graph.nodes[p].op else { return None };
            Some((p, Unary::Clamp { lo: l.max(lo).min(hi), hi: h.min(hi).max(lo) }))
        })();
        match joined {
            Some((p, f)) => {
                graph.nodes[i].op = Op::Unary(f);
                graph.nodes[i].inputs = graph.nodes[p].inputs.clone();
                graph.nodes.remove(p);
                count += 1;
            }
            None => i += 1,
        }
    }
    count
}

/// Follows values backwards through private tensors.
struct Look<'a> {
    graph: &'a Graph,
    uses: Uses,
}

impl Look<'_> {
    /// The function that writes `t` and its argument.
    fn unary(&self, t: TensorId) -> Option<(Unary, TensorId)> {
        let node = &self.graph.nodes[self.inner(t)?];
        match node.op {
            Op::Unary(f) => Some((f, node.inputs[0])),
            _ => None,
        }
    }

    /// A product of a map and a number (or a quotient by one): `(map, factor)`.
    fn scaled(&self, t: TensorId) -> Option<(TensorId, f32)> {
        let node = &self.graph.nodes[self.inner(t)?];
        let (a, b) = self.pair(node.output)?;
        match node.op {
            Op::Binary(Binary::Mul) => match (scalar(self.graph, a), scalar(self.graph, b)) {
                (_, Some(k)) => Some((a, k)),
                (Some(k), _) => Some((b, k)),
                _ => None,
            },
            Op::Binary(Binary::Div) => scalar(self.graph, b).map(|k| (a, 1.0 / k)),
            _ => None,
        }
    }

    /// `x + k`: `(x, k)`.
    fn shifted(&self, t: TensorId) -> Option<(TensorId, f32)> {
        let node = &self.graph.nodes[self.inner(t)?];
        let Op::Binary(op @ (Binary::Add | Binary::Sub)) = node.op else { return None };
        match (scalar(self.graph, node.inputs[0]), scalar(self.graph, node.inputs[1]), op) {
            (_, Some(k), Binary::Add) => Some((node.inputs[0], k)),
            (Some(k), _, Binary::Add) => Some((node.inputs[1], k)),
            (_, Some(k), Binary::Sub) => Some((node.inputs[0], -k)),
            _ => None,
        }
    }

    /// The two operands of the product that writes `t`, in both orders.
    fn product(&self, t: TensorId) -> [Option<(TensorId, TensorId)>; 2] {
        let found = self.inner(t).map(|p| &self.graph.nodes[p]).filter(|n| matches!(n.op, Op::Binary(Binary::Mul)));
        let pair = found.map(|n| (n.inputs[0], n.inputs[1]));
        [pair, pair.map(|(a, b)| (b, a))]
    }

    fn pair(&self, t: TensorId) -> Option<(TensorId, TensorId)> {
        let node = &self.graph.nodes[self.uses.producer(t)?];
        (node.inputs.len() == 2).then(|| (node.inputs[0], node.inputs[1]))
    }

    /// The producer of an inner value of a pattern: read once, not an output, no codes.
    fn inner(&self, t: TensorId) -> Option<usize> {
        self.uses.private(self.graph, t)
    }

    /// Whether `t` is a gate of `x` that makes a known activation when multiplied with it.
    fn gate(&self, t: TensorId, x: TensorId) -> Option<Unary> {
        if let Some((f, from)) = self.unary(t) {
            match f {
                Unary::Sigmoid if from == x => return Some(Unary::Silu),
                Unary::HardSigmoid { alpha, beta } if from == x && near(alpha, 1.0 / 6.0) && near(beta, 0.5) => {
                    return Some(Unary::HardSwish);
                }
                Unary::Tanh if self.unary(from) == Some((Unary::Softplus, x)) => return Some(Unary::Mish),
                _ => {}
            }
        }
        let (six, k) = self.scaled(t)?;
        (near(k, 1.0 / 6.0) && self.relu6_of_shifted(six, x)).then_some(Unary::HardSwish)
    }

    /// `t = clamp(x + 3, 0, 6)`.
    fn relu6_of_shifted(&self, t: TensorId, x: TensorId) -> bool {
        match self.unary(t) {
            Some((Unary::Clamp { lo: 0.0, hi: 6.0 }, from)) => self.shifted(from) == Some((x, 3.0)),
            _ => false,
        }
    }

    /// `t = 1 + erf(x / sqrt 2)`.
    fn erf_gate(&self, t: TensorId, x: TensorId) -> bool {
        let Some((e, 1.0)) = self.shifted(t) else { return false };
        match self.unary(e) {
            Some((Unary::Erf, from)) => matches!(self.scaled(from), Some((y, k)) if y == x && near(k, std::f32::consts::FRAC_1_SQRT_2)),
            _ => false,
        }
    }

    /// The function of one map that node `i` completes.
    fn whole(&self, i: usize) -> Option<(Unary, TensorId)> {
        let node = &self.graph.nodes[i];
        let Op::Binary(op) = node.op else { return None };
        let (a, b) = (node.inputs[0], node.inputs[1]);
        if op == Binary::Mul {
            for (x, gate) in [(a, b), (b, a)] {
                if let Some(f) = self.gate(gate, x) {
                    return Some((f, x));
                }
                // x * (0.5 * (1 + erf)), and (0.5 * x) * (1 + erf).
                if let Some((inner, k)) = self.scaled(gate)
                    && near(k, 0.5)
                    && self.erf_gate(inner, x)
                {
                    return Some((Unary::Gelu, x));
                }
                if let Some((y, k)) = self.scaled(x)
                    && near(k, 0.5)
                    && self.erf_gate(gate, y)
                {
                    return Some((Unary::Gelu, y));
                }
            }
        }
        // (x * gate) * k.
        let (inner, k) = match (op, scalar(self.graph, a), scalar(self.graph, b)) {
            (Binary::Mul, _, Some(k)) => (a, k),
            (Binary::Mul, Some(k), _) => (b, k),
            (Binary::Div, _, Some(k)) => (a, 1.0 / k),
            _ => return None,
        };
        for (x, gate) in self.product(inner).into_iter().flatten() {
            if near(k, 1.0 / 6.0) && self.relu6_of_shifted(gate, x) {
                return Some((Unary::HardSwish, x));
            }
            if near(k, 0.5) && self.erf_gate(gate, x) {
                return Some((Unary::Gelu, x));
            }
        }
        None
    }
}

fn near(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}

pub(super) fn recognise(graph: &mut Graph) -> usize {
    let found: Vec<(usize, Unary, TensorId)> = {
        let look = Look { uses: Uses::of(graph), graph };
        let all = (0..graph.nodes.len()).filter_map(|i| look.whole(i).map(|(f, x)| (i, f, x)));
        all.filter(|&(i, _, x)| graph.tensors[x].shape == graph.tensors[graph.nodes[i].output].shape).collect()
    };
    for &(i, f, x) in &found {
        graph.nodes[i].op = Op::Unary(f);
        graph.nodes[i].inputs = vec![x];
    }
    let single = hard_sigmoids(graph);
    found.len() + single
}

/// `clamp(x + 3, 0, 6) / 6` by itself is a hard sigmoid.
fn hard_sigmoids(graph: &mut Graph) -> usize {
    let found: Vec<(usize, TensorId)> = {
        let look = Look { uses: Uses::of(graph), graph };
        let gate = |i: usize| {
            let node = &graph.nodes[i];
            let Op::Binary(op @ (Binary::Mul | Binary::Div)) = node.op else { return None };
            let k = scalar(graph, node.inputs[1])?;
            let k = if op == Binary::Div { 1.0 / k } else { k };
            let (f, from) = look.unary(node.inputs[0])?;
            let (x, 3.0) = look.shifted(from)? else { return None };
            let same = graph.tensors[x].shape == graph.tensors[node.output].shape;
            // Left alone where the product with x makes it an h-swish.
            let readers = look.uses.readers(node.output);
            let swish = readers.iter().any(|&r| graph.nodes[r].inputs.contains(&x));
            (near(k, 1.0 / 6.0) && f == Unary::Clamp { lo: 0.0, hi: 6.0 } && same && !swish).then_some((i, x))
        };
        (0..graph.nodes.len()).filter_map(gate).collect()
    };
    for &(i, x) in &found {
        graph.nodes[i].op = Op::Unary(Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 });
        graph.nodes[i].inputs = vec![x];
    }
    found.len()
}
