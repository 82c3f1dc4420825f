//! Average and maximum pools over the whole map.

use crate::ir::{Graph, Op, Pad, Shape, Window};

pub(super) fn global(graph: &mut Graph) -> usize {
    let mut count = 0;
    for i in 0..graph.nodes.len() {
        let node = &graph.nodes[i];
        let (input, output) = match node.inputs[..] {
            [t] => (graph.tensors[t].shape, graph.tensors[node.output].shape),
            _ => continue,
        };
        let whole = |w: &Window| {
            let Window { kh, kw, pad, .. } = *w;
            (kh, kw) == (input.h, input.w) && pad == Pad::default() && spans(w) && output == Shape { h: 1, w: 1, c: input.c }
        };
        let op = match &node.op {
            Op::AvgPool { window, .. } if whole(window) => Op::GlobalAvgPool,
            Op::MaxPool(window) if whole(window) => Op::GlobalMaxPool,
            _ => continue,
        };
        graph.nodes[i].op = op;
        count += 1;
    }
    count
}

/// No dilation where it would matter.
fn spans(w: &Window) -> bool {
    (w.kh == 1 || w.dilation.0 == 1) && (w.kw == 1 || w.dilation.1 == 1)
}
