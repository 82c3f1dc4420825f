//! Energy of a frame: idle, blocks of dense and gated frames in turn, idle again.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use quiescent_tools::feed::Input;
use quiescent_tools::machine::power::csv::Clock;
use quiescent_tools::machine::power::energy::{Block, Energy, Plan};
use quiescent_tools::machine::power::{self, Choice, Meter};
use quiescent_tools::machine::{Record, Root, Watch};

use super::super::args;
use super::super::talk::Talk;
use super::pair::Pair;

/// Blocks of each kind.
const REPEATS: usize = 4;

/// What draws how much.
#[derive(clap::Args)]
pub struct PowerArgs {
    /// Energy a frame by: auto (the first meter found), rapl, hwmon, pmic, battery, csv:FILE, csv:- (rows of an external
    /// meter), off
    #[arg(long, value_name = "METER", default_value = "off")]
    power: Choice,
    /// Seconds of each stretch of frames and of idling; left out, what suits the meter
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = args::positive)]
    power_seconds: Option<f32>,
    /// What the times of csv rows count from: first (the first row is now), unix (seconds since 1970), arrival
    #[arg(long, value_name = "CLOCK", default_value = "first")]
    power_clock: Clock,
}

impl PowerArgs {
    /// The meter, or why there is none. Only rows of an external meter have to be there.
    pub fn open(&self, root: &Root, clip: &str) -> Result<Result<Box<dyn Meter>, String>> {
        if self.power == Choice::Csv("-".into()) && clip == "-" {
            bail!("--power csv:-: standard input already gives the clip");
        }
        Ok(match (&self.power, power::open(&self.power, root, self.power_clock)) {
            (Choice::Off, _) => Err(match power::open(&Choice::Auto, root, Clock::First) {
                Ok(meter) => format!("--power auto would read {}", meter.facts().name),
                Err(_) => "--power was not asked for, and no meter of this machine can be read (--power auto says why)".into(),
            }),
            (Choice::Csv(_), Err(e)) => return Err(e.context("--power")),
            (_, opened) => opened.map_err(|e| format!("{e:#}")),
        })
    }

    /// Seconds of a stretch.
    fn seconds(&self, watch: &Watch) -> Option<Duration> {
        let facts = watch.facts()?;
        Some(Duration::from_secs_f64(self.power_seconds.map_or(facts.block, f64::from)))
    }

    /// A stretch without work.
    pub fn idle(&self, watch: &Watch, talk: &Talk) -> Option<Block> {
        let seconds = self.seconds(watch)?;
        let stage = talk.stage("measuring the power while idle");
        let from = watch.now();
        sleep(seconds);
        stage.finish_and_clear();
        Some(Block { from, to: watch.now(), frames: 0 })
    }

    /// The rest of the plan that begins with idling.
    pub fn blocks(&self, idle: Option<Block>, pair: &mut Pair, frames: &[Input], watch: &Watch, talk: &Talk) -> Result<Plan> {
        let mut plan = Plan { idle_before: idle, ..Default::default() };
        let Some(seconds) = self.seconds(watch) else { return Ok(plan) };
        let stage = talk.stage("measuring the power of dense and gated execution");
        for repeat in 0..REPEATS {
            for half in 0..2 {
                // D G, G D, D G, ...: a drift hits both alike.
                let gated = (half + repeat) % 2 == 1;
                pair.settle(gated, frames)?;
                let from = watch.now();
                let done = pair.block(gated, frames, seconds)?;
                let block = Block { from, to: watch.now(), frames: done };
                if gated { plan.gated.push(block) } else { plan.dense.push(block) }
            }
        }
        stage.finish_and_clear();
        plan.idle_after = self.idle(watch, talk);
        // Readings that are on their way belong to it.
        sleep(watch.facts().map_or(Duration::ZERO, |f| f.lag + 2 * f.every));
        Ok(plan)
    }
}

/// What the readings give.
pub fn judge(watch_facts: Option<power::Facts>, record: &Record, plan: &Plan) -> Energy {
    let (Some(facts), Some(series)) = (watch_facts, &record.series) else { return Energy::not_measured("there is no meter") };
    if let Some(failure) = &record.failure {
        return Energy::not_measured(format!("the meter failed during the measurement: {failure}"));
    }
    Energy::of(&facts, series, plan).unwrap_or_else(|e| Energy::not_measured(format!("{e:#}")))
}
