//! Memory map of the board named by `QUIESCENT_BOARD`, and the baked model named by `QUIESCENT_BAKED`.

use std::{env, fs, path::Path};

/// Name, code, constants, memory (start and bytes each), picoseconds of a processor clock.
const BOARDS: [(&str, [u32; 2], [u32; 2], [u32; 2], u32); 4] = [
    ("an386", [0, 1 << 20], [1 << 20, 3 << 20], [0x2000_0000, 4 << 20], 40_000),
    ("an500", [0, 1 << 20], [1 << 20, 3 << 20], [0x2000_0000, 4 << 20], 40_000),
    ("an505", [0x1000_0000, 1 << 20], [0x1010_0000, 3 << 20], [0x3800_0000, 4 << 20], 50_000),
    ("an547", [0, 512 << 10], [0x0100_0000, 2 << 20], [0x2000_0000, 512 << 10], 31_250),
];

fn main() {
    let board = env::var("QUIESCENT_BOARD").unwrap_or("an386".into());
    let Some((_, code, constants, ram, clock)) = BOARDS.iter().find(|b| b.0 == board) else {
        panic!("QUIESCENT_BOARD={board}: known are {}", BOARDS.map(|b| b.0).join(", "));
    };
    let out = env::var("OUT_DIR").unwrap();
    let region = |name: &str, [start, bytes]: &[u32; 2]| format!("  {name} : ORIGIN = {start:#x}, LENGTH = {bytes:#x}\n");
    let memory = format!(
        "MEMORY {{\n{}{}{}}}\n",
        region("CODE (rx)", code), region("CONSTANTS (r)", constants), region("RAM (rwx)", ram)
    );
    fs::write(Path::new(&out).join("memory.x"), memory).unwrap();
    println!("cargo::rustc-link-arg-bins=-L{out}");
    println!("cargo::rustc-link-arg-bins=-T{}/link.x", env::var("CARGO_MANIFEST_DIR").unwrap());
    println!("cargo::rustc-env=CLOCK_PS={clock}");
    println!("cargo::rustc-env=BOARD={board}");
    if let Ok(baked) = env::var("QUIESCENT_BAKED") {
        println!("cargo::rustc-env=BAKED={baked}.rs");
    }
    for name in ["QUIESCENT_BOARD", "QUIESCENT_BAKED"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=link.x");
}
