//! A dense and a gated engine of one artifact, and how frames go through them.

use std::time::{Duration, Instant};

use anyhow::Result;
use quiescent::format::AlignedBytes;
use quiescent::{Engine, Mode};
use quiescent_tools::artifact::{self, Artifact};
use quiescent_tools::feed::Input;
use quiescent_tools::tune::Tuned;

use super::super::args::{GateArgs, Means};
use super::super::measure::{Meter, timed};

/// Frames an engine takes before it is the other's turn: many enough that it mostly finds its own tensors in the cache, as it would alone, few enough
/// that clock and heat are the same for both.
pub const STRETCH: usize = 16;

pub struct Pair<'a> {
    dense: Engine<'a>,
    gated: Engine<'a>,
}

impl<'a> Pair<'a> {
    pub fn load(
        artifact: &'a Artifact, arenas: &'a mut [AlignedBytes; 2], means: &'a Means, gating: &GateArgs, tuned: Option<&'a Tuned>,
    ) -> Result<Self> {
        let [dense_arena, gated_arena] = arenas;
        let mut dense = means.engine(artifact, dense_arena)?;
        let mut gated = means.engine(artifact, gated_arena)?;
        dense.set_mode(Mode::Dense);
        gating.apply(&mut gated, tuned)?;
        Ok(Self { dense, gated })
    }

    /// Runs the frames, then forgets them.
    pub fn warm<'f>(&mut self, frames: impl Iterator<Item = &'f Input>) -> Result<()> {
        for frame in frames {
            artifact::step(&mut self.dense, frame)?;
            artifact::step(&mut self.gated, frame)?;
        }
        self.dense.reset();
        self.gated.reset();
        Ok(())
    }

    /// Both engines on a stretch of frames, the gated one first where `turn` is odd; milliseconds of dense and gated.
    pub fn stretch(&mut self, turn: usize, frames: &[&Input], meter: &mut Meter) -> Result<[Vec<f64>; 2]> {
        let mut times = [(); 2].map(|()| Vec::with_capacity(frames.len()));
        for half in 0..2 {
            let gated = (half == 0) != turn.is_multiple_of(2);
            for frame in frames {
                let engine = if gated { &mut self.gated } else { &mut self.dense };
                let (done, ms) = timed(|| artifact::step(engine, frame).map(drop));
                done?;
                times[gated as usize].push(ms);
                if gated {
                    meter.add(&self.gated, ms);
                } else {
                    meter.dense(ms);
                }
            }
        }
        Ok(times)
    }

    /// The first frame, of which a block that follows has nothing to say: the engine held some other one.
    pub fn settle(&mut self, gated: bool, frames: &[Input]) -> Result<()> {
        let engine = if gated { &mut self.gated } else { &mut self.dense };
        frames.first().map_or(Ok(()), |f| artifact::step(engine, f).map(drop))
    }

    /// One engine alone over the frames after the first, back and forth, for a while: how many it did.
    pub fn block(&mut self, gated: bool, frames: &[Input], time: Duration) -> Result<usize> {
        let engine = if gated { &mut self.gated } else { &mut self.dense };
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed() < time {
            done += 1;
            artifact::step(engine, &frames[bounce(done, frames.len())])?;
        }
        Ok(done)
    }
}

/// Which of `n` frames is `i`-th when a clip is played forwards and backwards, again and again: no frame follows another that
/// is not its neighbour in the clip.
pub fn bounce(i: usize, n: usize) -> usize {
    let period = (2 * n).saturating_sub(2).max(1);
    let at = i % period;
    if at < n { at } else { period - at }
}

#[cfg(test)]
mod tests {
    use super::bounce;

    #[test]
    fn clips_are_played_back_and_forth() {
        let order = |n| (0..7).map(|i| bounce(i, n)).collect::<Vec<_>>();
        assert_eq!(order(4), [0, 1, 2, 3, 2, 1, 0]);
        assert_eq!(order(2), [0, 1, 0, 1, 0, 1, 0]);
        assert_eq!(order(1), [0; 7]);
    }
}
