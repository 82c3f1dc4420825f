//! One picture of a clip.

/// 8-bit samples, `[H, W, C]` row-major, `c` is 1 (grey) or 3 (RGB).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub w: usize,
    pub h: usize,
    pub c: usize,
    pub data: Vec<u8>,
}
