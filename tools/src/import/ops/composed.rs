//! Activations made of others, and the product of two maps where one is a vector.

use crate::import::node::Node;
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Binary, Unary};

use super::Made;
use super::elementwise::{applied, combine, number};
use super::logic::positive;
use super::pool::{Kind, reduced};

pub(super) fn activation(im: &mut Importer, node: &Node) -> Made {
    let x = &Value::Map(node.map(0)?.clone());
    let alpha = |default: f32| node.float("alpha", default);
    let mul = |im: &mut Importer, a: &Value, b: &Value| combine(im, node, Binary::Mul, a, b);
    Ok(vec![match node.op() {
        "Selu" => {
            let elu = applied(im, node, Unary::Elu { alpha: alpha(1.673_263_2) }, x)?;
            mul(im, &elu, &number(node.float("gamma", 1.050_701)))?
        }
        "Celu" if alpha(1.0) == 1.0 => applied(im, node, Unary::Elu { alpha: 1.0 }, x)?,
        "Celu" => {
            let narrow = mul(im, x, &number(1.0 / alpha(1.0)))?;
            let elu = applied(im, node, Unary::Elu { alpha: 1.0 }, &narrow)?;
            mul(im, &elu, &number(alpha(1.0)))?
        }
        "Softsign" => {
            let size = applied(im, node, Unary::Abs, x)?;
            let above = combine(im, node, Binary::Add, &size, &number(1.0))?;
            combine(im, node, Binary::Div, x, &above)?
        }
        "ThresholdedRelu" => {
            let over = combine(im, node, Binary::Sub, x, &number(alpha(1.0)))?;
            let passes = positive(im, node, &over)?;
            mul(im, x, &passes)?
        }
        "Shrink" => shrink(im, node, x)?,
        // Sign: 1 above 0, -1 below.
        _ => {
            let above = positive(im, node, x)?;
            let minus = applied(im, node, Unary::Neg, x)?;
            let below = positive(im, node, &minus)?;
            combine(im, node, Binary::Sub, &above, &below)?
        }
    }])
}

/// `x - clamp(x, -bias, bias)` where `|x|` is above `lambd`, else 0.
fn shrink(im: &mut Importer, node: &Node, x: &Value) -> Result<Value, Fail> {
    let (bias, limit) = (node.float("bias", 0.0), node.float("lambd", 0.5));
    if !(0.0 <= bias && bias <= limit) {
        return Err(unsupported(format!("bias {bias} beside lambd {limit}; write it by operators that are converted")));
    }
    let within = applied(im, node, Unary::Clamp { lo: -bias, hi: bias }, x)?;
    let less = if bias > 0.0 { combine(im, node, Binary::Sub, x, &within)? } else { x.clone() };
    if bias == limit {
        return Ok(less);
    }
    let size = applied(im, node, Unary::Abs, x)?;
    let over = combine(im, node, Binary::Sub, &size, &number(limit))?;
    let passes = positive(im, node, &over)?;
    combine(im, node, Binary::Mul, &less, &passes)
}

/// `a` times `b` where either is a vector: element by element, then a sum (attention that pools, as in GCNet).
pub(super) fn vector_product(im: &mut Importer, node: &Node) -> Made {
    let (a, b) = (node.map(0)?, node.map(1)?);
    let (m, n) = (a.axes.len(), b.axes.len());
    if m < 2 || n < 2 {
        return Err(unsupported("a product of two maps of which one has a single axis"));
    }
    let turned = |rank: usize| -> Vec<usize> { (0..rank - 2).chain([rank - 1, rank - 2]).collect() };
    let (sa, sb) = (a.shape(), b.shape());
    if sa[m - 1] != sb[n - 2] {
        return Err(invalid(format!("a product of {sa:?} and {sb:?}")));
    }
    let (a, b, axis) = match (sa[m - 2], sb[n - 1]) {
        (_, 1) => (a.clone(), b.transposed(&turned(n)), 1),
        (1, _) => (a.transposed(&turned(m)), b.clone(), 2),
        _ => return Err(unsupported("a product of two maps (attention); one factor must be constant")),
    };
    let product = combine(im, node, Binary::Mul, &Value::Map(a), &Value::Map(b))?;
    let rank = m.max(n);
    Ok(vec![Value::Map(reduced(im, node, product.map()?, &[rank - axis], Kind::Sum, true)?)])
}
