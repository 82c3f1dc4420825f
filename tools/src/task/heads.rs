//! From the raw outputs of detector heads to boxes in model input pixels.
//!
//! Sources: YOLOX (Ge et al., 2021) and its ONNX export without decoding; FastestDet (X. Ma, 2022); the SSD post-processing
//! of Ultra-Light-Fast-Generic-Face-Detector-1MB; BlazeFace (Bazarevsky et al., 2019) with the full-range anchors of
//! MediaPipe; NanoDet-Plus (RangiLyu, 2021), whose distances are means of distributions (Generalized Focal Loss, Li et
//! al., 2020).

use super::Output;
use super::boxes::Detection;
use super::file::{Detections, HeadKind};
use anyhow::{Result, bail};

/// All candidates above `floor`, before suppression.
pub fn decode(d: &Detections, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
    match d.head {
        HeadKind::Yolox => yolox(d, outputs, input, floor),
        HeadKind::FastestDet => fastestdet(d, outputs, input, floor),
        HeadKind::Ssd => ssd(d, outputs, input, floor),
        HeadKind::BlazeFace => blazeface(d, outputs, input, floor),
        HeadKind::NanoDet => nanodet(d, outputs, input, floor),
    }
}

/// The values of one cell, wherever they lie: `data[offset + k * step]`.
#[derive(Clone, Copy)]
struct Row<'a> {
    data: &'a [f32],
    offset: usize,
    step: usize,
}

impl Row<'_> {
    fn at(&self, k: usize) -> f32 {
        self.data[self.offset + k * self.step]
    }

    /// Largest of entries `from..from + n`, the first of equals; its place counted from `from`.
    fn best(&self, from: usize, n: usize) -> (usize, f32) {
        let mut best = (0, f32::NEG_INFINITY);
        for k in 0..n {
            let v = self.at(from + k);
            if v > best.1 {
                best = (k, v);
            }
        }
        best
    }
}

struct Cell<'a> {
    row: Row<'a>,
    x: f32,
    y: f32,
    stride: f32,
}

/// Cells of all levels with `width` values each, from one output `[1, cells, width]`, or from one map
/// `[1, width, h, w]` or `[1, h, w, width]` per stride.
fn cells<'a>(d: &Detections, outputs: &[Output<'a>], input: (usize, usize), width: usize) -> Result<Vec<Cell<'a>>> {
    let grids: Vec<(usize, usize, usize)> = d.strides.iter().map(|&s| (s, input.0.div_ceil(s), input.1.div_ceil(s))).collect();
    let total: usize = grids.iter().map(|g| g.1 * g.2).sum();
    let mut cells = Vec::with_capacity(total);
    let flat = outputs.iter().find(|o| o.shape == [1, total, width] || o.shape == [total, width]);
    let mut at = 0;
    for &(stride, gw, gh) in &grids {
        let (data, base, row_step, step) = if let Some(o) = flat {
            (o.data, at * width, width, 1)
        } else if let Some(o) = outputs.iter().find(|o| o.shape == [1, width, gh, gw]) {
            (o.data, 0, 1, gh * gw)
        } else if let Some(o) = outputs.iter().find(|o| o.shape == [1, gh, gw, width]) {
            (o.data, 0, width, 1)
        } else {
            bail!(
                "no output of shape [1, {total}, {width}] and none of [1, {width}, {gh}, {gw}] for stride {stride}: {}; check classes and strides in the task file",
                listing(outputs)
            );
        };
        for i in 0..gw * gh {
            let row = Row { data, offset: base + i * row_step, step };
            cells.push(Cell { row, x: (i % gw) as f32, y: (i / gw) as f32, stride: stride as f32 });
        }
        at += gw * gh;
    }
    Ok(cells)
}

fn listing(outputs: &[Output]) -> String {
    let each: Vec<String> = outputs.iter().map(|o| format!("{} {:?}", o.name, o.shape)).collect();
    format!("the outputs are {}", each.join(", "))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn probability(d: &Detections, v: f32) -> f32 {
    if d.logits { sigmoid(v) } else { v }
}

fn yolox(d: &Detections, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
    let mut found = Vec::new();
    for Cell { row, x, y, stride } in cells(d, outputs, input, 5 + d.classes)? {
        let objectness = probability(d, row.at(4));
        if objectness <= floor {
            continue;
        }
        let (class, best) = row.best(5, d.classes);
        let score = objectness * probability(d, best);
        if score > floor {
            let (cx, cy) = ((row.at(0) + x) * stride, (row.at(1) + y) * stride);
            let (w, h) = (row.at(2).exp() * stride, row.at(3).exp() * stride);
            found.push(around(class, score, cx, cy, w, h));
        }
    }
    Ok(found)
}

fn fastestdet(d: &Detections, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
    let width = 5 + d.classes;
    let (iw, ih) = (input.0 as f32, input.1 as f32);
    let map = outputs.iter().find_map(|o| match *o.shape {
        [1, c, h, w] if c == width => Some((o.data, h, w, 1, h * w)),
        [1, h, w, c] if c == width => Some((o.data, h, w, width, 1)),
        _ => None,
    });
    let Some((data, gh, gw, row_step, step)) = map else {
        bail!("no output of shape [1, {width}, h, w] (5 + classes channels): {}", listing(outputs));
    };
    let mut found = Vec::new();
    for i in 0..gh * gw {
        let row = Row { data, offset: i * row_step, step };
        let (class, best) = row.best(5, d.classes);
        let score = probability(d, row.at(0)).max(0.0).powf(0.6) * probability(d, best).max(0.0).powf(0.4);
        if score > floor {
            let cx = (row.at(1).tanh() + (i % gw) as f32) / gw as f32 * iw;
            let cy = (row.at(2).tanh() + (i / gw) as f32) / gh as f32 * ih;
            found.push(around(class, score, cx, cy, sigmoid(row.at(3)) * iw, sigmoid(row.at(4)) * ih));
        }
    }
    Ok(found)
}

/// The two outputs of a head that keeps boxes and scores apart: `(boxes, scores, number of boxes)`.
fn pair<'a>(d: &Detections, outputs: &[Output<'a>], box_width: usize, score_width: usize) -> Result<(&'a [f32], &'a [f32], usize)> {
    let rows = |o: &Output, width: usize| match *o.shape {
        [1, n, w] | [n, w] if w == width => Some(n),
        _ => None,
    };
    let find = |what: &str, name: &Option<String>, width: usize, not: Option<&str>| -> Result<(Output<'a>, usize)> {
        if let Some(name) = name {
            let Some(o) = outputs.iter().find(|o| o.name == name.as_str()) else {
                bail!("no output is called {name:?} ({what} in the task file): {}", listing(outputs));
            };
            let Some(n) = rows(o, width) else { bail!("{what} {name:?} is {:?}, [1, n, {width}] is needed", o.shape) };
            return Ok((*o, n));
        }
        let mut fitting = outputs.iter().filter_map(|o| Some((*o, rows(o, width)?))).filter(|(o, _)| Some(o.name) != not);
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => bail!("no output of shape [1, n, {width}] for the {what}: {}", listing(outputs)),
            _ => bail!("several outputs of shape [1, n, {width}] could be the {what}: {}; name them in the task file", listing(outputs)),
        }
    };
    let (boxes, n) = find("boxes", &d.boxes, box_width, d.scores.as_deref())?;
    let (scores, m) = find("scores", &d.scores, score_width, Some(boxes.name))?;
    if n != m {
        bail!("{n} boxes in {} but {m} scores in {}", boxes.name, scores.name);
    }
    Ok((boxes.data, scores.data, n))
}

fn ssd(d: &Detections, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
    let columns = d.classes + 1;
    let (boxes, scores, n) = pair(d, outputs, 4, columns)?;
    let (iw, ih) = (input.0 as f32, input.1 as f32);
    let mut found = Vec::new();
    for i in 0..n {
        // Column 0 is the background.
        let (class, best) = Row { data: scores, offset: i * columns, step: 1 }.best(1, d.classes);
        let score = probability(d, best);
        if score > floor {
            let b = &boxes[i * 4..][..4];
            found.push(Detection { class, score, x1: b[0] * iw, y1: b[1] * ih, x2: b[2] * iw, y2: b[3] * ih });
        }
    }
    Ok(found)
}

fn blazeface(d: &Detections, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
    // A box, then six key points.
    let (boxes, scores, n) = pair(d, outputs, 16, 1)?;
    let mut centres = Vec::with_capacity(n);
    for &stride in &d.strides {
        let (gw, gh) = (input.0.div_ceil(stride), input.1.div_ceil(stride));
        let s = stride as f32;
        centres.extend((0..gw * gh).map(|i| (((i % gw) as f32 + 0.5) * s, ((i / gw) as f32 + 0.5) * s)));
    }
    if centres.len() != n {
        bail!("{n} boxes, but strides {:?} make {} anchors on an input of {}x{}", d.strides, centres.len(), input.0, input.1);
    }
    let mut found = Vec::new();
    for (i, (cx, cy)) in centres.into_iter().enumerate() {
        let score = sigmoid(scores[i]);
        if score > floor {
            let b = &boxes[i * 16..][..4];
            found.push(around(0, score, cx + b[0], cy + b[1], b[2], b[3]));
        }
    }
    Ok(found)
}

fn nanodet(d: &Detections, outputs: &[Output], input: (usize, usize), floor: f32) -> Result<Vec<Detection>> {
    let bins = d.reg_max + 1;
    let mut found = Vec::new();
    for Cell { row, x, y, stride } in cells(d, outputs, input, d.classes + 4 * bins)? {
        let (class, best) = row.best(0, d.classes);
        let score = probability(d, best);
        if score > floor {
            let distance = |side: usize| mean_of_softmax(&row, d.classes + side * bins, bins) * stride;
            let (cx, cy) = ((x + d.center) * stride, (y + d.center) * stride);
            let (x1, y1) = (cx - distance(0), cy - distance(1));
            found.push(Detection { class, score, x1, y1, x2: cx + distance(2), y2: cy + distance(3) });
        }
    }
    Ok(found)
}

/// Mean of `0, 1, .., n - 1` under the softmax of entries `from..from + n`.
fn mean_of_softmax(row: &Row, from: usize, n: usize) -> f32 {
    let (_, top) = row.best(from, n);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for k in 0..n {
        let p = (row.at(from + k) - top).exp();
        sum += p;
        weighted += p * k as f32;
    }
    weighted / sum
}

fn around(class: usize, score: f32, cx: f32, cy: f32, w: f32, h: f32) -> Detection {
    Detection { class, score, x1: cx - w / 2.0, y1: cy - h / 2.0, x2: cx + w / 2.0, y2: cy + h / 2.0 }
}
