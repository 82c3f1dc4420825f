//! A device made of this machine: the protocol on standard input and output.
//!
//! ```text
//! desktop MODEL.qsc BENCHMARK [KERNELS]
//! ```

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Instant;

use quiescent::format::{AlignedBytes, arena_len};
use quiescent::{Engine, kernels};
use quiescent_mlperf_tiny::network::{Artifact, Benchmark, Room};
use quiescent_mlperf_tiny::protocol::{Board, Dut};

struct Desktop(Instant);

impl Board for Desktop {
    fn send(&mut self, bytes: &[u8]) {
        // A host that has gone away ends the input too.
        let _ = std::io::stdout().lock().write_all(bytes);
        let _ = std::io::stdout().flush();
    }

    fn mark(&mut self) -> Option<u64> {
        Some(self.0.elapsed().as_micros() as u64)
    }

    fn measures_energy(&self) -> bool {
        false
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("desktop: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, name, rest @ ..] = &args[..] else { return Err("MODEL.qsc BENCHMARK [KERNELS]".into()) };
    let benchmark = Benchmark::new(name).ok_or(format!("{name} is none of {:?}", Benchmark::ALL.map(Benchmark::name)))?;
    let set = match rest.first() {
        Some(name) => kernels::select(name).ok_or(format!("this processor has no kernels {name}"))?,
        None => kernels::best(),
    };
    let file = AlignedBytes::from(std::fs::read(path).map_err(|e| format!("{path}: {e}"))?);
    let mut arena = AlignedBytes::zeroed(arena_len(&file).map_err(|e| format!("{path}: {e}"))?);
    let engine = Engine::load(&file, &mut arena, set).map_err(|e| format!("{path}: {e}"))?;
    let (mut codes, mut reals) = (vec![0; benchmark.input_values()], vec![0.0; benchmark.input_values()]);
    let room = if benchmark.real() { Room::Reals(&mut reals) } else { Room::Codes(&mut codes) };
    let network = Artifact::new(engine, benchmark, room).ok_or(format!("{path} is no network for {name}"))?;
    let mut buffer = vec![0; benchmark.input_bytes()];
    let mut dut = Dut::new(Desktop(Instant::now()), network, &mut buffer);
    dut.greet();
    for byte in std::io::stdin().lock().bytes() {
        dut.receive(byte.map_err(|e| e.to_string())?);
    }
    Ok(())
}
