//! Pictures of a run: the frame with what was found, and maps of what changed, layer by layer.
//!
//! The maps are masks of the engine after the frame. A tensor with a gate shows the rows that passed it (what its readers
//! have to look at); a scratch tensor shows the rows that were recomputed. A frame computed whole shows every map full.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use quiescent::Engine;
use quiescent::format::{NONE, Tensor};
use quiescent_tools::artifact::{Artifact, OutputData, as_task};
use quiescent_tools::clip::{FitMap, Frame};
use quiescent_tools::overlay::{self, First, Layer};
use quiescent_tools::task::{Kind, Prediction, Task};

use super::args;
use super::talk::percent;

/// Maps beside that of the input.
const LAYERS: usize = 4;

pub struct Pictures {
    dir: PathBuf,
    task: Task,
    map: Option<FitMap>,
    extent: (usize, usize),
    layers: Vec<Chosen>,
}

struct Chosen {
    tensor: usize,
    title: String,
    h: usize,
    w: usize,
}

impl Pictures {
    /// With maps of the steps named `layers`, or of some where it is empty.
    pub fn new(dir: &Path, artifact: &Artifact, task: Task, map: Option<FitMap>, layers: &[String]) -> Result<Self> {
        let layers = choose(artifact, layers)?;
        args::folder("--overlay", dir)?;
        Ok(Self { dir: dir.into(), task, map, extent: args::extent(&artifact.meta.input), layers })
    }

    /// `frame%05d.png`.
    pub fn write(&mut self, index: usize, frame: &Frame, outputs: &[OutputData], engine: &Engine) -> Result<PathBuf> {
        let path = self.dir.join(format!("frame{index:05}.png"));
        overlay::save(&path, &self.draw(index, frame, outputs, engine)?)?;
        Ok(path)
    }

    fn draw(&self, index: usize, frame: &Frame, outputs: &[OutputData], engine: &Engine) -> Result<Frame> {
        let shown = self.prediction(frame, outputs)?;
        let maps: Vec<Vec<u8>> = self.layers.iter().map(|l| active(engine, l)).collect();
        let layers: Vec<Layer> =
            self.layers.iter().zip(&maps).map(|(l, map)| Layer { name: &l.title, h: l.h, w: l.w, active: map }).collect();
        let dense = engine.model().header.cost.macs.get().max(1);
        let stats = engine.stats();
        let share = match stats.waits {
            true => "waits".into(),
            false => format!("work {}", percent(stats.macs as f64 / dense as f64).replace(' ', "")),
        };
        overlay::heat_beside(frame, &First { picture: &shown, title: &format!("frame {index}"), share: &share }, &layers)
    }

    fn prediction(&self, frame: &Frame, outputs: &[OutputData]) -> Result<Frame> {
        if matches!(self.task.kind, Kind::RelativeError | Kind::Top1) {
            return Ok(frame.clone());
        }
        let threshold = match &self.task.kind {
            Kind::Detections(d) => d.threshold,
            Kind::Heatmap(h) => h.threshold,
            _ => 0.0,
        };
        match self.task.decode(&as_task(outputs), self.extent)? {
            Prediction::Detections(mut found) => {
                if let Some(map) = &self.map {
                    for d in &mut found {
                        [d.x1, d.y1, d.x2, d.y2] = map.to_frame(d.corners());
                    }
                }
                overlay::detections(frame, &found, &self.task, threshold)
            }
            Prediction::Mask { h, w, classes } => overlay::mask(frame, h, w, &classes),
            Prediction::Class(_) | Prediction::Values(_) => Ok(frame.clone()),
        }
    }
}

/// The input, then the maps asked for; else from shallow to deep, the last one of each extent, evenly thinned.
fn choose(artifact: &Artifact, layers: &[String]) -> Result<Vec<Chosen>> {
    let model = artifact.model();
    let chosen = |title: String, tensor: usize| {
        let t: &Tensor = &model.tensors[tensor];
        Chosen { tensor, title, h: t.h as usize, w: t.w as usize }
    };
    // Scratch tensors tell what was recomputed; where nearly all are held, gates have to do.
    let (mut scratch, mut gated, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (step, info) in model.steps.iter().zip(&artifact.meta.steps) {
        let (out, t) = (step.output as usize, &model.tensors[step.output as usize]);
        let name = info.name.trim_matches('/');
        let what = if step.gate == NONE { "recomputed" } else { "passed on" };
        let found = (out, format!("{name} {}x{}: {what}", t.w, t.h));
        all.push((info.name.as_str(), found.clone()));
        match (step.gate, t.held()) {
            _ if t.h.min(t.w) < 3 || step.macs == 0 => {}
            (NONE, false) => scratch.push(found),
            (NONE, true) => {}
            _ => gated.push(found),
        }
    }
    let mut maps = vec![chosen("input: changed pixels".into(), model.header.input as usize)];
    for layer in layers {
        let Some((_, (tensor, title))) = all.iter().rev().find(|(name, _)| name == layer) else {
            bail!("--layers {layer}: no step has this name; inspect --layers lists them");
        };
        maps.push(chosen(title.clone(), *tensor));
    }
    if !layers.is_empty() {
        return Ok(maps);
    }
    let candidates = if scratch.len() >= LAYERS { scratch } else { gated };
    let n = candidates.len().min(LAYERS);
    for k in 0..n {
        // Evenly spaced, the first and the last included.
        let at = if n > 1 { k * (candidates.len() - 1) / (n - 1) } else { 0 };
        let (tensor, title) = candidates[at].clone();
        maps.push(chosen(title, tensor));
    }
    Ok(maps)
}

fn active(engine: &Engine, l: &Chosen) -> Vec<u8> {
    if engine.stats().dense {
        return vec![1; l.h * l.w];
    }
    let words = l.w.div_ceil(64);
    let mask = engine.changed(l.tensor).unwrap_or(&[]);
    let bit = |y: usize, x: usize| mask.get(y * words + x / 64).is_some_and(|m| m >> (x % 64) & 1 == 1) as u8;
    (0..l.h * l.w).map(|i| bit(i / l.w, i % l.w)).collect()
}
