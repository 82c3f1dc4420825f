//! Thresholds of single gates: first their shape, then their size.
//!
//! ```text
//! three times, until as many settings were tried as the budget allows:
//!     for each gate and each number of the input test: four times or a quarter (later twice or half) of it, where that lowers
//!         ln work + exchange * ln error
//!     for all gates together: the factor that leaves least work while the agreement stays in the budget
//! ```
//!
//! Single thresholds follow [`Measure::error`], which is smooth; agreement jumps with single boxes and decides on the common factor
//! alone. `exchange` is the price of error in work along that factor, so that a shape is not better for being larger as a whole.

use anyhow::Result;
use quiescent::format::InputGate;

use super::{MARGIN, Measure, Search};
use crate::artifact::Artifact;

/// Gain in `ln work + exchange * ln error` below which a change is chance.
const LEAST_GAIN: f64 = 2e-3;
/// Factors of squared thresholds, one sweep over all gates each.
const FACTORS: [f64; 3] = [4.0, 2.0, 1.5];
/// Step of the common factor, and the most steps to either side.
const STEP: f64 = std::f64::consts::SQRT_2;
const STEPS: i32 = 12;
/// Where work and error do not tell a price.
pub(super) const EXCHANGE: f64 = 0.7;

/// The price of error in work between two settings of all gates together.
pub(super) fn exchange(a: &Measure, b: &Measure) -> f64 {
    let apart = |a: f64, b: f64| b.max(1e-6).ln() - a.max(1e-6).ln();
    let price = -apart(a.work, b.work) / apart(a.error, b.error);
    if price.is_finite() { price.clamp(0.3, 1.5) } else { EXCHANGE }
}

/// One of the numbers that decide on what is passed on.
#[derive(Clone, Copy)]
enum Knob {
    Pixel,
    Block,
    Shift,
    Few,
    Gate(usize),
}

#[derive(Clone, PartialEq)]
struct Thresholds {
    input: InputGate,
    gates: Vec<u32>,
}

impl Thresholds {
    fn of(artifact: &Artifact) -> Self {
        Self { input: artifact.header().input_gate, gates: artifact.model().gates.iter().map(|g| g.threshold).collect() }
    }

    /// One threshold of a gate by `factor`, which is of squares; of the input test by its root.
    fn with(&self, knob: Knob, factor: f64) -> Self {
        let mut all = self.clone();
        let linear = |v: u16, most: f64| (f64::from(v) * factor.sqrt()).round().min(most) as u16;
        match knob {
            Knob::Pixel => all.input.pixel = linear(self.input.pixel, 64.0),
            Knob::Block => all.input.block = linear(self.input.block, 1024.0),
            Knob::Shift => all.input.shift = linear(self.input.shift.into(), 255.0) as u8,
            Knob::Few => all.input.few = linear(self.input.few.into(), 255.0) as u8,
            Knob::Gate(g) => all.gates[g] = scaled(self.gates[g], factor),
        }
        all
    }

    fn all_by(&self, factor: f64) -> Self {
        Self { gates: self.gates.iter().map(|t| scaled(*t, factor)).collect(), ..self.clone() }
    }

    fn set(&self, artifact: &mut Artifact) {
        artifact.set_gates(self.input, |gates| {
            for (gate, threshold) in gates.iter_mut().zip(&self.gates) {
                gate.threshold = *threshold;
            }
        });
    }
}

/// A threshold of 0 passes every change on and stays 0.
fn scaled(threshold: u32, factor: f64) -> u32 {
    if threshold == 0 { 0 } else { (f64::from(threshold) * factor).round().clamp(1.0, 4e9) as u32 }
}

/// Thresholds and what they do.
#[derive(Clone)]
struct State {
    thresholds: Thresholds,
    measure: Measure,
}

impl Search<'_> {
    /// Better thresholds for the gates of `artifact`; those it has if none are found.
    pub(super) fn refine(&mut self, artifact: &mut Artifact) -> Result<()> {
        let end = self.found.runs + self.budget.refine;
        let start = self.states(artifact, vec![Thresholds::of(artifact)])?.remove(0);
        let (mut best, mut exchange) = self.size(artifact, &start, end)?;
        for factor in FACTORS {
            let (shaped, changed) = self.shape(artifact, &best, factor, exchange, end)?;
            let (sized, price) = self.size(artifact, &shaped, end)?;
            let better = self.fits(&sized.measure) && sized.measure.work < best.measure.work;
            if better {
                (best, exchange) = (sized, price);
            }
            let m = &best.measure;
            (self.progress)(&format!(
                "thresholds by {factor}: {changed} changed, work {:.1} %, agreement {:.4}",
                100.0 * m.work,
                m.agreement
            ));
            if self.found.runs >= end {
                break;
            }
        }
        best.thresholds.set(artifact);
        (self.found.work, self.found.agreement) = (best.measure.work, best.measure.agreement);
        Ok(())
    }

    /// One sweep over all thresholds, and how many of them changed.
    fn shape(&mut self, artifact: &Artifact, from: &State, factor: f64, exchange: f64, end: usize) -> Result<(State, usize)> {
        let (mut now, mut changed) = (from.clone(), 0);
        for knob in self.knobs(artifact, &from.measure) {
            if self.found.runs >= end {
                break;
            }
            let tried = [factor, 1.0 / factor].map(|f| now.thresholds.with(knob, f));
            let tried = tried.into_iter().filter(|t| *t != now.thresholds).collect();
            let least = now.measure.price(exchange) - LEAST_GAIN;
            let best =
                self.states(artifact, tried)?.into_iter().min_by(|a, b| a.measure.price(exchange).total_cmp(&b.measure.price(exchange)));
            if let Some(best) = best.filter(|s| s.measure.price(exchange) < least) {
                now = best;
                changed += 1;
            }
        }
        Ok((now, changed))
    }

    /// All gates by the factor that leaves least work within the budget, and the price of error in work along it. The state itself where no
    /// factor is within the budget.
    fn size(&mut self, artifact: &Artifact, from: &State, end: usize) -> Result<(State, f64)> {
        let fits = self.fits(&from.measure);
        let (mut best, mut last, mut misses) = (from.clone(), from.clone(), 0);
        for k in 1..=STEPS {
            if misses >= 2 || self.found.runs >= end && self.fits(&best.measure) {
                break;
            }
            let factor = STEP.powi(if fits { k } else { -k });
            let state = self.states(artifact, vec![from.thresholds.all_by(factor)])?.remove(0);
            if self.fits(&state.measure) && (state.measure.work < best.measure.work || !self.fits(&best.measure)) {
                best = state.clone();
            } else if fits {
                misses += 1;
            }
            last = state;
            if !fits && self.fits(&last.measure) {
                break;
            }
        }
        Ok((best, exchange(&from.measure, &last.measure)))
    }

    /// The input test, then gates before the most work first.
    fn knobs(&self, artifact: &Artifact, m: &Measure) -> Vec<Knob> {
        let gates = artifact.model().gates.len();
        let mut order: Vec<(usize, f64)> = (0..gates).map(|g| (g, behind(artifact, g, m))).collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        [Knob::Pixel, Knob::Block, Knob::Shift, Knob::Few].into_iter().chain(order.into_iter().map(|(g, _)| Knob::Gate(g))).collect()
    }

    /// Measures settings, all at once.
    fn states(&mut self, artifact: &Artifact, settings: Vec<Thresholds>) -> Result<Vec<State>> {
        self.found.runs += settings.len();
        let artifacts: Vec<Artifact> = settings
            .iter()
            .map(|t| {
                let mut a = artifact.clone();
                t.set(&mut a);
                a
            })
            .collect();
        let measures = self.trial.each(&artifacts, MARGIN)?;
        Ok(settings.into_iter().zip(measures).map(|(thresholds, measure)| State { thresholds, measure }).collect())
    }
}

/// Work of the steps after a gate, up to the next few: what it can save.
fn behind(artifact: &Artifact, gate: usize, m: &Measure) -> f64 {
    let steps = &artifact.model().steps;
    let Some(at) = steps.iter().position(|s| s.gate as usize == gate) else { return 0.0 };
    m.steps[at + 1..].iter().take(6).sum()
}
