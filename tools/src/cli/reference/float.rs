//! The float model as the reference.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use quiescent_tools::artifact::{Artifact, OutputData};
use quiescent_tools::convert::{self, Prepared};
use quiescent_tools::exec::Executor;
use quiescent_tools::feed::{Input, onnx_order};
use quiescent_tools::ir::ElementType;
use quiescent_tools::oracle::Oracle;

use super::Relative;

/// The imported model.
pub struct Model {
    onnx: PathBuf,
    prepared: Prepared,
}

impl Model {
    /// The float graph the artifact was made from.
    pub fn new(artifact: &Artifact, onnx: &Path) -> Result<Self> {
        Ok(Self { onnx: onnx.into(), prepared: prepare(artifact, onnx)? })
    }
}

/// The model and its executor.
pub struct Float<'m> {
    model: &'m Model,
    executor: Executor<'m>,
}

impl<'m> Float<'m> {
    pub fn new(model: &'m Model) -> Result<Self> {
        Ok(Self { model, executor: Executor::new(&model.prepared.float)? })
    }

    pub fn outputs(&mut self, input: &Input) -> Result<Vec<OutputData>> {
        let p = &self.model.prepared;
        self.executor.run(&[convert::float_input(p, input)])?;
        let named = p.float.outputs.iter().zip(self.executor.outputs());
        Ok(named.map(|(o, data)| OutputData { name: o.name.clone(), shape: o.onnx_shape.clone(), data }).collect())
    }

    /// Largest relative error of the reference, and a remark where there is none.
    pub fn against_tract(&self, input: &Input, reference: &[OutputData]) -> (Option<f64>, Option<String>) {
        let p = &self.model.prepared;
        let x = convert::float_input(p, input);
        if p.float.inputs.first().is_some_and(|i| i.onnx_type != ElementType::F32) || p.float.tensors.iter().any(|t| t.codes.is_some()) {
            return (None, Some("not asked: it rounds some quantised models unlike the ONNX definition".into()));
        }
        let names: Vec<&str> = p.float.outputs.iter().map(|o| o.name.as_str()).collect();
        let run = || Oracle::load(&self.model.onnx, Some(&p.input.onnx_shape), &names)?.run(&[onnx_order(&p.input, &x)]);
        match run() {
            Ok(outputs) => {
                let worst = outputs.iter().zip(reference).map(|(t, r)| {
                    let mut e = Relative::default();
                    e.add(t, &r.data);
                    e.value()
                });
                (Some(worst.fold(0.0, f64::max)), None)
            }
            Err(e) => (None, Some(format!("{e:#}"))),
        }
    }
}

/// The float graph the artifact was made from.
fn prepare(artifact: &Artifact, onnx: &Path) -> Result<Prepared> {
    let spec = &artifact.meta.input;
    let options = convert::Options {
        input_shape: Some(spec.onnx_shape.clone()),
        outputs: super::outputs_of(artifact).into_iter().map(|(name, _)| name).collect(),
        norm: spec.norm.clone(),
        mode: Some(spec.fit.mode()),
        ..convert::Options::new(onnx)
    };
    let prepared = convert::prepare(&options, None)
        .with_context(|| format!("--against {} (the artifact was made from {})", onnx.display(), artifact.meta.model))?;
    ensure!(
        prepared.input.shape == spec.shape && prepared.input.kind == spec.kind,
        "--against {}: its input is {:?}, the artifact's is {:?}; is it the model the artifact was made from ({})?",
        onnx.display(),
        prepared.input.shape,
        spec.shape,
        artifact.meta.model
    );
    let model = artifact.model();
    let ours: Vec<Vec<usize>> = model.outputs.iter().map(|o| o.shape[..o.rank as usize].iter().map(|n| *n as usize).collect()).collect();
    let theirs: Vec<Vec<usize>> = prepared.float.outputs.iter().map(|o| o.onnx_shape.clone()).collect();
    ensure!(
        ours == theirs,
        "--against {}: its outputs are {theirs:?}, the artifact's are {ours:?}; is it the model the artifact was made from ({})?",
        onnx.display(),
        artifact.meta.model
    );
    Ok(prepared)
}
