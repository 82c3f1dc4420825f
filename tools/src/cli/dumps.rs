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

/// A different file name for each output: its own where files can have it.
fn names<'a>(outputs: impl Iterator<Item = &'a str>) -> Vec<String> {
    let outputs: Vec<(&str, String)> = outputs.map(|output| (output, file_part(output))).collect();
    let own = |(output, part): &(&str, String)| output == part && !part.is_empty();
    let mut taken: BTreeSet<String> = outputs.iter().filter(|o| own(o)).map(|o| o.1.clone()).collect();
    let each = outputs.iter().enumerate().map(|(k, o)| {
        let mut name = o.1.clone();
        if !own(o) || outputs[..k].iter().any(|before| before.0 == o.0) {
            while name.is_empty() || !taken.insert(name.clone()) {
                name = format!("{name}_{k}");
            }
        }
        name
    });
    each.collect()
}

/// Most bytes of an output's name in that of a file; file systems take 255 in all.
const NAME_BYTES: usize = 200;

/// A name every file system takes.
fn file_part(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let length = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= NAME_BYTES).last().unwrap_or(0);
    name[..length].chars().map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn no_two_outputs_share_a_file() {
        let check = |outputs: &[&str], expected: &[&str]| assert_eq!(names(outputs.iter().copied()), expected);
        check(&["scores", "boxes"], &["scores", "boxes"]);
        check(&["a/b", "a_b", "a:b", "a b_2"], &["a_b_0", "a_b", "a_b_2", "a_b_2_3"]);
        check(&["y", "y", ""], &["y", "y_1", "_2"]);
        check(&["größe/日本"], &["größe_日本"]);
        let long = ["n".repeat(300), "n".repeat(299)];
        assert!(names(long.iter().map(String::as_str)).iter().all(|n| n.len() < 255));
    }
}
