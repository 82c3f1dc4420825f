//! What a program without an operating system needs to run under QEMU's Cortex-M boards: startup, text and an exit
//! status (semihosting), a count of executed instructions, the depth of the stack.
#![no_std]

pub mod host;
pub mod stack;
mod start;
pub mod ticks;

/// The board this is built for.
pub const BOARD: &str = env!("BOARD");

/// Memory from a multiple of 64 bytes.
#[repr(C, align(64))]
pub struct Aligned<T>(pub T);
