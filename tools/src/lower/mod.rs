//! From a graph and its codes to an artifact.
//!
//! ```text
//! Graph + calibrate::Plan
//!   -> items    nodes become steps: activations, clamps and residual additions fuse into their convolution
//!   -> homes    who lies in whose memory: concatenations and reshapes become views; who needs a border
//!   -> memory   which tensors are held, segments, arena offsets
//!   -> chains   which tensors are passed on through a few lines
//!   -> emit     records, packed weights, tables
//! ```

mod chains;
mod emit;
mod homes;
mod importance;
mod input;
mod items;
mod mean;
mod memory;
mod pack;

pub use input::fold_input;
pub use memory::Hold;

pub use crate::artifact::{Norm, StepInfo};

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use quiescent::format::{Builder, Profile};

use crate::calibrate::{Plan, Store};
use crate::ir::{Graph, Shape};

/// Choices that are not in the graph.
#[derive(Clone, Debug)]
pub struct Options {
    pub profile: Profile,
    /// Which tensors keep their rows.
    pub hold: Hold,
    /// Gates on (thresholds start at 0 and are set by the search) or off.
    pub gates: bool,
    /// Steps run in chains, through a few lines, where that saves memory; results are the same either way.
    pub bands: bool,
    /// Bytes the tensors should fit into: chains take fewer lines at a time where they would not.
    pub most: Option<usize>,
}

/// The artifact's records, and what people want to know of them.
pub struct Lowered {
    pub builder: Builder,
    pub steps: Vec<StepInfo>,
    /// Names of the artifact's tensors.
    pub tensors: Vec<String>,
    /// Arena with everything but the input reused, and as planned, in bytes of tensors.
    pub dense_bytes: usize,
    pub planned_bytes: usize,
}

/// A tensor of the artifact: those of the graph keep their number, copies and slices follow.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub name: String,
    pub shape: Shape,
    pub store: Store,
}

/// The working state of the stages.
pub(crate) struct Lowering<'g> {
    pub graph: &'g Graph,
    pub plan: &'g Plan,
    pub values: Vec<Option<Value>>,
    pub items: Vec<items::Item>,
    pub homes: BTreeMap<usize, homes::Home>,
    pub borders: Vec<crate::ir::Pad>,
}

impl Lowering<'_> {
    pub fn value(&self, t: usize) -> Result<&Value> {
        match self.values.get(t).and_then(|v| v.as_ref()) {
            Some(v) => Ok(v),
            None => bail!("tensor {t} has no storage; this is a defect of the converter"),
        }
    }

    pub fn add(&mut self, name: String, shape: Shape, store: Store) -> usize {
        self.values.push(Some(Value { name, shape, store }));
        self.borders.push(Default::default());
        self.values.len() - 1
    }
}

/// The pieces of memory a plan may hold or let go: tensor and bytes.
pub fn pieces(graph: &Graph, plan: &Plan) -> Result<Vec<(usize, usize)>> {
    memory::choices(&placed(graph, plan)?)
}

/// Lowers a graph whose tensors `plan` has given codes.
pub fn lower(graph: &Graph, plan: &Plan, options: &Options) -> Result<Lowered> {
    let l = placed(graph, plan)?;
    let memory = memory::plan(&l, options)?;
    let mut lowered = emit::emit(&l, &memory, options)?;
    lowered.builder.header.profile = options.profile as u16;
    Ok(lowered)
}

/// Most rows, columns and channels of a map in the format.
const EXTENT_LIMIT: usize = 65535;

/// Steps, views and borders: everything before memory.
fn placed<'g>(graph: &'g Graph, plan: &'g Plan) -> Result<Lowering<'g>> {
    for (t, _) in graph.tensors.iter().zip(&plan.tensors).filter(|(t, store)| store.is_some() && t.constant.is_none()) {
        let Shape { h, w, c } = t.shape;
        ensure!(
            [h, w, c].iter().all(|&n| n <= EXTENT_LIMIT),
            "\"{}\" is a map of {h} x {w} x {c} (rows, columns, channels), of each {EXTENT_LIMIT} are the most; where it is an output laid flat, \
             take the value before that (--outputs)",
            t.name
        );
    }
    let values = graph.tensors.iter().enumerate().map(|(i, t)| {
        let store = plan.tensors.get(i).cloned().flatten()?;
        t.constant.is_none().then(|| Value { name: t.name.clone(), shape: t.shape, store })
    });
    let mut l = Lowering {
        graph,
        plan,
        values: values.collect(),
        items: Vec::new(),
        homes: BTreeMap::new(),
        borders: vec![Default::default(); graph.tensors.len()],
    };
    items::build(&mut l)?;
    homes::assign(&mut l)?;
    Ok(l)
}
