//! The command line: one file a command, and what they share.
//!
//! ```text
//! convert   ONNX model + calibration clips -> artifact        inspect   what an artifact holds
//! run       artifact over a clip -> outputs, pictures         eval      agreement with the float model
//! bench     dense and gated, frame by frame -> times          demo      all of it on the shipped model
//! profile   where a frame's time goes, step by step          bake      artifact -> source code for firmware
//! tune      what each step takes on this machine, kept for budgets in milliseconds
//! ```
//!
//! Built without the feature `import`, for a board, it has no `convert` and no `demo`, and `eval` takes dumped references only.
//!
//! A command gathers its result in one serialisable value and prints it once, at the end: as text, or as one JSON object
//! with `--json`. Errors are one line, `error: what: why`, and exit status 1 (2 for a wrong flag).

#![cfg_attr(not(feature = "import"), allow(dead_code))]

mod args;
mod bake;
mod bench;
#[cfg(feature = "import")]
mod convert;
#[cfg(feature = "import")]
mod demo;
mod dumps;
mod eval;
mod inspect;
mod measure;
mod pictures;
mod profile;
mod reference;
mod run;
mod talk;
mod tune;

use std::panic;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use talk::Talk;

/// Converts ONNX networks into int8 artifacts that recompute only what changed, and runs, judges and times them.
#[derive(Parser)]
#[command(name = "quiescent", version, max_term_width = 110)]
struct Cli {
    /// One JSON object per result on standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "import")]
    Convert(convert::Args),
    Inspect(inspect::Args),
    Run(run::Args),
    Eval(eval::Args),
    Bench(bench::Args),
    Profile(profile::Args),
    Tune(tune::Args),
    Bake(bake::Args),
    #[cfg(feature = "import")]
    Demo(demo::Args),
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let talk = Talk::new(cli.json);
    match guarded(|| dispatch(&cli.command, &talk)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &Command, talk: &Talk) -> Result<()> {
    match command {
        #[cfg(feature = "import")]
        Command::Convert(a) => convert::main(a, talk),
        Command::Inspect(a) => inspect::main(a, talk),
        Command::Run(a) => run::main(a, talk),
        Command::Eval(a) => eval::main(a, talk),
        Command::Bench(a) => bench::main(a, talk),
        Command::Profile(a) => profile::main(a, talk),
        Command::Tune(a) => tune::main(a, talk),
        Command::Bake(a) => bake::main(a, talk),
        #[cfg(feature = "import")]
        Command::Demo(a) => demo::main(a, talk),
    }
}

/// A panic is a defect, here or in a library; users still get one line and an exit status.
fn guarded(f: impl FnOnce() -> Result<()>) -> Result<()> {
    use std::sync::Mutex;
    static WHERE: Mutex<String> = Mutex::new(String::new());
    panic::set_hook(Box::new(|info| {
        if let Ok(mut place) = WHERE.lock() {
            *place = info.to_string().replace('\n', " ");
        }
    }));
    let result = panic::catch_unwind(panic::AssertUnwindSafe(f));
    result.unwrap_or_else(|_| {
        let place = WHERE.lock().map(|p| p.clone()).unwrap_or_default();
        Err(anyhow::anyhow!("a defect of quiescent, please report it with the command and the model: {place}"))
    })
}
