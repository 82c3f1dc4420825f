use super::*;
use crate::exec;
use crate::ir::*;

mod norms;

struct Rng(u64);
impl Rng {
    /// Uniform in -1..1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    }
    fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

fn shape(h: usize, w: usize, c: usize) -> Shape {
    Shape { h, w, c }
}

/// Builds a graph node by node; tensor 0 is the input.
struct Builder(Graph, Rng);

impl Builder {
    fn new(s: Shape) -> Self {
        let mut g = Graph::default();
        g.tensors.push(Tensor { name: "x".into(), shape: s, codes: None, constant: None });
        g.inputs.push(Input {
            tensor: 0,
            name: "x".into(),
            onnx_shape: vec![1, s.h, s.w, s.c],
            onnx_type: ElementType::F32,
            axes: (Some(1), Some(2), Some(3)),
            codes: None,
        });
        Builder(g, Rng(7))
    }

    fn node(&mut self, op: Op, inputs: &[TensorId], s: Shape) -> TensorId {
        let output = self.0.tensors.len();
        let name = format!("n{output}");
        self.0.tensors.push(Tensor { name: name.clone(), shape: s, codes: None, constant: None });
        self.0.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    fn conv(&mut self, x: TensorId, oc: usize, k: usize, groups: usize) -> TensorId {
        let i = self.0.tensors[x].shape;
        let n = oc * k * k * i.c / groups;
        let gain = 1.7 / ((k * k * i.c / groups) as f32).sqrt();
        let pad = k / 2;
        let c = Conv {
            weights: self.1.vec(n).iter().map(|w| w * gain).collect(),
            bias: self.1.vec(oc).iter().map(|b| b * 0.1).collect(),
            oc,
            kh: k,
            kw: k,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad { t: pad, l: pad, b: pad, r: pad },
            groups,
            weight_scales: None,
        };
        self.node(Op::Conv(c), &[x], shape(i.h, i.w, oc))
    }

    fn unary(&mut self, x: TensorId, f: Unary) -> TensorId {
        let s = self.0.tensors[x].shape;
        self.node(Op::Unary(f), &[x], s)
    }

    fn relu(&mut self, x: TensorId) -> TensorId {
        self.unary(x, Unary::Clamp { lo: 0.0, hi: f32::INFINITY })
    }

    fn output(&mut self, t: TensorId) {
        let s = self.0.tensors[t].shape;
        self.0.outputs.push(Output {
            tensor: t,
            name: format!("y{t}"),
            onnx_shape: vec![s.h, s.w, s.c],
            strides: vec![s.w * s.c, s.c, 1],
            offset: 0,
            onnx_type: ElementType::F32,
            codes: None,
        });
    }

    fn frames(&mut self, n: usize) -> Vec<Vec<f32>> {
        let len = self.0.tensors[0].shape.len();
        (0..n).map(|_| self.1.vec(len)).collect()
    }
}

fn plan(g: &Graph, frames: &[Vec<f32>], opts: &Options) -> Plan {
    choose(g, &observe(g, frames.iter().cloned(), opts).unwrap(), opts).unwrap()
}

fn db(g: &Graph, p: &Plan, frames: &[Vec<f32>], t: TensorId) -> f32 {
    simulate(g, p, frames, false).unwrap().tensors[t].sqnr_db()
}

#[test]
fn zero_is_a_code_and_the_ends_fit() {
    for (lo, hi) in [(-1.0, 1.0), (-0.3, 6.0), (0.0, 5.0), (-2.0, 0.0), (0.5, 1.0), (-1e-3, 10.0), (-10.0, 1e-3)] {
        let q = Quant::from_range(lo, hi);
        assert_eq!(q.real(0, q.zero[0]), 0.0);
        let (a, b) = q.range(0);
        let step = q.scale[0];
        assert!(a <= lo.min(0.0) + 0.51 * step && b >= hi.max(0.0) - 0.51 * step, "{lo} {hi}: {a} {b}");
        for code in 0..=255 {
            assert_eq!(q.code(0, q.real(0, code)), code);
        }
    }
    assert_eq!(Quant::from_range(0.0, 5.0).zero, [0]);
    assert_eq!(Quant::from_range(-5.0, 0.0).zero, [255]);
    assert!(Quant::from_range(0.0, 0.0).scale[0] > 0.0);
}

#[test]
fn a_histogram_grows_without_losing_counts() {
    let mut r = Rng(3);
    let (mut h, mut all, mut zeros) = (Histogram::default(), Vec::new(), 0);
    let (mut lo, mut hi) = (0f32, 0f32);
    for round in 0..40 {
        let size = 1.3f32.powi(round) * if round % 2 == 0 { 1.0 } else { 0.01 };
        let values: Vec<f32> = r.vec(500).iter().map(|v| if v.abs() < 0.1 { 0.0 } else { (v + 0.4) * size }).collect();
        for &v in &values {
            (lo, hi) = (lo.min(v), hi.max(v));
        }
        zeros += h.add(&values, 1, lo, hi);
        all.extend(values);
    }
    assert_eq!(zeros as usize, all.iter().filter(|v| **v == 0.0).count());
    assert_eq!(h.counts.iter().sum::<u64>() + zeros, all.len() as u64);
    for cut in [-1000.0f32, -10.0, 0.0, 10.0, 1000.0, 20000.0] {
        let want = all.iter().filter(|v| **v != 0.0 && **v < cut).count() as i64;
        let got = h.bins().filter(|(v, _)| *v < cut).map(|(_, n)| n as i64).sum::<i64>();
        let near = all.iter().filter(|v| (**v - cut).abs() <= h.width).count() as i64;
        assert!((want - got).abs() <= near, "below {cut}: {got} counted, {want} are");
    }
}

#[test]
fn statistics_per_channel() {
    let mut b = Builder::new(shape(1, 2, 2));
    let y = b.unary(0, Unary::Neg);
    b.output(y);
    let frames = [vec![1.0, 0.0, 3.0, -4.0], vec![2.0, 0.0, -2.0, 0.0]];
    let s = observe(&b.0, frames.into_iter(), &Options::default()).unwrap();
    let t = &s.tensors[0];
    assert_eq!((t.min, t.max, t.zeros, t.count), (-4.0, 3.0, 3, 8));
    assert_eq!((&t.channel_min[..], &t.channel_max[..]), (&[-2.0, -4.0][..], &[3.0, 0.0][..]));
    assert_eq!((&t.channel_mean[..], &t.channel_mean_abs[..]), (&[1.0, -1.0][..], &[2.0, 1.0][..]));
    let e = observe(&b.0, [vec![f32::NAN; 4]].into_iter(), &Options::default()).unwrap_err();
    assert!(e.to_string().contains("not finite"), "{e}");
}

#[test]
fn methods_of_clipping() {
    let mut b = Builder::new(shape(100, 100, 1));
    let y = b.unary(0, Unary::Neg);
    b.output(y);
    let mut frame: Vec<f32> = b.1.vec(10000);
    frame[5] = 100.0;
    let s = observe(&b.0, [frame].into_iter(), &Options::default()).unwrap();
    let t = &s.tensors[0];
    assert_eq!(range::range(t, Method::MinMax, None).1, 100.0);
    let (lo, hi) = range::range(t, Method::Percentile(0.999), None);
    assert!((0.9..1.3).contains(&hi) && (-1.1..-0.9).contains(&lo), "{lo} {hi}");
    // One value in 10000 at 100: clipping it costs more than it wins.
    assert!(range::range(t, Method::Mse, None).1 > 80.0);
    // A sigmoid is flat there: clipping costs nothing.
    let (lo, hi) = range::range(t, Method::Mse, Some(Unary::Sigmoid));
    assert!(hi < 20.0 && lo < -0.8, "{lo} {hi}");
}

#[test]
fn a_function_after_a_move_decides_the_range() {
    let mut b = Builder::new(shape(4, 4, 3));
    let a = b.conv(0, 4, 3, 1);
    if let Op::Conv(c) = &mut b.0.nodes[0].op {
        c.weights.iter_mut().for_each(|w| *w *= 300.0);
    }
    let d = b.node(Op::DepthToSpace { block: 2 }, &[a], shape(8, 8, 1));
    let y = b.unary(d, Unary::Sigmoid);
    b.output(y);
    let frames = b.frames(4);
    let p = plan(&b.0, &frames, &Options::default());
    let (lo, hi) = p.quant(a).unwrap().range(0);
    assert!(hi - lo < 100.0, "{lo} {hi}: a sigmoid is flat there");
    assert_eq!(p.quant(a), p.quant(d));
}

#[test]
fn weights_of_a_source_model_come_back() {
    let mut r = Rng(5);
    let codes: Vec<i8> = (0..36).map(|_| (r.next() * 127.0) as i8).collect();
    let scales = vec![0.01, 0.2];
    let weights = codes.iter().enumerate().map(|(k, &c)| f32::from(c) * scales[k / 18]).collect();
    let conv = Conv {
        weights,
        bias: vec![0.0; 2],
        oc: 2,
        kh: 3,
        kw: 3,
        stride: (1, 1),
        dilation: (1, 1),
        pad: Pad::default(),
        groups: 1,
        weight_scales: Some(scales),
    };
    let q = quantise_weights(&conv, &Quant::per_tensor(0.5, 3));
    assert_eq!((q.codes, q.scale), (codes, vec![0.005, 0.1]));
}

#[test]
fn input_scales_fold_into_weights() {
    let mut r = Rng(6);
    for groups in [1, 2, 4] {
        let conv = Conv {
            weights: r.vec(8 * 9 * 4 / groups),
            bias: vec![0.0; 8],
            oc: 8,
            kh: 3,
            kw: 3,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad::default(),
            groups,
            weight_scales: None,
        };
        let input = Quant { scale: vec![0.1, 0.2, 0.05, 0.4], zero: vec![0; 4] };
        let q = quantise_weights(&conv, &input);
        let (icg, ocg) = (4 / groups, 8 / groups);
        for (k, &code) in q.codes.iter().enumerate() {
            let (o, i) = (k / (9 * icg), k % icg);
            let want = conv.weights[k] * input.scale[o / ocg * icg + i];
            let got = f32::from(code) * q.scale[o];
            assert!((want - got).abs() <= 0.51 * q.scale[o] || code.unsigned_abs() == 127, "{groups} {k}: {got} {want}");
        }
        let back = weights::dequantise(&conv, &input, &q);
        let noise: f32 = back.iter().zip(&conv.weights).map(|(a, b)| (a - b).powi(2)).sum();
        let signal: f32 = conv.weights.iter().map(|w| w * w).sum();
        assert!(noise < 1e-3 * signal, "{noise} {signal}");
    }
}

#[test]
fn a_branch_keeps_its_scale_through_concat_and_shuffle() {
    let mut b = Builder::new(shape(6, 6, 3));
    let a = b.conv(0, 4, 3, 1);
    let a = b.relu(a);
    let c = b.conv(a, 4, 3, 1);
    let c = b.unary(c, Unary::Silu);
    let p = b.node(
        Op::MaxPool(Window { kh: 3, kw: 3, stride: (1, 1), dilation: (1, 1), pad: Pad { t: 1, l: 1, b: 1, r: 1 } }),
        &[a],
        shape(6, 6, 4),
    );
    let j = b.node(Op::Concat(Axis::C), &[p, c], shape(6, 6, 8));
    let s = b.node(Op::Channels { index: vec![0, 4, 1, 5, 7] }, &[j], shape(6, 6, 5));
    let y = b.conv(s, 2, 1, 1);
    b.output(y);
    let frames = b.frames(4);
    let p_ = plan(&b.0, &frames, &Options::default());
    let q = |t: TensorId| p_.quant(t).unwrap();
    assert_eq!(q(p), q(a));
    assert_eq!(q(a), q(a - 1), "a convolution saturates at its clamp's codes");
    assert_eq!(q(a).zero, [0]);
    assert_ne!(q(c), q(c - 1), "a table function has codes of its own");
    let (sa, sc) = (q(a).scale[0], q(c).scale[0]);
    assert_ne!(sa, sc);
    assert_eq!(q(j).scale, [sa, sa, sa, sa, sc, sc, sc, sc]);
    assert_eq!(q(s).scale, [sa, sc, sa, sc, sc]);
    assert_eq!(q(s).zero[1], q(c).zero[0]);
    assert_eq!(p_.tensors[y], Some(Store::F32), "the last convolution writes f32");
    assert!(db(&b.0, &p_, &frames, y) > 30.0);
}

#[test]
fn mixed_channels_share_a_scale() {
    for op in ["height", "table", "reshape"] {
        let mut b = Builder::new(shape(4, 4, 2));
        let a = b.conv(0, 4, 1, 1);
        let c = b.conv(a, 4, 1, 1);
        let m = if op == "height" {
            b.node(Op::Concat(Axis::H), &[a, c], shape(8, 4, 4))
        } else {
            let j = b.node(Op::Concat(Axis::C), &[a, c], shape(4, 4, 8));
            if op == "table" { b.unary(j, Unary::Tanh) } else { b.node(Op::Reshape, &[j], shape(4, 8, 4)) }
        };
        let y = b.conv(m, 2, 1, 1);
        b.output(y);
        let frames = b.frames(3);
        let p = plan(&b.0, &frames, &Options::default());
        assert_eq!(p.quant(a), p.quant(c), "{op}");
        assert!(p.quant(m).unwrap().is_uniform(), "{op}");
        assert!(db(&b.0, &p, &frames, y) > 30.0, "{op}");
    }
}

#[test]
fn given_codes_are_kept() {
    let mut b = Builder::new(shape(4, 4, 3));
    let a = b.conv(0, 4, 3, 1);
    let y = b.conv(a, 2, 1, 1);
    b.output(y);
    b.0.tensors[a].codes = Some(Codes { scale: 0.125, zero: 7 });
    b.0.tensors[y].codes = Some(Codes { scale: 0.25, zero: 9 });
    let pixels = Quant { scale: vec![0.01, 0.02, 0.03], zero: vec![1, 2, 3] };
    let opts = Options { input_codes: vec![Some(pixels.clone())], ..Options::default() };
    let frames = b.frames(2);
    let p = plan(&b.0, &frames, &opts);
    assert_eq!(p.quant(0), Some(&pixels));
    assert_eq!(p.quant(a), Some(&Quant::per_tensor(0.125, 7)));
    assert_eq!(p.quant(y), Some(&Quant::per_tensor(0.25, 9)));
}

#[test]
fn the_tail_is_float_unless_it_moves_pixels() {
    let mut b = Builder::new(shape(4, 4, 3));
    let a = b.conv(0, 4, 3, 1);
    let a = b.relu(a);
    let y = b.conv(a, 4, 1, 1);
    let z = b.unary(y, Unary::Sigmoid);
    let soft = b.node(Op::Softmax, &[z], shape(4, 4, 4));
    b.output(soft);
    let up = b.conv(a, 12, 1, 1);
    let up = b.relu(up);
    let d = b.node(Op::DepthToSpace { block: 2 }, &[up], shape(8, 8, 3));
    b.output(d);
    let frames = b.frames(2);
    let p = plan(&b.0, &frames, &Options::default());
    for t in [y, z, soft] {
        assert_eq!(p.tensors[t], Some(Store::F32), "tensor {t}");
    }
    assert!(p.quant(a).is_some());
    assert!(p.quant(up).is_some());
    assert_eq!(p.quant(d), p.quant(up));
}

#[test]
fn constants_follow_their_readers() {
    let mut b = Builder::new(shape(2, 2, 3));
    let constant = |b: &mut Builder, s: Shape, v: Vec<f32>| {
        b.0.tensors.push(Tensor { name: "k".into(), shape: s, codes: None, constant: Some(v) });
        b.0.tensors.len() - 1
    };
    let k = constant(&mut b, shape(1, 1, 3), vec![0.5, -2.0, 0.0]);
    let m = b.node(Op::Binary(Binary::Mul), &[0, k], shape(2, 2, 3));
    let y = b.conv(m, 2, 1, 1);
    let l = constant(&mut b, shape(2, 2, 1), vec![1.0, 2.0, 3.0, 4.0]);
    let z = b.node(Op::Binary(Binary::Add), &[y, l], shape(2, 2, 2));
    b.output(z);
    let frames = b.frames(2);
    let p = plan(&b.0, &frames, &Options::default());
    let q = p.quant(k).unwrap();
    for (c, v) in [0.5, -2.0, 0.0].into_iter().enumerate() {
        assert!((q.real(c, q.code(c, v)) - v).abs() < 1e-6);
    }
    assert_eq!(p.tensors[l], Some(Store::F32));
}

/// The simulation against integer arithmetic spelled out: the same codes.
#[test]
fn the_simulation_is_the_integer_network() {
    let mut b = Builder::new(shape(5, 5, 3));
    let a = b.conv(0, 6, 3, 1);
    let r = b.relu(a);
    let d = b.conv(r, 6, 3, 6);
    let d = b.relu(d);
    let y = b.conv(d, 3, 1, 1);
    b.output(y);
    let frames = b.frames(3);
    let g = &b.0;
    let p = plan(g, &frames, &Options::default());
    let q = p.quant(0).unwrap();
    let mut codes: Vec<i32> = frames[0].iter().enumerate().map(|(k, &v)| i32::from(q.code(k % 3, v))).collect();
    let mut last = Vec::new();
    for (k, n) in g.nodes.iter().enumerate() {
        let Op::Conv(c) = &n.op else { continue };
        let (i, o) = (g.tensors[n.inputs[0]].shape, g.tensors[n.output].shape);
        let (input, w) = (p.quant(n.inputs[0]).unwrap(), p.integer_weights(g, k).unwrap());
        let (icg, ocg) = (i.c / c.groups, c.oc / c.groups);
        let mut next = Vec::new();
        last.clear();
        for at in 0..o.len() {
            let (oy, ox, oc) = (at / o.c / o.w, at / o.c % o.w, at % o.c);
            let mut acc = 0i32;
            for (tap, &code) in w.codes[oc * c.kh * c.kw * icg..][..c.kh * c.kw * icg].iter().enumerate() {
                let (ky, kx, ic) = (tap / icg / c.kw, tap / icg % c.kw, oc / ocg * icg + tap % icg);
                let (iy, ix) = ((oy + ky) as i32 - c.pad.t as i32, (ox + kx) as i32 - c.pad.l as i32);
                if iy >= 0 && ix >= 0 && iy < i.h as i32 && ix < i.w as i32 {
                    let v = codes[(iy as usize * i.w + ix as usize) * i.c + ic];
                    acc += i32::from(code) * (v - i32::from(input.zero_of(ic)));
                }
            }
            let real = acc as f32 * w.scale[oc] + c.bias[oc];
            last.push(real);
            if let Some(q) = p.quant(n.output) {
                next.push(i32::from(q.code(oc, real)));
            }
        }
        codes = next;
    }
    let mut simulated = Vec::new();
    let e = simulate(g, &p, &frames[..1], false).unwrap();
    let float = exec::run(g, &frames[..1]).unwrap()[y].clone().unwrap();
    let noise: f64 = float.iter().zip(&last).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    simulated.push(e.tensors[y].noise);
    assert!((noise / simulated[0] - 1.0).abs() < 0.01, "{noise} {}", simulated[0]);
}

/// Eight channels, each half of the one before, clamped and read by a depthwise convolution that evens them out. Also its input and output.
fn falling_channels() -> (Builder, TensorId, TensorId) {
    let mut b = Builder::new(shape(8, 8, 3));
    let a = b.conv(0, 8, 1, 1);
    if let Op::Conv(c) = &mut b.0.nodes[0].op {
        for o in 0..8 {
            let small = 0.5f32.powi(o as i32);
            c.weights[o * 3..o * 3 + 3].iter_mut().for_each(|w| *w *= small);
            c.bias[o] *= small;
        }
    }
    let r = b.relu(a);
    let d = b.conv(r, 8, 3, 8);
    if let Op::Conv(c) = &mut b.0.nodes[2].op {
        (0..8).for_each(|o| c.weights[o * 9..o * 9 + 9].iter_mut().for_each(|w| *w *= 2f32.powi(o as i32)));
    }
    b.output(d);
    (b, r, d)
}

#[test]
fn small_channels_before_a_depthwise_convolution_keep_their_precision() {
    let (mut b, r, d) = falling_channels();
    let frames = b.frames(4);
    let one = plan(&b.0, &frames, &Options { equalise: false, ..Options::default() });
    let each = plan(&b.0, &frames, &Options::default());
    assert_eq!(one.quant(r).unwrap().scale.len(), 1);
    let (one, each) = (db(&b.0, &one, &frames, d), db(&b.0, &each, &frames, d));
    assert!(each > one + 6.0, "{one} dB with one scale, {each} dB with one a channel");
}

#[test]
fn channels_that_every_frame_excites_are_narrowed_further() {
    let (mut b, r, _) = falling_channels();
    let steady = b.frames(16);
    let rare: Vec<Vec<f32>> =
        steady.iter().enumerate().map(|(k, f)| f.iter().map(|v| if k == 9 { *v } else { 0.01 * v }).collect()).collect();
    let narrowest = |frames: &[Vec<f32>]| {
        let p = plan(&b.0, frames, &Options::default());
        let scale = &p.quant(r).unwrap().scale;
        scale.iter().copied().fold(f32::INFINITY, f32::min) / scale.iter().copied().fold(0.0, f32::max)
    };
    let (all, one, few) = (narrowest(&steady), narrowest(&rare), narrowest(&steady[..7]));
    assert!((0.12..0.2).contains(&all), "{all}");
    assert!(one > 0.49 && few > 0.49, "{one} {few}");
}

#[test]
fn bias_correction_removes_the_mean_error() {
    let mut b = Builder::new(shape(8, 8, 3));
    let a = b.conv(0, 16, 3, 1);
    let a = b.relu(a);
    let y = b.conv(a, 8, 3, 1);
    b.output(y);
    let frames: Vec<Vec<f32>> = b.frames(6).into_iter().map(|f| f.iter().map(|v| v.abs() + 0.5).collect()).collect();
    let g = &b.0;
    let mut p = plan(g, &frames, &Options::default());
    let mean = |p: &Plan| {
        let s = simulate(g, p, &frames, false).unwrap();
        s.tensors[y].channel_mean_error.iter().map(|e| e.abs()).fold(0.0, f64::max)
    };
    let before = mean(&p);
    p.bias_shift = corrected_biases(g, &p, &frames).unwrap();
    let after = mean(&p);
    assert!(before > 1e-4 && after < 0.2 * before, "{before} {after}");
}

#[test]
fn layers_kept_in_float() {
    let mut b = Builder::new(shape(4, 4, 3));
    let a = b.conv(0, 4, 3, 1);
    let y = b.conv(a, 2, 1, 1);
    b.output(y);
    let frames = b.frames(2);
    let opts = Options { float_layers: vec!["n1".into()], ..Options::default() };
    let p = calibrate(&b.0, &frames, &opts).unwrap();
    assert_eq!(p.float_nodes, [0]);
    assert!(p.integer_weights(&b.0, 0).is_none() && p.integer_weights(&b.0, 1).is_some());
    assert!(p.layers[0].note.contains("f32"));
    let wrong = Options { float_layers: vec!["absent".into()], ..Options::default() };
    let e = calibrate(&b.0, &frames, &wrong).unwrap_err().to_string();
    assert!(e.contains("absent") && e.contains("n1"), "{e}");
}

#[test]
fn the_worst_layers_are_found_and_kept_in_float() {
    let mut b = Builder::new(shape(4, 4, 3));
    let a = b.conv(0, 4, 1, 1);
    let y = b.conv(a, 2, 1, 1);
    b.output(y);
    let mut frames = b.frames(2);
    frames.iter_mut().flatten().step_by(3).for_each(|x| *x = 0.0);
    let opts = Options { auto_float: true, equalise: false, ..Options::default() };
    assert!(calibrate(&b.0, &frames, &opts).unwrap().float_nodes.is_empty());
    // Weights of a silent channel take the whole range of the weights' codes.
    if let Op::Conv(c) = &mut b.0.nodes[0].op {
        c.weights.iter_mut().step_by(3).for_each(|w| *w = 1e4);
        c.bias.fill(0.0);
    }
    let p = calibrate(&b.0, &frames, &opts).unwrap();
    assert_eq!(p.float_nodes, [0], "{:?}", p.layers);
    assert!(p.notes.iter().any(|n| n.contains("n1: kept in f32")), "{:?}", p.notes);
}

#[test]
fn the_report_names_outliers_and_dead_channels() {
    let mut b = Builder::new(shape(6, 6, 3));
    let a = b.conv(0, 8, 1, 1);
    if let Op::Conv(c) = &mut b.0.nodes[0].op {
        c.weights[..3].iter_mut().for_each(|w| *w *= 1000.0);
        c.weights[9..12].fill(0.0);
        c.bias[3] = -1.0;
    }
    let r = b.relu(a);
    let y = b.conv(r, 2, 1, 1);
    b.output(y);
    let frames = b.frames(3);
    let p = calibrate(&b.0, &frames, &Options { equalise: false, ..Options::default() }).unwrap();
    let layer = p.layers.iter().find(|l| l.name == format!("n{r}")).unwrap();
    assert_eq!(layer.outlier_channels, [0]);
    assert!(layer.dead_channels >= 1 && layer.bits == 8);
    assert!(p.notes.iter().any(|n| n.contains("channels [0]")), "{:?}", p.notes);
    assert_eq!(p.outputs_sqnr_db.len(), 1);
    assert!(serde_json::to_string(&p.layers).unwrap().contains("sqnr_db"));
}

/// A small divisor next to large ones has code 0: what follows is no number, and no reason for a bias that is none.
#[test]
fn divisions_by_a_code_of_0_correct_no_bias() {
    let mut b = Builder::new(shape(4, 4, 1));
    let squares = b.node(Op::Unary(Unary::Pow { exponent: 2.0 }), &[0], shape(4, 4, 1));
    let ratio = b.node(Op::Binary(Binary::Div), &[0, squares], shape(4, 4, 1));
    let y = b.conv(ratio, 2, 3, 1);
    b.output(y);
    let mut frames = b.frames(4);
    frames.iter_mut().for_each(|f| f.iter_mut().enumerate().for_each(|(i, v)| *v = if i < 4 { 1e-3 } else { 1.0 + v.abs() }));
    let mut p = plan(&b.0, &frames, &Options::default());
    let error = &simulate(&b.0, &p, &frames, false).unwrap().tensors[y].channel_mean_error;
    assert!(error.iter().any(|e| !e.is_finite()), "{error:?}: the test could not fail");
    p.bias_shift = corrected_biases(&b.0, &p, &frames).unwrap();
    assert!(p.bias_shift.iter().flatten().all(|s| s.is_finite()), "{:?}", p.bias_shift);
}
