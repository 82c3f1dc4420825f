//! Video files, through an `ffmpeg` on the PATH.
//!
//! ffmpeg is asked for a pipe of PPM pictures: each carries its own size, so nothing has to be guessed beforehand, and the
//! samples are those of its `rgb24`. Frames pass through without being dropped or repeated for a frame rate. `ffprobe`,
//! where present, tells the frame rate and count; both stay unknown without it.
//!
//! The child is killed when the decoder is dropped. A decoder that had to conceal damage is an error, not a warning: it
//! would be measured as if the scene had changed.

use super::{Decode, Frame, MAX_SIDE, Opened};
use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

/// Bytes of ffmpeg's complaints that are kept.
const COMPLAINT_BYTES: usize = 2000;

/// Newer and older spelling of "every coded frame exactly once".
const PASS_THROUGH: [[&str; 2]; 2] = [["-fps_mode", "passthrough"], ["-vsync", "0"]];

/// Complaints after which ffmpeg goes on, with frames missing or patched.
const DAMAGE: [&str; 6] = ["premature", "partial file", "corrupt", "Invalid data", "error while decoding", "truncat"];

pub fn open(path: &Path) -> Result<Opened> {
    open_with("ffmpeg", "ffprobe", path)
}

pub(super) fn open_with(ffmpeg: &str, ffprobe: &str, path: &Path) -> Result<Opened> {
    let (fps, frames) = probe(ffprobe, path);
    let mut last = None;
    for spelling in PASS_THROUGH {
        let mut pipe = Pipe::spawn(ffmpeg, path, &spelling)?;
        match pipe.read_frame() {
            Err(e) if e.to_string().contains(spelling[0].trim_start_matches('-')) => last = Some(e),
            first => {
                pipe.first = first?;
                return Ok(Opened { decode: Box::new(pipe), fps, frames });
            }
        }
    }
    Err(last.unwrap_or_else(|| anyhow!("{} does not run", ffmpeg)))
}

/// `file:` keeps ffmpeg from reading a name as an option or a protocol.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Frame rate and count; `None` where ffprobe is missing or does not know.
fn probe(ffprobe: &str, path: &Path) -> (Option<f64>, Option<usize>) {
    let out = Command::new(ffprobe)
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=avg_frame_rate,nb_frames"])
        .args(["-of", "default=noprint_wrappers=1"])
        .arg(file_url(path))
        .stdin(Stdio::null())
        .output();
    let Ok(out) = out else { return (None, None) };
    let text = String::from_utf8_lossy(&out.stdout);
    let value = |key: &str| text.lines().find_map(|l| l.trim().strip_prefix(key)?.strip_prefix('='));
    let fps = value("avg_frame_rate").and_then(|v| {
        let (num, den) = v.split_once('/')?;
        let fps = num.parse::<f64>().ok()? / den.parse::<f64>().ok()?;
        (fps.is_finite() && fps > 0.0).then_some(fps)
    });
    (fps, value("nb_frames").and_then(|v| v.parse().ok()))
}

struct Pipe {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Collects the complaints so that the child never blocks on a full pipe.
    complaints: Option<JoinHandle<String>>,
    first: Option<Frame>,
    /// Whether a frame has been read.
    decoded: bool,
    ended: bool,
}

impl Pipe {
    fn spawn(ffmpeg: &str, path: &Path, pass_through: &[&str]) -> Result<Pipe> {
        let mut child = Command::new(ffmpeg)
            .args(["-nostdin", "-v", "error", "-xerror", "-i"])
            .arg(file_url(path))
            .args(["-map", "0:v:0"])
            .args(pass_through)
            .args(["-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "-"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| match e.kind() {
                ErrorKind::NotFound => anyhow!(
                    "{}: video files need ffmpeg, and none is on the PATH; install it, or give the clip as .y4m, .gif or a folder of PNG files",
                    path.display()
                ),
                _ => anyhow!("{}: {ffmpeg} could not be started: {e}", path.display()),
            })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(mut stderr)) = (stdout, stderr) else {
            bail!("{}: {ffmpeg} was started without pipes", path.display());
        };
        let complaints = std::thread::spawn(move || {
            let mut kept = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(n) = stderr.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                kept.extend_from_slice(&buffer[..n.min(COMPLAINT_BYTES.saturating_sub(kept.len()))]);
            }
            String::from_utf8_lossy(&kept).into_owned()
        });
        Ok(Pipe {
            child,
            stdout: BufReader::with_capacity(1 << 20, stdout),
            complaints: Some(complaints),
            first: None,
            decoded: false,
            ended: false,
        })
    }

    fn read_frame(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        if self.stdout.fill_buf().context("reading from ffmpeg")?.is_empty() {
            self.ended = true;
            self.finish()?;
            return Ok(None);
        }
        match self.read_ppm() {
            Ok(frame) => {
                self.decoded = true;
                Ok(Some(frame))
            }
            Err(e) => {
                self.ended = true;
                // What ffmpeg says is the better explanation of a pipe that breaks off.
                self.finish()?;
                Err(e)
            }
        }
    }

    /// `P6 <width> <height> 255`, one white space, then the samples.
    fn read_ppm(&mut self) -> Result<Frame> {
        let mut header: Vec<u8> = Vec::with_capacity(16);
        while header.iter().filter(|b| b.is_ascii_whitespace()).count() < 4 {
            let mut byte = [0];
            self.stdout.read_exact(&mut byte).context("ffmpeg's output breaks off")?;
            header.push(byte[0]);
            if header.len() > 32 {
                bail!("ffmpeg gave something that is not a PPM picture");
            }
        }
        let text = String::from_utf8_lossy(&header);
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (w, h) = match fields[..] {
            ["P6", w, h, "255"] => (w.parse::<usize>()?, h.parse::<usize>()?),
            _ => bail!("ffmpeg gave something that is not an 8-bit PPM picture: {:?}", text.trim()),
        };
        if w > MAX_SIDE || h > MAX_SIDE {
            bail!("frames of {w}x{h} pixels; sides up to {MAX_SIDE} are supported");
        }
        let mut data = vec![0; w * h * 3];
        self.stdout.read_exact(&mut data).context("ffmpeg's output breaks off")?;
        Ok(Frame { w, h, c: 3, data })
    }

    /// The child has closed its output: an error if it failed or had to conceal damage.
    fn finish(&mut self) -> Result<()> {
        let status = self.child.wait().context("waiting for ffmpeg")?;
        let complaints = self.complaints.take().and_then(|t| t.join().ok()).unwrap_or_default();
        let complaints = complaints.trim();
        if !status.success() || DAMAGE.iter().any(|d| complaints.contains(d)) {
            let why =
                if complaints.is_empty() { format!("it ended with {status}") } else { complaints.lines().collect::<Vec<_>>().join("; ") };
            match self.decoded {
                true => bail!("ffmpeg could not decode the clip to its end: {why} (limit the frames to stop before the damage)"),
                false => bail!("ffmpeg could not decode the clip: {why}"),
            }
        }
        Ok(())
    }
}

impl Decode for Pipe {
    fn next(&mut self) -> Result<Option<Frame>> {
        match self.first.take() {
            Some(frame) => Ok(Some(frame)),
            None => self.read_frame(),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Errors mean that it has ended already; waiting keeps no zombie behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
