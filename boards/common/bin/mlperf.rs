//! The baked model named by `QUIESCENT_BAKED` (kws01, ic01, vww01 or ad01) behind MLPerf Tiny's serial protocol.
//!
//! Without the feature `energy` at 115200 baud, with times on the line; with it at 9600, with edges on a pin.
#![no_std]
#![no_main]

use board::serial::{Pin, Serial};
use board::ticks;
use quiescent::Engine;
use quiescent::kernels::{self, Kernels};
use quiescent_boards::{Memory, host, say};
use quiescent_mlperf_tiny::network::{Artifact, Benchmark, Room};
use quiescent_mlperf_tiny::protocol::{Board, Dut};

/// Made by `quiescent bake`.
#[allow(dead_code)]
mod baked {
    include!(env!("BAKED", "QUIESCENT_BAKED names no baked model: set it to DIR/NAME"));
}

const VALUES: usize = baked::INPUT[0] * baked::INPUT[1] * baked::INPUT[2];
const CODES: usize = if baked::INPUT_CODES { VALUES } else { 0 };
const REALS: usize = VALUES - CODES;
const ENERGY: bool = cfg!(feature = "energy");

/// What else the best set has is not linked.
static KERNELS: Kernels = kernels::BEST.only(baked::OPS, baked::GATES);
static ARENA: Memory<[u8; baked::ARENA_BYTES]> = Memory::new([0; baked::ARENA_BYTES]);
static ROOM: Memory<([u8; CODES], [f32; REALS])> = Memory::new(([0; CODES], [0.0; REALS]));
static BUFFER: Memory<[u8; CODES + 4 * REALS]> = Memory::new([0; CODES + 4 * REALS]);

struct Line {
    serial: Serial,
    pin: Pin,
}

impl Board for Line {
    fn send(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.serial.put(*b));
    }

    fn mark(&mut self) -> Option<u64> {
        if ENERGY {
            self.pin.pulse();
            return None;
        }
        Some(ticks::microseconds())
    }

    fn measures_energy(&self) -> bool {
        ENERGY
    }
}

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    ticks::start();
    // SAFETY: this function alone uses them, and never returns.
    let (arena, (codes, reals), buffer) = unsafe { (ARENA.take(), ROOM.take(), BUFFER.take()) };
    let engine = match baked::MODEL.proven().map_err(Into::into).and_then(|model| Engine::new(model, arena, &KERNELS)) {
        Ok(engine) => engine,
        Err(e) => {
            say!("{e}");
            host::exit(false)
        }
    };
    let room = if baked::INPUT_CODES { Room::Codes(codes) } else { Room::Reals(reals) };
    let network = Benchmark::new(env!("BAKED_NAME")).and_then(|benchmark| Artifact::new(engine, benchmark, room));
    let Some(network) = network else {
        say!("{} is no network of MLPerf Tiny", env!("BAKED_NAME"));
        host::exit(false)
    };
    let line = Line { serial: Serial::open(if ENERGY { 9600 } else { 115_200 }), pin: Pin::open() };
    let mut dut = Dut::new(line, network, buffer);
    dut.greet();
    loop {
        if let Some(byte) = Serial::get() {
            dut.receive(byte);
        }
    }
}
