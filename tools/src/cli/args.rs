//! Flags several commands share, and what they open.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use quiescent::engine::Crew;
use quiescent::format::AlignedBytes;
use quiescent::kernels::{self, Kernels};
use quiescent::{Engine, Mode, threads};
use quiescent_tools::artifact::{Artifact, InputSpec};
use quiescent_tools::clip::{self, Noise};
use quiescent_tools::feed::{Feed, Input};
use quiescent_tools::task::Task;
use quiescent_tools::tune::{self, Tuned};

use super::measure::machine;
use super::talk::Talk;

/// Which frames.
#[derive(clap::Args, Clone, Debug)]
pub struct ClipArgs {
    /// Video, y4m, GIF, folder or pattern of PNG/JPEG files, .npy, or - for y4m on standard input
    #[arg(long, short, value_name = "CLIP")]
    pub input: String,
    /// At most this many frames
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub frames: Option<usize>,
    /// Adds Gaussian noise of this sigma, in 8-bit steps, to every picture
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = not_negative)]
    pub noise: Option<f32>,
    /// Frames left out at the beginning.
    #[arg(skip)]
    pub start: usize,
}

impl ClipArgs {
    pub fn options(&self) -> clip::Options {
        let noise = self.noise.filter(|s| *s > 0.0).map(|sigma| Noise { sigma, seed: 1 });
        clip::Options { frames: self.frames, start: self.start, noise, ..Default::default() }
    }

    pub fn open(&self, spec: &InputSpec) -> Result<Feed> {
        Feed::open(spec, &self.input, &self.options()).context("--input")
    }

    /// All frames, decoded and fitted.
    pub fn load(&self, spec: &InputSpec, talk: &Talk) -> Result<Vec<Input>> {
        let feed = self.open(spec)?;
        let bar = talk.frames("loading", feed.frames());
        let frames = feed.map(|f| f.map(|f| f.input)).inspect(|_| bar.inc(1)).collect();
        bar.finish_and_clear();
        frames
    }
}

/// The kernel set.
#[derive(clap::Args, Clone, Debug)]
pub struct KernelArgs {
    /// scalar; avx2, avxvnni, avx512vnni; neon, dotprod, i8mm: the best this machine has when left out
    #[arg(long, value_name = "SET")]
    pub kernels: Option<String>,
}

impl KernelArgs {
    pub fn select(&self) -> Result<&'static Kernels> {
        let Some(name) = &self.kernels else { return Ok(kernels::best()) };
        if let Some(k) = kernels::select(name) {
            return Ok(k);
        }
        let here: Vec<&str> = kernels::available().map(|k| k.name).collect();
        let here = here.join(", ");
        match kernels::COMPILED.contains(&name.as_str()) {
            true => bail!("--kernels {name}: this processor cannot run them; available here: {here}"),
            false => bail!("--kernels {name}: this command has none of that name, for this kind of processor; available here: {here}"),
        }
    }
}

/// What engines run on.
#[derive(clap::Args, Clone, Debug)]
pub struct EngineArgs {
    #[command(flatten)]
    kernels: KernelArgs,
    /// Threads for each frame; results do not depend on it
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = thread_count)]
    threads: usize,
}

impl EngineArgs {
    pub fn open(&self) -> Result<Means> {
        let kernels = self.kernels.select()?;
        let pool = (self.threads > 1).then(|| threads::Pool::new(self.threads)).transpose();
        let pool = pool.with_context(|| format!("--threads {}: starting them; take fewer", self.threads))?;
        Ok(Means { kernels, pool })
    }
}

/// A kernel set, and threads.
pub struct Means {
    pub kernels: &'static Kernels,
    /// `None`: one thread.
    pool: Option<threads::Pool>,
}

impl Means {
    /// The best kernels on one thread.
    pub fn best() -> Self {
        Self { kernels: kernels::best(), pool: None }
    }

    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, Crew::threads)
    }

    pub fn engine<'a>(&'a self, artifact: &'a Artifact, arena: &'a mut AlignedBytes) -> Result<Engine<'a>> {
        let mut engine = artifact.engine(arena, self.kernels)?;
        engine.set_crew(self.pool.as_ref().map(|pool| pool as &dyn Crew));
        Ok(engine)
    }
}

/// Which frames, to be timed.
#[derive(clap::Args, Clone, Debug)]
pub struct TimedArgs {
    /// Video, y4m, GIF, folder or pattern of PNG/JPEG files, .npy, or - for y4m on standard input
    #[arg(long, short, value_name = "CLIP")]
    pub input: String,
    /// At most this many frames, held in memory so that decoding is not timed
    #[arg(long, value_name = "N", default_value = "200", value_parser = at_least_one)]
    pub frames: usize,
    /// Frames to run before timing starts
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub warmup: usize,
    /// Adds Gaussian noise of this sigma, in 8-bit steps, to every picture
    #[arg(long, value_name = "SIGMA", allow_negative_numbers = true, value_parser = not_negative)]
    pub noise: Option<f32>,
}

impl TimedArgs {
    /// All frames, decoded and fitted.
    pub fn load(&self, spec: &InputSpec, talk: &Talk) -> Result<Vec<Input>> {
        let clip = ClipArgs { input: self.input.clone(), frames: Some(self.frames), noise: self.noise, start: 0 };
        clip.load(spec, talk)
    }
}

/// How frames are gated.
#[derive(clap::Args, Clone, Debug)]
pub struct GateArgs {
    /// Factor of all gate thresholds: 0 exact, 1 as calibrated
    #[arg(long, value_name = "S", default_value = "1", allow_negative_numbers = true, value_parser = not_negative)]
    pub gate_scale: f32,
    /// Gates every frame, also while gating does not pay
    #[arg(long)]
    pub no_pause: bool,
    /// Most multiply-accumulates of a gated frame; what is left over waits for the next one
    #[arg(long, value_name = "N", conflicts_with_all = ["budget_ms", "by_time"])]
    pub budget_macs: Option<u64>,
    /// Longest predicted time of a gated frame, by the times of `tune`; what is left over waits for the next one
    #[arg(long, value_name = "MS", value_parser = positive)]
    pub budget_ms: Option<f32>,
    /// Lets the times of `tune`, not multiply-accumulates, decide when gating pays
    #[arg(long)]
    pub by_time: bool,
}

impl Default for GateArgs {
    /// What the flags are when left out.
    fn default() -> Self {
        Self { gate_scale: 1.0, no_pause: false, budget_macs: None, budget_ms: None, by_time: false }
    }
}

impl GateArgs {
    /// The machine's times where they are asked for: those kept, else measured now.
    pub fn tuned(&self, artifact: &Artifact, kernels: &'static Kernels, talk: &Talk) -> Result<Option<Tuned>> {
        if self.gate_scale != 1.0 && artifact.model().gates.is_empty() {
            talk.warn("--gate-scale changes nothing: the artifact has no gates; convert the model with --gates auto");
        }
        if self.budget_ms.is_none() && !self.by_time {
            return Ok(None);
        }
        let bar = talk.stage("measuring steps");
        let (tuned, _) = Tuned::get(artifact, kernels, &machine())?;
        bar.finish_and_clear();
        if let Some(ms) = self.budget_ms.filter(|ms| 1e6 * ms < tuned.frame_ns as f32) {
            bail!("--budget-ms {ms}: comparing a frame alone takes {:.3} ms here", tuned.frame_ns as f64 / 1e6);
        }
        Ok(Some(tuned))
    }

    /// The mode and limits of an engine.
    pub fn apply<'a>(&self, engine: &mut Engine<'a>, tuned: Option<&'a Tuned>) -> Result<()> {
        engine.set_mode(Mode::Gated { scale: self.gate_scale });
        engine.set_adaptive(!self.no_pause);
        if let Some(tuned) = tuned {
            tune::apply(engine, tuned)?;
        }
        engine.set_budget(self.budget_macs.or(self.budget_ms.map(|ms| (ms as f64 * 1e9) as u64)));
        Ok(())
    }
}

/// The task given, else the artifact's own, else all outputs by their relative error.
pub fn task_of(artifact: &Artifact, file: &Path, given: Option<&PathBuf>) -> Result<Task> {
    match (given, &artifact.meta.task) {
        (Some(path), _) => Task::load(path).context("--task"),
        (None, Some(text)) => Task::parse(&format!("the task within {}", file.display()), text),
        (None, None) => Ok(Task::default()),
    }
}

/// `(w, h)` of the model's input in pixels.
pub fn extent(spec: &InputSpec) -> (usize, usize) {
    (spec.shape[1], spec.shape[0])
}

pub fn not_negative(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(v) if v >= 0.0 && v.is_finite() => Ok(v),
        _ => Err("a number from 0 is needed".into()),
    }
}

pub fn positive(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(v) if v > 0.0 && v.is_finite() => Ok(v),
        _ => Err("a number above 0 is needed".into()),
    }
}

pub fn real(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(v) if v.is_finite() => Ok(v),
        _ => Err("a number is needed".into()),
    }
}

/// Bytes: 65536, 64K, 1M.
pub fn bytes(text: &str) -> Result<usize> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        _ => (text, 1),
    };
    match digits.parse::<usize>().ok().and_then(|n| n.checked_mul(factor)) {
        Some(n) if n > 0 => Ok(n),
        _ => bail!("a number of bytes is needed: 65536, 64K or 1M"),
    }
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a whole number from 1 is needed".into()),
    }
}

fn thread_count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(n) if (1..=threads::MOST).contains(&n) => Ok(n),
        _ => Err(format!("a whole number from 1 to {} is needed", threads::MOST)),
    }
}

/// Fails now rather than after minutes of work.
pub fn writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        bail!("writing {}: it is a folder; name a file", path.display());
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!("writing {}: there is no folder {}", path.display(), folder.display());
    }
    tempfile::NamedTempFile::new_in(folder)
        .map(drop)
        .with_context(|| format!("writing {}: the folder {} does not take files", path.display(), folder.display()))
}

/// Makes a folder for results.
pub fn folder(flag: &str, path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("{flag} {}: making the folder", path.display()))
}
