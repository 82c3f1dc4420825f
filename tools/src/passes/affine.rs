//! Scale and shift per channel (batch normalisation, input normalisation) folded into convolutions.
//!
//! After a convolution `(w . x + b) * a + s` is a convolution with `w * a` and `b * a + s`, dense or depthwise. Before a
//! convolution a scale always folds, since padding stays zero; a shift only where no window touches padding.

use super::edit::{Uses, per_channel, replace};
use crate::ir::{Binary, Conv, Graph, Op, Pad, TensorId};

/// The map and constant of a Binary node: `(map, constant per channel, constant on the right)`.
fn operands(graph: &Graph, inputs: &[TensorId], c: usize) -> Option<(TensorId, Vec<f32>, bool)> {
    let is_constant = |t: TensorId| graph.tensors[t].constant.is_some();
    let (x, k, right) = match (is_constant(inputs[0]), is_constant(inputs[1])) {
        (false, true) => (inputs[0], inputs[1], true),
        (true, false) => (inputs[1], inputs[0], false),
        _ => return None,
    };
    (graph.tensors[x].shape.c == c).then_some(())?;
    per_channel(graph, k, c).map(|v| (x, v, right))
}

/// Factors and shifts of channels, where there are any.
type Line = (Option<Vec<f32>>, Option<Vec<f32>>);

/// The node as `x * factor + shift` per channel.
fn factors(op: Binary, values: Vec<f32>, right: bool) -> Option<Line> {
    let n = values.len();
    let made = match (op, right) {
        (Binary::Add, _) => (None, Some(values)),
        (Binary::Sub, true) => (None, Some(values.iter().map(|v| -v).collect())),
        (Binary::Sub, false) => (Some(vec![-1.0; n]), Some(values)),
        (Binary::Mul, _) => (Some(values), None),
        (Binary::Div, true) => (Some(values.iter().map(|v| 1.0 / v).collect()), None),
        _ => return None,
    };
    let finite = |l: &Option<Vec<f32>>| l.iter().flatten().all(|v| v.is_finite());
    (finite(&made.0) && finite(&made.1)).then_some(made)
}

pub(super) fn into_producer(graph: &mut Graph) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        let changed = fold_back(graph, i).is_some();
        if changed {
            count += 1;
        } else {
            i += 1;
        }
    }
    count
}

/// Folds binary node `i` into the convolution before it.
fn fold_back(graph: &mut Graph, i: usize) -> Option<()> {
    let node = &graph.nodes[i];
    let Op::Binary(op) = node.op else { return None };
    let output = node.output;
    let shape = graph.tensors[output].shape;
    let (x, values, right) = operands(graph, &node.inputs, shape.c)?;
    if graph.tensors[x].shape != shape {
        return None;
    }
    let p = Uses::of(graph).private(graph, x)?;
    let (factor, shift) = factors(op, values, right)?;
    let name = node.name.clone();
    let Op::Conv(conv) = &mut graph.nodes[p].op else { return None };
    if let Some(factor) = &factor {
        scale_outputs(conv, factor);
    }
    if let Some(shift) = &shift {
        conv.bias.iter_mut().zip(shift).for_each(|(b, s)| *b += s);
    }
    // The convolution now writes what the binary node wrote.
    graph.nodes[p].output = output;
    graph.nodes[p].name = name;
    graph.nodes.remove(i);
    Some(())
}

fn scale_outputs(conv: &mut Conv, factor: &[f32]) {
    let each = conv.weights.len() / conv.oc;
    for (o, &f) in factor.iter().enumerate() {
        conv.weights[o * each..(o + 1) * each].iter_mut().for_each(|w| *w *= f);
        conv.bias[o] *= f;
    }
    // A factor below zero may turn -128 into 128.
    if factor.iter().any(|&f| f <= 0.0) {
        conv.weight_scales = None;
    } else if let Some(scales) = &mut conv.weight_scales {
        scales.iter_mut().zip(factor).for_each(|(s, f)| *s *= f);
    }
}

pub(super) fn into_consumer(graph: &mut Graph) -> usize {
    let mut count = 0;
    let mut i = 0;
    while i < graph.nodes.len() {
        if fold_forward(graph, i).is_some() {
            count += 1;
        } else {
            i += 1;
        }
    }
    count
}

/// Folds binary node `i` into the convolutions that read it, when they are all its readers.
fn fold_forward(graph: &mut Graph, i: usize) -> Option<()> {
    let node = &graph.nodes[i];
    let Op::Binary(op) = node.op else { return None };
    let output = node.output;
    let shape = graph.tensors[output].shape;
    let (x, values, right) = operands(graph, &node.inputs, shape.c)?;
    let (factor, shift) = factors(op, values, right)?;
    let uses = Uses::of(graph);
    let readers = uses.readers(output).to_vec();
    let coded = graph.tensors[output].codes.is_some();
    if readers.is_empty() || uses.is_output(output) || coded || graph.tensors[x].shape != shape {
        return None;
    }
    let fits = |r: &usize| match &graph.nodes[*r].op {
        Op::Conv(c) => (shift.is_none() || c.pad == Pad::default()) && (factor.is_none() || scales_survive(c, &factor)),
        _ => false,
    };
    if !readers.iter().all(fits) {
        return None;
    }
    for r in readers {
        if let Op::Conv(conv) = &mut graph.nodes[r].op {
            shift_and_scale_inputs(conv, shape.c, factor.as_deref(), shift.as_deref());
        }
    }
    replace(graph, output, x);
    graph.nodes.remove(i);
    Some(())
}

/// Source codes of weights are worth more than a folded scale, unless the scale is the same for every input.
fn scales_survive(conv: &Conv, factor: &Option<Vec<f32>>) -> bool {
    let even = factor.as_ref().is_none_or(|f| f.iter().all(|v| *v == f[0] && *v > 0.0));
    conv.weight_scales.is_none() || even
}

/// Rewrites `conv(x * factor + shift)` as a convolution of `x`.
fn shift_and_scale_inputs(conv: &mut Conv, ic: usize, factor: Option<&[f32]>, shift: Option<&[f32]>) {
    let icg = ic / conv.groups;
    let ocg = conv.oc / conv.groups;
    let taps = conv.kh * conv.kw;
    for o in 0..conv.oc {
        let first = o / ocg * icg;
        for k in 0..taps {
            for i in 0..icg {
                let w = &mut conv.weights[(o * taps + k) * icg + i];
                if let Some(s) = shift {
                    conv.bias[o] += *w * s[first + i];
                }
                if let Some(f) = factor {
                    *w *= f[first + i];
                }
            }
        }
    }
    if let (Some(f), Some(scales)) = (factor, &mut conv.weight_scales) {
        scales.iter_mut().for_each(|s| *s *= f[0]);
    }
}
