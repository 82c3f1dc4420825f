//! Meters: what the machine draws, from whatever tells it.
//!
//! | name | reads | tells |
//! |---|---|---|
//! | [`rapl`] | `/sys/class/powercap/intel-rapl:*` | energy of the processor packages, counted by the hardware |
//! | [`hwmon`] | `/sys/class/hwmon`: INA2xx, INA3221 and the like | power of a supply rail, sampled |
//! | [`pmic`] | `vcgencmd pmic_read_adc` (Raspberry Pi 5) | power of the rails behind the PMIC, sampled |
//! | [`battery`] | `/sys/class/power_supply` | power out of the battery, sampled; only while it discharges |
//! | [`csv`] | rows that an external meter writes | what that meter measures |
//!
//! A meter puts what it reads into a [`Series`]; [`energy`] makes energy per frame of that.

pub mod battery;
pub mod csv;
pub mod energy;
pub mod hwmon;
pub mod pmic;
pub mod rapl;
mod series;

pub use series::{Kind, Mean, Series};

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Root;

/// Something that measures power or energy.
pub trait Meter: Send {
    fn facts(&self) -> Facts;

    /// Takes what there is to know now into `series`, whose times are seconds since `start`.
    fn sample(&mut self, start: Instant, series: &mut Series) -> Result<()>;
}

/// What a meter is.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub name: &'static str,
    /// What its number is the power of.
    pub covers: String,
    pub kind: Kind,
    /// Smallest step of its counter in joules, or of its readings in watts, where it is known.
    pub step: Option<f64>,
    /// How often it is read.
    pub every: Duration,
    /// How long it takes until its readings have followed a change.
    pub lag: Duration,
    /// Seconds of each measured block, unless the user says otherwise.
    pub block: f64,
}

/// Which meter.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    Off,
    Auto,
    Rapl,
    Hwmon,
    Pmic,
    Battery,
    /// A file, or `-` for standard input.
    Csv(String),
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "off" => Self::Off,
            "auto" => Self::Auto,
            "rapl" => Self::Rapl,
            "hwmon" => Self::Hwmon,
            "pmic" => Self::Pmic,
            "battery" => Self::Battery,
            _ => match text.strip_prefix("csv:") {
                Some(file) if !file.is_empty() => Self::Csv(file.into()),
                _ => return Err("one of auto, rapl, hwmon, pmic, battery, csv:FILE, csv:- or off is needed".into()),
            },
        })
    }
}

/// The meter that was chosen; for [`Choice::Auto`] the first that works. The error says what is missing, and the way out.
pub fn open(choice: &Choice, root: &Root, clock: csv::Clock) -> Result<Box<dyn Meter>> {
    Ok(match choice {
        Choice::Off => bail!("no meter was asked for"),
        Choice::Auto => return auto(root),
        Choice::Rapl => Box::new(rapl::Rapl::open(root)?),
        Choice::Hwmon => Box::new(hwmon::Hwmon::open(root)?),
        Choice::Pmic => Box::new(pmic::Pmic::open(root)?),
        Choice::Battery => Box::new(battery::Battery::open(root)?),
        Choice::Csv(file) => Box::new(csv::Csv::open(file, clock)?),
    })
}

fn auto(root: &Root) -> Result<Box<dyn Meter>> {
    let tries = [Choice::Rapl, Choice::Hwmon, Choice::Pmic, Choice::Battery];
    let mut missing = Vec::new();
    for choice in tries {
        match open(&choice, root, csv::Clock::First) {
            Ok(meter) => return Ok(meter),
            Err(e) => missing.push(format!("{e:#}")),
        }
    }
    bail!("this machine has no meter: {}; an external one can be read with --power csv:FILE", missing.join("; "))
}
