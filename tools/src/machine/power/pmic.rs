//! The power management chip of a Raspberry Pi 5, through the firmware's command `vcgencmd pmic_read_adc`.
//!
//! It prints a line for the current of each rail and one for its voltage, and voltages that have no current beside them:
//!
//! ```text
//!      VDD_CORE_A current(7)=1.06150500A
//!      VDD_CORE_V volt(15)=0.87640110V
//! ```
//!
//! The sum over the rails leaves out the losses of the converters and whatever hangs on the 5 V supply directly (USB).

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Facts, Kind, Meter, Series};
use crate::machine::Root;

pub struct Pmic;

impl Pmic {
    pub fn open(root: &Root) -> Result<Self> {
        if !root.is_own() {
            bail!("pmic: vcgencmd asks the machine it runs on, not a recorded one");
        }
        watts(&ask()?)?;
        Ok(Self)
    }
}

fn ask() -> Result<String> {
    let out = Command::new("vcgencmd").arg("pmic_read_adc").stdin(Stdio::null()).output();
    let out = match out {
        Ok(out) => out,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => bail!("pmic: there is no vcgencmd (not a Raspberry Pi 5)"),
        Err(e) => bail!("pmic: running vcgencmd: {e}"),
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let why = if text.trim().is_empty() { String::from_utf8_lossy(&out.stderr).into_owned() } else { text };
        bail!("pmic: vcgencmd pmic_read_adc failed: {} (a Raspberry Pi 5 and the group video are needed)", why.trim());
    }
    Ok(text)
}

/// Sum over the rails that have a current and a voltage.
pub fn watts(text: &str) -> Result<f64> {
    let mut amps = Vec::new();
    let mut volts = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let Some(name) = name.split_whitespace().next() else { continue };
        let number = |unit: char| value.trim().strip_suffix(unit)?.parse::<f64>().ok().filter(|v| v.is_finite());
        if let (Some(rail), Some(a)) = (name.strip_suffix("_A"), number('A')) {
            amps.push((rail, a));
        } else if let (Some(rail), Some(v)) = (name.strip_suffix("_V"), number('V')) {
            volts.push((rail, v));
        }
    }
    let products = amps.iter().filter_map(|(rail, a)| volts.iter().find(|v| v.0 == *rail).map(|v| a * v.1));
    match products.clone().count() {
        0 => bail!("pmic: vcgencmd pmic_read_adc names no rail with current and voltage (only a Raspberry Pi 5 does): {:?}", text.trim()),
        _ => Ok(products.sum()),
    }
}

impl Meter for Pmic {
    fn facts(&self) -> Facts {
        Facts {
            name: "pmic",
            covers: "rails behind the PMIC, without losses of the converters and what hangs on 5 V".into(),
            kind: Kind::Power,
            step: None,
            every: Duration::from_millis(200),
            lag: Duration::from_millis(200),
            block: 10.0,
        }
    }

    fn sample(&mut self, start: Instant, series: &mut Series) -> Result<()> {
        let before = start.elapsed().as_secs_f64();
        let watts = watts(&ask()?)?;
        // The reading is of some moment while the command ran.
        series.push((before + start.elapsed().as_secs_f64()) / 2.0, watts);
        Ok(())
    }
}
