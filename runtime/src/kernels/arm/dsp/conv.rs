//! Convolution: two pixels at a time, their taps gathered and widened once, then all outputs over them.

use core::mem::MaybeUninit;

use super::super::super::scalar;
use super::finish::{Bounds, finish, rest, through_table};
use super::sums::{self, Pairs};
use super::{readable, unsigned};
use crate::kernels::ConvTile;

/// Quads of two pixels, or half as many of one, that are widened at a time.
const QUADS: usize = 36;

/// Outputs over widened activations; a multiple of 16.
const OUTPUTS: usize = sums::PIXEL / 4;

/// What a tile takes of the stack.
#[repr(align(8))]
struct Room {
    /// Activations, widened.
    wide: [MaybeUninit<u32>; 4 * QUADS],
    /// Of two pixels.
    sums: [MaybeUninit<i32>; 2 * OUTPUTS],
}

pub unsafe fn conv(t: &ConvTile) {
    let all = t.segments.len() * t.quads;
    if all == 0 || !readable(t, t.oc.div_ceil(16) * all * 64) {
        // SAFETY: the caller's.
        return unsafe { (scalar::KERNELS.conv)(t) };
    }
    let mut room =
        Room { wide: [const { MaybeUninit::uninit() }; 4 * QUADS], sums: [const { MaybeUninit::uninit() }; 2 * OUTPUTS] };
    let bounds = Bounds::new(t);
    let rows = t.rows_in.len().min(t.rows_out.len());
    let paired = rows / 2 * 2;
    // SAFETY: rows of a valid tile, its weights readable.
    unsafe {
        if all <= QUADS && !t.real && t.oc.is_multiple_of(2) {
            rows_at_once(t, paired, &mut room, bounds);
        } else {
            for i in (0..paired).step_by(2) {
                two_rows(t, i, &mut room, bounds);
            }
        }
        if paired < rows {
            one_row(t, paired, &mut room, &bounds);
        }
    }
    // SAFETY: all rows are written.
    unsafe { through_table(t) };
}

impl Pairs {
    fn new(room: &mut Room, bounds: Bounds) -> Self {
        use core::ptr::{null, null_mut};
        let (x, sums) = (room.wide.as_ptr().cast(), null());
        Self {
            x,
            quads: 0,
            w: null(),
            pairs: 0,
            sums,
            r: null(),
            m: null(),
            b: null(),
            out: [null_mut(); 2],
            added: [null(); 2],
            bounds,
        }
    }

    /// To the first outputs of rows `i` and `i + 1`.
    #[inline(always)]
    fn start(&mut self, t: &ConvTile, i: usize) {
        (self.m, self.b) = (t.m.as_ptr(), t.b.as_ptr());
        self.out = [t.rows_out[i], t.rows_out[i + 1]].map(|row| t.output.wrapping_add(row as usize));
        if let Some(res) = &t.residual {
            self.r = res.r.as_ptr();
            self.added = [res.rows[i], res.rows[i + 1]].map(|row| res.input.wrapping_add(row as usize));
        }
    }
}

/// The first `rows` rows, an even number, of a tile whose taps are widened at once, its results an even number of codes.
///
/// # Safety
/// The tile is valid, its weights are readable.
#[inline(never)]
unsafe fn rows_at_once(t: &ConvTile, rows: usize, room: &mut Room, bounds: Bounds) {
    let mut job = Pairs::new(room, bounds);
    let codes = match &t.residual {
        None if bounds.whole() => sums::whole_pair_codes,
        None => sums::pair_codes,
        Some(_) => sums::added_pair_codes,
    };
    let all = t.segments.len() * t.quads;
    job.quads = all;
    for i in (0..rows).step_by(2) {
        job.start(t, i);
        let x = [t.rows_in[i], t.rows_in[i + 1]].map(|row| t.input.wrapping_add(row as usize));
        let (mut w, mut left) = (t.weights.as_ptr(), t.oc / 2);
        // SAFETY: quads of the rows; blocks of weights follow one another.
        unsafe {
            gather(t, x, 0, all, &mut room.wide);
            while left > 0 {
                (job.w, job.pairs) = (w, left.min(8));
                left -= job.pairs;
                codes(&mut job);
                w = w.wrapping_add(64 * all);
            }
        }
    }
}

/// Rows `i` and `i + 1` of any tile.
///
/// # Safety
/// The tile is valid, these are rows of it, its weights are readable.
#[inline(never)]
unsafe fn two_rows(t: &ConvTile, i: usize, room: &mut Room, bounds: Bounds) {
    let all = t.segments.len() * t.quads;
    let x = [t.rows_in[i], t.rows_in[i + 1]].map(|row| t.input.wrapping_add(row as usize));
    let mut job = Pairs::new(room, bounds);
    job.start(t, i);
    for at in (0..t.oc).step_by(OUTPUTS) {
        let end = t.oc.min(at + OUTPUTS);
        let mut first = 0;
        while first < all {
            job.quads = QUADS.min(all - first);
            let last = first + job.quads == all && !t.real;
            if at == 0 || all > QUADS {
                // SAFETY: quads of the rows.
                unsafe { gather(t, x, first, job.quads, &mut room.wide) };
            }
            for block in (at..end).step_by(16) {
                let n = 16.min(end - block);
                let w = t.weights.as_ptr().wrapping_add(4 * block * all + 64 * first);
                let sums = room.sums.as_mut_ptr().cast::<i32>().wrapping_add(block - at);
                (job.w, job.sums, job.pairs) = (w, sums, n / 2);
                // SAFETY: blocks of weights are whole, so one output more than `n` is readable; sums of `n` and one more fit.
                unsafe {
                    match (first, last, n / 2, &t.residual) {
                        (0, false, ..) => sums::pairs(job.x, job.quads, w, sums, n.div_ceil(2)),
                        (_, false, ..) => sums::more_pairs(job.x, job.quads, w, sums, n.div_ceil(2)),
                        (_, _, 0, _) => {}
                        (0, _, _, None) => sums::pair_codes(&mut job),
                        (0, ..) => sums::added_pair_codes(&mut job),
                        (_, _, _, None) => sums::last_pair_codes(&mut job),
                        _ => sums::last_added_pair_codes(&mut job),
                    }
                    if last && n % 2 == 1 {
                        let (w, sums) = (w.add(4 * (n - 1)), sums.add(n - 1));
                        match first {
                            0 => sums::pairs(job.x, job.quads, w, sums, 1),
                            _ => sums::more_pairs(job.x, job.quads, w, sums, 1),
                        }
                        rest(t, i, block + n - 1, 1, sums);
                        rest(t, i + 1, block + n - 1, 1, sums.byte_add(sums::PIXEL));
                    }
                }
            }
            first += job.quads;
        }
        if t.real {
            let sums = room.sums.as_ptr().cast::<i32>();
            // SAFETY: the sums are written.
            unsafe {
                rest(t, i, at, end - at, sums);
                rest(t, i + 1, at, end - at, sums.byte_add(sums::PIXEL));
            }
        }
    }
}

/// Row `i`.
///
/// # Safety
/// The tile is valid, this is a row of it, its weights are readable.
#[inline(never)]
unsafe fn one_row(t: &ConvTile, i: usize, room: &mut Room, bounds: &Bounds) {
    let all = t.segments.len() * t.quads;
    let x = [t.input.wrapping_add(t.rows_in[i] as usize)];
    for at in (0..t.oc).step_by(OUTPUTS) {
        let end = t.oc.min(at + OUTPUTS);
        let mut first = 0;
        while first < all {
            let quads = (2 * QUADS).min(all - first);
            if at == 0 || all > 2 * QUADS {
                // SAFETY: quads of the row.
                unsafe { gather(t, x, first, quads, &mut room.wide) };
            }
            let x = room.wide.as_ptr().cast();
            for block in (at..end).step_by(16) {
                let fours = 16.min(end - block).div_ceil(4);
                let w = t.weights.as_ptr().wrapping_add(4 * block * all + 64 * first);
                let sums = room.sums.as_mut_ptr().cast::<i32>().wrapping_add(block - at);
                // SAFETY: blocks of weights are whole, so three outputs more are readable.
                unsafe {
                    match first {
                        0 => sums::fours(x, quads, w, sums, fours),
                        _ => sums::more_fours(x, quads, w, sums, fours),
                    }
                }
            }
            first += quads;
        }
        // SAFETY: `end <= oc`, and the sums are written.
        unsafe { finish(t, i, at, end - at, room.sums.as_ptr().cast(), bounds) };
    }
}

/// Widens `n` quads from quad `first` on of the taps that follow each pixel's first, quad by quad.
///
/// # Safety
/// Those quads exist and are readable (validity of the tile); `wide` holds them.
#[inline(always)]
unsafe fn gather<const N: usize>(t: &ConvTile, x: [*const u8; N], first: usize, mut n: usize, wide: &mut [MaybeUninit<u32>]) {
    let mut to = wide.as_mut_ptr().cast::<[[u32; 2]; N]>();
    let (mut segment, mut quad) = if first == 0 { (0, 0) } else { (first / t.quads, first % t.quads) };
    while n > 0 {
        let run = n.min(t.quads - quad);
        let mut from = x.map(|x| x.wrapping_add(t.segments[segment] as usize + 4 * quad));
        for _ in 0..run {
            // SAFETY: as stated; unaligned.
            unsafe { *to = from.map(|x| unsigned(x.cast::<u32>().read_unaligned())) };
            (to, from) = (to.wrapping_add(1), from.map(|x| x.wrapping_add(4)));
        }
        (n, segment, quad) = (n - run, segment + 1, 0);
    }
}
