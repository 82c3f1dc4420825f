//! A baked artifact that is not, or no longer, the one that was checked is refused.

use std::panic::catch_unwind;

use quiescent::format::{self, AlignedBytes, Baked, CHECKED_BY, FormatError};
use quiescent::{Engine, Frame, kernels};

/// One of the conformance test, the checksum its header states.
fn artifact() -> (AlignedBytes, u32) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/residual.qsc");
    let bytes = AlignedBytes::from(&std::fs::read(path).unwrap()[..]);
    let checksum = format::check(&bytes).unwrap().header.checksum;
    (bytes, checksum)
}

/// Baked with this checksum, in memory of the program's own.
fn baked(bytes: &[u8], checksum: u32, checked_by: &str) -> Option<Baked> {
    let file: &'static AlignedBytes = Box::leak(Box::new(AlignedBytes::from(bytes)));
    // SAFETY: the checksum is that of the artifact above, which was checked; nothing else is used of the others than what they are refused for.
    catch_unwind(|| unsafe { Baked::new(file, checksum, checked_by) }).ok()
}

#[test]
fn runs_as_loaded() {
    let (bytes, checksum) = artifact();
    let model = baked(&bytes, checksum, CHECKED_BY).unwrap();
    let input = &model.proven().unwrap().tensors[model.proven().unwrap().header.input as usize];
    let frame: Vec<u8> = (0..input.rows() * input.c as usize).map(|i| (i * 37) as u8).collect();
    let [mut a, mut b] = [(); 2].map(|_| AlignedBytes::zeroed(format::arena_len(&bytes).unwrap()));
    let mut loaded = Engine::load(&bytes, &mut a, kernels::best()).unwrap();
    let mut baked = Engine::new(model.proven().unwrap(), &mut b, kernels::best()).unwrap();
    let read = |engine: &mut Engine| -> Vec<f32> {
        let outputs = engine.step(Frame::Pixels(&frame)).unwrap();
        outputs.iter().flat_map(|o| (0..o.len()).map(move |i| o.at(i))).collect()
    };
    assert_eq!(read(&mut baked), read(&mut loaded));
}

/// Any byte: not even made where the compiler sees it, otherwise an error where it runs.
#[test]
fn damage_is_refused() {
    let (bytes, checksum) = artifact();
    std::panic::set_hook(Box::new(|_| {}));
    for at in (0..256).chain((256..bytes.len()).step_by(61)) {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        let refused = baked(&damaged, checksum, CHECKED_BY).is_none_or(|b| b.proven().err() == Some(FormatError::Checksum));
        assert!(refused, "byte {at}");
    }
}

/// Another file, even one that is whole, or a check by another version.
#[test]
fn what_was_not_checked_is_refused() {
    let (bytes, checksum) = artifact();
    let mut other = bytes.to_vec();
    *other.last_mut().unwrap() ^= 1;
    format::seal(&mut other);
    assert!(baked(&other, checksum, CHECKED_BY).is_none());
    assert!(baked(&bytes[..bytes.len() - 64], checksum, CHECKED_BY).is_none());
    assert!(baked(&bytes, checksum, "0.0.1").is_none());
    assert!(baked(&bytes, checksum, &format!("{CHECKED_BY}.1")).is_none());
}
