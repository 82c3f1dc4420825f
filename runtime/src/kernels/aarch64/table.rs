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

/// See [`Kernels::pick`](super::super::Kernels::pick): 16 results are looked up in the few vectors they come from, or a row of up to 256
/// bytes is a table.
///
/// # Safety
/// The tile is valid.
pub(super) unsafe fn pick(t: &PickTile) {
    let n = t.index.len();
    if n < 16 || t.c < 16 {
        // SAFETY: the caller's.
        return unsafe { pick_any(t) };
    }
    // The last 16 overlap those before them.
    for at in (0..n).step_by(16).map(|at| at.min(n - 16)) {
        let index = &t.index[at..at + 16];
        let (least, most) = index.iter().fold((u32::MAX, 0), |(least, most), &k| (least.min(k), most.max(k)));
        // Bytes that hold them, moved down where the row would end.
        let bytes = [16, 32, 64].into_iter().find(|&bytes| ((most - least) as usize) < bytes && bytes <= t.c);
        // SAFETY: the bytes and the results are the rows' (validity of the tile).
        unsafe {
            let Some(bytes) = bytes else {
                pick_any(&PickTile { index, output: t.output.add(at), ..*t });
                continue;
            };
            let first = (least as usize).min(t.c - bytes);
            let index = core::array::from_fn(|i| (index[i] as usize - first) as u8);
            match bytes {
                16 => window::<1>(t, first, index, at),
                32 => window::<2>(t, first, index, at),
                _ => window::<4>(t, first, index, at),
            }
        }
    }
}

/// 16 results from `at`, of `V` vectors from byte `first` of a row.
#[inline(always)]
unsafe fn window<const V: usize>(t: &PickTile, first: usize, index: [u8; 16], at: usize) {
    // SAFETY: `first + 16 V <= c`; `at + 16` results are in a row (the caller).
    unsafe {
        let (index, input, output) = (vld1q_u8(index.as_ptr()), t.input.add(first), t.output.add(at));
        for (&x, &out) in t.rows_in.iter().zip(t.rows_out) {
            let x = input.add(x as usize);
            let v = |i: usize| vld1q_u8(x.add(16 * i));
            let codes = match V {
                1 => vqtbl1q_u8(v(0), index),
                2 => vqtbl2q_u8(uint8x16x2_t(v(0), v(1)), index),
                _ => vqtbl4q_u8(uint8x16x4_t(v(0), v(1), v(2), v(3)), index),
            };
            vst1q_u8(output.add(out as usize), codes);
        }
    }
}

/// Any tile.
#[inline(never)]
unsafe fn pick_any(t: &PickTile) {
    if t.c > 256 {
        // SAFETY: the caller's.
        return unsafe { scalar::pick(t) };
    }
    for (part, index) in t.index.chunks(256).enumerate() {
        let mut bytes = [0u8; 256];
        // Of a row of 16 to 64 bytes the last vector ends with the row.
        let (last, skip) = if t.c > 64 || t.c < 16 { (t.c, 0) } else { (t.c / 16 * 16, (16 - t.c % 16) % 16) };
        for (byte, &k) in bytes.iter_mut().zip(index) {
            *byte = (if k as usize >= last { k as usize + skip } else { k as usize }) as u8;
        }
        let output = t.output.wrapping_add(256 * part);
        // SAFETY: a row of `c` bytes is read, of `index.len()` written (validity of the tile).
        unsafe {
            match t.c {
                ..16 => narrow::<0>(t, &bytes, output, index.len()),
                16 => narrow::<1>(t, &bytes, output, index.len()),
                17..=32 => narrow::<2>(t, &bytes, output, index.len()),
                33..=48 => narrow::<3>(t, &bytes, output, index.len()),
                49..=64 => narrow::<4>(t, &bytes, output, index.len()),
                _ => {
                    for (&x, &out) in t.rows_in.iter().zip(t.rows_out) {
                        Table::load(t.input.add(x as usize), t.c).look_up(bytes.as_ptr(), output.add(out as usize), index.len());
                    }
                }
            }
        }
    }
}

/// Rows of `V` vectors, of fewer than 16 bytes if that is 0, by `n` indices.
#[inline(always)]
unsafe fn narrow<const V: usize>(t: &PickTile, index: &[u8; 256], output: *mut u8, n: usize) {
    for (&x, &out) in t.rows_in.iter().zip(t.rows_out) {
        // SAFETY: `c` bytes are read, `n` written (the caller).
        unsafe {
            let (x, out) = (t.input.add(x as usize), output.add(out as usize));
            let mut v = [vdupq_n_u8(0); 4];
            if V == 0 {
                v[0] = part::load(x, t.c);
            }
            for i in 0..V {
                v[i] = vld1q_u8(x.add(if i + 1 < V { 16 * i } else { t.c - 16 }));
            }
            let get = |at: usize| {
                let index = vld1q_u8(index.as_ptr().add(at));
                match V {
                    0 | 1 => vqtbl1q_u8(v[0], index),
                    2 => vqtbl2q_u8(uint8x16x2_t(v[0], v[1]), index),
                    3 => vqtbl3q_u8(uint8x16x3_t(v[0], v[1], v[2]), index),
                    _ => vqtbl4q_u8(uint8x16x4_t(v[0], v[1], v[2], v[3]), index),
                }
            };
            let mut at = 0;
            while at + 16 <= n {
                vst1q_u8(out.add(at), get(at));
                at += 16;
            }
            if at < n && n >= 16 {
                vst1q_u8(out.add(n - 16), get(n - 16));
            } else if at < n {
                part::store(get(at), out.add(at), n - at);
            }
        }
    }
}
