//! Element-wise rows: operands become f32, a function is applied, the result becomes codes or stays f32.
//!
//! The bodies are generic over nothing and inlined into each kernel set, so that the compiler vectorises them for the
//! set's features: each works on blocks of a fixed number of channels. The last block ends with the row and overlaps the
//! one before it (every channel is a function of the operands alone, so that computing it twice changes nothing). Rows
//! shorter than a block are copied into padded ones first. Several adjacent rows are worked on as one long row, in
//! which the per-channel arrays repeat. Every operation is a single IEEE addition, multiplication, division, square
//! root, minimum or maximum, never fused: the bits are the same on every target.

use crate::format::{BinaryFn, MapFn};

/// Channels worked on at a time.
pub(crate) const BLOCK: usize = 16;

/// Narrow rows of a softmax worked on side by side: one where vectors are few and the stack is small.
const SIDE: usize = if cfg!(target_os = "none") { 1 } else { BLOCK };

/// Blocks of a wide softmax whose exponentials are kept from its sum to its results.
const KEPT: usize = if cfg!(target_os = "none") { 0 } else { 8 };

/// Entries a per-channel array holds after a period, if that is no whole number of blocks.
pub const BEYOND: usize = BLOCK - 1;

/// A block of f32.
type Block = [f32; BLOCK];

/// 1.5 * 2^23: added to `|x| < 2^22` it leaves the nearest even integer, which is also in the low bits of the sum.
const MAGIC: f32 = 12_582_912.0;

/// An operand row.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// `f32(code) * scale + offset`.
    Codes {
        /// The row.
        codes: &'a [u8],
        /// Per channel.
        scale: &'a [f32],
        /// Per channel.
        offset: &'a [f32],
    },
    /// As they are.
    Reals(&'a [Real]),
    /// One value per channel, repeated like the arrays of codes.
    Repeat(&'a [f32]),
    /// Channel 0 of a row for every channel.
    One(f32),
}

/// Four bytes of an f32: arena rows need not be aligned for it.
pub type Real = [u8; 4];

/// A result row.
pub enum Row<'a> {
    /// `rne(clamp(y * scale + offset, lo, hi))`, then the table.
    Codes {
        /// The row.
        codes: &'a mut [u8],
        /// Per channel.
        scale: &'a [f32],
        /// Per channel.
        offset: &'a [f32],
        /// Lower bound in codes, at least 0.
        lo: f32,
        /// Upper bound in codes, at most 255.
        hi: f32,
        /// Applied last.
        table: Option<&'a [u8; 256]>,
    },
    /// `clamp(y, lo, hi)`.
    Reals {
        /// The row.
        reals: &'a mut [Real],
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
}

/// A row of a two-operand function.
pub struct Bin<'a> {
    /// The function.
    pub f: BinaryFn,
    /// Channels of a pixel. Where the row holds several pixels, per-channel arrays hold a whole number of blocks, or
    /// go on with [`BEYOND`] entries from their start.
    pub period: usize,
    /// First operand.
    pub a: Operand<'a>,
    /// Second operand.
    pub b: Operand<'a>,
}

/// A row of a one-operand function.
pub struct Uni<'a> {
    /// The function.
    pub f: MapFn,
    /// As in [`Bin`].
    pub period: usize,
    /// Its parameters.
    pub p: [f32; 2],
    /// Slopes of `PRelu`.
    pub slope: &'a [f32],
    /// The operand.
    pub a: Operand<'a>,
}

/// An operand or a result of codes whose every block has been found inside its arrays.
struct Plain<C> {
    codes: C,
    scale: *const f32,
    offset: *const f32,
    lo: f32,
    hi: f32,
}

/// One value per channel, likewise.
struct PlainRepeat(*const f32);

/// Whether `len` codes hold every block of a walk over `len` values.
fn covers(codes: usize, len: usize, period: usize) -> bool {
    len >= BLOCK && codes >= len && (len.is_multiple_of(BLOCK) || len.is_multiple_of(period.max(1)))
}

/// Whether a per-channel array holds every block of such a walk.
fn lasts(array: &[f32], period: usize) -> bool {
    // Where phases are whole blocks, the last one ends with the period.
    array.len() >= period + if period.is_multiple_of(BLOCK) { 0 } else { BEYOND }
}

impl Load for PlainRepeat {
    #[inline(always)]
    fn load(&self, _: usize, phase: usize) -> Block {
        // SAFETY: `lasts`.
        unsafe { block(self.0, phase) }
    }
}

impl Load for Plain<*const u8> {
    #[inline(always)]
    fn load(&self, at: usize, phase: usize) -> Block {
        let mut x = [0.0; BLOCK];
        // SAFETY: `covers`, `lasts`.
        let (codes, scale, offset) = unsafe {
            (*self.codes.add(at).cast::<[u8; BLOCK]>(), block(self.scale, phase), block(self.offset, phase))
        };
        for i in 0..BLOCK {
            x[i] = codes[i] as f32 * scale[i] + offset[i];
        }
        x
    }
}

impl Store for Plain<*mut u8> {
    #[inline(always)]
    fn store(&mut self, at: usize, phase: usize, y: &Block) {
        // SAFETY: `lasts`.
        let (scale, offset) = unsafe { (block(self.scale, phase), block(self.offset, phase)) };
        let mut q = [0; BLOCK];
        for i in 0..BLOCK {
            // `scalar::code`: the bounds make the low byte of the sum the whole integer.
            q[i] = (clamp(y[i] * scale[i] + offset[i], self.lo, self.hi) + MAGIC).to_bits() as u8;
        }
        // SAFETY: `covers`.
        unsafe { *self.codes.add(at).cast::<[u8; BLOCK]>() = q };
    }
}

/// The block at `phase`.
///
/// # Safety
/// It is readable.
#[inline(always)]
unsafe fn block(array: *const f32, phase: usize) -> Block {
    // SAFETY: the caller's.
    unsafe { array.add(phase).cast::<Block>().read() }
}

impl Row<'_> {
    /// The row without a choice of kinds, if it is one of codes without a table.
    #[inline(always)]
    fn plain(&mut self, period: usize) -> Option<Plain<*mut u8>> {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table: None }
                if covers(codes.len(), codes.len(), period) && lasts(scale, period) && lasts(offset, period) =>
            {
                Some(Plain { codes: codes.as_mut_ptr(), scale: scale.as_ptr(), offset: offset.as_ptr(), lo: *lo, hi: *hi })
            }
            _ => None,
        }
    }

    /// Stores one value.
    pub fn put(&mut self, k: usize, y: f32) {
        self.set(k, k, y);
    }

    /// Stores value `at`, of channel `k`.
    #[inline(always)]
    fn set(&mut self, at: usize, k: usize, y: f32) {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => {
                let code = super::scalar::code(y * scale[k] + offset[k], lo.max(0.0), hi.min(255.0));
                codes[at] = table.map_or(code, |t| t[code as usize]);
            }
            Row::Reals { reals, lo, hi } => reals[at] = clamp(y, *lo, *hi).to_le_bytes(),
        }
    }

    /// One of several rows.
    #[inline(always)]
    fn part(&mut self, at: usize, n: usize) -> Row<'_> {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table } => Row::Codes {
                codes: &mut codes[at..][..n],
                scale,
                offset,
                lo: *lo,
                hi: *hi,
                table: *table,
            },
            Row::Reals { reals, lo, hi } => Row::Reals { reals: &mut reals[at..][..n], lo: *lo, hi: *hi },
        }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        match self {
            Row::Codes { codes, .. } => codes.len(),
            Row::Reals { reals, .. } => reals.len(),
        }
    }

}

impl Store for Row<'_> {
    #[inline(always)]
    fn store(&mut self, at: usize, phase: usize, y: &Block) {
        match self {
            Row::Codes {
                codes,
                scale,
                offset,
                lo,
                hi,
                table,
            } => {
                let (scale, offset) = (read(scale, phase), read(offset, phase));
                let mut q = [0; BLOCK];
                for i in 0..BLOCK {
                    // `scalar::code`: the bounds make the low byte of the sum the whole integer.
                    q[i] = (clamp(y[i] * scale[i] + offset[i], *lo, *hi) + MAGIC).to_bits() as u8;
                }
                if let Some(table) = table {
                    q = q.map(|q| table[q as usize]);
                }
                write(codes, at, &q);
            }
            Row::Reals { reals, lo, hi } => {
                let mut bytes = [[0; 4]; BLOCK];
                for i in 0..BLOCK {
                    bytes[i] = clamp(y[i], *lo, *hi).to_le_bytes();
                }
                write(reals, at, &bytes);
            }
        }
    }
}

impl Operand<'_> {
    /// The operand without a choice of kinds, if it is one of codes; `len` values are walked.
    #[inline(always)]
    fn plain(&self, len: usize, period: usize) -> Option<Plain<*const u8>> {
        match *self {
            Operand::Codes { codes, scale, offset }
                if covers(codes.len(), len, period) && lasts(scale, period) && lasts(offset, period) =>
            {
                Some(Plain { codes: codes.as_ptr(), scale: scale.as_ptr(), offset: offset.as_ptr(), lo: 0.0, hi: 0.0 })
            }
            _ => None,
        }
    }

    /// The same for one value per channel.
    #[inline(always)]
    fn repeated(&self, period: usize) -> Option<PlainRepeat> {
        match *self {
            Operand::Repeat(values) if lasts(values, period) => Some(PlainRepeat(values.as_ptr())),
            _ => None,
        }
    }

    /// One value.
    pub fn get(&self, k: usize) -> f32 {
        match *self {
            Operand::Codes { codes, scale, offset } => codes[k] as f32 * scale[k] + offset[k],
            Operand::Reals(reals) => f32::from_le_bytes(reals[k]),
            Operand::Repeat(values) => values[k],
            Operand::One(v) => v,
        }
    }

    /// Value `at`, of channel `k`.
    #[inline(always)]
    fn value(&self, at: usize, k: usize) -> f32 {
        match *self {
            Operand::Codes { codes, scale, offset } => codes[at] as f32 * scale[k] + offset[k],
            Operand::Reals(reals) => f32::from_le_bytes(reals[at]),
            Operand::Repeat(values) => values[k],
            Operand::One(v) => v,
        }
    }

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

impl Load for Operand<'_> {
    #[inline(always)]
    fn load(&self, at: usize, phase: usize) -> Block {
        let mut x = [0.0; BLOCK];
        match *self {
            Operand::Codes {
                codes,
                scale,
                offset,
            } => {
                let (codes, scale, offset) = (read(codes, at), read(scale, phase), read(offset, phase));
                for i in 0..BLOCK {
                    x[i] = codes[i] as f32 * scale[i] + offset[i];
                }
            }
            Operand::Reals(reals) => {
                let bytes = read(reals, at);
                for i in 0..BLOCK {
                    x[i] = f32::from_le_bytes(bytes[i]);
                }
            }
            Operand::Repeat(values) => x = read(values, phase),
            Operand::One(v) => x = [v; BLOCK],
        }
        x
    }
}

/// The block at `at`. Rows hold it; zeros stand for one that does not, where a panic would cost the loop its vectors.
#[inline(always)]
fn read<T: Copy + Default>(row: &[T], at: usize) -> [T; BLOCK] {
    match row.get(at..).and_then(|row| row.first_chunk()) {
        Some(block) => *block,
        None => [T::default(); BLOCK],
    }
}

/// Stores the block at `at`.
#[inline(always)]
fn write<T: Copy>(row: &mut [T], at: usize, block: &[T; BLOCK]) {
    if let Some(to) = row.get_mut(at..).and_then(|row| row.first_chunk_mut()) {
        *to = *block;
    }
}

/// Where a walk over the blocks of a row is. Blocks are walked without closures: these would be compiled for the features
/// of the target, not of the set.
struct Place {
    period: usize,
    step: usize,
    /// Entry of the per-channel arrays.
    phase: usize,
}

impl Place {
    #[inline(always)]
    fn new(period: usize) -> Self {
        let period = period.max(1);
        Place { period, step: BLOCK % period, phase: 0 }
    }

    /// First channel of block `k`; the last block ends with the row.
    #[inline(always)]
    fn at(&mut self, k: usize, len: usize) -> usize {
        let at = (k * BLOCK).min(len.saturating_sub(BLOCK));
        if at != k * BLOCK {
            self.phase = at % self.period;
        }
        at
    }

    #[inline(always)]
    fn next(&mut self) {
        self.phase += self.step;
        if self.phase >= self.period {
            self.phase -= self.period;
        }
    }
}

/// `min(max(x, lo), hi)` with the operand order of the vector instructions: a NaN gives `lo`.
#[inline(always)]
pub(crate) fn clamp(x: f32, lo: f32, hi: f32) -> f32 {
    let x = if x > lo { x } else { lo };
    if x < hi { x } else { hi }
}

#[inline(always)]
pub(super) fn binary(bin: &Bin, row: &mut Row) {
    if row.len() < BLOCK {
        short_binary(bin, row);
    } else {
        binary_blocks(bin, row);
    }
}

/// Value by value, compiled once, for the features of the target: too few channels for more.
#[inline(never)]
fn short_binary(bin: &Bin, row: &mut Row) {
    for k in 0..row.len() {
        row.put(k, two(bin.f, bin.a.value(k, k), bin.b.value(k, k)));
    }
}

/// The function of two operands.
#[inline(always)]
fn two(f: BinaryFn, a: f32, b: f32) -> f32 {
    match f {
        BinaryFn::Add => a + b,
        BinaryFn::Sub => a - b,
        BinaryFn::Mul => a * b,
        BinaryFn::Div => a / b,
        BinaryFn::Min => if a < b { a } else { b },
        BinaryFn::Max => if a > b { a } else { b },
    }
}

#[inline(always)]
fn binary_blocks(bin: &Bin, row: &mut Row) {
    let (len, period) = (row.len(), bin.period);
    // Common cases have loops of their own, without a choice in them.
    if let (Some(a), Some(mut row)) = (bin.a.plain(len, period), row.plain(period)) {
        match (bin.b.plain(len, period), bin.b.repeated(period)) {
            (Some(b), _) => return binary_loop(bin.f, period, &a, &b, len, &mut row),
            (_, Some(b)) => return binary_loop(bin.f, period, &a, &b, len, &mut row),
            _ => {}
        }
    }
    binary_loop(bin.f, period, &bin.a, &bin.b, len, row);
}

/// Gives blocks of an operand.
trait Load {
    fn load(&self, at: usize, phase: usize) -> Block;
}

/// Takes blocks of a result.
trait Store {
    fn store(&mut self, at: usize, phase: usize, y: &Block);
}

#[inline(always)]
fn binary_loop(f: BinaryFn, period: usize, a: &impl Load, b: &impl Load, len: usize, row: &mut impl Store) {
    let mut place = Place::new(period);
    macro_rules! each {
        ($f:ident) => {
            for k in 0..len.div_ceil(BLOCK) {
                let at = place.at(k, len);
                let phase = place.phase;
                let (mut x, y) = (a.load(at, phase), b.load(at, phase));
                for i in 0..BLOCK {
                    x[i] = two(BinaryFn::$f, x[i], y[i]);
                }
                row.store(at, phase, &x);
                place.next();
            }
        };
    }
    match f {
        BinaryFn::Add => each!(Add),
        BinaryFn::Sub => each!(Sub),
        BinaryFn::Mul => each!(Mul),
        BinaryFn::Div => each!(Div),
        BinaryFn::Min => each!(Min),
        BinaryFn::Max => each!(Max),
    }
}

#[inline(always)]
pub(super) fn map(uni: &Uni, row: &mut Row) {
    if row.len() < BLOCK {
        short_map(uni, row);
    } else {
        map_blocks(uni, row);
    }
}

/// As [`short_binary`].
#[inline(never)]
fn short_map(uni: &Uni, row: &mut Row) {
    for k in 0..row.len() {
        let slope = uni.slope.get(k).copied().unwrap_or(0.0);
        row.put(k, one(uni.f, uni.p, slope, uni.a.value(k, k)));
    }
}

/// The function of one operand.
#[inline(always)]
fn one(f: MapFn, [p0, p1]: [f32; 2], slope: f32, v: f32) -> f32 {
    match f {
        MapFn::Identity => v,
        MapFn::Sigmoid => sigmoid(v),
        MapFn::Exp => exp(v),
        MapFn::Tanh => 2.0 * sigmoid(2.0 * v) - 1.0,
        MapFn::Silu => v * sigmoid(v),
        MapFn::LeakyRelu => if v < 0.0 { v * p0 } else { v },
        MapFn::HardSigmoid => clamp(v * p0 + p1, 0.0, 1.0),
        MapFn::HardSwish => v * clamp(v * (1.0 / 6.0) + 0.5, 0.0, 1.0),
        MapFn::Sqrt => sqrt(v),
        MapFn::Reciprocal => 1.0 / v,
        MapFn::Abs => if v < 0.0 { -v } else { v },
        MapFn::Neg => -v,
        MapFn::Log => log(v),
        MapFn::PRelu => if v < 0.0 { v * slope } else { v },
    }
}

#[inline(always)]
fn map_blocks(uni: &Uni, row: &mut Row) {
    let (len, period) = (row.len(), uni.period);
    if let (Some(a), Some(mut row)) = (uni.a.plain(len, period), row.plain(period)) {
        map_loop(uni, &a, len, &mut row);
    } else {
        map_loop(uni, &uni.a, len, row);
    }
}

#[inline(always)]
fn map_loop(uni: &Uni, a: &impl Load, len: usize, row: &mut impl Store) {
    let mut place = Place::new(uni.period);
    macro_rules! each {
        ($f:ident) => {
            for k in 0..len.div_ceil(BLOCK) {
                let at = place.at(k, len);
                let phase = place.phase;
                let mut x = a.load(at, phase);
                for x in &mut x {
                    *x = one(MapFn::$f, uni.p, 0.0, *x);
                }
                row.store(at, phase, &x);
                place.next();
            }
        };
    }
    match uni.f {
        MapFn::Identity => each!(Identity),
        MapFn::Sigmoid => each!(Sigmoid),
        MapFn::Exp => each!(Exp),
        MapFn::Tanh => each!(Tanh),
        MapFn::Silu => each!(Silu),
        MapFn::LeakyRelu => each!(LeakyRelu),
        MapFn::HardSigmoid => each!(HardSigmoid),
        MapFn::HardSwish => each!(HardSwish),
        MapFn::Sqrt => each!(Sqrt),
        MapFn::Reciprocal => each!(Reciprocal),
        MapFn::Abs => each!(Abs),
        MapFn::Neg => each!(Neg),
        MapFn::Log => each!(Log),
        MapFn::PRelu => {
            for k in 0..len.div_ceil(BLOCK) {
                let at = place.at(k, len);
                let phase = place.phase;
                let (mut x, slope) = (a.load(at, phase), read(uni.slope, phase));
                for i in 0..BLOCK {
                    x[i] = one(MapFn::PRelu, uni.p, slope[i], x[i]);
                }
                row.store(at, phase, &x);
                place.next();
            }
        }
    }
}

/// Softmax over each `c` channels of a run of rows; the arrays hold `c` entries. The sum of fewer than 16 exponentials is in order, that of
/// more in 16 partial sums (channel modulo 16), added by halves.
#[inline(always)]
pub(super) fn softmax(a: &Operand, c: usize, row: &mut Row) {
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

/// `e^x` to about 2 units in the last place for `-87 <= x <= 88`, saturating outside (Cody and Waite reduction,
/// polynomial of degree 6 of the remainder).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = clamp(x, -87.0, 88.0);
    let shifted = x * core::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    // The integer n is in the low bits, where a conversion would have to check its range.
    let exponent = shifted
        .to_bits()
        .wrapping_sub(MAGIC.to_bits())
        .wrapping_add(127);
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let p = 1.388_888_9e-3;
    let p = p * r + 8.333_334e-3;
    let p = p * r + 4.166_666_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    p * f32::from_bits(exponent << 23)
}

#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Natural logarithm of positive normal numbers (atanh series of the mantissa); others give the smallest value.
#[inline(always)]
pub(crate) fn log(x: f32) -> f32 {
    let x = if x > f32::MIN_POSITIVE {
        x
    } else {
        f32::MIN_POSITIVE
    };
    let bits = x.to_bits();
    // The mantissa in [sqrt(1/2), sqrt(2)).
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let e = (shifted as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e as u32) << 23));
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let p = 2.0 / 9.0;
    let p = p * t2 + 2.0 / 7.0;
    let p = p * t2 + 2.0 / 5.0;
    let p = p * t2 + 2.0 / 3.0;
    let p = p * t2 + 2.0;
    p * t + e as f32 * core::f32::consts::LN_2
}

/// Square root by Newton's iteration on the reciprocal root: core has none without the standard library.
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    let half = 0.5 * x;
    let mut r = f32::from_bits(0x5f37_59df_u32.wrapping_sub(x.to_bits() >> 1));
    for _ in 0..3 {
        r = r * (1.5 - half * r * r);
    }
    let s = x * r;
    // One Heron step brings the last bits; 0 stays 0.
    if x > 0.0 { 0.5 * (s + x / s) } else { 0.0 }
}
