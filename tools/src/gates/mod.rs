//! Where to gate and how hard: held tensors and thresholds chosen on calibration clips under a stated budget.
//!
//! ```text
//! 1. everything held, every computed map gated, thresholds spread by sensitivity and scaled by one tau: the input test, how much of a
//!    common shift is taken out, how long few changes wait, and the largest tau that together leave the least work while the agreement with the dense
//!    network stays in the budget
//! 2. which tensors to hold (`hold`): those go first whose loss costs least work per byte, measured by running without each; tau again, since
//!    fewer gates err less; then some come back for others where that leaves less work, and tau once more
//! 3. thresholds gate by gate (`refine`): raised where that saves more work than it costs in error, lowered where the reverse holds;
//!    then all together to the least work in the budget
//! 4. operating points: all thresholds scaled together, measured
//! ```
//!
//! A gate's threshold is `tau^2 * (c / 48)^0.7` in squared weighted steps, `c` its channels: the score is a sum over channels, of
//! which few carry the change. Measured, jointly, with the engine that runs on the device; nothing is predicted.

mod hold;
mod measure;
mod parallel;
mod refine;
mod sensitivity;

pub use measure::{Measure, Trial};

use anyhow::Result;
use quiescent::format::{InputGate, NONE, Point};
use serde::Serialize;

use crate::artifact::Artifact;
use crate::feed::Input;
use crate::lower::Hold;
use crate::task::{Prediction, Task};

/// What the search may cost.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Largest loss of agreement with the reference against what the dense network has (0.01 is one point of F1).
    pub max_drop: f64,
    /// Largest arena, as a multiple of the dense one.
    pub arena_ratio: f32,
    /// Largest arena in bytes.
    pub ram: Option<usize>,
    /// Most frames that a change may wait for; 1, 2 and 4 are tried.
    pub max_wait: u8,
    /// Settings tried in exchanges of held tensors, and as many in the refinement of single gates.
    pub refine: usize,
}

/// Settings tried in refinement unless told otherwise.
pub const REFINE: usize = 400;
/// Frames that a change may wait for unless told otherwise. More of them that cost nothing on calibration frames do on others, where things move faster.
pub const MAX_WAIT: u8 = 1;

impl Default for Budget {
    fn default() -> Self {
        Self { max_drop: 0.01, arena_ratio: 2.0, ram: None, max_wait: MAX_WAIT, refine: REFINE }
    }
}

impl Budget {
    /// Whether the artifact takes more memory than it may.
    fn over(&self, artifact: &Artifact) -> bool {
        let header = artifact.header();
        let (len, dense) = (header.arena_len, header.arena_dense_len);
        len as f32 > self.arena_ratio * dense as f32 || self.ram.is_some_and(|ram| len as usize > ram)
    }
}

/// What the search found, for the report.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Found {
    /// Thresholds of pixels and blocks.
    pub input: [u16; 2],
    /// Limit of a common shift.
    pub shift: u8,
    /// Frames that changes wait for, and below how many 256ths of the pixels.
    pub wait: [u8; 2],
    pub refresh: u8,
    pub tau: f32,
    /// Work and agreement with everything held, under the arena limit, and after refinement.
    pub work_all_held: f64,
    pub work_limited: f64,
    pub work: f64,
    pub agreement: f64,
    /// Of the dense network with the same reference.
    pub agreement_dense: f64,
    pub runs: usize,
    pub held_let_go: usize,
    pub points: Vec<(f32, f64, f64)>,
}

/// Makes an artifact with these tensors held.
pub type Lower<'a> = dyn Fn(&Hold) -> Result<Artifact> + 'a;

/// Settings are judged with all thresholds this much larger than they will be: other scenes ask for a margin.
const MARGIN: f32 = 1.25;

const SCALES: [f32; 6] = [0.0, 0.5, 0.7, 1.0, 1.4, 2.0];
const TAUS: [f32; 10] = [2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 22.0, 32.0, 45.0];
/// Input tests tried: codes, and sixteenths of a code for the mean of a block.
const INPUTS: [(u16, u16); 8] = [(4, 12), (4, 24), (8, 16), (8, 32), (8, 64), (12, 24), (12, 48), (16, 64)];
/// Limits of a common shift of all pixels tried, in codes.
const SHIFTS: [u8; 4] = [0, 8, 24, 64];
/// Frames to wait for, and below how many 256ths of the pixels, tried.
const WAITS: [(u8, u8); 9] = [(0, 0), (1, 16), (1, 64), (1, 255), (2, 64), (2, 255), (4, 16), (4, 64), (4, 255)];
/// In sixteenths of a dense frame.
const REFRESH: u8 = 16;
const RARE_REFRESH: u8 = 32;

struct Search<'a> {
    lower: &'a Lower<'a>,
    trial: Trial<'a>,
    budget: &'a Budget,
    progress: &'a dyn Fn(&str),
    found: Found,
    /// Least agreement to keep: what the budget leaves, or the best that was found where nothing is within it.
    floor: f64,
    /// Of each step's gate: see [`sensitivity`].
    factors: Vec<f32>,
}

/// What the search works on.
pub struct Material<'a> {
    pub lower: &'a Lower<'a>,
    /// The tensors that may be let go, with their bytes.
    pub pieces: &'a [(usize, usize)],
    /// Consecutive frames of calibration clips in the model's input layout, each started afresh.
    pub clips: &'a [Vec<Input>],
    /// The float model's answers to them; without, agreement is with the dense network.
    pub float: Option<&'a [Vec<Prediction>]>,
    pub task: &'a Task,
}

/// Chooses held tensors and thresholds.
pub fn search(m: &Material, budget: &Budget, progress: &dyn Fn(&str)) -> Result<(Artifact, Vec<Point>, Found)> {
    let (lower, pieces) = (m.lower, m.pieces);
    let all = lower(&Hold::All)?;
    let trial = Trial::new(&all, m.clips, m.task, m.float)?;
    let found = Found { agreement_dense: trial.dense, ..Default::default() };
    // Two boxes more or less are no evidence, however tight the budget.
    let floor = trial.dense - budget.max_drop.max(trial.resolution());
    progress("measuring how much each gate hurts");
    let factors = sensitivity::factors(&trial, &all)?;
    let mut s = Search { lower, trial, budget, progress, found, floor, factors };
    let (mut artifact, mut setting) = s.spread(all)?;
    if budget.over(&artifact) {
        let mut plan = s.let_go(pieces, setting)?;
        // Fewer gates make fewer errors: the rest may be coarser.
        (_, setting) = s.start(plan.artifact.clone(), &with_and_without_wait(setting.input))?;
        s.exchange(pieces, &mut plan, setting)?;
        (artifact, setting) = s.start(plan.artifact, &with_and_without_wait(setting.input))?;
    }
    s.rarer_refresh(&mut artifact, setting)?;
    s.found.work_limited = s.run(&artifact)?.work;
    s.refine(&mut artifact)?;
    let points = s.points(&artifact)?;
    let InputGate { pixel, block, refresh, wait, shift, few } = artifact.header().input_gate;
    (s.found.input, s.found.shift, s.found.wait, s.found.refresh) = ([pixel, block], shift, [wait, few], refresh);
    Ok((artifact, points, s.found))
}

/// Sets each gate to `tau` times its step's factor (see the module's words on units); 0 passes every change on.
pub fn set_thresholds(artifact: &mut Artifact, input: InputGate, tau: f32, factors: &[f32]) {
    let model = artifact.model();
    let mut units = vec![(1.0, 1.0); model.gates.len()];
    for (i, step) in model.steps.iter().enumerate().filter(|(_, s)| s.gate != NONE) {
        units[step.gate as usize] = (model.tensors[step.output as usize].c as f32, factors.get(i).copied().unwrap_or(1.0));
    }
    artifact.set_gates(input, |gates| {
        for (gate, (c, factor)) in gates.iter_mut().zip(&units) {
            let threshold = ((tau * factor).powi(2) * (c / 48.0).powf(0.7)).round();
            gate.threshold = if *factor > 0.0 { threshold.max(1.0) as u32 } else { 0 };
        }
    });
}

/// Waiting may cost what no threshold makes up for.
fn with_and_without_wait(input: InputGate) -> Vec<InputGate> {
    if input.wait == 0 { vec![input] } else { vec![input, InputGate { wait: 0, few: 0, ..input }] }
}

fn gate_text(input: &InputGate) -> String {
    format!("{}/{}/{}/{}x{}", input.pixel, input.block, input.shift, input.wait, input.few)
}

/// Where all gates stand: one scale for all thresholds, and the input test.
#[derive(Clone, Copy, Default)]
struct Setting {
    input: InputGate,
    tau: f32,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "input {}, tau {}", gate_text(&self.input), self.tau)
    }
}

impl Search<'_> {
    fn run(&mut self, artifact: &Artifact) -> Result<Measure> {
        self.found.runs += 1;
        self.trial.all(artifact, MARGIN)
    }

    fn fits(&self, m: &Measure) -> bool {
        m.agreement >= self.floor
    }

    /// Step 1: the better of thresholds spread by sensitivity and of one for all.
    fn spread(&mut self, all: Artifact) -> Result<(Artifact, Setting)> {
        let inputs = |like: InputGate| INPUTS.map(|(pixel, block)| InputGate { pixel, block, ..like });
        let (artifact, spread) = self.start(all, &inputs(InputGate { refresh: REFRESH, ..Default::default() }))?;
        let (artifact, spread) = self.start(artifact, &SHIFTS.map(|shift| InputGate { shift, ..spread.input }))?;
        let waiting = with_and_without_wait(self.wait(&artifact, spread)?);
        let (mut artifact, spread) = self.start(artifact, &waiting)?;
        let (factors, with) = (std::mem::take(&mut self.factors), self.run(&artifact)?);
        (self.progress)("the same with one threshold for all");
        let even;
        (artifact, even) = self.start(artifact, &waiting.into_iter().flat_map(inputs).collect::<Vec<_>>())?;
        let m = self.run(&artifact)?;
        if self.fits(&m) && (m.work < with.work || !self.fits(&with)) {
            return Ok((artifact, even));
        }
        self.factors = factors;
        self.set(&mut artifact, spread);
        (self.found.tau, self.found.work_all_held) = (spread.tau, with.work);
        Ok((artifact, spread))
    }

    /// How long few changes wait: what costs least in work and error together, at the rate at which tau changes one for the other.
    fn wait(&mut self, artifact: &Artifact, from: Setting) -> Result<InputGate> {
        let mut settings: Vec<Setting> = WAITS
            .into_iter()
            .filter(|(wait, _)| *wait <= self.budget.max_wait)
            .map(|(wait, few)| Setting { input: InputGate { wait, few, ..from.input }, ..from })
            .collect();
        settings.push(Setting { tau: 0.7 * from.tau, ..from });
        let artifacts: Vec<Artifact> = settings
            .iter()
            .map(|s| {
                let mut a = artifact.clone();
                self.set(&mut a, *s);
                a
            })
            .collect();
        self.found.runs += artifacts.len();
        let mut measures = self.trial.each(&artifacts, MARGIN)?;
        let finer = measures.pop().unwrap_or_default();
        let exchange = measures.first().map_or(refine::EXCHANGE, |m| refine::exchange(m, &finer));
        // Smaller thresholds make up for some loss, but not for much of what comes of waiting; nor are few boxes evidence for it.
        let floor = self.trial.dense - 2.0 * self.budget.max_drop;
        let fair = measures.iter().zip(settings).filter(|(m, s)| s.input.wait == 0 || m.agreement >= floor);
        let best = fair.min_by(|a, b| a.0.price(exchange).total_cmp(&b.0.price(exchange)));
        Ok(best.map_or(from.input, |(_, s)| s.input))
    }

    /// One scale for all gates. The agreement falls with tau, if not strictly: from the largest down, the first that fits; larger
    /// work than the best so far ends the search as well.
    fn start(&mut self, mut artifact: Artifact, inputs: &[InputGate]) -> Result<(Artifact, Setting)> {
        let mut best: Option<(Measure, Setting)> = None;
        // Few boxes make a coarse measure: perhaps no setting is within the budget. Then the closest is taken.
        let mut closest: Option<(Measure, Setting)> = None;
        for &input in inputs {
            for tau in TAUS.into_iter().rev() {
                let setting = Setting { input, tau };
                self.set(&mut artifact, setting);
                let m = self.run(&artifact)?;
                if closest.as_ref().is_none_or(|(b, _)| m.agreement > b.agreement) {
                    closest = Some((m.clone(), setting));
                }
                let cheaper = best.as_ref().is_none_or(|(b, _)| m.work < b.work);
                if self.fits(&m) && cheaper {
                    best = Some((m, setting));
                    break;
                }
                if !cheaper {
                    break;
                }
            }
            (self.progress)(&match &best {
                Some((m, s)) => format!("input {}: best so far {:.1} % work at {s}", gate_text(&input), 100.0 * m.work),
                None => format!("input {}: nothing fits yet", gate_text(&input)),
            });
        }
        if best.is_none()
            && let Some((m, _)) = &closest
        {
            self.floor = m.agreement;
            (self.progress)(&format!("no setting is within the budget; the closest has agreement {:.4}", m.agreement));
        }
        let (work, setting) = best.or(closest).map_or((1.0, Setting::default()), |(m, s)| (m.work, s));
        self.set(&mut artifact, setting);
        self.found.tau = setting.tau;
        if self.found.held_let_go == 0 {
            self.found.work_all_held = work;
        }
        Ok((artifact, setting))
    }

    fn set(&self, artifact: &mut Artifact, setting: Setting) {
        set_thresholds(artifact, setting.input, setting.tau, &self.factors);
    }

    /// A refresh that is not needed as often comes less often; never to refresh is no choice, calibration clips are short.
    fn rarer_refresh(&mut self, artifact: &mut Artifact, setting: Setting) -> Result<()> {
        let often = self.run(artifact)?;
        let rarely = Setting { input: InputGate { refresh: RARE_REFRESH, ..setting.input }, ..setting };
        self.set(artifact, rarely);
        let m = self.run(artifact)?;
        if m.work < often.work && m.agreement >= often.agreement.max(self.floor) && m.error <= 1.05 * often.error {
            return Ok(());
        }
        self.set(artifact, setting);
        Ok(())
    }

    /// Step 4.
    fn points(&mut self, artifact: &Artifact) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        for scale in SCALES {
            let m = self.trial.all(artifact, scale)?;
            self.found.points.push((scale, m.work, m.agreement));
            points.push(Point { scale, agreement: m.agreement as f32, work: m.work as f32 });
        }
        Ok(points)
    }
}
