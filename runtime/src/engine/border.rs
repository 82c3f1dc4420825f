//! The zero codes around maps.

use super::Engine;
use super::moves::copy_pieces;
use super::ops::row_bytes;
use crate::format::Tensor;

impl Engine<'_> {
    /// Writes the zero codes around a map; those of a band are written as its lines come.
    pub(super) fn fill_border(&self, tensor: usize) {
        let t = &self.model.tensors[tensor];
        if t.border == [0; 4] || t.lines > 0 {
            return;
        }
        let [top, _, bottom, _] = t.border.map(isize::from);
        let h = t.h as isize;
        (-top..0).chain(h..h + bottom).for_each(|y| self.blank_line(t, y));
        self.blank_columns(t, t.h as usize);
    }

    /// Zero codes beside the lines of a band's buffer.
    #[inline(never)]
    pub(super) fn blank_sides(&self, map: &Tensor) {
        self.blank_columns(map, map.lines as usize);
    }

    /// Zero codes in a line, from border to border.
    pub(super) fn blank_line(&self, t: &Tensor, y: isize) {
        let [_, left, _, right] = t.border.map(usize::from);
        self.blank(t, y, -(left as isize), t.pixel, left + t.w as usize + right);
    }

    /// Zero codes left and right of the first `n` lines.
    fn blank_columns(&self, t: &Tensor, n: usize) {
        let [_, left, _, right] = t.border.map(isize::from);
        let w = t.w as isize;
        (-left..0).chain(w..w + right).for_each(|x| self.blank(t, 0, x, t.line, n));
    }

    /// Zero codes in `n` pixels `step` bytes apart.
    #[inline(never)]
    fn blank(&self, t: &Tensor, y: isize, x: isize, step: u32, n: usize) {
        let (size, step) = (row_bytes(t), step as usize);
        let at = t.origin as isize + y * t.line as isize + x * t.pixel as isize;
        let to = self.arena.start().wrapping_offset(at);
        let fill = self.array::<u8>(t.fill, size);
        // SAFETY: the border belongs to the tensor's region (check); no other piece is in use.
        unsafe {
            match fill.first() {
                Some(first) if !all(fill, *first) => copy_pieces(fill.as_ptr(), 0, to, step, size, n),
                first => {
                    let (code, [size, n]) = (first.copied().unwrap_or(0), if step == size { [n * size, 1] } else { [size, n] });
                    (0..n).for_each(|i| same(to.add(i * step), code, size));
                }
            }
        }
    }
}

/// Whether all codes are `code`.
fn all(codes: &[u8], code: u8) -> bool {
    let (words, rest) = codes.as_chunks();
    words.iter().all(|word| *word == [code; 4]) && rest.iter().all(|c| *c == code)
}

/// Writes `n` bytes `code`: mostly few, and mostly whole words or a single byte.
///
/// # Safety
/// They are writable.
#[inline(always)]
unsafe fn same(to: *mut u8, code: u8, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        if n.is_multiple_of(4) && n <= 512 {
            (0..n).step_by(4).for_each(|k| to.add(k).cast::<[u8; 4]>().write([code; 4]));
        } else if n == 1 {
            to.write(code);
        } else {
            to.write_bytes(code, n);
        }
    }
}
