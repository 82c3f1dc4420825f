//! Dense execution on several threads beside one.
//!
//! ```text
//! threads N CLIP MODEL.qsc.. [--rounds 600]      a line of a table for each model
//! ```
//!
//! Two engines of an artifact take the same frames in turn, round by round. On a shared machine read the minima: a thread that is not
//! run when it should be costs the other one its time as well.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use quiescent::{Mode, kernels, threads::Pool};
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::clip;
use quiescent_tools::feed::{Feed, Input};

/// Frames in memory.
const FRAMES: usize = 8;

/// Dense execution on several threads beside one.
#[derive(Parser)]
struct Args {
    /// Threads.
    n: usize,
    /// Frames: a video, a folder or a glob.
    clip: String,
    /// Artifacts.
    #[arg(required = true)]
    models: Vec<PathBuf>,
    /// Frames on each.
    #[arg(long, default_value_t = 600)]
    rounds: usize,
}

fn main() -> Result<()> {
    let Args { n, clip, models, rounds } = Args::parse();
    let pool = Pool::new(n)?;
    println!("| model | MMAC | 1 thread, ms | {n} threads, ms | ratio of minima | ratio of medians |\n|---|---|---|---|---|---|");
    for model in &models {
        let artifact = Artifact::load(model)?;
        let options = clip::Options { frames: Some(FRAMES), ..Default::default() };
        let frames: Vec<Input> = Feed::open(&artifact.meta.input, &clip, &options)?.map(|f| f.map(|f| f.input)).collect::<Result<_>>()?;
        let [mut a, mut b] = [artifact.arena(), artifact.arena()];
        let mut engines = [artifact.engine(&mut a, kernels::best())?, artifact.engine(&mut b, kernels::best())?];
        engines[1].set_crew(Some(&pool));
        let mut ms = [const { Vec::new() }; 2];
        for round in 0..rounds {
            for turn in 0..2 {
                let k = (round + turn) % 2;
                engines[k].set_mode(Mode::Dense);
                let start = Instant::now();
                artifact::step(&mut engines[k], &frames[round % frames.len()])?;
                ms[k].push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        ms.iter_mut().for_each(|ms| ms.sort_by(f64::total_cmp));
        let [(min1, mid1), (min2, mid2)] = ms.map(|ms| (ms[0], ms[ms.len() / 2]));
        let name = std::path::Path::new(model).file_stem().unwrap_or_default().display();
        let macs = artifact.header().cost.macs.get() as f64 / 1e6;
        println!("| {name} | {macs:.1} | {min1:.3} / {mid1:.3} | {min2:.3} / {mid2:.3} | {:.2} | {:.2} |", min1 / min2, mid1 / mid2);
    }
    Ok(())
}
