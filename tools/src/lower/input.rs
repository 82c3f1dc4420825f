//! Camera pixels are codes: scale, mean, deviation and channel order of a frame fold into the first layer.
//!
//! A model wants `real[c] = (pixel[c'] * scale - mean[c]) / std[c]`, `c'` the channel in the model's order. As codes that is
//! `scale[c] / std[c] * (pixel - zero[c])` with `zero = mean / scale`, seldom whole. The zero code is rounded, what is left
//! (`delta` reals) is constant and goes into the bias of the first convolutions; only pixels of the zero padding keep an error of
//! half a code.

use anyhow::{Result, bail, ensure};

use crate::calibrate::Quant;
use crate::ir::{Graph, Node, Op, Tensor};
use crate::task::{Color, InputHints};

/// Preprocessing of a frame: `(pixel * scale - mean) / std` per channel, in the model's channel order.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Norm {
    pub scale: f32,
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    /// The model takes blue first; frames are RGB.
    pub bgr: bool,
}

impl Norm {
    /// Pixels as they are.
    pub fn plain() -> Self {
        Self { scale: 1.0, mean: vec![0.0], std: vec![1.0], bgr: false }
    }

    /// What a task file says of the input; `None` if it says nothing.
    pub fn from_hints(hints: &InputHints) -> Option<Self> {
        let plain = Self::plain();
        let said = hints.scale.is_some() || hints.mean.is_some() || hints.std.is_some() || hints.color.is_some();
        said.then(|| Self {
            scale: hints.scale.unwrap_or(plain.scale),
            mean: hints.mean.clone().unwrap_or(plain.mean),
            std: hints.std.clone().unwrap_or(plain.std),
            bgr: hints.color == Some(Color::Bgr),
        })
    }

    fn of(v: &[f32], c: usize) -> Result<f32> {
        match v {
            [one] => Ok(*one),
            _ => v.get(c).copied().ok_or_else(|| {
                anyhow::anyhow!("{} mean or std values for channel {c}: give one, or one per channel", v.len())
            }),
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
    let (mut scale, mut zero, mut delta) = (Vec::new(), Vec::new(), Vec::new());
    for k in 0..c {
        let (mean, std) = (Norm::of(&norm.mean, k)?, Norm::of(&norm.std, k)?);
        ensure!(
            norm.scale > 0.0 && std > 0.0 && norm.scale.is_finite() && mean.is_finite(),
            "scale and std must be positive (channel {k}: scale {}, std {std})", norm.scale
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
