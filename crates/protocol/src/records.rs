//! Record batches on their way out: chunks of shared bytes, which nothing copies.

use std::fmt;

use bytes::Bytes;

/// Record bytes as a list of chunks, in order; a chunk need not be a whole batch. Encoding hands the chunks on as they
/// are (see [`Frame`](crate::Frame)); decoding gives one chunk, a slice of the frame.
#[derive(Clone, Default)]
pub struct Records {
    chunks: Vec<Bytes>,
    len: usize,
}

impl Records {
    /// No records: on the wire an empty byte string, which is not the same as null.
    #[must_use]
    pub const fn new() -> Records {
        Records {
            chunks: Vec::new(),
            len: 0,
        }
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push(chunk);
        }
    }

    /// The total length, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks, none of them empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// All bytes in one piece: without a copy if there is at most one chunk.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks.as_slice() {
            [] => Bytes::new(),
            [only] => only.clone(),
            many => Bytes::from(many.concat()),
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Records {
        let mut records = Records::new();
        records.push(bytes);
        records
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Records {
        let mut records = Records::new();
        for chunk in chunks {
            records.push(chunk);
        }
        records
    }
}

/// Equal bytes, however they are cut.
impl PartialEq for Records {
    fn eq(&self, other: &Records) -> bool {
        self.len == other.len && self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Records({} bytes in {} chunks)",
            self.len,
            self.chunks.len()
        )
    }
}
