//! Normalisation by statistics of the frame, by the operators it is made of.
//!
//! ```text
//! layer, instance, group   d = x - mean(x);  y = d / sqrt(mean(d * d) + epsilon) * scale + bias
//! LpNormalization          y = x / norm(x)
//! LRN                      y = x / (bias + alpha / size * sum of x * x over neighbouring channels) ^ beta
//! ```

use crate::import::constant::volume;
use crate::import::node::Node;
use crate::import::view::View;
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Binary, Unary};

use super::Made;
use super::elementwise::{applied, combine, number};
use super::linear::{Matrix, product};
use super::pool::{Kind, apart, norm, reduced};
use super::shape::reshape_view;

/// `x` less its mean over `axes`, divided by its deviation; axes that join pixels and channels stay as they lie.
fn standard(im: &mut Importer, node: &Node, whole: &View, axes: &[usize]) -> Result<Value, Fail> {
    let (x, axes) = &apart(whole, axes);
    let mean = Value::Map(reduced(im, node, x, axes, Kind::Mean, true)?);
    let less = combine(im, node, Binary::Sub, &Value::Map(x.clone()), &mean)?;
    let squares = applied(im, node, Unary::Pow { exponent: 2.0 }, &less)?;
    let variance = Value::Map(reduced(im, node, squares.map()?, axes, Kind::Mean, true)?);
    let above = combine(im, node, Binary::Add, &variance, &number(node.float("epsilon", 1e-5)))?;
    let deviation = applied(im, node, Unary::Sqrt, &above)?;
    let y = combine(im, node, Binary::Div, &less, &deviation)?;
    Ok(Value::Map(reshape_view(im, y.map()?, &whole.shape())?))
}

/// `y * scale + bias` by inputs 1 and 2, either of which may be left out; each under `shape`.
fn affine(im: &mut Importer, node: &Node, y: Value, shape: &[usize]) -> Result<Value, Fail> {
    let mut y = y;
    for (i, op, what) in [(1, Binary::Mul, "the scale"), (2, Binary::Add, "the bias")] {
        let Some(c) = node.optional_constant(i, what)? else { continue };
        if Some(c.len()) != volume(shape) {
            return Err(invalid(format!("{what} has {} entries where {shape:?} belong", c.len())));
        }
        // PyTorch writes groups as instances without either, over axes that no constant lies along as the map does.
        if c.to_reals().iter().all(|&v| v == if i == 1 { 1.0 } else { 0.0 }) {
            continue;
        }
        y = combine(im, node, op, &y, &c.reshaped(shape.to_vec()).into())?;
    }
    Ok(y)
}

pub(super) fn layer(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let shape = x.shape();
    if node.proto.output.iter().skip(1).any(|o| !o.is_empty()) {
        return Err(unsupported("the mean and deviation as outputs; export the model for inference"));
    }
    let axes: Vec<usize> = (node.axis(-1, shape.len())?..shape.len()).collect();
    let y = standard(im, node, x, &axes)?;
    Ok(vec![affine(im, node, y, &shape[axes[0]..])?])
}

pub(super) fn instance(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let shape = x.shape();
    if shape.len() < 3 {
        return Err(invalid(format!("a value of rank {} has no spatial axes", shape.len())));
    }
    let axes: Vec<usize> = (2..shape.len()).collect();
    let y = standard(im, node, x, &axes)?;
    let lists: Vec<usize> = (1..shape.len()).map(|a| if a == 1 { shape[1] } else { 1 }).collect();
    Ok(vec![affine(im, node, y, &lists)?])
}

pub(super) fn group(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let shape = x.shape();
    let groups = usize::try_from(node.int("num_groups", 0)).unwrap_or(0);
    if shape.len() < 2 || groups == 0 || shape[1] % groups != 0 {
        return Err(invalid(format!("{groups} groups of a value of shape {shape:?}")));
    }
    let mut split = shape.clone();
    split.splice(1..2, [groups, shape[1] / groups]);
    let axes: Vec<usize> = (2..split.len()).collect();
    let apart = reshape_view(im, x, &split)?;
    let y = standard(im, node, &apart, &axes)?;
    // Opset 18 scales groups, later ones channels.
    if node.optional_constant(1, "the scale")?.is_some_and(|c| c.len() == groups && groups != shape[1]) {
        let lists: Vec<usize> = (1..split.len()).map(|a| if a == 1 { groups } else { 1 }).collect();
        let y = affine(im, node, y, &lists)?;
        return Ok(vec![Value::Map(reshape_view(im, y.map()?, &shape)?)]);
    }
    let whole = Value::Map(reshape_view(im, y.map()?, &shape)?);
    let lists: Vec<usize> = (1..shape.len()).map(|a| if a == 1 { shape[1] } else { 1 }).collect();
    Ok(vec![affine(im, node, whole, &lists)?])
}

pub(super) fn lp(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let axis = node.axis(-1, x.axes.len())?;
    let op = match node.int("p", 2) {
        1 => "ReduceL1",
        2 => "ReduceL2",
        p => return Err(unsupported(format!("the norm of p = {p}; 1 and 2 are supported"))),
    };
    let length = Value::Map(norm(im, node, op, x, &[axis], true)?);
    Ok(vec![combine(im, node, Binary::Div, &Value::Map(x.clone()), &length)?])
}

pub(super) fn lrn(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let shape = x.shape();
    let size = usize::try_from(node.int("size", 0)).ok().filter(|&n| n > 0).ok_or_else(|| invalid("size is missing"))?;
    if shape.len() < 2 {
        return Err(invalid(format!("a value of rank {} has no channels", shape.len())));
    }
    let (c, before, after) = (shape[1], (size - 1) / 2, size / 2);
    im.charge(c.saturating_mul(c))?;
    let share = node.float("alpha", 1e-4) / size as f32;
    let near = |o: usize, i: usize| i + before >= o && i <= o + after;
    let values = (0..c * c).map(|k| if near(k / c, k % c) { share } else { 0.0 }).collect();
    let squares = applied(im, node, Unary::Pow { exponent: 2.0 }, &Value::Map(x.clone()))?;
    let band = Matrix { values, inputs: c, outputs: c, scales: None };
    let sum = Value::Map(product(im, node, squares.map()?, 1, &band, vec![node.float("bias", 1.0); c])?);
    let factor = applied(im, node, Unary::Pow { exponent: -node.float("beta", 0.75) }, &sum)?;
    Ok(vec![combine(im, node, Binary::Mul, &Value::Map(x.clone()), &factor)?])
}
