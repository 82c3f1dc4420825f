//! Steps that take rows to the rows at the same place: done for a run of adjacent pixels at a time.
//!
//! Where pixels follow one another without gaps in every operand and in the result, a run of them is one long row, in
//! which per-channel arrays repeat. A dense step over maps without gaps is a single run.

use core::mem::MaybeUninit;

use super::Engine;
use super::moves::copy_pieces;
use super::ops::{BINARY, MAP, Target, address, reals, row_bytes};
use crate::format::{Affine, Binary, Dtype, Map, MapFn, NONE, Op, Reduce, Step, Table, Tensor};
use crate::kernels::{BEYOND, BLOCK, Bin, Operand, Real, Row, Uni};

/// Channels above which arrays are not repeated: there a call per row costs little.
const REPEATED: usize = 256 - BLOCK;

/// Room for a repeated array.
type Room = [MaybeUninit<f32>; REPEATED + BEYOND];

const ROOM: Room = [MaybeUninit::uninit(); REPEATED + BEYOND];

/// `n` pixels from pixel `row` of the map on.
struct Run {
    /// The first operand's first row.
    a: *const u8,
    /// The second operand's first row.
    b: *const u8,
    out: *mut u8,
    row: usize,
    n: usize,
}

/// `c` values and the first ones again.
fn repeat(room: &mut Room, c: usize, value: impl Fn(usize) -> f32) -> &[f32] {
    let n = (c + BEYOND).min(room.len());
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
fn array<'r>(room: &'r mut Room, values: &'r [f32], n: usize) -> &'r [f32] {
    let c = values.len();
    if n == 1 || c.is_multiple_of(BLOCK) || c > REPEATED { values } else { repeat(room, c, |k| values[k]) }
}

/// Bytes of the pieces in which pixels with gaps between them are worked on.
const PIECE: usize = 1024;

/// Bytes from a pixel to the next.
fn step_of(t: &Tensor) -> usize {
    if t.w == 1 { t.line as usize } else { t.pixel as usize }
}

/// Whether the pixels of a line follow one another without gaps.
fn packed(t: &Tensor) -> bool {
    t.pixel as usize == row_bytes(t)
}

impl<'a> Engine<'a> {
    /// Whether the operator is one of those here.
    pub(super) fn elementwise(op: Op) -> bool {
        matches!(op, Op::Copy | Op::Table | Op::Map | Op::Binary | Op::Softmax)
    }

    /// The second operand, if it has a row for every result row.
    fn second(&self, step: &Step) -> Option<&'a Tensor> {
        if step.op != Op::Binary as u16 || step.inputs_len < 2 {
            return None;
        }
        let p = self.model.record::<Binary>(step.param)?;
        if p.broadcast & 1 != 0 { None } else { self.model.tensors.get(step.inputs[1] as usize) }
    }

    /// The first operand, unless one row serves all.
    fn first(&self, step: &Step) -> Option<&'a Tensor> {
        let one = step.op == Op::Binary as u16 && self.model.record::<Binary>(step.param)?.broadcast & 4 != 0;
        if one { None } else { self.model.tensors.get(step.inputs[0] as usize) }
    }

    /// A whole step.
    pub(super) fn dense_elementwise(&self, step: &Step) -> Option<()> {
        let out = self.model.tensors.get(step.output as usize)?;
        let (a, b) = (self.first(step), self.second(step));
        let all = [Some(out), a, b];
        let (h, w) = (out.h as usize, out.w as usize);
        let even = all.iter().flatten().all(|t| t.w == 1 || t.line == t.w * t.pixel);
        let (count, n) = if even { (1, h * w) } else { (h, w) };
        for i in 0..count {
            let row = i * n;
            let at = |t: Option<&Tensor>| self.arena.start().wrapping_add(t.map_or(0, |t| address(t, row / w, row % w)));
            self.run(step, all, &Run { a: at(a), b: at(b), out: at(Some(out)), row, n })?;
        }
        Some(())
    }

    /// Some rows.
    pub(super) fn rows_elementwise(&self, step: &Step, rows: &[(u16, u16)], target: &Target) -> Option<()> {
        let out = self.model.tensors.get(step.output as usize)?;
        let (a, b) = (self.first(step), self.second(step));
        let bytes = row_bytes(out) as u32;
        let lines = [a, b].iter().flatten().all(|t| packed(t));
        let mut i = 0;
        while i < rows.len() {
            let (y, x) = rows[i];
            let mut n = 1;
            while lines
                && i + n < rows.len()
                && rows[i + n] == (y, x + n as u16)
                && target.rows[i + n] == target.rows[i] + n as u32 * bytes
            {
                n += 1;
            }
            let (y, x) = (y as usize, x as usize);
            let at = |t: Option<&Tensor>| self.arena.start().wrapping_add(t.map_or(0, |t| address(t, y, x)));
            let out_at = target.start.wrapping_add(target.rows[i] as usize);
            self.run_packed(step, &Run { a: at(a), b: at(b), out: out_at, row: y * out.w as usize + x, n })?;
            i += n;
        }
        Some(())
    }

    /// A run of pixels with gaps between them, in the result and the operands `[out, a, b]`.
    fn run(&self, step: &Step, [out, a, b]: [Option<&Tensor>; 3], run: &Run) -> Option<()> {
        let Some(out) = out else { return None };
        let (to, size) = (step_of(out), row_bytes(out));
        if let (Some(a), true) = (a, step.op == Op::Copy as u16) {
            // SAFETY: rows of the input and of the output, which do not overlap (check).
            unsafe { copy_pieces(run.a, step_of(a), run.out, to, size, run.n) };
            return Some(());
        }
        let gaps = |t: Option<&Tensor>| t.is_some_and(|t| step_of(t) != row_bytes(t));
        let most = [Some(out), a, b].iter().flatten().map(|t| row_bytes(t)).max()?;
        if run.n == 1 || !(gaps(Some(out)) || gaps(a) || gaps(b)) {
            return self.run_packed(step, run);
        }
        let mut rooms = [[MaybeUninit::<u8>::uninit(); PIECE]; 3];
        let [room_a, room_b, room_out] = rooms.each_mut().map(|room| room.as_mut_ptr().cast::<u8>());
        let side = (PIECE / most).max(1);
        let mut first = 0;
        while first < run.n {
            let n = side.min(run.n - first);
            // Pixels wider than a piece are taken where they are.
            let fits = n * most <= PIECE;
            let operand = |t: Option<&Tensor>, at: *const u8, room: *mut u8| match t {
                Some(t) if fits && gaps(Some(t)) => {
                    let from = at.wrapping_add(first * step_of(t));
                    // SAFETY: `n` rows of an operand; the room holds them.
                    unsafe { copy_pieces(from, step_of(t), room, row_bytes(t), row_bytes(t), n) };
                    room.cast_const()
                }
                Some(t) => at.wrapping_add(first * step_of(t)),
                None => at,
            };
            let (a, b) = (operand(a, run.a, room_a), operand(b, run.b, room_b));
            let target = run.out.wrapping_add(first * to);
            let staged = fits && gaps(Some(out));
            let part = Run { a, b, out: if staged { room_out } else { target }, row: run.row + first, n };
            self.run_packed(step, &part)?;
            if staged {
                // SAFETY: `n` rows of the output, now in the room.
                unsafe { copy_pieces(room_out, size, target, to, size, n) };
            }
            first += n;
        }
        Some(())
    }

    fn run_packed(&self, step: &Step, run: &Run) -> Option<()> {
        let x = self.model.tensors.get(step.inputs[0] as usize)?;
        let out = self.model.tensors.get(step.output as usize)?;
        let c = out.c as usize;
        let input = || {
            // SAFETY: rows of an operand or copies of them, disjoint from rows written in the same step (check).
            unsafe { core::slice::from_raw_parts(run.a, run.n * row_bytes(x)) }
        };
        let mut rooms = [ROOM; 5];
        let [r0, r1, r2, r3, r4] = &mut rooms;
        match Op::new(step.op)? {
            Op::Copy => self.bytes_out(run, out).copy_from_slice(input()),
            Op::Table => {
                let table = self.table(self.model.record::<Table>(step.param)?.table)?;
                // SAFETY: the CPU has the set's features (chosen by `kernels::select`).
                unsafe { (self.kernels.table)(input(), self.bytes_out(run, out), table) }
            }
            Op::Map => {
                if run.n > 1 && c > REPEATED && !c.is_multiple_of(BLOCK) {
                    return self.one_by_one(step, x, x, out, run);
                }
                let p = self.model.record::<Map>(step.param)?;
                let f = *MAP.get(p.function as usize)?;
                let slope = if f == MapFn::PRelu { self.array(p.slope, c) } else { &[] };
                let a = self.values(x, &p.a, input(), [r0, r1], run.n);
                let slope = array(r2, slope, run.n);
                let mut row = self.result_run(run, out, &p.out, [r3, r4], (p.lo, p.hi), None);
                // SAFETY: the CPU has the set's features.
                unsafe { (self.kernels.map)(&Uni { f, period: c, p: p.p, slope, a }, &mut row) };
            }
            Op::Softmax => {
                let p = self.model.record::<Reduce>(step.param)?;
                let a = self.values(x, &p.a, input(), [r0, r1], 1);
                let mut row = self.result_run(run, out, &p.out, [r3, r4], (f32::MIN, f32::MAX), None);
                // SAFETY: the CPU has the set's features.
                unsafe { (self.kernels.softmax)(&a, c, &mut row) };
            }
            Op::Binary => return self.binary(step, self.model.record(step.param)?, x, out, run),
            _ => {}
        }
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
            self.run_packed(step, &Run { a, b, out, row: run.row + i, n: 1 })?;
        }
        Some(())
    }

    /// The operand of a run.
    fn values<'r>(
        &self, t: &Tensor, affine: &Affine, bytes: &'r [u8], [scale, offset]: [&'r mut Room; 2], n: usize,
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

    fn result_run<'r>(
        &self, run: &Run, out: &Tensor, affine: &Affine, [r0, r1]: [&'r mut Room; 2], (lo, hi): (f32, f32),
        table: Option<&'r [u8; 256]>,
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

    fn binary(&self, step: &Step, p: &Binary, x: &Tensor, out: &Tensor, run: &Run) -> Option<()> {
        let f = *BINARY.get(p.function as usize)?;
        let bit = |n: u32| p.broadcast >> n & 1 != 0;
        let table = if p.table == NONE { None } else { Some(self.table(p.table)?) };
        let y = if step.inputs_len == 2 { self.model.tensors.get(step.inputs[1] as usize) } else { None };
        let c = out.c as usize;
        // A value for each row, or for too many channels.
        let shared = bit(0) && !bit(1) || bit(2) && !bit(3);
        let long = c > REPEATED && (shared || !c.is_multiple_of(BLOCK));
        if run.n > 1 && (bit(1) && !bit(0) || bit(3) && !bit(2) || long) {
            for i in 0..run.n {
                let at = |t: Option<&Tensor>, at: *const u8, one| {
                    at.wrapping_add(if one { 0 } else { i * t.map_or(0, row_bytes) })
                };
                let (a, b) = (at(Some(x), run.a, bit(2)), at(y, run.b, bit(0)));
                let out_at = run.out.wrapping_add(i * row_bytes(out));
                let one = Run { a, b, out: out_at, row: run.row + i, n: 1 };
                self.binary(step, p, x, out, &one)?;
            }
            return Some(());
        }
        let mut rooms = [ROOM; 6];
        let [r0, r1, r2, r3, r4, r5] = &mut rooms;
        let a = self.side(x, &p.a, run.a, run.n, bit(2), bit(3), [r0, r1]);
        let b = match y {
            Some(y) => self.side(y, &p.b, run.b, run.n, bit(0), bit(1), [r2, r3]),
            None => {
                let c = if bit(1) { 1 } else { c };
                let (at, n) = if bit(0) { (0, 1) } else { (run.row, run.n) };
                let row = self.array::<Real>(p.constant, (at + n) * c).get(at * c..)?;
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
    fn side<'r>(
        &self, t: &Tensor, affine: &Affine, at: *const u8, n: usize, one_row: bool, one_channel: bool,
        rooms: [&'r mut Room; 2],
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
            let [u0, u1] = &mut [ROOM; 2];
            let row = self.values(t, affine, bytes, [u0, u1], 1);
            return match one_channel {
                true => Operand::One(if bytes.is_empty() { 0.0 } else { row.get(0) }),
                false => Operand::Repeat(repeat(r0, t.c as usize, |k| row.get(k))),
            };
        }
        self.values(t, affine, bytes, rooms, n)
    }
}
