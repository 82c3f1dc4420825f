//! The network's outputs, read where they lie.

use super::Engine;
use super::ops::address;
use crate::format::{Dtype, OutputRecord, Tensor};

/// The outputs after a frame.
pub struct Outputs<'e> {
    engine: &'e Engine<'e>,
}

/// One output, in the element order of the ONNX model.
#[derive(Clone, Copy)]
pub struct Output<'e> {
    engine: &'e Engine<'e>,
    record: &'e OutputRecord,
    tensor: &'e Tensor,
    scale: &'e [f32],
    zero: &'e [u8],
}

impl<'a> Engine<'a> {
    /// The outputs of the last frame.
    pub fn outputs(&self) -> Outputs<'_> {
        Outputs { engine: self }
    }
}

impl<'e> Outputs<'e> {
    /// Number of outputs.
    pub fn len(&self) -> usize {
        self.engine.model.outputs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Output `i`.
    pub fn get(&self, i: usize) -> Option<Output<'e>> {
        let engine = self.engine;
        let record = engine.model.outputs.get(i)?;
        let tensor = engine.model.tensors.get(record.tensor as usize)?;
        Some(Output {
            engine,
            record,
            tensor,
            scale: engine.array(tensor.scale, tensor.quant_len as usize),
            zero: engine.array(tensor.zero, tensor.quant_len as usize),
        })
    }

    /// All outputs.
    pub fn iter(&self) -> impl Iterator<Item = Output<'e>> + use<'e> {
        let outputs = Outputs { engine: self.engine };
        (0..outputs.len()).filter_map(move |i| outputs.get(i))
    }
}

impl<'e> Output<'e> {
    /// Name in the ONNX model.
    pub fn name(&self) -> &'e str {
        let bytes = self.engine.array(self.record.name, self.record.name_len as usize);
        core::str::from_utf8(bytes).unwrap_or("")
    }

    /// Shape in the ONNX model.
    pub fn shape(&self) -> &'e [u32] {
        &self.record.shape[..self.record.rank as usize]
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape().iter().map(|n| *n as usize).product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element type in memory.
    pub fn dtype(&self) -> Dtype {
        self.tensor.dtype()
    }

    /// Index of the tensor that holds it.
    pub fn tensor(&self) -> usize {
        self.record.tensor as usize
    }

    /// Scale and zero code of a channel of codes.
    pub fn quant(&self, channel: usize) -> Option<(f32, u8)> {
        let k = if self.scale.len() == self.tensor.c as usize { channel } else { 0 };
        Some((*self.scale.get(k)?, *self.zero.get(k)?))
    }

    /// Value of element `i` in ONNX order, dequantised; 0 past the end.
    pub fn at(&self, i: usize) -> f32 {
        if i < self.len() { self.flat(self.place(i)) } else { 0.0 }
    }

    /// Element of the map that ONNX element `i` is.
    fn place(&self, i: usize) -> usize {
        let (mut rest, mut flat) = (i, self.record.offset as usize);
        for axis in (0..self.record.rank as usize).rev() {
            let n = self.record.shape[axis] as usize;
            flat += rest % n * self.record.strides[axis] as usize;
            rest /= n;
        }
        flat
    }

    /// All values in ONNX order, dequantised. `out` is filled as far as it reaches.
    pub fn read(&self, out: &mut [f32]) {
        let len = self.len().min(out.len());
        let rank = self.record.rank as usize;
        let run = self.shape().last().map_or(1, |n| *n as usize).max(1);
        let step = self.record.strides.get(rank.wrapping_sub(1)).map_or(0, |s| *s as usize);
        let packed = self.tensor.pixel as usize == self.tensor.c as usize * 4
            && self.tensor.line == self.tensor.w * self.tensor.pixel
            && self.dtype() == Dtype::F32;
        for (k, out) in out[..len].chunks_mut(run).enumerate() {
            // The first element of a run along the last axis; the others follow at its stride.
            let first = self.place(k * run);
            if packed {
                // SAFETY: the engine is borrowed: no step writes meanwhile.
                let all = unsafe { self.engine.arena.bytes(self.tensor.origin as usize, self.tensor.rows() * self.tensor.pixel as usize) };
                let all = all.as_chunks::<4>().0;
                for (i, out) in out.iter_mut().enumerate() {
                    *out = all.get(first + i * step).map_or(0.0, |v| f32::from_le_bytes(*v));
                }
            } else {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = self.flat(first + i * step);
                }
            }
        }
    }

    /// Value of element `i` of the row-major map.
    fn flat(&self, i: usize) -> f32 {
        let (c, w) = (self.tensor.c as usize, self.tensor.w as usize);
        let (row, k) = (i / c, i % c);
        let at = address(self.tensor, row / w, row % w) + k * self.dtype().size();
        // SAFETY: the engine is borrowed: no step writes meanwhile.
        let bytes = unsafe { self.engine.arena.bytes(at, self.dtype().size()) };
        match (self.dtype(), bytes, self.quant(k)) {
            (Dtype::F32, [a, b, c, d], _) => f32::from_le_bytes([*a, *b, *c, *d]),
            (Dtype::U8, [code], Some((scale, zero))) => scale * (*code as f32 - zero as f32),
            _ => 0.0,
        }
    }
}
