//! `demo`: convert, run, compare and draw the shipped model, from files inside the binary.

use std::path::{Path, PathBuf};

use anyhow::Result;
use quiescent::{Mode, kernels};
use quiescent_tools::artifact::{self, Artifact, write_whole};
use quiescent_tools::convert::Options;
use quiescent_tools::feed::{Feed, Input};
use quiescent_tools::gates::Budget;
use quiescent_tools::lower::Hold;
use quiescent_tools::task::{Labels, Task};
use serde::Serialize;
use serde_json::json;

use super::args::{self, ClipArgs, GateArgs, Means};
use super::bench::interleave;
use super::convert::{Job, convert, host};
use super::eval::{Evaluation, evaluate};
use super::measure::RunStats;
use super::pictures::Pictures;
use super::reference::Source;
use super::talk::{Talk, bytes, count, percent};

/// Converts, runs, compares and draws the shipped model
#[derive(clap::Args)]
pub struct Args {
    /// Folder for the model, the clips, the artifact and the pictures
    #[arg(long, value_name = "DIR", default_value = "quiescent-demo")]
    out: PathBuf,
}

/// What the demo needs, see models/patrol/README.md.
const FILES: [(&str, &[u8]); 5] = [
    ("patrol.onnx", include_bytes!("../../../models/patrol/patrol.onnx")),
    ("task.toml", include_bytes!("../../../models/patrol/task.toml")),
    ("calibration.y4m", include_bytes!("../../../models/patrol/calibration.y4m")),
    ("evaluation.y4m", include_bytes!("../../../models/patrol/evaluation.y4m")),
    ("evaluation.csv", include_bytes!("../../../models/patrol/evaluation.csv")),
];

/// Layers in the table.
const ROWS: usize = 8;

/// Factor of the thresholds: at 1 they are as large as the short calibration clip bears, and other clips bear less.
const SCALE: f32 = 0.5;

#[derive(Serialize)]
struct Demo {
    #[serde(flatten)]
    stats: RunStats,
    evaluation: Evaluation,
    layers: Vec<LayerShare>,
    pictures: String,
    #[serde(skip)]
    out: PathBuf,
}

#[derive(Serialize)]
struct LayerShare {
    name: String,
    op: String,
    shape: [usize; 3],
    macs: u64,
    /// Share of pixels recomputed, mean over the frames after the first.
    recomputed: f64,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    args::folder("--out", &a.out)?;
    for (name, content) in FILES {
        write_whole(&a.out.join(name), content)?;
    }
    let path = |name: &str| a.out.join(name);
    let text = |name: &str| path(name).display().to_string();
    let (onnx, qsc, clip) = (path("patrol.onnx"), path("patrol.qsc"), text("evaluation.y4m"));
    let artifact = make(&onnx, &path("task.toml"), text("calibration.y4m"), talk)?;
    artifact.save(&qsc)?;
    let means = Means::best();
    let task = args::task_of(&artifact, &qsc, None)?;
    let labels = Labels::load(&path("evaluation.csv"))?;
    let clip = ClipArgs { input: clip, frames: None, noise: None, start: 0 };
    let source = Source::open(&onnx, &artifact)?;
    let evaluation = evaluate(&artifact, &qsc, source.start(None)?, &clip, &task, Some(&labels), Some(SCALE), &means, talk)?;
    let frames: Vec<Input> = clip.open(&artifact.meta.input)?.map(|f| f.map(|f| f.input)).collect::<Result<_>>()?;
    let gating = GateArgs { gate_scale: SCALE, ..Default::default() };
    let (meter, shares) = interleave(&artifact, &frames, &means, &gating, 20, talk)?;
    let stats = meter.finish(&artifact, &qsc.display().to_string(), &clip.input, &means, Some(&gating));
    let pictures = path("pictures");
    draw(&artifact, &pictures, task, clip.open(&artifact.meta.input)?, talk)?;
    let layers = artifact.meta.steps.iter().zip(shares).map(|(s, recomputed)| LayerShare {
        name: s.name.clone(),
        op: s.op.clone(),
        shape: s.shape,
        macs: s.macs,
        recomputed,
    });
    let demo = Demo { stats, evaluation, layers: layers.collect(), pictures: pictures.display().to_string(), out: a.out.clone() };
    talk.result(&demo, || demo.text())
}

fn make(onnx: &Path, task: &Path, calib: String, talk: &Talk) -> Result<Artifact> {
    let text = String::from_utf8_lossy(FILES[1].1).into_owned();
    let options = Options {
        calib: vec![calib.clone()],
        task: Some(task.into()),
        gates: true,
        hold: Hold::Ratio(2.0),
        profile: host(),
        ..Options::new(onnx)
    };
    let search = Budget { refine: 150, ..Default::default() };
    let recipe = json!({ "tool": env!("CARGO_PKG_VERSION"), "arguments": ["demo"], "model": onnx, "calib": [calib] });
    let job = Job { options, task: Some((Task::parse("task.toml", &text)?, text)), search: Some(search), recipe };
    Ok(convert(&job, talk)?.0)
}

fn draw(artifact: &Artifact, dir: &Path, task: Task, feed: Feed, talk: &Talk) -> Result<()> {
    let mut pictures = Pictures::new(dir, artifact, task, feed.fit_map(), &[])?;
    let mut arena = artifact.arena();
    let mut engine = artifact.engine(&mut arena, kernels::best())?;
    engine.set_mode(Mode::Gated { scale: SCALE });
    let bar = talk.frames("drawing", feed.frames());
    for (i, fed) in feed.enumerate() {
        let fed = fed?;
        artifact::step(&mut engine, &fed.input)?;
        if let Some(picture) = &fed.picture {
            pictures.write(i, picture, &artifact::read_outputs(&engine.outputs()), &engine)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

impl Demo {
    fn text(&self) -> String {
        let (s, e) = (&self.stats, &self.evaluation);
        let ms = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.3}"));
        let ap = |j: Option<f64>| j.map_or("-".into(), |v| format!("{v:.3}"));
        let gated = e.gated.as_ref();
        let mut t = format!(
            "patrol: a detector of walkers, cars and balls, 128x96, {} multiply-accumulates; {} drawn frames\n\n{:34} {:>12} {:>12}\n",
            count(s.macs_dense),
            s.frames,
            format!("gates at scale {SCALE}"),
            "dense int8",
            "gated"
        );
        let mut row = |name: &str, dense: String, gated: String| t += &format!("{name:34} {dense:>12} {gated:>12}\n");
        let f1 = |j: Option<&super::eval::Judged>| ap(j.map(|j| j.agreement.score));
        row("agreement with the float model, F1", f1(Some(&e.dense)), f1(gated));
        let labels = format!("AP50 against labels (float {})", ap(e.ap50_float));
        row(&labels, ap(e.dense.ap50), ap(gated.and_then(|j| j.ap50)));
        row("multiply-accumulates done", percent(1.0), percent(s.mac_fraction));
        row("ms a frame, median", ms(s.ms_dense_p50), ms(s.ms_gated_p50));
        row("ms a frame, mean", ms(s.ms_dense_mean), ms(s.ms_gated_mean));
        row("arena", bytes(s.arena_dense_bytes), bytes(s.arena_bytes));
        t += &format!("\n{:34} {:>12} {:>12}\n", "pixels recomputed, mean", "of", "share");
        t += &format!("{:34} {:>12} {:>12}\n", "input (changed)", "128x96", percent(s.pixel_fraction));
        for l in self.rows() {
            let [h, w, _] = l.shape;
            t += &format!("{:34} {:>12} {:>12}\n", l.name, format!("{w}x{h}"), percent(l.recomputed));
        }
        let out = self.out.display();
        t += &format!(
            "\n{} kernels on one thread of {}\npictures: {}/frame00000.png to frame{:05}.png\n\nnext, for example:\n",
            s.kernels,
            s.machine,
            self.pictures,
            s.frames.saturating_sub(1)
        );
        // As it was called: after `cargo run` it is not on the PATH.
        let command = std::env::args().next().unwrap_or_else(|| "quiescent".into());
        t += &format!("  {command} inspect {out}/patrol.qsc --layers --self-test\n");
        t += &format!("  {command} bench {out}/patrol.qsc --input {out}/evaluation.y4m --noise 2\n");
        t
    }

    /// Convolutions from first to last, evenly thinned.
    fn rows(&self) -> Vec<&LayerShare> {
        let convs: Vec<&LayerShare> = self.layers.iter().filter(|l| l.macs > 0 && l.shape[0] > 1).collect();
        let n = convs.len().min(ROWS);
        (0..n).map(|k| convs[if n > 1 { k * (convs.len() - 1) / (n - 1) } else { 0 }]).collect()
    }
}
