//! Pictures in files: animated GIF, and PNG or JPEG files one by one or as a numbered sequence.
//!
//! A sequence is sorted naturally: runs of digits compare as numbers. Pictures with more than 8 bits are reduced to 8;
//! transparency is dropped. A sequence that begins in grey stays grey only if every picture is grey; one that begins in
//! colour takes grey pictures as grey RGB.

use super::{Decode, Frame, Opened, extension};
use anyhow::{Context, Result, bail};
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, DynamicImage};
use std::cmp::Ordering;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// All PNG and JPEG files directly inside.
pub fn open_folder(folder: &Path) -> Result<Opened> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if EXTENSIONS.contains(&extension(&path).as_str()) && path.is_file() {
            files.push(path);
        }
    }
    open_list(&folder.display().to_string(), files)
}

pub fn open_pattern(pattern: &str) -> Result<Opened> {
    let paths = glob::glob(pattern).with_context(|| format!("{pattern} is not a file and not a valid pattern"))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.with_context(|| format!("listing {pattern}"))?;
        if !EXTENSIONS.contains(&extension(&path).as_str()) {
            bail!("{pattern} matches {}, which is neither PNG nor JPEG", path.display());
        }
        files.push(path);
    }
    open_list(pattern, files)
}

/// `name` stands for the whole in messages.
pub fn open_list(name: &str, mut files: Vec<PathBuf>) -> Result<Opened> {
    if files.is_empty() {
        bail!("{name} holds no PNG or JPEG files");
    }
    files.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    let frames = Some(files.len());
    Ok(Opened { decode: Box::new(Files { files, next: 0, channels: None }), fps: None, frames })
}

/// Runs of digits by value, everything else by character; equal values by length, so that the order is total.
pub(super) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
    loop {
        let (na, nb) = (digits(a), digits(b));
        let order = if na > 0 && nb > 0 {
            let value = |s: &[u8]| s.iter().position(|&c| c != b'0').unwrap_or(s.len());
            let (va, vb) = (&a[value(&a[..na])..na], &b[value(&b[..nb])..nb]);
            let order = va.len().cmp(&vb.len()).then(va.cmp(vb)).then(na.cmp(&nb));
            (a, b) = (&a[na..], &b[nb..]);
            order
        } else {
            match (a.first(), b.first()) {
                (None, None) => return Ordering::Equal,
                (x, y) if x != y => return x.cmp(&y),
                _ => (a, b) = (&a[1..], &b[1..]),
            }
            Ordering::Equal
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

struct Files {
    files: Vec<PathBuf>,
    next: usize,
    /// Of the first picture decoded.
    channels: Option<usize>,
}

impl Decode for Files {
    fn next(&mut self) -> Result<Option<Frame>> {
        let Some(path) = self.files.get(self.next) else { return Ok(None) };
        self.next += 1;
        let name = path.display();
        let image = image::ImageReader::open(path).with_context(|| format!("opening {name}"))?;
        let image = image.with_guessed_format().with_context(|| format!("opening {name}"))?;
        let frame = to_frame(image.decode().with_context(|| format!("decoding {name}"))?);
        let channels = *self.channels.get_or_insert(frame.c);
        match (channels, frame.c) {
            (3, 1) => Ok(Some(frame.with_channels(3))),
            (1, 3) => bail!("{name} is in colour, but the pictures before it are grey; convert them to one kind"),
            _ => Ok(Some(frame)),
        }
    }

    fn skip(&mut self) -> Result<bool> {
        self.next += 1;
        Ok(self.next <= self.files.len())
    }
}

fn to_frame(image: DynamicImage) -> Frame {
    let (w, h) = (image.width() as usize, image.height() as usize);
    match image {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_) => {
            Frame { w, h, c: 1, data: image.into_luma8().into_raw() }
        }
        _ => Frame { w, h, c: 3, data: image.into_rgb8().into_raw() },
    }
}

/// Composited frames of an animated GIF; the frame rate is that of the first delay.
pub fn open_gif(path: &Path) -> Result<Opened> {
    let open = || -> Result<image::Frames<'static>> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        let decoder = GifDecoder::new(BufReader::new(file)).with_context(|| format!("{} is not a GIF file", path.display()))?;
        Ok(decoder.into_frames())
    };
    let fps = open()?.next().and_then(Result::ok).and_then(|f| {
        let (ms, per) = f.delay().numer_denom_ms();
        (ms > 0 && per > 0).then(|| 1000.0 * per as f64 / ms as f64)
    });
    Ok(Opened { decode: Box::new(Gif(open()?)), fps, frames: None })
}

struct Gif(image::Frames<'static>);

impl Decode for Gif {
    fn next(&mut self) -> Result<Option<Frame>> {
        let Some(frame) = self.0.next() else { return Ok(None) };
        let rgba = frame.context("damaged GIF frame")?.into_buffer();
        let (w, h) = (rgba.width() as usize, rgba.height() as usize);
        let data = rgba.as_raw().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        Ok(Some(Frame { w, h, c: 3, data }))
    }
}
