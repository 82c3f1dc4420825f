//! `tune`: measures what each step of an artifact takes on this machine, and keeps it.

use std::path::PathBuf;

use anyhow::Result;
use quiescent_tools::artifact::Artifact;
use quiescent_tools::tune::{self, Tuned};
use serde::Serialize;

use super::args::KernelArgs;
use super::measure::machine;
use super::talk::Talk;

/// Measures what each step takes on this machine, for `--budget-ms` and `--by-time`
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    #[command(flatten)]
    kernels: KernelArgs,
}

#[derive(Serialize)]
struct Report {
    model: String,
    /// Where the times are kept; none where the system has no place for caches.
    file: Option<PathBuf>,
    #[serde(flatten)]
    tuned: Tuned,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let kernels = a.kernels.select()?;
    let bar = talk.stage("measuring steps");
    let tuned = Tuned::measure(&artifact, kernels, &machine())?;
    bar.finish_and_clear();
    let file = tune::file(&artifact, kernels, &tuned.machine).filter(|f| f.exists());
    let report = Report { model: a.model.display().to_string(), file, tuned };
    talk.result(&report, || text(&report, &artifact))
}

fn text(r: &Report, artifact: &Artifact) -> String {
    let t = &r.tuned;
    let mut text = format!(
        "{} with {} kernels on {}\ndense      {:.3} ms a frame\nunchanged  {:.3} ms a frame: comparing it, looking for marks\n\n",
        r.model,
        t.kernels,
        t.machine,
        t.dense_ns as f64 / 1e6,
        t.frame_ns as f64 / 1e6
    );
    text += "  step op           [h, w, c]          fixed us  ns a row  name\n";
    for (i, (step, info)) in t.steps.iter().zip(&artifact.meta.steps).enumerate() {
        let shape = format!("{:?}", info.shape);
        text += &format!(
            "  {i:4} {:12} {shape:17} {:9.2} {:9.3}  {}\n",
            info.op,
            step.fixed_ns as f64 / 1e3,
            step.row_ps as f64 / 1e3,
            info.name
        );
    }
    text + &match &r.file {
        Some(file) => format!("\nkept in {}\n", file.display()),
        None => "\nnot kept: the cache cannot be written\n".into(),
    }
}
