//! Explicit padding and pixel blocks that the window operator behind them can do itself.

use super::edit::Uses;
use crate::ir::{Graph, Op, Pad, TensorId, Unary};

/// Lines added before and after, when the list is nothing else.
fn border(list: &[i32], n: usize) -> Option<(usize, usize)> {
    let before = list.iter().take_while(|&&v| v < 0).count();
    let middle = list.get(before..before + n)?;
    let plain = middle.iter().enumerate().all(|(i, &v)| v == i as i32) && list[before + n..].iter().all(|&v| v < 0);
    plain.then(|| (before, list.len() - before - n))
}

/// Index that only pads, before a window operator: the window pads.
pub(super) fn pads(graph: &mut Graph) -> usize {
    let mut count = 0;
    for i in 0..graph.nodes.len() {
        let input = match graph.nodes[i].inputs[..] {
            [t] => t,
            _ => continue,
        };
        let Some(p) = graph.nodes.iter().position(|n| n.output == input) else { continue };
        let Op::Index { ys, xs, fill } = &graph.nodes[p].op else { continue };
        let source = graph.nodes[p].inputs[0];
        if graph.tensors[source].codes != graph.tensors[input].codes && graph.tensors[input].codes.is_some() {
            continue;
        }
        let shape = graph.tensors[source].shape;
        let (Some((t, b)), Some((l, r))) = (border(ys, shape.h), border(xs, shape.w)) else { continue };
        let fill = *fill;
        let grow = |p: Pad| Pad { t: p.t + t, l: p.l + l, b: p.b + b, r: p.r + r };
        let floor = floor_of(graph, source);
        let op = match &graph.nodes[i].op {
            Op::Conv(c) if fill == 0.0 => {
                let mut c = c.clone();
                c.pad = grow(c.pad);
                Op::Conv(c)
            }
            Op::AvgPool { window, count_pad } if fill == 0.0 && (*count_pad || window.pad == Pad::default()) => {
                let mut window = *window;
                window.pad = grow(window.pad);
                let reach = [(window.kh - 1) * window.dilation.0 + 1, (window.kw - 1) * window.dilation.1 + 1];
                let out = graph.tensors[graph.nodes[i].output].shape;
                let inside = |n: usize, pads: usize, count: usize, s: usize, reach: usize| (count - 1) * s + reach <= n + pads;
                if window.pad.t >= reach[0]
                    || window.pad.l >= reach[1]
                    || !inside(shape.h, window.pad.t + window.pad.b, out.h, window.stride.0, reach[0])
                    || !inside(shape.w, window.pad.l + window.pad.r, out.w, window.stride.1, reach[1])
                    || (out.h - 1) * window.stride.0 >= shape.h + window.pad.t
                    || (out.w - 1) * window.stride.1 >= shape.w + window.pad.l
                {
                    continue;
                }
                Op::AvgPool { window, count_pad: true }
            }
            Op::MaxPool(window) if fill == f32::NEG_INFINITY || fill <= floor => {
                let mut window = *window;
                window.pad = grow(window.pad);
                let out = graph.tensors[graph.nodes[i].output].shape;
                // Every window must reach the map, also between dilated taps.
                let reaches = window.dilation == (1, 1)
                    && window.pad.t < window.kh
                    && window.pad.l < window.kw
                    && (out.h - 1) * window.stride.0 < shape.h + window.pad.t
                    && (out.w - 1) * window.stride.1 < shape.w + window.pad.l;
                if !reaches {
                    continue;
                }
                Op::MaxPool(window)
            }
            _ => continue,
        };
        graph.nodes[i].op = op;
        graph.nodes[i].inputs[0] = source;
        count += 1;
    }
    count
}

/// A lower bound of the values of `t`, as far as its producer tells.
fn floor_of(graph: &Graph, t: TensorId) -> f32 {
    match graph.nodes.iter().find(|n| n.output == t) {
        Some(n) => match n.op {
            Op::Unary(Unary::Clamp { lo, .. }) => lo,
            Op::Unary(Unary::Sigmoid | Unary::HardSigmoid { .. } | Unary::Exp | Unary::Abs | Unary::Softplus) | Op::Softmax => 0.0,
            Op::MaxPool(_) | Op::GlobalMaxPool | Op::Index { fill: 0.0, .. } | Op::Channels { .. } => floor_of(graph, n.inputs[0]).min(0.0),
            _ => f32::NEG_INFINITY,
        },
        None => f32::NEG_INFINITY,
    }
}

/// SpaceToDepth before a dense convolution of `k` taps: one convolution of `b * k` taps and stride `b * s`, as many
/// multiplications and one operator less.
pub(super) fn blocks(graph: &mut Graph) -> usize {
    let mut count = 0;
    for i in 0..graph.nodes.len() {
        let Op::Conv(conv) = &graph.nodes[i].op else { continue };
        let input = graph.nodes[i].inputs[0];
        let uses = Uses::of(graph);
        let Some(p) = uses.producer(input) else { continue };
        let Op::SpaceToDepth { block: b } = graph.nodes[p].op else { continue };
        let fits = |c: &crate::ir::Conv| c.groups == 1 && c.dilation == (1, 1);
        let all = uses.readers(input).iter().all(|&r| matches!(&graph.nodes[r].op, Op::Conv(c) if fits(c)));
        let source = graph.nodes[p].inputs[0];
        let coded = graph.tensors[input].codes.is_some() && graph.tensors[input].codes != graph.tensors[source].codes;
        if !fits(conv) || !all || uses.is_output(input) || coded {
            continue;
        }
        let c = graph.tensors[source].shape.c;
        let mut made = conv.clone();
        (made.kh, made.kw) = (conv.kh * b, conv.kw * b);
        made.stride = (conv.stride.0 * b, conv.stride.1 * b);
        made.pad = Pad { t: conv.pad.t * b, l: conv.pad.l * b, b: conv.pad.b * b, r: conv.pad.r * b };
        for (at, &w) in conv.weights.iter().enumerate() {
            let (k, rest) = (at % (c * b * b), at / (c * b * b));
            let (kx, rest) = (rest % conv.kw, rest / conv.kw);
            let (ky, o) = (rest % conv.kh, rest / conv.kh);
            let (channel, dx, dy) = (k % c, k / c % b, k / c / b);
            made.weights[((o * made.kh + ky * b + dy) * made.kw + kx * b + dx) * c + channel] = w;
        }
        graph.nodes[i].op = Op::Conv(made);
        graph.nodes[i].inputs[0] = source;
        count += 1;
    }
    count
}
