//! The command itself: what it prints, where, with which exit status, and what it leaves behind.
//!
//! Everything runs on the shipped model in `models/patrol`; frames are kept few. `refusals.rs` is about wrong files and flags.

mod outputs;
mod refusals;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

fn patrol(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/patrol");
    root.join(name).display().to_string()
}

fn quiescent(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quiescent"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Succeeds, with exactly one JSON object on standard output.
fn json(args: &[&str]) -> Value {
    let out = quiescent(&[args, &["--json"]].concat());
    assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
    let stdout = text(&out.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

/// Fails with a message that holds every word, and nothing on standard output.
fn fails(args: &[&str], words: &[&str]) {
    let out = quiescent(args);
    let stderr = text(&out.stderr);
    assert!(!out.status.success(), "{args:?} succeeded: {}", text(&out.stdout));
    assert!(out.stdout.is_empty(), "{args:?}: {}", text(&out.stdout));
    assert!(stderr.contains("error: "), "{args:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("defect"), "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: {word:?} is not in: {stderr}");
    }
}

/// A folder for this process, with the artifact in it (gates on a short search).
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let (model, calib, task) = (patrol("patrol.onnx"), patrol("calibration.y4m"), patrol("task.toml"));
        let (qsc, report) = (path.join("patrol.qsc"), path.join("report.json"));
        let done = json(&[
            "convert",
            &model,
            "-o",
            qsc.to_str().unwrap(),
            "--calib",
            &calib,
            "--task",
            &task,
            "--refine",
            "1",
            "--calib-frames",
            "8",
            "--report",
            report.to_str().unwrap(),
        ]);
        assert_eq!(done["macs_dense"], 29421312);
        assert!(done["gates"].as_u64().unwrap() > 5, "{done}");
        path
    })
}

fn in_folder(name: &str) -> String {
    folder().join(name).display().to_string()
}

#[test]
fn convert_writes_artifact_and_report() {
    let qsc = in_folder("patrol.qsc");
    let report: Value = serde_json::from_slice(&std::fs::read(in_folder("report.json")).unwrap()).unwrap();
    assert!(report["layers"].as_array().unwrap().len() > 30);
    assert!(report["search"].is_object());
    let seen = json(&["inspect", &qsc, "--self-test"]);
    assert_eq!(seen["macs_dense"], 29421312);
    assert_eq!(seen["input"]["shape"], serde_json::json!([96, 128, 3]));
    let tests = seen["self_test"].as_array().unwrap();
    assert_eq!(tests.len(), quiescent::kernels::available().count());
    assert!(tests.iter().all(|t| t["passed"] == true), "{tests:?}");
    assert_eq!(seen["golden"].as_array().unwrap().len(), 4);
    assert_eq!(seen["points"], report["points"]);
    // No file but those asked for.
    let left: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn self_test_notices_other_results() {
    // Another golden sum, resealed: as if the kernels computed something else.
    let artifact = quiescent_tools::artifact::Artifact::load(Path::new(&in_folder("patrol.qsc"))).unwrap();
    let points = artifact.model().points.to_vec();
    let mut meta = artifact.meta.clone();
    meta.golden[2] ^= 1;
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("other.qsc");
    artifact.finish(&points, meta).unwrap().save(&path).unwrap();
    let out = quiescent(&["inspect", path.to_str().unwrap(), "--self-test"]);
    assert!(!out.status.success());
    assert!(text(&out.stderr).contains("self-test failed"), "{}", text(&out.stderr));
}

#[test]
fn run_dumps_and_draws() {
    let qsc = in_folder("patrol.qsc");
    let dir = tempfile::tempdir().unwrap();
    let (dump, overlay) = (dir.path().join("dump"), dir.path().join("overlay"));
    let clip = patrol("evaluation.y4m");
    let stats =
        json(&["run", &qsc, "--input", &clip, "--frames", "5", "--dump", dump.to_str().unwrap(), "--overlay", overlay.to_str().unwrap()]);
    assert_eq!(stats["frames"], 5);
    for key in [
        "macs_dense",
        "macs_done_mean",
        "mac_fraction",
        "ms_dense_p50",
        "ms_dense_p99",
        "ms_gated_p50",
        "ms_gated_p99",
        "ms_gated_worst",
        "ms_first",
        "arena_bytes",
        "arena_dense_bytes",
        "artifact_bytes",
        "threads",
    ] {
        assert!(stats[key].is_number(), "{key} in {stats}");
    }
    let (shape, values) = quiescent_tools::clip::npy::read(&dump.join("frame00004_detections.npy")).unwrap();
    assert_eq!(shape, [1, 240, 8]);
    assert!(values.iter().all(|v| v.is_finite()) && values.iter().any(|v| *v != values[0]));
    assert_eq!(std::fs::read_dir(&dump).unwrap().count(), 5);
    let png = image::open(overlay.join("frame00004.png")).unwrap();
    assert!(png.width() >= 640 && png.height() >= 240);
    // Two maps, the input's and the chosen one, in one row beside the frame.
    let chosen = dir.path().join("chosen");
    let chosen = chosen.to_str().unwrap();
    json(&["run", &qsc, "--input", &clip, "--frames", "1", "--overlay", chosen, "--layers", "head16/boxes/conv"]);
    let one = image::open(Path::new(chosen).join("frame00000.png")).unwrap();
    assert_eq!((one.width() > one.height() * 3, one.height() < png.height()), (true, true));
    fails(&["run", &qsc, "--input", &clip, "--overlay", chosen, "--layers", "ghost"], &["--layers ghost", "inspect --layers"]);
    assert_eq!(std::fs::read_dir(&overlay).unwrap().count(), 5);
}

#[test]
fn exact_gates_give_the_dense_outputs_on_every_kernel_set() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let dir = tempfile::tempdir().unwrap();
    let dump = |name: &str, flags: &[&str]| -> Vec<Vec<f32>> {
        let out = dir.path().join(name);
        let base = ["run", &qsc, "--input", &clip, "--frames", "4", "--dump", out.to_str().unwrap()];
        json(&[&base, flags].concat());
        (0..4).map(|i| quiescent_tools::clip::npy::read(&out.join(format!("frame{i:05}_detections.npy"))).unwrap().1).collect()
    };
    let dense = dump("dense", &["--dense", "--kernels", "scalar"]);
    assert!(dense[0] != dense[3]);
    for k in quiescent::kernels::available() {
        assert_eq!(dump(k.name, &["--gate-scale", "0", "--kernels", k.name]), dense, "{}", k.name);
    }
}

/// Two threads write the outputs of one and say so.
#[test]
fn threads_give_the_outputs_of_one() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let dir = tempfile::tempdir().unwrap();
    let dump = |threads: &str, flags: &[&str]| {
        let base = ["run", &qsc, "--input", &clip, "--frames", "4", "--threads", threads, "--dump", dir.path().to_str().unwrap()];
        let stats = json(&[&base, flags].concat());
        assert_eq!(stats["threads"].to_string(), threads);
        let read = |i| quiescent_tools::clip::npy::read(&dir.path().join(format!("frame{i:05}_detections.npy"))).unwrap().1;
        (stats["macs_done_mean"].clone(), (0..4).map(read).collect::<Vec<Vec<f32>>>())
    };
    for flags in [&["--dense"][..], &["--gate-scale", "1"]] {
        assert_eq!(dump("2", flags), dump("1", flags), "{flags:?}");
    }
    let flags = ["--input", &clip, "--frames", "3", "--threads", "2"];
    assert_eq!(json(&[&["bench", &qsc], &flags[..]].concat())["threads"], 2);
    assert_eq!(json(&[&["profile", &qsc], &flags[..]].concat())["threads"], 2);
    assert_eq!(json(&[&["eval", &qsc, "--against", &patrol("patrol.onnx")], &flags[..]].concat())["threads"], 2);
    let said = text(&quiescent(&[&["bench", &qsc], &flags[..]].concat()).stdout);
    assert!(said.contains("2 threads"), "{said}");
}

#[test]
fn standard_input_reads_as_the_file_does() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let command = Command::new(env!("CARGO_BIN_EXE_quiescent"))
        .args(["run", &qsc, "--input", "-", "--frames", "6", "--json"])
        .stdin(std::fs::File::open(&clip).unwrap())
        .output()
        .unwrap();
    assert!(command.status.success(), "{}", text(&command.stderr));
    let piped: Value = serde_json::from_slice(&command.stdout).unwrap();
    let read = json(&["run", &qsc, "--input", &clip, "--frames", "6"]);
    assert_eq!(piped["macs_done_mean"], read["macs_done_mean"]);
    assert_eq!(piped["frames"], 6);
}

#[test]
fn bench_and_eval_report() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let bench = json(&["bench", &qsc, "--input", &clip, "--frames", "12", "--warmup", "2"]);
    assert_eq!(bench["frames"], 12);
    // The quiet start of the clip: less work, and the same work as run counts.
    assert!(bench["mac_fraction"].as_f64().unwrap() < 0.8, "{bench}");
    let run = json(&["run", &qsc, "--input", &clip, "--frames", "12"]);
    assert_eq!(bench["mac_fraction"], run["mac_fraction"]);
    let eval = json(&[
        "eval",
        &qsc,
        "--against",
        &patrol("patrol.onnx"),
        "--input",
        &clip,
        "--frames",
        "20",
        "--labels",
        &patrol("evaluation.csv"),
    ]);
    assert!(eval["dense"]["score"].as_f64().unwrap() > 0.97, "{eval}");
    assert!(eval["gated"]["score"].as_f64().unwrap() > 0.8, "{eval}");
    assert!(eval["reference_against_tract"].as_f64().unwrap() < 1e-4, "{eval}");
    assert!(eval["ap50_float"].as_f64().unwrap() > 0.7, "{eval}");
    assert!(eval["dense"]["relative_error"][0][1].as_f64().unwrap() < 0.15, "{eval}");
}

/// Times belong to the step they were spent in, and rows and work are those that `bench` counts.
#[test]
fn profile_accounts_for_every_frame() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace.json").display().to_string();
    let flags = ["--input", &clip, "--frames", "9", "--warmup", "1"];
    let profile = json(&[&["profile", &qsc, "--no-pause", "--trace", &trace], &flags[..]].concat());
    let bench = json(&[&["bench", &qsc, "--no-pause"], &flags[..]].concat());
    let rows = profile["rows"].as_array().unwrap();
    for mode in ["dense", "gated"] {
        let sum = |key: &str| rows.iter().map(|r| r[mode][key].as_f64().unwrap()).sum::<f64>();
        assert!((sum("share") - 1.0).abs() < 1e-6, "{mode}: {}", sum("share"));
        let frame = profile[mode]["ms_with_clock"].as_f64().unwrap();
        assert!((sum("us") / 1e3 / frame - 1.0).abs() < 0.3, "{mode}: {} us of {frame} ms", sum("us"));
        let macs: f64 = rows.iter().map(|r| r["macs"].as_f64().unwrap() * r[mode]["rows"].as_f64().unwrap()).sum();
        assert!((macs / profile[mode]["macs"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{mode}: {macs}");
        // Also where steps run in bands, each has its own time.
        assert!(rows.iter().all(|r| r["macs"] == 0 || r["dense"]["us"].as_f64().unwrap() > 0.0), "{rows:?}");
    }
    assert_eq!(profile["macs_dense"], bench["macs_dense"]);
    assert!((profile["gated"]["macs"].as_f64().unwrap() - bench["macs_done_mean"].as_f64().unwrap()).abs() < 1.0);
    let trace: Value = serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let frames = |tid: u64| events.iter().filter(|e| e["tid"] == tid && e["name"].as_str().unwrap().starts_with("frame ")).count();
    assert_eq!([frames(1), frames(2)], [9, 9]);
    let text = text(&quiescent(&[&["profile", &qsc, "--top", "3"], &flags[..]].concat()).stdout);
    assert!(text.contains("GMAC/s") && text.contains("conv 3x3"), "{text}");
}

#[test]
fn bench_tells_of_the_machine_and_of_energy() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let dir = tempfile::tempdir().unwrap();
    let run = |flags: &[&str]| json(&[&["bench", &qsc, "--input", &clip, "--frames", "12"], flags].concat());

    // A machine that tells nothing: known to be unknown.
    let root = dir.path().display().to_string();
    let silent = run(&["--sys-root", &root, "--power", "auto"]);
    for key in ["model", "board", "throttled"] {
        assert!(silent["conditions"][key].is_null(), "{key} in {silent}");
    }
    assert!(silent["conditions"]["before"]["mhz"].is_null() && silent["conditions"]["throttling_known"] == false, "{silent}");
    assert_eq!(silent["energy"]["measured"], false);
    assert!(silent["energy"]["reason"].as_str().unwrap().contains("no meter"), "{silent}");
    assert_eq!(silent["watch_share"].as_f64().map(|s| s < 0.2), Some(true));
    for key in ["frames", "macs_dense", "macs_done_mean", "mac_fraction", "ms_dense_p50", "ms_gated_p50", "arena_bytes", "artifact_bytes"] {
        assert!(silent[key].is_number(), "{key} in {silent}");
    }

    // A meter that shows 5 W whatever happens: that of a frame is 5 W times its time, and nothing of it is above idle.
    let meter = dir.path().join("meter.csv");
    let rows: String = (0..6000).map(|i| format!("{},5\n", i as f64 / 50.0)).collect();
    std::fs::write(&meter, format!("time,watts\n{rows}")).unwrap();
    let power = format!("csv:{}", meter.display());
    let metered = run(&["--power", &power, "--power-seconds", "0.3"]);
    let energy = &metered["energy"];
    assert_eq!(energy["measured"], true, "{energy}");
    for kind in ["dense", "gated"] {
        let of = |key: &str| energy[kind][key].as_f64().unwrap();
        assert!((of("mj") / of("ms") - 5.0).abs() < 1e-6 && of("frames") > 8.0, "{energy}");
        assert!(of("mj_above_idle").abs() < 1e-9 && energy[kind]["resolved"] == false, "{energy}");
    }
    assert!((energy["idle_watts"].as_f64().unwrap() - 5.0).abs() < 1e-9 && energy["gated_to_dense"].is_null());
    std::fs::write(&meter, "time,lux\n1,2\n").unwrap();
    fails(&["bench", &qsc, "--input", &clip, "--power", &power], &["--power", "meter.csv", "lux", "watts"]);
    fails(&["bench", &qsc, "--input", "-", "--power", "csv:-"], &["standard input"]);
}

#[test]
fn bench_runs_for_minutes() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let flags = ["bench", &qsc, "--input", &clip, "--frames", "12", "--minutes", "0.02", "--interval", "0.4"];
    let stats = json(&flags);
    let intervals = stats["sustained"]["intervals"].as_array().unwrap();
    assert!((2..=3).contains(&intervals.len()), "{stats}");
    let frames: u64 = intervals.iter().map(|i| i["frames"].as_u64().unwrap()).sum();
    assert_eq!(stats["frames"], frames);
    let p50 = |i: &Value| i["ms_dense_p50"].as_f64().unwrap();
    let ratio = stats["sustained"]["dense_last_to_first"].as_f64().unwrap();
    assert!((p50(&intervals[intervals.len() - 1]) / p50(&intervals[0]) - ratio).abs() < 1e-9, "{stats}");
    // The clip's quiet start, back and forth: no cut where it turns, every eleven frames.
    assert!(stats["whole_frames"].as_u64().unwrap() < frames / 44, "{stats}");
    let out = quiescent(&flags);
    let lines = text(&out.stdout);
    assert!(lines.contains("dense p50") && lines.contains("in the last") && lines.contains("not measured"), "{lines}");
}

/// What a machine without the importer reports is what the model itself gives.
#[test]
fn dumped_references_judge_as_the_model_does() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let dir = tempfile::tempdir().unwrap();
    let dump = dir.path().join("reference").display().to_string();
    let eval =
        |against: &str, more: &[&str]| json(&[&["eval", &qsc, "--against", against, "--input", &clip, "--frames", "6"], more].concat());
    let by_model = eval(&patrol("patrol.onnx"), &["--dump-reference", &dump]);
    let by_dump = eval(&dump, &[]);
    assert_eq!(by_model["gated"], by_dump["gated"]);
    assert_eq!(by_model["dense"], by_dump["dense"]);
    assert!(by_model["reference_against_tract"].is_number() && by_dump["reference_against_tract"].is_null());
    fails(&["eval", &qsc, "--against", &dump, "--input", &clip, "--frames", "7"], &["frame 6", "frame00006_"]);
}

#[test]
fn targets_are_recorded() {
    let (model, calib) = (patrol("patrol.onnx"), patrol("calibration.y4m"));
    let dir = tempfile::tempdir().unwrap();
    for target in ["any", "x86_64-avx2", "x86_64-avxvnni", "aarch64-neon", "aarch64-dotprod", "aarch64-i8mm", "cortex-m"] {
        let qsc = dir.path().join(target).display().to_string();
        json(&["convert", &model, "-o", &qsc, "--calib", &calib, "--calib-frames", "2", "--gates", "off", "--target", target]);
        assert_eq!(json(&["inspect", &qsc, "--self-test"])["profile"], target);
    }
}

#[test]
fn noise_raises_the_work_of_exact_gates() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let base = ["run", &qsc, "--input", &clip, "--frames", "6"];
    let clean = json(&base)["mac_fraction"].as_f64().unwrap();
    let noisy = json(&[&base[..], &["--noise", "12"]].concat())["mac_fraction"].as_f64().unwrap();
    assert!(noisy > clean, "{noisy} {clean}");
}

#[test]
fn a_budget_bounds_gated_frames() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let free = json(&["run", &qsc, "--input", &clip, "--frames", "40"]);
    let bound = json(&["run", &qsc, "--input", &clip, "--frames", "40", "--budget-macs", "3000000"]);
    assert!(bound["macs_done_mean"].as_f64().unwrap() < free["macs_done_mean"].as_f64().unwrap());
    assert!(bound["macs_done_mean"].as_f64().unwrap() <= 3_000_000.0);
}

/// Times are measured once, kept in the cache, and bound frames.
#[test]
fn tune_keeps_times_for_budgets() {
    let (qsc, clip) = (in_folder("patrol.qsc"), patrol("evaluation.y4m"));
    let cache = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quiescent"));
        let out = command.args(args).arg("--json").env("XDG_CACHE_HOME", cache.path()).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", text(&out.stderr));
        serde_json::from_slice::<Value>(&out.stdout).unwrap()
    };
    let tuned = run(&["tune", &qsc]);
    let file = tuned["file"].as_str().unwrap();
    let kept = std::fs::read(file).unwrap();
    let dense_ms = tuned["dense_ns"].as_f64().unwrap() / 1e6;
    assert!(dense_ms > tuned["frame_ns"].as_f64().unwrap() / 1e6, "{tuned}");
    let flags = ["bench", &qsc, "--input", &clip, "--frames", "30", "--budget-ms", &format!("{}", dense_ms / 10.0)];
    let (free, bound) = (run(&flags[..6]), run(&flags));
    assert!(bound["macs_done_mean"].as_f64().unwrap() < free["macs_done_mean"].as_f64().unwrap(), "{bound}");
    assert!(bound["over_budget"].is_u64() && free["over_budget"].is_null(), "{bound}");
    assert_eq!(std::fs::read(file).unwrap(), kept, "not measured again");
    // A file that is no such thing is no obstacle.
    std::fs::write(file, "{}").unwrap();
    run(&flags);
    assert!(std::fs::read(file).unwrap().len() > 100);
    fails(&["bench", &qsc, "--input", &clip, "--budget-ms", "0.0000001"], &["--budget-ms", "comparing"]);
    fails(&["run", &qsc, "--input", &clip, "--budget-ms", "1", "--budget-macs", "5"], &["--budget-ms", "--budget-macs"]);
}

#[test]
fn without_gates_the_arena_is_dense() {
    let dir = tempfile::tempdir().unwrap();
    let qsc = dir.path().join("dense.qsc");
    let out = quiescent(&[
        "convert",
        &patrol("patrol.onnx"),
        "-o",
        qsc.to_str().unwrap(),
        "--calib",
        &patrol("calibration.y4m"),
        "--gates",
        "off",
        "--calib-frames",
        "2",
        "--target",
        "any",
    ]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("warning: ") && text(&out.stderr).contains("--scale"), "{}", text(&out.stderr));
    let seen = json(&["inspect", qsc.to_str().unwrap()]);
    assert_eq!(seen["profile"], "any");
    assert_eq!(seen["gates"].as_array().unwrap().len(), 0);
    assert!(seen["arena_bytes"].as_u64() < seen["arena_dense_bytes"].as_u64().map(|n| n + n / 2));
    let clip = patrol("evaluation.y4m");
    let run = |scale| quiescent(&["run", qsc.to_str().unwrap(), "--input", &clip, "--frames", "1", "--gate-scale", scale]);
    assert!(text(&run("0.5").stderr).contains("--gate-scale changes nothing"));
    assert!(!text(&run("1").stderr).contains("--gate-scale"));
}

/// Under `--ram` the arena shrinks as far as it can; below, the step in the way is named and nothing is written. No two tensors alive at one
/// step share memory, but for views.
#[test]
fn memory_is_fitted_or_refused() {
    let (model, calib, task, qsc) = (patrol("patrol.onnx"), patrol("calibration.y4m"), patrol("task.toml"), in_folder("fitted.qsc"));
    let convert = |limit: &[&'static str]| -> Vec<String> {
        let plain = ["convert", &model, "-o", &qsc, "--calib", &calib, "--task", &task, "--calib-frames", "2", "--gates", "off"];
        plain.iter().chain(limit).map(|s| s.to_string()).collect()
    };
    fn words(all: &[String]) -> Vec<&str> {
        all.iter().map(String::as_str).collect()
    }
    let small = convert(&["--ram", "4K"]);
    fails(&words(&small), &["--ram 4096", "bytes of arena are needed", "Step ", "bytes of tensors", "nothing was written"]);
    fails(&words(&convert(&["--flash", "1K"])), &["--flash 1024", "bytes of artifact are needed", "step ", "nothing was written"]);
    fails(&words(&convert(&["--ram", "many"])), &["--ram", "64K"]);
    assert!(!Path::new(&qsc).exists());
    let said = text(&quiescent(&words(&small)).stderr);
    let least: u64 = said.split("give --ram ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let free = json(&words(&convert(&["--ram", "1M"])))["arena_bytes"].as_u64().unwrap();
    let mut fitted = convert(&["--ram"]);
    fitted.push(least.to_string());
    let tight = json(&words(&fitted))["arena_bytes"].as_u64().unwrap();
    assert!(tight <= least && least < free, "{tight} of {least}, {free} without a limit");
    let arena = json(&["inspect", &qsc])["arena"].clone();
    let (steps, tensors) = (arena["steps"].as_array().unwrap(), arena["tensors"].as_array().unwrap());
    assert!(tensors.iter().filter(|t| t["lines"].is_u64()).count() > 4, "{arena}");
    for step in steps {
        let alive = step["tensors"].as_array().unwrap().iter().map(|t| &tensors[t.as_u64().unwrap() as usize]);
        let mut own: Vec<(u64, u64)> = alive
            .filter(|t| t["view"] == false)
            .map(|t| (t["at"].as_u64().unwrap(), t["at"].as_u64().unwrap() + t["bytes"].as_u64().unwrap()))
            .collect();
        own.sort_unstable();
        assert!(own.windows(2).all(|w| w[0].1 <= w[1].0), "{own:?}");
        assert!(step["bytes"].as_u64() <= steps[arena["peak"].as_u64().unwrap() as usize]["bytes"].as_u64());
    }
    let shown = text(&quiescent(&["inspect", &qsc, "--arena"]).stdout);
    assert!(shown.contains("< peak") && shown.contains(" lines)"), "{shown}");
    let gated = text(&quiescent(&["inspect", &in_folder("patrol.qsc"), "--arena"]).stdout);
    let held = |line: &&str| line.contains(" stage2/1/add");
    assert_eq!(gated.lines().filter(held).count(), 1, "a held tensor is listed once: {gated}");
}

#[test]
fn help_and_version_succeed() {
    for args in [&["--help"][..], &["--version"], &["convert", "--help"], &["run", "--help"]] {
        let out = quiescent(args);
        assert!(out.status.success() && !out.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn bake_writes_sources_that_state_the_artifact() {
    let qsc = in_folder("patrol.qsc");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display().to_string();
    let clip = patrol("evaluation.y4m");
    let done = json(&["bake", &qsc, "-o", &out, "--input", &clip, "--frames", "3"]);
    let file = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let (bare, whole) = (file("patrol.qsc"), std::fs::read(&qsc).unwrap());
    assert!(bare.len() + 1000 < whole.len(), "{} of {}", bare.len(), whole.len());
    assert_eq!(done["artifact_bytes"], bare.len());
    assert_eq!(done["macs_per_frame"], 29421312);
    let bare = quiescent::format::AlignedBytes::from(bare);
    let header = *quiescent::format::check(&bare).unwrap().header;
    let module = String::from_utf8(file("patrol.rs")).unwrap();
    for line in [
        format!("ARENA_BYTES: usize = {};", header.arena_len),
        format!("Baked::new(&FILE.0, {:#010x}, {:?})", header.checksum, quiescent::format::CHECKED_BY),
        "INPUT: [usize; 3] = [96, 128, 3];".into(),
        "INPUT_CODES: bool = true;".into(),
        "&[Op::Conv, Op::Depthwise,".into(),
        "GATES: bool = true;".into(),
        "TEST_FRAMES: usize = 3;".into(),
    ] {
        assert!(module.contains(&line), "{line:?} is not in {module}");
    }
    let line = quiescent(&["inspect", &qsc, "--ops"]);
    let list = text(&line.stdout).split_once("kernels::BEST.only(").and_then(|l| l.1.split_once(", true)")).unwrap().0.to_string();
    assert!(module.contains(&list), "{list} is not in {module}");
    assert_eq!(file("patrol.frames").len(), 3 * 96 * 128 * 3);
    let (dense, gated) = (file("patrol.dense"), file("patrol.gated"));
    assert_eq!((dense.len(), gated.len()), (3 * 240 * 8 * 4, 3 * 240 * 8 * 4));
    // The first gated frame is computed whole, the third one is not.
    assert_eq!(dense[..240 * 32], gated[..240 * 32]);
    assert_ne!(dense[2 * 240 * 32..], gated[2 * 240 * 32..]);
    // Without its description it runs, and says so where the description is asked for.
    fails(&["inspect", dir.path().join("patrol.qsc").to_str().unwrap()], &["patrol.qsc"]);
    fails(&["bake", &qsc, "-o", &out, "--name", "a-b"], &["--name", "a-b"]);
    let beside = Path::new(&qsc).parent().unwrap().display().to_string();
    let before = std::fs::read(&qsc).unwrap();
    fails(&["bake", &qsc, "-o", &beside], &["-o", "is the artifact itself", "--name"]);
    assert_eq!(std::fs::read(&qsc).unwrap(), before, "the artifact was overwritten by its copy");

    // The C header holds the same bytes: a program that includes it writes them out.
    let main = dir.path().join("main.c");
    std::fs::write(
        &main,
        "#include <stdio.h>\n#include \"patrol.h\"\nint main(void) { return fwrite(patrol_artifact, 1, PATROL_BYTES, stdout) != PATROL_BYTES; }\n",
    )
    .unwrap();
    let program = dir.path().join("main");
    let built = Command::new("cc").args(["-std=c11", "-Wall", "-Werror", "-o"]).arg(&program).arg(&main).output();
    let Ok(built) = built else { return println!("skipped: no C compiler") };
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert_eq!(Command::new(&program).output().unwrap().stdout, bare[..]);
    match Command::new("c++").args(["-x", "c++", "-std=c++11", "-Wall", "-Werror", "-fsyntax-only"]).arg(&main).output() {
        Ok(out) => assert!(out.status.success(), "{}", text(&out.stderr)),
        Err(_) => println!("skipped: no C++ compiler"),
    }
    // Another length than the stated one does not compile.
    let header = String::from_utf8(file("patrol.h")).unwrap();
    std::fs::write(dir.path().join("patrol.h"), header.replacen("= {\n", "= {\n0,", 1)).unwrap();
    assert!(!Command::new("cc").args(["-std=c11", "-fsyntax-only"]).arg(&main).output().unwrap().status.success());
}
