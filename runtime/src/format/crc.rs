//! CRC-32 (IEEE 802.3, reflected polynomial `0xEDB88320`). With std the crate crc32fast, which has carry-less products; without, eight
//! bytes a step with eight tables ("slicing by 8", Kounavis and Berry 2005).

#[cfg(any(test, not(feature = "std")))]
const TABLES: [[u32; 256]; 8] = tables();

#[cfg(any(test, not(feature = "std")))]
const fn tables() -> [[u32; 256]; 8] {
    let mut t = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        t[0][i] = crc;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let before = t[k - 1][i];
            t[k][i] = (before >> 8) ^ t[0][(before & 0xff) as usize];
            i += 1;
        }
        k += 1;
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

/// The same with tables.
#[cfg(any(test, not(feature = "std")))]
fn by_table(crc: u32, bytes: &[u8]) -> u32 {
    let t = &TABLES;
    let mut crc = !crc;
    let (words, rest) = bytes.as_chunks::<8>();
    for w in words {
        let v = u64::from_le_bytes(*w) ^ crc as u64;
        crc = t[7][(v & 0xff) as usize]
            ^ t[6][(v >> 8 & 0xff) as usize]
            ^ t[5][(v >> 16 & 0xff) as usize]
            ^ t[4][(v >> 24 & 0xff) as usize]
            ^ t[3][(v >> 32 & 0xff) as usize]
            ^ t[2][(v >> 40 & 0xff) as usize]
            ^ t[1][(v >> 48 & 0xff) as usize]
            ^ t[0][(v >> 56) as usize];
    }
    for b in rest {
        crc = (crc >> 8) ^ t[0][((crc ^ *b as u32) & 0xff) as usize];
    }
    !crc
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
