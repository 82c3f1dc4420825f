//! Memory map of the board named by `QUIESCENT_BOARD`, and the baked model named by `QUIESCENT_BAKED`.

use std::{env, fs, path::Path};

/// Name, code, memory (start and bytes), picoseconds of a processor clock.
const BOARDS: [(&str, [u32; 2], [u32; 2], u32); 4] = [
    ("an386", [0, 4 << 20], [0x2000_0000, 4 << 20], 40_000),
    ("an500", [0, 4 << 20], [0x2000_0000, 4 << 20], 40_000),
    ("an505", [0x1000_0000, 4 << 20], [0x3800_0000, 4 << 20], 50_000),
    ("an547", [0, 512 << 10], [0x2000_0000, 512 << 10], 31_250),
];

fn main() {
    let board = env::var("QUIESCENT_BOARD").unwrap_or("an386".into());
    let Some((_, code, ram, clock)) = BOARDS.iter().find(|b| b.0 == board) else {
        panic!("QUIESCENT_BOARD={board}: known are {}", BOARDS.map(|b| b.0).join(", "));
    };
    let out = env::var("OUT_DIR").unwrap();
    let memory = format!(
        "MEMORY {{\n  CODE (rx) : ORIGIN = {:#x}, LENGTH = {:#x}\n  RAM (rwx) : ORIGIN = {:#x}, LENGTH = {:#x}\n}}\n",
        code[0], code[1], ram[0], ram[1]
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
