//! QuantizeLinear, DequantizeLinear and Cast of maps: the numbers stay real, the map remembers its codes.

use tract_onnx::pb::tensor_proto::DataType;

use crate::import::constant::{Const, Data};
use crate::import::node::Node;
use crate::import::view::{Int, View};
use crate::import::{Fail, Importer, Value, invalid, unsupported};
use crate::ir::{Codes, Op, Unary};

use super::Made;

/// Scale and zero point of inputs 1 and 2, one for the whole tensor; `signed` if they say so or by `default`.
fn parameters(node: &Node, default: bool) -> Result<(Codes, bool), Fail> {
    let scale = node.constant(1, "the scale")?;
    let value = scale.scalar().ok_or_else(|| unsupported("one scale per channel for a map; use one per tensor"))?;
    if !(value.is_finite() && value > 0.0) {
        return Err(invalid(format!("scale {value}")));
    }
    let (zero, signed) = match node.optional_constant(2, "the zero point")? {
        None => (0, default),
        Some(z) => match (z.kind, z.to_ints()?[..].first()) {
            (DataType::Int8, Some(&v)) => (v, true),
            (DataType::Uint8, Some(&v)) => (v, false),
            (kind, _) => return Err(unsupported(format!("codes of type {kind:?}; int8 and uint8 are supported"))),
        },
    };
    let zero = u8::try_from(zero + if signed { 128 } else { 0 }).map_err(|_| invalid(format!("zero point {zero}")))?;
    Ok((Codes { scale: value, zero }, signed))
}

pub(super) fn quantize(im: &mut Importer, node: &Node) -> Made {
    let x = node.map(0)?;
    let (codes, signed) = parameters(node, false)?;
    let view = if x.covers(im.shape_of(x.tensor)) { x.clone() } else { im.settle(x)?.0 };
    let tensor = coded(im, node, view.tensor, codes);
    Ok(vec![Value::Map(View { tensor, int: Some(Int { signed, codes: Some(codes) }), ..view })])
}

/// `tensor` with these codes: itself where it has none or the same, else a copy that is coded anew.
fn coded(im: &mut Importer, node: &Node, tensor: usize, codes: Codes) -> usize {
    match im.graph.tensors[tensor].codes {
        Some(c) if c == codes => tensor,
        None if im.graph.tensors[tensor].constant.is_none() => {
            im.graph.tensors[tensor].codes = Some(codes);
            tensor
        }
        _ => {
            let map = im.shape_of(tensor);
            let f = Unary::Clamp { lo: f32::NEG_INFINITY, hi: f32::INFINITY };
            let copy = im.emit_node(node, Op::Unary(f), vec![tensor], map);
            im.graph.tensors[copy].codes = Some(codes);
            copy
        }
    }
}

pub(super) fn dequantize(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let Some(int) = x.int else { return Err(invalid("its input is no code")) };
    let (codes, _) = parameters(node, int.signed)?;
    real(im, node, x, int, codes)
}

/// The reals of codes; fixes the codes of an integer graph input on first sight.
fn real(im: &mut Importer, node: &Node, x: &View, int: Int, codes: Codes) -> Made {
    let view = View { int: None, ..x.clone() };
    match int.codes.or(im.graph.tensors[x.tensor].codes) {
        Some(c) if c == codes => Ok(vec![Value::Map(view)]),
        Some(c) => {
            // Read with other parameters than written: an affine map of the value.
            let factor = codes.scale / c.scale;
            let shift = codes.scale * (f32::from(c.zero) - f32::from(codes.zero));
            let scaled = super::elementwise::combine(
                im,
                node,
                crate::ir::Binary::Mul,
                &Value::Map(view),
                &Const::reals(vec![], vec![factor]).into(),
            )?;
            let moved = Const::reals(vec![], vec![shift]).into();
            Ok(vec![super::elementwise::combine(im, node, crate::ir::Binary::Add, &scaled, &moved)?])
        }
        None => {
            let Some(input) = im.graph.inputs.iter_mut().find(|i| i.tensor == x.tensor) else {
                return Err(unsupported("codes whose scale is not known where they arise"));
            };
            input.codes = Some(codes);
            im.graph.tensors[x.tensor].codes = Some(codes);
            Ok(vec![Value::Map(view)])
        }
    }
}

/// Between real types nothing changes; an integer input becomes real with scale 1.
pub(super) fn cast(im: &mut Importer, node: &Node) -> Made {
    let x = node.any_map(0)?;
    let to = DataType::try_from(node.int("to", 0) as i32).map_err(|_| invalid("a cast to an unknown type"))?;
    match (to, x.int) {
        (DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16, None) => Ok(vec![node.value(0)?.clone()]),
        (DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16, Some(int)) => {
            let codes = Codes { scale: 1.0, zero: if int.signed { 128 } else { 0 } };
            real(im, node, x, int, codes)
        }
        // Ones where it is not 0.
        (DataType::Bool, None) => {
            let size = super::elementwise::applied(im, node, Unary::Abs, node.value(0)?)?;
            Ok(vec![super::logic::positive(im, node, &size)?])
        }
        (DataType::Int8, Some(Int { signed: true, .. })) | (DataType::Uint8, Some(Int { signed: false, .. })) => {
            Ok(vec![node.value(0)?.clone()])
        }
        (to, _) => Err(unsupported(format!("a cast of a map to {to:?}; remove it or cut the network before it"))),
    }
}

/// DequantizeLinear of a constant; symmetric int8 or uint8 weights remember their scales.
pub(in crate::import) fn dequantized(node: &Node, x: &Const, scale: &Const, zero: Option<&Const>) -> Result<Const, Fail> {
    let Data::I(values) = &x.data else { return Err(invalid("its input is no code")) };
    let (axis, scales, zeros, step) = per_axis(node, x, scale, zero)?;
    if scales.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        return Err(invalid("a scale is not positive and finite"));
    }
    let at = |i: usize| if scales.len() == 1 { 0 } else { i / step % scales.len() };
    let reals = values.iter().enumerate().map(|(i, &v)| (v - zeros[at(i) % zeros.len()]) as f32 * scales[at(i)]).collect();
    let mut out = Const::reals(x.shape.clone(), reals);
    let symmetric = zeros.iter().all(|&z| z == 0) && values.iter().all(|v| (-128..=127).contains(v));
    if symmetric && x.kind != DataType::Int32 {
        out.scales = Some(crate::import::constant::Scales { axis, values: scales });
    }
    Ok(out)
}

/// QuantizeLinear of a constant.
pub(in crate::import) fn quantized(node: &Node, x: &Const, scale: &Const, zero: Option<&Const>) -> Result<Const, Fail> {
    let (_, scales, zeros, step) = per_axis(node, x, scale, zero)?;
    let kind = zero.map_or(DataType::Uint8, |z| z.kind);
    let (lo, hi) = match kind {
        DataType::Int8 => (-128, 127),
        DataType::Uint8 => (0, 255),
        other => return Err(unsupported(format!("codes of type {other:?}; int8 and uint8 are supported"))),
    };
    let at = |i: usize| if scales.len() == 1 { 0 } else { i / step % scales.len() };
    let reals = x.to_reals();
    let code = |i: usize, v: f32| ((v / scales[at(i)]).round_ties_even() as i64).saturating_add(zeros[at(i) % zeros.len()]).clamp(lo, hi);
    let codes = reals.iter().enumerate().map(|(i, &v)| code(i, v)).collect();
    Ok(Const { shape: x.shape.clone(), data: Data::I(codes), scales: None, kind })
}

type PerAxis = (Option<usize>, Vec<f32>, Vec<i64>, usize);

/// The axis scales run along (`None` for one scale), scales, zero points, and elements per step of the axis.
fn per_axis(node: &Node, x: &Const, scale: &Const, zero: Option<&Const>) -> Result<PerAxis, Fail> {
    if node.int("block_size", 0) != 0 {
        return Err(unsupported("blocked quantisation"));
    }
    let scales = scale.to_reals();
    let zeros = zero.map(Const::to_ints).transpose()?.unwrap_or(vec![0]);
    if scales.is_empty() || zeros.is_empty() || zeros.len() != scales.len() && zeros.len() != 1 {
        return Err(invalid(format!("{} scales with {} zero points", scales.len(), zeros.len())));
    }
    if scales.len() == 1 {
        return Ok((None, scales, zeros, 1));
    }
    let axis = node.axis(1, x.shape.len())?;
    if x.shape[axis] != scales.len() {
        return Err(invalid(format!("{} scales for axis {axis} of {:?}", scales.len(), x.shape)));
    }
    Ok((Some(axis), scales, zeros, x.shape[axis + 1..].iter().product()))
}
