//! Writes artifacts: records are pushed, parameters go to the data section, [`Builder::finish`] lays out the file.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::ops::{Deref, DerefMut};
use std::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{layout, place_masks, round_up, staging_len};
use super::{ALIGN, Gate, Header, MAGIC, Model, OutputRecord, Point, SLACK, Segment, Span, Step, Tensor, VERSION, check, seal};

/// Puts sections together.
#[derive(Default)]
pub struct Builder {
    /// `profile`, `packing`, `input`, `arena_dense_len`, `input_gate` and `cost` are the caller's; the rest is computed.
    pub header: Header,
    /// Tensor records; `mask` is computed.
    pub tensors: Vec<Tensor>,
    /// Runs of steps.
    pub segments: Vec<Segment>,
    /// Steps in execution order.
    pub steps: Vec<Step>,
    /// Output gates.
    pub gates: Vec<Gate>,
    /// Outputs of the network.
    pub outputs: Vec<OutputRecord>,
    /// Operating points.
    pub points: Vec<Point>,
    /// Parameters, weights, tables.
    pub data: Data,
    /// JSON.
    pub cold: Vec<u8>,
}

/// The data section: blobs at aligned offsets, equal ones stored once.
#[derive(Default)]
pub struct Data {
    bytes: Vec<u8>,
    /// Offset and length of the blobs of each hash.
    seen: HashMap<u64, Vec<(u32, usize)>>,
}

impl Data {
    /// Stores `bytes` at a multiple of `align` (a power of two up to [`ALIGN`]) and returns the offset. A section that
    /// would outgrow 4 GiB gives [`super::NONE`], which the check refuses.
    pub fn put_bytes(&mut self, bytes: &[u8], align: usize) -> u32 {
        let align = align.clamp(1, ALIGN);
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        let seen = self.seen.entry(hasher.finish()).or_default();
        for &(offset, len) in seen.iter() {
            if (offset as usize).is_multiple_of(align) && &self.bytes[offset as usize..][..len] == bytes {
                return offset;
            }
        }
        let at = self.bytes.len().next_multiple_of(align);
        if at + bytes.len() >= super::NONE as usize {
            return super::NONE;
        }
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(bytes);
        seen.push((at as u32, bytes.len()));
        at as u32
    }

    /// Stores values, aligned to 4: parameter records, indices, f32 arrays.
    pub fn put<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> u32 {
        self.put_bytes(values.as_bytes(), 4)
    }

    /// Stores packed weights, aligned to 64.
    pub fn put_weights(&mut self, weights: &[i8]) -> u32 {
        self.put_bytes(weights.as_bytes(), ALIGN)
    }

    /// What is stored so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Builder {
    /// Adds a tensor and returns its index.
    pub fn tensor(&mut self, t: Tensor) -> u32 {
        self.tensors.push(t);
        self.tensors.len() as u32 - 1
    }

    /// Adds a step and returns its index.
    pub fn step(&mut self, s: Step) -> u32 {
        self.steps.push(s);
        self.steps.len() as u32 - 1
    }

    /// Adds a gate and returns its index.
    pub fn gate(&mut self, g: Gate) -> u32 {
        self.gates.push(g);
        self.gates.len() as u32 - 1
    }

    /// The file. Computes `tensors_end` (from the tensors' extents, unless it is set and larger), where gates without a place stage
    /// rows, the masks, `arena_len`,
    /// the spans and the checksum. Whether the result can be executed is for [`super::check`] to say.
    pub fn finish(mut self) -> Vec<u8> {
        let end = self.tensors.iter().map(tensor_end).max().unwrap_or(0);
        let end = round_up(end.saturating_add(SLACK as u64), ALIGN as u64);
        let end = self.stage(end.max(self.header.tensors_end as u64));
        self.header.tensors_end = u32::try_from(end).unwrap_or(u32::MAX);
        let mut masks = std::vec![0; self.tensors.len()];
        place_masks(&self.model(), end, |i, mask| masks[i] = u32::try_from(mask).unwrap_or(u32::MAX));
        self.tensors.iter_mut().zip(masks).for_each(|(t, mask)| t.mask = mask);
        let total = layout(&self.model()).total;
        self.header.arena_len = u32::try_from(total).unwrap_or(u32::MAX);
        self.header.magic = MAGIC;
        self.header.version = VERSION;

        let mut file = std::vec![0u8; size_of::<Header>()];
        let mut section = |bytes: &[u8]| {
            file.resize(file.len().next_multiple_of(ALIGN), 0);
            let offset = file.len();
            file.extend_from_slice(bytes);
            Span { offset: u32::try_from(offset).unwrap_or(u32::MAX), len: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
        };
        self.header.tensors = section(self.tensors.as_bytes());
        self.header.segments = section(self.segments.as_bytes());
        self.header.steps = section(self.steps.as_bytes());
        self.header.gates = section(self.gates.as_bytes());
        self.header.outputs = section(self.outputs.as_bytes());
        self.header.points = section(self.points.as_bytes());
        self.header.data = section(&self.data.bytes);
        self.header.cold = section(&self.cold);
        self.header.file_len = u32::try_from(file.len()).unwrap_or(u32::MAX);
        file[..size_of::<Header>()].copy_from_slice(self.header.as_bytes());
        seal(&mut file);
        file
    }

    /// One past the tensors and what gates stage; gates without a place get one there, from `end` on.
    fn stage(&mut self, end: u64) -> u64 {
        let mut last = end;
        for s in &self.steps {
            let (Some(gate), Some(out)) = (self.gates.get_mut(s.gate as usize), self.tensors.get(s.output as usize)) else { continue };
            if gate.staging == super::NONE {
                gate.staging = u32::try_from(end).unwrap_or(u32::MAX);
            }
            last = last.max(round_up((gate.staging as u64).saturating_add(staging_len(out)), ALIGN as u64));
        }
        last
    }

    /// The records as the reader will see them (offsets of sections aside).
    fn model(&self) -> Model<'_> {
        Model {
            header: &self.header,
            tensors: &self.tensors,
            segments: &self.segments,
            steps: &self.steps,
            gates: &self.gates,
            outputs: &self.outputs,
            points: &self.points,
            data: &self.data.bytes,
            cold: &self.cold,
        }
    }
}

/// One past the last byte of a tensor with its border; 0 for records that make no sense (the check names them).
fn tensor_end(t: &Tensor) -> u64 {
    check::Region::of(t).map_or(0, |r| r.end)
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
struct Chunk([u8; ALIGN]);

/// Bytes that start at a multiple of [`ALIGN`]: an artifact read from a file, or an arena.
#[derive(Clone)]
pub struct AlignedBytes {
    chunks: Vec<Chunk>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self { chunks: std::vec![Chunk([0; ALIGN]); len.div_ceil(ALIGN)], len }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.chunks.as_bytes()[..self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.chunks.as_mut_bytes()[..self.len]
    }
}

impl From<&[u8]> for AlignedBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl From<Vec<u8>> for AlignedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(&bytes[..])
    }
}
