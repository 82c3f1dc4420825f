//! How the machine is at one moment.

use serde::Serialize;

use super::{Root, Throttle, clock};

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct State {
    /// The CPU the measured thread was on.
    pub cpu: Option<usize>,
    /// Clock of that CPU, else of the CPU with the fastest one.
    pub mhz: Option<f64>,
    pub mhz_max: Option<f64>,
    /// The governor of that CPU.
    pub governor: Option<String>,
    /// Degrees Celsius of the hottest zone of the processor, else of the hottest of all.
    pub celsius: Option<f64>,
    pub zone: Option<String>,
    pub throttle: Throttle,
}

impl State {
    /// `task` is the folder of the measured thread, see [`own_task`].
    pub fn read(root: &Root, task: Option<&str>) -> Self {
        let cpu = task.and_then(|t| clock::cpu_of(root, t));
        let clock = clock::read(root, cpu);
        let hottest = hottest(root);
        Self {
            cpu,
            mhz: clock.mhz,
            mhz_max: clock.mhz_max,
            governor: clock.governor,
            celsius: hottest.as_ref().map(|h| h.0),
            zone: hottest.map(|h| h.1),
            throttle: Throttle::read(root),
        }
    }

    /// With the CPU of the calling thread.
    pub fn here(root: &Root) -> Self {
        Self::read(root, own_task(root).as_deref())
    }
}

/// The folder of the calling thread in `proc`.
pub fn own_task(root: &Root) -> Option<String> {
    let target = std::fs::read_link(root.path("proc/thread-self")).ok()?;
    Some(format!("proc/{}", target.to_str()?))
}

/// Words in the type of a zone that is the processor's.
const PROCESSOR: [&str; 8] = ["cpu", "pkg", "soc", "core", "tdie", "tctl", "k10temp", "acpitz"];

fn hottest(root: &Root) -> Option<(f64, String)> {
    let zones = thermal_zones(root).into_iter().chain(hwmon_chips(root));
    // Devices that are off report absolute zero, or nonsense.
    let zones: Vec<(f64, String)> = zones.filter(|z| (-40.0..200.0).contains(&z.0) && z.0 != 0.0).collect();
    let processor = |name: &str| PROCESSOR.iter().any(|w| name.to_lowercase().contains(w));
    let own = zones.iter().filter(|z| processor(&z.1)).max_by(|a, b| a.0.total_cmp(&b.0));
    own.or(zones.iter().max_by(|a, b| a.0.total_cmp(&b.0))).cloned()
}

fn thermal_zones(root: &Root) -> Vec<(f64, String)> {
    let folder = "sys/class/thermal";
    let zones = root.names(folder, "thermal_zone").into_iter().filter_map(|zone| {
        let milli = root.number(&format!("{folder}/{zone}/temp"))?;
        Some((milli / 1e3, root.text(&format!("{folder}/{zone}/type")).unwrap_or(zone)))
    });
    zones.collect()
}

/// Chips within the processor; AMD's has no thermal zone.
fn hwmon_chips(root: &Root) -> Vec<(f64, String)> {
    let folder = "sys/class/hwmon";
    let chips = root.names(folder, "hwmon").into_iter().filter_map(|chip| {
        let name = root.text(&format!("{folder}/{chip}/name"))?;
        let ours = matches!(name.as_str(), "k10temp" | "coretemp" | "cpu_thermal");
        ours.then(|| root.number(&format!("{folder}/{chip}/temp1_input")))?.map(|milli| (milli / 1e3, name))
    });
    chips.collect()
}
