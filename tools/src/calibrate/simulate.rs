//! The integer network, in the float executor.
//!
//! Weights are replaced by what their codes stand for, and every tensor stored as codes is rounded to them as soon as
//! it is computed. The sums are then those of the integer network up to the rounding of f32 additions.
//!
//! *Isolated*: after its error is measured, each tensor is set back to the float network's value (rounded to its
//! codes), so that an error is that of one layer alone. Otherwise errors accumulate as they will on the device.
//! A tensor read by a function alone is one layer with it: it is not set back, and what counts is the function's error
//! (below a SiLU's or a ReLU's bend the tensor's own may be anything).

use super::rules::Links;
use super::weights::dequantise;
use super::{Plan, Quant, Store};
use crate::exec::Executor;
use crate::ir::{Graph, Op};
use anyhow::Result;

/// Of one tensor, over all simulated frames.
#[derive(Clone, Debug, Default)]
pub struct TensorError {
    pub signal: f64,
    pub noise: f64,
    /// Sums for the cosine: of products, and of squares of the simulated values.
    pub dot: f64,
    pub square: f64,
    pub count: u64,
    /// Values beyond the codes' range by more than half a step.
    pub saturated: u64,
    /// Per channel, mean of float minus simulated value, before rounding to the tensor's codes. Empty when isolated.
    pub channel_mean_error: Vec<f64>,
    /// Per channel, least and greatest simulated value.
    pub channel_range: Vec<(f32, f32)>,
}

/// Errors of every tensor.
#[derive(Clone, Debug, Default)]
pub struct Simulation {
    pub tensors: Vec<TensorError>,
}

impl TensorError {
    /// Signal to noise, dB; at most 150.
    pub fn sqnr_db(&self) -> f32 {
        if self.noise <= self.signal * 1e-15 {
            return 150.0;
        }
        (10.0 * (self.signal.max(1e-30) / self.noise).log10()) as f32
    }

    pub fn cosine(&self) -> f32 {
        let scale = (self.signal * self.square).sqrt();
        if scale > 0.0 { (self.dot / scale) as f32 } else { 1.0 }
    }
}

/// Runs float and integer networks side by side.
pub fn simulate(g: &Graph, plan: &Plan, frames: &[Vec<f32>], isolated: bool) -> Result<Simulation> {
    compare(g, plan, frames, if isolated { Mode::Isolated } else { Mode::Whole })
}

/// The bias changes that make each integer convolution's channel means those of the float network, added to the
/// changes the plan has. Layer by layer within a frame: a convolution's output is shifted to the frame's float means
/// before the next layer reads it, so that no layer corrects the error of one before it; the shifts are averaged over
/// the frames.
pub fn corrected_biases(g: &Graph, plan: &Plan, frames: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
    Ok(compare(g, plan, frames, Mode::Correct)?.bias_shift(g, plan))
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Whole,
    Isolated,
    Correct,
}

/// Whether a convolution's bias may change: a source model's own integers are left alone.
fn correctable(plan: &Plan, k: usize, op: &Op) -> bool {
    matches!(op, Op::Conv(c) if c.weight_scales.is_none()) && !plan.float_nodes.contains(&k)
}

fn compare(g: &Graph, plan: &Plan, frames: &[Vec<f32>], mode: Mode) -> Result<Simulation> {
    let isolated = mode == Mode::Isolated;
    let shifted: Vec<bool> = {
        let mut s = vec![false; g.tensors.len()];
        let correct = |(k, n): &(usize, &crate::ir::Node)| mode == Mode::Correct && correctable(plan, *k, &n.op);
        g.nodes.iter().enumerate().filter(correct).for_each(|(_, n)| s[n.output] = true);
        s
    };
    let mut integer = g.clone();
    for (k, n) in integer.nodes.iter_mut().enumerate() {
        let Some(weights) = plan.integer_weights(g, k) else { continue };
        if let (Op::Conv(c), Some(q)) = (&mut n.op, plan.quant(n.inputs[0])) {
            c.weights = dequantise(c, q, &weights);
        }
    }
    for (k, n) in integer.nodes.iter_mut().enumerate() {
        if let Op::Conv(c) = &mut n.op {
            c.bias = plan.bias(k, c);
        }
    }
    for (t, v) in integer.tensors.iter_mut().enumerate() {
        if let (Some(values), Some(q)) = (&mut v.constant, plan.quant(t)) {
            round(q, v.shape.c, values);
        }
    }
    let mut reference = Executor::new(g)?;
    reference.keep_all();
    let mut simulated = Executor::new(&integer)?;
    let links = Links::new(g);
    let reset: Vec<bool> = (0..g.tensors.len()).map(|t| isolated && links.sole_unary(g, t).is_none()).collect();
    let mut errors: Vec<TensorError> = vec![TensorError::default(); g.tensors.len()];
    for frame in frames {
        let frame = std::slice::from_ref(frame);
        reference.run(frame)?;
        simulated.run_hooked(frame, |t, v| {
            let c = g.tensors[t].shape.c;
            let Some(float) = reference.value(t) else { return };
            let e = &mut errors[t];
            let means = if isolated { Vec::new() } else { e.mean_error(c, float, v) };
            if shifted[t] {
                v.chunks_exact_mut(c).for_each(|row| row.iter_mut().zip(&means).for_each(|(v, m)| *v += m));
            }
            if let Some(Store::U8(q)) = &plan.tensors[t] {
                e.saturated += beyond(q, c, v);
                round(q, c, v);
                e.add(c, float, v);
                if reset[t] {
                    v.copy_from_slice(float);
                    round(q, c, v);
                }
            } else {
                e.add(c, float, v);
                if reset[t] {
                    v.copy_from_slice(float);
                }
            }
        })?;
    }
    for (t, e) in errors.iter_mut().enumerate() {
        let rows = (g.tensors[t].shape.rows() * frames.len().max(1)) as f64;
        e.channel_mean_error.iter_mut().for_each(|m| *m /= rows);
    }
    Ok(Simulation { tensors: errors })
}

impl TensorError {
    /// Adds this frame's errors per channel, and returns their means.
    fn mean_error(&mut self, c: usize, float: &[f32], v: &[f32]) -> Vec<f32> {
        let mut sums = vec![0f32; c];
        for (f, v) in float.chunks_exact(c).zip(v.chunks_exact(c)) {
            for k in 0..c {
                sums[k] += f[k] - v[k];
            }
        }
        self.channel_mean_error.resize(c, 0.0);
        self.channel_mean_error.iter_mut().zip(&sums).for_each(|(m, s)| *m += f64::from(*s));
        let rows = (v.len() / c) as f32;
        sums.iter().map(|s| s / rows).collect()
    }

    fn add(&mut self, c: usize, float: &[f32], v: &[f32]) {
        self.channel_range.resize(c, (f32::INFINITY, f32::NEG_INFINITY));
        for row in v.chunks_exact(c) {
            for (r, &v) in self.channel_range.iter_mut().zip(row) {
                *r = (if v < r.0 { v } else { r.0 }, if v > r.1 { v } else { r.1 });
            }
        }
        // Lanes of f32 sums over short stretches, so that the loop vectorises and no sum grows long.
        const LANES: usize = 16;
        for (float, v) in float.chunks(64 * LANES).zip(v.chunks(64 * LANES)) {
            let mut sums = [[0f32; LANES]; 4];
            let mut add = |l: usize, f: f32, v: f32| {
                sums[0][l] += f * f;
                sums[1][l] += (f - v) * (f - v);
                sums[2][l] += f * v;
                sums[3][l] += v * v;
            };
            let (pf, pv) = (float.chunks_exact(LANES), v.chunks_exact(LANES));
            pf.remainder().iter().zip(pv.remainder()).enumerate().for_each(|(l, (f, v))| add(l, *f, *v));
            for (f, v) in pf.zip(pv) {
                (0..LANES).for_each(|l| add(l, f[l], v[l]));
            }
            let total = |k: usize| sums[k].iter().map(|v| f64::from(*v)).sum::<f64>();
            self.signal += total(0);
            self.noise += total(1);
            self.dot += total(2);
            self.square += total(3);
        }
        self.count += v.len() as u64;
    }
}

/// Replaces values by what their codes stand for.
pub fn round(q: &Quant, c: usize, values: &mut [f32]) {
    // Adding 1.5 * 2^23 rounds to nearest even, within the range clamped to.
    const SHIFT: f32 = 12_582_912.0;
    let one = |v: f32, inverse: f32, scale: f32, zero: f32| {
        let code = (v * inverse + zero).clamp(0.0, 255.0) + SHIFT - SHIFT;
        (code - zero) * scale
    };
    if q.scale.len() == 1 && q.zero.len() == 1 {
        let (scale, zero) = (q.scale[0], f32::from(q.zero[0]));
        let inverse = 1.0 / scale;
        values.iter_mut().for_each(|v| *v = one(*v, inverse, scale, zero));
        return;
    }
    let channels: Vec<(f32, f32, f32)> = (0..c).map(|k| (1.0 / q.scale_of(k), q.scale_of(k), f32::from(q.zero_of(k)))).collect();
    for row in values.chunks_exact_mut(c) {
        for (v, &(inverse, scale, zero)) in row.iter_mut().zip(&channels) {
            *v = one(*v, inverse, scale, zero);
        }
    }
}

fn beyond(q: &Quant, c: usize, values: &[f32]) -> u64 {
    let ends: Vec<(f32, f32)> = (0..c)
        .map(|k| {
            let ((lo, hi), half) = (q.range(k), 0.5 * q.scale_of(k));
            (lo - half, hi + half)
        })
        .collect();
    let mut n = 0;
    for row in values.chunks_exact(c) {
        n += row.iter().zip(&ends).filter(|(v, (lo, hi))| *v < lo || *v > hi).count() as u64;
    }
    n
}

impl Simulation {
    /// The plan's bias changes plus the mean errors seen.
    fn bias_shift(&self, g: &Graph, plan: &Plan) -> Vec<Vec<f32>> {
        let mut shift = plan.bias_shift.clone();
        shift.resize(g.nodes.len(), Vec::new());
        for (k, n) in g.nodes.iter().enumerate().filter(|(k, n)| correctable(plan, *k, &n.op)) {
            let error = &self.tensors[n.output].channel_mean_error;
            shift[k].resize(error.len(), 0.0);
            // Behind a division by a code of 0 there may be no number.
            shift[k].iter_mut().zip(error).filter(|(_, e)| e.is_finite()).for_each(|(s, e)| *s += *e as f32);
        }
        shift
    }
}
