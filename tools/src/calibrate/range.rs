//! From a histogram to a clipping range.

use super::{Method, Quant, TensorStats};
use crate::exec::unary;
use crate::ir::Unary;

/// The range `(lo, hi)` to spend 256 codes on, `lo <= 0 <= hi`. With `after`, the error counted is that of the
/// function's value, so that stretches where it is flat cost nothing to clip.
pub fn range(t: &TensorStats, method: Method, after: Option<Unary>) -> (f32, f32) {
    if t.count == 0 {
        return (0.0, 0.0);
    }
    let (lo, hi) = (t.min.min(0.0), t.max.max(0.0));
    match method {
        Method::MinMax => (lo, hi),
        Method::Percentile(share) => percentile(t, share, lo, hi),
        Method::Auto | Method::Mse => least_error(t, 2, after, lo, hi),
        Method::Cubic => least_error(t, 3, after, lo, hi),
    }
}

fn percentile(t: &TensorStats, share: f32, lo: f32, hi: f32) -> (f32, f32) {
    let spare = (1.0 - f64::from(share.clamp(0.0, 1.0))) * t.count as f64 / 2.0;
    let bins: Vec<(f32, u64)> = t.histogram.bins().collect();
    let half = t.histogram.width / 2.0;
    let end = |bins: &mut dyn Iterator<Item = &(f32, u64)>| {
        let mut lost = 0.0;
        for &(v, n) in bins {
            lost += n as f64;
            if lost > spare {
                return Some(v);
            }
        }
        None
    };
    let first = end(&mut bins.iter()).map_or(0.0, |v| v - half);
    let last = end(&mut bins.iter().rev()).map_or(0.0, |v| v + half);
    (first.min(0.0).max(lo), last.max(0.0).min(hi))
}

/// Least sum of the errors' `power`; coordinate descent over shrink factors of both ends.
fn least_error(t: &TensorStats, power: i32, after: Option<Unary>, lo: f32, hi: f32) -> (f32, f32) {
    let bins: Vec<(f32, u64)> = t.histogram.bins().collect();
    let values: Vec<(f32, f32, f64)> = bins
        .iter()
        .flat_map(|&(v, n)| {
            // Several points a bin, because a code is only a few bins wide.
            let step = t.histogram.width / 4.0;
            [-1.5f32, -0.5, 0.5, 1.5].map(|k| (v + k * step, n as f64 / 4.0))
        })
        .map(|(v, n)| {
            let v = v.clamp(lo, hi);
            (v, after.map_or(v, |f| unary(f, v)), n)
        })
        .collect();
    let error = |lo: f32, hi: f32| -> f64 {
        let q = Quant::from_range(lo, hi);
        let table: Vec<f32> = (0..=255u8).map(|k| q.real(0, k)).map(|v| after.map_or(v, |f| unary(f, v))).collect();
        values.iter().map(|&(v, f, n)| f64::from((f - table[q.code(0, v) as usize]).abs()).powi(power) * n).sum()
    };
    let (mut a, mut b) = (1.0f32, 1.0f32);
    let mut best = error(lo, hi);
    for step in [0.05f32, 0.02] {
        for _ in 0..2 {
            for end in 0..2 {
                if [lo, hi][end] == 0.0 {
                    continue;
                }
                let start = if end == 0 { a } else { b };
                let around: Vec<f32> = if step > 0.03 {
                    (1..20).map(|k| 1.0 - k as f32 * step).collect()
                } else {
                    vec![start - 2.0 * step, start - step, start + step, start + 2.0 * step]
                };
                for k in around.into_iter().filter(|k| (0.02..=1.0).contains(k)) {
                    let (x, y) = if end == 0 { (k, b) } else { (a, k) };
                    let e = error(lo * x, hi * y);
                    if e < best {
                        best = e;
                        (a, b) = (x, y);
                    }
                }
            }
        }
    }
    (lo * a, hi * b)
}
