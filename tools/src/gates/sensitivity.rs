//! How much each gate hurts: one step of a code means little in one tensor and much in another.
//!
//! Each gate in turn is given the same threshold, all others 0, and the error of the answers is measured on a few frames of
//! the calibration clips. Thresholds are then spread so that all gates err alike (the equal shares of CETT), tempered,
//! since the measure is coarse.

use anyhow::Result;
use quiescent::format::{InputGate, NONE};

use super::{Trial, parallel, set_thresholds};
use crate::artifact::Artifact;

/// The threshold gates are compared at, in the units of [`set_thresholds`].
const PROBE: f32 = 16.0;
/// Frames of each clip.
const FRAMES: usize = 24;
/// 1 makes all gates err alike, 0 leaves one threshold for all.
const TEMPER: f64 = 0.5;
/// Bounds of a factor.
const RANGE: (f64, f64) = (0.33, 3.0);

/// For each step, the factor of its gate's threshold; 1 for steps without one.
pub(super) fn factors(trial: &Trial, artifact: &Artifact) -> Result<Vec<f32>> {
    let gated: Vec<usize> = artifact.model().steps.iter().enumerate().filter(|(_, s)| s.gate != NONE).map(|(i, _)| i).collect();
    let steps = artifact.model().steps.len();
    let errors = parallel::map(gated.len(), |i| {
        let (mut artifact, mut alone) = (artifact.clone(), vec![0.0; steps]);
        alone[gated[i]] = 1.0;
        set_thresholds(&mut artifact, InputGate::default(), PROBE, &alone);
        Ok(trial.glance(&artifact, 1.0, FRAMES)?.error.max(1e-4))
    })?;
    let mut sorted = errors.clone();
    sorted.sort_by(f64::total_cmp);
    let typical = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
    let mut factors = vec![1.0; steps];
    for (step, error) in gated.into_iter().zip(errors) {
        factors[step] = (typical / error).powf(TEMPER).clamp(RANGE.0, RANGE.1) as f32;
    }
    Ok(factors)
}
