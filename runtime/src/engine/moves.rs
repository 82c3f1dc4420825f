//! Steps that only move bytes: whole lines of a dense step, a pixel at a time of a gated one.

use core::ops::Range;

use super::Engine;
use super::ops::{address, row_bytes};
use crate::format::{Block, Channels, FILL, Index, Op, Step};

/// `size` bytes.
///
/// # Safety
/// They are readable at `from`, writable at `to`, and do not overlap.
#[inline(always)]
pub(super) unsafe fn copy_piece(from: *const u8, to: *mut u8, size: usize) {
    // SAFETY: the caller's. A call for a few bytes would cost more than they.
    unsafe {
        match size {
            1 => to.copy_from_nonoverlapping(from, 1),
            2 => to.copy_from_nonoverlapping(from, 2),
            4 => to.copy_from_nonoverlapping(from, 4),
            8 => to.copy_from_nonoverlapping(from, 8),
            16 => to.copy_from_nonoverlapping(from, 16),
            32 => to.copy_from_nonoverlapping(from, 32),
            _ => to.copy_from_nonoverlapping(from, size),
        }
    }
}

/// Moves what lies from byte `skip` on to the front, pieces that do not overlap one after another: `memmove` is large where there is no operating
/// system, and takes an instruction a byte.
pub(super) fn to_front(buffer: &mut [u8], skip: usize) {
    let mut rest = buffer;
    while let Some((to, from)) = rest.split_at_mut_checked(skip).filter(|(to, from)| !to.is_empty() && !from.is_empty()) {
        let n = skip.min(from.len());
        to[..n].copy_from_slice(&from[..n]);
        rest = &mut rest[n..];
    }
}

/// `n` pieces of `size` bytes, `from_step` and `to_step` bytes apart.
///
/// # Safety
/// All pieces are readable at `from`, writable at `to`, and do not overlap.
pub(super) unsafe fn copy_pieces(from: *const u8, from_step: usize, to: *mut u8, to_step: usize, size: usize, n: usize) {
    /// Pieces of `N..=2 N` bytes: the two parts may overlap.
    unsafe fn parts<const N: usize>(from: *const u8, steps: [usize; 2], to: *mut u8, size: usize, n: usize) {
        for i in 0..n {
            // SAFETY: `size >= N` bytes of piece `i`.
            unsafe {
                let (from, to) = (from.add(i * steps[0]), to.add(i * steps[1]));
                to.copy_from_nonoverlapping(from, N);
                to.add(size - N).copy_from_nonoverlapping(from.add(size - N), N);
            }
        }
    }
    let steps = [from_step, to_step];
    // SAFETY: the caller's.
    unsafe {
        match size {
            _ if from_step == size && to_step == size => to.copy_from_nonoverlapping(from, size * n),
            0 => {}
            1 => parts::<1>(from, steps, to, size, n),
            2..=3 => parts::<2>(from, steps, to, size, n),
            4..=7 => parts::<4>(from, steps, to, size, n),
            8..=15 => parts::<8>(from, steps, to, size, n),
            16..=32 => parts::<16>(from, steps, to, size, n),
            33..=64 => parts::<32>(from, steps, to, size, n),
            _ => {
                for i in 0..n {
                    to.add(i * to_step).copy_from_nonoverlapping(from.add(i * from_step), size);
                }
            }
        }
    }
}

impl Engine<'_> {
    /// Some of a step's lines, whole; `None` if it is none of those here.
    #[inline(never)]
    pub(super) fn dense_moves(&self, step: &Step, lines: Range<usize>) -> Option<()> {
        let x = self.model.tensors.get(step.inputs[0] as usize)?;
        let out = self.model.tensors.get(step.output as usize)?;
        let start = self.arena.start();
        let (h, w, size) = (out.h as usize, out.w as usize, row_bytes(out));
        let (from, to) = (x.pixel as usize, out.pixel as usize);
        let line = |y: usize| start.wrapping_add(address(out, y, 0));
        match Op::new(step.op)? {
            // A line of a block is adjacent in the deep pixel, and in the wide map if that has no gaps.
            Op::DepthToSpace if to == size => {
                let block = self.model.record::<Block>(step.param)?.block as usize;
                let piece = block * size;
                for y in lines {
                    let source = start.wrapping_add(address(x, y / block, 0) + y % block * piece);
                    // SAFETY: the pieces of a line of the input and of the output (check).
                    unsafe { copy_pieces(source, from, line(y), piece, piece, x.w as usize) };
                }
            }
            Op::SpaceToDepth if from == row_bytes(x) => {
                let block = self.model.record::<Block>(step.param)?.block as usize;
                let piece = block * from;
                for y in lines.start * block..lines.end * block {
                    let source = start.wrapping_add(address(x, y, 0));
                    let target = line(y / block).wrapping_add(y % block * piece);
                    // SAFETY: as above.
                    unsafe { copy_pieces(source, piece, target, to, piece, w) };
                }
            }
            // A slice of the channels.
            Op::Channels => {
                let index = self.array::<u32>(self.model.record::<Channels>(step.param)?.index, out.c as usize);
                let first = *index.first()?;
                if !index.iter().zip(first..).all(|(a, b)| *a == b) {
                    return None;
                }
                let bytes = first as usize * out.dtype().size();
                let (count, n, from, to) = match (out.w, x.w) {
                    // A column is done as one line.
                    (1, 1) => (1, lines.len(), x.line as usize, out.line as usize),
                    _ => (lines.len(), w, from, to),
                };
                for y in (lines.start..).take(count) {
                    let source = start.wrapping_add(address(x, y, 0) + bytes);
                    // SAFETY: channels of the pixels of a line of either map (check).
                    unsafe { copy_pieces(source, from, line(y), to, size, n) };
                }
            }
            Op::Index => {
                let p = self.model.record::<Index>(step.param)?;
                let (ys, xs) = (self.array::<u16>(p.ys, h), self.array::<u16>(p.xs, w));
                let fill = self.array::<u8>(p.fill, size);
                // Runs of columns with the same distance in the source: 1 for slices, 0 for repetition.
                let mut col = 0;
                while col < w {
                    let first = *xs.get(col)?;
                    let distance = |a: u16, b: u16| b.wrapping_sub(a);
                    let gap = xs.get(col + 1).map_or(1, |next| distance(first, *next));
                    let mut n = 1;
                    while col + n < w && first != FILL && xs[col + n] != FILL && gap < 256 && distance(xs[col + n - 1], xs[col + n]) == gap
                    {
                        n += 1;
                    }
                    for (y, &sy) in ys.iter().enumerate().take(lines.end).skip(lines.start) {
                        let target = line(y).wrapping_add(col * to);
                        if sy == FILL || first == FILL {
                            // SAFETY: `n` pixels of the output; the fill is a row of its own.
                            unsafe { copy_pieces(fill.as_ptr(), 0, target, to, fill.len(), n) };
                        } else {
                            let source = start.wrapping_add(address(x, sy as usize, first as usize));
                            // SAFETY: `n` pixels of either map (check).
                            unsafe { copy_pieces(source, from * gap as usize, target, to, size, n) };
                        }
                    }
                    col += n;
                }
            }
            _ => return None,
        }
        Some(())
    }
}
