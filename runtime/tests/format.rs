//! The whole-file check: accepts what the writer makes, names every kind of fault, survives anything.

#[path = "format/faults.rs"]
mod faults;
#[path = "format/memory.rs"]
mod memory;
#[path = "format/mutations.rs"]
mod mutations;
mod sample;
#[path = "sample/xorshift.rs"]
mod xorshift;

use quiescent::format::*;
use sample::{Net, codes, net, window};
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
    assert!(l.masks >= m.header.tensors_end as usize && l.masks < l.strong && l.strong < l.stats && l.stats < l.line);
    assert_eq!((l.masks % 8, l.strong % 8, l.line % 8, l.scratch % 8, l.total % 64), (0, 0, 0, 0, 0));
}

/// The sizes docs/format.md states.
#[test]
fn records_have_their_documented_size() {
    assert_eq!(size_of::<Header>(), 116);
    assert_eq!([size_of::<Tensor>(), size_of::<Segment>(), size_of::<Step>()], [52, 8, 32]);
    assert_eq!([size_of::<Gate>(), size_of::<OutputRecord>(), size_of::<Point>()], [20, 68, 12]);
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
    assert_eq!(patched(|h| h.packing = 2), E::Packing { code: 2 });
    assert_eq!(patched(|h| h.file_len += 1), E::Truncated);
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
fn errors_say_where() {
    let e = FormatError::Step { index: 3, fault: Fault::Overlap };
    assert_eq!(e.to_string(), "step 3: memory that another tensor still needs");
}
