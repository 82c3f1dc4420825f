//! Convolution and depthwise tiles.

use proptest::prelude::*;
use quiescent::kernels::{ConvLayer, ConvTile, Kernels, Residual, scalar};

use super::guarded::{Against, Guarded};
use super::{Random, sets};

/// A tile to be filled with random values.
#[derive(Clone, Debug)]
struct Shape {
    depthwise: bool,
    rows: usize,
    oc: usize,
    quads: usize,
    /// Taps of a depthwise tile.
    segments: usize,
    real: bool,
    residual: bool,
    table: bool,
    /// Codes and weights at their limits.
    extreme: bool,
    /// Multipliers and offsets that overflow or give NaN.
    wild: bool,
    /// Rows that follow one another in memory; 0: none do.
    adjacent: usize,
    /// Depthwise taps are 3 x 3 or 5 x 5, of which the rows of a run see the next ones at this stride; 0: they are anywhere.
    grid: usize,
    /// Pixels from one of these taps to the next.
    dilation: usize,
    against: Against,
    seed: u64,
}

impl Shape {
    fn strategy(depthwise: bool) -> impl Strategy<Value = Shape> {
        let oc = if depthwise { 1..=200usize } else { 1..=130usize };
        let segments = if depthwise { 1..=49usize } else { 1..=9usize };
        let sizes = (1..=64usize, oc, 1..=40usize, segments);
        let flags = prop::array::uniform6(any::<bool>());
        (sizes, flags, any::<u64>()).prop_map(move |((rows, oc, quads, segments), f, seed)| {
            let mut shape = Shape::plain(depthwise, rows, oc, quads, segments, seed);
            [shape.real, shape.residual, shape.table, shape.extreme, shape.wild, _] = f;
            shape.against = if f[5] { Against::End } else { Against::Start };
            shape
        })
    }

    fn plain(depthwise: bool, rows: usize, oc: usize, quads: usize, segments: usize, seed: u64) -> Shape {
        let quads = if depthwise { segments.div_ceil(4) } else { quads };
        let flags = (false, false, false, false, false);
        let (real, residual, table, extreme, wild) = flags;
        let against = Against::End;
        Shape {
            depthwise,
            rows,
            oc,
            quads,
            segments,
            real,
            residual,
            table,
            extreme,
            wild,
            adjacent: 0,
            grid: 0,
            dilation: 1,
            against,
            seed,
        }
    }

    /// The bytes of the result buffer, gaps included, as `set` leaves them.
    fn run(&self, set: &Kernels) -> Vec<u8> {
        let mut random = Random(self.seed);
        let blocks = self.oc.div_ceil(16);
        // Rows overlap, as those of a convolution do; the last bytes of the input are the last that may be read.
        let line = if self.depthwise { self.oc } else { 4 * self.quads };
        let step = line * self.grid.max(1);
        let apart = line * self.dilation;
        let spread = apart * 4 + step * self.adjacent + 7;
        let input: Vec<u8> = (0..spread * 2 + line).map(|_| random.code(self.extreme)).collect();
        let mut offsets = |n: usize| -> Vec<u32> {
            let mut v: Vec<u32> = (0..n).map(|_| random.below(spread + 1) as u32).collect();
            v[n - 1] = spread as u32;
            v[0] = if n > 1 { 0 } else { v[0] };
            v
        };
        let mut rows_in = offsets(self.rows);
        let mut segments = offsets(self.segments);
        if self.grid > 0 {
            let side = self.segments.isqrt();
            let last = spread - (side - 1) * apart;
            segments = (0..side * side).map(|k| (last * (k / side) / (side - 1) + k % side * apart) as u32).collect();
        }
        for i in (0..self.rows).filter(|_| self.adjacent > 0) {
            // Runs that end with the input as well.
            rows_in[i] = match i % self.adjacent {
                0 => (spread - (self.adjacent - 1) * step) as u32 >> (i / self.adjacent % 2),
                _ => rows_in[i - 1] + step as u32,
            };
        }
        let weights: Vec<u8> = (0..blocks * 64 * self.quads * if self.depthwise { 1 } else { self.segments })
            .map(|_| {
                let w = random.code(self.extreme);
                // 255 and 0 become -128 and 127: the sums with the largest magnitudes.
                let w = w.wrapping_add(if self.extreme { 129 } else { 0 });
                // Small ones, of which more products fit 16 bits.
                if self.grid > 0 && self.seed % 2 == 1 { (w as i8 / 2) as u8 } else { w }
            })
            .collect();
        let taps = (self.segments * if self.depthwise { 1 } else { 4 * self.quads }) as f32;
        let typical = 255.0 * 74.0 * taps.sqrt();
        let mut reals = |f: &dyn Fn(&mut Random) -> f32| -> Vec<f32> {
            (0..16 * blocks).map(|_| if self.wild { random.wild() } else { f(&mut random) }).collect()
        };
        let m = reals(&|r| r.unit() * 120.0 / typical);
        let b = reals(&|r| r.unit() * 128.0 + 100.0);
        let r = reals(&|r| r.unit());
        let mut table = [0u8; 256];
        table.fill_with(|| random.next() as u8);
        let residuals: Vec<u8> = (0..self.oc * 2 + 5).map(|_| random.code(self.extreme)).collect();
        let residual_rows: Vec<u32> = (0..self.rows).map(|i| (self.oc + 5) as u32 * (i as u32 % 2)).collect();
        let (lo, hi) = match (self.real, random.below(3)) {
            (true, 0) => (f32::NEG_INFINITY, f32::INFINITY),
            (true, 1) => (0.0, f32::MAX),
            (true, _) => (-3.5, 6.0),
            (false, 0) => (0.0, 255.0),
            (false, 1) => (17.0, 17.0),
            (false, _) => (3.0, 200.0),
        };
        // Rows in any order, with gaps that let f32 rows be unaligned.
        let size = self.oc * if self.real { 4 } else { 1 };
        let mut rows_out: Vec<u32> = Vec::new();
        let mut end = random.below(70);
        for i in 0..self.rows {
            rows_out.push(end as u32);
            end += size + if self.adjacent > 0 && (i + 1) % self.adjacent != 0 { 0 } else { random.below(70) };
        }
        for i in (1..self.rows).rev().filter(|_| self.adjacent == 0) {
            rows_out.swap(i, random.below(i + 1));
        }
        let mut output = vec![0xa5u8; end + 70];

        let guarded = |bytes: &[u8]| Guarded::new(bytes, self.against);
        let bytes = |v: &[f32]| guarded(&v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        let (input, weights, residuals) = (guarded(&input), guarded(&weights), guarded(&residuals));
        let (m, b, r) = (bytes(&m), bytes(&b), bytes(&r));
        let layer = ConvLayer {
            segments: &segments,
            quads: self.quads,
            weights: cast(&weights),
            oc: self.oc,
            m: cast(&m),
            b: cast(&b),
            lo,
            hi,
            table: self.table.then_some(&table),
            real: self.real,
        };
        let tile = ConvTile {
            layer: &layer,
            input: input.as_ptr(),
            rows_in: &rows_in,
            residual: self.residual.then_some(Residual { input: residuals.as_ptr(), rows: &residual_rows, r: cast(&r) }),
            output: output.as_mut_ptr(),
            rows_out: &rows_out,
        };
        // SAFETY: offsets are at most `2 * spread`, `line` bytes before the end; result rows are disjoint and inside
        // `output`; the set is available.
        unsafe { if self.depthwise { (set.depthwise)(&tile) } else { (set.conv)(&tile) } }
        output
    }

    fn check(&self) {
        let expected = self.run(&scalar::KERNELS);
        for set in sets() {
            let found = self.run(set);
            if let Some(i) = (0..expected.len()).find(|&i| expected[i] != found[i]) {
                panic!("{}: byte {i} is {}, not {}: {self:?}", set.name, found[i], expected[i]);
            }
        }
    }
}

/// Lengths are whole elements; pages and sizes keep f32 aligned.
fn cast<T: Copy>(bytes: &Guarded) -> &[T] {
    let (ptr, size) = (bytes.as_ptr().cast::<T>(), size_of::<T>());
    assert!(ptr.is_aligned() && bytes.len().is_multiple_of(size));
    // SAFETY: aligned, whole elements; used with i8 and f32, for which any bits are a value.
    unsafe { std::slice::from_raw_parts(ptr, bytes.len() / size) }
}

/// A result that is all one value would hide mistakes.
#[test]
fn cases_are_not_trivial() {
    for depthwise in [false, true] {
        let mut seen = [false; 256];
        for seed in 0..6 {
            let out = Shape::plain(depthwise, 16, 64, 9, 9, seed).run(&scalar::KERNELS);
            out.iter().for_each(|&x| seen[x as usize] = true);
        }
        let seen = seen.iter().filter(|&&s| s).count();
        assert!(seen > 150, "{seen} codes");
    }
}

#[test]
fn conv_all_widths_and_rows() {
    for oc in 1..=130 {
        for (k, rows) in [1, 2, 3, 4, 5 + oc % 4, 1 + oc * 7 % 64].into_iter().enumerate() {
            let mut shape = Shape::plain(false, rows, oc, 1 + (oc + k) % 5, 1 + oc % 3, (oc * 100 + rows) as u64);
            shape.table = k % 2 == 0;
            shape.residual = oc % 5 == 0;
            shape.check();
        }
    }
    for rows in 1..=64 {
        Shape::plain(false, rows, 48, 3, 3, rows as u64).check();
    }
}

#[test]
fn conv_sums_at_the_limits() {
    for (oc, quads, segments) in [(16, 40, 9), (40, 33, 9), (256, 1, 1)] {
        for rows in [1, 2, 4, 9] {
            let mut shape = Shape::plain(false, rows, oc, quads, segments, 7);
            shape.extreme = true;
            shape.real = true;
            shape.check();
        }
    }
}

/// Lines of a dense map.
#[test]
fn depthwise_runs() {
    for oc in (1..=80).chain([96, 116, 128]) {
        for (k, (rows, adjacent)) in [(64, 64), (100, 40), (64, 9), (256, 33), (20, 3), (17, 17)].into_iter().enumerate() {
            let taps = [9, 25, 4, 7, 65, 1][(oc + k) % 6];
            let mut shape = Shape::plain(true, rows, oc, 0, taps, (oc * 100 + rows) as u64);
            shape.adjacent = adjacent;
            shape.table = k % 3 == 0;
            shape.residual = oc % 7 == 0;
            shape.real = oc % 11 == 0;
            shape.wild = k == 4;
            shape.against = if k % 2 == 0 { Against::End } else { Against::Start };
            shape.check();
            for (grid, dilation, segments) in
                [(1, 1, 9usize), (2, 1, 9), (1, 2, 9), (1, 4, 9), (2, 3, 9), (1, 1, 25), (2, 1, 25), (1, 2, 25)]
            {
                let quads = segments.div_ceil(4);
                let shape = Shape { grid, dilation, segments, quads, extreme: k % 4 == 3, seed: shape.seed + (k / 2) as u64, ..shape };
                shape.check();
            }
        }
    }
}

/// Sums beyond 2^31 wrap.
#[test]
fn conv_wraps() {
    // 255 * 127 * 4 * quads * segments > 2^31.
    let (quads, segments) = (4200, 4);
    let input = vec![255u8; 4 * quads];
    let weights = vec![127i8; 64 * quads * segments];
    let (m, b) = ([1e-7f32; 16], [128.0; 16]);
    let run = |set: &Kernels| {
        let mut output = [0f32; 16];
        let layer =
            ConvLayer { segments: &[0; 4], quads, weights: &weights, oc: 16, m: &m, b: &b, lo: -1e9, hi: 1e9, table: None, real: true };
        let tile = ConvTile {
            layer: &layer,
            input: input.as_ptr(),
            rows_in: &[0],
            residual: None,
            output: output.as_mut_ptr().cast(),
            rows_out: &[0],
        };
        // SAFETY: one row of 16 f32; the set is available.
        unsafe { (set.conv)(&tile) };
        output
    };
    let expected = run(&scalar::KERNELS);
    assert!(expected[0] < 0.0);
    for set in sets() {
        assert_eq!(run(set), expected, "{}", set.name);
    }
}

/// Weights in pairs give what the same ones give in blocks.
#[test]
fn pairs_are_a_convolution() {
    for (oc, k, rows) in [(1usize, 16usize, 1usize), (2, 16, 2), (7, 48, 1), (16, 64, 3), (33, 272, 1), (40, 640, 2), (128, 128, 1)] {
        let mut random = Random((oc * k) as u64);
        let extreme = oc % 2 == 0;
        let weights: Vec<i8> = (0..oc * k).map(|_| random.code(extreme).wrapping_add(if extreme { 129 } else { 0 }) as i8).collect();
        let blocks = oc.div_ceil(16);
        let (mut quads, mut pairs) = (vec![0i8; 16 * blocks * k], [i8::MIN, 0].repeat(8 * blocks * k));
        for (i, w) in weights.iter().enumerate() {
            let (o, j) = (i / k, i % k);
            quads[(o / 16 * k / 4 + j / 4) * 64 + o % 16 * 4 + j % 4] = *w;
            pairs[(o / 2 * k + j) * 2 + o % 2] = if o % 2 == 0 { w ^ i8::MIN } else { *w };
        }
        let input: Vec<u8> = (0..k + 5).map(|_| random.code(extreme)).collect();
        let (m, b) = (vec![1.0f32; 16 * blocks], vec![0.0f32; 16 * blocks]);
        let (rows_in, rows_out): (Vec<u32>, Vec<u32>) = (0..rows as u32).map(|i| (i * 2, i * oc as u32 * 4)).unzip();
        let run = |weights: &[i8], kernel: unsafe fn(&ConvTile)| {
            let mut output = vec![0f32; rows * oc];
            let (lo, hi) = (-1e9, 1e9);
            let layer = ConvLayer { segments: &[1], quads: k / 4, weights, oc, m: &m, b: &b, lo, hi, table: None, real: true };
            let tile = ConvTile {
                layer: &layer,
                input: input.as_ptr(),
                rows_in: &rows_in,
                residual: None,
                output: output.as_mut_ptr().cast(),
                rows_out: &rows_out,
            };
            // SAFETY: up to three rows of `k` bytes from byte 1, 3 and 5 on, and of `oc` f32; the set is available.
            unsafe { kernel(&tile) };
            output
        };
        let expected = run(&quads, scalar::KERNELS.conv);
        assert_eq!(run(&pairs, scalar::KERNELS.pairs), expected, "{oc} {k}");
        for set in sets() {
            assert_eq!(run(&pairs, set.pairs), expected, "{}: {oc} {k}", set.name);
        }
    }
}

#[test]
fn depthwise_all_widths() {
    for oc in 1..=200 {
        for (k, rows) in [1, 2, 3, 4 + oc % 9].into_iter().enumerate() {
            let mut shape = Shape::plain(true, rows, oc, 0, 1 + (oc + k) % 12, (oc * 100 + rows) as u64);
            shape.table = k % 2 == 0;
            shape.residual = oc % 5 == 0;
            shape.check();
        }
    }
    for taps in (1..=49).chain([64, 65, 81, 100]) {
        Shape::plain(true, 5, 72, 0, taps, taps as u64).check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conv(shape in Shape::strategy(false)) {
        shape.check();
    }

    #[test]
    fn depthwise(shape in Shape::strategy(true)) {
        shape.check();
    }
}
