//! The whole-file check.

use super::{Header, Model};

/// Why an artifact cannot be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// Shorter than its header says.
    Truncated,
}

/// The header.
pub fn header(bytes: &[u8]) -> Result<&Header, FormatError> {
    let _ = bytes;
    Err(FormatError::Truncated)
}

/// Checks everything.
pub fn check(bytes: &[u8]) -> Result<Model<'_>, FormatError> {
    let _ = bytes;
    Err(FormatError::Truncated)
}
