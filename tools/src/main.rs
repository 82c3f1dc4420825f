fn main() {
    for p in std::env::args().skip(1) {
        match quiescent_tools::import::load(std::path::Path::new(&p), &Default::default()) {
            Ok(g) => println!("{p}: ok {} nodes {} tensors", g.nodes.len(), g.tensors.len()),
            Err(e) => println!("{p}: {e}"),
        }
    }
}
