//! `bench`: dense and gated execution of the same frames, interleaved.
//!
//! Two engines of the same artifact take every frame in turn, and take turns in going first, so that clock and cache
//! drift hit both alike. Frames are decoded and fitted beforehand: nothing but `Engine::step` is timed. The warm-up frames
//! are the first of the clip; after them both engines forget everything.

use std::path::{Path, PathBuf};

use anyhow::Result;
use quiescent::Mode;
use quiescent::kernels::Kernels;
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::feed::Input;

use super::args::{self, GateArgs, KernelArgs};
use super::measure::{Meter, RunStats, timed};
use super::talk::Talk;

/// Times dense and gated execution, interleaved frame by frame
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    /// Video, y4m, GIF, folder or pattern of PNG/JPEG files, .npy, or - for y4m on standard input
    #[arg(long, short, value_name = "CLIP")]
    input: String,
    /// At most this many frames, held in memory so that decoding is not timed
    #[arg(long, value_name = "N", default_value = "200", value_parser = args::at_least_one)]
    frames: usize,
    /// Frames to run before timing starts
    #[arg(long, value_name = "N", default_value_t = 10)]
    warmup: usize,
    /// Adds Gaussian noise of this sigma, in 8-bit steps, to every picture
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = args::not_negative)]
    noise: Option<f32>,
    #[command(flatten)]
    gating: GateArgs,
    #[command(flatten)]
    kernels: KernelArgs,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let clip = args::ClipArgs { input: a.input.clone(), frames: Some(a.frames), noise: a.noise };
    let frames = clip.load(&artifact.meta.input, talk)?;
    let kernels = a.kernels.select()?;
    let meter = interleave(&artifact, &frames, kernels, &a.gating, a.warmup, talk)?.0;
    let mut stats = meter.finish(&artifact, &a.model.display().to_string(), &a.input, kernels.name, Some(&a.gating));
    stats.ms_load = Some(load(&a.model, kernels)?);
    talk.result(&stats, || text(&stats))
}

/// The fastest of a few loads.
fn load(file: &Path, kernels: &'static Kernels) -> Result<f64> {
    let once = || {
        let (done, ms) = timed(|| {
            let artifact = Artifact::load(file)?;
            let mut arena = artifact.arena();
            artifact.engine(&mut arena, kernels).map(drop)
        });
        done.map(|()| ms)
    };
    (0..5).try_fold(f64::INFINITY, |best, _| Ok(best.min(once()?)))
}

/// The measurement; also the meter of a whole pass, for shares.
pub fn interleave(
    artifact: &Artifact, frames: &[Input], kernels: &'static Kernels, gating: &GateArgs, warmup: usize, talk: &Talk,
) -> Result<(Meter, Vec<f64>)> {
    let tuned = gating.tuned(artifact, kernels, talk)?;
    let (mut dense_arena, mut gated_arena) = (artifact.arena(), artifact.arena());
    let mut dense = artifact.engine(&mut dense_arena, kernels)?;
    let mut gated = artifact.engine(&mut gated_arena, kernels)?;
    dense.set_mode(Mode::Dense);
    gating.apply(&mut gated, tuned.as_ref())?;
    for frame in frames.iter().take(warmup) {
        artifact::step(&mut dense, frame)?;
        artifact::step(&mut gated, frame)?;
    }
    dense.reset();
    gated.reset();
    let mut meter = Meter::default();
    let bar = talk.frames("timing", Some(frames.len()));
    for (i, frame) in frames.iter().enumerate() {
        for turn in 0..2 {
            if (turn == 0) == i.is_multiple_of(2) {
                let (done, ms) = timed(|| artifact::step(&mut dense, frame).map(drop));
                done?;
                meter.dense(ms);
            } else {
                let (done, ms) = timed(|| artifact::step(&mut gated, frame).map(drop));
                done?;
                meter.add(&gated, ms);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let shares = meter.shares(artifact);
    Ok((meter, shares))
}

fn text(s: &RunStats) -> String {
    s.text() + "Frames were decoded beforehand; times are of Engine::step alone, dense and gated alternating.\n"
}
