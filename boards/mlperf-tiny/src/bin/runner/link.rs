//! A device at the other end of a line: a program's standard input and output (an emulator, `desktop`), or a serial port.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longest silence of a device that computes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of an input in one command: what the harness sends.
const CHUNK: usize = 31;

pub struct Link {
    to: Box<dyn Write>,
    lines: Receiver<String>,
    child: Option<Child>,
    /// What the device said before its first `m-ready`.
    pub greeting: Vec<String>,
}

impl Link {
    /// Starts a program that is the device.
    pub fn start(command: &[String]) -> Result<Self, String> {
        let [program, args @ ..] = command else { return Err("no device: a program after --, or --port".into()) };
        let child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| format!("{program}: {e}"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else { return Err(format!("{program}: no pipes")) };
        let mut link = Self::new(to, from, Some(child));
        link.greeting = link.answer()?;
        Ok(link)
    }

    /// Opens a port whose speed and raw mode are set (`stty -F PORT 115200 raw -echo`).
    pub fn open(port: &str) -> Result<Self, String> {
        let file = File::options().read(true).write(true).open(port).map_err(|e| format!("{port}: {e}"))?;
        let from = file.try_clone().map_err(|e| format!("{port}: {e}"))?;
        // The device may have greeted long ago; half a command may be in it.
        let mut link = Self::new(file, from, None);
        link.greeting = link.command("")?;
        Ok(link)
    }

    fn new(to: impl Write + 'static, from: impl Read + Send + 'static, child: Option<Child>) -> Self {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).trim_end().to_string()).is_err() {
                    break;
                }
            }
        });
        Link { to: Box::new(to), lines, child, greeting: vec![] }
    }

    /// Lines up to `m-ready`.
    fn answer(&self) -> Result<Vec<String>, String> {
        let mut all = vec![];
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line == "m-ready" => return Ok(all),
                Ok(line) => all.push(line),
                Err(e) => return Err(format!("the device does not answer ({e}) after {all:?}")),
            }
        }
    }

    /// Sends a command and waits for its answer.
    pub fn command(&mut self, command: &str) -> Result<Vec<String>, String> {
        let sent = write!(self.to, "{command}%").and_then(|()| self.to.flush());
        sent.map_err(|e| format!("{command}: {e}"))?;
        self.answer()
    }

    /// A command whose answer must hold no error.
    pub fn good(&mut self, command: &str) -> Result<Vec<String>, String> {
        let answer = self.command(command)?;
        match answer.iter().find(|line| line.starts_with("e-")) {
            Some(error) => Err(format!("{command}: {error}")),
            None => Ok(answer),
        }
    }

    /// Sends an input.
    pub fn load(&mut self, input: &[u8]) -> Result<(), String> {
        self.good(&format!("db load {}", input.len()))?;
        let mut last = vec![];
        for chunk in input.chunks(CHUNK) {
            let hex: String = chunk.iter().map(|b| format!("{b:02x}")).collect();
            last = self.good(&format!("db {hex}"))?;
        }
        if last == ["m-load-done"] { Ok(()) } else { Err(format!("after the last byte the device said {last:?}")) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What stands behind `key` in the first line that begins with it.
pub fn field<'l>(lines: &'l [String], key: &str) -> Result<&'l str, String> {
    lines.iter().find_map(|l| l.strip_prefix(key)).ok_or(format!("no {key} in {lines:?}"))
}
