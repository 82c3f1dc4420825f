//! Graphs of real operators with random weights, built by hand, and their artifacts.

use quiescent::format::{InputGate, Profile};
use quiescent_tools::artifact::{Artifact, Meta};
use quiescent_tools::calibrate::{self, Quant};
use quiescent_tools::ir::{self, Axis, Binary, Conv, Graph, Lerp, Op, Pad, Shape, Unary, Window};
use quiescent_tools::lower::{self, Hold};

/// The generator of Marsaglia (2003).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut r = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| _ = r.next());
        r
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }

    /// `-1..1`.
    pub fn real(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Geometry of a convolution; the rest follows.
#[derive(Clone, Copy)]
pub struct K {
    pub k: (usize, usize),
    pub stride: (usize, usize),
    pub dilation: (usize, usize),
    pub pad: Pad,
    pub groups: usize,
}

/// A `k x k` window that keeps the extent (up to the stride).
pub fn same(k: usize) -> K {
    let p = k / 2;
    K { k: (k, k), stride: (1, 1), dilation: (1, 1), pad: pad(p, p, p, p), groups: 1 }
}

impl K {
    pub fn stride(mut self, s: usize) -> Self {
        self.stride = (s, s);
        self
    }

    pub fn dilated(mut self, d: usize) -> Self {
        self.dilation = (d, d);
        let p = self.k.0 / 2 * d;
        self.pad = pad(p, p, p, p);
        self
    }

    pub fn pad(mut self, p: Pad) -> Self {
        self.pad = p;
        self
    }
}

pub fn pad(t: usize, l: usize, b: usize, r: usize) -> Pad {
    Pad { t, l, b, r }
}

pub const RELU: Unary = Unary::Clamp { lo: 0.0, hi: f32::INFINITY };

/// A graph in the making.
pub struct Net {
    pub g: Graph,
    pub r: Random,
}

impl Net {
    /// With an input of pixels `[h, w, c]` in 0..1.
    pub fn new(seed: u64, h: usize, w: usize, c: usize) -> Self {
        let mut net = Net { g: Graph::default(), r: Random::new(seed) };
        let x = net.tensor(Shape { h, w, c });
        net.g.inputs.push(ir::Input {
            tensor: x,
            name: "x".into(),
            onnx_shape: vec![1, h, w, c],
            onnx_type: ir::ElementType::F32,
            axes: (Some(1), Some(2), Some(3)),
            codes: None,
        });
        net
    }

    pub fn shape(&self, t: usize) -> Shape {
        self.g.tensors[t].shape
    }

    pub fn tensor(&mut self, shape: Shape) -> usize {
        let name = format!("t{}", self.g.tensors.len());
        self.g.tensors.push(ir::Tensor { name, shape, codes: None, constant: None });
        self.g.tensors.len() - 1
    }

    pub fn node(&mut self, op: Op, inputs: &[usize], shape: Shape) -> usize {
        let output = self.tensor(shape);
        let name = format!("n{}", self.g.nodes.len());
        self.g.nodes.push(ir::Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    pub fn conv(&mut self, x: usize, oc: usize, k: K) -> usize {
        let s = self.shape(x);
        let taps = k.k.0 * k.k.1 * (s.c / k.groups);
        // Unit gain keeps activations in range over many layers.
        let gain = (3.0 / taps as f32).sqrt() * 1.4;
        let conv = Conv {
            weights: (0..oc * taps).map(|_| gain * self.r.real()).collect(),
            bias: (0..oc).map(|_| 0.2 * self.r.real()).collect(),
            oc,
            kh: k.k.0,
            kw: k.k.1,
            stride: k.stride,
            dilation: k.dilation,
            pad: k.pad,
            groups: k.groups,
            weight_scales: None,
        };
        let shape = ir::verify::conv_extent(&conv, s).unwrap();
        self.node(Op::Conv(conv), &[x], shape)
    }

    pub fn depthwise(&mut self, x: usize, k: K) -> usize {
        let c = self.shape(x).c;
        self.conv(x, c, K { groups: c, ..k })
    }

    pub fn act(&mut self, x: usize, u: Unary) -> usize {
        self.node(Op::Unary(u), &[x], self.shape(x))
    }

    /// Convolution and Relu.
    pub fn block(&mut self, x: usize, oc: usize, k: K) -> usize {
        let y = self.conv(x, oc, k);
        self.act(y, RELU)
    }

    /// Element-wise; the result has the first operand's shape.
    pub fn binary(&mut self, f: Binary, a: usize, b: usize) -> usize {
        self.node(Op::Binary(f), &[a, b], self.shape(a))
    }

    pub fn concat(&mut self, parts: &[usize], axis: Axis) -> usize {
        let mut s = self.shape(parts[0]);
        for p in &parts[1..] {
            let p = self.shape(*p);
            match axis {
                Axis::H => s.h += p.h,
                Axis::W => s.w += p.w,
                Axis::C => s.c += p.c,
            }
        }
        self.node(Op::Concat(axis), parts, s)
    }

    fn window(&self, x: usize, k: usize, stride: usize, p: Pad) -> (Window, Shape) {
        let s = self.shape(x);
        let extent = |n: usize, pads: usize| (n + pads - k) / stride + 1;
        let out = Shape { h: extent(s.h, p.t + p.b), w: extent(s.w, p.l + p.r), c: s.c };
        (Window { kh: k, kw: k, stride: (stride, stride), dilation: (1, 1), pad: p }, out)
    }

    pub fn max_pool(&mut self, x: usize, k: usize, stride: usize, p: Pad) -> usize {
        let (w, s) = self.window(x, k, stride, p);
        self.node(Op::MaxPool(w), &[x], s)
    }

    pub fn avg_pool(&mut self, x: usize, k: usize, stride: usize, p: Pad, count_pad: bool) -> usize {
        let (window, s) = self.window(x, k, stride, p);
        self.node(Op::AvgPool { window, count_pad }, &[x], s)
    }

    /// Squeeze and excitation.
    pub fn excite(&mut self, x: usize) -> usize {
        let c = self.shape(x).c;
        let one = same(1);
        let g = self.node(Op::GlobalAvgPool, &[x], Shape { h: 1, w: 1, c });
        let g = self.block(g, (c / 2).max(1), one);
        let g = self.conv(g, c, one);
        let g = self.act(g, Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 });
        self.binary(Binary::Mul, x, g)
    }

    /// Less its mean, divided by its deviation: over the channels of each pixel, over all pixels of each channel, or over both.
    pub fn normalise(&mut self, x: usize, channels: bool, pixels: bool) -> usize {
        let (pixel, one) = (Shape { c: 1, ..self.shape(x) }, Shape { h: 1, w: 1, c: if channels { 1 } else { self.shape(x).c } });
        let mean = |n: &mut Self, t: usize| {
            let s = n.shape(t);
            let t = if pixels { n.node(Op::GlobalAvgPool, &[t], Shape { h: 1, w: 1, ..s }) } else { t };
            if channels { n.node(Op::ReduceChannels { mean: true }, &[t], if pixels { one } else { pixel }) } else { t }
        };
        let m = mean(self, x);
        let less = self.binary(Binary::Sub, x, m);
        let squares = self.binary(Binary::Mul, less, less);
        let variance = mean(self, squares);
        let epsilon = self.tensor(Shape { h: 1, w: 1, c: 1 });
        self.g.tensors[epsilon].constant = Some(vec![1e-3]);
        let above = self.binary(Binary::Add, variance, epsilon);
        let deviation = self.act(above, Unary::Sqrt);
        self.binary(Binary::Div, less, deviation)
    }

    pub fn nearest(&mut self, x: usize, factor: usize) -> usize {
        let s = self.shape(x);
        let list = |n: usize| (0..n * factor).map(|i| (i / factor) as i32).collect::<Vec<_>>();
        let (ys, xs) = (list(s.h), list(s.w));
        let shape = Shape { h: ys.len(), w: xs.len(), ..s };
        self.node(Op::Index { ys, xs, fill: 0.0 }, &[x], shape)
    }

    /// Lines and columns of `x`, -1 for zeros.
    pub fn index(&mut self, x: usize, ys: Vec<i32>, xs: Vec<i32>) -> usize {
        let shape = Shape { h: ys.len(), w: xs.len(), ..self.shape(x) };
        self.node(Op::Index { ys, xs, fill: 0.0 }, &[x], shape)
    }

    /// Half-pixel bilinear resize.
    pub fn bilinear(&mut self, x: usize, h: usize, w: usize) -> usize {
        let s = self.shape(x);
        let list = |n: usize, out: usize| -> Vec<Lerp> {
            (0..out)
                .map(|i| {
                    let at = ((i as f32 + 0.5) * n as f32 / out as f32 - 0.5).clamp(0.0, (n - 1) as f32);
                    let lo = at as u32;
                    Lerp { lo, hi: (lo + 1).min(n as u32 - 1), t: at - lo as f32 }
                })
                .collect()
        };
        let op = Op::Bilinear { ys: list(s.h, h), xs: list(s.w, w) };
        self.node(op, &[x], Shape { h, w, ..s })
    }

    pub fn channels(&mut self, x: usize, index: Vec<u32>) -> usize {
        let shape = Shape { c: index.len(), ..self.shape(x) };
        self.node(Op::Channels { index }, &[x], shape)
    }

    pub fn depth_to_space(&mut self, x: usize, b: usize) -> usize {
        let s = self.shape(x);
        self.node(Op::DepthToSpace { block: b }, &[x], Shape { h: s.h * b, w: s.w * b, c: s.c / b / b })
    }

    pub fn space_to_depth(&mut self, x: usize, b: usize) -> usize {
        let s = self.shape(x);
        self.node(Op::SpaceToDepth { block: b }, &[x], Shape { h: s.h / b, w: s.w / b, c: s.c * b * b })
    }

    pub fn reshape(&mut self, x: usize, h: usize, w: usize, c: usize) -> usize {
        self.node(Op::Reshape, &[x], Shape { h, w, c })
    }

    pub fn softmax(&mut self, x: usize) -> usize {
        self.node(Op::Softmax, &[x], self.shape(x))
    }

    pub fn output(&mut self, t: usize) {
        let s = self.shape(t);
        let name = format!("y{}", self.g.outputs.len());
        self.g.outputs.push(ir::Output {
            tensor: t,
            name,
            onnx_shape: vec![1, s.h, s.w, s.c],
            strides: vec![0, s.w * s.c, s.c, 1],
            offset: 0,
            onnx_type: ir::ElementType::F32,
            codes: None,
        });
    }

    /// Without the nodes no output needs.
    pub fn done(mut self) -> Graph {
        let mut needed: Vec<usize> = self.g.outputs.iter().map(|o| o.tensor).collect();
        for n in self.g.nodes.iter().rev() {
            if needed.contains(&n.output) {
                needed.extend(&n.inputs);
            }
        }
        self.g.nodes.retain(|n| needed.contains(&n.output));
        ir::verify(&self.g).unwrap();
        self.g
    }
}

/// Codes of a picture in 0..1.
pub fn pixels() -> Quant {
    Quant::per_tensor(1.0 / 255.0, 0)
}

/// Codes chosen once, so that artifacts of several plans agree in every number.
pub fn calibrate(g: &Graph, frames: &[Vec<u8>], float_layers: &[String]) -> calibrate::Plan {
    let q = pixels();
    let frames: Vec<Vec<f32>> = frames.iter().map(|f| f.iter().map(|p| q.real(0, *p)).collect()).collect();
    let options =
        calibrate::Options { input_codes: vec![Some(q)], simulated_frames: 2, float_layers: float_layers.to_vec(), ..Default::default() };
    calibrate::calibrate(g, &frames, &options).unwrap()
}

/// Gates are there, all thresholds 0.
pub fn artifact(g: &Graph, plan: &calibrate::Plan, hold: Hold) -> Artifact {
    planned(g, plan, hold, true, None)
}

/// The same, in chains where possible or never, within so many bytes of tensors if they can.
pub fn planned(g: &Graph, plan: &calibrate::Plan, hold: Hold, bands: bool, most: Option<usize>) -> Artifact {
    lowered(g, plan, &lower::Options { profile: Profile::Any, hold, gates: true, bands, most })
}

pub fn lowered(g: &Graph, plan: &calibrate::Plan, options: &lower::Options) -> Artifact {
    let lowered = lower::lower(g, plan, options).unwrap_or_else(|e| panic!("{e:#}\n{g}"));
    Artifact::new(lowered.builder, Meta::default()).unwrap_or_else(|e| panic!("{e:#}\n{g}"))
}

/// Lets changes of fewer than `few` 256ths of the pixels wait for `wait` frames.
pub fn let_wait(a: &mut Artifact, wait: u8, few: u8) {
    let gate = a.header().input_gate;
    a.set_gates(InputGate { wait, few, ..gate }, |_| ());
}

/// Sets every gate: thresholds of about `tau` codes per sixteen channels, with a dead zone.
pub fn set_thresholds(a: &mut Artifact, pixel: u16, block: u16, tau: u32, dead: u32) {
    let mut k = 0;
    // Exact where the others are.
    let shift = 3 * pixel.min(4) as u8;
    a.set_gates(InputGate { pixel, block, shift, ..Default::default() }, |gates| {
        for g in gates {
            // Not all alike.
            k += 1;
            g.threshold = tau * tau * (1 + k % 3);
            g.dead = dead;
        }
    });
}
