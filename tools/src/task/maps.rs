//! Predictions that are maps or vectors: classes, masks, heat maps.

use super::boxes::{Detection, suppress};
use super::file::{Heatmap, Mask, Metric};
use super::{Output, Prediction, SCORE_MARGIN};
use anyhow::{Result, bail};

/// The largest entry of the first output, the first of equals.
pub fn top1(outputs: &[Output]) -> Result<Prediction> {
    let o = &outputs[0];
    let mut best: Option<(usize, f32)> = None;
    for (i, &v) in o.data.iter().enumerate() {
        if !v.is_nan() && best.is_none_or(|(_, b)| v > b) {
            best = Some((i, v));
        }
    }
    match best {
        Some((i, _)) => Ok(Prediction::Class(i)),
        None => bail!("output {} {:?} has no numbers to choose a class from", o.name, o.shape),
    }
}

/// `value(y, x, c) = data[y * sy + x * sx + c * sc]`.
struct Map<'a> {
    data: &'a [f32],
    h: usize,
    w: usize,
    c: usize,
    sx: usize,
    sc: usize,
}

impl<'a> Map<'a> {
    /// Of the first output with `channels` channels, channels first or last.
    fn of(outputs: &[Output<'a>], channels: usize) -> Result<Map<'a>> {
        for o in outputs {
            let (h, w, c, sx, sc) = match *o.shape {
                [1, h, w, c] | [h, w, c] if c == channels => (h, w, c, c, 1),
                [1, c, h, w] | [c, h, w] if c == channels => (h, w, c, 1, h * w),
                [1, h, w] | [h, w] if channels == 1 => (h, w, 1, 1, 0),
                _ => continue,
            };
            if h * w > 0 {
                return Ok(Map { data: o.data, h, w, c, sx, sc });
            }
        }
        let shapes: Vec<String> = outputs.iter().map(|o| format!("{} {:?}", o.name, o.shape)).collect();
        bail!("no output is a map of {channels} channels (classes in the task file): {}", shapes.join(", "))
    }

    fn at(&self, y: usize, x: usize, c: usize) -> f32 {
        self.data[(y * self.w + x) * self.sx + c * self.sc]
    }
}

/// Argmax over the channels; of one channel, 1 where it exceeds the threshold.
pub fn mask(m: &Mask, outputs: &[Output]) -> Result<Prediction> {
    let map = Map::of(outputs, m.classes)?;
    let mut classes = Vec::with_capacity(map.h * map.w);
    for y in 0..map.h {
        for x in 0..map.w {
            classes.push(if map.c == 1 {
                (map.at(y, x, 0) > m.threshold) as u16
            } else {
                (1..map.c).fold(0, |best, c| if map.at(y, x, c) > map.at(y, x, best) { c } else { best }) as u16
            });
        }
    }
    Ok(Prediction::Mask { h: map.h, w: map.w, classes })
}

/// A mask of the values above the threshold, channels below one another, or a small box around every peak.
pub fn heatmap(task: &Heatmap, outputs: &[Output], input: (usize, usize)) -> Result<Prediction> {
    let map = Map::of(outputs, task.classes)?;
    if task.metric == Metric::Iou {
        let mut classes = Vec::with_capacity(map.h * map.w * map.c);
        for c in 0..map.c {
            for y in 0..map.h {
                classes.extend((0..map.w).map(|x| (map.at(y, x, c) > task.threshold) as u16));
            }
        }
        return Ok(Prediction::Mask { h: map.h * map.c, w: map.w, classes });
    }
    let floor = (task.threshold - SCORE_MARGIN).max(0.01);
    let (px, py) = (input.0 as f32 / map.w as f32, input.1 as f32 / map.h as f32);
    let mut peaks = Vec::new();
    for class in 0..map.c {
        for y in 0..map.h {
            for x in 0..map.w {
                let score = map.at(y, x, class);
                let around =
                    (y.saturating_sub(1)..(y + 2).min(map.h)).flat_map(|v| (x.saturating_sub(1)..(x + 2).min(map.w)).map(move |u| (v, u)));
                if score > floor && around.into_iter().all(|(v, u)| map.at(v, u, class) <= score) {
                    let (cx, cy, r) = ((x as f32 + 0.5) * px, (y as f32 + 0.5) * py, task.radius);
                    peaks.push(Detection { class, score, x1: cx - r, y1: cy - r, x2: cx + r, y2: cy + r });
                }
            }
        }
    }
    // Equal neighbours are one peak.
    Ok(Prediction::Detections(suppress(peaks, 0.5)))
}
