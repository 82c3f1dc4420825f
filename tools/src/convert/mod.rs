//! ONNX model and clips to artifact: import, passes, calibrate, lower, search for gates, emit.

mod fit;

pub use fit::Fit;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use quiescent::format::{Point, Profile};

use crate::artifact::{Artifact, FitSpec, InputKind, InputSpec, Meta};
use crate::calibrate::{self, Quant};
use crate::clip::{self, Mode};
use crate::feed::{Feed, Input, reals};
use crate::ir::{ElementType, Graph};
use crate::lower::{self, Hold, Norm};
use crate::task::{self, Prediction, Task};
use crate::{exec, gates, import, passes};

/// What `convert` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    pub model: PathBuf,
    pub calib: Vec<String>,
    pub task: Option<PathBuf>,
    pub gates: bool,
    pub hold: Hold,
    /// Memory the artifact has to fit into.
    pub fit: Fit,
    pub profile: Profile,
    pub input_shape: Option<Vec<usize>>,
    /// Values to take for the outputs; the model's own ones where empty.
    pub outputs: Vec<String>,
    /// Preprocessing given on the command line; the task file's hints fill the rest.
    pub norm: Option<Norm>,
    pub mode: Option<Mode>,
    /// Most frames the codes are calibrated on.
    pub frames: usize,
    pub calibrate: calibrate::Options,
}

impl Options {
    /// The model as it says it is, dense, for any processor.
    pub fn new(model: &Path) -> Self {
        Options {
            model: model.into(),
            calib: Vec::new(),
            task: None,
            gates: false,
            hold: Hold::None,
            fit: Fit::default(),
            profile: Profile::Any,
            input_shape: None,
            outputs: Vec::new(),
            norm: None,
            mode: None,
            frames: 32,
            calibrate: calibrate::Options::default(),
        }
    }
}

/// A model ready to be lowered.
pub struct Prepared {
    pub graph: Graph,
    /// As imported, for the float reference.
    pub float: Graph,
    pub input: InputSpec,
    pub codes: Option<Quant>,
}

/// Imports a model and fixes what its input is.
pub fn prepare(o: &Options, task: Option<&Task>) -> Result<Prepared> {
    let mut graph = import::load(&o.model, &import::Options { input_shape: o.input_shape.clone(), outputs: o.outputs.clone() })?;
    passes::run(&mut graph);
    let [input] = &graph.inputs[..] else {
        let names = graph.inputs.iter().map(|i| format!("\"{}\"", i.name)).collect::<Vec<_>>().join(", ");
        bail!(
            "its outputs need {} inputs ({names}), one is supported; make the others constants, or choose outputs that do not need them (--outputs)",
            graph.inputs.len()
        );
    };
    let input = input.clone();
    let shape = graph.tensors[input.tensor].shape;
    let picture = matches!(shape.c, 1 | 3) && shape.h >= 8 && shape.w >= 8;
    let hints = task.map(|t| &t.input);
    let norm = o.norm.clone().or_else(|| hints.and_then(Norm::from_hints));
    let integer = input.onnx_type != ElementType::F32;
    let float = graph.clone();
    // Without a word on preprocessing, a float input is fed with reals.
    let (kind, codes) = match (&norm, integer) {
        (_, true) => (InputKind::Pixels, Some(lower::fold_input(&mut graph, &Norm::plain())?)),
        (Some(norm), false) if picture => (InputKind::Pixels, Some(lower::fold_input(&mut graph, norm)?)),
        _ => (InputKind::Values, None),
    };
    let mode = o.mode.or_else(|| hints.map(|h| h.mode())).unwrap_or(Mode::Stretch);
    let input = InputSpec {
        name: input.name,
        onnx_shape: input.onnx_shape,
        axes: input.axes,
        shape: [shape.h, shape.w, shape.c],
        kind,
        norm: if integer { None } else { norm },
        fit: FitSpec::new(mode),
    };
    if let Some(task) = task {
        reads(task, &float, &input)?;
    }
    Ok(Prepared { graph, float, input, codes })
}

/// Whether the task finds what it needs in the outputs.
fn reads(task: &Task, float: &Graph, input: &InputSpec) -> Result<()> {
    let nothing: Vec<Vec<f32>> = float.outputs.iter().map(|o| vec![0.0; o.onnx_shape.iter().product()]).collect();
    let outputs = float.outputs.iter().zip(&nothing);
    let outputs: Vec<task::Output> = outputs.map(|(o, data)| task::Output { name: &o.name, shape: &o.onnx_shape, data }).collect();
    task.decode(&outputs, (input.shape[1], input.shape[0])).context("--task").map(drop)
}

/// Frames spread evenly over the clips, at most `most`.
pub fn calibration_frames(spec: &InputSpec, clips: &[String], most: usize) -> Result<Vec<Input>> {
    ensure!(!clips.is_empty(), "no calibration clip: give one with --calib");
    let each = most.div_ceil(clips.len()).max(1);
    let mut frames = Vec::new();
    for name in clips {
        let count = Feed::open(spec, name, &clip::Options::default())?.frames();
        let step = count.map_or(1, |n| (n / each).max(1));
        let options = clip::Options { frames: Some(each), step, ..Default::default() };
        for frame in Feed::open(spec, name, &options)? {
            frames.push(frame.with_context(|| name.clone())?.input);
        }
    }
    Ok(frames)
}

/// The reals the graph (after [`lower::fold_input`]) computes with.
pub fn graph_input(p: &Prepared, input: &Input) -> Vec<f32> {
    match (input, &p.codes) {
        (Input::Values(v), _) => v.clone(),
        (Input::Pixels(v), Some(q)) => {
            let c = p.input.shape[2];
            v.iter().enumerate().map(|(i, code)| q.real(i % c, *code)).collect()
        }
        (Input::Pixels(v), None) => v.iter().map(|p| *p as f32).collect(),
    }
}

/// The reals the float model computes with.
pub fn float_input(p: &Prepared, input: &Input) -> Vec<f32> {
    match (input, &p.codes, &p.input.norm) {
        (Input::Pixels(v), _, Some(norm)) => {
            let mut x = reals(v, Some(norm), p.input.shape[2]);
            if norm.bgr {
                x.chunks_exact_mut(p.input.shape[2]).for_each(|p| p.reverse());
            }
            x
        }
        (Input::Values(v), Some(_), Some(norm)) if norm.bgr => {
            // Maps have the order of pictures, the float model its own.
            let mut x = v.clone();
            x.chunks_exact_mut(p.input.shape[2]).for_each(|p| p.reverse());
            x
        }
        _ => graph_input(p, input),
    }
}

/// A calibrated model: what it takes to make an artifact of it, with any tensors held.
pub struct Calibrated<'p> {
    prepared: &'p Prepared,
    plan: calibrate::Plan,
    options: Options,
    task_text: Option<String>,
}

/// Chooses the codes.
pub fn calibrate<'p>(o: &Options, prepared: &'p Prepared, frames: &[Input], task_text: Option<String>) -> Result<Calibrated<'p>> {
    let inputs: Vec<Vec<f32>> = frames.iter().map(|f| graph_input(prepared, f)).collect();
    let calibrate = calibrate::Options { input_codes: vec![prepared.codes.clone()], ..o.calibrate.clone() };
    let plan = calibrate::calibrate(&prepared.graph, &inputs, &calibrate)?;
    Ok(Calibrated { prepared, plan, options: o.clone(), task_text })
}

impl Calibrated<'_> {
    /// The tensors a plan may hold or let go, with their bytes.
    pub fn pieces(&self) -> Result<Vec<(usize, usize)>> {
        lower::pieces(&self.prepared.graph, &self.plan)
    }

    /// The artifact with gates at threshold 0. Where the arena is limited, chains take as few lines as it takes to fit; whether that was
    /// enough is for [`Fit::check`] to say.
    pub fn lower(&self, hold: &Hold) -> Result<Artifact> {
        let artifact = self.lowered(hold, None)?;
        let header = artifact.header();
        match self.options.fit.ram {
            Some(ram) if header.arena_len as usize > ram => {
                // The tensors' part ends with as many bytes as vector loads may touch.
                let beside = (header.arena_len - header.tensors_end) as usize + quiescent::format::SLACK;
                self.lowered(hold, Some(ram.saturating_sub(beside)))
            }
            _ => Ok(artifact),
        }
    }

    /// The same with as many tensors held as the arena's limit allows, without a search.
    pub fn fitted(&self, hold: &Hold) -> Result<Artifact> {
        let (Some(ram), Hold::Ratio(most)) = (self.options.fit.ram, hold) else { return self.lower(hold) };
        let tries = (0..).map(|k| most - 0.1 * k as f32).take_while(|ratio| *ratio > 0.95).map(Hold::Ratio);
        for hold in tries {
            let artifact = self.lower(&hold)?;
            if artifact.header().arena_len as usize <= ram {
                return Ok(artifact);
            }
        }
        self.lower(&Hold::None)
    }

    fn lowered(&self, hold: &Hold, most: Option<usize>) -> Result<Artifact> {
        let (graph, plan, o) = (&self.prepared.graph, &self.plan, &self.options);
        let options = lower::Options { profile: o.profile, hold: hold.clone(), gates: o.gates, bands: true, most };
        let lowered = lower::lower(graph, plan, &options)?;
        let meta = Meta {
            tool: env!("CARGO_PKG_VERSION").into(),
            model: file_name(&o.model),
            input: self.prepared.input.clone(),
            task: self.task_text.clone(),
            steps: lowered.steps,
            tensors: lowered.tensors,
            layers: plan.layers.iter().map(serde_json::to_value).collect::<Result<_, _>>()?,
            notes: plan.notes.clone(),
            ..Default::default()
        };
        Artifact::new(lowered.builder, meta)
    }

    /// The artifact with gates chosen on `clips` (consecutive frames each), and what the search found. Agreement is that
    /// with the float model, or with the dense network where `against_float` is not set.
    pub fn search(
        &self, clips: &[Vec<Input>], task: &Task, budget: &gates::Budget, against_float: bool, progress: &dyn Fn(&str),
    ) -> Result<(Artifact, Vec<Point>, gates::Found)> {
        let float = if against_float {
            progress("running the float model over the clips");
            Some(self.float_predictions(clips, task)?)
        } else {
            None
        };
        let material = gates::Material { lower: &|hold| self.lower(hold), pieces: &self.pieces()?, clips, float: float.as_deref(), task };
        gates::search(&material, budget, progress)
    }

    fn float_predictions(&self, clips: &[Vec<Input>], task: &Task) -> Result<Vec<Vec<Prediction>>> {
        let p = self.prepared;
        let mut float = exec::Executor::new(&p.float)?;
        let [h, w, _] = p.input.shape;
        let mut all = Vec::new();
        for clip in clips {
            let mut predictions = Vec::new();
            for frame in clip {
                float.run(&[float_input(p, frame)])?;
                let values = float.outputs();
                let outputs: Vec<task::Output> = p
                    .float
                    .outputs
                    .iter()
                    .zip(&values)
                    .map(|(o, data)| task::Output { name: &o.name, shape: &o.onnx_shape, data })
                    .collect();
                predictions.push(task.decode(&outputs, (w, h))?);
            }
            all.push(predictions);
        }
        Ok(all)
    }
}

/// Calibrates and lowers as the options say; gates, if any, at threshold 0.
pub fn quantise(o: &Options, prepared: &Prepared, frames: &[Input], task_text: Option<String>) -> Result<Artifact> {
    calibrate(o, prepared, frames, task_text)?.lower(&o.hold)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}
