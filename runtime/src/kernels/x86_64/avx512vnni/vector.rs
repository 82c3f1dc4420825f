//! 512-bit vectors: 4 lanes of 16 bytes.
//!
//! Odd parts of a vector are masked loads and stores, which never touch the rest. Usual widths have plain ones: a load
//! of what a masked store wrote has to wait for the store to reach the cache, and pooling loads its last results.

use core::arch::x86_64::*;

use super::super::{conv, vector::Vector};
use super::finish;
use crate::kernels::{ConvTile, PickTile, scalar};

/// A 512-bit register.
#[derive(Clone, Copy)]
pub(super) struct Zmm(pub __m512i);

/// The lowest `n <= 64` bits.
#[inline(always)]
pub(super) fn first(n: usize) -> u64 {
    // Two shifts, because one by 64 would be none.
    !(!0u64 << (n / 2) << (n - n / 2))
}

/// Declares the methods with the features of the set.
macro_rules! with_features {
    ($($(#[$doc:meta])* fn $name:ident $(<$(const $c:ident: $ct:ty),*>)? ($($args:tt)*) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
            unsafe fn $name $(<$(const $c: $ct),*>)? ($($args)*) $(-> $ret)? $body
        )*
    };
}

// SAFETY: masks and widths below are those the trait states.
unsafe impl Vector for Zmm {
    const LANES: usize = 4;
    type Real = __m512;
    type Left = __m512i;
    type Right = __m512i;

    #[inline(always)]
    unsafe fn finish_whole<const R: usize, const N: usize>(
        t: &ConvTile, row: usize, count: usize, at: usize, sums: &[[Self; N]; R],
    ) -> bool {
        // SAFETY: the caller's.
        unsafe { finish::whole(t, row, count, at, sums) }
    }

    with_features! {
        fn zero() -> Self {
            Zmm(_mm512_setzero_si512())
        }
        fn splat_u8(x: u8) -> Self {
            Zmm(_mm512_set1_epi8(x as i8))
        }
        fn splat_u16(x: u16) -> Self {
            Zmm(_mm512_set1_epi16(x as i16))
        }
        fn splat_u32(x: u32) -> Self {
            Zmm(_mm512_set1_epi32(x as i32))
        }
        fn by_rows<const ROWS: usize>(x: [u32; 4]) -> Self {
            let first = _mm512_set1_epi32(x[0] as i32);
            Zmm(match ROWS {
                1 => first,
                2 => _mm512_mask_set1_epi32(first, 0xff00, x[1] as i32),
                _ => {
                    let two = _mm512_mask_set1_epi32(first, 0x00f0, x[1] as i32);
                    let three = _mm512_mask_set1_epi32(two, 0x0f00, x[2] as i32);
                    _mm512_mask_set1_epi32(three, 0xf000, x[3] as i32)
                }
            })
        }
        fn load(p: *const u8) -> Self {
            // SAFETY: 64 readable bytes (the caller).
            Zmm(unsafe { _mm512_loadu_si512(p.cast()) })
        }
        fn load_part(p: *const u8, n: usize) -> Self {
            // SAFETY: `n` readable bytes (the caller).
            unsafe {
                Zmm(match n {
                    64 => _mm512_loadu_si512(p.cast()),
                    32 => _mm512_zextsi256_si512(_mm256_loadu_si256(p.cast())),
                    16 => _mm512_zextsi128_si512(_mm_loadu_si128(p.cast())),
                    _ => _mm512_maskz_loadu_epi8(first(n), p.cast()),
                })
            }
        }
        fn load_first<const FULL: bool>(p: *const u8, n: usize) -> Self {
            // SAFETY: `n` readable bytes (the caller).
            Zmm(unsafe { if FULL { _mm512_loadu_si512(p.cast()) } else { _mm512_maskz_loadu_epi8(first(n), p.cast()) } })
        }
        fn store_part(self, p: *mut u8, n: usize) {
            // SAFETY: `n` writable bytes (the caller).
            unsafe {
                match n {
                    64 => _mm512_storeu_si512(p.cast(), self.0),
                    32 => _mm256_storeu_si256(p.cast(), _mm512_castsi512_si256(self.0)),
                    16 => _mm_storeu_si128(p.cast(), _mm512_castsi512_si128(self.0)),
                    _ => _mm512_mask_storeu_epi8(p.cast(), first(n), self.0),
                }
            }
        }
        fn load_lanes(p: &[*const u8; 4]) -> Self {
            // SAFETY: 16 readable bytes each (the caller).
            unsafe { Self::load_rows::<4, true>(p, 0, 16) }
        }
        fn load_rows<const ROWS: usize, const FULL: bool>(p: &[*const u8; 4], at: usize, n: usize) -> Self {
            // SAFETY: all `64 / ROWS` bytes, or masked to `n`, readable at each pointer (the caller).
            unsafe {
                match ROWS {
                    1 if FULL => Self::load(p[0].add(at)),
                    1 => Self::load_part(p[0].add(at), n),
                    2 => {
                        let mask = first(n) as u32;
                        let row = |i: usize| {
                            let p = p[i].add(at);
                            if FULL { _mm256_loadu_si256(p.cast()) } else { _mm256_maskz_loadu_epi8(mask, p.cast()) }
                        };
                        Zmm(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(row(0)), row(1)))
                    }
                    _ => {
                        let mask = first(n) as u16;
                        let row = |i: usize| {
                            let p = p[i].add(at);
                            if FULL { _mm_loadu_si128(p.cast()) } else { _mm_maskz_loadu_epi8(mask, p.cast()) }
                        };
                        let lo = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(0)), row(1));
                        let hi = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(row(2)), row(3));
                        Zmm(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(lo), hi))
                    }
                }
            }
        }
        fn store_rows<const ROWS: usize>(self, p: &[*mut u8; 4], count: usize, n: usize) {
            // SAFETY: masked to `n <= 64 / ROWS` bytes, writable at the first `count` pointers (the caller).
            unsafe {
                match ROWS {
                    1 => self.store_part(p[0], n),
                    2 => {
                        store_half(_mm512_castsi512_si256(self.0), p[0], n);
                        if count > 1 {
                            store_half(_mm512_extracti64x4_epi64::<1>(self.0), p[1], n);
                        }
                    }
                    _ => {
                        let mask = first(n) as u16;
                        _mm_mask_storeu_epi8(p[0].cast(), mask, _mm512_castsi512_si128(self.0));
                        if count > 1 {
                            _mm_mask_storeu_epi8(p[1].cast(), mask, _mm512_extracti32x4_epi32::<1>(self.0));
                        }
                        if count > 2 {
                            _mm_mask_storeu_epi8(p[2].cast(), mask, _mm512_extracti32x4_epi32::<2>(self.0));
                        }
                        if count > 3 {
                            _mm_mask_storeu_epi8(p[3].cast(), mask, _mm512_extracti32x4_epi32::<3>(self.0));
                        }
                    }
                }
            }
        }
        fn load_widened(p: *const u8, n: usize) -> Self {
            // SAFETY: 16, or masked to `n`, readable bytes (the caller).
            Zmm(_mm512_cvtepu8_epi32(unsafe {
                if n == 16 { _mm_loadu_si128(p.cast()) } else { _mm_maskz_loadu_epi8(first(n) as u16, p.cast()) }
            }))
        }
        fn store_narrowed(self, p: *mut u8, n: usize) {
            let bytes = _mm512_cvtepi32_epi8(self.0);
            // SAFETY: 16, or masked to `n`, writable bytes (the caller).
            unsafe {
                if n == 16 {
                    _mm_storeu_si128(p.cast(), bytes);
                } else if n == 8 {
                    _mm_storel_epi64(p.cast(), bytes);
                } else {
                    _mm_mask_storeu_epi8(p.cast(), first(n) as u16, bytes);
                }
            }
        }
        fn load_words(p: *const i32, n: usize) -> Self {
            // SAFETY: 16, or masked to `n`, readable words (the caller).
            Zmm(unsafe {
                if n == 16 { _mm512_loadu_si512(p.cast()) } else { _mm512_maskz_loadu_epi32(first(n) as u16, p) }
            })
        }
        fn store_words(self, p: *mut i32, n: usize) {
            // SAFETY: 16, or masked to `n`, writable words (the caller).
            unsafe {
                if n == 16 {
                    _mm512_storeu_si512(p.cast(), self.0);
                } else {
                    _mm512_mask_storeu_epi32(p, first(n) as u16, self.0);
                }
            }
        }

        fn left_repeated(p: *const u8) -> __m512i {
            // SAFETY: 4 readable bytes (the caller), unaligned.
            _mm512_set1_epi32(unsafe { p.cast::<i32>().read_unaligned() })
        }
        fn left(self) -> __m512i {
            self.0
        }
        fn right(self) -> __m512i {
            self.0
        }
        fn dot(self, x: __m512i, w: __m512i) -> Self {
            Zmm(_mm512_dpbusd_epi32(self.0, x, w))
        }

        fn unpack_lo8(self, b: Self) -> Self {
            Zmm(_mm512_unpacklo_epi8(self.0, b.0))
        }
        fn unpack_hi8(self, b: Self) -> Self {
            Zmm(_mm512_unpackhi_epi8(self.0, b.0))
        }
        fn unpack_lo16(self, b: Self) -> Self {
            Zmm(_mm512_unpacklo_epi16(self.0, b.0))
        }
        fn unpack_hi16(self, b: Self) -> Self {
            Zmm(_mm512_unpackhi_epi16(self.0, b.0))
        }
        fn pack32(self, b: Self) -> Self {
            Zmm(_mm512_packus_epi32(self.0, b.0))
        }
        fn pack16(self, b: Self) -> Self {
            Zmm(_mm512_packus_epi16(self.0, b.0))
        }

        fn max_u8(self, b: Self) -> Self {
            Zmm(_mm512_max_epu8(self.0, b.0))
        }
        fn abs_diff_u8(self, b: Self) -> Self {
            Zmm(_mm512_sub_epi8(_mm512_max_epu8(self.0, b.0), _mm512_min_epu8(self.0, b.0)))
        }
        fn sub_saturating_u8(self, b: Self) -> Self {
            Zmm(_mm512_subs_epu8(self.0, b.0))
        }
        fn add_saturating_u8(self, b: Self) -> Self {
            Zmm(_mm512_adds_epu8(self.0, b.0))
        }
        fn nonzero(self) -> u64 {
            _mm512_test_epi8_mask(self.0, self.0)
        }
        fn choose(self, a: Self, b: Self) -> Self {
            Zmm(_mm512_mask_blend_epi8(_mm512_test_epi8_mask(self.0, self.0), b.0, a.0))
        }

        fn xor(self, b: Self) -> Self {
            Zmm(_mm512_xor_si512(self.0, b.0))
        }
        fn mul_u16(self, b: Self) -> Self {
            Zmm(_mm512_mullo_epi16(self.0, b.0))
        }
        fn shr4_u16(self) -> Self {
            Zmm(_mm512_srli_epi16::<4>(self.0))
        }
        fn min_u16(self, b: Self) -> Self {
            Zmm(_mm512_min_epu16(self.0, b.0))
        }
        fn mul_add_pairs_i16(self, b: Self) -> Self {
            Zmm(_mm512_madd_epi16(self.0, b.0))
        }
        fn add_i32(self, b: Self) -> Self {
            Zmm(_mm512_add_epi32(self.0, b.0))
        }
        fn mul_i32(self, b: Self) -> Self {
            Zmm(_mm512_mullo_epi32(self.0, b.0))
        }
        fn third_byte_u32(self) -> Self {
            Zmm(_mm512_and_si512(_mm512_srli_epi32::<16>(self.0), _mm512_set1_epi32(255)))
        }
        fn sums_u8(self) -> Self {
            Zmm(_mm512_sad_epu8(self.0, _mm512_setzero_si512()))
        }
        fn add_i64(self, b: Self) -> Self {
            Zmm(_mm512_add_epi64(self.0, b.0))
        }
        fn sub_i64(self, b: Self) -> Self {
            Zmm(_mm512_sub_epi64(self.0, b.0))
        }
        fn total_u32(self) -> u64 {
            let lo = _mm512_and_si512(self.0, _mm512_set1_epi64(0xffff_ffff));
            let hi = _mm512_srli_epi64::<32>(self.0);
            _mm512_reduce_add_epi64(_mm512_add_epi64(lo, hi)) as u64
        }
        fn totals_above([a, b, c, d]: [Self; 4], limit: u32) -> u64 {
            let twos = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (ab, cd) = (twos(a.0, b.0), twos(c.0, d.0));
            // In every lane one part of the sum of each.
            let fours = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let half = _mm256_add_epi32(_mm512_castsi512_si256(fours), _mm512_extracti64x4_epi64::<1>(fours));
            let sums = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
            _mm_cmpgt_epu32_mask(sums, _mm_set1_epi32(limit as i32)) as u64
        }

        fn splat(x: f32) -> __m512 {
            _mm512_set1_ps(x)
        }
        fn load_reals(p: *const f32) -> __m512 {
            // SAFETY: 16 readable values (the caller).
            unsafe { _mm512_loadu_ps(p) }
        }
        fn store_reals(x: __m512, p: *mut f32, n: usize) {
            // SAFETY: masked to `n` writable values (the caller).
            unsafe { _mm512_mask_storeu_ps(p, first(n) as u16, x) }
        }
        fn reals(self) -> __m512 {
            _mm512_castsi512_ps(self.0)
        }
        fn to_reals(self) -> __m512 {
            _mm512_cvtepi32_ps(self.0)
        }
        fn round(x: __m512) -> Self {
            Zmm(_mm512_cvtps_epi32(x))
        }
        fn mul(a: __m512, b: __m512) -> __m512 {
            _mm512_mul_ps(a, b)
        }
        fn add(a: __m512, b: __m512) -> __m512 {
            _mm512_add_ps(a, b)
        }
        fn max(a: __m512, b: __m512) -> __m512 {
            _mm512_max_ps(a, b)
        }
        fn min(a: __m512, b: __m512) -> __m512 {
            _mm512_min_ps(a, b)
        }
    }
}

/// The first `n <= 32` bytes.
///
/// # Safety
/// They are writable.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl")]
unsafe fn store_half(x: __m256i, p: *mut u8, n: usize) {
    // SAFETY: the caller's.
    unsafe {
        if n == 32 {
            _mm256_storeu_si256(p.cast(), x);
        } else {
            _mm256_mask_storeu_epi8(p.cast(), first(n) as u32, x);
        }
    }
}

/// A table of 256 bytes in 4 registers.
#[derive(Clone, Copy)]
pub(super) struct Table([__m512i; 4]);

impl Table {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) fn load(table: &[u8; 256]) -> Self {
        let p = table.as_ptr();
        // SAFETY: 4 times 64 of 256 bytes.
        Table(unsafe { [0, 64, 128, 192].map(|at| _mm512_loadu_si512(p.add(at).cast())) })
    }

    /// `out[i] = table[x[i]]` for `n` bytes.
    ///
    /// # Safety
    /// `x` is readable, `out` writable; they are equal or do not overlap.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
    unsafe fn look_up(self, x: *const u8, out: *mut u8, n: usize) {
        let mut at = 0;
        // SAFETY: loads and stores stay within the `n` bytes.
        unsafe {
            while at + 64 <= n {
                let y = self.get(_mm512_loadu_si512(x.add(at).cast()));
                _mm512_storeu_si512(out.add(at).cast(), y);
                at += 64;
            }
            // Narrow accesses: a wide masked store would hold up the load of the row behind it.
            while at < n {
                let mask = first(16.min(n - at)) as u16;
                let y = self.get(_mm512_castsi128_si512(_mm_maskz_loadu_epi8(mask, x.add(at).cast())));
                _mm_mask_storeu_epi8(out.add(at).cast(), mask, _mm512_castsi512_si128(y));
                at += 16;
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
    pub(super) fn get(self, x: __m512i) -> __m512i {
        let [a, b, c, d] = self.0;
        let (lo, hi) = (_mm512_permutex2var_epi8(a, x, b), _mm512_permutex2var_epi8(c, x, d));
        _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), lo, hi)
    }
}

/// The entry `table`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn table_vbmi(x: &[u8], out: &mut [u8], table: &[u8; 256]) {
    // SAFETY: within both slices.
    unsafe { Table::load(table).look_up(x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len())) }
}

/// Looks the codes of a finished tile up.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn apply_table_vbmi(t: &ConvTile) {
    if let Some((table, runs)) = conv::untabled(t) {
        let table = Table::load(table);
        for (run, n) in runs {
            // SAFETY: the run holds `n` codes, now written (validity of the tile).
            unsafe { table.look_up(run, run, n) }
        }
    }
}

/// The entry `pick`: rows of up to 256 bytes are tables.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
pub(super) unsafe fn pick_vbmi(t: &PickTile) {
    if t.c > 256 {
        // SAFETY: the caller's.
        return unsafe { scalar::pick(t) };
    }
    for (part, index) in t.index.chunks(64).enumerate() {
        let mut bytes = [0u8; 64];
        for (byte, k) in bytes.iter_mut().zip(index) {
            *byte = *k as u8;
        }
        // SAFETY: 64 bytes; rows of `c` bytes are read, of `index.len()` written (validity of the tile).
        unsafe {
            let index_bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
            let left: [_; 4] = core::array::from_fn(|i| first(t.c.saturating_sub(64 * i).min(64)));
            let chosen = first(index.len());
            for (&x, &out) in t.rows_in.iter().zip(t.rows_out) {
                let x = t.input.add(x as usize);
                let load = |i: usize| _mm512_maskz_loadu_epi8(left[i], x.wrapping_add(64 * i).cast());
                let y = match t.c {
                    ..=64 => _mm512_permutexvar_epi8(index_bytes, load(0)),
                    ..=128 => _mm512_permutex2var_epi8(load(0), index_bytes, load(1)),
                    _ => Table([load(0), load(1), load(2), load(3)]).get(index_bytes),
                };
                _mm512_mask_storeu_epi8(t.output.add(out as usize + 64 * part).cast(), chosen, y);
            }
        }
    }
}
