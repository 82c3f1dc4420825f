//! `eval`: how well the artifact agrees with the float model, gated and dense, on the same frames.
//!
//! The reference is the imported graph before quantisation, run in f32. Whether that import is right is another
//! question: on the first frame the reference itself is compared with the ONNX file run by tract, where tract can run it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use quiescent::Mode;
use quiescent_tools::artifact::{self, Artifact, OutputData, as_task};
use quiescent_tools::calibrate;
use quiescent_tools::clip::FitMap;
use quiescent_tools::convert::{self, Prepared};
use quiescent_tools::exec::Executor;
use quiescent_tools::feed::onnx_order;
use quiescent_tools::ir::ElementType;
use quiescent_tools::lower::Hold;
use quiescent_tools::oracle::Oracle;
use quiescent_tools::task::{Agreement, Detection, Kind, Labels, Summary, Task, ap50};
use serde::Serialize;

use super::args::{self, ClipArgs, KernelArgs};
use super::measure::{Meter, RunStats, timed};
use super::talk::{Talk, count, percent};

/// Judges an artifact against the float model
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    /// The ONNX model it was made from
    #[arg(long, value_name = "ONNX")]
    against: PathBuf,
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
    kernels: KernelArgs,
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
    let e = evaluate(&artifact, &a.model, &a.against, &a.clip, &task, labels.as_ref(), scale, a.kernels.select()?, talk)?;
    talk.result(&e, || e.text())
}

/// Both executions and the reference, frame by frame.
#[allow(clippy::too_many_arguments)]
pub fn evaluate(
    artifact: &Artifact, file: &Path, onnx: &Path, clip: &ClipArgs, task: &Task, labels: Option<&Labels>, scale: Option<f32>,
    kernels: &'static quiescent::kernels::Kernels, talk: &Talk,
) -> Result<Evaluation> {
    let prepared = reference(artifact, onnx)?;
    let mut float = Executor::new(&prepared.float)?;
    let (mut dense_arena, mut gated_arena) = (artifact.arena(), artifact.arena());
    let mut dense = artifact.engine(&mut dense_arena, kernels)?;
    let mut gated = artifact.engine(&mut gated_arena, kernels)?;
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
        let x = convert::float_input(&prepared, &fed.input);
        float.run(std::slice::from_ref(&x)).with_context(at)?;
        let reference = reference_outputs(&prepared, &float);
        if i == 0 {
            oracle = against_tract(onnx, &prepared, &x, &reference);
        }
        let truth = by_float.own(&reference, i)?;
        let (done, ms) = timed(|| artifact::step(&mut dense, &fed.input).map(drop));
        done.with_context(at)?;
        by_dense.add(&truth, &reference, &artifact::read_outputs(&dense.outputs()), i)?;
        if scale.is_none() {
            meter.add(&dense, ms);
        } else {
            meter.dense(ms);
            let (done, ms) = timed(|| artifact::step(&mut gated, &fed.input).map(drop));
            done.with_context(at)?;
            meter.add(&gated, ms);
            by_gated.add(&truth, &reference, &artifact::read_outputs(&gated.outputs()), i)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let stats = meter.finish(artifact, &file.display().to_string(), &clip.input, kernels.name, scale);
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

/// The float graph the artifact was made from.
fn reference(artifact: &Artifact, onnx: &Path) -> Result<Prepared> {
    let spec = &artifact.meta.input;
    let options = convert::Options {
        model: onnx.into(),
        calib: Vec::new(),
        task: None,
        gates: false,
        hold: Hold::None,
        profile: quiescent::format::Profile::Any,
        input_shape: Some(spec.onnx_shape.clone()),
        norm: spec.norm.clone(),
        mode: Some(spec.fit.mode()),
        frames: 1,
        calibrate: calibrate::Options::default(),
    };
    let prepared = convert::prepare(&options, None)
        .with_context(|| format!("--against {} (the artifact was made from {})", onnx.display(), artifact.meta.model))?;
    ensure!(
        prepared.input.shape == spec.shape && prepared.input.kind == spec.kind,
        "--against {}: its input is {:?}, the artifact's is {:?}; is it the model the artifact was made from ({})?",
        onnx.display(), prepared.input.shape, spec.shape, artifact.meta.model
    );
    let model = artifact.model();
    let ours: Vec<Vec<usize>> = model.outputs.iter().map(|o| o.shape[..o.rank as usize].iter().map(|n| *n as usize).collect()).collect();
    let theirs: Vec<Vec<usize>> = prepared.float.outputs.iter().map(|o| o.onnx_shape.clone()).collect();
    ensure!(
        ours == theirs,
        "--against {}: its outputs are {theirs:?}, the artifact's are {ours:?}; is it the model the artifact was made from ({})?",
        onnx.display(), artifact.meta.model
    );
    Ok(prepared)
}

fn reference_outputs(p: &Prepared, float: &Executor) -> Vec<OutputData> {
    let named = p.float.outputs.iter().zip(float.outputs());
    named.map(|(o, data)| OutputData { name: o.name.clone(), shape: o.onnx_shape.clone(), data }).collect()
}

/// Largest relative error of the reference, and a remark where there is none.
fn against_tract(onnx: &Path, p: &Prepared, x: &[f32], reference: &[OutputData]) -> (Option<f64>, Option<String>) {
    if p.float.inputs.first().is_some_and(|i| i.onnx_type != ElementType::F32) || p.float.tensors.iter().any(|t| t.codes.is_some()) {
        return (None, Some("not asked: it rounds some quantised models unlike the ONNX definition".into()));
    }
    
    let run = || Oracle::load(onnx, Some(&p.input.onnx_shape))?.run(&[onnx_order(&p.input, x)]);
    match run() {
        Ok(outputs) => {
            let worst = outputs.iter().zip(reference).map(|(t, r)| {
                let mut e = Relative::default();
                e.add(t, &r.data);
                e.value()
            });
            (Some(worst.fold(0.0, f64::max)), None)
        }
        Err(e) => (None, Some(format!("{e:#}"))),
    }
}

/// `|ours - reference| / |reference|` accumulated.
#[derive(Clone, Copy, Default)]
struct Relative {
    error: f64,
    norm: f64,
}

impl Relative {
    fn add(&mut self, reference: &[f32], ours: &[f32]) {
        for (r, o) in reference.iter().zip(ours) {
            self.error += (*o as f64 - *r as f64).powi(2);
            self.norm += (*r as f64).powi(2);
        }
    }

    fn value(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { (self.error / self.norm.max(f64::MIN_POSITIVE)).sqrt() }
    }
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

    fn add(&mut self, truth: &quiescent_tools::task::Prediction, reference: &[OutputData], ours: &[OutputData], frame: usize) -> Result<()> {
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
                g.score, g.mean, g.disagreeing_frames, g.longest_disagreement, percent(work)
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
            count(s.macs_done_mean as u64), count(s.macs_dense)
        );
        t
    }
}
