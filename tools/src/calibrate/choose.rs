//! Codes for every tensor.
//!
//! A tensor *owns* its range, or takes its codes from another: an operator that only moves values passes its input's
//! codes on (selected per channel where it selects channels), a channel concat lays those of its inputs side by side,
//! and a convolution or sum read by a clamp alone saturates at the clamp's codes, so that the two are one step.
//! Where channels with different codes would have to mix (a reshape across channels, a table function after a concat,
//! a concat along H or W) the owners upstream are joined and share the union of their ranges.

use super::range::range;
use super::rules::{Links, averages, float_tail, moves_values, narrow, root, wants_uniform};
use super::{Options, Plan, Quant, Stats, Store, equalise, norms};
use crate::ir::{Axis, Graph, Op, TensorId, Unary};
use anyhow::{Result, ensure};

/// Chooses; the plan's report is empty until a simulation fills it.
pub fn choose(g: &Graph, stats: &Stats, opts: &Options) -> Result<Plan> {
    ensure!(stats.tensors.len() == g.tensors.len(), "statistics of another graph");
    let links = Links::new(g);
    let tail = float_tail(g, &links);
    let source = sources(g, stats, &links, &tail, opts);
    let group = groups(g, &source);
    let mut ranges: Vec<Option<(f32, f32)>> = vec![None; g.tensors.len()];
    for t in (0..g.tensors.len()).filter(|&t| source[t] == Source::Own) {
        let after = links.sole_unary_moved(g, t);
        let (lo, hi) = range(&stats.tensors[t], opts.method, after);
        let r = root(&group, t);
        let old = ranges[r].unwrap_or((0.0, 0.0));
        ranges[r] = Some((old.0.min(lo), old.1.max(hi)));
    }
    let mut stores: Vec<Option<Store>> = vec![None; g.tensors.len()];
    for t in 0..g.tensors.len() {
        stores[t] = match &source[t] {
            Source::Float => Some(Store::F32),
            Source::Fixed(q) => Some(Store::U8(q.clone())),
            Source::Own => {
                let (lo, hi) = ranges[root(&group, t)].unwrap_or((0.0, 0.0));
                Some(Store::U8(Quant::from_range(lo, hi)))
            }
            _ => None,
        };
    }
    if opts.equalise {
        for t in 0..g.tensors.len() {
            // What moves its values takes its codes as well; another owner in the group shares the range.
            let shares = |u: usize| u != t && root(&group, u) == root(&group, t) && source[u] != Source::Moved;
            let free = source[t] == Source::Own && !(0..group.len()).any(shares);
            if let (true, Some(Store::U8(q))) = (free, &stores[t]) {
                stores[t] = Some(Store::U8(equalised(g, stats, &links, &source, opts, t, q)));
            }
        }
    }
    // A clamp's codes serve its producer, so the order is not that of execution: two sweeps settle it.
    for _ in 0..2 {
        for t in 0..g.tensors.len() {
            if let (None, Source::Of(from)) = (&stores[t], &source[t]) {
                stores[t] = stores[*from].clone();
            }
        }
        for n in &g.nodes {
            if stores[n.output].is_none() && source[n.output] == Source::Moved {
                stores[n.output] = moved(g, n.output, &n.op, &n.inputs, &stores);
            }
        }
        // Chains of clamps and moves resolve in reverse as well.
        for t in (0..g.tensors.len()).rev() {
            if let (None, Source::Of(from)) = (&stores[t], &source[t]) {
                stores[t] = stores[*from].clone();
            }
        }
    }
    for (t, s) in stores.iter_mut().enumerate() {
        if let (Some(values), true) = (&g.tensors[t].constant, s.is_none()) {
            *s = constant(g, &links, &tail, t, values);
        }
    }
    for n in &g.nodes {
        ensure!(stores[n.output].is_some(), "node '{}': no codes follow from its neighbours", n.name);
    }
    let float_nodes = float_nodes(g, opts)?;
    Ok(Plan { tensors: stores, float_nodes, ..Plan::default() })
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Nothing,
    Float,
    /// Given by the source model or the caller.
    Fixed(Quant),
    /// From its own statistics (with those of its group).
    Own,
    /// The codes of another tensor.
    Of(TensorId),
    /// From its producer's inputs.
    Moved,
}

fn sources(g: &Graph, stats: &Stats, links: &Links, tail: &[bool], opts: &Options) -> Vec<Source> {
    let statistics = norms::statistics(g, links);
    let mut source = vec![Source::Nothing; g.tensors.len()];
    for (k, i) in g.inputs.iter().enumerate() {
        let given = opts.input_codes.get(k).cloned().flatten();
        let codes = g.tensors[i.tensor].codes.or(i.codes).map(|c| Quant::per_tensor(c.scale, c.zero));
        source[i.tensor] = codes.or(given).map_or(Source::Own, Source::Fixed);
    }
    for n in &g.nodes {
        let (t, from) = (n.output, n.inputs[0]);
        source[t] = if let Some(c) = g.tensors[t].codes {
            Source::Fixed(Quant::per_tensor(c.scale, c.zero))
        } else if tail[t] || statistics[t] {
            Source::Float
        } else if moves_values(&n.op) || matches!(n.op, Op::Concat(_)) {
            // Of a float value there are no codes to move.
            if n.inputs.iter().any(|&i| source[i] == Source::Float) { Source::Own } else { Source::Moved }
        } else if averages(&n.op) && source[from] != Source::Float {
            let width = |t: TensorId| stats.tensors[t].max.max(0.0) - stats.tensors[t].min.min(0.0);
            if width(t) < narrow(&n.op) * width(from) { Source::Own } else { Source::Moved }
        } else {
            Source::Own
        };
    }
    // A clamp and its producer are one step.
    for n in &g.nodes {
        let t = n.output;
        let clamped = links.sole_unary(g, t).filter(|(f, _)| matches!(f, Unary::Clamp { .. }));
        if let (Op::Conv(_) | Op::Binary(_), Some((_, out)), true) = (&n.op, clamped, g.tensors[t].codes.is_none())
            && source[out] != Source::Float
        {
            source[t] = Source::Of(out);
        }
    }
    source
}

/// Joins the owners whose channels have to mix; representatives by [`root`].
fn groups(g: &Graph, source: &[Source]) -> Vec<usize> {
    let mut group: Vec<usize> = (0..g.tensors.len()).collect();
    let mut uniform = vec![false; g.tensors.len()];
    for n in g.nodes.iter().rev() {
        let t = n.output;
        let joins = match n.op {
            Op::Concat(axis) => source[t] == Source::Moved && (uniform[t] || !matches!(axis, Axis::C)),
            _ => false,
        };
        let passes = uniform[t] && source[t] == Source::Moved;
        if wants_uniform(g, n) || passes || joins {
            n.inputs.iter().for_each(|&i| uniform[i] = true);
        }
        if joins {
            for &i in &n.inputs {
                let (a, b) = (root(&group, i), root(&group, n.inputs[0]));
                group[a] = b;
            }
        }
    }
    // Moved tensors stand for their inputs: tie each to the owner it comes from.
    for n in &g.nodes {
        let first = n.inputs[0];
        let joined = match n.op {
            Op::Concat(axis) => uniform[n.output] || !matches!(axis, Axis::C),
            _ => true,
        };
        if source[n.output] == Source::Moved && joined {
            let (a, b) = (root(&group, n.output), root(&group, first));
            group[a] = b;
        }
    }
    group
}

/// The codes of an output whose values are its inputs' values.
fn moved(g: &Graph, t: TensorId, op: &Op, inputs: &[TensorId], stores: &[Option<Store>]) -> Option<Store> {
    let quants: Vec<Quant> = inputs
        .iter()
        .map(|&i| match stores[i].as_ref() {
            Some(Store::U8(q)) => Some(q.clone()),
            // A constant among the inputs of a concat.
            None => g.tensors[i].constant.as_ref().map(|v| constant_codes(g.tensors[i].shape.c, v)),
            Some(Store::F32) => None,
        })
        .collect::<Option<_>>()?;
    let q = &quants[0];
    let pick = |index: &mut dyn Iterator<Item = usize>| {
        let index: Vec<usize> = index.collect();
        Quant { scale: index.iter().map(|&c| q.scale_of(c)).collect(), zero: index.iter().map(|&c| q.zero_of(c)).collect() }
    };
    let c = g.tensors[t].shape.c;
    let quant = match op {
        Op::Concat(Axis::C) => {
            if quants.iter().all(|p| p == q && p.scale.len() == 1) {
                q.clone()
            } else {
                let channels = || inputs.iter().zip(&quants).flat_map(|(&i, p)| (0..g.tensors[i].shape.c).map(move |c| (p, c)));
                Quant { scale: channels().map(|(p, c)| p.scale_of(c)).collect(), zero: channels().map(|(p, c)| p.zero_of(c)).collect() }
            }
        }
        _ if q.scale.len() == 1 => q.clone(),
        Op::Channels { index } => pick(&mut index.iter().map(|&k| k as usize)),
        Op::SpaceToDepth { .. } => pick(&mut (0..c).map(|k| k % q.scale.len())),
        _ if q.is_uniform() => Quant::per_tensor(q.scale[0], q.zero[0]),
        _ => q.clone(),
    };
    Some(Store::U8(quant))
}

/// Codes of a constant: per channel where it is one value a channel, which makes it exact.
fn constant_codes(c: usize, values: &[f32]) -> Quant {
    if c > 1 && values.len() == c {
        let each: Vec<Quant> = values.iter().map(|&v| Quant::from_range(v, v)).collect();
        return Quant { scale: each.iter().map(|q| q.scale[0]).collect(), zero: each.iter().map(|q| q.zero[0]).collect() };
    }
    let (lo, hi) = values.iter().fold((0f32, 0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    Quant::from_range(lo, hi)
}

fn constant(g: &Graph, links: &Links, tail: &[bool], t: TensorId, values: &[f32]) -> Option<Store> {
    if links.consumers[t].is_empty() {
        return None;
    }
    if let Some(c) = g.tensors[t].codes {
        return Some(Store::U8(Quant::per_tensor(c.scale, c.zero)));
    }
    if links.consumers[t].iter().all(|&k| tail[g.nodes[k].output]) {
        return Some(Store::F32);
    }
    Some(Store::U8(constant_codes(g.tensors[t].shape.c, values)))
}

/// Scales per channel for a tensor a convolution, a sum or a mean writes, through a clamp or, where allowed, a table function.
fn equalised(g: &Graph, stats: &Stats, links: &Links, source: &[Source], opts: &Options, t: TensorId, q: &Quant) -> Quant {
    let Some(mut k) = links.producer[t] else { return q.clone() };
    let from = g.nodes[k].inputs[0];
    let alone = links.sole_unary(g, from).is_some();
    let tables = g.tensors[t].shape.c <= opts.channel_tables;
    let table = matches!(&g.nodes[k].op, Op::Unary(f) if !matches!(f, Unary::Clamp { .. }));
    match g.nodes[k].op {
        Op::Unary(Unary::Clamp { .. }) if source[from] != Source::Of(t) => return q.clone(),
        Op::Unary(Unary::Clamp { .. }) => k = links.producer[from].unwrap_or(k),
        Op::Unary(_) if tables && alone => k = links.producer[from].unwrap_or(k),
        _ => {}
    }
    if !matches!(g.nodes[k].op, Op::Conv(_) | Op::Binary(_) | Op::AvgPool { .. }) {
        return q.clone();
    }
    if let (true, Some((f, _))) = (tables, links.sole_unary(g, t))
        && !matches!(f, Unary::Clamp { .. })
    {
        return equalise::own_ranges(&stats.tensors[t], q);
    }
    equalise::for_readers(g, stats, links, &|t| source[t] == Source::Moved, t, q, table).unwrap_or_else(|| q.clone())
}

fn float_nodes(g: &Graph, opts: &Options) -> Result<Vec<usize>> {
    let mut nodes = Vec::new();
    for name in &opts.float_layers {
        let found = g.nodes.iter().position(|n| &n.name == name && matches!(n.op, Op::Conv(_)));
        let Some(k) = found else {
            let all: Vec<&str> = g.nodes.iter().filter(|n| matches!(n.op, Op::Conv(_))).map(|n| n.name.as_str()).collect();
            anyhow::bail!("--keep-float {name}: no convolution has this name; there are: {}", all.join(", "));
        };
        nodes.push(k);
    }
    nodes.sort_unstable();
    nodes.dedup();
    Ok(nodes)
}
