//! Turning a view into a map of a wanted layout with as little movement of numbers as the graph can express.
//!
//! The wanted layout says which ONNX axes make up H, W and C ([`Groups`]). In order of preference:
//!
//! 1. every wanted axis walks only its own physical axis: Index (rows, columns) and Channels, or nothing at all;
//! 2. rows and columns each end in a digit taken from the channels: DepthToSpace;
//! 3. channels hold one digit of the rows and one of the columns: SpaceToDepth;
//! 4. the elements already lie in order: Reshape;
//! 5. a small map: Permute.

use super::view::{Atom, C, Groups, H, View, W, count, extents, flat_steps, merge, walk};
use super::{Fail, Importer, unsupported};
use crate::ir::{Op, Shape, TensorId};

/// Largest map that Permute may move, in elements.
const PERMUTE_LIMIT: usize = 1 << 20;

/// The atoms each axis of a map walks.
type Targets = [Vec<Atom>; 3];

/// A layout asked for before: the same view and groups give the same tensor.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    tensor: TensorId,
    offset: [isize; 3],
    targets: Targets,
}

impl Importer<'_> {
    /// A tensor that holds `view` as a map laid out by `groups`.
    pub fn realise(&mut self, view: &View, groups: &Groups) -> Result<TensorId, Fail> {
        let targets = [H, W, C].map(|k| merge(groups.0[k].iter().flat_map(|&g| view.axes[g].iter().copied())));
        let wanted = Wanted { tensor: view.tensor, offset: view.offset, targets };
        if let Some(&done) = self.realised.get(&wanted) {
            return Ok(done);
        }
        let done = self.place(view.tensor, view.offset, &wanted.targets)?;
        self.realised.insert(wanted, done);
        Ok(done)
    }

    /// `view` as a map of its natural layout, and the view of that map.
    pub fn settle(&mut self, view: &View) -> Result<(View, Groups), Fail> {
        let groups = view.natural(self.shape_of(view.tensor));
        let tensor = self.realise(view, &groups)?;
        Ok((View { int: view.int, ..View::of_groups(tensor, &view.shape(), &groups) }, groups))
    }

    fn place(&mut self, tensor: TensorId, offset: [isize; 3], targets: &Targets) -> Result<TensorId, Fail> {
        let source = self.shape_of(tensor);
        let out = self.checked_shape([H, W, C].map(|k| count(&targets[k])))?;
        self.charge(out.h + out.w + out.c)?;
        let pure = |list: &[Atom], axis: usize| list.iter().all(|a| a.axis == axis);
        if (0..3).all(|k| pure(&targets[k], k)) {
            let [ys, xs, cs] = [H, W, C].map(|k| walk(&targets[k], offset[k], |a| a.stride));
            return self.select(tensor, &ys, &xs, &cs);
        }
        if let Some(done) = self.depth_to_space(tensor, offset, targets)? {
            return Ok(done);
        }
        if let Some(done) = self.space_to_depth(tensor, offset, targets)? {
            return Ok(done);
        }
        // Cut away what the view leaves out, then look again.
        if let Some((tensor, targets)) = self.compact(tensor, offset, targets)? {
            return self.place(tensor, [0; 3], &targets);
        }
        let steps = flat_steps(source);
        let flat = merge(targets.iter().flatten().map(|a| Atom { axis: 0, stride: a.stride * steps[a.axis] as isize, extent: a.extent }));
        let whole = matches!(flat[..], [Atom { stride: 1, extent, .. }] if extent == source.len());
        let name = self.layout_name(tensor);
        if whole && offset == [0; 3] {
            return Ok(self.emit(name, Op::Reshape, vec![tensor], out));
        }
        if out.len() > PERMUTE_LIMIT {
            return Err(unsupported(format!(
                "needs the elements of {source:?} in another order; only maps up to {PERMUTE_LIMIT} elements are \
                 permuted (export the model without this reshape or transpose)"
            )));
        }
        self.charge(out.len())?;
        let start = (0..3).map(|k| offset[k] * steps[k] as isize).sum();
        let index = walk(&flat, start, |a| a.stride).into_iter().map(|i| i as u32).collect();
        Ok(self.emit(name, Op::Permute { index }, vec![tensor], out))
    }

    /// Rows, columns and channels picked by index.
    pub fn select(&mut self, mut tensor: TensorId, ys: &[isize], xs: &[isize], cs: &[isize]) -> Result<TensorId, Fail> {
        self.charge(ys.len() + xs.len() + cs.len())?;
        let source = self.shape_of(tensor);
        let identity = |list: &[isize], n: usize| list.len() == n && list.iter().enumerate().all(|(i, &v)| v == i as isize);
        let name = self.layout_name(tensor);
        if !identity(ys, source.h) || !identity(xs, source.w) {
            let out = self.checked_shape([ys.len(), xs.len(), source.c])?;
            let [ys, xs] = [ys, xs].map(|l| l.iter().map(|&i| i as i32).collect());
            tensor = self.emit(name.clone(), Op::Index { ys, xs, fill: 0.0 }, vec![tensor], out);
        }
        if !identity(cs, source.c) {
            let out = Shape { c: cs.len(), ..self.shape_of(tensor) };
            let index = cs.iter().map(|&i| i as u32).collect();
            tensor = self.emit(name, Op::Channels { index }, vec![tensor], out);
        }
        Ok(tensor)
    }

    /// Case 2: `[.., H, C/(b*b) in C, b of C after H, b of C after W]`.
    fn depth_to_space(&mut self, tensor: TensorId, offset: [isize; 3], targets: &Targets) -> Result<Option<TensorId>, Fail> {
        let (Some((i, rows)), Some((j, columns))) = (targets[H].split_last(), targets[W].split_last()) else {
            return Ok(None);
        };
        let block = i.extent;
        let fits = i.axis == C && j.axis == C && j.extent == block && block > 1;
        let pure = |list: &[Atom], axis: usize| list.iter().all(|a| a.axis == axis);
        if !fits || !pure(rows, H) || !pure(columns, W) || !pure(&targets[C], C) {
            return Ok(None);
        }
        let digits: Vec<Atom> = [*i, *j].into_iter().chain(targets[C].iter().copied()).collect();
        let cs = walk(&digits, offset[C], |a| a.stride);
        let (ys, xs) = (walk(rows, offset[H], |a| a.stride), walk(columns, offset[W], |a| a.stride));
        let picked = self.select(tensor, &ys, &xs, &cs)?;
        let out = self.checked_shape([ys.len() * block, xs.len() * block, cs.len() / (block * block)])?;
        let name = self.layout_name(tensor);
        Ok(Some(self.emit(name, Op::DepthToSpace { block }, vec![picked], out)))
    }

    /// Case 3: rows and columns step by `b` and the channels hold the digits below.
    fn space_to_depth(&mut self, tensor: TensorId, offset: [isize; 3], targets: &Targets) -> Result<Option<TensorId>, Fail> {
        let source = self.shape_of(tensor);
        let digit = |axis: usize| {
            let mut found = targets[C].iter().filter(|a| a.axis == axis);
            match (found.next(), found.next()) {
                (Some(a), None) if a.stride == 1 => Some(a.extent),
                _ => None,
            }
        };
        let (Some(block), Some(across)) = (digit(H), digit(W)) else { return Ok(None) };
        let steps = |axis: usize| {
            let whole = extents(source)[axis] / block;
            match targets[axis][..] {
                [] => whole == 1,
                [a] => a.axis == axis && a.stride == block as isize && a.extent == whole,
                _ => false,
            }
        };
        let divides = source.h.is_multiple_of(block) && source.w.is_multiple_of(block);
        if block != across || !divides || !steps(H) || !steps(W) || offset[H] != 0 || offset[W] != 0 {
            return Ok(None);
        }
        let deep = Shape { h: source.h / block, w: source.w / block, c: source.c * block * block };
        let weight = |a: &Atom| match a.axis {
            H => (block * source.c) as isize,
            W => source.c as isize,
            _ => a.stride,
        };
        let cs = walk(&targets[C], offset[C], weight);
        let name = self.layout_name(tensor);
        let folded = self.emit(name, Op::SpaceToDepth { block }, vec![tensor], deep);
        let rows: Vec<isize> = (0..deep.h as isize).collect();
        let columns: Vec<isize> = (0..deep.w as isize).collect();
        self.select(folded, &rows, &columns, &cs).map(Some)
    }

    /// The part of the map the view walks as a map of its own, when that is less than the whole and each physical
    /// axis is walked by nested digits.
    fn compact(&mut self, tensor: TensorId, offset: [isize; 3], targets: &Targets) -> Result<Option<(TensorId, Targets)>, Fail> {
        let source = self.shape_of(tensor);
        let mut targets = targets.clone();
        let mut lists: [Vec<isize>; 3] = Default::default();
        for axis in [H, W, C] {
            let mut digits: Vec<(usize, usize)> = Vec::new();
            for (t, list) in targets.iter().enumerate() {
                digits.extend((0..list.len()).filter(|&i| list[i].axis == axis).map(|i| (t, i)));
            }
            digits.sort_by_key(|&(t, i)| std::cmp::Reverse(targets[t][i].stride));
            let atoms: Vec<Atom> = digits.iter().map(|&(t, i)| targets[t][i]).collect();
            let nested = atoms.windows(2).all(|p| p[0].stride >= p[1].stride * p[1].extent as isize);
            if !nested || atoms.iter().any(|a| a.stride <= 0) {
                return Ok(None);
            }
            lists[axis] = walk(&atoms, offset[axis], |a| a.stride);
            let mut stride = 1;
            for &(t, i) in digits.iter().rev() {
                targets[t][i].stride = stride;
                stride *= targets[t][i].extent as isize;
            }
        }
        if (0..3).all(|k| lists[k].len() == extents(source)[k]) {
            return Ok(None);
        }
        let part = self.select(tensor, &lists[H], &lists[W], &lists[C])?;
        Ok(Some((part, targets.map(merge))))
    }
}

impl Importer<'_> {
    /// Adds a node that does what an ONNX node says, under its name.
    pub fn emit_node(&mut self, node: &super::node::Node, op: Op, inputs: Vec<TensorId>, shape: Shape) -> TensorId {
        let name = self.current.clone();
        let made = self.emit(name, op, inputs, shape);
        if let Some(n) = self.graph.nodes.last_mut() {
            n.name = node.name.clone();
        }
        made
    }
}
