//! An ONNX value as a view of a physical map.
//!
//! The map is `[H, W, C]`; the value has any rank. Each ONNX axis is a list of atoms, major first, and an atom walks
//! `extent` steps of `stride` along one physical axis. With `offset` the element at ONNX index `(i0, i1, ..)`, whose
//! axes split into digits by their atoms, lies at
//!
//! ```text
//! (y, x, c) = offset + sum over atoms of digit * stride on the atom's axis
//! ```
//!
//! So Transpose permutes lists, Reshape splits and joins them, Slice changes stride and extent, Expand adds atoms of
//! stride 0, and none of them moves a number. Axes of extent 1 have no atoms.

use crate::ir::{Codes, Shape, TensorId};

/// Physical axes by number.
pub(super) const H: usize = 0;
pub(super) const W: usize = 1;
pub(super) const C: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Atom {
    /// `H`, `W` or `C`.
    pub axis: usize,
    pub stride: isize,
    pub extent: usize,
}

/// Codes of an integer value: `signed` for int8. `codes` are unknown until a DequantizeLinear tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Int {
    pub signed: bool,
    pub codes: Option<Codes>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub tensor: TensorId,
    pub axes: Vec<Vec<Atom>>,
    pub offset: [isize; 3],
    /// Set while the value is codes rather than reals.
    pub int: Option<Int>,
}

/// Which ONNX axes make up each physical axis of a map, major first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Groups(pub [Vec<usize>; 3]);

pub(super) fn extents(shape: Shape) -> [usize; 3] {
    [shape.h, shape.w, shape.c]
}

/// Steps of each physical axis in elements of the row-major map.
pub(super) fn flat_steps(shape: Shape) -> [usize; 3] {
    [shape.w * shape.c, shape.c, 1]
}

/// Joins neighbours that walk one axis without a gap, and drops atoms of extent 1.
pub(super) fn merge(atoms: impl IntoIterator<Item = Atom>) -> Vec<Atom> {
    let mut out: Vec<Atom> = Vec::new();
    for a in atoms {
        match out.last_mut() {
            _ if a.extent == 1 => {}
            Some(l) if l.axis == a.axis && l.stride == a.stride * a.extent as isize => {
                *l = Atom { extent: l.extent * a.extent, ..a };
            }
            _ => out.push(a),
        }
    }
    out
}

/// Digits walked by `atoms`, each weighed by `weight(atom)`, in order.
pub(super) fn walk(atoms: &[Atom], start: isize, weight: impl Fn(&Atom) -> isize) -> Vec<isize> {
    let mut out = vec![start];
    for a in atoms {
        let w = weight(a);
        out = out.iter().flat_map(|&b| (0..a.extent as isize).map(move |i| b + i * w)).collect();
    }
    out
}

pub(super) fn count(atoms: &[Atom]) -> usize {
    atoms.iter().map(|a| a.extent).product()
}

impl View {
    /// ONNX `shape` over a map whose axes are made up as `groups` say.
    pub fn of_groups(tensor: TensorId, shape: &[usize], groups: &Groups) -> View {
        let mut axes = vec![Vec::new(); shape.len()];
        for (axis, group) in groups.0.iter().enumerate() {
            let mut stride = 1isize;
            for &g in group.iter().rev() {
                if shape[g] > 1 {
                    axes[g] = vec![Atom { axis, stride, extent: shape[g] }];
                }
                stride *= shape[g] as isize;
            }
        }
        View { tensor, axes, offset: [0; 3], int: None }
    }

    pub fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|a| count(a)).collect()
    }

    /// Whether the view holds every element of the map exactly once.
    pub fn covers(&self, shape: Shape) -> bool {
        let atoms: Vec<&Atom> = self.axes.iter().flatten().collect();
        self.offset == [0; 3] && atoms.iter().all(|a| a.stride > 0) && atoms.iter().map(|a| a.extent).product::<usize>() == shape.len()
    }

    pub fn transposed(&self, perm: &[usize]) -> View {
        View { axes: perm.iter().map(|&p| self.axes[p].clone()).collect(), ..self.clone() }
    }

    /// The same elements under `shape`, of equal size; `None` when an extent cuts an atom.
    pub fn reshaped(&self, shape: &[usize]) -> Option<View> {
        let mut rest: Vec<Atom> = merge(self.axes.iter().flatten().copied());
        rest.reverse();
        let mut axes = Vec::with_capacity(shape.len());
        for &extent in shape {
            let (mut need, mut list) = (extent, Vec::new());
            while need > 1 {
                let a = rest.pop()?;
                if need % a.extent == 0 {
                    need /= a.extent;
                    list.push(a);
                } else if a.extent % need == 0 {
                    let inner = a.extent / need;
                    list.push(Atom { stride: a.stride * inner as isize, extent: need, ..a });
                    rest.push(Atom { extent: inner, ..a });
                    need = 1;
                } else {
                    return None;
                }
            }
            axes.push(merge(list));
        }
        Some(View { axes, ..self.clone() })
    }

    /// `count` elements of an axis from `start` by `step`; `None` when the axis is more than one atom.
    pub fn sliced(&self, axis: usize, start: usize, step: isize, count: usize) -> Option<View> {
        let mut out = self.clone();
        match self.axes[axis][..] {
            [] => {}
            [a] => {
                out.offset[a.axis] += start as isize * a.stride;
                let narrowed = Atom { stride: a.stride * step, extent: count, ..a };
                out.axes[axis] = if count > 1 { vec![narrowed] } else { Vec::new() };
            }
            [a, ..] if count == 1 => {
                let _ = a;
                let mut rest = start;
                for a in self.axes[axis].iter().rev() {
                    out.offset[a.axis] += (rest % a.extent) as isize * a.stride;
                    rest /= a.extent;
                }
                out.axes[axis] = Vec::new();
            }
            _ if start == 0 && step == 1 && count == self::count(&self.axes[axis]) => {}
            _ => return None,
        }
        Some(out)
    }

    /// Leading axes of extent 1 up to `rank`.
    pub fn padded(&self, rank: usize) -> View {
        let mut axes = vec![Vec::new(); rank.saturating_sub(self.axes.len())];
        axes.extend(self.axes.iter().cloned());
        View { axes, ..self.clone() }
    }

    /// How the view would best become a map of its own: axes keep the physical axis their atoms walk, and several
    /// axes on one are ordered as they lie in memory.
    pub fn natural(&self, source: Shape) -> Groups {
        let pure = |list: &[Atom]| list.iter().all(|a| a.axis == list[0].axis);
        let used: Vec<usize> = (0..self.axes.len()).filter(|&i| !self.axes[i].is_empty()).collect();
        let mut groups = Groups::default();
        if used.iter().all(|&i| pure(&self.axes[i])) {
            for &i in &used {
                groups.0[self.axes[i][0].axis].push(i);
            }
            let steps = flat_steps(source);
            for g in &mut groups.0 {
                g.sort_by_key(|&i| std::cmp::Reverse(self.reach(i, steps)));
            }
            return groups;
        }
        let channels = |i: &usize| self.axes[*i].iter().all(|a| a.axis == C);
        let c: Vec<usize> = used.iter().copied().filter(channels).collect();
        let spatial_only = |i: &usize| channels(i) || self.axes[*i].iter().all(|a| a.axis != C);
        if used.iter().all(spatial_only) {
            return self.with_channels(&c, source);
        }
        let last = c.last().or(used.iter().rev().find(|&&i| self.axes[i].iter().any(|a| a.axis == C)));
        self.with_channels(last.map(std::slice::from_ref).unwrap_or(&[]), source)
    }

    /// Groups whose channels are the axes `c`, in that order; the others are rows and columns where that is how they
    /// lie, else all rows, in memory order.
    pub fn with_channels(&self, c: &[usize], source: Shape) -> Groups {
        let rest: Vec<usize> = (0..self.axes.len()).filter(|i| !c.contains(i) && !self.axes[*i].is_empty()).collect();
        let along = |i: usize, axis: usize| self.axes[i].iter().all(|a| a.axis == axis);
        let mut groups = Groups::default();
        groups.0[C] = c.to_vec();
        if rest.iter().all(|&i| along(i, H) || along(i, W)) {
            for axis in [H, W] {
                groups.0[axis] = rest.iter().copied().filter(|&i| along(i, axis)).collect();
            }
        } else {
            groups.0[H] = rest;
        }
        let steps = flat_steps(source);
        for g in &mut groups.0[..2] {
            g.sort_by_key(|&i| std::cmp::Reverse(self.reach(i, steps)));
        }
        groups
    }

    /// Largest step of an ONNX axis in elements of the map.
    fn reach(&self, axis: usize, steps: [usize; 3]) -> usize {
        self.axes[axis].iter().map(|a| a.stride.unsigned_abs() * steps[a.axis]).max().unwrap_or(0)
    }
}
