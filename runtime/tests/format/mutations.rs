//! Anything at all: truncated, changed at random, of a size that would take long.

use proptest::prelude::*;
use quiescent::format::*;

use super::*;
use crate::xorshift::Xorshift;

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
pub(super) fn sound(m: &Model) {
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
            let at =
                |o: u32, k: u16, axis: usize| o as i64 * w.stride[axis] as i64 - w.pad[axis] as i64 + k as i64 * w.dilation[axis] as i64;
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

/// Least time of some checks.
fn time(bytes: &[u8]) -> std::time::Duration {
    let times = (0..5).map(|_| {
        let start = std::time::Instant::now();
        assert!(check(std::hint::black_box(bytes)).is_ok());
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

/// Bounds far above what the check takes on a slow machine or an emulator, far below what a mistake of one power of the size would.
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
    assert!(large.as_secs() < 5 && scratch.as_secs() < 60 && held.as_secs() < 60);
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
