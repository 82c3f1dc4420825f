//! `inspect`: what an artifact holds, and its self-test.

use std::path::PathBuf;

use anyhow::{Result, bail};
use quiescent::format::{Conv, Dtype, NONE, Op, VIEW};
use quiescent::kernels;
use quiescent_tools::artifact::{Alive, Artifact, InputKind, alive, region, tensor_bytes};
use serde::Serialize;

use super::talk::{Talk, bytes, count, percent, points_text, profile_name, triples};

/// Says what an artifact holds
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    /// One line per step, and the error table of the conversion
    #[arg(long)]
    layers: bool,
    /// The arena step by step: bytes alive, and in which tensors
    #[arg(long)]
    arena: bool,
    /// The operators, as the line that has a firmware link their kernels alone
    #[arg(long)]
    ops: bool,
    /// Runs made-up frames on every kernel set of this machine and compares checksums
    #[arg(long)]
    self_test: bool,
}

#[derive(Serialize)]
struct Report {
    model: String,
    source: String,
    tool: String,
    profile: &'static str,
    artifact_bytes: usize,
    weight_bytes: usize,
    arena_bytes: usize,
    arena_dense_bytes: usize,
    macs_dense: u64,
    input: Input,
    outputs: Vec<Output>,
    tensors: usize,
    held: usize,
    segments: usize,
    input_gate: InputGate,
    dense_above: f32,
    gates: Vec<Gate>,
    points: Vec<(f32, f32, f32)>,
    task: bool,
    notes: Vec<String>,
    golden: Vec<String>,
    self_test: Option<Vec<SelfTest>>,
    ops: Vec<String>,
    /// Frames can be compared.
    gated: bool,
    steps: Vec<Step>,
    arena: Arena,
    layers: Vec<serde_json::Value>,
    recipe: serde_json::Value,
    search: serde_json::Value,
}

#[derive(Serialize)]
struct Input {
    name: String,
    onnx_shape: Vec<usize>,
    /// `[h, w, c]`.
    shape: [usize; 3],
    kind: InputKind,
    norm: Option<quiescent_tools::artifact::Norm>,
    letterbox: Option<u8>,
}

#[derive(Serialize)]
struct Output {
    name: String,
    onnx_shape: Vec<u32>,
    dtype: &'static str,
}

#[derive(Serialize)]
struct InputGate {
    /// Change of a pixel, in codes.
    pixel: u16,
    /// Mean change of a block, in codes; 0: no block test.
    block: f32,
    /// Dense frames' worth of gated work after which a scene at rest is computed whole; 0: never.
    refresh: f32,
    /// Codes.
    shift: u8,
    /// Frames that changes of few pixels are left for.
    wait: u8,
    /// Share of the pixels.
    few: f32,
}

#[derive(Serialize)]
struct Gate {
    step: usize,
    name: String,
    threshold: u32,
    dead: u32,
    /// Largest error of a held value at scale 1, in real units.
    bound: f32,
}

#[derive(Serialize)]
struct Step {
    name: String,
    op: String,
    shape: [usize; 3],
    macs: u64,
    bits: u32,
    bytes: usize,
    /// Its weights lie in pairs, `N2K16`.
    paired: bool,
    held: bool,
    gate: Option<usize>,
}

/// What of the arena is in use when.
#[derive(Serialize)]
struct Arena {
    /// Bytes of tensors and of rows before gates, and of everything behind them: masks, counters.
    tensor_bytes: usize,
    other_bytes: usize,
    /// The step with most bytes alive.
    peak: usize,
    tensors: Vec<ArenaTensor>,
    /// Of each step, tensors by index.
    steps: Vec<Alive>,
}

#[derive(Serialize)]
struct ArenaTensor {
    name: String,
    /// Its first byte, border included, and how many there are.
    at: usize,
    bytes: usize,
    held: bool,
    /// It lies in the memory of others.
    view: bool,
    /// Lines in memory, where there are fewer than the map has.
    lines: Option<u32>,
}

#[derive(Serialize)]
struct SelfTest {
    kernels: &'static str,
    passed: bool,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let mut report = report(&a.model.display().to_string(), &artifact);
    if a.self_test {
        if artifact.meta.golden.is_empty() {
            bail!("{}: it carries no self-test; convert the model again", a.model.display());
        }
        let mut results = Vec::new();
        for k in kernels::available() {
            results.push(SelfTest { kernels: k.name, passed: artifact.golden(k)? == artifact.meta.golden });
        }
        report.self_test = Some(results);
    }
    talk.result(&report, || if a.ops { report.line() } else { report.text(a.layers, a.arena) })?;
    let failed: Vec<&str> = report.self_test.iter().flatten().filter(|t| !t.passed).map(|t| t.kernels).collect();
    if !failed.is_empty() {
        bail!("{}: the self-test failed with {}: other results than those stored by the converter", a.model.display(), failed.join(", "));
    }
    Ok(())
}

fn report(file: &str, artifact: &Artifact) -> Report {
    let (model, meta) = (artifact.model(), &artifact.meta);
    let header = model.header;
    let steps: Vec<Step> = model
        .steps
        .iter()
        .zip(&meta.steps)
        .map(|(s, info)| Step {
            name: info.name.clone(),
            op: info.op.clone(),
            shape: info.shape,
            macs: info.macs,
            bits: info.bits,
            bytes: info.bytes,
            paired: Op::new(s.op) == Some(Op::Conv) && model.record::<Conv>(s.param).is_some_and(|c| c.merged == Conv::PAIRED),
            held: model.tensors[s.output as usize].held(),
            gate: (s.gate != NONE).then_some(s.gate as usize),
        })
        .collect();
    let gates = model.gates.iter().enumerate().map(|(i, g)| {
        let step = model.steps.iter().position(|s| s.gate as usize == i).unwrap_or_default();
        let name = meta.steps.get(step).map(|s| s.name.clone()).unwrap_or_default();
        Gate { step, name, threshold: g.threshold, dead: g.dead, bound: g.bound }
    });
    let outputs = model.outputs.iter().map(|o| {
        let name = model.array::<u8>(o.name, o.name_len as usize).unwrap_or(&[]);
        Output {
            name: String::from_utf8_lossy(name).into_owned(),
            onnx_shape: o.shape[..(o.rank as usize).min(6)].to_vec(),
            dtype: match model.tensors[o.tensor as usize].dtype() {
                Dtype::U8 => "u8",
                Dtype::F32 => "f32",
            },
        }
    });
    Report {
        model: file.into(),
        source: meta.model.clone(),
        tool: meta.tool.clone(),
        profile: profile_name(header.profile),
        artifact_bytes: artifact.bytes().len(),
        weight_bytes: steps.iter().map(|s| s.bytes).sum(),
        arena_bytes: header.arena_len as usize,
        arena_dense_bytes: header.arena_dense_len as usize,
        macs_dense: header.cost.macs.get(),
        input: Input {
            name: meta.input.name.clone(),
            onnx_shape: meta.input.onnx_shape.clone(),
            shape: meta.input.shape,
            kind: meta.input.kind,
            norm: meta.input.norm.clone(),
            letterbox: meta.input.fit.letterbox,
        },
        outputs: outputs.collect(),
        tensors: model.tensors.len(),
        held: model.tensors.iter().filter(|t| t.held()).count(),
        segments: model.segments.len(),
        input_gate: InputGate {
            pixel: header.input_gate.pixel,
            block: header.input_gate.block as f32 / 16.0,
            refresh: header.input_gate.refresh as f32 / 16.0,
            shift: header.input_gate.shift,
            wait: header.input_gate.wait,
            few: header.input_gate.few as f32 / 256.0,
        },
        dense_above: header.cost.dense_above,
        gates: gates.collect(),
        points: triples(model.points),
        task: meta.task.is_some(),
        notes: meta.notes.clone(),
        golden: meta.golden.iter().map(|g| format!("{g:08x}")).collect(),
        self_test: None,
        gated: artifact.model().gated(),
        ops: artifact.ops().iter().map(|op| format!("{op:?}")).collect(),
        steps,
        arena: arena(artifact),
        layers: meta.layers.clone(),
        recipe: meta.recipe.clone(),
        search: meta.search.clone(),
    }
}

fn arena(artifact: &Artifact) -> Arena {
    let model = artifact.model();
    let steps = alive(&model);
    let tensors = model.tensors.iter().enumerate().map(|(i, t)| ArenaTensor {
        name: artifact.meta.tensors.get(i).cloned().unwrap_or_default(),
        at: region(t).0,
        bytes: tensor_bytes(t),
        held: t.held(),
        view: t.flags & VIEW != 0,
        lines: (t.lines > 0).then_some(t.lines),
    });
    Arena {
        tensor_bytes: model.header.tensors_end as usize,
        other_bytes: (model.header.arena_len - model.header.tensors_end) as usize,
        peak: (0..steps.len()).max_by_key(|k| (steps[*k].bytes, std::cmp::Reverse(*k))).unwrap_or(0),
        tensors: tensors.collect(),
        steps,
    }
}

impl Report {
    /// Rust for a firmware; `bake` writes the list as `OPS`, what follows as `GATES`.
    fn line(&self) -> String {
        let ops: Vec<String> = self.ops.iter().map(|op| format!("Op::{op}")).collect();
        format!("static KERNELS: Kernels = kernels::BEST.only(&[{}], {});\n", ops.join(", "), self.gated)
    }

    fn text(&self, layers: bool, arena: bool) -> String {
        let mut t = format!("{}: {} converted by quiescent {}, for {}\n", self.model, self.source, self.tool, self.profile);
        t += &format!(
            "size       {} ({} weights and tables), arena {} ({} with whole maps, none of them held)\n",
            bytes(self.artifact_bytes),
            bytes(self.weight_bytes),
            bytes(self.arena_bytes),
            bytes(self.arena_dense_bytes)
        );
        t += &format!(
            "network    {} steps in {} segments, {} tensors ({} held), {} multiply-accumulates\n",
            self.steps.len(),
            self.segments,
            self.tensors,
            self.held,
            count(self.macs_dense)
        );
        let paired = self.steps.iter().filter(|s| s.paired).count();
        if paired > 0 {
            t += &format!("packing    N2K16 (pairs) in {paired} convolutions of few rows\n");
        }
        let [h, w, c] = self.input.shape;
        let kind = match self.input.kind {
            InputKind::Pixels => "8-bit codes",
            InputKind::Values => "reals",
        };
        t += &format!("input      {} {:?}: {kind} [{h}, {w}, {c}]", self.input.name, self.input.onnx_shape);
        if let Some(n) = &self.input.norm {
            let order = if n.bgr { "BGR" } else { "RGB" };
            t += &format!(", (pixel * {} - {:?}) / {:?}, {order}", n.scale, n.mean, n.std);
        }
        t += match self.input.letterbox {
            Some(_) => ", letterbox\n",
            None => "\n",
        };
        for o in &self.outputs {
            t += &format!("output     {} {:?}, {}\n", o.name, o.onnx_shape, o.dtype);
        }
        let g = &self.input_gate;
        t += &format!("input gate pixels above {} codes", g.pixel);
        if g.block > 0.0 {
            t += &format!(", blocks above {} codes in the mean", g.block);
        }
        if g.shift > 0 {
            t += &format!(", all by up to {} codes taken out before", g.shift);
        }
        if g.wait > 0 {
            t += &format!("; below {:.1} % of all they wait {} frames at most", 100.0 * g.few, g.wait);
        }
        t += &match g.refresh {
            0.0 => "\n".into(),
            n => format!("; a scene at rest is computed whole after {n} frames' work\n"),
        };
        let open = self.gates.iter().filter(|g| g.threshold == 0).count();
        t += &format!("gates      {} ({open} pass every change on)\n", self.gates.len());
        if layers {
            self.layer_lines(&mut t);
        }
        if arena {
            self.arena_lines(&mut t);
        }
        t += &points_text(&self.points);
        for n in &self.notes {
            t += &format!("note: {n}\n");
        }
        match &self.self_test {
            None => t += &format!("self-test  stored: {}; --self-test runs it\n", self.golden.join(" ")),
            Some(results) => {
                for r in results {
                    t += &format!("self-test  {:12} {}\n", r.kernels, if r.passed { "passed" } else { "FAILED" });
                }
            }
        }
        t
    }

    fn arena_lines(&self, t: &mut String) {
        let a = &self.arena;
        *t += &format!("\n  arena: {} of tensors, {} of masks and counters\n", bytes(a.tensor_bytes), bytes(a.other_bytes));
        let place = |tensor: &ArenaTensor| format!("{}+{} {}", tensor.at, tensor.bytes, tensor.name.rsplit(';').next().unwrap_or(""));
        if a.tensors.iter().any(|tensor| tensor.held) {
            *t += "  held through all steps: at+bytes name\n";
            for tensor in a.tensors.iter().filter(|tensor| tensor.held && tensor.bytes > 0) {
                *t += &format!("    {}{}\n", place(tensor), if tensor.view { " (in the memory of others)" } else { "" });
            }
        }
        *t += "  step     bytes  tensors alive besides: at+bytes name (lines in memory, where not the whole map)\n";
        for (k, step) in a.steps.iter().enumerate() {
            let scratch = step.tensors.iter().map(|i| &a.tensors[*i]).filter(|tensor| !tensor.held);
            let pieces = scratch.map(|tensor| place(tensor) + &tensor.lines.map_or(String::new(), |n| format!(" ({n} lines)")));
            let room = step.staging.map(|(start, end)| format!("{start}+{} (rows before a gate)", end - start));
            let mark = if k == a.peak { " < peak" } else { "" };
            *t += &format!("  {k:4} {:9}  {}{mark}\n", step.bytes, pieces.chain(room).collect::<Vec<_>>().join(", "));
        }
        t.push('\n');
    }

    fn layer_lines(&self, t: &mut String) {
        *t += "\n  step op           [h, w, c]              macs  bits     bytes       held  gate  threshold  dead  bound     name\n";
        for (i, s) in self.steps.iter().enumerate() {
            let shape = format!("{:?}", s.shape);
            *t += &format!(
                "  {i:4} {:12} {shape:17} {:>9}  {:>4} {:>9} {:5} {:4}",
                s.op,
                count(s.macs),
                s.bits,
                s.bytes,
                if s.paired { "pairs" } else { "" },
                if s.held { "held" } else { "" }
            );
            match s.gate.and_then(|g| Some((g, self.gates.get(g)?))) {
                Some((k, g)) => *t += &format!("  {k:4}  {:9}  {:4}  {:<8.4}", g.threshold, g.dead, g.bound),
                None => *t += &format!("  {:4}  {:9}  {:4}  {:8}", "", "", "", ""),
            }
            *t += &format!("  {}\n", s.name);
        }
        if self.layers.is_empty() {
            *t += "\n";
            return;
        }
        *t += "\n  errors of 8 bits (dB, signal to noise): with the errors before it, its own alone\n";
        *t += "     all    own  cosine  saturated  bits  name\n";
        for l in &self.layers {
            let number = |key: &str| l.get(key).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
            let text = |key: &str| l.get(key).and_then(serde_json::Value::as_str).unwrap_or("").to_string();
            let note = text("note");
            *t += &format!(
                "  {:6.1} {:6.1}  {:.4}  {:>9}  {:4}  {} ({}){}{}\n",
                number("sqnr_db"),
                number("own_sqnr_db"),
                number("cosine"),
                percent(number("saturated")),
                number("bits"),
                text("name"),
                text("op"),
                if note.is_empty() { "" } else { ": " },
                note
            );
        }
        t.push('\n');
    }
}
