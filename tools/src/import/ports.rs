//! Inputs and outputs of the graph: which ONNX axes are rows, columns and channels, and where the elements of an
//! output lie in its map.

use tract_onnx::pb::{GraphProto, TensorShapeProto, ValueInfoProto, tensor_proto::DataType};
use tract_onnx::pb::{tensor_shape_proto::dimension::Value as Dim, type_proto::Value as TypeValue};

use super::constant::RANK_LIMIT;
use super::view::{Atom, C, Groups, H, Int, View, W, flat_steps, merge};
use super::{Error, Fail, Importer, Options, Value, unsupported};
use crate::ir::{ElementType, Input, Output};

impl Importer<'_> {
    pub(super) fn make_inputs(&mut self, proto: &GraphProto, options: &Options) -> Result<(), Error> {
        let free = proto.input.iter().filter(|i| !self.values.contains_key(&i.name)).collect::<Vec<_>>();
        for (position, info) in free.into_iter().enumerate() {
            let wanted = options.input_shape.as_deref().filter(|_| position == 0);
            let bad = |what: String| Error::Invalid { at: format!("input `{}`", info.name), what };
            let (kind, dims) = described(info).ok_or_else(|| bad("it has no tensor type".into()))?;
            let shape = match resolve(dims, wanted) {
                // --input-shape is for the first input; all of what the model needs is listed.
                Err(_) if position > 0 => {
                    self.give_up("input", &info.name, "an input after the first has to have a fixed shape".into());
                    self.values.insert(info.name.clone(), Value::Lost);
                    continue;
                }
                shape => shape.map_err(bad)?,
            };
            let (onnx_type, int) = match kind {
                DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16 => (ElementType::F32, None),
                DataType::Uint8 => (ElementType::U8, Some(Int { signed: false, codes: None })),
                DataType::Int8 => (ElementType::I8, Some(Int { signed: true, codes: None })),
                other => {
                    self.give_up("input", &info.name, format!("element type {other:?}; f32, u8 and i8 are supported"));
                    self.values.insert(info.name.clone(), Value::Lost);
                    continue;
                }
            };
            let groups = match input_groups(&shape, proto, &info.name) {
                Ok(g) => g,
                Err(what) => {
                    self.give_up("input", &info.name, what);
                    self.values.insert(info.name.clone(), Value::Lost);
                    continue;
                }
            };
            let extents = [H, W, C].map(|k| groups.0[k].first().map_or(1, |&a| shape[a]));
            let map = self.checked_shape(extents).map_err(|e| bad(text_of(e)))?;
            let tensor = self.tensor(info.name.clone(), map);
            let axes = (groups.0[H].first().copied(), groups.0[W].first().copied(), groups.0[C].first().copied());
            let view = View { int, ..View::of_groups(tensor, &shape, &groups) };
            self.values.insert(info.name.clone(), Value::Map(view));
            self.graph.inputs.push(Input { tensor, name: info.name.clone(), onnx_shape: shape, onnx_type, axes, codes: None });
        }
        Ok(())
    }

    pub(super) fn make_output(&mut self, info: &ValueInfoProto) -> Result<(), Fail> {
        let value = match self.values.get(&info.name) {
            Some(v) => v.clone(),
            None => return Err(super::invalid("no node makes it")),
        };
        self.current = info.name.clone();
        let view = match value {
            Value::Lost => return Ok(()),
            Value::Map(v) => v,
            Value::Const(c) => {
                let shape = c.shape.clone();
                let groups = Groups([Vec::new(), Vec::new(), (0..shape.len()).collect()]);
                let map = self.checked_shape([1, 1, c.len()])?;
                let tensor = self.constant(map, c.to_reals());
                View::of_groups(tensor, &shape, &groups)
            }
        };
        let (view, strides) = match self.strides_of(&view) {
            Some(strides) => (view, strides),
            None => {
                let (settled, _) = self.settle(&view)?;
                let strides = self.strides_of(&settled).ok_or_else(|| unsupported("its layout cannot be described"))?;
                (settled, strides)
            }
        };
        let steps = flat_steps(self.shape_of(view.tensor));
        let offset = (0..3).map(|k| view.offset[k] * steps[k] as isize).sum::<isize>();
        let onnx_type = match view.int {
            None => ElementType::F32,
            Some(Int { signed: true, .. }) => ElementType::I8,
            Some(Int { signed: false, .. }) => ElementType::U8,
        };
        self.graph.outputs.push(Output {
            tensor: view.tensor,
            name: info.name.clone(),
            onnx_shape: view.shape(),
            strides,
            offset: offset as usize,
            onnx_type,
            codes: view.int.and_then(|i| i.codes),
        });
        Ok(())
    }

    /// One step in memory for each ONNX axis, where that describes the view.
    fn strides_of(&self, view: &View) -> Option<Vec<usize>> {
        let steps = flat_steps(self.shape_of(view.tensor));
        view.axes
            .iter()
            .map(|list| {
                let flat = list.iter().map(|a| Atom { axis: 0, stride: a.stride * steps[a.axis] as isize, ..*a });
                match merge(flat)[..] {
                    [] => Some(0),
                    // What is repeated has to be a map of its own: no element of an output lies on another.
                    [a] if a.stride == 0 && a.extent > 1 => None,
                    [a] => usize::try_from(a.stride).ok(),
                    _ => None,
                }
            })
            .collect()
    }
}

fn text_of(fail: Fail) -> String {
    match fail {
        Fail::Invalid(s) | Fail::Unsupported(s) => s,
    }
}

fn described(info: &ValueInfoProto) -> Option<(DataType, Option<&TensorShapeProto>)> {
    match info.r#type.as_ref()?.value.as_ref()? {
        TypeValue::TensorType(t) => Some((DataType::try_from(t.elem_type).ok()?, t.shape.as_ref())),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

/// Static extents: an open batch becomes 1, `wanted` overrides.
fn resolve(dims: Option<&TensorShapeProto>, wanted: Option<&[usize]>) -> Result<Vec<usize>, String> {
    let Some(dims) = dims else {
        return wanted.map(<[usize]>::to_vec).ok_or_else(|| "its shape is unknown; give it with --input-shape".into());
    };
    if dims.dim.len() > RANK_LIMIT {
        return Err(format!("its rank is {}", dims.dim.len()));
    }
    if let Some(w) = wanted
        && w.len() != dims.dim.len()
    {
        return Err(format!("--input-shape has {} entries, the model's input has {}", w.len(), dims.dim.len()));
    }
    let mut shape = Vec::with_capacity(dims.dim.len());
    for (i, d) in dims.dim.iter().enumerate() {
        let fixed = match &d.value {
            Some(Dim::DimValue(v)) if *v > 0 => Some(*v as usize),
            _ => None,
        };
        shape.push(match (wanted.map(|w| w[i]), fixed, i) {
            (Some(0), ..) => return Err("--input-shape holds a 0".into()),
            (Some(w), Some(f), _) if w != f => {
                return Err(format!("--input-shape says {w} for axis {i}, which the model fixes at {f}"));
            }
            (Some(w), ..) => w,
            (None, Some(f), _) => f,
            (None, None, 0) if dims.dim.len() > 1 => 1,
            (None, None, _) => {
                return Err(format!("axis {i} is left open by the model; give the whole shape with --input-shape"));
            }
        });
    }
    Ok(shape)
}

/// Rows, columns and channels of an input. For rank 4 the first reader decides between NCHW and NHWC, else the extents.
fn input_groups(shape: &[usize], proto: &GraphProto, name: &str) -> Result<Groups, String> {
    let batch = shape.first().copied().unwrap_or(1);
    let reader = first_reader(proto, name);
    let groups = |h: Option<usize>, w: Option<usize>, c: Option<usize>| Groups([h, w, c].map(|a| a.into_iter().collect()));
    match shape.len() {
        0 => Ok(Groups::default()),
        1 => Ok(groups(None, None, Some(0))),
        2 => Ok(groups(if batch == 1 { None } else { Some(0) }, None, Some(1))),
        3 if batch != 1 => Ok(groups(Some(1), Some(2), Some(0))),
        3 if matches!(reader, Some((op, _)) if op == "Conv" || op == "ConvTranspose") => Ok(groups(Some(2), None, Some(1))),
        3 => Ok(groups(Some(1), None, Some(2))),
        4 if batch != 1 => Err(format!("batch {batch}; export the model with batch 1")),
        4 => {
            let channels_last = match reader {
                Some(("Transpose", perm)) if perm == [0, 3, 1, 2] => true,
                Some(("Conv" | "MaxPool" | "AveragePool" | "BatchNormalization" | "ConvTranspose", _)) => false,
                _ => shape[3] <= 4 && shape[1] > 4,
            };
            Ok(if channels_last { groups(Some(1), Some(2), Some(3)) } else { groups(Some(2), Some(3), Some(1)) })
        }
        rank => {
            let wide: Vec<usize> = (0..rank).filter(|&i| shape[i] > 1).collect();
            match wide[..] {
                [] => Ok(Groups::default()),
                [c] => Ok(groups(None, None, Some(c))),
                [h, c] => Ok(groups(Some(h), None, Some(c))),
                [c, h, w] => Ok(groups(Some(h), Some(w), Some(c))),
                _ => Err(format!("an input of shape {shape:?} is no map of rows, columns and channels")),
            }
        }
    }
}

/// Operator and permutation of the first node that reads `name`, past operators that keep the axes.
fn first_reader<'a>(proto: &'a GraphProto, name: &'a str) -> Option<(&'a str, &'a [i64])> {
    let mut name = name;
    for _ in 0..proto.node.len() {
        let node = proto.node.iter().find(|n| n.input.first().is_some_and(|i| i == name))?;
        match node.op_type.as_str() {
            "DequantizeLinear" | "QuantizeLinear" | "Cast" | "Sub" | "Mul" | "Div" | "Add" | "Pad" | "Identity" => {
                name = node.output.first()?;
            }
            op => {
                let perm = node.attribute.iter().find(|a| a.name == "perm");
                return Some((op, perm.map_or(&[], |a| a.ints.as_slice())));
            }
        }
    }
    None
}
