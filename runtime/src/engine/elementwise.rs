//! Steps that take rows to the rows at the same place: done for a run of adjacent pixels at a time.
//!
//! Where pixels follow one another without gaps in every operand and in the result, a run of them is one long row, in
//! which per-channel arrays repeat. A dense step over maps without gaps is a single run.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::Engine;
use super::linked::RunRows;
use super::moves::{copy_piece, copy_pieces};
use super::ops::{BINARY, MAP, address, all, reals, row_bytes};
use super::room::{PIECE, REPEATED, REPEATED_FOR_TWO};
use super::tiles::{List, Tile};
use crate::format::{Affine, Binary, Dtype, Map, MapFn, NONE, Op, Reduce, Step, Table, Tensor};
use crate::kernels::{BEYOND, BLOCK, Bin, Operand, Real, Row, TablesTile, Uni};

/// Room for a repeated array: `LEN` values, or none where none is repeated.
type Room<const N: usize> = [MaybeUninit<f32>; N];

const LEN: usize = REPEATED + BEYOND;

/// So many rooms of `N` values.
const fn rooms<const N: usize, const ROOMS: usize>() -> [Room<N>; ROOMS] {
    [[MaybeUninit::uninit(); N]; ROOMS]
}

/// `n` pixels without gaps.
pub(super) struct Run {
    /// The first operand's first row.
    a: *const u8,
    /// The second operand's first row.
    b: *const u8,
    out: *mut u8,
    n: usize,
}

/// `c` values and the first ones again.
fn repeat<const N: usize>(room: &mut Room<N>, c: usize, value: impl Fn(usize) -> f32) -> &[f32] {
    let n = (c + BEYOND).min(N);
    for k in 0..c.min(n) {
        room[k].write(value(k));
    }
    for k in c..n {
        room[k] = room[k - c];
    }
    // SAFETY: the first `n` values are written.
    unsafe { core::slice::from_raw_parts(room.as_ptr().cast(), n) }
}

/// As many values as runs of `n` rows take.
fn array<'r, const N: usize>(room: &'r mut Room<N>, values: &'r [f32], n: usize) -> &'r [f32] {
    let c = values.len();
    if n == 1 || c.is_multiple_of(BLOCK) || c + BEYOND > N { values } else { repeat(room, c, |k| values[k]) }
}

/// The rows of a map, or of a constant as large as one.
#[derive(Clone, Copy)]
struct Source {
    /// The first pixel.
    at: *const u8,
    line: usize,
    pixel: usize,
    /// Bytes of a row.
    size: usize,
}

impl Source {
    /// Where line `y` begins.
    fn start(&self, y: usize) -> *const u8 {
        self.at.wrapping_add(y * self.line)
    }

    /// Whether there are gaps between pixels.
    fn gaps(&self) -> bool {
        self.pixel != self.size
    }
}

/// Lines of `n` pixels a step apart each, of which the widest has `most` bytes.
struct Lines {
    operands: [Option<Source>; 2],
    out: Source,
    count: usize,
    n: usize,
    most: usize,
}

/// Whether rows of `size` bytes lie one after another.
fn follow(at: &[u32], size: usize) -> bool {
    at.iter().enumerate().all(|(i, at_i)| *at_i as usize == at[0] as usize + i * size)
}

/// What runs rows of an element-wise operator.
// Three arguments: what calls it ends there, and its frame is gone.
pub(super) const fn run_of(op: Op) -> RunRows {
    match op {
        Op::Copy => |e, step, run| {
            let [x, out] = e.ends(step)?;
            e.bytes_out(run, out).copy_from_slice(e.bytes_in(run, x));
            Some(())
        },
        Op::Table => |e, step, run| {
            let [x, out] = e.ends(step)?;
            let table = e.table(e.model.record::<Table>(step.param)?.table)?;
            // SAFETY: the CPU has the set's features (chosen by `kernels::select`).
            unsafe { (e.kernels.table)(e.bytes_in(run, x), e.bytes_out(run, out), table) };
            Some(())
        },
        Op::Tables => |e, step, run| {
            let c = e.ends(step)?[1].c as usize;
            e.tables(step, run.a, run.out, [c, c], run.n)
        },
        Op::Map => |e, step, run| e.map_run(step, run),
        Op::Binary => |e, step, run| e.binary(step, run),
        Op::Softmax => |e, step, run| e.softmax(step, run),
        _ => |_, _, _| None,
    }
}

impl<'a> Engine<'a> {
    /// Whether the operator is one of those here.
    pub(super) fn elementwise(op: Op) -> bool {
        matches!(op, Op::Copy | Op::Table | Op::Tables | Op::Map | Op::Binary | Op::Softmax)
    }

    fn source(&self, t: &Tensor) -> Source {
        Source {
            at: self.arena.start().wrapping_add(t.origin as usize),
            line: t.line as usize,
            pixel: t.pixel as usize,
            size: row_bytes(t),
        }
    }

    /// The operands that have a row for every result row.
    fn sources(&self, step: &Step, out: &Tensor) -> Option<[Option<Source>; 2]> {
        let a = self.source(self.model.tensors.get(step.inputs[0] as usize)?);
        if step.op != Op::Binary as u16 {
            return Some([Some(a), None]);
        }
        let p = self.model.record::<Binary>(step.param)?;
        let b = match (p.broadcast & 1 != 0, step.inputs_len) {
            (true, _) => None,
            (false, 2) => Some(self.source(self.model.tensors.get(step.inputs[1] as usize)?)),
            (false, _) => {
                let c = if p.broadcast & 2 != 0 { 1 } else { out.c as usize };
                let at = self.array::<Real>(p.constant, out.rows() * c).as_ptr().cast();
                let pixel = c * size_of::<Real>();
                Some(Source { at, line: out.w as usize * pixel, pixel, size: pixel })
            }
        };
        Some([if p.broadcast & 4 != 0 { None } else { Some(a) }, b])
    }

    /// All rows of some lines, or of some columns of a single line; `None` only for records the check refuses.
    #[inline(never)]
    pub(super) fn dense_elementwise(&self, step: &Step, lines: Range<usize>) -> Option<()> {
        let lines = self.lines(step, lines);
        let lines = lines.as_ref()?;
        (0..lines.count).try_for_each(|y| self.line(step, lines, y))
    }

    /// Where these lines are.
    // Apart from its caller, whose frame lies below those of the kernels.
    #[inline(never)]
    fn lines(&self, step: &Step, lines: Range<usize>) -> Option<Lines> {
        let out = self.model.tensors.get(step.output as usize)?;
        // A single line stands up as a column.
        let stand = |s: Source| if out.h == 1 { Source { line: s.pixel, ..s } } else { s };
        let [a, b] = self.sources(step, out)?.map(|s| s.map(stand));
        let result = stand(self.source(out));
        let (h, w) = (lines.len(), if out.h == 1 { 1 } else { out.w as usize });
        let even = [Some(result), a, b].iter().flatten().all(|s| w == 1 || s.line == w * s.pixel);
        let (count, n) = if even { (1, h * w) } else { (h, w) };
        // A column is a line with other steps.
        let across = |s: Source| Source { pixel: if w == 1 { s.line } else { s.pixel }, ..s };
        let place = |s: Source| Source { at: s.start(lines.start), ..across(s) };
        let (operands, out) = ([a, b].map(|s| s.map(place)), place(result));
        let most = [Some(out), a, b].iter().flatten().map(|s| s.size).max()?;
        Some(Lines { operands, out, count, n, most })
    }

    /// One of the lines.
    #[inline(never)]
    fn line(&self, step: &Step, lines: &Lines, y: usize) -> Option<()> {
        let Lines { operands, out, n, .. } = lines;
        let ([a, b], target) = (operands, out.start(y).cast_mut());
        if let (Some(a), true) = (a, step.op == Op::Copy as u16) {
            // SAFETY: rows of the input and of the output, which do not overlap (check).
            unsafe { copy_pieces(a.start(y), a.pixel, target, out.pixel, out.size, *n) };
            return Some(());
        }
        if let (Some(a), true) = (a, step.op == Op::Tables as u16) {
            return self.tables(step, a.start(y), target, [a.pixel, out.pixel], *n);
        }
        if *n > 1 && (out.gaps() || operands.iter().flatten().any(Source::gaps)) {
            return self.pieces(step, lines, y);
        }
        let start = |s: &Option<Source>| s.map_or(core::ptr::null(), |s| s.start(y));
        self.run_packed(step, &Run { a: start(a), b: start(b), out: target, n: *n })
    }

    /// The same in pieces, copied to where they have no gaps between pixels.
    #[inline(never)]
    fn pieces(&self, step: &Step, lines: &Lines, y: usize) -> Option<()> {
        let Lines { operands: [a, b], out, n, most, .. } = lines;
        let mut rooms = [[MaybeUninit::<u8>::uninit(); PIECE]; 3];
        let [room_a, room_b, room_out] = rooms.each_mut().map(|room| room.as_mut_ptr().cast::<u8>());
        let side = (PIECE / most).max(1);
        for first in (0..*n).step_by(side) {
            let n = side.min(n - first);
            // Pixels wider than a piece are taken where they are.
            let fits = n * most <= PIECE;
            let operand = |s: &Option<Source>, room: *mut u8| {
                let Some(s) = s else { return core::ptr::null() };
                let from = s.start(y).wrapping_add(first * s.pixel);
                if !(fits && s.gaps()) {
                    return from;
                }
                // SAFETY: `n` rows of an operand; the room holds them.
                unsafe { copy_pieces(from, s.pixel, room, s.size, s.size, n) };
                room.cast_const()
            };
            let target = out.start(y).cast_mut().wrapping_add(first * out.pixel);
            let staged = fits && out.gaps();
            let (a, b) = (operand(a, room_a), operand(b, room_b));
            self.run_packed(step, &Run { a, b, out: if staged { room_out } else { target }, n })?;
            if staged {
                // SAFETY: `n` rows of the output, now in the room.
                unsafe { copy_pieces(room_out, out.size, target, out.pixel, out.size, n) };
            }
        }
        Some(())
    }

    /// Some rows, their results from `start` on: gathered where they do not follow one another, done together, and scattered.
    #[inline(never)]
    pub(super) fn rows_elementwise(&self, step: &Step, tile: &mut Tile, start: *mut u8) -> Option<()> {
        let out = self.model.tensors.get(step.output as usize)?;
        let [a, b] = self.sources(step, out)?;
        let size = row_bytes(out);
        let most = [a, b].iter().flatten().map(|s| s.size).fold(size, usize::max);
        let side = (PIECE / most).max(1);
        let mut rooms = [[MaybeUninit::<u8>::uninit(); PIECE]; 3];
        let [room_a, room_b, room_out] = rooms.each_mut().map(|room| room.as_mut_ptr().cast::<u8>());
        for (s, list) in [a, b].iter().zip([List::Input, List::Second]) {
            if let Some(s) = s {
                tile.list(list, 0, s.line as u32, s.pixel as u32);
            }
        }
        let tile = &*tile;
        for (done, targets) in (0..).step_by(side).zip(tile.rows(List::Output).chunks(side)) {
            let n = targets.len();
            let operand = |s: Option<Source>, list: List, room: *mut u8| {
                let Some(s) = s else { return core::ptr::null() };
                // From its pixel (0, 0) on.
                let at = &tile.rows(list)[done..][..n];
                if follow(at, s.size) {
                    return s.at.wrapping_add(at[0] as usize);
                }
                for (i, at) in at.iter().enumerate() {
                    // SAFETY: a row of an operand; the room holds `side` of them.
                    unsafe { copy_piece(s.at.wrapping_add(*at as usize), room.add(i * s.size), s.size) };
                }
                room.cast_const()
            };
            let (a, b) = (operand(a, List::Input, room_a), operand(b, List::Second, room_b));
            let first = start.wrapping_add(*targets.first()? as usize);
            let staged = !follow(targets, size);
            self.run_packed(step, &Run { a, b, out: if staged { room_out } else { first }, n })?;
            for (i, at) in targets.iter().enumerate().filter(|_| staged) {
                // SAFETY: a row of the result, now in the room.
                unsafe { copy_piece(room_out.add(i * size), start.add(*at as usize), size) };
            }
        }
        Some(())
    }

    /// `n` pixels by a table for each channel.
    fn tables(&self, step: &Step, input: *const u8, output: *mut u8, steps: [usize; 2], pixels: usize) -> Option<()> {
        let c = self.model.tensors.get(step.output as usize)?.c as usize;
        let tables = self.array::<u8>(self.model.record::<Table>(step.param)?.table, 256 * c).as_chunks().0;
        // SAFETY: rows of the input and of the output, which do not overlap (check), or copies; the CPU has the set's features.
        unsafe { (self.kernels.tables)(&TablesTile { input, output, step: steps, pixels, tables }) };
        Some(())
    }

    fn run_packed(&self, step: &Step, run: &Run) -> Option<()> {
        (self.kernels.linked.of(Op::new(step.op)?)?.run)(self, step, run)
    }

    /// First input and output.
    fn ends(&self, step: &Step) -> Option<[&'a Tensor; 2]> {
        Some([self.model.tensors.get(step.inputs[0] as usize)?, self.model.tensors.get(step.output as usize)?])
    }

    /// The rows of a run's operand.
    fn bytes_in(&self, run: &Run, x: &Tensor) -> &'a [u8] {
        // SAFETY: rows of an operand or copies of them, disjoint from rows written in the same step (check).
        unsafe { core::slice::from_raw_parts(run.a, run.n * row_bytes(x)) }
    }

    fn map_run(&self, step: &Step, run: &Run) -> Option<()> {
        let [x, out] = self.ends(step)?;
        if run.n == 1 || (out.c as usize).is_multiple_of(BLOCK) {
            return self.map::<0>(step, run);
        }
        if out.c as usize > REPEATED {
            return self.one_by_one(step, x, x, out, run);
        }
        self.map::<LEN>(step, run)
    }

    /// A function of one operand.
    #[inline(never)]
    fn map<const N: usize>(&self, step: &Step, run: &Run) -> Option<()> {
        let [x, out] = self.ends(step)?;
        let c = out.c as usize;
        let [r0, r1, r2, r3, r4] = &mut rooms::<N, 5>();
        let p = self.model.record::<Map>(step.param)?;
        let f = *MAP.get(p.function as usize)?;
        let slope = if f == MapFn::PRelu { self.array(p.slope, c) } else { &[] };
        let a = self.values(x, &p.a, self.bytes_in(run, x), [r0, r1], run.n);
        let slope = array(r2, slope, run.n);
        let mut row = self.result_run(run, out, &p.out, [r3, r4], (p.lo, p.hi), None);
        // SAFETY: the CPU has the set's features.
        unsafe { (self.kernels.map)(&Uni { f, period: c, p: p.p, slope, a }, &mut row) };
        Some(())
    }

    /// Arrays are those of one row: rows are done one after another.
    #[inline(never)]
    fn softmax(&self, step: &Step, run: &Run) -> Option<()> {
        let [x, out] = self.ends(step)?;
        let p = self.model.record::<Reduce>(step.param)?;
        let a = self.values(x, &p.a, self.bytes_in(run, x), [&mut [], &mut []], 1);
        let mut row = self.result_run(run, out, &p.out, [&mut [], &mut []], all(out), None);
        // SAFETY: the CPU has the set's features.
        unsafe { (self.kernels.softmax)(&a, out.c as usize, &mut row) };
        Some(())
    }

    fn bytes_out(&self, run: &Run, out: &Tensor) -> &'a mut [u8] {
        // SAFETY: rows of the output or of the staging area (the check proves the extents), disjoint from every row
        // read; each is handed out once at a time.
        unsafe { core::slice::from_raw_parts_mut(run.out, run.n * row_bytes(out)) }
    }

    /// Each row of a run as a run.
    fn one_by_one(&self, step: &Step, a: &Tensor, b: &Tensor, out: &Tensor, run: &Run) -> Option<()> {
        for i in 0..run.n {
            let out = run.out.wrapping_add(i * row_bytes(out));
            let (a, b) = (run.a.wrapping_add(i * row_bytes(a)), run.b.wrapping_add(i * row_bytes(b)));
            self.run_packed(step, &Run { a, b, out, n: 1 })?;
        }
        Some(())
    }

    /// The operand of a run.
    fn values<'r, const N: usize>(
        &self, t: &Tensor, affine: &Affine, bytes: &'r [u8], [scale, offset]: [&'r mut Room<N>; 2], n: usize,
    ) -> Operand<'r>
    where
        'a: 'r,
    {
        let c = t.c as usize;
        match t.dtype() {
            Dtype::F32 => Operand::Reals(reals(bytes)),
            Dtype::U8 => Operand::Codes {
                codes: bytes,
                scale: array(scale, self.array(affine.scale, c), n),
                offset: array(offset, self.array(affine.offset, c), n),
            },
        }
    }

    fn result_run<'r, const N: usize>(
        &self, run: &Run, out: &Tensor, affine: &Affine, [r0, r1]: [&'r mut Room<N>; 2], (lo, hi): (f32, f32), table: Option<&'r [u8; 256]>,
    ) -> Row<'r>
    where
        'a: 'r,
    {
        let bytes = self.bytes_out(run, out);
        let c = out.c as usize;
        match out.dtype() {
            Dtype::F32 => Row::Reals { reals: bytes.as_chunks_mut().0, lo, hi },
            Dtype::U8 => Row::Codes {
                codes: bytes,
                scale: array(r0, self.array(affine.scale, c), run.n),
                offset: array(r1, self.array(affine.offset, c), run.n),
                lo,
                hi,
                table,
            },
        }
    }

    fn binary(&self, step: &Step, run: &Run) -> Option<()> {
        let [x, out] = self.ends(step)?;
        let p = self.model.record::<Binary>(step.param)?;
        let bit = |n: u32| p.broadcast >> n & 1 != 0;
        let y = if step.inputs_len == 2 { self.model.tensors.get(step.inputs[1] as usize) } else { None };
        let c = out.c as usize;
        // A value for each row, or for too many channels.
        let shared = bit(0) && !bit(1) || bit(2) && !bit(3);
        let long = c > REPEATED_FOR_TWO && (shared || !c.is_multiple_of(BLOCK));
        if run.n > 1 && (bit(1) && !bit(0) || bit(3) && !bit(2) || long) {
            for i in 0..run.n {
                let constant = if bit(1) { 1 } else { c } * size_of::<Real>();
                let (a, b) = (i * row_bytes(x), i * y.map_or(constant, row_bytes));
                let a = if bit(2) { run.a } else { run.a.wrapping_add(a) };
                let b = if bit(0) { run.b } else { run.b.wrapping_add(b) };
                let out_at = run.out.wrapping_add(i * row_bytes(out));
                let one = Run { a, b, out: out_at, n: 1 };
                self.two_operands::<0>(p, x, y, out, &one)?;
            }
            return Some(());
        }
        match REPEATED_FOR_TWO == 0 || run.n == 1 || c.is_multiple_of(BLOCK) && !(bit(0) || bit(2)) {
            true => self.two_operands::<0>(p, x, y, out, run),
            false => self.two_operands::<LEN>(p, x, y, out, run),
        }
    }

    /// A function of two operands, on rows that go together.
    #[inline(never)]
    fn two_operands<const N: usize>(&self, p: &Binary, x: &Tensor, y: Option<&Tensor>, out: &Tensor, run: &Run) -> Option<()> {
        let f = *BINARY.get(p.function as usize)?;
        let bit = |n: u32| p.broadcast >> n & 1 != 0;
        let table = if p.table == NONE { None } else { Some(self.table(p.table)?) };
        let c = out.c as usize;
        let [r0, r1, r2, r3, r4, r5] = &mut rooms::<N, 6>();
        let a = self.side(x, &p.a, run.a, run.n, bit(2), bit(3), [r0, r1]);
        let b = match y {
            Some(y) => self.side(y, &p.b, run.b, run.n, bit(0), bit(1), [r2, r3]),
            None => {
                let c = if bit(1) { 1 } else { c };
                let row = match bit(0) {
                    true => self.array::<Real>(p.constant, c),
                    // SAFETY: rows of the constant or copies of them.
                    false => unsafe { core::slice::from_raw_parts(run.b.cast::<Real>(), run.n * c) },
                };
                match (bit(1), bit(0) && run.n > 1) {
                    (true, _) => Operand::One(f32::from_le_bytes(*row.first()?)),
                    (false, true) => Operand::Repeat(repeat(r2, c, |k| f32::from_le_bytes(row[k]))),
                    (false, false) => Operand::Reals(row),
                }
            }
        };
        let mut row = self.result_run(run, out, &p.out, [r4, r5], (p.lo, p.hi), table);
        // SAFETY: the CPU has the set's features.
        unsafe { (self.kernels.binary)(&Bin { f, period: c, a, b }, &mut row) };
        Some(())
    }

    /// An operand of a run of `n` rows: of as many rows, or of one (`one_row`), of all channels or of one.
    #[allow(clippy::too_many_arguments)]
    fn side<'r, const N: usize>(
        &self, t: &Tensor, affine: &Affine, at: *const u8, n: usize, one_row: bool, one_channel: bool, rooms: [&'r mut Room<N>; 2],
    ) -> Operand<'r>
    where
        'a: 'r,
    {
        let at = if one_row { self.arena.start().wrapping_add(address(t, 0, 0)).cast_const() } else { at };
        let rows = if one_row { 1 } else { n };
        // SAFETY: as for every row read.
        let bytes = unsafe { core::slice::from_raw_parts(at, rows * row_bytes(t)) };
        if one_channel || (one_row && n > 1) {
            let [r0, _] = rooms;
            let row = self.values(t, affine, bytes, [&mut [], &mut []], 1);
            return match one_channel {
                true => Operand::One(if bytes.is_empty() { 0.0 } else { row.get(0) }),
                false => Operand::Repeat(repeat(r0, t.c as usize, |k| row.get(k))),
            };
        }
        self.values(t, affine, bytes, rooms, n)
    }
}
