//! What the float network's values look like: one pass over the frames.
//!
//! A histogram has 2048 bins of a power-of-two width aligned to multiples of that width, so that it grows by merging
//! pairs of bins when a value falls outside, and never needs the range in advance. Exact zeros are counted apart:
//! zero is always a code and costs nothing, however many there are.

use super::Options;
use crate::exec::Executor;
use crate::ir::Graph;
use anyhow::{Result, ensure};

const BINS: usize = 2048;
/// Values of one tensor of one frame that enter its histogram, about.
const SAMPLES: usize = 1 << 16;

/// Counts of the non-zero values of one tensor.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Width of a bin, a power of two; 0 while empty.
    pub width: f32,
    /// Bin `k` holds `(first + k) * width ..`.
    pub first: i64,
    pub counts: Vec<u64>,
}

/// Of one tensor over all frames. Per-channel vectors have `c` entries.
#[derive(Clone, Debug, Default)]
pub struct TensorStats {
    pub histogram: Histogram,
    pub min: f32,
    pub max: f32,
    pub zeros: u64,
    pub count: u64,
    pub channel_min: Vec<f32>,
    pub channel_max: Vec<f32>,
    /// Least and greatest values of each frame: `[frames][c]`.
    pub frame_min: Vec<f32>,
    pub frame_max: Vec<f32>,
    pub channel_mean: Vec<f32>,
    pub channel_mean_abs: Vec<f32>,
    pub channel_mean_square: Vec<f32>,
}

/// Per tensor; constants and tensors never computed stay empty.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub tensors: Vec<TensorStats>,
    pub frames: usize,
}

/// Runs the float network on every frame.
pub fn observe(g: &Graph, frames: impl Iterator<Item = Vec<f32>>, _opts: &Options) -> Result<Stats> {
    ensure!(g.inputs.len() == 1, "calibration drives one input, the model has {}", g.inputs.len());
    let mut e = Executor::new(g)?;
    let mut stats = Stats { tensors: vec![TensorStats::default(); g.tensors.len()], frames: 0 };
    for frame in frames {
        let mut bad = None;
        e.run_with(&[frame], |t, v| {
            if !stats.tensors[t].add(g.tensors[t].shape.c, v) {
                bad.get_or_insert(t);
            }
        })?;
        if let Some(t) = bad {
            anyhow::bail!(
                "calibration frame {}: '{}' is not finite; check the input's mean and scale, or a Log or Div in the model",
                stats.frames,
                g.tensors[t].name
            );
        }
        stats.frames += 1;
    }
    ensure!(stats.frames > 0, "calibration needs at least one frame");
    for t in &mut stats.tensors {
        let rows = (t.count as f32 / t.channel_min.len().max(1) as f32).max(1.0);
        t.channel_mean.iter_mut().chain(&mut t.channel_mean_abs).chain(&mut t.channel_mean_square).for_each(|m| *m /= rows);
    }
    Ok(stats)
}

impl TensorStats {
    /// A channel's entries of `frame_min` or `frame_max`.
    pub fn frames_of<'a>(&self, extremes: &'a [f32], channel: usize) -> impl Iterator<Item = f32> + use<'a> {
        extremes.iter().skip(channel).step_by(self.channel_max.len().max(1)).copied()
    }

    /// False where a value is not finite.
    fn add(&mut self, c: usize, values: &[f32]) -> bool {
        if self.count == 0 {
            self.channel_min = vec![f32::INFINITY; c];
            self.channel_max = vec![f32::NEG_INFINITY; c];
            self.channel_mean = vec![0.0; c];
            self.channel_mean_abs = vec![0.0; c];
            self.channel_mean_square = vec![0.0; c];
        }
        let (mut sum, mut abs, mut square) = (vec![0f32; c], vec![0f32; c], vec![0f32; c]);
        let (mut low, mut high) = (vec![f32::INFINITY; c], vec![f32::NEG_INFINITY; c]);
        for row in values.chunks_exact(c) {
            for k in 0..c {
                let v = row[k];
                low[k] = if v < low[k] { v } else { low[k] };
                high[k] = if v > high[k] { v } else { high[k] };
                sum[k] += v;
                abs[k] += v.abs();
                square[k] += v * v;
            }
        }
        if abs.iter().any(|v| !v.is_finite()) {
            return false;
        }
        for k in 0..c {
            self.channel_min[k] = self.channel_min[k].min(low[k]);
            self.channel_max[k] = self.channel_max[k].max(high[k]);
            self.channel_mean[k] += sum[k];
            self.channel_mean_abs[k] += abs[k];
            self.channel_mean_square[k] += square[k];
        }
        self.frame_min.extend(low);
        self.frame_max.extend(high);
        self.count += values.len() as u64;
        self.min = self.channel_min.iter().copied().fold(f32::INFINITY, f32::min);
        self.max = self.channel_max.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Ranges are those of every value; the histogram of a large map takes every n-th pixel.
        let step = (values.len() / SAMPLES).max(1);
        for row in values.chunks_exact(c).step_by(step) {
            self.zeros += self.histogram.add(row, step as u64, self.min, self.max);
        }
        true
    }
}

impl Histogram {
    /// Adds the values, all within `lo..=hi`, each for `weight`; returns the weight of those exactly zero.
    pub fn add(&mut self, values: &[f32], weight: u64, lo: f32, hi: f32) -> u64 {
        self.cover(lo.min(0.0), hi.max(0.0));
        if self.counts.is_empty() {
            return values.len() as u64 * weight;
        }
        let (inverse, mut zeros) = (1.0 / self.width, 0);
        for &v in values {
            if v == 0.0 {
                zeros += weight;
                continue;
            }
            // `floor` without a call to the mathematics library.
            let at = v * inverse;
            let whole = at as i64;
            let bin = whole - i64::from(at < whole as f32) - self.first;
            self.counts[bin.clamp(0, BINS as i64 - 1) as usize] += weight;
        }
        zeros
    }

    /// Grows until `lo..=hi` lies inside.
    fn cover(&mut self, lo: f32, hi: f32) {
        let span = (hi - lo).max(1e-30);
        if hi == 0.0 && lo == 0.0 {
            return;
        }
        if self.counts.is_empty() {
            self.counts = vec![0; BINS];
            self.width = (span / (BINS as f32 / 2.0)).log2().ceil().exp2();
            self.first = (lo / self.width).floor() as i64;
            return;
        }
        loop {
            let (a, b) = ((lo / self.width).floor() as i64, (hi / self.width).floor() as i64);
            if a >= self.first && b < self.first + BINS as i64 {
                return;
            }
            // Shift where the values fit at this width, else halve the resolution.
            let used = |k: &u64| *k > 0;
            let low = self.counts.iter().position(used).map_or(a, |k| self.first + k as i64).min(a);
            let high = self.counts.iter().rposition(used).map_or(b, |k| self.first + k as i64).max(b);
            let (width, first) = if high - low < BINS as i64 { (self.width, low) } else { (2.0 * self.width, low.div_euclid(2)) };
            let mut counts = vec![0; BINS];
            for (k, &n) in self.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
                let at = self.first + k as i64;
                let at = if width == self.width { at } else { at.div_euclid(2) } - first;
                counts[at.clamp(0, BINS as i64 - 1) as usize] += n;
            }
            (self.counts, self.width, self.first) = (counts, width, first);
        }
    }

    /// `(centre, count)` of the bins that hold something.
    pub fn bins(&self) -> impl Iterator<Item = (f32, u64)> + '_ {
        let centre = |k: usize| (self.first as f64 + k as f64 + 0.5) * f64::from(self.width);
        self.counts.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(k, &n)| (centre(k) as f32, n))
    }
}
