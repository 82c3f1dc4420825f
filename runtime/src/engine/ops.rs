//! One tile of each operator: records and offsets become kernel arguments.
//!
//! Nothing here can fail: the whole-file check has proved every record, array and extent, and that the rows written
//! overlap no row read. Lookups that the check proves answer with an empty slice or leave the tile alone.

use super::Engine;
use super::conv::Prepared;
use super::linked::RunTile;
use super::room::{SUMS, TILE};
use super::tiles::{List, Tile};
use crate::format::{
    Affine, Bilinear, BinaryFn, Block, Channels, ConvF32, Dtype, FILL, Global, Index, Lerp, MapFn, Op, Pool, Reduce, Step, Tensor, Window,
};
use crate::kernels::{LerpTile, Operand, PickTile, PoolTile, Real, Row, SumTile};

/// From where a tile's lists count.
pub(super) struct Ends {
    /// Of results.
    pub start: *mut u8,
    /// Bytes by which the first input lies before its place: a band's.
    pub input: u32,
}

/// Where a tile's results go: `start + rows[i]`.
pub(super) struct Target<'t> {
    pub start: *mut u8,
    pub rows: &'t [u32],
    /// As of [`Ends`].
    pub input: u32,
}

/// What runs a tile of an operator; nothing does of those that only move marks, of convolutions of codes, or of element-wise ones.
pub(super) const fn tile_of(op: Op) -> RunTile {
    match op {
        Op::ConvF32 => |e, s, io, tile, target| e.conv_f32(s, io, tile, target),
        Op::MaxPool | Op::AvgPool => |e, s, io, tile, target| e.pool(s, io, tile, target),
        Op::GlobalAvg => |e, s, io, _, target| e.global_avg(s, io, target),
        Op::GlobalMax => |e, _, io, _, target| e.global_max(io, target),
        Op::Index => |e, s, io, tile, target| e.index(s, io, tile, target),
        Op::Bilinear => |e, s, io, tile, target| e.bilinear(s, io, tile, target),
        Op::DepthToSpace => |e, s, io, tile, target| e.depth_to_space(s, io, tile, target),
        Op::SpaceToDepth => |e, s, io, tile, target| e.space_to_depth(s, io, tile, target),
        Op::Channels => |e, s, io, tile, target| e.channels(s, io, tile, target),
        Op::Permute => |e, s, io, tile, target| e.permute(s, io, tile, target),
        Op::ReduceChannels => |e, s, io, tile, target| e.reduce(s, io, tile, target),
        Op::Binary | Op::Map | Op::Table | Op::Tables | Op::Copy | Op::Softmax => |_, _, _, _, _| None,
        Op::Conv | Op::Depthwise | Op::Reshape | Op::Join => |_, _, _, _, _| None,
    }
}

/// The byte of pixel `(y, x)`.
pub(super) fn address(t: &Tensor, y: usize, x: usize) -> usize {
    // Arenas are smaller than 2^30 bytes; the origin of a band may lie before 0.
    t.origin.wrapping_add((y as u32).wrapping_mul(t.line)).wrapping_add((x as u32).wrapping_mul(t.pixel)) as usize
}

/// Bytes of a pixel's channels.
pub(super) fn row_bytes(t: &Tensor) -> usize {
    t.c as usize * t.dtype().size()
}

/// Bounds of results whose record has none: all codes, or all reals.
pub(super) fn all(out: &Tensor) -> (f32, f32) {
    match out.dtype() {
        Dtype::U8 => (0.0, 255.0),
        Dtype::F32 => (f32::MIN, f32::MAX),
    }
}

pub(super) const BINARY: [BinaryFn; 6] = [BinaryFn::Add, BinaryFn::Sub, BinaryFn::Mul, BinaryFn::Div, BinaryFn::Min, BinaryFn::Max];

pub(super) const MAP: [MapFn; 14] = [
    MapFn::Identity,
    MapFn::Sigmoid,
    MapFn::Exp,
    MapFn::Tanh,
    MapFn::Silu,
    MapFn::LeakyRelu,
    MapFn::HardSigmoid,
    MapFn::HardSwish,
    MapFn::Sqrt,
    MapFn::Reciprocal,
    MapFn::Abs,
    MapFn::Neg,
    MapFn::Log,
    MapFn::PRelu,
];

pub(super) fn reals(bytes: &[u8]) -> &[Real] {
    bytes.as_chunks().0
}

impl<'a> Engine<'a> {
    /// Runs `step`, prepared as `conv` if it is one, on the output pixels of a tile whose results are listed.
    #[inline]
    pub(super) fn tile(&self, step: &Step, conv: Option<&Prepared>, tile: &mut Tile, ends: &Ends) {
        match conv {
            Some(conv) => self.conv(conv, tile, ends),
            None => _ = self.other(step, tile, ends),
        }
    }

    /// The same of all but convolutions of codes; `None` only for records the check refuses.
    #[inline(never)]
    fn other(&self, step: &Step, tile: &mut Tile, ends: &Ends) -> Option<()> {
        let x = self.model.tensors.get(step.inputs[0] as usize)?;
        let out = self.model.tensors.get(step.output as usize)?;
        let op = Op::new(step.op)?;
        if Self::elementwise(op) {
            return (self.kernels.linked.gates?.elementwise)(self, step, tile, ends.start);
        }
        if op == Op::Channels {
            tile.list_rows(List::Input, x, 0);
        }
        let target = Target { start: ends.start, rows: tile.rows(List::Output), input: ends.input };
        (self.kernels.linked.of(op)?.tile)(self, step, [x, out], tile, &target)
    }

    /// A row of an input.
    fn row(&self, t: &Tensor, y: usize, x: usize) -> &'a [u8] {
        // SAFETY: rows read are disjoint from rows written in the same step (check).
        unsafe { self.arena.bytes(address(t, y, x), row_bytes(t)) }
    }

    /// Row `i` of a tile's results.
    fn result(&self, target: &Target, i: usize, t: &Tensor) -> &'a mut [u8] {
        // SAFETY: `start + rows[i]` begins a row of the output or of the staging area (the check proves the extents),
        // disjoint from every row read; each row is handed out once at a time.
        unsafe { core::slice::from_raw_parts_mut(target.start.add(target.rows[i] as usize), row_bytes(t)) }
    }

    pub(super) fn table(&self, offset: u32) -> Option<&'a [u8; 256]> {
        self.array::<u8>(offset, 256).try_into().ok()
    }

    fn conv_f32(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let conv = self.model.record::<ConvF32>(step.param)?;
        let w = &conv.window;
        let (kh, kw) = (w.kernel[0] as usize, w.kernel[1] as usize);
        let groups = conv.groups as usize;
        let (icg, ocg, oc) = (x.c as usize / groups, out.c as usize / groups, out.c as usize);
        let weights = self.array::<f32>(conv.weights, kh * kw * icg * oc);
        let bias = self.array::<f32>(conv.b, oc);
        for (i, (y, col)) in tile.pixels().enumerate() {
            let result = self.result(target, i, out).as_chunks_mut::<4>().0;
            for (r, b) in result.iter_mut().zip(bias) {
                *r = b.to_le_bytes();
            }
            for tap in 0..kh * kw {
                let (ky, kx) = (tap / kw, tap % kw);
                let at = (x.origin as usize
                    + y as usize * w.stride[0] as usize * x.line as usize
                    + ky * w.dilation[0] as usize * x.line as usize
                    + col as usize * w.stride[1] as usize * x.pixel as usize
                    + kx * w.dilation[1] as usize * x.pixel as usize)
                    .checked_sub(w.pad[0] as usize * x.line as usize + w.pad[1] as usize * x.pixel as usize)?;
                // SAFETY: inside the bordered input (check).
                let pixel = reals(unsafe { self.arena.bytes(at, row_bytes(x)) });
                for (k, v) in pixel.iter().enumerate() {
                    let (g, k) = (k / icg, k % icg);
                    let v = f32::from_le_bytes(*v);
                    let w = weights.get((tap * icg + k) * oc + g * ocg..)?.get(..ocg)?;
                    for (r, w) in result.get_mut(g * ocg..)?.iter_mut().zip(w) {
                        *r = (f32::from_le_bytes(*r) + v * w).to_le_bytes();
                    }
                }
            }
            for r in result {
                *r = crate::kernels::clamp(f32::from_le_bytes(*r), conv.lo, conv.hi).to_le_bytes();
            }
        }
        Some(())
    }

    fn operand(&self, t: &Tensor, affine: &Affine, row: &'a [u8]) -> Operand<'a> {
        let n = t.c as usize;
        match t.dtype() {
            Dtype::F32 => Operand::Reals(reals(row)),
            Dtype::U8 => Operand::Codes { codes: row, scale: self.array(affine.scale, n), offset: self.array(affine.offset, n) },
        }
    }

    fn result_row<'t>(&self, target: &Target, i: usize, out: &Tensor, affine: &Affine) -> Row<'t>
    where
        'a: 't,
    {
        let (bytes, (lo, hi)) = (self.result(target, i, out), all(out));
        match out.dtype() {
            Dtype::F32 => Row::Reals { reals: bytes.as_chunks_mut().0, lo, hi },
            Dtype::U8 => Row::Codes {
                codes: bytes,
                scale: self.array(affine.scale, out.c as usize),
                offset: self.array(affine.offset, out.c as usize),
                lo,
                hi,
                table: None,
            },
        }
    }

    fn pool(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let x = &Tensor { origin: x.origin.wrapping_sub(target.input), ..*x };
        let pool = self.model.record::<Pool>(step.param)?;
        let w = &pool.window;
        let (mut rows_in, mut taps) = ([0u32; TILE], [(0u16, 0u16); TILE]);
        let mut rooms = rows_in.iter_mut().zip(&mut taps);
        for span in tile.spans() {
            let (first_y, ny) = clip(w, 0, span.y, x.h);
            for (col, (at, taps)) in (span.x..span.x + span.len).zip(&mut rooms) {
                let (first_x, nx) = clip(w, 1, col, x.w);
                *at = address(x, first_y, first_x) as u32;
                *taps = (ny, nx);
            }
        }
        let padding = (pool.count_pad != 0).then(|| {
            let all = w.kernel[0] as u32 * w.kernel[1] as u32;
            (all, self.array::<u8>(x.zero, x.quant_len as usize))
        });
        let kernel = if step.op == Op::MaxPool as u16 { self.kernels.max_pool } else { self.kernels.avg_pool };
        let tile = PoolTile {
            input: self.arena.start(),
            rows_in: &rows_in[..tile.len()],
            taps: &taps[..tile.len()],
            step: [w.dilation[0] as usize * x.line as usize, w.dilation[1] as usize * x.pixel as usize],
            c: out.c as usize,
            padding,
            output: target.start,
            rows_out: target.rows,
        };
        // SAFETY: clipped windows lie inside the map, results as the check proves; the CPU has the set's features.
        unsafe { kernel(&tile) };
        Some(())
    }

    /// All of a dense frame's step.
    pub(super) fn global_avg_dense(&self, step: &Step) -> Option<()> {
        let x = self.model.tensors.get(step.inputs[0] as usize)?;
        let out = self.model.tensors.get(step.output as usize)?;
        self.global_avg(step, [x, out], &Target { start: self.arena.start(), rows: &[out.origin], input: 0 })
    }

    fn global_avg(&self, step: &Step, [x, out]: [&Tensor; 2], target: &Target) -> Option<()> {
        let p = self.model.record::<Global>(step.param)?;
        let n = out.c as usize;
        let (m, b) = (self.array::<f32>(p.m, n), self.array::<f32>(p.b, n));
        let result = self.result(target, 0, out);
        // Lines without gaps are one.
        let (lines, w) = match x.line == x.w * x.pixel {
            true => (1, x.rows()),
            false => (x.h as usize, x.w as usize),
        };
        for at in (0..n).step_by(SUMS) {
            let end = n.min(at + SUMS);
            let mut sum = [0i32; SUMS];
            // Few channels: several adjacent pixels as one, where flash is not short.
            let side = if !cfg!(target_os = "none") && x.pixel as usize == n { (SUMS / n).max(1) } else { 1 };
            for y in 0..lines {
                for (first, side, pixels) in [(0, side, w / side), (w - w % side, w % side, 1)] {
                    if side > 0 {
                        let input = self.arena.start().wrapping_add(address(x, y, first) + at);
                        let tile = SumTile { input, step: side * x.pixel as usize, pixels };
                        // SAFETY: channels of pixels of line `y` (check); the CPU has the set's features.
                        unsafe { (self.kernels.sum)(&tile, sum.get_mut(..(side - 1) * n + end - at)?) };
                    }
                }
            }
            if side > 1 {
                for k in n..side * n {
                    sum[k % n] += sum[k];
                }
            }
            for (k, sum) in (at..end).zip(sum) {
                let y = sum as f32 * m[k] + b[k];
                match out.dtype() {
                    Dtype::U8 => result[k] = crate::kernels::scalar::code(y, 0.0, 255.0),
                    Dtype::F32 => result.get_mut(4 * k..4 * k + 4)?.copy_from_slice(&y.to_le_bytes()),
                }
            }
        }
        Some(())
    }

    fn global_max(&self, [x, out]: [&Tensor; 2], target: &Target) -> Option<()> {
        let result = self.result(target, 0, out);
        for y in 0..x.h as usize {
            for col in 0..x.w as usize {
                let row = self.row(x, y, col);
                match (y, col) {
                    (0, 0) => result.copy_from_slice(row),
                    // SAFETY: the CPU has the set's features.
                    _ => unsafe { (self.kernels.max)(row, result) },
                }
            }
        }
        Some(())
    }

    fn index(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let p = self.model.record::<Index>(step.param)?;
        let ys = self.array::<u16>(p.ys, out.h as usize);
        let xs = self.array::<u16>(p.xs, out.w as usize);
        for (i, (y, col)) in tile.pixels().enumerate() {
            let (sy, sx) = (*ys.get(y as usize)?, *xs.get(col as usize)?);
            let row =
                if sy == FILL || sx == FILL { self.array::<u8>(p.fill, row_bytes(out)) } else { self.row(x, sy as usize, sx as usize) };
            self.result(target, i, out).copy_from_slice(row);
        }
        Some(())
    }

    fn bilinear(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let p = self.model.record::<Bilinear>(step.param)?;
        let ys = self.array::<Lerp>(p.ys, out.h as usize);
        let xs = self.array::<Lerp>(p.xs, out.w as usize);
        let (mut corners, mut parts) = ([[0u32; 4]; TILE], [[0u16; 2]; TILE]);
        // The two lines, and the weight of the second, of output line `at`.
        let (mut at, mut lines, mut ty) = (None, [0u32; 2], 0);
        for ((corners, parts), (y, col)) in corners.iter_mut().zip(&mut parts).zip(tile.pixels()) {
            if at != Some(y) {
                let ly = ys.get(y as usize)?;
                lines = [ly.lo, ly.hi].map(|line| address(x, line as usize, 0) as u32);
                (at, ty) = (Some(y), ly.t as u16);
            }
            let lx = xs.get(col as usize)?;
            let [lo, hi] = [lx.lo, lx.hi].map(|col| col as u32 * x.pixel);
            *corners = [lines[0] + lo, lines[0] + hi, lines[1] + lo, lines[1] + hi];
            *parts = [ty, lx.t as u16];
        }
        let n = tile.len();
        match out.dtype() {
            Dtype::U8 => {
                let tile = LerpTile {
                    input: self.arena.start(),
                    corners: &corners[..n],
                    parts: &parts[..n],
                    c: out.c as usize,
                    output: target.start,
                    rows_out: target.rows,
                };
                // SAFETY: rows of the input and the output (check); the CPU has the set's features.
                unsafe { (self.kernels.lerp)(&tile) }
            }
            Dtype::F32 => {
                for (i, (corners, [ty, tx])) in corners[..n].iter().zip(&parts).enumerate() {
                    // SAFETY: as for every row read.
                    let four = corners.map(|at| reals(unsafe { self.arena.bytes(at as usize, row_bytes(x)) }));
                    let (ty, tx) = (*ty as u32, *tx as u32);
                    let weights = [(256 - ty) * (256 - tx), (256 - ty) * tx, ty * (256 - tx), ty * tx];
                    for (k, r) in self.result(target, i, out).as_chunks_mut::<4>().0.iter_mut().enumerate() {
                        let at = |j: usize| f32::from_le_bytes(four[j][k]) * (weights[j] as f32 / 65536.0);
                        *r = (at(0) + at(1) + at(2) + at(3)).to_le_bytes();
                    }
                }
            }
        }
        Some(())
    }

    fn depth_to_space(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let block = self.model.record::<Block>(step.param)?.block as usize;
        let bytes = row_bytes(out);
        for (i, (y, col)) in tile.pixels().map(|r| (r.0 as usize, r.1 as usize)).enumerate() {
            let part = (y % block * block + col % block) * bytes;
            let row = self.row(x, y / block, col / block).get(part..part + bytes)?;
            self.result(target, i, out).copy_from_slice(row);
        }
        Some(())
    }

    fn space_to_depth(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let block = self.model.record::<Block>(step.param)?.block as usize;
        for (i, (y, col)) in tile.pixels().map(|r| (r.0 as usize, r.1 as usize)).enumerate() {
            let parts = self.result(target, i, out).chunks_exact_mut(row_bytes(x));
            for (k, part) in parts.enumerate() {
                part.copy_from_slice(self.row(x, y * block + k / block, col * block + k % block));
            }
        }
        Some(())
    }

    fn channels(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let index = self.array::<u32>(self.model.record::<Channels>(step.param)?.index, out.c as usize);
        let size = out.dtype().size();
        if size == 1 {
            let tile = PickTile {
                input: self.arena.start(),
                rows_in: tile.rows(List::Input),
                c: x.c as usize,
                index,
                output: target.start,
                rows_out: target.rows,
            };
            // SAFETY: rows of the input and the output, indices below `c` (check); the CPU has the set's features.
            unsafe { (self.kernels.pick)(&tile) };
            return Some(());
        }
        for (i, (y, col)) in tile.pixels().enumerate() {
            pick(self.row(x, y as usize, col as usize), self.result(target, i, out), index, size);
        }
        Some(())
    }

    fn permute(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let p = self.model.record::<Channels>(step.param)?;
        let c = out.c as usize;
        // SAFETY: as for every row read; the map is contiguous (check).
        let all = unsafe { self.arena.bytes(x.origin as usize, x.rows() * row_bytes(x)) };
        for (i, (y, col)) in tile.pixels().enumerate() {
            let row = y as usize * out.w as usize + col as usize;
            let index = self.array::<u32>(p.index, (row + 1) * c).get(row * c..)?;
            pick(all, self.result(target, i, out), index, out.dtype().size());
        }
        Some(())
    }

    fn reduce(&self, step: &Step, [x, out]: [&Tensor; 2], tile: &Tile, target: &Target) -> Option<()> {
        let p = self.model.record::<Reduce>(step.param)?;
        for (i, (y, col)) in tile.pixels().enumerate() {
            let a = self.operand(x, &p.a, self.row(x, y as usize, col as usize));
            let sum = (0..x.c as usize).fold(0.0, |s, k| s + a.get(k));
            self.result_row(target, i, out, &p.out).put(0, sum * p.factor);
        }
        Some(())
    }
}

/// The real taps of a window along one axis: first input coordinate and their number.
fn clip(w: &Window, axis: usize, out: u16, extent: u32) -> (usize, u16) {
    let (kernel, dilation) = (w.kernel[axis] as isize, w.dilation[axis] as isize);
    let first = out as isize * w.stride[axis] as isize - w.pad[axis] as isize;
    if first >= 0 && first + (kernel - 1) * dilation < extent as isize {
        return (first as usize, kernel as u16);
    }
    let skip = if first < 0 { (-first + dilation - 1) / dilation } else { 0 };
    let start = first + skip * dilation;
    let fit = (extent as isize - start + dilation - 1) / dilation;
    (start.max(0) as usize, (kernel - skip).min(fit).max(1) as u16)
}

/// `out[k] = x[index[k]]`, elements of `size` bytes.
fn pick(x: &[u8], out: &mut [u8], index: &[u32], size: usize) {
    if size == 1 {
        for (out, k) in out.iter_mut().zip(index) {
            *out = x.get(*k as usize).copied().unwrap_or(0);
        }
    } else if size == 4 {
        let (x, out) = (x.as_chunks::<4>().0, out.as_chunks_mut::<4>().0);
        for (out, k) in out.iter_mut().zip(index) {
            *out = x.get(*k as usize).copied().unwrap_or_default();
        }
    } else {
        for (out, k) in out.chunks_exact_mut(size).zip(index) {
            if let Some(x) = x.get(*k as usize * size..).and_then(|x| x.get(..size)) {
                out.copy_from_slice(x);
            }
        }
    }
}
