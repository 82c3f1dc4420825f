//! Whether an artifact fits the memory it is for, and what stands in the way where it does not.

use anyhow::{Result, ensure};
use quiescent::format::{HELD, Model};

use crate::artifact::{Artifact, alive, tensor_bytes};

/// Most bytes of arena and of artifact.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fit {
    /// The arena: all a program allocates for the engine (`ARENA_BYTES` of `bake`).
    pub ram: Option<usize>,
    /// The artifact as `bake` writes it, without its description.
    pub flash: Option<usize>,
}

/// Pieces of memory that an error lists.
const LISTED: usize = 4;

impl Fit {
    /// An error that names the step and what it needs if the artifact is too large.
    pub fn check(&self, artifact: &Artifact) -> Result<()> {
        if let Some(ram) = self.ram {
            let needed = artifact.header().arena_len as usize;
            ensure!(needed <= ram, "--ram {ram}: {}", ram_says(artifact, needed));
        }
        if let Some(flash) = self.flash {
            let needed = artifact.bare()?.len();
            ensure!(needed <= flash, "--flash {flash}: {}", flash_says(artifact, needed));
        }
        Ok(())
    }
}

fn ram_says(artifact: &Artifact, needed: usize) -> String {
    let (model, meta) = (artifact.model(), &artifact.meta);
    let steps = alive(&model);
    let Some((k, peak)) = steps.iter().enumerate().max_by_key(|(k, a)| (a.bytes, std::cmp::Reverse(*k))) else { return String::new() };
    let tensors = steps.get(k).map_or(&[][..], |a| &a.tensors);
    let mut sizes: Vec<(usize, usize)> = tensors.iter().map(|t| (tensor_bytes(&model.tensors[*t]), *t)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let name = |t: usize| meta.tensors.get(t).map_or("", |n| n.as_str());
    let pieces: Vec<String> =
        sizes.iter().take(LISTED).map(|(bytes, t)| format!("\"{}\" {bytes} ({})", short(name(*t)), why(&model, *t))).collect();
    let step = meta.steps.get(k).map_or(("", ""), |s| (s.name.as_str(), s.op.as_str()));
    let others = needed - (model.header.tensors_end as usize).min(needed);
    let mut text = format!(
        "{needed} bytes of arena are needed. Step {k} ({} \"{}\") is the fullest, with {} bytes of tensors: {}{}",
        step.1,
        short(step.0),
        peak.bytes,
        pieces.join(", "),
        if sizes.len() > LISTED { ", ..." } else { "" }
    );
    if others > 0 {
        text += &format!("; {others} bytes are masks and counters");
    }
    text += ". Shorter lines and fewer held tensors do not help any more: ";
    if model.gated() {
        text += "convert with --gates off (frames need not be held then), ";
    }
    text + &format!(
        "give --ram {needed}, a smaller input (--input-shape), or a network with smaller maps at this step; nothing was written"
    )
}

/// Why a tensor is in memory as it is.
fn why(model: &Model, t: usize) -> String {
    let tensor = &model.tensors[t];
    let made = model.steps.iter().position(|s| s.output as usize == t);
    match (tensor.lines, t == model.header.input as usize, tensor.flags & HELD != 0) {
        (n, ..) if n > 0 => format!("{n} lines of it"),
        (_, true, true) => "the frame, held to compare the next one with".into(),
        (_, true, false) => "the frame, still to be read".into(),
        (_, _, true) => "held".into(),
        _ => {
            let readers = model.steps.iter().filter(|s| s.inputs.contains(&(t as u32))).count();
            let next = made.and_then(|k| model.steps.get(k + 1)).is_some_and(|s| s.inputs[0] as usize == t);
            let reason = match (readers, next) {
                (0 | 1, true) => "as a whole: a chain's begin or end, or its steps have no windows",
                (0 | 1, false) => "as a whole: its reader is not the next step",
                _ => "as a whole: several steps read it",
            };
            reason.into()
        }
    }
}

fn flash_says(artifact: &Artifact, needed: usize) -> String {
    let (model, meta) = (artifact.model(), &artifact.meta);
    let mut steps: Vec<(usize, usize)> = meta.steps.iter().map(|s| s.bytes).zip(0..).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    let largest: Vec<String> = steps
        .iter()
        .take(LISTED)
        .map(|(bytes, k)| format!("step {k} ({} \"{}\") {bytes}", meta.steps[*k].op, short(&meta.steps[*k].name)))
        .collect();
    let gates: usize =
        model.steps.iter().filter(|s| s.gate != quiescent::format::NONE).map(|s| 16 + model.tensors[s.output as usize].c as usize).sum();
    let mut text = format!("{needed} bytes of artifact are needed: {}, ...", largest.join(", "));
    if gates > 0 {
        text += &format!("; {gates} bytes are gates, which --gates off leaves out");
    }
    text + &format!(
        ". Weights are 8 bits each and are not made smaller here: give --flash {needed}, or a network with fewer weights at these steps; nothing was written"
    )
}

/// Names that exporters put together can be very long.
fn short(name: &str) -> String {
    const MOST: usize = 40;
    let count = name.chars().count();
    if count <= MOST { name.into() } else { format!("...{}", name.chars().skip(count - MOST).collect::<String>()) }
}
