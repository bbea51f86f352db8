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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;
    use crate::messages::create_topics::CreatableTopic;
    use crate::messages::metadata::MetadataRequestTopic;
    use crate::messages::{ApiVersionsRequest, CreateTopicsRequest, FetchRequest, MetadataRequest};

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes), "Test", 0, true)
    }

    fn error<M: Message>(bytes: impl Into<Bytes>, version: i16) -> DecodeError {
        M::decode(bytes.into(), version).expect_err("these bytes are no message")
    }

    #[test]
    fn varints_hold_32_bits_and_no_more() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[0x7f], 127),
            (&[0x80, 1], 128),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX),
            (&[0x81, 0x80, 0], 1),
        ] {
            let mut reader = reader(bytes);
            assert_eq!(reader.varint("v"), value);
            assert_eq!(reader.finish(), Ok(()));
        }
        for (bytes, kind) in [
            (
                &[0xff, 0xff, 0xff, 0xff, 0x1f][..],
                DecodeErrorKind::InvalidVarint,
            ),
            (
                &[0x80, 0x80, 0x80, 0x80, 0x80, 0],
                DecodeErrorKind::InvalidVarint,
            ),
            (&[0x80, 0x80], DecodeErrorKind::OutOfBytes),
        ] {
            let mut reader = reader(bytes);
            reader.varint("v");
            assert_eq!(reader.finish().expect_err("too long or cut").kind, kind);
        }
    }

    #[test]
    fn a_reader_that_failed_gives_nothing_more() {
        let mut reader = reader(&[9, 1, 2, 3]);
        assert_eq!(reader.slice(9, "first"), Bytes::new());
        assert_eq!(reader.array::<1>("second"), [0]);
        assert_eq!(reader.varint("third"), 0);
        let error = reader.finish().expect_err("it failed");
        assert_eq!(
            (error.field, error.offset, error.kind),
            ("first", 0, DecodeErrorKind::OutOfBytes)
        );
    }

    #[test]
    fn a_huge_count_is_refused_before_anything_is_allocated() {
        let error = error::<MetadataRequest>(i32::MAX.to_be_bytes().to_vec(), 1);
        assert_eq!(
            error.to_string(),
            "MetadataRequest: topics at byte 4 is longer than what remains"
        );
        // Compact: the largest varint.
        let huge = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
        assert_eq!(
            self::error::<MetadataRequest>(huge, 12).kind,
            DecodeErrorKind::OutOfBytes
        );
        assert_eq!(
            self::error::<MetadataRequest>((-2i32).to_be_bytes().to_vec(), 1).kind,
            DecodeErrorKind::InvalidLength
        );
    }

    #[test]
    fn a_count_that_bytes_could_follow_is_held_to_the_memory_of_its_frame() {
        // Each byte could begin an element; the elements would take far more memory than the frame has bytes.
        let count = 2 << 20;
        let mut frame = i32::to_be_bytes(count).to_vec();
        frame.resize(4 + count as usize, 0);
        let budget = MEMORY_BASE_BYTES + MEMORY_FACTOR * frame.len();
        assert!(count as usize * size_of::<CreatableTopic>() > budget);
        assert_eq!(
            error::<CreateTopicsRequest>(frame, 2).kind,
            DecodeErrorKind::TooMuchMemory
        );
        // What a client could mean passes, however short its names.
        let topics = vec![
            MetadataRequestTopic {
                name: Some("t".into()),
                ..Default::default()
            };
            10_000
        ];
        let request = MetadataRequest {
            topics: Some(topics),
            ..Default::default()
        };
        for version in MetadataRequest::VERSIONS.iter() {
            let bytes = request.encode(version).expect("valid").to_bytes();
            assert_eq!(MetadataRequest::decode(bytes, version), Ok(request.clone()));
        }
    }

    #[test]
    fn errors_name_message_field_and_place() {
        let error = error::<ApiVersionsRequest>(vec![2, b'a', 3, b'b', 0xff, 0], 3);
        assert_eq!(
            error.to_string(),
            "ApiVersionsRequest: client_software_version at byte 5 is not UTF-8"
        );
        let error = self::error::<ApiVersionsRequest>(vec![2, b'a', 0, 0], 3);
        assert_eq!(
            error.to_string(),
            "ApiVersionsRequest: client_software_version at byte 3 is null and must not be"
        );
        let error = self::error::<ApiVersionsRequest>(vec![2, b'a', 1, 0, 7], 3);
        assert_eq!(
            error.to_string(),
            "ApiVersionsRequest ends at byte 4, and bytes follow"
        );
        let error = self::error::<ApiVersionsRequest>(vec![], 5);
        assert_eq!(error.to_string(), "ApiVersionsRequest has no version 5");
        let too_long = [&[0x81, 0x80, 2][..], &[b'a'; 0x8000]].concat();
        assert_eq!(
            self::error::<ApiVersionsRequest>(too_long, 3).kind,
            DecodeErrorKind::InvalidLength
        );
    }

    /// An ApiVersions request of version 3 with these tagged fields.
    fn tagged(tags: &[u8]) -> Result<ApiVersionsRequest, DecodeError> {
        ApiVersionsRequest::decode([&[1, 1][..], tags].concat().into(), 3)
    }

    #[test]
    fn unknown_tagged_fields_are_skipped() {
        assert_eq!(
            tagged(&[2, 0, 3, 1, 2, 3, 9, 0]),
            Ok(ApiVersionsRequest::default())
        );
    }

    #[test]
    fn tagged_fields_that_are_wrong_are_refused() {
        let kind = |tags| tagged(tags).expect_err("wrong tags").kind;
        assert_eq!(kind(&[2, 1, 0, 1, 0]), DecodeErrorKind::InvalidTag);
        assert_eq!(kind(&[2, 1, 0, 0, 0]), DecodeErrorKind::InvalidTag);
        assert_eq!(kind(&[1, 0, 3, 1, 2]), DecodeErrorKind::OutOfBytes);
        assert_eq!(
            kind(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            DecodeErrorKind::OutOfBytes
        );
        // A known field, the session's replica state of 12 bytes, that says it has 13.
        let valid = FetchRequest::default()
            .encode(15)
            .expect("valid")
            .to_bytes();
        let (fields, end) = valid.split_at(valid.len() - 1);
        assert_eq!(end, [0]);
        let state = [fields, &[1, 1, 13], &[0; 4], &[0; 8], &[0], &[0]].concat();
        assert!(
            FetchRequest::decode(
                [&state[..fields.len() + 2], &[13], &[0; 13]]
                    .concat()
                    .into(),
                15
            )
            .is_ok()
        );
        assert_eq!(
            error::<FetchRequest>([&state[..fields.len() + 2], &[14], &[0; 14]].concat(), 15).kind,
            DecodeErrorKind::InvalidTag
        );
    }
}
