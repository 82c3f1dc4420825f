//! Files that hold one value each, below a directory.

use std::fs;
use std::path::{Path, PathBuf};

/// Where `proc` and `sys` are.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Self {
        Self::new("/")
    }
}

impl Root {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// `path` relative to the root, without a leading `/`.
    pub fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// The content without surrounding white space and NUL; `None` where there is no such file, none that can be read, or
    /// nothing in it.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.path(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_string())
    }

    /// A decimal number.
    pub fn number(&self, path: &str) -> Option<f64> {
        self.text(path)?.parse().ok().filter(|n: &f64| n.is_finite())
    }

    /// Names in a folder that begin with `prefix`, numbers in them in numerical order; none where there is no folder.
    pub fn names(&self, folder: &str, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok()).filter(|n| n.starts_with(prefix));
        let mut names: Vec<String> = names.collect();
        names.sort_by_key(|n| (number_in(n), n.clone()));
        names
    }

    pub fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// The machine the program itself runs on.
    pub fn is_own(&self) -> bool {
        self.0 == Path::new("/")
    }
}

/// The first number in a name: 12 of `cpu12`.
fn number_in(name: &str) -> Option<u64> {
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}
