//! Rows of codes whose every block has been found inside its arrays: walked without a choice of kinds and without checks.

use super::math::{MAGIC, bounded};
use super::walk::{Block, Load, Store, values};
use super::{BEYOND, BLOCK, Operand, Row};

/// An operand or a result of codes whose every block has been found inside its arrays.
pub(super) struct Plain<C> {
    codes: C,
    scale: *const f32,
    offset: *const f32,
    lo: f32,
    hi: f32,
}

/// One value per channel, likewise.
pub(super) struct PlainRepeat(*const f32);

/// Whether `len` codes hold every block of a walk over `len` values.
fn covers(codes: usize, len: usize, period: usize) -> bool {
    len >= BLOCK && codes >= len && (len.is_multiple_of(BLOCK) || len.is_multiple_of(period.max(1)))
}

/// Whether a per-channel array holds every block of such a walk.
fn lasts(array: &[f32], period: usize) -> bool {
    // Where phases are whole blocks, the last one ends with the period.
    array.len() >= period + if period.is_multiple_of(BLOCK) { 0 } else { BEYOND }
}

impl Row<'_> {
    /// The row without a choice of kinds, if it is one of codes without a table.
    #[inline(always)]
    pub(super) fn plain(&mut self, period: usize) -> Option<Plain<*mut u8>> {
        match self {
            Row::Codes { codes, scale, offset, lo, hi, table: None }
                if covers(codes.len(), codes.len(), period) && lasts(scale, period) && lasts(offset, period) =>
            {
                Some(Plain { codes: codes.as_mut_ptr(), scale: scale.as_ptr(), offset: offset.as_ptr(), lo: *lo, hi: *hi })
            }
            _ => None,
        }
    }
}

impl Operand<'_> {
    /// The operand without a choice of kinds, if it is one of codes; `len` values are walked.
    #[inline(always)]
    pub(super) fn plain(&self, len: usize, period: usize) -> Option<Plain<*const u8>> {
        match *self {
            Operand::Codes { codes, scale, offset }
                if covers(codes.len(), len, period) && lasts(scale, period) && lasts(offset, period) =>
            {
                Some(Plain { codes: codes.as_ptr(), scale: scale.as_ptr(), offset: offset.as_ptr(), lo: 0.0, hi: 0.0 })
            }
            _ => None,
        }
    }

    /// The same for one value per channel.
    #[inline(always)]
    pub(super) fn repeated(&self, period: usize) -> Option<PlainRepeat> {
        match *self {
            Operand::Repeat(values) if lasts(values, period) => Some(PlainRepeat(values.as_ptr())),
            _ => None,
        }
    }
}

impl Load for PlainRepeat {
    #[inline(always)]
    fn load(&self, _: usize, phase: usize) -> Block {
        // SAFETY: `lasts`.
        unsafe { block(self.0, phase) }
    }
}

impl Load for Plain<*const u8> {
    #[inline(always)]
    fn load(&self, at: usize, phase: usize) -> Block {
        // SAFETY: `covers`, `lasts`.
        let (codes, scale, offset) =
            unsafe { (*self.codes.add(at).cast::<[u8; BLOCK]>(), block(self.scale, phase), block(self.offset, phase)) };
        values(codes, &scale, &offset)
    }
}

impl Store for Plain<*mut u8> {
    #[inline(always)]
    fn store(&mut self, at: usize, phase: usize, y: &Block) {
        // SAFETY: `lasts`.
        let (scale, offset) = unsafe { (block(self.scale, phase), block(self.offset, phase)) };
        let mut q = [0; BLOCK];
        for i in 0..BLOCK {
            // `scalar::code`: the bounds make the low byte of the sum the whole integer.
            q[i] = (bounded(y[i] * scale[i] + offset[i], self.lo, self.hi) + MAGIC).to_bits() as u8;
        }
        // SAFETY: `covers`.
        unsafe { *self.codes.add(at).cast::<[u8; BLOCK]>() = q };
    }
}

/// The block at `phase`.
///
/// # Safety
/// It is readable.
#[inline(always)]
unsafe fn block(array: *const f32, phase: usize) -> Block {
    // SAFETY: the caller's.
    unsafe { array.add(phase).cast::<Block>().read() }
}
