//! A battery's own gauge: phones, tablets, laptops.
//!
//! `power_now` in microwatts, else `voltage_now` in microvolts times `current_now` in microamperes, whose sign depends on the
//! driver. Only a battery that discharges feeds the machine; while it charges or a supply is connected, its numbers say
//! nothing about what the machine draws.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Facts, Kind, Meter, Series};
use crate::machine::Root;

const FOLDER: &str = "sys/class/power_supply";

pub struct Battery {
    root: Root,
    name: String,
}

impl Battery {
    pub fn open(root: &Root) -> Result<Self> {
        let of = |name: &str, file: &str| root.text(&format!("{FOLDER}/{name}/{file}"));
        let mut names = root.names(FOLDER, "");
        // Batteries of mice and the like have the scope "Device".
        names.retain(|n| of(n, "type").as_deref() == Some("Battery") && of(n, "scope").as_deref() != Some("Device"));
        let name = match names.as_slice() {
            [] => bail!("battery: there is none in /{FOLDER}"),
            [name] => name.clone(),
            several => bail!("battery: several feed this machine ({}), which share the load unevenly", several.join(", ")),
        };
        let battery = Self { root: root.clone(), name };
        battery.watts()?;
        Ok(battery)
    }

    fn watts(&self) -> Result<f64> {
        let status = self.root.text(&format!("{FOLDER}/{}/status", self.name)).unwrap_or("not known".into());
        if status != "Discharging" {
            bail!("battery: {} is {status}, not Discharging: take the machine off its supply", self.name);
        }
        let of = |file: &str| self.root.number(&format!("{FOLDER}/{}/{file}", self.name));
        let power = of("power_now").map(|uw| uw.abs() / 1e6);
        let product = || Some(of("voltage_now")? * of("current_now")?.abs() / 1e12);
        match power.or_else(product).filter(|w| *w > 0.0) {
            Some(watts) => Ok(watts),
            None => bail!("battery: {} tells neither power_now nor voltage_now and current_now", self.name),
        }
    }
}

impl Meter for Battery {
    fn facts(&self) -> Facts {
        Facts {
            name: "battery",
            covers: format!("everything the battery {} feeds, screen and radio included", self.name),
            kind: Kind::Power,
            step: None,
            every: Duration::from_millis(500),
            // Gauges average over seconds.
            lag: Duration::from_secs(5),
            block: 30.0,
        }
    }

    fn sample(&mut self, start: Instant, series: &mut Series) -> Result<()> {
        let watts = self.watts()?;
        series.push(start.elapsed().as_secs_f64(), watts);
        Ok(())
    }
}
