//! Damaged and hostile copies of an artifact, the same ones on every target. Each gives an error, the same one everywhere,
//! or is harmless and runs; none may panic or fault.
//!
//! - cut short, with the length stated and the checksum right or not; bits flipped; not an artifact at all;
//! - each 32-bit word of the header and the records set to extremes, the checksum put right;
//! - a few random bytes changed anywhere, the checksum put right (what the fuzzer does: padding of weights included);
//! - a good artifact off its alignment, with an arena too small or off its alignment, with frames of other lengths.

use core::fmt::{self, Write};

use quiescent::format::{Header, arena_len, check, seal};
use quiescent::kernels::Kernels;
use quiescent::{Engine, Frame, Mode};

use super::replay::{Sum, extent, outputs};
use super::work::work;
use super::xorshift::Xorshift;

/// Elementary operations of a dense frame that a board is willing to emulate.
const PATIENCE: u64 = 1 << 18;
/// Values that are wrong nearly everywhere.
const EXTREMES: [u32; 6] = [0, 1, 0x0001_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe];
const RANDOM: usize = 800;

/// What became of the copies.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdicts {
    pub refused: u32,
    /// Accepted and run, a dense frame and gated ones.
    pub ran: u32,
    /// Accepted, but larger than a test is willing to run.
    pub put_off: u32,
    /// Checksum of all errors' texts.
    pub sum: u32,
}

impl fmt::Display for Verdicts {
    /// As it stands in `expected.txt`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} refused, {} ran, {} put off, {:08x}", self.refused, self.ran, self.put_off, self.sum)
    }
}

/// Memory for the copies: the artifact's length and 4 bytes more, its arena, a frame and a byte more. What is longer is not used.
pub struct Memory<'a> {
    pub file: &'a mut [u8],
    pub arena: &'a mut [u8],
    pub frame: &'a mut [u8],
}

impl Write for Sum {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.add(s.as_bytes());
        Ok(())
    }
}

struct Trial<'a> {
    original: &'a [u8],
    memory: Memory<'a>,
    set: &'a Kernels,
    sum: Sum,
    refused: u32,
    ran: u32,
    put_off: u32,
}

/// Tries all copies of `original`.
pub fn damage(original: &[u8], mut memory: Memory, set: &Kernels) -> Verdicts {
    // A copy may ask for more memory than the original: everywhere more than there is.
    let needed = arena_len(original).unwrap_or(0);
    memory.arena = memory.arena.split_at_mut(needed).0;
    let mut trial = Trial { original, memory, set, sum: Sum::new(), refused: 0, ran: 0, put_off: 0 };
    trial.cut();
    trial.flips();
    trial.words();
    trial.chance();
    trial.callers();
    Verdicts { refused: trial.refused, ran: trial.ran, put_off: trial.put_off, sum: trial.sum.0 }
}

impl Trial<'_> {
    /// A fresh copy, changed.
    fn with(&mut self, len: usize, change: impl FnOnce(&mut [u8])) {
        let file = &mut self.memory.file[..len];
        file.copy_from_slice(&self.original[..len]);
        change(file);
        self.judge(0, len);
    }

    fn refuse(&mut self, error: impl fmt::Display) {
        let _ = write!(self.sum, "{error}");
        self.refused += 1;
    }

    /// Loads what lies in the memory for files, and runs what the check accepts.
    fn judge(&mut self, start: usize, len: usize) {
        let Memory { file, arena, frame } = &mut self.memory;
        let bytes = &file[start..start + len];
        let model = match check(bytes) {
            Ok(model) => model,
            Err(e) => return self.refuse(e),
        };
        if work(&model) > PATIENCE {
            self.put_off += 1;
            return;
        }
        let mut engine = match Engine::load(bytes, arena, self.set) {
            Ok(engine) => engine,
            Err(e) => return self.refuse(e),
        };
        let Some(frame) = frame.get_mut(..extent(&engine).iter().product()) else {
            self.put_off += 1;
            return;
        };
        frame.iter_mut().enumerate().for_each(|(i, v)| *v = (i * 37 % 251) as u8);
        for (t, scale) in [1.0, 0.0, 3.0].into_iter().enumerate() {
            let at = t * 91 % frame.len();
            frame[at] ^= 0x55;
            engine.set_mode(Mode::Gated { scale });
            engine.set_budget((t == 2).then_some(100));
            if let Err(e) = engine.step(Frame::Pixels(frame)) {
                return self.refuse(e);
            }
        }
        // What the outputs are is not promised, that they can be read is.
        outputs(&engine);
        self.ran += 1;
    }

    fn cut(&mut self) {
        let len = self.original.len();
        for short in (0..len).step_by(len / 40 + 1).chain([4, 12, 16, size_of::<Header>(), len - 1]) {
            self.with(short, |_| {});
            self.with(short, |file| {
                if let Some(field) = file.get_mut(12..16) {
                    field.copy_from_slice(&(short as u32).to_le_bytes());
                }
                seal(file);
            });
        }
    }

    fn flips(&mut self) {
        let len = self.original.len();
        for at in (0..len).step_by(len / 60 + 1) {
            self.with(len, |file| file[at] ^= 1 << (at % 8));
        }
        let mut random = Xorshift(0xbad);
        self.with(len, |file| file.iter_mut().for_each(|b| *b = random.below(256) as u8));
        self.with(len, |file| file[4..].iter_mut().for_each(|b| *b = random.below(256) as u8));
        self.with(len, |file| file.fill(0xff));
    }

    fn words(&mut self) {
        let len = self.original.len();
        // Records end where the data section begins.
        let records = check(self.original).map_or(0, |m| m.header.data.offset as usize);
        for at in (0..records).step_by(4) {
            for value in EXTREMES {
                self.with(len, |file| {
                    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
                    seal(file);
                });
            }
        }
    }

    fn chance(&mut self) {
        let len = self.original.len();
        let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
        for _ in 0..RANDOM {
            self.with(len, |file| {
                for _ in 0..1 + random.below(3) {
                    let at = random.below(file.len());
                    file[at] = match random.below(3) {
                        0 => file[at] ^ 1 << random.below(8),
                        1 => file[at].wrapping_add(1),
                        _ => random.below(256) as u8,
                    };
                }
                seal(file);
            });
        }
    }

    /// What a program may do wrong with a good artifact.
    fn callers(&mut self) {
        let len = self.original.len();
        for start in [1, 2, 3] {
            self.memory.file[start..start + len].copy_from_slice(self.original);
            self.judge(start, len);
        }
        let needed = arena_len(self.original).unwrap_or(0);
        for (from, to) in [(0, 0), (0, needed - 1), (4, needed), (1, needed)] {
            let arena = self.memory.arena.get_mut(from..to).unwrap_or_default();
            if let Err(e) = Engine::load(self.original, arena, self.set) {
                self.refuse(e);
            }
        }
        let Memory { arena, frame, .. } = &mut self.memory;
        let Ok(mut engine) = Engine::load(self.original, arena, self.set) else { return };
        let pixels: usize = extent(&engine).iter().product();
        let errors = [0, pixels - 1, pixels + 1].map(|n| engine.step(Frame::Pixels(&frame[..n])).err());
        let reals = engine.step(Frame::Values(&[0.5; 3])).err();
        errors.into_iter().chain([reals]).flatten().for_each(|e| self.refuse(e));
    }
}
