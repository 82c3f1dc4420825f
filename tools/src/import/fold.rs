//! Operators on constants: the shape arithmetic exporters leave behind, and weights that are computed from weights.

use tract_onnx::pb::tensor_proto::DataType;

use super::constant::{Const, Data, broadcast_shape, broadcast_strides, offsets, strides, volume};
use super::node::{Node, axis};
use super::ops::quant::{dequantized, quantized};
use super::ops::shape::{parts, permutation, ranges, reshape_extents};
use super::{Fail, Importer, constant, invalid, unsupported};

/// Operators that exist for constants only.
pub(super) const FOLDED: &[&str] = &["Constant", "ConstantOfShape", "Range", "Mod", "ReduceProd", "Round"];

type Inputs<'a> = [Option<&'a Const>];

/// The outputs of a node whose inputs are all constant; `None` when it is not one of these.
pub(super) fn evaluate(im: &mut Importer, node: &Node, inputs: &Inputs) -> Result<Option<Vec<Const>>, Fail> {
    let x = || inputs.first().copied().flatten().ok_or_else(|| invalid("input 0 is missing"));
    // Results no larger than the input need no check; those that grow charge before they are made.
    let out = match node.op() {
        "Constant" => constant_node(im, node)?,
        "Identity" | "Dropout" => x()?.clone(),
        "Shape" => Const::ints(vec![x()?.shape.len()], x()?.shape.iter().map(|&n| n as i64).collect()),
        "Size" => Const::ints(vec![], vec![x()?.len() as i64]),
        "Cast" => cast(node, x()?)?,
        "ConstantOfShape" => filled(im, node, x()?)?,
        "Range" => range(im, inputs)?,
        "Reshape" => {
            let wanted = match node.ints("shape") {
                Some(l) => l.to_vec(),
                None => node.constant(1, "the new shape")?.to_ints()?,
            };
            x()?.reshaped(reshape_extents(&x()?.shape, &wanted, node.int("allowzero", 0) != 0)?)
        }
        "Flatten" => {
            let shape = &x()?.shape;
            let at = usize::try_from(node.int("axis", 1)).ok().filter(|&a| a <= shape.len());
            let (a, b) = shape.split_at(at.ok_or_else(|| invalid("axis of a Flatten"))?);
            x()?.reshaped(vec![a.iter().product(), b.iter().product()])
        }
        "Squeeze" => {
            let shape = &x()?.shape;
            let gone = node.axes(1, shape.len())?;
            let goes = |a: usize| gone.as_ref().map_or(shape[a] == 1, |g| g.contains(&a));
            let kept: Vec<usize> = (0..shape.len()).filter(|&a| !goes(a)).map(|a| shape[a]).collect();
            if volume(&kept) != Some(x()?.len()) {
                return Err(invalid(format!("an axis of {shape:?} is longer than 1")));
            }
            x()?.reshaped(kept)
        }
        "Unsqueeze" => {
            let count = node.ints("axes").map(<[i64]>::len).or(inputs.get(1).copied().flatten().map(Const::len)).unwrap_or(0);
            let mut shape = x()?.shape.clone();
            let mut axes = node.axes(1, (shape.len() + count).min(16))?.unwrap_or_default();
            axes.sort_unstable();
            axes.iter().for_each(|&a| shape.insert(a.min(shape.len()), 1));
            x()?.reshaped(shape)
        }
        "Transpose" => x()?.transposed(&permutation(node, x()?.shape.len())?),
        "Expand" => {
            let wanted: Vec<usize> = node.constant(1, "the shape")?.to_ints()?.iter().map(|&v| v.max(0) as usize).collect();
            let shape = broadcast_shape(&x()?.shape, &wanted)
                .ok_or_else(|| invalid(format!("{:?} to {wanted:?}", x().map(|x| x.shape.clone()).ok())))?;
            spread(im, x()?, &shape)?
        }
        "Tile" => tile(im, x()?, &node.constant(1, "the repeats")?.to_ints()?)?,
        "Gather" => gather(im, node, inputs)?,
        "Slice" => {
            let (mut at, mut start) = (strides(&x()?.shape).iter().map(|&s| s as isize).collect::<Vec<_>>(), 0isize);
            let mut shape = x()?.shape.clone();
            for (a, first, step, count) in ranges(node, &x()?.shape)? {
                start += first as isize * at[a];
                at[a] = at[a].saturating_mul(step as isize);
                shape[a] = count;
            }
            let mut index = vec![start];
            for (&n, &s) in shape.iter().zip(&at) {
                index = index.iter().flat_map(|&b| (0..n as isize).map(move |i| b + i * s)).collect();
            }
            let index: Vec<usize> = index.into_iter().map(|i| i as usize).collect();
            x()?.pick(shape, &index)
        }
        "Split" => return split(node, x()?).map(Some),
        "Concat" => concat(im, node, inputs)?,
        "QuantizeLinear" => quantized(node, x()?, node.constant(1, "the scale")?, inputs.get(2).copied().flatten())?,
        "DequantizeLinear" => dequantized(node, x()?, node.constant(1, "the scale")?, inputs.get(2).copied().flatten())?,
        "Where" => choose(im, inputs)?,
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "Sum" | "Pow" | "Mod" | "Equal" | "Less" | "Greater" | "LessOrEqual"
        | "GreaterOrEqual" | "And" | "Or" => {
            let mut out = x()?.clone();
            for b in inputs.iter().skip(1).flatten() {
                out = binary(im, node, &out, b)?;
            }
            out
        }
        "ReduceProd" | "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" => {
            reduce(im, node, x()?)?
        }
        "BatchNormalization" => normalised(node, x()?, inputs)?,
        "Clip" => clipped(node, x()?, inputs)?,
        _ => match unary(node, x)? {
            Some(c) => c,
            None => return Ok(None),
        },
    };
    Ok(Some(vec![out]))
}

fn constant_node(im: &Importer, node: &Node) -> Result<Const, Fail> {
    if let Some(t) = node.tensor("value") {
        return constant::decode(t, im.dir);
    }
    if let Some(a) = node.attribute("value_float") {
        return Ok(Const::reals(vec![], vec![a.f]));
    }
    if let Some(a) = node.attribute("value_int") {
        return Ok(Const::ints(vec![], vec![a.i]));
    }
    if let Some(a) = node.attribute("value_floats") {
        return Ok(Const::reals(vec![a.floats.len()], a.floats.clone()));
    }
    if let Some(a) = node.attribute("value_ints") {
        return Ok(Const::ints(vec![a.ints.len()], a.ints.clone()));
    }
    Err(unsupported("a constant that is no dense tensor of numbers"))
}

fn cast(node: &Node, x: &Const) -> Result<Const, Fail> {
    let to = DataType::try_from(node.int("to", 0) as i32).map_err(|_| invalid("a cast to an unknown type"))?;
    let data = match (to, &x.data) {
        (DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16, _) => Data::F(x.to_reals()),
        (DataType::Bool, Data::F(v)) => Data::I(v.iter().map(|&v| i64::from(v != 0.0)).collect()),
        (DataType::Bool, Data::I(v)) => Data::I(v.iter().map(|&v| i64::from(v != 0)).collect()),
        (DataType::String, _) => return Err(unsupported("a cast to text")),
        (_, Data::F(v)) => Data::I(v.iter().map(|&v| v as i64).collect()),
        (_, Data::I(v)) => Data::I(v.clone()),
    };
    Ok(Const { shape: x.shape.clone(), data, scales: None, kind: to })
}

fn filled(im: &mut Importer, node: &Node, x: &Const) -> Result<Const, Fail> {
    let shape: Vec<usize> = x.to_ints()?.iter().map(|&v| v.max(0) as usize).collect();
    let len = volume(&shape).ok_or_else(|| invalid("too large"))?;
    im.charge(len)?;
    let value = node.tensor("value").map(|t| constant::decode(t, im.dir)).transpose()?;
    let data = match value.map(|c| c.data) {
        Some(Data::I(v)) => Data::I(vec![v.first().copied().unwrap_or(0); len]),
        Some(Data::F(v)) => Data::F(vec![v.first().copied().unwrap_or(0.0); len]),
        None => Data::F(vec![0.0; len]),
    };
    let kind = if matches!(data, Data::I(_)) { DataType::Int64 } else { DataType::Float };
    Ok(Const { shape, data, scales: None, kind })
}

fn range(im: &mut Importer, inputs: &Inputs) -> Result<Const, Fail> {
    let [Some(start), Some(limit), Some(step)] = inputs[..] else { return Err(invalid("a range needs three inputs")) };
    let ints = start.is_int() && limit.is_int() && step.is_int();
    let get = |c: &Const| -> Result<f64, Fail> {
        match &c.data {
            Data::I(v) if v.len() == 1 => Ok(v[0] as f64),
            Data::F(v) if v.len() == 1 => Ok(f64::from(v[0])),
            _ => Err(invalid("a bound of a range should be a scalar")),
        }
    };
    let (a, b, s) = (get(start)?, get(limit)?, get(step)?);
    let n = ((b - a) / s).ceil().max(0.0);
    if n.is_nan() || n >= (1u64 << 32) as f64 {
        return Err(invalid("a range without end"));
    }
    im.charge(n as usize)?;
    let at = |i: usize| a + i as f64 * s;
    let n = n as usize;
    Ok(if ints {
        Const::ints(vec![n], (0..n).map(|i| at(i) as i64).collect())
    } else {
        Const::reals(vec![n], (0..n).map(|i| at(i) as f32).collect())
    })
}

/// `x` broadcast to `shape`.
pub(super) fn spread(im: &mut Importer, x: &Const, shape: &[usize]) -> Result<Const, Fail> {
    im.charge(volume(shape).ok_or_else(|| invalid("too large"))?)?;
    let steps = broadcast_strides(&x.shape, shape).ok_or_else(|| invalid(format!("{:?} does not broadcast to {shape:?}", x.shape)))?;
    Ok(x.pick(shape.to_vec(), &offsets(shape, &steps)))
}

fn tile(im: &mut Importer, x: &Const, times: &[i64]) -> Result<Const, Fail> {
    if times.len() != x.shape.len() || times.iter().any(|&t| t < 0) {
        return Err(invalid(format!("repeats {times:?} of {:?}", x.shape)));
    }
    let shape: Vec<usize> = x.shape.iter().zip(times).map(|(&n, &t)| n.saturating_mul(t as usize)).collect();
    im.charge(volume(&shape).ok_or_else(|| invalid("too large"))?)?;
    let own = strides(&x.shape);
    let mut index = vec![0usize];
    for (a, &n) in shape.iter().enumerate() {
        index = index.iter().flat_map(|&b| (0..n).map(|i| b + i % x.shape[a] * own[a]).collect::<Vec<_>>()).collect();
    }
    Ok(x.pick(shape, &index))
}

fn gather(im: &mut Importer, node: &Node, inputs: &Inputs) -> Result<Const, Fail> {
    let [Some(x), Some(index)] = inputs[..] else { return Err(invalid("a Gather needs two inputs")) };
    let a = node.axis(0, x.shape.len())?;
    let n = x.shape[a] as i64;
    let picks = index.to_ints()?;
    let inner: usize = x.shape[a + 1..].iter().product();
    let outer: usize = x.shape[..a].iter().product();
    let len = volume(&[outer, picks.len(), inner]).ok_or_else(|| invalid("too large"))?;
    im.charge(len)?;
    let mut at = Vec::with_capacity(len);
    for o in 0..outer {
        for &p in &picks {
            let p = if p < 0 { p.saturating_add(n) } else { p };
            if !(0..n).contains(&p) {
                return Err(invalid(format!("index {p} of {n}")));
            }
            let base = (o * x.shape[a] + p as usize) * inner;
            at.extend(base..base + inner);
        }
    }
    let shape = [&x.shape[..a], &index.shape[..], &x.shape[a + 1..]].concat();
    Ok(x.pick(shape, &at))
}

fn split(node: &Node, x: &Const) -> Result<Vec<Const>, Fail> {
    let a = node.axis(0, x.shape.len())?;
    let own = strides(&x.shape);
    let mut start = 0;
    let mut out = Vec::new();
    for length in parts(node, x.shape[a])? {
        let mut shape = x.shape.clone();
        shape[a] = length;
        let index: Vec<usize> = offsets(&shape, &own).into_iter().map(|i| i + start * own[a]).collect();
        out.push(x.pick(shape, &index));
        start += length;
    }
    Ok(out)
}

fn concat(im: &mut Importer, node: &Node, inputs: &Inputs) -> Result<Const, Fail> {
    let parts: Vec<&Const> = inputs.iter().flatten().copied().collect();
    let first = parts.first().ok_or_else(|| invalid("nothing to join"))?;
    let a = axis(node.int("axis", 1), first.shape.len())?;
    let mut shape = first.shape.clone();
    shape[a] = 0;
    for p in &parts {
        let same = p.shape.len() == shape.len() && (0..shape.len()).all(|i| i == a || p.shape[i] == shape[i]);
        if !same || p.is_int() != first.is_int() {
            return Err(invalid(format!("{:?} beside {:?}", p.shape, first.shape)));
        }
        shape[a] += p.shape[a];
    }
    im.charge(volume(&shape).ok_or_else(|| invalid("too large"))?)?;
    let outer: usize = shape[..a].iter().product();
    let chunk = |p: &Const| p.shape[a..].iter().product::<usize>();
    let data = if first.is_int() {
        let lists = parts.iter().map(|p| p.to_ints()).collect::<Result<Vec<_>, _>>()?;
        Data::I(
            (0..outer)
                .flat_map(|o| parts.iter().zip(&lists).flat_map(move |(p, l)| l[o * chunk(p)..(o + 1) * chunk(p)].iter().copied()))
                .collect(),
        )
    } else {
        let lists: Vec<Vec<f32>> = parts.iter().map(|p| p.to_reals()).collect();
        let lists = &lists;
        Data::F(
            (0..outer)
                .flat_map(|o| parts.iter().zip(lists).flat_map(move |(p, l)| l[o * chunk(p)..(o + 1) * chunk(p)].iter().copied()))
                .collect(),
        )
    };
    Ok(Const { shape, data, scales: None, kind: first.kind })
}

fn choose(im: &mut Importer, inputs: &Inputs) -> Result<Const, Fail> {
    let [Some(c), Some(a), Some(b)] = inputs[..] else { return Err(invalid("Where needs three inputs")) };
    let shape = broadcast_shape(&a.shape, &b.shape).and_then(|s| broadcast_shape(&s, &c.shape));
    let shape = shape.ok_or_else(|| invalid("its inputs do not broadcast"))?;
    let (c, a, b) = (spread(im, c, &shape)?.to_ints()?, spread(im, a, &shape)?, spread(im, b, &shape)?);
    Ok(match (&a.data, &b.data) {
        (Data::I(x), Data::I(y)) => Const::ints(shape, (0..c.len()).map(|i| if c[i] != 0 { x[i] } else { y[i] }).collect()),
        _ => {
            let (x, y) = (a.to_reals(), b.to_reals());
            Const::reals(shape, (0..c.len()).map(|i| if c[i] != 0 { x[i] } else { y[i] }).collect())
        }
    })
}

fn binary(im: &mut Importer, node: &Node, a: &Const, b: &Const) -> Result<Const, Fail> {
    let shape = broadcast_shape(&a.shape, &b.shape).ok_or_else(|| invalid(format!("{:?} and {:?} do not broadcast", a.shape, b.shape)))?;
    let op = node.op();
    let floored = node.int("fmod", 0) == 0;
    let (a, b) = (spread(im, a, &shape)?, spread(im, b, &shape)?);
    let logic = |f: fn(f64, f64) -> bool| -> Const {
        let (x, y) = (wide(&a), wide(&b));
        let list = x.iter().zip(&y).map(|(&x, &y)| i64::from(f(x, y))).collect();
        Const { kind: DataType::Bool, ..Const::ints(shape.clone(), list) }
    };
    match op {
        "Equal" => return Ok(logic(|x, y| x == y)),
        "Less" => return Ok(logic(|x, y| x < y)),
        "Greater" => return Ok(logic(|x, y| x > y)),
        "LessOrEqual" => return Ok(logic(|x, y| x <= y)),
        "GreaterOrEqual" => return Ok(logic(|x, y| x >= y)),
        "And" => return Ok(logic(|x, y| x != 0.0 && y != 0.0)),
        "Or" => return Ok(logic(|x, y| x != 0.0 || y != 0.0)),
        _ => {}
    }
    if let (Data::I(x), Data::I(y)) = (&a.data, &b.data) {
        let f = |x: i64, y: i64| -> Option<i64> {
            match op {
                "Add" | "Sum" => x.checked_add(y),
                "Sub" => x.checked_sub(y),
                "Mul" => x.checked_mul(y),
                "Div" => x.checked_div(y),
                "Min" => Some(x.min(y)),
                "Max" => Some(x.max(y)),
                "Mod" if floored => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
                "Mod" => x.checked_rem(y),
                _ => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
            }
        };
        let list = x.iter().zip(y).map(|(&x, &y)| f(x, y)).collect::<Option<Vec<_>>>();
        let list = list.ok_or_else(|| invalid("integer arithmetic overflows or divides by 0"))?;
        return Ok(Const { kind: a.kind, ..Const::ints(shape, list) });
    }
    let f = |x: f32, y: f32| match op {
        "Add" | "Sum" => x + y,
        "Sub" => x - y,
        "Mul" => x * y,
        "Div" => x / y,
        "Min" => x.min(y),
        "Max" => x.max(y),
        "Mod" => x % y,
        _ => x.powf(y),
    };
    let (x, y) = (a.to_reals(), b.to_reals());
    Ok(Const::reals(shape, x.iter().zip(&y).map(|(&x, &y)| f(x, y)).collect()))
}

/// Of weights that are standardised in the graph: by statistics that are given, or in training mode by their own.
fn normalised(node: &Node, x: &Const, inputs: &Inputs) -> Result<Const, Fail> {
    let own = node.int("training_mode", 0) != 0;
    let &[n, channels, ref rest @ ..] = &x.shape[..] else {
        return Err(invalid(format!("a value of shape {:?} has no channels", x.shape)));
    };
    let size: usize = rest.iter().product();
    let values = wide(x);
    let list = |i: usize| -> Result<Vec<f64>, Fail> {
        let c = inputs.get(i).copied().flatten().filter(|c| c.len() == channels);
        c.map(wide).ok_or_else(|| invalid(format!("input {i} has not one entry for each of {channels} channels")))
    };
    let channel = |c: usize| (0..n).flat_map(move |b| (b * channels + c) * size..(b * channels + c + 1) * size);
    let epsilon = f64::from(node.float("epsilon", 1e-5));
    let (scale, shift, given) = (list(1)?, list(2)?, if own { None } else { Some((list(3)?, list(4)?)) });
    let mut out = vec![0f32; values.len()];
    for c in 0..channels {
        let mean_of = |f: &dyn Fn(f64) -> f64| channel(c).map(|i| f(values[i])).sum::<f64>() / (n * size).max(1) as f64;
        let (mean, variance) = given.as_ref().map_or_else(
            || {
                let mean = mean_of(&|v| v);
                (mean, mean_of(&|v| (v - mean).powi(2)))
            },
            |(mean, variance)| (mean[c], variance[c]),
        );
        let factor = scale[c] / (variance + epsilon).sqrt();
        channel(c).for_each(|i| out[i] = ((values[i] - mean) * factor + shift[c]) as f32);
    }
    Ok(Const::reals(x.shape.clone(), out))
}

fn clipped(node: &Node, x: &Const, inputs: &Inputs) -> Result<Const, Fail> {
    let bound = |i: usize| inputs.get(i).copied().flatten();
    if let Data::I(v) = &x.data {
        let whole = |i: usize, open: i64| bound(i).map_or(Ok(open), |c| c.to_ints().map(|l| l.first().copied().unwrap_or(open)));
        let (lo, hi) = (whole(1, i64::MIN)?, whole(2, i64::MAX)?);
        return Ok(Const { data: Data::I(v.iter().map(|&v| v.max(lo).min(hi)).collect()), ..x.clone() });
    }
    let real = |i: usize, name: &str, open: f32| bound(i).map_or(node.float(name, open), |c| c.scalar().unwrap_or(open));
    let (lo, hi) = (real(1, "min", f32::NEG_INFINITY), real(2, "max", f32::INFINITY));
    Ok(Const::reals(x.shape.clone(), x.to_reals().iter().map(|v| v.max(lo).min(hi)).collect()))
}

fn wide(c: &Const) -> Vec<f64> {
    match &c.data {
        Data::I(v) => v.iter().map(|&v| v as f64).collect(),
        Data::F(v) => v.iter().map(|&v| v.into()).collect(),
    }
}

fn reduce(im: &mut Importer, node: &Node, x: &Const) -> Result<Const, Fail> {
    let rank = x.shape.len();
    let axes = node.axes(1, rank)?.filter(|a| !a.is_empty()).unwrap_or((0..rank).collect());
    let keep = node.int("keepdims", 1) != 0;
    let kept: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).collect();
    let own = strides(&x.shape);
    let pickup = |list: &[usize]| -> (Vec<usize>, Vec<usize>) {
        (list.iter().map(|&a| x.shape[a]).collect(), list.iter().map(|&a| own[a]).collect())
    };
    let ((outer, outer_steps), (inner, inner_steps)) = (pickup(&kept), pickup(&axes));
    im.charge(x.len())?;
    let (bases, digits) = (offsets(&outer, &outer_steps), offsets(&inner, &inner_steps));
    if digits.is_empty() {
        return Err(invalid("nothing to reduce"));
    }
    let values = wide(x);
    let total = |base: &usize| -> f64 {
        let list = digits.iter().map(|d| values[base + d]);
        match node.op() {
            "ReduceProd" => list.product(),
            "ReduceSum" => list.sum(),
            "ReduceMean" => list.sum::<f64>() / digits.len() as f64,
            "ReduceMax" => list.fold(f64::NEG_INFINITY, f64::max),
            "ReduceL1" => list.map(f64::abs).sum(),
            "ReduceL2" => list.map(|v| v * v).sum::<f64>().sqrt(),
            "ReduceSumSquare" => list.map(|v| v * v).sum(),
            _ => list.fold(f64::INFINITY, f64::min),
        }
    };
    let made: Vec<f64> = bases.iter().map(total).collect();
    let shape: Vec<usize> =
        (0..rank).filter(|a| keep || !axes.contains(a)).map(|a| if axes.contains(&a) { 1 } else { x.shape[a] }).collect();
    Ok(if x.is_int() {
        Const::ints(shape, made.iter().map(|&v| v as i64).collect())
    } else {
        Const::reals(shape, made.iter().map(|&v| v as f32).collect())
    })
}

fn unary<'a>(node: &Node, x: impl Fn() -> Result<&'a Const, Fail>) -> Result<Option<Const>, Fail> {
    let f: fn(f32) -> f32 = match node.op() {
        "Exp" => f32::exp,
        "Log" => f32::ln,
        "Sqrt" => f32::sqrt,
        "Reciprocal" => f32::recip,
        "Floor" => f32::floor,
        "Ceil" => f32::ceil,
        "Round" => f32::round_ties_even,
        "Tanh" => f32::tanh,
        "Sigmoid" => |v| 1.0 / (1.0 + (-v).exp()),
        "Relu" => |v| v.max(0.0),
        "Abs" | "Neg" | "Not" | "Sign" => |v| v,
        _ => return Ok(None),
    };
    let x = x()?;
    let data = match (&x.data, node.op()) {
        (Data::I(v), "Abs") => Data::I(v.iter().map(|v| v.saturating_abs()).collect()),
        (Data::I(v), "Neg") => Data::I(v.iter().map(|v| v.saturating_neg()).collect()),
        (Data::I(v), "Not") => Data::I(v.iter().map(|&v| i64::from(v == 0)).collect()),
        (Data::I(v), "Sign") => Data::I(v.iter().map(|v| v.signum()).collect()),
        (Data::I(v), "Relu") => Data::I(v.iter().map(|&v| v.max(0)).collect()),
        (Data::I(v), "Floor" | "Ceil" | "Round") => Data::I(v.clone()),
        (Data::F(v), "Abs") => Data::F(v.iter().map(|v| v.abs()).collect()),
        (Data::F(v), "Neg") => Data::F(v.iter().map(|v| -v).collect()),
        (Data::F(v), "Sign") => Data::F(v.iter().map(|&v| if v == 0.0 { 0.0 } else { v.signum() }).collect()),
        _ => Data::F(x.to_reals().into_iter().map(f).collect()),
    };
    Ok(Some(Const { shape: x.shape.clone(), data, scales: None, kind: x.kind }))
}
