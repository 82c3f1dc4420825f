//! What programs without an operating system share on emulated boards, whatever the processor: text and an exit status
//! (semihosting), the depth of the stack, aligned memory. `bin/` holds the programs, `build.rs` the boards' memory maps; the
//! crates beside this one add start-up and a count of executed instructions for their processors and are called `board` there.
#![no_std]

use core::cell::UnsafeCell;

pub mod host;
pub mod stack;

/// Memory from a multiple of 64 bytes.
#[repr(C, align(64))]
pub struct Aligned<T>(pub T);

/// Memory of the program's own, from a multiple of 64 bytes, for one user at a time.
#[repr(C, align(64))]
pub struct Memory<T>(UnsafeCell<T>);

// SAFETY: these programs have one thread, and its exceptions use none.
unsafe impl<T> Sync for Memory<T> {}

impl<T> Memory<T> {
    /// Holding `value` at first.
    pub const fn new(value: T) -> Self {
        Memory(UnsafeCell::new(value))
    }

    /// The memory.
    ///
    /// # Safety
    /// Nothing taken from it before is in use.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn take(&self) -> &mut T {
        // SAFETY: the only reference, as the caller says.
        unsafe { &mut *self.0.get() }
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if !cfg!(feature = "silent") {
        say!("{info}");
    }
    host::exit(false)
}

/// Where exceptions that should not happen end.
pub extern "C" fn fault() -> ! {
    if !cfg!(feature = "silent") {
        say!("fault");
    }
    host::exit(false)
}
