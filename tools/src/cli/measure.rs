//! What running a clip cost: one record for run, eval, bench and demo.
//!
//! The first frame of a gated run has nothing to compare with and is computed whole; its time and work stand apart, all
//! means and percentiles are over the frames after it (over all frames of a dense run). Times are of `Engine::step`
//! alone. Percentiles are by nearest rank.

use quiescent::{Engine, Stats};
use quiescent_tools::artifact::Artifact;
pub use quiescent_tools::machine::cpu::name as machine;
use serde::Serialize;

use super::args::{GateArgs, Means};
use super::talk::{bytes, count, percent, threads};

/// Milliseconds of steps.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<f64>);

impl Times {
    pub fn push(&mut self, ms: f64) {
        self.0.push(ms);
    }

    /// The time of step `i`, or the least of those given for it; steps come in order.
    pub fn least(&mut self, i: usize, ms: f64) {
        match self.0.get_mut(i) {
            Some(least) => *least = least.min(ms),
            None => self.push(ms),
        }
    }

    pub fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }

    /// Times longer than `ms`.
    pub fn above(&self, ms: f64) -> usize {
        self.0.iter().filter(|t| **t > ms).count()
    }

    /// `p` from 0 to 1; 1 is the worst.
    pub fn at(&self, p: f64) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (p * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied()
    }
}

/// Collects frame by frame.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    frames: usize,
    first: Option<f64>,
    /// Frames after the first.
    gated: Times,
    dense: Times,
    macs: u64,
    pixels: u64,
    whole: usize,
    waiting: usize,
    /// Rows recomputed after the first frame, per step.
    rows: Vec<u64>,
}

/// The result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunStats {
    pub model: String,
    pub clip: String,
    pub frames: usize,
    pub gate_scale: Option<f32>,
    pub macs_dense: u64,
    pub macs_done_mean: f64,
    /// Work left: multiply-accumulates done per dense frame's, frames after the first.
    pub mac_fraction: f64,
    /// Share of input pixels that passed the input gate.
    pub pixel_fraction: f64,
    /// Frames after the first that were computed whole (scene cuts).
    pub whole_frames: usize,
    /// Frames whose changes waited for a later one.
    pub waiting_frames: usize,
    /// Longest predicted time of a gated frame, and the frames that took longer.
    pub budget_ms: Option<f32>,
    pub over_budget: Option<usize>,
    /// From the file's name to an engine that takes frames, the file in the system's cache.
    pub ms_load: Option<f64>,
    pub ms_first: Option<f64>,
    pub ms_gated_mean: Option<f64>,
    pub ms_gated_p50: Option<f64>,
    pub ms_gated_p95: Option<f64>,
    pub ms_gated_p99: Option<f64>,
    pub ms_gated_worst: Option<f64>,
    pub ms_dense_mean: Option<f64>,
    pub ms_dense_p50: Option<f64>,
    pub ms_dense_p95: Option<f64>,
    pub ms_dense_p99: Option<f64>,
    pub ms_dense_worst: Option<f64>,
    /// Time saved per work saved, of the means; `None` where less than 1 % of the work was saved.
    pub efficiency: Option<f64>,
    pub arena_bytes: usize,
    pub arena_dense_bytes: usize,
    pub artifact_bytes: usize,
    pub kernels: String,
    pub machine: String,
    pub threads: usize,
}

impl Meter {
    /// A frame of the engine under test, gated or dense.
    pub fn add(&mut self, engine: &Engine, ms: f64) {
        let stats: Stats = engine.stats();
        self.frames += 1;
        if self.first.is_none() {
            self.first = Some(ms);
            return;
        }
        self.gated.push(ms);
        self.macs += stats.macs;
        self.pixels += if stats.waits { 0 } else { stats.pixels.into() };
        self.whole += stats.dense as usize;
        self.waiting += stats.waits as usize;
        for s in engine.step_stats() {
            if self.rows.len() <= s.step {
                self.rows.resize(s.step + 1, 0);
            }
            self.rows[s.step] += s.rows as u64;
        }
    }

    /// A dense step of the same frames.
    pub fn dense(&mut self, ms: f64) {
        self.dense.push(ms);
    }

    /// Share of rows recomputed by each step, frames after the first.
    pub fn shares(&self, artifact: &Artifact) -> Vec<f64> {
        let model = artifact.model();
        let frames = self.frames.saturating_sub(1).max(1) as f64;
        let of = |i: usize| model.tensors[model.steps[i].output as usize].rows().max(1) as f64;
        (0..model.steps.len()).map(|i| self.rows.get(i).copied().unwrap_or(0) as f64 / frames / of(i)).collect()
    }

    /// `gating` is `None` for a dense run, whose times are the dense ones.
    pub fn finish(mut self, artifact: &Artifact, file: &str, clip: &str, means: &Means, gating: Option<&GateArgs>) -> RunStats {
        let scale = gating.map(|g| g.gate_scale);
        let budget_ms = gating.and_then(|g| g.budget_ms);
        let header = artifact.header();
        let dense = header.cost.macs.get();
        let later = self.frames.saturating_sub(1);
        let input = &artifact.model().tensors[header.input as usize];
        // A single frame was computed whole.
        let done = if later > 0 { self.macs as f64 / later as f64 } else { dense as f64 };
        let mac_fraction = if dense > 0 { done / dense as f64 } else { 1.0 };
        let pixels = if later > 0 { self.pixels as f64 / later as f64 / input.rows() as f64 } else { 1.0 };
        if scale.is_none() {
            self.dense = std::mem::take(&mut self.gated);
            if later == 0 {
                self.first.into_iter().for_each(|ms| self.dense.push(ms));
            }
        }
        let saved = self.gated.mean().zip(self.dense.mean()).map(|(g, d)| 1.0 - g / d);
        RunStats {
            model: file.into(),
            clip: clip.into(),
            frames: self.frames,
            gate_scale: scale,
            macs_dense: dense,
            macs_done_mean: done,
            mac_fraction,
            pixel_fraction: if scale.is_none() { 1.0 } else { pixels },
            whole_frames: self.whole,
            waiting_frames: self.waiting,
            budget_ms,
            over_budget: budget_ms.map(|ms| self.gated.above(ms.into())),
            ms_load: None,
            ms_first: self.first,
            ms_gated_mean: self.gated.mean(),
            ms_gated_p50: self.gated.at(0.5),
            ms_gated_p95: self.gated.at(0.95),
            ms_gated_p99: self.gated.at(0.99),
            ms_gated_worst: self.gated.at(1.0),
            ms_dense_mean: self.dense.mean(),
            ms_dense_p50: self.dense.at(0.5),
            ms_dense_p95: self.dense.at(0.95),
            ms_dense_p99: self.dense.at(0.99),
            ms_dense_worst: self.dense.at(1.0),
            efficiency: saved.filter(|_| mac_fraction < 0.99).map(|s| s / (1.0 - mac_fraction)),
            arena_bytes: header.arena_len as usize,
            arena_dense_bytes: header.arena_dense_len as usize,
            artifact_bytes: artifact.bytes().len(),
            kernels: means.kernels.name.into(),
            machine: machine(),
            threads: means.threads(),
        }
    }
}

impl RunStats {
    /// A few lines.
    pub fn text(&self) -> String {
        let (kernels, machine, threads) = (&self.kernels, &self.machine, threads(self.threads));
        let mut t = format!("{} on {}, {} frames, {kernels} kernels, {machine}, {threads}\n", self.model, self.clip, self.frames);
        t += &format!(
            "memory     artifact {}, arena {} ({} with whole maps, none of them held)\n",
            bytes(self.artifact_bytes),
            bytes(self.arena_bytes),
            bytes(self.arena_dense_bytes)
        );
        if let Some(ms) = self.ms_load {
            t += &format!("load       {ms:.2} ms: mapped, checked, ready for a frame\n");
        }
        match self.gate_scale {
            Some(scale) => {
                t += &format!(
                    "work       {} of {} multiply-accumulates a frame: {} left, {} of the pixels changed, gate scale {scale}",
                    count(self.macs_done_mean as u64),
                    count(self.macs_dense),
                    percent(self.mac_fraction),
                    percent(self.pixel_fraction)
                );
                if self.whole_frames > 0 {
                    t += &format!(", {} frames whole", self.whole_frames);
                }
                if self.waiting_frames > 0 {
                    t += &format!(", {} waited", self.waiting_frames);
                }
                t.push('\n');
            }
            None => t += &format!("work       {} multiply-accumulates a frame, dense\n", count(self.macs_dense)),
        }
        t += "ms a frame      mean      p50      p95      p99    worst\n";
        let rows = [
            ("dense", [self.ms_dense_mean, self.ms_dense_p50, self.ms_dense_p95, self.ms_dense_p99, self.ms_dense_worst]),
            ("gated", [self.ms_gated_mean, self.ms_gated_p50, self.ms_gated_p95, self.ms_gated_p99, self.ms_gated_worst]),
        ];
        for (name, row) in rows {
            if row[0].is_some() {
                let cells: String = row.iter().map(|v| format!(" {:8.3}", v.unwrap_or(f64::NAN))).collect();
                t += &format!("  {name:9}{cells}\n");
            }
        }
        if let (Some(budget), Some(over)) = (self.budget_ms, self.over_budget) {
            t += &format!("budget     {budget} ms a gated frame: {over} of {} frames took longer\n", self.frames.saturating_sub(1));
        }
        if let Some(first) = self.ms_first {
            t += &format!("  first    {first:8.3}\n");
        }
        if let (Some(g), Some(d)) = (self.ms_gated_mean, self.ms_dense_mean) {
            t += &format!("speed      {:.2} times dense", d / g);
            if let Some(e) = self.efficiency {
                t += &format!("; efficiency (time saved / work saved) {e:.2}");
            }
            t.push('\n');
        }
        t
    }
}

/// Runs `f` and gives its milliseconds.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, f64) {
    let start = std::time::Instant::now();
    let value = f();
    (value, start.elapsed().as_secs_f64() * 1e3)
}
