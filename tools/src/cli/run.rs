//! `run`: an artifact over a clip, frame by frame; nothing of the clip is kept.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use quiescent::Mode;
use quiescent_tools::artifact::{self, Artifact};

use super::args::{self, ClipArgs, EngineArgs, GateArgs};
use super::dumps;
use super::measure::{Meter, timed};
use super::pictures::Pictures;
use super::talk::Talk;

/// Runs an artifact over a clip
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    #[command(flatten)]
    clip: ClipArgs,
    /// Computes every frame whole
    #[arg(long, conflicts_with_all = ["gate_scale", "budget_macs", "budget_ms", "by_time"])]
    dense: bool,
    #[command(flatten)]
    gating: GateArgs,
    #[command(flatten)]
    engine: EngineArgs,
    /// Writes every output of every frame to this folder, frame00000_<output>.npy, float32 in the ONNX shape
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,
    /// Writes a picture of every frame to this folder: detections, and what was recomputed
    #[arg(long, value_name = "DIR")]
    overlay: Option<PathBuf>,
    /// Steps whose recomputed pixels --overlay draws, by the names of `inspect --layers`; four from shallow to deep when left out
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', requires = "overlay")]
    layers: Vec<String>,
    /// How the outputs read, for --overlay; the artifact's own task when left out
    #[arg(long, value_name = "TOML")]
    task: Option<PathBuf>,
}

/// Dense steps of the last frame, for the comparison: at most so many, and no longer than this.
const DENSE_STEPS: usize = 11;
const DENSE_MS: f64 = 1000.0;

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let task = args::task_of(&artifact, &a.model, a.task.as_ref())?;
    let means = a.engine.open()?;
    let mut feed = a.clip.open(&artifact.meta.input)?;
    if let Some(dir) = &a.dump {
        args::folder("--dump", dir)?;
    }
    let mut pictures = match &a.overlay {
        Some(dir) => Some(Pictures::new(dir, &artifact, task, feed.fit_map(), &a.layers)?),
        None => None,
    };
    let tuned = a.gating.tuned(&artifact, means.kernels, talk)?;
    let mut arena = artifact.arena();
    let mut engine = means.engine(&artifact, &mut arena)?;
    match a.dense {
        true => engine.set_mode(Mode::Dense),
        false => a.gating.apply(&mut engine, tuned.as_ref())?,
    }
    let bar = talk.frames("running", feed.frames());
    let mut meter = Meter::default();
    let mut last = None;
    for (i, fed) in feed.by_ref().enumerate() {
        let fed = fed?;
        let (done, ms) = timed(|| artifact::step(&mut engine, &fed.input).map(drop));
        done.with_context(|| format!("{}, frame {i}", a.clip.input))?;
        meter.add(&engine, ms);
        if a.dump.is_some() || pictures.is_some() {
            let outputs = artifact::read_outputs(&engine.outputs());
            if let Some(dir) = &a.dump {
                dumps::write(dir, i, &outputs)?;
            }
            if let Some(pictures) = &mut pictures {
                let Some(picture) = &fed.picture else { bail!("--overlay: {} holds tensors; pictures are needed", a.clip.input) };
                pictures.write(i, picture, &outputs, &engine)?;
            }
        }
        last = Some(fed.input);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let (Some(input), false) = (&last, a.dense) {
        engine.set_mode(Mode::Dense);
        let mut spent = 0.0;
        for k in 0..=DENSE_STEPS {
            let (done, ms) = timed(|| artifact::step(&mut engine, input).map(drop));
            done?;
            spent += ms;
            // The first one warms up.
            if k > 0 || spent > DENSE_MS {
                meter.dense(ms);
            }
            if spent > DENSE_MS {
                break;
            }
        }
    }
    let gating = (!a.dense).then_some(&a.gating);
    let stats = meter.finish(&artifact, &a.model.display().to_string(), &a.clip.input, &means, gating);
    talk.result(&stats, || {
        let mut t = stats.text();
        if !a.dense {
            t += "The dense times are of the last frame alone, repeated; bench compares frame by frame.\n";
        }
        for (what, dir) in [("outputs", &a.dump), ("pictures", &a.overlay)] {
            if let Some(dir) = dir {
                t += &format!("{what:10} {}\n", dir.display());
            }
        }
        t
    })
}
