//! One row a step, and one each for the work around the steps.

use quiescent::engine::Work;
use quiescent::format::{Conv, Model, NONE, Op, Pool, Step, Tensor};
use quiescent::kernels::{Kernels, scalar};
use quiescent_tools::artifact::Artifact;
use serde::Serialize;

use crate::cli::measure::Times;
use quiescent_tools::clock::Piece;

/// Microseconds of each kind of work, frame by frame: input, marks, rest, then the steps.
pub struct Spent(Vec<Times>);

const INPUT: usize = 0;
const MARKS: usize = 1;
const REST: usize = 2;
const STEPS: usize = 3;

impl Spent {
    pub fn new(steps: usize) -> Self {
        Self(vec![Times::default(); STEPS + steps])
    }

    /// Frame `i`, once or again: of every piece the least time counts.
    pub fn add(&mut self, i: usize, begin: f64, pieces: &[Piece]) {
        let mut sums = vec![0.0; self.0.len()];
        let mut from = begin;
        for piece in pieces {
            let at = match piece.work {
                Some(Work::Input) => INPUT,
                Some(Work::Marks) => MARKS,
                Some(Work::Step(i)) => STEPS + i,
                None => REST,
            };
            sums[at] += piece.end - from;
            from = piece.end;
        }
        for (times, sum) in self.0.iter_mut().zip(sums) {
            times.least(i, sum);
        }
    }
}

/// A step, or work around the steps.
#[derive(Serialize)]
pub struct Row {
    /// Index of the step; none for work around the steps.
    pub step: Option<usize>,
    pub name: String,
    pub op: String,
    /// The entry of the kernel table that does the work.
    pub kernel: String,
    /// `[h, w, c]` of the output.
    pub shape: Option<[usize; 3]>,
    /// Multiply-accumulates of the whole step.
    pub macs: u64,
    /// Bytes that the whole step cannot do without: weights, inputs and output, once each.
    pub bytes: usize,
    pub dense: Cost,
    pub gated: Cost,
}

#[derive(Serialize)]
pub struct Cost {
    pub us: f64,
    /// Of the frame's time.
    pub share: f64,
    /// Share of rows recomputed.
    pub rows: f64,
    /// 10^9 multiply-accumulates a second.
    pub gmacs: f64,
    /// Share of the peak.
    pub peak: Option<f64>,
}

/// What a piece of work is called.
pub fn label(artifact: &Artifact, work: Option<Work>) -> String {
    match work {
        Some(Work::Input) => "input".into(),
        Some(Work::Marks) => "marks".into(),
        Some(Work::Step(i)) => artifact.meta.steps.get(i).map(|s| format!("{i} {}", s.name)).unwrap_or_default(),
        None => "rest".into(),
    }
}

/// All rows: the input, the steps in order, the marks, the rest. `shares` are the shares of rows that the gated frames recomputed.
pub fn rows(artifact: &Artifact, kernels: &Kernels, spent: [&Spent; 2], shares: &[f64], peak: Option<f64>) -> Vec<Row> {
    let model = artifact.model();
    let dense_us: Vec<f64> = spent[0].0.iter().map(|t| t.at(0.5).unwrap_or(0.0)).collect();
    let gated_us: Vec<f64> = spent[1].0.iter().map(|t| t.mean().unwrap_or(0.0)).collect();
    let totals = [dense_us.iter().sum::<f64>(), gated_us.iter().sum::<f64>()];
    let cost = |us: f64, total: f64, macs: f64, rows: f64| {
        let gmacs = if us > 0.0 { macs * rows / us / 1e3 } else { 0.0 };
        Cost { us, share: if total > 0.0 { us / total } else { 0.0 }, rows, gmacs, peak: peak.map(|p| gmacs / p) }
    };
    let around = |name: &str, at: usize| Row {
        step: None,
        name: name.into(),
        op: String::new(),
        kernel: String::new(),
        shape: None,
        macs: 0,
        bytes: 0,
        dense: cost(dense_us[at], totals[0], 0.0, 0.0),
        gated: cost(gated_us[at], totals[1], 0.0, 0.0),
    };
    let mut all = vec![around("comparing and taking in the frame", INPUT)];
    for (i, (step, info)) in model.steps.iter().zip(&artifact.meta.steps).enumerate() {
        // A join moves nothing.
        if moves_nothing(step) {
            continue;
        }
        let at = STEPS + i;
        all.push(Row {
            step: Some(i),
            name: info.name.clone(),
            op: info.op.clone(),
            kernel: kernel(&model, i, kernels),
            shape: Some(info.shape),
            macs: info.macs,
            bytes: info.bytes + traffic(&model, step),
            dense: cost(dense_us[at], totals[0], info.macs as f64, 1.0),
            gated: cost(gated_us[at], totals[1], info.macs as f64, shares[i]),
        });
    }
    all.push(around("finding rows that may have changed", MARKS));
    all.push(around("the rest", REST));
    all
}

fn moves_nothing(step: &Step) -> bool {
    matches!(Op::new(step.op), Some(Op::Join | Op::Reshape))
}

/// Bytes of a step's inputs and output.
fn traffic(model: &Model, step: &Step) -> usize {
    let size = |t: &Tensor| t.rows() * t.c as usize * t.dtype().size();
    let inputs = step.inputs[..step.inputs_len as usize].iter().filter(|i| **i != NONE);
    inputs.map(|i| size(&model.tensors[*i as usize])).sum::<usize>() + size(&model.tensors[step.output as usize])
}

/// The entry of the kernel table, with the window, and a word where it is the scalar one or no entry does the work.
fn kernel(model: &Model, index: usize, set: &Kernels) -> String {
    let step = &model.steps[index];
    /// An entry's name, and whether the set has it from the scalar one.
    macro_rules! entry {
        ($name:ident) => {
            (stringify!($name), set.$name as usize == scalar::KERNELS.$name as usize)
        };
    }
    let window = match Op::new(step.op) {
        Some(Op::Conv | Op::Depthwise) => model.record::<Conv>(step.param).map(|c| c.window),
        Some(Op::MaxPool | Op::AvgPool) => model.record::<Pool>(step.param).map(|p| p.window),
        _ => None,
    };
    let (name, is_scalar) = match Op::new(step.op) {
        Some(Op::Conv) => entry!(conv),
        Some(Op::Depthwise) => entry!(depthwise),
        Some(Op::MaxPool) => entry!(max_pool),
        Some(Op::AvgPool) => entry!(avg_pool),
        Some(Op::GlobalAvg) => entry!(sum),
        Some(Op::GlobalMax) => entry!(max),
        Some(Op::Binary) => entry!(binary),
        Some(Op::Map) => entry!(map),
        Some(Op::Table) => entry!(table),
        Some(Op::Tables) => entry!(tables),
        Some(Op::Softmax) => entry!(softmax),
        Some(Op::Bilinear) => entry!(lerp),
        Some(Op::Channels) => entry!(pick),
        Some(Op::ConvF32) => ("conv_f32", true),
        Some(Op::ReduceChannels) => ("reduce", true),
        _ => ("moves", false),
    };
    let mut text = name.to_string();
    if let Some(w) = window {
        text += &format!(" {}x{}", w.kernel[0], w.kernel[1]);
        if w.stride != [1, 1] {
            text += &format!("/{}", w.stride[0]);
        }
    }
    if is_scalar && set.name != scalar::KERNELS.name {
        text += " scalar";
    }
    let lines = |t: u32| model.tensors.get(t as usize).is_some_and(|t| t.lines > 0);
    if model.steps.get(index).is_some_and(|s| lines(s.output) || lines(s.inputs[0])) {
        text += " band";
    }
    text
}
