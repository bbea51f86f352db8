//! Memory that direct I/O takes: it begins on a block boundary.

use wiber_storage::io::BLOCK_BYTES;

/// What is kept between writes; a larger buffer is given back, in bytes.
const KEEP_BYTES: usize = 1024 * 1024;

/// A buffer that begins on a block boundary.
#[derive(Default)]
pub(super) struct Aligned {
    bytes: Vec<u8>,
}

impl Aligned {
    /// Whether direct I/O takes these bytes as they are.
    pub(super) fn is_aligned(bytes: &[u8]) -> bool {
        bytes.as_ptr().addr().is_multiple_of(BLOCK_BYTES)
    }

    /// `len` zero bytes.
    pub(super) fn zeroed(len: usize) -> Aligned {
        Aligned {
            bytes: vec![0; len + BLOCK_BYTES],
        }
    }

    /// The first `len` bytes, which begin on a boundary.
    pub(super) fn first(&self, len: usize) -> &[u8] {
        let start = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        &self.bytes[start..start + len]
    }

    /// A copy of `data` that begins on a boundary.
    pub(super) fn copy_of(&mut self, data: &[u8]) -> &[u8] {
        if self.bytes.len() < data.len() + BLOCK_BYTES {
            *self = Aligned::zeroed(data.len());
        }
        let start = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        self.bytes[start..start + data.len()].copy_from_slice(data);
        self.first(data.len())
    }

    /// Gives memory back if a large write made the buffer grow.
    pub(super) fn relax(&mut self) {
        if self.bytes.len() > KEEP_BYTES + BLOCK_BYTES {
            *self = Aligned::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_begin_on_a_boundary() {
        let mut buffer = Aligned::default();
        for len in [4096, 8192, 4 << 20, 4096] {
            let data = vec![7; len + 1];
            let copy = buffer.copy_of(&data[1..]);
            assert!(Aligned::is_aligned(copy));
            assert_eq!(copy, &data[1..]);
            buffer.relax();
        }
    }
}
