//! A run of minutes: the same measurement again and again, a line for every interval, and what heat made of it.

use std::time::{Duration, Instant};

use anyhow::Result;
use quiescent_tools::feed::Input;
use quiescent_tools::machine::Watch;
use serde::Serialize;

use super::super::measure::{Meter, Times};
use super::super::talk::Talk;
use super::pair::{Pair, STRETCH, bounce};

/// Latency and machine over one interval.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// Seconds since the run began, at the end of the interval.
    pub seconds: f64,
    pub frames: usize,
    pub ms_dense_p50: Option<f64>,
    pub ms_dense_p99: Option<f64>,
    pub ms_gated_p50: Option<f64>,
    pub ms_gated_p99: Option<f64>,
    pub mhz: Option<f64>,
    pub celsius: Option<f64>,
    pub throttled: Option<String>,
    /// Mean power, dense and gated alternating.
    pub watts: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Sustained {
    pub minutes: f64,
    pub intervals: Vec<Interval>,
    /// Median of the last interval over that of the first.
    pub dense_last_to_first: Option<f64>,
    pub gated_last_to_first: Option<f64>,
}

/// Both engines for `time`, a line each `every`.
pub fn run(
    pair: &mut Pair, frames: &[Input], meter: &mut Meter, time: Duration, every: Duration, watch: &Watch, talk: &Talk,
) -> Result<Sustained> {
    let start = Instant::now();
    let mut intervals: Vec<Interval> = Vec::new();
    let mut frame = 0;
    talk.line(HEAD);
    while start.elapsed() < time {
        let (from, begin) = (watch.now(), frame);
        // A last interval much shorter than the others would not compare.
        let mut end = start.elapsed() + every;
        if end + every / 2 > time {
            end = time;
        }
        let (mut dense, mut gated) = (Times::default(), Times::default());
        while start.elapsed() < end {
            let stretch: Vec<&Input> = (frame..frame + STRETCH).map(|i| &frames[bounce(i, frames.len())]).collect();
            let [d, g] = pair.stretch(frame / STRETCH, &stretch, meter)?;
            d.into_iter().for_each(|ms| dense.push(ms));
            // The first frame has nothing to compare with.
            g.into_iter().skip((frame == 0) as usize).for_each(|ms| gated.push(ms));
            frame += STRETCH;
        }
        let state = watch.latest().unwrap_or_default();
        let interval = Interval {
            seconds: start.elapsed().as_secs_f64(),
            frames: frame - begin,
            ms_dense_p50: dense.at(0.5),
            ms_dense_p99: dense.at(0.99),
            ms_gated_p50: gated.at(0.5),
            ms_gated_p99: gated.at(0.99),
            mhz: state.mhz,
            celsius: state.celsius,
            throttled: state.throttle.now(),
            watts: watch.watts(from, watch.now()),
        };
        talk.line(&interval.text());
        intervals.push(interval);
    }
    let (first, last) = (intervals.first(), intervals.last());
    let ratio = |of: fn(&Interval) -> Option<f64>| Some(of(last?)? / of(first?)?);
    Ok(Sustained {
        minutes: start.elapsed().as_secs_f64() / 60.0,
        dense_last_to_first: ratio(|i| i.ms_dense_p50),
        gated_last_to_first: ratio(|i| i.ms_gated_p50),
        intervals,
    })
}

const HEAD: &str = "       s  frames  dense p50      p99  gated p50      p99     MHz    C       W";

impl Interval {
    fn text(&self) -> String {
        let of = |v: Option<f64>, digits: usize| v.map_or("-".to_string(), |v| format!("{v:.digits$}"));
        let mut t = format!(
            "{:8.1} {:7} {:>10} {:>8} {:>10} {:>8} {:>7} {:>4} {:>7}",
            self.seconds,
            self.frames,
            of(self.ms_dense_p50, 3),
            of(self.ms_dense_p99, 3),
            of(self.ms_gated_p50, 3),
            of(self.ms_gated_p99, 3),
            of(self.mhz, 0),
            of(self.celsius, 0),
            of(self.watts, 3)
        );
        if let Some(what) = &self.throttled {
            t += &format!("  {what}");
        }
        t
    }
}

impl Sustained {
    /// First interval against last.
    pub fn text(&self) -> String {
        let (Some(first), Some(last)) = (self.intervals.first(), self.intervals.last()) else { return String::new() };
        let row = |name: &str, a: Option<f64>, b: Option<f64>, ratio: Option<f64>| match (a, b, ratio) {
            (Some(a), Some(b), Some(r)) => format!("  {name} {a:.3} ms in the first interval, {b:.3} ms in the last: {r:.3} times\n"),
            _ => String::new(),
        };
        format!("sustained  {:.1} minutes, {} intervals; medians\n", self.minutes, self.intervals.len())
            + &row("dense", first.ms_dense_p50, last.ms_dense_p50, self.dense_last_to_first)
            + &row("gated", first.ms_gated_p50, last.ms_gated_p50, self.gated_last_to_first)
    }
}
