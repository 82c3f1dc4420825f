//! Artifacts and inputs for the MLPerf Tiny harness (`boards/mlperf-tiny`).
//!
//! ```text
//! cargo run --release -p quiescent-benches --bin tiny -- DIR [BENCHMARK.. | --made-up]
//! ```
//!
//! For each of kws01, ic01, vww01 and ad01 writes `NAME.qsc`, `NAME.inputs` (as the harness sends them), `NAME.float` (what the
//! unquantised model makes of them, little-endian f32) and `NAME.labels` where there are labels. kws01 and ic01 are
//! converted from the models published quantised, the other two from the float ones; the judge is the float one always. Artifacts are
//! made for Cortex-M and its memory, as `boards/cortex-m/test` has them; they give the same on every processor.
//! With `--made-up` instead a kws01 with random weights and a few inputs, which needs no models.

mod made_up;
#[allow(dead_code, clippy::wrong_self_convention)]
#[path = "../../../../tools/tests/laws/net.rs"]
mod net;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use quiescent::format::Profile;
use quiescent_benches::cases::{self, Source};
use quiescent_benches::data::{self, Record};
use quiescent_tools::artifact::{Artifact, write_whole};
use quiescent_tools::convert::{self, Fit, Prepared};
use quiescent_tools::exec::Executor;
use quiescent_tools::feed::Input;

/// Name, model of the artifact, float model, KiB of memory.
const BENCHMARKS: [(&str, &str, &str, usize); 4] = [
    ("kws01", "mlperf_kws01_dscnn_int8", "mlperf_kws01_dscnn_fp32", 18),
    ("ic01", "mlperf_ic01_resnet8_int8", "mlperf_ic01_resnet8_fp32", 48),
    ("vww01", "mlperf_vww01_mobilenet_fp32", "mlperf_vww01_mobilenet_fp32", 60),
    ("ad01", "mlperf_ad01_autoencoder_fp32", "mlperf_ad01_autoencoder_fp32", 4),
];

/// What is written of a benchmark.
struct Set {
    artifact: Artifact,
    /// As they are sent.
    inputs: Vec<Vec<u8>>,
    /// The float model's.
    results: Vec<Vec<f32>>,
    labels: Vec<u8>,
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().context("a folder is needed: tiny DIR [BENCHMARK.. | --made-up]")?);
    let wanted: Vec<String> = args.collect();
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    if wanted == ["--made-up"] {
        return write(&dir, "kws01", &made_up::set()?);
    }
    if let Some(w) = wanted.iter().find(|w| !BENCHMARKS.iter().any(|b| b.0 == **w)) {
        bail!("no benchmark {w}; there are: {}, or --made-up alone", BENCHMARKS.map(|b| b.0).join(", "));
    }
    for (name, ours, float, kib) in BENCHMARKS.iter().filter(|b| wanted.is_empty() || wanted.iter().any(|w| w == b.0)) {
        write(&dir, name, &published(name, ours, float, kib << 10).with_context(|| name.to_string())?)?;
    }
    Ok(())
}

fn write(dir: &Path, name: &str, set: &Set) -> Result<()> {
    let file = |kind: &str, bytes: &[u8]| write_whole(&dir.join(format!("{name}.{kind}")), bytes);
    set.artifact.save(&dir.join(format!("{name}.qsc")))?;
    file("inputs", &set.inputs.concat())?;
    file("float", &set.results.iter().flatten().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())?;
    if !set.labels.is_empty() {
        file("labels", &set.labels)?;
    }
    println!("{name}: {}, {} inputs", set.artifact.meta.model, set.inputs.len());
    Ok(())
}

/// What codes are calibrated on and what the harness sends: all official keywords and all labelled pictures; frames of
/// clips; windows of sounds.
fn sources(name: &str, case: cases::Case) -> (Vec<Source>, Vec<Source>) {
    let every_third = |clip, frames| Source::Clip(clip, 0, 3, frames);
    match name {
        "kws01" => (case.calibrate, vec![Source::Keywords(0, 500)]),
        "vww01" => {
            let judged = [
                ("pets_pedestrians_static", 99),
                ("webcam_signer_a_static", 86),
                ("dashcam_moving", 74),
                ("highway_trees_static", 99),
                ("cars_overhead_static", 99),
            ];
            (vec![every_third("person_gate_b_static", 99)], judged.map(|(clip, frames)| every_third(clip, frames)).into())
        }
        _ => (case.calibrate, case.judge),
    }
}

fn prepare(model: &str) -> Result<Prepared> {
    convert::prepare(&cases::options(model), Some(&cases::task(model)?))
}

fn read(p: &Prepared, sources: &[Source]) -> Result<Vec<Record>> {
    let mut all = Vec::new();
    for s in sources {
        all.extend(data::read(&p.input, s)?.records);
    }
    Ok(all)
}

fn published(name: &str, ours: &str, float: &str, ram: usize) -> Result<Set> {
    let case = cases::all().into_iter().find(|c| c.model == ours).with_context(|| format!("no case {ours}"))?;
    let prepared = prepare(ours)?;
    let (calibrate, judged) = sources(name, case);
    let calibration: Vec<Input> = read(&prepared, &calibrate)?.into_iter().map(|r| r.input).collect();
    let fit = Fit { ram: Some(ram), flash: None };
    let options = convert::Options { profile: Profile::CortexM, fit, ..cases::options(ours) };
    let artifact = convert::quantise(&options, &prepared, &calibration, None)?;
    options.fit.check(&artifact)?;
    let judge = prepare(float)?;
    let (sent, seen) = (read(&prepared, &judged)?, read(&judge, &judged)?);
    ensure!(sent.len() == seen.len(), "{ours} and {float} read different records");
    let mut set = Set { artifact, inputs: vec![], results: vec![], labels: vec![] };
    let mut executor = Executor::new(&judge.float)?;
    for (sent, seen) in sent.iter().zip(&seen) {
        set.inputs.push(match &sent.input {
            // Signed features travel as they are; the engine's codes are 128 higher.
            Input::Pixels(p) if name == "kws01" => p.iter().map(|code| code ^ 0x80).collect(),
            Input::Pixels(p) => p.clone(),
            Input::Values(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        });
        let x = convert::float_input(&judge, &seen.input);
        executor.run(std::slice::from_ref(&x))?;
        let output = executor.outputs().swap_remove(0);
        set.results.push(match name {
            "ad01" => vec![x.iter().zip(&output).map(|(x, y)| (x - y) * (x - y)).sum::<f32>() / x.len() as f32],
            _ => output,
        });
        set.labels.extend(sent.label.map(|l| l as u8));
    }
    Ok(set)
}
