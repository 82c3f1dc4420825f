//! Sensor-like noise for clips that a codec made too clean.
//!
//! Coded video repeats blocks bit for bit, which no sensor does. Gaussian noise of a given sigma (in 8-bit steps),
//! independent per sample and per frame, is added to decoded frames, rounded and clamped to 0..=255. Frame `n` of a file
//! gets the same noise whichever frames before it were skipped. Numbers: SplitMix64 (Steele, Lea, Flood, 2014) and the
//! Box-Muller transform.

use anyhow::{Result, bail};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation in 8-bit steps.
    pub sigma: f32,
    pub seed: u64,
}

impl Noise {
    pub(crate) fn check(&self) -> Result<()> {
        if !(0.0..=255.0).contains(&self.sigma) {
            bail!("noise sigma {} is outside 0..=255 (8-bit steps)", self.sigma);
        }
        Ok(())
    }

    /// Adds the noise of frame number `frame` to its samples.
    pub fn add(&self, samples: &mut [u8], frame: u64) {
        let mut random = SplitMix::new(SplitMix::new(self.seed).next() ^ frame.wrapping_mul(0xd1b5_4a32_d192_ed03));
        for pair in samples.chunks_mut(2) {
            let (a, b) = random.gaussian_pair();
            for (v, g) in pair.iter_mut().zip([a, b]) {
                // `as` saturates to 0..=255.
                *v = (*v as f32 + self.sigma * g).round_ties_even() as u8;
            }
        }
    }
}

struct SplitMix(u64);

impl SplitMix {
    fn new(seed: u64) -> SplitMix {
        SplitMix(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Two independent values of mean 0 and variance 1.
    fn gaussian_pair(&mut self) -> (f32, f32) {
        let bits = self.next();
        // In (0, 1]: the logarithm stays finite.
        let u = ((bits >> 40) + 1) as f32 / (1 << 24) as f32;
        let turn = (bits & 0xff_ffff) as f32 / (1 << 24) as f32;
        let radius = (-2.0 * u.ln()).sqrt();
        let (sin, cos) = (turn * std::f32::consts::TAU).sin_cos();
        (radius * cos, radius * sin)
    }
}
