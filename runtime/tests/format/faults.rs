//! Each kind of fault of a record, by name.

use quiescent::format::*;

use super::*;

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
    assert_eq!(conv(|p| p.merged = 3), Fault::Unknown);
    assert_eq!(conv(|p| p.r = p.m), Fault::Surplus);
    for nan in [f32::NAN, -1.0, 256.0] {
        assert_eq!(param(|a| a.conv, |p: &mut Conv| p.lo = nan), Fault::Bounds);
        assert_eq!(param(|a| a.conv, |p: &mut Conv| (p.lo, p.hi) = (255.5, nan)), Fault::Bounds);
    }
    for change in [(|p| p.weights = u32::MAX - 63) as fn(&mut Conv), |p| p.m = NONE, |p| p.b = NONE, |p| p.m += 2, |p| p.table = NONE - 1] {
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
    for (op, merged, c) in [(Op::Conv, true, 1), (Op::Conv, true, 17), (Op::Conv, false, 16), (Op::Depthwise, false, 5)] {
        assert_eq!(short_weights(op, merged, c, 0), Ok(()), "{op:?} {merged} {c}");
        assert_eq!(short_weights(op, merged, c, 1), outside, "{op:?} {merged} {c}");
    }
}

/// A 1 x `kw` convolution of 5 to 17 channels with weights in pairs, `missing` bytes short of what the kernel reads.
fn pairs(kernel: [u16; 2], packing: Packing, missing: u32) -> Result<(), FormatError> {
    let mut n = Net::default();
    let x = n.tensor(codes(4, 4, 5).border(1));
    let y = n.tensor(codes(4, 4, 17));
    let window = Window { kernel, stride: [1; 2], dilation: [1; 2], pad: kernel.map(|k| k / 2) };
    n.conv(Op::Conv, x, None, y, window);
    n.cut();
    n.b.header.packing = packing as u16;
    let offset = n.b.steps[0].param as usize;
    let mut p = Conv::read_from_bytes(&n.b.data.bytes()[offset..][..size_of::<Conv>()]).unwrap();
    p.merged = Conv::PAIRED;
    let end = (n.b.data.bytes().len() + 4096).next_multiple_of(4);
    n.b.data.put_bytes(&vec![1; end - n.b.data.bytes().len()], 1);
    // 16 pairs of 16 products.
    p.weights = (end + size_of::<Conv>()) as u32 + missing - 16 * 2 * 16;
    n.b.steps[0].param = n.b.data.put(&[p]);
    check(&file(n)).map(|_| ())
}

#[test]
fn weights_in_pairs() {
    let fault = |fault| Err(FormatError::Step { index: 0, fault });
    for kernel in [[1, 1], [1, 3]] {
        assert_eq!(pairs(kernel, Packing::N2K16, 0), Ok(()));
        assert_eq!(pairs(kernel, Packing::N2K16, 1), fault(Fault::Outside));
        assert_eq!(pairs(kernel, Packing::K4N16, 0), fault(Fault::Unknown));
    }
    assert_eq!(pairs([3, 1], Packing::N2K16, 0), fault(Fault::Window));
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
    assert_eq!(
        step(
            |a| a.index,
            |n, s| {
                let xs = n.b.data.put(&[0u16, 1, 2, 4]);
                n.b.steps[s].param = n.b.data.put(&[Index { ys: xs, xs, fill: NONE }]);
            }
        ),
        Fault::Outside
    );
    for bad in [Lerp { lo: 4, hi: 0, t: 0 }, Lerp { lo: 0, hi: 4, t: 0 }, Lerp { lo: 0, hi: 0, t: 257 }] {
        let got = step(
            |a| a.bilinear,
            |n, s| {
                let ys = n.b.data.put(&[bad; 8]);
                n.b.steps[s].param = n.b.data.put(&[Bilinear { ys, xs: ys }]);
            },
        );
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
fn gate_output_and_point_faults() {
    assert_eq!(step(|a| a.conv, |n, s| n.b.steps[s].gate = 2), Fault::Index);
    assert_eq!(step(|a| a.depthwise, |n, s| n.b.steps[s].gate = 0), Fault::Gate);
    assert_eq!(step(|a| a.map, |n, s| n.b.steps[s].gate = 0), Fault::Gate);
    assert_eq!(step(|a| a.rows, |n, s| n.b.steps[s].gate = 0), Fault::Gate);
    assert_eq!(
        step(
            |a| a.conv,
            |n, s| {
                n.b.gates[0].weights = NONE;
                assert_eq!(n.b.steps[s].gate, 0);
            }
        ),
        Fault::Outside
    );
    // Rows before a gate over the input, over what the gate judges, over scratch of its segment, behind the tensors.
    let staged = |gate: usize, place: fn(&Net) -> u32| error(|n, _| n.b.gates[gate].staging = place(n));
    let overlap = |index| FormatError::Step { index, fault: Fault::Overlap };
    let at = net().1;
    assert_eq!(staged(0, |n| n.b.tensors[0].origin), overlap(at.conv));
    assert_eq!(staged(0, |n| n.b.tensors[1].origin), overlap(at.conv));
    assert_eq!(staged(1, |n| n.b.tensors[2].origin), overlap(at.depthwise + 1));
    let mut bytes = file(net().0);
    let h = check(&bytes).unwrap().header.to_owned();
    let gates = h.gates.offset as usize..(h.gates.offset + h.gates.len) as usize;
    <[Gate]>::mut_from_bytes(&mut bytes[gates]).unwrap()[0].staging = h.tensors_end - 8;
    seal(&mut bytes);
    assert_eq!(check(&bytes).err(), Some(FormatError::Step { index: at.conv, fault: Fault::Outside }));
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
