//! The independent float reference: the original ONNX file run by tract.
//!
//! It shares no code with the importer, the passes or the executor, so agreement with it says that they are right.
//! Values enter and leave as f32 in ONNX order; integer inputs are cast to the model's type, integer outputs to f32.
//!
//! tract cannot read every model this project reads (opset-9 Upsample is one case): then [`Oracle::load`] says so and
//! the caller compares with [`crate::exec`] instead. Models with QuantizeLinear nodes are no material for it either:
//! tract rounds some of them differently from the ONNX definition.

use anyhow::{Context, Result, bail, ensure};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

pub struct Oracle {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<(DatumType, Vec<usize>)>,
}

impl Oracle {
    /// `input_shape` fixes the ONNX shape of the first input; axes still unknown become 1. `outputs` names what to give, in the place
    /// of the model's outputs where it is not empty.
    pub fn load(path: &Path, input_shape: Option<&[usize]>, outputs: &[&str]) -> Result<Oracle> {
        guarded(|| build(path, input_shape, outputs))
            .with_context(|| format!("{}: the float oracle (tract) cannot run this model", path.display()))
    }

    /// One frame; `inputs` and the result in ONNX order.
    pub fn run(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>> {
        ensure!(inputs.len() == self.inputs.len(), "{} inputs given, the model takes {}", inputs.len(), self.inputs.len());
        let mut values = tvec!();
        for (k, (x, (kind, shape))) in inputs.iter().zip(&self.inputs).enumerate() {
            let tensor = Tensor::from_shape(shape, x).with_context(|| format!("input {k}, ONNX shape {shape:?}"))?;
            values.push(tensor.cast_to_dt(*kind)?.into_owned().into_tvalue());
        }
        let outputs = guarded(|| self.plan.run(values)).context("the float oracle (tract) failed")?;
        outputs.iter().map(|t| Ok(t.cast_to::<f32>()?.to_plain_array_view::<f32>()?.iter().copied().collect())).collect()
    }
}

/// Some models make tract panic: an error like the others.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| bail!("tract panicked"))
}

fn build(path: &Path, input_shape: Option<&[usize]>, outputs: &[&str]) -> Result<Oracle> {
    let mut model = tract_onnx::onnx().model_for_path(path)?;
    let own: Vec<Option<&str>> = model.output_outlets()?.iter().map(|o| model.outlet_label(*o)).collect();
    if !outputs.is_empty() && !own.iter().copied().eq(outputs.iter().map(|o| Some(*o))) {
        model.select_outputs_by_name(outputs)?;
        model.compact()?;
    }
    let mut inputs = Vec::new();
    for k in 0..model.input_outlets()?.len() {
        let fact = model.input_fact(k)?.clone();
        let kind = fact.datum_type.concretize().unwrap_or(f32::datum_type());
        let shape: Vec<usize> = match input_shape {
            Some(s) if k == 0 => s.to_vec(),
            _ => {
                let known = |d: TDim| d.to_i64().ok().and_then(|d| usize::try_from(d).ok());
                fact.shape.dims().map(|d| d.concretize().and_then(known).unwrap_or(1)).collect()
            }
        };
        model.set_input_fact(k, InferenceFact::dt_shape(kind, &shape))?;
        inputs.push((kind, shape));
    }
    let plan = model.into_optimized()?.into_runnable()?;
    Ok(Oracle { plan, inputs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn assets() -> Option<PathBuf> {
        let root = std::env::var_os("QUIESCENT_ASSETS").map(PathBuf::from);
        let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets"));
        root.is_dir().then_some(root)
    }

    fn golden(path: &Path) -> Vec<f32> {
        npyz::NpyFile::new(&std::fs::read(path).unwrap()[..]).unwrap().into_vec::<f32>().unwrap()
    }

    #[test]
    fn a_panic_is_an_error() {
        assert!(guarded::<()>(|| panic!("as tract does")).is_err());
    }

    #[test]
    fn agrees_with_stored_outputs() {
        let Some(assets) = assets() else {
            println!("skipped: no assets");
            return;
        };
        for model in ["ultraface_rfb_320", "fastestdet_352", "resnet20_cifar10"] {
            let oracle = Oracle::load(&assets.join(format!("models/{model}.onnx")), None, &[]).unwrap();
            let folder = assets.join("models/golden").join(model);
            let outputs = oracle.run(&[golden(&folder.join("in0.npy"))]).unwrap();
            for (k, y) in outputs.iter().enumerate() {
                let want = golden(&folder.join(format!("out{k}.npy")));
                assert_eq!(y.len(), want.len());
                let worst = y.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-3, "{model} output {k}: off by {worst}");
            }
        }
    }

    #[test]
    fn says_when_it_cannot() {
        let Some(assets) = assets() else {
            println!("skipped: no assets");
            return;
        };
        let e = Oracle::load(&assets.join("models/deeplab_v3_mnv2_257.onnx"), None, &[]).err().unwrap();
        assert!(format!("{e:#}").contains("cannot run this model"), "{e:#}");
        assert!(Oracle::load(Path::new("absent.onnx"), None, &[]).is_err());
    }
}
