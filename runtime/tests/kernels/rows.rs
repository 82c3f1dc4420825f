//! The entries that work on one row.

use quiescent::format::{BinaryFn, MapFn};
use quiescent::kernels::{
    BEYOND, Bin, CompareTile, DriftTile, Kernels, LerpTile, Operand, PickTile, Real, Row, Shift, SumTile, TablesTile, Uni, scalar,
};

use super::guarded::{Against, Guarded};
use super::{Random, sets};

const LONGEST: usize = 300;

/// Calls `f` for every set, length and placement, each time with the same random values.
fn each(mut f: impl FnMut(&Kernels, usize, Against, &mut Random)) {
    for set in sets() {
        for len in 0..=LONGEST {
            for against in [Against::End, Against::Start] {
                f(set, len, against, &mut Random(len as u64));
            }
        }
    }
}

fn codes(random: &mut Random, len: usize) -> Vec<u8> {
    let extreme = len.is_multiple_of(3);
    (0..len).map(|_| random.code(extreme)).collect()
}

/// Near `x`, so that differences are about the size of thresholds.
fn near(random: &mut Random, x: &[u8]) -> Vec<u8> {
    x.iter().map(|x| x.wrapping_add(random.below(9) as u8).wrapping_sub(4)).collect()
}

/// `out` between bytes that must not change.
fn framed(out: &[u8]) -> Vec<u8> {
    [&[0xa5; 64], out, &[0xa5; 64]].concat()
}

/// Compares what two sets make of the middle of a framed row.
fn compare(set: &Kernels, what: &str, start: &[u8], f: impl Fn(&Kernels, &mut [u8])) {
    let run = |set: &Kernels| {
        let mut out = framed(start);
        f(set, &mut out[64..64 + start.len()]);
        out
    };
    assert!(run(set) == run(&scalar::KERNELS), "{}: {what} of {} bytes", set.name, start.len());
}

#[test]
fn pixels() {
    each(|set, len, against, random| {
        for c in [1, 2, 3, 4, 5, 40] {
            let held = codes(random, len / c * c);
            let new = match len % 3 {
                0 => near(random, &held),
                1 => codes(random, held.len()),
                _ => held.clone(),
            };
            let (new, held) = (Guarded::new(&new, against), Guarded::new(&held, against));
            let codes = [-255, -1, 0, 0, 7, 200][len % 6];
            let shift = Shift::of(codes);
            for thresholds in [[0, 0], [1, 2], [3, 6], [127, 254], [254, 255], [255, 255]] {
                let run = |set: &Kernels| {
                    let mut marks = [(); 2].map(|_| vec![!0; (len / c).div_ceil(64)]);
                    let [weak, strong] = &mut marks;
                    // SAFETY: the set is available.
                    let bound = unsafe { (set.compare)(&CompareTile { new: &new, held: &held, c, shift, thresholds }, [weak, strong]) };
                    (marks, bound)
                };
                let (found, expected) = (run(set), run(&scalar::KERNELS));
                assert_eq!(found, expected, "{}: {len} bytes, {c} channels, thresholds {thresholds:?}", set.name);
                // The specification, by its words.
                let (marks, bound) = expected;
                let change = |(n, h): (&u8, &u8)| (*n as i32 - codes).clamp(0, 255).abs_diff(*h as i32) as u8;
                assert_eq!(Some(bound), new.iter().zip(held.iter()).map(change).max().or(Some(0)));
                for (k, marks) in marks.iter().enumerate() {
                    for (p, (new, held)) in new.chunks(c).zip(held.chunks(c)).enumerate() {
                        let most = new.iter().zip(held).map(change).max();
                        assert_eq!(marks[p / 64] >> (p % 64) & 1 == 1, most > Some(thresholds[k]));
                    }
                }
            }
        }
    });
}

#[test]
fn tables() {
    for set in sets() {
        for c in [1, 3, 15, 16, 24, 32, 48, 80] {
            let random = &mut Random(c as u64);
            let tables: Vec<[u8; 256]> = (0..c).map(|_| std::array::from_fn(|_| random.next() as u8)).collect();
            for pixels in [0, 1, 11, 12, 13, 26, 52, 63, 64, 65, 100, 128, 200] {
                for (against, gaps) in [(Against::End, [0, 0]), (Against::Start, [5, 0]), (Against::End, [3, 16])] {
                    let step = gaps.map(|gap| c + gap);
                    let bytes = |step: usize| if pixels > 0 { (pixels - 1) * step + c } else { 0 };
                    let x = Guarded::new(&codes(random, bytes(step[0])), against);
                    compare(set, "tables", &codes(random, bytes(step[1])), |set, out| {
                        let tile = TablesTile { input: x.as_ptr(), output: out.as_mut_ptr(), step, pixels, tables: &tables };
                        // SAFETY: pixels of both; the set is available.
                        unsafe { (set.tables)(&tile) };
                    });
                }
            }
        }
    }
}

#[test]
fn drift() {
    for set in sets() {
        for width in 1..=LONGEST {
            for against in [Against::End, Against::Start] {
                let random = &mut Random(width as u64);
                let lines = 1 + random.below(9);
                let step = [width + random.below(3), width + random.below(3)];
                let bytes = |random: &mut Random, step: usize| Guarded::new(&codes(random, step * (lines - 1) + width), against);
                let (new, held) = (bytes(random, step[0]), bytes(random, step[1]));
                let tile = DriftTile {
                    new: new.as_ptr(),
                    held: held.as_ptr(),
                    step,
                    lines,
                    width,
                    shift: Shift::of([-255, -3, 0, 0, 9, 80][width % 6]),
                };
                let run = |set: &Kernels| {
                    let mut sums = vec![1; width.div_ceil(8)];
                    // SAFETY: lines of both maps; the set is available.
                    unsafe { (set.drift)(&tile, &mut sums) };
                    sums
                };
                assert_eq!(run(set), run(&scalar::KERNELS), "{}: {lines} lines of {width} bytes", set.name);
            }
        }
    }
}

#[test]
fn score() {
    let check = |set: &Kernels, new: &[u8], held: &[u8], weights: &[u8], dead: u8| {
        // SAFETY: the set is available.
        let found = unsafe { (set.score)(new, held, weights, dead) };
        // SAFETY: scalar.
        let expected = unsafe { (scalar::KERNELS.score)(new, held, weights, dead) };
        assert_eq!(found, expected, "{}: {} bytes, dead zone {dead}", set.name, new.len());
    };
    each(|set, len, against, random| {
        let held = codes(random, len);
        let new = if len % 2 == 0 { near(random, &held) } else { codes(random, len) };
        let weights = codes(random, len);
        let [new, held, weights] = [new, held, weights].map(|v| Guarded::new(&v, against));
        for dead in [0, 1, 2, 100, 255] {
            check(set, &new, &held, &weights, dead);
        }
    });
    // Sums near and beyond the largest u32: 66,051 largest squares fit, one more does not.
    for set in sets() {
        for len in [60_000, 65_535, 66_051, 66_052, 200_000] {
            check(set, &vec![255; len], &vec![0; len], &vec![255; len], 0);
        }
    }
}

#[test]
fn settle() {
    each(|set, len, against, random| {
        let held = codes(random, len);
        let new = Guarded::new(&near(random, &held), against);
        for dead in [0, 1, 3, 255] {
            compare(set, "settle", &held, |set, out| {
                // SAFETY: the set is available.
                unsafe { (set.settle)(&new, out, dead) }
            });
        }
    });
}

#[test]
fn table_and_max() {
    each(|set, len, against, random| {
        let x = Guarded::new(&codes(random, len), against);
        let start = codes(random, len);
        let mut table = [0u8; 256];
        table.fill_with(|| random.next() as u8);
        // SAFETY: the set is available.
        compare(set, "table", &start, |set, out| unsafe { (set.table)(&x, out, &table) });
        // SAFETY: as above.
        compare(set, "max", &start, |set, out| unsafe { (set.max)(&x, out) });
    });
}

#[test]
fn sum() {
    each(|set, len, against, random| {
        let (pixels, gap) = (random.below(5), random.below(3));
        let x = Guarded::new(&codes(random, pixels.max(1) * (len + gap) - gap), against);
        let start: Vec<i32> = (0..len + 32).map(|_| random.next() as i32 / 2).collect();
        let run = |set: &Kernels| {
            let mut out = start.clone();
            let tile = SumTile { input: x.as_ptr(), step: len + gap, pixels };
            // SAFETY: the set is available, the pixels lie in their buffer.
            unsafe { (set.sum)(&tile, &mut out[16..16 + len]) };
            out
        };
        assert_eq!(run(set), run(&scalar::KERNELS), "{}: {pixels} of {len} bytes", set.name);
    });
}

#[test]
fn lerp_and_pick() {
    for c in (1..=150).chain([200, 256, 300]) {
        for rows in [1, 2, 3, 4, 5, 9] {
            for against in [Against::End, Against::Start] {
                let random = &mut Random((1000 * c + rows) as u64);
                let input = Guarded::new(&codes(random, 4 * c + 5), against);
                let last = 3 * c + 5;
                let mut at = || random.below(last + 1) as u32;
                let mut corners: Vec<[u32; 4]> = (0..rows).map(|_| [at(), at(), at(), at()]).collect();
                (corners[0][0], corners[rows - 1][3]) = (0, last as u32);
                let parts: Vec<[u16; 2]> =
                    (0..rows).map(|_| [0; 2].map(|_| [0, 256, random.below(257) as u16, 128][random.below(4)])).collect();
                let rows_in: Vec<u32> = corners.iter().map(|c| c[3]).collect();
                let rows_out: Vec<u32> = (0..rows).map(|i| (i * (c + 1)) as u32).collect();
                let index: Vec<u32> = (0..c).map(|_| random.below(c) as u32).collect();
                for set in sets() {
                    compare(set, "lerp", &vec![0; rows * (c + 1)], |set, out| {
                        let (input, output) = (input.as_ptr(), out.as_mut_ptr());
                        let tile = LerpTile { input, corners: &corners, parts: &parts, c, output, rows_out: &rows_out };
                        // SAFETY: all rows lie in their buffers; the set is available.
                        unsafe { (set.lerp)(&tile) }
                    });
                    for n in [1, c.div_ceil(2), c] {
                        compare(set, "pick", &vec![0; rows * (c + 1)], |set, out| {
                            let (input, output) = (input.as_ptr(), out.as_mut_ptr());
                            let (rows_in, rows_out, index) = (&rows_in[..], &rows_out[..], &index[..n]);
                            // SAFETY: as above.
                            unsafe { (set.pick)(&PickTile { input, rows_in, c, index, output, rows_out }) }
                        });
                    }
                }
            }
        }
    }
}

const BINARY: [BinaryFn; 6] = [BinaryFn::Add, BinaryFn::Sub, BinaryFn::Mul, BinaryFn::Div, BinaryFn::Min, BinaryFn::Max];

const MAPS: [MapFn; 14] = [
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

/// Random contents of an operand or a result.
struct Values {
    codes: Vec<u8>,
    reals: Vec<Real>,
    scale: Vec<f32>,
    offset: Vec<f32>,
}

impl Values {
    fn new(random: &mut Random, len: usize, wild: bool) -> Self {
        let mut reals = |size: f32| -> Vec<f32> { (0..len).map(|_| if wild { random.wild() } else { random.unit() * size }).collect() };
        let (scale, offset, values) = (reals(0.1), reals(8.0), reals(10.0));
        Values { codes: codes(random, len), reals: values.iter().map(|x| x.to_le_bytes()).collect(), scale, offset }
    }

    fn operands(&self) -> [Operand<'_>; 3] {
        [
            Operand::Codes { codes: &self.codes, scale: &self.scale, offset: &self.offset },
            Operand::Reals(&self.reals),
            Operand::One(self.offset.first().copied().unwrap_or(1.0)),
        ]
    }
}

/// Runs `f` with three kinds of results and compares all bytes.
fn compare_rows(set: &Kernels, what: &str, len: usize, random: &mut Random, f: &dyn Fn(&Kernels, &mut Row)) {
    let mut table = [0u8; 256];
    table.fill_with(|| random.next() as u8);
    let scale: Vec<f32> = (0..len).map(|_| random.unit() * 30.0).collect();
    let offset: Vec<f32> = (0..len).map(|_| random.unit() * 128.0 + 128.0).collect();
    for (table, lo, hi) in [(None, 0.0, 255.0), (Some(&table), 10.0, 240.0)] {
        compare(set, what, &vec![0; len], |set, codes| {
            f(set, &mut Row::Codes { codes, scale: &scale, offset: &offset, lo, hi, table });
        });
    }
    for (lo, hi) in [(f32::NEG_INFINITY, f32::INFINITY), (-2.0, 3.0)] {
        compare(set, what, &vec![0; 4 * len], |set, bytes| {
            let (reals, _) = bytes.as_chunks_mut::<4>();
            f(set, &mut Row::Reals { reals, lo, hi });
        });
    }
}

#[test]
fn binary() {
    each(|set, len, against, random| {
        if against == Against::Start {
            return;
        }
        let [a, b] = [len % 4 == 0, len % 4 == 1].map(|wild| Values::new(random, len, wild));
        for f in BINARY {
            let pick = random.below(9);
            let bin = Bin { f, period: len, a: a.operands()[pick / 3], b: b.operands()[pick % 3] };
            // SAFETY: the set is available.
            compare_rows(set, &format!("{f:?}"), len, random, &|set, row| unsafe { (set.binary)(&bin, row) });
        }
    });
}

#[test]
fn map() {
    each(|set, len, against, random| {
        if against == Against::Start {
            return;
        }
        let a = Values::new(random, len, len % 2 == 0);
        let slope: Vec<f32> = (0..len).map(|_| random.unit()).collect();
        for f in MAPS {
            let uni = Uni { f, period: len, p: [0.2, 0.5], slope: &slope, a: a.operands()[random.below(3)] };
            // SAFETY: the set is available.
            compare_rows(set, &format!("{f:?}"), len, random, &|set, row| unsafe { (set.map)(&uni, row) });
        }
    });
}

/// The first entries again, as long as a kernel reads them.
fn repeated(x: &[f32]) -> Vec<f32> {
    x.iter().copied().cycle().take(x.len() + BEYOND).collect()
}

/// A run of pixels is what its pixels are one by one.
#[test]
fn runs() {
    for set in quiescent::kernels::available() {
        for c in (1..=50).chain([64, 85, 96, 240]) {
            for n in [2, 3, 5, 17] {
                let random = &mut Random((100 * c + n) as u64);
                let x = Values::new(random, c * n, c % 5 == 4);
                let per = Values::new(random, c, false);
                let (scale, offset) = (repeated(&per.scale), repeated(&per.offset));
                let (m, b) = (repeated(&per.offset), repeated(&per.scale));
                let run = Operand::Codes { codes: &x.codes, scale: &scale, offset: &offset };
                let others = [Operand::Reals(&x.reals), Operand::Repeat(&scale), Operand::One(3.0), run];
                for (k, other) in others.into_iter().enumerate() {
                    let (f, g) = (BINARY[(c + n + k) % 6], MAPS[(c + 3 * n + k) % 14]);
                    let real = (c + k) % 3 == 0;
                    let at = |o: Operand<'_>, i: usize| -> Vec<f32> {
                        (0..c)
                            .map(|j| match o {
                                Operand::Codes { codes, scale, offset } => codes[i * c + j] as f32 * scale[j] + offset[j],
                                Operand::Reals(r) => f32::from_le_bytes(r[i * c + j]),
                                Operand::Repeat(v) => v[j],
                                Operand::One(v) => v,
                            })
                            .collect()
                    };
                    let bytes = |v: Vec<f32>| -> Vec<Real> { v.iter().map(|x| x.to_le_bytes()).collect() };
                    let size = if real { 4 } else { 1 };
                    let (mut found, mut expected) = (framed(&vec![0; c * n * size]), framed(&vec![0; c * n * size]));
                    let result = |out: &mut [u8], f: &dyn Fn(&mut Row)| {
                        if real {
                            f(&mut Row::Reals { reals: out.as_chunks_mut().0, lo: -9.0, hi: 9.0 });
                        } else {
                            let (scale, offset) = (&m, &b);
                            f(&mut Row::Codes { codes: out, scale, offset, lo: 0.0, hi: 250.0, table: None });
                        }
                    };
                    for map in [false, true] {
                        let p = [0.2, 0.5];
                        // SAFETY: the set is available, scalar always is.
                        result(&mut found[64..][..c * n * size], &|row| unsafe {
                            if map {
                                (set.map)(&Uni { f: g, period: c, p, slope: &scale, a: other }, row)
                            } else {
                                (set.binary)(&Bin { f, period: c, a: run, b: other }, row)
                            }
                        });
                        for i in 0..n {
                            let (a, b) = (bytes(at(run, i)), bytes(at(other, i)));
                            let (a, b) = (Operand::Reals(&a), Operand::Reals(&b));
                            // SAFETY: as above.
                            result(&mut expected[64 + i * c * size..][..c * size], &|row| unsafe {
                                if map {
                                    let uni = Uni { f: g, period: c, p, slope: &scale[..c], a: b };
                                    (scalar::KERNELS.map)(&uni, row)
                                } else {
                                    (scalar::KERNELS.binary)(&Bin { f, period: c, a, b }, row)
                                }
                            });
                        }
                        assert!(found == expected, "{}: {f:?} {g:?} {map} {n} x {c}, operand {k}", set.name);
                    }
                }
            }
        }
    }
}

#[test]
fn softmax() {
    for set in sets() {
        for c in (1..=70).chain([80, 255, 1001]) {
            for n in [1, 2, 15, 16, 17, 33] {
                let random = &mut Random((100 * c + n) as u64);
                let x = Values::new(random, c * n, false);
                let per = Values::new(random, c, false);
                for a in [Operand::Reals(&x.reals), Operand::Codes { codes: &x.codes, scale: &per.scale, offset: &per.offset }] {
                    let (scale, offset) = (vec![255.0; c], vec![0.5; c]);
                    compare(set, "softmax", &vec![0; c * n], |set, codes| {
                        let row = &mut Row::Codes { codes, scale: &scale, offset: &offset, lo: 0.0, hi: 255.0, table: None };
                        // SAFETY: the set is available.
                        unsafe { (set.softmax)(&a, c, row) }
                    });
                    compare(set, "softmax", &vec![0; 4 * c * n], |set, bytes| {
                        let row = &mut Row::Reals { reals: bytes.as_chunks_mut().0, lo: f32::MIN, hi: f32::MAX };
                        // SAFETY: as above.
                        unsafe { (set.softmax)(&a, c, row) }
                    });
                }
                // Probabilities, whatever the order of the sum.
                let mut out = vec![[0u8; 4]; c * n];
                let row = &mut Row::Reals { reals: &mut out, lo: f32::MIN, hi: f32::MAX };
                // SAFETY: as above.
                unsafe { (set.softmax)(&Operand::Reals(&x.reals), c, row) };
                for (p, x) in out.chunks_exact(c).zip(x.reals.chunks_exact(c)) {
                    let sum: f32 = p.iter().map(|p| f32::from_le_bytes(*p)).sum();
                    assert!((sum - 1.0).abs() < 1e-4, "{}: {c} channels sum to {sum}", set.name);
                    let e: Vec<f64> = x.iter().map(|x| (f32::from_le_bytes(*x) as f64).exp()).collect();
                    let total: f64 = e.iter().sum();
                    for (p, e) in p.iter().zip(&e) {
                        assert!((f32::from_le_bytes(*p) as f64 - e / total).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
