//! An artifact, read by the offsets of docs/format.md.

pub const NONE: u32 = u32::MAX;

pub struct File<'a>(pub &'a [u8]);

/// Sections, in file order.
pub const TENSORS: usize = 0;
pub const SEGMENTS: usize = 1;
pub const STEPS: usize = 2;
pub const GATES: usize = 3;
pub const OUTPUTS: usize = 4;
const DATA: usize = 6;

impl File<'_> {
    pub fn u16(&self, at: usize) -> usize {
        u16::from_le_bytes(self.0[at..at + 2].try_into().unwrap()) as usize
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// A u32 as a number of things.
    pub fn n(&self, at: usize) -> usize {
        self.u32(at) as usize
    }

    pub fn f32(&self, at: usize) -> f32 {
        f32::from_bits(self.u32(at))
    }

    /// Where each record of a section starts.
    pub fn records(&self, section: usize, size: usize) -> impl Iterator<Item = usize> + use<> {
        let (start, len) = (self.n(32 + 8 * section), self.n(36 + 8 * section));
        (start..start + len).step_by(size)
    }

    /// A data offset as a place in the file.
    pub fn data(&self, offset: u32) -> usize {
        self.n(32 + 8 * DATA) + offset as usize
    }

    /// The place in the file that the data offset at `at` names, if it names one.
    pub fn pointer(&self, at: usize) -> Option<usize> {
        (self.u32(at) != NONE).then(|| self.data(self.u32(at)))
    }

    /// Entry `k` of the f32 array that the data offset at `at` names.
    pub fn real(&self, at: usize, k: usize) -> f32 {
        self.f32(self.pointer(at).unwrap() + 4 * k)
    }
}

/// A tensor record, as far as it has a meaning beyond memory.
pub struct Tensor {
    pub origin: usize,
    pub pixel: usize,
    pub line: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    /// u8 codes, else f32.
    pub codes: bool,
    /// Scale and zero code of every channel of codes.
    pub quant: Vec<(f32, f32)>,
}

impl Tensor {
    pub fn read(f: &File, at: usize) -> Self {
        let (c, quant_len) = (f.n(at + 20), f.u16(at + 30));
        let entry = |k: usize| {
            let k = if quant_len == 1 { 0 } else { k };
            (f.real(at + 40, k), f.0[f.pointer(at + 44).unwrap() + k] as f32)
        };
        Tensor {
            origin: f.n(at),
            pixel: f.n(at + 4),
            line: f.n(at + 8),
            h: f.n(at + 12),
            w: f.n(at + 16),
            c,
            codes: f.0[at + 24] == 0,
            quant: if quant_len == 0 { vec![] } else { (0..c).map(entry).collect() },
        }
    }

    pub fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// What is read outside the map: zero codes, or 0.
    pub fn outside(&self, k: usize) -> f32 {
        self.quant.get(k).map_or(0.0, |q| q.1)
    }
}

/// A sliding window.
pub struct Window {
    pub kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 2],
}

impl Window {
    pub fn read(f: &File, at: usize) -> Self {
        let pair = |at| [f.u16(at), f.u16(at + 2)];
        Window { kernel: pair(at), stride: pair(at + 4), dilation: pair(at + 8), pad: pair(at + 12) }
    }

    /// The input pixels that output pixel `(y, x)` reads, tap by tap; `None` outside `t`.
    pub fn taps(&self, t: &Tensor, y: usize, x: usize) -> Vec<Option<usize>> {
        let place = |axis: usize, o: usize, k: usize, n: usize| {
            (o * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.pad[axis]).filter(|i| *i < n)
        };
        let mut taps = vec![];
        for ky in 0..self.kernel[0] {
            for kx in 0..self.kernel[1] {
                taps.push(place(0, y, ky, t.h).zip(place(1, x, kx, t.w)).map(|(y, x)| y * t.w + x));
            }
        }
        taps
    }
}
