//! Masks by their definitions, pixel by pixel.

extern crate std;

use super::*;

/// By pixel as by definition, for every number of channels marked this way.
#[test]
fn pixels_of_bytes() {
    let mut state = 1u64;
    for c in 1..=6usize {
        for round in 0..200 {
            let words: std::vec::Vec<u64> = (0..c)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let sparse = if round % 2 == 0 { state >> 7 & state << 9 & state >> 21 } else { state };
                    sparse & (state.rotate_left(13) | 1)
                })
                .collect();
            let bit = |i: usize| words[i / 64] >> (i % 64) & 1;
            let expected = (0..64).fold(0, |all, p| all | (c * p..c * p + c).map(bit).max().unwrap_or(0) << p);
            assert_eq!(by_pixel(&words, c), expected, "{c} channels");
        }
    }
}

#[test]
fn runs_cover_what_each_does() {
    let grid = Grid { h: 2, w: 130 };
    let mut mask = [0u64; 6];
    for (i, word) in mask.iter_mut().enumerate() {
        *word = [0x8000_0000_0000_0001, !0, 3, 0x00ff_0ff0_f00f_1234, 0, 2][i];
    }
    let (mut by_run, mut by_pixel) = (std::vec::Vec::new(), std::vec::Vec::new());
    runs(&mask, grid, |y, x| by_run.extend(x.map(|x| (y, x))));
    each(&mask, grid, |y, x| by_pixel.push((y, x)));
    assert_eq!(by_run, by_pixel);
}

/// A generator of numbers below `n`.
fn random() -> impl FnMut(usize) -> usize {
    let mut state = 9u64;
    move |n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    }
}

fn marks(grid: Grid, next: &mut impl FnMut(usize) -> usize) -> std::vec::Vec<u64> {
    let mut mask = std::vec![0; grid.h * grid.words()];
    for i in 0..grid.h * grid.w {
        if next(5) == 0 {
            set(&mut mask, grid, i / grid.w, i % grid.w);
        }
    }
    mask
}

fn marked(mask: &[u64], grid: Grid, y: isize, x: isize) -> bool {
    let inside = y >= 0 && x >= 0 && (y as usize) < grid.h && (x as usize) < grid.w;
    inside && mask[y as usize * grid.words() + x as usize / 64] >> (x % 64) & 1 != 0
}

/// Both directions of a window by its definition, in one word and in several.
#[test]
fn windows_by_definition() {
    let mut next = random();
    for _ in 0..3000 {
        let wide = if next(2) == 0 { 40 } else { 150 };
        let out = Grid { h: 1 + next(6), w: 1 + next(wide) };
        let pick = |n: usize, next: &mut dyn FnMut(usize) -> usize| 1 + next(n) as u16;
        let w = Window {
            kernel: [pick(5, &mut next), pick(5, &mut next)],
            stride: [pick(3, &mut next), pick(3, &mut next)],
            dilation: [pick(2, &mut next), pick(2, &mut next)],
            pad: [next(3) as u16, next(3) as u16],
        };
        let grid = Grid { h: out.h * w.stride[0] as usize + next(2), w: out.w * w.stride[1] as usize + next(2) };
        let taps = |y: usize, x: usize| {
            let at = move |k: u16, d: u16, at: usize, stride: u16, pad: u16| {
                (0..k as isize).map(move |k| at as isize * stride as isize - pad as isize + k * d as isize)
            };
            let columns = move || at(w.kernel[1], w.dilation[1], x, w.stride[1], w.pad[1]);
            at(w.kernel[0], w.dilation[0], y, w.stride[0], w.pad[0]).flat_map(move |y| columns().map(move |x| (y, x)))
        };
        let (mask, wanted) = (marks(grid, &mut next), marks(out, &mut next));
        let mut scratch = std::vec![0; 4 * grid.words().max(out.words()) + 8 * out.words() + 8];
        let (mut seen, mut need) = (std::vec![0; wanted.len()], std::vec![0; mask.len()]);
        spread_window(&mut seen, out, &mask, grid, &w, &mut scratch);
        need_window(&mut need, grid, &wanted, out, &w, &mut scratch);
        let mut expected = std::vec![0; mask.len()];
        for (y, x) in (0..out.h).flat_map(|y| (0..out.w).map(move |x| (y, x))) {
            let any = taps(y, x).any(|(y, x)| marked(&mask, grid, y, x));
            assert_eq!(marked(&seen, out, y as isize, x as isize), any, "{w:?} {out:?} {grid:?}: {y} {x}");
            if marked(&wanted, out, y as isize, x as isize) {
                for (y, x) in taps(y, x).filter(|(y, x)| *y >= 0 && *x >= 0 && (*y as usize) < grid.h && (*x as usize) < grid.w) {
                    set(&mut expected, grid, y as usize, x as usize);
                }
            }
        }
        assert_eq!(need, expected, "{w:?} {out:?} {grid:?}");
    }
}

#[test]
fn speckles_have_no_marked_neighbour() {
    let mut next = random();
    for _ in 0..300 {
        let grid = Grid { h: 1 + next(5), w: 1 + next(140) };
        let (weak, strong) = (marks(grid, &mut next), marks(grid, &mut next));
        let mut mask = weak.clone();
        despeckle(&mut mask, &strong, grid, &mut std::vec![0; 3 * grid.words()]);
        for (y, x) in (0..grid.h as isize).flat_map(|y| (0..grid.w as isize).map(move |x| (y, x))) {
            let around = (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))).filter(|d| *d != (0, 0));
            let near = around.clone().any(|(dy, dx)| marked(&weak, grid, y + dy, x + dx));
            let expected = marked(&weak, grid, y, x) && near || marked(&strong, grid, y, x);
            assert_eq!(marked(&mask, grid, y, x), expected, "{grid:?}: {y} {x}");
        }
        assert!(mask.chunks(grid.words()).all(|line| line[grid.words() - 1] & !grid.last() == 0), "{grid:?}: past the line");
    }
}

#[test]
fn reshaped_rows_share_elements() {
    let mut next = random();
    for _ in 0..300 {
        let (grid, c) = (Grid { h: 1 + next(4), w: 1 + next(90) }, 1 + next(6));
        let elements = grid.h * grid.w * c;
        let out_c = (1..=elements).filter(|n| elements % n == 0).nth(next(3)).unwrap_or(1);
        let rows = elements / out_c;
        let h = (1..=rows).rev().find(|h| rows % h == 0 && *h <= 3).unwrap_or(1);
        let out = Grid { h, w: rows / h };
        let mask = marks(grid, &mut next);
        let (mut got, mut expected) = (std::vec![0; out.h * out.words()], std::vec![0; out.h * out.words()]);
        reshape(&mut got, out, out_c, &mask, grid, c);
        each(&mask, grid, |y, x| {
            for e in (y * grid.w + x) * c..(y * grid.w + x + 1) * c {
                set(&mut expected, out, e / out_c / out.w, e / out_c % out.w);
            }
        });
        assert_eq!(got, expected, "{grid:?} {c} to {out:?} {out_c}");
    }
}
