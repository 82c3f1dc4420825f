//! Each operator against its formula, written the slow way.

use super::*;
use crate::ir::*;

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    }
    fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next().abs() * n as f32) as usize % n
    }
}

fn shape(h: usize, w: usize, c: usize) -> Shape {
    Shape { h, w, c }
}

fn tensor(shape: Shape) -> Tensor {
    Tensor { name: "t".into(), shape, codes: None, constant: None }
}

fn one(op: Op, inputs: &[(Shape, Vec<f32>)], o: Shape) -> Result<Vec<f32>> {
    let mut g = Graph::default();
    for (k, (s, _)) in inputs.iter().enumerate() {
        g.tensors.push(tensor(*s));
        g.inputs.push(Input {
            tensor: k,
            name: format!("in{k}"),
            onnx_shape: vec![],
            onnx_type: ElementType::F32,
            axes: (None, None, None),
            codes: None,
        });
    }
    g.tensors.push(tensor(o));
    let out = inputs.len();
    g.nodes.push(Node { name: "n".into(), op, inputs: (0..out).collect(), output: out });
    let values: Vec<_> = inputs.iter().map(|(_, v)| v.clone()).collect();
    Ok(run(&g, &values)?[out].clone().unwrap())
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "element {i}: {a} against {b}");
    }
}

fn naive_conv(c: &Conv, i: Shape, x: &[f32], o: Shape) -> Vec<f32> {
    let (icg, ocg) = (i.c / c.groups, c.oc / c.groups);
    let mut y = Vec::new();
    for oy in 0..o.h {
        for ox in 0..o.w {
            for oc in 0..c.oc {
                let mut sum = f64::from(c.bias[oc]);
                for ky in 0..c.kh {
                    for kx in 0..c.kw {
                        for k in 0..icg {
                            let iy = (oy * c.stride.0 + ky * c.dilation.0) as isize - c.pad.t as isize;
                            let ix = (ox * c.stride.1 + kx * c.dilation.1) as isize - c.pad.l as isize;
                            if iy >= 0 && ix >= 0 && (iy as usize) < i.h && (ix as usize) < i.w {
                                let v = x[(iy as usize * i.w + ix as usize) * i.c + oc / ocg * icg + k];
                                sum += f64::from(v) * f64::from(c.weights[((oc * c.kh + ky) * c.kw + kx) * icg + k]);
                            }
                        }
                    }
                }
                y.push(sum as f32);
            }
        }
    }
    y
}

#[test]
fn convolutions() {
    let mut r = Rng(1);
    for round in 0..300 {
        let groups = [1, 1, 2, 3][r.below(4)];
        let (mut icg, mut ocg, mut groups) = (1 + r.below(9), 1 + r.below(9), groups);
        match round % 4 {
            0 => (icg, ocg, groups) = (1, 1, 2 + r.below(40)),
            1 => (icg, ocg, groups) = (1, 2 + r.below(3), 2 + r.below(9)),
            _ => {}
        }
        let i = shape(1 + r.below(9), 1 + r.below(9), icg * groups);
        let (kh, kw) = (1 + r.below(4), 1 + r.below(4));
        let (stride, dilation) = ((1 + r.below(3), 1 + r.below(3)), (1 + r.below(3), 1 + r.below(3)));
        let pad = Pad { t: r.below(4), l: r.below(4), b: r.below(4), r: r.below(4) };
        let extent = |n: usize, k: usize, d: usize, s: usize| n.checked_sub((k - 1) * d + 1).map(|v| v / s + 1);
        let (Some(h), Some(w)) =
            (extent(i.h + pad.t + pad.b, kh, dilation.0, stride.0), extent(i.w + pad.l + pad.r, kw, dilation.1, stride.1))
        else {
            continue;
        };
        let oc = ocg * groups;
        let c =
            Conv { weights: r.vec(oc * kh * kw * icg), bias: r.vec(oc), oc, kh, kw, stride, dilation, pad, groups, weight_scales: None };
        let (o, x) = (shape(h, w, oc), r.vec(i.len()));
        let want = naive_conv(&c, i, &x, o);
        close(&one(Op::Conv(c), &[(i, x)], o).unwrap(), &want, 1e-5);
    }
}

#[test]
fn large_convolutions_cross_blocks() {
    let mut r = Rng(2);
    for (i, k, pad, groups, oc) in [(shape(40, 50, 24), 3, 1, 1, 20), (shape(30, 30, 64), 1, 0, 1, 33), (shape(7, 5, 16), 0, 0, 1, 10)] {
        let (kh, kw) = if k == 0 { (i.h, i.w) } else { (k, k) };
        let c = Conv {
            weights: r.vec(oc * kh * kw * i.c / groups),
            bias: r.vec(oc),
            oc,
            kh,
            kw,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad { t: pad, l: pad, b: pad, r: pad },
            groups,
            weight_scales: None,
        };
        let o = shape(i.h + 2 * pad + 1 - kh, i.w + 2 * pad + 1 - kw, oc);
        let x = r.vec(i.len());
        let want = naive_conv(&c, i, &x, o);
        close(&one(Op::Conv(c), &[(i, x)], o).unwrap(), &want, 2e-5);
    }
}

const ALL: [Unary; 24] = [
    Unary::Clamp { lo: 0.0, hi: 6.0 },
    Unary::LeakyRelu { alpha: 0.1 },
    Unary::Sigmoid,
    Unary::Tanh,
    Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Unary::HardSwish,
    Unary::Silu,
    Unary::Mish,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Erf,
    Unary::Softplus,
    Unary::Elu { alpha: 1.5 },
    Unary::Exp,
    Unary::Log,
    Unary::Sqrt,
    Unary::Reciprocal,
    Unary::Abs,
    Unary::Neg,
    Unary::Floor,
    Unary::Ceil,
    Unary::Pow { exponent: 2.0 },
    Unary::Pow { exponent: 0.5 },
    Unary::Clamp { lo: f32::NEG_INFINITY, hi: 1.0 },
];

#[test]
fn map_functions_follow_the_scalar_ones() {
    let x: Vec<f32> = (0..4001).map(|i| (i as f32 - 2000.0) / 23.0).collect();
    let positive: Vec<f32> = x.iter().map(|v| v.abs() + 1e-3).collect();
    for f in ALL {
        let x = if matches!(f, Unary::Log | Unary::Sqrt | Unary::Reciprocal | Unary::Pow { .. }) { &positive } else { &x };
        let mut y = vec![0.0; x.len()];
        unary_map(f, x, &mut y);
        for (x, y) in x.iter().zip(&y) {
            let want = unary(f, *x);
            assert!((y - want).abs() <= 1e-6 * want.abs() + 1e-8 * x.abs().max(1.0), "{f:?}({x}) = {y}, should be {want}");
        }
    }
}

#[test]
fn scalar_functions_have_known_values() {
    for (f, x, want) in [
        (Unary::Sigmoid, 0.0, 0.5),
        (Unary::Sigmoid, -200.0, 0.0),
        (Unary::Silu, 1.0, 0.731_058_6),
        (Unary::HardSwish, 1.0, 0.666_666_7),
        (Unary::HardSwish, -3.5, 0.0),
        (Unary::Mish, 1.0, 0.865_098_4),
        (Unary::Gelu, 1.0, 0.841_344_7),
        (Unary::Gelu, -2.0, -0.045_500_264),
        (Unary::GeluTanh, 1.0, 0.841_192),
        (Unary::Erf, 0.5, 0.520_499_9),
        (Unary::Erf, -3.0, -0.999_977_9),
        (Unary::Softplus, 100.0, 100.0),
        (Unary::Softplus, 0.0, std::f32::consts::LN_2),
        (Unary::Elu { alpha: 2.0 }, -1.0, -1.264_241_1),
        (Unary::Clamp { lo: 0.0, hi: f32::INFINITY }, -1.0, 0.0),
        (Unary::Pow { exponent: 3.0 }, -2.0, -8.0),
        (Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, 1.0, 0.7),
    ] {
        let y = unary(f, x);
        assert!((y - want).abs() <= 1e-6 * want.abs().max(1.0), "{f:?}({x}) = {y}, should be {want}");
    }
}

#[test]
fn exponential_at_its_ends() {
    let mut y = [0.0; 4];
    unary_map(Unary::Exp, &[-1000.0, 88.7, 89.0, 0.0], &mut y);
    assert!(y[0] >= 0.0 && y[0] < 1e-37, "{}", y[0]);
    assert!((y[1] / 88.7f32.exp() - 1.0).abs() < 1e-5, "{}", y[1]);
    assert_eq!((y[2], y[3]), (f32::INFINITY, 1.0));
}

#[test]
fn broadcasting() {
    let mut r = Rng(3);
    let o = shape(3, 4, 5);
    for code in 0..64usize {
        let pick = |bit: usize, n: usize| if code >> bit & 1 == 1 { n } else { 1 };
        let sa = shape(pick(0, 3), pick(1, 4), pick(2, 5));
        let sb = shape(pick(3, 3), pick(4, 4), pick(5, 5));
        let (a, b) = (r.vec(sa.len()), r.vec(sb.len()));
        let at = |s: Shape, v: &[f32], y: usize, x: usize, c: usize| v[((y % s.h) * s.w + x % s.w) * s.c + c % s.c];
        for (op, f) in [
            (Binary::Add, (|a, b| a + b) as fn(f32, f32) -> f32),
            (Binary::Sub, |a, b| a - b),
            (Binary::Mul, |a, b| a * b),
            (Binary::Div, |a, b| a / b),
            (Binary::Min, f32::min),
            (Binary::Max, f32::max),
        ] {
            let mut want = Vec::new();
            for n in 0..o.len() {
                let (y, x, c) = (n / 20, n / 5 % 4, n % 5);
                want.push(f(at(sa, &a, y, x, c), at(sb, &b, y, x, c)));
            }
            let got = one(Op::Binary(op), &[(sa, a.clone()), (sb, b.clone())], o).unwrap();
            assert_eq!(got, want, "{op:?} {sa:?} {sb:?}");
        }
    }
}

#[test]
fn pooling() {
    let mut r = Rng(4);
    for _ in 0..200 {
        let i = shape(2 + r.below(8), 2 + r.below(8), 1 + r.below(5));
        let w = Window {
            kh: 1 + r.below(3),
            kw: 1 + r.below(3),
            stride: (1 + r.below(3), 1 + r.below(3)),
            dilation: (1 + r.below(2), 1 + r.below(2)),
            pad: Pad { t: r.below(2), l: r.below(2), b: r.below(2), r: r.below(2) },
        };
        let x = r.vec(i.len());
        let extent = |n: usize, k: usize, d: usize, s: usize| n.checked_sub((k - 1) * d + 1).map_or(1, |v| v / s + 1);
        let o = shape(
            extent(i.h + w.pad.t + w.pad.b, w.kh, w.dilation.0, w.stride.0),
            extent(i.w + w.pad.l + w.pad.r, w.kw, w.dilation.1, w.stride.1),
            i.c,
        );
        let window = |oy: usize, ox: usize, c: usize| {
            let mut v = Vec::new();
            for ky in 0..w.kh {
                for kx in 0..w.kw {
                    let y = (oy * w.stride.0 + ky * w.dilation.0) as isize - w.pad.t as isize;
                    let x_ = (ox * w.stride.1 + kx * w.dilation.1) as isize - w.pad.l as isize;
                    if (0..i.h as isize).contains(&y) && (0..i.w as isize).contains(&x_) {
                        v.push(x[(y as usize * i.w + x_ as usize) * i.c + c]);
                    }
                }
            }
            v
        };
        let at = |n: usize| (n / i.c / o.w, n / i.c % o.w, n % i.c);
        let all: Vec<Vec<f32>> = (0..o.len()).map(|n| window(at(n).0, at(n).1, at(n).2)).collect();
        if all.iter().any(Vec::is_empty) {
            assert!(one(Op::MaxPool(w), &[(i, x.clone())], o).is_err());
            continue;
        }
        let max: Vec<f32> = all.iter().map(|v| v.iter().copied().fold(f32::MIN, f32::max)).collect();
        close(&one(Op::MaxPool(w), &[(i, x.clone())], o).unwrap(), &max, 0.0);
        for count_pad in [false, true] {
            let mean = |v: &Vec<f32>| v.iter().sum::<f32>() / if count_pad { w.kh * w.kw } else { v.len() } as f32;
            let want: Vec<f32> = all.iter().map(mean).collect();
            close(&one(Op::AvgPool { window: w, count_pad }, &[(i, x.clone())], o).unwrap(), &want, 1e-6);
        }
    }
    let s = shape(3, 2, 2);
    let x = vec![1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0, 5.0, -5.0, 9.0, -6.0];
    assert_eq!(one(Op::GlobalAvgPool, &[(s, x.clone())], shape(1, 1, 2)).unwrap(), [4.0, -3.5]);
    assert_eq!(one(Op::GlobalMaxPool, &[(s, x)], shape(1, 1, 2)).unwrap(), [9.0, -1.0]);
}

#[test]
fn joining() {
    let (a, b) = (shape(2, 2, 1), shape(2, 2, 2));
    let (x, y) = (vec![1., 2., 3., 4.], vec![5., 6., 7., 8., 9., 10., 11., 12.]);
    assert_eq!(
        one(Op::Concat(Axis::C), &[(a, x.clone()), (b, y.clone())], shape(2, 2, 3)).unwrap(),
        [1., 5., 6., 2., 7., 8., 3., 9., 10., 4., 11., 12.]
    );
    assert_eq!(
        one(Op::Concat(Axis::W), &[(a, x.clone()), (shape(2, 1, 1), vec![5., 6.])], shape(2, 3, 1)).unwrap(),
        [1., 2., 5., 3., 4., 6.]
    );
    assert_eq!(one(Op::Concat(Axis::H), &[(a, x), (shape(1, 2, 1), vec![5., 6.])], shape(3, 2, 1)).unwrap(), [1., 2., 3., 4., 5., 6.]);
}

#[test]
fn moving_values() {
    let s = shape(2, 2, 2);
    let x: Vec<f32> = (0..8).map(|v| v as f32).collect();
    let put = |op: Op, o: Shape| one(op, &[(s, x.clone())], o).unwrap();
    assert_eq!(
        put(Op::Index { ys: vec![1, -1], xs: vec![0, 0, 1], fill: 9.0 }, shape(2, 3, 2)),
        [4., 5., 4., 5., 6., 7., 9., 9., 9., 9., 9., 9.]
    );
    assert_eq!(put(Op::Channels { index: vec![1, 1, 0] }, shape(2, 2, 3)), [1., 1., 0., 3., 3., 2., 5., 5., 4., 7., 7., 6.]);
    assert_eq!(put(Op::Reshape, shape(1, 8, 1)), x[..]);
    assert_eq!(put(Op::Permute { index: vec![7, 0] }, shape(1, 1, 2)), [7., 0.]);
    assert_eq!(put(Op::ReduceChannels { mean: false }, shape(2, 2, 1)), [1., 5., 9., 13.]);
    assert_eq!(put(Op::ReduceChannels { mean: true }, shape(2, 2, 1)), [0.5, 2.5, 4.5, 6.5]);
    assert_eq!(put(Op::SpaceToDepth { block: 2 }, shape(1, 1, 8)), x[..]);
    assert_eq!(put(Op::PRelu { slope: vec![2.0, 3.0] }, s), x[..]);
    assert_eq!(one(Op::PRelu { slope: vec![2., 3.] }, &[(shape(1, 1, 2), vec![-1., -1.])], shape(1, 1, 2)).unwrap(), [-2., -3.]);
    let lerp = |lo, hi, t| Lerp { lo, hi, t };
    let y = put(Op::Bilinear { ys: vec![lerp(0, 1, 0.25)], xs: vec![lerp(0, 0, 0.0), lerp(0, 1, 0.5)] }, shape(1, 2, 2));
    assert_eq!(y, [1., 2., 2., 3.]);
    let soft = put(Op::Softmax, s);
    for pair in soft.chunks(2) {
        close(pair, &[1.0 / (1.0 + 1f32.exp()), 1.0 / (1.0 + (-1f32).exp())], 1e-6);
    }
}

#[test]
fn depth_and_space() {
    let mut r = Rng(5);
    let (coarse, fine, b) = (shape(3, 2, 12), shape(6, 4, 3), 2);
    let x = r.vec(coarse.len());
    let up = one(Op::DepthToSpace { block: b }, &[(coarse, x.clone())], fine).unwrap();
    for n in 0..fine.len() {
        let (v, u, c) = (n / 12, n / 3 % 4, n % 3);
        let (i, j) = (v % b, u % b);
        assert_eq!(up[n], x[((v / b) * 2 + u / b) * 12 + (i * b + j) * 3 + c]);
    }
    assert_eq!(one(Op::SpaceToDepth { block: b }, &[(fine, up)], coarse).unwrap(), x);
}

#[test]
fn outputs_are_gathered_by_strides() {
    let o = Output {
        tensor: 0,
        name: "y".into(),
        onnx_shape: vec![1, 3, 2, 2],
        strides: vec![0, 1, 6, 3],
        offset: 0,
        onnx_type: ElementType::F32,
        codes: None,
    };
    let map: Vec<f32> = (0..12).map(|v| v as f32).collect();
    assert_eq!(output(&o, &map), [0., 3., 6., 9., 1., 4., 7., 10., 2., 5., 8., 11.]);
}

/// A chain with a side branch, so that buffers are freed and reused while others live.
fn chain() -> Graph {
    let s = shape(4, 4, 3);
    let mut g = Graph { tensors: (0..6).map(|_| tensor(s)).collect(), ..Graph::default() };
    g.inputs.push(Input {
        tensor: 0,
        name: "x".into(),
        onnx_shape: vec![],
        onnx_type: ElementType::F32,
        axes: (None, None, None),
        codes: None,
    });
    let node = |op, inputs, output| Node { name: format!("n{output}"), op, inputs, output };
    g.nodes = vec![
        node(Op::Unary(Unary::Abs), vec![0], 1),
        node(Op::Unary(Unary::Neg), vec![1], 2),
        node(Op::Unary(Unary::Exp), vec![2], 3),
        node(Op::Binary(Binary::Add), vec![3, 1], 4),
        node(Op::Unary(Unary::Tanh), vec![4], 5),
    ];
    g.outputs.push(Output {
        tensor: 5,
        name: "y".into(),
        onnx_shape: vec![4, 4, 3],
        strides: vec![12, 3, 1],
        offset: 0,
        onnx_type: ElementType::F32,
        codes: None,
    });
    g
}

#[test]
fn frames_reuse_buffers_without_mixing_values() {
    let g = chain();
    let mut e = Executor::new(&g).unwrap();
    let mut r = Rng(6);
    for _ in 0..5 {
        let x = vec![r.vec(48)];
        let want = run(&g, &x).unwrap();
        let mut seen = Vec::new();
        e.run_with(&x, |t, v| {
            assert_eq!(Some(v), want[t].as_deref());
            seen.push(t);
        })
        .unwrap();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
        assert_eq!(e.value(5), want[5].as_deref());
        assert_eq!(e.outputs(), [want[5].clone().unwrap()]);
        assert_eq!(e.value(2), None);
    }
    assert!(e.free.len() <= 6);
}

#[test]
fn a_hook_changes_what_follows() {
    let g = chain();
    let mut e = Executor::new(&g).unwrap();
    e.run_hooked(&[vec![1.0; 48]], |t, v| {
        if t == 4 {
            v.fill(0.0);
        }
    })
    .unwrap();
    assert_eq!(e.value(5), Some(&[0.0; 48][..]));
}

#[test]
fn faulty_graphs_are_refused_by_name() {
    let mut g = chain();
    g.tensors[3].shape = shape(4, 4, 2);
    let e = format!("{:#}", Executor::new(&g).err().unwrap());
    assert!(e.contains("n3"), "{e}");
    let mut g = chain();
    g.nodes.swap(0, 1);
    assert!(Executor::new(&g).err().unwrap().to_string().contains("before it is written"));
    let mut g = chain();
    g.outputs[0].offset = 1;
    assert!(Executor::new(&g).err().unwrap().to_string().contains("outside its map"));
    assert!(Executor::new(&chain()).unwrap().run(&[vec![0.0; 47]]).is_err());
}
