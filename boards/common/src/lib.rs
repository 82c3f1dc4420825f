//! What programs without an operating system share on emulated boards, whatever the processor: text and an exit status
//! (semihosting), the depth of the stack, aligned memory. `bin/` holds the programs, `build.rs` the boards' memory maps; the
//! crates beside this one add start-up and a count of executed instructions for their processors and are called `board` there.
#![no_std]

pub mod host;
pub mod stack;

/// Memory from a multiple of 64 bytes.
#[repr(C, align(64))]
pub struct Aligned<T>(pub T);

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    say!("{info}");
    host::exit(false)
}

/// Where exceptions that should not happen end.
pub extern "C" fn fault() -> ! {
    say!("fault");
    host::exit(false)
}
