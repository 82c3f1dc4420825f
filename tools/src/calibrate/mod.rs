//! Choosing 8-bit codes for a float graph, and saying what they cost.
//!
//! The number system: an activation is `real = scale[c] * (code - zero[c])` with `code` in `0..=255` and one or `C`
//! entries in `scale` and `zero`; zero is always a code. Weights are signed 8-bit with one scale per output channel;
//! the scales of a convolution's *input* channels are folded into its weights before these are rounded, so branches
//! that a concat joins keep their own scales. Accumulation is exact, `out = clamp(rne(f32(acc) * m[oc] + b[oc]))`.
//!
//! ```text
//! frames -> observe -> Stats        histograms and per-channel ranges of every tensor, float network
//!           choose  -> Plan         codes or f32 for every tensor
//!           simulate -> Simulation  the integer network in the float executor: error per layer, mean error per channel
//! calibrate: all of it, with bias correction and the per-layer report
//! ```
//!
//! Clipping ranges minimise the cubed or squared error of the rounded values (of the function's values where a table
//! function is the only reader); which of the two, the simulated outputs decide. Bias correction is that of Nagel et al., "Data-free quantization through weight equalization
//! and bias correction" (2019), measured on data. Massive activations: see [`report`].

mod choose;
mod equalise;
mod norms;
mod observe;
mod range;
pub mod report;
mod rules;
mod simulate;
#[cfg(test)]
mod tests;
mod weights;

pub use choose::choose;
pub use observe::{Histogram, Stats, TensorStats, observe};
pub use report::LayerReport;
pub use simulate::{Simulation, TensorError, corrected_biases, simulate};
pub use weights::{QConv, quantise_weights};

use crate::ir::{Conv, Graph, Op};
use anyhow::{Result, ensure};

/// `real = scale[c] * (code - zero[c])`, one entry for all channels or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Quant {
    pub scale: Vec<f32>,
    pub zero: Vec<u8>,
}

/// How a tensor is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Store {
    U8(Quant),
    F32,
}

/// How a clipping range is chosen from a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Everything seen fits.
    MinMax,
    /// This share of the values fits (`0.9999`), half of the rest lost at either end.
    Percentile(f32),
    /// Least squared error.
    Mse,
    /// Least cubed error: cuts less of what is large and rare, as the response to an object in an empty scene.
    Cubic,
    /// `Cubic`, or `Mse` where the simulated outputs are clearly better with it.
    Auto,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub method: Method,
    /// Names of nodes (convolutions) to compute in f32.
    pub float_layers: Vec<String>,
    /// Keep a few convolutions that 8 bits serve badly in f32.
    pub auto_float: bool,
    /// Per-channel scales between a convolution (with a clamp) and the convolutions that alone read it.
    pub equalise: bool,
    /// The same where a table function stands between them, for up to this many channels: the function then has a table
    /// of 256 bytes for each channel. 0 keeps one table a function.
    pub channel_tables: usize,
    /// Correct biases by the mean error the codes cause.
    pub bias_correction: bool,
    /// Codes of the graph inputs, where the caller knows them (pixels: from mean, deviation and scale).
    pub input_codes: Vec<Option<Quant>>,
    /// Frames simulated for the bias correction, spread over the calibration frames; the report takes half of them.
    pub simulated_frames: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            method: Method::Auto,
            float_layers: Vec::new(),
            auto_float: false,
            equalise: true,
            channel_tables: 64,
            bias_correction: true,
            input_codes: Vec::new(),
            simulated_frames: 8,
        }
    }
}

/// The decision: what every tensor is stored as.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Per tensor; `None` for tensors nothing uses.
    pub tensors: Vec<Option<Store>>,
    /// Convolutions computed in f32 from dequantised inputs (node numbers, ascending).
    pub float_nodes: Vec<usize>,
    /// Added to the bias of a convolution: per node, empty or one value per output channel.
    pub bias_shift: Vec<Vec<f32>>,
    /// One entry per computed tensor, in execution order.
    pub layers: Vec<LayerReport>,
    /// Signal to quantisation noise of each graph output over the simulated frames, dB.
    pub outputs_sqnr_db: Vec<f32>,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl Quant {
    pub fn per_tensor(scale: f32, zero: u8) -> Self {
        Quant { scale: vec![scale], zero: vec![zero] }
    }

    /// One scale and one zero for all channels.
    pub fn is_uniform(&self) -> bool {
        self.scale.windows(2).all(|w| w[0] == w[1]) && self.zero.windows(2).all(|w| w[0] == w[1])
    }

    pub fn scale_of(&self, c: usize) -> f32 {
        self.scale[c % self.scale.len()]
    }

    pub fn zero_of(&self, c: usize) -> u8 {
        self.zero[c % self.zero.len()]
    }

    /// Codes of `[lo, hi]`, widened to hold zero; zero is exactly a code.
    pub fn from_range(lo: f32, hi: f32) -> Self {
        let (lo, hi) = (lo.min(0.0), hi.max(0.0));
        let width = hi - lo;
        if !(width.is_finite() && width > f32::MIN_POSITIVE * 1e6) {
            return Quant::per_tensor(1.0 / 255.0, 0);
        }
        let zero = (-lo / width * 255.0).round();
        // The scale that loses neither end after zero has moved to a whole code.
        let up = if zero < 255.0 { hi / (255.0 - zero) } else { 0.0 };
        let down = if zero > 0.0 { -lo / zero } else { 0.0 };
        Quant::per_tensor(up.max(down), zero as u8)
    }

    pub fn code(&self, c: usize, real: f32) -> u8 {
        (real / self.scale_of(c) + f32::from(self.zero_of(c))).round_ties_even().clamp(0.0, 255.0) as u8
    }

    pub fn real(&self, c: usize, code: u8) -> f32 {
        self.scale_of(c) * (f32::from(code) - f32::from(self.zero_of(c)))
    }

    /// The reals the codes of channel `c` span.
    pub fn range(&self, c: usize) -> (f32, f32) {
        (self.real(c, 0), self.real(c, 255))
    }
}

impl Plan {
    /// The codes of a tensor stored as codes.
    pub fn quant(&self, tensor: usize) -> Option<&Quant> {
        match self.tensors.get(tensor)? {
            Some(Store::U8(q)) => Some(q),
            _ => None,
        }
    }

    /// The integer weights of a convolution; `None` where it is computed in f32 or reads f32.
    pub fn integer_weights(&self, g: &Graph, node: usize) -> Option<QConv> {
        let n = g.nodes.get(node)?;
        let Op::Conv(conv) = &n.op else { return None };
        if self.float_nodes.contains(&node) {
            return None;
        }
        Some(quantise_weights(conv, self.quant(n.inputs[0])?))
    }

    /// The corrected bias of a convolution.
    pub fn bias(&self, node: usize, conv: &Conv) -> Vec<f32> {
        let mut bias = conv.bias.clone();
        if let Some(shift) = self.bias_shift.get(node) {
            bias.iter_mut().zip(shift).for_each(|(b, s)| *b += s);
        }
        bias
    }
}

/// By how much squared error has to beat cubed error: the mean over calibration says little of what is rare in it.
const CLEARLY_DB: f32 = 3.0;

/// Observes, chooses, simulates, corrects and reports. `frames` are the values of the graph's one input.
pub fn calibrate(g: &Graph, frames: &[Vec<f32>], opts: &Options) -> Result<Plan> {
    ensure!(!frames.is_empty(), "calibration needs at least one frame");
    let stats = observe(g, frames.iter().cloned(), opts)?;
    if opts.method != Method::Auto {
        return planned(g, &stats, frames, opts);
    }
    let with = |method| planned(g, &stats, frames, &Options { method, ..opts.clone() });
    let (cubic, mse) = (with(Method::Cubic)?, with(Method::Mse)?);
    let worst = |p: &Plan| p.outputs_sqnr_db.iter().copied().fold(f32::INFINITY, f32::min);
    Ok(if worst(&mse) > worst(&cubic) + CLEARLY_DB { mse } else { cubic })
}

fn planned(g: &Graph, stats: &Stats, frames: &[Vec<f32>], opts: &Options) -> Result<Plan> {
    let mut plan = choose(g, stats, opts)?;
    let spread = |n: usize| -> Vec<Vec<f32>> {
        let n = n.clamp(1, frames.len());
        (0..n).map(|k| frames[k * frames.len() / n].clone()).collect()
    };
    let (corrected, reported) = (spread(opts.simulated_frames), spread(opts.simulated_frames.div_ceil(2)));
    if opts.auto_float {
        let isolated = simulate(g, &plan, &reported, true)?;
        report::keep_worst_float(g, &mut plan, &isolated);
    }
    if opts.bias_correction {
        plan.bias_shift = corrected_biases(g, &plan, &corrected)?;
    }
    let isolated = simulate(g, &plan, &reported, true)?;
    let whole = simulate(g, &plan, &reported, false)?;
    report::fill(g, &mut plan, stats, &isolated, &whole);
    Ok(plan)
}
