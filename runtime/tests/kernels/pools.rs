//! Pooling tiles.

use quiescent::kernels::{Kernels, PoolTile, scalar};

use super::guarded::{Against, Guarded};
use super::{Random, sets};

/// Windows of a map `[h, w, c]`, clipped as the engine clips them, against a page that faults.
fn compare(seed: u64, c: usize, window: (usize, usize), dilation: usize, padding: Option<usize>, against: Against) {
    let mut random = Random(seed);
    let (h, w) = (window.0 * dilation + 2, window.1 * dilation + 3);
    let pixel = c + random.below(3) * 5;
    let line = w * pixel;
    let extreme = seed.is_multiple_of(3);
    let bytes: Vec<u8> = (0..(h - 1) * line + (w - 1) * pixel + c).map(|_| random.code(extreme)).collect();
    let input = Guarded::new(&bytes, against);
    let rows = 1 + random.below(9);
    let (mut rows_in, mut taps, mut rows_out) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..rows {
        let (ny, nx) = (1 + random.below(window.0), 1 + random.below(window.1));
        let (y, x) = (h - 1 - (ny - 1) * dilation, w - 1 - (nx - 1) * dilation);
        // The last window ends with the input, the first starts with it.
        let (y, x) = match i {
            0 => (0, 0),
            _ if i == rows - 1 => (y, x),
            _ => (random.below(y + 1), random.below(x + 1)),
        };
        rows_in.push((y * line + x * pixel) as u32);
        taps.push((ny as u16, nx as u16));
        rows_out.push((7 + i * (c + 3)) as u32);
    }
    let zero: Vec<u8> = (0..padding.unwrap_or(0)).map(|_| random.code(extreme)).collect();
    let run = |set: &Kernels, mean: bool| {
        let mut out = vec![0xa5u8; 7 + rows * (c + 3) + 64];
        let tile = PoolTile {
            input: input.as_ptr(),
            rows_in: &rows_in,
            taps: &taps,
            step: [dilation * line, dilation * pixel],
            c,
            padding: padding.map(|_| ((window.0 * window.1) as u32, &zero[..])),
            output: out.as_mut_ptr(),
            rows_out: &rows_out,
        };
        // SAFETY: windows lie in the input, results in `out`; the set is available.
        unsafe { if mean { (set.avg_pool)(&tile) } else { (set.max_pool)(&tile) } };
        out
    };
    for set in sets() {
        for mean in [false, true] {
            assert!(
                run(set, mean) == run(&scalar::KERNELS, mean),
                "{}: mean {mean}, {c} channels, window {window:?}, dilation {dilation}, padding {padding:?}, seed {seed}",
                set.name
            );
        }
    }
}

#[test]
fn pools_all_widths() {
    for c in 1..=200 {
        for (k, window) in [(3, 3), (2, 2), (1, 4), (5, 1)].into_iter().enumerate() {
            let seed = (c * 10 + k) as u64;
            let against = if k % 2 == 0 { Against::End } else { Against::Start };
            let padding = [None, Some(1), Some(c)][(c + k) % 3];
            compare(seed, c, window, 1 + k % 2, padding, against);
        }
    }
}

/// Windows that follow one another along lines, as whole maps and spans of rows have them.
#[test]
fn pools_along_lines() {
    for c in [1, 3, 16, 24, 32, 48, 63, 64, 96] {
        for (kernel, stride) in [(1, 1), (2, 2), (3, 1), (3, 2), (5, 1), (2, 3)] {
            for against in [Against::End, Against::Start] {
                let mut random = Random((c * 100 + kernel * 10 + stride) as u64);
                let (ow, oh) = (60, 2);
                let (w, h) = ((ow - 1) * stride + kernel, (oh - 1) * stride + kernel);
                let bytes: Vec<u8> = (0..h * w * c).map(|_| random.code(false)).collect();
                let input = Guarded::new(&bytes, against);
                let (mut rows_in, mut rows_out) = (Vec::new(), Vec::new());
                for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))).filter(|(y, x)| *y == 0 || x % 11 != 3).take(64) {
                    rows_in.push(((y * w + x) * stride * c) as u32);
                    rows_out.push(((y * ow + x) * c) as u32);
                }
                let taps = vec![(kernel as u16, kernel as u16); rows_in.len()];
                let run = |set: &Kernels| {
                    let mut out = vec![0xa5u8; oh * ow * c + 64];
                    let tile = PoolTile {
                        input: input.as_ptr(),
                        rows_in: &rows_in,
                        taps: &taps,
                        step: [w * c, c],
                        c,
                        padding: None,
                        output: out.as_mut_ptr(),
                        rows_out: &rows_out,
                    };
                    // SAFETY: windows lie in the input, results in `out`; the set is available.
                    unsafe { (set.max_pool)(&tile) };
                    out
                };
                for set in sets() {
                    assert!(run(set) == run(&scalar::KERNELS), "{}: {c} channels, {kernel} at stride {stride}", set.name);
                }
            }
        }
    }
}

#[test]
fn large_windows_sum_exactly() {
    for c in [1, 16, 40] {
        for padding in [None, Some(1), Some(c)] {
            compare(c as u64, c, (31, 33), 1, padding, Against::End);
        }
    }
}
