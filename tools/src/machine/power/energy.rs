//! Energy per frame from blocks of frames between stretches of idling.
//!
//! A meter knows nothing of single frames, so whole blocks of dense and of gated frames alternate, several of each. Of a block:
//!
//! ```text
//! energy of a frame      = mean power in the block * seconds of the block / frames in it
//! of that above idle     = (mean power - idle power) * seconds of the block / frames in it
//! ```
//!
//! The idle power is the mean of what was measured before and after. Readings within the meter's lag after the begin of a
//! block are left out. The uncertainty (95 %) is the root of the sum of squares of
//! - the spread between blocks, with Student's factor for their number,
//! - the resolution: half a step of a sampled meter; a step and a millisecond's power of a counter, over the block,
//! - for a sampled meter, twice the deviation of its readings over the root of their number,
//! - the idle power: half its change from before to after, and the same two terms of the idle stretches.
//!
//! The meter's own error of scale is not part of it; it cancels in the ratio of gated to dense.

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::series::deviation;
use super::{Facts, Kind, Mean, Series};

/// A stretch of time in seconds, and the frames executed in it; 0 while idling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    pub from: f64,
    pub to: f64,
    pub frames: usize,
}

/// What was measured when.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub idle_before: Option<Block>,
    pub idle_after: Option<Block>,
    pub dense: Vec<Block>,
    pub gated: Vec<Block>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Energy {
    pub measured: bool,
    /// Why it was not measured.
    pub reason: Option<String>,
    pub meter: Option<&'static str>,
    pub covers: Option<String>,
    pub idle_watts: Option<f64>,
    pub idle_watts_before: Option<f64>,
    pub idle_watts_after: Option<f64>,
    pub idle_seconds: Option<f64>,
    pub samples_per_second: Option<f64>,
    /// Blocks of each kind.
    pub blocks: usize,
    pub block_seconds: Option<f64>,
    pub dense: Option<PerFrame>,
    pub gated: Option<PerFrame>,
    /// Gated energy above idle as a share of dense; `None` unless both are above their uncertainty.
    pub gated_to_dense: Option<f64>,
}

/// Of one kind of execution; means over its blocks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerFrame {
    /// Millijoules a frame, idle power included.
    pub mj: f64,
    /// Millijoules a frame that the machine does not draw while it idles.
    pub mj_above_idle: f64,
    /// 95 %, of `mj_above_idle`.
    pub mj_uncertainty: f64,
    /// Whether `mj_above_idle` is more than its uncertainty.
    pub resolved: bool,
    pub watts: f64,
    pub ms: f64,
    pub frames: usize,
}

impl Energy {
    pub fn not_measured(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Default::default() }
    }

    pub fn of(facts: &Facts, series: &Series, plan: &Plan) -> Result<Self> {
        let values = || series.points().iter().map(|p| p.1);
        if facts.kind == Kind::Counter && values().next() == values().next_back() {
            bail!("the counter of {} stands still: this machine does not count energy (a virtual machine?)", facts.name);
        }
        let step = facts.step.or_else(|| series.step().filter(|_| facts.kind == Kind::Power)).unwrap_or(0.0);
        let judge = Judge { facts, series, step };
        let idle = |b: Option<Block>, when| {
            let b = b.with_context(|| format!("idling {when} was not measured"))?;
            judge.mean(&b).with_context(|| format!("while idling {when}"))
        };
        let (before, after) = (idle(plan.idle_before, "before")?, idle(plan.idle_after, "after")?);
        let idle_watts = (before.watts + after.watts) / 2.0;
        let doubt = rss(&[(after.watts - before.watts) / 2.0, judge.doubt(&before), judge.doubt(&after)]);
        let dense = judge.frames(&plan.dense, idle_watts, doubt).context("dense")?;
        let gated = judge.frames(&plan.gated, idle_watts, doubt).context("gated")?;
        let length = |b: &Block| b.to - b.from;
        let seconds = plan.dense.iter().chain(&plan.gated).map(length);
        let number = plan.dense.len() + plan.gated.len();
        Ok(Self {
            measured: true,
            reason: None,
            meter: Some(facts.name),
            covers: Some(facts.covers.clone()),
            idle_watts: Some(idle_watts),
            idle_watts_before: Some(before.watts),
            idle_watts_after: Some(after.watts),
            idle_seconds: plan.idle_before.as_ref().map(length),
            samples_per_second: series.rate(),
            blocks: plan.dense.len(),
            block_seconds: Some(seconds.sum::<f64>() / number as f64),
            gated_to_dense: (dense.resolved && gated.resolved).then(|| gated.mj_above_idle / dense.mj_above_idle),
            dense: Some(dense),
            gated: Some(gated),
        })
    }

    /// A few lines.
    pub fn text(&self) -> String {
        let (Some(dense), Some(gated)) = (&self.dense, &self.gated) else {
            return format!("energy     not measured: {}\n", self.reason.as_deref().unwrap_or("no meter was asked for"));
        };
        let of = |v: Option<f64>| v.unwrap_or(f64::NAN);
        let mut t = format!(
            "energy     {}: {}\n           {:.1} samples a second, {} blocks of {:.1} s each; idle {:.3} W before, {:.3} W after ({:.1} s each)\n",
            self.meter.unwrap_or_default(),
            self.covers.as_deref().unwrap_or_default(),
            of(self.samples_per_second),
            self.blocks,
            of(self.block_seconds),
            of(self.idle_watts_before),
            of(self.idle_watts_after),
            of(self.idle_seconds)
        );
        t += "mJ a frame       all  above idle  uncertainty    watts\n";
        for (name, e) in [("dense", dense), ("gated", gated)] {
            t += &format!("  {name:9}{:9.3} {:11.3} {:12.3} {:8.3}", e.mj, e.mj_above_idle, e.mj_uncertainty, e.watts);
            t += if e.resolved { "\n" } else { "  below what this meter resolves\n" };
        }
        if let Some(ratio) = self.gated_to_dense {
            t += &format!("  gated takes {:.1} % of the energy above idle that dense takes\n", 100.0 * ratio);
        }
        t
    }
}

struct Judge<'a> {
    facts: &'a Facts,
    series: &'a Series,
    /// Joules or watts.
    step: f64,
}

impl Judge<'_> {
    fn mean(&self, block: &Block) -> Result<Mean> {
        let from = (block.from + self.facts.lag.as_secs_f64()).min(block.to);
        match self.series.mean(from, block.to) {
            Some(mean) => Ok(mean),
            None => bail!(
                "the meter {} gave too few readings in {:.1} s (longer blocks: --power-seconds)",
                self.facts.name,
                block.to - block.from
            ),
        }
    }

    /// Of one stretch, in watts, without what repeats would show.
    fn doubt(&self, mean: &Mean) -> f64 {
        match self.facts.kind {
            Kind::Counter => (self.step + mean.watts.abs() * 1e-3) / mean.seconds,
            Kind::Power => rss(&[self.step / 2.0, 2.0 * mean.deviation / (mean.samples as f64).sqrt()]),
        }
    }

    fn frames(&self, blocks: &[Block], idle: f64, idle_doubt: f64) -> Result<PerFrame> {
        if blocks.is_empty() || blocks.iter().any(|b| b.frames == 0) {
            bail!("no frames were executed");
        }
        let means = blocks.iter().map(|b| self.mean(b)).collect::<Result<Vec<_>>>()?;
        let seconds = |b: &Block| (b.to - b.from) / b.frames as f64;
        let n = blocks.len() as f64;
        let above: Vec<f64> = blocks.iter().zip(&means).map(|(b, m)| (m.watts - idle) * seconds(b) * 1e3).collect();
        let mean = |v: &mut dyn Iterator<Item = f64>| v.sum::<f64>() / n;
        let ms = mean(&mut blocks.iter().map(|b| seconds(b) * 1e3));
        let watts = mean(&mut means.iter().map(|m| m.watts));
        let spread = student(blocks.len()) * deviation(above.iter().copied()) / n.sqrt();
        // Blocks share one resolution, but not the chance of their readings.
        let own = match self.facts.kind {
            Kind::Counter => mean(&mut means.iter().map(|m| self.doubt(m))),
            Kind::Power => {
                let readings = mean(&mut means.iter().map(|m| 2.0 * m.deviation / (m.samples as f64).sqrt())) / n.sqrt();
                rss(&[self.step / 2.0, readings])
            }
        };
        let mj_above_idle = mean(&mut above.iter().copied());
        let mj_uncertainty = rss(&[spread, own * ms, idle_doubt * ms]);
        Ok(PerFrame {
            mj: mean(&mut blocks.iter().zip(&means).map(|(b, m)| m.watts * seconds(b) * 1e3)),
            mj_above_idle,
            mj_uncertainty,
            resolved: mj_above_idle > mj_uncertainty,
            watts,
            ms,
            frames: blocks.iter().map(|b| b.frames).sum(),
        })
    }
}

fn rss(terms: &[f64]) -> f64 {
    terms.iter().map(|t| t * t).sum::<f64>().sqrt()
}

/// Student's factor for 95 % by the number of values; a single one tells nothing of their spread, which is 0 then.
fn student(n: usize) -> f64 {
    const T: [f64; 9] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26];
    T.get(n.saturating_sub(2)).copied().unwrap_or(2.0)
}
