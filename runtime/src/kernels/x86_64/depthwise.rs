//! Depthwise convolution: 4 taps of a channel side by side, so that the dot step sums them.
//!
//! Taps are rows of bytes, one byte a channel. Two rounds of unpacking interleave 4 of them inside each 16-byte lane:
//!
//! ```text
//! taps 0..4, lane l:  a0 a1 .. a15 | b0 .. b15 | c0 .. c15 | d0 .. d15        (channel 16 l + 0..16)
//! unpack bytes:       a0 b0 a1 b1 .. a7 b7 | a8 b8 .. | c0 d0 c1 d1 .. | c8 d8 ..
//! unpack pairs:       j = 0: a0 b0 c0 d0 .. a3 b3 c3 d3,   j = 1: channels 4..8,   j = 2: 8..12,   j = 3: 12..16
//! ```
//!
//! So vector j of a quad holds channels `4j..4j + 4` of each lane. Weights, multipliers and offsets are put in that
//! order once per tile; packing the four results twice undoes it.
//!
//! A vector holds 1, 2 or 4 rows: with few channels several rows share it, in separate lanes. Exactly the channels
//! asked for are read.
//!
//! Where rows follow one another in memory, before and after, a run of them is one string of bytes ([`runs`]): vectors
//! cross from row to row, and no lane is idle. The channels in a vector repeat after as many vectors as make whole rows; the weights are
//! arranged once for each of these phases.

use core::mem::MaybeUninit;

use super::super::DepthwiseTile;
use super::vector::Vector;

/// Quads whose arranged weights are kept; those of larger kernels are arranged again at each use.
const KEPT: usize = 16;
type Kept<V> = [MaybeUninit<[<V as Vector>::Right; 4]>; KEPT];

/// Channels `at..at + n` of all rows, `ROWS` rows to a vector; `at` is a multiple of 16,
/// `n <= BYTES / ROWS`, and equal to it if `FULL`.
///
/// # Safety
/// The tile is valid (see [`DepthwiseTile`]), the channels are in it, the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn channels<V: Vector, const ROWS: usize, const FULL: bool>(t: &DepthwiseTile, at: usize, n: usize) {
    let rows = t.rows_in.len();
    let (quads, rest) = t.segments.as_chunks::<4>();
    // SAFETY: features: the caller. Rows, weights, multipliers and results: validity of the tile; `rows_of` and
    // `block` never leave it, and `load_rows` reads `n` channels only.
    unsafe {
        let (lo, hi) = (V::splat(t.lo), V::splat(t.hi));
        let (mut m, mut b, mut r) = ([lo; 4], [lo; 4], [lo; 4]);
        for j in 0..4 {
            m[j] = arranged::<V, ROWS>(t.oc, t.m.as_ptr().cast(), 64, at, j).reals();
            b[j] = arranged::<V, ROWS>(t.oc, t.b.as_ptr().cast(), 64, at, j).reals();
            if let Some(res) = &t.residual {
                r[j] = arranged::<V, ROWS>(t.oc, res.r.as_ptr().cast(), 64, at, j).reals();
            }
        }
        let mut kept = [const { MaybeUninit::<[V::Right; 4]>::uninit() }; KEPT];
        for (q, kept) in kept.iter_mut().enumerate().take(t.quads) {
            kept.write(weights::<V, ROWS>(t, at, q));
        }

        let mut row = 0;
        while row < rows {
            let count = ROWS.min(rows - row);
            let x = rows_of::<ROWS>(t.input, t.rows_in, row, at);
            let mut acc = [V::zero(); 4];
            // Macros, because a closure would be compiled without the features of the set.
            macro_rules! load {
                ($tap:expr) => {
                    V::load_rows::<ROWS, FULL>(&x, $tap as usize, n)
                };
            }
            macro_rules! dot {
                ($q:expr, $taps:expr) => {
                    let w = if $q < KEPT { kept[$q].assume_init() } else { weights::<V, ROWS>(t, at, $q) };
                    let v = interleave($taps);
                    for j in 0..4 {
                        acc[j] = acc[j].dot(v[j].left(), w[j]);
                    }
                };
            }
            for (q, &[t0, t1, t2, t3]) in quads.iter().enumerate() {
                dot!(q, [load!(t0), load!(t1), load!(t2), load!(t3)]);
            }
            match *rest {
                [t0, t1, t2] => {
                    dot!(quads.len(), [load!(t0), load!(t1), load!(t2), V::zero()]);
                }
                [t0, t1] => {
                    dot!(quads.len(), [load!(t0), load!(t1), V::zero(), V::zero()]);
                }
                [t0] => {
                    dot!(quads.len(), [load!(t0), V::zero(), V::zero(), V::zero()]);
                }
                _ => {}
            }

            let mut y = [lo; 4];
            for j in 0..4 {
                y[j] = V::add(V::mul(acc[j].to_reals(), m[j]), b[j]);
            }
            if let Some(res) = &t.residual {
                let x = rows_of::<ROWS>(res.input, res.rows, row, at);
                let zero = V::zero();
                let x = interleave([V::load_rows::<ROWS, FULL>(&x, 0, n), zero, zero, zero]);
                for j in 0..4 {
                    y[j] = V::add(y[j], V::mul(x[j].to_reals(), r[j]));
                }
            }
            if t.real {
                for y in &mut y {
                    *y = V::min(V::max(*y, lo), hi);
                }
                let mut values = [[0f32; 16]; 4];
                for (values, y) in values.iter_mut().zip(y) {
                    V::store_reals(y, values.as_mut_ptr(), V::WORDS);
                }
                store_reals(t, row, count, at, n, V::LANES / ROWS, &values);
            } else {
                let codes = codes::<V>(y, [lo, hi]);
                let mut out = [t.output; 4];
                for (i, out) in out.iter_mut().enumerate().take(count) {
                    *out = t.output.add(t.rows_out[row + i] as usize + at);
                }
                codes.store_rows::<ROWS>(&out, count, n);
            }
            row += ROWS;
        }
    }
}

/// Rows of a tile in runs: those that follow one another, in the input and in the result.
pub(super) struct Runs {
    ends: [u16; RUNS],
    n: usize,
}

/// Runs of a tile at most, and the rows each holds in the mean at least.
const RUNS: usize = 32;
const LONG: usize = 8;

impl Runs {
    /// Those of a tile that [`runs`] does, and faster: few channels, in groups of 4, and long runs.
    #[inline(always)]
    pub(super) fn of<V: Vector>(t: &DepthwiseTile) -> Option<Runs> {
        if t.oc >= V::BYTES || !t.oc.is_multiple_of(4) || t.real || t.residual.is_some() || t.quads > KEPT {
            return None;
        }
        let rows = t.rows_in.len();
        let mut all = Runs { ends: [0; RUNS], n: 0 };
        let mut row = 0;
        while row < rows {
            row = run(t, row);
            *all.ends.get_mut(all.n)? = row as u16;
            all.n += 1;
        }
        (rows >= LONG * all.n && rows <= u16::MAX as usize).then_some(all)
    }

    /// The first row of each, and the one after its last.
    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut first = 0;
        self.ends[..self.n].iter().map(move |&end| (core::mem::replace(&mut first, end as usize), end as usize))
    }
}

/// The end of the run from `row` on.
#[inline(always)]
fn run(t: &DepthwiseTile, row: usize) -> usize {
    let (from, to) = (&t.rows_in[row..], &t.rows_out[row..]);
    let len = from.len().min(to.len());
    let apart = |i: usize| {
        let gap = |rows: &[u32]| rows[i + 1].wrapping_sub(rows[i]) ^ t.oc as u32;
        gap(from) | gap(to)
    };
    let mut end = 1;
    // Several at once, without a branch for each.
    while end + LONG <= len && (end - 1..end + LONG - 1).fold(0, |any, i| any | apart(i)) == 0 {
        end += LONG;
    }
    while end < len && apart(end - 1) == 0 {
        end += 1;
    }
    row + end
}

/// All rows of a tile.
///
/// # Safety
/// The tile is valid (see [`DepthwiseTile`]), the CPU has the features of `V`.
#[inline(always)]
pub(super) unsafe fn runs<V: Vector>(t: &DepthwiseTile, runs: &Runs) {
    let c = t.oc;
    let (lo, hi) = (t.lo, t.hi);
    let period = V::BYTES * vectors_of_period::<V>(c);
    let (mut phase, mut first) = (0, 0);
    while first < period {
        // SAFETY: features: the caller. Arrays hold whole blocks; every vector reads and writes bytes of the run's rows only.
        unsafe {
            let groups = groups(c, phase);
            let (lo, hi) = (V::splat(lo), V::splat(hi));
            let (mut m, mut b) = ([lo; 4], [lo; 4]);
            for j in 0..4 {
                m[j] = repeated::<V>(&groups, t.m.as_ptr().cast(), 64, j).reals();
                b[j] = repeated::<V>(&groups, t.b.as_ptr().cast(), 64, j).reals();
            }
            let mut kept = [const { MaybeUninit::<[V::Right; 4]>::uninit() }; KEPT];
            for (q, kept) in kept.iter_mut().enumerate().take(t.quads) {
                let p = t.weights.as_ptr().cast::<u8>().add(64 * q);
                let mut w = [V::zero().right(); 4];
                for (j, w) in w.iter_mut().enumerate() {
                    *w = repeated::<V>(&groups, p, 64 * t.quads, j).right();
                }
                kept.write(w);
            }
            for (row, end) in runs.iter() {
                let len = (end - row) * c;
                let input = t.input.add(t.rows_in[row] as usize);
                let output = t.output.add(t.rows_out[row] as usize);
                let mut at = first;
                while at < len {
                    let n = V::BYTES.min(len - at);
                    let y = if n == V::BYTES {
                        string::<V, true>(t, input.add(at), n, &kept, [m, b], [lo, hi])
                    } else {
                        string::<V, false>(t, input.add(at), n, &kept, [m, b], [lo, hi])
                    };
                    y.store_part(output.add(at), n);
                    at += period;
                }
            }
        }
        first += V::BYTES;
        phase = (phase + V::BYTES) % c;
    }
}

/// Vectors after which channels repeat.
#[inline(always)]
fn vectors_of_period<V: Vector>(c: usize) -> usize {
    let (mut n, mut phase) = (1, V::BYTES % c);
    while phase != 0 {
        phase = (phase + V::BYTES) % c;
        n += 1;
    }
    n
}

/// `n` results at `p`, `BYTES` if `FULL`.
#[inline(always)]
unsafe fn string<V: Vector, const FULL: bool>(
    t: &DepthwiseTile, p: *const u8, n: usize, kept: &Kept<V>, [m, b]: [[V::Real; 4]; 2], [lo, hi]: [V::Real; 2],
) -> V {
    let (quads, rest) = t.segments.as_chunks::<4>();
    // SAFETY: `n` bytes of every tap are readable; the weights of all quads are arranged (the caller).
    unsafe {
        let mut acc = [V::zero(); 4];
        macro_rules! load {
            ($tap:expr) => {
                if FULL { V::load(p.add($tap as usize)) } else { V::load_part(p.add($tap as usize), n) }
            };
        }
        macro_rules! dot {
            ($q:expr, $taps:expr) => {
                let w = kept[$q].assume_init_ref();
                let v = interleave($taps);
                for j in 0..4 {
                    acc[j] = acc[j].dot(v[j].left(), w[j]);
                }
            };
        }
        for (q, &[t0, t1, t2, t3]) in quads.iter().enumerate() {
            dot!(q, [load!(t0), load!(t1), load!(t2), load!(t3)]);
        }
        match *rest {
            [t0, t1, t2] => {
                dot!(quads.len(), [load!(t0), load!(t1), load!(t2), V::zero()]);
            }
            [t0, t1] => {
                dot!(quads.len(), [load!(t0), load!(t1), V::zero(), V::zero()]);
            }
            [t0] => {
                dot!(quads.len(), [load!(t0), V::zero(), V::zero(), V::zero()]);
            }
            _ => {}
        }
        let mut y = [lo; 4];
        for j in 0..4 {
            y[j] = V::add(V::mul(acc[j].to_reals(), m[j]), b[j]);
        }
        codes::<V>(y, [lo, hi])
    }
}

/// Clamped to `lo..=hi`, which are in 0..=255, rounded and packed. The lower bound is taken last, of bytes: NaN and what is too small for an integer
/// became the least integer, and 0 of that.
#[inline(always)]
unsafe fn codes<V: Vector>(y: [V::Real; 4], [lo, hi]: [V::Real; 2]) -> V {
    // SAFETY: features: the caller.
    unsafe {
        let mut code = [V::zero(); 4];
        for (code, y) in code.iter_mut().zip(y) {
            *code = V::round(V::min(hi, y));
        }
        let least = V::round(lo);
        let least = least.pack32(least);
        code[0].pack32(code[1]).pack16(code[2].pack32(code[3])).max_u8(least.pack16(least))
    }
}

/// The first channel of each group of 4 bytes of a vector that starts with channel `phase` of rows of `c` channels.
#[inline(always)]
fn groups(c: usize, phase: usize) -> [usize; 16] {
    let (mut groups, mut k) = ([0; 16], phase);
    for group in &mut groups {
        *group = k;
        k += 4;
        if k >= c {
            k -= c;
        }
    }
    groups
}

/// As [`arranged`], for those channels.
#[inline(always)]
unsafe fn repeated<V: Vector>(groups: &[usize; 16], p: *const u8, stride: usize, j: usize) -> V {
    let mut lane = [p; 4];
    for (i, lane) in lane.iter_mut().enumerate().take(V::LANES) {
        let k = groups[4 * i + j];
        // SAFETY: channels `k..k + 4`, in one block because all are multiples of 4.
        *lane = unsafe { p.add(k / 16 * stride + k % 16 * 4) };
    }
    // SAFETY: as above; features: the caller.
    unsafe { V::load_lanes(&lane) }
}

/// Channel `at` of `ROWS` rows from `row`; the last row stands in for those beyond the end.
#[inline(always)]
unsafe fn rows_of<const ROWS: usize>(base: *const u8, rows: &[u32], row: usize, at: usize) -> [*const u8; 4] {
    let mut p = [base; 4];
    for (i, p) in p.iter_mut().enumerate().take(ROWS) {
        // SAFETY: offsets of the tile's rows (the caller).
        *p = unsafe { base.add(rows[(row + i).min(rows.len() - 1)] as usize + at) };
    }
    p
}

/// Part j of the 64 bytes a block of 16 channels has at `p`, for the block of each lane; blocks are `stride` bytes apart.
#[inline(always)]
unsafe fn arranged<V: Vector, const ROWS: usize>(oc: usize, p: *const u8, stride: usize, at: usize, j: usize) -> V {
    let lanes = V::LANES / ROWS;
    let last = (oc - 1) / 16;
    let mut lane = [p; 4];
    for (i, lane) in lane.iter_mut().enumerate().take(V::LANES) {
        let block = (at / 16 + i % lanes).min(last);
        // SAFETY: the block exists; 16 of its 64 bytes.
        *lane = unsafe { p.add(block * stride + 16 * j) };
    }
    // SAFETY: as above; features: the caller.
    unsafe { V::load_lanes(&lane) }
}

/// The weights of quad `q`.
#[inline(always)]
unsafe fn weights<V: Vector, const ROWS: usize>(t: &DepthwiseTile, at: usize, q: usize) -> [V::Right; 4] {
    // SAFETY: `q < quads`; features and validity: the caller.
    unsafe {
        let p = t.weights.as_ptr().cast::<u8>().add(64 * q);
        let mut w = [V::zero().right(); 4];
        for (j, w) in w.iter_mut().enumerate() {
            *w = arranged::<V, ROWS>(t.oc, p, 64 * t.quads, at, j).right();
        }
        w
    }
}

/// Four rows of bytes to four vectors of 4 bytes a channel, as drawn above.
#[inline(always)]
unsafe fn interleave<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 4] {
    // SAFETY: features: the caller.
    unsafe {
        let (ab_lo, ab_hi) = (a.unpack_lo8(b), a.unpack_hi8(b));
        let (cd_lo, cd_hi) = (c.unpack_lo8(d), c.unpack_hi8(d));
        [ab_lo.unpack_lo16(cd_lo), ab_lo.unpack_hi16(cd_lo), ab_hi.unpack_lo16(cd_hi), ab_hi.unpack_hi16(cd_hi)]
    }
}

/// f32 results of `count` rows that have `lanes` lanes each: rare, so value by value.
#[inline(never)]
unsafe fn store_reals(t: &DepthwiseTile, row: usize, count: usize, at: usize, n: usize, lanes: usize, values: &[[f32; 16]; 4]) {
    for i in 0..count {
        // SAFETY: a row of the tile (the caller).
        let out = unsafe { t.output.add(t.rows_out[row + i] as usize).cast::<f32>() };
        for k in 0..n {
            let (lane, part) = (i * lanes + k / 16, k % 16);
            // SAFETY: `at + k < oc` (the caller); the row may be unaligned.
            unsafe { out.add(at + k).write_unaligned(values[part / 4][4 * lane + part % 4]) };
        }
    }
}
