//! Runs the baked model named by `QUIESCENT_BAKED` over its frames, dense and gated, on every kernel set, and compares all
//! outputs with those the desktop computed, byte for byte.
#![no_std]
#![no_main]

use board::{BOARD, ticks};
use quiescent::kernels::{self, Kernels};
use quiescent::{Engine, Frame, Mode, Outputs};
use quiescent_boards::{Memory, host, say, stack};

/// Made by `quiescent bake MODEL.qsc -o DIR --input CLIP`; `QUIESCENT_BAKED` is DIR/NAME.
#[allow(dead_code)]
mod baked {
    include!(env!("BAKED", "QUIESCENT_BAKED names no baked model: set it to DIR/NAME"));
}

const INPUT: usize = baked::INPUT[0] * baked::INPUT[1] * baked::INPUT[2];
const VALUES_LEN: usize = if baked::INPUT_CODES { 0 } else { INPUT };

static ARENA: Memory<[u8; baked::ARENA_BYTES]> = Memory::new([0; baked::ARENA_BYTES]);
static VALUES: Memory<[f32; VALUES_LEN]> = Memory::new([0.0; VALUES_LEN]);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    ticks::start();
    say!(
        "{BOARD}: artifact {} bytes, arena {} bytes, {} multiply-accumulates a frame",
        baked::ARTIFACT.len(),
        baked::ARENA_BYTES,
        baked::MACS_PER_FRAME
    );
    let mut good = true;
    for set in kernels::available() {
        good &= run(set, Mode::Dense, baked::DENSE);
        good &= run(set, Mode::Gated { scale: 1.0 }, baked::GATED);
    }
    say!("{}", if good { "all outputs as expected" } else { "FAILED" });
    host::exit(good)
}

fn run(set: &'static Kernels, mode: Mode, expected: &[u8]) -> bool {
    let name = match mode {
        Mode::Dense => "dense",
        Mode::Gated { .. } => "gated",
    };
    // SAFETY: this function alone uses them, and runs once at a time.
    let (arena, values) = unsafe { (ARENA.take(), VALUES.take()) };
    let (checking, engine) = ticks::count(|| Engine::new(baked::MODEL.proven()?, arena, set));
    let mut engine = match engine {
        Ok(engine) => engine,
        Err(e) => {
            say!("{e}");
            return false;
        }
    };
    engine.set_mode(mode);
    say!("kernels {}, {name}: loaded in {checking} {}", set.name, ticks::unit());
    let mut deep = [0; baked::TEST_FRAMES];
    for (i, deep) in deep.iter_mut().enumerate() {
        let frame = frame(i, values);
        *deep = stack::depth(|| engine.step(frame).map(drop)).0;
    }
    // As loaded: what the frames above have left does not show.
    engine.reset();
    let (mut at, mut good) = (0, true);
    for (i, deep) in deep.into_iter().enumerate() {
        let frame = frame(i, values);
        let (count, same) = ticks::count(|| engine.step(frame).map(drop));
        if let Err(e) = same {
            say!("frame {i}: {e}");
            return false;
        }
        let same = compare(&engine.outputs(), expected, &mut at);
        let macs = engine.stats().macs;
        // Three decimals without floating-point formatting, which would be most of the program.
        let ratio = count * 1000 / macs.max(1);
        say!(
            "  frame {i}: {count} {}, {macs} multiply-accumulates, {}.{:03} each, stack {deep} bytes, {}",
            ticks::unit(),
            ratio / 1000,
            ratio % 1000,
            if same { "same outputs" } else { "OTHER OUTPUTS" }
        );
        good &= same;
    }
    good && at == expected.len()
}

/// Test frame `i`; numbers go by way of `values`.
fn frame(i: usize, values: &mut [f32; VALUES_LEN]) -> Frame<'_> {
    let len = baked::FRAMES.len() / baked::TEST_FRAMES;
    let bytes = &baked::FRAMES[i * len..][..len];
    if baked::INPUT_CODES {
        return Frame::Pixels(bytes);
    }
    for (v, b) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *v = f32::from_le_bytes(*b);
    }
    Frame::Values(values)
}

/// All outputs as little-endian f32, against `expected` from `at`, which moves on.
fn compare(outputs: &Outputs, expected: &[u8], at: &mut usize) -> bool {
    let mut same = true;
    for output in outputs.iter() {
        for i in 0..output.len() {
            same &= expected.get(*at..*at + 4) == Some(&output.at(i).to_le_bytes());
            *at += 4;
        }
    }
    same
}
