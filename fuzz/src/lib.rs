//! The functions under test. Both take any bytes and must return: no panic, no undefined behaviour, bounded time.

#[path = "../../runtime/tests/sample/work.rs"]
mod work;

use quiescent::format::{self, AlignedBytes, Header, MAGIC, Model, Op, VERSION};
use quiescent::{Engine, Frame, Mode, kernels};
use work::work;
use zerocopy::FromBytes;

/// Elementary operations of one dense frame that a fuzz run is willing to wait for.
const PATIENCE: u64 = 1 << 20;

/// Any bytes as an artifact: what identifies the file is put right, so that mutations reach the records behind it.
/// What the check accepts is executed, and at scale 0 must equal dense execution; bits must not depend on the kernels.
pub fn artifact(data: &[u8]) {
    let mut bytes = AlignedBytes::from(data);
    let len = bytes.len() as u32;
    if let Ok((header, _)) = Header::mut_from_prefix(&mut bytes) {
        (header.magic, header.version, header.file_len) = (MAGIC, VERSION, len);
    }
    format::seal(&mut bytes);
    let Ok(model) = format::check(&bytes) else { return };
    // What stands where packed weights are padded multiplies bytes behind a row: no harm, but no exactness either.
    let pads = padding(&model);
    for at in pads {
        bytes[at] = 0;
    }
    format::seal(&mut bytes);
    let Ok(model) = format::check(&bytes) else { return };
    if model.header.arena_len > 1 << 18 || work(&model) > PATIENCE {
        return;
    }
    let sets = [kernels::available().next(), kernels::available().last()].into_iter().flatten();
    let bits: Vec<Vec<u32>> = sets.map(|set| run(&bytes, set, data)).collect();
    same(&bits[0], &bits[bits.len() - 1], "kernel sets differ");
}

/// Equal bits, or the first place where they differ.
fn same(a: &[u32], b: &[u32], what: &str) {
    let at = a.iter().zip(b).position(|(a, b)| a != b && !(f32::from_bits(*a).is_nan() && f32::from_bits(*b).is_nan()));
    assert!(at.is_none() && a.len() == b.len(), "{what}: element {at:?}");
}

/// File offsets of the padding of every convolution's weights.
fn padding(m: &Model) -> Vec<usize> {
    let mut all = Vec::new();
    for s in m.steps {
        let Some(Op::Conv) = Op::new(s.op) else { continue };
        let Some(conv) = m.record::<format::Conv>(s.param) else { continue };
        let (x, y) = (&m.tensors[s.inputs[0] as usize], &m.tensors[s.output as usize]);
        let [kh, kw] = conv.window.kernel.map(usize::from);
        let (segments, run) = match conv.merged {
            0 => (kh * kw, x.c as usize),
            _ => (kh, kw * x.c as usize),
        };
        let quads = run.div_ceil(4);
        for line in 0..(y.c as usize).div_ceil(16) * segments {
            for j in run..4 * quads {
                for o in 0..16 {
                    let at = ((line * quads + j / 4) * 16 + o) * 4 + j % 4;
                    all.push(m.header.data.offset as usize + conv.weights as usize + at);
                }
            }
        }
    }
    all
}

/// Output bits of a few frames made from `data`.
fn run(bytes: &[u8], set: &kernels::Kernels, data: &[u8]) -> Vec<u32> {
    let mut arenas = [0, 1].map(|_| AlignedBytes::zeroed(format::arena_len(bytes).unwrap_or(0)));
    let [a, b] = &mut arenas;
    let (Ok(mut gated), Ok(mut dense)) = (Engine::load(bytes, a, set), Engine::load(bytes, b, set)) else {
        panic!("the check accepted what the engine refuses");
    };
    dense.set_mode(Mode::Dense);
    let input = &gated.model().tensors[gated.model().header.input as usize];
    let len = input.rows() * input.c as usize;
    let mut frame: Vec<u8> = data.iter().rev().copied().cycle().take(len).collect();
    let mut bits = Vec::new();
    let read = |e: &Engine| -> Vec<u32> {
        let outputs = e.outputs();
        outputs.iter().flat_map(|o| (0..o.len().min(1 << 16)).map(move |i| o.at(i).to_bits())).collect()
    };
    for (k, scale) in [0.0, 0.0, 1.0, 0.0, 1.0, 3.0].into_iter().enumerate() {
        frame[k * 7 % len] ^= 0x55;
        frame[k * 91 % len] ^= 0x80;
        gated.set_mode(Mode::Gated { scale });
        gated.set_budget((k > 3).then_some(1000));
        gated.step(Frame::Pixels(&frame)).unwrap();
        let now = read(&gated);
        if scale == 0.0 && k <= 3 {
            dense.step(Frame::Pixels(&frame)).unwrap();
            same(&now, &read(&dense), "scale 0 is not exact");
        }
        bits.extend(now);
        gated.audit().for_each(drop);
    }
    let reals: Vec<f32> = frame.iter().map(|v| f32::from(*v) * 0.7 - 9.0).collect();
    gated.step(Frame::Values(&reals)).unwrap();
    bits.extend(read(&gated));
    bits
}

/// Any bytes as an ONNX model: a graph that verifies, or an error.
#[cfg(feature = "tools")]
pub fn import(data: &[u8]) {
    match quiescent_tools::import::from_bytes(data, &Default::default()) {
        Ok(mut graph) => {
            quiescent_tools::ir::verify(&graph).unwrap();
            quiescent_tools::passes::run(&mut graph);
            quiescent_tools::ir::verify(&graph).unwrap();
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}
