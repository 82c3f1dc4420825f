//! Element-wise operators with numpy broadcasting, and Softmax.

use crate::exec;
use crate::import::constant::{Const, broadcast_shape, broadcast_strides, offsets, volume};
use crate::import::node::Node;
use crate::import::view::{Atom, C, Groups, H, View, W};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Binary, Op, TensorId, Unary};

use super::Made;

/// A function of each element: applied to the whole map under the view where the view leaves nothing out.
pub(super) fn apply(im: &mut Importer, node: &Node, f: Unary, x: &View) -> Result<View, Fail> {
    let view = whole(im, x)?;
    let map = im.shape_of(view.tensor);
    let tensor = im.emit_node(node, Op::Unary(f), vec![view.tensor], map);
    Ok(View { tensor, ..view })
}

/// The same of any value.
pub(super) fn applied(im: &mut Importer, node: &Node, f: Unary, x: &Value) -> Result<Value, Fail> {
    match x {
        Value::Const(c) => im.charged(Const::reals(c.shape.clone(), c.to_reals().iter().map(|&v| exec::unary(f, v)).collect())),
        _ => Ok(Value::Map(apply(im, node, f, x.map()?)?)),
    }
}

pub(super) fn number(v: f32) -> Value {
    Const::reals(vec![], vec![v]).into()
}

/// `x` as a view that covers its map.
fn whole(im: &mut Importer, x: &View) -> Result<View, Fail> {
    if x.covers(im.shape_of(x.tensor)) { Ok(x.clone()) } else { Ok(im.settle(x)?.0) }
}

pub(super) fn unary(im: &mut Importer, node: &Node) -> Made {
    let x = node.value(0)?;
    let f = match node.op() {
        "Relu" => Unary::Clamp { lo: 0.0, hi: f32::INFINITY },
        "Relu6" => Unary::Clamp { lo: 0.0, hi: 6.0 },
        "Clip" => {
            let bound = |i: usize, name: &str, open: f32| -> Result<f32, Fail> {
                match node.optional_constant(i, "the bound")? {
                    Some(c) => c.scalar().ok_or_else(|| invalid("a bound should be a scalar")),
                    None => Ok(node.float(name, open)),
                }
            };
            let (lo, hi) = (bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?);
            if lo.is_nan() || hi.is_nan() {
                return Err(invalid("a bound is NaN"));
            }
            // ONNX lets the upper bound win.
            Unary::Clamp { lo: lo.min(hi), hi }
        }
        "LeakyRelu" => Unary::LeakyRelu { alpha: node.float("alpha", 0.01) },
        "Sigmoid" => Unary::Sigmoid,
        "Tanh" => Unary::Tanh,
        "HardSigmoid" => Unary::HardSigmoid { alpha: node.float("alpha", 0.2), beta: node.float("beta", 0.5) },
        "HardSwish" => Unary::HardSwish,
        "Mish" => Unary::Mish,
        "Gelu" if node.text("approximate", "none") == "tanh" => Unary::GeluTanh,
        "Gelu" => Unary::Gelu,
        "Erf" => Unary::Erf,
        "Softplus" => Unary::Softplus,
        "Elu" => Unary::Elu { alpha: node.float("alpha", 1.0) },
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sqrt" => Unary::Sqrt,
        "Reciprocal" => Unary::Reciprocal,
        "Abs" => Unary::Abs,
        "Neg" => Unary::Neg,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        other => return Err(unsupported(format!("{other} is not an element-wise function known here"))),
    };
    Ok(vec![applied(im, node, f, x)?])
}

/// `x ^ c`, and `c ^ x` as `exp(x * ln c)`.
pub(super) fn pow(im: &mut Importer, node: &Node) -> Made {
    if let (Value::Const(base), Value::Map(_)) = (node.value(0)?, node.value(1)?) {
        let base_values = base.to_reals();
        if !base_values.iter().all(|&v| v > 0.0 && v.is_finite()) {
            return Err(unsupported("a base that is not above 0; write it by operators that are converted"));
        }
        let logs = Const::reals(base.shape.clone(), base_values.iter().map(|v| v.ln()).collect());
        let Value::Map(power) = combine(im, node, Binary::Mul, &logs.into(), &Value::Map(node.map(1)?.clone()))? else {
            return Err(invalid("a power without a value"));
        };
        return Ok(vec![Value::Map(apply(im, node, Unary::Exp, &power)?)]);
    }
    let x = node.map(0)?;
    match node.constant(1, "the exponent")?.scalar() {
        Some(exponent) if exponent.is_finite() => Ok(vec![Value::Map(apply(im, node, Unary::Pow { exponent }, x)?)]),
        _ => Err(unsupported("an exponent that is not one finite number; write it as Exp(Log(x) * exponent)")),
    }
}

pub(super) fn prelu(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let slope = node.constant(1, "the slope")?;
    if let Some(alpha) = slope.scalar() {
        return Ok(vec![Value::Map(apply(im, node, Unary::LeakyRelu { alpha }, x)?)]);
    }
    let (x, groups) = im.settle(x)?;
    let map = im.shape_of(x.tensor);
    let constant = lay_out(im, slope, &x.shape(), &groups)?;
    if constant.0 != [1, 1, map.c] {
        // max(x, 0) + slope * min(x, 0).
        let above = apply(im, node, Unary::Clamp { lo: 0.0, hi: f32::INFINITY }, &x)?;
        let below = apply(im, node, Unary::Clamp { lo: f32::NEG_INFINITY, hi: 0.0 }, &x)?;
        let sloped = combine(im, node, Binary::Mul, &Value::Map(below), &Value::Const(slope.clone()))?;
        return Ok(vec![combine(im, node, Binary::Add, &Value::Map(above), &sloped)?]);
    }
    let tensor = im.emit_node(node, Op::PRelu { slope: constant.1 }, vec![x.tensor], map);
    Ok(vec![Value::Map(View { tensor, ..x })])
}

pub(super) fn binary(im: &mut Importer, node: &Node) -> Made {
    let op = match node.op() {
        "Add" | "Sum" | "Mean" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "Min" => Binary::Min,
        _ => Binary::Max,
    };
    if node.opset < 7 && node.int("broadcast", 0) != 0 {
        return Err(unsupported("broadcasting of opset 6 and before; convert the model to a newer opset"));
    }
    let mut sum = node.value(0)?.clone();
    for i in 1..node.inputs.len() {
        sum = combine(im, node, op, &sum, node.value(i)?)?;
    }
    if node.op() == "Mean" {
        let n = Const::reals(vec![], vec![1.0 / node.inputs.len() as f32]);
        sum = combine(im, node, Binary::Mul, &sum, &n.into())?;
    }
    Ok(vec![sum])
}

/// An element-wise operator of two values, at least one of them a map.
pub(super) fn combine(im: &mut Importer, node: &Node, op: Binary, a: &Value, b: &Value) -> Result<Value, Fail> {
    if [a, b].iter().any(|v| matches!(v, Value::Map(View { int: Some(_), .. }))) {
        return Err(unsupported("arithmetic on integer codes"));
    }
    let (sa, sb) = (a.shape()?, b.shape()?);
    let out = broadcast_shape(&sa, &sb).ok_or_else(|| invalid(format!("{sa:?} and {sb:?} do not broadcast")))?;
    match (a, b) {
        // One number for all, or the same view of two maps: the layout does not matter.
        (Value::Map(x), Value::Const(c)) | (Value::Const(c), Value::Map(x)) if c.len() == 1 && out == x.shape() => {
            let x = whole(im, x)?;
            let map = im.shape_of(x.tensor);
            let value = finite(c)?;
            let unit = im.checked_shape([1, 1, 1])?;
            let number = im.constant(unit, value);
            let inputs = if matches!(a, Value::Map(_)) { vec![x.tensor, number] } else { vec![number, x.tensor] };
            let tensor = im.emit_node(node, Op::Binary(op), inputs, map);
            Ok(Value::Map(View { tensor, ..x }))
        }
        (Value::Map(x), Value::Map(y))
            if x.axes == y.axes
                && x.covers(im.shape_of(x.tensor))
                && im.shape_of(x.tensor) == im.shape_of(y.tensor)
                && y.offset == x.offset =>
        {
            let map = im.shape_of(x.tensor);
            let tensor = im.emit_node(node, Op::Binary(op), vec![x.tensor, y.tensor], map);
            Ok(Value::Map(View { tensor, ..x.clone() }))
        }
        _ => {
            let rank = out.len();
            let maps: Vec<View> = [a, b].iter().filter_map(|v| if let Value::Map(v) = v { Some(v.padded(rank)) } else { None }).collect();
            let Some(most) = maps.iter().max_by_key(|v| volume(&v.shape())) else {
                return Err(unsupported("arithmetic of two constants"));
            };
            let mut groups = most.natural(im.shape_of(most.tensor));
            for other in &maps {
                let natural = other.natural(im.shape_of(other.tensor));
                complete(&mut groups, &out, Some(&natural));
            }
            complete(&mut groups, &out, None);
            let mut inputs = Vec::with_capacity(2);
            for v in [a, b] {
                inputs.push(operand(im, v, &out, &groups)?);
            }
            let extents = [H, W, C].map(|k| groups.0[k].iter().map(|&g| out[g]).product());
            let map = im.checked_shape(extents)?;
            let tensor = im.emit_node(node, Op::Binary(op), inputs, map);
            Ok(Value::Map(View::of_groups(tensor, &out, &groups)))
        }
    }
}

/// Gives every axis of `shape` longer than 1 a place: that of `hint` or of NCHW where free, else any free one.
pub(super) fn complete(groups: &mut Groups, shape: &[usize], hint: Option<&Groups>) {
    let rank = shape.len();
    for axis in 0..rank {
        if shape[axis] == 1 || groups.0.iter().any(|g| g.contains(&axis)) {
            continue;
        }
        let hinted = hint.map(|h| (0..3).find(|&k| h.0[k].contains(&axis)));
        let usual = match (rank, axis) {
            (4, 2) => H,
            (4, 3) => W,
            (4, 1) => C,
            (_, a) if a + 1 == rank => C,
            _ => H,
        };
        let place = match hinted {
            Some(None) => continue,
            Some(Some(k)) => k,
            None => usual,
        };
        let free = [place, C, H, W].into_iter().find(|&k| groups.0[k].is_empty());
        let k = free.unwrap_or(place);
        let at = groups.0[k].iter().position(|&g| g > axis).unwrap_or(groups.0[k].len());
        groups.0[k].insert(at, axis);
    }
}

/// An operand laid out for a result of `shape` under `groups`; a group it does not vary in has extent 1.
fn operand(im: &mut Importer, v: &Value, shape: &[usize], groups: &Groups) -> Result<TensorId, Fail> {
    match v {
        Value::Const(c) => {
            finite(c)?;
            let (extents, values) = lay_out(im, c, shape, groups)?;
            let map = im.checked_shape(extents)?;
            Ok(im.constant(map, values))
        }
        Value::Map(v) => {
            let mut view = v.padded(shape.len());
            for group in &groups.0 {
                if group.iter().any(|&g| !view.axes[g].is_empty()) {
                    for &g in group {
                        if view.axes[g].is_empty() && shape[g] > 1 {
                            view.axes[g] = vec![Atom { axis: C, stride: 0, extent: shape[g] }];
                            let own = group.iter().find_map(|&g| view.axes[g].iter().find(|a| a.stride != 0).copied());
                            if let Some(own) = own {
                                view.axes[g][0].axis = own.axis;
                            }
                        }
                    }
                }
            }
            im.realise(&view, groups)
        }
        Value::Lost => Err(unsupported("its input could not be converted")),
    }
}

fn finite(c: &Const) -> Result<Vec<f32>, Fail> {
    let values = c.to_reals();
    if values.iter().any(|v| v.is_nan()) { Err(invalid("a constant operand is NaN")) } else { Ok(values) }
}

/// A constant broadcast to `shape` and laid out by `groups`; a group it does not vary in has extent 1.
fn lay_out(im: &mut Importer, c: &Const, shape: &[usize], groups: &Groups) -> Result<([usize; 3], Vec<f32>), Fail> {
    let steps = broadcast_strides(&c.shape, shape).ok_or_else(|| invalid(format!("{:?} does not broadcast to {shape:?}", c.shape)))?;
    let varied = groups.0.clone().map(|g| if g.iter().any(|&a| steps[a] != 0 && shape[a] > 1) { g } else { Vec::new() });
    let order: Vec<usize> = varied.iter().flatten().copied().collect();
    let sizes: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
    im.charge(volume(&sizes).ok_or_else(|| invalid("a constant is too large"))?)?;
    let moves: Vec<usize> = order.iter().map(|&a| steps[a]).collect();
    let values = c.to_reals();
    let picked = offsets(&sizes, &moves).into_iter().map(|i| values[i]).collect();
    Ok((varied.map(|g| g.iter().map(|&a| shape[a]).product()), picked))
}

/// Over one axis; before opset 13 over all axes from `axis` on.
pub(super) fn softmax(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let shape = x.shape();
    let axes: Vec<usize> =
        if node.opset >= 13 { vec![node.axis(-1, shape.len())?] } else { (node.axis(1, shape.len())?..shape.len()).collect() };
    let axes: Vec<usize> = axes.into_iter().filter(|&a| shape[a] > 1).collect();
    let groups = x.with_channels(&axes, im.shape_of(x.tensor));
    let tensor = im.realise(x, &groups)?;
    let map = im.shape_of(tensor);
    let tensor = im.emit_node(node, Op::Softmax, vec![tensor], map);
    let out = View::of_groups(tensor, &shape, &groups);
    match node.op() {
        "LogSoftmax" => Ok(vec![Value::Map(apply(im, node, Unary::Log, &out)?)]),
        _ => Ok(vec![Value::Map(out)]),
    }
}
