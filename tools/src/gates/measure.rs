//! What a setting of the gates costs and what it saves, on whole clips.

use anyhow::{Context, Result};
use quiescent::format::InputGate;
use quiescent::{Mode, kernels};

use super::parallel;
use crate::artifact::{self, Artifact, OutputData};
use crate::feed::Input;
use crate::task::{Agreement, Detection, Kind, MATCH_IOU, Prediction, SCORE_MARGIN, Task, iou};

/// A clip with the dense network's answers.
struct Reference {
    frames: Vec<Input>,
    /// The reference answers.
    predictions: Vec<Prediction>,
    /// The dense network's answers: faint detections as well, and raw.
    faint: Vec<Vec<Detection>>,
    outputs: Vec<Vec<OutputData>>,
}

/// At most what one box adds to [`distance`]: beyond an error it does not matter how far.
const ERROR: f64 = 2.0;

/// Detections down to this share of the task's threshold are compared by [`Measure::error`]: near misses say more than the few
/// boxes that count.
const FAINT: f32 = 0.4;

/// Clips to try settings on.
pub struct Trial<'t> {
    clips: Vec<Reference>,
    task: &'t Task,
    /// Width and height of the model's input.
    size: (usize, usize),
    /// Mean agreement of the dense network with the reference predictions: 1 where these are its own.
    pub dense: f64,
}

/// One setting on one or all clips.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measure {
    /// Share of the dense multiply-accumulates, first frames left out.
    pub work: f64,
    /// The task's score against the reference predictions, 0..=1.
    pub agreement: f64,
    /// A smooth measure of the same for the search to follow: [`distance`] of the faint detections, and a tenth of the
    /// relative difference of the outputs.
    pub error: f64,
    /// Share of the work of each step.
    pub steps: Vec<f64>,
}

impl Measure {
    /// Work and error together, `exchange` the price of error in work.
    pub(super) fn price(&self, exchange: f64) -> f64 {
        self.work.max(1e-6).ln() + exchange * self.error.max(1e-6).ln()
    }
}

impl<'t> Trial<'t> {
    /// Runs the dense network over `clips`. The reference predictions are those of `float`, frame by frame, or the dense
    /// network's own.
    pub fn new(artifact: &Artifact, clips: &[Vec<Input>], task: &'t Task, float: Option<&[Vec<Prediction>]>) -> Result<Self> {
        let [h, w, _] = artifact.meta.input.shape;
        let mut arena = artifact.arena();
        let mut engine = artifact.engine(&mut arena, kernels::best())?;
        engine.set_mode(Mode::Dense);
        let mut references = Vec::new();
        let mut dense = 0.0;
        for (k, frames) in clips.iter().enumerate() {
            let (mut predictions, mut outputs, mut faint) = (Vec::new(), Vec::new(), Vec::new());
            for frame in frames {
                let out = artifact::read_outputs(&artifact::step(&mut engine, frame)?);
                predictions.push(task.decode(&artifact::as_task(&out), (w, h))?);
                faint.push(faint_of(task, &out, (w, h))?);
                outputs.push(out);
            }
            let mut agreement = Agreement::new(task);
            if let Some(float) = float.and_then(|f| f.get(k)) {
                for (a, b) in float.iter().zip(&predictions) {
                    agreement.add(a, b)?;
                }
                predictions = float.clone();
                dense += agreement.score() / clips.len() as f64;
            } else {
                dense += 1.0 / clips.len() as f64;
            }
            references.push(Reference { frames: frames.clone(), predictions, faint, outputs });
        }
        Ok(Self { clips: references, task, size: (w, h), dense })
    }

    /// What two wrong boxes cost in F1: differences below say nothing. 0 for other tasks.
    pub fn resolution(&self) -> f64 {
        let Kind::Detections(kind) = &self.task.kind else { return 0.0 };
        let strong = |p: &Prediction| match p {
            Prediction::Detections(d) => d.iter().filter(|d| d.score >= kind.threshold).count(),
            _ => 0,
        };
        let boxes: usize = self.clips.iter().flat_map(|c| &c.predictions).map(strong).sum();
        1.0 / boxes.max(4) as f64
    }

    /// Number of clips.
    pub fn len(&self) -> usize {
        self.clips.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    /// Runs the gated network over clip `clip` from its first frame.
    pub fn clip(&self, artifact: &Artifact, clip: usize, scale: f32) -> Result<Measure> {
        self.every(artifact, clip, scale, 1)
    }

    /// The same over every `stride`-th frame.
    fn every(&self, artifact: &Artifact, clip: usize, scale: f32, stride: usize) -> Result<Measure> {
        let reference = self.clips.get(clip).context("no such clip")?;
        let mut arena = artifact.arena();
        let mut engine = artifact.engine(&mut arena, kernels::best())?;
        engine.set_mode(Mode::Gated { scale });
        let dense = artifact.header().cost.macs.get() as f64;
        let mut agreement = Agreement::new(self.task);
        let (mut macs, mut counted, mut off, mut all, mut apart) = (0.0, 0usize, 0.0, 0.0, 0.0);
        let mut steps = vec![0.0; artifact.meta.steps.len()];
        for (i, frame) in reference.frames.iter().enumerate().step_by(stride) {
            artifact::step(&mut engine, frame)?;
            let out = artifact::read_outputs(&engine.outputs());
            let prediction = self.task.decode(&artifact::as_task(&out), self.size)?;
            agreement.add(&reference.predictions[i], &prediction)?;
            apart += distance(&reference.faint[i], &faint_of(self.task, &out, self.size)?, self.task);
            if i == 0 {
                continue;
            }
            macs += engine.stats().macs as f64;
            counted += 1;
            for s in engine.step_stats() {
                steps[s.step] += s.macs as f64;
            }
            for (a, b) in out.iter().zip(&reference.outputs[i]) {
                for (x, y) in a.data.iter().zip(&b.data) {
                    off += f64::from(x - y).powi(2);
                    all += f64::from(*y).powi(2);
                }
            }
        }
        let total = (counted.max(1)) as f64 * dense.max(1.0);
        steps.iter_mut().for_each(|s| *s /= total);
        Ok(Measure {
            work: macs / total,
            agreement: agreement.score(),
            error: (apart / (counted + 1) as f64).sqrt() + 0.1 * (off / f64::max(all, 1e-30)).sqrt(),
            steps,
        })
    }

    /// The mean over all clips.
    pub fn all(&self, artifact: &Artifact, scale: f32) -> Result<Measure> {
        Ok(self.each(std::slice::from_ref(artifact), scale)?.remove(0))
    }

    /// The mean over all clips for each artifact: every clip of each runs at once.
    pub fn each(&self, artifacts: &[Artifact], scale: f32) -> Result<Vec<Measure>> {
        let n = self.clips.len();
        let mut measures = parallel::map(artifacts.len() * n, |i| self.clip(&artifacts[i / n], i % n, scale))?.into_iter();
        Ok(artifacts.iter().map(|a| self.mean(a, measures.by_ref().take(n).collect())).collect())
    }

    /// The mean over about `frames` frames of each clip, one clip after the other. Frames so far apart do not wait.
    pub fn glance(&self, artifact: &Artifact, scale: f32, frames: usize) -> Result<Measure> {
        let artifact = &mut artifact.clone();
        let input = artifact.header().input_gate;
        artifact.set_gates(InputGate { wait: 0, ..input }, |_| ());
        let stride = |clip: usize| (self.clips[clip].frames.len() / frames).max(1);
        let clips: Result<Vec<_>> = (0..self.clips.len()).map(|clip| self.every(artifact, clip, scale, stride(clip))).collect();
        Ok(self.mean(artifact, clips?))
    }

    fn mean(&self, artifact: &Artifact, clips: Vec<Measure>) -> Measure {
        let mut mean = Measure { steps: vec![0.0; artifact.meta.steps.len()], ..Default::default() };
        let n = self.clips.len().max(1) as f64;
        for m in clips {
            mean.work += m.work / n;
            mean.agreement += m.agreement / n;
            mean.error += m.error / n;
            mean.steps.iter_mut().zip(&m.steps).for_each(|(a, b)| *a += b / n);
        }
        mean
    }
}

/// Detections down to a part of the task's threshold; none for other tasks.
fn faint_of(task: &Task, out: &[OutputData], size: (usize, usize)) -> Result<Vec<Detection>> {
    let Kind::Detections(kind) = &task.kind else { return Ok(Vec::new()) };
    task.detections(&artifact::as_task(out), size, FAINT * kind.threshold)
}

/// How near two answers are to disagreeing: over boxes, the sum of squares of the change as a share of what makes an error of it, 1 where
/// [`Agreement`] would count one. A reference box errs by a falling score or a shift, a box of ours by a score that rises where the reference has no box.
/// Faint boxes are looked for among all of the other side; tasks without boxes go by their outputs alone.
fn distance(reference: &[Detection], ours: &[Detection], task: &Task) -> f64 {
    let Kind::Detections(kind) = &task.kind else { return 0.0 };
    let (threshold, floor) = (kind.threshold, FAINT * kind.threshold);
    let lost = threshold - SCORE_MARGIN;
    let square = |share: f32| f64::from(share.max(0.0).powi(2)).min(ERROR);
    let partner = |d: &Detection, among: &[Detection]| -> Option<(f32, f32)> {
        let same = among.iter().filter(|e| e.class == d.class).map(|e| (iou(d.corners(), e.corners()), e.score));
        same.filter(|(overlap, _)| *overlap >= MATCH_IOU).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let of_reference = reference.iter().filter(|d| d.score >= threshold).map(|d| match partner(d, ours) {
        Some((overlap, score)) => (square((d.score - score) / (d.score - lost)) + square((1.0 - overlap) / (1.0 - MATCH_IOU))).min(ERROR),
        None => ERROR,
    });
    let of_ours = ours.iter().map(|d| {
        let before = partner(d, reference).map_or(floor, |(_, score)| score);
        if before > lost { 0.0 } else { square((d.score - before) / (threshold - before)) }
    });
    of_reference.sum::<f64>() + of_ours.sum::<f64>()
}
