//! Who lies in whose memory, and how wide a border of zero codes each map needs.
//!
//! A concatenation's inputs are written where the output has them; a reshape's input and output are one piece of memory.
//! Where both wishes or a border stand against each other, a copy settles it.

use anyhow::Result;

use super::Lowering;
use super::items::{Item, Kind};
use crate::ir::{Op, Pad};

/// Where a tensor lies, if not in memory of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Home {
    /// Inside `parent` from channel `c0`, pixel `(y0, x0)`.
    Part { parent: usize, c0: usize, y0: usize, x0: usize },
    /// The same memory as `parent` under another shape.
    Same { parent: usize },
}

impl Home {
    pub fn parent(self) -> usize {
        match self {
            Home::Part { parent, .. } | Home::Same { parent } => parent,
        }
    }
}

pub(crate) fn assign(l: &mut Lowering) -> Result<()> {
    borders(l);
    reshapes(l)?;
    rows(l)?;
    lay_down(l);
    share_borders(l);
    permutations(l)
}

/// What every convolution and every mean reads outside its input.
fn borders(l: &mut Lowering) {
    for item in &l.items {
        let (kernel, stride, dilation, pad, made) = match &item.kind {
            Kind::Conv { node, .. } | Kind::ConvF32 { node, .. } => match &l.graph.nodes[*node].op {
                Op::Conv(c) => ((c.kh, c.kw), c.stride, c.dilation, c.pad, l.graph.nodes[*node].output),
                _ => continue,
            },
            Kind::Mean(w) | Kind::MeanF32(w) => ((w.kh, w.kw), w.stride, w.dilation, w.pad, item.output),
            _ => continue,
        };
        let (Some(x), Some(y)) = (&l.values[item.inputs[0]], &l.values[made]) else { continue };
        let over = |out: usize, stride: usize, pad: usize, k: usize, d: usize, n: usize| {
            ((out - 1) * stride + (k - 1) * d + 1).saturating_sub(pad + n)
        };
        let b = &mut l.borders[item.inputs[0]];
        b.t = b.t.max(pad.t);
        b.l = b.l.max(pad.l);
        b.b = b.b.max(over(y.shape.h, stride.0, pad.t, kernel.0, dilation.0, x.shape.h));
        b.r = b.r.max(over(y.shape.w, stride.1, pad.l, kernel.1, dilation.1, x.shape.w));
    }
}

/// A reshape's input moves into its output's memory; if it cannot, a copy of it does.
fn reshapes(l: &mut Lowering) -> Result<()> {
    let inputs: Vec<usize> = l.graph.inputs.iter().map(|i| i.tensor).collect();
    let items = std::mem::take(&mut l.items);
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        if let Kind::Reshape = item.kind {
            let x = item.inputs[0];
            let joined = out.iter().any(|i| i.output == x && matches!(i.kind, Kind::Join { .. }));
            let bare = |l: &Lowering, t: usize| l.borders[t] == Pad::default();
            if bare(l, item.output) && !inputs.contains(&x) && !l.homes.contains_key(&x) && bare(l, x) && !joined {
                l.homes.insert(x, Home::Same { parent: item.output });
            } else {
                let v = l.value(x)?.clone();
                let copy = l.add(format!("{}.flat", v.name), v.shape, v.store);
                out.push(Item { name: item.name.clone(), kind: Kind::Copy, inputs: vec![x], output: copy });
                if !bare(l, item.output) {
                    // A border cannot lie in reshaped memory: reshape first, then copy into the bordered map.
                    let v = l.value(item.output)?.clone();
                    let raw = l.add(format!("{}.bare", v.name), v.shape, v.store);
                    l.homes.insert(copy, Home::Same { parent: raw });
                    let name = item.name.clone();
                    out.push(Item { name: name.clone(), kind: Kind::Reshape, inputs: vec![copy], output: raw });
                    out.push(Item { name, kind: Kind::Copy, inputs: vec![raw], output: item.output });
                    continue;
                }
                l.homes.insert(copy, Home::Same { parent: item.output });
                item.inputs[0] = copy;
            }
        }
        out.push(item);
    }
    l.items = out;
    Ok(())
}

/// Parts of a map joined by lines or columns can have no border of their own, and reshaped memory no gaps: copies for those that want it.
fn rows(l: &mut Lowering) -> Result<()> {
    let items = std::mem::take(&mut l.items);
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        if let Kind::Join { .. } = item.kind {
            let x = item.inputs[0];
            let Some(Home::Part { parent, c0, y0, x0 }) = l.homes.get(&x).copied() else {
                out.push(item);
                continue;
            };
            let (v, p) = (l.value(x)?.clone(), l.value(parent)?.clone());
            let by_channels = v.shape.h == p.shape.h && v.shape.w == p.shape.w;
            let bare = l.borders[x] == Pad::default() && l.borders[parent] == Pad::default();
            // Memory shared with a reshape has to stay contiguous inside the parent.
            let reshaped = l.homes.values().any(|h| *h == Home::Same { parent: x });
            let contiguous = v.shape.c == p.shape.c && v.shape.w == p.shape.w && bare;
            if (!by_channels && !bare) || (reshaped && !contiguous) {
                l.homes.remove(&x);
                let copy = l.add(format!("{}.part", p.name), v.shape, v.store);
                l.homes.insert(copy, Home::Part { parent, c0, y0, x0 });
                out.push(Item { name: item.name.clone(), kind: Kind::Copy, inputs: vec![x], output: copy });
                item.inputs[0] = copy;
            }
        }
        out.push(item);
    }
    l.items = out;
    Ok(())
}

/// A permutation reads and writes maps without borders or gaps; copies stand in for others.
fn permutations(l: &mut Lowering) -> Result<()> {
    let items = std::mem::take(&mut l.items);
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        let permutes = matches!(&item.kind, Kind::Node(n) if matches!(l.graph.nodes[*n].op, Op::Permute { .. }));
        let bare = |l: &mut Lowering, t: usize| -> Result<usize> {
            let v = l.value(t)?.clone();
            Ok(if gapless(l, t) { t } else { l.add(format!("{}.bare", v.name), v.shape, v.store) })
        };
        if !permutes {
            out.push(item);
            continue;
        }
        let (name, x, y) = (item.name.clone(), item.inputs[0], item.output);
        (item.inputs[0], item.output) = (bare(l, x)?, bare(l, y)?);
        let (from, to) = (item.inputs[0], item.output);
        if from != x {
            out.push(Item { name: name.clone(), kind: Kind::Copy, inputs: vec![x], output: from });
        }
        out.push(item);
        if to != y {
            out.push(Item { name, kind: Kind::Copy, inputs: vec![to], output: y });
        }
    }
    l.items = out;
    Ok(())
}

/// Whether the pixels of `t` lie one after the other.
fn gapless(l: &Lowering, t: usize) -> bool {
    let row = |t: usize| l.values[t].as_ref().map(|v| (v.shape.w, v.shape.c));
    l.borders[t] == Pad::default()
        && match l.homes.get(&t) {
            None => true,
            // Memory shared with a reshape is.
            Some(Home::Same { .. }) => true,
            Some(Home::Part { parent, .. }) => row(*parent) == row(t) && gapless(l, *parent),
        }
}

/// Columns become lines: a mask keeps whole words for every line, so `T x 1` would cost 64 times what `1 x T` does. Rows keep
/// their order, so nothing but the shape changes; only tensors that no window or index sees can be turned.
fn lay_down(l: &mut Lowering) {
    let column =
        |l: &Lowering, t: usize| l.values[t].as_ref().is_some_and(|v| v.shape.w == 1 && v.shape.h > 1) && l.borders[t] == Pad::default();
    let plain = |l: &Lowering, item: &Item| match &item.kind {
        Kind::Unary(_) | Kind::PRelu { .. } | Kind::Binary { .. } | Kind::Factors(_) | Kind::Convert | Kind::Copy => true,
        Kind::Join { .. } | Kind::Reshape => true,
        Kind::Node(n) => matches!(l.graph.nodes[*n].op, Op::Softmax | Op::ReduceChannels { .. } | Op::Channels { .. } | Op::Permute { .. }),
        Kind::Conv { .. } | Kind::ConvF32 { .. } | Kind::Mean(_) | Kind::MeanF32(_) => false,
    };
    let inputs: Vec<usize> = l.graph.inputs.iter().map(|i| i.tensor).collect();
    let mut turn: Vec<bool> = (0..l.values.len()).map(|t| column(l, t) && !inputs.contains(&t)).collect();
    loop {
        let mut changed = false;
        for item in &l.items {
            // Reshape and Permute see rows in order only; the others want all their maps alike.
            let free = matches!(&item.kind, Kind::Reshape)
                || matches!(&item.kind, Kind::Node(n) if matches!(l.graph.nodes[*n].op, Op::Permute { .. }));
            let touched: Vec<usize> = item.inputs.iter().copied().chain([item.output]).collect();
            let wide = |t: usize| l.values[t].as_ref().is_some_and(|v| v.shape.rows() > 1);
            let refused = !plain(l, item) || (!free && touched.iter().any(|t| wide(*t) && !turn[*t]));
            if refused {
                for t in touched {
                    changed |= std::mem::replace(&mut turn[t], false);
                }
            }
        }
        if !changed {
            break;
        }
    }
    for (value, turn) in l.values.iter_mut().zip(&turn) {
        if let (Some(v), true) = (value, turn) {
            std::mem::swap(&mut v.shape.h, &mut v.shape.w);
        }
    }
    for item in &mut l.items {
        if let Kind::Join { y0, x0, .. } = &mut item.kind
            && turn[item.output]
        {
            std::mem::swap(y0, x0);
        }
    }
    for home in l.homes.values_mut() {
        if let Home::Part { parent, y0, x0, .. } = home
            && turn[*parent]
        {
            std::mem::swap(y0, x0);
        }
    }
}

/// Tensors side by side in one memory have one border.
fn share_borders(l: &mut Lowering) {
    let by_channels = |l: &Lowering, t: usize| match (l.homes.get(&t), &l.values[t]) {
        (Some(Home::Part { parent, .. }), Some(v)) => {
            let p = l.values[*parent].as_ref().map(|p| p.shape);
            (p.map(|p| (p.h, p.w)) == Some((v.shape.h, v.shape.w))).then_some(*parent)
        }
        _ => None,
    };
    let widest = |a: Pad, b: Pad| Pad { t: a.t.max(b.t), l: a.l.max(b.l), b: a.b.max(b.b), r: a.r.max(b.r) };
    loop {
        let mut changed = false;
        for t in 0..l.values.len() {
            if let Some(parent) = by_channels(l, t) {
                let both = widest(l.borders[t], l.borders[parent]);
                changed |= both != l.borders[t] || both != l.borders[parent];
                l.borders[t] = both;
                l.borders[parent] = both;
            }
        }
        if !changed {
            return;
        }
    }
}
