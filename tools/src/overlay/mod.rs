//! Pictures for people: what the model saw and what was recomputed.
//!
//! [`detections`] and [`mask`] draw a prediction over its frame; [`heat`] puts the frame and the active pixels of chosen
//! layers side by side. Small frames are enlarged by a whole number, so that text stays legible and pixels stay square;
//! maps of a layer are enlarged without smoothing, because one pixel of the map is what was or was not recomputed.
//! Everything is RGB; [`save`] writes PNG.

mod draw;
mod font;

#[cfg(test)]
mod tests;

pub use draw::{BLACK, Canvas, Ink, class_ink};

use crate::clip::Frame;
use crate::task::{Detection, Task};
use anyhow::{Context, Result, bail};
use draw::{TEXT_HEIGHT, text_width};
use std::path::Path;

/// Frames narrower than this are enlarged, pixels.
const MIN_WIDTH: usize = 320;

/// Around and between panels, pixels.
const GAP: usize = 8;

const BACKGROUND: Ink = [24, 26, 30];
const TITLE: Ink = [236, 238, 240];
/// Recomputed pixels.
const ACTIVE: Ink = [255, 112, 32];

/// One layer of a [`heat`] picture.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    pub name: &'a str,
    pub h: usize,
    pub w: usize,
    /// `h * w` pixels, row-major; anything but 0 was recomputed.
    pub active: &'a [u8],
}

/// The frame with a box, a label and a score for every detection at or above `threshold`. Boxes are in frame pixels.
pub fn detections(frame: &Frame, found: &[Detection], task: &Task, threshold: f32) -> Result<Frame> {
    let mut canvas = Canvas::enlarged(frame, MIN_WIDTH)?;
    let zoom = canvas.zoom as f32;
    let thickness = (canvas.w / 320).clamp(1, 4);
    let scale = (canvas.w / 480).clamp(1, 4);
    let mut labels: Vec<[i64; 4]> = Vec::new();
    // The best on top.
    let mut shown: Vec<&Detection> = found.iter().filter(|d| d.score >= threshold).collect();
    shown.sort_by(|a, b| a.score.total_cmp(&b.score));
    for d in &shown {
        let [x1, y1, x2, y2] = d.corners().map(|v| (v * zoom).round().clamp(-1e6, 1e6) as i64);
        canvas.outline([x1, y1, x2, y2], thickness, class_ink(d.class));
    }
    for d in shown.iter().rev() {
        let text = format!("{} {:.2}", task.label(d.class), d.score);
        let (w, h) = (text_width(&text, scale) as i64 + 4, (TEXT_HEIGHT * scale) as i64 + 3);
        let [x, top, bottom] = [d.x1, d.y1, d.y2].map(|v| (v * zoom).round().clamp(-1e6, 1e6) as i64);
        let x = x.min(canvas.w as i64 - w).max(0);
        // Above the box, inside it at the frame's edge, or below it: the first place that is free.
        let places = [top - h, top, bottom, bottom - h];
        let free = |y: &&i64| {
            **y >= 0 && **y + h <= canvas.h as i64 && labels.iter().all(|l| x >= l[2] || x + w <= l[0] || **y >= l[3] || **y + h <= l[1])
        };
        let y = *places.iter().find(free).unwrap_or(&places[0].clamp(0, (canvas.h as i64 - h).max(0)));
        labels.push([x, y, x + w, y + h]);
        canvas.fill([x, y, x + w, y + h], class_ink(d.class));
        canvas.text(x + 2, y + 2, &text, scale, BLACK);
    }
    Ok(canvas.into_frame())
}

/// The frame tinted by the class of each pixel of an `h` by `w` mask stretched over it; class 0 stays as it is.
pub fn mask(frame: &Frame, h: usize, w: usize, classes: &[u16]) -> Result<Frame> {
    check_map("the mask", h, w, classes.len())?;
    let mut canvas = Canvas::enlarged(frame, MIN_WIDTH)?;
    for y in 0..canvas.h {
        for x in 0..canvas.w {
            let class = classes[y * h / canvas.h * w + x * w / canvas.w];
            if class > 0 {
                canvas.tint(x, y, class_ink(class as usize), 0.5);
            }
        }
    }
    Ok(canvas.into_frame())
}

/// The frame and one panel per layer: its active pixels in colour over a dimmed grey frame, above it the layer's name and
/// the share of active pixels. Panels share one size and are laid out in even rows of up to four.
///
/// ```
/// use quiescent_tools::{clip::Frame, overlay};
/// let frame = Frame::filled(64, 48, 3, 90);
/// let layer = overlay::Layer { name: "conv1", h: 2, w: 2, active: &[1, 0, 0, 0] };
/// let picture = overlay::heat(&frame, &[layer]).unwrap();
/// assert!(picture.w >= 2 * 320);
/// ```
pub fn heat(frame: &Frame, layers: &[Layer]) -> Result<Frame> {
    heat_beside(frame, &First { picture: frame, title: "frame", share: "" }, layers)
}

/// First panel of [`heat_beside`].
#[derive(Clone, Copy, Debug)]
pub struct First<'a> {
    /// The frame, as it is or after [`detections`] or [`mask`].
    pub picture: &'a Frame,
    pub title: &'a str,
    /// At the right of the title.
    pub share: &'a str,
}

/// Like [`heat`], with another first panel.
pub fn heat_beside(frame: &Frame, first: &First, layers: &[Layer]) -> Result<Frame> {
    for l in layers {
        check_map(l.name, l.h, l.w, l.active.len())?;
    }
    let picture = Canvas::enlarged(frame, MIN_WIDTH)?;
    let shown = Canvas::enlarged(first.picture, MIN_WIDTH)?;
    if (shown.w, shown.h) != (picture.w, picture.h) {
        bail!("a first panel of {}x{} does not fit a frame shown at {}x{}", shown.w, shown.h, picture.w, picture.h);
    }
    let scale = (picture.w / 240).clamp(1, 4);
    let header = TEXT_HEIGHT * scale + GAP;
    let rows = (layers.len() + 1).div_ceil(4);
    let columns = (layers.len() + 1).div_ceil(rows);
    let (step_x, step_y) = (picture.w + GAP, picture.h + header + GAP);
    let mut out = Canvas::filled(columns * step_x + GAP, rows * step_y + GAP, BACKGROUND);
    for k in 0..=layers.len() {
        let (x, y) = (GAP + k % columns * step_x, GAP + k / columns * step_y);
        let (panel, name, share) = match k.checked_sub(1).map(|k| &layers[k]) {
            None => (shown.clone(), first.title, first.share.to_string()),
            Some(l) => (activity(&picture, l), l.name, share(l)),
        };
        let share_width = text_width(&share, scale);
        let advance = text_width("mm", scale) - text_width("m", scale);
        let room = (picture.w.saturating_sub(share_width) / advance).saturating_sub(1);
        out.text(x as i64, y as i64, &shortened(name, room), scale, TITLE);
        out.text((x + picture.w - share_width) as i64, y as i64, &share, scale, ACTIVE);
        out.paste(x, y + header, &panel);
    }
    Ok(out.into_frame())
}

/// The dimmed grey picture with the layer's active pixels tinted.
fn activity(picture: &Canvas, layer: &Layer) -> Canvas {
    let mut panel = picture.clone();
    panel.dim();
    for y in 0..panel.h {
        for x in 0..panel.w {
            if layer.active[y * layer.h / panel.h * layer.w + x * layer.w / panel.w] != 0 {
                panel.tint(x, y, ACTIVE, 0.65);
            }
        }
    }
    panel
}

fn share(layer: &Layer) -> String {
    let active = layer.active.iter().filter(|&&a| a != 0).count();
    format!("{:.1}%", 100.0 * active as f64 / layer.active.len() as f64)
}

/// At most `room` characters, the end kept: layer names differ there.
fn shortened(name: &str, room: usize) -> String {
    let n = name.chars().count();
    if n <= room {
        return name.to_string();
    }
    std::iter::repeat_n('.', 2.min(room)).chain(name.chars().skip(n - room.saturating_sub(2))).collect()
}

fn check_map(name: &str, h: usize, w: usize, len: usize) -> Result<()> {
    if h == 0 || w == 0 || h * w != len {
        bail!("{name}: {len} pixels do not make a map of {w}x{h}");
    }
    Ok(())
}

/// Writes a PNG file.
pub fn save(path: &Path, picture: &Frame) -> Result<()> {
    let kind = match picture.c {
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        c => bail!("{}: {c} channels make no picture", path.display()),
    };
    let mut png = Vec::new();
    image::write_buffer_with_format(
        &mut std::io::Cursor::new(&mut png),
        &picture.data,
        picture.w as u32,
        picture.h as u32,
        kind,
        image::ImageFormat::Png,
    )
    .with_context(|| format!("writing {}", path.display()))?;
    crate::artifact::write_whole(path, &png)
}
