//! Numbers for tests that have to repeat.

/// The generator of Marsaglia (2003).
pub struct Xorshift(pub u64);

impl Xorshift {
    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}
