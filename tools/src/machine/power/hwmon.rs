//! Sensors on supply rails: INA219, INA226, INA260, INA3221 and whatever else reports power or voltage and current.
//!
//! `powerN_input` is in microwatts, `inN_input` in millivolts, `currN_input` in milliamperes. A chip often watches several rails,
//! one of which is the supply of all others; its label says so (`VDD_IN` on Jetson boards), and it alone is taken. Where no
//! label tells, the only chip with the only rail is taken; with several, their sum would count some of it twice, so that is
//! refused.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Facts, Kind, Meter, Series};
use crate::machine::Root;

const FOLDER: &str = "sys/class/hwmon";

/// Chips that measure supplies. Others (graphics cards, fans, disks) report power of something else.
const CHIPS: [&str; 12] =
    ["ina209", "ina219", "ina220", "ina226", "ina228", "ina230", "ina231", "ina233", "ina237", "ina238", "ina260", "ina3221"];

/// Labels of the rail that feeds the board, in order of preference.
const INPUTS: [&str; 7] = ["VDD_IN", "POM_5V_IN", "SYS_VIN_TOTAL", "VIN_SYS_5V0", "SYS5V", "VIN", "5V_IN"];

pub struct Hwmon {
    root: Root,
    rail: Rail,
}

#[derive(Clone, Debug)]
struct Rail {
    chip: String,
    label: Option<String>,
    reads: Reads,
    interval: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Reads {
    Power(String),
    /// Files of voltage and current.
    Product(String, String),
}

impl Hwmon {
    pub fn open(root: &Root) -> Result<Self> {
        let rails: Vec<Rail> = root.names(FOLDER, "hwmon").iter().flat_map(|chip| rails(root, chip)).collect();
        let labelled = INPUTS.iter().find_map(|name| rails.iter().find(|r| r.label.as_deref() == Some(name)));
        let rail = match (labelled, rails.as_slice()) {
            (Some(rail), _) => rail.clone(),
            (None, [rail]) => rail.clone(),
            (None, []) => {
                bail!("hwmon: there is no power sensor of a supply in /{FOLDER} (INA219, INA226, INA260, INA3221 and their relatives)")
            }
            (None, several) => {
                let names: Vec<String> = several.iter().map(Rail::name).collect();
                bail!("hwmon: none of the rails is known to feed the others, and a sum could count power twice: {}", names.join(", "))
            }
        };
        let meter = Self { root: root.clone(), rail };
        if meter.watts().is_none() {
            bail!("hwmon: {} cannot be read", meter.rail.name());
        }
        Ok(meter)
    }

    fn watts(&self) -> Option<f64> {
        let of = |file: &str| self.root.number(file);
        Some(match &self.rail.reads {
            Reads::Power(file) => of(file)? / 1e6,
            Reads::Product(volts, amps) => of(volts)? * of(amps)? / 1e6,
        })
    }
}

impl Rail {
    fn name(&self) -> String {
        match &self.label {
            Some(label) => format!("{} of {}", label, self.chip),
            None => self.chip.clone(),
        }
    }
}

/// The channels of a chip; none where it is of another sort.
fn rails(root: &Root, chip: &str) -> Vec<Rail> {
    let folder = format!("{FOLDER}/{chip}");
    let name = root.text(&format!("{folder}/name")).unwrap_or_default();
    if !CHIPS.contains(&name.as_str()) {
        return Vec::new();
    }
    let interval = root.number(&format!("{folder}/update_interval")).map(|ms| Duration::from_secs_f64(ms.clamp(0.0, 60e3) / 1e3));
    let channel = |n: usize| {
        let file = |kind: &str| Some(format!("{folder}/{kind}{n}_input")).filter(|f| root.exists(f));
        // An INA2xx has its bus voltage as channel 1 and the shunt's as 0; an INA3221 has channels 1 to 3.
        let power = file("power").map(Reads::Power);
        let reads = power.or_else(|| Some(Reads::Product(file("in")?, file("curr")?)))?;
        let label = ["power", "in", "curr"].iter().find_map(|kind| root.text(&format!("{folder}/{kind}{n}_label")));
        // The sums of an INA3221 are of its own channels.
        let sum = label.as_deref().is_some_and(|l| l.starts_with("sum of"));
        (!sum).then(|| Rail { chip: format!("{name} ({chip})"), label, reads, interval })
    };
    let unused = |rail: &Rail| rail.label.as_deref() == Some("NC");
    (1..=4).filter_map(channel).filter(|r| !unused(r)).collect()
}

impl Meter for Hwmon {
    fn facts(&self) -> Facts {
        let every = self.rail.interval.unwrap_or_default().max(Duration::from_millis(20));
        Facts {
            name: "hwmon",
            covers: format!("rail {}", self.rail.name()),
            kind: Kind::Power,
            step: None,
            every,
            lag: 2 * every,
            block: (every.as_secs_f64() * 50.0).clamp(2.0, 30.0),
        }
    }

    fn sample(&mut self, start: Instant, series: &mut Series) -> Result<()> {
        let Some(watts) = self.watts() else { bail!("hwmon: {} could not be read", self.rail.name()) };
        series.push(start.elapsed().as_secs_f64(), watts);
        Ok(())
    }
}
