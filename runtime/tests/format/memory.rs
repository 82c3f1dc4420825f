//! What may lie where: chains, views, scratch, interleaved channels.

use quiescent::format::*;

use super::mutations::sound;
use super::*;

#[test]
fn chain_faults() {
    let (sample, at) = net();
    let index = sample.b.steps[at.depthwise as usize].output;
    let map = index as usize;
    let tensor = |index| FormatError::Tensor { index, fault: Fault::Band };
    // A map that is held, read elsewhere or read as the residual; one at a segment's end; an operator that reads no lines; the input.
    assert_eq!(error(|n, _| n.b.tensors[map].flags |= HELD), tensor(index));
    assert_eq!(error(|n, a| n.b.steps[a.add as usize].inputs.swap(0, 1)), tensor(index));
    let elsewhere = error(|n, a| n.b.steps[a.max as usize].inputs[0] = n.b.steps[a.depthwise as usize].output);
    assert_eq!(elsewhere, FormatError::Step { index: at.max, fault: Fault::Scratch });
    let conv = sample.b.steps[at.conv as usize].output;
    assert_eq!(error(|n, a| n.b.tensors[n.b.steps[a.conv as usize].output as usize].lines = 4), tensor(conv));
    let table = sample.b.steps[at.table as usize].output;
    assert_eq!(error(|n, a| n.b.tensors[n.b.steps[a.table as usize].output as usize].lines = 4), tensor(table));
    assert_eq!(error(|n, _| n.b.tensors[0].lines = 4), FormatError::Header { fault: Fault::Input });
    // The reader's result lies where the maker still reads.
    let over = error(|n, a| {
        let (make, take) = (n.b.steps[a.depthwise as usize], n.b.steps[a.add as usize]);
        n.b.tensors[take.output as usize].origin = n.b.tensors[make.inputs[0] as usize].origin;
    });
    assert!(matches!(over, FormatError::Step { fault: Fault::Overlap, .. }), "{over}");
    // A buffer larger than any arena.
    let huge = error(|n, _| n.b.tensors[map].lines = 1 << 24);
    assert_eq!(huge, FormatError::Header { fault: Fault::TooLarge });
}

/// Convolutions through lines: `lines[k]` lines of map `k`, each of its own, or at `place(k, own)`.
fn lines(maps: &[u32], place: impl Fn(usize, u32) -> u32) -> Result<(), FormatError> {
    let mut n = Net::default();
    let mut x = n.tensor(codes(12, 4, 4).border(1));
    for (k, lines) in maps.iter().chain([&0]).enumerate() {
        let map = codes(12, 4, 4);
        let out = n.tensor(if *lines > 0 { map.scratch().border(1) } else { map });
        let t = &mut n.b.tensors[out as usize];
        (t.lines, t.origin) = (*lines, place(k, t.origin));
        n.conv(Op::Conv, x, None, out, window(3, 1, 1));
        x = out;
    }
    n.cut();
    check(&file(n)).map(|_| ())
}

#[test]
fn chains_of_any_length() {
    let own = |_, own| own;
    assert_eq!(lines(&[3], own), Ok(()));
    assert_eq!(lines(&[3, 4, 5], own), Ok(()));
    assert_eq!(lines(&[3; MAX_CHAIN], own), Ok(()));
    // Too many maps; too few lines.
    assert_eq!(lines(&[3; MAX_CHAIN + 1], own), Err(FormatError::Tensor { index: 1 + MAX_CHAIN as u32, fault: Fault::Band }));
    assert_eq!(lines(&[3, 2, 3], own), Err(FormatError::Tensor { index: 2, fault: Fault::Band }));
    // A later map where an earlier step of the chain still reads: the input, the first map.
    for (k, other) in [(2, 0), (3, 0), (3, 1)] {
        let at = std::cell::Cell::new(0);
        let over = lines(&[3, 3, 3], |i, own| {
            if i == other {
                at.set(own);
            }
            if i == k { at.get() } else { own }
        });
        assert!(matches!(over, Err(FormatError::Step { fault: Fault::Overlap, .. })), "{k} over {other}: {over:?}");
    }
}

/// A network whose input is not held: frames are computed whole.
fn whole(place: impl Fn(u32) -> u32) -> Result<Layout, FormatError> {
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 4).scratch());
    let origin = n.b.tensors[x as usize].origin;
    let a = n.tensor(codes(4, 4, 4).scratch());
    let b = n.tensor_at(codes(4, 4, 4).scratch(), place(origin), 4, 16);
    let y = n.tensor(codes(4, 4, 4));
    n.step(Op::Copy, &[x], a, 0u32);
    n.step(Op::Copy, &[a], b, 0u32);
    n.step(Op::Copy, &[b], y, 0u32);
    n.cut();
    let bytes = file(n);
    check(&bytes).map(|m| layout(&m))
}

#[test]
fn an_input_that_is_not_held() {
    // Its memory is free once it has been read, and there are no masks.
    let l = whole(|origin| origin).unwrap();
    assert_eq!((l.masks, l.strong), (l.stats, l.stats));
    assert!(l.total - l.scratch < ALIGN);
    // Not before, and no held tensor may lie there.
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 4).scratch());
    let a = n.tensor(codes(4, 4, 4).scratch());
    let over = n.tensor_at(codes(4, 4, 4), n.b.tensors[x as usize].origin, 4, 16);
    n.step(Op::Copy, &[x], a, 0u32);
    n.step(Op::Copy, &[a], over, 0u32);
    n.cut();
    assert_eq!(check(&file(n)).err(), Some(FormatError::Tensor { index: 0, fault: Fault::Overlap }));
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 4).scratch());
    let a = n.tensor_at(codes(4, 4, 4).scratch(), n.b.tensors[x as usize].origin + 32, 4, 16);
    n.end += 256;
    let y = n.tensor(codes(4, 4, 4));
    let affine = n.affine(x);
    n.step(Op::Copy, &[x], a, 0u32);
    let sum = Binary { a: affine, b: affine, out: affine, constant: NONE, hi: 255.0, table: NONE, ..Binary::default() };
    n.step(Op::Binary, &[a, x], y, sum);
    n.cut();
    assert!(check(&file(n)).is_err());
}

#[test]
fn view_faults() {
    let join = |change: fn(&mut Join)| param(|a| a.join, change);
    assert_eq!(join(|p| p.first = 0), Fault::Order);
    assert_eq!(join(|p| p.y0 = 1), Fault::View);
    assert_eq!(join(|p| p.x0 = u32::MAX), Fault::View);
    assert_eq!(param(|a| a.rows, |p: &mut Join| p.y0 = 1), Fault::View);
    let view = |n: &mut Net, s: usize, change: fn(&mut Tensor)| {
        change(&mut n.b.tensors[n.b.steps[s].inputs[0] as usize]);
    };
    // Elsewhere in the pixel, behind it, with other strides, in another type, without the flag.
    let meets = error(|n, a| view(n, a.join as usize, |t| t.origin += 1));
    assert_eq!(meets, FormatError::Step { index: net().1.join + 1, fault: Fault::View });
    assert_eq!(step(|a| a.join, |n, s| view(n, s, |t| (t.origin, t.border) = (t.origin + 9, [0; 4]))), Fault::View);
    assert_eq!(step(|a| a.join, |n, s| view(n, s, |t| t.pixel = 12)), Fault::View);
    assert_eq!(step(|a| a.join, |n, s| view(n, s, |t| t.flags = 0)), Fault::View);
    assert_eq!(step(|a| a.join, |n, s| view(n, s, |t| t.border = [2, 1, 1, 1])), Fault::Border);
    assert_eq!(
        step(
            |a| a.join,
            |n, s| {
                let fill = n.b.data.put_bytes(&[1; 8], 1);
                n.b.tensors[n.b.steps[s].inputs[0] as usize].fill = fill;
            }
        ),
        Fault::Border
    );
    // A gap between the views.
    let gap = step(
        |a| a.join,
        |n, s| {
            let view = n.b.steps[s + 1].inputs[0] as usize;
            n.b.tensors[view].c = 7;
            n.b.tensors[view].origin += 1;
            let produced = n.b.steps.iter().position(|s| s.output == view as u32).unwrap();
            let list = n.b.data.put(&[0u32; 7]);
            n.b.steps[produced].op = Op::Channels as u16;
            n.b.steps[produced].param = n.b.data.put(&[Channels { index: list }]);
            n.b.steps[produced].inputs[0] = n.b.steps[s - 2].output;
        },
    );
    assert_eq!(gap, Fault::View);
    let reshape = |change: fn(&mut Tensor)| {
        step(
            |a| a.reshape,
            |n, s| {
                change(&mut n.b.tensors[n.b.steps[s].output as usize]);
            },
        )
    };
    assert_eq!(reshape(|t| t.origin += 4), Fault::View);
    assert_eq!(reshape(|t| t.line = 8), Fault::Stride);
    assert_eq!(reshape(|t| t.h = 15), Fault::Shape);
    assert_eq!(reshape(|t| (t.dtype, t.c, t.quant_len) = (1, 1, 0)), Fault::Dtype);
}

#[test]
fn sharing_faults() {
    // In place.
    let place = error(|n, a| {
        let s = n.b.steps[a.table as usize];
        n.b.tensors[s.output as usize].origin = n.b.tensors[s.inputs[0] as usize].origin;
    });
    assert!(matches!(place, FormatError::Step { fault: Fault::Overlap, .. }));
    let place = error(|n, _| {
        let [x, y] = [0, 1].map(|k| n.b.tensors[k]);
        n.b.tensors[1].origin = x.origin + (y.origin - x.origin) / 2;
    });
    assert!(matches!(place, FormatError::Tensor { index: 0, fault: Fault::Overlap }));
    // Scratch over a held tensor of another segment: both writers may be named.
    let held = error(|n, a| {
        let x = n.b.tensors[n.b.steps[a.table as usize].output as usize].origin;
        n.b.tensors[n.b.steps[a.depthwise as usize].output as usize].origin = x;
    });
    assert!(matches!(held, FormatError::Step { fault: Fault::Overlap, .. }));
    // Over the input.
    let input = error(|n, a| {
        n.b.tensors[n.b.steps[a.copy as usize].output as usize].origin = n.b.tensors[0].origin;
    });
    assert!(matches!(input, FormatError::Tensor { index: 0, fault: Fault::Overlap }));
    // Into the border of a held tensor.
    let border = error(|n, a| {
        let t = n.b.tensors[1];
        n.b.tensors[n.b.steps[a.mean as usize].output as usize].origin = t.origin - t.line - t.pixel;
    });
    assert!(matches!(border, FormatError::Step { fault: Fault::Overlap, .. }));
    // The border of a parent, which no step's result covers.
    let frame = error(|n, a| {
        let p = n.b.steps[a.join as usize].output as usize;
        n.b.tensors[p].border[0] = 5;
    });
    assert_eq!(frame, FormatError::Step { index: net().1.join, fault: Fault::Overlap });
    // Outputs must outlive the frame.
    let out = error(|n, a| n.b.outputs[0].tensor = n.b.steps[a.depthwise as usize].output);
    assert_eq!(out, FormatError::Output { index: 0, fault: Fault::Scratch });
}

/// A chain of copies in scratch; the result of step k lies at `places[k]`.
fn chain(places: &[u32]) -> Result<(), FormatError> {
    let mut n = Net::default();
    let mut x = n.tensor(codes(4, 4, 4));
    let base = n.end;
    for place in places {
        let out = n.tensor_at(codes(4, 4, 4).scratch(), base + place, 4, 16);
        n.step(Op::Copy, &[x], out, 0u32);
        x = out;
    }
    n.end = base + 4096;
    let last = n.tensor(codes(4, 4, 4));
    n.step(Op::Copy, &[x], last, 0u32);
    n.cut();
    check(&file(n)).map(|_| ())
}

#[test]
fn scratch_is_reused_when_dead() {
    assert_eq!(chain(&[0, 64, 0, 64, 0]), Ok(()));
    assert!(chain(&[0, 63]).is_err());
    // Still needed by a later step.
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 4));
    let base = n.end.next_multiple_of(64);
    let [a, b, c] = [0, 64, 0].map(|at| n.tensor_at(codes(4, 4, 4).scratch(), base + at, 4, 16));
    n.end = base + 256;
    let last = n.tensor(codes(4, 4, 4));
    n.step(Op::Copy, &[x], a, 0u32);
    n.step(Op::Copy, &[a], b, 0u32);
    n.step(Op::Copy, &[b], c, 0u32);
    let affine = n.affine(a);
    let sum = Binary { a: affine, b: affine, out: affine, constant: NONE, hi: 255.0, table: NONE, ..Binary::default() };
    n.step(Op::Binary, &[c, a], last, sum);
    n.cut();
    let bytes = file(n);
    assert_eq!(check(&bytes).err(), Some(FormatError::Step { index: 2, fault: Fault::Overlap }));
}

#[test]
fn interleaved_channels_are_apart() {
    // Two branches write the halves of one map in turn, the second reading the first; the origin is no multiple of
    // the pixel, so that one half wraps around it.
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 24).border(1));
    let p = n.tensor(codes(4, 4, 48));
    let origin = n.b.tensors[p as usize].origin;
    assert_ne!(origin % 48, 0);
    let half = codes(4, 4, 24).view();
    let a = n.tensor_at(half, origin, 48, 192);
    let b = n.tensor_at(half, origin + 24, 48, 192);
    n.step(Op::Copy, &[x], a, 0u32);
    n.conv(Op::Conv, a, None, b, window(1, 1, 0));
    n.step(Op::Join, &[a], p, Join { y0: 0, x0: 0, first: 1 });
    n.step(Op::Join, &[b], p, Join { y0: 0, x0: 0, first: 0 });
    n.cut();
    let bytes = file(n);
    sound(&check(&bytes).unwrap());
}

#[test]
fn interleaved_columns_are_apart() {
    let mut n = Net::default();
    let x = n.tensor(codes(4, 2, 4));
    let p = n.tensor(codes(4, 4, 4));
    let origin = n.b.tensors[p as usize].origin;
    let half = codes(4, 2, 4).view();
    let a = n.tensor_at(half, origin, 4, 16);
    let b = n.tensor_at(half, origin + 8, 4, 16);
    n.step(Op::Copy, &[x], a, 0u32);
    n.step(Op::Copy, &[a], b, 0u32);
    n.step(Op::Join, &[a], p, Join { y0: 0, x0: 0, first: 1 });
    n.step(Op::Join, &[b], p, Join { y0: 0, x0: 2, first: 0 });
    n.cut();
    let bytes = file(n);
    sound(&check(&bytes).unwrap());
}
