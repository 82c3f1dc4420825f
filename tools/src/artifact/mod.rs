//! An artifact as the tools hold it: the bytes the engine executes, and the JSON that people read.

mod alive;
mod golden;
mod meta;

pub use alive::{Alive, alive, bytes as tensor_bytes, region};
pub use golden::made_up_codes;
pub use meta::{FitSpec, InputKind, InputSpec, Meta, Norm, StepInfo};

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use memmap2::{MmapMut, MmapOptions};
use quiescent::format::{self, AlignedBytes, Builder, Gate, Header, InputGate, Op, Point, Proven};
use quiescent::kernels::Kernels;
use quiescent::{Engine, Frame, Outputs};
use zerocopy::{FromBytes, IntoBytes};

use crate::feed::Input;
use crate::task;

/// A checked artifact.
#[derive(Clone)]
pub struct Artifact {
    /// They have passed the check, and do again after every change.
    bytes: Bytes,
    pub meta: Meta,
}

/// Where the bytes are.
enum Bytes {
    Memory(AlignedBytes),
    /// A private mapping: changes stay here, and pages come when they are read.
    File(MmapMut),
}

/// A copy is in memory.
impl Clone for Bytes {
    fn clone(&self) -> Self {
        Bytes::Memory(AlignedBytes::from(&**self))
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Memory(bytes) => bytes,
            Bytes::File(map) => map,
        }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Bytes::Memory(bytes) => bytes,
            Bytes::File(map) => map,
        }
    }
}

impl Artifact {
    /// A fresh artifact; its header states the dense arena as bytes of tensors, to which masks and blocks are added here.
    pub fn new(builder: Builder, meta: Meta) -> Result<Self> {
        let mut artifact = Self::assemble(builder, meta)?;
        let header = size_of::<Header>();
        if let Ok(h) = Header::mut_from_bytes(&mut artifact.bytes[..header]) {
            h.arena_dense_len += h.arena_len - h.tensors_end;
        }
        artifact.changed();
        Ok(artifact)
    }

    fn assemble(mut builder: Builder, meta: Meta) -> Result<Self> {
        builder.cold = serde_json::to_vec(&meta)?;
        let bytes = Bytes::Memory(AlignedBytes::from(builder.finish()));
        format::check(&bytes).map_err(|e| anyhow!("the converter made an artifact that fails its own check: {e}"))?;
        Ok(Self { bytes, meta })
    }

    /// Maps the file and checks it whole.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let map = || -> std::io::Result<Bytes> {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            if metadata.len() == 0 {
                return Ok(Bytes::Memory(AlignedBytes::zeroed(0)));
            }
            // SAFETY: the mapping is private. Artifacts are replaced by renaming ([`write_whole`]), never written in place; who truncates
            // one that is in use ends the process, as with any mapped file.
            Ok(Bytes::File(unsafe { MmapOptions::new().map_copy(&file)? }))
        };
        let bytes = map().with_context(|| format!("reading the artifact {name}"))?;
        let model = format::check(&bytes).map_err(|e| anyhow!("{name} is not a usable artifact: {e}; convert the model again"))?;
        let meta = serde_json::from_slice(model.cold)
            .with_context(|| format!("{name}: its description was written by another version; convert the model again"))?;
        Ok(Self { bytes, meta })
    }

    /// Writes beside `path`, then renames: a reader sees the old file or the new one.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &self.bytes)
    }

    /// The operators of its steps, each once, by code.
    pub fn ops(&self) -> Vec<Op> {
        let mut ops: Vec<Op> = self.model().steps.iter().filter_map(|s| Op::new(s.op)).collect();
        ops.sort_by_key(|op| *op as u16);
        ops.dedup();
        ops
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn header(&self) -> &Header {
        // Checked when it was made.
        self.model().header
    }

    pub fn model(&self) -> format::Model<'_> {
        *self.checked()
    }

    fn checked(&self) -> Proven<'_> {
        // SAFETY: they were checked at construction and after every change.
        unsafe { Proven::assume(&self.bytes) }.unwrap_or_else(|e| unreachable!("checked before: {e}"))
    }

    /// Seals what was changed; a change that the check refuses is a defect of the caller.
    fn changed(&mut self) {
        format::seal(&mut self.bytes);
        if let Err(e) = format::check(&self.bytes) {
            panic!("a change made the artifact unusable: {e}");
        }
    }

    /// Arena for an engine.
    pub fn arena(&self) -> AlignedBytes {
        AlignedBytes::zeroed(self.header().arena_len as usize)
    }

    pub fn engine<'a>(&'a self, arena: &'a mut AlignedBytes, kernels: &'a Kernels) -> Result<Engine<'a>> {
        Engine::new(self.checked(), arena, kernels).map_err(|e| anyhow!("{e}"))
    }

    /// Another setting of the gates.
    pub fn set_gates(&mut self, input: InputGate, edit: impl FnOnce(&mut [Gate])) {
        let span = self.header().gates;
        let header = size_of::<Header>();
        if let Ok(h) = Header::mut_from_bytes(&mut self.bytes[..header]) {
            h.input_gate = input;
        }
        let gates = &mut self.bytes[span.offset as usize..][..span.len as usize];
        if let Ok(gates) = <[Gate]>::mut_from_bytes(gates) {
            edit(gates);
        }
        self.changed();
    }

    /// Share of changed pixels above which a frame is run densely.
    pub fn set_dense_above(&mut self, share: f32) {
        let header = size_of::<Header>();
        if let Ok(h) = Header::mut_from_bytes(&mut self.bytes[..header]) {
            h.cost.dense_above = share;
        }
        self.changed();
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
