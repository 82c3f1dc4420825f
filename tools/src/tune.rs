//! What each step takes on this machine: a cost model `fixed + rows * row`, measured and kept.
//!
//! A made-up picture changes in a rectangle of varying size, gates pass every change on, and a clock tells the time of every step;
//! least squares over the numbers of rows recomputed give the two terms. A file in the user's cache, named after the artifact,
//! the kernel set and the processor, keeps them.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use quiescent::Mode;
use quiescent::engine::{StepTime, Times, Work};
use quiescent::kernels::Kernels;
use serde::{Deserialize, Serialize};

use crate::artifact::{self, Artifact};
use crate::clock::Clock;

/// Shares of the picture that change.
const SHARES: [f32; 6] = [0.0, 0.004, 0.016, 0.06, 0.25, 0.5];
/// Frames of each share, and dense ones.
const FRAMES: usize = 12;

/// Measured times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tuned {
    /// Processor and kernel set.
    pub machine: String,
    pub kernels: String,
    /// Of the artifact.
    checksum: u32,
    /// A gated frame in which nothing changed, nanoseconds.
    pub frame_ns: u32,
    /// A dense frame, nanoseconds.
    pub dense_ns: u32,
    #[serde(with = "pairs")]
    pub steps: Vec<StepTime>,
}

/// Step times as `[fixed_ns, row_ps]`.
mod pairs {
    use quiescent::engine::StepTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(steps: &[StepTime], s: S) -> Result<S::Ok, S::Error> {
        steps.iter().map(|t| (t.fixed_ns, t.row_ps)).collect::<Vec<_>>().serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<StepTime>, D::Error> {
        let pairs = Vec::<(u32, u32)>::deserialize(d)?;
        Ok(pairs.into_iter().map(|(fixed_ns, row_ps)| StepTime { fixed_ns, row_ps }).collect())
    }
}

impl Tuned {
    /// For [`quiescent::Engine::set_times`].
    pub fn times(&self) -> Times<'_> {
        Times { frame_ns: self.frame_ns, dense_ns: self.dense_ns, steps: &self.steps }
    }

    /// What was kept for this artifact on this machine, or measured now and kept; whether it was measured.
    pub fn get(artifact: &Artifact, kernels: &'static Kernels, machine: &str) -> Result<(Self, bool)> {
        let kept = file(artifact, kernels, machine)
            .and_then(|file| std::fs::read(file).ok())
            .and_then(|bytes| serde_json::from_slice::<Tuned>(&bytes).ok())
            .filter(|t| t.checksum == artifact.header().checksum && t.kernels == kernels.name && t.machine == machine)
            .filter(|t| t.steps.len() == artifact.model().steps.len());
        match kept {
            Some(tuned) => Ok((tuned, false)),
            None => Ok((Self::measure(artifact, kernels, machine)?, true)),
        }
    }

    /// Measures and keeps. A cache that cannot be written is none: the times are measured again next time.
    pub fn measure(artifact: &Artifact, kernels: &'static Kernels, machine: &str) -> Result<Self> {
        let dense_ns = dense(artifact, kernels)?;
        let points = gated(artifact, kernels)?;
        let still = points.iter().filter(|p| p.share == 0.0).map(|p| p.around);
        let tuned = Self {
            machine: machine.into(),
            kernels: kernels.name.into(),
            checksum: artifact.header().checksum,
            frame_ns: nanoseconds(median(still.collect())),
            dense_ns,
            steps: (0..artifact.model().steps.len()).map(|i| fit(points.iter().filter_map(|p| p.steps[i]))).collect(),
        };
        if let Some(file) = file(artifact, kernels, machine) {
            let folder = file.parent().context("a cache without a folder")?;
            if std::fs::create_dir_all(folder).is_ok() {
                let _ = artifact::write_whole(&file, &serde_json::to_vec(&tuned)?);
            }
        }
        Ok(tuned)
    }
}

/// Where times are kept; `None` where the system has no place for caches.
pub fn file(artifact: &Artifact, kernels: &Kernels, machine: &str) -> Option<PathBuf> {
    let plain: String = machine.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = format!("{:08x}-{}-{plain}.json", artifact.header().checksum, kernels.name);
    Some(dirs::cache_dir()?.join("quiescent").join(name))
}

/// A gated frame: its changed share, seconds around the steps, and rows and seconds of each step that ran.
struct Point {
    share: f32,
    around: f64,
    steps: Vec<Option<(f64, f64)>>,
}

fn dense(artifact: &Artifact, kernels: &'static Kernels) -> Result<u32> {
    let mut arena = artifact.arena();
    let mut engine = artifact.engine(&mut arena, kernels)?;
    engine.set_mode(Mode::Dense);
    let input = artifact.made_up(&noise(artifact, 1));
    let mut times = Vec::new();
    for _ in 0..FRAMES {
        let start = Instant::now();
        artifact::step(&mut engine, &input)?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(nanoseconds(median(times)))
}

fn gated(artifact: &Artifact, kernels: &'static Kernels) -> Result<Vec<Point>> {
    let clock = Clock::new(Instant::now());
    let observer = |work| clock.tick(work);
    let mut arena = artifact.arena();
    let mut engine = artifact.engine(&mut arena, kernels)?;
    engine.set_mode(Mode::Gated { scale: 0.0 });
    engine.observe(Some(&observer));
    let [h, w, c] = artifact.meta.input.shape;
    let mut codes = noise(artifact, 1);
    clock.begin();
    artifact::step(&mut engine, &artifact.made_up(&codes))?;
    let mut points = Vec::new();
    for (n, &share) in (0..FRAMES).flat_map(|n| SHARES.iter().map(move |s| (n, s))) {
        // A rectangle of the picture's shape, elsewhere every time.
        let fresh = noise(artifact, 2 + points.len() as u32);
        let side = |n: usize| ((n as f32 * share.sqrt()).round() as usize).min(n);
        let (lines, columns) = (side(h), side(w));
        let (y0, x0) = ((h - lines) * (n * 7 % FRAMES) / FRAMES, (w - columns) * (n * 5 % FRAMES) / FRAMES);
        for y in y0..y0 + lines {
            let part = (y * w + x0) * c..(y * w + x0 + columns) * c;
            codes[part.clone()].copy_from_slice(&fresh[part]);
        }
        let input = artifact.made_up(&codes);
        clock.begin();
        artifact::step(&mut engine, &input)?;
        let (begin, pieces) = clock.end();
        // Almost everything changed: the rest of the frame ran densely.
        if engine.stats().dense {
            continue;
        }
        let mut point = Point { share, around: 0.0, steps: vec![None; artifact.model().steps.len()] };
        let mut from = begin;
        for piece in &pieces {
            let seconds = (piece.end - from) / 1e6;
            from = piece.end;
            match piece.work {
                Some(Work::Step(i)) => point.steps[i].get_or_insert((0.0, 0.0)).1 += seconds,
                _ => point.around += seconds,
            }
        }
        for s in engine.step_stats() {
            if let Some(step) = &mut point.steps[s.step] {
                step.0 = s.rows as f64;
            }
        }
        points.push(point);
    }
    Ok(points)
}

/// Codes of a made-up picture.
fn noise(artifact: &Artifact, seed: u32) -> Vec<u8> {
    artifact::made_up_codes(&artifact.model(), seed)
}

/// Least squares of `fixed + rows * row`, each term at least 0. Points count by the inverse of their time: a share of it is what an
/// error matters by, and long ones hold the interruptions.
fn fit(points: impl Iterator<Item = (f64, f64)>) -> StepTime {
    let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (rows, seconds) in points.filter(|(_, seconds)| *seconds > 0.0) {
        let weight = 1.0 / seconds;
        n += weight;
        x += weight * rows;
        y += weight * seconds;
        xx += weight * rows * rows;
        xy += weight * rows * seconds;
    }
    let spread = n * xx - x * x;
    let through_zero = |y: f64, x: f64| (0.0, if x > 0.0 { y / x } else { 0.0 });
    let (mut fixed, mut row) = match spread > 1e-9 * n * xx {
        true => ((y * xx - x * xy) / spread, (n * xy - x * y) / spread),
        false => through_zero(y, x),
    };
    if row < 0.0 {
        (fixed, row) = (if n > 0.0 { y / n } else { 0.0 }, 0.0);
    } else if fixed < 0.0 {
        (fixed, row) = through_zero(xy, xx);
    }
    StepTime { fixed_ns: nanoseconds(fixed), row_ps: (row * 1e12).round() as u32 }
}

fn nanoseconds(seconds: f64) -> u32 {
    (seconds * 1e9).round() as u32
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Lets the engine weigh work by these times.
pub fn apply<'a>(engine: &mut quiescent::Engine<'a>, tuned: &'a Tuned) -> Result<()> {
    engine.set_times(Some(tuned.times())).map_err(|e| anyhow!("{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_terms_are_found() {
        let line = |rows: f64| (rows, 2e-6 + rows * 3e-9);
        let t = fit([1.0, 10.0, 200.0, 5000.0].map(line).into_iter());
        assert!(t.fixed_ns.abs_diff(2000) < 3 && t.row_ps.abs_diff(3000) < 3, "{t:?}");
        // Never below zero.
        let t = fit([(1.0, 1e-9), (100.0, 1e-6)].into_iter());
        assert_eq!(t.fixed_ns, 0, "{t:?}");
        let t = fit([(1.0, 5e-6), (100.0, 1e-6)].into_iter());
        assert_eq!(t.row_ps, 0, "{t:?}");
        assert_eq!(fit([].into_iter()), StepTime::default());
        let t = fit([(50.0, 1e-6)].into_iter());
        assert_eq!((t.fixed_ns, t.row_ps), (0, 20000), "one number of rows alone");
    }
}
