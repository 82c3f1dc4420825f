//! What a frame is normalised by.

use super::*;

impl Builder {
    fn binary(&mut self, f: Binary, a: TensorId, b: TensorId) -> TensorId {
        let s = self.0.tensors[a].shape;
        self.node(Op::Binary(f), &[a, b], s)
    }

    fn number(&mut self, v: f32) -> TensorId {
        self.0.tensors.push(Tensor { name: "k".into(), shape: shape(1, 1, 1), codes: None, constant: Some(vec![v]) });
        self.0.tensors.len() - 1
    }

    fn mean(&mut self, x: TensorId) -> TensorId {
        let s = self.0.tensors[x].shape;
        self.node(Op::ReduceChannels { mean: true }, &[x], Shape { c: 1, ..s })
    }

    /// `1 / 1 x C`: the length of each channel over the map.
    fn lengths(&mut self, x: TensorId) -> TensorId {
        let c = self.0.tensors[x].shape.c;
        let squares = self.binary(Binary::Mul, x, x);
        let mean = self.node(Op::GlobalAvgPool, &[squares], shape(1, 1, c));
        self.node(Op::Unary(Unary::Sqrt), &[mean], shape(1, 1, c))
    }

    /// `x` less its mean, divided by its deviation, scaled and shifted.
    fn layer_norm(&mut self, x: TensorId) -> TensorId {
        let mean = self.mean(x);
        let less = self.binary(Binary::Sub, x, mean);
        let squares = self.binary(Binary::Mul, less, less);
        let variance = self.mean(squares);
        let epsilon = self.number(1e-6);
        let above = self.binary(Binary::Add, variance, epsilon);
        let s = self.0.tensors[above].shape;
        let deviation = self.node(Op::Unary(Unary::Sqrt), &[above], s);
        let y = self.binary(Binary::Div, less, deviation);
        let (scale, shift) = (self.number(1.3), self.number(-0.2));
        let y = self.binary(Binary::Mul, y, scale);
        self.binary(Binary::Add, y, shift)
    }
}

fn reals(b: &Builder, p: &Plan) -> Vec<bool> {
    b.0.nodes.iter().map(|n| p.tensors[n.output] == Some(Store::F32)).collect()
}

#[test]
fn a_layer_norm_is_real_up_to_its_scale_and_shift() {
    let mut b = Builder::new(shape(6, 6, 3));
    let x = b.conv(0, 24, 3, 1);
    let y = b.layer_norm(x);
    let out = b.conv(y, 8, 3, 1);
    b.output(out);
    let frames = b.frames(4);
    let p = plan(&b.0, &frames, &Options::default());
    // The convolution's sums, mean, deviations, squares, their mean, with epsilon, root, quotient, scaled; shifted; the output.
    assert_eq!(reals(&b, &p), [true, true, true, true, true, true, true, true, true, false, true]);
    assert!(db(&b.0, &p, &frames, y) > 40.0, "{}", db(&b.0, &p, &frames, y));
}

#[test]
fn what_others_read_has_codes() {
    let mut b = Builder::new(shape(6, 6, 3));
    let x = b.conv(0, 24, 3, 1);
    let y = b.layer_norm(x);
    // A residual: the map before the norm has another reader, which is no step on reals.
    let wide = b.conv(y, 24, 3, 1);
    let again = b.conv(x, 24, 1, 1);
    let sum = b.binary(Binary::Add, wide, again);
    b.output(sum);
    let frames = b.frames(4);
    let p = plan(&b.0, &frames, &Options::default());
    assert!(p.quant(x).is_some());
    assert_eq!(reals(&b, &p)[1..9], [true; 8]);
}

#[test]
fn a_response_of_the_whole_map_is_real() {
    let mut b = Builder::new(shape(6, 6, 3));
    let x = b.conv(0, 16, 3, 1);
    let x = b.relu(x);
    let lengths = b.lengths(x);
    let mean = b.mean(lengths);
    let ratio = b.binary(Binary::Div, lengths, mean);
    let y = b.binary(Binary::Mul, x, ratio);
    let out = b.conv(y, 8, 3, 1);
    b.output(out);
    let frames = b.frames(4);
    let p = plan(&b.0, &frames, &Options::default());
    assert_eq!(reals(&b, &p), [false, false, true, true, true, true, true, false, true]);
}

#[test]
fn other_squares_have_codes() {
    // No mean, or one that a convolution reads.
    let mut b = Builder::new(shape(6, 6, 3));
    let x = b.conv(0, 16, 3, 1);
    let squares = b.binary(Binary::Mul, x, x);
    let a = b.conv(squares, 8, 3, 1);
    let lengths = b.lengths(a);
    let out = b.conv(lengths, 4, 1, 1);
    b.output(out);
    let frames = b.frames(4);
    let p = plan(&b.0, &frames, &Options::default());
    assert!(p.quant(squares).is_some() && p.quant(lengths).is_some() && p.integer_weights(&b.0, b.0.nodes.len() - 1).is_some());
    // Maps that are averaged on reals in one window have sides that fit it.
    let mut b = Builder::new(shape(crate::calibrate::norms::LONGEST + 1, 1, 2));
    let x = b.conv(0, 2, 1, 1);
    let lengths = b.lengths(x);
    let y = b.binary(Binary::Div, x, lengths);
    let out = b.conv(y, 2, 1, 1);
    b.output(out);
    let frames = b.frames(1);
    let p = plan(&b.0, &frames, &Options::default());
    assert_eq!(reals(&b, &p), [false, false, false, false, false, true]);
}
