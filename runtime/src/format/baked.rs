//! An artifact that is part of a program: checked whole when it was baked, so that the program need not hold the check.

use zerocopy::FromBytes;

use super::check::{Proven, views};
use super::{FormatError, Header, MAGIC, VERSION, crc};

/// The runtime whose check [`Baked`] artifacts have to have passed.
pub const CHECKED_BY: &str = env!("CARGO_PKG_VERSION");

/// A file in the program's constants, and the checksum of the one that was checked. `quiescent bake` writes it.
pub struct Baked {
    file: &'static [u8],
    checksum: u32,
}

impl Baked {
    /// Meant for a static: where `file` is another than the one that was checked, or this is another runtime than the one that did it, the
    /// program does not compile.
    ///
    /// # Safety
    /// A file with this checksum has passed [`check`](super::check()) of the runtime `checked_by`.
    pub const unsafe fn new(file: &'static [u8], checksum: u32, checked_by: &str) -> Self {
        assert!(file.len() >= size_of::<Header>() && word(file, 0) == MAGIC, "this is no artifact");
        assert!(word(file, 4) & 0xffff == VERSION as u32, "the artifact has another format than the runtime; bake again");
        assert!(word(file, 12) as usize == file.len(), "the artifact is cut");
        assert!(word(file, 16) == checksum, "the artifact is not the file this module was made with");
        assert!(
            same(checked_by.as_bytes(), CHECKED_BY.as_bytes()),
            "the artifact was checked by another version of the runtime; bake again"
        );
        Self { file, checksum }
    }

    /// The file, if it still is the one that was checked: memory that has been damaged is an error. Reads all of it once.
    pub fn proven(&self) -> Result<Proven<'static>, FormatError> {
        let header = Header::ref_from_prefix(self.file).map_err(|_| FormatError::Unaligned)?.0;
        if header.checksum != self.checksum || crc::of_file(self.file) != self.checksum {
            return Err(FormatError::Checksum);
        }
        views(self.file, header).map(Proven)
    }
}

/// The little-endian word at byte `at`.
const fn word(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]])
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
