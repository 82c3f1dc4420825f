//! Text and exit status, by semihosting (Arm's "Semihosting for AArch32 and AArch64", RISC-V's "Semihosting").

use core::arch::asm;
use core::fmt::{self, Write};

const WRITE0: usize = 0x04;
const EXIT_EXTENDED: usize = 0x20;
const APPLICATION_EXIT: usize = 0x20026;

/// # Safety
/// `argument` is what the operation asks for.
#[cfg(target_arch = "arm")]
unsafe fn call(operation: usize, argument: usize) {
    // SAFETY: the host reads what the caller states; registers other than r0 are kept.
    unsafe { asm!("bkpt 0xAB", inout("r0") operation => _, in("r1") argument) }
}

/// # Safety
/// `argument` is what the operation asks for.
#[cfg(target_arch = "riscv32")]
unsafe fn call(operation: usize, argument: usize) {
    // The host knows the call by the two shifts around it, which must be uncompressed and on one page.
    // SAFETY: the host reads what the caller states; registers other than a0 are kept.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inout("a0") operation => _, in("a1") argument
        )
    }
}

struct Text;

impl Write for Text {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // The host takes text that ends with a zero.
        for part in s.as_bytes().chunks(63) {
            let mut buffer = [0u8; 64];
            buffer[..part.len()].copy_from_slice(part);
            // SAFETY: text with a zero at its end.
            unsafe { call(WRITE0, buffer.as_ptr() as usize) }
        }
        Ok(())
    }
}

/// Prints on the host.
pub fn print(text: fmt::Arguments) {
    let _ = Text.write_fmt(text);
}

/// `print` with a format, and a line end.
#[macro_export]
macro_rules! say {
    ($($t:tt)*) => { $crate::host::print(format_args!("{}\n", format_args!($($t)*))) };
}

/// Ends the emulation with status 0 or 1.
pub fn exit(good: bool) -> ! {
    let block = [APPLICATION_EXIT, if good { 0 } else { 1 }];
    // SAFETY: a reason and a status.
    unsafe { call(EXIT_EXTENDED, block.as_ptr() as usize) }
    loop {}
}
