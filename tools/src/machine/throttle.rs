//! Whether the machine holds its clock back: heat, or a supply that is too weak.

use serde::Serialize;

use super::{Root, clock};

const PI: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
const THERMAL: &str = "sys/class/thermal";

/// What the machine says about it at one moment; `None` where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Throttle {
    /// Raspberry Pi: bits 0 to 3 now (supply too low, clock capped, throttled, soft temperature limit), 16 to 19 the same since
    /// the machine started.
    pub raspberry_pi: Option<u32>,
    /// x86: how often cores and packages were slowed by heat since the machine started, the sum over all CPUs.
    pub x86_events: Option<u64>,
    /// Thermal framework: the highest state of the devices that cool by slowing CPUs; 0 is not at all.
    pub cooling_state: Option<u32>,
}

impl Throttle {
    pub fn read(root: &Root) -> Self {
        let pi = root.text(PI).and_then(|t| u32::from_str_radix(t.trim_start_matches("0x"), 16).ok());
        let counters = ["core_throttle_count", "package_throttle_count"];
        let events = clock::cpus(root)
            .into_iter()
            .flat_map(|cpu| counters.map(|c| root.number(&format!("sys/devices/system/cpu/{cpu}/thermal_throttle/{c}")).map(|n| n as u64)));
        let cooling = root.names(THERMAL, "cooling_device").into_iter().filter_map(|device| {
            let kind = root.text(&format!("{THERMAL}/{device}/type"))?;
            let slows = kind.contains("cpufreq") || kind == "Processor";
            slows.then(|| root.number(&format!("{THERMAL}/{device}/cur_state")))?.map(|n| n as u32)
        });
        Self { raspberry_pi: pi, x86_events: events.flatten().reduce(|a, b| a + b), cooling_state: cooling.max() }
    }

    pub fn known(&self) -> bool {
        self.raspberry_pi.is_some() || self.x86_events.is_some() || self.cooling_state.is_some()
    }

    /// Held back at this moment, in words.
    pub fn now(&self) -> Option<String> {
        let bits = self.raspberry_pi.unwrap_or(0) & 0xf;
        let mut words = pi_words(bits);
        if let Some(state) = self.cooling_state.filter(|s| *s > 0) {
            words.push(format!("clock limited by heat (cooling state {state})"));
        }
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Held back between two moments, in words: `self` is the earlier one.
    pub fn until(&self, later: &Throttle) -> Option<String> {
        let fresh = later.raspberry_pi.unwrap_or(0) & !self.raspberry_pi.unwrap_or(0) & 0xf_0000;
        let mut words = pi_words(fresh >> 16);
        let events = later.x86_events.unwrap_or(0).saturating_sub(self.x86_events.unwrap_or(0));
        if events > 0 {
            words.push(format!("slowed by heat {events} times"));
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

fn pi_words(bits: u32) -> Vec<String> {
    let words = ["supply voltage too low", "clock capped", "throttled", "soft temperature limit"];
    (0..4).filter(|b| bits >> b & 1 == 1).map(|b| words[b].to_string()).collect()
}
