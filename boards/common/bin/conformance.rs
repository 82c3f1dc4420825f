//! Runs the artifacts of `runtime/tests/conformance` in every mode on every kernel set, compares the checksums of all
//! frames with those expected everywhere, and tries damaged artifacts.
#![no_std]
#![no_main]

#[path = "../../../runtime/tests/conformance/damage.rs"]
mod damage;
#[path = "../../../runtime/tests/conformance/replay.rs"]
mod replay;
#[path = "../../../runtime/tests/sample/work.rs"]
mod work;
#[path = "../../../runtime/tests/sample/xorshift.rs"]
mod xorshift;

use core::fmt::{self, Write};

use board::{BOARD, ticks};
use damage::damage;
use quiescent::kernels::{self, Kernels};
use quiescent_boards::{Aligned, Memory, host, say};
use replay::{FRAMES, MODES, Replay, expected, replay};

include!(concat!(env!("OUT_DIR"), "/vectors.rs"));

const FRAME: usize = 8 << 10;

static TENSORS: Memory<[u8; ARENA]> = Memory::new([0; ARENA]);
static FILE: Memory<[u8; LONGEST + 4]> = Memory::new([0; LONGEST + 4]);
static PIXELS: Memory<[u8; FRAME]> = Memory::new([0; FRAME]);

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    ticks::start();
    let (count, good) = ticks::count(|| {
        // No short-circuit: every set is run, and named.
        kernels::available().map(run).fold(true, |all, good| all & good)
    });
    let same = kernels::available().map(|k| k.name).eq(kernels::COMPILED.iter().copied());
    say!("{BOARD}: {} million {}; {}", count / 1_000_000, ticks::unit(), if good && same { "conformance passed" } else { "FAILED" });
    host::exit(good && same)
}

fn run(set: &'static Kernels) -> bool {
    // SAFETY: this function alone uses them, and runs once at a time.
    let (arena, file, frame) = unsafe { (TENSORS.take(), FILE.take(), PIXELS.take()) };
    let mut wrong = 0;
    for (name, bytes) in VECTORS {
        for mode in MODES {
            let line = expected(EXPECTED, name, mode).and_then(Replay::parse);
            match (line, replay(bytes, arena, frame, set, mode)) {
                (Some(line), Ok(found)) => match found.differs(&line) {
                    None => continue,
                    Some(FRAMES) => say!("{}: {name} {mode}: {} multiply-accumulates, expected {}", set.name, found.macs, line.macs),
                    Some(t) => say!("{}: {name} {mode}: OTHER OUTPUTS from frame {t} on", set.name),
                },
                (None, _) => say!("{name} {mode}: no expected sums"),
                (_, Err(e)) => say!("{}: {name} {mode}: {e}", set.name),
            }
            wrong += 1;
        }
    }
    for (name, bytes) in VECTORS {
        let Some(line) = expected(EXPECTED, name, "damaged") else { continue };
        let found = damage(bytes, damage::Memory { file, arena, frame }, set);
        if !is(line, &found) {
            say!("{}: damaged {name}: {found}, expected {line}", set.name);
            wrong += 1;
        }
    }
    say!("{BOARD}: kernels {}: {} artifacts in {} modes and damaged ones, {wrong} wrong", set.name, VECTORS.len(), MODES.len());
    wrong == 0
}

/// Whether `value` reads as `line`, without memory for its text.
fn is(line: &str, value: &impl fmt::Display) -> bool {
    struct Rest<'a>(&'a str);
    impl Write for Rest<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(s).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(line);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}
