//! Speed of the convolution entries, every set of this CPU: `cargo bench -p quiescent --bench kernels [-- FILTER]`.
//!
//! Prints 10^9 multiply-accumulates a second, counting only those of the layer (not padding), for calls of 64, 8, 2
//! and 1 rows that walk over a whole map; then 10^9 elements a second of the entries that work on one row.

use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

use quiescent::format::{BinaryFn, MapFn};
use quiescent::kernels::{
    self, Bin, CompareTile, ConvLayer, ConvTile, Kernels, LerpTile, Operand, PickTile, PoolTile, Row, SumTile, TablesTile, Uni,
};

struct Layer {
    name: &'static str,
    depthwise: bool,
    /// Output pixels a side.
    side: usize,
    stride: usize,
    kernel: usize,
    c: usize,
    oc: usize,
}

const fn conv(name: &'static str, side: usize, stride: usize, kernel: usize, c: usize, oc: usize) -> Layer {
    Layer { name, depthwise: false, side, stride, kernel, c, oc }
}

const fn depthwise(name: &'static str, side: usize, kernel: usize, c: usize) -> Layer {
    Layer { name, depthwise: true, side, stride: 1, kernel, c, oc: c }
}

const LAYERS: &[Layer] = &[
    conv("3x3 64->64", 56, 1, 3, 64, 64),
    conv("3x3 128->128", 28, 1, 3, 128, 128),
    conv("1x1 256->512", 28, 1, 1, 256, 512),
    conv("3x3 3->16 /2", 112, 2, 3, 3, 16),
    conv("3x3 3->24 /2", 112, 2, 3, 3, 24),
    conv("1x1 24->24", 56, 1, 1, 24, 24),
    conv("1x1 48->48", 28, 1, 1, 48, 48),
    conv("1x1 96->96", 28, 1, 1, 96, 96),
    depthwise("dw3x3 16", 56, 3, 16),
    depthwise("dw3x3 24", 56, 3, 24),
    depthwise("dw3x3 48", 28, 3, 48),
    depthwise("dw3x3 96", 28, 3, 96),
    depthwise("dw3x3 192", 14, 3, 192),
    depthwise("dw5x5 64", 28, 5, 64),
];

const ROWS: [usize; 4] = [64, 8, 2, 1];

/// Bytes from a 64-byte boundary, as in an arena and an artifact.
struct Aligned(Vec<u8>, usize);

impl Aligned {
    fn zeros(len: usize) -> Self {
        let bytes = vec![0; len + 63];
        let at = bytes.as_ptr().align_offset(64);
        Aligned(bytes, at)
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[self.1..self.0.len() - 63 + self.1]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        let end = self.0.len() - 63 + self.1;
        &mut self.0[self.1..end]
    }
}

/// Nanoseconds of one pass over the map, `rows` output pixels a call; the best of several.
fn time(set: &Kernels, layer: &Layer, rows: usize, table: bool) -> f64 {
    let &Layer { side, stride, kernel, c, oc, .. } = layer;
    let width = side * stride + kernel - 1;
    let mut input = Aligned::zeros(width * width * c + 64);
    input.iter_mut().enumerate().for_each(|(i, x)| *x = (i * 7 % 251) as u8);
    // A tap line of a convolution is contiguous; a depthwise tap stands alone.
    let (segments, quads): (Vec<u32>, usize) = if layer.depthwise {
        let taps = (0..kernel * kernel).map(|t| ((t / kernel * width + t % kernel) * c) as u32).collect();
        (taps, (kernel * kernel).div_ceil(4))
    } else {
        ((0..kernel).map(|y| (y * width * c) as u32).collect(), (kernel * c).div_ceil(4))
    };
    let panels = if layer.depthwise { 1 } else { segments.len() };
    let blocks = oc.div_ceil(16);
    let mut weights = Aligned::zeros(blocks * panels * quads * 64);
    weights.iter_mut().enumerate().for_each(|(i, w)| *w = (i * 37 % 255) as u8);
    // SAFETY: the same bytes as signed codes.
    let weights = unsafe { std::slice::from_raw_parts(weights.as_ptr().cast::<i8>(), weights.len()) };
    let (m, b) = (vec![1e-4; 16 * blocks], vec![128.0; 16 * blocks]);
    let mut output = Aligned::zeros(side * side * oc);
    let rows_in: Vec<u32> = (0..side * side).map(|p| ((p / side * stride * width + p % side * stride) * c) as u32).collect();
    let rows_out: Vec<u32> = (0..side * side).map(|p| (p * oc) as u32).collect();
    let entries = [7; 256];

    let pass = || {
        for (rows_in, rows_out) in rows_in.chunks(rows).zip(rows_out.chunks(rows)) {
            let shared = ConvLayer {
                segments: &segments,
                quads,
                weights,
                oc,
                m: &m,
                b: &b,
                lo: 0.0,
                hi: 255.0,
                table: table.then_some(&entries),
                real: false,
            };
            let tile = ConvTile { layer: &shared, input: input.as_ptr(), rows_in, residual: None, output: output.as_mut_ptr(), rows_out };
            // SAFETY: all rows, with their taps and 4 more bytes, lie in `input` and `output`; the set is available.
            unsafe { if layer.depthwise { (set.depthwise)(&tile) } else { (set.conv)(&tile) } }
        }
    };
    best(pass)
}

/// Nanoseconds of one call, the best of several averages.
fn best(mut pass: impl FnMut()) -> f64 {
    pass();
    let once = Instant::now();
    pass();
    let passes = (2e6 / once.elapsed().as_nanos() as f64).clamp(1.0, 1e5) as usize;
    (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..passes).for_each(|_| pass());
            start.elapsed().as_nanos() as f64 / passes as f64
        })
        .fold(f64::INFINITY, f64::min)
}

/// Channels of the rows.
const WIDTHS: [usize; 4] = [16, 24, 64, 192];

/// Rows of entries that share work between rows.
const PIXELS: usize = 44;

/// Nanoseconds of one row of `c` channels for each entry.
fn rows(set: &Kernels, c: usize) -> Vec<(&'static str, f64)> {
    let (x, y, w) = (vec![9u8; c], vec![10u8; c], vec![16u8; c]);
    let (scale, offset) = (vec![0.01f32; c], vec![3f32; c]);
    let mut codes = vec![8u8; c];
    let mut sums = vec![0i32; c];
    let (map, mut results) = ((0..3 * (2 * PIXELS + 1) * c).map(|i| (i * 7 % 251) as u8).collect::<Vec<_>>(), vec![12u8; PIXELS * c]);
    let tables = vec![[9u8; 256]; c];
    let every_other: Vec<u32> = (0..c as u32).map(|k| 2 * k).collect();
    let rows_of = |c: usize| -> [u32; PIXELS] { std::array::from_fn(|i| (i * c) as u32) };
    let table = [5u8; 256];
    let a = Operand::Codes { codes: &x, scale: &scale, offset: &offset };
    let bin = |f| Bin { f, period: c, a, b: a };
    let uni = |f| Uni { f, period: c, p: [0.1, 0.5], slope: &scale, a };
    macro_rules! result {
        () => {
            &mut Row::Codes { codes: &mut codes, scale: &scale, offset: &offset, lo: 0.0, hi: 255.0, table: None }
        };
    }
    // SAFETY: the set is available; lines are of whole pixels.
    unsafe {
        vec![
            (
                "compare",
                best(|| {
                    let tile = CompareTile { new: black_box(&x), held: &y, c: 1, thresholds: [1, 2] };
                    let [mut weak, mut strong] = [(); 2].map(|_| [0; 16]);
                    let words = c.div_ceil(64).min(16);
                    black_box((set.compare)(&tile, [&mut weak[..words], &mut strong[..words]]));
                }),
            ),
            (
                "score",
                best(|| {
                    black_box((set.score)(black_box(&x), &y, &w, 1));
                }),
            ),
            ("settle", best(|| (set.settle)(black_box(&x), &mut codes, 1))),
            ("table", best(|| (set.table)(black_box(&x), &mut codes, &table))),
            ("max", best(|| (set.max)(black_box(&x), &mut codes))),
            ("sum", best(|| (set.sum)(&SumTile { input: black_box(&x).as_ptr(), step: c, pixels: 1 }, &mut sums))),
            (
                "lerp",
                best(|| {
                    (set.lerp)(&LerpTile {
                        input: black_box(&x).as_ptr(),
                        corners: &[[0; 4]],
                        parts: &[[64, 192]],
                        c,
                        output: codes.as_mut_ptr(),
                        rows_out: &[0],
                    })
                }),
            ),
            (
                "tables",
                best(|| {
                    let (input, output) = (black_box(&map).as_ptr(), results.as_mut_ptr());
                    (set.tables)(&TablesTile { input, output, step: [c, c], pixels: PIXELS, tables: &tables })
                }) / PIXELS as f64,
            ),
            (
                "pick",
                best(|| {
                    let tile = PickTile {
                        input: black_box(&map).as_ptr(),
                        rows_in: &rows_of(2 * c),
                        c: 2 * c,
                        index: &every_other,
                        output: results.as_mut_ptr(),
                        rows_out: &rows_of(c),
                    };
                    (set.pick)(&tile);
                }) / PIXELS as f64,
            ),
            (
                "max 3x3",
                best(|| {
                    let tile = PoolTile {
                        input: black_box(&map).as_ptr(),
                        rows_in: &rows_of(2 * c),
                        taps: &[(3, 3); PIXELS],
                        step: [(2 * PIXELS + 1) * c, c],
                        c,
                        padding: None,
                        output: results.as_mut_ptr(),
                        rows_out: &rows_of(c),
                    };
                    (set.max_pool)(&tile);
                }) / PIXELS as f64,
            ),
            ("add", best(|| (set.binary)(black_box(&bin(BinaryFn::Add)), result!()))),
            ("div", best(|| (set.binary)(black_box(&bin(BinaryFn::Div)), result!()))),
            ("hardswish", best(|| (set.map)(black_box(&uni(MapFn::HardSwish)), result!()))),
            ("silu", best(|| (set.map)(black_box(&uni(MapFn::Silu)), result!()))),
            ("log", best(|| (set.map)(black_box(&uni(MapFn::Log)), result!()))),
        ]
    }
}

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    println!("{:11} {:13} {:>7} {:>7} {:>7} {:>7}   64 rows and a table", "set", "layer", 64, 8, 2, 1);
    for set in kernels::available() {
        for layer in LAYERS {
            let name = format!("{:11} {:13}", set.name, layer.name);
            if filter.as_ref().is_some_and(|f| !name.contains(f.as_str())) {
                continue;
            }
            let inputs = if layer.depthwise { 1 } else { layer.c };
            let macs = (layer.side * layer.side * layer.oc * layer.kernel * layer.kernel * inputs) as f64;
            print!("{name}");
            for rows in ROWS {
                print!(" {:7.1}", macs / time(set, layer, rows, false));
            }
            println!(" {:7.1}", macs / time(set, layer, 64, true));
        }
    }
    println!("{:11} {:13} {WIDTHS:>7?}", "set", "row of");
    for set in kernels::available() {
        let columns = WIDTHS.map(|c| rows(set, c));
        for (k, (name, _)) in columns[0].iter().enumerate() {
            let name = format!("{:11} row {name:9}", set.name);
            if filter.as_ref().is_none_or(|f| name.contains(f.as_str())) {
                print!("{name}");
                columns.iter().zip(WIDTHS).for_each(|(column, c)| print!(" {:7.2}", c as f64 / column[k].1));
                println!();
            }
        }
    }
}
