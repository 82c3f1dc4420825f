//! Answers timing requests on standard input, so that a script can interleave this engine with others round by round.
//!
//! ```text
//! steps MODEL FRAMES.npy [KERNELS]
//! > step          one dense step on the next frame
//! < 3921554       its nanoseconds: input, every layer, outputs read to f32
//! > quit
//! ```
//!
//! `MODEL` is a model of the asset set. `FRAMES.npy` holds the frames that all peers get, f32, the model's input shape with
//! the frames first; they are calibrated on as well. Pixels are made from them with the task's preprocessing. The first
//! line written is `ready`, the kernel set, and the multiply-accumulates of a step.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use quiescent::{Mode, kernels};
use quiescent_benches::{cases, serve};
use quiescent_tools::artifact::{self, InputKind, InputSpec};
use quiescent_tools::clip;
use quiescent_tools::convert::{self, Prepared};
use quiescent_tools::feed::Input;
use quiescent_tools::ir::ElementType;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, file, ..] = &args[..] else { bail!("usage: steps MODEL FRAMES.npy [KERNELS]") };
    let task = cases::task(model)?;
    let options = cases::options(model);
    let prepared = convert::prepare(&options, Some(&task))?;
    let (_, values) = clip::npy::read(file.as_ref())?;
    let [h, w, c] = prepared.input.shape;
    ensure!(!values.is_empty() && values.len() % (h * w * c) == 0, "{file}: frames of {:?} are wanted", prepared.input.onnx_shape);
    let frames: Vec<Input> = values.chunks_exact(h * w * c).map(|v| frame(&prepared, &to_map(&prepared.input, v))).collect();
    let artifact = convert::quantise(&options, &prepared, &frames, None)?;
    let mut available = kernels::available();
    let set = match args.get(2) {
        Some(name) => available.find(|k| k.name == name.as_str()).with_context(|| format!("no kernel set {name} here"))?,
        None => available.last().context("no kernels")?,
    };
    let mut arena = artifact.arena();
    let mut engine = artifact.engine(&mut arena, set)?;
    engine.set_mode(Mode::Dense);
    let mut lengths: Vec<Vec<f32>> = Vec::new();
    let mut next = frames.iter().cycle();
    serve::answer(&format!("{} {}", set.name, artifact.header().cost.macs.get()), || {
        let frame = next.next().context("no frames")?;
        let start = Instant::now();
        let outputs = artifact::step(&mut engine, frame)?;
        for (k, o) in outputs.iter().enumerate() {
            if lengths.len() <= k {
                lengths.push(vec![0.0; o.len()]);
            }
            o.read(&mut lengths[k]);
        }
        Ok(start.elapsed())
    })
}

/// From the model's input layout to `[h, w, c]`.
fn to_map(spec: &InputSpec, v: &[f32]) -> Vec<f32> {
    let [h, w, c] = spec.shape;
    let strides: Vec<usize> = (0..spec.onnx_shape.len()).map(|a| spec.onnx_shape[a + 1..].iter().product()).collect();
    let stride = |axis: Option<usize>| axis.and_then(|a| strides.get(a)).copied().unwrap_or(0);
    let (sh, sw, sc) = (stride(spec.axes.0), stride(spec.axes.1), stride(spec.axes.2));
    let at = |k: usize| v[k / (w * c) * sh + k / c % w * sw + k % c * sc];
    (0..h * w * c).map(at).collect()
}

/// Undoes the preprocessing where the artifact takes pixels.
fn frame(p: &Prepared, v: &[f32]) -> Input {
    if p.input.kind == InputKind::Values {
        return Input::Values(v.to_vec());
    }
    let c = p.input.shape[2];
    let Some(norm) = &p.input.norm else {
        let offset = if p.graph.inputs[0].onnx_type == ElementType::I8 { 128.0 } else { 0.0 };
        return Input::Pixels(v.iter().map(|v| (v + offset).clamp(0.0, 255.0) as u8).collect());
    };
    let at = |v: &[f32], k: usize| v.get(k).or(v.first()).copied().unwrap_or(0.0);
    let pixel = |i: usize| {
        // Frames are RGB; the model may take blue first.
        let k = i % c;
        let from = if norm.bgr { i - k + c - 1 - k } else { i };
        let k = if norm.bgr { c - 1 - k } else { k };
        ((v[from] * at(&norm.std, k) + at(&norm.mean, k)) / norm.scale).round().clamp(0.0, 255.0) as u8
    };
    Input::Pixels((0..v.len()).map(pixel).collect())
}
