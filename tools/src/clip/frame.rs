//! One picture of a clip.

/// 8-bit samples, `[H, W, C]` row-major, `c` is 1 (grey) or 3 (RGB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub w: usize,
    pub h: usize,
    pub c: usize,
    pub data: Vec<u8>,
}

impl Frame {
    /// All samples `value`.
    pub fn filled(w: usize, h: usize, c: usize, value: u8) -> Frame {
        Frame { w, h, c, data: vec![value; w * h * c] }
    }

    /// The same picture with 1 or 3 channels. Grey is the BT.601 luma `0.299 R + 0.587 G + 0.114 B`.
    pub fn with_channels(&self, channels: usize) -> Frame {
        let data = match (self.c, channels) {
            (3, 1) => self.data.chunks_exact(3).map(luma).collect(),
            (1, 3) => self.data.iter().flat_map(|&v| [v, v, v]).collect(),
            _ => self.data.clone(),
        };
        Frame { w: self.w, h: self.h, c: if self.c == 1 || self.c == 3 { channels } else { self.c }, data }
    }
}

/// Weights in 1/65536, their sum exactly 1.
fn luma(rgb: &[u8]) -> u8 {
    ((19595 * rgb[0] as u32 + 38470 * rgb[1] as u32 + 7471 * rgb[2] as u32 + 32768) >> 16) as u8
}
