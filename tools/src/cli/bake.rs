//! `bake`: an artifact as source code, for firmware.
//!
//! ```text
//! NAME.qsc   the artifact without its description (names, reports), the bytes that go into flash
//! NAME.rs    the same as an aligned static, what it needs, and that it has been checked: see `format::Baked`
//! NAME.h     the same for C and C++, the bytes spelled out
//! NAME.frames, NAME.dense, NAME.gated      with --input: frames, and what each mode makes of them
//! ```
//!
//! Expected outputs are computed by the scalar kernels, the specification; every set and every target gives the same
//! bytes: all outputs in order, each little-endian f32 in ONNX element order. Dense frames follow one another, gated ones
//! too, at scale 1, both from a fresh engine.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use quiescent::format::{self, Header, Op};
use quiescent::{Mode, kernels};
use quiescent_tools::artifact::{self, Artifact, InputKind, write_whole};
use quiescent_tools::feed::Input;
use serde::Serialize;

use super::args::{self, ClipArgs};
use super::talk::{Talk, bytes, count};

/// Turns an artifact into a Rust module and a C header, for firmware
#[derive(clap::Args)]
pub struct Args {
    /// The artifact
    model: PathBuf,
    /// Folder for the files
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Name of the files and of what they define: letters, digits and _; the artifact's own when left out
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Bakes frames of this clip and their expected outputs as well, for a test on the device
    #[arg(long, short, value_name = "CLIP")]
    input: Option<String>,
    /// At most this many frames
    #[arg(long, value_name = "N", default_value = "4", value_parser = args::at_least_one, requires = "input")]
    frames: usize,
    /// Leaves this many frames out at the beginning
    #[arg(long, value_name = "N", default_value_t = 0, requires = "input")]
    start: usize,
    /// Adds Gaussian noise of this sigma, in 8-bit steps, to every picture
    #[arg(long, value_name = "SIGMA", requires = "input", value_parser = args::not_negative)]
    noise: Option<f32>,
}

#[derive(Serialize)]
struct Baked {
    name: String,
    source: String,
    files: Vec<String>,
    artifact_bytes: usize,
    arena_bytes: usize,
    macs_per_frame: u64,
    frames: usize,
    #[serde(skip)]
    input: [usize; 3],
    #[serde(skip)]
    kind: InputKind,
    #[serde(skip)]
    ops: Vec<Op>,
    #[serde(skip)]
    gates: bool,
}

/// Frames and what they give.
#[derive(Default)]
struct Vectors {
    frames: Vec<u8>,
    dense: Vec<u8>,
    gated: Vec<u8>,
}

pub fn main(a: &Args, talk: &Talk) -> Result<()> {
    let artifact = Artifact::load(&a.model)?;
    let name = name_of(a)?;
    args::folder("-o", &a.output)?;
    // Its copy has no description.
    let copy = a.output.join(format!("{name}.qsc"));
    let same = copy.canonicalize().is_ok_and(|copy| a.model.canonicalize().is_ok_and(|model| copy == model));
    ensure!(!same, "-o {}: {name}.qsc there is the artifact itself; give another folder, or another --name", a.output.display());
    let bare = artifact.bare()?;
    let header = format::header(&bare).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut baked = Baked {
        source: artifact.meta.model.clone(),
        files: Vec::new(),
        artifact_bytes: bare.len(),
        arena_bytes: header.arena_len as usize,
        macs_per_frame: header.cost.macs.get(),
        frames: 0,
        input: artifact.meta.input.shape,
        kind: artifact.meta.input.kind,
        ops: artifact.ops(),
        gates: artifact.model().gated(),
        name,
    };
    let mut parts: Vec<(&str, Vec<u8>)> = vec![("qsc", bare.to_vec())];
    if let Some(clip) = &a.input {
        let clip = ClipArgs { input: clip.clone(), frames: Some(a.frames), noise: a.noise, start: a.start };
        let (vectors, frames) = vectors(&artifact, &clip)?;
        baked.frames = frames;
        parts.extend([("frames", vectors.frames), ("dense", vectors.dense), ("gated", vectors.gated)]);
    }
    let module = rust(&baked, header, &parts);
    let c = c(&baked, header, &bare);
    parts.extend([("rs", module.into_bytes()), ("h", c.into_bytes())]);
    for (kind, content) in &parts {
        let file = format!("{}.{kind}", baked.name);
        write_whole(&a.output.join(&file), content)?;
        baked.files.push(file);
    }
    talk.result(&baked, || {
        format!(
            "{}: {} in flash, {} of memory, at most {} multiply-accumulates a frame\nwritten    {}\n",
            baked.name,
            bytes(baked.artifact_bytes),
            bytes(baked.arena_bytes),
            count(baked.macs_per_frame),
            baked.files.iter().map(|f| a.output.join(f).display().to_string()).collect::<Vec<_>>().join(", ")
        )
    })
}

/// A name both languages take.
fn name_of(a: &Args) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match &a.name {
        Some(name) if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain) => Ok(name.clone()),
        Some(name) => bail!("--name {name:?}: letters, digits and _ are needed, a letter first"),
        None => {
            let stem = a.model.file_stem().and_then(|s| s.to_str()).unwrap_or("model");
            let name: String = stem.chars().map(|c| if plain(c) { c } else { '_' }).collect();
            Ok(if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("model_{name}") })
        }
    }
}

fn vectors(artifact: &Artifact, clip: &ClipArgs) -> Result<(Vectors, usize)> {
    let inputs: Vec<Input> = clip.open(&artifact.meta.input)?.map(|fed| Ok(fed?.input)).collect::<Result<_>>()?;
    ensure!(!inputs.is_empty(), "--input {}: it holds no frame", clip.input);
    let mut v = Vectors::default();
    for input in &inputs {
        match input {
            Input::Pixels(p) => v.frames.extend(p),
            Input::Values(p) => v.frames.extend(p.iter().flat_map(|x| x.to_le_bytes())),
        }
    }
    for (mode, to) in [(Mode::Dense, &mut v.dense), (Mode::Gated { scale: 1.0 }, &mut v.gated)] {
        let mut arena = artifact.arena();
        let mut engine = artifact.engine(&mut arena, &kernels::scalar::KERNELS)?;
        engine.set_mode(mode);
        for (i, input) in inputs.iter().enumerate() {
            let outputs = artifact::step(&mut engine, input).with_context(|| format!("{}, frame {i}", clip.input))?;
            for output in artifact::read_outputs(&outputs) {
                to.extend(output.data.iter().flat_map(|x| x.to_le_bytes()));
            }
        }
    }
    Ok((v, inputs.len()))
}

fn rust(baked: &Baked, header: &Header, parts: &[(&str, Vec<u8>)]) -> String {
    let Baked { name, source, artifact_bytes, arena_bytes, macs_per_frame, frames, input: [h, w, c], kind, ops, gates, .. } = baked;
    let ops = ops.iter().map(|op| format!("Op::{op:?}")).collect::<Vec<_>>().join(", ");
    let codes = *kind == InputKind::Pixels;
    let mut t = format!(
        "// {name}: {source}, baked by quiescent {}. Made by a tool; bake again instead of editing.\n\n\
         /// Starts at a multiple of 64 bytes.\n\
         #[repr(C, align(64))]\n\
         pub struct Aligned<T: ?Sized>(pub T);\n\n\
         static FILE: &Aligned<[u8; {artifact_bytes}]> = &Aligned(*include_bytes!(\"{name}.qsc\"));\n\
         /// The artifact's bytes.\n\
         pub static ARTIFACT: &[u8] = &FILE.0;\n\
         /// The artifact, checked when it was baked: `Engine::new(MODEL.proven()?, arena, kernels)`. A changed file does not compile.\n\
         // SAFETY: `quiescent bake` has checked the file of this checksum, with this version of the runtime.\n\
         pub static MODEL: quiescent::format::Baked = unsafe {{ quiescent::format::Baked::new(&FILE.0, {checksum:#010x}, \"{}\") }};\n\
         /// Bytes of memory the engine needs, from a multiple of 8 (64 is best).\n\
         pub const ARENA_BYTES: usize = {arena_bytes};\n\
         /// Multiply-accumulates of a frame, at most: a dense one's.\n\
         pub const MACS_PER_FRAME: u64 = {macs_per_frame};\n\
         /// `[h, w, c]` of a frame.\n\
         pub const INPUT: [usize; 3] = [{h}, {w}, {c}];\n\
         /// Frames are u8 codes (`Frame::Pixels`); else f32 (`Frame::Values`).\n\
         pub const INPUT_CODES: bool = {codes};\n\
         /// Operators, and whether frames can be compared: of `kernels::BEST.only(OPS, GATES)` nothing is linked but what it needs.\n\
         pub const OPS: &[quiescent::format::Op] = {{\n\
         \x20   use quiescent::format::Op;\n\
         \x20   &[{ops}]\n\
         }};\n\
         /// See `OPS`.\n\
         pub const GATES: bool = {gates};\n",
        env!("CARGO_PKG_VERSION"),
        format::CHECKED_BY,
        checksum = header.checksum,
    );
    if *frames > 0 {
        let len = |kind: &str| parts.iter().find(|p| p.0 == kind).map_or(0, |p| p.1.len());
        let _ = write!(
            t,
            "\n/// Frames of the test.\n\
             pub const TEST_FRAMES: usize = {frames};\n\
             /// The frames, one after another; f32 are little-endian.\n\
             pub static FRAMES: &[u8; {}] = include_bytes!(\"{name}.frames\");\n\
             /// Outputs of dense frames, little-endian f32 in ONNX order, frame after frame.\n\
             pub static DENSE: &[u8; {}] = include_bytes!(\"{name}.dense\");\n\
             /// Outputs of gated frames at scale 1.\n\
             pub static GATED: &[u8; {}] = include_bytes!(\"{name}.gated\");\n",
            len("frames"),
            len("dense"),
            len("gated"),
        );
    }
    t
}

fn c(baked: &Baked, header: &Header, bare: &[u8]) -> String {
    let Baked { name, source, artifact_bytes, arena_bytes, macs_per_frame, input: [h, w, c], kind, .. } = baked;
    let upper = name.to_ascii_uppercase();
    let codes = (*kind == InputKind::Pixels) as u8;
    let mut t = format!(
        "/* {name}: {source}, baked by quiescent {}. Made by a tool; bake again instead of editing.\n\
         \x20* The bytes are defined here, static: include it in one place. */\n\
         #ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n\n\
         #ifdef __cplusplus\n#define {upper}_ALIGN(n) alignas(n)\n#define {upper}_ASSERT static_assert\n\
         #else\n#define {upper}_ALIGN(n) _Alignas(n)\n#define {upper}_ASSERT _Static_assert\n#endif\n\n\
         /* Bytes of the artifact, in flash. */\n#define {upper}_BYTES {artifact_bytes}u\n\
         /* Bytes of memory the engine needs, from a multiple of 8 (64 is best). */\n#define {upper}_ARENA_BYTES {arena_bytes}u\n\
         /* Multiply-accumulates of a frame, at most: a dense one's. */\n#define {upper}_MACS_PER_FRAME {macs_per_frame}ull\n\
         /* A frame is [h][w][c], u8 codes (1) or float (0). */\n\
         #define {upper}_INPUT_H {h}u\n#define {upper}_INPUT_W {w}u\n#define {upper}_INPUT_C {c}u\n#define {upper}_INPUT_CODES {codes}\n\
         #define {upper}_FORMAT {}u\n#define {upper}_CHECKSUM {:#010x}u\n\n\
         {upper}_ALIGN(64) static const uint8_t {name}_artifact[] = {{\n",
        env!("CARGO_PKG_VERSION"),
        format::VERSION,
        header.checksum,
    );
    for line in bare.chunks(32) {
        for b in line {
            let _ = write!(t, "{b},");
        }
        t.push('\n');
    }
    let _ = write!(
        t,
        "}};\n\n{upper}_ASSERT(sizeof {name}_artifact == {upper}_BYTES, \"{name}: the artifact is cut\");\n\
         #ifdef QUIESCENT_FORMAT\n{upper}_ASSERT(QUIESCENT_FORMAT == {upper}_FORMAT, \"{name}: another format than the runtime's; bake again\");\n#endif\n\n#endif\n"
    );
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(model: &str, name: Option<&str>) -> Args {
        Args { model: model.into(), output: "out".into(), name: name.map(String::from), input: None, frames: 1, start: 0, noise: None }
    }

    #[test]
    fn names() {
        assert_eq!(name_of(&args("a/kws-01.v2.qsc", None)).unwrap(), "kws_01_v2");
        assert_eq!(name_of(&args("8bit.qsc", None)).unwrap(), "model_8bit");
        assert_eq!(name_of(&args("8bit.qsc", Some("eight"))).unwrap(), "eight");
        for bad in ["", "8", "a-b", "_a", "größe"] {
            assert!(name_of(&args("m.qsc", Some(bad))).is_err(), "{bad}");
        }
    }
}
