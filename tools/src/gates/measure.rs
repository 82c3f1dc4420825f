//! What a setting of the gates costs and what it saves, on whole clips.

use anyhow::{Context, Result};
use quiescent::{Mode, kernels};

use crate::artifact::{self, Artifact, OutputData};
use crate::feed::Input;
use crate::task::{Agreement, Prediction, Task};

/// A clip with the dense network's answers.
struct Reference {
    frames: Vec<Input>,
    predictions: Vec<Prediction>,
    outputs: Vec<Vec<OutputData>>,
}

/// Clips to try settings on.
pub struct Trial<'t> {
    clips: Vec<Reference>,
    task: &'t Task,
    /// Width and height of the model's input.
    size: (usize, usize),
}

/// One setting on one or all clips.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measure {
    /// Share of the dense multiply-accumulates, first frames left out.
    pub work: f64,
    /// The task's score against the dense network, 0..=1.
    pub agreement: f64,
    /// Root mean square difference of the outputs over that of the dense outputs' variation.
    pub error: f64,
    /// Share of the work of each step.
    pub steps: Vec<f64>,
}

impl<'t> Trial<'t> {
    /// Runs the dense network over `clips`, at most `most` frames each.
    pub fn new(artifact: &Artifact, clips: &[Vec<Input>], task: &'t Task) -> Result<Self> {
        let [h, w, _] = artifact.meta.input.shape;
        let mut arena = artifact.arena();
        let mut engine = artifact.engine(&mut arena, kernels::best())?;
        engine.set_mode(Mode::Dense);
        let mut references = Vec::new();
        for frames in clips {
            let (mut predictions, mut outputs) = (Vec::new(), Vec::new());
            for frame in frames {
                let out = artifact::read_outputs(&artifact::step(&mut engine, frame)?);
                predictions.push(task.decode(&artifact::as_task(&out), (w, h))?);
                outputs.push(out);
            }
            references.push(Reference { frames: frames.clone(), predictions, outputs });
        }
        Ok(Self { clips: references, task, size: (w, h) })
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
        let reference = self.clips.get(clip).context("no such clip")?;
        let mut arena = artifact.arena();
        let mut engine = artifact.engine(&mut arena, kernels::best())?;
        engine.set_mode(Mode::Gated { scale });
        let dense = artifact.header().cost.macs.get() as f64;
        let mut agreement = Agreement::new(self.task);
        let (mut macs, mut counted, mut off, mut all) = (0.0, 0usize, 0.0, 0.0);
        let mut steps = vec![0.0; artifact.meta.steps.len()];
        for (i, frame) in reference.frames.iter().enumerate() {
            artifact::step(&mut engine, frame)?;
            let out = artifact::read_outputs(&engine.outputs());
            let prediction = self.task.decode(&artifact::as_task(&out), self.size)?;
            agreement.add(&reference.predictions[i], &prediction)?;
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
            error: (off / f64::max(all, 1e-30)).sqrt(),
            steps,
        })
    }

    /// The mean over all clips.
    pub fn all(&self, artifact: &Artifact, scale: f32) -> Result<Measure> {
        let mut mean = Measure { steps: vec![0.0; artifact.meta.steps.len()], ..Default::default() };
        let n = self.clips.len().max(1) as f64;
        for clip in 0..self.clips.len() {
            let m = self.clip(artifact, clip, scale)?;
            mean.work += m.work / n;
            mean.agreement += m.agreement / n;
            mean.error += m.error / n;
            mean.steps.iter_mut().zip(&m.steps).for_each(|(a, b)| *a += b / n);
        }
        Ok(mean)
    }
}
