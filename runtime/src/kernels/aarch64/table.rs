//! Tables of bytes: `tbl` takes 64 entries in four registers and gives 0 for an index beyond them, `tbx` keeps what is there.

use core::arch::aarch64::*;

use super::super::{ConvTile, PickTile, scalar};
use super::part;

/// 256 entries in 16 registers.
#[derive(Clone, Copy)]
pub(super) struct Table([uint8x16x4_t; 4]);

impl Table {
    /// `n` readable entries at `p`, then zeros.
    ///
    /// # Safety
    /// They are readable.
    #[inline(always)]
    pub(super) unsafe fn load(p: *const u8, n: usize) -> Self {
        let mut table = [0u8; 256];
        // SAFETY: `n` readable bytes, at most 256 (the caller); 64 bytes of each quarter.
        unsafe {
            let p = if n < 256 {
                table.as_mut_ptr().copy_from_nonoverlapping(p, n);
                table.as_ptr()
            } else {
                p
            };
            Table([vld1q_u8_x4(p), vld1q_u8_x4(p.add(64)), vld1q_u8_x4(p.add(128)), vld1q_u8_x4(p.add(192))])
        }
    }

    /// The entries numbered `x`.
    ///
    /// # Safety
    /// None: NEON is part of the target.
    #[inline(always)]
    pub(super) unsafe fn get(&self, x: uint8x16_t) -> uint8x16_t {
        // SAFETY: NEON is part of the target.
        unsafe {
            let quarter = vdupq_n_u8(64);
            let y = vqtbl4q_u8(self.0[0], x);
            let x = vsubq_u8(x, quarter);
            let y = vqtbx4q_u8(y, self.0[1], x);
            let x = vsubq_u8(x, quarter);
            let y = vqtbx4q_u8(y, self.0[2], x);
            vqtbx4q_u8(y, self.0[3], vsubq_u8(x, quarter))
        }
    }

    /// `out[i] = table[x[i]]` for `n` bytes.
    ///
    /// # Safety
    /// `x` is readable, `out` writable; they are equal or do not overlap.
    #[inline(always)]
    unsafe fn look_up(&self, x: *const u8, out: *mut u8, n: usize) {
        // SAFETY: loads and stores stay within the `n` bytes.
        unsafe {
            let mut at = 0;
            while at + 16 <= n {
                vst1q_u8(out.add(at), self.get(vld1q_u8(x.add(at))));
                at += 16;
            }
            if at < n {
                part::store(self.get(part::load(x.add(at), n - at)), out.add(at), n - at);
            }
        }
    }
}

/// See [`Kernels::table`](super::super::Kernels::table).
pub(super) fn table(x: &[u8], out: &mut [u8], table: &[u8; 256]) {
    // SAFETY: 256 entries; within both slices.
    unsafe { Table::load(table.as_ptr(), 256).look_up(x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len())) }
}

/// Looks the codes of a finished tile up, in runs of adjacent rows.
///
/// # Safety
/// The tile is valid (see [`ConvTile`]) and its rows are written.
#[inline(always)]
pub(super) unsafe fn apply(t: &ConvTile) {
    if let Some(table) = t.table.filter(|_| !t.real) {
        // SAFETY: the caller's.
        unsafe { apply_table(t, table) }
    }
}

#[inline(never)]
unsafe fn apply_table(t: &ConvTile, table: &[u8; 256]) {
    // SAFETY: 256 entries; a run of `n` rows holds `n * oc` codes, now written (the caller).
    unsafe {
        let table = Table::load(table.as_ptr(), 256);
        let mut row = 0;
        while row < t.rows_out.len() {
            let first = t.rows_out[row] as usize;
            let mut n = 1;
            while t.rows_out.get(row + n).is_some_and(|&next| next as usize == first + n * t.oc) {
                n += 1;
            }
            let run = t.output.add(first);
            table.look_up(run, run, n * t.oc);
            row += n;
        }
    }
}

/// See [`Kernels::pick`](super::super::Kernels::pick): a row of up to 256 bytes is a table.
///
/// # Safety
/// The tile is valid.
pub(super) unsafe fn pick(t: &PickTile) {
    if t.c > 256 {
        // SAFETY: the caller's.
        return unsafe { scalar::pick(t) };
    }
    for (part, index) in t.index.chunks(256).enumerate() {
        let mut bytes = [0u8; 256];
        for (byte, k) in bytes.iter_mut().zip(index) {
            *byte = *k as u8;
        }
        for (&x, &out) in t.rows_in.iter().zip(t.rows_out) {
            // SAFETY: a row of `c` bytes is read, of `index.len()` written (validity of the tile).
            unsafe {
                let (x, out) = (t.input.add(x as usize), t.output.add(out as usize + 256 * part));
                if t.c <= 64 {
                    narrow(x, t.c, &bytes, out, index.len());
                } else {
                    Table::load(x, t.c).look_up(bytes.as_ptr(), out, index.len());
                }
            }
        }
    }
}

/// A row of `c <= 64` bytes by `n` indices.
#[inline(always)]
unsafe fn narrow(x: *const u8, c: usize, index: &[u8; 256], out: *mut u8, n: usize) {
    // SAFETY: `c` bytes are read, `n` written (the caller).
    unsafe {
        let mut t = [vdupq_n_u8(0); 4];
        for (i, t) in t.iter_mut().enumerate() {
            *t = part::load(x.wrapping_add(16 * i), c.saturating_sub(16 * i).min(16));
        }
        let table = uint8x16x4_t(t[0], t[1], t[2], t[3]);
        let mut at = 0;
        while at < n {
            let y = vqtbl4q_u8(table, vld1q_u8(index.as_ptr().add(at)));
            part::store(y, out.add(at), 16.min(n - at));
            at += 16;
        }
    }
}
