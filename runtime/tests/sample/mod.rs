//! A small network with every operator, written by hand.

use quiescent::format::*;
use zerocopy::IntoBytes;

/// An artifact under construction and the end of its arena.
#[derive(Default)]
pub struct Net {
    pub b: Builder,
    pub end: u32,
}

/// Extents, border and flags of a tensor still to be placed.
#[derive(Clone, Copy)]
pub struct Map {
    pub h: u32,
    pub w: u32,
    pub c: u32,
    pub dtype: Dtype,
    pub flags: u8,
    pub border: u8,
}

pub fn codes(h: u32, w: u32, c: u32) -> Map {
    Map { h, w, c, dtype: Dtype::U8, flags: HELD, border: 0 }
}

pub fn reals(h: u32, w: u32, c: u32) -> Map {
    Map { dtype: Dtype::F32, ..codes(h, w, c) }
}

impl Map {
    pub fn scratch(self) -> Map {
        Map { flags: self.flags & !HELD, ..self }
    }
    pub fn view(self) -> Map {
        Map { flags: self.flags | VIEW, ..self }
    }
    pub fn border(self, border: u8) -> Map {
        Map { border, ..self }
    }
}

impl Net {
    /// A tensor in memory of its own.
    pub fn tensor(&mut self, m: Map) -> u32 {
        let start = self.end.next_multiple_of(64);
        let border = m.border as u32;
        let pixel = m.c * m.dtype.size() as u32;
        let line = (m.w + 2 * border) * pixel;
        let origin = start + border * (line + pixel);
        self.end = start + (m.h + 2 * border) * line;
        self.tensor_at(m, origin, pixel, line)
    }

    /// A tensor in given memory.
    pub fn tensor_at(&mut self, m: Map, origin: u32, pixel: u32, line: u32) -> u32 {
        let quantised = m.dtype == Dtype::U8;
        let (mut fill, mut scale, mut zero) = (NONE, NONE, NONE);
        if quantised {
            fill = self.b.data.put_bytes(&vec![7; m.c as usize], 1);
            scale = self.b.data.put(&[0.5f32]);
            zero = self.b.data.put_bytes(&[7], 1);
        }
        self.b.tensor(Tensor {
            origin,
            pixel,
            line,
            h: m.h,
            w: m.w,
            c: m.c,
            dtype: m.dtype as u8,
            flags: m.flags,
            border: [m.border; 4],
            quant_len: quantised as u16,
            mask: 0,
            fill,
            scale,
            zero,
            lines: 0,
        })
    }

    pub fn step<P: IntoBytes + zerocopy::Immutable>(&mut self, op: Op, inputs: &[u32], output: u32, param: P) -> u32 {
        let param = self.b.data.put(&[param]);
        let mut ids = [NONE; 2];
        ids[..inputs.len()].copy_from_slice(inputs);
        self.b.step(Step { op: op as u16, inputs_len: inputs.len() as u16, inputs: ids, output, param, macs: 1, gate: NONE, row_ps: 1 })
    }

    /// Ends a segment behind the last step.
    pub fn cut(&mut self) {
        let first = self.b.segments.last().map_or(0, |s| s.end);
        self.b.segments.push(Segment { first, end: self.b.steps.len() as u32 });
    }

    pub fn gate(&mut self, step: u32) {
        let c = self.b.tensors[self.b.steps[step as usize].output as usize].c;
        let weights = self.b.data.put_bytes(&vec![16; c as usize], 1);
        let gate = self.b.gate(Gate { threshold: 9, weights, dead: 1, bound: 0.25, staging: NONE });
        self.b.steps[step as usize].gate = gate;
    }

    pub fn affine(&mut self, t: u32) -> Affine {
        let t = self.b.tensors[t as usize];
        match t.dtype() {
            Dtype::F32 => Affine { scale: NONE, offset: NONE },
            Dtype::U8 => {
                let v = vec![0.5f32; t.c as usize];
                Affine { scale: self.b.data.put(&v), offset: self.b.data.put(&v) }
            }
        }
    }

    pub fn conv(&mut self, op: Op, x: u32, residual: Option<u32>, out: u32, window: Window) -> u32 {
        let (tx, to) = (self.b.tensors[x as usize], self.b.tensors[out as usize]);
        let [kh, kw] = window.kernel.map(|k| k as usize);
        let blocks = to.c.div_ceil(16) as usize;
        let merged = op == Op::Conv && kw > 1 && window.dilation[1] == 1;
        let len = match op {
            Op::Depthwise => (kh * kw).div_ceil(4) * 64,
            _ if merged => kh * (kw * tx.c as usize).div_ceil(4) * 64,
            _ => kh * kw * (tx.c as usize).div_ceil(4) * 64,
        };
        let weights: Vec<i8> = (0..blocks * len).map(|i| (i * 31 % 15) as i8 - 7).collect();
        let param = Conv {
            window,
            weights: self.b.data.put_weights(&weights),
            m: self.b.data.put(&vec![0.01f32; 16 * blocks]),
            b: self.b.data.put(&vec![3.0f32; 16 * blocks]),
            r: residual.map_or(NONE, |_| self.b.data.put(&vec![0.5f32; 16 * blocks])),
            table: NONE,
            merged: merged as u32,
            lo: 0.0,
            hi: 255.0,
        };
        let inputs: Vec<u32> = [x].into_iter().chain(residual).collect();
        self.step(op, &inputs, out, param)
    }

    pub fn output(&mut self, tensor: u32, name: &str) {
        let t = self.b.tensors[tensor as usize];
        let name_at = self.b.data.put_bytes(name.as_bytes(), 1);
        self.b.outputs.push(OutputRecord {
            tensor,
            rank: 4,
            shape: [1, t.c, t.h, t.w, 0, 0],
            strides: [0, 1, t.w * t.c, t.c, 0, 0],
            offset: 0,
            name: name_at,
            name_len: name.len() as u32,
        });
    }
}

pub fn window(kernel: u16, stride: u16, pad: u16) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] }
}

/// Steps of [`net`] that tests change.
#[allow(dead_code)]
#[derive(Clone, Copy)]
pub struct At {
    pub conv: u32,
    pub depthwise: u32,
    pub add: u32,
    pub max: u32,
    pub avg: u32,
    pub join: u32,
    pub after_join: u32,
    pub table: u32,
    pub map: u32,
    pub prelu: u32,
    pub binary: u32,
    pub constant: u32,
    pub softmax: u32,
    pub reduce: u32,
    pub mean: u32,
    pub peak: u32,
    pub copy: u32,
    pub index: u32,
    pub bilinear: u32,
    pub d2s: u32,
    pub s2d: u32,
    pub channels: u32,
    pub permute: u32,
    pub conv_f32: u32,
    pub reshape: u32,
    pub rows: u32,
}

/// `8 x 8 x 4` in; a gated convolution; depthwise and residual convolutions; a concatenation of two poolings in scratch;
/// then one of every other operator, and a head whose maps are reshaped and joined by lines.
pub fn net() -> (Net, At) {
    let mut n = Net::default();
    let input = n.tensor(codes(8, 8, 4).border(1));
    let a = n.tensor(codes(8, 8, 8).border(1));
    let conv = n.conv(Op::Conv, input, None, a, window(3, 1, 1));
    n.gate(conv);
    n.cut();

    let below = n.end;
    let d = n.tensor(codes(8, 8, 8).scratch().border(1));
    let depthwise = n.conv(Op::Depthwise, a, None, d, window(3, 1, 1));
    let r = n.tensor(codes(8, 8, 8));
    let add = n.conv(Op::Conv, d, Some(a), r, window(1, 1, 0));
    n.gate(add);
    n.cut();
    // The pair is a chain: three lines at a time, through three lines of memory.
    n.b.tensors[d as usize].lines = 3;

    // Scratch of another segment may lie where `d` lay.
    let end = n.end;
    n.end = below;
    let p = n.tensor(codes(4, 4, 16).scratch().border(1));
    n.end = end;
    let parent = n.b.tensors[p as usize];
    let half = codes(4, 4, 8).scratch().view().border(1);
    let v1 = n.tensor_at(half, parent.origin, 16, parent.line);
    let v2 = n.tensor_at(half.border(0), parent.origin + 8, 16, parent.line);
    let max = n.step(Op::MaxPool, &[r], v1, Pool { window: window(2, 2, 0), count_pad: 0 });
    let avg = n.step(Op::AvgPool, &[r], v2, Pool { window: window(3, 2, 1), count_pad: 1 });
    let join = n.step(Op::Join, &[v1], p, Join { y0: 0, x0: 0, first: 1 });
    n.step(Op::Join, &[v2], p, Join { y0: 0, x0: 0, first: 0 });
    let e = n.tensor(codes(4, 4, 4));
    let after_join = n.conv(Op::Conv, p, None, e, window(3, 1, 1));
    n.cut();

    let bytes: Vec<u8> = (0..=255).collect();
    let param = Table { table: n.b.data.put_bytes(&bytes, 1) };
    let t = n.tensor(codes(4, 4, 4));
    let table = n.step(Op::Table, &[e], t, param);
    let bytes: Vec<u8> = (0..4 * 256).map(|i| (i * 7 / 5) as u8).collect();
    let param = Table { table: n.b.data.put_bytes(&bytes, 1) };
    let by_channel = n.tensor(codes(4, 4, 4));
    n.step(Op::Tables, &[t], by_channel, param);
    let f = n.tensor(reals(4, 4, 4));
    let (ae, at, af) = (n.affine(e), n.affine(t), n.affine(f));
    let (lo, hi) = (-1e9, 1e9);
    let sigmoid = quiescent::format::Map { function: MapFn::Sigmoid as u32, p: [0.0; 2], slope: NONE, a: ae, out: af, lo, hi };
    let map = n.step(Op::Map, &[e], f, sigmoid);
    let slope = n.b.data.put(&[0.1f32, 0.2, 0.3, 0.4]);
    let f1 = n.tensor(reals(4, 4, 4));
    let prelu = quiescent::format::Map { function: MapFn::PRelu as u32, slope, a: af, ..sigmoid };
    let prelu = n.step(Op::Map, &[f], f1, prelu);
    let s = n.tensor(codes(4, 4, 4));
    let sum =
        Binary { function: BinaryFn::Add as u32, broadcast: 0, a: ae, b: at, constant: NONE, out: ae, lo: 0.0, hi: 255.0, table: NONE };
    let binary = n.step(Op::Binary, &[e, t], s, sum);
    let k = n.tensor(reals(4, 4, 4));
    let values = n.b.data.put(&[1.0f32, 2.0, 3.0, 4.0]);
    let scaled = Binary { broadcast: 1, a: af, b: af, constant: values, out: af, lo, hi, ..sum };
    let constant = n.step(Op::Binary, &[f], k, scaled);
    let soft = n.tensor(reals(4, 4, 4));
    let softmax = n.step(Op::Softmax, &[k], soft, Reduce { a: af, out: af, factor: 1.0 });
    let one = n.tensor(reals(4, 4, 1));
    let reduce = n.step(Op::ReduceChannels, &[soft], one, Reduce { a: af, out: af, factor: 0.25 });
    let g = n.tensor(codes(1, 1, 4));
    let m = n.b.data.put(&[0.0625f32; 4]);
    let mean = n.step(Op::GlobalAvg, &[e], g, Global { m, b: m });
    let g2 = n.tensor(codes(1, 1, 4));
    let peak = n.step(Op::GlobalMax, &[e], g2, Global { m: NONE, b: NONE });
    let c = n.tensor(codes(4, 4, 4));
    let copy = n.step(Op::Copy, &[e], c, 0u32);
    let i = n.tensor(codes(5, 4, 4));
    let ys = n.b.data.put(&[FILL, 0u16, 1, 2, 3]);
    let xs = n.b.data.put(&[3u16, 2, 1, 0]);
    let fill = n.b.data.put_bytes(&[7; 4], 1);
    let index = n.step(Op::Index, &[e], i, Index { ys, xs, fill });
    let l = n.tensor(codes(8, 8, 4));
    let lerps: Vec<Lerp> = (0..8).map(|i| Lerp { lo: i / 2, hi: (i / 2 + 1).min(3), t: i as u32 % 2 * 128 }).collect();
    let lerps = n.b.data.put(&lerps);
    let bilinear = n.step(Op::Bilinear, &[e], l, Bilinear { ys: lerps, xs: lerps });
    let wide = n.tensor(codes(8, 8, 1));
    let d2s = n.step(Op::DepthToSpace, &[e], wide, Block { block: 2 });
    let deep = n.tensor(codes(4, 4, 4));
    let s2d = n.step(Op::SpaceToDepth, &[wide], deep, Block { block: 2 });
    let ch = n.tensor(codes(4, 4, 3));
    let list = n.b.data.put(&[2u32, 0, 3]);
    let channels = n.step(Op::Channels, &[deep], ch, Channels { index: list });
    let q = n.tensor(codes(4, 1, 12));
    let list: Vec<u32> = (0..48).rev().collect();
    let list = n.b.data.put(&list);
    let permute = n.step(Op::Permute, &[ch], q, Channels { index: list });
    let cf = n.tensor(reals(4, 4, 2));
    let weights = n.b.data.put(&[0.5f32; 4]);
    let b = n.b.data.put(&[0.0f32; 2]);
    let float = ConvF32 { window: window(1, 1, 0), weights, b, groups: 2, lo, hi };
    let conv_f32 = n.step(Op::ConvF32, &[f], cf, float);
    n.cut();

    // Two maps of 16 and 4 rows become lines of one list.
    let all = n.tensor(codes(20, 1, 4));
    let o = n.b.tensors[all as usize].origin;
    let m1 = n.tensor_at(codes(4, 4, 4).view(), o, 4, 16);
    let m2 = n.tensor_at(codes(2, 2, 4).view(), o + 64, 4, 8);
    let r1 = n.tensor_at(codes(16, 1, 4).view(), o, 4, 4);
    let r2 = n.tensor_at(codes(4, 1, 4).view(), o + 64, 4, 4);
    n.step(Op::Copy, &[e], m1, 0u32);
    n.step(Op::MaxPool, &[e], m2, Pool { window: window(2, 2, 0), count_pad: 0 });
    let reshape = n.step(Op::Reshape, &[m1], r1, 0u32);
    n.step(Op::Reshape, &[m2], r2, 0u32);
    let rows = n.step(Op::Join, &[r1], all, Join { y0: 0, x0: 0, first: 1 });
    n.step(Op::Join, &[r2], all, Join { y0: 16, x0: 0, first: 0 });
    n.cut();

    n.output(all, "boxes");
    n.output(one, "scores");
    n.b.points.push(Point { scale: 0.0, agreement: 1.0, work: 1.0 });
    n.b.points.push(Point { scale: 1.0, agreement: 0.99, work: 0.1 });
    n.b.header.cost.dense_above = 0.5;
    n.b.cold = b"{}".to_vec();
    let at = At {
        conv,
        depthwise,
        add,
        max,
        avg,
        join,
        after_join,
        table,
        map,
        prelu,
        binary,
        constant,
        softmax,
        reduce,
        mean,
        peak,
        copy,
        index,
        bilinear,
        d2s,
        s2d,
        channels,
        permute,
        conv_f32,
        reshape,
        rows,
    };
    (n, at)
}
