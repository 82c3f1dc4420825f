//! An artifact as the tools hold it: the bytes the engine executes, and the JSON that people read.

mod golden;
mod meta;

pub use meta::{FitSpec, InputKind, InputSpec, Meta, Norm, StepInfo};

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use quiescent::format::{self, AlignedBytes, Builder, Gate, Header, InputGate, Point};
use quiescent::kernels::Kernels;
use quiescent::{Engine, Frame, Outputs};
use zerocopy::{FromBytes, IntoBytes};

use crate::feed::Input;
use crate::task;

/// A checked artifact.
pub struct Artifact {
    bytes: AlignedBytes,
    pub meta: Meta,
}

impl Artifact {
    /// A fresh artifact; its header states the dense arena as bytes of tensors, to which masks and blocks are added here.
    pub fn new(builder: Builder, meta: Meta) -> Result<Self> {
        let mut artifact = Self::assemble(builder, meta)?;
        let header = size_of::<Header>();
        if let Ok(h) = Header::mut_from_bytes(&mut artifact.bytes[..header]) {
            h.arena_dense_len += h.arena_len - h.tensors_end;
        }
        format::seal(&mut artifact.bytes);
        Ok(artifact)
    }

    fn assemble(mut builder: Builder, meta: Meta) -> Result<Self> {
        builder.cold = serde_json::to_vec(&meta)?;
        let bytes = AlignedBytes::from(builder.finish());
        format::check(&bytes).map_err(|e| anyhow!("the converter made an artifact that fails its own check: {e}"))?;
        Ok(Self { bytes, meta })
    }

    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("reading the artifact {name}"))?;
        let bytes = AlignedBytes::from(bytes);
        let model = format::check(&bytes).map_err(|e| anyhow!("{name} is not a usable artifact: {e}; convert the model again"))?;
        let meta = serde_json::from_slice(model.cold)
            .with_context(|| format!("{name}: its description was written by another version; convert the model again"))?;
        Ok(Self { bytes, meta })
    }

    /// Writes beside `path`, then renames: a reader sees the old file or the new one.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn header(&self) -> &Header {
        // Checked when it was made.
        self.model().header
    }

    pub fn model(&self) -> format::Model<'_> {
        format::check(&self.bytes).unwrap_or_else(|e| unreachable!("checked at construction: {e}"))
    }

    /// Arena for an engine.
    pub fn arena(&self) -> AlignedBytes {
        AlignedBytes::zeroed(self.header().arena_len as usize)
    }

    pub fn engine<'a>(&'a self, arena: &'a mut AlignedBytes, kernels: &'a Kernels) -> Result<Engine<'a>> {
        Engine::load(&self.bytes, arena, kernels).map_err(|e| anyhow!("{e}"))
    }

    /// Another setting of the gates.
    pub fn set_gates(&mut self, input: InputGate, edit: impl FnOnce(&mut [Gate])) {
        let (span, cost) = (self.header().gates, self.header().cost);
        let _ = cost;
        let header = size_of::<Header>();
        if let Ok(h) = Header::mut_from_bytes(&mut self.bytes[..header]) {
            h.input_gate = input;
        }
        let gates = &mut self.bytes[span.offset as usize..][..span.len as usize];
        if let Ok(gates) = <[Gate]>::mut_from_bytes(gates) {
            edit(gates);
        }
        format::seal(&mut self.bytes);
    }

    /// Share of changed pixels above which a frame is run densely.
    pub fn set_dense_above(&mut self, share: f32) {
        let header = size_of::<Header>();
        if let Ok(h) = Header::mut_from_bytes(&mut self.bytes[..header]) {
            h.cost.dense_above = share;
        }
        format::seal(&mut self.bytes);
    }

    /// The same artifact with other operating points and description.
    pub fn finish(self, points: &[Point], meta: Meta) -> Result<Self> {
        let model = self.model();
        let mut b = rebuild(&model);
        b.points = points.to_vec();
        for (gate, bound) in b.gates.iter_mut().zip(bounds(&model)) {
            gate.bound = bound;
        }
        Self::assemble(b, meta)
    }

    /// The bytes without the description, which only people and tools read: what a device needs to carry.
    pub fn bare(&self) -> Result<AlignedBytes> {
        let bytes = AlignedBytes::from(rebuild(&self.model()).finish());
        format::check(&bytes).map_err(|e| anyhow!("the artifact without its description fails the check: {e}"))?;
        Ok(bytes)
    }
}

/// The parts of an artifact, without its description.
fn rebuild(model: &format::Model) -> Builder {
    let mut b = Builder {
        header: *model.header,
        tensors: model.tensors.to_vec(),
        segments: model.segments.to_vec(),
        steps: model.steps.to_vec(),
        gates: model.gates.to_vec(),
        outputs: model.outputs.to_vec(),
        points: model.points.to_vec(),
        cold: Vec::new(),
        data: Default::default(),
    };
    // Offsets stay as they are: the section is one blob.
    b.data.put_bytes(model.data.as_bytes(), format::ALIGN);
    b
}

/// For each gate, the most a held value can be away from its recomputation, in real units at scale 1. A row is kept
/// while the sum of squares stays within the threshold, so one channel alone may use all of it:
/// `(weight * (|d| - dead)) >> 4 <= sqrt(threshold)`, or any `|d|` where the capped square of 255 fits as well.
fn bounds(model: &format::Model) -> Vec<f32> {
    let mut bounds = vec![0f32; model.gates.len()];
    for step in model.steps.iter().filter(|s| s.gate != format::NONE) {
        let (gate, out) = (&model.gates[step.gate as usize], &model.tensors[step.output as usize]);
        let weights = model.array::<u8>(gate.weights, out.c as usize).unwrap_or(&[]);
        let scales = model.array::<f32>(out.scale, out.quant_len as usize).unwrap_or(&[]);
        let root = gate.threshold.isqrt();
        let worst = weights.iter().enumerate().map(|(c, w)| {
            let scale = scales.get(c).or(scales.first()).copied().unwrap_or(0.0);
            let codes = match gate.threshold {
                0 => 0,
                _ if root >= 255 || *w == 0 => 255,
                _ => ((16 * (root + 1) - 1) / u32::from(*w) + gate.dead).min(255),
            };
            scale * codes as f32
        });
        bounds[step.gate as usize] = worst.fold(0.0, f32::max);
    }
    bounds
}

/// Runs one frame.
pub fn step<'e>(engine: &'e mut Engine, input: &Input) -> Result<Outputs<'e>> {
    let frame = match input {
        Input::Pixels(p) => Frame::Pixels(p),
        Input::Values(v) => Frame::Values(v),
    };
    engine.step(frame).map_err(|e| anyhow!("{e}"))
}

/// Outputs as the tasks read them.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputData {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// Copies the outputs out of the arena.
pub fn read_outputs(outputs: &Outputs) -> Vec<OutputData> {
    outputs
        .iter()
        .map(|o| {
            let mut data = vec![0f32; o.len()];
            o.read(&mut data);
            OutputData { name: o.name().into(), shape: o.shape().iter().map(|n| *n as usize).collect(), data }
        })
        .collect()
}

/// Borrowed for [`task::Task::decode`].
pub fn as_task(outputs: &[OutputData]) -> Vec<task::Output<'_>> {
    outputs.iter().map(|o| task::Output { name: &o.name, shape: &o.shape, data: &o.data }).collect()
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let write = || -> Result<()> {
        let mut builder = tempfile::Builder::new();
        // As readable as any new file; temporary ones are private by default.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.prefix(".qsc-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}
