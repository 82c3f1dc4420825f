//! An artifact as one of the benchmarks.
//!
//! | benchmark | input as sent | results |
//! |---|---|---|
//! | kws01 | 49 x 10 int8 | a score for each of 12 words |
//! | ic01 | 32 x 32 x 3 u8, RGB | for each of 10 classes |
//! | vww01 | 96 x 96 x 3 u8, RGB | no person, person |
//! | ad01 | 640 f32, little-endian | mean squared error of the reconstruction |

use quiescent::{Engine, Frame, Mode};

use crate::protocol::Network;

/// One of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Benchmark {
    /// Keyword spotting.
    Kws01,
    /// Image classification.
    Ic01,
    /// Visual wake words.
    Vww01,
    /// Anomaly detection.
    Ad01,
}

impl Benchmark {
    /// All of them.
    pub const ALL: [Benchmark; 4] = [Benchmark::Kws01, Benchmark::Ic01, Benchmark::Vww01, Benchmark::Ad01];

    /// From its name.
    pub fn new(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Benchmark::Kws01 => "kws01",
            Benchmark::Ic01 => "ic01",
            Benchmark::Vww01 => "vww01",
            Benchmark::Ad01 => "ad01",
        }
    }

    /// Numbers in an input.
    pub const fn input_values(self) -> usize {
        match self {
            Benchmark::Kws01 => 49 * 10,
            Benchmark::Ic01 => 32 * 32 * 3,
            Benchmark::Vww01 => 96 * 96 * 3,
            Benchmark::Ad01 => 640,
        }
    }

    /// Bytes of an input.
    pub const fn input_bytes(self) -> usize {
        self.input_values() * if self.real() { 4 } else { 1 }
    }

    /// Inputs are f32.
    pub const fn real(self) -> bool {
        matches!(self, Benchmark::Ad01)
    }

    /// Results of an inference.
    pub const fn results(self) -> usize {
        match self {
            Benchmark::Kws01 => 12,
            Benchmark::Ic01 => 10,
            Benchmark::Vww01 => 2,
            Benchmark::Ad01 => 1,
        }
    }
}

/// Memory for an input as the engine takes it.
pub enum Room<'a> {
    /// As many codes as the benchmark has values.
    Codes(&'a mut [u8]),
    /// As many reals.
    Reals(&'a mut [f32]),
}

/// An engine with the input it computes on.
pub struct Artifact<'a> {
    engine: Engine<'a>,
    benchmark: Benchmark,
    room: Room<'a>,
}

impl<'a> Artifact<'a> {
    /// `None` where the artifact or the room is not the benchmark's. Every inference is a dense one: nothing is kept from
    /// the one before, as the rules want it.
    pub fn new(mut engine: Engine<'a>, benchmark: Benchmark, room: Room<'a>) -> Option<Self> {
        engine.set_mode(Mode::Dense);
        let input = &engine.model().tensors[engine.model().header.input as usize];
        let values = match &room {
            Room::Codes(codes) if !benchmark.real() => codes.len(),
            Room::Reals(reals) if benchmark.real() => reals.len(),
            _ => return None,
        };
        let outputs = if benchmark.real() { benchmark.input_values() } else { benchmark.results() };
        let fits = values == benchmark.input_values()
            && input.rows() * input.c as usize == values
            && engine.outputs().get(0).is_some_and(|o| o.len() == outputs);
        fits.then_some(Artifact { engine, benchmark, room })
    }
}

impl Network for Artifact<'_> {
    fn name(&self) -> &'static str {
        self.benchmark.name()
    }

    fn input_len(&self) -> usize {
        self.benchmark.input_bytes()
    }

    fn load(&mut self, input: &[u8]) {
        match &mut self.room {
            // Codes of signed numbers are 128 higher.
            Room::Codes(codes) => {
                let flip = if self.benchmark == Benchmark::Kws01 { 0x80 } else { 0 };
                codes.iter_mut().zip(input).for_each(|(code, byte)| *code = byte ^ flip);
            }
            Room::Reals(reals) => {
                reals.iter_mut().zip(input.as_chunks::<4>().0).for_each(|(v, bytes)| *v = f32::from_le_bytes(*bytes));
            }
        }
    }

    fn infer(&mut self) -> bool {
        let frame = match &self.room {
            Room::Codes(codes) => Frame::Pixels(codes),
            Room::Reals(reals) => Frame::Values(reals),
        };
        self.engine.step(frame).is_ok()
    }

    fn results(&self) -> usize {
        self.benchmark.results()
    }

    fn result(&self, i: usize) -> f32 {
        let outputs = self.engine.outputs();
        let Some(output) = outputs.get(0) else { return 0.0 };
        match &self.room {
            Room::Codes(_) => output.at(i),
            Room::Reals(reals) => {
                let square = |(i, x): (usize, &f32)| (x - output.at(i)) * (x - output.at(i));
                reals.iter().enumerate().map(square).sum::<f32>() / reals.len() as f32
            }
        }
    }
}
