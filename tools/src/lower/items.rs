//! Nodes to steps: a convolution takes the residual addition, clamp or table that follows it along.
//!
//! ```text
//! Conv -> Add(other) -> Clamp | table      one step: clamp(rne(acc * m + b + other * r)), table
//! Binary -> Clamp | table                  one step
//! ```
//!
//! A tensor between two fused nodes has one reader and is no output.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};

use super::Lowering;
use crate::calibrate::Store;
use crate::ir::{Axis, Binary, Conv, Node, Op, Shape, Unary, Window};

/// One step to be.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub name: String,
    pub kind: Kind,
    /// Tensors read. A constant second operand is not among them.
    pub inputs: Vec<usize>,
    pub output: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Node of the convolution; the second input, if any, is the residual.
    Conv {
        node: usize,
        depthwise: bool,
        clamp: Option<(f32, f32)>,
        table: Option<(usize, Unary)>,
    },
    ConvF32 {
        node: usize,
        clamp: Option<(f32, f32)>,
    },
    /// `table`: the tensor whose codes the table takes, and its function.
    Binary {
        f: Binary,
        clamp: Option<(f32, f32)>,
        table: Option<(usize, Unary)>,
        constant: Option<usize>,
        negate: bool,
    },
    Unary(Unary),
    PRelu {
        node: usize,
    },
    /// Same reals under other codes or another type.
    Convert,
    Copy,
    /// Moves nothing: the input lies in the output at channel `c0`, pixel `(y0, x0)`.
    Join {
        c0: usize,
        y0: usize,
        x0: usize,
        first: bool,
    },
    Reshape,
    /// An average of codes with codes of its own, or of reals.
    Mean(Window),
    /// An average of reals.
    MeanF32(Window),
    /// Each pixel times its factor.
    Factors(Vec<f32>),
    /// Everything else, as the node says.
    Node(usize),
}

/// The convolution a node stands for on the device, where groups are depthwise or one.
pub(crate) fn dense_weights(conv: &Conv, codes: &[i8], ic: usize) -> Vec<i8> {
    if conv.groups == 1 {
        return codes.to_vec();
    }
    // Other groupings: zeros outside the group's block.
    let (icg, ocg) = (ic / conv.groups, conv.oc / conv.groups);
    let taps = conv.kh * conv.kw;
    let mut all = vec![0; conv.oc * taps * ic];
    for o in 0..conv.oc {
        for t in 0..taps {
            let from = &codes[(o * taps + t) * icg..][..icg];
            all[(o * taps + t) * ic + o / ocg * icg..][..icg].copy_from_slice(from);
        }
    }
    all
}

pub(crate) fn build(l: &mut Lowering) -> Result<()> {
    let graph = l.graph;
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    for (n, node) in graph.nodes.iter().enumerate() {
        for t in &node.inputs {
            readers.entry(*t).or_default().push(n);
        }
    }
    let is_output = |t: usize| graph.outputs.iter().any(|o| o.tensor == t);
    let only_reader = |t: usize| match readers.get(&t).map(Vec::as_slice) {
        Some([n]) if !is_output(t) => Some(*n),
        _ => None,
    };
    let mut taken = vec![false; graph.nodes.len()];
    // An item stands where its last node stood: by then all its inputs are there.
    let mut placed: Vec<(usize, Item)> = Vec::new();

    for (n, node) in graph.nodes.iter().enumerate() {
        if taken[n] {
            continue;
        }
        taken[n] = true;
        let mut item = item(l, n, node).with_context(|| format!("node \"{}\"", node.name))?;
        let mut last = n;
        while let Some(next) = only_reader(item.output).filter(|next| !taken[*next]) {
            let follower = &graph.nodes[next];
            if !fuse(l, &mut item, follower, &readers)? {
                break;
            }
            taken[next] = true;
            item.output = follower.output;
            item.name = follower.name.clone();
            last = next;
        }
        placed.push((last, item));
    }
    placed.sort_by_key(|(at, _)| *at);
    l.items = placed.into_iter().map(|(_, item)| item).collect();
    expand(l)
}

fn tensor_inputs(l: &Lowering, node: &Node) -> Vec<usize> {
    node.inputs.iter().copied().filter(|t| l.graph.tensors[*t].constant.is_none()).collect()
}

fn item(l: &Lowering, n: usize, node: &Node) -> Result<Item> {
    let inputs = tensor_inputs(l, node);
    ensure!(!inputs.is_empty(), "all inputs are constant; it should have been folded");
    let real = |t: usize| matches!(l.values[t].as_ref().map(|v| &v.store), Some(Store::F32));
    let kind = match &node.op {
        Op::Conv(_) if l.plan.float_nodes.contains(&n) || real(inputs[0]) => Kind::ConvF32 { node: n, clamp: None },
        Op::Conv(c) => {
            let ic = l.value(inputs[0])?.shape.c;
            let depthwise = c.groups > 1 && c.groups == ic && c.oc == ic && c.kh * c.kw <= 256;
            Kind::Conv { node: n, depthwise, clamp: None, table: None }
        }
        Op::Binary(f) => {
            let constant = node.inputs.iter().position(|t| l.graph.tensors[*t].constant.is_some());
            let (f, negate) = match (f, constant) {
                // c - x is (-x) + c.
                (Binary::Sub, Some(0)) => (Binary::Add, true),
                (Binary::Div, Some(0)) => bail!("a constant divided by a tensor: write it as Reciprocal and Mul"),
                (f, _) => (*f, false),
            };
            let constant = constant.map(|k| node.inputs[k]);
            Kind::Binary { f, clamp: None, table: None, constant, negate }
        }
        Op::Unary(u) => Kind::Unary(*u),
        Op::PRelu { .. } => Kind::PRelu { node: n },
        Op::Reshape => Kind::Reshape,
        _ => Kind::Node(n),
    };
    Ok(Item { name: node.name.clone(), kind, inputs, output: node.output })
}

/// Takes `follower` into `item` if the device can do both in one step.
fn fuse(l: &Lowering, item: &mut Item, follower: &Node, readers: &HashMap<usize, Vec<usize>>) -> Result<bool> {
    let between = item.output;
    let codes = |t: usize| l.plan.quant(t);
    // Codes of the source model that end at 0 are a Relu its quantiser left out: only a table, which takes codes, keeps it.
    let relu = l.graph.tensors[between].codes.is_some_and(|c| c.zero == 0 || c.zero == 255);
    if relu && matches!(follower.op, Op::Binary(_) | Op::Unary(Unary::Clamp { .. })) {
        return Ok(false);
    }
    match (&mut item.kind, &follower.op) {
        (Kind::Conv { depthwise: false, clamp: None, table: None, .. }, Op::Binary(Binary::Add)) if item.inputs.len() == 1 => {
            let Some(other) = follower.inputs.iter().copied().find(|t| *t != between) else { return Ok(false) };
            let same = |t: usize| l.values[t].as_ref().map(|v| v.shape);
            let fits = same(other).is_some()
                && same(other) == same(follower.output)
                && same(between) == same(follower.output)
                && codes(other).is_some()
                && codes(follower.output).is_some();
            // The other operand must be there when the convolution runs; that is at the addition's place.
            let _ = readers;
            if fits {
                item.inputs.push(other);
            }
            Ok(fits)
        }
        (
            Kind::Conv { clamp: clamp @ None, table: None, .. } | Kind::Binary { clamp: clamp @ None, table: None, .. },
            Op::Unary(Unary::Clamp { lo, hi }),
        ) => {
            *clamp = Some((*lo, *hi));
            Ok(true)
        }
        (Kind::ConvF32 { clamp: clamp @ None, .. }, Op::Unary(Unary::Clamp { lo, hi })) => {
            let real = matches!(l.value(follower.output)?.store, Store::F32);
            if real {
                *clamp = Some((*lo, *hi));
            }
            Ok(real)
        }
        (Kind::Conv { clamp: None, table: table @ None, .. } | Kind::Binary { clamp: None, table: table @ None, .. }, Op::Unary(u)) => {
            let flat = |t: usize| codes(t).is_some_and(|q| q.is_uniform());
            let fits = flat(between) && flat(follower.output);
            if fits {
                *table = Some((between, *u));
            }
            Ok(fits)
        }
        _ => Ok(false),
    }
}

/// Nodes that need more than one step: concatenations, operators between tensors of different type.
fn expand(l: &mut Lowering) -> Result<()> {
    let items = std::mem::take(&mut l.items);
    let mut out: Vec<Item> = Vec::with_capacity(items.len());
    for mut item in items {
        match &item.kind {
            Kind::Node(n) => match &l.graph.nodes[*n].op {
                Op::Concat(axis) => {
                    concat(l, &mut out, &item, *axis)?;
                    continue;
                }
                Op::AvgPool { .. } | Op::GlobalAvgPool if matches!(l.value(item.inputs[0])?.store, Store::F32) => {
                    out.extend(super::mean::of_reals(l, &item, *n)?);
                    continue;
                }
                Op::AvgPool { .. } if !same_store(&l.value(item.inputs[0])?.store, &l.value(item.output)?.store) => {
                    match super::mean::items(l, &item, *n)? {
                        Some(items) => out.extend(items),
                        None => same_codes(l, &mut out, &mut item)?,
                    }
                    continue;
                }
                Op::MaxPool(_)
                | Op::AvgPool { .. }
                | Op::GlobalMaxPool
                | Op::Index { .. }
                | Op::Bilinear { .. }
                | Op::DepthToSpace { .. }
                | Op::SpaceToDepth { .. }
                | Op::Permute { .. }
                | Op::Channels { .. } => {
                    same_codes(l, &mut out, &mut item)?;
                    continue;
                }
                _ => {}
            },
            Kind::Reshape => {
                same_codes(l, &mut out, &mut item)?;
                continue;
            }
            Kind::Binary { negate: true, .. } if matches!(l.value(item.inputs[0])?.store, Store::F32) => {
                // Codes change their sign with their scale, reals in a step of their own.
                let v = l.value(item.inputs[0])?.clone();
                let negative = l.add(format!("{}.negative", v.name), v.shape, Store::F32);
                let name = item.name.clone();
                out.push(Item { name, kind: Kind::Unary(Unary::Neg), inputs: vec![item.inputs[0]], output: negative });
                item.inputs[0] = negative;
                if let Kind::Binary { negate, .. } = &mut item.kind {
                    *negate = false;
                }
            }
            Kind::ConvF32 { .. } => {
                // Dequantise in front, quantise behind.
                let x = item.inputs[0];
                if let Store::U8(_) = l.value(x)?.store {
                    let v = l.value(x)?.clone();
                    let real = l.add(format!("{}.f32", v.name), v.shape, Store::F32);
                    out.push(Item { name: item.name.clone(), kind: Kind::Convert, inputs: vec![x], output: real });
                    item.inputs[0] = real;
                }
                let y = item.output;
                if let Store::U8(_) = l.value(y)?.store {
                    let v = l.value(y)?.clone();
                    let real = l.add(format!("{}.f32", v.name), v.shape, Store::F32);
                    let name = item.name.clone();
                    out.push(Item { output: real, ..item });
                    out.push(Item { name, kind: Kind::Convert, inputs: vec![real], output: y });
                    continue;
                }
            }
            _ => {}
        }
        out.push(item);
    }
    l.items = out;
    Ok(())
}

/// The codes of `index`-picked channels of `store`, where an operator only moves values.
fn moved(l: &Lowering, item: &Item, store: &Store) -> Store {
    match (&item.kind, store) {
        (Kind::Node(n), Store::U8(q)) if q.scale.len() > 1 => match &l.graph.nodes[*n].op {
            Op::Channels { index } => {
                let mut q = q.clone();
                q.scale = index.iter().map(|k| q.scale[*k as usize]).collect();
                let zero: Vec<u8> = index.iter().map(|k| q.zero_of(*k as usize)).collect();
                q.zero = zero;
                Store::U8(q)
            }
            _ => store.clone(),
        },
        _ => store.clone(),
    }
}

/// Operators that move codes: where the result is to have other codes than the operand, a conversion follows.
fn same_codes(l: &mut Lowering, out: &mut Vec<Item>, item: &mut Item) -> Result<()> {
    let (x, y) = (l.value(item.inputs[0])?.clone(), l.value(item.output)?.clone());
    let natural = moved(l, item, &x.store);
    if natural == y.store {
        out.push(item.clone());
        return Ok(());
    }
    let raw = l.add(format!("{}.raw", y.name), y.shape, natural);
    out.push(Item { output: raw, ..item.clone() });
    out.push(Item { name: item.name.clone(), kind: Kind::Convert, inputs: vec![raw], output: item.output });
    Ok(())
}

/// The part of a concatenation's codes that belongs to channels `c0..c0 + c`.
fn part(store: &Store, c0: usize, c: usize) -> Store {
    match store {
        Store::U8(q) => {
            let cut = |n: usize| if n > 1 { c0..c0 + c } else { 0..1 };
            let mut q = q.clone();
            q.scale = q.scale[cut(q.scale.len())].to_vec();
            q.zero = q.zero[cut(q.zero.len())].to_vec();
            if q.scale.len() != q.zero.len() {
                let n = q.scale.len().max(q.zero.len());
                q.scale = (0..n).map(|k| q.scale_of(k)).collect();
                q.zero = (0..n).map(|k| q.zero_of(k)).collect();
            }
            if q.is_uniform() {
                q.scale.truncate(1);
                q.zero.truncate(1);
            }
            Store::U8(q)
        }
        Store::F32 => Store::F32,
    }
}

fn same_store(a: &Store, b: &Store) -> bool {
    match (a, b) {
        (Store::F32, Store::F32) => true,
        (Store::U8(a), Store::U8(b)) => {
            let n = a.scale.len().max(b.scale.len()).max(a.zero.len()).max(b.zero.len());
            (0..n).all(|c| a.scale_of(c) == b.scale_of(c) && a.zero_of(c) == b.zero_of(c))
        }
        _ => false,
    }
}

fn concat(l: &mut Lowering, out: &mut Vec<Item>, item: &Item, axis: Axis) -> Result<()> {
    ensure!(
        item.inputs.len() == l.graph.nodes.iter().find(|n| n.output == item.output).map_or(0, |n| n.inputs.len()),
        "\"{}\" joins constants with tensors; this is a defect of the converter",
        item.name
    );
    let whole = l.value(item.output)?.clone();
    let (mut c0, mut y0, mut x0) = (0, 0, 0);
    for (k, &input) in item.inputs.iter().enumerate() {
        let v = l.value(input)?.clone();
        let Shape { h, w, c } = v.shape;
        let wanted = match axis {
            Axis::C => part(&whole.store, c0, c),
            _ => whole.store.clone(),
        };
        // A part whose codes differ, or which already lies elsewhere, is copied to a place of its own.
        let home = if same_store(&v.store, &wanted) && may_move(l, out, input) {
            input
        } else {
            let kind = if same_store(&v.store, &wanted) { Kind::Copy } else { Kind::Convert };
            let copy = l.add(format!("{}.part{k}", whole.name), v.shape, wanted);
            out.push(Item { name: item.name.clone(), kind, inputs: vec![input], output: copy });
            copy
        };
        let kind = Kind::Join { c0, y0, x0, first: k == 0 };
        l.homes.insert(home, super::homes::Home::Part { parent: item.output, c0, y0, x0 });
        out.push(Item { name: item.name.clone(), kind, inputs: vec![home], output: item.output });
        match axis {
            Axis::C => c0 += c,
            Axis::H => y0 += h,
            Axis::W => x0 += w,
        }
    }
    Ok(())
}

/// Whether a tensor can live inside a concatenation: it is computed by a step and lives nowhere else yet.
fn may_move(l: &Lowering, out: &[Item], t: usize) -> bool {
    let computed = out.iter().any(|i| i.output == t && !matches!(i.kind, Kind::Join { .. }));
    computed && !l.homes.contains_key(&t)
}
