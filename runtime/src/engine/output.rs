//! The network's outputs, read where they lie.

use core::ops::Range;

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
        let (run, step, axes) = self.even(rank);
        let (runs, apart, _) = self.even(axes);
        // Channel by channel, a map is gone through line by line, whose pixels stay in the first cache.
        let piece = if step == self.tensor.c as usize { run.min(self.tensor.w as usize) } else { run };
        for (k, out) in out[..len].chunks_mut(run * runs).enumerate() {
            let first = self.place(k * run * runs);
            for from in (0..run).step_by(piece) {
                for (k, out) in out.chunks_mut(run).enumerate() {
                    let out = out.get_mut(from..).unwrap_or(&mut []);
                    let now = piece.min(out.len());
                    self.read_run(first + k * apart + from * step, step, &mut out[..now]);
                }
            }
        }
    }

    /// How many elements of the last of `axes` axes are equally far apart in the map, how far, and how many axes are left before them.
    fn even(&self, axes: usize) -> (usize, usize, usize) {
        let (mut n, mut step, mut left) = (1, 0, axes);
        for axis in (0..axes).rev() {
            let (size, stride) = (self.record.shape[axis] as usize, self.record.strides[axis] as usize);
            match n {
                _ if size == 1 => {}
                1 => (n, step) = (size, stride),
                _ if stride == n * step => n *= size,
                _ => break,
            }
            left = axis;
        }
        (n.max(1), step, left)
    }

    /// Elements `first`, `first + step`, .. of the row-major map: along the channels or along a line without a division each.
    fn read_run(&self, mut first: usize, step: usize, mut out: &mut [f32]) {
        let (c, w, size) = (self.tensor.c as usize, self.tensor.w as usize, self.dtype().size());
        while !out.is_empty() {
            let (row, k) = (first / c, first % c);
            // Along a line, else along the channels of a pixel, else one by one.
            let along = step == c;
            let (n, apart) = match step {
                _ if along => (w - row % w, self.tensor.pixel as usize),
                1 => (c - k, size),
                _ => (1, size),
            };
            let (now, later) = out.split_at_mut(n.min(out.len()));
            // SAFETY: elements of one pixel, or of one line; the engine is borrowed: no step writes meanwhile.
            let bytes =
                unsafe { self.engine.arena.bytes(address(self.tensor, row / w, row % w) + k * size, (now.len() - 1) * apart + size) };
            let channels = if along { k..k + 1 } else { k..k + now.len() };
            self.dequantise(bytes, apart, channels, now);
            first += now.len() * step;
            out = later;
        }
    }

    /// Values `apart` bytes from one another, of as many channels as values or of one.
    fn dequantise(&self, bytes: &[u8], apart: usize, channels: Range<usize>, out: &mut [f32]) {
        let real = |(scale, zero): (f32, u8), code: u8| scale * (code as f32 - zero as f32);
        if self.dtype() == Dtype::F32 {
            for (k, out) in out.iter_mut().enumerate() {
                *out = bytes.get(k * apart..).and_then(|v| v.first_chunk()).map_or(0.0, |v| f32::from_le_bytes(*v));
            }
        } else if channels.len() == 1 || self.scale.len() == 1 {
            let Some(quant) = self.quant(channels.start) else { return out.fill(0.0) };
            match apart {
                1 => out.iter_mut().zip(bytes).for_each(|(out, code)| *out = real(quant, *code)),
                _ => out.iter_mut().zip(bytes.iter().step_by(apart)).for_each(|(out, code)| *out = real(quant, *code)),
            }
        } else {
            let (scale, zero) = (self.scale.get(channels.clone()).unwrap_or(&[]), self.zero.get(channels).unwrap_or(&[]));
            for ((out, code), quant) in out.iter_mut().zip(bytes).zip(scale.iter().zip(zero)) {
                *out = real((*quant.0, *quant.1), *code);
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
