//! Bytes between two pages that may not be touched (on Linux; elsewhere plain memory).

use std::ops::Deref;

/// Which end of the bytes touches an untouchable page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// The byte after the last one faults.
    End,
    /// The byte before the first one faults.
    Start,
}

/// Read-only once made.
pub struct Guarded {
    base: *mut u8,
    mapped: usize,
    at: usize,
    len: usize,
}

impl Guarded {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8], against: Against) -> Self {
        let len = bytes.len();
        let middle = len.div_ceil(system::PAGE).max(1) * system::PAGE;
        let mapped = middle + 2 * system::PAGE;
        let base = system::map(mapped, middle);
        let at = system::PAGE + if against == Against::End { middle - len } else { 0 };
        // SAFETY: `at + len` lies in the accessible middle, just mapped.
        unsafe { base.add(at).copy_from_nonoverlapping(bytes.as_ptr(), len) };
        Guarded { base, mapped, at, len }
    }
}

impl Deref for Guarded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped and initialised by `new`, until dropped.
        unsafe { std::slice::from_raw_parts(self.base.add(self.at), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        system::unmap(self.base, self.mapped);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::{c_int, c_void};

    pub const PAGE: usize = 4096;

    unsafe extern "C" {
        fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
        fn mprotect(at: *mut c_void, len: usize, prot: c_int) -> c_int;
        fn munmap(at: *mut c_void, len: usize) -> c_int;
    }

    /// `len` bytes, of which all but `middle` after the first page fault.
    pub fn map(len: usize, middle: usize) -> *mut u8 {
        const NONE: c_int = 0;
        const READ_WRITE: c_int = 3;
        const PRIVATE_ANONYMOUS: c_int = 0x22;
        // SAFETY: a fresh anonymous mapping; the part made accessible lies inside it.
        unsafe {
            let base = mmap(std::ptr::null_mut(), len, NONE, PRIVATE_ANONYMOUS, -1, 0);
            assert_ne!(base as isize, -1, "mmap");
            let base = base.cast::<u8>();
            assert_eq!(mprotect(base.add(PAGE).cast(), middle, READ_WRITE), 0, "mprotect");
            base
        }
    }

    pub fn unmap(base: *mut u8, len: usize) {
        // SAFETY: made by `map`, unmapped once.
        unsafe { munmap(base.cast(), len) };
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub const PAGE: usize = 64;

    pub fn map(len: usize, _middle: usize) -> *mut u8 {
        Box::into_raw(vec![0u8; len].into_boxed_slice()).cast()
    }

    pub fn unmap(base: *mut u8, len: usize) {
        // SAFETY: made by `map`, freed once.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(base, len)) });
    }
}
