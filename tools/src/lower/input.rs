//! Camera pixels are codes: scale, mean, deviation and channel order of a frame fold into the first layer.
//!
//! A model wants `real[c] = (pixel[c'] * scale - mean[c]) / std[c]`, `c'` the channel in the model's order. As codes that is
//! `scale[c] / std[c] * (pixel - zero[c])` with `zero = mean / scale`, seldom whole. The zero code is rounded, what is left
//! (`delta` reals) is constant and goes into the bias of the first convolutions; only pixels of the zero padding keep an error of
//! half a code.
//!
//! A model that begins with a scale or shift of its own, `real' = a * real + b` with `a > 0`, has it folded into mean and std first. Zero
//! padding keeps its meaning: it comes after them.

use anyhow::{Result, bail, ensure};

use crate::artifact::Norm;
use crate::calibrate::Quant;
use crate::ir::{Binary, Graph, Node, Op, Tensor};

/// Value `c` of a mean or deviation: one for all channels, or one each.
fn value_of(v: &[f32], c: usize) -> Result<f32> {
    match v {
        [one] => Ok(*one),
        _ => {
            v.get(c).copied().ok_or_else(|| anyhow::anyhow!("{} mean or std values for channel {c}: give one, or one per channel", v.len()))
        }
    }
}

/// Makes the graph input take pixels. Returns the codes of the input.
pub fn fold_input(graph: &mut Graph, norm: &Norm) -> Result<Quant> {
    let [input] = &graph.inputs[..] else { bail!("the model has {} inputs; pixels need exactly one", graph.inputs.len()) };
    let x = input.tensor;
    let c = graph.tensors[x].shape.c;
    if let Some(codes) = input.codes {
        // An integer input: its pixels are its codes.
        return Ok(Quant::per_tensor(codes.scale, codes.zero));
    }
    for (what, v) in [("--mean", &norm.mean), ("--std", &norm.std)] {
        ensure!(v.len() <= 1 || v.len() == c, "{what}: {} values for {c} channels; give one, or one per channel", v.len());
    }
    let norm = &absorb(graph, norm)?;
    let (mut scale, mut zero, mut delta) = (Vec::new(), Vec::new(), Vec::new());
    for k in 0..c {
        let (mean, std) = (value_of(&norm.mean, k)?, value_of(&norm.std, k)?);
        ensure!(
            norm.scale > 0.0 && std > 0.0 && norm.scale.is_finite() && mean.is_finite(),
            "scale and std must be positive (channel {k}: scale {}, std {std})",
            norm.scale
        );
        let exact = mean / norm.scale;
        let whole = exact.round().clamp(0.0, 255.0);
        scale.push(norm.scale / std);
        zero.push(whole as u8);
        delta.push(norm.scale / std * (whole - exact));
    }
    if norm.bgr {
        ensure!(c == 3, "--color bgr needs an input of 3 channels, this model's has {c}");
        scale.reverse();
        zero.reverse();
        reverse_channels(graph, x);
    }
    // `delta` stays in the model's order: the bias of the convolution's own weights.
    let readers: Vec<usize> = (0..graph.nodes.len()).filter(|n| graph.nodes[*n].inputs.contains(&x)).collect();
    let exact = delta.iter().all(|d| d.abs() < 1e-6);
    if !exact {
        let order: Vec<usize> = if norm.bgr { (0..c).rev().collect() } else { (0..c).collect() };
        for n in readers {
            let Op::Conv(conv) = &mut graph.nodes[n].op else { continue };
            let icg = c / conv.groups;
            let per = conv.kh * conv.kw * icg;
            for (o, w) in conv.weights.chunks_exact(per).enumerate() {
                let first = o / (conv.oc / conv.groups) * icg;
                conv.bias[o] += w.iter().enumerate().map(|(i, w)| w * delta[order[first + i % icg]]).sum::<f32>();
            }
        }
    }
    let uniform = scale.windows(2).all(|w| w[0] == w[1]) && zero.windows(2).all(|w| w[0] == w[1]);
    if uniform {
        scale.truncate(1);
        zero.truncate(1);
    }
    Ok(Quant { scale, zero })
}

/// Takes scales and shifts at the start of the graph into the preprocessing.
fn absorb(graph: &mut Graph, norm: &Norm) -> Result<Norm> {
    let mut norm = norm.clone();
    let x = graph.inputs[0].tensor;
    while let Some((n, steps)) = first_affine(graph, x) {
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for (k, (a, b)) in steps.iter().enumerate() {
            // a * (p - m) / s + b = (p - (m - b * s / a)) / (s / a)
            let s = value_of(&norm.std, k)? / a;
            std.push(s);
            mean.push(value_of(&norm.mean, k)? - b * s);
        }
        // The zero code of the padding has to exist.
        let exists = |mean: &f32| (-0.5..=255.5).contains(&(mean / norm.scale));
        if !mean.iter().all(exists) || !std.iter().all(|s| s.is_finite() && *s > 0.0) {
            break;
        }
        (norm.mean, norm.std) = (mean, std);
        let y = graph.nodes.remove(n).output;
        for input in graph.nodes.iter_mut().flat_map(|n| &mut n.inputs).filter(|t| **t == y) {
            *input = x;
        }
        for output in graph.outputs.iter_mut().filter(|o| o.tensor == y) {
            output.tensor = x;
        }
    }
    Ok(norm)
}

/// The only reader of `x`, if it is a scale or shift by constants: factor (positive) and summand of each channel.
fn first_affine(graph: &Graph, x: usize) -> Option<(usize, Vec<(f32, f32)>)> {
    let mut readers = (0..graph.nodes.len()).filter(|n| graph.nodes[*n].inputs.contains(&x));
    let (n, None) = (readers.next()?, readers.next()) else { return None };
    let node = &graph.nodes[n];
    let (Op::Binary(f), [a, b]) = (&node.op, &node.inputs[..]) else { return None };
    let [from, to] = [&graph.tensors[x], &graph.tensors[node.output]];
    if from.shape != to.shape || from.codes.is_some() || to.codes.is_some() || graph.outputs.iter().any(|o| o.tensor == x) {
        return None;
    }
    let c = from.shape.c;
    let second = *a == x;
    let other = &graph.tensors[if second { *b } else { *a }];
    let values = other.constant.as_ref()?;
    let values = match values[..] {
        [v] => vec![v; c],
        _ if other.shape.rows() == 1 && values.len() == c => values.clone(),
        _ => return None,
    };
    let steps = values.into_iter().map(|v| {
        let (a, b) = match f {
            Binary::Add => (1.0, v),
            Binary::Sub if second => (1.0, -v),
            Binary::Mul => (v, 0.0),
            Binary::Div if second => (1.0 / v, 0.0),
            _ => return None,
        };
        (a > 0.0 && a.is_finite() && b.is_finite()).then_some((a, b))
    });
    Some((n, steps.collect::<Option<_>>()?))
}

/// Makes the readers of `x` take its channels in reverse.
fn reverse_channels(graph: &mut Graph, x: usize) {
    let mut swapped = None;
    for n in 0..graph.nodes.len() {
        if !graph.nodes[n].inputs.contains(&x) {
            continue;
        }
        match &mut graph.nodes[n].op {
            Op::Conv(conv) if conv.groups == 1 => {
                let c = conv.weights.len() / (conv.oc * conv.kh * conv.kw);
                conv.weights.chunks_exact_mut(c).for_each(|w| w.reverse());
            }
            _ => {
                let flipped = *swapped.get_or_insert_with(|| {
                    let t = graph.tensors[x].clone();
                    graph.tensors.push(Tensor { name: format!("{}.rgb", t.name), ..t });
                    graph.tensors.len() - 1
                });
                graph.nodes[n].inputs.iter_mut().filter(|i| **i == x).for_each(|i| *i = flipped);
            }
        }
    }
    if let Some(flipped) = swapped {
        let c = graph.tensors[x].shape.c as u32;
        let op = Op::Channels { index: (0..c).rev().collect() };
        graph.nodes.insert(0, Node { name: "input.rgb".into(), op, inputs: vec![x], output: flipped });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Executor;
    use crate::ir::{Conv, ElementType, Input, Output, Pad, Shape};

    /// `conv(((x - 120) / [60, 50, 40]) * 0.5 + 0.25)`, 3x3 with padding.
    fn model() -> Graph {
        let shape = Shape { h: 5, w: 4, c: 3 };
        let one = Shape { h: 1, w: 1, c: 1 };
        let tensor = |name: &str, shape, constant| Tensor { name: name.into(), shape, codes: None, constant };
        let tensors = vec![
            tensor("x", shape, None),
            tensor("120", one, Some(vec![120.0])),
            tensor("sub", shape, None),
            tensor("std", Shape { h: 1, w: 1, c: 3 }, Some(vec![60.0, 50.0, 40.0])),
            tensor("div", shape, None),
            tensor("half", one, Some(vec![0.5])),
            tensor("mul", shape, None),
            tensor("quarter", one, Some(vec![0.25])),
            tensor("add", shape, None),
            tensor("y", Shape { h: 5, w: 4, c: 2 }, None),
        ];
        let conv = Conv {
            weights: (0..54).map(|i| (i * 37 % 23) as f32 / 11.0 - 1.0).collect(),
            bias: vec![0.5, -0.5],
            oc: 2,
            kh: 3,
            kw: 3,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad { t: 1, l: 1, b: 1, r: 1 },
            groups: 1,
            weight_scales: None,
        };
        let node = |op, inputs: &[usize], output| Node { name: format!("n{output}"), op, inputs: inputs.to_vec(), output };
        Graph {
            tensors,
            nodes: vec![
                node(Op::Binary(Binary::Sub), &[0, 1], 2),
                node(Op::Binary(Binary::Div), &[2, 3], 4),
                node(Op::Binary(Binary::Mul), &[5, 4], 6),
                node(Op::Binary(Binary::Add), &[6, 7], 8),
                node(Op::Conv(conv), &[8], 9),
            ],
            inputs: vec![Input {
                tensor: 0,
                name: "x".into(),
                onnx_shape: vec![1, 3, 5, 4],
                onnx_type: ElementType::F32,
                axes: (Some(2), Some(3), Some(1)),
                codes: None,
            }],
            outputs: vec![Output {
                tensor: 9,
                name: "y".into(),
                onnx_shape: vec![1, 2, 5, 4],
                strides: vec![40, 1, 8, 2],
                offset: 0,
                onnx_type: ElementType::F32,
                codes: None,
            }],
        }
    }

    fn outputs(graph: &Graph, input: Vec<f32>) -> Vec<Vec<f32>> {
        let mut exec = Executor::new(graph).unwrap();
        exec.run(&[input]).unwrap();
        exec.outputs()
    }

    #[test]
    fn leading_scales_and_shifts_fold_and_padding_stays() {
        let pixels: Vec<u8> = (0..60).map(|i| (i * 53 % 256) as u8).collect();
        let float = model();
        let mut folded = model();
        let q = fold_input(&mut folded, &Norm::plain()).unwrap();
        assert_eq!(folded.nodes.len(), 1, "only the convolution is left");
        crate::ir::verify(&folded).unwrap();
        let a = outputs(&float, pixels.iter().map(|p| *p as f32).collect());
        let b = outputs(&folded, pixels.iter().enumerate().map(|(i, p)| q.real(i % 3, *p)).collect());
        // Means of 120 - 0.25 * 2 * std: 90, 95, 100, whole codes, so that the padding is exact.
        assert_eq!(q.zero, [90, 95, 100]);
        for (a, b) in a[0].iter().zip(&b[0]) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn negative_factors_stay() {
        let mut graph = model();
        graph.tensors[5].constant = Some(vec![-0.5]);
        fold_input(&mut graph, &Norm::plain()).unwrap();
        assert_eq!(graph.nodes.len(), 3, "the shift and the scale before it fold");
    }

    #[test]
    fn a_shift_with_another_reader_stays() {
        let mut graph = model();
        graph.nodes[3].inputs[1] = 0;
        fold_input(&mut graph, &Norm::plain()).unwrap();
        assert_eq!(graph.nodes.len(), 5);
    }
}
