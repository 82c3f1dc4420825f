//! A network with what it remembers, executed frame by frame without masks, plans or shared memory.
//!
//! Gated execution recomputes every row from held inputs and lets the gate judge it. That is what an engine with masks has
//! to give too: a row none of whose inputs changed is recomputed to what was judged before, and a gate that dropped it (or
//! took part of it) drops it again.

use super::file::{File, GATES, NONE, OUTPUTS, SEGMENTS, STEPS, TENSORS, Tensor};
use super::functions::clamp;
use super::ops::Call;

#[derive(Clone)]
pub struct Net<'a> {
    f: &'a File<'a>,
    tensors: &'a [Tensor],
    /// Codes or reals of every tensor, as the last frame left them.
    values: Vec<Vec<f32>>,
    /// Frames since one that was computed.
    idle: usize,
}

/// How a frame is executed: gates at `scale`, but steps from `dense_from` on take all rows; the input too if that is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct How {
    pub scale: f32,
    pub dense_from: usize,
}

impl How {
    pub const DENSE: How = How { scale: 0.0, dense_from: 0 };
}

pub fn tensors(f: &File) -> Vec<Tensor> {
    f.records(TENSORS, 52).map(|at| Tensor::read(f, at)).collect()
}

/// Whole codes of a shift of 1/16 codes.
fn codes(shift: i32) -> i32 {
    (shift as f32 / 16.0 + 0.5).floor() as i32
}

fn without(shift: i32, pixel: u8) -> i32 {
    (pixel as i32 - codes(shift)).clamp(0, 255)
}

/// Whether two remember the same.
impl PartialEq for Net<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.idle == other.idle && self.values == other.values
    }
}

impl<'a> Net<'a> {
    pub fn new(f: &'a File<'a>, tensors: &'a [Tensor]) -> Self {
        Net { f, tensors, values: tensors.iter().map(|t| vec![0.0; t.len()]).collect(), idle: 0 }
    }

    fn input(&self) -> usize {
        self.f.u16(10)
    }

    pub fn extent(&self) -> [usize; 3] {
        let t = &self.tensors[self.input()];
        [t.h, t.w, t.c]
    }

    /// First steps of the segments.
    pub fn segments(&self) -> Vec<usize> {
        self.f.records(SEGMENTS, 8).map(|at| self.f.n(at)).collect()
    }

    /// Executes a frame of pixels.
    pub fn frame(&mut self, pixels: &[u8], how: How) {
        let f = self.f;
        let (shift, taken) = match how.dense_from {
            0 => (0, vec![true; pixels.len()]),
            _ => self.changed(pixels, how.scale),
        };
        if how.dense_from > 0 && self.waits(&taken, how.scale) {
            self.idle += 1;
            return;
        }
        self.idle = if taken.contains(&true) { 0 } else { self.idle + 1 };
        let (input, c) = (self.input(), self.extent()[2]);
        for (i, v) in self.values[input].iter_mut().enumerate() {
            *v = if taken[i / c] { without(shift, pixels[i]) as f32 } else { *v };
        }
        for (i, at) in f.records(STEPS, 32).enumerate() {
            let mut new = self.compute(at);
            let gate = Some(f.n(at + 24)).filter(|g| *g != NONE as usize && i < how.dense_from);
            let out = f.n(at + 12);
            if let Some(gate) = gate {
                let record = f.records(GATES, 20).nth(gate).unwrap();
                let c = self.tensors[out].c;
                for (new, held) in new.chunks_mut(c).zip(self.values[out].chunks(c)) {
                    self.judge(record, how.scale, new, held);
                }
            }
            self.values[out] = new;
        }
    }

    /// Turns a recomputed row into the row to keep.
    fn judge(&self, gate: usize, scale: f32, new: &mut [f32], held: &[f32]) {
        let f = self.f;
        let (threshold, weights, dead) = (f.u32(gate), f.pointer(gate + 4).unwrap(), f.u32(gate + 8));
        if threshold == 0 || scale == 0.0 {
            return;
        }
        let change = |(new, held): (&f32, &f32)| (*new as i32 - *held as i32).unsigned_abs();
        let error = |(k, d): (usize, u32)| ((f.0[weights + k] as u32 * d.saturating_sub(dead)) >> 4).min(255);
        let score: u32 = new.iter().zip(held).map(change).enumerate().map(error).map(|e| e * e).sum();
        let pass = score > (threshold as f32 * (scale * scale)) as u32;
        for (new, held) in new.iter_mut().zip(held) {
            *new = if pass && change((new, held)) > dead { *new } else { *held };
        }
    }

    /// Whether the changed pixels are left for a later frame.
    fn waits(&self, changed: &[bool], scale: f32) -> bool {
        let (wait, few) = (self.f.0[101] as usize, clamp(self.f.0[103] as f32 * scale, 0.0, 255.0) as usize);
        let changed_count = changed.iter().filter(|c| **c).count();
        changed_count > 0 && self.idle < wait && 256 * changed_count < few * changed.len()
    }

    /// The common shift of the pixels, in 1/16 codes.
    fn shift(&self, pixels: &[u8], scale: f32) -> i32 {
        let ([h, w, c], held) = (self.extent(), &self.values[self.input()]);
        let most = (self.f.0[102] as f32 * scale) as i32;
        if most == 0 {
            return 0;
        }
        let step = h.div_ceil(16);
        let lines = (step / 2..h).step_by(step).flat_map(|y| y * w * c..(y + 1) * w * c);
        let mut changes: Vec<i32> = lines.map(|i| pixels[i] as i32 - held[i] as i32).collect();
        changes.sort();
        let median = changes[(changes.len() - 1) / 2];
        if median.abs() > most {
            return 0;
        }
        let near: Vec<i32> = changes.iter().map(|d| d - median).filter(|d| d.abs() <= 4).collect();
        (16 * median + 16 * near.iter().sum::<i32>() / near.len() as i32).clamp(-16 * most, 16 * most)
    }

    /// The common shift, and which pixels the input gate lets through.
    fn changed(&self, pixels: &[u8], scale: f32) -> (i32, Vec<bool>) {
        let ([h, w, c], held) = (self.extent(), &self.values[self.input()]);
        let limit = clamp(self.f.u16(96) as f32 * scale, 0.0, 255.0) as i32;
        let shift = self.shift(pixels, scale);
        let signed = |i: usize| without(shift, pixels[i]) - held[i] as i32;
        let change = |p: usize| (p * c..p * c + c).map(|i| signed(i).abs()).max().unwrap();
        let most: Vec<i32> = (0..h * w).map(change).collect();
        if limit == 0 {
            return (shift, most.iter().map(|d| *d > 0).collect());
        }
        let around = |y: usize, x: usize| {
            let near = |i: usize, n: usize| i.saturating_sub(1)..n.min(i + 2);
            near(y, h).flat_map(move |v| near(x, w).map(move |u| v * w + u)).filter(move |p| *p != y * w + x)
        };
        let mut marked: Vec<bool> = (0..h * w)
            .map(|p| most[p] > (2 * limit).min(255) || most[p] > limit && around(p / w, p % w).any(|q| most[q] > limit))
            .collect();
        let block = (self.f.u16(98) as f32 * scale) as i64;
        for (y0, x0) in (0..h).step_by(8).flat_map(|y| (0..w).step_by(8).map(move |x| (y, x))).filter(|_| self.f.u16(98) > 0) {
            let coords = || (y0..h.min(y0 + 8)).flat_map(move |y| (x0..w.min(x0 + 8)).map(move |x| y * w + x));
            let sum: i64 = coords().flat_map(|p| p * c..p * c + c).map(|i| signed(i) as i64).sum();
            let n = (coords().count() * c) as i64;
            let rest = (shift - 16 * codes(shift)) as i64;
            if (16 * sum - rest * n).abs() > block * n {
                coords().for_each(|p| marked[p] = true);
            }
        }
        (shift, marked)
    }

    /// The whole result of the step at `at`.
    fn compute(&self, at: usize) -> Vec<f32> {
        let f = self.f;
        let tensor = |at| (&self.tensors[f.n(at)], &self.values[f.n(at)][..]);
        let ((x, a), (out, _)) = (tensor(at + 4), tensor(at + 12));
        let b = (f.u16(at + 2) == 2).then(|| tensor(at + 8));
        let call = Call { f, p: f.pointer(at + 16).unwrap_or(0), x, out, a, b };
        match f.u16(at) {
            0 => call.conv(false),
            1 => call.conv(true),
            2 => call.conv_f32(),
            3 => call.binary(),
            4 => call.map(),
            5 => call.by_table(),
            6 => call.pool(false),
            7 => call.pool(true),
            8 => call.global(true),
            9 => call.global(false),
            10 | 16 => a.to_vec(),
            11 => call.index(),
            12 => call.bilinear(),
            13 => call.block(true),
            14 => call.block(false),
            15 => call.pick(false),
            17 => call.pick(true),
            18 => call.softmax(),
            19 => call.reduce(),
            21 => call.by_tables(),
            20 => self.join(call.p, x, out, a, &self.values[f.n(at + 12)]),
            op => panic!("operator {op}"),
        }
    }

    /// The parent with this part in its place.
    fn join(&self, p: usize, x: &Tensor, out: &Tensor, part: &[f32], parent: &[f32]) -> Vec<f32> {
        let (y0, x0) = (self.f.n(p), self.f.n(p + 4));
        let size = if out.codes { 1 } else { 4 };
        // Where channel 0 lies is for the memory to say.
        let k0 = (x.origin - out.origin - y0 * out.line - x0 * out.pixel) / size;
        let mut parent = parent.to_vec();
        for (i, v) in part.iter().enumerate() {
            let (y, col, k) = (i / x.c / x.w, i / x.c % x.w, i % x.c);
            parent[((y0 + y) * out.w + x0 + col) * out.c + k0 + k] = *v;
        }
        parent
    }

    /// Every element of every output, in the order of the ONNX model.
    pub fn outputs(&self) -> Vec<f32> {
        let f = self.f;
        let mut all = vec![];
        for at in f.records(OUTPUTS, 68) {
            let (t, rank) = (f.n(at), f.n(at + 4));
            let shape: Vec<usize> = (0..rank).map(|axis| f.n(at + 8 + 4 * axis)).collect();
            for i in 0..shape.iter().product() {
                let (mut rest, mut flat) = (i, f.n(at + 56));
                for axis in (0..rank).rev() {
                    flat += rest % shape[axis] * f.n(at + 32 + 4 * axis);
                    rest /= shape[axis];
                }
                let (value, quant) = (self.values[t][flat], self.tensors[t].quant.get(flat % self.tensors[t].c));
                all.push(quant.map_or(value, |(scale, zero)| scale * (value - zero)));
            }
        }
        all
    }
}
