//! Random convolution tiles, changes of frames, rows before a gate and sums over pixels on every kernel set against the scalar one, byte for byte, gaps between results included.
#![no_std]
#![no_main]

use board::BOARD;
use quiescent::kernels::{self, CompareTile, ConvLayer, ConvTile, DriftTile, JudgeTile, Kernels, Residual, Shift, SumTile, scalar};
use quiescent_boards::{Aligned, Memory, host, say};

const CASES: u64 = 600;
const ROWS: usize = 21;
const CHANNELS: usize = 80;

/// What a tile points to.
struct Buffers {
    input: [u8; 4096],
    weights: Aligned<[i8; 40 << 10]>,
    m: [f32; CHANNELS],
    b: [f32; CHANNELS],
    r: [f32; CHANNELS],
    table: [u8; 256],
    output: [[u8; ROWS * (4 * CHANNELS + 8)]; 2],
}

static BUFFERS: Memory<Buffers> = Memory::new(Buffers {
    input: [0; 4096],
    weights: Aligned([0; 40 << 10]),
    m: [0.0; CHANNELS],
    b: [0.0; CHANNELS],
    r: [0.0; CHANNELS],
    table: [0; 256],
    output: [[0; ROWS * (4 * CHANNELS + 8)]; 2],
});

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() as u32 as usize) % n
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn bytes(&mut self, bytes: &mut [u8], extreme: bool) {
        for b in bytes {
            let x = self.next();
            *b = if extreme && x >> 60 < 12 { (x >> 59) as u8 & 1 ^ 0x7f } else { x as u8 };
        }
    }

    /// In -1..1.
    fn unit(&mut self) -> f32 {
        self.next() as i32 as f32 / (1u32 << 31) as f32
    }

    fn reals(&mut self, reals: &mut [f32], scale: f32, offset: f32, wild: bool) {
        for x in reals {
            *x = self.unit() * scale + offset;
            if wild && self.below(6) == 0 {
                const WILD: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e38, 1e-42];
                *x = WILD[self.below(6)];
            }
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    let mut good = true;
    for set in kernels::available().filter(|set| set.name != "scalar") {
        let same = (0..CASES).all(|seed| {
            let same = case(set, seed) && changes(set, seed) && judged(set, seed) && totals(set, seed);
            if !same {
                say!("{BOARD}: {} differs from scalar in case {seed}", set.name);
            }
            same
        });
        say!("{BOARD}: kernels {}: {}", set.name, if same { "as scalar" } else { "FAILED" });
        good &= same;
    }
    host::exit(good)
}

fn case(set: &Kernels, seed: u64) -> bool {
    // SAFETY: one thread, one case at a time.
    let memory = unsafe { BUFFERS.take() };
    let mut random = Random(seed);
    let depthwise = seed % 2 == 1;
    let (oc, rows) = (1 + random.below(CHANNELS), 1 + random.below(ROWS));
    let [extreme, wild, real, added, tabled] = [0; 5].map(|_| random.below(4) == 0);
    let window = depthwise && random.coin();
    let paired = seed % 4 == 2;
    let segments = if paired {
        1
    } else if window {
        9
    } else {
        1 + random.below(if depthwise { 30 } else { 9 })
    };
    let most = [3, 70, 300][random.below(3)];
    let quads = if depthwise { segments.div_ceil(4) } else { 1 + random.below(most / segments + 1) };
    let quads = if paired { quads.next_multiple_of(4) } else { quads };
    let blocks = oc.div_ceil(16);
    let oc = if blocks * 64 * quads * if depthwise { 1 } else { segments } > 40 << 10 { oc % 16 + 1 } else { oc };
    random.bytes(&mut memory.input, extreme);
    memory.weights.0.iter_mut().for_each(|w| *w = random.next() as i8);
    random.bytes(&mut memory.table, false);
    let taps = (segments * if depthwise { 1 } else { 4 * quads }) as f32;
    let (m, b, r) = (&mut memory.m, &mut memory.b, &mut memory.r);
    random.reals(m, 1.0 / (40.0 * taps), 0.0, wild);
    random.reals(b, 128.0, 100.0, wild);
    random.reals(r, 1.0, 0.0, wild);
    let line = if depthwise { oc } else { 4 * quads };
    let mut offsets = [[0u32; 30]; 4];
    for (k, offsets) in offsets.iter_mut().enumerate() {
        let room = if k == 1 { 4096 - CHANNELS } else { (4096 - line) / 2 };
        offsets.iter_mut().for_each(|at| *at = random.below(room) as u32);
    }
    if window {
        // Three lines of three taps.
        let (right, down) = (if random.coin() { 64 } else { random.below(200) }, random.below(400));
        offsets[1][..9].iter_mut().enumerate().for_each(|(k, at)| *at = (k % 3 * right + k / 3 * down) as u32);
    }
    let size = oc * if real { 4 } else { 1 };
    let mut end = 0;
    for at in &mut offsets[3][..rows] {
        *at = end as u32;
        end += size + random.below(8);
    }
    if random.coin() {
        offsets[3][..rows].reverse();
    }
    let [rows_in, rows_res, taps, rows_out] = &offsets;
    let (lo, hi) = match (real, random.below(4)) {
        (true, _) => (-3.5, 60.0),
        (false, 0) => (17.0, 17.0),
        (false, 1) => (3.5, 200.4),
        (false, _) => (0.0, 255.0),
    };
    for (set, output) in [set, &scalar::KERNELS].into_iter().zip(&mut memory.output) {
        output.fill(0xa5);
        let input = memory.input.as_ptr();
        let layer = ConvLayer {
            segments: &taps[..segments],
            quads,
            weights: &memory.weights.0,
            oc,
            m,
            b,
            lo,
            hi,
            table: tabled.then_some(&memory.table),
            real,
        };
        let tile = ConvTile {
            layer: &layer,
            input,
            rows_in: &rows_in[..rows],
            residual: added.then_some(Residual { input, rows: &rows_res[..rows], r }),
            output: output.as_mut_ptr(),
            rows_out: &rows_out[..rows],
        };
        // SAFETY: offsets of rows and taps are less than half of what the line leaves; results are disjoint and fit.
        unsafe {
            if depthwise {
                (set.depthwise)(&tile)
            } else if paired {
                (set.pairs)(&tile)
            } else {
                (set.conv)(&tile)
            }
        }
    }
    memory.output[0] == memory.output[1]
}

fn changes(set: &Kernels, seed: u64) -> bool {
    // SAFETY: one thread, one case at a time.
    let memory = unsafe { BUFFERS.take() };
    let mut random = Random(seed);
    let (new, held) = memory.input.split_at_mut(2048);
    random.bytes(new, false);
    let noise = [1, 16, 256][random.below(3)];
    held.iter_mut().zip(&*new).for_each(|(h, n)| *h = n.wrapping_add(random.below(noise) as u8));
    let weak = random.below(24) as u8;
    let thresholds = [weak, if random.coin() { weak.saturating_mul(2) } else { 255 }];
    let (at, c) = (random.below(64), 1 + random.below(5));
    let n = random.below(200) / c * c;
    let [line, held_line] = [&new[at..][..n], &held[at..][..n]];
    let [new, held] = [&new[at..], &held[at..]];
    let (lines, width) = (1 + random.below(8), 1 + random.below(100));
    let shift = Shift::of([0, 0, 3, -3, 200, -200][random.below(6)]);
    let tile = DriftTile { new: new.as_ptr(), held: held.as_ptr(), step: [130, 135], lines, width, shift };
    let found = [set, &scalar::KERNELS].map(|set| {
        let (mut sums, mut weak, mut strong) = ([7; 13], [7; 4], [7; 4]);
        // SAFETY: lines of at most 135 bytes, at most eight of them.
        let bound = unsafe {
            (set.drift)(&tile, &mut sums[..width.div_ceil(8)]);
            let words = (n / c).div_ceil(64);
            (set.compare)(&CompareTile { new: line, held: held_line, c, shift, thresholds }, [&mut weak[..words], &mut strong[..words]])
        };
        (bound, (weak, strong, sums))
    });
    // The largest change, or more.
    found[0].0 >= found[1].0 && found[0].1 == found[1].1
}

/// Rows before a gate.
fn judged(set: &Kernels, seed: u64) -> bool {
    // SAFETY: one thread, one case at a time.
    let memory = unsafe { BUFFERS.take() };
    let mut random = Random(seed);
    let (c, n) = (1 + random.below(70), 1 + random.below(16));
    let (new, weights) = memory.input.split_at_mut(2048);
    let (new, weights) = (&mut new[..n * c], &mut weights[..c]);
    random.bytes(new, false);
    random.bytes(weights, false);
    let rows: [u32; 16] = core::array::from_fn(|i| (i * (c + 3)) as u32);
    let most = [2, 12, 256][random.below(3)];
    let (dead, noise) = (random.below(6) as u8, 1 + random.below(most));
    memory.output[0].iter_mut().for_each(|h| *h = random.next() as u8);
    for (new, at) in new.chunks_exact(c).zip(rows) {
        let held = &mut memory.output[0][at as usize..];
        held.iter_mut().zip(new).for_each(|(h, n)| *h = n.wrapping_add(random.below(noise) as u8));
    }
    // SAFETY: as many codes as weights; the scalar set runs everywhere.
    let first = unsafe { (scalar::KERNELS.score)(&new[..c], &memory.output[0][..c], weights, dead) };
    let limit = [None, Some(random.below(4000) as u32), Some(random.below(1 << 18) as u32), Some(first)][random.below(4)];
    memory.output[1] = memory.output[0];
    let [a, b] = &mut memory.output;
    let [passed, expected] = [(set, &mut *a), (&scalar::KERNELS, &mut *b)].map(|(set, held)| {
        let tile = JudgeTile { new, held: held.as_mut_ptr(), rows: &rows[..n], weights, dead, limit };
        // SAFETY: 16 rows of at most 73 bytes lie in `output`.
        unsafe { (set.judge)(&tile) }
    });
    passed == expected && a == b
}

/// Sums over pixels.
fn totals(set: &Kernels, seed: u64) -> bool {
    // SAFETY: one thread, one case at a time.
    let memory = unsafe { BUFFERS.take() };
    let mut random = Random(seed);
    let extreme = random.coin();
    random.bytes(&mut memory.input, extreme);
    let (c, step, pixels) = (1 + random.below(CHANNELS), random.below(8), 1 + random.below(500));
    let [found, expected] = [set, &scalar::KERNELS].map(|set| {
        let mut sums = [7; CHANNELS + 1];
        let tile = SumTile { input: memory.input.as_ptr(), step, pixels };
        // SAFETY: 500 pixels 7 bytes apart, of at most 80, lie in `input`.
        unsafe { (set.sum)(&tile, &mut sums[..c]) };
        sums
    });
    found == expected
}
