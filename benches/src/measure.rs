//! How far the integer network is from the float model, over many frames.

use anyhow::Result;
use quiescent_tools::task::{Agreement, Prediction, Summary, Task};

/// Of the two most probable classes; closer than this, the float model itself is undecided.
pub const TOP1_MARGIN: f32 = 0.1;

/// Accumulates over frames.
pub struct Measure {
    agreement: Agreement,
    /// Per output: squared error, squared reference.
    squares: Vec<(f64, f64)>,
    /// Frames with a label, of these right: float, integer.
    labelled: (usize, usize, usize),
    /// Frames where the float model is decided, of these the integer model says the same.
    decided: (usize, usize),
    elements: usize,
}

#[derive(Clone, Debug)]
pub struct Measured {
    pub agreement: Summary,
    /// L2 relative error, worst output.
    pub relative: f64,
    /// Peak signal to noise of outputs in 0..1, dB.
    pub psnr: f64,
    /// Share of right answers, float and integer, where there are labels.
    pub labels: Option<(f64, f64)>,
    /// Top-1 agreement over frames where the float model's two best classes are apart.
    pub decided: Option<f64>,
}

impl Measure {
    pub fn new(task: &Task) -> Self {
        Measure { agreement: Agreement::new(task), squares: Vec::new(), labelled: (0, 0, 0), decided: (0, 0), elements: 0 }
    }

    /// One frame: outputs and what they say, float first.
    pub fn add(&mut self, float: (&[Vec<f32>], &Prediction), ours: (&[Vec<f32>], &Prediction), label: Option<usize>) -> Result<()> {
        self.squares.resize(float.0.len(), (0.0, 0.0));
        for (s, (f, q)) in self.squares.iter_mut().zip(float.0.iter().zip(ours.0)) {
            for (f, q) in f.iter().zip(q) {
                s.0 += f64::from(f - q).powi(2);
                s.1 += f64::from(*f).powi(2);
            }
            self.elements += f.len();
        }
        self.agreement.add(float.1, ours.1)?;
        if let (Prediction::Class(f), Prediction::Class(q)) = (float.1, ours.1) {
            if let Some(label) = label {
                self.labelled.0 += 1;
                self.labelled.1 += usize::from(*f == label);
                self.labelled.2 += usize::from(*q == label);
            }
            if gap(&float.0[0]) > TOP1_MARGIN {
                self.decided.0 += 1;
                self.decided.1 += usize::from(f == q);
            }
        }
        Ok(())
    }

    pub fn finish(&self) -> Measured {
        let relative = self.squares.iter().map(|(e, s)| (e / s.max(1e-30)).sqrt()).fold(0.0, f64::max);
        let error: f64 = self.squares.iter().map(|s| s.0).sum::<f64>() / self.elements.max(1) as f64;
        let (n, f, q) = self.labelled;
        Measured {
            agreement: self.agreement.summary(),
            relative,
            psnr: -10.0 * error.max(1e-12).log10(),
            labels: (n > 0).then(|| (f as f64 / n as f64, q as f64 / n as f64)),
            decided: (self.decided.0 > 0).then(|| self.decided.1 as f64 / self.decided.0 as f64),
        }
    }
}

/// Between the two greatest values.
fn gap(values: &[f32]) -> f32 {
    let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    for &v in values {
        if v > first {
            (first, second) = (v, first);
        } else if v > second {
            second = v;
        }
    }
    first - second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_is_between_the_two_best() {
        assert_eq!(gap(&[0.1, 0.7, 0.2]), 0.7 - 0.2);
        assert_eq!(gap(&[0.5, 0.5]), 0.0);
    }
}
