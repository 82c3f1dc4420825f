//! Clock frequencies and who chooses them: cpufreq.

use super::Root;

const CPUS: &str = "sys/devices/system/cpu";

/// The clock of one CPU.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    pub mhz: Option<f64>,
    /// The most it can be set to.
    pub mhz_max: Option<f64>,
    pub governor: Option<String>,
}

/// Of the CPU that is named, else of the one with the fastest clock now, which is the busiest where clocks follow load.
pub fn read(root: &Root, cpu: Option<usize>) -> Clock {
    match cpu {
        Some(cpu) => of(root, &format!("cpu{cpu}")),
        None => {
            let all = cpus(root).iter().map(|c| of(root, c)).collect::<Vec<_>>();
            all.into_iter().max_by(|a, b| a.mhz.unwrap_or(-1.0).total_cmp(&b.mhz.unwrap_or(-1.0))).unwrap_or_default()
        }
    }
}

/// Governors of all CPUs, each once.
pub fn governors(root: &Root) -> Vec<String> {
    let mut all: Vec<String> = cpus(root).iter().filter_map(|c| root.text(&format!("{CPUS}/{c}/cpufreq/scaling_governor"))).collect();
    all.sort();
    all.dedup();
    all
}

/// `cpu0`, `cpu1`, ..., not `cpuidle`.
pub fn cpus(root: &Root) -> Vec<String> {
    let number = |n: &String| n.len() > 3 && n[3..].bytes().all(|b| b.is_ascii_digit());
    root.names(CPUS, "cpu").into_iter().filter(number).collect()
}

fn of(root: &Root, cpu: &str) -> Clock {
    let mhz = |name: &str| root.number(&format!("{CPUS}/{cpu}/cpufreq/{name}")).map(|khz| khz / 1e3);
    Clock {
        // What the hardware says, where anybody may read it.
        mhz: mhz("scaling_cur_freq").or_else(|| mhz("cpuinfo_cur_freq")),
        mhz_max: mhz("scaling_max_freq").or_else(|| mhz("cpuinfo_max_freq")),
        governor: root.text(&format!("{CPUS}/{cpu}/cpufreq/scaling_governor")),
    }
}

/// The CPU a thread ran on last. `task` is its folder, `proc/<process>/task/<thread>`.
pub fn cpu_of(root: &Root, task: &str) -> Option<usize> {
    let stat = root.text(&format!("{task}/stat"))?;
    // The name in brackets may hold anything; after it come fields 3, 4, ...; the processor is field 39.
    stat.rsplit_once(')')?.1.split_whitespace().nth(36)?.parse().ok()
}
