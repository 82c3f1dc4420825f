//! What can be wrong with an artifact, and where.

use core::fmt;

/// Why an artifact cannot be executed. Indices count records of the named table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// The bytes do not start at a multiple of 4.
    Unaligned,
    /// Shorter than a header, or not as long as the header says.
    Truncated,
    /// Not an artifact.
    Magic,
    /// Another version of the layout.
    Version {
        /// The file's.
        found: u16,
    },
    /// A target this build does not know.
    Profile {
        /// The file's.
        code: u16,
    },
    /// An order of weights this build does not know.
    Packing {
        /// The file's.
        code: u16,
    },
    /// The bytes are not those that were written.
    Checksum,
    /// A section of the file.
    Section {
        /// Which.
        section: Section,
        /// What is wrong.
        fault: Fault,
    },
    /// A field of the header.
    Header {
        /// What is wrong.
        fault: Fault,
    },
    /// The stated arena is too small for the records.
    Arena {
        /// Bytes the records need.
        needed: u32,
        /// Bytes the header states.
        stated: u32,
    },
    /// A tensor record.
    Tensor {
        /// Which.
        index: u32,
        /// What is wrong.
        fault: Fault,
    },
    /// A segment record.
    Segment {
        /// Which.
        index: u32,
        /// What is wrong.
        fault: Fault,
    },
    /// A step record, its parameters, or what it does to the tensors.
    Step {
        /// Which.
        index: u32,
        /// What is wrong.
        fault: Fault,
    },
    /// A gate record.
    Gate {
        /// Which.
        index: u32,
        /// What is wrong.
        fault: Fault,
    },
    /// An output record.
    Output {
        /// Which.
        index: u32,
        /// What is wrong.
        fault: Fault,
    },
    /// An operating point.
    Point {
        /// Which.
        index: u32,
        /// What is wrong.
        fault: Fault,
    },
}

/// Sections of the file, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Tensor records.
    Tensors,
    /// Segment records.
    Segments,
    /// Step records.
    Steps,
    /// Gate records.
    Gates,
    /// Output records.
    Outputs,
    /// Operating points.
    Points,
    /// Parameters, weights, tables.
    Data,
    /// JSON.
    Cold,
}

macro_rules! faults {
    ($($name:ident = $text:literal,)*) => {
        /// What is wrong with a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $text] $name,)*
        }

        impl fmt::Display for Fault {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(match self { $(Fault::$name => $text,)* })
            }
        }
    };
}

faults! {
    TooMany = "more records than MAX_RECORDS, or more than MAX_VIEWS views of one result",
    TooLarge = "an arena larger than MAX_ARENA",
    Outside = "reaches outside its section or the arena",
    Unaligned = "not aligned as its type needs, or not a whole number of records",
    Order = "out of order: overlaps what comes before, or is read before it is written",
    Unknown = "a code that this version does not define",
    Reserved = "a reserved field that is not zero",
    Index = "an index with no record",
    Number = "a number that is not finite or not in its range",
    Text = "a name that is not UTF-8",
    Shape = "extents that do not fit each other or are not in their range",
    Dtype = "an element type the operator does not take",
    Stride = "strides with which pixels overlap, or that are not contiguous where they must be",
    Border = "a border that is not allowed here or has no fill codes",
    Mask = "a mask that is not where the layout puts it",
    Quant = "quantisation parameters that do not fit the tensor",
    Inputs = "a number of inputs the operator does not take",
    Surplus = "an offset that must be absent here",
    Window = "a window out of range, or that reads outside its tensor",
    Taps = "more taps than MAX_TAPS",
    Bounds = "clamping bounds that are NaN, reversed or outside the codes",
    Gate = "a gate on a result that cannot have one",
    Input = "the input tensor must be u8, own its memory and have no producer",
    Unwritten = "a tensor that no step writes",
    Twice = "a tensor that several steps write",
    Scratch = "a scratch tensor used outside its segment",
    View = "a view whose memory is not its parent's, or a parent its views do not tile",
    Band = "lines of a map that is not passed on by a chain of steps, or too few for a window",
    Overlap = "memory that another tensor still needs",
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        use FormatError::*;
        match *self {
            Unaligned => write!(f, "the artifact does not start at a multiple of 4 bytes in memory"),
            Truncated => write!(f, "the artifact is not as long as its header says"),
            Magic => write!(f, "not a Quiescent artifact"),
            Version { found } => {
                write!(f, "version {found} of the format; this runtime reads version {}", super::VERSION)
            }
            Profile { code } => write!(f, "target profile {code} is not known to this runtime"),
            Packing { code } => write!(f, "weight packing {code} is not known to this runtime"),
            Checksum => write!(f, "the checksum does not match: the artifact is damaged"),
            Section { section, fault } => write!(f, "section {section:?}: {fault}"),
            Header { fault } => write!(f, "header: {fault}"),
            Arena { needed, stated } => {
                write!(f, "the records need an arena of {needed} bytes, the header states {stated}")
            }
            Tensor { index, fault } => write!(f, "tensor {index}: {fault}"),
            Segment { index, fault } => write!(f, "segment {index}: {fault}"),
            Step { index, fault } => write!(f, "step {index}: {fault}"),
            Gate { index, fault } => write!(f, "gate {index}: {fault}"),
            Output { index, fault } => write!(f, "output {index}: {fault}"),
            Point { index, fault } => write!(f, "point {index}: {fault}"),
        }
    }
}

impl core::error::Error for FormatError {}
