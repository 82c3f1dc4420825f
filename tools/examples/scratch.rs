use quiescent::{kernels, Mode, format::Profile};
use quiescent_tools::{artifact::{self, Artifact}, calibrate, clip, convert, feed::{Feed, Input}, lower::Hold, task::Task, exec};
use std::path::PathBuf;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let name = &args[1];
    let clip_name = args.get(2).cloned();
    let gates = args.get(3).is_some();
    let assets = PathBuf::from("/work/shared/assets/models");
    let tpath = PathBuf::from(format!("tasks/{name}.toml"));
    let task = tpath.exists().then(|| Task::load(&tpath)).transpose()?;
    let golden = assets.join(format!("golden/{name}/in0.npy"));
    let o = convert::Options { model: assets.join(format!("{name}.onnx")), calib: vec![], task: None, gates, hold: if gates { Hold::Ratio(2.0) } else { Hold::None }, profile: Profile::Any, input_shape: None, norm: None, mode: None, frames: 32, calibrate: calibrate::Options::default() };
    let t0 = std::time::Instant::now();
    let p = convert::prepare(&o, task.as_ref())?;
    if std::env::var("DUMP").is_ok() { println!("{}", p.graph); }
    println!("{name}: import {:?} input {:?} {:?}", t0.elapsed(), p.input.shape, p.input.kind);
    let frames: Vec<Input> = match &clip_name {
        Some(c) if c != "-" => convert::calibration_frames(&p.input, &[c.clone()], 32)?,
        _ => { 
            let (_s, v) = clip::npy::read(&golden)?;
            vec![match p.input.kind { artifact::InputKind::Values => { let f = Feed::open(&p.input, golden.to_str().unwrap(), &Default::default()); drop(f); 
                 // golden has the batch axis first = frames
                 Input::Values(feed_map(&p.input, &v)) }, artifact::InputKind::Pixels => {
                 let n = p.input.norm.clone();
                 let v = feed_map(&p.input, &v);
                 let c = p.input.shape[2];
                 Input::Pixels(v.iter().enumerate().map(|(i, x)| match &n { Some(n) => { let k = i % c; let at = |v: &Vec<f32>| *v.get(k).unwrap_or(&v[0]); (((x * at(&n.std)) + at(&n.mean)) / n.scale).round().clamp(0.0,255.0) as u8 }, None => if p.graph.inputs[0].onnx_type == quiescent_tools::ir::ElementType::I8 { (*x as i32 + 128) as u8 } else { *x as u8 } }).collect()) } }] }
    };
    let t0 = std::time::Instant::now();
    let a: Artifact = convert::quantise(&o, &p, &frames, None)?;
    println!("  quantise {:?}; {} bytes, arena {} dense {}", t0.elapsed(), a.bytes().len(), a.header().arena_len, a.header().arena_dense_len);
    let mut outs = vec![];
    for k in kernels::available() {
        let mut arena = a.arena();
        let mut e = a.engine(&mut arena, k)?;
        e.set_mode(Mode::Dense);
        artifact::step(&mut e, &frames[0])?;
        let mut best = f64::MAX;
        for _ in 0..if k.name == "avx512vnni" { std::env::var("REP").map_or(20, |v| v.parse().unwrap()) } else if k.name == "scalar" { 1 } else { 20 } { let t = std::time::Instant::now(); artifact::step(&mut e, &frames[0])?; best = best.min(t.elapsed().as_secs_f64()*1e3); }
        let out = artifact::read_outputs(&e.outputs());
        if k.name == "avx512vnni" && std::env::var("PROF").is_ok() {
            let times = std::cell::RefCell::new(vec![f64::MAX; a.meta.steps.len()]);
            let last = std::cell::Cell::new(std::time::Instant::now());
            let obs = |i: usize| { let n = std::time::Instant::now(); let d = (n - last.get()).as_secs_f64()*1e6; let t = &mut times.borrow_mut()[i]; *t = t.min(d); last.set(std::time::Instant::now()); };
            let mut arena2 = a.arena();
            let mut e = a.engine(&mut arena2, k)?;
            e.set_mode(Mode::Dense);
            e.observe(Some(&obs));
            for _ in 0..20 { last.set(std::time::Instant::now()); artifact::step(&mut e, &frames[0])?; }
            drop(e);
            for (i, s) in a.meta.steps.iter().enumerate() { let t = times.borrow()[i]; if t < 1e9 { println!("    {i:3} {:12} {:?} {t:8.1} us {:6.1} GMAC/s  {}", s.op, s.shape, s.macs as f64 / t / 1e3, s.name); } }
        }
        println!("  {}: {best:.3} ms, {:.1} GMAC/s", k.name, a.header().cost.macs.get() as f64 / best / 1e6);
        outs.push(out);
    }
    for o in &outs[1..] { if *o != outs[0] { println!("  KERNEL SETS DIFFER"); } }
    let mut ex = exec::Executor::new(&p.float)?;
    let fi = convert::float_input(&p, &frames[0]);
    ex.run(&[fi])?;
    let fl = ex.outputs();
    for (i, (q, f)) in outs[0].iter().zip(&fl).enumerate() {
        let g = clip::npy::read(&assets.join(format!("golden/{name}/out{i}.npy"))).ok();
        let rel = |a: &[f32], b: &[f32]| { let n: f64 = a.iter().zip(b).map(|(a,b)| ((a-b) as f64).powi(2)).sum(); let d: f64 = b.iter().map(|b| (*b as f64).powi(2)).sum(); (n/d.max(1e-12)).sqrt() };
        println!("  out {} {:?}: int8 vs float rel {:.4}{}", q.name, q.shape, rel(&q.data, f), match &g { Some((_, g)) if clip_name.is_none() => format!(", int8 vs golden {:.4}, float vs golden {:.5}", rel(&q.data, g), rel(f, g)), _ => String::new() });
    }
    Ok(())
}
fn feed_map(spec: &artifact::InputSpec, v: &[f32]) -> Vec<f32> {
    let [h, w, c] = spec.shape;
    let strides: Vec<usize> = (0..spec.onnx_shape.len()).map(|a| spec.onnx_shape[a + 1..].iter().product()).collect();
    let s = |a: Option<usize>| a.map_or(0, |a| strides[a]);
    let mut out = vec![];
    for y in 0..h { for x in 0..w { for k in 0..c { out.push(v[y*s(spec.axes.0)+x*s(spec.axes.1)+k*s(spec.axes.2)]); } } }
    out
}
