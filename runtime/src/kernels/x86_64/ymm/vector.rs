//! 256-bit vectors: 2 lanes of 16 bytes.
//!
//! Byte masks do not exist here: a part of a lane is put together from two overlapping words. The dot step is a parameter, the rest of the
//! sets `avx2` and `avxvnni` is the same.

use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::super::vector::Vector;
use super::finish;
use crate::kernels::ConvTile;

/// How 4 neighbouring unsigned bytes and 4 signed ones are multiplied and added to a 32-bit element.
///
/// # Safety
/// The CPU has the features of the set the type belongs to.
pub(in super::super) unsafe trait Dot: Copy {
    /// Unsigned bytes, ready for `dot`.
    type Left: Copy;
    /// Signed bytes, ready for `dot`.
    type Right: Copy;
    unsafe fn left(x: __m256i) -> Self::Left;
    unsafe fn right(w: __m256i) -> Self::Right;
    /// See [`Vector::right_at`].
    #[inline(always)]
    unsafe fn right_at(p: *const u8) -> Self::Right {
        // SAFETY: 32 readable bytes (the caller), features.
        unsafe { Self::right(_mm256_loadu_si256(p.cast())) }
    }
    /// See [`Vector::dot`].
    unsafe fn dot(sum: __m256i, x: Self::Left, w: Self::Right) -> __m256i;
}

/// A 256-bit register whose dot step is `D`.
#[derive(Clone, Copy)]
pub(in super::super) struct Ymm<D>(pub(super) __m256i, PhantomData<D>);

#[inline(always)]
pub(super) fn of<D>(x: __m256i) -> Ymm<D> {
    Ymm(x, PhantomData)
}

/// `n < 16` bytes, then zeros. Overlapping words agree where they overlap.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn load_bytes(p: *const u8, n: usize) -> u128 {
    // SAFETY: every access ends at or before `p + n`.
    unsafe {
        if n >= 8 {
            let lo = p.cast::<u64>().read_unaligned();
            let hi = p.add(n - 8).cast::<u64>().read_unaligned();
            lo as u128 | (hi as u128) << (8 * (n - 8))
        } else if n >= 4 {
            let lo = p.cast::<u32>().read_unaligned();
            let hi = p.add(n - 4).cast::<u32>().read_unaligned();
            (lo as u64 | (hi as u64) << (8 * (n - 4))) as u128
        } else if n > 0 {
            let (a, b, c) = (*p as u32, *p.add(n / 2) as u32, *p.add(n - 1) as u32);
            (a | b << (8 * (n / 2)) | c << (8 * (n - 1))) as u128
        } else {
            0
        }
    }
}

/// The lowest `n < 16` bytes.
///
/// # Safety
/// They are writable.
#[inline(always)]
unsafe fn store_bytes(x: u128, p: *mut u8, n: usize) {
    // SAFETY: every access ends at or before `p + n`.
    unsafe {
        if n >= 8 {
            p.cast::<u64>().write_unaligned(x as u64);
            p.add(n - 8).cast::<u64>().write_unaligned((x >> (8 * (n - 8))) as u64);
        } else if n >= 4 {
            p.cast::<u32>().write_unaligned(x as u32);
            p.add(n - 4).cast::<u32>().write_unaligned((x as u64 >> (8 * (n - 4))) as u32);
        } else if n > 0 {
            p.write(x as u8);
            p.add(n / 2).write((x as u32 >> (8 * (n / 2))) as u8);
            p.add(n - 1).write((x as u32 >> (8 * (n - 1))) as u8);
        }
    }
}

/// `n <= 16` bytes, then zeros.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_lane(p: *const u8, n: usize) -> __m128i {
    // SAFETY: `n` readable bytes (the caller).
    unsafe {
        if n == 16 {
            _mm_loadu_si128(p.cast())
        } else if n == 8 {
            _mm_loadl_epi64(p.cast())
        } else {
            let x = load_bytes(p, n);
            _mm_set_epi64x((x >> 64) as i64, x as i64)
        }
    }
}

/// `n <= 16` bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store_lane(x: __m128i, p: *mut u8, n: usize) {
    // SAFETY: `n` writable bytes (the caller).
    unsafe {
        if n == 16 {
            _mm_storeu_si128(p.cast(), x);
        } else if n == 8 {
            _mm_storel_epi64(p.cast(), x);
        } else {
            let (lo, hi) = (_mm_cvtsi128_si64(x) as u64, _mm_extract_epi64::<1>(x) as u64);
            store_bytes(lo as u128 | (hi as u128) << 64, p, n);
        }
    }
}

/// The first `n <= 8` words.
#[inline]
#[target_feature(enable = "avx2")]
fn first(n: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// Declares the methods with the features of the set.
macro_rules! with_features {
    ($($(#[$doc:meta])* fn $name:ident $(<$(const $c:ident: $ct:ty),*>)? ($($args:tt)*) $(-> $ret:ty)? $body:block)*) => {
        $(
            $(#[$doc])*
            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn $name $(<$(const $c: $ct),*>)? ($($args)*) $(-> $ret)? $body
        )*
    };
}

// SAFETY: masks and widths below are those the trait states.
unsafe impl<D: Dot> Vector for Ymm<D> {
    const LANES: usize = 2;
    type Real = __m256;
    type Left = D::Left;
    type Right = D::Right;

    #[inline(always)]
    unsafe fn finish_whole<const R: usize, const N: usize>(
        t: &ConvTile, row: usize, count: usize, at: usize, sums: &[[Self; N]; R],
    ) -> bool {
        // SAFETY: the caller's.
        unsafe { finish::whole(t, row, count, at, sums) }
    }

    with_features! {
        fn zero() -> Self {
            of(_mm256_setzero_si256())
        }
        fn splat_u8(x: u8) -> Self {
            of(_mm256_set1_epi8(x as i8))
        }
        fn splat_u16(x: u16) -> Self {
            of(_mm256_set1_epi16(x as i16))
        }
        fn splat_u32(x: u32) -> Self {
            of(_mm256_set1_epi32(x as i32))
        }
        fn by_rows<const ROWS: usize>(x: [u32; 4]) -> Self {
            let first = _mm256_set1_epi32(x[0] as i32);
            of(if ROWS == 1 { first } else { _mm256_blend_epi32::<0xf0>(first, _mm256_set1_epi32(x[1] as i32)) })
        }
        fn load(p: *const u8) -> Self {
            // SAFETY: 32 readable bytes (the caller).
            of(unsafe { _mm256_loadu_si256(p.cast()) })
        }
        fn load_part(p: *const u8, n: usize) -> Self {
            // SAFETY: `n` readable bytes (the caller).
            unsafe {
                if n == 32 {
                    return Self::load(p);
                }
                let lo = load_lane(p, n.min(16));
                let hi = if n > 16 { load_lane(p.add(16), n - 16) } else { _mm_setzero_si128() };
                of(_mm256_set_m128i(hi, lo))
            }
        }
        fn load_first<const FULL: bool>(p: *const u8, n: usize) -> Self {
            // SAFETY: `n` readable bytes (the caller).
            unsafe { if FULL { Self::load(p) } else { Self::load_part(p, n) } }
        }
        fn store_part(self, p: *mut u8, n: usize) {
            // SAFETY: `n` writable bytes (the caller).
            unsafe {
                if n == 32 {
                    return _mm256_storeu_si256(p.cast(), self.0);
                }
                store_lane(_mm256_castsi256_si128(self.0), p, n.min(16));
                if n > 16 {
                    store_lane(_mm256_extracti128_si256::<1>(self.0), p.add(16), n - 16);
                }
            }
        }
        fn load_lanes(p: &[*const u8; 4]) -> Self {
            // SAFETY: 16 readable bytes each (the caller).
            unsafe { Self::load_rows::<2, true>(p, 0, 16) }
        }
        fn load_rows<const ROWS: usize, const FULL: bool>(p: &[*const u8; 4], at: usize, n: usize) -> Self {
            // SAFETY: `n` bytes, `32 / ROWS` if `FULL`, readable at each pointer (the caller).
            unsafe {
                match ROWS {
                    1 if FULL => Self::load(p[0].add(at)),
                    1 => Self::load_part(p[0].add(at), n),
                    _ => {
                        let n = if FULL { 16 } else { n };
                        of(_mm256_set_m128i(load_lane(p[1].add(at), n), load_lane(p[0].add(at), n)))
                    }
                }
            }
        }
        fn store_rows<const ROWS: usize>(self, p: &[*mut u8; 4], count: usize, n: usize) {
            // SAFETY: `n <= 32 / ROWS` bytes are writable at the first `count` pointers (the caller).
            unsafe {
                if ROWS == 1 {
                    return self.store_part(p[0], n);
                }
                store_lane(_mm256_castsi256_si128(self.0), p[0], n);
                if count > 1 {
                    store_lane(_mm256_extracti128_si256::<1>(self.0), p[1], n);
                }
            }
        }
        fn load_widened(p: *const u8, n: usize) -> Self {
            // SAFETY: `n <= 8` readable bytes (the caller).
            of(_mm256_cvtepu8_epi32(unsafe { load_lane(p, n) }))
        }
        fn store_narrowed(self, p: *mut u8, n: usize) {
            let (lo, hi) = (_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0));
            let words = _mm_packus_epi32(lo, hi);
            // SAFETY: `n <= 8` writable bytes (the caller).
            unsafe { store_lane(_mm_packus_epi16(words, words), p, n) }
        }
        fn load_words(p: *const i32, n: usize) -> Self {
            // SAFETY: 8, or masked to `n`, readable words (the caller).
            of(unsafe {
                if n == 8 { _mm256_loadu_si256(p.cast()) } else { _mm256_maskload_epi32(p, first(n)) }
            })
        }
        fn store_words(self, p: *mut i32, n: usize) {
            // SAFETY: 8, or masked to `n`, writable words (the caller).
            unsafe {
                if n == 8 {
                    _mm256_storeu_si256(p.cast(), self.0);
                } else {
                    _mm256_maskstore_epi32(p, first(n), self.0);
                }
            }
        }

        fn left_repeated(p: *const u8) -> D::Left {
            // SAFETY: 4 readable bytes (the caller), unaligned.
            unsafe { D::left(_mm256_set1_epi32(p.cast::<i32>().read_unaligned())) }
        }
        fn left(self) -> D::Left {
            // SAFETY: features, here and below.
            unsafe { D::left(self.0) }
        }
        fn right(self) -> D::Right {
            // SAFETY: as above.
            unsafe { D::right(self.0) }
        }
        fn right_at(p: *const u8) -> D::Right {
            // SAFETY: the caller's.
            unsafe { D::right_at(p) }
        }
        fn dot(self, x: D::Left, w: D::Right) -> Self {
            // SAFETY: as above.
            of(unsafe { D::dot(self.0, x, w) })
        }

        fn unpack_lo8(self, b: Self) -> Self {
            of(_mm256_unpacklo_epi8(self.0, b.0))
        }
        fn unpack_hi8(self, b: Self) -> Self {
            of(_mm256_unpackhi_epi8(self.0, b.0))
        }
        fn unpack_lo16(self, b: Self) -> Self {
            of(_mm256_unpacklo_epi16(self.0, b.0))
        }
        fn unpack_hi16(self, b: Self) -> Self {
            of(_mm256_unpackhi_epi16(self.0, b.0))
        }
        fn pack32(self, b: Self) -> Self {
            of(_mm256_packus_epi32(self.0, b.0))
        }
        fn pack16(self, b: Self) -> Self {
            of(_mm256_packus_epi16(self.0, b.0))
        }

        fn max_u8(self, b: Self) -> Self {
            of(_mm256_max_epu8(self.0, b.0))
        }
        fn abs_diff_u8(self, b: Self) -> Self {
            of(_mm256_sub_epi8(_mm256_max_epu8(self.0, b.0), _mm256_min_epu8(self.0, b.0)))
        }
        fn sub_saturating_u8(self, b: Self) -> Self {
            of(_mm256_subs_epu8(self.0, b.0))
        }
        fn add_saturating_u8(self, b: Self) -> Self {
            of(_mm256_adds_epu8(self.0, b.0))
        }
        fn nonzero(self) -> u64 {
            let zero = _mm256_cmpeq_epi8(self.0, _mm256_setzero_si256());
            !_mm256_movemask_epi8(zero) as u32 as u64
        }
        fn choose(self, a: Self, b: Self) -> Self {
            of(_mm256_blendv_epi8(a.0, b.0, _mm256_cmpeq_epi8(self.0, _mm256_setzero_si256())))
        }

        fn xor(self, b: Self) -> Self {
            of(_mm256_xor_si256(self.0, b.0))
        }
        fn mul_u16(self, b: Self) -> Self {
            of(_mm256_mullo_epi16(self.0, b.0))
        }
        fn shr4_u16(self) -> Self {
            of(_mm256_srli_epi16::<4>(self.0))
        }
        fn min_u16(self, b: Self) -> Self {
            of(_mm256_min_epu16(self.0, b.0))
        }
        fn mul_add_pairs_i16(self, b: Self) -> Self {
            of(_mm256_madd_epi16(self.0, b.0))
        }
        fn add_i32(self, b: Self) -> Self {
            of(_mm256_add_epi32(self.0, b.0))
        }
        fn mul_i32(self, b: Self) -> Self {
            of(_mm256_mullo_epi32(self.0, b.0))
        }
        fn third_byte_u32(self) -> Self {
            of(_mm256_and_si256(_mm256_srli_epi32::<16>(self.0), _mm256_set1_epi32(255)))
        }
        fn sums_u8(self) -> Self {
            of(_mm256_sad_epu8(self.0, _mm256_setzero_si256()))
        }
        fn add_i64(self, b: Self) -> Self {
            of(_mm256_add_epi64(self.0, b.0))
        }
        fn sub_i64(self, b: Self) -> Self {
            of(_mm256_sub_epi64(self.0, b.0))
        }
        fn total_u32(self) -> u64 {
            let lo = _mm256_and_si256(self.0, _mm256_set1_epi64x(0xffff_ffff));
            let sum = _mm256_add_epi64(lo, _mm256_srli_epi64::<32>(self.0));
            let sum = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            (_mm_cvtsi128_si64(sum) as u64).wrapping_add(_mm_extract_epi64::<1>(sum) as u64)
        }
        fn totals_above([a, b, c, d]: [Self; 4], limit: u32) -> u64 {
            let fours = _mm256_hadd_epi32(_mm256_hadd_epi32(a.0, b.0), _mm256_hadd_epi32(c.0, d.0));
            let sums = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
            // There is a comparison of signed numbers only.
            let signed = |x| _mm_xor_si128(x, _mm_set1_epi32(i32::MIN));
            let above = _mm_cmpgt_epi32(signed(sums), signed(_mm_set1_epi32(limit as i32)));
            _mm_movemask_ps(_mm_castsi128_ps(above)) as u64
        }

        fn splat(x: f32) -> __m256 {
            _mm256_set1_ps(x)
        }
        fn load_reals(p: *const f32) -> __m256 {
            // SAFETY: 8 readable values (the caller).
            unsafe { _mm256_loadu_ps(p) }
        }
        fn store_reals(x: __m256, p: *mut f32, n: usize) {
            // SAFETY: 8, or masked to `n`, writable values (the caller).
            unsafe {
                if n == 8 {
                    _mm256_storeu_ps(p, x);
                } else {
                    _mm256_maskstore_ps(p, first(n), x);
                }
            }
        }
        fn reals(self) -> __m256 {
            _mm256_castsi256_ps(self.0)
        }
        fn to_reals(self) -> __m256 {
            _mm256_cvtepi32_ps(self.0)
        }
        fn round(x: __m256) -> Self {
            of(_mm256_cvtps_epi32(x))
        }
        fn mul(a: __m256, b: __m256) -> __m256 {
            _mm256_mul_ps(a, b)
        }
        fn add(a: __m256, b: __m256) -> __m256 {
            _mm256_add_ps(a, b)
        }
        fn max(a: __m256, b: __m256) -> __m256 {
            _mm256_max_ps(a, b)
        }
        fn min(a: __m256, b: __m256) -> __m256 {
            _mm256_min_ps(a, b)
        }
    }
}
