//! The operations the x86-64 kernels are written in.
//!
//! A vector is [`LANES`](Vector::LANES) lanes of 16 bytes. Shuffles act inside each lane, as the instructions do, so
//! that the same order of unpacking and packing is right for 2 and for 4 lanes.
//!
//! Every method is unsafe for one common reason: the CPU must have the features of the type's set. Those with a pointer
//! say in addition what they touch; no method touches more.

use super::super::ConvTile;

/// A vector register.
///
/// # Safety
/// Methods read and write exactly what they say.
pub(super) unsafe trait Vector: Copy {
    /// Lanes of 16 bytes.
    const LANES: usize;
    /// Bytes.
    const BYTES: usize = 16 * Self::LANES;
    /// 32-bit elements.
    const WORDS: usize = 4 * Self::LANES;
    /// As many f32 as there are 32-bit elements.
    type Real: Copy;
    /// Unsigned bytes, ready for [`dot`](Self::dot).
    type Left: Copy;
    /// Signed bytes, ready for [`dot`](Self::dot).
    type Right: Copy;

    // Memory. `n` counts elements of the memory; missing ones read as 0.
    unsafe fn zero() -> Self;
    unsafe fn splat_u8(x: u8) -> Self;
    unsafe fn splat_u16(x: u16) -> Self;
    unsafe fn splat_u32(x: u32) -> Self;
    /// `ROWS` equal parts, part i of copies of `x[i]`.
    unsafe fn by_rows<const ROWS: usize>(x: [u32; 4]) -> Self;
    /// `BYTES` bytes.
    unsafe fn load(p: *const u8) -> Self;
    /// `n <= BYTES` bytes.
    unsafe fn load_part(p: *const u8, n: usize) -> Self;
    /// The same for loops in which `n` stays; `BYTES` bytes if `FULL`.
    unsafe fn load_first<const FULL: bool>(p: *const u8, n: usize) -> Self;
    /// `n <= BYTES` bytes.
    unsafe fn store_part(self, p: *mut u8, n: usize);
    /// Lane i from 16 bytes at `p[i]`.
    unsafe fn load_lanes(p: &[*const u8; 4]) -> Self;
    /// `ROWS` equal parts, each from `n` bytes (all of them if `FULL`) at `p[i] + at`.
    unsafe fn load_rows<const ROWS: usize, const FULL: bool>(p: &[*const u8; 4], at: usize, n: usize) -> Self;
    /// The first `count` of `ROWS` equal parts, `n` bytes each, to `p[i]`.
    unsafe fn store_rows<const ROWS: usize>(self, p: &[*mut u8; 4], count: usize, n: usize);
    /// `n <= WORDS` bytes, each a 32-bit element.
    unsafe fn load_widened(p: *const u8, n: usize) -> Self;
    /// Low bytes of the first `n <= WORDS` elements, which are at most 255.
    unsafe fn store_narrowed(self, p: *mut u8, n: usize);
    /// `n <= WORDS` 32-bit elements.
    unsafe fn load_words(p: *const i32, n: usize) -> Self;
    /// `n <= WORDS` 32-bit elements.
    unsafe fn store_words(self, p: *mut i32, n: usize);

    // The dot step.
    /// 4 bytes at `p`, repeated.
    unsafe fn left_repeated(p: *const u8) -> Self::Left;
    unsafe fn left(self) -> Self::Left;
    unsafe fn right(self) -> Self::Right;
    /// Signed bytes of a quad of a convolution's [`Panel`](conv::Panel) at `p`, 64 bytes at most.
    #[inline(always)]
    unsafe fn right_at(p: *const u8) -> Self::Right {
        // SAFETY: the caller's.
        unsafe { Self::load(p).right() }
    }
    /// `acc[i] + sum over j < 4 of x[4i + j] * w[4i + j]`, wrapping.
    unsafe fn dot(self, x: Self::Left, w: Self::Right) -> Self;
    /// The same for sums in registers, if the set has a way and the tile is one for it; otherwise nothing.
    #[inline(always)]
    unsafe fn finish_whole<const R: usize, const N: usize>(
        _t: &ConvTile, _row: usize, _count: usize, _at: usize, _sums: &[[Self; N]; R],
    ) -> bool {
        false
    }

    // Order.
    unsafe fn unpack_lo8(self, b: Self) -> Self;
    unsafe fn unpack_hi8(self, b: Self) -> Self;
    unsafe fn unpack_lo16(self, b: Self) -> Self;
    unsafe fn unpack_hi16(self, b: Self) -> Self;
    /// i32 to u16, saturating.
    unsafe fn pack32(self, b: Self) -> Self;
    /// i16 to u8, saturating.
    unsafe fn pack16(self, b: Self) -> Self;

    // Bytes.
    unsafe fn max_u8(self, b: Self) -> Self;
    unsafe fn abs_diff_u8(self, b: Self) -> Self;
    /// `max(a - b, 0)`.
    unsafe fn sub_saturating_u8(self, b: Self) -> Self;
    /// `min(a + b, 255)`.
    unsafe fn add_saturating_u8(self, b: Self) -> Self;
    /// Bit i: byte i is not 0.
    unsafe fn nonzero(self) -> u64;
    /// `a` where the byte is not 0, else `b`.
    unsafe fn choose(self, a: Self, b: Self) -> Self;

    // Wider integers.
    unsafe fn xor(self, b: Self) -> Self;
    unsafe fn mul_u16(self, b: Self) -> Self;
    unsafe fn shr4_u16(self) -> Self;
    unsafe fn min_u16(self, b: Self) -> Self;
    /// Adds products of neighbouring i16.
    unsafe fn mul_add_pairs_i16(self, b: Self) -> Self;
    unsafe fn add_i32(self, b: Self) -> Self;
    unsafe fn mul_i32(self, b: Self) -> Self;
    /// The sum of every 8 bytes, in 64 bits.
    unsafe fn sums_u8(self) -> Self;
    unsafe fn add_i64(self, b: Self) -> Self;
    unsafe fn sub_i64(self, b: Self) -> Self;
    /// Bits 16 to 23.
    unsafe fn third_byte_u32(self) -> Self;
    /// The sum of all u32 elements.
    unsafe fn total_u32(self) -> u64;
    /// Bit i: the sum of the u32 elements of `x[i]`, modulo 2^32, is larger than `limit`.
    unsafe fn totals_above(x: [Self; 4], limit: u32) -> u64;

    // Reals. Minimum and maximum give the second operand if one is a NaN or both are zero.
    unsafe fn splat(x: f32) -> Self::Real;
    /// `WORDS` values; unaligned.
    unsafe fn load_reals(p: *const f32) -> Self::Real;
    /// The first `n <= WORDS`; unaligned.
    unsafe fn store_reals(x: Self::Real, p: *mut f32, n: usize);
    /// The bits of f32 values.
    unsafe fn reals(self) -> Self::Real;
    unsafe fn to_reals(self) -> Self::Real;
    /// To nearest even.
    unsafe fn round(x: Self::Real) -> Self;
    unsafe fn mul(a: Self::Real, b: Self::Real) -> Self::Real;
    unsafe fn add(a: Self::Real, b: Self::Real) -> Self::Real;
    unsafe fn max(a: Self::Real, b: Self::Real) -> Self::Real;
    unsafe fn min(a: Self::Real, b: Self::Real) -> Self::Real;
}
