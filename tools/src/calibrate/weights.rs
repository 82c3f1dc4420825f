//! Weights to signed 8-bit codes, one scale per output channel.

use super::Quant;
use crate::ir::Conv;

/// The integer convolution: `real out = scale[o] * sum codes * (code_in - zero_in) + bias[o]`.
#[derive(Clone, Debug, PartialEq)]
pub struct QConv {
    /// `[oc][kh][kw][ic / groups]`.
    pub codes: Vec<i8>,
    /// `[oc]`; holds the input's scale as well.
    pub scale: Vec<f32>,
}

/// Folds the input channels' scales into the weights and rounds them. A source model's own weight scales are kept
/// where the input has one scale, which gives its integers back; else each output channel takes the clipping that
/// loses least.
pub fn quantise_weights(conv: &Conv, input: &Quant) -> QConv {
    let per = (conv.weights.len() / conv.oc.max(1)).max(1);
    let icg = (per / (conv.kh * conv.kw).max(1)).max(1);
    let ocg = (conv.oc / conv.groups.max(1)).max(1);
    let mut codes = Vec::with_capacity(conv.weights.len());
    let mut scale = Vec::with_capacity(conv.oc);
    for (o, row) in conv.weights.chunks_exact(per).enumerate() {
        if let (Some(scales), true) = (&conv.weight_scales, input.is_uniform()) {
            codes.extend(row.iter().map(|w| (w / scales[o]).round_ties_even().clamp(-128.0, 127.0) as i8));
            scale.push(scales[o] * input.scale[0]);
            continue;
        }
        let first = o / ocg * icg;
        let folded: Vec<f32> = row.iter().enumerate().map(|(k, w)| w * input.scale_of(first + k % icg)).collect();
        let step = clipping(&folded);
        codes.extend(folded.iter().map(|w| (w / step).round_ties_even().clamp(-127.0, 127.0) as i8));
        scale.push(step);
    }
    QConv { codes, scale }
}

/// The step of least squared error among shrunk maxima.
fn clipping(w: &[f32]) -> f32 {
    let top = w.iter().fold(0f32, |m, v| m.max(v.abs()));
    if top < f32::MIN_POSITIVE * 1e3 {
        return 1.0;
    }
    let error =
        |step: f32| -> f64 { w.iter().map(|v| f64::from(v - (v / step).round_ties_even().clamp(-127.0, 127.0) * step).powi(2)).sum() };
    let step = |k: i32| top * (1.0 - 0.02 * k as f32) / 127.0;
    (0..20).map(step).map(|s| (error(s), s)).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(top / 127.0, |b| b.1)
}

/// What the integer weights stand for, in the layout of `conv.weights`.
pub fn dequantise(conv: &Conv, input: &Quant, q: &QConv) -> Vec<f32> {
    let per = (conv.weights.len() / conv.oc.max(1)).max(1);
    let icg = (per / (conv.kh * conv.kw).max(1)).max(1);
    let ocg = (conv.oc / conv.groups.max(1)).max(1);
    let value = |(k, &code): (usize, &i8)| {
        let o = k / per;
        f32::from(code) * q.scale[o] / input.scale_of(o / ocg * icg + k % per % icg)
    };
    q.codes.iter().enumerate().map(value).collect()
}
