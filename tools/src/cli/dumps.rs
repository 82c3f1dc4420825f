//! Outputs as files: one float32 `.npy` a frame and output, `frame00000_<output>.npy`, in the ONNX shape.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use quiescent_tools::artifact::OutputData;
use quiescent_tools::clip::npy;

/// The outputs of a frame.
pub fn write(dir: &Path, frame: usize, outputs: &[OutputData]) -> Result<()> {
    for (name, o) in names(outputs.iter().map(|o| o.name.as_str())).iter().zip(outputs) {
        npy::write(&dir.join(file(frame, name)), &o.shape, &o.data)?;
    }
    Ok(())
}

/// The outputs of a frame, of the names and shapes expected.
pub fn read(dir: &Path, frame: usize, expected: &[(String, Vec<usize>)]) -> Result<Vec<OutputData>> {
    let names = names(expected.iter().map(|(name, _)| name.as_str()));
    let each = names.iter().zip(expected).map(|(part, (name, shape))| {
        let path = dir.join(file(frame, part));
        let (found, data) = npy::read(&path).with_context(|| format!("no reference for frame {frame}"))?;
        ensure!(found == *shape, "{}: its shape is {found:?}, the artifact's output {name} is {shape:?}", path.display());
        Ok(OutputData { name: name.clone(), shape: found, data })
    });
    each.collect()
}

fn file(frame: usize, name: &str) -> String {
    format!("frame{frame:05}_{name}.npy")
}

/// A different file name for each output.
fn names<'a>(outputs: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let each = outputs.enumerate().map(|(k, output)| {
        let mut name = file_part(output);
        if name.is_empty() || !taken.insert(name.clone()) {
            name = format!("{name}_{k}");
        }
        name
    });
    each.collect()
}

/// A name every file system takes.
fn file_part(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    name.chars().map(keep).take(100).collect()
}
