//! Maps in the arena.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Dtype {
    /// Codes.
    U8 = 0,
    /// Reals.
    F32 = 1,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F32 => 4,
        }
    }
    /// From its code.
    pub const fn new(code: u8) -> Option<Self> {
        match code {
            0 => Some(Dtype::U8),
            1 => Some(Dtype::F32),
            _ => None,
        }
    }
}

/// [`Tensor::flags`]: the tensor keeps its rows from frame to frame.
pub const HELD: u8 = 1;

/// [`Tensor::flags`]: rows lie in another tensor's memory (concatenation, reshape); its producer writes through.
pub const VIEW: u8 = 2;

/// A map `[h, w, c]` in the arena. Pixel `(y, x)` starts at `origin + y * line + x * pixel`; around it lies a border
/// (`top, left, bottom, right` pixels) that always holds the zero codes, so that convolutions read padding as data.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tensor {
    /// Byte of pixel (0, 0).
    pub origin: u32,
    /// Bytes from a pixel to its right neighbour.
    pub pixel: u32,
    /// Bytes from a line to the next.
    pub line: u32,
    /// Lines.
    pub h: u32,
    /// Pixels of a line.
    pub w: u32,
    /// Channels of a pixel.
    pub c: u32,
    /// [`Dtype`] code.
    pub dtype: u8,
    /// [`HELD`], [`VIEW`].
    pub flags: u8,
    /// Border `top, left, bottom, right`, in pixels.
    pub border: [u8; 4],
    /// Entries of `scale` and `zero`: 0 (reals), 1 or c.
    pub quant_len: u16,
    /// Arena byte of the row mask: `h` lines of `ceil(w / 64)` words; where the tensor is held a second mask of the same size
    /// (rows put off by the budget) follows. Without length in a network whose frames are all computed whole ([`crate::format::Model`]).
    pub mask: u32,
    /// Data offset of `c` zero codes, what the border holds; `NONE` without border.
    pub fill: u32,
    /// Data offset of f32 scales: real = scale * (code - zero).
    pub scale: u32,
    /// Data offset of u8 zero codes.
    pub zero: u32,
    /// 0; or lines in memory, where a chain of steps passes the map on through so few. `origin` then is pixel (0, 0) of the
    /// first line in memory; there are no lines above it.
    pub lines: u32,
}

impl Tensor {
    /// Pixels.
    pub fn rows(&self) -> usize {
        self.h as usize * self.w as usize
    }
    /// Mask words of a line.
    pub fn words(&self) -> usize {
        self.w.div_ceil(64) as usize
    }
    /// Mask words.
    pub fn mask_words(&self) -> usize {
        self.h as usize * self.words()
    }
    /// Whether the tensor keeps its rows from frame to frame.
    pub fn held(&self) -> bool {
        self.flags & HELD != 0
    }
    /// Element type (validated by the check).
    pub fn dtype(&self) -> Dtype {
        Dtype::new(self.dtype).unwrap_or(Dtype::U8)
    }
}
