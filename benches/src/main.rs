//! Answers timing requests so that a script can interleave this engine with others.
fn main() {}
