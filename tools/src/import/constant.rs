//! Constant values while importing: dense row-major arrays of either reals or whole numbers.
//!
//! All ONNX float types become f32, all integer types and bool become i64. Int8 or uint8 weights that passed a
//! DequantizeLinear remember their scales, so that a convolution can report them.

use std::path::Path;

use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

use super::{Fail, invalid, unsupported};

/// Highest rank of a value.
pub(super) const RANK_LIMIT: usize = 8;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    F(Vec<f32>),
    I(Vec<i64>),
}

/// `scale` of symmetric weights: one (axis `None`) or one per index of `axis`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scales {
    pub axis: Option<usize>,
    pub values: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Const {
    pub shape: Vec<usize>,
    pub data: Data,
    pub scales: Option<Scales>,
    /// Element type in the file; tells int8 from uint8 codes.
    pub kind: DataType,
}

impl Const {
    pub fn reals(shape: Vec<usize>, values: Vec<f32>) -> Const {
        Const { shape, data: Data::F(values), scales: None, kind: DataType::Float }
    }

    pub fn ints(shape: Vec<usize>, values: Vec<i64>) -> Const {
        Const { shape, data: Data::I(values), scales: None, kind: DataType::Int64 }
    }

    pub fn len(&self) -> usize {
        match &self.data {
            Data::F(v) => v.len(),
            Data::I(v) => v.len(),
        }
    }

    pub fn is_int(&self) -> bool {
        matches!(self.data, Data::I(_))
    }

    /// Values as reals (whole numbers are converted).
    pub fn to_reals(&self) -> Vec<f32> {
        match &self.data {
            Data::F(v) => v.clone(),
            Data::I(v) => v.iter().map(|&i| i as f32).collect(),
        }
    }

    /// Values as whole numbers; reals are refused unless they are whole.
    pub fn to_ints(&self) -> Result<Vec<i64>, Fail> {
        match &self.data {
            Data::I(v) => Ok(v.clone()),
            Data::F(v) if v.iter().all(|x| x.fract() == 0.0) => Ok(v.iter().map(|&x| x as i64).collect()),
            Data::F(_) => Err(invalid("whole numbers expected, fractions found")),
        }
    }

    /// The only element, if there is just one.
    pub fn scalar(&self) -> Option<f32> {
        match &self.data {
            Data::F(v) if v.len() == 1 => Some(v[0]),
            Data::I(v) if v.len() == 1 => Some(v[0] as f32),
            _ => None,
        }
    }

    /// The elements picked by `index`, in order, under `shape`.
    pub fn pick(&self, shape: Vec<usize>, index: &[usize]) -> Const {
        let data = match &self.data {
            Data::F(v) => Data::F(index.iter().map(|&i| v[i]).collect()),
            Data::I(v) => Data::I(index.iter().map(|&i| v[i]).collect()),
        };
        let scales = self.scales.clone().filter(|s| s.axis.is_none());
        Const { shape, data, scales, kind: self.kind }
    }

    /// The same elements under another shape of equal size.
    pub fn reshaped(&self, shape: Vec<usize>) -> Const {
        let scales = self.scales.clone().filter(|s| s.axis.is_none() || shape == self.shape);
        Const { shape, data: self.data.clone(), scales, kind: self.kind }
    }

    pub fn transposed(&self, perm: &[usize]) -> Const {
        let strides = strides(&self.shape);
        let shape: Vec<usize> = perm.iter().map(|&p| self.shape[p]).collect();
        let moved: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
        let mut out = self.pick(shape.clone(), &offsets(&shape, &moved));
        out.scales = self.scales.clone().map(|s| Scales { axis: s.axis.and_then(|a| perm.iter().position(|&p| p == a)), values: s.values });
        out
    }
}

/// Product of extents, `None` when it overflows.
pub(super) fn volume(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b))
}

/// Row-major strides in elements.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}

/// Offsets of all elements of `shape` in row-major order when axis `i` steps by `strides[i]`.
pub(super) fn offsets(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut out = vec![0usize];
    for (&n, &s) in shape.iter().zip(strides) {
        out = out.iter().flat_map(|&base| (0..n).map(move |i| base + i * s)).collect();
    }
    out
}

/// Strides that read an array of `shape` as if broadcast (numpy rules) to `to`; `None` if it does not broadcast.
pub(super) fn broadcast_strides(shape: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let lead = to.len().checked_sub(shape.len())?;
    let own = strides(shape);
    let mut out = vec![0; to.len()];
    for (i, (&n, &s)) in shape.iter().zip(&own).enumerate() {
        match (n, to[lead + i]) {
            (1, _) => {}
            (n, m) if n == m => out[lead + i] = s,
            _ => return None,
        }
    }
    Some(out)
}

/// The common shape of two arrays under numpy broadcasting.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Reads a tensor of the file. `dir` is where external data may lie.
pub(super) fn decode(proto: &TensorProto, dir: Option<&Path>) -> Result<Const, Fail> {
    let name = &proto.name;
    if proto.dims.len() > RANK_LIMIT {
        return Err(invalid(format!("tensor `{name}` has rank {}", proto.dims.len())));
    }
    let mut shape = Vec::with_capacity(proto.dims.len());
    for &d in &proto.dims {
        shape.push(usize::try_from(d).map_err(|_| invalid(format!("tensor `{name}` has extent {d}")))?);
    }
    let len = volume(&shape).ok_or_else(|| invalid(format!("tensor `{name}` is too large")))?;
    let kind = DataType::try_from(proto.data_type)
        .map_err(|_| invalid(format!("tensor `{name}` has unknown element type {}", proto.data_type)))?;
    let external;
    let raw: &[u8] = if proto.data_location == Some(1) {
        external = read_external(proto, dir)?;
        &external
    } else {
        &proto.raw_data
    };
    let data = if !raw.is_empty() || (proto.data_location == Some(1)) { from_raw(kind, raw, name)? } else { from_fields(proto, kind)? };
    let found = match &data {
        Data::F(v) => v.len(),
        Data::I(v) => v.len(),
    };
    if found != len {
        return Err(invalid(format!("tensor `{name}` of shape {shape:?} holds {found} values")));
    }
    if let Data::F(v) = &data
        && v.iter().any(|x| x.is_nan())
    {
        return Err(invalid(format!("tensor `{name}` holds NaN; export the model again")));
    }
    Ok(Const { shape, data, scales: None, kind })
}

fn from_raw(kind: DataType, raw: &[u8], name: &str) -> Result<Data, Fail> {
    fn items<const N: usize, T>(raw: &[u8], name: &str, read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, Fail> {
        let (chunks, rest) = raw.as_chunks::<N>();
        if !rest.is_empty() {
            return Err(invalid(format!("tensor `{name}` ends within an element")));
        }
        Ok(chunks.iter().map(|&c| read(c)).collect())
    }
    Ok(match kind {
        DataType::Float => Data::F(items(raw, name, f32::from_le_bytes)?),
        DataType::Double => Data::F(items(raw, name, |b| f64::from_le_bytes(b) as f32)?),
        DataType::Float16 => Data::F(items(raw, name, |b| half(u16::from_le_bytes(b)))?),
        DataType::Bfloat16 => Data::F(items(raw, name, |b| bfloat(u16::from_le_bytes(b)))?),
        DataType::Int64 => Data::I(items(raw, name, i64::from_le_bytes)?),
        DataType::Uint64 => Data::I(items(raw, name, |b| u64::from_le_bytes(b) as i64)?),
        DataType::Int32 => Data::I(items(raw, name, |b| i32::from_le_bytes(b).into())?),
        DataType::Uint32 => Data::I(items(raw, name, |b| u32::from_le_bytes(b).into())?),
        DataType::Int16 => Data::I(items(raw, name, |b| i16::from_le_bytes(b).into())?),
        DataType::Uint16 => Data::I(items(raw, name, |b| u16::from_le_bytes(b).into())?),
        DataType::Int8 => Data::I(raw.iter().map(|&b| i64::from(b as i8)).collect()),
        DataType::Uint8 => Data::I(raw.iter().map(|&b| i64::from(b)).collect()),
        DataType::Bool => Data::I(raw.iter().map(|&b| i64::from(b != 0)).collect()),
        other => return Err(unsupported(format!("tensor `{name}` has element type {other:?}"))),
    })
}

fn from_fields(p: &TensorProto, kind: DataType) -> Result<Data, Fail> {
    Ok(match kind {
        DataType::Float => Data::F(p.float_data.clone()),
        DataType::Double => Data::F(p.double_data.iter().map(|&x| x as f32).collect()),
        DataType::Float16 => Data::F(p.int32_data.iter().map(|&x| half(x as u16)).collect()),
        DataType::Bfloat16 => Data::F(p.int32_data.iter().map(|&x| bfloat(x as u16)).collect()),
        DataType::Int64 => Data::I(p.int64_data.clone()),
        DataType::Uint64 | DataType::Uint32 => Data::I(p.uint64_data.iter().map(|&x| x as i64).collect()),
        DataType::Int32 | DataType::Int16 | DataType::Uint16 | DataType::Int8 | DataType::Uint8 | DataType::Bool => {
            Data::I(p.int32_data.iter().map(|&x| x.into()).collect())
        }
        other => return Err(unsupported(format!("tensor `{}` has element type {other:?}", p.name))),
    })
}

fn bfloat(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// IEEE half precision to single.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0f32 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1.0 + fraction / 1024.0) * 2f32.powi(e - 15),
    }
}

/// Bytes of a tensor kept in a file beside the model. Paths that leave the model's folder are refused.
fn read_external(proto: &TensorProto, dir: Option<&Path>) -> Result<Vec<u8>, Fail> {
    use std::io::{Read, Seek, SeekFrom};
    let name = &proto.name;
    let entry = |key: &str| proto.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let location = entry("location").ok_or_else(|| invalid(format!("tensor `{name}`: external data without a location")))?;
    let number = |key: &str| -> Result<Option<u64>, Fail> {
        entry(key).map(|v| v.parse().map_err(|_| invalid(format!("tensor `{name}`: external {key} `{v}` is no number")))).transpose()
    };
    let plain = Path::new(location).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if !plain {
        return Err(invalid(format!("tensor `{name}`: external data `{location}` is not beside the model")));
    }
    let Some(dir) = dir else {
        return Err(invalid(format!("tensor `{name}` lies in external file `{location}`; load the model from its folder")));
    };
    let path = dir.join(location);
    let failed = |e: std::io::Error| invalid(format!("tensor `{name}`: external data {}: {e}", path.display()));
    let mut file = std::fs::File::open(&path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(invalid(format!("tensor `{name}`: external data {} is too short", path.display())));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
