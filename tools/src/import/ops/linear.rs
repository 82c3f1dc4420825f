//! Matrix products and batch normalisation.
//!
//! A product over one ONNX axis becomes a convolution: over all elements of a map at once when there is a single row
//! (the kernel is the map, its weights put where the view says the inputs lie), else 1x1 over the channels.

use std::rc::Rc;

use crate::import::constant::{Const, Scales, broadcast_strides, offsets};
use crate::import::node::Node;
use crate::import::view::{C, Groups, View, extents, flat_steps, walk};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Conv, Op, Pad};

use super::Made;
use super::conv::weights;
use super::elementwise::combine;
use crate::ir::Binary;

/// Weights of a product: `values[o * k + i]`.
pub(super) struct Matrix {
    pub values: Vec<f32>,
    pub inputs: usize,
    pub outputs: usize,
    /// Of the source model, one for each output.
    pub scales: Option<Vec<f32>>,
}

/// The product over `axis` of `x`; the axis then has the outputs.
pub(super) fn product(im: &mut Importer, node: &Node, x: &View, axis: usize, m: &Matrix, bias: Vec<f32>) -> Result<View, Fail> {
    let mut shape = x.shape();
    if shape[axis] != m.inputs {
        return Err(invalid(format!("a product over {} values with weights for {}", shape[axis], m.inputs)));
    }
    let source = im.shape_of(x.tensor);
    let single = shape.iter().enumerate().all(|(i, &n)| i == axis || n == 1);
    let conv = |weights: Vec<f32>, kh: usize, kw: usize| {
        Op::Conv(Conv {
            weights,
            bias: bias.clone(),
            oc: m.outputs,
            kh,
            kw,
            stride: (1, 1),
            dilation: (1, 1),
            pad: Pad::default(),
            groups: 1,
            weight_scales: m.scales.clone(),
        })
    };
    shape[axis] = m.outputs;
    if single && x.covers(source) {
        let steps = flat_steps(source);
        let places = walk(&x.axes[axis], 0, |a| a.stride * steps[a.axis] as isize);
        im.charge(m.values.len())?;
        let mut values = vec![0.0; m.values.len()];
        for (row, made) in m.values.chunks_exact(m.inputs).zip(values.chunks_exact_mut(m.inputs)) {
            for (&v, &at) in row.iter().zip(&places) {
                made[at as usize] = v;
            }
        }
        let [kh, kw, _] = extents(source);
        let out = im.checked_shape([1, 1, m.outputs])?;
        let tensor = im.emit_node(node, conv(values, kh, kw), vec![x.tensor], out);
        let mut groups = Groups::default();
        groups.0[C].push(axis);
        return Ok(View::of_groups(tensor, &shape, &groups));
    }
    let groups = x.with_channels(&[axis], source);
    let tensor = im.realise(x, &groups)?;
    let map = im.shape_of(tensor);
    im.charge(m.values.len())?;
    let out = im.checked_shape([map.h, map.w, m.outputs])?;
    let tensor = im.emit_node(node, conv(m.values.clone(), 1, 1), vec![tensor], out);
    Ok(View::of_groups(tensor, &shape, &groups))
}

/// Constant `[k, n]` (or `[n, k]` when `transposed`) as a matrix times `alpha`.
fn matrix(c: &Const, transposed: bool, alpha: f32) -> Result<Matrix, Fail> {
    let [rows, columns] = c.shape[..] else {
        return Err(unsupported(format!("weights of shape {:?}; two axes are supported", c.shape)));
    };
    let source = weights(c, "weights")?;
    let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
    if inputs == 0 || outputs == 0 {
        return Err(invalid(format!("weights of shape {:?}", c.shape)));
    }
    let values: Vec<f32> = if transposed {
        source.iter().map(|v| v * alpha).collect()
    } else {
        (0..outputs * inputs).map(|k| source[k % inputs * outputs + k / inputs] * alpha).collect()
    };
    let axis = if transposed { 0 } else { 1 };
    let scales = super::conv::output_scales(c, axis, outputs).filter(|_| alpha > 0.0);
    let scales = scales.map(|s| s.iter().map(|v| v * alpha).collect());
    Ok(Matrix { values, inputs, outputs, scales })
}

pub(super) fn matmul(im: &mut Importer, node: &Node) -> Made {
    match (node.value(0)?, node.value(1)?) {
        (Value::Map(_), Value::Const(b)) => {
            let x = node.map(0)?;
            let rank = x.axes.len();
            if rank == 0 || b.shape.is_empty() {
                return Err(invalid("a product of scalars"));
            }
            let vector = b.shape.len() == 1;
            let b = squeezed(b, if vector { vec![b.shape[0], 1] } else { trailing(&b.shape)? });
            let m = matrix(&b, false, 1.0)?;
            let bias = vec![0.0; m.outputs];
            let mut out = product(im, node, x, rank - 1, &m, bias)?;
            if vector {
                out.axes.pop();
            }
            Ok(vec![Value::Map(out)])
        }
        (Value::Const(a), Value::Map(_)) => {
            let x = node.map(1)?;
            let rank = x.axes.len();
            if rank < 2 || a.shape.len() < 2 {
                return Err(unsupported("a constant times a vector"));
            }
            let m = matrix(&squeezed(a, trailing(&a.shape)?), true, 1.0)?;
            let bias = vec![0.0; m.outputs];
            let mut out = product(im, node, x, rank - 2, &m, bias)?;
            out = out.padded(a.shape.len().max(rank));
            Ok(vec![Value::Map(out)])
        }
        (Value::Map(_), Value::Map(_)) => super::composed::vector_product(im, node),
        _ => Err(unsupported("its input could not be converted")),
    }
}

/// The last two extents, when all before are 1.
fn trailing(shape: &[usize]) -> Result<Vec<usize>, Fail> {
    let (lead, last) = shape.split_at(shape.len() - 2);
    match lead.iter().all(|&n| n == 1) {
        true => Ok(last.to_vec()),
        false => Err(unsupported(format!("a batch of matrices {shape:?}; one constant matrix is supported"))),
    }
}

/// `c` under `shape`; scales keep their axis counted from the end.
fn squeezed(c: &Rc<Const>, shape: Vec<usize>) -> Const {
    let mut out = c.reshaped(shape);
    if let Some(Scales { axis: Some(a), values }) = &c.scales {
        let axis = (a + out.shape.len()).checked_sub(c.shape.len());
        out.scales = axis.map(|a| Scales { axis: Some(a), values: values.clone() });
    }
    out
}

pub(super) fn gemm(im: &mut Importer, node: &Node) -> Made {
    let mut x = node.map(0)?.clone();
    if x.axes.len() != 2 {
        return Err(invalid(format!("its first input has rank {}, not 2", x.axes.len())));
    }
    if node.int("transA", 0) != 0 {
        x = x.transposed(&[1, 0]);
    }
    let m = matrix(node.constant(1, "the second factor")?, node.int("transB", 0) != 0, node.float("alpha", 1.0))?;
    let beta = node.float("beta", 1.0);
    let rows = x.shape()[0];
    let mut bias = vec![0.0; m.outputs];
    let mut after = None;
    match node.optional(2) {
        None => {}
        Some(Value::Const(c)) => {
            let steps = broadcast_strides(&c.shape, &[rows, m.outputs])
                .ok_or_else(|| invalid(format!("bias of shape {:?} for {rows} x {}", c.shape, m.outputs)))?;
            let values = weights(c, "biases")?;
            if rows == 1 || steps[0] == 0 {
                bias = offsets(&[m.outputs], &steps[1..]).into_iter().map(|i| values[i] * beta).collect();
            } else {
                let scaled = values.iter().map(|v| v * beta).collect();
                after = Some(Value::from(Const::reals(c.shape.clone(), scaled)));
            }
        }
        Some(other) if beta == 1.0 => after = Some(other.clone()),
        Some(_) => return Err(unsupported("beta with a bias computed at run time")),
    }
    let out = Value::Map(product(im, node, &x, 1, &m, bias)?);
    match after {
        None => Ok(vec![out]),
        Some(c) => Ok(vec![combine(im, node, Binary::Add, &out, &c)?]),
    }
}

/// `x * a + b` per channel with `a = scale / sqrt(var + epsilon)`, `b = bias - mean * a`; the passes fold both.
pub(super) fn batch_norm(im: &mut Importer, node: &Node) -> Made {
    let x = Value::Map(node.map(0)?.clone());
    let rank = node.map(0)?.axes.len();
    if rank < 2 || node.int("training_mode", 0) != 0 || node.proto.output.iter().skip(1).any(|o| !o.is_empty()) && node.opset > 8 {
        return Err(unsupported("batch normalisation in training mode; export the model for inference"));
    }
    if node.int("spatial", 1) == 0 {
        return Err(unsupported("batch normalisation with spatial = 0"));
    }
    let channels = node.map(0)?.shape()[1];
    let mut lists = Vec::with_capacity(4);
    for (i, what) in [(1, "the scale"), (2, "the bias"), (3, "the mean"), (4, "the variance")] {
        let c = node.constant(i, what)?;
        if c.len() != channels {
            return Err(invalid(format!("{what} has {} entries for {channels} channels", c.len())));
        }
        lists.push(weights(c, what)?.into_owned());
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5));
    let mut shape = vec![1; rank];
    shape[1] = channels;
    let factor: Vec<f64> = (0..channels).map(|i| f64::from(lists[0][i]) / (f64::from(lists[3][i]) + epsilon).sqrt()).collect();
    let shift: Vec<f32> = (0..channels).map(|i| (f64::from(lists[1][i]) - f64::from(lists[2][i]) * factor[i]) as f32).collect();
    if factor.iter().any(|f| !f.is_finite()) {
        return Err(invalid("its variance is negative"));
    }
    let factor = factor.iter().map(|&f| f as f32).collect();
    let scaled = combine(im, node, Binary::Mul, &x, &Const::reals(shape.clone(), factor).into())?;
    Ok(vec![combine(im, node, Binary::Add, &scaled, &Const::reals(shape, shift).into())?])
}
