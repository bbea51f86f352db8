//! Reading a message from untrusted bytes.
//!
//! Invariants: nothing is read past the end; no length or count is believed before it is compared with the bytes that
//! remain; strings, byte strings and records are slices of the input; what arrays allocate is within
//! [`MEMORY_BASE_BYTES`] + [`MEMORY_FACTOR`] × the input's length. A reader is sticky: after the first error it has
//! nothing left, every further read gives a zero value, and [`Reader::finish`] reports the error.

use std::fmt;

use bytes::Bytes;

/// What the arrays of a message may take in memory, however short it is. In bytes.
pub const MEMORY_BASE_BYTES: usize = 1 << 20;
/// What the arrays of a message may take in memory, for each byte of the message.
pub const MEMORY_FACTOR: usize = 8;
/// The longest string of the protocol, in bytes.
pub const MAX_STRING_BYTES: usize = 0x7fff;

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeErrorKind {
    /// The message has no such version, or this crate does not speak it.
    UnsupportedVersion(i16),
    /// No API has this key.
    UnknownApiKey(i16),
    /// The field is longer than what remains.
    OutOfBytes,
    /// Null where the field cannot be null.
    UnexpectedNull,
    /// A length or count that no message can have.
    InvalidLength,
    /// An array that would take more memory than a message of this size may.
    TooMuchMemory,
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// A variable-length number of more than 32 bits.
    InvalidVarint,
    /// Tags that do not ascend, or a tagged field that is not as long as it says.
    InvalidTag,
    /// Bytes after the message's end.
    TrailingBytes,
}

/// The first thing that is wrong with a message's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// The message, as Kafka names it.
    pub message: &'static str,
    /// The field that was being read; empty if it was none.
    pub field: &'static str,
    /// Where, in bytes from the start of the message.
    pub offset: usize,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::UnsupportedVersion(version) => {
                return write!(f, "{} has no version {version}", self.message);
            }
            DecodeErrorKind::UnknownApiKey(key) => return write!(f, "no API has the key {key}"),
            DecodeErrorKind::OutOfBytes => "is longer than what remains",
            DecodeErrorKind::UnexpectedNull => "is null and must not be",
            DecodeErrorKind::InvalidLength => "has an impossible length",
            DecodeErrorKind::TooMuchMemory => {
                "would take more memory than a message of this size may"
            }
            DecodeErrorKind::InvalidUtf8 => "is not UTF-8",
            DecodeErrorKind::InvalidVarint => "holds a number of more than 32 bits",
            DecodeErrorKind::InvalidTag => "is tagged wrongly",
            DecodeErrorKind::TrailingBytes => {
                return write!(
                    f,
                    "{} ends at byte {}, and bytes follow",
                    self.message, self.offset
                );
            }
        };
        write!(
            f,
            "{}: {} at byte {} {what}",
            self.message, self.field, self.offset
        )
    }
}

impl std::error::Error for DecodeError {}

/// Reads the fields of one message, one after the other.
pub struct Reader {
    input: Bytes,
    at: usize,
    end: usize,
    version: i16,
    flexible: bool,
    /// What arrays may still allocate, in bytes.
    memory: usize,
    message: &'static str,
    error: Option<DecodeError>,
}

impl Reader {
    /// A reader of `input` for `version` of `message`.
    #[must_use]
    pub fn new(input: Bytes, message: &'static str, version: i16, flexible: bool) -> Reader {
        let end = input.len();
        Reader {
            input,
            at: 0,
            end,
            version,
            flexible,
            memory: MEMORY_BASE_BYTES.saturating_add(end.saturating_mul(MEMORY_FACTOR)),
            message,
            error: None,
        }
    }

    /// The version that is read.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Sets whether lengths are compact and tagged fields follow, and returns what it was.
    pub fn set_flexible(&mut self, flexible: bool) -> bool {
        std::mem::replace(&mut self.flexible, flexible)
    }

    /// Whether lengths are compact and tagged fields follow (KIP-482).
    #[must_use]
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// Whether something was wrong.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Notes what is wrong with `field`, unless something was wrong before.
    pub fn fail(&mut self, field: &'static str, kind: DecodeErrorKind) {
        if self.error.is_none() {
            self.error = Some(DecodeError {
                message: self.message,
                field,
                offset: self.at,
                kind,
            });
            self.end = self.at;
        }
    }

    /// The bytes that were not read yet; the error, if there was one.
    pub fn finish_part(self) -> Result<Bytes, DecodeError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.input.slice(self.at..)),
        }
    }

    /// Checks that everything was read and nothing was wrong.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        if self.at < self.input.len() {
            self.fail("", DecodeErrorKind::TrailingBytes);
        }
        self.error.map_or(Ok(()), Err)
    }

    /// The next `N` bytes; zeros if there are fewer.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> [u8; N] {
        let rest = &self.input[self.at..self.end];
        if let Some(bytes) = rest.first_chunk::<N>() {
            let bytes = *bytes;
            self.at += N;
            return bytes;
        }
        self.fail(field, DecodeErrorKind::OutOfBytes);
        [0; N]
    }

    /// The next `len` bytes, as a slice of the input; empty if there are fewer.
    pub fn slice(&mut self, len: usize, field: &'static str) -> Bytes {
        if len > self.end - self.at {
            self.fail(field, DecodeErrorKind::OutOfBytes);
            return Bytes::new();
        }
        let start = self.at;
        self.at += len;
        self.input.slice(start..self.at)
    }

    /// An unsigned number of seven bits a byte, the lowest first, at most 32 bits.
    pub fn varint(&mut self, field: &'static str) -> u32 {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array::<1>(field);
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return value;
            }
        }
        self.fail(field, DecodeErrorKind::InvalidVarint);
        0
    }

    /// The length of a string: a varint, less one, in flexible versions, else 16 bits. `None` for null.
    pub fn string_length(&mut self, field: &'static str) -> Option<usize> {
        if self.flexible {
            return self.compact_length(field);
        }
        let length = i16::from_be_bytes(self.array(field));
        self.classic_length(i32::from(length), field)
    }

    /// The length of bytes or of an array: a varint, less one, in flexible versions, else 32 bits. `None` for null.
    pub fn length(&mut self, field: &'static str) -> Option<usize> {
        if self.flexible {
            return self.compact_length(field);
        }
        let length = i32::from_be_bytes(self.array(field));
        self.classic_length(length, field)
    }

    fn compact_length(&mut self, field: &'static str) -> Option<usize> {
        let length = self.varint(field);
        if self.failed() {
            Some(0)
        } else {
            length.checked_sub(1).map(|length| length as usize)
        }
    }

    fn classic_length(&mut self, length: i32, field: &'static str) -> Option<usize> {
        match usize::try_from(length) {
            Ok(length) => Some(length),
            Err(_) if length == -1 => None,
            Err(_) => {
                self.fail(field, DecodeErrorKind::InvalidLength);
                Some(0)
            }
        }
    }

    /// Checks that `count` elements of at least `min_bytes` can follow, and that the `element_bytes` that each takes in
    /// memory are within the budget. 0 if not.
    pub fn admit(
        &mut self,
        count: usize,
        min_bytes: usize,
        element_bytes: usize,
        field: &'static str,
    ) -> usize {
        if count.saturating_mul(min_bytes) > self.end - self.at {
            self.fail(field, DecodeErrorKind::OutOfBytes);
            return 0;
        }
        let Some(left) = self.memory.checked_sub(count.saturating_mul(element_bytes)) else {
            self.fail(field, DecodeErrorKind::TooMuchMemory);
            return 0;
        };
        self.memory = left;
        count
    }

    /// Reads the tagged fields that end a struct in flexible versions. `known` reads the one whose tag it gets, or
    /// says that it knows none such; that is then skipped.
    pub fn read_tags(&mut self, known: &mut dyn FnMut(&mut Reader, u32) -> bool) {
        const FIELD: &str = "tagged fields";
        if !self.flexible {
            return;
        }
        let count = self.varint(FIELD);
        let mut next_tag = 0u64;
        for _ in 0..count {
            let tag = self.varint(FIELD);
            let size = self.varint(FIELD) as usize;
            if u64::from(tag) < next_tag {
                self.fail(FIELD, DecodeErrorKind::InvalidTag);
            }
            if size > self.end - self.at {
                self.fail(FIELD, DecodeErrorKind::OutOfBytes);
            }
            if self.failed() {
                return;
            }
            next_tag = u64::from(tag) + 1;
            let outer_end = std::mem::replace(&mut self.end, self.at + size);
            if !known(self, tag) {
                self.at = self.end;
            }
            if self.at != self.end {
                self.fail(FIELD, DecodeErrorKind::InvalidTag);
            }
            if self.failed() {
                return;
            }
            self.end = outer_end;
        }
    }

    /// Skips the tagged fields that end a struct in flexible versions.
    pub fn skip_tags(&mut self) {
        self.read_tags(&mut |_, _| false);
    }
}
