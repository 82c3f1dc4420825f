//! Comparisons and choices of elements: truth is a map of ones and zeros.
//!
//! ```text
//! a > b            clamp(ceil(a - b), 0, 1), exact for reals as for codes
//! where(c, a, b)   a * c + b * (1 - c)
//! ```

use crate::import::constant::{Const, broadcast_shape};
use crate::import::fold::spread;
use crate::import::node::Node;
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Binary, Unary};

use super::Made;
use super::elementwise::{applied, combine, number};
use super::shape::repeat;

/// Ones where `x` is above 0.
pub(super) fn positive(im: &mut Importer, node: &Node, x: &Value) -> Result<Value, Fail> {
    let whole = applied(im, node, Unary::Ceil, x)?;
    applied(im, node, Unary::Clamp { lo: 0.0, hi: 1.0 }, &whole)
}

fn not(im: &mut Importer, node: &Node, x: &Value) -> Result<Value, Fail> {
    combine(im, node, Binary::Sub, &number(1.0), x)
}

pub(super) fn compare(im: &mut Importer, node: &Node) -> Made {
    let (a, b) = (node.value(0)?, node.value(1)?);
    let (a, b) = if matches!(node.op(), "Less" | "GreaterOrEqual") { (b, a) } else { (a, b) };
    let mut less = combine(im, node, Binary::Sub, a, b)?;
    if node.op() == "Equal" {
        less = applied(im, node, Unary::Abs, &less)?;
    }
    let above = positive(im, node, &less)?;
    Ok(vec![match node.op() {
        "Greater" | "Less" => above,
        _ => not(im, node, &above)?,
    }])
}

pub(super) fn logic(im: &mut Importer, node: &Node) -> Made {
    let a = node.value(0)?;
    Ok(vec![match node.op() {
        "Not" => not(im, node, a)?,
        "And" => combine(im, node, Binary::Min, a, node.value(1)?)?,
        "Or" => combine(im, node, Binary::Max, a, node.value(1)?)?,
        _ => {
            let apart = combine(im, node, Binary::Sub, a, node.value(1)?)?;
            applied(im, node, Unary::Abs, &apart)?
        }
    }])
}

/// Where: one of the two where the condition is the same everywhere.
pub(super) fn choice(im: &mut Importer, node: &Node) -> Made {
    let (mask, a, b) = (node.value(0)?, node.value(1)?, node.value(2)?);
    let shape = broadcast_shape(&a.shape()?, &b.shape()?).and_then(|s| broadcast_shape(&s, &mask.shape().ok()?));
    let shape = shape.ok_or_else(|| invalid("its inputs do not broadcast"))?;
    let chosen = match mask {
        Value::Const(c) => {
            let list = c.to_ints()?;
            let everywhere = |here: bool| list.iter().all(|&c| (c != 0) == here);
            match (everywhere(true), everywhere(false)) {
                (true, _) => a.clone(),
                (_, true) => b.clone(),
                _ => {
                    let ones = list.iter().map(|&c| f32::from(c != 0)).collect();
                    choose(im, node, &Const::reals(c.shape.clone(), ones).into(), a, b)?
                }
            }
        }
        _ => choose(im, node, mask, a, b)?,
    };
    Ok(vec![broadcast(im, &chosen, &shape)?])
}

/// Each of two values where `mask`, of ones and zeros, lets it through.
fn choose(im: &mut Importer, node: &Node, mask: &Value, a: &Value, b: &Value) -> Result<Value, Fail> {
    let mut sum: Option<Value> = None;
    for (value, here) in [(a, true), (b, false)] {
        match value {
            Value::Const(c) if c.to_reals().iter().all(|&v| v == 0.0) => continue,
            Value::Const(c) if c.to_reals().iter().any(|v| !v.is_finite()) => {
                return Err(unsupported("a choice of infinities; use a finite number"));
            }
            _ => {}
        }
        let through = match (mask, here) {
            (_, true) => mask.clone(),
            (Value::Const(m), false) => Const::reals(m.shape.clone(), m.to_reals().iter().map(|v| 1.0 - v).collect()).into(),
            _ => not(im, node, mask)?,
        };
        let part = match (value, &through) {
            (Value::Const(c), Value::Const(m)) => masked(im, c, m)?,
            _ => combine(im, node, Binary::Mul, value, &through)?,
        };
        sum = Some(match sum {
            None => part,
            Some(other) => combine(im, node, Binary::Add, &other, &part)?,
        });
    }
    sum.map_or_else(|| combine(im, node, Binary::Mul, mask, &number(0.0)), Ok)
}

/// The product of two constants, broadcast.
fn masked(im: &mut Importer, a: &Const, b: &Const) -> Result<Value, Fail> {
    let shape = broadcast_shape(&a.shape, &b.shape).ok_or_else(|| invalid("its inputs do not broadcast"))?;
    let (a, b) = (spread(im, a, &shape)?.to_reals(), spread(im, b, &shape)?.to_reals());
    Ok(Const::reals(shape, a.iter().zip(&b).map(|(a, b)| a * b).collect()).into())
}

fn broadcast(im: &mut Importer, x: &Value, shape: &[usize]) -> Result<Value, Fail> {
    match x {
        Value::Map(v) if v.shape() == shape => Ok(x.clone()),
        Value::Map(v) => repeat(im, v.padded(shape.len()), |a, n| if n == 1 { shape[a] } else { 1 }),
        Value::Const(c) => Ok(spread(im, c, shape)?.into()),
        Value::Lost => Err(unsupported("its input could not be converted")),
    }
}
