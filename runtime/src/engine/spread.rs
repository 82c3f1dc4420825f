//! How a change passes through each operator: forward to the rows that can see it, backward to the rows they read.

use super::Engine;
use crate::format::{Bilinear, Binary, Block, Conv, ConvF32, Index, Join, Op, Pool, Step, Tensor, Window};
use crate::mask::{self, Grid};

/// The shape of an operator's reach.
enum Reach<'a> {
    /// Row to row.
    Same,
    /// Any row to every row.
    All,
    Window(&'a Window),
    Index(&'a Index),
    Bilinear(&'a Bilinear),
    /// One input pixel to `block x block` output pixels.
    Expand(usize),
    /// `block x block` input pixels to one.
    Shrink(usize),
    Reshape,
    Place(&'a Join),
}

pub(super) fn grid(t: &Tensor) -> Grid {
    Grid { h: t.h as usize, w: t.w as usize }
}

impl<'a> Engine<'a> {
    fn reach(&self, step: &Step, input: usize) -> Option<Reach<'a>> {
        let model = &self.model;
        Some(match Op::new(step.op)? {
            Op::Conv if input == 1 => Reach::Same,
            Op::Conv | Op::Depthwise => {
                let w = &model.record::<Conv>(step.param)?.window;
                let [from, to] = [step.inputs[0], step.output].map(|t| grid(&model.tensors[t as usize]));
                match (w.kernel, w.stride, w.pad) {
                    ([1, 1], [1, 1], [0, 0]) if from == to => Reach::Same,
                    _ => Reach::Window(w),
                }
            }
            Op::ConvF32 => Reach::Window(&model.record::<ConvF32>(step.param)?.window),
            Op::MaxPool | Op::AvgPool => Reach::Window(&model.record::<Pool>(step.param)?.window),
            Op::Binary => {
                // Bit 0 for the second operand, bit 2 for the first: one row serves all.
                let bit = if input == 0 { 4 } else { 1 };
                match model.record::<Binary>(step.param)?.broadcast & bit {
                    0 => Reach::Same,
                    _ => Reach::All,
                }
            }
            Op::Map | Op::Table | Op::Tables | Op::Copy | Op::Channels | Op::Softmax | Op::ReduceChannels => Reach::Same,
            Op::GlobalAvg | Op::GlobalMax | Op::Permute => Reach::All,
            Op::Index => Reach::Index(model.record(step.param)?),
            Op::Bilinear => Reach::Bilinear(model.record(step.param)?),
            Op::DepthToSpace => Reach::Expand(model.record::<Block>(step.param)?.block as usize),
            Op::SpaceToDepth => Reach::Shrink(model.record::<Block>(step.param)?.block as usize),
            Op::Reshape => Reach::Reshape,
            Op::Join => Reach::Place(model.record(step.param)?),
        })
    }

    /// Marks the output rows that see a marked row of input `input`.
    pub(super) fn spread(&self, step: &Step, input: usize) {
        let (source, out) = (step.inputs[input] as usize, step.output as usize);
        let (from, to) = (&self.model.tensors[source], &self.model.tensors[out]);
        let (seen, marked) = (self.mask(source), self.mask(out));
        let (g, og) = (grid(from), grid(to));
        match self.reach(step, input) {
            None => {}
            Some(Reach::Same) => mask::or(marked, seen),
            Some(Reach::All) if mask::any(seen) => og.fill(marked),
            Some(Reach::All) => {}
            Some(Reach::Window(w)) => mask::spread_window(marked, og, seen, g, w, self.scratch()),
            Some(Reach::Index(i)) => {
                mask::spread_index(marked, og, seen, g, self.array(i.ys, og.h), self.array(i.xs, og.w));
            }
            Some(Reach::Bilinear(b)) => {
                mask::spread_lerp(marked, og, seen, g, self.array(b.ys, og.h), self.array(b.xs, og.w));
            }
            Some(Reach::Expand(block)) => mask::expand(marked, og, seen, g, block),
            Some(Reach::Shrink(block)) => mask::shrink(marked, og, seen, g, block),
            Some(Reach::Reshape) => mask::reshape(marked, og, to.c as usize, seen, g, from.c as usize),
            Some(Reach::Place(j)) => mask::place(marked, og, seen, g, j.y0 as usize, j.x0 as usize),
        }
    }

    /// Marks the rows of input `input` that the marked output rows read.
    pub(super) fn need(&self, step: &Step, input: usize) {
        let (source, out) = (step.inputs[input] as usize, step.output as usize);
        let (from, to) = (&self.model.tensors[source], &self.model.tensors[out]);
        let (needed, marked) = (self.mask(source), self.mask(out));
        let (g, og) = (grid(from), grid(to));
        match self.reach(step, input) {
            None => {}
            Some(Reach::Same) => mask::or(needed, marked),
            Some(Reach::All) if mask::any(marked) => g.fill(needed),
            Some(Reach::All) => {}
            Some(Reach::Window(w)) => mask::need_window(needed, g, marked, og, w, self.scratch()),
            Some(Reach::Index(i)) => {
                mask::need_index(needed, g, marked, og, self.array(i.ys, og.h), self.array(i.xs, og.w));
            }
            Some(Reach::Bilinear(b)) => {
                mask::need_lerp(needed, g, marked, og, self.array(b.ys, og.h), self.array(b.xs, og.w));
            }
            Some(Reach::Expand(block)) => mask::shrink(needed, g, marked, og, block),
            Some(Reach::Shrink(block)) => mask::expand(needed, g, marked, og, block),
            Some(Reach::Reshape) => mask::reshape(needed, g, from.c as usize, marked, og, to.c as usize),
            Some(Reach::Place(j)) => mask::cut(needed, g, marked, og, j.y0 as usize, j.x0 as usize),
        }
    }
}
