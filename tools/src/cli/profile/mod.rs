//! `profile`: where a frame's time goes, step by step, dense and gated.
//!
//! Four engines take the clip in turn: dense and gated, each with and without a clock that is told of every piece of work
//! (`Engine::observe`). Rows are of the engines with clocks, frame times of those without, and the difference is stated as the
//! clock's own cost. The clip is run several times from the start; of each frame, and of each piece of it, the least time counts: the rest is the
//! machine's. Dense figures are medians, gated ones means over the frames after the first.

mod peak;
mod rows;
mod text;
mod trace;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use quiescent::engine::Work;
use quiescent::{Engine, Mode};
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::feed::Input;
use serde::Serialize;

use super::args::{self, EngineArgs, GateArgs, Means, TimedArgs};
use super::measure::{Meter, Times, machine, timed};
use super::talk::Talk;
use quiescent_tools::clock::{Clock, Piece};
use rows::{Row, Spent};
use trace::Trace;

/// Says where a frame's time goes, step by step
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
    /// Times every frame N times, in runs from the start; the least time counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = args::at_least_one)]
    passes: usize,
    /// Prints the N steps that take the most time, not all
    #[arg(long, value_name = "N", value_parser = args::at_least_one)]
    top: Option<usize>,
    /// Writes a time line of all frames, for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "JSON")]
    trace: Option<PathBuf>,
}

/// The result.
#[derive(Serialize)]
struct Report {
    model: String,
    clip: String,
    frames: usize,
    passes: usize,
    gate_scale: f32,
    kernels: &'static str,
    machine: String,
    threads: usize,
    /// What the multiply-accumulate instruction reaches on registers on all threads' cores, in 10^9 a second; none where the set has none.
    peak_gmacs: Option<f64>,
    macs_dense: u64,
    dense: Frame,
    gated: Frame,
    /// Time saved per work saved.
    efficiency: Option<f64>,
    rows: Vec<Row>,
}

/// Whole frames.
#[derive(Serialize)]
struct Frame {
    /// Dense: the median; gated: the mean.
    ms: f64,
    /// Of the frames with a clock.
    ms_with_clock: f64,
    /// Cost of the clock, share of the frame's time.
    overhead: f64,
    macs: f64,
    gmacs: f64,
    /// Share of the peak.
    peak: Option<f64>,
}

/// An engine under the clock and its twin.
struct Lane<'a> {
    clock: &'a Clock,
    watched: Engine<'a>,
    plain: Engine<'a>,
    spent: Spent,
    watched_ms: Times,
    plain_ms: Times,
}

impl<'a> Lane<'a> {
    fn new(
        artifact: &'a Artifact, arenas: &'a mut [quiescent::format::AlignedBytes; 2], means: &'a Means, observer: &'a dyn Fn(Work),
        clock: &'a Clock, set: impl Fn(&mut Engine<'a>) -> Result<()>,
    ) -> Result<Self> {
        let [a, b] = arenas;
        let (mut watched, mut plain) = (means.engine(artifact, a)?, means.engine(artifact, b)?);
        watched.observe(Some(observer));
        for engine in [&mut watched, &mut plain] {
            set(engine)?;
        }
        let (watched_ms, plain_ms) = (Times::default(), Times::default());
        Ok(Self { clock, watched, plain, spent: Spent::new(artifact.model().steps.len()), watched_ms, plain_ms })
    }

    fn warm(&mut self, frames: &[Input]) -> Result<()> {
        for engine in [&mut self.watched, &mut self.plain] {
            for frame in frames {
                self.clock.begin();
                artifact::step(engine, frame)?;
            }
            engine.reset();
        }
        Ok(())
    }

    /// Runs a frame under the clock: when it began, and its pieces.
    fn watch(&mut self, frame: &Input) -> Result<(f64, Vec<Piece>)> {
        self.clock.begin();
        artifact::step(&mut self.watched, frame)?;
        Ok(self.clock.end())
    }

    fn run_plain(&mut self, frame: &Input) -> Result<f64> {
        let (done, ms) = timed(|| artifact::step(&mut self.plain, frame).map(drop));
        done?;
        Ok(ms)
    }
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    if let Some(path) = &a.trace {
        args::writable(path)?;
    }
    let artifact = Artifact::load(&a.model)?;
    let means = a.engine.open()?;
    let frames = a.clip.load(&artifact.meta.input, talk)?;
    if frames.len() < 2 {
        bail!("{}: two frames are needed: the first gated one is computed whole", a.clip.input);
    }
    let peak = peak::macs_per_second(means.kernels.name).map(|macs| macs / 1e9 * means.threads() as f64);

    let origin = Instant::now();
    let clocks = [Clock::new(origin), Clock::new(origin)];
    let observers: [&dyn Fn(Work); 2] = [&|work| clocks[0].tick(work), &|work| clocks[1].tick(work)];
    let arenas = || [artifact.arena(), artifact.arena()];
    let (mut dense_arenas, mut gated_arenas) = (arenas(), arenas());
    let tuned = a.gating.tuned(&artifact, means.kernels, talk)?;
    let dense = |engine: &mut Engine| {
        engine.set_mode(Mode::Dense);
        Ok(())
    };
    let mut lanes = [
        Lane::new(&artifact, &mut dense_arenas, &means, observers[0], &clocks[0], dense)?,
        Lane::new(&artifact, &mut gated_arenas, &means, observers[1], &clocks[1], |engine| a.gating.apply(engine, tuned.as_ref()))?,
    ];
    for lane in &mut lanes {
        lane.warm(&frames[..a.clip.warmup.min(frames.len())])?;
    }
    let mut trace = Trace::default();
    trace.line(1, "dense");
    trace.line(2, "gated");
    let mut meter = Meter::default();
    let bar = talk.frames("timing", Some(4 * a.passes * frames.len()));
    for (pass, (k, watched)) in (0..a.passes).flat_map(|pass| [(0, false), (1, true), (0, true), (1, false)].map(|turn| (pass, turn))) {
        let lane = &mut lanes[k];
        lane.watched.reset();
        lane.plain.reset();
        for (i, frame) in frames.iter().enumerate() {
            bar.inc(1);
            // The first gated frame is computed whole.
            let counted = i.checked_sub(k);
            if !watched {
                let ms = lane.run_plain(frame)?;
                if let Some(i) = counted {
                    lane.plain_ms.least(i, ms);
                }
                continue;
            }
            let (begin, pieces) = lane.watch(frame)?;
            let end = pieces.last().map_or(begin, |p| p.end);
            if a.trace.is_some() && pass == 0 {
                trace.frame(1 + k as u32, i, begin, end, &pieces, |p| rows::label(&artifact, p.work));
            }
            if let Some(i) = counted {
                lane.watched_ms.least(i, (end - begin) / 1e3);
                lane.spent.add(i, begin, &pieces);
            }
            if k == 1 && pass == 0 {
                meter.add(&lane.watched, (end - begin) / 1e3);
            }
        }
    }
    bar.finish_and_clear();
    let shares = meter.shares(&artifact);
    let stats = meter.finish(&artifact, &a.model.display().to_string(), &a.clip.input, &means, Some(&a.gating));
    let figure = |lane: &Lane, macs: f64, of: fn(&Times) -> Option<f64>| {
        let (ms, ms_with_clock) = (of(&lane.plain_ms).unwrap_or(f64::NAN), of(&lane.watched_ms).unwrap_or(f64::NAN));
        let gmacs = macs / ms / 1e6;
        Frame { ms, ms_with_clock, overhead: ms_with_clock / ms - 1.0, macs, gmacs, peak: peak.map(|p| gmacs / p) }
    };
    let dense = figure(&lanes[0], stats.macs_dense as f64, |t| t.at(0.5));
    let gated = figure(&lanes[1], stats.macs_done_mean, Times::mean);
    let report = Report {
        frames: stats.frames,
        passes: a.passes,
        gate_scale: a.gating.gate_scale,
        kernels: means.kernels.name,
        machine: machine(),
        threads: means.threads(),
        peak_gmacs: peak,
        macs_dense: stats.macs_dense,
        efficiency: (stats.mac_fraction < 0.99).then(|| (1.0 - gated.ms / dense.ms) / (1.0 - stats.mac_fraction)),
        rows: rows::rows(&artifact, means.kernels, [&lanes[0].spent, &lanes[1].spent], &shares, peak),
        model: stats.model,
        clip: stats.clip,
        dense,
        gated,
    };
    if let Some(path) = &a.trace {
        trace.save(path)?;
    }
    talk.result(&report, || text::text(&report, a.top))
}
