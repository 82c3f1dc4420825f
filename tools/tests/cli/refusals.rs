//! Wrong files and flags: an error that names them, nothing printed, nothing written.

use std::path::Path;

use crate::{fails, in_folder, patrol};

#[test]
fn wrong_models_and_artifacts_are_refused() {
    let (qsc, clip, calib) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"), patrol("calibration.y4m"));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let good = std::fs::read(&qsc).unwrap();
    fails(&["run", "absent.qsc", "--input", &clip], &["absent.qsc"]);
    fails(&["inspect", dir.path().to_str().unwrap()], &["reading the artifact", "directory"]);
    for len in [0, 3, 100, good.len() / 2, good.len() - 1] {
        let cut = file("cut.qsc", &good[..len]);
        fails(&["inspect", &cut], &["cut.qsc", "convert the model again"]);
    }
    for at in [0, 4, 40, 1000, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        let bad = file("bad.qsc", &bytes);
        fails(&["run", &bad, "--input", &clip], &["bad.qsc"]);
    }
    let out = dir.path().join("out.qsc");
    let out = out.to_str().unwrap();
    let junk = file("junk.onnx", b"not a protobuf at all");
    fails(&["convert", &junk, "-o", out, "--calib", &calib], &["junk.onnx", "not an ONNX model"]);
    fails(&["convert", "absent.onnx", "-o", out, "--calib", &calib], &["absent.onnx"]);
    let copy = dir.path().join("copy.onnx").display().to_string();
    std::fs::copy(patrol("patrol.onnx"), &copy).unwrap();
    fails(&["convert", &copy, "-o", &copy, "--calib", &calib], &["--output", "the model itself"]);
    fails(&["convert", &copy, "-o", out, "--calib", &calib, "--report", out], &["--report", "name another file"]);
    let four = ["convert", &copy, "-o", out, "--calib", &calib, "--gates", "off", "--mean", "1,2,3,4"];
    fails(&four, &["--mean", "4 values for 3 channels"]);
    fails(&["convert", &qsc, "-o", out, "--calib", &calib], &["not an ONNX model"]);
    let other = file("other.toml", b"kind = \"detections\"\nhead = \"fastestdet\"\nclasses = 3\n");
    let wrong = ["convert", &copy, "-o", out, "--calib", &calib, "--gates", "off", "--task", &other];
    fails(&wrong, &["--task", "detections [1, 240, 8]"]);
    fails(&["convert", &copy, "-o", out, "--calib", &calib, "--outputs", "ghost"], &["copy.onnx", "ghost"]);
    assert!(!Path::new(out).exists());
    fails(&["eval", &qsc, "--against", &junk, "--input", &clip], &["--against", "junk.onnx"]);
}

/// A graph of one node: field 1 of a NodeProto is an input, 2 an output, 3 the name, 4 the operator.
#[test]
fn unsupported_operators_are_named() {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        assert!(bytes.len() < 128);
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }
    let extents: Vec<u8> = [1u8, 3, 16, 16].iter().flat_map(|n| field(1, &[0x08, *n])).collect();
    let tensor = |name: &str| {
        let kind = [vec![0x08, 1], field(2, &extents)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &kind))].concat()
    };
    let node = [field(1, b"x"), field(2, b"y"), field(3, b"my/node"), field(4, b"Mystery")].concat();
    let graph = [field(1, &node), field(2, b"g"), field(11, &tensor("x")), field(12, &tensor("y"))].concat();
    let mut model = vec![0x08, 8, 7 << 3 | 2, graph.len() as u8];
    assert!(graph.len() < 128);
    model.extend(graph);
    model.extend(field(8, &[0x10, 13]));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("odd.onnx");
    std::fs::write(&path, model).unwrap();
    let out = dir.path().join("out.qsc");
    fails(
        &["convert", path.to_str().unwrap(), "-o", out.to_str().unwrap(), "--calib", &patrol("calibration.y4m")],
        &["odd.onnx", "Mystery", "my/node"],
    );
    assert!(!out.exists());
}

#[test]
fn wrong_clips_are_refused() {
    let qsc = in_folder("patrol.qsc");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    fails(&["run", &qsc, "--input", "absent.mp4"], &["--input", "absent.mp4"]);
    let good = std::fs::read(patrol("evaluation.y4m")).unwrap();
    let header = good.iter().position(|b| *b == b'\n').unwrap() + 1;
    let empty = file("empty.y4m", &good[..header]);
    fails(&["run", &qsc, "--input", &empty], &["empty.y4m", "no frames"]);
    let cut = file("cut.y4m", &good[..60_000]);
    fails(&["run", &qsc, "--input", &cut], &["cut.y4m", "cut off"]);
    std::fs::create_dir(dir.path().join("nothing")).unwrap();
    fails(&["run", &qsc, "--input", dir.path().join("nothing").to_str().unwrap()], &["nothing"]);
    let wrong = dir.path().join("wrong.npy");
    quiescent_tools::clip::npy::write(&wrong, &[2, 3, 10, 10], &[0.0; 600]).unwrap();
    fails(&["run", &qsc, "--input", wrong.to_str().unwrap()], &["wrong.npy", "[3, 10, 10]", "[1, 3, 96, 128]"]);
    fails(&["bench", &qsc, "--input", wrong.to_str().unwrap()], &["wrong.npy"]);
    let turned = dir.path().join("turned.npy");
    quiescent_tools::clip::npy::write(&turned, &[2, 96, 128, 3], &vec![0.0; 2 * 36864]).unwrap();
    fails(&["run", &qsc, "--input", turned.to_str().unwrap()], &["turned.npy", "[96, 128, 3]", "[1, 3, 96, 128]", "transpose"]);
    let mut values = vec![0.0; 2 * 36864];
    values[36864 + 17] = f32::NAN;
    let odd = dir.path().join("odd.npy");
    quiescent_tools::clip::npy::write(&odd, &[2, 3, 96, 128], &values).unwrap();
    fails(&["run", &qsc, "--input", odd.to_str().unwrap()], &["odd.npy", "frame 1", "element 17", "NaN"]);
}

#[test]
fn wrong_flags_are_refused() {
    let (qsc, clip, calib, model) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"), patrol("calibration.y4m"), patrol("patrol.onnx"));
    let run = |flags: &[&str], words: &[&str]| fails(&[&["run", &qsc, "--input", &clip], flags].concat(), words);
    run(&["--gate-scale", "-1"], &["--gate-scale"]);
    run(&["--gate-scale", "NaN"], &["--gate-scale"]);
    run(&["--noise", "-2"], &["--noise"]);
    run(&["--frames", "0"], &["--frames"]);
    run(&["--dense", "--gate-scale", "2"], &["--dense"]);
    for threads in ["0", "-1", "65", "two"] {
        run(&["--threads", threads], &["--threads", "from 1 to 64"]);
    }
    run(&["--kernels", "neon"], &["--kernels neon", "scalar"]);
    if quiescent::kernels::select("avx512vnni").is_none() {
        run(&["--kernels", "avx512vnni"], &["--kernels avx512vnni"]);
    }
    run(&["--task", "absent.toml"], &["absent.toml"]);
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, b"x").unwrap();
    run(&["--dump", blocked.to_str().unwrap()], &["--dump"]);
    run(&["--overlay", blocked.join("below").to_str().unwrap()], &["--overlay"]);
    let out = dir.path().join("out.qsc").display().to_string();
    let convert = |out: &str, flags: &[&str], words: &[&str]| {
        fails(&[&["convert", &model, "-o", out, "--calib", &calib], flags].concat(), words);
        assert!(!Path::new(out).is_file());
    };
    convert(&out, &["--range", "percentile:3"], &["--range"]);
    convert(&out, &["--std", "0"], &["--std"]);
    convert(&out, &["--mean", "1,2", "--gates", "off"], &["mean"]);
    convert(&out, &["--target", "vax"], &["--target"]);
    convert(&out, &["--keep-float", "nix", "--gates", "off"], &["--keep-float nix"]);
    convert(&out, &["--input-shape", "1,3,7,7", "--gates", "off"], &["--input-shape"]);
    convert(&out, &["--calib", "-"], &["--calib -"]);
    convert(&out, &["--report", "/no/such/place.json"], &["/no/such"]);
    convert("/no/such/place.qsc", &[], &["/no/such"]);
    convert(dir.path().to_str().unwrap(), &[], &["folder"]);
    fails(&["convert", &model, "-o", &out], &["--calib"]);
}
