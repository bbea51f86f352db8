//! Memory that direct I/O takes: it begins on a block boundary.

use std::io::IoSlice;

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

    /// Moves the next `len` bytes of `slices` to a boundary.
    pub(super) fn gather(&mut self, slices: &mut &mut [IoSlice<'_>], len: usize) -> &[u8] {
        if self.bytes.len() < len + BLOCK_BYTES {
            *self = Aligned::zeroed(len);
        }
        let start = self.bytes.as_ptr().align_offset(BLOCK_BYTES);
        let mut to = &mut self.bytes[start..start + len];
        while let Some(slice) = slices.first().filter(|_| !to.is_empty()) {
            let count = slice.len().min(to.len());
            let (now, later) = to.split_at_mut(count);
            now.copy_from_slice(&slice[..count]);
            to = later;
            IoSlice::advance_slices(slices, count);
        }
        self.first(len)
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
    fn what_is_gathered_goes_on_where_the_last_ended() {
        let data: Vec<u8> = (0..=255).cycle().take(30_000).collect();
        let mut slices: Vec<IoSlice<'_>> = data.chunks(777).map(IoSlice::new).collect();
        let mut rest = &mut slices[..];
        let mut buffer = Aligned::default();
        let mut at = 0;
        for len in [0, 5, 4096, 0, 12_288, 13_000, 611] {
            let gathered = buffer.gather(&mut rest, len);
            assert!(Aligned::is_aligned(gathered));
            assert_eq!(gathered, &data[at..at + len]);
            at += len;
        }
        assert!(rest.is_empty());
    }

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
