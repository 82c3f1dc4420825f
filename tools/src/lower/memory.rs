//! What is held, what is scratch, and where everything lies in the arena.
//!
//! A held tensor keeps its rows from frame to frame: it costs its size for good, ends a segment and can carry a gate. A scratch
//! tensor shares memory with others, and its rows are recomputed, with halo, whenever a held tensor behind it needs
//! them. Steps `first..end` form a segment when no scratch tensor lives across its borders.
//!
//! A scratch tensor between a convolution and one window operator, both otherwise among held tensors, needs no map: the pair
//! runs in bands through a few lines (the engine's `band`).
//!
//! Under a limit, tensors are let go in the order of recomputed multiply-accumulates per byte saved. A tensor read only
//! row by row costs nothing to let go but its gate; one read by a 3x3 window is recomputed on a wider rim.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{Lowering, Options};
use super::emit::window;
use super::homes::Home;
use super::items::Kind;
use crate::calibrate::Store;
use crate::ir::Op;

/// Which tensors keep their rows.
#[derive(Clone, Debug)]
pub enum Hold {
    /// All.
    All,
    /// None but the input and the outputs: for dense execution.
    None,
    /// As many as fit into this multiple of the dense arena, by predicted recomputation.
    Ratio(f32),
    /// All but these pieces of memory (see [`pieces`]).
    Without(BTreeSet<usize>),
}

/// Line stride and so on of one tensor, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub origin: usize,
    pub pixel: usize,
    pub line: usize,
}

pub(crate) struct Memory {
    pub places: BTreeMap<usize, Place>,
    pub held: BTreeSet<usize>,
    /// `first..end` items.
    pub segments: Vec<(usize, usize)>,
    /// Tensors of which only some lines are in memory.
    pub bands: BTreeMap<usize, Band>,
    /// Bytes of tensors.
    pub bytes: usize,
    pub dense_bytes: usize,
}

/// How a pair of steps passes a tensor on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    /// Output lines of the reader at a time.
    pub rows: usize,
    /// Lines of the tensor in memory, border lines among them.
    pub lines: usize,
}

/// Output lines of a band: enough work for a kernel call, few enough to stay in a first-level cache.
const BAND: usize = 4;

/// A piece of memory: a tensor and all that lies in it.
#[derive(Clone, Debug)]
struct Root {
    tensor: usize,
    bytes: usize,
    first: usize,
    last: usize,
    /// Input and outputs are held whenever anything is.
    pinned: bool,
    /// Multiply-accumulates that scratch would recompute on the rim, as a share of a frame's.
    rim: f64,
}

pub(crate) fn root(l: &Lowering, mut t: usize) -> usize {
    while let Some(home) = l.homes.get(&t) {
        t = home.parent();
    }
    t
}

fn size(l: &Lowering, t: usize) -> Result<usize> {
    Ok(match l.value(t)?.store {
        Store::U8(_) => 1,
        Store::F32 => 4,
    })
}

fn roots(l: &Lowering) -> Result<Vec<Root>> {
    let input = l.graph.inputs[0].tensor;
    let mut roots: BTreeMap<usize, Root> = BTreeMap::new();
    let mut touch = |l: &Lowering, t: usize, at: usize| -> Result<()> {
        let r = root(l, t);
        let v = l.value(r)?;
        let (s, b) = (v.shape, l.borders[r]);
        let bytes = (s.h + b.t + b.b) * (s.w + b.l + b.r) * s.c * size(l, r)?;
        let root = roots.entry(r).or_insert(Root { tensor: r, bytes, first: at, last: at, pinned: false, rim: 0.0 });
        root.first = root.first.min(at);
        root.last = root.last.max(at);
        Ok(())
    };
    touch(l, input, 0)?;
    for (i, item) in l.items.iter().enumerate() {
        touch(l, item.output, i)?;
        for t in &item.inputs {
            touch(l, *t, i)?;
        }
    }
    for item in &l.items {
        let macs = super::emit::macs(l, item)? as f64 * l.value(item.output)?.shape.rows() as f64;
        let r = root(l, item.output);
        let wide = l.items.iter().filter(|i| i.inputs.iter().any(|t| root(l, *t) == r)).any(|i| {
            window(l, i).is_none_or(|w| w.kernel != [1, 1]) && !row_by_row(l, i)
        });
        if let Some(root) = roots.get_mut(&r) {
            // Elements weigh in, so that free tensors still go largest first.
            root.rim += if wide { macs + root.bytes as f64 } else { 0.05 * macs + 0.01 * root.bytes as f64 };
        }
    }
    for t in l.graph.outputs.iter().map(|o| o.tensor).chain([input]) {
        if let Some(r) = roots.get_mut(&root(l, t)) {
            r.pinned = true;
            r.last = l.items.len();
        }
    }
    Ok(roots.into_values().collect())
}

/// The pieces of memory that may be held or not: tensor and bytes.
pub(crate) fn choices(l: &Lowering) -> Result<Vec<(usize, usize)>> {
    Ok(roots(l)?.into_iter().filter(|r| !r.pinned).map(|r| (r.tensor, r.bytes)).collect())
}

fn row_by_row(l: &Lowering, item: &super::items::Item) -> bool {
    match &item.kind {
        Kind::Unary(_) | Kind::PRelu { .. } | Kind::Convert | Kind::Copy | Kind::Join { .. } | Kind::Reshape => true,
        Kind::Binary { .. } => item.inputs.iter().all(|t| l.values[*t].as_ref().is_some_and(|v| v.shape.rows() > 1)),
        Kind::Node(n) => matches!(
            l.graph.nodes[*n].op,
            Op::Channels { .. } | Op::Softmax | Op::ReduceChannels { .. } | Op::Concat(_)
        ),
        Kind::Conv { .. } | Kind::ConvF32 { .. } => window(l, item).is_some_and(|w| w.kernel == [1, 1]),
    }
}

pub(crate) fn plan(l: &Lowering, options: &Options) -> Result<Memory> {
    let roots = roots(l)?;
    let pinned = |all: bool| -> BTreeSet<usize> {
        roots.iter().filter(|r| all || r.pinned).map(|r| r.tensor).collect()
    };
    let (_, dense_bytes) = allocate(&roots, &pinned(false));
    let held = match &options.hold {
        Hold::None => pinned(false),
        Hold::All => pinned(true),
        Hold::Without(gone) => {
            roots.iter().filter(|r| r.pinned || !gone.contains(&r.tensor)).map(|r| r.tensor).collect()
        }
        Hold::Ratio(ratio) => fit(&roots, pinned(true), (dense_bytes as f32 * ratio) as usize),
    };
    let segments = segments(l.items.len(), &roots, &held);
    let bands = if options.bands { bands(l, &roots, &held, &segments)? } else { BTreeMap::new() };
    let roots: Vec<Root> = roots.into_iter().map(|r| narrowed(l, r, &bands)).collect::<Result<_>>()?;
    let (offsets, bytes) = allocate(&roots, &held);
    let mut places = BTreeMap::new();
    for t in 0..l.values.len() {
        if l.values[t].is_some() && offsets.contains_key(&root(l, t)) {
            place(l, t, &offsets, &bands, &mut places)?;
        }
    }
    Ok(Memory { places, segments, bands, held, bytes, dense_bytes })
}

/// The scratch tensors of pairs of steps that can run in bands, where that saves memory.
fn bands(
    l: &Lowering, roots: &[Root], held: &BTreeSet<usize>, segments: &[(usize, usize)],
) -> Result<BTreeMap<usize, Band>> {
    let mut bands = BTreeMap::new();
    for (first, end) in segments.iter().filter(|(first, end)| end - first == 2) {
        let [make, take] = &l.items[*first..*end] else { continue };
        let map = make.output;
        let readers = l.items.iter().filter(|i| i.inputs.contains(&map)).count();
        let written = l.items.iter().filter(|i| i.output == map).count();
        // A tensor by itself: no view of another, no other in it.
        let alone = !l.homes.contains_key(&map) && !l.homes.values().any(|h| h.parent() == map);
        let scratch = roots.iter().any(|r| r.tensor == map) && !held.contains(&map);
        let out = take.output;
        let kept = held.contains(&root(l, out));
        let codes = matches!(make.kind, Kind::Conv { .. }) && matches!(l.value(map)?.store, Store::U8(_));
        let reads = match &take.kind {
            Kind::Conv { .. } => true,
            Kind::Node(n) => matches!(l.graph.nodes[*n].op, Op::MaxPool(_) | Op::AvgPool { .. }),
            _ => false,
        };
        let once = take.inputs.first() == Some(&map) && take.inputs[1..].iter().all(|t| *t != map);
        if !(readers == 1 && written == 1 && alone && scratch && kept && codes && reads && once) {
            continue;
        }
        let Some(w) = window(l, take) else { continue };
        let (stride, reach) = (w.stride[0] as usize, (w.kernel[0] as usize - 1) * w.dilation[0] as usize + 1);
        let lines = (BAND - 1) * stride + reach;
        let b = l.borders[map];
        if stride <= reach && lines < l.value(map)?.shape.h + b.t + b.b {
            bands.insert(map, Band { rows: BAND, lines });
        }
    }
    Ok(bands)
}

/// A root with the memory of its band.
fn narrowed(l: &Lowering, r: Root, bands: &BTreeMap<usize, Band>) -> Result<Root> {
    let Some(band) = bands.get(&r.tensor) else { return Ok(r) };
    let (shape, b) = (l.value(r.tensor)?.shape, l.borders[r.tensor]);
    Ok(Root { bytes: band.lines * (shape.w + b.l + b.r) * shape.c * size(l, r.tensor)?, ..r })
}

/// Lets tensors go until the rest fits, cheapest recomputation per byte first, then takes back what still fits.
fn fit(roots: &[Root], mut held: BTreeSet<usize>, limit: usize) -> BTreeSet<usize> {
    let mut order: Vec<&Root> = roots.iter().filter(|r| !r.pinned).collect();
    order.sort_by(|a, b| (a.rim / a.bytes as f64).total_cmp(&(b.rim / b.bytes as f64)));
    let mut gone = Vec::new();
    for r in order {
        if allocate(roots, &held).1 <= limit {
            break;
        }
        held.remove(&r.tensor);
        gone.push(r.tensor);
    }
    for t in gone.into_iter().rev() {
        held.insert(t);
        if allocate(roots, &held).1 > limit {
            held.remove(&t);
        }
    }
    held
}

/// Held tensors one after another, then scratch by size, each at the first gap its lifetime allows. Returns offsets and total.
fn allocate(roots: &[Root], held: &BTreeSet<usize>) -> (BTreeMap<usize, usize>, usize) {
    const ALIGN: usize = 64;
    let mut offsets = BTreeMap::new();
    let mut end = 0;
    for r in roots.iter().filter(|r| held.contains(&r.tensor)) {
        offsets.insert(r.tensor, end);
        end += r.bytes.next_multiple_of(ALIGN);
    }
    let base = end;
    let mut scratch: Vec<&Root> = roots.iter().filter(|r| !held.contains(&r.tensor)).collect();
    scratch.sort_by_key(|r| std::cmp::Reverse(r.bytes));
    let mut done: Vec<(&Root, usize)> = Vec::new();
    for r in scratch {
        let mut busy: Vec<(usize, usize)> = done
            .iter()
            .filter(|(o, _)| o.first <= r.last && r.first <= o.last)
            .map(|(o, at)| (*at, at + o.bytes.next_multiple_of(ALIGN)))
            .collect();
        busy.sort_unstable();
        let mut at = base;
        for (start, stop) in busy {
            if at + r.bytes <= start {
                break;
            }
            at = at.max(stop);
        }
        offsets.insert(r.tensor, at);
        end = end.max(at + r.bytes.next_multiple_of(ALIGN));
        done.push((r, at));
    }
    (offsets, end)
}

/// Cuts wherever no scratch tensor is alive.
fn segments(items: usize, roots: &[Root], held: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let mut joined = vec![false; items];
    for r in roots.iter().filter(|r| !held.contains(&r.tensor)) {
        (r.first..r.last.min(items - 1)).for_each(|i| joined[i] = true);
    }
    let mut segments = Vec::new();
    let mut first = 0;
    for (i, joined) in joined.iter().enumerate() {
        if !joined {
            segments.push((first, i + 1));
            first = i + 1;
        }
    }
    segments
}

fn place(
    l: &Lowering, t: usize, offsets: &BTreeMap<usize, usize>, bands: &BTreeMap<usize, Band>,
    places: &mut BTreeMap<usize, Place>,
) -> Result<Place> {
    if let Some(p) = places.get(&t) {
        return Ok(*p);
    }
    let (shape, size) = (l.value(t)?.shape, size(l, t)?);
    let p = match l.homes.get(&t) {
        None => {
            let b = l.borders[t];
            let pixel = shape.c * size;
            let line = (shape.w + b.l + b.r) * pixel;
            let above = if bands.contains_key(&t) { 0 } else { b.t };
            Place { origin: offsets[&t] + above * line + b.l * pixel, pixel, line }
        }
        Some(Home::Part { parent, c0, y0, x0 }) => {
            let p = place(l, *parent, offsets, bands, places)?;
            // A single line has no next one; contiguous, it can be reshaped.
            let line = if shape.h == 1 { shape.w * p.pixel } else { p.line };
            Place { origin: p.origin + y0 * p.line + x0 * p.pixel + c0 * size, line, ..p }
        }
        Some(Home::Same { parent }) => {
            let p = place(l, *parent, offsets, bands, places)?;
            let pixel = shape.c * size;
            Place { origin: p.origin, pixel, line: shape.w * pixel }
        }
    };
    places.insert(t, p);
    Ok(p)
}
