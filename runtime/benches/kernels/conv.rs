//! Convolutions: a pass over a whole map, in calls of as many rows (output pixels) as a list of marked ones may have.

use std::ops::{Deref, DerefMut};

use criterion::{BenchmarkId, Throughput};
use quiescent::kernels::{ConvLayer, ConvTile, Kernels};

use crate::Group;

/// A layer over a square map.
struct Layer {
    name: &'static str,
    depthwise: bool,
    /// Output pixels a side.
    side: usize,
    stride: usize,
    kernel: usize,
    /// Channels in and out.
    c: usize,
    oc: usize,
}

const fn conv(name: &'static str, side: usize, stride: usize, kernel: usize, c: usize, oc: usize) -> Layer {
    Layer { name, depthwise: false, side, stride, kernel, c, oc }
}

const fn depthwise(name: &'static str, side: usize, kernel: usize, c: usize) -> Layer {
    Layer { name, depthwise: true, side, stride: 1, kernel, c, oc: c }
}

/// Layers of detectors, then those whose channels fill no vector.
const LAYERS: &[Layer] = &[
    conv("3x3 64->64", 56, 1, 3, 64, 64),
    conv("3x3 128->128", 28, 1, 3, 128, 128),
    conv("1x1 256->512", 28, 1, 1, 256, 512),
    conv("3x3s2 3->16", 112, 2, 3, 3, 16),
    conv("3x3s2 3->24", 112, 2, 3, 3, 24),
    conv("1x1 24->24", 56, 1, 1, 24, 24),
    conv("1x1 48->48", 28, 1, 1, 48, 48),
    conv("1x1 96->96", 28, 1, 1, 96, 96),
    depthwise("dw3x3 16", 56, 3, 16),
    depthwise("dw3x3 24", 56, 3, 24),
    depthwise("dw3x3 48", 28, 3, 48),
    depthwise("dw3x3 96", 28, 3, 96),
    depthwise("dw3x3 192", 14, 3, 192),
    depthwise("dw5x5 64", 28, 5, 64),
    conv("3x3 3->17", 56, 1, 3, 3, 17),
    conv("1x1 20->21", 56, 1, 1, 20, 21),
    conv("3x3 20->21", 28, 1, 3, 20, 21),
    conv("1x1 97->255", 28, 1, 1, 97, 255),
    depthwise("dw3x3 20", 56, 3, 20),
    depthwise("dw5x5 65", 28, 5, 65),
];

/// Rows of a call; a full map beside them.
const ROWS: [usize; 4] = [1, 2, 8, 64];

pub fn bench(group: &mut Group, set: &Kernels) {
    for layer in LAYERS {
        let mut map = Map::new(layer);
        group.throughput(Throughput::Elements(layer.macs()));
        for rows in ROWS {
            group.bench_function(BenchmarkId::new(layer.name, rows), |b| b.iter(|| map.pass(set, rows, false)));
        }
        let full = layer.side * layer.side;
        group.bench_function(BenchmarkId::new(layer.name, "full"), |b| b.iter(|| map.pass(set, full, false)));
        group.bench_function(BenchmarkId::new(layer.name, "64+table"), |b| b.iter(|| map.pass(set, 64, true)));
    }
}

impl Layer {
    /// Multiply-accumulates of a map.
    fn macs(&self) -> u64 {
        let inputs = if self.depthwise { 1 } else { self.c };
        (self.side * self.side * self.oc * self.kernel * self.kernel * inputs) as u64
    }
}

/// A layer with its weights, input and output.
struct Map<'a> {
    layer: &'a Layer,
    /// Offsets of taps (bytes from a pixel), and fours of weights in each.
    segments: Vec<u32>,
    quads: usize,
    weights: Aligned,
    m: Vec<f32>,
    b: Vec<f32>,
    input: Aligned,
    output: Aligned,
    rows_in: Vec<u32>,
    rows_out: Vec<u32>,
}

impl<'a> Map<'a> {
    fn new(layer: &'a Layer) -> Self {
        let &Layer { side, stride, kernel, c, oc, .. } = layer;
        let width = side * stride + kernel - 1;
        // A tap line of a convolution is contiguous; a depthwise tap stands alone.
        let (segments, quads): (Vec<u32>, usize) = if layer.depthwise {
            let taps = (0..kernel * kernel).map(|t| ((t / kernel * width + t % kernel) * c) as u32).collect();
            (taps, (kernel * kernel).div_ceil(4))
        } else {
            ((0..kernel).map(|y| (y * width * c) as u32).collect(), (kernel * c).div_ceil(4))
        };
        let panels = if layer.depthwise { 1 } else { segments.len() };
        let blocks = oc.div_ceil(16);
        Map {
            layer,
            segments,
            quads,
            weights: Aligned::fill(blocks * panels * quads * 64, |i| (i * 37 % 255) as u8),
            m: vec![1e-4; 16 * blocks],
            b: vec![128.0; 16 * blocks],
            // Kernels read up to a vector past the last row's taps.
            input: Aligned::fill(width * width * c + 64, |i| (i * 7 % 251) as u8),
            output: Aligned::fill(side * side * oc, |_| 0),
            rows_in: (0..side * side).map(|p| ((p / side * stride * width + p % side * stride) * c) as u32).collect(),
            rows_out: (0..side * side).map(|p| (p * oc) as u32).collect(),
        }
    }

    /// Computes the map, `rows` output pixels a call.
    fn pass(&mut self, set: &Kernels, rows: usize, table: bool) {
        let entries = [7; 256];
        // SAFETY: the same bytes as signed codes.
        let weights = unsafe { std::slice::from_raw_parts(self.weights.as_ptr().cast::<i8>(), self.weights.len()) };
        let layer = ConvLayer {
            segments: &self.segments,
            quads: self.quads,
            weights,
            oc: self.layer.oc,
            m: &self.m,
            b: &self.b,
            lo: 0.0,
            hi: 255.0,
            table: table.then_some(&entries),
            real: false,
        };
        let (input, output) = (self.input.as_ptr(), self.output.as_mut_ptr());
        for (rows_in, rows_out) in self.rows_in.chunks(rows).zip(self.rows_out.chunks(rows)) {
            let tile = ConvTile { layer: &layer, input, rows_in, residual: None, output, rows_out };
            // SAFETY: all rows, with their taps and 64 more bytes, lie in `input` and `output`; the set is available.
            unsafe { if self.layer.depthwise { (set.depthwise)(&tile) } else { (set.conv)(&tile) } }
        }
    }
}

/// Bytes from a 64-byte boundary, as in an arena and an artifact.
struct Aligned(Vec<u8>, usize);

impl Aligned {
    fn fill(len: usize, byte: impl Fn(usize) -> u8) -> Self {
        let bytes = vec![0; len + 63];
        let at = bytes.as_ptr().align_offset(64);
        let mut aligned = Aligned(bytes, at);
        aligned.iter_mut().enumerate().for_each(|(i, x)| *x = byte(i));
        aligned
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[self.1..self.0.len() - 63 + self.1]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        let end = self.0.len() - 63 + self.1;
        &mut self.0[self.1..end]
    }
}
