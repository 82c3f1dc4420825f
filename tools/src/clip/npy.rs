//! Arrays in NumPy's `.npy` format, row-major, little-endian.
//!
//! [`read`] and [`write`] deal in whole f32 arrays (dumps of outputs); [`Header`] is shared with the frame-by-frame
//! reader. A file is written beside its place and renamed, so that no half-written array is ever left behind.

use anyhow::{Context, Result, bail};
use npyz::{DType, NpyHeader, Order, TypeChar, WriterBuilder};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Elements a file can plausibly hold; shapes above are taken for damage.
const MAX_ELEMENTS: u64 = 1 << 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    F32,
    U8,
    I8,
}

impl Kind {
    /// Bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            Kind::F32 => 4,
            Kind::U8 | Kind::I8 => 1,
        }
    }
}

/// What a file says about itself, checked against its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub shape: Vec<usize>,
    pub kind: Kind,
}

/// Reads the header; the reader is left at the first element.
pub(super) fn read_header(path: &Path) -> Result<(Header, BufReader<File>)> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("opening {name}"))?;
    let length = file.metadata().with_context(|| format!("opening {name}"))?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let header = NpyHeader::from_reader(&mut reader).with_context(|| format!("{name} is not a .npy file"))?;
    let dtype = header.dtype();
    let kind = match &dtype {
        DType::Plain(t) => match (t.type_char(), t.size_field()) {
            (TypeChar::Float, 4) if dtype.descr().contains('<') => Kind::F32,
            (TypeChar::Uint, 1) => Kind::U8,
            (TypeChar::Int, 1) => Kind::I8,
            _ => bail!(
                "{name} holds {}; little-endian float32, uint8 and int8 are supported (numpy: a.astype(\"float32\"))",
                dtype.descr().trim_matches('\'')
            ),
        },
        _ => bail!("{name} holds records; plain float32, uint8 and int8 arrays are supported"),
    };
    let shape = header.shape();
    if header.order() == Order::Fortran && shape.iter().filter(|&&n| n > 1).count() > 1 {
        bail!("{name} is in column-major (Fortran) order; save it with numpy.ascontiguousarray");
    }
    let elements = shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n <= MAX_ELEMENTS);
    let Some(elements) = elements else { bail!("{name}: shape {shape:?} is too large") };
    let position = std::io::Seek::stream_position(&mut reader).with_context(|| format!("reading {name}"))?;
    let needed = elements * kind.bytes() as u64;
    if length.saturating_sub(position) < needed {
        bail!("{name} is cut off: shape {shape:?} needs {needed} bytes of data, {} are there", length.saturating_sub(position));
    }
    let shape = shape.iter().map(|&d| d as usize).collect();
    Ok((Header { shape, kind }, reader))
}

/// Shape and elements of a float32, uint8 or int8 array, as f32.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let (header, mut reader) = read_header(path)?;
    let mut bytes = vec![0; header.shape.iter().product::<usize>() * header.kind.bytes()];
    reader.read_exact(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok((header.shape, to_f32(header.kind, &bytes)))
}

pub(super) fn to_f32(kind: Kind, bytes: &[u8]) -> Vec<f32> {
    match kind {
        Kind::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Kind::U8 => bytes.iter().map(|&b| b as f32).collect(),
        Kind::I8 => bytes.iter().map(|&b| b as i8 as f32).collect(),
    }
}

/// Writes a float32 array; `data` has as many elements as `shape` says.
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<()> {
    let name = path.display();
    if shape.iter().product::<usize>() != data.len() {
        bail!("{name}: shape {shape:?} does not fit {} elements", data.len());
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // As readable as any new file; temporary ones are private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder
        .prefix(".npy-")
        .tempfile_in(folder)
        .with_context(|| format!("writing {name} (is {} a writable folder?)", folder.display()))?;
    let written = (|| {
        let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let mut out = BufWriter::new(file.as_file_mut());
        let mut array = npyz::WriteOptions::<f32>::new().default_dtype().shape(&shape).writer(&mut out).begin_nd()?;
        array.extend(data.iter().copied())?;
        array.finish()?;
        out.flush()
    })();
    written.with_context(|| format!("writing {name}"))?;
    file.persist(path).with_context(|| format!("writing {name}"))?;
    Ok(())
}
