//! Arithmetic. One table of functions per instruction set, all bit-identical to [`scalar`], which is the specification.
//!
//! A convolution entry works on a tile: up to [`TILE`](crate::format::TILE) output rows given by the byte offsets of
//! their first taps and of their results (indirect GEMM: XNNPACK's indirection buffer, with inactive rows left out).
//! Dense execution is the same call with every row. The remaining entries work on one row of contiguous channels.
//!
//! [`select`] is the one place that chooses a set.

// NEON belongs to the targets meant here; one without floating point registers keeps the scalar set.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod aarch64;
#[cfg(all(target_arch = "arm", target_os = "none", any(feature = "dsp", feature = "mve")))]
pub mod arm;
#[cfg(any(target_arch = "x86_64", all(target_arch = "aarch64", target_feature = "neon")))]
mod columns;
mod compare;
mod only;
mod rows;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

use core::ops::Deref;

use crate::engine::Linked;

pub use compare::{CompareTile, Shift};
pub use rows::{BEYOND, Bin, Operand, Real, Row, Uni};
pub(crate) use rows::{BLOCK, clamp};

/// One tile of a u8 x s8 convolution: `acc[i][o] = sum over segments s, bytes j of
/// input[rows_in[i] + segments[s] + j] * weight[s][j][o]`, exact in i32, then
/// `y = f32(acc) * m[o] + b[o] (+ f32(residual[i][o]) * r[o])`, clamped to `lo..=hi` (`max` first), then rounded to
/// nearest even and passed through `table`, or stored as f32.
///
/// # Validity
/// The whole-file check proves for every tile: `input + rows_in[i] + segments[s] .. + 4 * quads` is readable,
/// `output + rows_out[i] .. + oc * size` is writable and overlaps neither, `residual` likewise readable;
/// `weights.len() >= blocks * segments.len() * quads * 64` with `blocks = oc.div_ceil(16)`; `m`, `b`, `r` hold
/// `16 * blocks`; for u8 results `0 <= lo <= hi <= 255`.
pub struct ConvTile<'a> {
    /// What all tiles of the convolution have in common; its fields read as the tile's.
    pub layer: &'a ConvLayer<'a>,
    /// Start of the arena.
    pub input: *const u8,
    /// Byte offset of the first tap of each row.
    pub rows_in: &'a [u32],
    /// Second input.
    pub residual: Option<Residual<'a>>,
    /// Start of the arena or of a staging buffer.
    pub output: *mut u8,
    /// Byte offset of each result row.
    pub rows_out: &'a [u32],
}

/// A convolution without its rows (see [`ConvTile`]).
#[derive(Clone, Copy)]
pub struct ConvLayer<'a> {
    /// Byte offset of each tap line (or tap) from the first.
    pub segments: &'a [u32],
    /// Groups of 4 bytes a segment.
    pub quads: usize,
    /// `[oc / 16][segment][quad][16][4]`; of [`PairsTile`]s and [`DepthwiseTile`]s as said there.
    pub weights: &'a [i8],
    /// Output channels.
    pub oc: usize,
    /// Multipliers.
    pub m: &'a [f32],
    /// Offsets.
    pub b: &'a [f32],
    /// Lower bound.
    pub lo: f32,
    /// Upper bound.
    pub hi: f32,
    /// Applied to the rounded code.
    pub table: Option<&'a [u8; 256]>,
    /// Results are f32 instead of codes.
    pub real: bool,
}

impl<'a> Deref for ConvTile<'a> {
    type Target = ConvLayer<'a>;

    fn deref(&self) -> &ConvLayer<'a> {
        self.layer
    }
}

/// The second input of a convolution: u8 rows added before clamping.
pub struct Residual<'a> {
    /// Start of the arena.
    pub input: *const u8,
    /// Byte offset of each row.
    pub rows: &'a [u32],
    /// Multipliers.
    pub r: &'a [f32],
}

/// One tile of a depthwise u8 x s8 convolution: channel `k` of row `i` sums
/// `input[rows_in[i] + taps[t] + k] * weight[k][t]`; the rest as in [`ConvTile`] with `oc` the channels,
/// `segments` the taps and weights `[c / 16][taps / 4][16][4]` (`quads` = taps / 4, rounded up).
pub type DepthwiseTile<'a> = ConvTile<'a>;

/// One tile of a convolution of few rows: a [`ConvTile`] with one segment, `quads` a multiple of 4, and weights `[oc / 2][4 * quads][2]` (oc
/// padded to 16), of which the first of a pair is an u8, 128 more than it counts, the second an s8.
pub type PairsTile<'a> = ConvTile<'a>;

/// One tile of a pooling over clipped windows: row `i` covers `taps[i] = (ny, nx)` real pixels from byte `rows_in[i]`.
pub struct PoolTile<'a> {
    /// Start of the arena.
    pub input: *const u8,
    /// Byte offset of the first real pixel of each window.
    pub rows_in: &'a [u32],
    /// Real lines and columns of each window, at least 1 each.
    pub taps: &'a [(u16, u16)],
    /// Bytes between taps (y, x).
    pub step: [usize; 2],
    /// Channels.
    pub c: usize,
    /// Average only, where padding counts: taps of a whole window, and the zero code (of each channel, or
    /// one for all) the missing ones have.
    pub padding: Option<(u32, &'a [u8])>,
    /// Start of the arena or of a staging buffer.
    pub output: *mut u8,
    /// Byte offset of each result row.
    pub rows_out: &'a [u32],
}

/// One tile of a linear interpolation of codes: with `[ty, tx] = parts[i]` of 256, row `i` is
/// `((a (256 - tx) + b tx) (256 - ty) + (c (256 - tx) + d tx) ty + 2^15) >> 16`, exact, of the rows `[a, b, c, d]` at `corners[i]`.
pub struct LerpTile<'a> {
    /// Start of the arena.
    pub input: *const u8,
    /// Byte offsets of the four rows.
    pub corners: &'a [[u32; 4]],
    /// Weights of the second line and column, 0..=256.
    pub parts: &'a [[u16; 2]],
    /// Channels.
    pub c: usize,
    /// Start of the arena or of a staging buffer.
    pub output: *mut u8,
    /// Byte offset of each result row.
    pub rows_out: &'a [u32],
}

/// One tile of a choice of channels: byte `k` of result row `i` is byte `index[k]` of the input row.
pub struct PickTile<'a> {
    /// Start of the arena.
    pub input: *const u8,
    /// Byte offset of each row.
    pub rows_in: &'a [u32],
    /// Bytes of an input row.
    pub c: usize,
    /// Indices below `c`.
    pub index: &'a [u32],
    /// Start of the arena or of a staging buffer.
    pub output: *mut u8,
    /// Byte offset of each result row, `index.len()` bytes.
    pub rows_out: &'a [u32],
}

/// Pixels whose channels each have a table: `out[k] = tables[k][in[k]]`.
///
/// # Validity
/// `tables.len()` bytes of every pixel are readable at `input + i * step[0]`, writable at `output + i * step[1]`, and do not overlap.
pub struct TablesTile<'a> {
    /// First pixel.
    pub input: *const u8,
    /// First result.
    pub output: *mut u8,
    /// Bytes between pixels, and between results.
    pub step: [usize; 2],
    /// Pixels.
    pub pixels: usize,
    /// One for each channel.
    pub tables: &'a [[u8; 256]],
}

/// Pixels whose codes are added up by channel.
///
/// # Validity
/// As many bytes as there are sums are readable at `input + i * step` for every pixel `i`.
pub struct SumTile {
    /// First pixel.
    pub input: *const u8,
    /// Bytes between pixels.
    pub step: usize,
    /// Pixels, at most 2^23.
    pub pixels: usize,
}

/// Up to 64 recomputed rows before a gate (see [`crate::format::Gate`]).
///
/// # Validity
/// Row `i` of `new` has `weights.len()` bytes from `i * weights.len()`; `held + rows[i]` begins as many writable bytes,
/// disjoint for different rows and from `new`.
pub struct JudgeTile<'a> {
    /// Recomputed rows, one after another.
    pub new: &'a [u8],
    /// Start of the arena.
    pub held: *mut u8,
    /// Byte offset of each held row.
    pub rows: &'a [u32],
    /// Weight of each channel.
    pub weights: &'a [u8],
    /// Dead zone in codes.
    pub dead: u8,
    /// Largest score that is not passed on; `None`: pass on if any code differs.
    pub limit: Option<u32>,
}

/// Lines of a frame, a shift taken out, and of the held one: `sums[g]` is the sum of `new - held` over bytes `8 g..8 g + 8` of all lines, fewer at
/// the end of a line.
///
/// # Validity
/// `width` bytes of every line are readable; there are at most 256 lines. The sums are `width.div_ceil(8)`.
pub struct DriftTile {
    /// First line of the frame.
    pub new: *const u8,
    /// First held line.
    pub held: *const u8,
    /// Bytes between lines of the frame, and between held ones.
    pub step: [usize; 2],
    /// Lines.
    pub lines: usize,
    /// Bytes of a line.
    pub width: usize,
    /// What is taken out of the frame's bytes first.
    pub shift: Shift,
}

/// One set of kernels.
pub struct Kernels {
    /// Name, as in `--kernels`.
    pub name: &'static str,
    /// What of the engine goes with it.
    pub(crate) linked: Linked,
    /// Dense convolution tile.
    ///
    /// # Safety
    /// The tile is valid as [`ConvTile`] says and the CPU has the set's features.
    pub conv: unsafe fn(&ConvTile),
    /// Depthwise convolution tile.
    ///
    /// # Safety
    /// As `conv`.
    pub depthwise: unsafe fn(&DepthwiseTile),
    /// Tile of a dense convolution whose weights are packed in pairs.
    ///
    /// # Safety
    /// As `conv`, the tile as [`PairsTile`] says.
    pub pairs: unsafe fn(&PairsTile),
    /// Largest code of each channel over each window.
    ///
    /// # Safety
    /// The check proves the windows readable and the results writable and disjoint; the CPU has the set's features.
    pub max_pool: unsafe fn(&PoolTile),
    /// Mean code: `rne(f32(sum) * (1 / f32(count)))`.
    ///
    /// # Safety
    /// As `max_pool`.
    pub avg_pool: unsafe fn(&PoolTile),
    /// Bit p of `marks[k]` set: any `|new - held|` of pixel p, the shift taken out of `new`, exceeds `thresholds[k]`; a bound that no change of the line exceeds. All words are
    /// written, one for 64 pixels.
    ///
    /// # Safety
    /// The CPU has the set's features. The same holds for all entries below.
    pub compare: unsafe fn(&CompareTile, marks: [&mut [u64]; 2]) -> u8,
    /// By how much every 8 bytes grew in the sum over some lines.
    ///
    /// # Safety
    /// The tile is valid as [`DriftTile`] says.
    pub drift: unsafe fn(&DriftTile, sums: &mut [i32]),
    /// The score of a gate (see [`crate::format::Gate`]): sum of squared weighted changes.
    pub score: unsafe fn(new: &[u8], held: &[u8], weights: &[u8], dead: u8) -> u32,
    /// `held[i] = new[i]` where they differ by more than `dead`.
    pub settle: unsafe fn(new: &[u8], held: &mut [u8], dead: u8),
    /// Judges rows: bit i set where row i is passed on; its held row has then been settled (or copied, without a limit).
    ///
    /// # Safety
    /// The tile is valid as [`JudgeTile`] says.
    pub judge: unsafe fn(&JudgeTile) -> u64,
    /// `out[i] = table[in[i]]`.
    pub table: unsafe fn(&[u8], &mut [u8], &[u8; 256]),
    /// Codes by a table for each channel.
    ///
    /// # Safety
    /// The tile is valid as [`TablesTile`] says; the CPU has the set's features.
    pub tables: unsafe fn(&TablesTile),
    /// `out[i] = max(out[i], in[i])`.
    pub max: unsafe fn(&[u8], &mut [u8]),
    /// Adds the codes of every pixel, one for each sum.
    ///
    /// # Safety
    /// The tile is valid as [`SumTile`] says; the CPU has the set's features.
    pub sum: unsafe fn(&SumTile, &mut [i32]),
    /// Linear interpolation.
    ///
    /// # Safety
    /// The check proves rows readable, results writable and disjoint; the CPU has the set's features.
    pub lerp: unsafe fn(&LerpTile),
    /// Channels by index.
    ///
    /// # Safety
    /// The check proves rows readable, results writable and disjoint; the CPU has the set's features.
    pub pick: unsafe fn(&PickTile),
    /// Softmax of every `c` values of `a`, whose per-channel arrays and those of the result hold `c` entries.
    pub softmax: unsafe fn(a: &Operand, c: usize, &mut Row),
    /// A row of a two-operand function.
    pub binary: unsafe fn(&Bin, &mut Row),
    /// A row of a one-operand function.
    pub map: unsafe fn(&Uni, &mut Row),
}

/// The best set this CPU can run.
pub fn best() -> &'static Kernels {
    available().last().unwrap_or(&scalar::KERNELS)
}

/// The best set of this build, where no processor can be asked: without an operating system.
#[cfg(target_os = "none")]
pub const BEST: &Kernels = {
    #[cfg(all(target_arch = "arm", any(feature = "dsp", feature = "mve")))]
    let best = arm::BEST;
    #[cfg(not(all(target_arch = "arm", any(feature = "dsp", feature = "mve"))))]
    let best = &scalar::KERNELS;
    best
};

/// The set of that name, if this CPU can run it.
pub fn select(name: &str) -> Option<&'static Kernels> {
    available().find(|k| k.name == name)
}

/// All sets this CPU can run, slowest first.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    let scalar = core::iter::once(&scalar::KERNELS);
    // Miri has no CPUID and no assembly.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return scalar.chain(x86_64::available());
    #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
    return scalar.chain(aarch64::available());
    #[cfg(all(target_arch = "arm", target_os = "none", any(feature = "dsp", feature = "mve")))]
    return scalar.chain(arm::available());
    #[cfg(not(any(
        all(target_arch = "x86_64", not(miri)),
        all(target_arch = "aarch64", target_feature = "neon", not(miri)),
        all(target_arch = "arm", target_os = "none", any(feature = "dsp", feature = "mve"))
    )))]
    scalar
}

/// Every set compiled into this build, by name, for tests that must notice a missing one.
#[cfg(all(target_arch = "arm", target_os = "none", any(feature = "dsp", feature = "mve")))]
pub const COMPILED: &[&str] = arm::NAMES;
/// Every set compiled into this build, by name, for tests that must notice a missing one.
#[cfg(not(all(target_arch = "arm", target_os = "none", any(feature = "dsp", feature = "mve"))))]
pub const COMPILED: &[&str] = if cfg!(target_arch = "x86_64") {
    &["scalar", "avx2", "avxvnni", "avx512vnni"]
} else if cfg!(all(target_arch = "aarch64", target_feature = "neon")) {
    &["scalar", "neon", "dotprod", "i8mm"]
} else {
    &["scalar"]
};
