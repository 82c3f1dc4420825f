//! Which maps are passed on through a few lines, and how many.
//!
//! A scratch map that a convolution or pooling makes for one window operator, the next step, need not exist as a whole (the
//! engine's `band`). Steps so connected form a chain, which runs as one: what it reads and what it writes is alive from its
//! first step to its last.
//!
//! ```text
//! take the map, and the lines, that lower the fullest step most (then the second fullest, and so on), until none does
//! give maps back that turn out not to matter
//! ```
//!
//! Few lines at a time mean small calls of kernels and lines moved up often, so plans take as many as their memory allows.

use std::collections::BTreeMap;

use anyhow::Result;
use quiescent::format::MAX_CHAIN;

use super::Lowering;
use super::emit::window;
use super::items::{Item, Kind};
use super::memory::{Root, line, size};
use crate::calibrate::Store;
use crate::ir::Op;

/// Output lines of a step in a chain at a time: enough work for a kernel call, few enough to stay in a first-level cache.
const ROWS: usize = 8;
/// Where memory is short.
const FEWER: [usize; 4] = [4, 3, 2, 1];

/// A map that may be passed on by lines.
#[derive(Clone, Copy, Debug)]
struct Link {
    map: usize,
    stride: usize,
    reach: usize,
    /// Lines of the whole map with its border, and the bytes of one.
    whole: usize,
    line: usize,
    /// Bytes of the last line's border beyond that.
    rest: usize,
}

impl Link {
    fn lines(&self, rows: usize) -> usize {
        (rows - 1) * self.stride + self.reach
    }
}

/// Rows at a time of the reader, by the step that makes the map.
type Choice = BTreeMap<usize, usize>;

/// The chains of a plan.
#[derive(Default)]
pub(crate) struct Chains {
    links: BTreeMap<usize, Link>,
    choice: Choice,
}

impl Chains {
    /// What may be chained in these segments.
    pub fn of(l: &Lowering, scratch: impl Fn(usize) -> bool, segments: &[(usize, usize)]) -> Result<Self> {
        let mut links = BTreeMap::new();
        for (first, end) in segments {
            for make in *first..end - 1 {
                if let Some(link) = link(l, &scratch, &l.items[make], &l.items[make + 1])? {
                    links.insert(make, link);
                }
            }
        }
        Ok(Self { links, choice: Choice::new() })
    }

    /// Takes a pair of steps as a chain, if it may be one and saves lines.
    pub fn take(&mut self, make: usize) {
        if self.links.get(&make).is_some_and(|k| k.lines(ROWS) < k.whole) {
            self.choice.insert(make, ROWS);
        }
    }

    /// Lines in memory of the maps that are passed on.
    pub fn lines(&self) -> BTreeMap<usize, usize> {
        self.choice.iter().map(|(make, rows)| (self.links[make].map, self.links[make].lines(*rows))).collect()
    }

    /// The pieces of memory as the chains need them.
    pub fn apply(&self, roots: &[Root]) -> Vec<Root> {
        narrowed(roots, &self.links, &self.choice)
    }

    /// Chooses chains so that `total` of the pieces is small: as small as it gets with several rows at a time, or, where that is above
    /// `limit`, with ever fewer rows until it is not.
    pub fn shrink(&mut self, roots: &[Root], limit: Option<usize>, total: impl Fn(&[Root]) -> usize) {
        let taken = self.choice.clone();
        for rows in std::iter::once(ROWS).chain(FEWER) {
            if rows < ROWS && limit.is_none_or(|limit| total(&self.apply(roots)) <= limit) {
                break;
            }
            self.descend(roots, rows);
        }
        let most = limit.unwrap_or(0).max(total(&self.apply(roots)));
        // A map that is whole again makes two chains of one, which leaves room for others.
        while self.widen(roots, &taken, most, &total) {}
    }

    /// Makes each map whole if that fits into `most`, else as wide as does; whether any became wider. Those of `taken` stay in chains.
    fn widen(&mut self, roots: &[Root], taken: &Choice, most: usize, total: &impl Fn(&[Root]) -> usize) -> bool {
        let mut any = false;
        for make in self.choice.keys().copied().collect::<Vec<_>>() {
            let now = self.choice[&make];
            let wider = [ROWS].into_iter().chain(FEWER).filter(|rows| *rows > now).map(Some);
            let whole = (!taken.contains_key(&make)).then_some(None);
            for rows in whole.into_iter().chain(wider) {
                let mut choice = self.choice.clone();
                match rows {
                    Some(rows) => choice.insert(make, rows),
                    None => choice.remove(&make),
                };
                if total(&narrowed(roots, &self.links, &choice)) <= most {
                    (self.choice, any) = (choice, true);
                    break;
                }
            }
        }
        any
    }

    /// Takes what lowers the fullest steps, `rows` at a time.
    fn descend(&mut self, roots: &[Root], rows: usize) {
        let mut now = fullest(&self.apply(roots));
        loop {
            let mut best: Option<(Vec<usize>, Choice)> = None;
            for (make, link) in &self.links {
                if link.lines(rows) >= link.whole || self.choice.get(make).is_some_and(|r| *r <= rows) {
                    continue;
                }
                let mut choice = self.choice.clone();
                choice.insert(*make, rows);
                if longest(&choice) > MAX_CHAIN {
                    continue;
                }
                let then = fullest(&narrowed(roots, &self.links, &choice));
                if then < now && best.as_ref().is_none_or(|b| then < b.0) {
                    best = Some((then, choice));
                }
            }
            let Some((then, choice)) = best else { return };
            (now, self.choice) = (then, choice);
        }
    }
}

/// The maps of the longest chain.
fn longest(choice: &Choice) -> usize {
    runs(choice).map(|(first, last)| last - first).max().unwrap_or(0)
}

/// First and last step of every chain.
fn runs(choice: &Choice) -> impl Iterator<Item = (usize, usize)> {
    let begins = choice.keys().filter(|k| **k == 0 || !choice.contains_key(&(**k - 1)));
    begins.map(|k| (*k, (*k..).find(|at| !choice.contains_key(at)).unwrap_or(*k)))
}

fn narrowed(roots: &[Root], links: &BTreeMap<usize, Link>, choice: &Choice) -> Vec<Root> {
    let bytes: BTreeMap<usize, usize> =
        choice.iter().map(|(make, rows)| (links[make].map, links[make].lines(*rows) * links[make].line + links[make].rest)).collect();
    let mut roots = roots.to_vec();
    for r in &mut roots {
        r.bytes = bytes.get(&r.tensor).copied().unwrap_or(r.bytes);
        for (first, last) in runs(choice) {
            let within = |at: usize| (first..=last).contains(&at);
            (r.first, r.last) = (if within(r.first) { first } else { r.first }, if within(r.last) { last } else { r.last });
        }
    }
    roots
}

/// Bytes alive at each step, largest first.
fn fullest(roots: &[Root]) -> Vec<usize> {
    let mut alive = vec![0; roots.iter().map(|r| r.last + 1).max().unwrap_or(0)];
    for r in roots {
        alive[r.first..=r.last].iter_mut().for_each(|b| *b += r.bytes.next_multiple_of(super::memory::ALIGN));
    }
    alive.sort_unstable_by(|a, b| b.cmp(a));
    alive
}

/// The map between two steps, if the first may pass it on by lines.
fn link(l: &Lowering, scratch: &impl Fn(usize) -> bool, make: &Item, take: &Item) -> Result<Option<Link>> {
    let map = make.output;
    let readers = l.items.iter().filter(|i| i.inputs.contains(&map)).count();
    let written = l.items.iter().filter(|i| i.output == map).count();
    // A tensor by itself: no view of another, no other in it.
    let alone = !l.homes.contains_key(&map) && !l.homes.values().any(|h| h.parent() == map);
    let slides = |i: &Item| match &i.kind {
        Kind::Conv { .. } | Kind::Mean(_) => true,
        Kind::Node(n) => matches!(l.graph.nodes[*n].op, Op::MaxPool(_) | Op::AvgPool { .. }),
        _ => false,
    };
    let once = take.inputs.first() == Some(&map) && take.inputs[1..].iter().all(|t| *t != map);
    let codes = matches!(l.value(map)?.store, Store::U8(_));
    if !(readers == 1 && written == 1 && alone && scratch(map) && codes && slides(make) && slides(take) && once) {
        return Ok(None);
    }
    let Some(w) = window(l, take) else { return Ok(None) };
    let (stride, reach) = (w.stride[0] as usize, (w.kernel[0] as usize - 1) * w.dilation[0] as usize + 1);
    let (shape, b) = (l.value(map)?.shape, l.borders[map]);
    let pixel = shape.c * size(l, map)?;
    let (line, rest) = (line(shape.w, b) * pixel, b.l.min(b.r) * pixel);
    Ok((stride <= reach).then_some(Link { map, stride, reach, whole: shape.h + b.t + b.b, line, rest }))
}
