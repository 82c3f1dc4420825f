//! What the device has no step for, by the steps it has.
//!
//! ```text
//! x + line      the operand of one line or column is repeated over the map (Index): the device repeats pixels and channels only
//! k / x         Reciprocal(x) * k
//! x ^ 2         x * x, for reals as for codes
//! ```

use crate::ir::{Binary, Graph, Node, Op, Shape, Tensor, TensorId, Unary};

pub(super) fn lines(g: &mut Graph) -> usize {
    let mut count = 0;
    let mut n = 0;
    while n < g.nodes.len() {
        let out = g.tensors[g.nodes[n].output].shape;
        let line = |t: TensorId| {
            let rows = g.tensors[t].shape.rows();
            rows > 1 && rows != out.rows()
        };
        let at = match g.nodes[n].op {
            Op::Binary(_) => g.nodes[n].inputs.iter().position(|t| line(*t)),
            _ => None,
        };
        if let Some(k) = at {
            let whole = repeat(g, n, g.nodes[n].inputs[k], out);
            // The node stands one further where an Index came before it.
            n += usize::from(g.tensors[whole].constant.is_none());
            g.nodes[n].inputs[k] = whole;
            count += 1;
        } else {
            n += 1;
        }
    }
    count
}

/// Tensor `t`, extents 1 or those of `out`, as a map of `out`'s extent: a constant, or the output of an Index before node `at`.
fn repeat(g: &mut Graph, at: usize, t: TensorId, out: Shape) -> TensorId {
    let from = g.tensors[t].clone();
    let list = |n: usize, to: usize| (0..to).map(|i| if n == 1 { 0 } else { i as i32 }).collect::<Vec<i32>>();
    let (ys, xs) = (list(from.shape.h, out.h), list(from.shape.w, out.w));
    let constant = from.constant.map(|v| {
        let rows = ys.iter().flat_map(|y| xs.iter().map(move |x| (*y as usize * from.shape.w + *x as usize) * from.shape.c));
        rows.flat_map(|row| v[row..row + from.shape.c].iter().copied()).collect()
    });
    let moved = constant.is_none();
    let name = format!("{}/lines", from.name);
    let shape = Shape { c: from.shape.c, ..out };
    g.tensors.push(Tensor { name: name.clone(), shape, codes: from.codes, constant });
    let made = g.tensors.len() - 1;
    if moved {
        g.nodes.insert(at, Node { name, op: Op::Index { ys, xs, fill: 0.0 }, inputs: vec![t], output: made });
    }
    made
}

pub(super) fn quotients(g: &mut Graph) -> usize {
    let mut count = 0;
    let mut n = 0;
    while n < g.nodes.len() {
        let node = &g.nodes[n];
        let constant = |k: usize| g.tensors[node.inputs[k]].constant.is_some();
        if matches!(node.op, Op::Binary(Binary::Div)) && constant(0) && !constant(1) {
            let x = node.inputs[1];
            let name = format!("{}/reciprocal", node.name);
            let shape = g.tensors[x].shape;
            g.tensors.push(Tensor { name: name.clone(), shape, codes: None, constant: None });
            let output = g.tensors.len() - 1;
            g.nodes[n].op = Op::Binary(Binary::Mul);
            g.nodes[n].inputs[1] = output;
            g.nodes.insert(n, Node { name, op: Op::Unary(Unary::Reciprocal), inputs: vec![x], output });
            count += 1;
        }
        n += 1;
    }
    count
}

pub(super) fn squares(g: &mut Graph) -> usize {
    let mut count = 0;
    for node in &mut g.nodes {
        if let Op::Unary(Unary::Pow { exponent: 2.0 }) = node.op {
            node.op = Op::Binary(Binary::Mul);
            node.inputs = vec![node.inputs[0]; 2];
            count += 1;
        }
    }
    count
}
