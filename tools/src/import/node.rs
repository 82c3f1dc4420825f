//! One ONNX node as the converters see it: its inputs and attributes, with errors that say what is wrong.

use std::rc::Rc;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::constant::Const;
use super::view::View;
use super::{Fail, Value, invalid, unsupported};

/// Largest kernel, stride, dilation or pad accepted, in pixels.
const EXTENT_LIMIT: i64 = 1 << 20;

pub(super) struct Node<'a> {
    pub proto: &'a NodeProto,
    pub name: String,
    pub inputs: Vec<Option<Value>>,
    pub opset: i64,
}

impl Node<'_> {
    pub fn op(&self) -> &str {
        &self.proto.op_type
    }

    /// Input `i`, which may be left out.
    pub fn optional(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(|v| v.as_ref())
    }

    pub fn value(&self, i: usize) -> Result<&Value, Fail> {
        self.optional(i).ok_or_else(|| invalid(format!("input {i} is missing")))
    }

    /// Input `i` as a map, of reals or codes.
    pub fn any_map(&self, i: usize) -> Result<&View, Fail> {
        match self.value(i)? {
            Value::Map(v) => Ok(v),
            Value::Const(_) => {
                Err(unsupported(format!("input {i} is a constant where a map belongs; exchange the inputs, or fold it (onnxsim)")))
            }
            Value::Lost => Err(unsupported("its input could not be converted")),
        }
    }

    /// Input `i` as a map of reals.
    pub fn map(&self, i: usize) -> Result<&View, Fail> {
        let view = self.any_map(i)?;
        match view.int {
            None => Ok(view),
            Some(_) => Err(unsupported("arithmetic on integer codes; put a DequantizeLinear or Cast before it")),
        }
    }

    pub fn constant(&self, i: usize, what: &str) -> Result<&Rc<Const>, Fail> {
        match self.value(i)? {
            Value::Const(c) => Ok(c),
            _ => Err(unsupported(format!("{what} is computed at run time; it must be a constant"))),
        }
    }

    pub fn optional_constant(&self, i: usize, what: &str) -> Result<Option<&Rc<Const>>, Fail> {
        self.optional(i).map(|_| self.constant(i, what)).transpose()
    }

    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.proto.attribute.iter().find(|a| a.name == name)
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i)
    }

    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f)
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|a| a.ints.as_slice())
    }

    pub fn text(&self, name: &str, default: &str) -> String {
        self.attribute(name).map_or(default.to_string(), |a| String::from_utf8_lossy(&a.s).into_owned())
    }

    pub fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute(name).and_then(|a| a.t.as_ref())
    }

    /// What an If with a constant condition stands for.
    pub fn branch(&self) -> Option<&GraphProto> {
        let (true, Some(Value::Const(condition))) = (self.op() == "If", self.optional(0)) else { return None };
        let taken = if *condition.to_ints().ok()?.first()? != 0 { "then_branch" } else { "else_branch" };
        self.attribute(taken)?.g.as_ref()
    }

    /// `count` extents in pixels from an attribute; `least` is the smallest allowed.
    pub fn extents(&self, name: &str, count: usize, least: i64, default: usize) -> Result<Vec<usize>, Fail> {
        let Some(list) = self.ints(name) else { return Ok(vec![default; count]) };
        if list.len() != count {
            return Err(invalid(format!("{name} {list:?} should have {count} entries")));
        }
        list.iter()
            .map(|&v| match v {
                v if (least..=EXTENT_LIMIT).contains(&v) => Ok(v as usize),
                v => Err(invalid(format!("{name} holds {v}"))),
            })
            .collect()
    }

    /// Axes from an attribute or, since some opset, from constant input `i`; resolved against `rank`.
    pub fn axes(&self, i: usize, rank: usize) -> Result<Option<Vec<usize>>, Fail> {
        let list = match (self.ints("axes"), self.optional(i)) {
            (Some(list), _) => list.to_vec(),
            (None, Some(_)) => self.constant(i, "the list of axes")?.to_ints()?,
            (None, None) => return Ok(None),
        };
        let axes = list.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err(invalid(format!("axes {axes:?} repeat")));
        }
        Ok(Some(axes))
    }

    pub fn axis(&self, default: i64, rank: usize) -> Result<usize, Fail> {
        axis(self.int("axis", default), rank)
    }
}

/// Axis `a` of a value of `rank`, counted from the end when negative.
pub(super) fn axis(a: i64, rank: usize) -> Result<usize, Fail> {
    let resolved = if a < 0 { a.saturating_add(rank as i64) } else { a };
    match usize::try_from(resolved) {
        Ok(r) if r < rank => Ok(r),
        _ => Err(invalid(format!("axis {a} of a value of rank {rank}"))),
    }
}
