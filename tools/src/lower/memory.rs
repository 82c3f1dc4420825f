//! What is held, what is scratch, and where everything lies in the arena.
//!
//! A held tensor keeps its rows from frame to frame: it costs its size for good, ends a segment and can carry a gate. A scratch
//! tensor shares memory with others, and its rows are recomputed, with halo, whenever a held tensor behind it needs
//! them. Steps `first..end` form a segment when no scratch tensor lives across its borders.
//!
//! Scratch tensors between window operators may be passed on through a few lines (`chains`).
//!
//! Under a limit, tensors are let go in the order of recomputed multiply-accumulates per byte saved. A tensor read only
//! row by row costs nothing to let go but its gate; one read by a 3x3 window is recomputed on a wider rim.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use quiescent::format::TILE;

use super::chains::Chains;
use super::emit::window;
use super::homes::Home;
use super::items::Kind;
use super::{Lowering, Options};
use crate::calibrate::Store;
use crate::ir::{Op, Pad};

/// Which tensors keep their rows.
#[derive(Clone, Debug)]
pub enum Hold {
    /// All.
    All,
    /// None but the outputs: every frame is computed whole.
    Outputs,
    /// None but the input and the outputs: frames are compared, and computed whole where they differ.
    None,
    /// As many as fit into this multiple of the dense arena, by predicted recomputation.
    Ratio(f32),
    /// All but these pieces of memory (see [`pieces`]).
    Without(BTreeSet<usize>),
}

impl Hold {
    /// Whether frames are compared with the one before.
    fn any(&self) -> bool {
        !matches!(self, Hold::Outputs)
    }
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
    /// Where a gate stages rows, by the item it judges.
    pub staging: BTreeMap<usize, usize>,
    /// Lines in memory of tensors that are passed on through so few.
    pub lines: BTreeMap<usize, usize>,
    /// Bytes of tensors.
    pub bytes: usize,
    pub dense_bytes: usize,
}

/// What pieces of memory start at multiples of, in bytes.
pub(crate) const ALIGN: usize = 64;

/// A piece of memory: a tensor and all that lies in it.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub tensor: usize,
    pub bytes: usize,
    /// First and last step it is needed at.
    pub first: usize,
    pub last: usize,
    /// Input and outputs are held whenever anything is.
    pinned: bool,
    /// Multiply-accumulates that scratch would recompute on the rim, as a share of a frame's.
    rim: f64,
}

/// Pixels from a line of a map to the next: the border right of it is the one left of the next.
pub(crate) fn line(w: usize, b: Pad) -> usize {
    w + b.l.max(b.r)
}

pub(crate) fn root(l: &Lowering, mut t: usize) -> usize {
    while let Some(home) = l.homes.get(&t) {
        t = home.parent();
    }
    t
}

pub(crate) fn size(l: &Lowering, t: usize) -> Result<usize> {
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
        let pixel = s.c * size(l, r)?;
        let bytes = (s.h + b.t + b.b - 1) * line(s.w, b) * pixel + (s.w + b.l + b.r) * pixel;
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
        let wide = l
            .items
            .iter()
            .filter(|i| i.inputs.iter().any(|t| root(l, *t) == r))
            .any(|i| window(l, i).is_none_or(|w| w.kernel != [1, 1]) && !row_by_row(l, i));
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
        Kind::Unary(_) | Kind::PRelu { .. } | Kind::Factors(_) | Kind::Convert | Kind::Copy | Kind::Join { .. } | Kind::Reshape => true,
        Kind::Binary { .. } => item.inputs.iter().all(|t| l.values[*t].as_ref().is_some_and(|v| v.shape.rows() > 1)),
        Kind::Node(n) => matches!(l.graph.nodes[*n].op, Op::Channels { .. } | Op::Softmax | Op::ReduceChannels { .. } | Op::Concat(_)),
        Kind::Conv { .. } | Kind::ConvF32 { .. } | Kind::Mean(_) | Kind::MeanF32(_) => window(l, item).is_some_and(|w| w.kernel == [1, 1]),
    }
}

pub(crate) fn plan(l: &Lowering, options: &Options) -> Result<Memory> {
    let mut roots = roots(l)?;
    let pinned = |all: bool| -> BTreeSet<usize> { roots.iter().filter(|r| all || r.pinned).map(|r| r.tensor).collect() };
    let (_, mut dense_bytes) = allocate(&roots, &pinned(false));
    let held = match &options.hold {
        Hold::Outputs => {
            let outputs = l.graph.outputs.iter().map(|o| root(l, o.tensor)).collect();
            let_input_go(l, &mut roots);
            outputs
        }
        Hold::None => pinned(false),
        Hold::All => pinned(true),
        Hold::Without(gone) => roots.iter().filter(|r| r.pinned || !gone.contains(&r.tensor)).map(|r| r.tensor).collect(),
        Hold::Ratio(ratio) => fit(&roots, pinned(true), (dense_bytes as f32 * ratio) as usize),
    };
    let segments = segments(l.items.len(), &roots, &held);
    let mut waiting = BTreeMap::new();
    if options.gates && options.hold.any() {
        for span in &segments {
            let (judged, room) = staged(l, &held, *span)?;
            if let Some(room) = room {
                waiting.extend(judged.into_iter().map(|i| (i, room.tensor)));
                roots.push(room);
            }
        }
    }
    let mut chains = Chains::default();
    if options.bands {
        let scratch = |t: usize| roots.iter().any(|r| r.tensor == t) && !held.contains(&t);
        chains = Chains::of(l, scratch, &segments)?;
        for (first, _) in segments.iter().filter(|(first, end)| end - first == 2) {
            chains.take(*first);
        }
        chains.shrink(&roots, options.most, |roots| allocate(roots, &held).1);
    }
    let (offsets, bytes) = allocate(&chains.apply(&roots), &held);
    if let Hold::Outputs = options.hold {
        dense_bytes = bytes;
    }
    let lines = chains.lines();
    let mut places = BTreeMap::new();
    for t in 0..l.values.len() {
        if l.values[t].is_some() && offsets.contains_key(&root(l, t)) {
            place(l, t, &offsets, &lines, &mut places)?;
        }
    }
    let staging = waiting.into_iter().map(|(i, room)| (i, offsets[&room])).collect();
    Ok(Memory { places, held, segments, staging, lines, bytes, dense_bytes })
}

/// What the gates of a segment judge, and the room they stage rows in: apart from all that is alive meanwhile.
fn staged(l: &Lowering, held: &BTreeSet<usize>, (first, end): (usize, usize)) -> Result<(Vec<usize>, Option<Root>)> {
    let codes = |t: usize| l.value(t).is_ok_and(|v| matches!(v.store, Store::U8(_)));
    let judged: Vec<usize> = (first..end)
        .filter(|i| {
            let item = &l.items[*i];
            let computed = !matches!(item.kind, Kind::Join { .. } | Kind::Reshape);
            computed && held.contains(&root(l, item.output)) && codes(item.output)
        })
        .collect();
    let mut bytes = 0;
    for i in &judged {
        let shape = l.value(l.items[*i].output)?.shape;
        bytes = bytes.max(shape.rows().min(TILE) * shape.c);
    }
    // No tensor has that number.
    let room = Root { tensor: l.values.len() + first, bytes, first, last: end - 1, pinned: false, rim: 0.0 };
    Ok((judged, (bytes > 0).then_some(room)))
}

/// An input that is not held is needed until its last reader has run.
fn let_input_go(l: &Lowering, roots: &mut [Root]) {
    let input = root(l, l.graph.inputs[0].tensor);
    let reads = |i: &super::items::Item| i.inputs.iter().any(|t| root(l, *t) == input);
    if let Some(r) = roots.iter_mut().find(|r| r.tensor == input) {
        (r.pinned, r.last) = (false, l.items.iter().rposition(reads).unwrap_or(0));
    }
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

/// Held tensors one after another, then scratch, each at the first gap its lifetime allows, in the best of a few orders. Returns offsets and
/// total.
fn allocate(roots: &[Root], held: &BTreeSet<usize>) -> (BTreeMap<usize, usize>, usize) {
    let span = |r: &Root| r.last - r.first + 1;
    let orders: [Order; 4] =
        [&|r| (r.bytes, 0), &|r| (r.bytes * span(r), r.bytes), &|r| (span(r), r.bytes), &|r| (usize::MAX - r.first, r.bytes)];
    let all = orders.iter().map(|order| packed(roots, held, order));
    all.reduce(|best, next| if next.1 < best.1 { next } else { best }).unwrap_or_default()
}

/// What goes first: the largest key.
type Order<'o> = &'o dyn Fn(&Root) -> (usize, usize);

/// Scratch in one order.
fn packed(roots: &[Root], held: &BTreeSet<usize>, order: Order) -> (BTreeMap<usize, usize>, usize) {
    let mut offsets = BTreeMap::new();
    let mut end = 0;
    for r in roots.iter().filter(|r| held.contains(&r.tensor)) {
        offsets.insert(r.tensor, end);
        end += r.bytes.next_multiple_of(ALIGN);
    }
    let base = end;
    let mut scratch: Vec<&Root> = roots.iter().filter(|r| !held.contains(&r.tensor)).collect();
    scratch.sort_by_key(|r| std::cmp::Reverse(order(r)));
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
    l: &Lowering, t: usize, offsets: &BTreeMap<usize, usize>, lines: &BTreeMap<usize, usize>, places: &mut BTreeMap<usize, Place>,
) -> Result<Place> {
    if let Some(p) = places.get(&t) {
        return Ok(*p);
    }
    let (shape, size) = (l.value(t)?.shape, size(l, t)?);
    let p = match l.homes.get(&t) {
        None => {
            let b = l.borders[t];
            let pixel = shape.c * size;
            let line = line(shape.w, b) * pixel;
            let above = if lines.contains_key(&t) { 0 } else { b.t };
            Place { origin: offsets[&t] + above * line + b.l * pixel, pixel, line }
        }
        Some(Home::Part { parent, c0, y0, x0 }) => {
            let p = place(l, *parent, offsets, lines, places)?;
            // A single line has no next one, unless a border; contiguous, it can be reshaped.
            let (above, below) = (l.borders[t].t, l.borders[t].b);
            let line = if shape.h + above + below == 1 { shape.w * p.pixel } else { p.line };
            Place { origin: p.origin + y0 * p.line + x0 * p.pixel + c0 * size, line, ..p }
        }
        Some(Home::Same { parent }) => {
            let p = place(l, *parent, offsets, lines, places)?;
            let pixel = shape.c * size;
            Place { origin: p.origin, pixel, line: shape.w * pixel }
        }
    };
    places.insert(t, p);
    Ok(p)
}
