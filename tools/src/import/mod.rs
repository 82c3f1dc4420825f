//! An ONNX file becomes a graph of maps.
//!
//! The protobuf is converted operator by operator with shapes and constants worked out on the way:
//!
//! ```text
//! nodes that outputs need, in topological order (`part`):
//!     all inputs constant           -> evaluate (`fold`)
//!     If, its condition constant    -> the branch's nodes
//!     moves no numbers              -> another view of the same map (`view`, `ops::shape`)
//!     else                          -> ask for the layout the operator wants (`layout`), emit graph nodes (`ops`)
//! ```
//!
//! A value is a constant or a view of a map ([`view::View`]), so NCHW, NHWC, shuffles and flattening cost nothing until
//! an operator insists on a layout. QuantizeLinear and DequantizeLinear leave the graph as [`crate::ir::Codes`].
//!
//! What cannot be converted is collected over the whole model and reported at once. Batch is 1; shapes are static.
//! Memory is bounded: constants and index lists are charged against a budget that grows with the file.

mod constant;
mod fold;
mod layout;
mod node;
mod ops;
mod part;
mod ports;
mod view;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use crate::ir::{self, Graph, Op, Shape, Tensor, TensorId};
use constant::Const;
use node::Node;
use view::View;

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shape of the (first) model input, for models that leave dimensions open: `--input-shape 1,3,224,224`.
    pub input_shape: Option<Vec<usize>>,
    /// Values to take for the outputs, by name; the model's own ones where empty.
    pub outputs: Vec<String>,
}

/// One operator that has no counterpart here.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsupported {
    pub op: String,
    pub node: String,
    /// What is missing and the way out.
    pub what: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("not an ONNX model: {0}")]
    Decode(String),
    /// The model contradicts itself or the ONNX specification.
    #[error("{at}: {what}")]
    Invalid { at: String, what: String },
    #[error("{}", list(.0))]
    Unsupported(Vec<Unsupported>),
}

/// Most lines of an unsupported list that are spelt out for each operator and reason.
const LISTED: usize = 3;

fn list(all: &[Unsupported]) -> String {
    let mut text = format!("{} node{} cannot be converted:", all.len(), if all.len() == 1 { "" } else { "s" });
    let mut groups: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for u in all {
        match groups.iter_mut().find(|g| (g.0, g.1) == (&*u.op, &*u.what)) {
            Some(g) => g.2.push(&u.node),
            None => groups.push((&u.op, &u.what, vec![&u.node])),
        }
    }
    for (op, what, nodes) in groups {
        let names = nodes.iter().take(LISTED).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        let more = if nodes.len() > LISTED { format!(" and {} more", nodes.len() - LISTED) } else { String::new() };
        text += &format!("\n  {op} {names}{more}: {what}");
    }
    text
}

/// Why one node failed.
#[derive(Debug)]
enum Fail {
    Unsupported(String),
    Invalid(String),
}

fn unsupported(what: impl Into<String>) -> Fail {
    Fail::Unsupported(what.into())
}

fn invalid(what: impl Into<String>) -> Fail {
    Fail::Invalid(what.into())
}

/// Imports the model at `path`; external data is looked for beside it.
pub fn load(path: &Path, options: &Options) -> Result<Graph, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    import(&bytes, options, path.parent())
}

/// Imports a model that needs no other file.
pub fn from_bytes(bytes: &[u8], options: &Options) -> Result<Graph, Error> {
    import(bytes, options, None)
}

fn import(bytes: &[u8], options: &Options, dir: Option<&Path>) -> Result<Graph, Error> {
    let model = ModelProto::decode(bytes).map_err(|e| Error::Decode(e.to_string()))?;
    let proto = model.graph.ok_or_else(|| Error::Decode("there is no graph in it".into()))?;
    let proto = part::needed(proto, &options.outputs);
    let opset = model.opset_import.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx").map_or(1, |o| o.version);
    let external: u64 = match dir {
        Some(_) => proto.initializer.iter().filter(|t| t.data_location == Some(1)).map(|t| size_on_disk(&t.dims)).sum(),
        None => 0,
    };
    let mut importer = Importer {
        graph: Graph::default(),
        values: HashMap::new(),
        realised: HashMap::new(),
        opset,
        dir,
        budget: (1 << 25) + 16 * (bytes.len() as u64 + external).min(1 << 31) as usize,
        unsupported: Vec::new(),
        current: String::new(),
    };
    importer.run(&proto, options)?;
    let graph = importer.graph;
    ir::verify(&graph).map_err(|what| Error::Invalid { at: "converted graph".into(), what })?;
    Ok(graph)
}

/// Bytes an external tensor of these extents claims.
fn size_on_disk(dims: &[i64]) -> u64 {
    dims.iter().try_fold(4u64, |a, &d| a.checked_mul(u64::try_from(d).ok()?)).unwrap_or(0)
}

#[derive(Clone, Debug)]
enum Value {
    Const(Rc<Const>),
    Map(View),
    /// The output of a node that was not converted.
    Lost,
}

impl From<Const> for Value {
    fn from(c: Const) -> Value {
        Value::Const(Rc::new(c))
    }
}

impl Value {
    /// The value as a map of reals.
    fn map(&self) -> Result<&View, Fail> {
        match self {
            Value::Map(v) if v.int.is_none() => Ok(v),
            Value::Map(_) => Err(unsupported("arithmetic on integer codes; put a DequantizeLinear or Cast before it")),
            Value::Const(_) => Err(unsupported("a constant where a map belongs; fold it (onnxsim)")),
            Value::Lost => Err(unsupported("its input could not be converted")),
        }
    }

    fn shape(&self) -> Result<Vec<usize>, Fail> {
        match self {
            Value::Map(v) => Ok(v.shape()),
            Value::Const(c) => Ok(c.shape.clone()),
            Value::Lost => Err(unsupported("its input could not be converted")),
        }
    }
}

struct Importer<'a> {
    graph: Graph,
    values: HashMap<String, Value>,
    realised: HashMap<layout::Wanted, TensorId>,
    opset: i64,
    dir: Option<&'a Path>,
    /// Elements of constants and index lists that may still be made.
    budget: usize,
    unsupported: Vec<Unsupported>,
    /// Name of the ONNX value being made; nodes and tensors are named after it.
    current: String,
}

/// Most elements of one map, and of one of its axes.
const MAP_LIMIT: usize = 1 << 28;
const AXIS_LIMIT: usize = 1 << 24;

impl Importer<'_> {
    fn run(&mut self, proto: &GraphProto, options: &Options) -> Result<(), Error> {
        self.initializers(proto)?;
        for t in &proto.sparse_initializer {
            let name = t.values.as_ref().map_or("", |v| v.name.as_str());
            self.give_up("sparse initializer", name, "store the weights densely".into());
            self.values.insert(name.into(), Value::Lost);
        }
        self.make_inputs(proto, options)?;
        for node in part::sorted(&proto.node)? {
            self.convert(node)?;
        }
        for out in &proto.output {
            let made = self.make_output(out);
            self.settle_failure("output", &out.name, made)?;
        }
        if !self.unsupported.is_empty() {
            return Err(Error::Unsupported(std::mem::take(&mut self.unsupported)));
        }
        if self.graph.outputs.is_empty() {
            return Err(Error::Invalid { at: "graph".into(), what: "it has no outputs".into() });
        }
        Ok(())
    }

    fn initializers(&mut self, proto: &GraphProto) -> Result<(), Error> {
        for t in &proto.initializer {
            let at = || format!("initializer `{}`", t.name);
            let value = constant::decode(t, self.dir).and_then(|c| self.charged(c));
            match value {
                Ok(c) => _ = self.values.insert(t.name.clone(), c),
                Err(Fail::Invalid(what)) => return Err(Error::Invalid { at: at(), what }),
                Err(Fail::Unsupported(what)) => {
                    self.give_up("initializer", &t.name, what);
                    self.values.insert(t.name.clone(), Value::Lost);
                }
            }
        }
        Ok(())
    }

    /// The outputs of a branch, which sees the values around it and keeps its own names to itself.
    fn inline(&mut self, branch: &GraphProto) -> Result<Vec<Value>, Error> {
        self.initializers(branch)?;
        for node in part::sorted(&branch.node)? {
            self.convert(node)?;
        }
        let made = branch.output.iter().map(|o| {
            let what = || Error::Invalid { at: format!("output `{}` of a branch", o.name), what: "no node makes it".into() };
            self.values.get(&o.name).cloned().ok_or_else(what)
        });
        let made = made.collect();
        let own = branch.node.iter().flat_map(|n| &n.output).chain(branch.initializer.iter().map(|t| &t.name));
        own.for_each(|name| _ = self.values.remove(name));
        made
    }

    fn convert(&mut self, proto: &NodeProto) -> Result<(), Error> {
        let mut inputs = Vec::with_capacity(proto.input.len());
        for name in &proto.input {
            inputs.push(match self.values.get(name) {
                _ if name.is_empty() => None,
                Some(v) => Some(v.clone()),
                None => {
                    return Err(Error::Invalid { at: part::at(proto), what: format!("input `{name}` is never made") });
                }
            });
        }
        let first = proto.output.iter().find(|o| !o.is_empty());
        self.current = first.cloned().unwrap_or_else(|| proto.name.clone());
        let node = Node { proto, name: part::name(proto).into(), inputs, opset: self.opset };
        let lost = node.inputs.iter().any(|v| matches!(v, Some(Value::Lost)));
        let made = match node.branch() {
            Some(branch) => self.inline(branch)?,
            None => {
                let made = if lost && ops::known(&node) { Ok(Vec::new()) } else { ops::convert(self, &node) };
                self.settle_failure(&proto.op_type, &node.name, made)?.unwrap_or_default()
            }
        };
        for (i, name) in proto.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            let value = made.get(i).cloned().unwrap_or(Value::Lost);
            if self.values.insert(name.clone(), value).is_some() {
                return Err(part::exists(proto, name));
            }
        }
        Ok(())
    }

    /// Notes an unsupported operator and goes on; contradictions stop the import.
    fn settle_failure<T>(&mut self, op: &str, name: &str, result: Result<T, Fail>) -> Result<Option<T>, Error> {
        match result {
            Ok(v) => Ok(Some(v)),
            Err(Fail::Invalid(what)) => Err(Error::Invalid { at: format!("node `{name}` ({op})"), what }),
            Err(Fail::Unsupported(what)) => {
                self.give_up(op, name, what);
                Ok(None)
            }
        }
    }

    fn give_up(&mut self, op: &str, name: &str, what: String) {
        self.unsupported.push(Unsupported { op: op.into(), node: name.into(), what });
    }

    /// Takes `elements` from the budget.
    fn charge(&mut self, elements: usize) -> Result<(), Fail> {
        self.budget = self
            .budget
            .checked_sub(elements)
            .ok_or_else(|| invalid("the model unfolds into far more constant data than its file holds"))?;
        Ok(())
    }

    fn charged(&mut self, c: Const) -> Result<Value, Fail> {
        // Also where an extent is 0, steps through the others must not overflow.
        let steps = c.shape.iter().try_fold(1usize, |a, &n| a.checked_mul(n.max(1)));
        if c.shape.len() > constant::RANK_LIMIT || steps.is_none() {
            return Err(invalid(format!("a constant of shape {:?}", c.shape)));
        }
        self.charge(c.len())?;
        Ok(c.into())
    }

    fn shape_of(&self, tensor: TensorId) -> Shape {
        self.graph.tensors[tensor].shape
    }

    fn checked_shape(&self, [h, w, c]: [usize; 3]) -> Result<Shape, Fail> {
        let len = constant::volume(&[h, w, c]);
        match len {
            Some(1..=MAP_LIMIT) if [h, w, c].iter().all(|&n| n <= AXIS_LIMIT) => Ok(Shape { h, w, c }),
            Some(0) => Err(invalid("a tensor without elements")),
            _ => Err(invalid(format!("a tensor of {h} x {w} x {c} elements is beyond what can be run"))),
        }
    }

    fn tensor(&mut self, name: String, shape: Shape) -> TensorId {
        self.graph.tensors.push(Tensor { name, shape, codes: None, constant: None });
        self.graph.tensors.len() - 1
    }

    /// Adds a node and its output. Operators that only move numbers keep the codes of their source.
    fn emit(&mut self, name: String, op: Op, inputs: Vec<TensorId>, shape: Shape) -> TensorId {
        let moves = matches!(
            op,
            Op::Index { .. } | Op::Channels { .. } | Op::Reshape | Op::Permute { .. } | Op::DepthToSpace { .. } | Op::SpaceToDepth { .. }
        );
        let codes = if moves { self.graph.tensors[inputs[0]].codes } else { None };
        let output = self.tensor(name.clone(), shape);
        self.graph.tensors[output].codes = codes;
        self.graph.nodes.push(ir::Node { name, op, inputs, output });
        output
    }

    /// Name for a node that only lays `tensor` out anew.
    fn layout_name(&self, tensor: TensorId) -> String {
        format!("{}/layout", self.graph.tensors[tensor].name)
    }

    fn constant(&mut self, shape: Shape, values: Vec<f32>) -> TensorId {
        let id = self.tensor(format!("{}/constant", self.current), shape);
        self.graph.tensors[id].constant = Some(values);
        id
    }
}
