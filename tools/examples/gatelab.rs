use quiescent::{format::{Profile, InputGate}};
use quiescent_tools::{artifact::Artifact, calibrate, clip, convert, feed::{Feed, Input}, lower::Hold, task::Task, gates::Trial};
use std::path::PathBuf;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let (name, clip_name) = (&args[1], &args[2]);
    let ratio: f32 = args.get(3).map_or(2.0, |s| s.parse().unwrap());
    let v = |c: &str| format!("/work/shared/assets/video/{c}.mp4");
    let task = Task::load(&PathBuf::from(format!("tasks/{name}.toml")))?;
    let cache = PathBuf::from(format!("/tmp/qsc/{name}-{ratio}.qsc"));
    if !cache.exists() {
        std::fs::create_dir_all("/tmp/qsc")?;
        let o = convert::Options { model: PathBuf::from(format!("/work/shared/assets/models/{name}.onnx")), calib: vec![], task: None, gates: true, hold: if ratio > 50.0 { Hold::All } else { Hold::Ratio(ratio) }, profile: Profile::Any, input_shape: None, norm: None, mode: None, frames: 24, calibrate: calibrate::Options::default() };
        let p = convert::prepare(&o, Some(&task))?;
        let frames = convert::calibration_frames(&p.input, &[v("pets_pedestrians_static"), v("webcam_signer_a_static"), v("highway_trees_static")], 24)?;
        convert::quantise(&o, &p, &frames, None)?.save(&cache)?;
    }
    let mut a = Artifact::load(&cache)?;
    println!("arena {} dense {} gates {}", a.header().arena_len, a.header().arena_dense_len, a.model().gates.len());
    let n: usize = std::env::var("N").map_or(150, |s| s.parse().unwrap());
    let noise = std::env::var("NOISE").ok().map(|s| clip::Noise { sigma: s.parse().unwrap(), seed: 1 });
    let clips: Vec<Vec<Input>> = vec![Feed::open(&a.meta.input, &v(clip_name), &clip::Options { frames: Some(n), noise, ..Default::default() })?.map(|f| f.unwrap().input).collect()];
    a.set_dense_above(2.0);
    let t = Trial::new(&a, &clips, &task, None)?;
    if std::env::var("FRAMES").is_ok() {
        let (px, block, tau, dead) = parse(&args[4..])[0];
        a.set_gates(InputGate { pixel: px, block, ..Default::default() }, |g| g.iter_mut().for_each(|g| { g.threshold = (tau * tau) as u32; g.dead = dead; }));
        let mut arena = a.arena();
        let mut e = a.engine(&mut arena, quiescent::kernels::best())?;
        for (i, f) in clips[0].iter().enumerate() { quiescent_tools::artifact::step(&mut e, f)?; let s = e.stats(); print!("{i}:{}{:.0}%/{} ", if s.dense {"D"} else {""}, 100.0 * s.macs as f64 / a.header().cost.macs.get() as f64, s.pixels); }
        println!();
        return Ok(());
    }
    let base: Vec<f64> = { let m = a.model(); let mut v = vec![0.0; m.gates.len()]; for st in m.steps { if (st.gate as usize) < v.len() { v[st.gate as usize] = m.tensors[st.output as usize].c as f64; } } v };
    let cpow: f64 = std::env::var("CPOW").map_or(0.0, |s| s.parse().unwrap());
    for (px, block, tau, dead) in parse(&args[4..]) {
        a.set_gates(InputGate { pixel: px, block, ..Default::default() }, |g| g.iter_mut().zip(&base).for_each(|(g, c)| { g.threshold = ((tau * tau) as f64 * (c / 48.0).powf(cpow)) as u32; g.dead = dead; }));
        let t0 = std::time::Instant::now();
        let m = t.all(&a, 1.0)?;
        println!("px {px} block {block} tau {tau} dead {dead}: work {:5.1} %  agree {:.4} error {:.4}  {:?}", m.work * 100.0, m.agreement, m.error, t0.elapsed());
    }
    Ok(())
}
fn parse(a: &[String]) -> Vec<(u16, u16, f32, u32)> { a.iter().map(|s| { let v: Vec<f32> = s.split(',').map(|x| x.parse().unwrap()).collect(); (v[0] as u16, v[1] as u16, v[2], v.get(3).map_or(0, |d| *d as u32)) }).collect() }
