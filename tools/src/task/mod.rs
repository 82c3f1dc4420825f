//! What a model is for, and how well one execution agrees with another.
//!
//! A task file (TOML, `tasks/`) says how the outputs of a model read: detections, a class, a mask, a heat map, or plain
//! numbers. From it follow
//!
//! ```text
//! outputs --decode--> Prediction;   Agreement over (reference Prediction, ours) per frame --> a score in 0..1
//! ```
//!
//! | kind | prediction | score |
//! |---|---|---|
//! | `detections` | boxes after non-maximum suppression | F1 at IoU 0.5, same class, with a margin at the score threshold |
//! | `top1` | the largest entry | share of frames with the same class |
//! | `mask` | class per pixel | mean IoU |
//! | `heatmap` | values above a threshold, or peaks | IoU, or F1 of peaks |
//! | `relative-error` | all outputs | 1 - relative error (L2) |
//!
//! The reference is what the float model says on the same frames, not a label: the question is what sparsity and low bits
//! changed. [`ap50`] compares with labels where a clip has them.
//!
//! Modules: `file` reads and checks the TOML, `heads` turns raw outputs into boxes, `boxes` holds IoU and suppression,
//! `agreement` compares, `ap` scores against labels.

mod agreement;
mod ap;
mod boxes;
mod file;
mod heads;
mod maps;

#[cfg(test)]
mod tests;

pub use agreement::{Agreement, MATCH_IOU, Summary};
pub use ap::{Labels, ap50};
pub use boxes::{Detection, iou};
pub use file::{AnchorHint, Color, Detections, HeadKind, Heatmap, InputHints, Kind, Mask, Metric, ResizeHint, Task};

use anyhow::{Result, bail};

/// A score this much below the threshold is still good enough to be the other side of a match; [`Task::decode`] keeps
/// detections down to it.
pub const SCORE_MARGIN: f32 = 0.1;

/// One output of a model: row-major elements under the ONNX shape.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    pub name: &'a str,
    pub shape: &'a [usize],
    pub data: &'a [f32],
}

/// What the outputs of one frame say.
#[derive(Clone, Debug, PartialEq)]
pub enum Prediction {
    /// In model input pixels, by falling score, down to [`SCORE_MARGIN`] below the threshold.
    Detections(Vec<Detection>),
    /// Index of the largest entry.
    Class(usize),
    /// A class per pixel, row-major; 0 is the background.
    Mask { h: usize, w: usize, classes: Vec<u16> },
    /// All outputs, one after the other.
    Values(Vec<f32>),
}

impl Task {
    /// Reads one frame's outputs; `input` is the model's input extent `(w, h)` in pixels.
    pub fn decode(&self, outputs: &[Output], input: (usize, usize)) -> Result<Prediction> {
        for o in outputs {
            if o.shape.iter().product::<usize>() != o.data.len() {
                bail!("output {}: shape {:?} does not fit {} elements", o.name, o.shape, o.data.len());
            }
        }
        if outputs.is_empty() {
            bail!("the model has no outputs to read");
        }
        match &self.kind {
            Kind::Detections(d) => Ok(Prediction::Detections(self.detections(outputs, input, d.threshold - SCORE_MARGIN)?)),
            Kind::Top1 => maps::top1(outputs),
            Kind::Mask(m) => maps::mask(m, outputs),
            Kind::Heatmap(h) => maps::heatmap(h, outputs, input),
            Kind::RelativeError => Ok(Prediction::Values(outputs.iter().flat_map(|o| o.data).copied().collect())),
        }
    }

    /// Detections above `floor` whatever the task's threshold, after suppression, by falling score: for precision-recall
    /// curves. An error for tasks that are not detections.
    pub fn detections(&self, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
        let Kind::Detections(d) = &self.kind else { bail!("{}: this task has no detections", self.name) };
        // At 0 every cell of the grid would be a candidate.
        let floor = floor.max(0.01);
        let mut found = heads::decode(d, outputs, input, floor)?;
        found.retain(|f| d.keep.as_ref().is_none_or(|k| k.contains(&f.class)));
        Ok(boxes::suppress(found, d.nms))
    }
}
