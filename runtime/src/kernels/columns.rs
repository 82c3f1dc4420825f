//! Depthwise 3 x 3 and 5 x 5 along a line: neighbouring outputs share columns of taps.
//!
//! ```text
//! column x: a pixel, the one below and the one below that, some channels of each, made ready once
//! sums of output x - 2 += column . third weights        stride 1; then the output is done
//!      of output x - 1 += column . second weights
//!      of output x      = start + column . first weights
//! ```
//!
//! At stride 2 a column in three is shared; 5 x 5 is for stride 1. Where taps are dilated, every second (third, ..) output shares columns.

use super::DepthwiseTile;

/// The taps of a `K` x `K` window: the byte of each line's first, and the bytes from one to the next.
pub(super) struct Grid<const K: usize> {
    lines: [usize; K],
    step: usize,
}

impl<const K: usize> Grid<K> {
    /// That of a tile, if its taps are one.
    #[inline(always)]
    pub(super) fn of(t: &DepthwiseTile) -> Option<Self> {
        let (lines, rest) = t.segments.as_chunks::<K>();
        let lines = <&[[u32; K]; K]>::try_from(lines).ok().filter(|_| rest.is_empty() && t.quads == (K * K).div_ceil(4))?;
        let step = lines[0][1].checked_sub(lines[0][0])?;
        let even = lines.iter().flat_map(|line| line.windows(2)).all(|two| two[1].checked_sub(two[0]) == Some(step));
        even.then(|| Grid { lines: lines.map(|line| line[0] as usize), step: step as usize })
    }

    /// Whether most rows are in runs of stride 1.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn runs(&self, t: &DepthwiseTile) -> bool {
        let next = t.rows_in.windows(2).filter(|two| self.divided((two[1] as usize).wrapping_sub(two[0] as usize)).is_some()).count();
        4 * next >= 3 * t.rows_in.len()
    }

    /// How many pixels of `gap` bytes make a step.
    #[inline(always)]
    fn divided(&self, gap: usize) -> Option<usize> {
        let pixels = self.step.checked_div(gap)?;
        (pixels > 0 && pixels * gap == self.step).then_some(pixels)
    }

    /// The run from `row` on: rows of one distance.
    #[inline(always)]
    fn run(&self, rows_in: &[u32], row: usize, len: usize) -> Run {
        let at = |n: usize| rows_in[row + n] as usize;
        let alone = Run { row, end: row + 1, by: 1, stride: 1 };
        if row + 1 == len {
            return alone;
        }
        let gap = at(1).wrapping_sub(at(0));
        let (by, stride) = match self.divided(gap) {
            Some(by) => (by, 1),
            None if K == 3 && gap == 2 * self.step => (1, 2),
            None => return alone,
        };
        let mut n = 2;
        while row + n < len && at(n) == at(n - 1) + gap {
            n += 1;
        }
        Run { row, end: row + n, by, stride }
    }
}

/// Rows `row..end`, each of which sees, `by` rows on, the next column or the one after (`stride` 1 or 2).
#[derive(Clone, Copy)]
struct Run {
    row: usize,
    end: usize,
    by: usize,
    stride: usize,
}

/// How columns of some channels are multiplied.
pub(super) trait Column<const K: usize> {
    /// A column made ready.
    type Codes: Copy;
    /// Sums of an output.
    type Sums: Copy;

    /// The column of the `K` pixels at `p`.
    ///
    /// # Safety
    /// The channels of each are readable.
    unsafe fn load(&self, p: [*const u8; K]) -> Self::Codes;

    /// Adds the column's products with weights `J` to the sums of an output.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add<const J: usize>(&self, sums: &mut Self::Sums, column: Self::Codes);

    /// Where sums begin.
    fn start(&self) -> Self::Sums;

    /// Stores the output's codes.
    ///
    /// # Safety
    /// The channels are writable.
    unsafe fn put(&self, out: *mut u8, sums: Self::Sums);
}

/// Channels from `at` of all rows.
///
/// # Safety
/// The tile is valid (see [`DepthwiseTile`]), of plain codes and has the channels; the grid is its own, as are the weights.
#[inline(always)]
pub(super) unsafe fn rows<C: Column<K>, const K: usize>(t: &DepthwiseTile, at: usize, grid: &Grid<K>, weights: &C) {
    let len = t.rows_in.len().min(t.rows_out.len());
    let mut row = 0;
    while row < len {
        let run = grid.run(t.rows_in, row, len);
        for row in row..run.end.min(row + run.by) {
            let run = Run { row, ..run };
            // SAFETY: the caller's; the rows of the run are in the tile.
            unsafe {
                if run.stride == 1 {
                    close(t, at, run, grid, weights);
                } else {
                    apart(t, at, run, grid, weights);
                }
            }
        }
        row = run.end;
    }
}

/// The pixel `step` bytes on. A compiler that sees through it makes a pointer for each line of each column, and runs out of registers.
#[inline(always)]
fn moved(pixel: *const u8, step: usize) -> *const u8 {
    let next = pixel.wrapping_add(step);
    #[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
    let next = {
        let mut next = next;
        // SAFETY: no instruction.
        unsafe { core::arch::asm!("/* {0} */", inout(reg) next, options(pure, readonly, nostack, preserves_flags)) };
        next
    };
    next
}

/// A run of stride 1: rows that follow one another by a column, or a row alone.
#[inline(always)]
unsafe fn close<C: Column<K>, const K: usize>(t: &DepthwiseTile, at: usize, run: Run, grid: &Grid<K>, w: &C) {
    // SAFETY: columns are those of the rows' windows (validity of the tile); features: the caller.
    unsafe {
        let mut first = t.input.add(*t.rows_in.get_unchecked(run.row) as usize + at);
        let mut row = run.row;
        // Macros, because a closure would be compiled without the features of the set.
        macro_rules! column {
            ($($acc:ident $j:literal),* $(; $new:ident)?) => {
                let column = w.load(grid.lines.map(|line| first.wrapping_add(line)));
                first = moved(first, grid.step);
                $(w.add::<$j>(&mut $acc, column);)*
                $(
                    $new = w.start();
                    w.add::<0>(&mut $new, column);
                )?
            };
        }
        macro_rules! output {
            ($done:ident $last:literal $(, $acc:ident $j:literal)*; $new:ident) => {
                column!($done $last $(, $acc $j)*; $new);
                w.put(t.output.add(*t.rows_out.get_unchecked(row) as usize + at), $done);
                row += run.by;
                if row >= run.end {
                    return;
                }
            };
        }
        let (mut a, mut b, mut c);
        column!(; a);
        column!(a 1; b);
        if K == 3 {
            loop {
                output!(a 2, b 1; c);
                output!(b 2, c 1; a);
                output!(c 2, a 1; b);
            }
        }
        let (mut d, mut e);
        column!(a 2, b 1; c);
        column!(a 3, b 2, c 1; d);
        loop {
            output!(a 4, b 3, c 2, d 1; e);
            output!(b 4, c 3, d 2, e 1; a);
            output!(c 4, d 3, e 2, a 1; b);
            output!(d 4, e 3, a 2, b 1; c);
            output!(e 4, a 3, b 2, c 1; d);
        }
    }
}

/// A run of stride 2: rows that follow one another by two columns.
#[inline(always)]
unsafe fn apart<C: Column<K>, const K: usize>(t: &DepthwiseTile, at: usize, run: Run, grid: &Grid<K>, w: &C) {
    // SAFETY: as in `close`.
    unsafe {
        let mut first = t.input.add(*t.rows_in.get_unchecked(run.row) as usize + at);
        let mut row = run.row;
        let mut a = w.start();
        let mut b;
        macro_rules! column {
            () => {{
                let column = w.load(grid.lines.map(|line| first.wrapping_add(line)));
                first = moved(first, grid.step);
                column
            }};
        }
        macro_rules! output {
            ($a:ident, $b:ident) => {
                let column = column!();
                w.add::<1>(&mut $a, column);
                let column = column!();
                w.add::<2>(&mut $a, column);
                $b = w.start();
                w.add::<0>(&mut $b, column);
                w.put(t.output.add(*t.rows_out.get_unchecked(row) as usize + at), $a);
                row += run.by;
                if row >= run.end {
                    return;
                }
            };
        }
        let column = column!();
        w.add::<0>(&mut a, column);
        loop {
            output!(a, b);
            output!(b, a);
        }
    }
}
