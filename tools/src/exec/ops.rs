//! Every operator but the convolution, on maps `[H, W, C]` in row-major order.
//!
//! Extents have been checked by [`super::check`]; the functions here index without further questions.

use super::conv::{inside, source};
use super::unary::exp_f32;
use crate::ir::{Axis, Binary, Lerp, Shape, Window};

pub fn prelu(slope: &[f32], x: &[f32], y: &mut [f32]) {
    for (y, x) in y.chunks_exact_mut(slope.len()).zip(x.chunks_exact(slope.len())) {
        for ((y, &x), &s) in y.iter_mut().zip(x).zip(slope) {
            *y = if x < 0.0 { s * x } else { x };
        }
    }
}

pub fn binary(op: Binary, (sa, a): (Shape, &[f32]), (sb, b): (Shape, &[f32]), o: Shape, y: &mut [f32]) {
    match op {
        Binary::Add => broadcast(sa, a, sb, b, o, y, |a, b| a + b),
        Binary::Sub => broadcast(sa, a, sb, b, o, y, |a, b| a - b),
        Binary::Mul => broadcast(sa, a, sb, b, o, y, |a, b| a * b),
        Binary::Div => broadcast(sa, a, sb, b, o, y, |a, b| a / b),
        Binary::Min => broadcast(sa, a, sb, b, o, y, f32::min),
        Binary::Max => broadcast(sa, a, sb, b, o, y, f32::max),
    }
}

fn broadcast(sa: Shape, a: &[f32], sb: Shape, b: &[f32], o: Shape, y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    if sa == o && sb == o {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
        return;
    }
    let pixel = |s: Shape, v: usize, u: usize| ((if s.h == 1 { 0 } else { v }) * s.w + if s.w == 1 { 0 } else { u }) * s.c;
    for (n, y) in y.chunks_exact_mut(o.c).enumerate() {
        let (v, u) = (n / o.w, n % o.w);
        let a = &a[pixel(sa, v, u)..][..sa.c];
        let b = &b[pixel(sb, v, u)..][..sb.c];
        match (sa.c == o.c, sb.c == o.c) {
            (true, true) => y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y = f(a, b)),
            (true, false) => y.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b[0])),
            (false, true) => y.iter_mut().zip(b).for_each(|(y, &b)| *y = f(a[0], b)),
            (false, false) => y.fill(f(a[0], b[0])),
        }
    }
}

pub fn max_pool(w: &Window, i: Shape, x: &[f32], o: Shape, y: &mut [f32]) {
    for (n, out) in y.chunks_exact_mut(o.c).enumerate() {
        out.fill(f32::NEG_INFINITY);
        window_pixels(w, i, n / o.w, n % o.w, |at| {
            for (o, &v) in out.iter_mut().zip(&x[at * i.c..][..i.c]) {
                *o = o.max(v);
            }
        });
    }
}

pub fn avg_pool(w: &Window, count_pad: bool, i: Shape, x: &[f32], o: Shape, y: &mut [f32]) {
    for (n, out) in y.chunks_exact_mut(o.c).enumerate() {
        out.fill(0.0);
        let mut count = 0usize;
        window_pixels(w, i, n / o.w, n % o.w, |at| {
            count += 1;
            for (o, &v) in out.iter_mut().zip(&x[at * i.c..][..i.c]) {
                *o += v;
            }
        });
        let divisor = if count_pad { w.kh * w.kw } else { count.max(1) } as f32;
        out.iter_mut().for_each(|o| *o /= divisor);
    }
}

/// Pixel numbers of the input under the window at `(oy, ox)`.
fn window_pixels(w: &Window, i: Shape, oy: usize, ox: usize, mut f: impl FnMut(usize)) {
    for ky in inside(oy, w.stride.0, w.kh, w.dilation.0, w.pad.t, i.h) {
        let iy = oy * w.stride.0 + ky * w.dilation.0 - w.pad.t;
        for kx in 0..w.kw {
            if let Some(ix) = source(ox, w.stride.1, kx, w.dilation.1, w.pad.l, i.w) {
                f(iy * i.w + ix);
            }
        }
    }
}

pub fn global_avg(c: usize, x: &[f32], y: &mut [f32]) {
    let mut sums = vec![0f64; c];
    for row in x.chunks_exact(c) {
        sums.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
    }
    let rows = (x.len() / c).max(1) as f64;
    y.iter_mut().zip(&sums).for_each(|(y, s)| *y = (s / rows) as f32);
}

pub fn global_max(c: usize, x: &[f32], y: &mut [f32]) {
    y.fill(f32::NEG_INFINITY);
    for row in x.chunks_exact(c) {
        y.iter_mut().zip(row).for_each(|(y, &v)| *y = y.max(v));
    }
}

pub fn concat(axis: Axis, parts: &[(Shape, &[f32])], o: Shape, y: &mut [f32]) {
    // Elements of one part per step of the axes outside the joined one.
    let run = |s: Shape| match axis {
        Axis::H => s.len(),
        Axis::W => s.w * s.c,
        Axis::C => s.c,
    };
    let mut at = 0;
    for &(s, x) in parts {
        let (from, to) = (run(s), run(o));
        if from > 0 {
            for (n, x) in x.chunks_exact(from).enumerate() {
                y[n * to + at..][..from].copy_from_slice(x);
            }
        }
        at += from;
    }
}

pub fn index(ys: &[i32], xs: &[i32], fill: f32, i: Shape, x: &[f32], y: &mut [f32]) {
    let mut out = y.chunks_exact_mut(i.c);
    for &v in ys {
        for (&u, out) in xs.iter().zip(&mut out) {
            if v < 0 || u < 0 {
                out.fill(fill);
            } else {
                out.copy_from_slice(&x[(v as usize * i.w + u as usize) * i.c..][..i.c]);
            }
        }
    }
}

pub fn bilinear(ys: &[Lerp], xs: &[Lerp], i: Shape, x: &[f32], y: &mut [f32]) {
    let mut out = y.chunks_exact_mut(i.c);
    let pixel = |v: u32, u: u32| &x[(v as usize * i.w + u as usize) * i.c..][..i.c];
    for v in ys {
        for (u, out) in xs.iter().zip(&mut out) {
            let (a, b) = (pixel(v.lo, u.lo), pixel(v.lo, u.hi));
            let (c, d) = (pixel(v.hi, u.lo), pixel(v.hi, u.hi));
            for (k, o) in out.iter_mut().enumerate() {
                let top = a[k] + (b[k] - a[k]) * u.t;
                let bottom = c[k] + (d[k] - c[k]) * u.t;
                *o = top + (bottom - top) * v.t;
            }
        }
    }
}

/// Depth to space where `up`, else its inverse; `coarse` is the shape with the small map.
pub fn space(up: bool, block: usize, coarse: Shape, x: &[f32], y: &mut [f32]) {
    let c = coarse.c / (block * block);
    let fine_w = coarse.w * block;
    for v in 0..coarse.h * block {
        for u in 0..fine_w {
            let fine = (v * fine_w + u) * c;
            let part = (v % block) * block + u % block;
            let packed = ((v / block) * coarse.w + u / block) * coarse.c + part * c;
            let (from, to) = if up { (packed, fine) } else { (fine, packed) };
            y[to..to + c].copy_from_slice(&x[from..from + c]);
        }
    }
}

pub fn channels(index: &[u32], i: Shape, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.chunks_exact_mut(index.len()).zip(x.chunks_exact(i.c)) {
        y.iter_mut().zip(index).for_each(|(y, &k)| *y = x[k as usize]);
    }
}

pub fn permute(index: &[u32], x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(index).for_each(|(y, &k)| *y = x[k as usize]);
}

pub fn softmax(c: usize, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
        let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = exp_f32(x - top);
            sum += *y;
        }
        y.iter_mut().for_each(|y| *y /= sum);
    }
}

pub fn reduce_channels(mean: bool, c: usize, x: &[f32], y: &mut [f32]) {
    let scale = if mean { 1.0 / c as f32 } else { 1.0 };
    for (y, x) in y.iter_mut().zip(x.chunks_exact(c)) {
        *y = x.iter().sum::<f32>() * scale;
    }
}
