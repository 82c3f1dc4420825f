//! Memory map of the board named by `QUIESCENT_BOARD`, the artifacts of the conformance test, and the baked model named by
//! `QUIESCENT_BAKED`. The build script of the crates beside this one.

use std::{env, fs, path::Path};

/// Name, target, code, constants, memory (start and bytes each), picoseconds of a processor clock.
type Board = (&'static str, &'static str, [u32; 2], [u32; 2], [u32; 2], u32);

const V7: &str = "thumbv7em-none-eabihf";
const V8: &str = "thumbv8m.main-none-eabihf";
const BOARDS: [Board; 5] = [
    ("an386", V7, [0, 1 << 20], [1 << 20, 3 << 20], [0x2000_0000, 4 << 20], 40_000),
    ("an500", V7, [0, 1 << 20], [1 << 20, 3 << 20], [0x2000_0000, 4 << 20], 40_000),
    ("an505", V8, [0x1000_0000, 1 << 20], [0x1010_0000, 3 << 20], [0x3800_0000, 4 << 20], 50_000),
    ("an547", V8, [0, 512 << 10], [0x0100_0000, 2 << 20], [0x2000_0000, 512 << 10], 31_250),
    ("virt", "riscv32imac-unknown-none-elf", [0x8000_0000, 1 << 20], [0x8010_0000, 3 << 20], [0x8040_0000, 4 << 20], 1_000),
];

fn main() {
    let target = env::var("TARGET").unwrap();
    let board = env::var("QUIESCENT_BOARD").unwrap_or(if target.starts_with("riscv") { "virt" } else { "an386" }.into());
    let Some((_, _, code, constants, ram, clock)) = BOARDS.iter().find(|b| b.0 == board && b.1 == target) else {
        let known = BOARDS.map(|b| format!("{} for --target {}", b.0, b.1)).join(", ");
        panic!("QUIESCENT_BOARD={board} (an386 unless told) with --target {target}: known are {known}");
    };
    let out = env::var("OUT_DIR").unwrap();
    let common = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../common").canonicalize().unwrap();
    let region = |name: &str, [start, bytes]: &[u32; 2]| format!("  {name} : ORIGIN = {start:#x}, LENGTH = {bytes:#x}\n");
    let memory = format!("MEMORY {{\n{}{}{}}}\n", region("CODE (rx)", code), region("CONSTANTS (r)", constants), region("RAM (rwx)", ram));
    fs::write(Path::new(&out).join("memory.x"), memory).unwrap();
    fs::write(Path::new(&out).join("vectors.rs"), vectors(&common.join("../../runtime/tests/conformance"))).unwrap();
    println!("cargo::rustc-link-arg-bins=-L{out}");
    println!("cargo::rustc-link-arg-bins=-T{}/link.x", common.display());
    println!("cargo::rustc-env=CLOCK_PS={clock}");
    println!("cargo::rustc-env=BOARD={board}");
    if let Ok(baked) = env::var("QUIESCENT_BAKED") {
        // From this crate's folder, where it is relative.
        let Ok(module) = Path::new(&format!("{baked}.rs")).canonicalize() else {
            panic!("QUIESCENT_BAKED={baked}: there is no {baked}.rs; `quiescent bake NAME.qsc -o DIR` makes DIR/NAME.rs");
        };
        println!("cargo::rustc-env=BAKED={}", module.display());
        println!("cargo::rustc-env=BAKED_NAME={}", Path::new(&baked).file_name().unwrap().display());
    }
    for name in ["QUIESCENT_BOARD", "QUIESCENT_BAKED"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    for file in ["build.rs", "link.x"] {
        println!("cargo::rerun-if-changed={}/{file}", common.display());
    }
}

/// `VECTORS` (name and bytes), `EXPECTED`, and the memory the largest needs.
fn vectors(folder: &Path) -> String {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "qsc"));
    files.sort();
    let (mut list, mut longest, mut arena) = (String::new(), 0, 0);
    for path in &files {
        let bytes = fs::read(path).unwrap();
        longest = longest.max(bytes.len());
        // Where the header states the arena's length: docs/format.md.
        arena = arena.max(u32::from_le_bytes(bytes[20..24].try_into().unwrap()));
        list += &format!("    ({:?}, &Aligned(*include_bytes!({path:?})).0),\n", path.file_stem().unwrap());
    }
    format!(
        "const VECTORS: [(&str, &[u8]); {}] = [\n{list}];\nconst EXPECTED: &str = include_str!({:?});\n\
         const LONGEST: usize = {longest};\nconst ARENA: usize = {arena};\n",
        files.len(),
        folder.join("expected.txt")
    )
}
