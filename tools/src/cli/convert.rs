//! `convert`: ONNX model and clips to artifact.
//!
//! ```text
//! import, passes -> calibration frames -> codes -> records -> search for gates on whole clips -> self-test -> file
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use quiescent::format::{Point, Profile};
use quiescent::kernels;
use quiescent_tools::artifact::{Artifact, InputKind, InputSpec, write_whole};
use quiescent_tools::calibrate::{self, Method};
use quiescent_tools::clip::{self, Anchor, Mode};
use quiescent_tools::convert::{self, Fit, Options};
use quiescent_tools::feed::{Feed, Input};
use quiescent_tools::gates::{self, Budget};
use quiescent_tools::lower::{Hold, Norm};
use quiescent_tools::task::{InputHints, ResizeHint, Task};
use serde::Serialize;
use serde_json::json;

use super::args;
use super::talk::{Talk, bytes, count, points_text, triples};

/// What `--keep-float` takes beside names.
const AUTO: &str = "auto";

/// Frames of each clip that the search for gates sees, consecutive and from the clip's start.
const SEARCH_FRAMES: usize = 120;

/// Converts an ONNX model into an artifact
#[derive(clap::Args)]
pub struct Args {
    /// The model
    model: PathBuf,
    /// The artifact to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A clip like those it will run on, for the ranges of the codes and for the gates; may be given several times
    #[arg(long, value_name = "CLIP", required = true)]
    calib: Vec<String>,
    /// How the outputs read and what the input expects
    #[arg(long, value_name = "TOML")]
    task: Option<PathBuf>,
    /// Loss of agreement with the float model that gates may add to that of dense int8
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value = "0.01", value_parser = args::not_negative)]
    max_drop: f32,
    /// auto: hold tensors and choose gates on the clips; off: dense execution only
    #[arg(long, value_enum, default_value = "auto")]
    gates: Gates,
    /// Preprocessing, (pixel * scale - mean) / std: one value, or one per channel in the model's order
    #[arg(long, value_name = "V,..", value_delimiter = ',', allow_hyphen_values = true, value_parser = args::real)]
    mean: Option<Vec<f32>>,
    /// See --mean
    #[arg(long, value_name = "V,..", value_delimiter = ',', value_parser = args::positive)]
    std: Option<Vec<f32>>,
    /// See --mean; 0.00392157 for models that take 0..1
    #[arg(long, value_name = "V", value_parser = args::positive)]
    scale: Option<f32>,
    /// Order of channels the model takes
    #[arg(long, value_enum)]
    color: Option<Color>,
    /// How frames are fitted to the input
    #[arg(long, value_enum)]
    resize: Option<Resize>,
    /// ONNX shape of the input, where the model leaves it open: 1,3,320,320
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = args::at_least_one)]
    input_shape: Option<Vec<usize>>,
    /// Names of values to take for the outputs, where the model goes on to post-processing: what comes after them is left out
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    outputs: Vec<String>,
    /// Processor the artifact is for
    #[arg(long, value_enum, default_value = "host")]
    target: Target,
    /// Writes the error table and the search to this file, JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Convolutions to compute in f32, by node name; auto: the worst that 8 bits serve badly, at most three, named in the notes
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    keep_float: Vec<String>,
    /// How ranges are chosen: auto (mse or cubic, by the simulated outputs), mse, cubic (cuts less of what is rare), minmax or
    /// percentile:99.99
    #[arg(long, value_name = "METHOD", default_value = "auto", value_parser = method)]
    range: Method,
    /// Frames the ranges are chosen on, spread over the clips
    #[arg(long, value_name = "N", default_value = "32", value_parser = args::at_least_one)]
    calib_frames: usize,
    /// Memory for held tensors: the arena may be this multiple of the dense one
    #[arg(long, value_name = "R", default_value = "2.0", allow_negative_numbers = true, value_parser = args::positive)]
    arena_ratio: f32,
    /// Memory of the device for the arena (what `bake` calls ARENA_BYTES): 65536, 64K, 1M. Fewer tensors are held and fewer lines of a
    /// map kept until it fits; fails where it cannot
    #[arg(long, value_name = "BYTES", value_parser = args::bytes)]
    ram: Option<usize>,
    /// Memory of the device for the artifact; fails where it does not fit
    #[arg(long, value_name = "BYTES", value_parser = args::bytes)]
    flash: Option<usize>,
    /// Frames after a computed one in which changes of less than a share of the pixels, which the search chooses, may be left for a later
    /// frame, at most (1, 2 and 4 are tried); 0: every change is computed at once
    #[arg(long, value_name = "N", default_value_t = gates::MAX_WAIT, value_parser = clap::value_parser!(u8).range(0..=4))]
    max_wait: u8,
    /// Settings tried in exchanging held tensors, and as many in refining single gates; each is a run over the clips
    #[arg(long, value_name = "N", default_value_t = gates::REFINE)]
    refine: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Gates {
    Off,
    Auto,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Rgb,
    Bgr,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Resize {
    Stretch,
    Letterbox,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Host,
    Any,
    #[value(name = "x86_64-avx2")]
    Avx2,
    #[value(name = "x86_64-avxvnni")]
    AvxVnni,
    #[value(name = "x86_64-avx512")]
    Avx512,
    #[value(name = "aarch64-neon")]
    Neon,
    #[value(name = "aarch64-dotprod")]
    DotProd,
    #[value(name = "aarch64-i8mm")]
    I8mm,
    #[value(name = "cortex-m")]
    CortexM,
}

/// What a conversion is asked to do, from flags or from `demo`.
pub struct Job {
    pub options: Options,
    pub task: Option<(Task, String)>,
    /// `None`: gates as they are, or none.
    pub search: Option<Budget>,
    pub recipe: serde_json::Value,
}

/// The file of `--report`.
#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    recipe: &'a serde_json::Value,
    /// The error table of the conversion.
    layers: &'a [serde_json::Value],
    notes: &'a [String],
    search: &'a serde_json::Value,
    /// Scale, agreement, work.
    points: Vec<(f32, f32, f32)>,
    steps: &'a [quiescent_tools::lower::StepInfo],
}

/// The result on standard output.
#[derive(Serialize)]
struct Done {
    model: String,
    artifact: String,
    artifact_bytes: usize,
    arena_bytes: usize,
    arena_dense_bytes: usize,
    macs_dense: u64,
    steps: usize,
    gates: usize,
    points: Vec<(f32, f32, f32)>,
    notes: Vec<String>,
    seconds: f64,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let start = std::time::Instant::now();
    args::writable(&a.output)?;
    a.report.as_deref().map_or(Ok(()), args::writable)?;
    ensure!(a.max_drop <= 1.0, "--max-drop {}: a share of 1 at most (0.01 is one point)", a.max_drop);
    ensure!(a.arena_ratio >= 1.0, "--arena-ratio {}: 1 or more is needed", a.arena_ratio);
    ensure!(a.model.is_file(), "{}: no such model file", a.model.display());
    let same = |a: &Path, b: &Path| a == b || a.canonicalize().ok().is_some_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    ensure!(!same(&a.output, &a.model), "--output {}: it is the model itself; name another file", a.output.display());
    if let Some(report) = &a.report {
        let taken = [&a.output, &a.model].into_iter().find(|f| same(report, f));
        ensure!(taken.is_none(), "--report {}: it is the artifact or the model; name another file", report.display());
    }
    ensure!(!a.calib.iter().any(|c| c == "-"), "--calib -: calibration reads its clips twice; give a file");
    let task = match &a.task {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("--task {}", path.display()))?;
            Some((Task::parse(&path.display().to_string(), &text)?, text))
        }
        None => None,
    };
    let hints = task.as_ref().map(|t| t.0.input.clone()).unwrap_or_default();
    let gated = a.gates == Gates::Auto;
    let fit = Fit { ram: a.ram, flash: a.flash };
    let options = Options {
        calib: a.calib.clone(),
        task: a.task.clone(),
        gates: gated,
        hold: if gated { Hold::Ratio(a.arena_ratio) } else { Hold::Outputs },
        fit,
        profile: profile(a.target),
        input_shape: a.input_shape.clone(),
        outputs: a.outputs.clone(),
        norm: norm(a, &hints),
        mode: mode(a, &hints),
        frames: a.calib_frames,
        calibrate: calibrate::Options {
            method: a.range,
            float_layers: a.keep_float.iter().filter(|name| *name != AUTO).cloned().collect(),
            auto_float: a.keep_float.iter().any(|name| name == AUTO),
            ..Default::default()
        },
        ..Options::new(&a.model)
    };
    let recipe = json!({
        "tool": env!("CARGO_PKG_VERSION"),
        "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
        "model": a.model, "calib": a.calib, "task": a.task, "max_drop": a.max_drop, "gates": gated,
        "norm": options.norm, "input_shape": a.input_shape, "outputs": a.outputs, "profile": options.profile as u16, "keep_float": a.keep_float,
        "range": format!("{:?}", a.range), "calib_frames": a.calib_frames, "arena_ratio": a.arena_ratio, "ram": a.ram, "flash": a.flash, "max_wait": a.max_wait,
        "refine": a.refine,
        "search_frames": SEARCH_FRAMES,
    });
    let search = gated.then_some(Budget {
        max_drop: a.max_drop as f64,
        arena_ratio: a.arena_ratio,
        ram: a.ram,
        max_wait: a.max_wait,
        refine: a.refine,
    });
    let job = Job { options, task, search, recipe };
    let (artifact, points) = convert(&job, talk)?;
    fit.check(&artifact)?;
    artifact.save(&a.output)?;
    if let Some(path) = &a.report {
        let meta = &artifact.meta;
        let report = Report {
            model: &meta.model,
            recipe: &meta.recipe,
            layers: &meta.layers,
            notes: &meta.notes,
            search: &meta.search,
            points: triples(&points),
            steps: &meta.steps,
        };
        write_whole(path, &serde_json::to_vec_pretty(&report)?).context("--report")?;
    }
    let header = artifact.header();
    let done = Done {
        model: a.model.display().to_string(),
        artifact: a.output.display().to_string(),
        artifact_bytes: artifact.bytes().len(),
        arena_bytes: header.arena_len as usize,
        arena_dense_bytes: header.arena_dense_len as usize,
        macs_dense: header.cost.macs.get(),
        steps: artifact.meta.steps.len(),
        gates: artifact.model().gates.len(),
        points: triples(&points),
        notes: artifact.meta.notes.clone(),
        seconds: start.elapsed().as_secs_f64(),
    };
    talk.result(&done, || done.text())
}

impl Done {
    fn text(&self) -> String {
        let mut t = format!(
            "{} -> {} in {:.1} s\n{}, {} steps, {} multiply-accumulates, {} gates\narena {} ({} with whole maps, none of them held)\n",
            self.model,
            self.artifact,
            self.seconds,
            bytes(self.artifact_bytes),
            self.steps,
            count(self.macs_dense),
            self.gates,
            bytes(self.arena_bytes),
            bytes(self.arena_dense_bytes)
        );
        t += &points_text(&self.points);
        for note in &self.notes {
            t += &format!("note: {note}\n");
        }
        t
    }
}

/// The whole conversion; the caller writes the file.
pub fn convert(job: &Job, talk: &Talk) -> Result<(Artifact, Vec<Point>)> {
    let o = &job.options;
    let stage = talk.stage("importing the model");
    let task = job.task.as_ref().map(|t| &t.0);
    let prepared = convert::prepare(o, task).with_context(|| o.model.display().to_string())?;
    warn_without_preprocessing(&prepared.input, prepared.graph.inputs.first().map(|i| i.onnx_type), &o.calib, talk);
    stage.set_message("reading calibration frames");
    let frames = convert::calibration_frames(&prepared.input, &o.calib, o.frames).context("--calib")?;
    stage.set_message(format!("calibrating on {} frames", frames.len()));
    let text = job.task.as_ref().map(|t| t.1.clone());
    let at = || o.model.display().to_string();
    let calibrated = convert::calibrate(o, &prepared, &frames, text).with_context(at)?;
    drop(frames);
    let clips = match &job.search {
        Some(_) => {
            stage.set_message("loading clips for the search");
            sequences(&prepared.input, &o.calib)?
        }
        None => Vec::new(),
    };
    let (artifact, points, found) = match &job.search {
        Some(budget) if !clips.is_empty() => {
            let default = Task::default();
            let progress = |what: &str| stage.set_message(what.to_string());
            let (artifact, points, found) =
                calibrated.search(&clips, task.unwrap_or(&default), budget, true, &progress).with_context(at)?;
            (artifact, points, serde_json::to_value(&found)?)
        }
        search => {
            if search.is_some() {
                talk.warn("no --calib clip has two frames: gates stay exact (every change is passed on); give a video to have them chosen");
            }
            (calibrated.fitted(&o.hold).with_context(at)?, Vec::new(), serde_json::Value::Null)
        }
    };
    stage.set_message("self-test");
    let mut meta = artifact.meta.clone();
    meta.golden = artifact.golden(&kernels::scalar::KERNELS)?;
    meta.search = found;
    meta.recipe = job.recipe.clone();
    let artifact = artifact.finish(&points, meta)?;
    stage.finish_and_clear();
    Ok((artifact, points))
}

/// Whole clips in order and at their own rate; stills are left out.
fn sequences(spec: &InputSpec, clips: &[String]) -> Result<Vec<Vec<Input>>> {
    let mut all = Vec::new();
    for name in clips {
        let options = clip::Options { frames: Some(SEARCH_FRAMES), ..Default::default() };
        let frames: Vec<Input> = Feed::open(spec, name, &options)?.map(|f| f.map(|f| f.input)).collect::<Result<_>>()?;
        if frames.len() > 1 {
            all.push(frames);
        }
    }
    Ok(all)
}

fn warn_without_preprocessing(spec: &InputSpec, onnx_type: Option<quiescent_tools::ir::ElementType>, calib: &[String], talk: &Talk) {
    let [h, w, c] = spec.shape;
    let picture = matches!(c, 1 | 3) && h >= 8 && w >= 8;
    let tensors = calib.iter().all(|c| c.to_lowercase().ends_with(".npy"));
    let float = onnx_type == Some(quiescent_tools::ir::ElementType::F32);
    if picture && float && !tensors && spec.kind == InputKind::Values && spec.norm.is_none() {
        talk.warn(&format!(
            "the input \"{}\" takes pictures as floats and nothing says how pixels become floats; 0..255 is assumed. \
             Give --task, or --mean, --std, --scale, --color (--scale 0.00392157 for 0..1, --scale 1 to confirm)",
            spec.name
        ));
    }
}

/// Flags over the task file's hints; `None` if neither says anything.
fn norm(a: &Args, hints: &InputHints) -> Option<Norm> {
    let said = a.mean.is_some() || a.std.is_some() || a.scale.is_some() || a.color.is_some();
    let base = Norm::from_hints(hints);
    if !said {
        return base;
    }
    let base = base.unwrap_or_else(Norm::plain);
    Some(Norm {
        scale: a.scale.unwrap_or(base.scale),
        mean: a.mean.clone().unwrap_or(base.mean),
        std: a.std.clone().unwrap_or(base.std),
        bgr: a.color.map_or(base.bgr, |c| matches!(c, Color::Bgr)),
    })
}

fn mode(a: &Args, hints: &InputHints) -> Option<Mode> {
    match (a.resize?, hints.resize) {
        (Resize::Stretch, _) => Some(Mode::Stretch),
        (Resize::Letterbox, Some(ResizeHint::Letterbox)) => Some(hints.mode()),
        (Resize::Letterbox, _) => Some(Mode::Letterbox { pad: 114, anchor: Anchor::TopLeft }),
    }
}

fn profile(target: Target) -> Profile {
    match target {
        Target::Any => Profile::Any,
        Target::Avx2 => Profile::X86Avx2,
        Target::AvxVnni => Profile::X86AvxVnni,
        Target::Avx512 => Profile::X86Avx512,
        Target::Neon => Profile::Aarch64Neon,
        Target::DotProd => Profile::Aarch64DotProd,
        Target::I8mm => Profile::Aarch64I8mm,
        Target::CortexM => Profile::CortexM,
        Target::Host => host(),
    }
}

/// What this machine has.
pub fn host() -> Profile {
    match kernels::best().name {
        "avx512vnni" => Profile::X86Avx512,
        "avxvnni" => Profile::X86AvxVnni,
        "avx2" => Profile::X86Avx2,
        "i8mm" => Profile::Aarch64I8mm,
        "dotprod" => Profile::Aarch64DotProd,
        "neon" => Profile::Aarch64Neon,
        _ => Profile::Any,
    }
}

fn method(text: &str) -> Result<Method> {
    match text.split_once(':') {
        None if text == "auto" => Ok(Method::Auto),
        None if text == "mse" => Ok(Method::Mse),
        None if text == "cubic" => Ok(Method::Cubic),
        None if text == "minmax" => Ok(Method::MinMax),
        Some(("percentile", p)) => match p.parse::<f32>() {
            Ok(p) if p > 50.0 && p <= 100.0 => Ok(Method::Percentile(p / 100.0)),
            _ => bail!("percentile:{p}: a percentage above 50 and at most 100 is needed, as in percentile:99.99"),
        },
        _ => bail!("auto, mse, cubic, minmax or percentile:99.99 is needed"),
    }
}
