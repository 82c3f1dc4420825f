//! Runs an artifact over its made-up clip, on any target: no heap, no operating system, integers alone in what it feeds.
//!
//! The tests of a desktop and the firmware of a board include this file; both compare what it gives with
//! `expected.txt`, a line for every artifact and mode: `name mode macs sum sum ..`, one sum a frame.

use core::fmt;

use quiescent::kernels::Kernels;
use quiescent::{Engine, Frame, LoadError, Mode, StepError};

use super::xorshift::Xorshift;

pub const FRAMES: usize = 24;

/// How the clip is run.
pub const MODES: [&str; 5] = ["dense", "exact", "gated", "budget", "mixed"];

/// Frames one after another: still ones, moving patches, specks, noise, a change of light, a cut.
pub struct Clip {
    extent: [usize; 3],
    random: Xorshift,
    next: usize,
}

impl Clip {
    pub fn new(extent: [usize; 3]) -> Self {
        Clip { extent, random: Xorshift(0x5143 + extent.iter().product::<usize>() as u64), next: 0 }
    }

    /// Turns the frame before into the next one, `[h, w, c]`.
    pub fn advance(&mut self, frame: &mut [u8]) {
        let ([h, w, c], random, t) = (self.extent, &mut self.random, self.next);
        self.next += 1;
        match t % 8 {
            // A cut.
            0 if t % 16 == 0 => {
                let slopes = [random.below(5), random.below(5)];
                for (i, v) in frame.iter_mut().enumerate() {
                    *v = (40 + i / c / w * slopes[0] + i / c % w * slopes[1] + random.below(30)) as u8;
                }
            }
            // The light fades.
            3 if t % 16 > 8 => frame.iter_mut().for_each(|v| *v = v.saturating_sub(9)),
            // Still.
            3 | 6 => {}
            // Specks.
            5 => (0..4).for_each(|_| {
                let at = random.below(frame.len());
                frame[at] = random.below(256) as u8;
            }),
            // Noise.
            7 => frame.iter_mut().for_each(|v| *v = v.saturating_add(random.below(3) as u8).saturating_sub(1)),
            // A patch somewhere.
            _ => {
                let (y0, x0, code) = (random.below(h), random.below(w), random.below(256) as u8);
                for y in y0..h.min(y0 + 4) {
                    for x in x0..w.min(x0 + 6) {
                        (0..c).for_each(|k| frame[(y * w + x) * c + k] = code.wrapping_add((7 * x + 3 * y + k) as u8));
                    }
                }
            }
        }
    }
}

/// What a clip gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Replay {
    /// Multiply-accumulates done.
    pub macs: u64,
    /// A checksum of all outputs of each frame.
    pub sums: [u32; FRAMES],
}

/// Why there is none.
#[derive(Debug)]
pub enum Refused {
    Load(LoadError),
    Step(StepError),
    /// The frame does not fit the memory given for it; bytes needed.
    Frame(usize),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Refused::Load(e) => e.fmt(f),
            Refused::Step(e) => e.fmt(f),
            Refused::Frame(needed) => write!(f, "the memory for a frame is smaller than {needed} bytes"),
        }
    }
}

/// FNV-1a, 32 bits.
pub struct Sum(pub u32);

impl Sum {
    pub fn new() -> Self {
        Sum(0x811c_9dc5)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ *byte as u32).wrapping_mul(0x0100_0193);
        }
    }
}

/// The checksum of all outputs, in f32 as a program reads them.
pub fn outputs(engine: &Engine) -> u32 {
    let mut sum = Sum::new();
    for output in engine.outputs().iter() {
        (0..output.len()).for_each(|i| sum.add(&output.at(i).to_le_bytes()));
    }
    sum.0
}

/// Mode and budget of frame `t`.
pub fn prepare(engine: &mut Engine, mode: &str, t: usize) {
    engine.set_mode(match mode {
        "dense" => Mode::Dense,
        "exact" => Mode::Gated { scale: 0.0 },
        "mixed" => [Mode::Gated { scale: 2.0 }, Mode::Dense, Mode::Gated { scale: 0.0 }, Mode::Gated { scale: 0.5 }][t / 2 % 4],
        _ => Mode::Gated { scale: 1.0 },
    });
    let fifth = engine.model().header.cost.macs.get() / 5;
    engine.set_budget((mode == "budget").then_some(fifth));
}

/// Extent `[h, w, c]` of the input.
pub fn extent(engine: &Engine) -> [usize; 3] {
    let input = &engine.model().tensors[engine.model().header.input as usize];
    [input.h, input.w, input.c].map(|n| n as usize)
}

/// Runs the whole clip. `frame` is memory for one frame.
pub fn replay(bytes: &[u8], arena: &mut [u8], frame: &mut [u8], set: &Kernels, mode: &str) -> Result<Replay, Refused> {
    play(&mut Engine::load(bytes, arena, set).map_err(Refused::Load)?, frame, mode)
}

/// Runs the whole clip on a fresh engine.
pub fn play(engine: &mut Engine, frame: &mut [u8], mode: &str) -> Result<Replay, Refused> {
    let extent = extent(engine);
    let needed = extent.iter().product();
    let frame = frame.get_mut(..needed).ok_or(Refused::Frame(needed))?;
    let mut clip = Clip::new(extent);
    let mut all = Replay { macs: 0, sums: [0; FRAMES] };
    for (t, sum) in all.sums.iter_mut().enumerate() {
        clip.advance(frame);
        prepare(engine, mode, t);
        engine.step(Frame::Pixels(frame)).map_err(Refused::Step)?;
        *sum = outputs(engine);
        all.macs += engine.stats().macs;
    }
    Ok(all)
}

impl fmt::Display for Replay {
    /// As it stands in `expected.txt`, behind the mode.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.macs)?;
        self.sums.iter().try_for_each(|sum| write!(f, " {sum:08x}"))
    }
}

/// The rest of the line of `expected.txt` for an artifact and a mode.
pub fn expected<'a>(file: &'a str, name: &str, mode: &str) -> Option<&'a str> {
    file.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.strip_prefix(mode)?.strip_prefix(' '))
}

impl Replay {
    /// From such a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let macs = words.next()?.parse().ok()?;
        let mut sums = [0; FRAMES];
        for sum in &mut sums {
            *sum = u32::from_str_radix(words.next()?, 16).ok()?;
        }
        words.next().is_none().then_some(Replay { macs, sums })
    }

    /// The first frame whose outputs differ; `FRAMES` where only the work does.
    pub fn differs(&self, other: &Replay) -> Option<usize> {
        let frame = self.sums.iter().zip(&other.sums).position(|(a, b)| a != b);
        frame.or((self.macs != other.macs).then_some(FRAMES))
    }
}
