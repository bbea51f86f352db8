//! Reads and writes the metadata's bytes: little endian, with its length in front of a string and its count in front of a list.
//!
//! Invariant: a length or a count is compared with the bytes that remain before anything is allocated for it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why bytes are not what should be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// They end too early, or a length or a count goes beyond them.
    #[error("it is cut short")]
    Short,
    /// They go on where they should end.
    #[error("{0} bytes too many follow")]
    Trailing(usize),
    /// A string is not UTF-8.
    #[error("a string in it is not UTF-8")]
    Utf8,
    /// A byte that says which of several things follows says none of them.
    #[error("a tag in it is {0}, which stands for nothing")]
    Tag(u8),
    /// A number cannot be what it says it is.
    #[error("a number in it is {0}, which is too large")]
    Range(u64),
}

impl From<bytes::TryGetError> for DecodeError {
    fn from(_: bytes::TryGetError) -> DecodeError {
        DecodeError::Short
    }
}

/// Takes values off the front of bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Reader {
        Reader { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.bytes.try_get_u8()?)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(self.bytes.try_get_u16_le()?)
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(self.bytes.try_get_u32_le()?)
    }

    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(self.bytes.try_get_u64_le()?)
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(self.bytes.try_get_i32_le()?)
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(self.bytes.try_get_i64_le()?)
    }

    pub fn id(&mut self) -> Result<[u8; 16], DecodeError> {
        let mut id = [0; 16];
        self.bytes.try_copy_to_slice(&mut id)?;
        Ok(id)
    }

    /// The next `len` bytes, which stay part of the allocation that they are read from.
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.bytes.len() {
            return Err(DecodeError::Short);
        }
        Ok(self.bytes.split_to(len))
    }

    /// All that remains.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }

    /// Bytes with a 32-bit length in front.
    pub fn sized(&mut self) -> Result<Bytes, DecodeError> {
        let len = self.u32()?;
        self.take(len as usize)
    }

    /// A string with a 16-bit length in front.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        let len = self.u16()?;
        let bytes = self.take(usize::from(len))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Utf8)
    }

    /// A flag byte, and the value behind it where the flag is 1.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            tag => Err(DecodeError::Tag(tag)),
        }
    }

    /// A 32-bit count and as many elements, each of which takes at least `least` bytes.
    pub fn list<T>(
        &mut self,
        least: usize,
        mut read: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u32()? as usize;
        if count > self.bytes.len() / least {
            return Err(DecodeError::Short);
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// That nothing is left.
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

/// Writes a string with a 16-bit length in front.
///
/// # Panics
/// If it is longer than 65,535 bytes: whoever accepted it should not have.
pub(crate) fn put_string(out: &mut BytesMut, text: &str) {
    let len = u16::try_from(text.len())
        .unwrap_or_else(|_| panic!("a string of {} bytes was accepted as metadata", text.len()));
    out.put_u16_le(len);
    out.put_slice(text.as_bytes());
}

/// Writes a flag byte, and the value behind it if there is one.
pub(crate) fn put_option<T>(
    out: &mut BytesMut,
    value: Option<T>,
    put: impl FnOnce(&mut BytesMut, T),
) {
    out.put_u8(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// Writes a 32-bit count and the elements.
pub(crate) fn put_list<T>(
    out: &mut BytesMut,
    list: impl ExactSizeIterator<Item = T>,
    mut put: impl FnMut(&mut BytesMut, T),
) {
    out.put_u32_le(list.len() as u32);
    for element in list {
        put(out, element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_beyond_the_bytes_allocates_nothing() {
        let mut reader = Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
        assert_eq!(reader.list(1, Reader::u8), Err(DecodeError::Short));
        let mut reader = Reader::new(Bytes::from_static(&[2, 0, 0, 0, 1, 0, 2]));
        assert_eq!(reader.list(2, Reader::u16), Err(DecodeError::Short));
        let mut reader = Reader::new(Bytes::from_static(&[2, 0, 0, 0, 1, 0, 2, 0]));
        assert_eq!(reader.list(2, Reader::u16), Ok(vec![1, 2]));
    }

    #[test]
    fn a_flag_is_0_or_1() {
        let mut reader = Reader::new(Bytes::from_static(&[2, 7]));
        assert_eq!(reader.option(Reader::u8), Err(DecodeError::Tag(2)));
    }
}
