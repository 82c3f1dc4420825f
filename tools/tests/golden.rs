//! Real models against the outputs onnxruntime gave for one real input, before and after the passes.
//!
//! Float models must agree to 1e-4 of the largest output. Models in QDQ form are run with every coded tensor rounded to
//! its codes, so they agree to a few codes; without the rounding only to several percent.

use std::path::{Path, PathBuf};

use quiescent_tools::exec::Executor;
use quiescent_tools::import::{self, Options};
use quiescent_tools::ir::{Codes, ElementType, Graph};
use quiescent_tools::passes;

/// Every CNN of the asset folder.
const MODELS: [&str; 20] = [
    "ultraface_rfb_320",
    "fastestdet_352",
    "yolox_nano_416",
    "mp_face_full",
    "mp_face_full_sparse",
    "resnet20_cifar10",
    "mobilenet_v1_0.25_128_float",
    "mobilenet_v1_0.25_128_qdq",
    "mnist_cntk_opt",
    "selfie_segmentation_256",
    "deeplab_v3_mnv2_257",
    "espcn_x3_224",
    "mlperf_ic01_resnet8_fp32",
    "mlperf_ic01_resnet8_int8",
    "mlperf_kws01_dscnn_fp32",
    "mlperf_kws01_dscnn_int8",
    "mlperf_vww01_mobilenet_fp32",
    "mlperf_vww01_mobilenet_int8",
    "mlperf_ad01_autoencoder_fp32",
    "mlperf_ad01_autoencoder_int8",
];

/// Models that are no CNNs: each is refused with one list of reasons.
const REFUSED: [&str; 5] =
    ["dtln_model_1", "kwt1_speech_commands", "silero_vad_16k_simplified", "stories260k_decode_s256", "stories260k_prefill_t128"];

fn models() -> Option<PathBuf> {
    let assets = match std::env::var_os("QUIESCENT_ASSETS") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets"),
    };
    let dir = assets.join("models");
    if !dir.is_dir() {
        println!("skipped: no assets at {}", dir.display());
        return None;
    }
    Some(dir)
}

/// Numbers of a file as they stand: codes for integer types.
fn read(path: &Path) -> Vec<f32> {
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    let npy = npyz::NpyFile::new(file).unwrap();
    match npy.dtype().descr().as_str() {
        "'|i1'" => npy.into_vec::<i8>().unwrap().into_iter().map(f32::from).collect(),
        "'|u1'" => npy.into_vec::<u8>().unwrap().into_iter().map(f32::from).collect(),
        _ => npy.into_vec::<f32>().unwrap(),
    }
}

fn to_real(v: f32, codes: Codes, kind: ElementType) -> f32 {
    let shift = if kind == ElementType::I8 { 128.0 } else { 0.0 };
    codes.scale * (v + shift - f32::from(codes.zero))
}

/// Largest difference of any output from its golden file: as a fraction of the largest value, or in
/// codes where the output has them.
fn difference(graph: &Graph, golden: &Path) -> f32 {
    let inputs: Vec<Vec<f32>> = (graph.inputs.iter().enumerate())
        .map(|(i, input)| {
            let onnx = read(&golden.join(format!("in{i}.npy")));
            let shape = graph.tensors[input.tensor].shape;
            let mut map = vec![0.0; shape.len()];
            let strides: Vec<usize> = (0..input.onnx_shape.len())
                .map(|a| match a {
                    a if Some(a) == input.axes.0 => shape.w * shape.c,
                    a if Some(a) == input.axes.1 => shape.c,
                    a if Some(a) == input.axes.2 => 1,
                    _ => 0,
                })
                .collect();
            for (k, &v) in onnx.iter().enumerate() {
                let (mut rest, mut at) = (k, 0);
                for a in (0..strides.len()).rev() {
                    at += rest % input.onnx_shape[a] * strides[a];
                    rest /= input.onnx_shape[a];
                }
                map[at] = input.codes.map_or(v, |c| to_real(v, c, input.onnx_type));
            }
            map
        })
        .collect();
    let mut run = Executor::new(graph).unwrap();
    let results = graph.outputs.iter().map(|o| o.tensor).collect::<Vec<_>>();
    run.keep(&results);
    let round = |t: usize, values: &mut [f32]| {
        if let Some(Codes { scale, zero }) = graph.tensors[t].codes {
            for v in values {
                let code = (*v / scale).round_ties_even() + f32::from(zero);
                *v = scale * (code.clamp(0.0, 255.0) - f32::from(zero));
            }
        }
    };
    let mut inputs = inputs;
    for (input, values) in graph.inputs.iter().zip(&mut inputs) {
        round(input.tensor, values);
    }
    run.run_hooked(&inputs, round).unwrap();
    let mut worst = 0.0f32;
    for (i, (output, made)) in graph.outputs.iter().zip(run.outputs()).enumerate() {
        let golden = read(&golden.join(format!("out{i}.npy")));
        assert_eq!(golden.len(), made.len(), "{}", output.name);
        let unit = match graph.tensors[output.tensor].codes {
            Some(c) => c.scale,
            None => golden.iter().fold(0.0f32, |m, v| m.max(v.abs())),
        };
        for (&g, &m) in golden.iter().zip(&made) {
            let g = output.codes.map_or(g, |c| to_real(g, c, output.onnx_type));
            let d = (g - m).abs() / unit;
            worst = if d.is_nan() { f32::NAN } else { worst.max(d) };
        }
    }
    worst
}

#[test]
fn every_cnn_imports_and_agrees_with_onnxruntime() {
    let Some(dir) = models() else { return };
    let mut bad = Vec::new();
    for name in MODELS {
        let path = dir.join(format!("{name}.onnx"));
        let mut graph = import::load(&path, &Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let before = graph.nodes.len();
        let golden = dir.join("golden").join(name);
        let compare = |g: &Graph| golden.join("in0.npy").exists().then(|| difference(g, &golden));
        let raw = compare(&graph);
        let changes = passes::run_checked(&mut graph).unwrap_or_else(|e| panic!("{name}: {e}"));
        let passed = compare(&graph);
        let coded = graph.tensors.iter().any(|t| t.codes.is_some());
        println!("{name}: {before} -> {} nodes, differs {raw:?}, after passes {passed:?} {changes:?}", graph.nodes.len());
        // The softmax of 1001 classes turns one code of a logit into several codes of a probability.
        let limit = match (coded, name) {
            (true, "mobilenet_v1_0.25_128_qdq") => 8.0,
            (true, _) => 2.0,
            (false, _) => 1e-4,
        };
        if [raw, passed].iter().flatten().any(|&d| d.is_nan() || d > limit) {
            bad.push(name);
        }
    }
    assert!(bad.is_empty(), "differ from onnxruntime: {bad:?}");
}

#[test]
fn other_models_give_one_list_of_reasons() {
    let Some(dir) = models() else { return };
    for name in REFUSED {
        match import::load(&dir.join(format!("{name}.onnx")), &Options::default()) {
            Err(e @ import::Error::Unsupported(_)) => println!("{name}: {e}"),
            other => panic!("{name}: {:?}", other.map(|g| g.nodes.len())),
        }
    }
}

/// Any other models with golden files, laid out the same way: `QUIESCENT_GOLDEN=<folder>`.
#[test]
fn models_of_another_folder_agree() {
    let Some(dir) = std::env::var_os("QUIESCENT_GOLDEN").map(PathBuf::from) else {
        println!("skipped: QUIESCENT_GOLDEN is not set");
        return;
    };
    let mut bad = Vec::new();
    let mut names: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    names.sort();
    for path in names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut graph = match import::load(&path, &Options::default()) {
            Ok(g) => g,
            Err(e) => {
                println!("{name}: {e}");
                bad.push(name);
                continue;
            }
        };
        let golden = dir.join("golden").join(&name);
        let raw = difference(&graph, &golden);
        let changes = passes::run_checked(&mut graph).unwrap_or_else(|e| panic!("{name}: {e}"));
        let passed = difference(&graph, &golden);
        let coded = graph.outputs.iter().all(|o| graph.tensors[o.tensor].codes.is_some());
        let limit = if coded { 1.01 } else { 1e-4 };
        let verdict = if raw <= limit && passed <= limit { "same" } else { "DIFFERS" };
        println!("{name}: {verdict} {raw} {passed} {changes:?}");
        if verdict != "same" {
            println!("{graph}");
            bad.push(name);
        }
    }
    assert!(bad.is_empty(), "differ: {bad:?}");
}
