//! Averages whose result has codes of its own.
//!
//! The pooling step keeps the codes of its operand, which serve a mean of few or like values. The mean of noise is much
//! smaller than the noise: it is a depthwise convolution of ones, whose exact sums are scaled to the result's codes once.
//!
//! ```text
//! mean in codes of its own     sums (depthwise) -> codes
//! windows cut by the border    sums / taps (depthwise) -> reals, times taps / count of the pixel -> codes
//! windows of more than 256     columns (depthwise) -> reals, lines of these (convolution of reals) -> codes;
//!                              where columns are as long, all of it on reals
//! ```

use anyhow::{Context, Result, ensure};
use quiescent::format::{self as f, NONE};

use super::emit::Emit;
use super::items::{Item, Kind};
use super::{Lowering, pack};
use crate::calibrate::Store;
use crate::ir::{Op, Pad, Shape, Window};

/// Most taps of a depthwise convolution, and most of any window along an axis.
const TAPS: usize = f::MAX_TAPS;
const KERNEL: usize = 1024;

/// The items of an average whose codes differ from its operand's; `None` where its window is larger than steps can be.
pub(super) fn items(l: &mut Lowering, item: &Item, node: usize) -> Result<Option<Vec<Item>>> {
    let Op::AvgPool { window: w, count_pad } = l.graph.nodes[node].op else { return Ok(None) };
    let (x, y) = (l.value(item.inputs[0])?.clone(), l.value(item.output)?.clone());
    if w.kh.max(w.kw) > KERNEL || !matches!(x.store, Store::U8(_)) {
        return Ok(None);
    }
    let factors = if count_pad { Vec::new() } else { factors(&w, x.shape, y.shape) };
    let cut = factors.iter().any(|k| *k != 1.0);
    let (small, column) = (w.kh * w.kw <= TAPS, w.kh <= TAPS && w.kw > 1);
    if small && !cut {
        return Ok(Some(vec![Item { kind: Kind::Mean(w), ..item.clone() }]));
    }
    let mut out = Vec::new();
    let mut at = item.inputs[0];
    let mut then = |l: &mut Lowering, what: &str, kind: Kind, shape: Shape| {
        let output = l.add(format!("{}.{what}", y.name), shape, Store::F32);
        out.push(Item { name: item.name.clone(), kind, inputs: vec![at], output });
        at = output;
    };
    let (upright, level) = (Pad { l: 0, r: 0, ..w.pad }, Pad { t: 0, b: 0, ..w.pad });
    if small {
        then(l, "sums", Kind::Mean(w), y.shape);
    } else if column {
        let columns = Window { kw: 1, stride: (w.stride.0, 1), dilation: (w.dilation.0, 1), pad: upright, ..w };
        then(l, "columns", Kind::Mean(columns), Shape { h: y.shape.h, ..x.shape });
        let lines = Window { kh: 1, stride: (1, w.stride.1), dilation: (1, w.dilation.1), pad: level, ..w };
        then(l, "sums", Kind::MeanF32(lines), y.shape);
    } else {
        then(l, "f32", Kind::Convert, x.shape);
        then(l, "sums", Kind::MeanF32(w), y.shape);
    }
    let last = if cut { Kind::Factors(factors) } else { Kind::Convert };
    out.push(Item { kind: last, inputs: vec![at], ..item.clone() });
    Ok(Some(out))
}

/// Taps of the window over those inside the map, for each pixel of the result.
fn factors(w: &Window, x: Shape, y: Shape) -> Vec<f32> {
    let inside = |o: usize, s: usize, d: usize, pad: usize, k: usize, n: usize| {
        (0..k).filter(|t| (o * s + t * d).checked_sub(pad).is_some_and(|at| at < n)).count().max(1)
    };
    let columns: Vec<usize> = (0..y.w).map(|o| inside(o, w.stride.1, w.dilation.1, w.pad.l, w.kw, x.w)).collect();
    let rows = (0..y.h).map(|o| inside(o, w.stride.0, w.dilation.0, w.pad.t, w.kh, x.h));
    rows.flat_map(|r| columns.iter().map(move |c| (w.kh * w.kw) as f32 / (r * c) as f32)).collect()
}

/// The items of an average of reals to reals: columns, then lines, either of which may be one pixel.
pub(super) fn of_reals(l: &mut Lowering, item: &Item, node: usize) -> Result<Vec<Item>> {
    let x = l.value(item.inputs[0])?.clone();
    let whole = Window { kh: x.shape.h, kw: x.shape.w, stride: (1, 1), dilation: (1, 1), pad: Pad::default() };
    let w = match l.graph.nodes[node].op {
        Op::AvgPool { window, .. } => window,
        _ => whole,
    };
    let columns = Window { kw: 1, stride: (w.stride.0, 1), dilation: (w.dilation.0, 1), ..w };
    let lines = Window { kh: 1, stride: (1, w.stride.1), dilation: (1, w.dilation.1), ..w };
    if w.kw == 1 && w.stride.1 == 1 {
        return Ok(vec![Item { kind: Kind::MeanF32(columns), ..item.clone() }]);
    }
    if w.kh == 1 && w.stride.0 == 1 {
        return Ok(vec![Item { kind: Kind::MeanF32(lines), ..item.clone() }]);
    }
    let h = l.value(item.output)?.shape.h;
    let between = l.add(format!("{}.columns", l.value(item.output)?.name), Shape { h, ..x.shape }, Store::F32);
    let first = Item { kind: Kind::MeanF32(columns), output: between, ..item.clone() };
    Ok(vec![first, Item { kind: Kind::MeanF32(lines), inputs: vec![between], ..item.clone() }])
}

impl Emit<'_, '_> {
    pub(super) fn mean(&mut self, item: &Item) -> Result<u32> {
        let window = super::emit::window(self.l, item).context("no window")?;
        let taps = window.kernel.iter().map(|k| *k as usize).product::<usize>();
        let c = self.channels(item.inputs[0])?;
        let from = self.quant(item.inputs[0])?.clone();
        let to = self.l.value(item.output)?.store.clone();
        let blocks = c.div_ceil(16) * 16;
        let (mut m, mut b) = (vec![0f32; blocks], vec![0f32; blocks]);
        for k in 0..c {
            let (scale, zero) = match &to {
                Store::U8(q) => (q.scale_of(k), f32::from(q.zero_of(k))),
                Store::F32 => (1.0, 0.0),
            };
            let step = f64::from(from.scale_of(k)) / f64::from(scale);
            m[k] = (step / taps as f64) as f32;
            b[k] = (f64::from(zero) - step * f64::from(from.zero_of(k))) as f32;
            ensure!(m[k].is_finite() && b[k].is_finite(), "channel {k} has no finite scale");
        }
        let (lo, hi) = self.bounds(item.output, None)?;
        let record = f::Conv {
            window,
            weights: self.b.data.put_weights(&pack::depthwise(&vec![1; c * taps], c, taps)),
            m: self.b.data.put(&m),
            b: self.b.data.put(&b),
            r: NONE,
            table: NONE,
            merged: 0,
            lo,
            hi,
        };
        Ok(self.b.data.put(&[record]))
    }

    pub(super) fn mean_f32(&mut self, item: &Item) -> Result<u32> {
        let window = super::emit::window(self.l, item).context("no window")?;
        let taps = window.kernel.iter().map(|k| *k as usize).product::<usize>();
        let c = self.channels(item.inputs[0])?;
        let (lo, hi) = self.bounds(item.output, None)?;
        let record = f::ConvF32 {
            window,
            weights: self.b.data.put(&vec![1.0 / taps as f32; taps * c]),
            b: self.b.data.put(&vec![0f32; c]),
            groups: c as u32,
            lo,
            hi,
        };
        Ok(self.b.data.put(&[record]))
    }

    /// Each pixel times a factor.
    pub(super) fn factors(&mut self, item: &Item, factors: &[f32]) -> Result<u32> {
        let none = f::Affine { scale: NONE, offset: NONE };
        let (a, out) = (self.operand(item.inputs[0], 1.0)?, self.result(item.output)?);
        let (lo, hi) = self.bounds(item.output, None)?;
        // One channel for all; one row stands for itself.
        let broadcast = u32::from(self.channels(item.output)? > 1) << 1;
        let constant = self.b.data.put(factors);
        let function = f::BinaryFn::Mul as u32;
        Ok(self.b.data.put(&[f::Binary { function, broadcast, a, b: none, constant, out, lo, hi, table: NONE }]))
    }
}
