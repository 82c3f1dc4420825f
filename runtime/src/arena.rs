//! The engine's memory: one block lent by the caller, cut up as the artifact says.
//!
//! Tensors overlap on purpose (scratch memory is reused, views lie inside their parents), so the block is kept as a
//! pointer and handed out in pieces. The whole-file check proves which pieces may be alive together: a step's output is
//! disjoint from its inputs, masks are disjoint from tensors and from each other.

use core::marker::PhantomData;
use core::slice;

pub(crate) struct Arena<'a> {
    start: *mut u8,
    len: usize,
    lent: PhantomData<&'a mut [u8]>,
}

// SAFETY: the arena is an exclusive borrow of plain bytes.
unsafe impl Send for Arena<'_> {}

impl<'a> Arena<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { start: bytes.as_mut_ptr(), len: bytes.len(), lent: PhantomData }
    }

    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Bytes `offset..offset + len`; empty if that is outside.
    ///
    /// # Safety
    /// No live mutable piece overlaps.
    pub unsafe fn bytes<'b>(&self, offset: usize, len: usize) -> &'b [u8] {
        match self.inside(offset, len) {
            // SAFETY: inside the block; the caller answers for overlap and outlives `'b` by not keeping it.
            true => unsafe { slice::from_raw_parts(self.start.add(offset), len) },
            false => &[],
        }
    }

    /// Bytes `offset..offset + len`, to write; empty if that is outside.
    ///
    /// # Safety
    /// No other live piece overlaps.
    pub unsafe fn bytes_mut<'b>(&self, offset: usize, len: usize) -> &'b mut [u8] {
        match self.inside(offset, len) {
            // SAFETY: as above.
            true => unsafe { slice::from_raw_parts_mut(self.start.add(offset), len) },
            false => &mut [],
        }
    }

    /// `len` values of `T` (u32 or u64) at `offset`; empty if that is outside or unaligned.
    ///
    /// # Safety
    /// No other live piece overlaps.
    pub unsafe fn words<'b, T: Copy>(&self, offset: usize, len: usize) -> &'b mut [T] {
        let bytes = len.saturating_mul(size_of::<T>());
        let at = self.start.wrapping_add(offset);
        match self.inside(offset, bytes) && at.cast::<T>().is_aligned() {
            // SAFETY: inside the block and aligned; every bit pattern is a value of the integers used here.
            true => unsafe { slice::from_raw_parts_mut(at.cast::<T>(), len) },
            false => &mut [],
        }
    }

    fn inside(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }
}
