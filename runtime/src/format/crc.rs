//! CRC-32 (IEEE 802.3, reflected polynomial `0xEDB88320`). With std the crate crc32fast, which has carry-less products; without,
//! a byte at a time with a table of 1 KiB: it is read once, and flash is short.

#[cfg(any(test, not(feature = "std")))]
const TABLE: [u32; 256] = table();

#[cfg(any(test, not(feature = "std")))]
const fn table() -> [u32; 256] {
    let mut t = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        t[i] = crc;
        i += 1;
    }
    t
}

/// Goes on with `crc` (0 at first) over `bytes`.
#[cfg(feature = "std")]
fn update(crc: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(crc);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(not(feature = "std"))]
use by_table as update;

/// The same with a table.
#[cfg(any(test, not(feature = "std")))]
fn by_table(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, b| (crc >> 8) ^ TABLE[((crc ^ *b as u32) & 0xff) as usize])
}

/// Of a whole file, its checksum field counted as zero.
pub(super) fn of_file(bytes: &[u8]) -> u32 {
    let field = core::mem::offset_of!(super::Header, checksum);
    let (before, rest) = bytes.split_at(field.min(bytes.len()));
    let after = rest.get(4..).unwrap_or(&[]);
    update(update(update(0, before), &[0; 4]), after)
}

/// Writes the checksum of a file whose bytes were changed. Does nothing to a file shorter than a header.
pub fn seal(file: &mut [u8]) {
    let sum = of_file(file);
    let field = core::mem::offset_of!(super::Header, checksum);
    if file.len() >= size_of::<super::Header>() {
        file[field..field + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn known_answer_and_splits() {
        let bytes: [u8; 100] = core::array::from_fn(|i| (i * 37) as u8);
        let whole = super::by_table(0, &bytes);
        for update in [super::update, super::by_table] {
            assert_eq!(update(0, b"123456789"), 0xCBF4_3926);
            for at in 0..=100 {
                let (a, b) = bytes.split_at(at);
                assert_eq!(update(update(0, a), b), whole);
            }
        }
    }
}
