//! Weights in the order the kernels read them: `[oc / 16][k / 4][16][4]`, or in pairs of outputs.

/// `codes` `[oc][kh][kw][ic]`; taps of a kernel line are packed as one run where `merged`. Returns the packed weights and the
/// groups of 4 bytes a segment.
pub fn conv(codes: &[i8], oc: usize, kh: usize, kw: usize, ic: usize, merged: bool) -> Vec<i8> {
    let (segments, run) = if merged { (kh, kw * ic) } else { (kh * kw, ic) };
    let quads = run.div_ceil(4);
    let mut packed = vec![0; oc.div_ceil(16) * segments * quads * 64];
    for (o, row) in codes.chunks_exact(kh * kw * ic).enumerate() {
        for (s, run) in row.chunks_exact(run).enumerate() {
            for (j, w) in run.iter().enumerate() {
                let at = ((o / 16 * segments + s) * quads + j / 4) * 64 + o % 16 * 4 + j % 4;
                packed[at] = *w;
            }
        }
    }
    packed
}

/// Whether a convolution of `rows` output rows and `k` products a result takes less time on Cortex-M with weights in pairs: with more rows
/// a widened weight serves several products, and padding must not cost more than pairs gain.
pub fn pays_in_pairs(rows: usize, k: usize) -> bool {
    rows <= 2 && 3 * k.next_multiple_of(16) <= 4 * k.next_multiple_of(4)
}

/// `codes` `[oc][k]` to `[oc / 2][k][2]`, the first of a pair plus 128. What pads counts 0.
pub fn pairs(codes: &[i8], oc: usize, k: usize) -> Vec<i8> {
    let run = k.next_multiple_of(16);
    let mut packed = [i8::MIN, 0].repeat(oc.next_multiple_of(16) / 2 * run);
    for (o, row) in codes.chunks_exact(k).enumerate() {
        for (j, w) in row.iter().enumerate() {
            packed[(o / 2 * run + j) * 2 + o % 2] = if o % 2 == 0 { w ^ i8::MIN } else { *w };
        }
    }
    packed
}

/// `codes` `[c][taps]` to `[c / 16][taps / 4][16][4]`.
pub fn depthwise(codes: &[i8], c: usize, taps: usize) -> Vec<i8> {
    let quads = taps.div_ceil(4);
    let mut packed = vec![0; c.div_ceil(16) * quads * 64];
    for (k, row) in codes.chunks_exact(taps).enumerate() {
        for (t, w) in row.iter().enumerate() {
            packed[(k / 16 * quads + t / 4) * 64 + k % 16 * 4 + t % 4] = *w;
        }
    }
    packed
}
