//! The `quiescent` command. Results go to standard output, everything else to standard error.

#![allow(missing_docs)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
