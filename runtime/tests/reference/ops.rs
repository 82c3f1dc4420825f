//! What each operator computes, for a whole map, element by element. Values are codes or reals, both as f32.

use super::file::{File, Tensor, Window};
use super::functions::{binary, clamp, exp, map, rne};

/// A step's surroundings: its record of parameters, its tensors and the values of its inputs.
pub struct Call<'a> {
    pub f: &'a File<'a>,
    /// Place of the operator's record.
    pub p: usize,
    pub x: &'a Tensor,
    pub out: &'a Tensor,
    pub a: &'a [f32],
    /// The second input.
    pub b: Option<(&'a Tensor, &'a [f32])>,
}

impl Call<'_> {
    /// Output pixels and channels, in order.
    fn each(&self, mut value: impl FnMut(usize, usize, usize) -> f32) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.out.len());
        for y in 0..self.out.h {
            for x in 0..self.out.w {
                (0..self.out.c).for_each(|k| all.push(value(y, x, k)));
            }
        }
        all
    }

    /// Input element, or what lies outside.
    fn at(&self, pixel: Option<usize>, k: usize) -> f32 {
        pixel.map_or(self.x.outside(k), |p| self.a[p * self.x.c + k])
    }

    /// Through the 256-entry table that the offset at `at` names.
    fn table(&self, at: usize, code: f32) -> f32 {
        self.f.pointer(at).map_or(code, |t| self.f.0[t + code as usize] as f32)
    }

    /// An operand as a real, by the affine record at `affine`.
    fn operand(&self, t: &Tensor, value: f32, affine: usize, k: usize) -> f32 {
        if t.codes { value * self.f.real(affine, k) + self.f.real(affine + 4, k) } else { value }
    }

    /// A result from a real.
    fn result(&self, y: f32, affine: usize, (lo, hi): (f32, f32), k: usize) -> f32 {
        match self.out.codes {
            true => rne(clamp(y * self.f.real(affine, k) + self.f.real(affine + 4, k), lo, hi)),
            false => clamp(y, lo, hi),
        }
    }

    /// Convolution of codes; `depthwise`: each channel by itself.
    pub fn conv(&self, depthwise: bool) -> Vec<f32> {
        let (f, p, ic) = (self.f, self.p, self.x.c);
        let window = Window::read(f, p);
        let [kh, kw] = window.kernel;
        let (merged, paired) = (f.u32(p + 36) > 0, f.u32(p + 36) == 2);
        let packed = f.pointer(p + 16).unwrap();
        let (segments, run) = if merged { (kh, kw * ic) } else { (kh * kw, ic) };
        let weight = |o: usize, tap: usize, k: usize| {
            let (block, quads, segment, quad, byte) = if depthwise {
                (o / 16, (kh * kw).div_ceil(4), 0, tap / 4, tap % 4)
            } else {
                let (segment, j) = if merged { (tap / kw, tap % kw * ic + k) } else { (tap, k) };
                if paired {
                    let byte = f.0[packed + (o / 2 * run.next_multiple_of(16) + j) * 2 + o % 2];
                    return if o.is_multiple_of(2) { byte as i32 - 128 } else { byte as i8 as i32 };
                }
                (o / 16, run.div_ceil(4), segment, j / 4, j % 4)
            };
            let segments = if depthwise { 1 } else { segments };
            f.0[packed + (((block * segments + segment) * quads + quad) * 16 + o % 16) * 4 + byte] as i8 as i32
        };
        let (lo, hi) = (f.f32(p + 40), f.f32(p + 44));
        let residual = self.b.map(|(_, values)| values);
        let mut taps = (usize::MAX, vec![]);
        self.each(|y, x, o| {
            let pixel = y * self.out.w + x;
            if taps.0 != pixel {
                taps = (pixel, window.taps(self.x, y, x));
            }
            let mut acc = 0i32;
            for (tap, at) in taps.1.iter().enumerate() {
                for k in if depthwise { o..o + 1 } else { 0..ic } {
                    acc = acc.wrapping_add(self.at(*at, k) as i32 * weight(o, tap, k));
                }
            }
            let mut v = acc as f32 * f.real(p + 20, o) + f.real(p + 24, o);
            if let Some(r) = residual {
                v += r[pixel * self.out.c + o] * f.real(p + 28, o);
            }
            let v = clamp(v, lo, hi);
            if self.out.codes { self.table(p + 32, rne(v)) } else { v }
        })
    }

    pub fn conv_f32(&self) -> Vec<f32> {
        let (f, p) = (self.f, self.p);
        let window = Window::read(f, p);
        let groups = f.n(p + 24);
        let (per, each) = (self.x.c / groups, self.out.c / groups);
        self.each(|y, x, o| {
            let mut sum = f.real(p + 20, o);
            for (tap, at) in window.taps(self.x, y, x).into_iter().enumerate() {
                for k in 0..per {
                    sum += self.at(at, o / each * per + k) * f.real(p + 16, (tap * per + k) * self.out.c + o);
                }
            }
            clamp(sum, f.f32(p + 28), f.f32(p + 32))
        })
    }

    pub fn binary(&self) -> Vec<f32> {
        let (f, p) = (self.f, self.p);
        let bit = |n: u32| f.u32(p + 4) >> n & 1 == 1;
        let (lo, hi) = (f.f32(p + 36), f.f32(p + 40));
        self.each(|y, x, k| {
            let place = |one_row: bool, one_channel: bool| (if one_row { 0 } else { y * self.out.w + x }, if one_channel { 0 } else { k });
            let (row, channel) = place(bit(2), bit(3));
            let a = self.operand(self.x, self.a[row * self.x.c + channel], p + 8, channel);
            let (row, channel) = place(bit(0), bit(1));
            let b = match self.b {
                Some((t, values)) => self.operand(t, values[row * t.c + channel], p + 16, channel),
                None => f.real(p + 24, row * if bit(1) { 1 } else { self.out.c } + channel),
            };
            let v = self.result(binary(f.u32(p), a, b), p + 28, (lo, hi), k);
            if self.out.codes { self.table(p + 44, v) } else { v }
        })
    }

    pub fn map(&self) -> Vec<f32> {
        let (f, p) = (self.f, self.p);
        let mut i = 0..;
        self.each(|_, _, k| {
            let x = self.operand(self.x, self.a[i.next().unwrap()], p + 16, k);
            let slope = f.pointer(p + 12).map_or(0.0, |at| f.f32(at + 4 * k));
            let y = map(f.u32(p), x, [f.f32(p + 4), f.f32(p + 8)], slope);
            self.result(y, p + 24, (f.f32(p + 32), f.f32(p + 36)), k)
        })
    }

    pub fn by_table(&self) -> Vec<f32> {
        self.a.iter().map(|code| self.table(self.p, *code)).collect()
    }

    pub fn by_tables(&self) -> Vec<f32> {
        let tables = self.f.pointer(self.p).unwrap();
        self.each(|y, x, k| self.f.0[tables + 256 * k + self.a[(y * self.x.w + x) * self.x.c + k] as usize] as f32)
    }

    pub fn pool(&self, average: bool) -> Vec<f32> {
        let window = Window::read(self.f, self.p);
        let count_pad = self.f.u32(self.p + 16) == 1;
        self.each(|y, x, k| {
            let taps = window.taps(self.x, y, x);
            let inside = taps.iter().filter(|t| t.is_some()).map(|t| self.at(*t, k));
            if !average {
                return inside.fold(0.0, f32::max);
            }
            let values: Vec<f32> = if count_pad { taps.iter().map(|t| self.at(*t, k)).collect() } else { inside.collect() };
            // Whole numbers below 2^24: the order of the sum does not matter.
            rne(clamp(values.iter().sum::<f32>() * (1.0 / values.len() as f32), 0.0, 255.0))
        })
    }

    pub fn global(&self, average: bool) -> Vec<f32> {
        let rows = self.a.chunks(self.x.c);
        self.each(|_, _, k| {
            let channel = rows.clone().map(|row| row[k]);
            if !average {
                return channel.fold(0.0, f32::max);
            }
            let y = channel.sum::<f32>() * self.f.real(self.p, k) + self.f.real(self.p + 4, k);
            if self.out.codes { rne(clamp(y, 0.0, 255.0)) } else { y }
        })
    }

    pub fn index(&self) -> Vec<f32> {
        let (f, p) = (self.f, self.p);
        let entry = |at: usize, i: usize| Some(f.u16(f.pointer(at).unwrap() + 2 * i)).filter(|i| *i != 0xffff);
        self.each(|y, x, k| match (entry(p, y), entry(p + 4, x)) {
            (Some(y), Some(x)) => self.at(Some(y * self.x.w + x), k),
            _ if self.out.codes => f.0[f.pointer(p + 8).unwrap() + k] as f32,
            _ => f.real(p + 8, k),
        })
    }

    pub fn bilinear(&self) -> Vec<f32> {
        let f = self.f;
        let entry = |at: usize, i: usize| {
            let at = f.pointer(at).unwrap() + 8 * i;
            ([f.u16(at), f.u16(at + 2)], f.u32(at + 4))
        };
        self.each(|y, x, k| {
            let ((ys, ty), (xs, tx)) = (entry(self.p, y), entry(self.p + 4, x));
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| self.at(Some(ys[i] * self.x.w + xs[j]), k));
            let weights = [(256 - ty) * (256 - tx), (256 - ty) * tx, ty * (256 - tx), ty * tx];
            let pairs = corners.iter().zip(weights);
            if self.out.codes {
                return ((pairs.map(|(v, w)| *v as u32 * w).sum::<u32>() + (1 << 15)) >> 16) as f32;
            }
            pairs.map(|(v, w)| v * (w as f32 / 65536.0)).reduce(|a, b| a + b).unwrap()
        })
    }

    /// Pixels of a block become channels of one pixel, line by line, or the other way.
    pub fn block(&self, to_space: bool) -> Vec<f32> {
        let (n, c) = (self.f.n(self.p), self.out.c.min(self.x.c));
        self.each(|y, x, k| {
            let (pixel, channel) = if to_space {
                ((y / n) * self.x.w + x / n, (y % n * n + x % n) * c + k)
            } else {
                ((y * n + k / c / n) * self.x.w + x * n + k / c % n, k % c)
            };
            self.at(Some(pixel), channel)
        })
    }

    /// Elements by index: of the pixel, or of the whole map.
    pub fn pick(&self, whole: bool) -> Vec<f32> {
        let entry = |i: usize| self.f.n(self.f.pointer(self.p).unwrap() + 4 * i);
        let mut i = 0..;
        self.each(|y, x, k| match (whole, i.next().unwrap()) {
            (true, i) => self.a[entry(i)],
            (false, _) => self.at(Some(y * self.x.w + x), entry(k)),
        })
    }

    pub fn softmax(&self) -> Vec<f32> {
        let mut all = vec![];
        for row in self.a.chunks(self.x.c) {
            let x: Vec<f32> = row.iter().enumerate().map(|(k, v)| self.operand(self.x, *v, self.p, k)).collect();
            let most = x.iter().copied().fold(f32::MIN, f32::max);
            let e: Vec<f32> = x.iter().map(|x| exp(x - most)).collect();
            let sum = if e.len() < 16 { e.iter().fold(0.0, |sum, e| sum + e) } else { by_lanes(&e) };
            all.extend(e.iter().enumerate().map(|(k, e)| self.result(e / sum, self.p + 8, self.codes(), k)));
        }
        all
    }

    pub fn reduce(&self) -> Vec<f32> {
        let sum = |row: &[f32]| row.iter().enumerate().fold(0.0, |sum, (k, v)| sum + self.operand(self.x, *v, self.p, k));
        let factor = self.f.f32(self.p + 16);
        self.a.chunks(self.x.c).map(|row| self.result(sum(row) * factor, self.p + 8, self.codes(), 0)).collect()
    }

    /// Bounds where the record has none.
    fn codes(&self) -> (f32, f32) {
        if self.out.codes { (0.0, 255.0) } else { (f32::MIN, f32::MAX) }
    }
}

/// The sum of 16 sums, each of the channels of one remainder, halved four times.
fn by_lanes(e: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    e.iter().enumerate().for_each(|(k, e)| lanes[k % 16] += e);
    for half in [8, 4, 2, 1] {
        (0..half).for_each(|i| lanes[i] += lanes[i + half]);
    }
    lanes[0]
}
