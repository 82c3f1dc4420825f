//! Where words go: results to standard output, warnings and progress to standard error.

use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use quiescent::format::{Point, Profile};
use serde::Serialize;

pub struct Talk {
    pub json: bool,
    /// Progress is for people.
    terminal: bool,
}

impl Talk {
    pub fn new(json: bool) -> Self {
        Self { json, terminal: std::io::stderr().is_terminal() }
    }

    /// One result, as text or as one line of JSON.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let mut line = if self.json { serde_json::to_string(value)? } else { text() };
        if !line.ends_with('\n') {
            line.push('\n');
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            // The reader had enough.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.context("writing to standard output"),
        }
    }

    /// A line while something long goes on, which is part of the text, but not of the JSON.
    pub fn line(&self, text: &str) {
        match self.json {
            true => eprintln!("{text}"),
            // Who reads no longer will be told by the result.
            false => drop(writeln!(std::io::stdout(), "{text}")),
        }
    }

    pub fn warn(&self, text: &str) {
        eprintln!("warning: {text}");
    }

    /// A bar over `total` frames, a counter where the number is not known; nothing where nobody looks.
    pub fn frames(&self, what: &'static str, total: Option<usize>) -> ProgressBar {
        if !self.terminal {
            return ProgressBar::hidden();
        }
        let (bar, template) = match total {
            Some(n) => (ProgressBar::new(n as u64), "{msg} [{bar:30}] {pos}/{len} frames"),
            None => (ProgressBar::new_spinner(), "{msg} {spinner} {pos} frames"),
        };
        self.styled(bar, template).with_message(what)
    }

    /// A line that says what is going on.
    pub fn stage(&self, what: &str) -> ProgressBar {
        if !self.terminal {
            return ProgressBar::hidden();
        }
        let bar = self.styled(ProgressBar::new_spinner(), "{spinner} {msg} ({elapsed})");
        bar.enable_steady_tick(Duration::from_millis(120));
        bar.with_message(what.to_string())
    }

    fn styled(&self, bar: ProgressBar, template: &str) -> ProgressBar {
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// `1234567` as `1.23 M`.
pub fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// Bytes in powers of 1024.
pub fn bytes(n: usize) -> String {
    match n {
        0..10_240 => format!("{n} B"),
        10_240..10_485_760 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1048576.0),
    }
}

/// `1 thread`, `2 threads`.
pub fn threads(n: usize) -> String {
    format!("{n} thread{}", if n == 1 { "" } else { "s" })
}

pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A table of operating points `(scale, agreement, work)`.
pub fn points_text(points: &[(f32, f32, f32)]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let mut t = String::from("operating points on the calibration clips\n  --gate-scale  agreement  work left\n");
    for (scale, agreement, work) in points {
        t += &format!("  {scale:12.3}  {agreement:9.4}  {:>9}\n", percent(*work as f64));
    }
    t
}

pub fn triples(points: &[Point]) -> Vec<(f32, f32, f32)> {
    points.iter().map(|p| (p.scale, p.agreement, p.work)).collect()
}

/// The name of a profile, as in `--target`.
pub fn profile_name(code: u16) -> &'static str {
    match Profile::new(code) {
        Some(Profile::X86Avx2) => "x86_64-avx2",
        Some(Profile::X86AvxVnni) => "x86_64-avxvnni",
        Some(Profile::X86Avx512) => "x86_64-avx512",
        Some(Profile::Aarch64Neon) => "aarch64-neon",
        Some(Profile::Aarch64DotProd) => "aarch64-dotprod",
        Some(Profile::Aarch64I8mm) => "aarch64-i8mm",
        Some(Profile::CortexM) => "cortex-m",
        Some(Profile::Any) => "any",
        None => "unknown",
    }
}
