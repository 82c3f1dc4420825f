//! Convolutions on maps.
//!
//! Dense ones become a matrix product: a block of output pixels is unrolled to rows of `kh * kw * icg` values (im2col;
//! a 1x1 stride-1 kernel needs none) and multiplied by the transposed weights. Depthwise ones go directly, a block of
//! channels at a time held in registers over all taps. Few-row products (fully connected layers) are plain dot
//! products, because packing the weights would cost more than the multiplications.

use crate::ir::{Conv, Shape};

/// Values unrolled at a time, so that a block stays in the second-level cache.
const BLOCK: usize = 64 * 1024;
/// Channels of a depthwise convolution accumulated together.
const LANES: usize = 16;

/// Weights in the order the loops want: `[kh][kw][oc]` where every output reads one input channel, else nothing.
pub fn prepare(c: &Conv, ic: usize) -> Vec<f32> {
    if ic != c.groups {
        return Vec::new();
    }
    let taps = c.kh * c.kw;
    let mut w = vec![0.0; taps * c.oc];
    for o in 0..c.oc {
        for t in 0..taps {
            w[t * c.oc + o] = c.weights[o * taps + t];
        }
    }
    w
}

/// `prepared` is what [`prepare`] returned; `cols` is scratch.
pub fn conv(c: &Conv, i: Shape, x: &[f32], o: Shape, y: &mut [f32], prepared: &[f32], cols: &mut Vec<f32>) {
    if i.c == c.groups && c.oc == c.groups && c.groups > 1 {
        return depthwise(c, i, x, o, y, prepared);
    }
    if i.c == c.groups && c.groups > 1 {
        return multiplier(c, i, x, o, y, prepared);
    }
    for row in y.chunks_exact_mut(c.oc) {
        row.copy_from_slice(&c.bias);
    }
    let icg = i.c / c.groups;
    let ocg = c.oc / c.groups;
    let k = c.kh * c.kw * icg;
    let rows = o.rows();
    let pad = c.pad.t + c.pad.l + c.pad.b + c.pad.r;
    let pointwise = c.kh == 1 && c.kw == 1 && c.stride == (1, 1) && pad == 0 && i.h == o.h && i.w == o.w;
    let whole = c.groups == 1 && pad == 0 && rows == 1 && c.kh == i.h && c.kw == i.w && c.dilation == (1, 1);
    for g in 0..c.groups {
        let weights = &c.weights[g * ocg * k..(g + 1) * ocg * k];
        if pointwise || whole {
            let stride = if whole { k } else { i.c };
            product(rows, k, ocg, &x[g * icg..], stride, weights, &mut y[g * ocg..], c.oc);
            continue;
        }
        let block = (BLOCK / k).clamp(16, 4096);
        for first in (0..rows).step_by(block) {
            let n = block.min(rows - first);
            cols.clear();
            cols.resize(n * k, 0.0);
            unroll(c, i, x, o, g * icg, icg, first, cols);
            product(n, k, ocg, cols, k, weights, &mut y[first * c.oc + g * ocg..], c.oc);
        }
    }
}

/// Fills `cols` (zeroed, `n x kh*kw*icg`) with the receptive fields of output pixels `first..`.
#[allow(clippy::too_many_arguments)]
fn unroll(c: &Conv, i: Shape, x: &[f32], o: Shape, channel: usize, icg: usize, first: usize, cols: &mut [f32]) {
    for (n, col) in cols.chunks_exact_mut(c.kh * c.kw * icg).enumerate() {
        let (oy, ox) = ((first + n) / o.w, (first + n) % o.w);
        for ky in 0..c.kh {
            let Some(iy) = source(oy, c.stride.0, ky, c.dilation.0, c.pad.t, i.h) else { continue };
            for kx in 0..c.kw {
                let Some(ix) = source(ox, c.stride.1, kx, c.dilation.1, c.pad.l, i.w) else { continue };
                let at = (iy * i.w + ix) * i.c + channel;
                let to = (ky * c.kw + kx) * icg;
                col[to..to + icg].copy_from_slice(&x[at..at + icg]);
            }
        }
    }
}

/// The input line tap `k` of output line `o` reads, if it lies in `0..extent`.
#[inline(always)]
pub(super) fn source(o: usize, stride: usize, k: usize, dilation: usize, pad: usize, extent: usize) -> Option<usize> {
    (o * stride + k * dilation).checked_sub(pad).filter(|&v| v < extent)
}

/// `y[r][o] += sum_k a[r][k] * w[o][k]`, `a` with rows `stride_a` apart, `y` with rows `stride_y` apart.
#[allow(clippy::too_many_arguments)]
fn product(rows: usize, k: usize, oc: usize, a: &[f32], stride_a: usize, w: &[f32], y: &mut [f32], stride_y: usize) {
    if rows == 0 || k == 0 || oc == 0 {
        return;
    }
    if rows < 4 {
        for r in 0..rows {
            let a = &a[r * stride_a..r * stride_a + k];
            for (y, w) in y[r * stride_y..r * stride_y + oc].iter_mut().zip(w.chunks_exact(k)) {
                *y += dot(a, w);
            }
        }
        return;
    }
    assert!(a.len() >= (rows - 1) * stride_a + k && w.len() >= oc * k && y.len() >= (rows - 1) * stride_y + oc);
    // SAFETY: the assertion above bounds the largest offset of each matrix under the strides given here, and `y` is
    // borrowed mutably, so it overlaps neither `a` nor `w`.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            k,
            oc,
            1.0,
            a.as_ptr(),
            stride_a as isize,
            1,
            w.as_ptr(),
            1,
            k as isize,
            1.0,
            y.as_mut_ptr(),
            stride_y as isize,
            1,
        );
    }
}

/// Sixteen partial sums, so that the loop vectorises.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (pa, pb) = (a.chunks_exact(16), b.chunks_exact(16));
    let tail: f32 = pa.remainder().iter().zip(pb.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in pa.zip(pb) {
        for l in 0..16 {
            sums[l] += a[l] * b[l];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Taps `first..end` of an axis whose source lies inside the map.
pub(super) fn inside(o: usize, stride: usize, taps: usize, dilation: usize, pad: usize, extent: usize) -> std::ops::Range<usize> {
    let at = o * stride;
    let first = pad.saturating_sub(at).div_ceil(dilation);
    let end = if extent + pad > at { (extent + pad - at).div_ceil(dilation) } else { 0 };
    first.min(taps)..end.clamp(first.min(taps), taps)
}

fn depthwise(c: &Conv, i: Shape, x: &[f32], o: Shape, y: &mut [f32], weights: &[f32]) {
    let ch = i.c;
    for oy in 0..o.h {
        let kys = inside(oy, c.stride.0, c.kh, c.dilation.0, c.pad.t, i.h);
        for ox in 0..o.w {
            let kxs = inside(ox, c.stride.1, c.kw, c.dilation.1, c.pad.l, i.w);
            let out = &mut y[(oy * o.w + ox) * ch..][..ch];
            let mut at = 0;
            while at < ch {
                let n = LANES.min(ch - at);
                let mut acc = [0f32; LANES];
                acc[..n].copy_from_slice(&c.bias[at..at + n]);
                for ky in kys.clone() {
                    let iy = oy * c.stride.0 + ky * c.dilation.0 - c.pad.t;
                    for kx in kxs.clone() {
                        let ix = ox * c.stride.1 + kx * c.dilation.1 - c.pad.l;
                        let w = &weights[(ky * c.kw + kx) * ch + at..][..n];
                        let v = &x[(iy * i.w + ix) * ch + at..][..n];
                        if n == LANES {
                            for l in 0..LANES {
                                acc[l] += v[l] * w[l];
                            }
                        } else {
                            for (a, (v, w)) in acc.iter_mut().zip(v.iter().zip(w)) {
                                *a += v * w;
                            }
                        }
                    }
                }
                out[at..at + n].copy_from_slice(&acc[..n]);
                at += n;
            }
        }
    }
}

/// One input channel a group, several outputs.
fn multiplier(c: &Conv, i: Shape, x: &[f32], o: Shape, y: &mut [f32], weights: &[f32]) {
    let per = c.oc / c.groups;
    for oy in 0..o.h {
        let kys = inside(oy, c.stride.0, c.kh, c.dilation.0, c.pad.t, i.h);
        for ox in 0..o.w {
            let kxs = inside(ox, c.stride.1, c.kw, c.dilation.1, c.pad.l, i.w);
            let out = &mut y[(oy * o.w + ox) * c.oc..][..c.oc];
            out.copy_from_slice(&c.bias);
            for ky in kys.clone() {
                let iy = oy * c.stride.0 + ky * c.dilation.0 - c.pad.t;
                for kx in kxs.clone() {
                    let ix = ox * c.stride.1 + kx * c.dilation.1 - c.pad.l;
                    let w = &weights[(ky * c.kw + kx) * c.oc..][..c.oc];
                    let v = &x[(iy * i.w + ix) * i.c..][..i.c];
                    for ((out, w), &v) in out.chunks_exact_mut(per).zip(w.chunks_exact(per)).zip(v) {
                        for (o, w) in out.iter_mut().zip(w) {
                            *o += v * w;
                        }
                    }
                }
            }
        }
    }
}
