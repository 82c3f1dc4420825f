//! The dense integer network beside the float model, for every convolutional model of the asset set.
//!
//! ```text
//! cargo run --release -p quiescent-benches --bin accuracy -- [--record FILE] [--set KEY=VALUE].. [--layers] [MODEL..]
//! ```
//!
//! Each model is converted as it is, with codes calibrated on frames that are not judged, and run frame by frame in the
//! engine (dense, the fastest kernel set) and in the float executor. The table says how far they are apart. `--set`
//! changes an option of the calibration: `method=mse|minmax|0.9999`, `equalise`, `auto_float`, `bias_correction`
//! (`0` or `1`), `channel_tables=N`, `simulated_frames=N`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use quiescent::{Mode, kernels};
use quiescent_benches::cases::{self, Case, Source};
use quiescent_benches::data;
use quiescent_benches::measure::{Measure, Measured};
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::calibrate::{self, Method};
use quiescent_tools::clip;
use quiescent_tools::convert::{self, Prepared};
use quiescent_tools::exec::Executor;
use quiescent_tools::feed::Input;
use quiescent_tools::ir::ElementType;
use quiescent_tools::task::{self, Detection, Kind, Labels, Task};

/// Score floor of precision-recall curves.
const AP_FLOOR: f32 = 0.05;

/// The dense integer network beside the float model.
#[derive(Parser)]
struct Args {
    /// Names of models of the asset set; all unless given.
    models: Vec<String>,
    /// Where to write the table.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Option of the calibration, as KEY=VALUE.
    #[arg(long)]
    set: Vec<String>,
    /// Print the error table of each model.
    #[arg(long)]
    layers: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let (wanted, mut options) = (args.models, calibrate::Options::default());
    for text in &args.set {
        set(&mut options, text)?;
    }
    let cases = cases::all();
    for w in &wanted {
        ensure!(
            cases.iter().any(|c| c.model == w),
            "no model {w}; there are: {}",
            cases.iter().map(|c| c.model).collect::<Vec<_>>().join(", ")
        );
    }
    let head = "| model | judged on | frames | relative error | measure | float | int8 | agreement | loss, points | convert s |\n|---|---|---|---|---|---|---|---|---|---|\n";
    print!("{head}");
    let (mut table, mut golden) = (String::from(head), String::new());
    for case in cases.iter().filter(|c| wanted.is_empty() || wanted.iter().any(|w| w == c.model)) {
        let rows = judge(case, &options, args.layers, &mut golden).with_context(|| case.model.to_string())?;
        print!("{rows}");
        table += &rows;
    }
    print!("\n{golden}");
    if let Some(file) = args.record {
        std::fs::write(&file, format!("{table}\n{golden}")).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn set(o: &mut calibrate::Options, text: &str) -> Result<()> {
    let (key, value) = text.split_once('=').with_context(|| format!("--set {text}: KEY=VALUE is wanted"))?;
    let number = || value.parse::<usize>().with_context(|| format!("--set {text}: not a number"));
    match key {
        "method" => {
            o.method = match value {
                "auto" => Method::Auto,
                "mse" => Method::Mse,
                "cubic" => Method::Cubic,
                "minmax" => Method::MinMax,
                share => Method::Percentile(share.parse().with_context(|| format!("--set {text}"))?),
            }
        }
        "equalise" => o.equalise = number()? > 0,
        "auto_float" => o.auto_float = number()? > 0,
        "bias_correction" => o.bias_correction = number()? > 0,
        "channel_tables" => o.channel_tables = number()?,
        "simulated_frames" => o.simulated_frames = number()?,
        _ => bail!("--set {key}: no such option"),
    }
    Ok(())
}

fn judge(case: &Case, calibration: &calibrate::Options, layers: bool, golden: &mut String) -> Result<String> {
    let task = cases::task(case.model)?;
    let mut options = cases::options(case.model);
    options.calibrate = calibration.clone();
    let prepared = convert::prepare(&options, Some(&task))?;
    let mut frames: Vec<Input> = Vec::new();
    for s in &case.calibrate {
        frames.extend(data::read(&prepared.input, s)?.records.into_iter().map(|r| r.input));
    }
    let start = Instant::now();
    let artifact = convert::quantise(&options, &prepared, &frames, None)?;
    let seconds = start.elapsed().as_secs_f64();
    if layers {
        for l in &artifact.meta.layers {
            eprintln!("{l}");
        }
        for n in &artifact.meta.notes {
            eprintln!("{n}");
        }
    }
    check_golden(case.model, &prepared, &artifact, golden)?;
    let mut rows = String::new();
    for source in &case.judge {
        let (m, ap) = run(&prepared, &artifact, &task, source)?;
        row(&mut rows, case.model, &task, source, &m, ap, seconds)?;
    }
    Ok(rows)
}

/// Both networks over one source; AP50 of both where the clip's boxes are labelled.
fn run(p: &Prepared, a: &Artifact, task: &Task, source: &Source) -> Result<(Measured, Option<(f64, f64)>)> {
    let frames = data::read(&p.input, source)?;
    let size = (p.input.shape[1], p.input.shape[0]);
    let mut arena = a.arena();
    let set = kernels::available().last().context("no kernels")?;
    let mut engine = a.engine(&mut arena, set)?;
    engine.set_mode(Mode::Dense);
    let mut float = Executor::new(&p.float)?;
    let labels = match (source, &task.kind) {
        (Source::Clip("pets_pedestrians_static", ..), Kind::Detections(d)) if d.classes > 1 => {
            Some(Labels::load(&quiescent_benches::assets().join("datasets/pets_boxes_dev.csv"))?)
        }
        _ => None,
    };
    let mut found: [BTreeMap<usize, Vec<Detection>>; 2] = Default::default();
    let mut measure = Measure::new(task);
    for r in &frames.records {
        artifact::step(&mut engine, &r.input)?;
        let ours = artifact::read_outputs(&engine.outputs());
        float.run(&[convert::float_input(p, &r.input)])?;
        let mut reference = ours.clone();
        reference.iter_mut().zip(float.outputs()).for_each(|(o, v)| o.data = v);
        let (f, q) = (artifact::as_task(&reference), artifact::as_task(&ours));
        measure.add((&values(&reference), &task.decode(&f, size)?), (&values(&ours), &task.decode(&q, size)?), r.label)?;
        if let (Some(labels), Some(map)) = (&labels, &frames.map)
            && labels.frames().any(|f| f == r.frame)
        {
            for (found, outputs) in found.iter_mut().zip([&f, &q]) {
                let boxes = task.detections(outputs, size, AP_FLOOR)?;
                let people = boxes.iter().filter(|b| b.class == 0).map(|b| b.in_frame(map)).collect();
                found.insert(r.frame, people);
            }
        }
    }
    let ap = labels.map(|l| Ok::<_, anyhow::Error>((task::ap50(&found[0], &l)?, task::ap50(&found[1], &l)?))).transpose()?;
    Ok((measure.finish(), ap))
}

fn values(outputs: &[artifact::OutputData]) -> Vec<Vec<f32>> {
    outputs.iter().map(|o| o.data.clone()).collect()
}

fn row(out: &mut String, model: &str, task: &Task, source: &Source, m: &Measured, ap: Option<(f64, f64)>, seconds: f64) -> Result<()> {
    let (name, percent) = (judged_on(source), |v: f64| format!("{:.2}", 100.0 * v));
    let frames = m.agreement.frames;
    let mut line = |measure: &str, float: String, ours: String, agreement: String, loss: f64| {
        writeln!(
            out,
            "| {model} | {name} | {frames} | {:.4} | {measure} | {float} | {ours} | {agreement} | {loss:.2} | {seconds:.1} |",
            m.relative
        )
    };
    let none = || "-".to_string();
    let lost = 100.0 * (1.0 - m.agreement.score);
    match &task.kind {
        Kind::Detections(_) => {
            let a = &m.agreement;
            let counts = format!("{} ({} of {})", percent(a.score), a.matched.unwrap_or(0), a.matched.unwrap_or(0) + a.missed.unwrap_or(0));
            line("F1 against float", none(), none(), counts, lost)?;
            if let Some((f, q)) = ap {
                line("AP50, persons", percent(f), percent(q), none(), 100.0 * (f - q))?;
            }
        }
        Kind::Top1 => {
            let agreement = match m.decided {
                Some(d) => format!("{}; decided {}", percent(m.agreement.score), percent(d)),
                None => percent(m.agreement.score),
            };
            match m.labels {
                Some((f, q)) => line("top-1, labels", percent(f), percent(q), agreement, 100.0 * (f - q))?,
                None => line("top-1 against float", none(), none(), agreement, lost)?,
            }
        }
        Kind::Mask(_) | Kind::Heatmap(_) => line("IoU against float", none(), none(), percent(m.agreement.score), lost)?,
        Kind::RelativeError => line(&format!("relative error (PSNR {:.1} dB)", m.psnr), none(), none(), percent(m.agreement.score), lost)?,
    }
    Ok(())
}

fn judged_on(source: &Source) -> String {
    match source {
        Source::Clip(name, ..) | Source::Mel(name, ..) => (*name).into(),
        Source::Cifar(..) => "CIFAR-10".into(),
        Source::Mnist(..) => "MNIST".into(),
        Source::Keywords(..) => "keywords".into(),
    }
}

/// One real input and onnxruntime's answer, compared in codes where the model speaks codes.
fn check_golden(model: &str, p: &Prepared, a: &Artifact, out: &mut String) -> Result<()> {
    let folder = quiescent_benches::assets().join(format!("models/golden/{model}"));
    let g = &p.graph.inputs[0];
    if g.onnx_type == ElementType::F32 || !folder.exists() {
        return Ok(());
    }
    let signed = g.onnx_type == ElementType::I8;
    let (_, input) = clip::npy::read(&folder.join("in0.npy"))?;
    // Integer inputs of the set are already pixels by channels.
    let codes: Vec<u8> = input.iter().map(|v| (*v as i32 + if signed { 128 } else { 0 }) as u8).collect();
    let (_, wanted) = clip::npy::read(&folder.join("out0.npy"))?;
    let mut arena = a.arena();
    let set = kernels::available().last().context("no kernels")?;
    let mut engine = a.engine(&mut arena, set)?;
    engine.set_mode(Mode::Dense);
    let input = Input::Pixels(codes);
    artifact::step(&mut engine, &input)?;
    let ours = artifact::read_outputs(&engine.outputs()).swap_remove(0);
    let mut float = Executor::new(&p.float)?;
    float.run(&[convert::float_input(p, &input)])?;
    let float = float.outputs().swap_remove(0);
    let c = p.float.outputs[0].codes.context("an integer output without codes")?;
    let offset = if p.float.outputs[0].onnx_type == ElementType::I8 { 128.0 } else { 0.0 };
    let distance = |v: &[f32]| {
        let steps = v.iter().zip(&wanted).map(|(v, w)| ((v / c.scale).round() + f32::from(c.zero)).clamp(0.0, 255.0) - (w + offset));
        steps.fold((0f32, 0usize), |(worst, n), d| (worst.max(d.abs()), n + usize::from(d != 0.0)))
    };
    let ((int8, n8), (f, nf)) = (distance(&ours.data), distance(&float));
    writeln!(
        out,
        "- {model}: of {} output codes of onnxruntime, int8 differs in {n8} (at most {int8} steps), the float executor in {nf} (at most {f} steps)",
        wanted.len()
    )?;
    Ok(())
}
