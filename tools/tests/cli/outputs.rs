//! A network taken up to values inside of it, and with layers in f32.

use crate::{json, patrol};

#[test]
fn a_network_is_cut_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (onnx, calib, qsc) = (patrol("patrol.onnx"), patrol("calibration.y4m"), path("cut.qsc"));
    let names = ["head8/stem/silu_out", "head16/concat_out"];
    let outputs = names.join(",");
    let scale = "0.00392157";
    json(&["convert", &onnx, "-o", &qsc, "--calib", &calib, "--gates", "off", "--scale", scale, "--outputs", &outputs]);
    let inspected = json(&["inspect", &qsc]);
    let outputs = inspected["outputs"].as_array().unwrap();
    assert_eq!(outputs.iter().map(|o| o["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert_eq!(outputs[0]["onnx_shape"], serde_json::json!([1, 40, 12, 16]));
    let whole = json(&["inspect", &crate::in_folder("patrol.qsc")]);
    assert!(inspected["macs_dense"].as_u64() < whole["macs_dense"].as_u64());
    // The reference is cut at the same values, and tract's is too.
    let judged = json(&["eval", &qsc, "--against", &onnx, "--input", &patrol("evaluation.y4m"), "--frames", "3", "--dense"]);
    assert!(judged["reference_against_tract"].as_f64().unwrap() < 1e-4, "{judged}");
    assert!(judged["dense"]["score"].as_f64().unwrap() > 0.9, "{judged}");
}

#[test]
fn layers_are_kept_in_float_by_name_and_by_their_error() {
    let dir = tempfile::tempdir().unwrap();
    let qsc = dir.path().join("float.qsc").display().to_string();
    let (onnx, calib, layer) = (patrol("patrol.onnx"), patrol("calibration.y4m"), "head16/classes/conv");
    let float = || -> Vec<String> {
        let inspected = json(&["inspect", &qsc, "--self-test"]);
        let steps = inspected["steps"].as_array().unwrap();
        steps.iter().filter(|s| s["op"] == "ConvF32").map(|s| s["name"].as_str().unwrap().to_string()).collect()
    };
    let convert = |keep: &str| {
        json(&["convert", &onnx, "-o", &qsc, "--calib", &calib, "--gates", "off", "--scale", "0.00392157", "--keep-float", keep])
    };
    let both = convert(&format!("{layer},auto"));
    assert!(float().contains(&layer.to_string()));
    // 8 bits serve the shipped network well: there is nothing to keep.
    assert_eq!((float().len(), &both["notes"]), (1, &serde_json::json!([])));
    convert("auto");
    assert!(float().is_empty());
}
