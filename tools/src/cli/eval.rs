//! `eval`: how well the artifact agrees with the float model, gated and dense, on the same frames.
//!
//! The reference is the imported graph before quantisation, run in f32, or a folder of its outputs on the same clip, which a
//! board can read that has no importer (see [`reference`](super::reference)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use quiescent::Mode;
use quiescent_tools::artifact::{self, Artifact, OutputData, as_task};
use quiescent_tools::clip::FitMap;
use quiescent_tools::task::{Agreement, Detection, Kind, Labels, Summary, Task, ap50};
use serde::Serialize;

use super::args::{self, ClipArgs, EngineArgs, GateArgs, Means};
use super::measure::{Meter, RunStats, timed};
use super::reference::{Reference, Relative, Source};
use super::talk::{Talk, count, percent};

/// Judges an artifact against the float model
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    /// The ONNX model it was made from, or a folder that --dump-reference wrote for the same clip
    #[arg(long, value_name = "ONNX")]
    against: PathBuf,
    /// Writes the reference's outputs to this folder, for --against on a machine without the importer
    #[arg(long, value_name = "DIR")]
    dump_reference: Option<PathBuf>,
    #[command(flatten)]
    clip: ClipArgs,
    /// How the outputs read; the artifact's own task when left out
    #[arg(long, value_name = "TOML")]
    task: Option<PathBuf>,
    /// Factor of all gate thresholds: 0 exact, 1 as calibrated
    #[arg(long, value_name = "S", default_value = "1", allow_negative_numbers = true, value_parser = args::not_negative)]
    gate_scale: f32,
    /// Judges dense execution only
    #[arg(long, conflicts_with = "gate_scale")]
    dense: bool,
    /// Labelled boxes of the clip: adds AP50 of the float model, dense and gated
    #[arg(long, value_name = "CSV")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Everything measured.
#[derive(Serialize)]
pub struct Evaluation {
    #[serde(flatten)]
    pub stats: RunStats,
    pub metric: &'static str,
    /// Against the float model; `None` with `--dense`.
    pub gated: Option<Judged>,
    pub dense: Judged,
    /// Largest relative error over the outputs of the float reference against tract, first frame.
    pub reference_against_tract: Option<f64>,
    pub tract: Option<String>,
    pub ap50_float: Option<f64>,
}

#[derive(Serialize)]
pub struct Judged {
    #[serde(flatten)]
    pub agreement: Summary,
    /// `|ours - float| / |float|` over the clip, L2, per output.
    pub relative_error: Vec<(String, f64)>,
    pub ap50: Option<f64>,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let task = args::task_of(&artifact, &a.model, a.task.as_ref())?;
    let labels = a.labels.as_ref().map(|p| Labels::load(p).context("--labels")).transpose()?;
    if labels.is_some() && !matches!(task.kind, Kind::Detections(_)) {
        bail!("--labels: AP50 needs a task of detections; this one is {}", task.name);
    }
    let scale = (!a.dense).then_some(a.gate_scale);
    let source = Source::open(&a.against, &artifact)?;
    if let Some(dir) = &a.dump_reference {
        args::folder("--dump-reference", dir)?;
    }
    let reference = source.start(a.dump_reference.as_deref())?;
    let e = evaluate(&artifact, &a.model, reference, &a.clip, &task, labels.as_ref(), scale, &a.engine.open()?, talk)?;
    talk.result(&e, || e.text())
}

/// Both executions and the reference, frame by frame.
#[allow(clippy::too_many_arguments)]
pub fn evaluate(
    artifact: &Artifact, file: &Path, mut reference: Reference, clip: &ClipArgs, task: &Task, labels: Option<&Labels>, scale: Option<f32>,
    means: &Means, talk: &Talk,
) -> Result<Evaluation> {
    let (mut dense_arena, mut gated_arena) = (artifact.arena(), artifact.arena());
    let mut dense = means.engine(artifact, &mut dense_arena)?;
    let mut gated = means.engine(artifact, &mut gated_arena)?;
    dense.set_mode(Mode::Dense);
    gated.set_mode(scale.map_or(Mode::Dense, |scale| Mode::Gated { scale }));
    let feed = clip.open(&artifact.meta.input)?;
    let judge = |map| Judge::new(task, args::extent(&artifact.meta.input), labels.is_some(), map);
    let map = feed.fit_map();
    let (mut by_dense, mut by_gated, mut by_float) = (judge(map), judge(map), judge(map));
    let mut meter = Meter::default();
    let mut oracle = (None, None);
    let bar = talk.frames("comparing", feed.frames());
    for (i, fed) in feed.enumerate() {
        let fed = fed?;
        let at = || format!("{}, frame {i}", clip.input);
        let expected = reference.outputs(i, &fed.input).with_context(at)?;
        if i == 0 {
            oracle = reference.checked(&fed.input, &expected);
        }
        let truth = by_float.own(&expected, i)?;
        let (done, ms) = timed(|| artifact::step(&mut dense, &fed.input).map(drop));
        done.with_context(at)?;
        by_dense.add(&truth, &expected, &artifact::read_outputs(&dense.outputs()), i)?;
        if scale.is_none() {
            meter.add(&dense, ms);
        } else {
            meter.dense(ms);
            let (done, ms) = timed(|| artifact::step(&mut gated, &fed.input).map(drop));
            done.with_context(at)?;
            meter.add(&gated, ms);
            by_gated.add(&truth, &expected, &artifact::read_outputs(&gated.outputs()), i)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let gating = scale.map(|gate_scale| GateArgs { gate_scale, ..Default::default() });
    let stats = meter.finish(artifact, &file.display().to_string(), &clip.input, means, gating.as_ref());
    let ap50_float = labels.map(|l| ap50(&by_float.found, l)).transpose().context("--labels")?;
    Ok(Evaluation {
        stats,
        metric: metric(task),
        gated: scale.map(|_| by_gated.finish(labels)).transpose()?,
        dense: by_dense.finish(labels)?,
        reference_against_tract: oracle.0,
        tract: oracle.1,
        ap50_float,
    })
}

/// One execution against the reference.
struct Judge<'t> {
    task: &'t Task,
    extent: (usize, usize),
    map: Option<FitMap>,
    labels: bool,
    agreement: Agreement,
    errors: Vec<(String, Relative)>,
    /// In frame pixels, for AP50.
    found: BTreeMap<usize, Vec<Detection>>,
}

impl<'t> Judge<'t> {
    fn new(task: &'t Task, extent: (usize, usize), labels: bool, map: Option<FitMap>) -> Self {
        Self { task, extent, map, labels, agreement: Agreement::new(task), errors: Vec::new(), found: BTreeMap::new() }
    }

    /// What the outputs say; remembers detections for AP50.
    fn own(&mut self, outputs: &[OutputData], frame: usize) -> Result<quiescent_tools::task::Prediction> {
        if self.labels {
            // Precision needs the weak ones too.
            let mut found = self.task.detections(&as_task(outputs), self.extent, 0.01)?;
            if let Some(map) = &self.map {
                for d in &mut found {
                    [d.x1, d.y1, d.x2, d.y2] = map.to_frame(d.corners());
                }
            }
            self.found.insert(frame, found);
        }
        self.task.decode(&as_task(outputs), self.extent)
    }

    fn add(
        &mut self, truth: &quiescent_tools::task::Prediction, reference: &[OutputData], ours: &[OutputData], frame: usize,
    ) -> Result<()> {
        let mine = self.own(ours, frame)?;
        self.agreement.add(truth, &mine)?;
        if self.errors.is_empty() {
            self.errors = ours.iter().map(|o| (o.name.clone(), Relative::default())).collect();
        }
        for ((_, e), (r, o)) in self.errors.iter_mut().zip(reference.iter().zip(ours)) {
            e.add(&r.data, &o.data);
        }
        Ok(())
    }

    fn finish(self, labels: Option<&Labels>) -> Result<Judged> {
        Ok(Judged {
            agreement: self.agreement.summary(),
            relative_error: self.errors.into_iter().map(|(n, e)| (n, e.value())).collect(),
            ap50: labels.map(|l| ap50(&self.found, l)).transpose().context("--labels")?,
        })
    }
}

/// What the score is.
pub fn metric(task: &Task) -> &'static str {
    match &task.kind {
        Kind::Detections(_) => "F1 of detections at IoU 0.5",
        Kind::Top1 => "share of frames with the same class",
        Kind::Mask(_) => "mean IoU",
        Kind::Heatmap(_) => "IoU or F1 of peaks",
        Kind::RelativeError => "1 - relative error",
    }
}

impl Evaluation {
    fn text(&self) -> String {
        let s = &self.stats;
        let mut t = format!("{} on {}, {} frames, against the float model\n", s.model, s.clip, s.frames);
        t += &format!("agreement is {}\n", self.metric);
        t += "        agreement   mean  worst (frame)  disagreeing  longest run  work left\n";
        let rows = [("dense", Some(&self.dense), 1.0), ("gated", self.gated.as_ref(), s.mac_fraction)];
        for (name, judged, work) in rows {
            let Some(j) = judged else { continue };
            let g = &j.agreement;
            let worst = format!("{:.3} ({})", g.worst, g.worst_frame.map_or("-".into(), |f| f.to_string()));
            t += &format!(
                "{name:7}  {:8.4}  {:.3}  {worst:13}  {:11}  {:11}  {:>9}\n",
                g.score,
                g.mean,
                g.disagreeing_frames,
                g.longest_disagreement,
                percent(work)
            );
        }
        for (name, judged) in [("dense", Some(&self.dense)), ("gated", self.gated.as_ref())] {
            let Some(j) = judged else { continue };
            if let (Some(m), Some(missed), Some(extra)) = (j.agreement.matched, j.agreement.missed, j.agreement.extra) {
                t += &format!("{name:7}  {m} boxes matched, {missed} missed, {extra} extra\n");
            }
            for (output, e) in &j.relative_error {
                t += &format!("{name:7}  relative error {e:.4} of output {output}\n");
            }
        }
        if let Some(f) = self.ap50_float {
            let text = |j: Option<&Judged>| j.and_then(|j| j.ap50).map_or("-".into(), |v| format!("{v:.4}"));
            t += &format!("AP50 against labels: float {f:.4}, dense {}, gated {}\n", text(Some(&self.dense)), text(self.gated.as_ref()));
        }
        match (self.reference_against_tract, &self.tract) {
            (Some(e), _) => t += &format!("the float reference is {e:.1e} (relative) from tract's on the first frame\n"),
            (None, Some(why)) => t += &format!("no independent check of the float reference: {why}\n"),
            (None, None) => {}
        }
        t += &format!(
            "work       {} of {} multiply-accumulates a frame, first frame apart\n",
            count(s.macs_done_mean as u64),
            count(s.macs_dense)
        );
        t
    }
}
