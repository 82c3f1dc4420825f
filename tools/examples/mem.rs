use quiescent_tools::artifact::Artifact;
fn main() -> anyhow::Result<()> {
    let a = Artifact::load(std::path::Path::new(&std::env::args().nth(1).unwrap()))?;
    let m = a.model();
    let mut v: Vec<(u64, String)> = m.tensors.iter().zip(&a.meta.tensors).filter(|(t, _)| t.flags & 2 == 0).map(|(t, n)| { let b = t.border; let bytes = (t.h as u64 + b[0] as u64 + b[2] as u64) * t.line as u64; (bytes, format!("{}x{}x{} {} {:?} {n}", t.h, t.w, t.c, if t.held() {"held"} else {"-"}, b)) }).collect();
    v.sort(); v.reverse();
    let total: u64 = v.iter().map(|v| v.0).sum();
    println!("total {total} tensors_end {} arena {}", a.header().tensors_end, a.header().arena_len);
    for (b, n) in v.iter().take(40) { println!("{b:9} {n}"); }
    Ok(())
}
