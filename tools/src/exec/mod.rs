//! The float executor: what a graph means, in f32.
//!
//! It is the reference the quantised network is judged against, and the engine under calibration: [`Executor`] runs
//! frame after frame in buffers it keeps, shows every tensor to a visitor as soon as it is computed (the visitor may
//! change it: that is how quantisation is simulated) and reuses the memory of values nobody reads any more.
//!
//! ```text
//! for node in graph (execution order):
//!     out = buffer of the output's length
//!     op(inputs) -> out;  visit(tensor, out)
//!     inputs whose last reader this was -> free buffers
//! ```
//!
//! Maps are `[H, W, C]` row-major. One thread.

mod check;
mod conv;
mod ops;
#[cfg(test)]
mod tests;
mod unary;

pub use unary::{unary, unary_map};

use crate::ir::{Codes, Graph, Node, Op, Output, Shape, TensorId};
use anyhow::{Result, ensure};

/// The value of every tensor for one set of inputs; constants stay `None`.
pub fn run(g: &Graph, inputs: &[Vec<f32>]) -> Result<Vec<Option<Vec<f32>>>> {
    let mut e = Executor::new(g)?;
    e.keep_all();
    e.run(inputs)?;
    Ok(e.values)
}

/// The elements of an output in ONNX order, from the map it lies in.
pub fn output(o: &Output, map: &[f32]) -> Vec<f32> {
    let mut out = Vec::with_capacity(o.onnx_shape.iter().product());
    let mut at = vec![0; o.onnx_shape.len()];
    if o.onnx_shape.contains(&0) {
        return out;
    }
    loop {
        out.push(map[o.offset + at.iter().zip(&o.strides).map(|(i, s)| i * s).sum::<usize>()]);
        let mut axis = at.len();
        loop {
            if axis == 0 {
                return out;
            }
            axis -= 1;
            at[axis] += 1;
            if at[axis] < o.onnx_shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// Runs one graph on many frames.
pub struct Executor<'g> {
    graph: &'g Graph,
    /// Of each node, the convolution's weights in execution order.
    prepared: Vec<Vec<f32>>,
    /// Of each node, the tensors nobody reads after it.
    dead: Vec<Vec<TensorId>>,
    values: Vec<Option<Vec<f32>>>,
    free: Vec<Vec<f32>>,
    cols: Vec<f32>,
}

impl<'g> Executor<'g> {
    /// Checks the graph. Errors name the node.
    pub fn new(graph: &'g Graph) -> Result<Self> {
        check::graph(graph)?;
        let prepared = graph
            .nodes
            .iter()
            .map(|n| match &n.op {
                Op::Conv(c) => conv::prepare(c, graph.tensors[n.inputs[0]].shape.c),
                _ => Vec::new(),
            })
            .collect();
        let mut e =
            Executor { graph, prepared, dead: Vec::new(), values: vec![None; graph.tensors.len()], free: Vec::new(), cols: Vec::new() };
        e.keep(&[]);
        Ok(e)
    }

    /// Keeps these tensors (and the outputs) for [`Executor::value`]; the others are freed after their last reader.
    pub fn keep(&mut self, tensors: &[TensorId]) {
        let g = self.graph;
        let mut last: Vec<Option<usize>> = vec![None; g.tensors.len()];
        for (k, n) in g.nodes.iter().enumerate() {
            last[n.output] = Some(k);
            n.inputs.iter().for_each(|&i| last[i] = Some(k));
        }
        g.outputs.iter().for_each(|o| last[o.tensor] = None);
        tensors.iter().for_each(|&t| last[t] = None);
        self.dead = vec![Vec::new(); g.nodes.len()];
        for (t, k) in last.iter().enumerate() {
            if let (Some(k), None) = (k, &g.tensors[t].constant) {
                self.dead[*k].push(t);
            }
        }
    }

    /// Keeps every tensor.
    pub fn keep_all(&mut self) {
        self.dead.iter_mut().for_each(Vec::clear);
    }

    /// Runs one frame: `inputs` in the graph's order, each a map.
    pub fn run(&mut self, inputs: &[Vec<f32>]) -> Result<()> {
        self.run_hooked(inputs, |_, _| {})
    }

    /// As [`Executor::run`]; `visit` sees every input and every computed tensor.
    pub fn run_with(&mut self, inputs: &[Vec<f32>], mut visit: impl FnMut(TensorId, &[f32])) -> Result<()> {
        self.run_hooked(inputs, |t, v| visit(t, v))
    }

    /// As [`Executor::run_with`]; what `visit` writes is what later nodes read.
    pub fn run_hooked(&mut self, inputs: &[Vec<f32>], mut visit: impl FnMut(TensorId, &mut [f32])) -> Result<()> {
        let g = self.graph;
        ensure!(inputs.len() == g.inputs.len(), "{} inputs given, the model takes {}", inputs.len(), g.inputs.len());
        for t in 0..self.values.len() {
            self.retire(t);
        }
        for (i, x) in g.inputs.iter().zip(inputs) {
            let s = g.tensors[i.tensor].shape;
            ensure!(x.len() == s.len(), "input '{}' has {} values, {s:?} wants {}", i.name, x.len(), s.len());
            let mut v = self.buffer(x.len());
            v.copy_from_slice(x);
            self.saturate(i.tensor, &mut v);
            visit(i.tensor, &mut v);
            self.values[i.tensor] = Some(v);
        }
        for (k, n) in g.nodes.iter().enumerate() {
            let mut out = self.buffer(g.tensors[n.output].shape.len());
            let mut cols = std::mem::take(&mut self.cols);
            self.node(k, n, &mut out, &mut cols)?;
            self.cols = cols;
            self.saturate(n.output, &mut out);
            visit(n.output, &mut out);
            self.values[n.output] = Some(out);
            for d in 0..self.dead[k].len() {
                self.retire(self.dead[k][d]);
            }
        }
        Ok(())
    }

    /// A kept tensor of the last frame, or a constant.
    pub fn value(&self, t: TensorId) -> Option<&[f32]> {
        self.values.get(t)?.as_deref().or(self.graph.tensors[t].constant.as_deref())
    }

    /// All outputs of the last frame, in ONNX order.
    pub fn outputs(&self) -> Vec<Vec<f32>> {
        self.graph.outputs.iter().filter_map(|o| Some(output(o, self.value(o.tensor)?))).collect()
    }

    /// Codes of the source model end somewhere: quantisers leave a clamp out where they do.
    fn saturate(&self, t: TensorId, values: &mut [f32]) {
        if let Some(Codes { scale, zero }) = self.graph.tensors[t].codes {
            let (lo, hi) = (-scale * f32::from(zero), scale * (255.0 - f32::from(zero)));
            values.iter_mut().for_each(|v| *v = v.clamp(lo, hi));
        }
    }

    fn retire(&mut self, t: TensorId) {
        if let Some(v) = self.values[t].take() {
            self.free.push(v);
        }
    }

    /// The smallest free buffer that holds `len` values, else the largest grown. Contents are arbitrary.
    fn buffer(&mut self, len: usize) -> Vec<f32> {
        let fits = |v: &Vec<f32>| v.capacity() >= len;
        let best = (0..self.free.len()).min_by_key(|&i| {
            let v = &self.free[i];
            (!fits(v), if fits(v) { v.capacity() } else { usize::MAX - v.capacity() })
        });
        let mut v = best.map(|i| self.free.swap_remove(i)).unwrap_or_default();
        v.resize(len, 0.0);
        v
    }

    fn node(&self, k: usize, n: &Node, y: &mut [f32], cols: &mut Vec<f32>) -> Result<()> {
        let mut args: Vec<(Shape, &[f32])> = Vec::with_capacity(n.inputs.len());
        for &t in &n.inputs {
            let value = self.value(t);
            ensure!(value.is_some(), "node '{}': '{}' has no value", n.name, self.graph.tensors[t].name);
            args.push((self.graph.tensors[t].shape, value.unwrap_or_default()));
        }
        let o = self.graph.tensors[n.output].shape;
        let (i, x) = args[0];
        match &n.op {
            Op::Conv(c) => conv::conv(c, i, x, o, y, &self.prepared[k], cols),
            Op::Unary(f) => unary_map(*f, x, y),
            Op::PRelu { slope } => ops::prelu(slope, x, y),
            Op::Binary(op) => ops::binary(*op, args[0], args[1], o, y),
            Op::MaxPool(w) => ops::max_pool(w, i, x, o, y),
            Op::AvgPool { window, count_pad } => ops::avg_pool(window, *count_pad, i, x, o, y),
            Op::GlobalAvgPool => ops::global_avg(i.c, x, y),
            Op::GlobalMaxPool => ops::global_max(i.c, x, y),
            Op::Concat(axis) => ops::concat(*axis, &args, o, y),
            Op::Index { ys, xs, fill } => ops::index(ys, xs, *fill, i, x, y),
            Op::Bilinear { ys, xs } => ops::bilinear(ys, xs, i, x, y),
            Op::DepthToSpace { block } => ops::space(true, *block, i, x, y),
            Op::SpaceToDepth { block } => ops::space(false, *block, o, x, y),
            Op::Channels { index } => ops::channels(index, i, x, y),
            Op::Reshape => y.copy_from_slice(x),
            Op::Permute { index } => ops::permute(index, x, y),
            Op::Softmax => ops::softmax(i.c, x, y),
            Op::ReduceChannels { mean } => ops::reduce_channels(*mean, i.c, x, y),
        }
        Ok(())
    }
}
