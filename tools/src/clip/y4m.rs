//! YUV4MPEG2 streams: 8-bit 4:2:0, 4:2:2, 4:4:4 and mono, from a file or standard input.
//!
//! Colours: BT.601, limited range (16..235) unless the header says `XCOLORRANGE=FULL`. Chroma is taken from the nearest
//! sample. Mono streams give grey frames.

use super::{Decode, Frame, MAX_SIDE, Opened};
use ::y4m as stream;
use anyhow::{Context, Result, anyhow, bail};
use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::rc::Rc;
use stream::Colorspace;

pub fn open_file(path: &Path) -> Result<Opened> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let length = file.metadata().ok().map(|m| m.len());
    open(file, length).with_context(|| path.display().to_string())
}

pub fn open_stdin() -> Result<Opened> {
    open(std::io::stdin(), None).context("standard input (-), read as y4m")
}

/// `length` in bytes, where known, gives the frame count.
pub(super) fn open(reader: impl Read + 'static, length: Option<u64>) -> Result<Opened> {
    let taken = Rc::new(Cell::new(0));
    let counted = Counted { inner: BufReader::with_capacity(1 << 20, reader), taken: taken.clone() };
    let decoder = stream::Decoder::new(counted).map_err(|e| match e {
        stream::Error::EOF => anyhow!("empty or cut off in its y4m header"),
        stream::Error::UnknownColorspace => anyhow!("unknown y4m colour space; 8-bit 420, 422, 444 and mono are supported"),
        e => anyhow!("not a y4m stream: {e}"),
    })?;
    let (w, h) = (decoder.get_width(), decoder.get_height());
    if w > MAX_SIDE || h > MAX_SIDE {
        bail!("frames of {w}x{h} pixels; sides up to {MAX_SIDE} are supported");
    }
    let (sub_w, sub_h) = match decoder.get_colorspace() {
        Colorspace::Cmono => (0, 0),
        Colorspace::C420 | Colorspace::C420jpeg | Colorspace::C420paldv | Colorspace::C420mpeg2 => (2, 2),
        Colorspace::C422 => (2, 1),
        Colorspace::C444 => (1, 1),
        other => bail!("y4m colour space {other:?}: 8-bit 420, 422, 444 and mono are supported (ffmpeg -pix_fmt yuv420p converts)"),
    };
    let full_range = decoder.get_raw_params().split(|&b| b == b' ').any(|p| p == b"XCOLORRANGE=FULL");
    let rate = decoder.get_framerate();
    let fps = (rate.den > 0 && rate.num > 0).then(|| rate.num as f64 / rate.den as f64);
    let chroma = if sub_w == 0 { 0 } else { w.div_ceil(sub_w) * h.div_ceil(sub_h) };
    let frame_bytes = (w * h + 2 * chroma + b"FRAME\n".len()) as u64;
    let frames = length.map(|n| (n.saturating_sub(taken.get()) / frame_bytes) as usize);
    let convert = Convert::new(full_range);
    Ok(Opened { decode: Box::new(Y4m { decoder, taken, w, h, sub_w, sub_h, convert }), fps, frames })
}

/// Counts bytes, to tell the end of a stream from a cut in the middle of a frame.
struct Counted<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.taken.set(self.taken.get() + n as u64);
        Ok(n)
    }
}

struct Y4m<R: Read> {
    decoder: stream::Decoder<R>,
    taken: Rc<Cell<u64>>,
    w: usize,
    h: usize,
    /// Luma samples per chroma sample, 0 for mono.
    sub_w: usize,
    sub_h: usize,
    convert: Convert,
}

impl<R: Read> Y4m<R> {
    fn read(&mut self) -> Result<Option<stream::Frame<'_>>> {
        let before = self.taken.get();
        match self.decoder.read_frame() {
            Ok(frame) => Ok(Some(frame)),
            Err(stream::Error::EOF) if self.taken.get() == before => Ok(None),
            Err(stream::Error::EOF) => bail!("the y4m stream is cut off in the middle of this frame"),
            Err(e) => bail!("damaged y4m frame: {e}"),
        }
    }
}

impl<R: Read> Decode for Y4m<R> {
    fn next(&mut self) -> Result<Option<Frame>> {
        let (w, h, sub_w, sub_h, convert) = (self.w, self.h, self.sub_w, self.sub_h, self.convert.clone());
        let Some(frame) = self.read()? else { return Ok(None) };
        let luma = frame.get_y_plane();
        if sub_w == 0 {
            let data = luma.iter().map(|&y| convert.grey(y)).collect();
            return Ok(Some(Frame { w, h, c: 1, data }));
        }
        let (u, v, cw) = (frame.get_u_plane(), frame.get_v_plane(), w.div_ceil(sub_w));
        let mut data = Vec::with_capacity(w * h * 3);
        for y in 0..h {
            let row = &luma[y * w..][..w];
            let (u, v) = (&u[y / sub_h * cw..][..cw], &v[y / sub_h * cw..][..cw]);
            for (x, &l) in row.iter().enumerate() {
                data.extend_from_slice(&convert.rgb(l, u[x / sub_w], v[x / sub_w]));
            }
        }
        Ok(Some(Frame { w, h, c: 3, data }))
    }

    fn skip(&mut self) -> Result<bool> {
        Ok(self.read()?.is_some())
    }
}

/// `R = Y + 1.402 V`, `G = Y - 0.344136 U - 0.714136 V`, `B = Y + 1.772 U`, in 1/65536 with the range folded in.
#[derive(Clone)]
struct Convert {
    luma: i32,
    black: i32,
    chroma: [i32; 4],
}

impl Convert {
    fn new(full_range: bool) -> Convert {
        let (luma, black, chroma) = if full_range { (1.0, 0, 1.0) } else { (255.0 / 219.0, 16, 255.0 / 224.0) };
        let fixed = |v: f64| (v * 65536.0).round() as i32;
        let chroma = [1.402, 0.344136, 0.714136, 1.772].map(|v| fixed(v * chroma));
        Convert { luma: fixed(luma), black, chroma }
    }

    fn level(&self, y: u8) -> i32 {
        (y as i32 - self.black) * self.luma + (1 << 15)
    }

    fn grey(&self, y: u8) -> u8 {
        (self.level(y) >> 16).clamp(0, 255) as u8
    }

    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let (y, u, v) = (self.level(y), u as i32 - 128, v as i32 - 128);
        let [rv, gu, gv, bu] = self.chroma;
        [y + rv * v, y - gu * u - gv * v, y + bu * u].map(|s| (s >> 16).clamp(0, 255) as u8)
    }
}
