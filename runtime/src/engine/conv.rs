//! Convolutions: what is the same for all tiles of a step is worked out once.

use super::Engine;
use super::band::Part;
use super::ops::Target;
use super::room::DENSE;
use super::tiles::{Offsets, Tile};
use crate::format::{Conv, Dtype, MAX_TAPS, NONE, Op, Step, Tensor};
use crate::kernels::{ConvTile, Residual};

/// Rows that are listed on their own.
const FEW: usize = 4;

/// A convolution without its rows.
pub(super) struct Prepared<'a> {
    segments: &'a [u32],
    quads: usize,
    weights: &'a [i8],
    oc: usize,
    m: &'a [f32],
    b: &'a [f32],
    /// Second input and its multipliers.
    residual: Option<(&'a Tensor, &'a [f32])>,
    lo: f32,
    hi: f32,
    table: Option<&'a [u8; 256]>,
    real: bool,
    depthwise: bool,
    /// First tap of output pixel (0, 0); it may lie in the border, before pixel (0, 0).
    corner: u32,
    /// Bytes from the first tap of an output pixel to that of the one below, and to its right.
    stride: [u32; 2],
}

impl<'a> Engine<'a> {
    /// Calls `f` with what is the same for all tiles of a step if it is a convolution of codes, its input `shift` bytes before its
    /// place. Taps are kept on the stack, with room for not many more than there are.
    #[inline(always)]
    pub(super) fn with_conv(&self, step: &Step, shift: u32, mut f: impl FnMut(Option<&Prepared>)) {
        let conv = match Op::new(step.op) {
            Some(Op::Conv | Op::Depthwise) => self.model.record::<Conv>(step.param),
            _ => None,
        };
        let Some(conv) = conv else { return f(None) };
        match conv.window.kernel[0] as usize * columns(conv) {
            0..=10 => self.prepared::<10>(step, conv, shift, f),
            11..=25 => self.prepared::<25>(step, conv, shift, f),
            _ => self.prepared::<MAX_TAPS>(step, conv, shift, f),
        }
    }

    #[inline(never)]
    fn prepared<const TAPS: usize>(&self, step: &Step, conv: &Conv, shift: u32, mut f: impl FnMut(Option<&Prepared>)) {
        let mut segments = [0u32; TAPS];
        f(self.prepare_conv(step, conv, shift, &mut segments).as_ref());
    }

    #[inline(never)]
    fn prepare_conv<'p>(&self, step: &Step, conv: &Conv, shift: u32, room: &'p mut [u32]) -> Option<Prepared<'p>>
    where
        'a: 'p,
    {
        let depthwise = step.op == Op::Depthwise as u16;
        let x = self.model.tensors.get(step.inputs[0] as usize)?;
        let out = self.model.tensors.get(step.output as usize)?;
        let w = &conv.window;
        let (kh, kw) = (w.kernel[0] as usize, w.kernel[1] as usize);
        let (c, oc) = (x.c as usize, out.c as usize);
        let blocks = oc.div_ceil(16);
        let columns = columns(conv);
        let taps = kh * columns;
        let segments = room.get_mut(..taps)?;
        for (s, segment) in segments.iter_mut().enumerate() {
            *segment = (s / columns * w.dilation[0] as usize) as u32 * x.line
                + (s % columns * w.dilation[1] as usize) as u32 * x.pixel;
        }
        let (quads, weights) = if depthwise {
            let quads = taps.div_ceil(4);
            (quads, blocks * quads * 64)
        } else {
            let quads = (c * if conv.merged != 0 { kw } else { 1 }).div_ceil(4);
            (quads, blocks * taps * quads * 64)
        };
        let residual = match step.inputs_len {
            2 => Some((self.model.tensors.get(step.inputs[1] as usize)?, self.array(conv.r, 16 * blocks))),
            _ => None,
        };
        Some(Prepared {
            segments,
            quads,
            weights: self.array(conv.weights, weights),
            oc,
            m: self.array(conv.m, 16 * blocks),
            b: self.array(conv.b, 16 * blocks),
            residual,
            lo: conv.lo,
            hi: conv.hi,
            table: if conv.table == NONE { None } else { Some(self.table(conv.table)?) },
            real: out.dtype() == Dtype::F32,
            depthwise,
            corner: x.origin.wrapping_sub(shift).wrapping_sub(w.pad[0] as u32 * x.line).wrapping_sub(w.pad[1] as u32 * x.pixel),
            stride: [w.stride[0] as u32 * x.line, w.stride[1] as u32 * x.pixel],
        })
    }

    fn convolve(&self, p: &Prepared, rows_in: &[u32], rows_res: &[u32], target: &Target) {
        let tile = p.tile(self.arena.start(), rows_in, rows_res, target);
        let kernel = if p.depthwise { self.kernels.depthwise } else { self.kernels.conv };
        // SAFETY: the check proves the tile valid for every pixel of the output; the CPU has the set's features.
        unsafe { kernel(&tile) };
    }

    /// The output pixels of a tile.
    pub(super) fn conv(&self, p: &Prepared, tile: &Tile, target: &Target) {
        let mut rows_in = Offsets::new();
        let rows_in = rows_in.fill(tile, p.corner, p.stride[0], p.stride[1]);
        match p.residual {
            Some((res, _)) => self.convolve(p, rows_in, Offsets::new().of(tile, res, 0), target),
            None => self.convolve(p, rows_in, &[], target),
        }
    }

    /// All output pixels of a part.
    pub(super) fn dense_conv(&self, p: &Prepared, out: &Tensor, part: Part) {
        // Long lists take a while to clear.
        let few = DENSE > 16 && (part.end - part.first) * out.w as usize <= FEW;
        match (few, p.residual.is_some()) {
            (false, false) => self.dense_rows::<DENSE, 0>(p, out, part),
            (false, true) => self.dense_rows::<DENSE, DENSE>(p, out, part),
            (true, false) => self.dense_rows::<FEW, 0>(p, out, part),
            (true, true) => self.dense_rows::<FEW, FEW>(p, out, part),
        }
    }

    /// The same, `ROWS` at a time, with room for as many of a second input.
    #[inline(never)]
    fn dense_rows<const ROWS: usize, const SECOND: usize>(&self, p: &Prepared, out: &Tensor, part: Part) {
        let (mut of_input, mut of_output, mut of_second) = ([0; ROWS], [0; ROWS], [0; SECOND]);
        let rows = (part.end - part.first) * out.w as usize;
        let mut first = 0;
        while first < rows {
            let n = ROWS.min(rows - first);
            let second = n.min(SECOND);
            list(p, out, part, first, [&mut of_input[..n], &mut of_output[..n], &mut of_second[..second]]);
            let target = Target { start: self.arena.start(), rows: &of_output[..n], input: part.input };
            self.convolve(p, &of_input[..n], &of_second[..second], &target);
            first += ROWS;
        }
    }
}

impl Prepared<'_> {
    // Apart from its caller, whose frame lies below those of the kernels, as `list`.
    #[inline(never)]
    fn tile<'t>(&'t self, input: *const u8, rows_in: &'t [u32], rows_res: &'t [u32], target: &Target<'t>) -> ConvTile<'t> {
        ConvTile {
            input,
            rows_in,
            segments: self.segments,
            quads: self.quads,
            weights: self.weights,
            oc: self.oc,
            m: self.m,
            b: self.b,
            residual: self.residual.map(|(_, r)| Residual { input, rows: rows_res, r }),
            lo: self.lo,
            hi: self.hi,
            table: self.table,
            output: target.start,
            rows_out: target.rows,
            real: self.real,
        }
    }
}

/// Where pixels of a part of `out` lie, from its pixel `first` on: the first taps, the results, what is added, where there is room for that.
// Apart from its caller, as `Prepared::tile`.
#[inline(never)]
fn list(p: &Prepared, out: &Tensor, part: Part, first: usize, [of_input, of_output, of_second]: [&mut [u32]; 3]) {
    let w = out.w as usize;
    let (mut y, mut x, mut at) = ((part.first + first / w) as u32, first % w, 0);
    let origin = out.origin.wrapping_sub(part.output);
    while at < of_input.len() {
        let end = of_input.len().min(at + w - x);
        let place = |origin: u32, [down, right]: [u32; 2]| {
            origin.wrapping_add(y.wrapping_mul(down)).wrapping_add((x as u32).wrapping_mul(right))
        };
        let (mut from, mut to) = (place(p.corner, p.stride), place(origin, [out.line, out.pixel]));
        for (a, b) in of_input[at..end].iter_mut().zip(&mut of_output[at..end]) {
            (*a, *b) = (from, to);
            (from, to) = (from.wrapping_add(p.stride[1]), to.wrapping_add(out.pixel));
        }
        if let (Some((res, _)), Some(of_second)) = (p.residual, of_second.get_mut(at..end)) {
            let mut from = place(res.origin, [res.line, res.pixel]);
            for at in of_second {
                *at = from;
                from = from.wrapping_add(res.pixel);
            }
        }
        (y, x, at) = (y + 1, 0, end);
    }
}

/// Taps of a line that are not one with those before them.
fn columns(conv: &Conv) -> usize {
    if conv.merged != 0 { 1 } else { conv.window.kernel[1] as usize }
}
