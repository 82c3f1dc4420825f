//! Items to records: codes fold into multipliers and offsets, functions into tables.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use quiescent::format as f;
use quiescent::format::{Builder, NONE, Op as Code};

use super::importance::importance;
use super::items::{Item, Kind, dense_weights};
use super::memory::Memory;
use super::{Lowered, Lowering, Options, StepInfo, pack};
use crate::calibrate::{Quant, Store};
use crate::exec;
use crate::ir::{Binary, Conv, Op, Unary};

/// Multiply-accumulates of one output row.
pub(super) fn macs(l: &Lowering, item: &Item) -> Result<usize> {
    Ok(match &item.kind {
        Kind::Conv { node, .. } | Kind::ConvF32 { node, .. } => match &l.graph.nodes[*node].op {
            Op::Conv(c) => c.weights.len(),
            _ => 0,
        },
        Kind::Mean(w) | Kind::MeanF32(w) => w.kh * w.kw * l.value(item.output)?.shape.c,
        _ => 0,
    })
}

/// The sliding window of an item.
pub(super) fn window(l: &Lowering, item: &Item) -> Option<f::Window> {
    let of = |k: (usize, usize), s: (usize, usize), d: (usize, usize), p: crate::ir::Pad| f::Window {
        kernel: [k.0 as u16, k.1 as u16],
        stride: [s.0 as u16, s.1 as u16],
        dilation: [d.0 as u16, d.1 as u16],
        pad: [p.t as u16, p.l as u16],
    };
    match &item.kind {
        Kind::Mean(w) | Kind::MeanF32(w) => Some(of((w.kh, w.kw), w.stride, w.dilation, w.pad)),
        Kind::Conv { node, .. } | Kind::ConvF32 { node, .. } | Kind::Node(node) => match &l.graph.nodes[*node].op {
            Op::Conv(c) => Some(of((c.kh, c.kw), c.stride, c.dilation, c.pad)),
            Op::MaxPool(w) | Op::AvgPool { window: w, .. } => Some(of((w.kh, w.kw), w.stride, w.dilation, w.pad)),
            _ => None,
        },
        _ => None,
    }
}

/// Copies of `v` for every channel.
fn each(c: usize, v: impl Fn(usize) -> f32) -> Vec<f32> {
    (0..c).map(v).collect()
}

pub(super) struct Emit<'l, 'g> {
    pub(super) l: &'l Lowering<'g>,
    profile: f::Profile,
    pub(super) b: Builder,
    /// Artifact index of each tensor.
    index: BTreeMap<usize, u32>,
}

pub(super) fn emit(l: &Lowering, memory: &Memory, options: &Options) -> Result<Lowered> {
    let mut e = Emit { l, profile: options.profile, b: Builder::default(), index: BTreeMap::new() };
    let mut names = Vec::new();
    let mut used: Vec<usize> = vec![l.graph.inputs[0].tensor];
    used.extend(l.items.iter().flat_map(|i| i.inputs.iter().copied().chain([i.output])));
    used.sort_unstable();
    used.dedup();
    for t in used {
        e.tensor(t, memory)?;
        names.push(l.value(t)?.name.clone());
    }
    e.b.header.input = u16::try_from(e.index[&l.graph.inputs[0].tensor])?;
    let mut infos = Vec::new();
    let mut dense = 0u64;
    for item in &l.items {
        let before = e.b.data.bytes().len();
        let (op, param) = e.item(item).with_context(|| format!("node \"{}\"", item.name))?;
        let macs = macs(l, item)?;
        let shape = l.value(item.output)?.shape;
        let staging = memory.staging.get(&infos.len());
        let gate = staging.map_or(Ok(NONE), |at| e.gate(item, *at))?;
        let input = |k: usize| item.inputs.get(k).map_or(NONE, |t| e.index[t]);
        let step = f::Step {
            op: op as u16,
            inputs_len: item.inputs.len() as u16,
            inputs: [input(0), input(1)],
            output: e.index[&item.output],
            param,
            macs: macs as u32,
            gate,
            row_ps: 0,
        };
        e.b.step(step);
        dense += (macs * shape.rows()) as u64;
        infos.push(StepInfo {
            name: item.name.clone(),
            op: format!("{op:?}"),
            shape: [shape.h, shape.w, shape.c],
            macs: (macs * shape.rows()) as u64,
            bits: if matches!(item.kind, Kind::Conv { .. } | Kind::Mean(_)) {
                8
            } else if macs > 0 {
                32
            } else {
                0
            },
            bytes: e.b.data.bytes().len() - before,
        });
    }
    for (first, end) in &memory.segments {
        e.b.segments.push(f::Segment { first: *first as u32, end: *end as u32 });
    }
    e.outputs()?;
    e.b.header.cost = f::Cost { dense_above: if options.gates { 0.98 } else { 0.0 }, macs: f::u64Le::new(dense) };
    e.b.header.arena_dense_len = memory.dense_bytes as u32;
    Ok(Lowered { builder: e.b, steps: infos, tensors: names, dense_bytes: memory.dense_bytes, planned_bytes: memory.bytes })
}

/// Pixels from which a function of per-channel codes is worth a table for each channel, of 256 bytes.
const ROWS_FOR_TABLES: usize = 512;

impl Emit<'_, '_> {
    fn tensor(&mut self, t: usize, memory: &Memory) -> Result<()> {
        let v = self.l.value(t)?;
        let p = memory.places.get(&t).with_context(|| format!("tensor \"{}\" has no place", v.name))?;
        let border = match self.l.homes.get(&t) {
            Some(super::homes::Home::Same { .. }) => Default::default(),
            _ => self.l.borders[t],
        };
        let narrow = |n: usize| u8::try_from(n).with_context(|| format!("map \"{}\": a border of {n}, 255 at most is supported", v.name));
        let border = [narrow(border.t)?, narrow(border.l)?, narrow(border.b)?, narrow(border.r)?];
        let mut record = f::Tensor {
            origin: u32::try_from(p.origin)?,
            pixel: u32::try_from(p.pixel)?,
            line: u32::try_from(p.line)?,
            h: v.shape.h as u32,
            w: v.shape.w as u32,
            c: v.shape.c as u32,
            dtype: matches!(v.store, Store::F32) as u8,
            flags: 0,
            border,
            fill: NONE,
            scale: NONE,
            zero: NONE,
            lines: memory.lines.get(&t).map_or(0, |n| *n as u32),
            ..Default::default()
        };
        if memory.held.contains(&super::memory::root(self.l, t)) {
            record.flags |= f::HELD;
        }
        if self.l.homes.contains_key(&t) {
            record.flags |= f::VIEW;
        }
        if let Store::U8(q) = &v.store {
            let n = if q.is_uniform() { 1 } else { v.shape.c };
            record.quant_len =
                u16::try_from(n).with_context(|| format!("map \"{}\": {n} channels of codes, 65535 at most are supported", v.name))?;
            record.scale = self.b.data.put(&each(n, |c| q.scale_of(c)));
            let zero: Vec<u8> = (0..n).map(|c| q.zero_of(c)).collect();
            record.zero = self.b.data.put_bytes(&zero, 4);
            if border != [0; 4] {
                let fill: Vec<u8> = (0..v.shape.c).map(|c| q.zero_of(c)).collect();
                record.fill = self.b.data.put_bytes(&fill, 4);
            }
        }
        let index = self.b.tensor(record);
        self.index.insert(t, index);
        Ok(())
    }

    pub(super) fn quant(&self, t: usize) -> Result<&Quant> {
        match &self.l.value(t)?.store {
            Store::U8(q) => Ok(q),
            Store::F32 => bail!("tensor \"{}\" is f32 where codes are needed", self.l.value(t)?.name),
        }
    }

    pub(super) fn channels(&self, t: usize) -> Result<usize> {
        Ok(self.l.value(t)?.shape.c)
    }

    /// An operand as reals.
    pub(super) fn operand(&mut self, t: usize, sign: f32) -> Result<f::Affine> {
        let c = self.channels(t)?;
        Ok(match self.l.value(t)?.store.clone() {
            Store::F32 => f::Affine { scale: NONE, offset: NONE },
            Store::U8(q) => f::Affine {
                scale: self.b.data.put(&each(c, |k| sign * q.scale_of(k))),
                offset: self.b.data.put(&each(c, |k| -sign * q.scale_of(k) * q.zero_of(k) as f32)),
            },
        })
    }

    /// Reals as codes of `t`.
    pub(super) fn result(&mut self, t: usize) -> Result<f::Affine> {
        let c = self.channels(t)?;
        Ok(match self.l.value(t)?.store.clone() {
            Store::F32 => f::Affine { scale: NONE, offset: NONE },
            Store::U8(q) => f::Affine {
                scale: self.b.data.put(&each(c, |k| 1.0 / q.scale_of(k))),
                offset: self.b.data.put(&each(c, |k| q.zero_of(k) as f32)),
            },
        })
    }

    /// Bounds of a result: a clamp in codes (of channel 0: clamps need uniform codes) or in reals.
    pub(super) fn bounds(&self, t: usize, clamp: Option<(f32, f32)>) -> Result<(f32, f32)> {
        Ok(match (&self.l.value(t)?.store, clamp) {
            (Store::F32, c) => c.map_or((f32::MIN, f32::MAX), |(lo, hi)| (lo.max(f32::MIN), hi.min(f32::MAX))),
            (Store::U8(_), None) => (0.0, 255.0),
            (Store::U8(q), Some((lo, hi))) => {
                let code = |v: f32, c: usize| {
                    if v.is_finite() {
                        q.code(c, v) as f32
                    } else if v > 0.0 {
                        255.0
                    } else {
                        0.0
                    }
                };
                let n = q.scale.len();
                // Per-channel codes take the widest bounds: the codes' own range does the rest.
                let lo = (0..n).map(|c| code(lo, c)).fold(255.0, f32::min);
                let hi = (0..n).map(|c| code(hi, c)).fold(0.0, f32::max);
                (lo.min(hi), hi)
            }
        })
    }

    /// `out code = f(in code)`.
    fn table(&mut self, from: &Quant, to: &Quant, u: Unary) -> u32 {
        let table: Vec<u8> = (0..=255).map(|code| to.code(0, exec::unary(u, from.real(0, code)))).collect();
        self.b.data.put_bytes(&table, 64)
    }

    fn item(&mut self, item: &Item) -> Result<(Code, u32)> {
        let l = self.l;
        let x = item.inputs[0];
        let y = item.output;
        Ok(match &item.kind {
            Kind::Conv { node, depthwise, clamp, table } => {
                let param = self.conv(item, *node, *depthwise, *clamp, *table)?;
                (if *depthwise { Code::Depthwise } else { Code::Conv }, param)
            }
            Kind::ConvF32 { node, clamp } => {
                let Op::Conv(conv) = &l.graph.nodes[*node].op else { bail!("not a convolution") };
                (Code::ConvF32, self.conv_f32(item, *node, conv, *clamp)?)
            }
            Kind::Unary(u) => self.unary(x, y, *u)?,
            Kind::PRelu { node } => {
                let Op::PRelu { slope } = &l.graph.nodes[*node].op else { bail!("not a PRelu") };
                let slope = self.b.data.put(slope);
                (Code::Map, self.map(x, y, f::MapFn::PRelu, [0.0; 2], slope)?)
            }
            Kind::Convert => {
                if let (Store::U8(a), Store::U8(b)) = (&l.value(x)?.store, &l.value(y)?.store)
                    && a.is_uniform()
                    && b.is_uniform()
                {
                    let table: Vec<u8> = (0..=255).map(|code| b.code(0, a.real(0, code))).collect();
                    let table = self.b.data.put_bytes(&table, 64);
                    (Code::Table, self.b.data.put(&[f::Table { table }]))
                } else {
                    (Code::Map, self.map(x, y, f::MapFn::Identity, [0.0; 2], NONE)?)
                }
            }
            Kind::Binary { f: function, clamp, table, constant, negate } => {
                (Code::Binary, self.binary(item, *function, *clamp, *table, *constant, *negate)?)
            }
            Kind::Copy => (Code::Copy, NONE),
            Kind::Reshape => (Code::Reshape, NONE),
            Kind::Join { y0, x0, first, .. } => {
                let j = f::Join { y0: *y0 as u32, x0: *x0 as u32, first: *first as u32 };
                (Code::Join, self.b.data.put(&[j]))
            }
            Kind::Mean(_) => (Code::Depthwise, self.mean(item)?),
            Kind::MeanF32(_) => (Code::ConvF32, self.mean_f32(item)?),
            Kind::Factors(factors) => (Code::Binary, self.factors(item, factors)?),
            Kind::Node(n) => self.node(item, *n)?,
        })
    }

    fn conv(&mut self, item: &Item, node: usize, depthwise: bool, clamp: Option<(f32, f32)>, table: Option<(usize, Unary)>) -> Result<u32> {
        let l = self.l;
        let Op::Conv(conv) = &l.graph.nodes[node].op else { bail!("not a convolution") };
        let (x, y) = (item.inputs[0], item.output);
        let qin = self.quant(x)?.clone();
        let ic = self.channels(x)?;
        let q = l.plan.integer_weights(l.graph, node).context("no integer weights")?;
        let bias = l.plan.bias(node, conv);
        let per = conv.kh * conv.kw * ic / conv.groups;
        let (icg, ocg) = (ic / conv.groups, conv.oc / conv.groups);
        // The codes before a table are those of the tensor the table reads.
        let target = match table {
            Some((t, _)) => l.value(t)?.store.clone(),
            None => l.value(y)?.store.clone(),
        };
        let real = matches!(target, Store::F32);
        let out = |o: usize| match &target {
            Store::U8(q) => (q.scale_of(o), q.zero_of(o) as f32),
            Store::F32 => (1.0, 0.0),
        };
        let blocks = conv.oc.div_ceil(16) * 16;
        let (mut m, mut b, mut r) = (vec![0f32; blocks], vec![0f32; blocks], vec![0f32; blocks]);
        for o in 0..conv.oc {
            let (scale, zero) = out(o);
            let first = o / ocg * icg;
            let sum: f64 = q.codes[o * per..][..per].iter().enumerate().map(|(i, w)| *w as f64 * qin.zero_of(first + i % icg) as f64).sum();
            m[o] = q.scale[o] / scale;
            b[o] = ((bias[o] as f64 - q.scale[o] as f64 * sum) / scale as f64 + zero as f64) as f32;
            if let Some(res) = item.inputs.get(1) {
                let res = self.quant(*res)?;
                r[o] = res.scale_of(o) / scale;
                b[o] -= r[o] * res.zero_of(o) as f32;
            }
            ensure!(m[o].is_finite() && b[o].is_finite(), "output channel {o} has no finite scale");
        }
        let merged = !depthwise && conv.dilation.1 == 1 && !l.homes_inside(x);
        let (rows, run) = (l.value(y)?.shape.rows(), conv.kw * ic);
        let line = conv.kh == 1 && (merged || conv.kw == 1);
        let paired = self.profile == f::Profile::CortexM && !depthwise && line && pack::pays_in_pairs(rows, run);
        let packed = if depthwise {
            pack::depthwise(&q.codes, conv.oc, conv.kh * conv.kw)
        } else if paired {
            self.b.header.packing = f::Packing::N2K16 as u16;
            pack::pairs(&dense_weights(conv, &q.codes, ic), conv.oc, run)
        } else {
            pack::conv(&dense_weights(conv, &q.codes, ic), conv.oc, conv.kh, conv.kw, ic, merged)
        };
        let (lo, hi) = match (&target, table) {
            (_, Some(_)) => (0.0, 255.0),
            _ => self.bounds(y, clamp)?,
        };
        ensure!(!real || item.inputs.len() == 1, "a residual cannot be added to reals");
        let table = match table {
            Some((t, u)) => {
                let (from, to) = (self.quant(t)?.clone(), self.quant(y)?.clone());
                self.table(&from, &to, u)
            }
            None => NONE,
        };
        let record = f::Conv {
            window: window(l, item).context("no window")?,
            weights: self.b.data.put_weights(&packed),
            m: self.b.data.put(&m),
            b: self.b.data.put(&b),
            r: if item.inputs.len() == 2 { self.b.data.put(&r) } else { NONE },
            table,
            merged: if paired { f::Conv::PAIRED } else { merged as u32 },
            lo,
            hi,
        };
        Ok(self.b.data.put(&[record]))
    }

    fn conv_f32(&mut self, item: &Item, node: usize, conv: &Conv, clamp: Option<(f32, f32)>) -> Result<u32> {
        let l = self.l;
        let ic = self.channels(item.inputs[0])?;
        let (icg, taps) = (ic / conv.groups, conv.kh * conv.kw);
        let mut weights = vec![0f32; conv.weights.len()];
        for (i, w) in conv.weights.iter().enumerate() {
            let (o, k) = (i / (taps * icg), i % (taps * icg));
            weights[k * conv.oc + o] = *w;
        }
        let (lo, hi) = self.bounds(item.output, clamp)?;
        let record = f::ConvF32 {
            window: window(l, item).context("no window")?,
            weights: self.b.data.put(&weights),
            b: self.b.data.put(&l.plan.bias(node, conv)),
            groups: conv.groups as u32,
            lo,
            hi,
        };
        Ok(self.b.data.put(&[record]))
    }

    fn map(&mut self, x: usize, y: usize, function: f::MapFn, p: [f32; 2], slope: u32) -> Result<u32> {
        let (a, out) = (self.operand(x, 1.0)?, self.result(y)?);
        let (lo, hi) = self.bounds(y, None)?;
        Ok(self.b.data.put(&[f::Map { function: function as u32, p, slope, a, out, lo, hi }]))
    }

    fn unary(&mut self, x: usize, y: usize, u: Unary) -> Result<(Code, u32)> {
        let l = self.l;
        if let (Store::U8(a), Store::U8(b)) = (&l.value(x)?.store, &l.value(y)?.store)
            && a.is_uniform()
            && b.is_uniform()
        {
            let (a, b) = (a.clone(), b.clone());
            let table = self.table(&a, &b, u);
            return Ok((Code::Table, self.b.data.put(&[f::Table { table }])));
        }
        // A table for each channel, where the map is larger than they are or the function is known by its codes alone.
        if let (Store::U8(a), Store::U8(b)) = (&l.value(x)?.store, &l.value(y)?.store)
            && (l.value(y)?.shape.rows() >= ROWS_FOR_TABLES || !u.on_reals())
        {
            let code = |k: usize, code: u8| b.code(k, exec::unary(u, a.real(k, code)));
            let tables: Vec<u8> = (0..self.channels(y)?).flat_map(|k| (0..=255).map(move |x| (k, x))).map(|(k, x)| code(k, x)).collect();
            let table = self.b.data.put_bytes(&tables, 64);
            return Ok((Code::Tables, self.b.data.put(&[f::Table { table }])));
        }
        let (function, p) = match u {
            Unary::Clamp { lo, hi } => {
                let (a, out) = (self.operand(x, 1.0)?, self.result(y)?);
                let (lo, hi) = self.bounds(y, Some((lo, hi)))?;
                let map = f::Map { function: f::MapFn::Identity as u32, p: [0.0; 2], slope: NONE, a, out, lo, hi };
                return Ok((Code::Map, self.b.data.put(&[map])));
            }
            Unary::Sigmoid => (f::MapFn::Sigmoid, [0.0; 2]),
            Unary::Exp => (f::MapFn::Exp, [0.0; 2]),
            Unary::Tanh => (f::MapFn::Tanh, [0.0; 2]),
            Unary::Silu => (f::MapFn::Silu, [0.0; 2]),
            Unary::LeakyRelu { alpha } => (f::MapFn::LeakyRelu, [alpha, 0.0]),
            Unary::HardSigmoid { alpha, beta } => (f::MapFn::HardSigmoid, [alpha, beta]),
            Unary::HardSwish => (f::MapFn::HardSwish, [0.0; 2]),
            Unary::Sqrt => (f::MapFn::Sqrt, [0.0; 2]),
            Unary::Reciprocal => (f::MapFn::Reciprocal, [0.0; 2]),
            Unary::Abs => (f::MapFn::Abs, [0.0; 2]),
            Unary::Neg => (f::MapFn::Neg, [0.0; 2]),
            Unary::Log => (f::MapFn::Log, [0.0; 2]),
            other => bail!("{other:?} on reals; this is a defect of the converter"),
        };
        Ok((Code::Map, self.map(x, y, function, p, NONE)?))
    }

    fn binary(
        &mut self, item: &Item, function: Binary, clamp: Option<(f32, f32)>, table: Option<(usize, Unary)>, constant: Option<usize>,
        negate: bool,
    ) -> Result<u32> {
        let l = self.l;
        let (x, y) = (item.inputs[0], item.output);
        let target = table.map_or(y, |(t, _)| t);
        let out_shape = l.value(y)?.shape;
        let mut broadcast = 0;
        let mut shape = |t: crate::ir::Shape, rows: u32, channels: u32| -> Result<()> {
            let one_row = t.rows() == 1 && out_shape.rows() > 1;
            ensure!(one_row || t.rows() == out_shape.rows(), "broadcast of one line or column is not supported");
            broadcast |= (one_row as u32) << rows | ((t.c == 1 && out_shape.c > 1) as u32) << channels;
            Ok(())
        };
        shape(l.value(x)?.shape, 2, 3)?;
        let function = match function {
            Binary::Add => f::BinaryFn::Add,
            Binary::Sub => f::BinaryFn::Sub,
            Binary::Mul => f::BinaryFn::Mul,
            Binary::Div => f::BinaryFn::Div,
            Binary::Min => f::BinaryFn::Min,
            Binary::Max => f::BinaryFn::Max,
        };
        let none = f::Affine { scale: NONE, offset: NONE };
        let (b, constant) = match constant {
            Some(t) => {
                let t = &l.graph.tensors[t];
                shape(t.shape, 0, 1)?;
                (none, self.b.data.put(t.constant.as_deref().unwrap_or(&[])))
            }
            None => {
                let b = *item.inputs.get(1).context("one operand is missing")?;
                shape(l.value(b)?.shape, 0, 1)?;
                (self.operand(b, 1.0)?, NONE)
            }
        };
        let a = self.operand(x, if negate { -1.0 } else { 1.0 })?;
        let out = self.result(target)?;
        let (lo, hi) = self.bounds(target, clamp)?;
        let table = match table {
            Some((t, u)) => {
                let (from, to) = (self.quant(t)?.clone(), self.quant(y)?.clone());
                self.table(&from, &to, u)
            }
            None => NONE,
        };
        let record = f::Binary { function: function as u32, broadcast, a, b, constant, out, lo, hi, table };
        Ok(self.b.data.put(&[record]))
    }

    fn node(&mut self, item: &Item, n: usize) -> Result<(Code, u32)> {
        let l = self.l;
        let (x, y) = (item.inputs[0], item.output);
        let narrow =
            |v: i32| -> Result<u16> { Ok(if v < 0 { f::FILL } else { u16::try_from(v).context("maps above 65534 pixels a side")? }) };
        Ok(match &l.graph.nodes[n].op {
            Op::MaxPool(_) => {
                let window = window(l, item).context("no window")?;
                (Code::MaxPool, self.b.data.put(&[f::Pool { window, count_pad: 0 }]))
            }
            Op::AvgPool { count_pad, .. } => {
                let window = window(l, item).context("no window")?;
                (Code::AvgPool, self.b.data.put(&[f::Pool { window, count_pad: *count_pad as u32 }]))
            }
            Op::GlobalAvgPool => {
                let (c, rows) = (self.channels(x)?, l.value(x)?.shape.rows() as f32);
                let q = self.quant(x)?.clone();
                let out = l.value(y)?.store.clone();
                let (scale, zero): (Vec<f32>, Vec<f32>) = (0..c)
                    .map(|k| match &out {
                        Store::U8(o) => (o.scale_of(k), o.zero_of(k) as f32),
                        Store::F32 => (1.0, 0.0),
                    })
                    .unzip();
                let m = self.b.data.put(&each(c, |k| q.scale_of(k) / (scale[k] * rows)));
                let b = self.b.data.put(&each(c, |k| zero[k] - q.zero_of(k) as f32 * q.scale_of(k) / scale[k]));
                (Code::GlobalAvg, self.b.data.put(&[f::Global { m, b }]))
            }
            Op::GlobalMaxPool => (Code::GlobalMax, NONE),
            Op::Index { ys, xs, fill } => {
                let row: Vec<u8> = match &l.value(y)?.store {
                    Store::U8(q) => (0..self.channels(y)?).map(|c| q.code(c, *fill)).collect(),
                    Store::F32 => (0..self.channels(y)?).flat_map(|_| fill.to_le_bytes()).collect(),
                };
                let ys = ys.iter().map(|v| narrow(*v)).collect::<Result<Vec<u16>>>()?;
                let xs = xs.iter().map(|v| narrow(*v)).collect::<Result<Vec<u16>>>()?;
                let record = f::Index { ys: self.b.data.put(&ys), xs: self.b.data.put(&xs), fill: self.b.data.put_bytes(&row, 4) };
                (Code::Index, self.b.data.put(&[record]))
            }
            Op::Bilinear { ys, xs } => {
                let lerp =
                    |v: &crate::ir::Lerp| f::Lerp { lo: v.lo as u16, hi: v.hi as u16, t: (v.t * 256.0).round().clamp(0.0, 256.0) as u32 };
                let ys: Vec<f::Lerp> = ys.iter().map(lerp).collect();
                let xs: Vec<f::Lerp> = xs.iter().map(lerp).collect();
                let record = f::Bilinear { ys: self.b.data.put(&ys), xs: self.b.data.put(&xs) };
                (Code::Bilinear, self.b.data.put(&[record]))
            }
            Op::DepthToSpace { block } => (Code::DepthToSpace, self.b.data.put(&[f::Block { block: *block as u32 }])),
            Op::SpaceToDepth { block } => (Code::SpaceToDepth, self.b.data.put(&[f::Block { block: *block as u32 }])),
            Op::Channels { index } => {
                let index = self.b.data.put(index);
                (Code::Channels, self.b.data.put(&[f::Channels { index }]))
            }
            Op::Permute { index } => {
                let index = self.b.data.put(index);
                (Code::Permute, self.b.data.put(&[f::Channels { index }]))
            }
            Op::Softmax => {
                let (a, out) = (self.operand(x, 1.0)?, self.result(y)?);
                (Code::Softmax, self.b.data.put(&[f::Reduce { a, out, factor: 1.0 }]))
            }
            Op::ReduceChannels { mean } => {
                let (a, out) = (self.operand(x, 1.0)?, self.result(y)?);
                let factor = if *mean { 1.0 / self.channels(x)? as f32 } else { 1.0 };
                (Code::ReduceChannels, self.b.data.put(&[f::Reduce { a, out, factor }]))
            }
            other => bail!("{other:?} reached the emitter"),
        })
    }

    /// A gate with threshold 0 on the item's output; channels weigh by what their readers make of a code's step.
    fn gate(&mut self, item: &Item, staging: usize) -> Result<u32> {
        let weight = importance(self.l, item.output, 4)?;
        let mean = weight.iter().map(|w| w * w).sum::<f64>() / weight.len() as f64;
        let unit = if mean > 0.0 { mean.sqrt() } else { 1.0 };
        let codes: Vec<u8> = weight.iter().map(|w| (16.0 * w / unit).round().clamp(1.0, 255.0) as u8).collect();
        let weights = self.b.data.put_bytes(&codes, 4);
        Ok(self.b.gate(f::Gate { threshold: 0, weights, dead: 0, bound: 0.0, staging: u32::try_from(staging)? }))
    }

    fn outputs(&mut self) -> Result<()> {
        for o in &self.l.graph.outputs {
            let rank = o.onnx_shape.len();
            ensure!(rank <= 6, "output \"{}\" has rank {rank}; at most 6 is supported", o.name);
            let six = |v: &[usize]| -> [u32; 6] { std::array::from_fn(|i| v.get(i).map_or(0, |n| *n as u32)) };
            let record = f::OutputRecord {
                tensor: *self.index.get(&o.tensor).with_context(|| format!("output \"{}\" is not computed", o.name))?,
                rank: rank as u32,
                shape: six(&o.onnx_shape),
                strides: six(&o.strides),
                offset: o.offset as u32,
                name: self.b.data.put_bytes(o.name.as_bytes(), 1),
                name_len: o.name.len() as u32,
            };
            self.b.outputs.push(record);
        }
        Ok(())
    }
}

impl Lowering<'_> {
    /// Whether pixels of `t` lie apart: `t` is some channels of a wider map.
    fn homes_inside(&self, t: usize) -> bool {
        let mut at = t;
        let own = self.values[t].as_ref().map(|v| v.shape.c);
        while let Some(home) = self.homes.get(&at) {
            at = home.parent();
            if let super::homes::Home::Part { .. } = home
                && self.values[at].as_ref().map(|v| v.shape.c) != own
            {
                return true;
            }
        }
        false
    }
}
