//! Answers timing requests on standard input: an artifact's frames, gated or dense, beside the dense inferences of others.
//!
//! ```text
//! gated ARTIFACT CLIP FRAMES SCALE    SCALE of the thresholds, or `dense`
//! > step          one pass over the clip's first FRAMES frames, from a cold start
//! < 3921554       nanoseconds a frame, the first apart: input, gates, every layer, outputs read to f32
//! > quit
//! ```
//!
//! A whole pass, for a frame alone among other programs would find its held tensors gone from the caches. The first line
//! written is `ready`, the kernel set, the share of the multiply-accumulates that a pass does, and the frames timed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use quiescent::{Engine, Mode, kernels};
use quiescent_benches::serve;
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::clip;
use quiescent_tools::feed::{Feed, Input};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, clip, count, scale] = &args[..] else { bail!("usage: gated ARTIFACT CLIP FRAMES SCALE|dense") };
    let mode = match scale.as_str() {
        "dense" => Mode::Dense,
        scale => Mode::Gated { scale: scale.parse().with_context(|| format!("scale {scale:?}: a number or dense"))? },
    };
    let count = count.parse().with_context(|| format!("{count:?} frames: a number"))?;
    let artifact = Artifact::load(file.as_ref())?;
    let feed = Feed::open(&artifact.meta.input, clip, &clip::Options { frames: Some(count), ..Default::default() })?;
    let frames: Vec<Input> = feed.map(|f| Ok(f?.input)).collect::<Result<_>>()?;
    ensure!(frames.len() > 1, "{clip}: more than one frame is wanted");
    let mut arena = artifact.arena();
    let mut engine = artifact.engine(&mut arena, kernels::best())?;
    engine.set_mode(mode);
    let (macs, _) = pass(&mut engine, &frames)?;
    let timed = frames.len() - 1;
    let share = macs as f64 / (artifact.header().cost.macs.get() as f64 * timed as f64);
    serve::answer(&format!("{} {share:.4} {timed}", kernels::best().name), || Ok(pass(&mut engine, &frames)?.1 / timed as u32))
}

/// Multiply-accumulates and time of all frames but the first.
fn pass(engine: &mut Engine, frames: &[Input]) -> Result<(u64, Duration)> {
    let mut values: Vec<f32> = Vec::new();
    let (mut macs, mut time) = (0, Duration::ZERO);
    engine.reset();
    for (i, frame) in frames.iter().enumerate() {
        let start = Instant::now();
        for o in artifact::step(engine, frame)?.iter() {
            values.resize(o.len(), 0.0);
            o.read(&mut values);
        }
        if i > 0 {
            time += start.elapsed();
            macs += engine.stats().macs;
        }
    }
    Ok((macs, time))
}
