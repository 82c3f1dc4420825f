//! Entries that work on one row, or share a little between the rows of a line.

use std::hint::black_box;

use criterion::{BenchmarkId, Throughput};
use quiescent::format::{BinaryFn, MapFn};
use quiescent::kernels::{Bin, CompareTile, Kernels, LerpTile, Operand, PickTile, PoolTile, Row, Shift, SumTile, TablesTile, Uni};

use crate::Group;

/// Channels of a row; 21 fill no vector.
const WIDTHS: [usize; 5] = [16, 21, 24, 64, 192];

/// Rows of a call of the entries that take several.
const PIXELS: usize = 44;

pub fn bench(group: &mut Group, set: &Kernels) {
    for c in WIDTHS {
        one(group, set, c);
        line(group, set, c);
    }
}

/// Entries that take one row of `c` channels.
fn one(group: &mut Group, set: &Kernels, c: usize) {
    let (x, y, w) = (vec![9u8; c], vec![10u8; c], vec![16u8; c]);
    let (scale, offset) = (vec![0.01f32; c], vec![3f32; c]);
    let mut codes = vec![8u8; c];
    let mut sums = vec![0i32; c];
    let table = [5u8; 256];
    let a = Operand::Codes { codes: &x, scale: &scale, offset: &offset };
    group.throughput(Throughput::Elements(c as u64));
    let mut one = Entries { group, c };
    one.time("compare", || {
        let tile = CompareTile { new: black_box(&x), held: &y, c: 1, shift: Shift::default(), thresholds: [1, 2] };
        let [mut weak, mut strong] = [(); 2].map(|_| [0; 16]);
        let words = c.div_ceil(64).min(16);
        // SAFETY: here and below, the set is available; lines are of whole pixels.
        unsafe { (set.compare)(&tile, [&mut weak[..words], &mut strong[..words]]) }
    });
    // SAFETY: as above.
    one.time("score", || unsafe { (set.score)(black_box(&x), &y, &w, 1) });
    // SAFETY: as above.
    one.time("settle", || unsafe { (set.settle)(black_box(&x), &mut codes, 1) });
    // SAFETY: as above.
    one.time("table", || unsafe { (set.table)(black_box(&x), &mut codes, &table) });
    // SAFETY: as above.
    one.time("max", || unsafe { (set.max)(black_box(&x), &mut codes) });
    one.time("sum", || {
        let tile = SumTile { input: black_box(&x).as_ptr(), step: c, pixels: 1 };
        // SAFETY: as above.
        unsafe { (set.sum)(&tile, &mut sums) }
    });
    one.time("lerp", || {
        let (input, output) = (black_box(&x).as_ptr(), codes.as_mut_ptr());
        let tile = LerpTile { input, corners: &[[0; 4]], parts: &[[64, 192]], c, output, rows_out: &[0] };
        // SAFETY: as above; all corners are the row itself.
        unsafe { (set.lerp)(&tile) }
    });
    for (name, f) in [("add", BinaryFn::Add), ("div", BinaryFn::Div)] {
        let bin = Bin { f, period: c, a, b: a };
        one.time(name, || {
            let mut row = Row::Codes { codes: &mut codes, scale: &scale, offset: &offset, lo: 0.0, hi: 255.0, table: None };
            // SAFETY: as above.
            unsafe { (set.binary)(black_box(&bin), &mut row) }
        });
    }
    for (name, f) in [("hardswish", MapFn::HardSwish), ("silu", MapFn::Silu), ("log", MapFn::Log)] {
        let uni = Uni { f, period: c, p: [0.1, 0.5], slope: &scale, a };
        one.time(name, || {
            let mut row = Row::Codes { codes: &mut codes, scale: &scale, offset: &offset, lo: 0.0, hi: 255.0, table: None };
            // SAFETY: as above.
            unsafe { (set.map)(black_box(&uni), &mut row) }
        });
    }
}

/// Entries that take the rows of a line, from a map of three lines twice as long.
fn line(group: &mut Group, set: &Kernels, c: usize) {
    let width = 2 * PIXELS + 1;
    let map: Vec<u8> = (0..3 * width * c).map(|i| (i * 7 % 251) as u8).collect();
    let mut results = vec![12u8; PIXELS * c];
    let tables = vec![[9u8; 256]; c];
    let every_other: Vec<u32> = (0..c as u32).map(|k| 2 * k).collect();
    let [rows_in, rows_out] = [2 * c, c].map(|step| -> [u32; PIXELS] { std::array::from_fn(|i| (i * step) as u32) });
    group.throughput(Throughput::Elements((PIXELS * c) as u64));
    let mut line = Entries { group, c };
    line.time("tables", || {
        let (input, output) = (black_box(&map).as_ptr(), results.as_mut_ptr());
        let tile = TablesTile { input, output, step: [c, c], pixels: PIXELS, tables: &tables };
        // SAFETY: the set is available; rows lie within the map and the results.
        unsafe { (set.tables)(&tile) }
    });
    line.time("pick", || {
        let (input, output) = (black_box(&map).as_ptr(), results.as_mut_ptr());
        let tile = PickTile { input, rows_in: &rows_in, c: 2 * c, index: &every_other, output, rows_out: &rows_out };
        // SAFETY: as above.
        unsafe { (set.pick)(&tile) }
    });
    line.time("max 3x3", || {
        let (input, output) = (black_box(&map).as_ptr(), results.as_mut_ptr());
        let (taps, step) = (&[(3, 3); PIXELS], [width * c, c]);
        let tile = PoolTile { input, rows_in: &rows_in, taps, step, c, padding: None, output, rows_out: &rows_out };
        // SAFETY: as above.
        unsafe { (set.max_pool)(&tile) }
    });
}

/// A set's benchmarks of `c` channels.
struct Entries<'a, 'g> {
    group: &'a mut Group<'g>,
    c: usize,
}

impl Entries<'_, '_> {
    fn time<R>(&mut self, name: &str, mut pass: impl FnMut() -> R) {
        self.group.bench_function(BenchmarkId::new(name, self.c), |b| b.iter(&mut pass));
    }
}
