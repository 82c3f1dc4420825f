//! Which model is judged on what.
//!
//! Codes are calibrated on frames that are not judged: another camera's clip, or the first records of a labelled set.

use anyhow::{Context, Result};
use quiescent_tools::convert;
use quiescent_tools::lower::Hold;
use quiescent_tools::task::Task;

/// Frames of one origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// Clip of `video/`, first frame, frames between two, number of frames.
    Clip(&'static str, usize, usize, usize),
    /// File of `datasets/` and the records to take; the labels are known.
    Cifar(&'static str, usize, usize),
    Mnist(usize, usize),
    /// int8 features, 49 x 10.
    Keywords(usize, usize),
    /// Log-mel windows of a sound of `audio/`: first window, windows between two, number.
    Mel(&'static str, usize, usize, usize),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub model: &'static str,
    pub calibrate: Vec<Source>,
    pub judge: Vec<Source>,
}

const PERSON: Source = Source::Clip("person_gate_b_static", 0, 18, 16);
const SIGNER: Source = Source::Clip("webcam_signer_a_static", 0, 8, 16);
const CARS: Source = Source::Clip("cars_overhead_static", 0, 18, 16);

const SIGNER_LATE: Source = Source::Clip("webcam_signer_a_static", 130, 2, 60);
const SIGNER_ALL: Source = Source::Clip("webcam_signer_a_static", 3, 4, 60);
const PERSON_BETWEEN: Source = Source::Clip("person_gate_b_static", 9, 6, 48);
const PETS: Source = Source::Clip("pets_pedestrians_static", 4, 5, 59);
const ROAD: Source = Source::Clip("highway_trees_static", 0, 8, 36);
const DASH: Source = Source::Clip("dashcam_moving", 0, 6, 36);

/// Every convolutional model of the asset set.
pub fn all() -> Vec<Case> {
    let case = |model, calibrate: &[Source], judge: &[Source]| Case { model, calibrate: calibrate.into(), judge: judge.into() };
    let faces = [Source::Clip("webcam_signer_a_static", 0, 7, 16), PERSON];
    let cifar_calib = [Source::Cifar("cifar10_train_calib.bin", 0, 100)];
    let cifar = [Source::Cifar("cifar10_test_dev.bin", 0, 1000)];
    let words = [Source::Keywords(0, 100)];
    let words_judged = [Source::Keywords(100, 400)];
    let sound = [Source::Mel("speech_vad_a_30s.wav", 0, 7, 64)];
    let sound_judged = [Source::Mel("dns3_0015_noisy.wav", 0, 1, 120), Source::Mel("dns3_0072_noisy.wav", 0, 1, 120)];
    let scenes = [PETS, SIGNER_ALL, DASH];
    vec![
        case("ultraface_rfb_320", &faces, &[SIGNER_LATE, PERSON_BETWEEN]),
        case("fastestdet_352", &[PERSON, CARS], &[PETS, ROAD, DASH]),
        case("yolox_nano_416", &[PERSON, CARS], &[PETS, ROAD, DASH]),
        case("mp_face_full", &faces, &[SIGNER_LATE, PERSON_BETWEEN]),
        case("mp_face_full_sparse", &faces, &[SIGNER_LATE, PERSON_BETWEEN]),
        case("resnet20_cifar10", &cifar_calib, &cifar),
        case("mobilenet_v1_0.25_128_float", &[PERSON, CARS], &scenes),
        case("mobilenet_v1_0.25_128_qdq", &[PERSON], &scenes),
        case("mnist_cntk_opt", &[Source::Mnist(0, 100)], &[Source::Mnist(100, 900)]),
        case("selfie_segmentation_256", &[SIGNER, PERSON], &[SIGNER_LATE, PERSON_BETWEEN]),
        case("deeplab_v3_mnv2_257", &[PERSON, CARS], &[Source::Clip("webcam_signer_a_static", 3, 8, 30), DASH]),
        case(
            "espcn_x3_224",
            &[Source::Clip("person_gate_b_static", 0, 36, 8)],
            &[Source::Clip("dashcam_moving", 0, 40, 6), Source::Clip("pets_pedestrians_static", 0, 60, 5)],
        ),
        case("mlperf_ic01_resnet8_fp32", &cifar_calib, &cifar),
        case("mlperf_ic01_resnet8_int8", &cifar_calib, &cifar),
        case("mlperf_kws01_dscnn_fp32", &words, &words_judged),
        case("mlperf_kws01_dscnn_int8", &words, &words_judged),
        case("mlperf_vww01_mobilenet_fp32", &[PERSON, CARS], &scenes),
        case("mlperf_vww01_mobilenet_int8", &[PERSON], &scenes),
        case("mlperf_ad01_autoencoder_fp32", &sound, &sound_judged),
        case("mlperf_ad01_autoencoder_int8", &sound, &sound_judged),
    ]
}

/// The task file of a model, or what stands for one where the outputs are plain numbers.
pub fn task(model: &str) -> Result<Task> {
    let path = crate::root().join(format!("tasks/{model}.toml"));
    if path.exists() {
        return Task::load(&path);
    }
    let text = match model {
        "espcn_x3_224" => "kind = \"relative-error\"\n[input]\ncolor = \"grey\"\nscale = 0.00392156862745098\n",
        _ => "kind = \"relative-error\"\n",
    };
    Task::parse(model, text).with_context(|| format!("the task of {model}"))
}

/// Dense conversion of a model.
pub fn options(model: &str) -> convert::Options {
    let model = crate::assets().join(format!("models/{model}.onnx"));
    convert::Options { hold: Hold::Outputs, ..convert::Options::new(&model) }
}
