//! Work left against agreement for one detector on one clip, beside the trivial rivals.
//!
//! `frontier MODEL.onnx --task TASK.toml --clip CLIP`; `--help` lists what else there is.
//!
//! Gates are calibrated on the frames from `split` on, everything is measured on the frames before it. Agreement is the
//! task's score against the same artifact run densely (F1 at IoU 0.5 with the score margin). Rivals: every k-th frame
//! and hold; the whole frame skipped while its mean change against the last computed one stays below a threshold. Prints
//! Markdown rows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use quiescent::{Mode, kernels};
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::clip::{self, FitMap, Noise};
use quiescent_tools::convert;
use quiescent_tools::feed::{Feed, Input};
use quiescent_tools::gates::{Budget, MAX_WAIT, REFINE};
use quiescent_tools::lower::Hold;
use quiescent_tools::task::{self, Agreement, Labels, Prediction, Task, ap50};

/// Work left against agreement for one detector on one clip, as rows of Markdown.
#[derive(Parser)]
struct Args {
    /// ONNX file.
    model: PathBuf,
    /// Task file.
    #[arg(long)]
    task: PathBuf,
    /// Video, folder or glob.
    #[arg(long)]
    clip: String,
    /// Frames before it are measured, 80 from it on are calibrated on.
    #[arg(long, default_value_t = 200)]
    split: usize,
    /// Classes that count; all unless given.
    #[arg(long, value_delimiter = ',')]
    keep: Vec<String>,
    /// Further clips for the ranges of codes.
    #[arg(long)]
    codes: Vec<String>,
    /// Sigma of Gaussian noise on the decoded frames, in levels of 255.
    #[arg(long)]
    noise: Option<f32>,
    /// Labelled boxes, for AP50.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Agreement that gates may cost on the calibration frames.
    #[arg(long, default_value_t = 0.005)]
    drop: f64,
    /// Settings that the search refines by.
    #[arg(long, default_value_t = REFINE)]
    refine: usize,
    /// Frames that changes of few pixels may wait for.
    #[arg(long, default_value_t = MAX_WAIT)]
    max_wait: u8,
    /// Arena over the dense one, at most.
    #[arg(long, default_value_t = 2.0)]
    ratio: f32,
    /// Where to write the artifact measured.
    #[arg(long)]
    save: Option<PathBuf>,
}

impl Args {
    fn noise(&self) -> Option<Noise> {
        self.noise.map(|sigma| Noise { sigma, seed: 1 })
    }

    /// The task file with the classes that count, as a saved artifact has it.
    fn task_text(&self) -> Result<String> {
        let text = std::fs::read_to_string(&self.task)?;
        // Before its tables, and in TOML's own words.
        Ok(if self.keep.is_empty() { text } else { format!("keep = {:?}\n{text}", self.keep) })
    }
}

struct Clip {
    frames: Vec<Input>,
    map: Option<FitMap>,
}

fn load(spec: &artifact::InputSpec, a: &Args, start: usize, frames: Option<usize>) -> Result<Clip> {
    let feed = Feed::open(spec, &a.clip, &clip::Options { start, frames, noise: a.noise(), ..Default::default() })?;
    let map = feed.fit_map();
    Ok(Clip { frames: feed.map(|f| Ok(f?.input)).collect::<Result<_>>()?, map })
}

/// Answers of one way to run a clip, and what they cost.
struct Run {
    predictions: Vec<Prediction>,
    low: Vec<Vec<task::Detection>>,
    work: f64,
    ms: Vec<f64>,
}

fn run(a: &Artifact, task: &Task, clip: &Clip, mode: Mode) -> Result<Run> {
    let [h, w, _] = a.meta.input.shape;
    let mut arena = a.arena();
    let mut engine = a.engine(&mut arena, kernels::best())?;
    engine.set_mode(mode);
    let (mut r, mut macs) = (Run { predictions: vec![], low: vec![], work: 0.0, ms: vec![] }, 0.0);
    for (i, frame) in clip.frames.iter().enumerate() {
        let start = Instant::now();
        artifact::step(&mut engine, frame)?;
        r.ms.push(start.elapsed().as_secs_f64() * 1e3);
        let out = artifact::read_outputs(&engine.outputs());
        r.predictions.push(task.decode(&artifact::as_task(&out), (w, h))?);
        r.low.push(task.detections(&artifact::as_task(&out), (w, h), 0.05).unwrap_or_default());
        if i > 0 {
            macs += engine.stats().macs as f64;
        }
    }
    r.work = macs / (a.header().cost.macs.get() as f64 * (clip.frames.len() - 1).max(1) as f64);
    Ok(r)
}

fn agreement(task: &Task, dense: &Run, ours: impl Iterator<Item = usize>, of: &Run) -> Result<f64> {
    let mut agreement = Agreement::new(task);
    for (i, k) in ours.enumerate() {
        agreement.add(&dense.predictions[i], &of.predictions[k])?;
    }
    Ok(agreement.score())
}

fn labelled(run: &Run, clip: &Clip, labels: &Option<PathBuf>) -> Result<String> {
    let (Some(labels), Some(map)) = (labels, &clip.map) else { return Ok("-".into()) };
    let predictions: BTreeMap<usize, Vec<task::Detection>> =
        run.low.iter().enumerate().map(|(i, d)| (i, d.iter().map(|d| d.in_frame(map)).collect())).collect();
    Ok(format!("{:.3}", ap50(&predictions, &Labels::load(labels)?)?))
}

/// Mean of all but the slowest twentieth: on a shared machine those are the scheduler's.
fn typical(v: &[f64]) -> f64 {
    let mut v = v.to_vec();
    v.sort_by(f64::total_cmp);
    v.truncate((v.len() * 19).div_ceil(20).max(1));
    v.iter().sum::<f64>() / v.len() as f64
}

fn mean_change(a: &Input, b: &Input) -> f64 {
    match (a, b) {
        (Input::Pixels(a), Input::Pixels(b)) => a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64,
        _ => f64::MAX,
    }
}

fn main() -> Result<()> {
    let a = Args::parse();
    let mut task = Task::load(&a.task)?;
    if !a.keep.is_empty() {
        task.keep(&a.keep.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    let options = convert::Options { gates: true, hold: Hold::All, ..convert::Options::new(&a.model) };
    let prepared = convert::prepare(&options, Some(&task))?;
    let calib = load(&prepared.input, &a, a.split, Some(80))?;
    let mut codes = convert::calibration_frames(&prepared.input, &a.codes, 24).unwrap_or_default();
    codes.extend(calib.frames.iter().step_by(8).cloned());
    let calibrated = convert::calibrate(&options, &prepared, &codes, Some(a.task_text()?))?;
    let budget = Budget { max_drop: a.drop, arena_ratio: a.ratio, max_wait: a.max_wait, refine: a.refine, ..Default::default() };
    let (artifact, _, found) = calibrated.search(&[calib.frames], &task, &budget, false, &|s| eprintln!("  {s}"))?;
    eprintln!("  {found:?}");
    if let Some(path) = &a.save {
        artifact.save(path)?;
    }
    let clip = load(&prepared.input, &a, 0, Some(a.split))?;

    let dense = run(&artifact, &task, &clip, Mode::Dense)?;
    let dense_ms = typical(&dense.ms[1..]);
    let boxes: usize = dense
        .predictions
        .iter()
        .map(|p| match p {
            Prediction::Detections(d) => d.len(),
            _ => 0,
        })
        .sum();
    println!("| model | clip | run | work left | times less | agreement | AP50 | dense ms / gated ms | time saved / work saved |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let name = |p: &str| PathBuf::from(p).file_stem().map_or(String::new(), |s| s.to_string_lossy().into_owned());
    let kept = if a.keep.is_empty() { String::new() } else { format!(" ({})", a.keep.join(",")) };
    let noise = a.noise.map_or(String::new(), |n| format!(" + noise {n}"));
    let head = format!("| {} | {}{noise} |", name(&a.model.to_string_lossy()) + &kept, name(&a.clip));
    println!(
        "{head} dense int8 ({} frames, {boxes} boxes, arena {:.2}x) | 100 % | 1.0 | 1.0000 | {} | {dense_ms:.2} | |",
        clip.frames.len(),
        f64::from(artifact.header().arena_len) / f64::from(artifact.header().arena_dense_len),
        labelled(&dense, &clip, &a.labels)?
    );
    for scale in [0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0] {
        let r = run(&artifact, &task, &clip, Mode::Gated { scale })?;
        let f1 = agreement(&task, &dense, 0..clip.frames.len(), &r)?;
        let mean = typical(&r.ms[1..]);
        let efficiency = match r.work < 0.99 {
            true => format!("{:.2}", (1.0 - mean / dense_ms) / (1.0 - r.work)),
            false => "-".into(),
        };
        println!(
            "{head} gated, scale {scale} | {:.1} % | {:.1} | {f1:.4} | {} | {dense_ms:.2} / {mean:.2} | {efficiency} |",
            100.0 * r.work,
            1.0 / r.work,
            labelled(&r, &clip, &a.labels)?,
        );
    }
    for k in [2, 3, 5, 8, 15] {
        let f1 = agreement(&task, &dense, (0..clip.frames.len()).map(|i| i / k * k), &dense)?;
        println!("{head} every {k}th frame, held | {:.1} % | {k}.0 | {f1:.4} | | | |", 100.0 / k as f64);
    }
    for limit in [0.5, 1.0, 2.0, 4.0, 8.0] {
        let (mut last, mut shown, mut computed) = (0, Vec::new(), 0);
        for i in 0..clip.frames.len() {
            if i == 0 || mean_change(&clip.frames[i], &clip.frames[last]) > limit {
                last = i;
                computed += 1;
            }
            shown.push(last);
        }
        let f1 = agreement(&task, &dense, shown.into_iter(), &dense)?;
        let work = (computed - 1) as f64 / (clip.frames.len() - 1) as f64;
        println!("{head} frame skipped below mean change {limit} | {:.1} % | {:.1} | {f1:.4} | | | |", 100.0 * work, 1.0 / work.max(1e-9));
    }
    Ok(())
}
