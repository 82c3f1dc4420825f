//! What `eval` compares with: the float model, or what it gave on another machine.
//!
//! The float model is the imported graph before quantisation, run in f32. Whether that import is right is another
//! question: on the first frame the reference itself is compared with the ONNX file run by tract, where tract can run it.
//! A folder of dumped references holds the same outputs of the same frames, one file each ([`dumps`]).

#[cfg(feature = "import")]
mod float;

use std::path::{Path, PathBuf};

use anyhow::Result;
use quiescent_tools::artifact::{Artifact, OutputData};
use quiescent_tools::feed::Input;

use super::dumps;

/// Where expected outputs come from.
pub enum Source {
    /// The model, imported.
    #[cfg(feature = "import")]
    Model(Box<float::Model>),
    /// A folder, and name and shape of each output.
    Dumped { dir: PathBuf, outputs: Vec<(String, Vec<usize>)> },
}

impl Source {
    /// The ONNX file or the folder at `path`.
    pub fn open(path: &Path, artifact: &Artifact) -> Result<Self> {
        if path.is_dir() {
            return Ok(Source::Dumped { dir: path.into(), outputs: outputs_of(artifact) });
        }
        #[cfg(feature = "import")]
        return Ok(Source::Model(Box::new(float::Model::new(artifact, path)?)));
        #[cfg(not(feature = "import"))]
        anyhow::bail!(
            "--against {}: this command was built without the importer; give a folder that eval --dump-reference wrote elsewhere",
            path.display()
        );
    }

    /// Ready to give outputs, which go to the folder `dump` as well.
    pub fn start<'s>(&'s self, dump: Option<&'s Path>) -> Result<Reference<'s>> {
        let from = match self {
            #[cfg(feature = "import")]
            Source::Model(model) => From::Model(Box::new(float::Float::new(model)?)),
            Source::Dumped { dir, outputs } => From::Dumped(dir, outputs),
        };
        Ok(Reference { from, dump })
    }
}

/// Gives the expected outputs frame by frame.
pub struct Reference<'s> {
    from: From<'s>,
    dump: Option<&'s Path>,
}

enum From<'s> {
    #[cfg(feature = "import")]
    Model(Box<float::Float<'s>>),
    Dumped(&'s Path, &'s [(String, Vec<usize>)]),
}

impl Reference<'_> {
    /// The expected outputs of a frame.
    pub fn outputs(&mut self, frame: usize, input: &Input) -> Result<Vec<OutputData>> {
        let outputs = match &mut self.from {
            #[cfg(feature = "import")]
            From::Model(float) => float.outputs(input)?,
            From::Dumped(dir, outputs) => dumps::read(dir, frame, outputs)?,
        };
        // Dumped ones need no input.
        let _ = input;
        if let Some(dir) = self.dump {
            dumps::write(dir, frame, &outputs)?;
        }
        Ok(outputs)
    }

    /// Largest relative error of the reference itself on that frame, and a remark where there is none.
    pub fn checked(&self, input: &Input, reference: &[OutputData]) -> (Option<f64>, Option<String>) {
        match &self.from {
            #[cfg(feature = "import")]
            From::Model(float) => float.against_tract(input, reference),
            From::Dumped(..) => {
                let _ = (input, reference);
                (None, Some("it was made on another machine".into()))
            }
        }
    }
}

/// Name and shape of each output.
fn outputs_of(artifact: &Artifact) -> Vec<(String, Vec<usize>)> {
    let model = artifact.model();
    let each = model.outputs.iter().map(|o| {
        let name = model.array::<u8>(o.name, o.name_len as usize).unwrap_or(&[]);
        let shape = o.shape[..o.rank as usize].iter().map(|n| *n as usize).collect();
        (String::from_utf8_lossy(name).into_owned(), shape)
    });
    each.collect()
}

/// `|ours - reference| / |reference|` accumulated.
#[derive(Clone, Copy, Default)]
pub struct Relative {
    error: f64,
    norm: f64,
}

impl Relative {
    pub fn add(&mut self, reference: &[f32], ours: &[f32]) {
        for (r, o) in reference.iter().zip(ours) {
            self.error += (*o as f64 - *r as f64).powi(2);
            self.norm += (*r as f64).powi(2);
        }
    }

    pub fn value(&self) -> f64 {
        if self.error == 0.0 { 0.0 } else { (self.error / self.norm.max(f64::MIN_POSITIVE)).sqrt() }
    }
}
