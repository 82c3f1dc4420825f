//! The whole-file check: accepts what the writer makes, names every kind of fault, survives anything.

mod sample;
#[path = "sample/xorshift.rs"]
mod xorshift;

use proptest::prelude::*;
use quiescent::format::*;
use sample::{Net, codes, net, window};
use xorshift::Xorshift;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

fn file(n: Net) -> AlignedBytes {
    AlignedBytes::from(n.b.finish())
}

#[test]
fn a_written_file_is_accepted() {
    let bytes = file(net().0);
    let m = check(&bytes).unwrap();
    assert_eq!(m.header.arena_len as usize, layout(&m).total);
    assert_eq!(arena_len(&bytes), Ok(layout(&m).total));
    assert_eq!(m.cold, b"{}");
    assert_eq!(bytes.as_ptr().addr() % ALIGN, 0);
    let l = layout(&m);
    assert!(l.masks >= m.header.tensors_end as usize && l.masks < l.stats && l.stats < l.staging);
    assert_eq!((l.staging % 64, l.line % 8, l.scratch % 8, l.total % 64), (0, 0, 0, 0));
    assert_eq!(l.line, l.staging + l.staging_len);
}

/// The sizes docs/format.md states.
#[test]
fn records_have_their_documented_size() {
    assert_eq!(size_of::<Header>(), 116);
    assert_eq!([size_of::<Tensor>(), size_of::<Segment>(), size_of::<Step>()], [52, 8, 32]);
    assert_eq!([size_of::<Gate>(), size_of::<OutputRecord>(), size_of::<Point>()], [16, 68, 12]);
    assert_eq!([size_of::<Window>(), size_of::<Conv>(), size_of::<ConvF32>()], [16, 48, 36]);
    assert_eq!([size_of::<Binary>(), size_of::<Map>(), size_of::<Pool>()], [48, 40, 20]);
    assert_eq!([size_of::<Index>(), size_of::<Lerp>(), size_of::<Reduce>(), size_of::<Join>()], [12, 8, 20, 12]);
    let at = core::mem::offset_of!(Header, checksum);
    assert_eq!([at, core::mem::offset_of!(Header, tensors), core::mem::offset_of!(Header, cost)], [16, 32, 104]);
}

#[test]
fn equal_blobs_are_stored_once() {
    let mut d = Data::default();
    let a = d.put(&[1.0f32, 2.0]);
    d.put_bytes(b"odd", 1);
    assert_eq!(d.put(&[1.0f32, 2.0]), a);
    let w = d.put_weights(&[1, 2, 3]);
    assert_eq!(w % 64, 0);
    assert_eq!(d.put_bytes(&[1, 2, 3], 1), w);
    assert_ne!(d.put_bytes(b"odd", 4) % 4, 3);
}

#[test]
fn slices_of_any_alignment() {
    let bytes = file(net().0);
    let mut shifted = AlignedBytes::zeroed(bytes.len() + 4);
    for at in 1..=4 {
        shifted[at..][..bytes.len()].copy_from_slice(&bytes);
        let got = check(&shifted[at..][..bytes.len()]).err();
        assert_eq!(got, (at < 4).then_some(FormatError::Unaligned));
    }
}

/// The error after a change to the builder.
fn error(change: impl FnOnce(&mut Net, sample::At)) -> FormatError {
    let (mut n, at) = net();
    change(&mut n, at);
    check(&file(n)).err().expect("accepted")
}

/// The error after a change to a step's parameters.
fn param<P>(step: fn(sample::At) -> u32, change: impl FnOnce(&mut P)) -> Fault
where
    P: FromBytes + IntoBytes + Immutable + KnownLayout + Copy,
{
    let at = step(net().1);
    let got = error(|n, _| {
        let offset = n.b.steps[at as usize].param as usize;
        let mut p = P::read_from_bytes(&n.b.data.bytes()[offset..][..size_of::<P>()]).unwrap();
        change(&mut p);
        n.b.steps[at as usize].param = n.b.data.put(&[p]);
    });
    fault(got, at)
}

fn fault(got: FormatError, step: u32) -> Fault {
    match got {
        FormatError::Step { index, fault } if index == step => fault,
        other => panic!("{other} instead of a fault of step {step}"),
    }
}

/// The fault of a step after a change to the builder.
fn step(step: fn(sample::At) -> u32, change: impl FnOnce(&mut Net, usize)) -> Fault {
    let at = step(net().1);
    fault(error(|n, _| change(n, at as usize)), at)
}

/// The fault of a tensor after a change to its record.
fn tensor(index: u32, change: impl FnOnce(&mut Tensor)) -> Fault {
    match error(|n, _| change(&mut n.b.tensors[index as usize])) {
        FormatError::Tensor { index: i, fault } if i == index => fault,
        other => panic!("{other} instead of a fault of tensor {index}"),
    }
}

/// The error after a change to the finished bytes, with the checksum put right.
fn patched(change: impl FnOnce(&mut Header)) -> FormatError {
    let mut bytes = file(net().0);
    let (h, _) = Header::mut_from_prefix(&mut bytes).unwrap();
    change(h);
    seal(&mut bytes);
    check(&bytes).err().expect("accepted")
}

#[test]
fn header_faults() {
    use FormatError as E;
    assert_eq!(patched(|h| h.magic ^= 1), E::Magic);
    assert_eq!(patched(|h| h.version = 2), E::Version { found: 2 });
    assert_eq!(patched(|h| h.profile = 900), E::Profile { code: 900 });
    assert_eq!(patched(|h| h.packing = 1), E::Packing { code: 1 });
    assert_eq!(patched(|h| h.file_len += 1), E::Truncated);
    assert_eq!(patched(|h| h.input_gate.reserved = 1), E::Header { fault: Fault::Reserved });
    assert_eq!(patched(|h| h.cost.dense_above = f32::NAN), E::Header { fault: Fault::Number });
    assert_eq!(patched(|h| h.arena_len = MAX_ARENA + 1), E::Header { fault: Fault::TooLarge });
    assert_eq!(patched(|h| h.tensors_end = h.arena_len + 1), E::Header { fault: Fault::Outside });
    assert_eq!(patched(|h| h.input = 900), E::Header { fault: Fault::Index });
    assert_eq!(patched(|h| h.input = 1), E::Header { fault: Fault::Input });
    assert_eq!(error(|n, _| n.b.tensors[0].quant_len = 0), E::Header { fault: Fault::Quant });
    let wide = error(|n, _| {
        let t = &mut n.b.tensors[0];
        (t.origin, t.pixel, t.line) = (55, 5, 50);
    });
    assert_eq!(wide, E::Header { fault: Fault::Stride });
    assert!(matches!(patched(|h| h.arena_len -= 1), E::Arena { needed, stated } if needed == stated + 1));
    let section = |section, fault| E::Section { section, fault };
    assert_eq!(patched(|h| h.steps.offset += 4), section(Section::Steps, Fault::Unaligned));
    assert_eq!(patched(|h| h.tensors.len -= 4), section(Section::Tensors, Fault::Unaligned));
    assert_eq!(patched(|h| h.tensors.offset = 0), section(Section::Tensors, Fault::Order));
    assert_eq!(patched(|h| h.segments.offset = h.tensors.offset), section(Section::Segments, Fault::Order));
    assert_eq!(patched(|h| h.data.len = u32::MAX), section(Section::Data, Fault::Outside));
    assert_eq!(patched(|h| h.cold.offset = 64 * 0x3ff_ffff), section(Section::Cold, Fault::Outside));
    let mut bytes = file(net().0);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(check(&bytes).err(), Some(E::Checksum));
    let many = error(|n, _| n.b.points = vec![Point::default(); MAX_RECORDS + 1]);
    assert_eq!(many, section(Section::Points, Fault::TooMany));
}

#[test]
fn tensor_faults() {
    assert_eq!(tensor(1, |t| t.dtype = 2), Fault::Unknown);
    assert_eq!(tensor(1, |t| t.flags |= 4), Fault::Unknown);
    assert_eq!(tensor(1, |t| t.h = 0), Fault::Shape);
    assert_eq!(tensor(1, |t| t.w = 65536), Fault::Shape);
    assert_eq!(tensor(1, |t| t.pixel = 7), Fault::Stride);
    assert_eq!(tensor(1, |t| t.line = 71), Fault::Stride);
    assert_eq!(tensor(1, |t| t.origin = 87), Fault::Outside);
    assert_eq!(tensor(1, |t| t.quant_len = 3), Fault::Quant);
    assert_eq!(tensor(1, |t| t.scale = NONE), Fault::Quant);
    assert_eq!(tensor(1, |t| t.zero = NONE), Fault::Quant);
    assert_eq!(tensor(1, |t| t.fill = NONE), Fault::Border);
    assert_eq!(tensor(2, |t| t.flags = HELD | VIEW), Fault::View);
    let reals = net().0.b.tensors.iter().position(|t| t.dtype() == Dtype::F32).unwrap() as u32;
    assert_eq!(tensor(reals, |t| t.quant_len = 1), Fault::Quant);
    let unused = error(|n, _| _ = n.tensor(codes(1, 1, 1)));
    assert!(matches!(unused, FormatError::Tensor { fault: Fault::Unwritten, .. }));

    // What the writer computes, changed afterwards.
    for (change, expected) in [
        ((|_, t| t[1].mask += 8) as fn(&mut Header, &mut [Tensor]), Fault::Mask),
        (|h, t| t[1].origin = h.tensors_end - 100, Fault::Outside),
        (|_, t| t[1].origin = u32::MAX, Fault::Outside),
        (|_, t| t[1].line = u32::MAX, Fault::Stride),
    ] {
        let mut bytes = file(net().0);
        let mut h = check(&bytes).unwrap().header.to_owned();
        let at = h.tensors.offset as usize..(h.tensors.offset + h.tensors.len) as usize;
        change(&mut h, <[Tensor]>::mut_from_bytes(&mut bytes[at]).unwrap());
        seal(&mut bytes);
        assert_eq!(check(&bytes).err(), Some(FormatError::Tensor { index: 1, fault: expected }));
    }
}

#[test]
fn order_faults() {
    let segment = |index, fault| FormatError::Segment { index, fault };
    assert_eq!(error(|n, _| n.b.segments[1].first += 1), segment(1, Fault::Order));
    assert_eq!(error(|n, _| n.b.segments[0].end = 0), segment(0, Fault::Order));
    assert_eq!(error(|n, _| _ = n.b.segments.pop()), segment(4, Fault::Order));
    assert_eq!(error(|n, _| n.b.segments[4].end += 1), segment(4, Fault::Outside));

    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].op = 22), Fault::Unknown);
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].inputs_len = 0), Fault::Inputs);
    assert_eq!(step(|a| a.table, |n, s| n.b.steps[s].inputs_len = 2), Fault::Inputs);
    assert_eq!(step(|a| a.binary, |n, s| n.b.steps[s].inputs_len = 3), Fault::Inputs);
    assert_eq!(step(|a| a.constant, |n, s| n.b.steps[s].inputs[1] = 0), Fault::Surplus);
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].inputs[0] = 900), Fault::Index);
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].output = NONE), Fault::Index);
    // Reads its own result, a later one; two steps write one tensor.
    assert_eq!(step(|a| a.depthwise, |n, s| n.b.steps[s].inputs[0] = n.b.steps[s].output), Fault::Order);
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].inputs[0] = n.b.steps[s + 2].output), Fault::Order);
    assert_eq!(step(|a| a.table, |n, s| n.b.steps[s + 1].output = n.b.steps[s].output), Fault::Twice);
    assert_eq!(error(|n, _| n.b.steps[0].output = 0), FormatError::Header { fault: Fault::Input });
    // A parent read between its joins.
    let early = error(|n, a| n.b.steps.swap(a.join as usize + 1, a.after_join as usize));
    assert_eq!(early, FormatError::Step { index: net().1.after_join - 1, fault: Fault::Order });
    // Scratch used in the next segment.
    let at = net().1.add;
    let cut = error(|n, _| {
        n.b.segments[1].end = at;
        n.b.segments.insert(2, Segment { first: at, end: at + 1 });
    });
    assert_eq!(cut, FormatError::Step { index: at, fault: Fault::Scratch });
}

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
    assert_eq!((l.masks, l.staging_len), (l.stats, 0));
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
fn convolution_faults() {
    let conv = |change: fn(&mut Conv)| param(|a| a.conv, change);
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].param = NONE), Fault::Outside);
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].param += 1), Fault::Outside);
    assert_eq!(conv(|p| p.window.kernel[0] = 0), Fault::Window);
    assert_eq!(conv(|p| p.window.stride[1] = 1025), Fault::Window);
    assert_eq!(conv(|p| p.window.dilation[0] = 0), Fault::Window);
    assert_eq!(conv(|p| p.window.dilation[0] = 2), Fault::Window);
    assert_eq!(conv(|p| p.window.pad[0] = 2), Fault::Window);
    assert_eq!(conv(|p| p.window.pad[1] = 0), Fault::Window);
    assert_eq!(conv(|p| p.merged = 2), Fault::Unknown);
    assert_eq!(conv(|p| p.r = p.m), Fault::Surplus);
    for nan in [f32::NAN, -1.0, 256.0] {
        assert_eq!(param(|a| a.conv, |p: &mut Conv| p.lo = nan), Fault::Bounds);
        assert_eq!(param(|a| a.conv, |p: &mut Conv| (p.lo, p.hi) = (255.5, nan)), Fault::Bounds);
    }
    for change in [
        (|p| p.weights = u32::MAX - 63) as fn(&mut Conv),
        |p| p.m = NONE,
        |p| p.b = NONE,
        |p| p.m += 2,
        |p| p.table = NONE - 1,
    ] {
        assert_eq!(conv(change), Fault::Outside);
    }
    assert_eq!(param(|a| a.depthwise, |p: &mut Conv| p.merged = 1), Fault::Surplus);
    assert_eq!(param(|a| a.add, |p: &mut Conv| p.r = NONE), Fault::Outside);
    assert_eq!(param(|a| a.conv_f32, |p: &mut ConvF32| p.groups = 0), Fault::Shape);
    assert_eq!(param(|a| a.conv_f32, |p: &mut ConvF32| p.groups = 4), Fault::Shape);
    assert_eq!(param(|a| a.conv_f32, |p: &mut ConvF32| p.weights = NONE), Fault::Outside);
    assert_eq!(param(|a| a.conv_f32, |p: &mut ConvF32| p.window.kernel = [2, 1]), Fault::Window);
    // The residual's extents; u8 where f32 is due.
    assert_eq!(step(|a| a.add, |n, s| n.b.steps[s].inputs[1] = 0), Fault::Shape);
    assert_eq!(step(|a| a.conv_f32, |n, s| n.b.steps[s].inputs[0] = 0), Fault::Dtype);
}

/// The weights of a 3x3 convolution of 5 to 17 channels, `missing` bytes short of what the kernel reads.
fn short_weights(op: Op, merged: bool, c: u32, missing: u32) -> Result<(), FormatError> {
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 5).border(1));
    let y = n.tensor(codes(4, 4, c));
    n.conv(op, x, None, y, window(3, 1, 1));
    n.cut();
    let offset = n.b.steps[0].param as usize;
    let mut p = Conv::read_from_bytes(&n.b.data.bytes()[offset..][..size_of::<Conv>()]).unwrap();
    p.merged = merged as u32;
    let blocks = c.div_ceil(16);
    let len = match (op, merged) {
        (Op::Depthwise, _) => blocks * 3 * 64, // 9 taps are 3 groups of 4
        (_, true) => blocks * 3 * 4 * 64,      // 3 lines of 15 bytes
        (_, false) => blocks * 9 * 2 * 64,     // 9 taps of 5 bytes
    };
    let end = (n.b.data.bytes().len() + 4096).next_multiple_of(4);
    n.b.data.put_bytes(&vec![1; end - n.b.data.bytes().len()], 1);
    p.weights = (end + size_of::<Conv>()) as u32 + missing - len;
    n.b.steps[0].param = n.b.data.put(&[p]);
    assert_eq!(n.b.data.bytes().len(), end + size_of::<Conv>());
    check(&file(n)).map(|_| ())
}

#[test]
fn weights_have_the_length_the_kernel_reads() {
    let outside = Err(FormatError::Step { index: 0, fault: Fault::Outside });
    for (op, merged, c) in
        [(Op::Conv, true, 1), (Op::Conv, true, 17), (Op::Conv, false, 16), (Op::Depthwise, false, 5)]
    {
        assert_eq!(short_weights(op, merged, c, 0), Ok(()), "{op:?} {merged} {c}");
        assert_eq!(short_weights(op, merged, c, 1), outside, "{op:?} {merged} {c}");
    }
}

#[test]
fn operator_faults() {
    assert_eq!(param(|a| a.max, |p: &mut Pool| p.window.pad[0] = 2), Fault::Window);
    assert_eq!(param(|a| a.max, |p: &mut Pool| p.window.stride[1] = 4), Fault::Window);
    let far = |p: &mut Pool| (p.window.kernel, p.window.pad, p.window.dilation) = ([2; 2], [256; 2], [256; 2]);
    assert_eq!(param(|a| a.max, far), Fault::Window);
    assert_eq!(param(|a| a.avg, |p: &mut Pool| p.count_pad = 2), Fault::Unknown);
    assert_eq!(param(|a| a.table, |p: &mut Table| p.table = NONE), Fault::Outside);
    let map = |change: fn(&mut Map)| param(|a| a.map, change);
    assert_eq!(map(|p| p.function = 14), Fault::Unknown);
    assert_eq!(map(|p| p.a.scale = NONE), Fault::Outside);
    assert_eq!(map(|p| p.out.scale = 0), Fault::Surplus);
    assert_eq!(map(|p| p.slope = 0), Fault::Surplus);
    assert_eq!(map(|p| p.p[1] = f32::INFINITY), Fault::Number);
    assert_eq!(map(|p| p.hi = f32::NAN), Fault::Bounds);
    assert_eq!(param(|a| a.prelu, |p: &mut Map| p.slope = NONE), Fault::Outside);
    let binary = |change: fn(&mut Binary)| param(|a| a.binary, change);
    assert_eq!(binary(|p| p.function = 6), Fault::Unknown);
    assert_eq!(binary(|p| p.broadcast = 16), Fault::Unknown);
    for bit in [1, 2, 4, 8] {
        assert_eq!(param(|a| a.binary, |p: &mut Binary| p.broadcast = bit), Fault::Shape);
    }
    assert_eq!(binary(|p| p.b.offset = NONE), Fault::Outside);
    assert_eq!(binary(|p| p.constant = 0), Fault::Surplus);
    assert_eq!(binary(|p| p.hi = 255.5), Fault::Bounds);
    assert_eq!(param(|a| a.constant, |p: &mut Binary| p.constant = NONE), Fault::Outside);
    assert_eq!(param(|a| a.constant, |p: &mut Binary| p.b.scale = 0), Fault::Surplus);
    assert_eq!(param(|a| a.constant, |p: &mut Binary| p.table = 0), Fault::Surplus);
    assert_eq!(param(|a| a.softmax, |p: &mut Reduce| p.a.offset = 0), Fault::Surplus);
    assert_eq!(param(|a| a.reduce, |p: &mut Reduce| p.factor = f32::NAN), Fault::Number);
    assert_eq!(param(|a| a.mean, |p: &mut Global| p.b = NONE), Fault::Outside);
    assert_eq!(step(|a| a.mean, |n, s| n.b.steps[s].inputs[0] = 1), Fault::Shape);
    assert_eq!(step(|a| a.peak, |n, s| n.b.steps[s].inputs[0] = 1), Fault::Shape);
    assert_eq!(step(|a| a.copy, |n, s| n.b.steps[s].inputs[0] = 0), Fault::Shape);
    let reals = |n: &Net, at: fn(sample::At) -> u32| n.b.steps[at(net().1) as usize].output;
    assert_eq!(step(|a| a.copy, |n, s| n.b.steps[s].inputs[0] = reals(n, |a| a.map)), Fault::Dtype);
    assert_eq!(step(|a| a.index, |n, s| n.b.steps[s].inputs[0] = reals(n, |a| a.map)), Fault::Dtype);
    let index = |change: fn(&mut Index)| param(|a| a.index, change);
    assert_eq!(index(|p| p.fill = NONE), Fault::Outside);
    assert_eq!(index(|p| p.ys = NONE), Fault::Outside);
    assert_eq!(index(|p| p.xs += 1), Fault::Outside);
    assert_eq!(step(|a| a.index, |n, s| {
        let xs = n.b.data.put(&[0u16, 1, 2, 4]);
        n.b.steps[s].param = n.b.data.put(&[Index { ys: xs, xs, fill: NONE }]);
    }), Fault::Outside);
    for bad in [Lerp { lo: 4, hi: 0, t: 0 }, Lerp { lo: 0, hi: 4, t: 0 }, Lerp { lo: 0, hi: 0, t: 257 }] {
        let got = step(|a| a.bilinear, |n, s| {
            let ys = n.b.data.put(&[bad; 8]);
            n.b.steps[s].param = n.b.data.put(&[Bilinear { ys, xs: ys }]);
        });
        assert_eq!(got, Fault::Outside);
    }
    for block in [0, 1, 3, u32::MAX] {
        assert_eq!(param(|a| a.d2s, |p: &mut Block| p.block = block), Fault::Shape);
        assert_eq!(param(|a| a.s2d, |p: &mut Block| p.block = block), Fault::Shape);
    }
    for (at, len, of) in [((|a| a.channels) as fn(sample::At) -> u32, 3, 4), (|a| a.permute, 48, 48)] {
        let got = step(at, |n, s| {
            let index = n.b.data.put(&vec![of as u32; len]);
            n.b.steps[s].param = n.b.data.put(&[Channels { index }]);
        });
        assert_eq!(got, Fault::Outside);
    }
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
    assert_eq!(step(|a| a.join, |n, s| {
        let fill = n.b.data.put_bytes(&[1; 8], 1);
        n.b.tensors[n.b.steps[s].inputs[0] as usize].fill = fill;
    }), Fault::Border);
    // A gap between the views.
    let gap = step(|a| a.join, |n, s| {
        let view = n.b.steps[s + 1].inputs[0] as usize;
        n.b.tensors[view].c = 7;
        n.b.tensors[view].origin += 1;
        let produced = n.b.steps.iter().position(|s| s.output == view as u32).unwrap();
        let list = n.b.data.put(&[0u32; 7]);
        n.b.steps[produced].op = Op::Channels as u16;
        n.b.steps[produced].param = n.b.data.put(&[Channels { index: list }]);
        n.b.steps[produced].inputs[0] = n.b.steps[s - 2].output;
    });
    assert_eq!(gap, Fault::View);
    let reshape = |change: fn(&mut Tensor)| step(|a| a.reshape, |n, s| {
        change(&mut n.b.tensors[n.b.steps[s].output as usize]);
    });
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
fn gate_output_and_point_faults() {
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].gate = 2), Fault::Index);
    assert_eq!(step(|a| a.depthwise, |n, s| n.b.steps[s].gate = 0), Fault::Gate);
    assert_eq!(step(|a| a.map, |n, s| n.b.steps[s].gate = 0), Fault::Gate);
    assert_eq!(step(|a| a.rows, |n, s| n.b.steps[s].gate = 0), Fault::Gate);
    assert_eq!(step(|a| a.conv, |n, s| {
        n.b.gates[0].weights = NONE;
        assert_eq!(n.b.steps[s].gate, 0);
    }), Fault::Outside);
    let gate = FormatError::Gate { index: 1, fault: Fault::Number };
    assert_eq!(error(|n, _| n.b.gates[1].dead = 256), gate);
    assert_eq!(error(|n, _| n.b.gates[1].bound = f32::NAN), gate);
    let output = |fault| FormatError::Output { index: 1, fault };
    assert_eq!(error(|n, _| n.b.outputs[1].tensor = 900), output(Fault::Index));
    assert_eq!(error(|n, _| n.b.outputs[1].rank = 7), output(Fault::Shape));
    assert_eq!(error(|n, _| n.b.outputs[1].shape[1] = 0), output(Fault::Shape));
    assert_eq!(error(|n, _| n.b.outputs[1].shape[0] = 2), output(Fault::Shape));
    assert_eq!(error(|n, _| n.b.outputs[1].strides = [u32::MAX; 6]), output(Fault::Shape));
    assert_eq!(error(|n, _| n.b.outputs[1].offset = 1), output(Fault::Shape));
    let quant = error(|n, _| {
        let t = n.b.outputs[0].tensor as usize;
        n.b.tensors[t].quant_len = 0;
    });
    assert_eq!(quant, FormatError::Output { index: 0, fault: Fault::Quant });
    assert_eq!(error(|n, _| n.b.outputs[1].name = NONE), output(Fault::Outside));
    assert_eq!(error(|n, _| n.b.outputs[1].name = n.b.data.put_bytes(&[0xff; 6], 1)), output(Fault::Text));
    let point = FormatError::Point { index: 1, fault: Fault::Number };
    assert_eq!(error(|n, _| n.b.points[1].scale = -1.0), point);
    assert_eq!(error(|n, _| n.b.points[1].work = f32::INFINITY), point);
}

#[test]
fn counts_of_work_cannot_overflow() {
    let mut n = Net::default();
    let (x, y) = (n.tensor(codes(256, 256, 1)), n.tensor(codes(256, 256, 1)));
    n.step(Op::Copy, &[x], y, 0u32);
    let z = n.tensor(codes(256, 256, 1));
    n.step(Op::Copy, &[y], z, 0u32);
    n.cut();
    for s in &mut n.b.steps {
        s.macs = u32::MAX;
    }
    assert_eq!(check(&file(n)).err(), Some(FormatError::Step { index: 1, fault: Fault::Number }));
}

#[test]
fn errors_say_where() {
    let e = FormatError::Step { index: 3, fault: Fault::Overlap };
    assert_eq!(e.to_string(), "step 3: memory that another tensor still needs");
}

#[test]
fn every_truncation_is_refused() {
    let bytes = file(net().0);
    for len in 0..bytes.len() {
        assert!(check(&bytes[..len]).is_err());
        assert!(header(&bytes[..len]).is_err());
    }
}

/// Addresses of the bytes of a tensor's pixels, without border.
fn addresses(t: &Tensor) -> impl Iterator<Item = u64> {
    let (w, c) = (t.w as u64, t.c as u64 * t.dtype().size() as u64);
    let h = if t.lines > 0 { t.lines as u64 } else { t.h as u64 };
    let (origin, line, pixel) = (t.origin as u64, t.line as u64, t.pixel as u64);
    (0..h).flat_map(move |y| (0..w).flat_map(move |x| (0..c).map(move |k| origin + y * line + x * pixel + k)))
}

/// What the engine relies on, byte by byte: results lie in the arena and no step writes what it reads, and every tap of a
/// convolution lies in the arena.
fn sound(m: &Model) {
    let end = m.header.tensors_end as u64;
    let mut bytes = vec![false; end as usize];
    for (k, s) in m.steps.iter().enumerate() {
        let out = &m.tensors[s.output as usize];
        assert!(addresses(out).all(|a| a < end));
        if [Op::Join as u16, Op::Reshape as u16].contains(&s.op) {
            continue;
        }
        addresses(out).for_each(|a| bytes[a as usize] = true);
        for &i in &s.inputs[..s.inputs_len as usize] {
            assert!(addresses(&m.tensors[i as usize]).all(|a| !bytes[a as usize]));
        }
        // The steps of a chain take turns.
        let passes = |s: &&Step| m.tensors[s.output as usize].lines > 0;
        for before in m.steps[..k].iter().rev().take_while(passes) {
            for &i in before.inputs.iter().filter(|i| **i != NONE) {
                assert!(addresses(&m.tensors[i as usize]).all(|a| !bytes[a as usize]));
            }
        }
        // A frame stays until it has been read, for good where it is held.
        let input = m.header.input as u32;
        if m.gated() || m.steps[k..].iter().any(|s| s.inputs.contains(&input)) {
            assert!(addresses(&m.tensors[input as usize]).all(|a| !bytes[a as usize]));
        }
        addresses(out).for_each(|a| bytes[a as usize] = false);
        if [Op::Conv as u16, Op::Depthwise as u16].contains(&s.op) {
            let x = &m.tensors[s.inputs[0] as usize];
            let w = m.record::<Conv>(s.param).unwrap().window;
            let at = |o: u32, k: u16, axis: usize| {
                o as i64 * w.stride[axis] as i64 - w.pad[axis] as i64 + k as i64 * w.dilation[axis] as i64
            };
            for (oy, ox) in (0..out.h).flat_map(|oy| (0..out.w).map(move |ox| (oy, ox))) {
                for (ky, kx) in (0..w.kernel[0]).flat_map(|ky| (0..w.kernel[1]).map(move |kx| (ky, kx))) {
                    let mut y = at(oy, ky, 0);
                    if x.lines > 0 {
                        let reach = (w.kernel[0] as u32 - 1) * w.dilation[0] as u32 + 1;
                        let served = (x.lines - reach) / w.stride[0] as u32 + 1;
                        y -= at(oy / served * served, 0, 0);
                        assert!((0..x.lines as i64).contains(&y));
                    }
                    let a = x.origin as i64 + y * x.line as i64 + at(ox, kx, 1) * x.pixel as i64;
                    assert!(a >= 0 && a + x.c as i64 + SLACK as i64 <= end as i64);
                }
            }
        }
    }
}

#[test]
fn random_mutations_never_panic_and_never_pass_unsound() {
    let original = file(net().0);
    sound(&check(&original).unwrap());
    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    let records = Header::ref_from_prefix(&original).unwrap().0.data.offset as usize;
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = original.clone();
        for _ in 0..1 + random.below(3) {
            // Records are a small part of the file and most of what can be wrong.
            let at = random.below(if round % 2 == 0 { records } else { bytes.len() });
            bytes[at] = match random.below(4) {
                0 => bytes[at] ^ 1 << random.below(8),
                1 => bytes[at].wrapping_add(1),
                2 => 0xff,
                _ => random.below(256) as u8,
            };
        }
        seal(&mut bytes);
        match check(&bytes) {
            Ok(m) => {
                accepted += 1;
                if m.header.tensors_end < 1 << 20 {
                    sound(&m);
                }
            }
            Err(e) => {
                refused += 1;
                assert!(!e.to_string().is_empty());
            }
        }
    }
    assert!(accepted > 100 && refused > 5000, "{accepted} accepted, {refused} refused");
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(check(&AlignedBytes::from(bytes)).is_err());
    }

    /// Two tensors of any strides: what is accepted shares no byte.
    #[test]
    fn sharing(
        a in (0u32..100, 1u32..12, 1u32..60, 1u32..5, 1u32..5, 1u32..6),
        b in (0u32..100, 1u32..12, 1u32..60),
        same in any::<bool>(),
    ) {
        let mut n = Net::default();
        let input = n.tensor(codes(a.3, a.4, a.5));
        let base = n.end;
        let b = if same { (b.0, a.1, a.2) } else { b };
        let m = codes(a.3, a.4, a.5);
        let x = n.tensor_at(m, base + a.0, a.1, a.2);
        let y = n.tensor_at(m, base + b.0, b.1, b.2);
        n.step(Op::Copy, &[input], x, 0u32);
        n.step(Op::Copy, &[x], y, 0u32);
        n.cut();
        let bytes = file(n);
        if let Ok(m) = check(&bytes) {
            sound(&m);
        }
    }

    /// A convolution is accepted exactly if its taps lie in the bordered map, a pooling exactly if each of its windows
    /// holds a pixel of the map.
    #[test]
    fn windows(
        (h, w, border) in (1u32..9, 1u32..9, 0u8..4),
        (oh, ow) in (1u32..9, 1u32..9),
        kernel in prop::array::uniform2(1u16..5),
        stride in prop::array::uniform2(1u16..4),
        dilation in prop::array::uniform2(1u16..4),
        pad in prop::array::uniform2(0u16..5),
    ) {
        let geometry = Window { kernel, stride, dilation, pad };
        let taps = |o: u32, axis: usize| {
            (0..kernel[axis]).map(move |k| {
                o as i64 * stride[axis] as i64 - pad[axis] as i64 + k as i64 * dilation[axis] as i64
            })
        };
        let border_at = border as i64;
        let reads = |axis, out: u32, x: u32| (0..out).all(|o| {
            taps(o, axis).all(|t| t >= -border_at && t < x as i64 + border_at)
        });
        let meets = |axis, out: u32, x: u32| (0..out).all(|o| {
            taps(o, axis).any(|t| t >= 0 && t < x as i64)
        });
        let mut n = Net::default();
        let x = n.tensor(codes(h, w, 3).border(border));
        let y = n.tensor(codes(oh, ow, 5));
        n.conv(Op::Conv, x, None, y, geometry);
        n.cut();
        prop_assert_eq!(check(&file(n)).is_ok(), reads(0, oh, h) && reads(1, ow, w));

        let mut n = Net::default();
        let x = n.tensor(codes(h, w, 3).border(border));
        let y = n.tensor(codes(oh, ow, 3));
        n.step(Op::MaxPool, &[x], y, Pool { window: geometry, count_pad: 0 });
        n.cut();
        prop_assert_eq!(check(&file(n)).is_ok(), meets(0, oh, h) && meets(1, ow, w));
    }
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

/// Least time of some checks.
fn time(bytes: &[u8]) -> std::time::Duration {
    let times = (0..5).map(|_| {
        let start = std::time::Instant::now();
        assert!(check(std::hint::black_box(bytes)).is_ok());
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

/// Bounds far above what the check takes, far below what a mistake of one power of the size would.
#[test]
fn the_time_of_the_check_is_bounded() {
    let mut n = net().0;
    n.b.data.put_bytes(&vec![5; 4 << 20], 64);
    let large = time(&file(n));

    // As many records as there may be, in scratch that is reused, one segment; then all held.
    let chain = |flags: u8| {
        let mut n = Net::default();
        let mut x = n.tensor(codes(4, 4, 4));
        let base = n.end;
        for k in 1..MAX_RECORDS as u32 {
            let held = flags == HELD || k + 1 == MAX_RECORDS as u32;
            let place = if held { 64 * (k + 2) } else { 64 * (k % 2) };
            let m = sample::Map { flags: if held { HELD } else { 0 }, ..codes(4, 4, 4) };
            let out = n.tensor_at(m, base + place, 4, 16);
            n.step(Op::Copy, &[x], out, 0u32);
            x = out;
        }
        n.cut();
        time(&file(n))
    };
    let (scratch, held) = (chain(0), chain(HELD));
    println!("4 MiB {large:?}, {MAX_RECORDS} records in scratch {scratch:?}, held {held:?}");
    assert!(large.as_millis() < 500 && scratch.as_millis() < 5000 && held.as_millis() < 5000);
}
