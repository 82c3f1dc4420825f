//! Answers timing requests for an ONNX file run by tract, as `steps` does for Quiescent.
//!
//! ```text
//! tract MODEL.onnx FRAMES.npy FIRST
//! > step          one inference of the next frame
//! < 3921554       its nanoseconds, from f32 values to f32 values
//! > quit
//! ```
//!
//! tract optimises the file as it is, for one thread. Before it writes `ready`, its outputs for the first frame lie in the
//! folder `FIRST`, `0.npy` and so on, so that a script can compare them with another engine's.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use quiescent_benches::serve;
use quiescent_tools::clip;
use quiescent_tools::oracle::Oracle;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, file, first] = &args[..] else { bail!("usage: tract MODEL.onnx FRAMES.npy FIRST") };
    let (shape, values) = clip::npy::read(file.as_ref())?;
    let count = shape.first().copied().unwrap_or(0);
    ensure!(count > 0 && !values.is_empty(), "{file}: no frames");
    let frames: Vec<Vec<f32>> = values.chunks_exact(values.len() / count).map(<[f32]>::to_vec).collect();
    let oracle = Oracle::load(model.as_ref(), None, &[])?;
    for (k, y) in oracle.run(&frames[..1])?.iter().enumerate() {
        clip::npy::write(&std::path::Path::new(first).join(format!("{k}.npy")), &[y.len()], y)?;
    }
    let mut next = frames.chunks(1).cycle();
    serve::answer("tract", || {
        let frame = next.next().context("no frames")?;
        let start = Instant::now();
        oracle.run(frame)?;
        Ok(start.elapsed())
    })
}
