//! Softmax over the channels of rows, in blocks, which compilers turn into vectors.

use super::math::{clamp, exp};
use super::walk::{Block, Load, Store};
use super::{BLOCK, Operand, Row};

/// Narrow rows of a softmax worked on side by side.
const SIDE: usize = BLOCK;

/// Blocks of a wide softmax whose exponentials are kept from its sum to its results.
const KEPT: usize = 8;

/// Softmax over each `c` channels of a run of rows; the arrays hold `c` entries.
#[inline(always)]
pub(in crate::kernels) fn softmax(a: &Operand, c: usize, row: &mut Row) {
    let rows = row.len() / c.max(1);
    let mut i = 0;
    while i < rows {
        if c < BLOCK {
            let n = SIDE.min(rows - i);
            softmax_narrow(a, c, i, n, row);
            i += n;
        } else {
            softmax_wide(&a.part(i * c, c), &mut row.part(i * c, c));
            i += 1;
        }
    }
}

/// `n <= SIDE` rows from row `first`, side by side.
#[inline(always)]
fn softmax_narrow(a: &Operand, c: usize, first: usize, n: usize, row: &mut Row) {
    let mut x = [[0.0; SIDE]; BLOCK];
    match *a {
        Operand::Codes { codes, scale, offset } => {
            let (codes, scale, offset) = (&codes[first * c..][..n * c], &scale[..c], &offset[..c]);
            for (i, codes) in codes.chunks_exact(c).enumerate() {
                for k in 0..c {
                    x[k][i] = codes[k] as f32 * scale[k] + offset[k];
                }
            }
        }
        _ => {
            for i in 0..n {
                for k in 0..c {
                    x[k][i] = a.value((first + i) * c + k, k);
                }
            }
        }
    }
    let (mut max, mut sum) = ([f32::MIN; SIDE], [0.0; SIDE]);
    for x in &x[..c] {
        for i in 0..SIDE {
            max[i] = if x[i] > max[i] { x[i] } else { max[i] };
        }
    }
    for x in &mut x[..c] {
        for i in 0..SIDE {
            x[i] = exp(x[i] - max[i]);
            sum[i] += x[i];
        }
    }
    for x in &mut x[..c] {
        for i in 0..SIDE {
            x[i] /= sum[i];
        }
    }
    match row {
        Row::Reals { reals, lo, hi } => {
            for (i, reals) in reals[first * c..][..n * c].chunks_exact_mut(c).enumerate() {
                for k in 0..c {
                    reals[k] = clamp(x[k][i], *lo, *hi).to_le_bytes();
                }
            }
        }
        _ => {
            for i in 0..n {
                for k in 0..c {
                    row.set((first + i) * c + k, k, x[k][i]);
                }
            }
        }
    }
}

#[inline(always)]
fn softmax_wide(a: &Operand, row: &mut Row) {
    let len = row.len();
    match a.plain(len, len) {
        Some(a) => softmax_blocks(&a, row),
        None => softmax_blocks(a, row),
    }
}

#[inline(always)]
fn softmax_blocks(a: &impl Load, row: &mut Row) {
    let len = row.len();
    let (whole, rest) = (len / BLOCK, len % BLOCK);
    // The block that ends with the row, of which the last `rest` are in no whole one.
    let last = len - BLOCK;
    let (mut max, mut sum) = ([f32::MIN; BLOCK], [0.0; BLOCK]);
    for k in 0..len.div_ceil(BLOCK) {
        let at = (k * BLOCK).min(last);
        let x = a.load(at, at);
        for i in 0..BLOCK {
            max[i] = if x[i] > max[i] { x[i] } else { max[i] };
        }
    }
    let mut top = f32::MIN;
    for m in max {
        top = if m > top { m } else { top };
    }
    let mut kept = [[0.0; BLOCK]; KEPT];
    for k in 0..whole {
        let e = exps(a.load(k * BLOCK, k * BLOCK), top);
        if let Some(kept) = kept.get_mut(k) {
            *kept = e;
        }
        for i in 0..BLOCK {
            sum[i] += e[i];
        }
    }
    if rest > 0 {
        let e = exps(a.load(last, last), top);
        for i in 0..BLOCK {
            if i < rest {
                sum[i] += e[BLOCK - rest + i];
            }
        }
    }
    let mut half = BLOCK / 2;
    while half > 0 {
        for i in 0..half {
            sum[i] += sum[i + half];
        }
        half /= 2;
    }
    for k in 0..len.div_ceil(BLOCK) {
        let at = (k * BLOCK).min(last);
        let mut e = match kept.get(k) {
            Some(kept) if k < whole => *kept,
            _ => exps(a.load(at, at), top),
        };
        for e in &mut e {
            *e /= sum[0];
        }
        row.store(at, at, &e);
    }
}

#[inline(always)]
fn exps(mut x: Block, top: f32) -> Block {
    for x in &mut x {
        *x = exp(*x - top);
    }
    x
}

impl Operand<'_> {
    /// One of several rows.
    #[inline(always)]
    fn part(&self, at: usize, n: usize) -> Operand<'_> {
        match *self {
            Operand::Codes { codes, scale, offset } => Operand::Codes { codes: &codes[at..][..n], scale, offset },
            Operand::Reals(reals) => Operand::Reals(&reals[at..][..n]),
            other => other,
        }
    }
}

impl Row<'_> {
    /// One of several rows.
    #[inline(always)]
    fn part(&mut self, at: usize, n: usize) -> Row<'_> {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => {
                Row::Codes { codes: &mut codes[at..][..n], scale, offset, lo: *lo, hi: *hi, table: *table }
            }
            Row::Reals { reals, lo, hi } => Row::Reals { reals: &mut reals[at..][..n], lo: *lo, hi: *hi },
        }
    }
}
