//! Frames on a time line, in the format that Perfetto and `chrome://tracing` read: complete events, microseconds.

use std::path::Path;

use anyhow::{Context, Result};
use quiescent_tools::artifact::write_whole;
use serde::Serialize;

use quiescent_tools::clock::Piece;

/// Events so far.
#[derive(Default, Serialize)]
pub struct Trace {
    #[serde(rename = "traceEvents")]
    events: Vec<Event>,
}

#[derive(Serialize)]
struct Event {
    name: String,
    /// A complete event `X`, or a name of a line `M`.
    ph: char,
    ts: f64,
    dur: f64,
    pid: u32,
    /// The line: one for each engine.
    tid: u32,
    args: serde_json::Value,
}

impl Trace {
    /// Names a line.
    pub fn line(&mut self, tid: u32, name: &str) {
        let args = serde_json::json!({ "name": name });
        self.events.push(Event { name: "thread_name".into(), ph: 'M', ts: 0.0, dur: 0.0, pid: 1, tid, args });
    }

    /// A frame and its pieces, which `name` names; times in microseconds.
    pub fn frame(&mut self, tid: u32, frame: usize, begin: f64, end: f64, pieces: &[Piece], name: impl Fn(&Piece) -> String) {
        let args = serde_json::json!({});
        self.events.push(Event { name: format!("frame {frame}"), ph: 'X', ts: begin, dur: end - begin, pid: 1, tid, args });
        let mut from = begin;
        for p in pieces {
            let args = serde_json::json!({ "frame": frame });
            self.events.push(Event { name: name(p), ph: 'X', ts: from, dur: p.end - from, pid: 1, tid, args });
            from = p.end;
        }
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        write_whole(path, &serde_json::to_vec(self)?).context("--trace")
    }
}
