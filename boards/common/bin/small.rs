//! The baked model named by `QUIESCENT_BAKED` and no more than it takes: nothing is printed. The exit status says whether its test frames
//! give the outputs of the desktop. What of the program is code is what engine, kernels and loader take.
#![no_std]
#![no_main]

use board as _;
use quiescent::kernels::{self, Kernels};
use quiescent::{Engine, Frame, Mode};
use quiescent_boards::{Memory, host};

/// Made by `quiescent bake MODEL.qsc -o DIR --input CLIP`; `QUIESCENT_BAKED` is DIR/NAME.
#[allow(dead_code)]
mod baked {
    include!(env!("BAKED", "QUIESCENT_BAKED names no baked model: set it to DIR/NAME"));
}

const _: () = assert!(baked::INPUT_CODES, "this program takes models of codes");

/// What else the best set has is not linked.
static KERNELS: Kernels = kernels::BEST.only(baked::OPS, baked::GATES);
static ARENA: Memory<[u8; baked::ARENA_BYTES]> = Memory::new([0; baked::ARENA_BYTES]);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    host::exit(run() == Some(true))
}

fn run() -> Option<bool> {
    // SAFETY: this function alone uses it, once.
    let arena = unsafe { ARENA.take() };
    let mut engine = Engine::new(baked::MODEL.proven().ok()?, arena, &KERNELS).ok()?;
    engine.set_mode(Mode::Dense);
    let mut expected = baked::DENSE.as_chunks::<4>().0.iter();
    let mut same = true;
    for frame in baked::FRAMES.chunks(baked::FRAMES.len() / baked::TEST_FRAMES) {
        for output in engine.step(Frame::Pixels(frame)).ok()?.iter() {
            for i in 0..output.len() {
                same &= expected.next() == Some(&output.at(i).to_le_bytes());
            }
        }
    }
    Some(same && expected.next().is_none())
}
