//! What became of the machine while something was measured.

use serde::Serialize;

use super::cpu::Cpu;
use super::{Root, State, clock};

/// Clocks closer than this are one clock.
const MHZ_MOVED: f64 = 0.02;

/// The machine before, during and after a measurement.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Conditions {
    #[serde(flatten)]
    pub cpu: Cpu,
    /// Governors of all CPUs, each once.
    pub governors: Vec<String>,
    pub before: State,
    pub during: Span,
    pub after: State,
    /// What throttled during the measurement; `None` where nothing did or where it is not known.
    pub throttled: Option<String>,
    pub throttling_known: bool,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
}

/// Extremes over samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Span {
    pub samples: usize,
    pub mhz_min: Option<f64>,
    pub mhz_max: Option<f64>,
    pub celsius_min: Option<f64>,
    pub celsius_max: Option<f64>,
    /// CPUs the measured thread was seen on.
    pub cpus: Vec<usize>,
    /// The first throttling seen.
    pub throttled: Option<String>,
}

impl Span {
    pub fn of<'s>(states: impl IntoIterator<Item = &'s State>) -> Self {
        let mut span = Self::default();
        states.into_iter().for_each(|s| span.add(s));
        span
    }

    fn add(&mut self, state: &State) {
        self.samples += 1;
        widen(&mut self.mhz_min, &mut self.mhz_max, state.mhz);
        widen(&mut self.celsius_min, &mut self.celsius_max, state.celsius);
        if let Some(cpu) = state.cpu.filter(|c| !self.cpus.contains(c)) {
            self.cpus.push(cpu);
            self.cpus.sort();
        }
        if self.throttled.is_none() {
            self.throttled = state.throttle.now();
        }
    }
}

fn widen(min: &mut Option<f64>, max: &mut Option<f64>, value: Option<f64>) {
    let Some(v) = value else { return };
    *min = Some(min.map_or(v, |m| m.min(v)));
    *max = Some(max.map_or(v, |m| m.max(v)));
}

impl Conditions {
    pub fn new(root: &Root, before: State, during: Span, after: State) -> Self {
        let seen = during.throttled.clone().or_else(|| after.throttle.now());
        let throttled = before.throttle.until(&after.throttle).or(seen);
        let mut c = Self {
            cpu: Cpu::read(root),
            governors: clock::governors(root),
            throttling_known: before.throttle.known(),
            before,
            during,
            after,
            throttled,
            warnings: Vec::new(),
        };
        c.warnings = c.doubts();
        c
    }

    fn doubts(&self) -> Vec<String> {
        let mut w = Vec::new();
        let others: Vec<&str> = self.governors.iter().map(String::as_str).filter(|g| *g != "performance").collect();
        if !others.is_empty() {
            w.push(format!(
                "the governor is {}, not performance: the clock follows the load (as root: echo performance | tee \
                 /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor)",
                others.join(", ")
            ));
        }
        if let (Some(min), Some(max)) = (self.during.mhz_min, self.during.mhz_max)
            && max - min > MHZ_MOVED * max
        {
            w.push(format!("the clock moved between {min:.0} and {max:.0} MHz during the measurement"));
        }
        let kinds: Vec<&str> = self.during.cpus.iter().filter_map(|c| self.cpu.core(*c)).collect();
        if kinds.windows(2).any(|k| k[0] != k[1]) {
            w.push("the measured thread moved between cores of different kinds (pin it: taskset -c N)".into());
        }
        if let Some(what) = &self.throttled {
            w.push(format!("the machine throttled during the measurement: {what}"));
        }
        w
    }

    /// A few lines.
    pub fn text(&self) -> String {
        let known = |v: Option<&str>| v.unwrap_or("not known").to_string();
        let mut t = format!("machine    {}", known(self.cpu.model.as_deref()));
        if let Some(board) = &self.cpu.board {
            t += &format!(", {board}");
        }
        if let Some(n) = self.cpu.cpus {
            t += &format!(", {n} CPUs");
        }
        if !self.during.cpus.is_empty() {
            let on: Vec<String> = self.during.cpus.iter().map(|c| c.to_string()).collect();
            let kind = self.during.cpus.first().and_then(|c| self.cpu.core(*c)).map_or(String::new(), |k| format!(" ({k})"));
            t += &format!(", ran on CPU {}{kind}", on.join(", "));
        }
        let governors = self.governors.join(", ");
        t += &format!("\ngovernor   {}", known(Some(governors.as_str()).filter(|g| !g.is_empty())));
        if let Some(max) = self.after.mhz_max {
            t += &format!(", at most {max:.0} MHz");
        }
        let (mhz, heat) = (
            range(self.before.mhz, self.during.mhz_min, self.during.mhz_max, self.after.mhz),
            range(self.before.celsius, self.during.celsius_min, self.during.celsius_max, self.after.celsius),
        );
        t += &format!("\nclock MHz  {mhz}\nheat C     {heat}");
        if let Some(zone) = self.after.zone.as_ref().or(self.before.zone.as_ref()) {
            t += &format!(" ({zone})");
        }
        let throttled = match (&self.throttled, self.throttling_known) {
            (Some(what), _) => what.as_str(),
            (None, true) => "no",
            (None, false) => "not known",
        };
        t += &format!("\nthrottled  {throttled}\n");
        t
    }
}

/// `1500 before, 2390 to 2400 during, 2400 after`.
fn range(before: Option<f64>, min: Option<f64>, max: Option<f64>, after: Option<f64>) -> String {
    if before.or(min).or(after).is_none() {
        return "not known".into();
    }
    let of = |v: Option<f64>| v.map_or("not known".into(), |v| format!("{v:.0}"));
    let during = match (min, max) {
        (Some(a), Some(b)) if format!("{a:.0}") != format!("{b:.0}") => format!("{a:.0} to {b:.0}"),
        (a, _) => of(a),
    };
    format!("{} before, {during} during, {} after", of(before), of(after))
}
