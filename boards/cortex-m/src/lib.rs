//! Cortex-M: start-up, a count of executed instructions.
#![no_std]

mod start;
pub mod ticks;

/// The board this is built for.
pub const BOARD: &str = env!("BOARD");
