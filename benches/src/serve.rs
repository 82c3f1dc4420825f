//! The pipe of the programs that are timed by a script: `ready` and some facts once, then nanoseconds for each `step`.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{Result, bail};

/// Answers until `quit` or the end of the input.
pub fn answer(facts: &str, mut step: impl FnMut() -> Result<Duration>) -> Result<()> {
    let mut out = std::io::stdout();
    let mut say = |line: String| writeln!(out, "{line}").and_then(|()| out.flush());
    say(format!("ready {facts}"))?;
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "step" => say(step()?.as_nanos().to_string())?,
            "quit" => break,
            other => bail!("unknown request {other:?}: step or quit"),
        }
    }
    Ok(())
}
