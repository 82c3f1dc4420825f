use quiescent_tools::{calibrate, clip, convert, feed::{Feed, Input}, lower::Hold, task::Task, gates::{Budget, Trial}, artifact::Artifact};
use quiescent::format::Profile;
use std::path::PathBuf;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let name = &args[1];
    let v = |c: &str| format!("/work/shared/assets/video/{c}.mp4");
    let calib: Vec<String> = args[2].split(',').map(|c| v(c)).collect();
    let task = Task::load(&PathBuf::from(format!("tasks/{name}.toml")))?;
    let o = convert::Options { model: PathBuf::from(format!("/work/shared/assets/models/{name}.onnx")), calib: vec![], task: None, gates: true, hold: Hold::All, profile: Profile::Any, input_shape: None, norm: None, mode: None, frames: 24, calibrate: calibrate::Options::default() };
    let p = convert::prepare(&o, Some(&task))?;
    let frames = convert::calibration_frames(&p.input, &calib, 24)?;
    let t0 = std::time::Instant::now();
    let c = convert::calibrate(&o, &p, &frames, None)?;
    println!("calibrated {:?}", t0.elapsed());
    let n: usize = std::env::var("N").map_or(80, |s| s.parse().unwrap());
    let start: usize = std::env::var("START").map_or(0, |s| s.parse().unwrap());
    let load = |name: &str, start: usize, n: usize| -> anyhow::Result<Vec<Input>> { Feed::open(&p.input, name, &clip::Options { frames: Some(n), start, ..Default::default() })?.map(|f| Ok(f?.input)).collect() };
    let clips: Vec<Vec<Input>> = calib.iter().map(|c| load(c, start, n)).collect::<Result<_, _>>()?;
    let max_drop: f64 = std::env::var("DROP").map_or(0.005, |s| s.parse().unwrap());
    let ratio: f32 = std::env::var("RATIO").map_or(2.0, |s| s.parse().unwrap());
    let refine: u64 = std::env::var("REFINE").map_or(60, |s| s.parse().unwrap());
    let t0 = std::time::Instant::now();
    let (a, points, found) = c.search(&clips, &task, &Budget { max_drop, arena_ratio: ratio, refine: std::time::Duration::from_secs(refine) }, &|s| println!("  {s}"))?;
    println!("search {:?} {found:?} arena {} dense {}", t0.elapsed(), a.header().arena_len, a.header().arena_dense_len);
    std::fs::create_dir_all("/tmp/qsc")?;
    a.finish(&points, Default::default()).map(|_| ()).ok();
    Ok(())
}
#[allow(dead_code)] fn x(_: Trial, _: Artifact) {}
