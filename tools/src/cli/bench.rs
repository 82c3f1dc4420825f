//! `bench`: dense and gated execution of the same frames, interleaved.
//!
//! Two engines of the same artifact take a few frames each in turn, and take turns in going first, so that drifts of the machine hit both
//! alike. Frames are decoded and fitted beforehand: nothing but `Engine::step` is timed. The warm-up frames
//! are the first of the clip; after them both engines forget everything.
//!
//! Beside it a thread watches the machine: clock, heat, throttling and, with `--power`, a meter. A run of `--minutes` plays the
//! clip back and forth. Energy is measured in blocks of its own, which no meter is too slow for (`bench/power.rs`).

mod pair;
mod power;
mod sustained;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use quiescent_tools::artifact::Artifact;
use quiescent_tools::feed::Input;
use quiescent_tools::machine::power::energy::Energy;
use quiescent_tools::machine::{Conditions, Root, Span, State, Watch};
use serde::Serialize;

use super::args::{self, EngineArgs, GateArgs, Means, TimedArgs};
use super::measure::{Meter, RunStats, timed};
use super::talk::Talk;
use pair::{Pair, STRETCH};
use power::PowerArgs;
use sustained::Sustained;

/// Times dense and gated execution, a few frames each in turn
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    #[command(flatten)]
    clip: TimedArgs,
    #[command(flatten)]
    gating: GateArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Runs this long, with a line for every interval, and compares the last interval with the first
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = args::positive)]
    minutes: Option<f32>,
    /// Seconds between the lines of --minutes
    #[arg(long, value_name = "S", default_value = "10", allow_negative_numbers = true, value_parser = args::positive, requires = "minutes")]
    interval: f32,
    #[command(flatten)]
    power: PowerArgs,
    /// Where /proc and /sys are, for a container that has its host's elsewhere
    #[arg(long, value_name = "DIR", default_value = "/")]
    sys_root: PathBuf,
}

#[derive(Serialize)]
struct Bench {
    #[serde(flatten)]
    stats: RunStats,
    conditions: Conditions,
    energy: Energy,
    sustained: Option<Sustained>,
    /// What watching the machine cost, as a share of one core.
    watch_share: f64,
    #[serde(skip)]
    watch_cost: String,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let root = Root::new(&a.sys_root);
    let frames = a.clip.load(&artifact.meta.input, talk)?;
    let means = a.engine.open()?;
    let tuned = a.gating.tuned(&artifact, means.kernels, talk)?;
    let mut arenas = [artifact.arena(), artifact.arena()];
    let mut pair = Pair::load(&artifact, &mut arenas, &means, &a.gating, tuned.as_ref())?;

    let before = State::here(&root);
    let (meter, no_meter) = match a.power.open(&root, &a.clip.input)? {
        Ok(meter) => (Some(meter), None),
        Err(why) => (None, Some(why)),
    };
    let watch = Watch::start(&root, meter);
    let idle = a.power.idle(&watch, talk);
    let begin = watch.now();
    let mut times = Meter::default();
    pair.warm(frames.iter().take(a.clip.warmup))?;
    let sustained = match a.minutes {
        Some(minutes) => {
            let (time, every) = (Duration::from_secs_f32(60.0 * minutes), Duration::from_secs_f32(a.interval));
            Some(sustained::run(&mut pair, &frames, &mut times, time, every, &watch, talk)?)
        }
        None => {
            once(&mut pair, &frames, &mut times, talk)?;
            None
        }
    };
    watch.look();
    let timed = (begin, watch.now());
    let plan = a.power.blocks(idle, &mut pair, &frames, &watch, talk)?;
    let facts = watch.facts().cloned();
    let record = watch.finish();
    let after = State::here(&root);

    let work = plan.dense.iter().chain(&plan.gated).map(|b| (b.from, b.to)).chain([timed]).collect::<Vec<_>>();
    let conditions = Conditions::new(&root, before, Span::of(record.within(&work)), after);
    let energy = no_meter.map_or_else(|| power::judge(facts, &record, &plan), Energy::not_measured);
    let mut stats = times.finish(&artifact, &a.model.display().to_string(), &a.clip.input, &means, Some(&a.gating));
    stats.ms_load = Some(load(&a.model, &means)?);
    let bench = Bench { stats, conditions, energy, sustained, watch_share: record.share(), watch_cost: record.cost() };
    bench.conditions.warnings.iter().for_each(|w| talk.warn(w));
    talk.result(&bench, || bench.text())
}

/// The fastest of a few loads.
fn load(file: &Path, means: &Means) -> Result<f64> {
    let once = || {
        let (done, ms) = timed(|| {
            let artifact = Artifact::load(file)?;
            let mut arena = artifact.arena();
            means.engine(&artifact, &mut arena).map(drop)
        });
        done.map(|()| ms)
    };
    (0..5).try_fold(f64::INFINITY, |best, _| Ok(best.min(once()?)))
}

/// The measurement; also the meter of a whole pass, for shares.
pub fn interleave(
    artifact: &Artifact, frames: &[Input], means: &Means, gating: &GateArgs, warmup: usize, talk: &Talk,
) -> Result<(Meter, Vec<f64>)> {
    let tuned = gating.tuned(artifact, means.kernels, talk)?;
    let mut arenas = [artifact.arena(), artifact.arena()];
    let mut pair = Pair::load(artifact, &mut arenas, means, gating, tuned.as_ref())?;
    let mut meter = Meter::default();
    pair.warm(frames.iter().take(warmup))?;
    once(&mut pair, frames, &mut meter, talk)?;
    let shares = meter.shares(artifact);
    Ok((meter, shares))
}

/// Every frame once.
fn once(pair: &mut Pair, frames: &[Input], meter: &mut Meter, talk: &Talk) -> Result<()> {
    let bar = talk.frames("timing", Some(frames.len()));
    for (turn, stretch) in frames.chunks(STRETCH).enumerate() {
        pair.stretch(turn, &stretch.iter().collect::<Vec<_>>(), meter)?;
        bar.inc(stretch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

impl Bench {
    fn text(&self) -> String {
        let sustained = self.sustained.as_ref().map_or(String::new(), Sustained::text);
        self.stats.text()
            + &sustained
            + &self.energy.text()
            + &self.conditions.text()
            + &format!("watching   {}\n", self.watch_cost)
            + &format!(
                "Frames were decoded beforehand; times are of Engine::step alone, dense and gated taking turns of {STRETCH} frames.\n"
            )
    }
}
