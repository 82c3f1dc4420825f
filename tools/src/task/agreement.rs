//! How well one execution of a model agrees with another over a clip.
//!
//! **Detections.** A pair is a reference box and one of ours, same class, IoU at least 0.5, at least one of the two with
//! a score at or above the threshold `t`, the other above `t - 0.1`: a box that hovers around the threshold is not an
//! error. Pairs are taken greedily, the largest sum of scores first, each box once. With `m` pairs, `missed` reference
//! boxes at or above `t` in none and `extra` ones of ours,
//!
//! ```text
//! F1 = 2 m / (2 m + missed + extra),   1 when there is nothing on either side
//! ```
//!
//! over all frames together. **Masks**: intersection over union per class over the clip, averaged over the classes that
//! cover at least a thousandth of it; of two classes only the foreground counts. **Top 1**: share of equal frames.
//! **Values**: mean over frames of `1 - |ours - reference| / |reference|` (L2 norms), not below 0.

use super::boxes::{Detection, iou};
use super::file::{Kind, Task};
use super::{Prediction, SCORE_MARGIN};
use anyhow::{Result, bail};
use serde::Serialize;

/// Boxes that overlap by this much may be one.
pub const MATCH_IOU: f32 = 0.5;

/// A frame of a mask or of values scoring below this counts as disagreeing.
const AGREES: f64 = 0.9;

/// Share of all pixels below which a class is left out of the mean IoU: a few stray pixels would weigh as much as the scene.
const MIN_CLASS_SHARE: f64 = 1e-3;

/// Accumulates over the frames of a clip.
#[derive(Clone, Debug)]
pub struct Agreement {
    threshold: f32,
    frames: usize,
    sum: f64,
    worst: Option<(usize, f64)>,
    run: usize,
    longest_run: usize,
    disagreeing: usize,
    /// Detections: pairs, missed, extra.
    counts: Option<[usize; 3]>,
    /// Masks: pixels common to both and in either, per class.
    overlap: Vec<[u64; 2]>,
    foreground_only: bool,
}

/// The numbers of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The task's score over the whole clip, 0..1.
    pub score: f64,
    pub frames: usize,
    /// Mean of the frames' own scores.
    pub mean: f64,
    pub worst_frame: Option<usize>,
    pub worst: f64,
    pub disagreeing_frames: usize,
    pub longest_disagreement: usize,
    /// Detections only.
    pub matched: Option<usize>,
    pub missed: Option<usize>,
    pub extra: Option<usize>,
}

impl Agreement {
    pub fn new(task: &Task) -> Agreement {
        let (threshold, foreground_only) = match &task.kind {
            Kind::Detections(d) => (d.threshold, false),
            Kind::Heatmap(h) => (h.threshold, true),
            Kind::Mask(m) => (m.threshold, m.classes <= 2),
            Kind::Top1 | Kind::RelativeError => (0.0, false),
        };
        Agreement {
            threshold,
            frames: 0,
            sum: 0.0,
            worst: None,
            run: 0,
            longest_run: 0,
            disagreeing: 0,
            counts: None,
            overlap: Vec::new(),
            foreground_only,
        }
    }

    /// One frame of each; returns the frame's own score.
    pub fn add(&mut self, reference: &Prediction, ours: &Prediction) -> Result<f64> {
        let (score, agrees) = match (reference, ours) {
            (Prediction::Detections(a), Prediction::Detections(b)) => {
                let counts = match_detections(a, b, self.threshold);
                let total = self.counts.get_or_insert([0; 3]);
                for (t, c) in total.iter_mut().zip(counts) {
                    *t += c;
                }
                (f1(counts), counts[1] + counts[2] == 0)
            }
            (Prediction::Class(a), Prediction::Class(b)) => ((a == b) as u8 as f64, a == b),
            (Prediction::Mask { h, w, classes: a }, Prediction::Mask { h: h2, w: w2, classes: b }) => {
                if (h, w, a.len()) != (h2, w2, b.len()) {
                    bail!("a mask of {w2}x{h2} cannot be compared with one of {w}x{h}");
                }
                let frame = overlap(a, b);
                if self.overlap.len() < frame.len() {
                    self.overlap.resize(frame.len(), [0; 2]);
                }
                for (t, f) in self.overlap.iter_mut().zip(&frame) {
                    t[0] += f[0];
                    t[1] += f[1];
                }
                let score = mean_iou(&frame, self.foreground_only);
                (score, score >= AGREES)
            }
            (Prediction::Values(a), Prediction::Values(b)) => {
                if a.len() != b.len() {
                    bail!("{} values cannot be compared with {}", b.len(), a.len());
                }
                let score = (1.0 - relative_error(a, b)).max(0.0);
                (score, score >= AGREES)
            }
            _ => bail!("predictions of two different kinds cannot be compared"),
        };
        self.count(score, agrees);
        Ok(score)
    }

    fn count(&mut self, score: f64, agrees: bool) {
        if self.worst.is_none_or(|(_, s)| score < s) {
            self.worst = Some((self.frames, score));
        }
        self.run = if agrees { 0 } else { self.run + 1 };
        self.longest_run = self.longest_run.max(self.run);
        self.disagreeing += !agrees as usize;
        self.frames += 1;
        self.sum += score;
    }

    /// 0..1 over the whole clip; 1 before the first frame.
    pub fn score(&self) -> f64 {
        match self.counts {
            Some(counts) => f1(counts),
            None if !self.overlap.is_empty() => mean_iou(&self.overlap, self.foreground_only),
            None => self.mean(),
        }
    }

    /// Mean of the frames' own scores.
    pub fn mean(&self) -> f64 {
        if self.frames == 0 { 1.0 } else { self.sum / self.frames as f64 }
    }

    /// The frame (counted from 0 in the order of [`add`](Self::add)) with the lowest score, the first of equals.
    pub fn worst(&self) -> Option<(usize, f64)> {
        self.worst
    }

    /// Frames of the longest unbroken disagreement.
    pub fn longest_disagreement(&self) -> usize {
        self.longest_run
    }

    pub fn summary(&self) -> Summary {
        Summary {
            score: self.score(),
            frames: self.frames,
            mean: self.mean(),
            worst_frame: self.worst.map(|w| w.0),
            worst: self.worst.map_or(1.0, |w| w.1),
            disagreeing_frames: self.disagreeing,
            longest_disagreement: self.longest_run,
            matched: self.counts.map(|c| c[0]),
            missed: self.counts.map(|c| c[1]),
            extra: self.counts.map(|c| c[2]),
        }
    }
}

/// `[pairs, missed, extra]`.
fn match_detections(reference: &[Detection], ours: &[Detection], threshold: f32) -> [usize; 3] {
    let mut pairs = Vec::new();
    for (i, a) in reference.iter().enumerate() {
        for (j, b) in ours.iter().enumerate() {
            let (low, high) = (a.score.min(b.score), a.score.max(b.score));
            if a.class == b.class && high >= threshold && low > threshold - SCORE_MARGIN {
                let overlap = iou(a.corners(), b.corners());
                if overlap >= MATCH_IOU {
                    pairs.push((low + high, overlap, i, j));
                }
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then((a.2, a.3).cmp(&(b.2, b.3))));
    let (mut taken_a, mut taken_b) = (vec![false; reference.len()], vec![false; ours.len()]);
    let mut matched = 0;
    for (_, _, i, j) in pairs {
        if !taken_a[i] && !taken_b[j] {
            (taken_a[i], taken_b[j]) = (true, true);
            matched += 1;
        }
    }
    let left = |boxes: &[Detection], taken: &[bool]| boxes.iter().zip(taken).filter(|(d, taken)| d.score >= threshold && !**taken).count();
    [matched, left(reference, &taken_a), left(ours, &taken_b)]
}

fn f1([matched, missed, extra]: [usize; 3]) -> f64 {
    let all = 2 * matched + missed + extra;
    if all == 0 { 1.0 } else { 2.0 * matched as f64 / all as f64 }
}

/// Pixels common to both and in either, per class.
fn overlap(a: &[u16], b: &[u16]) -> Vec<[u64; 2]> {
    let classes = a.iter().chain(b).max().map_or(0, |&m| m as usize + 1);
    let mut counts = vec![[0; 2]; classes];
    for (&x, &y) in a.iter().zip(b) {
        counts[x as usize][1] += 1;
        if x == y {
            counts[x as usize][0] += 1;
        } else {
            counts[y as usize][1] += 1;
        }
    }
    counts
}

fn mean_iou(counts: &[[u64; 2]], foreground_only: bool) -> f64 {
    if foreground_only {
        // Nothing in front on either side is agreement.
        return counts.get(1).filter(|c| c[1] > 0).map_or(1.0, |c| c[0] as f64 / c[1] as f64);
    }
    let pixels: u64 = counts.iter().map(|c| c[1]).sum();
    let least = (pixels as f64 * MIN_CLASS_SHARE).max(1.0);
    let ious: Vec<f64> = counts.iter().filter(|c| c[1] as f64 >= least).map(|c| c[0] as f64 / c[1] as f64).collect();
    if ious.is_empty() { 1.0 } else { ious.iter().sum::<f64>() / ious.len() as f64 }
}

/// `|b - a| / |a|` in L2 norms; a value that is not finite on one side only makes it infinite.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let (mut error, mut norm) = (0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        if !x.is_finite() || !y.is_finite() {
            if x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()) {
                continue;
            }
            return f64::INFINITY;
        }
        error += (y as f64 - x as f64).powi(2);
        norm += (x as f64).powi(2);
    }
    if error == 0.0 { 0.0 } else { (error / norm).sqrt() }
}
