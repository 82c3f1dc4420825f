//! Readings over time, and their mean between two moments.

/// What a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Joules since some moment; only differences mean anything.
    Counter,
    /// Watts at the moment of reading.
    Power,
}

/// Readings of one meter, in order of time.
#[derive(Clone, Debug)]
pub struct Series {
    kind: Kind,
    /// Seconds since the meter was opened, and joules or watts.
    points: Vec<(f64, f64)>,
}

/// Power between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    pub watts: f64,
    pub samples: usize,
    /// Standard deviation of the readings of power; 0 for a counter, which misses nothing.
    pub deviation: f64,
    /// Seconds from the first to the last sample that count.
    pub seconds: f64,
}

impl Series {
    pub fn new(kind: Kind) -> Self {
        Self { kind, points: Vec::new() }
    }

    /// Readings that are no numbers, or not later than the last one, are left out.
    pub fn push(&mut self, at: f64, value: f64) {
        if at.is_finite() && value.is_finite() && self.points.last().is_none_or(|p| p.0 < at) {
            self.points.push((at, value));
        }
    }

    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// Readings a second.
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        (last.0 > first.0).then(|| (self.points.len() - 1) as f64 / (last.0 - first.0))
    }

    /// The smallest step between readings that differ, as an estimate of the meter's resolution.
    pub fn step(&self) -> Option<f64> {
        let steps = self.points.windows(2).map(|p| (p[1].1 - p[0].1).abs()).filter(|d| *d > 0.0);
        steps.reduce(f64::min)
    }

    /// Mean power from the readings within `[from, to]` seconds, each weighted by the time it stands for. At least two are
    /// needed, and their times have to reach over half of the interval.
    pub fn mean(&self, from: f64, to: f64) -> Option<Mean> {
        let first = self.points.partition_point(|p| p.0 < from);
        let end = self.points.partition_point(|p| p.0 <= to);
        let within = self.points.get(first..end).filter(|w| w.len() >= 2)?;
        let (a, b) = (within[0], within[within.len() - 1]);
        let seconds = b.0 - a.0;
        if seconds < (to - from) / 2.0 {
            return None;
        }
        let watts = match self.kind {
            Kind::Counter => (b.1 - a.1) / seconds,
            Kind::Power => within.windows(2).map(|w| (w[1].0 - w[0].0) * (w[0].1 + w[1].1) / 2.0).sum::<f64>() / seconds,
        };
        let deviation = match self.kind {
            Kind::Counter => 0.0,
            Kind::Power => deviation(within.iter().map(|p| p.1)),
        };
        Some(Mean { watts, samples: within.len(), deviation, seconds })
    }
}

/// Of a sample from its own mean.
pub fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count();
    if n < 2 {
        return 0.0;
    }
    let mean = values.clone().sum::<f64>() / n as f64;
    (values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt()
}
