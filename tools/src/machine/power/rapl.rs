//! RAPL: energy counters of x86 processors, through the powercap framework.
//!
//! Zones `intel-rapl:N` are packages (AMD's have the same names), `intel-rapl:N:M` parts of one. Summed are the packages and, as
//! they are not part of a package, their memory zones; a zone `psys` holds both and is left out. Counters are in
//! microjoules and start over at `max_energy_range_uj`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Facts, Kind, Meter, Series};
use crate::machine::Root;

const FOLDER: &str = "sys/class/powercap";

pub struct Rapl {
    root: Root,
    zones: Vec<Zone>,
    covers: String,
}

struct Zone {
    file: String,
    /// The counter's values are at most this, in microjoules.
    range: u64,
    last: Option<u64>,
    /// Microjoules since the first reading.
    total: u64,
}

impl Rapl {
    pub fn open(root: &Root) -> Result<Self> {
        let names = root.names(FOLDER, "intel-rapl:");
        let label = |zone: &str| root.text(&format!("{FOLDER}/{zone}/name")).unwrap_or_default();
        let counted = |zone: &&String| {
            let name = label(zone);
            name.starts_with("package") || name == "dram" && zone.matches(':').count() == 2
        };
        let counted: Vec<&String> = names.iter().filter(counted).collect();
        if counted.is_empty() {
            bail!(
                "rapl: there is no package in /{FOLDER} (not an x86 processor, a virtual machine, or the module intel_rapl_msr is not loaded)"
            );
        }
        let mut zones = Vec::new();
        for zone in &counted {
            let file = format!("{FOLDER}/{zone}/energy_uj");
            read(root, &file)?;
            let range = root.number(&format!("{FOLDER}/{zone}/max_energy_range_uj")).unwrap_or(0.0) as u64;
            zones.push(Zone { file, range, last: None, total: 0 });
        }
        let covers: Vec<String> = counted.iter().map(|z| label(z)).collect();
        let covers = format!("{}: the whole processor with everything that runs on it, no other part of the machine", covers.join(" + "));
        Ok(Self { root: root.clone(), zones, covers })
    }
}

fn read(root: &Root, file: &str) -> Result<u64> {
    let text = fs::read_to_string(root.path(file)).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "rapl: /{file} may be read by root only; as root, allow it until the next start: chmod a+r /{FOLDER}/intel-rapl:*/energy_uj \
             /{FOLDER}/intel-rapl:*:*/energy_uj"
        ),
        _ => anyhow::anyhow!("rapl: reading /{file}: {e}"),
    })?;
    text.trim().parse().with_context(|| format!("rapl: /{file} holds no counter: {:?}", text.trim()))
}

/// How far a counter went on that starts over after `range`.
fn advance(last: u64, now: u64, range: u64) -> u64 {
    match now >= last {
        true => now - last,
        false => (range.saturating_sub(last)).saturating_add(now),
    }
}

impl Meter for Rapl {
    fn facts(&self) -> Facts {
        Facts {
            name: "rapl",
            covers: self.covers.clone(),
            kind: Kind::Counter,
            // The unit of the hardware, 1/2^14 J; some processors count finer.
            step: Some(61e-6),
            every: Duration::from_millis(20),
            // Counters are brought up to date every millisecond.
            lag: Duration::from_millis(2),
            block: 2.0,
        }
    }

    fn sample(&mut self, start: Instant, series: &mut Series) -> Result<()> {
        let mut sum = 0;
        for zone in &mut self.zones {
            let now = read(&self.root, &zone.file)?;
            zone.total += zone.last.map_or(0, |last| advance(last, now, zone.range));
            zone.last = Some(now);
            sum += zone.total;
        }
        series.push(start.elapsed().as_secs_f64(), sum as f64 / 1e6);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::advance;

    #[test]
    fn counters_start_over() {
        assert_eq!(advance(100, 350, 1000), 250);
        assert_eq!(advance(900, 50, 1000), 150);
        assert_eq!(advance(7, 7, 1000), 0);
    }
}
