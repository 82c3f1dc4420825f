//! Average precision against labels.
//!
//! Labels are a CSV file with a header; columns are found by name: `frame_index_0based` (or `frame`), `x, y, w, h` in
//! frame pixels, and optionally `class` (0 when absent) and `evaluate` (a box with 0 is neither required nor an error).
//!
//! AP50 is the area under the precision-recall curve with precision made monotone (all-point interpolation of PASCAL VOC
//! 2010), detections taken by falling score, each label matched once at IoU 0.5 or more, averaged over classes. Frames
//! count only if they are labelled and predicted.

use super::boxes::{Detection, iou};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[derive(Clone, Debug, PartialEq)]
struct Label {
    class: usize,
    corners: [f32; 4],
    evaluate: bool,
}

/// Labelled boxes by frame, counted from 0.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    frames: BTreeMap<usize, Vec<Label>>,
}

impl Labels {
    pub fn load(path: &Path) -> Result<Labels> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the labels {name}"))?;
        Labels::parse(&text).with_context(|| name)
    }

    pub fn parse(text: &str) -> Result<Labels> {
        let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        let (_, header) = lines.next().ok_or_else(|| anyhow!("no header line"))?;
        let names: Vec<&str> = header.split(',').map(str::trim).collect();
        let find = |name: &str| names.iter().position(|n| *n == name);
        let need = |name: &str| find(name).ok_or_else(|| anyhow!("no column {name} in the header {header:?}"));
        let frame = find("frame_index_0based").map_or_else(|| need("frame"), Ok)?;
        let sides = [need("x")?, need("y")?, need("w")?, need("h")?];
        let (class, evaluate) = (find("class"), find("evaluate"));
        let mut labels = Labels::default();
        for (number, line) in lines {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let value = |i: usize| -> Result<f32> {
                let field = fields.get(i).copied().unwrap_or("");
                let value: f32 = field.parse().map_err(|_| anyhow!("line {}: {field:?} is not a number", number + 1))?;
                if value.is_finite() { Ok(value) } else { bail!("line {}: {field} is not finite", number + 1) }
            };
            let [x, y, w, h] = [value(sides[0])?, value(sides[1])?, value(sides[2])?, value(sides[3])?];
            let optional = |column: Option<usize>, absent: f32| column.map_or(Ok(absent), &value);
            let label =
                Label { class: optional(class, 0.0)? as usize, corners: [x, y, x + w, y + h], evaluate: optional(evaluate, 1.0)? != 0.0 };
            labels.frames.entry(value(frame)? as usize).or_default().push(label);
        }
        if labels.frames.is_empty() {
            bail!("no labelled boxes");
        }
        Ok(labels)
    }

    /// Frames that carry labels, counted from 0, ascending.
    pub fn frames(&self) -> impl Iterator<Item = usize> + '_ {
        self.frames.keys().copied()
    }
}

/// Mean over classes of the AP at IoU 0.5, in 0..1; `predictions` are in frame pixels, by frame counted from 0, decoded
/// with a low score floor.
pub fn ap50(predictions: &BTreeMap<usize, Vec<Detection>>, labels: &Labels) -> Result<f64> {
    let frames: Vec<(&Vec<Detection>, &Vec<Label>)> = labels.frames.iter().filter_map(|(f, l)| Some((predictions.get(f)?, l))).collect();
    let classes: BTreeSet<usize> = frames.iter().flat_map(|f| f.1).filter(|l| l.evaluate).map(|l| l.class).collect();
    if classes.is_empty() {
        bail!("no labelled frame was predicted; the labels cover frames {:?}", labels.frames().collect::<Vec<_>>());
    }
    let sum: f64 = classes.iter().map(|&class| average_precision(&frames, class)).sum();
    Ok(sum / classes.len() as f64)
}

fn average_precision(frames: &[(&Vec<Detection>, &Vec<Label>)], class: usize) -> f64 {
    let labels: Vec<Vec<&Label>> = frames.iter().map(|f| f.1.iter().filter(|l| l.class == class).collect()).collect();
    let positives = labels.iter().flatten().filter(|l| l.evaluate).count();
    let mut found: Vec<(usize, &Detection)> =
        frames.iter().enumerate().flat_map(|(i, f)| f.0.iter().filter(|d| d.class == class).map(move |d| (i, d))).collect();
    found.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
    let mut taken: Vec<Vec<bool>> = labels.iter().map(|l| vec![false; l.len()]).collect();
    let (mut hits, mut seen) = (0, 0);
    // (recall, precision) after every detection.
    let mut curve = Vec::new();
    for (frame, d) in found {
        let best = |wanted: bool| {
            let candidates = labels[frame].iter().enumerate().filter(|(k, l)| l.evaluate == wanted && !(wanted && taken[frame][*k]));
            let overlaps = candidates.map(|(k, l)| (k, iou(l.corners, d.corners())));
            overlaps.filter(|o| o.1 >= 0.5).max_by(|a, b| a.1.total_cmp(&b.1))
        };
        if let Some((k, _)) = best(true) {
            taken[frame][k] = true;
            hits += 1;
        } else if best(false).is_some() {
            continue;
        }
        seen += 1;
        curve.push((hits as f64 / positives as f64, hits as f64 / seen as f64));
    }
    let (mut area, mut ceiling, mut right) = (0.0, 0.0f64, curve.last().map_or(0.0, |c| c.0));
    for i in (0..curve.len()).rev() {
        let left = if i == 0 { 0.0 } else { curve[i - 1].0 };
        ceiling = ceiling.max(curve[i].1);
        area += (right - left) * ceiling;
        right = left;
    }
    area
}
