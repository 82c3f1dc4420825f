//! The anomaly detector's input: windows of five log-mel columns of 128 bands.
//!
//! Of 16 kHz sound: frames of 1024 samples every 512, Hann window, power spectrum, 128 triangular mel bands (Slaney's
//! scale, each of unit area) up to 8 kHz, `10 log10(power + eps)`. A window is five columns one after the other, 640
//! values; windows start at every column.

use std::f64::consts::PI;
use std::path::Path;

use anyhow::{Context, Result, ensure};

const FRAME: usize = 1024;
const HOP: usize = 512;
const BANDS: usize = 128;
const COLUMNS: usize = 5;
const RATE: f64 = 16000.0;

/// All windows of a PCM16 mono file.
pub fn windows(path: &Path) -> Result<Vec<Vec<f32>>> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let data = bytes.windows(4).position(|w| w == b"data").map(|p| p + 8);
    let data = data.filter(|p| *p <= bytes.len()).with_context(|| format!("{}: no data chunk", path.display()))?;
    let samples: Vec<f64> = bytes[data..].chunks_exact(2).map(|b| f64::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect();
    ensure!(samples.len() >= FRAME + (COLUMNS - 1) * HOP, "{}: too short", path.display());
    let bands = filters();
    let columns: Vec<Vec<f32>> = (0..=(samples.len() - FRAME) / HOP).map(|k| column(&samples[k * HOP..][..FRAME], &bands)).collect();
    Ok(columns.windows(COLUMNS).map(|w| w.concat()).collect())
}

fn column(samples: &[f64], bands: &[Vec<(usize, f64)>]) -> Vec<f32> {
    let mut re: Vec<f64> = samples.iter().enumerate().map(|(k, s)| s * (0.5 - 0.5 * (2.0 * PI * k as f64 / FRAME as f64).cos())).collect();
    let mut im = vec![0.0; FRAME];
    transform(&mut re, &mut im);
    let power = |k: usize| re[k] * re[k] + im[k] * im[k];
    bands
        .iter()
        .map(|b| {
            let sum: f64 = b.iter().map(|&(k, w)| w * power(k)).sum();
            (10.0 * (sum + f64::EPSILON).log10()) as f32
        })
        .collect()
}

/// Fourier transform in place, radix 2.
fn transform(re: &mut [f64], im: &mut [f64]) {
    let n = re.len();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - n.trailing_zeros());
        if i < j {
            re.swap(i, j);
            im.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        for k in 0..half {
            let (sin, cos) = (-PI * k as f64 / half as f64).sin_cos();
            for a in (k..n).step_by(2 * half) {
                let b = a + half;
                let (x, y) = (re[b] * cos - im[b] * sin, re[b] * sin + im[b] * cos);
                (re[b], im[b]) = (re[a] - x, im[a] - y);
                (re[a], im[a]) = (re[a] + x, im[a] + y);
            }
        }
        half *= 2;
    }
}

/// Slaney's scale: linear below 1 kHz, logarithmic above.
fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

/// Per band, `(bin, weight)`.
fn filters() -> Vec<Vec<(usize, f64)>> {
    let top = 15.0 + 27.0 * (RATE / 2.0 / 1000.0).ln() / 6.4f64.ln();
    let edge = |k: usize| hertz(top * k as f64 / (BANDS + 1) as f64);
    (0..BANDS)
        .map(|b| {
            let (low, mid, high) = (edge(b), edge(b + 1), edge(b + 2));
            let weight = |k: usize| {
                let f = k as f64 * RATE / FRAME as f64;
                ((f - low) / (mid - low)).min((high - f) / (high - mid)).max(0.0) * 2.0 / (high - low)
            };
            (0..=FRAME / 2).map(|k| (k, weight(k))).filter(|(_, w)| *w > 0.0).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_has_one_line() {
        let mut re: Vec<f64> = (0..64).map(|k| (2.0 * PI * 5.0 * k as f64 / 64.0).cos()).collect();
        let mut im = vec![0.0; 64];
        transform(&mut re, &mut im);
        for k in 0..64 {
            let wanted = if k == 5 || k == 59 { 32.0 } else { 0.0 };
            assert!((re[k] - wanted).abs() < 1e-9 && im[k].abs() < 1e-9, "line {k}: {} {}", re[k], im[k]);
        }
    }

    #[test]
    fn every_band_is_heard_and_the_bands_reach_the_top() {
        let bands = filters();
        assert!(bands.iter().skip(8).all(|b| !b.is_empty()));
        assert!((hertz(15.0) - 1000.0).abs() < 1e-9);
        assert_eq!(bands[BANDS - 1].last().map(|b| b.0), Some(FRAME / 2 - 1));
    }
}
