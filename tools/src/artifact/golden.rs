//! The self-test of an artifact on a device: made-up frames in, a checksum per frame out.
//!
//! Frame `n` (0..4) of `h * w * c` codes is the top byte of successive states of
//!
//! ```text
//! x = x * 1664525 + 1013904223  (mod 2^32),  x = 0x51430000 + n before the first
//! ```
//!
//! (multiplier and increment: Knuth; Numerical Recipes). An input of reals takes `scale * (code - zero)` of its own
//! codes, or `code / 128 - 1` where it has none. Every frame is executed densely; the checksum is the CRC-32 (IEEE) of
//! all outputs in order, each as little-endian f32 in ONNX element order. Arithmetic is the same everywhere, so every
//! kernel set must give the same sums.

use anyhow::Result;
use quiescent::Mode;
use quiescent::format::{Dtype, Model};
use quiescent::kernels::Kernels;

use super::{Artifact, InputKind, read_outputs, step};
use crate::feed::Input;

/// Frames of the self-test.
pub const FRAMES: u32 = 4;

impl Artifact {
    /// Checksums of the self-test by one kernel set.
    pub fn golden(&self, kernels: &Kernels) -> Result<Vec<u32>> {
        let mut arena = self.arena();
        let mut engine = self.engine(&mut arena, kernels)?;
        engine.set_mode(Mode::Dense);
        let mut sums = Vec::new();
        for n in 0..FRAMES {
            step(&mut engine, &self.made_up(&made_up_codes(&self.model(), n)))?;
            let mut crc = !0;
            for output in read_outputs(&engine.outputs()) {
                for v in output.data {
                    crc = v.to_le_bytes().iter().fold(crc, |crc, b| update(crc, *b));
                }
            }
            sums.push(!crc);
        }
        Ok(sums)
    }

    /// Codes as a frame of the model's input.
    pub fn made_up(&self, codes: &[u8]) -> Input {
        let model = self.model();
        let tensor = &model.tensors[model.header.input as usize];
        let quant = (tensor.dtype() == Dtype::U8).then(|| {
            let n = tensor.quant_len as usize;
            (model.array::<f32>(tensor.scale, n).unwrap_or(&[]), model.array::<u8>(tensor.zero, n).unwrap_or(&[]))
        });
        match self.meta.input.kind {
            InputKind::Pixels => Input::Pixels(codes.to_vec()),
            InputKind::Values => Input::Values(values(codes, tensor.c as usize, quant)),
        }
    }
}

/// Codes of frame `n`.
pub fn made_up_codes(model: &Model, n: u32) -> Vec<u8> {
    let tensor = &model.tensors[model.header.input as usize];
    let mut x = 0x5143_0000u32.wrapping_add(n);
    let next = || {
        x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        (x >> 24) as u8
    };
    std::iter::repeat_with(next).take(tensor.rows() * tensor.c as usize).collect()
}

fn values(codes: &[u8], c: usize, quant: Option<(&[f32], &[u8])>) -> Vec<f32> {
    let at = |i: usize, code: u8| match quant {
        Some((scale, zero)) => {
            let k = if scale.len() == c { i % c } else { 0 };
            let (scale, zero) = (scale.get(k).copied().unwrap_or(1.0), zero.get(k).copied().unwrap_or(0));
            scale * (code as f32 - zero as f32)
        }
        None => code as f32 / 128.0 - 1.0,
    };
    codes.iter().enumerate().map(|(i, code)| at(i, *code)).collect()
}

/// One byte into the CRC-32 (IEEE 802.3, reflected), bit by bit.
fn update(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ byte as u32, |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn crc_known_answer() {
        assert_eq!(!b"123456789".iter().fold(!0, |crc, b| super::update(crc, *b)), 0xCBF4_3926);
    }
}
