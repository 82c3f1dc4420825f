//! Weights in the order the kernels read them: `[oc / 16][k / 4][16][4]`.

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
