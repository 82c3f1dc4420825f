//! The first serial port (CMSDK APB UART) and a pin (the first light of the FPGA's I/O block) of the MPS2 and MPS3 boards.

use core::ptr::{read_volatile, write_volatile};

/// Start of the port's and the I/O block's registers (as secure software sees them), the port's clock in Hz.
const fn registers() -> (usize, usize, u32) {
    match super::BOARD.as_bytes() {
        b"an505" => (0x5020_0000, 0x5030_2000, 20_000_000),
        b"an547" => (0x5930_3000, 0x5930_2000, 25_000_000),
        _ => (0x4000_4000, 0x4002_8000, 25_000_000),
    }
}

const PORT: *mut u32 = registers().0 as *mut u32;
const LIGHTS: *mut u32 = registers().1 as *mut u32;

/// Words from the start of the port.
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const DIVIDER: usize = 4;
const FULL_OUT: u32 = 1;
const FULL_IN: u32 = 2;

/// The port.
pub struct Serial(());

impl Serial {
    /// 8 bits, no parity, at `baud`.
    pub fn open(baud: u32) -> Self {
        // SAFETY: registers of the port, which every board of this crate has.
        unsafe {
            write_volatile(PORT.add(DIVIDER), (registers().2 / baud).max(16));
            write_volatile(PORT.add(CONTROL), 3);
        }
        Serial(())
    }

    /// Sends a byte when there is room.
    pub fn put(&mut self, byte: u8) {
        // SAFETY: as above.
        unsafe {
            while read_volatile(PORT.add(STATE)) & FULL_OUT != 0 {}
            write_volatile(PORT.add(DATA), byte as u32);
        }
    }

    /// A byte, if one has come.
    pub fn get() -> Option<u8> {
        // SAFETY: as above.
        unsafe { (read_volatile(PORT.add(STATE)) & FULL_IN != 0).then(|| read_volatile(PORT.add(DATA)) as u8) }
    }
}

/// A pin a meter listens to.
pub struct Pin(());

impl Pin {
    /// High at first.
    pub fn open() -> Self {
        // SAFETY: the register of the lights.
        unsafe { write_volatile(LIGHTS, 1) }
        Pin(())
    }

    /// A falling edge, then high again after at least a microsecond.
    pub fn pulse(&mut self) {
        // SAFETY: as above.
        unsafe { write_volatile(LIGHTS, 0) }
        let start = super::ticks::microseconds();
        while super::ticks::microseconds() < start + 2 {}
        // SAFETY: as above.
        unsafe { write_volatile(LIGHTS, 1) }
    }
}
