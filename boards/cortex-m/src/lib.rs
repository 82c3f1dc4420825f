//! Cortex-M: start-up, a count of executed instructions, a serial port.
#![no_std]

pub mod serial;
mod start;
pub mod ticks;

/// The board this is built for.
pub const BOARD: &str = env!("BOARD");
