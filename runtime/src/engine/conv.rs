//! Convolutions: what is the same for all tiles of a step is worked out once.

use core::mem::MaybeUninit;

use super::Engine;
use super::band::Part;
use super::ops::Ends;
use super::room::{DENSE, WINDOWS};
use super::tiles::{List, Tile};
use crate::format::{Conv, Dtype, NONE, Op, Step, Tensor};
use crate::kernels::{ConvLayer, ConvTile, Residual};

/// Rows that take a list of their own, and so less of the stack where lists are long.
const FEW: usize = 4;

/// Which kernel a convolution takes.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Dense,
    Pairs,
    Depthwise,
}

/// A convolution without its rows.
pub(super) struct Prepared<'a> {
    layer: ConvLayer<'a>,
    /// Second input and its multipliers.
    residual: Option<(&'a Tensor, &'a [f32])>,
    kind: Kind,
    /// First tap of output pixel (0, 0); it may lie in the border, before pixel (0, 0).
    corner: u32,
    /// Bytes from the first tap of an output pixel to that of the one below, and to its right.
    stride: [u32; 2],
}

impl<'a> Engine<'a> {
    /// The record of a convolution of codes; `None` for other steps.
    pub(super) fn conv_of(&self, step: &Step) -> Option<&'a Conv> {
        match Op::new(step.op)? {
            Op::Conv | Op::Depthwise => self.model.record(step.param),
            _ => None,
        }
    }

    /// What is the same for all tiles of a step if it is a convolution of codes, its input `shift` bytes before its place; `room` holds
    /// its taps.
    #[inline(never)]
    pub(super) fn prepare_conv<'p>(&self, step: &Step, shift: u32, room: &'p mut [u32]) -> Option<Prepared<'p>>
    where
        'a: 'p,
    {
        let conv = self.conv_of(step)?;
        let depthwise = step.op == Op::Depthwise as u16;
        let x = self.model.tensors.get(step.inputs[0] as usize)?;
        let out = self.model.tensors.get(step.output as usize)?;
        let w = &conv.window;
        let kw = w.kernel[1] as usize;
        let (c, oc) = (x.c as usize, out.c as usize);
        let blocks = oc.div_ceil(16);
        let columns = columns(conv);
        let paired = conv.merged == Conv::PAIRED;
        let taps = taps(conv);
        let segments = room.get_mut(..taps)?;
        // Of a single line or column the step counts for nothing, and may be any.
        let [down, right] = [(w.dilation[0] as u32).wrapping_mul(x.line), (w.dilation[1] as u32).wrapping_mul(x.pixel)];
        let (mut line, mut at, mut left) = (0u32, 0u32, columns);
        for segment in segments.iter_mut() {
            *segment = at;
            left -= 1;
            at = at.wrapping_add(right);
            if left == 0 {
                line = line.wrapping_add(down);
                (at, left) = (line, columns);
            }
        }
        let (quads, weights) = if depthwise {
            let quads = taps.div_ceil(4);
            (quads, blocks * quads * 64)
        } else {
            let bytes = c * if conv.merged != 0 { kw } else { 1 };
            let quads = if paired { bytes.div_ceil(16) * 4 } else { bytes.div_ceil(4) };
            (quads, blocks * taps * quads * 64)
        };
        let residual = match step.inputs_len {
            2 => Some((self.model.tensors.get(step.inputs[1] as usize)?, self.array(conv.r, 16 * blocks))),
            _ => None,
        };
        Some(Prepared {
            layer: ConvLayer {
                segments,
                quads,
                weights: self.array(conv.weights, weights),
                oc,
                m: self.array(conv.m, 16 * blocks),
                b: self.array(conv.b, 16 * blocks),
                lo: conv.lo,
                hi: conv.hi,
                table: if conv.table == NONE { None } else { Some(self.table(conv.table)?) },
                real: out.dtype() == Dtype::F32,
            },
            residual,
            kind: match (depthwise, paired) {
                (true, _) => Kind::Depthwise,
                (_, true) => Kind::Pairs,
                _ => Kind::Dense,
            },
            corner: x.origin.wrapping_sub(shift).wrapping_sub(w.pad[0] as u32 * x.line).wrapping_sub(w.pad[1] as u32 * x.pixel),
            stride: [w.stride[0] as u32 * x.line, w.stride[1] as u32 * x.pixel],
        })
    }

    #[inline(always)]
    fn convolve(&self, p: &Prepared, rows_in: &[u32], rows_res: &[u32], output: *mut u8, rows_out: &[u32]) {
        let input = self.arena.start();
        let residual = p.residual.map(|(_, r)| Residual { input, rows: rows_res, r });
        let tile = ConvTile { layer: &p.layer, input, rows_in, residual, output, rows_out };
        // SAFETY: the check proves the tile valid for every pixel of the output; the CPU has the set's features.
        unsafe { (self.kernel(p.kind))(&tile) };
    }

    // Apart from its caller, whose frame lies below those of the kernels.
    #[inline(never)]
    fn kernel(&self, kind: Kind) -> unsafe fn(&ConvTile) {
        match kind {
            Kind::Dense => self.kernels.conv,
            Kind::Pairs => self.kernels.pairs,
            Kind::Depthwise => self.kernels.depthwise,
        }
    }

    /// The output pixels of a tile.
    // Apart from its caller, which lists more between tiles.
    #[inline(never)]
    pub(super) fn conv(&self, p: &Prepared, tile: &mut Tile, ends: &Ends) {
        tile.list(List::Input, p.corner, p.stride[0], p.stride[1]);
        if let Some((res, _)) = p.residual {
            tile.list_rows(List::Second, res, 0);
        }
        self.convolve(p, tile.rows(List::Input), tile.rows(List::Second), ends.start, tile.rows(List::Output));
    }

    /// All output pixels of a part.
    #[inline]
    pub(super) fn dense_conv(&self, p: &Prepared, out: &Tensor, part: &Part) {
        let few = DENSE > 16 && (part.end - part.first) * out.w as usize <= FEW;
        let rows = match (p.kind == Kind::Depthwise, few, p.residual.is_some()) {
            (_, true, false) => Self::dense_rows::<FEW, 0>,
            (_, true, true) => Self::dense_rows::<FEW, FEW>,
            (true, _, false) => Self::dense_rows::<WINDOWS, 0>,
            (_, _, false) => Self::dense_rows::<DENSE, 0>,
            (_, _, true) => Self::dense_rows::<DENSE, DENSE>,
        };
        rows(self, p, out, part);
    }

    /// The same, `ROWS` at a time, with room for as many of a second input.
    #[inline(never)]
    fn dense_rows<const ROWS: usize, const SECOND: usize>(&self, p: &Prepared, out: &Tensor, part: &Part) {
        // Long lists take a while to clear, so they are not.
        const ROOM: MaybeUninit<u32> = MaybeUninit::uninit();
        let (mut of_input, mut of_output, mut of_second) = ([ROOM; ROWS], [ROOM; ROWS], [ROOM; SECOND]);
        let rows = (part.end - part.first) * out.w as usize;
        let mut first = 0;
        while first < rows {
            let n = ROWS.min(rows - first);
            let second = n.min(SECOND);
            list(p, out, part, first, [&mut of_input[..n], &mut of_output[..n], &mut of_second[..second]]);
            // SAFETY: `list` writes all of each room, which are of one length or, without a second input, empty.
            let [of_input, of_second, of_output] =
                unsafe { [listed(&of_input[..n]), listed(&of_second[..second]), listed(&of_output[..n])] };
            self.convolve(p, of_input, of_second, self.arena.start(), of_output);
            first += ROWS;
        }
    }
}

/// Offsets that all have been written.
///
/// # Safety
/// They have.
unsafe fn listed(room: &[MaybeUninit<u32>]) -> &[u32] {
    // SAFETY: the same layout; the caller's.
    unsafe { &*(core::ptr::from_ref(room) as *const [u32]) }
}

/// Where pixels of a part of `out` lie, from its pixel `first` on: the first taps, the results, what is added, where there is room for that.
/// All room is written.
// Apart from its caller, whose frame lies below those of the kernels.
#[inline(never)]
fn list(p: &Prepared, out: &Tensor, part: &Part, first: usize, [mut of_input, mut of_output, mut of_second]: [&mut [MaybeUninit<u32>]; 3]) {
    let w = out.w as usize;
    let (mut y, mut x) = ((part.first + first / w) as u32, first % w);
    let origin = out.origin.wrapping_sub(part.output);
    while !of_input.is_empty() {
        let n = of_input.len().min(w - x);
        let place =
            |origin: u32, [down, right]: [u32; 2]| origin.wrapping_add(y.wrapping_mul(down)).wrapping_add((x as u32).wrapping_mul(right));
        let (mut from, mut to) = (place(p.corner, p.stride), place(origin, [out.line, out.pixel]));
        let (Some(a), Some(b)) = (of_input.split_off_mut(..n), of_output.split_off_mut(..n)) else { return };
        for (a, b) in a.iter_mut().zip(b) {
            a.write(from);
            b.write(to);
            (from, to) = (from.wrapping_add(p.stride[1]), to.wrapping_add(out.pixel));
        }
        if let Some(of_second) = of_second.split_off_mut(..n) {
            let (origin, steps) = p.residual.map_or((0, [0; 2]), |(res, _)| (res.origin, [res.line, res.pixel]));
            let mut from = place(origin, steps);
            for at in of_second {
                at.write(from);
                from = from.wrapping_add(steps[1]);
            }
        }
        (y, x) = (y + 1, 0);
    }
}

/// Taps of a convolution.
pub(super) fn taps(conv: &Conv) -> usize {
    conv.window.kernel[0] as usize * columns(conv)
}

/// Taps of a line that are not one with those before them.
fn columns(conv: &Conv) -> usize {
    if conv.merged != 0 { 1 } else { conv.window.kernel[1] as usize }
}
