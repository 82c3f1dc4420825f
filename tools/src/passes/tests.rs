//! Graph in, text out: one small graph a pass.

use super::run_checked;
use crate::exec;
use crate::ir::{Axis, Binary, Codes, Conv, ElementType, Graph, Input, Node, Op, Output, Pad, Shape, Tensor, TensorId, Unary, Window};

/// A graph under construction; tensor 0 is its input.
struct Build(Graph);

impl Build {
    fn new(h: usize, w: usize, c: usize) -> Build {
        let mut b = Build(Graph::default());
        let tensor = b.tensor(h, w, c);
        b.0.inputs.push(Input {
            tensor,
            name: "x".into(),
            onnx_shape: vec![1, h, w, c],
            onnx_type: ElementType::F32,
            axes: (Some(1), Some(2), Some(3)),
            codes: None,
        });
        b
    }

    fn tensor(&mut self, h: usize, w: usize, c: usize) -> TensorId {
        let name = format!("t{}", self.0.tensors.len());
        self.0.tensors.push(Tensor { name, shape: Shape { h, w, c }, codes: None, constant: None });
        self.0.tensors.len() - 1
    }

    fn constant(&mut self, values: &[f32]) -> TensorId {
        let t = self.tensor(1, 1, values.len());
        self.0.tensors[t].constant = Some(values.to_vec());
        t
    }

    fn node(&mut self, op: Op, inputs: &[TensorId], (h, w, c): (usize, usize, usize)) -> TensorId {
        let output = self.tensor(h, w, c);
        self.0.nodes.push(Node { name: format!("n{output}"), op, inputs: inputs.to_vec(), output });
        output
    }

    /// The operators left after all passes, whose result on a fixed input must not change.
    fn passed(mut self, output: TensorId) -> (Graph, Vec<String>) {
        let Shape { h, w, c } = self.0.tensors[output].shape;
        self.0.outputs.push(Output {
            tensor: output,
            name: "y".into(),
            onnx_shape: vec![1, h, w, c],
            strides: vec![0, w * c, c, 1],
            offset: 0,
            onnx_type: ElementType::F32,
            codes: None,
        });
        let x: Vec<f32> = ramp(self.0.tensors[0].shape.len());
        let value = |g: &Graph| exec::run(g, std::slice::from_ref(&x)).unwrap()[g.outputs[0].tensor].clone().unwrap();
        let before = value(&self.0);
        run_checked(&mut self.0).unwrap();
        let after = value(&self.0);
        assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(&after) {
            assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()), "{a} became {b} in\n{}", self.0);
        }
        let text = self.0.nodes.iter().map(|n| n.op.to_string()).collect();
        (self.0, text)
    }
}

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 29 + 7) % 64) as f32 / 16.0 - 2.0).collect()
}

fn conv(oc: usize, k: usize, ic: usize, pad: usize, groups: usize) -> Op {
    Op::Conv(Conv {
        weights: ramp(oc * k * k * ic / groups),
        bias: ramp(oc),
        oc,
        kh: k,
        kw: k,
        stride: (1, 1),
        dilation: (1, 1),
        pad: Pad { t: pad, l: pad, b: pad, r: pad },
        groups,
        weight_scales: None,
    })
}

fn clamp(lo: f32, hi: f32) -> Op {
    Op::Unary(Unary::Clamp { lo, hi })
}

#[test]
fn batch_norm_folds_into_dense_and_depthwise() {
    for groups in [1, 3] {
        let mut b = Build::new(4, 5, 3);
        let c = b.node(conv(3, 3, 3, 1, groups), &[0], (4, 5, 3));
        let (f, s) = (b.constant(&[2.0, -1.0, 0.5]), b.constant(&[1.0, 2.0, 3.0]));
        let m = b.node(Op::Binary(Binary::Mul), &[c, f], (4, 5, 3));
        let a = b.node(Op::Binary(Binary::Add), &[s, m], (4, 5, 3));
        assert_eq!(b.passed(a).1.len(), 1);
    }
}

#[test]
fn a_coded_tensor_is_not_folded_away() {
    let mut b = Build::new(4, 5, 3);
    let c = b.node(conv(3, 1, 3, 0, 1), &[0], (4, 5, 3));
    b.0.tensors[c].codes = Some(Codes { scale: 0.1, zero: 7 });
    let f = b.constant(&[2.0]);
    let m = b.node(Op::Binary(Binary::Mul), &[c, f], (4, 5, 3));
    assert_eq!(b.passed(m).1, ["Conv 1x1", "Mul"]);
}

#[test]
fn input_shift_stays_where_windows_touch_padding() {
    for (pad, left) in [(0, vec!["Conv 3x3"]), (1, vec!["Sub", "Conv 3x3 pad 1,1,1,1"])] {
        let mut b = Build::new(4, 5, 3);
        let (mean, scale) = (b.constant(&[0.5, 1.0, 1.5]), b.constant(&[2.0, 4.0, 8.0]));
        let s = b.node(Op::Binary(Binary::Sub), &[0, mean], (4, 5, 3));
        let d = b.node(Op::Binary(Binary::Div), &[s, scale], (4, 5, 3));
        let y = b.node(conv(2, 3, 3, pad, 1), &[d], (2 + 2 * pad, 3 + 2 * pad, 2));
        assert_eq!(b.passed(y).1, left);
    }
}

#[test]
fn activations_are_recognised() {
    let shape = (2, 2, 3);
    let mut b = Build::new(2, 2, 3);
    let s = b.node(Op::Unary(Unary::Sigmoid), &[0], shape);
    let y = b.node(Op::Binary(Binary::Mul), &[0, s], shape);
    assert_eq!(b.passed(y).1, ["Silu"]);

    let mut b = Build::new(2, 2, 3);
    let s = b.node(Op::Unary(Unary::Softplus), &[0], shape);
    let t = b.node(Op::Unary(Unary::Tanh), &[s], shape);
    let y = b.node(Op::Binary(Binary::Mul), &[t, 0], shape);
    assert_eq!(b.passed(y).1, ["Mish"]);

    let mut b = Build::new(2, 2, 3);
    let (three, six) = (b.constant(&[3.0]), b.constant(&[6.0]));
    let a = b.node(Op::Binary(Binary::Add), &[0, three], shape);
    let c = b.node(clamp(0.0, 6.0), &[a], shape);
    let m = b.node(Op::Binary(Binary::Mul), &[0, c], shape);
    let y = b.node(Op::Binary(Binary::Div), &[m, six], shape);
    assert_eq!(b.passed(y).1, ["HardSwish"]);

    let mut b = Build::new(2, 2, 3);
    let (root, one, half) = (b.constant(&[2f32.sqrt()]), b.constant(&[1.0]), b.constant(&[0.5]));
    let d = b.node(Op::Binary(Binary::Div), &[0, root], shape);
    let e = b.node(Op::Unary(Unary::Erf), &[d], shape);
    let a = b.node(Op::Binary(Binary::Add), &[e, one], shape);
    let m = b.node(Op::Binary(Binary::Mul), &[0, a], shape);
    let y = b.node(Op::Binary(Binary::Mul), &[m, half], shape);
    assert_eq!(b.passed(y).1, ["Gelu"]);
}

#[test]
fn minima_and_maxima_become_one_clamp() {
    let mut b = Build::new(2, 2, 3);
    let (zero, six) = (b.constant(&[0.0]), b.constant(&[1.5]));
    let m = b.node(Op::Binary(Binary::Max), &[0, zero], (2, 2, 3));
    let y = b.node(Op::Binary(Binary::Min), &[six, m], (2, 2, 3));
    assert_eq!(b.passed(y).1, ["Clamp { lo: 0.0, hi: 1.5 }"]);
}

#[test]
fn pads_join_the_window_behind_them() {
    let border = |n: i32| [-1].into_iter().chain(0..n).chain([-1]).collect::<Vec<_>>();
    let pad = || Op::Index { ys: border(4), xs: border(5), fill: 0.0 };
    let mut b = Build::new(4, 5, 2);
    let p = b.node(pad(), &[0], (6, 7, 2));
    let y = b.node(conv(2, 3, 2, 0, 2), &[p], (4, 5, 2));
    assert_eq!(b.passed(y).1, ["Conv 3x3 pad 1,1,1,1 groups 2"]);

    // Zeros are the least value only behind a Relu.
    let window = Window { kh: 3, kw: 3, stride: (1, 1), dilation: (1, 1), pad: Pad::default() };
    for (relu, left) in [(true, 2), (false, 2)] {
        let mut b = Build::new(4, 5, 2);
        let x = if relu { b.node(clamp(0.0, f32::INFINITY), &[0], (4, 5, 2)) } else { 0 };
        let p = b.node(pad(), &[x], (6, 7, 2));
        let y = b.node(Op::MaxPool(window), &[p], (4, 5, 2));
        let text = b.passed(y).1;
        assert_eq!(text.len(), left);
        assert_eq!(text[1] == "MaxPool 3x3 pad 1,1,1,1", relu, "{text:?}");
    }
}

#[test]
fn pixel_blocks_become_a_strided_conv() {
    let mut b = Build::new(8, 12, 3);
    let s = b.node(Op::SpaceToDepth { block: 2 }, &[0], (4, 6, 12));
    let y = b.node(conv(5, 3, 12, 1, 1), &[s], (4, 6, 5));
    assert_eq!(b.passed(y).1, ["Conv 6x6 s2 pad 2,2,2,2"]);
}

#[test]
fn channel_orders_join_convs() {
    let mut b = Build::new(3, 3, 3);
    let p = b.node(Op::Channels { index: vec![2, 1, 0] }, &[0], (3, 3, 3));
    let y = b.node(conv(4, 3, 3, 0, 1), &[p], (1, 1, 4));
    assert_eq!(b.passed(y).1, ["Conv 3x3"]);

    let mut b = Build::new(3, 3, 3);
    let c = b.node(conv(6, 1, 3, 0, 1), &[0], (3, 3, 6));
    let r = b.node(clamp(0.0, 1.0), &[c], (3, 3, 6));
    let y = b.node(Op::Channels { index: vec![5, 0, 3] }, &[r], (3, 3, 3));
    assert_eq!(b.passed(y).1, ["Conv 1x1", "Clamp { lo: 0.0, hi: 1.0 }"]);
}

#[test]
fn whole_pools_concats_identities_and_constants() {
    let mut b = Build::new(3, 4, 2);
    let window = Window { kh: 3, kw: 4, stride: (3, 4), dilation: (1, 1), pad: Pad::default() };
    let y = b.node(Op::AvgPool { window, count_pad: false }, &[0], (1, 1, 2));
    assert_eq!(b.passed(y).1, ["GlobalAvgPool"]);

    let mut b = Build::new(3, 4, 2);
    let n = b.node(Op::Unary(Unary::Neg), &[0], (3, 4, 2));
    let i = b.node(Op::Concat(Axis::C), &[0, n], (3, 4, 4));
    let y = b.node(Op::Concat(Axis::C), &[i, n], (3, 4, 6));
    let (graph, text) = b.passed(y);
    assert_eq!(text, ["Neg", "Concat C"]);
    assert_eq!(graph.nodes[1].inputs.len(), 3);

    let mut b = Build::new(3, 4, 2);
    let r = b.node(Op::Reshape, &[0], (4, 3, 2));
    let q = b.node(Op::Reshape, &[r], (3, 4, 2));
    let (one, two) = (b.constant(&[1.0]), b.constant(&[-2.0]));
    let k = b.node(Op::Binary(Binary::Mul), &[one, two], (1, 1, 1));
    let y = b.node(Op::Binary(Binary::Mul), &[q, k], (3, 4, 2));
    let (graph, text) = b.passed(y);
    assert_eq!(text, ["Mul"]);
    let text = graph.to_string();
    assert!(text.lines().nth(1).is_some_and(|l| l.contains("[3, 4, 2] = Mul (%0, -2)")), "{text}");
}

#[test]
fn constants_joined_to_maps_are_made_by_nodes() {
    for (axis, (h, w, c), out) in [(Axis::C, (2, 3, 4), (2, 3, 6)), (Axis::H, (1, 3, 2), (3, 3, 2)), (Axis::W, (2, 2, 2), (2, 5, 2))] {
        let mut b = Build::new(2, 3, 2);
        let map = b.tensor(h, w, c);
        b.0.tensors[map].constant = Some(ramp(h * w * c));
        let y = b.node(Op::Concat(axis), &[map, 0], out);
        let (g, text) = b.passed(y);
        let joins = |n: &&Node| matches!(n.op, Op::Concat(_));
        assert!(g.nodes.iter().filter(joins).all(|n| n.inputs.iter().all(|i| g.tensors[*i].constant.is_none())), "{text:?}\n{g}");
    }
}

#[test]
fn lines_are_repeated_over_maps() {
    // A constant line becomes a constant map, a computed column an Index.
    let mut b = Build::new(4, 5, 3);
    let line = b.tensor(1, 5, 3);
    b.0.tensors[line].constant = Some(ramp(15));
    let x = b.node(Op::Binary(Binary::Add), &[0, line], (4, 5, 3));
    let column = b.node(Op::Index { ys: vec![0, 1, 2, 3], xs: vec![2], fill: 0.0 }, &[0], (4, 1, 3));
    let y = b.node(Op::Binary(Binary::Mul), &[column, x], (4, 5, 3));
    let (g, text) = b.passed(y);
    assert!(text.iter().any(|t| t.starts_with("Index")), "{g}");
    let whole = |n: &&Node| matches!(n.op, Op::Binary(_));
    assert!(g.nodes.iter().filter(whole).all(|n| n.inputs.iter().all(|i| g.tensors[*i].shape.rows() == 20)), "{g}");
}

#[test]
fn constants_are_divided_by_products_and_squares_are_products() {
    let mut b = Build::new(2, 3, 2);
    let k = b.constant(&[2.0, -3.0]);
    let square = b.node(Op::Unary(Unary::Pow { exponent: 2.0 }), &[0], (2, 3, 2));
    let one = b.constant(&[1.0, 1.5]);
    let above = b.node(Op::Binary(Binary::Add), &[square, one], (2, 3, 2));
    let y = b.node(Op::Binary(Binary::Div), &[k, above], (2, 3, 2));
    let (g, _) = b.passed(y);
    let ops: Vec<&Op> = g.nodes.iter().map(|n| &n.op).collect();
    assert!(ops.iter().any(|op| matches!(op, Op::Unary(Unary::Reciprocal))), "{g}");
    assert!(!ops.iter().any(|op| matches!(op, Op::Binary(Binary::Div) | Op::Unary(Unary::Pow { .. }))), "{g}");
}
