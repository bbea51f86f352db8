//! Writing a message, without copying the records in it.
//!
//! Small fields go into one buffer; shared bytes (records) are noted with their place in it. The result is a
//! [`Frame`]: a chain of chunks for `writev`. A writer is sticky: it remembers the first error, and
//! [`Writer::finish`] reports it.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use crate::Wire;
use crate::reader::MAX_STRING_BYTES;

/// Byte strings of at least this many bytes are shared rather than copied into the frame. (Records always are shared.)
pub const SHARE_MIN_BYTES: usize = 4096;
/// The 32-bit length that precedes each frame on a connection, in bytes.
pub const SIZE_PREFIX_BYTES: usize = 4;

/// Why a message cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeErrorKind {
    /// The message has no such version.
    UnsupportedVersion,
    /// The field has a value, and does not exist in this version. Kafka: `UnsupportedVersionException`.
    FieldNotInVersion,
    /// The field is null, and cannot be in this version.
    UnexpectedNull,
    /// A string of more than 32,767 bytes, or a message of more than 2 GiB.
    TooLong,
}

/// The first thing that keeps a message from being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodeError {
    /// The message, as Kafka names it.
    pub message: &'static str,
    /// The version that was asked for.
    pub version: i16,
    /// The field; empty if it is the message itself.
    pub field: &'static str,
    /// What is wrong.
    pub kind: EncodeErrorKind,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EncodeError {
            message,
            version,
            field,
            kind,
        } = self;
        match kind {
            EncodeErrorKind::UnsupportedVersion => write!(f, "{message} has no version {version}"),
            EncodeErrorKind::FieldNotInVersion => write!(
                f,
                "{message} version {version} has no field {field}, which is set"
            ),
            EncodeErrorKind::UnexpectedNull => {
                write!(f, "{message} version {version}: {field} must not be null")
            }
            EncodeErrorKind::TooLong => {
                write!(f, "{message} version {version}: {field} is too long")
            }
        }
    }
}

impl std::error::Error for EncodeError {}

/// Shared bytes, to be inserted where the buffer has reached `at`.
#[derive(Clone, Debug)]
struct Splice {
    at: usize,
    bytes: Bytes,
}

/// Writes the fields of messages, one after the other.
#[derive(Default)]
pub struct Writer {
    buffer: Vec<u8>,
    splices: Vec<Splice>,
    spliced_bytes: usize,
    message: &'static str,
    version: i16,
    flexible: bool,
    error: Option<EncodeError>,
}

impl Writer {
    /// An empty writer, with room for small fields of `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer {
            buffer: Vec::with_capacity(capacity),
            ..Writer::default()
        }
    }

    /// What follows is `message` in `version`.
    pub fn begin(&mut self, message: &'static str, version: i16, flexible: bool) {
        self.message = message;
        self.version = version;
        self.flexible = flexible;
    }

    /// The version that is written.
    #[must_use]
    pub fn version(&self) -> i16 {
        self.version
    }

    /// Whether lengths are compact and tagged fields follow (KIP-482).
    #[must_use]
    pub fn flexible(&self) -> bool {
        self.flexible
    }

    /// Sets whether lengths are compact and tagged fields follow, and returns what it was.
    pub fn set_flexible(&mut self, flexible: bool) -> bool {
        std::mem::replace(&mut self.flexible, flexible)
    }

    /// Notes what is wrong with `field`, unless something was wrong before.
    pub fn fail(&mut self, field: &'static str, kind: EncodeErrorKind) {
        self.error.get_or_insert(EncodeError {
            message: self.message,
            version: self.version,
            field,
            kind,
        });
    }

    /// Notes that `field` has a value that this version cannot carry.
    pub fn refuse_field(&mut self, field: &'static str) {
        self.fail(field, EncodeErrorKind::FieldNotInVersion);
    }

    /// Writes a value that cannot be null in this version.
    pub fn write_not_null<T: Wire>(&mut self, value: Option<&T>, field: &'static str) {
        match value {
            Some(value) => value.write(self, field),
            None => self.fail(field, EncodeErrorKind::UnexpectedNull),
        }
    }

    /// Copies bytes in.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Inserts bytes without copying them.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.spliced_bytes += bytes.len();
            self.splices.push(Splice {
                at: self.buffer.len(),
                bytes: bytes.clone(),
            });
        }
    }

    /// An unsigned number of seven bits a byte, the lowest first.
    pub fn put_varint(&mut self, value: u32) {
        let (bytes, len) = varint(value);
        self.put(&bytes[..len]);
    }

    /// The length of a string; `None` for null.
    pub fn put_string_length(&mut self, length: Option<usize>, field: &'static str) {
        if length.is_some_and(|length| length > MAX_STRING_BYTES) {
            self.fail(field, EncodeErrorKind::TooLong);
        } else if self.flexible {
            self.put_varint(length.map_or(0, |length| length as u32 + 1));
        } else {
            self.put(&length.map_or(-1, |length| length as i16).to_be_bytes());
        }
    }

    /// The length of bytes or of an array; `None` for null.
    pub fn put_length(&mut self, length: Option<usize>, field: &'static str) {
        let Ok(short) = i32::try_from(length.unwrap_or(0)) else {
            return self.fail(field, EncodeErrorKind::TooLong);
        };
        if self.flexible {
            self.put_varint(length.map_or(0, |_| short as u32 + 1));
        } else {
            self.put(&length.map_or(-1, |_| short).to_be_bytes());
        }
    }

    /// Ends a struct that has no tagged fields.
    pub fn write_no_tags(&mut self) {
        if self.flexible {
            self.put_varint(0);
        }
    }

    /// Begins the tagged fields of a struct: as many as are `present`.
    pub fn write_tag_count(&mut self, present: &[bool]) {
        self.put_varint(present.iter().filter(|present| **present).count() as u32);
    }

    /// Begins a tagged field; the result is for [`end_tag`](Writer::end_tag).
    pub fn begin_tag(&mut self, tag: u32) -> TagStart {
        self.put_varint(tag);
        TagStart {
            at: self.buffer.len(),
            spliced_bytes: self.spliced_bytes,
            splices: self.splices.len(),
        }
    }

    /// Ends a tagged field: its length goes in before it.
    pub fn end_tag(&mut self, start: TagStart) {
        let size = self.buffer.len() - start.at + self.spliced_bytes - start.spliced_bytes;
        let Ok(size) = u32::try_from(size) else {
            return self.fail("tagged fields", EncodeErrorKind::TooLong);
        };
        let (prefix, len) = varint(size);
        self.buffer
            .splice(start.at..start.at, prefix[..len].iter().copied());
        for splice in &mut self.splices[start.splices..] {
            splice.at += len;
        }
    }

    /// What was written, as it is.
    pub fn finish(self) -> Result<Frame, EncodeError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        Ok(Frame {
            len: self.buffer.len() + self.spliced_bytes,
            buffer: Bytes::from(self.buffer),
            splices: self.splices,
        })
    }

    /// What was written after [`reserve_size`](Writer::reserve_size), with its length filled in.
    pub fn finish_sized(mut self) -> Result<Frame, EncodeError> {
        let size = (self.buffer.len() + self.spliced_bytes).saturating_sub(SIZE_PREFIX_BYTES);
        match (
            i32::try_from(size),
            self.buffer.first_chunk_mut::<SIZE_PREFIX_BYTES>(),
        ) {
            (Ok(size), Some(prefix)) => *prefix = size.to_be_bytes(),
            _ => self.fail("", EncodeErrorKind::TooLong),
        }
        self.finish()
    }

    /// Leaves room for the frame's length, at the start.
    pub fn reserve_size(&mut self) {
        debug_assert!(self.buffer.is_empty(), "the size comes first");
        self.put(&[0; SIZE_PREFIX_BYTES]);
    }
}

/// Where a tagged field began.
#[derive(Clone, Copy)]
pub struct TagStart {
    at: usize,
    spliced_bytes: usize,
    splices: usize,
}

fn varint(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

/// Encoded bytes, ready to be sent: a chain of chunks, of which the records are those that the message held.
#[derive(Clone, Debug)]
pub struct Frame {
    buffer: Bytes,
    splices: Vec<Splice>,
    len: usize,
}

impl Frame {
    /// The total length, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunks in order, none of them empty. To send them, gather them in a `writev`.
    pub fn chunks(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.parts().flat_map(|(own, shared)| {
            [self.buffer.slice(own), shared.cloned().unwrap_or_default()]
                .into_iter()
                .filter(|chunk| !chunk.is_empty())
        })
    }

    /// All bytes in one piece: without a copy if nothing is shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.splices.is_empty() {
            return self.buffer.clone();
        }
        let mut bytes = Vec::with_capacity(self.len);
        for (own, shared) in self.parts() {
            bytes.extend_from_slice(&self.buffer[own]);
            bytes.extend_from_slice(shared.map_or(&[], |shared| shared));
        }
        Bytes::from(bytes)
    }

    /// Ranges of the buffer, each with the shared bytes that follow it.
    fn parts(&self) -> impl Iterator<Item = (Range<usize>, Option<&Bytes>)> + '_ {
        let ends = self
            .splices
            .iter()
            .map(|splice| (splice.at, Some(&splice.bytes)));
        ends.chain([(self.buffer.len(), None)])
            .scan(0, |from, (to, shared)| {
                let own = std::mem::replace(from, to)..to;
                Some((own, shared))
            })
    }
}

#[cfg(test)]
mod tests {
    use wiber_protocol_derive::Message;

    use super::*;
    use crate::message::Message;
    use crate::messages::fetch::{FetchableTopicResponse, PartitionData};
    use crate::messages::{
        FetchRequest, FetchResponse, InitProducerIdRequest, JoinGroupResponse, MetadataRequest,
        MetadataResponse, ProduceRequest, SaslAuthenticateRequest,
    };
    use crate::records::Records;
    use crate::{decode_response, encode_response};

    /// A message with records in a tagged field, which no API has.
    #[derive(Message, Clone, Debug, PartialEq)]
    #[message(versions = "0", flexible = "0+")]
    struct Tagged {
        first: i8,
        #[field(tag = 0)]
        number: i16,
        #[field(tag = 1)]
        records: Records,
        #[field(tag = 2, default = -1)]
        last: i8,
    }

    /// A Fetch response with one partition that has these records.
    fn fetch_response(records: Records) -> FetchResponse {
        let partition = PartitionData {
            records: Some(records),
            ..Default::default()
        };
        let topic = FetchableTopicResponse {
            partitions: vec![partition],
            ..Default::default()
        };
        FetchResponse {
            responses: vec![topic],
            ..Default::default()
        }
    }

    #[test]
    fn records_leave_as_the_chunks_they_came_as() {
        let batches: Vec<Bytes> = [vec![1u8; 70], vec![2; 100_000], vec![3; 1]]
            .map(Bytes::from)
            .to_vec();
        let response = fetch_response(batches.iter().cloned().collect());
        for version in FetchResponse::VERSIONS.iter() {
            let frame = encode_response(&response, version, 7).expect("valid");
            let chunks: Vec<Bytes> = frame.chunks().collect();
            let shared: Vec<*const u8> = chunks.iter().map(|chunk| chunk.as_ptr()).collect();
            for batch in &batches {
                assert!(
                    shared.contains(&batch.as_ptr()),
                    "the batch itself is in the frame"
                );
            }
            let tags_follow = usize::from(FetchResponse::is_flexible(version));
            assert_eq!(chunks.len(), 1 + batches.len() + tags_follow);
            assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), frame.len());
            let whole = frame.to_bytes();
            assert_eq!(whole[..4], (frame.len() as u32 - 4).to_be_bytes());

            let (correlation_id, read) =
                decode_response::<FetchResponse>(whole.slice(SIZE_PREFIX_BYTES..), version)
                    .expect("valid");
            assert_eq!((correlation_id, &read), (7, &response));
            let records = read.responses[0].partitions[0]
                .records
                .as_ref()
                .expect("not null");
            assert_eq!(records.chunks().len(), 1);
            assert!(
                whole.as_ptr_range().contains(&records.chunks()[0].as_ptr()),
                "a slice of the frame"
            );
        }
    }

    #[test]
    fn what_is_decoded_is_a_slice_of_the_frame() {
        let request = SaslAuthenticateRequest {
            auth_bytes: Bytes::from(vec![7; 5000]),
        };
        let frame = request.encode(2).expect("valid");
        assert!(
            frame
                .chunks()
                .any(|chunk| chunk.as_ptr() == request.auth_bytes.as_ptr())
        );
        let whole = frame.to_bytes();
        let read = SaslAuthenticateRequest::decode(whole.clone(), 2).expect("valid");
        assert!(whole.as_ptr_range().contains(&read.auth_bytes.as_ptr()));

        let request = ProduceRequest {
            transactional_id: Some("an id".into()),
            ..Default::default()
        };
        let whole = request.encode(9).expect("valid").to_bytes();
        let read = ProduceRequest::decode(whole.clone(), 9).expect("valid");
        let id = read.transactional_id.expect("not null");
        assert!(
            whole
                .as_ptr_range()
                .contains(&id.as_shared_bytes().as_ptr())
        );
        assert!(
            !whole
                .as_ptr_range()
                .contains(&id.detached().as_shared_bytes().as_ptr())
        );
    }

    #[test]
    fn tagged_fields_are_left_out_while_they_hold_their_default() {
        let bytes = |message: &Tagged| message.encode(0).expect("valid").to_bytes();
        let mut message = Tagged::default();
        assert_eq!(bytes(&message), [0, 0][..]);
        message.last = 0;
        assert_eq!(bytes(&message), [0, 1, 2, 1, 0][..]);
        message.number = 258;
        assert_eq!(bytes(&message), [0, 2, 0, 2, 1, 2, 2, 1, 0][..]);
        assert_eq!(Tagged::decode(bytes(&message), 0), Ok(message));
    }

    #[test]
    fn records_in_a_tagged_field_keep_their_place() {
        let message = Tagged {
            first: 5,
            number: 1,
            records: [vec![8u8; 200], vec![9; 3]]
                .map(Bytes::from)
                .into_iter()
                .collect(),
            last: 6,
        };
        let frame = message.encode(0).expect("valid");
        let chunks: Vec<Bytes> = frame.chunks().collect();
        assert_eq!(chunks[0], [5, 3, 0, 2, 0, 1, 1, 0xcd, 1, 0xcc, 1][..]);
        assert_eq!(chunks[1..3], message.records.chunks()[..]);
        assert_eq!(chunks[3], [2, 1, 6][..]);
        assert_eq!(Tagged::decode(frame.to_bytes(), 0), Ok(message));
    }

    #[test]
    fn a_field_that_the_version_lacks_is_dropped_or_refused() {
        let response = MetadataResponse {
            cluster_id: Some("c".into()),
            ..Default::default()
        };
        assert_eq!(
            response.encode(1).expect("ignorable").to_bytes(),
            MetadataResponse::default()
                .encode(1)
                .expect("valid")
                .to_bytes()
        );

        let request = MetadataRequest {
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        assert!(request.encode(4).is_ok());
        let error = request.encode(3).expect_err("not ignorable");
        assert_eq!(
            error.to_string(),
            "MetadataRequest version 3 has no field allow_auto_topic_creation, which is set"
        );
        assert_eq!(error.kind, EncodeErrorKind::FieldNotInVersion);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let request = MetadataRequest {
            topics: None,
            ..Default::default()
        };
        assert!(request.encode(1).is_ok());
        assert_eq!(
            request.encode(0).expect_err("not nullable").to_string(),
            "MetadataRequest version 0: topics must not be null"
        );
        let response = JoinGroupResponse {
            protocol_name: None,
            ..Default::default()
        };
        assert!(response.encode(7).is_ok());
        assert_eq!(
            response.encode(6).expect_err("not nullable").kind,
            EncodeErrorKind::UnexpectedNull
        );
        let request = InitProducerIdRequest {
            transactional_id: Some("x".repeat(0x8000).into()),
            ..Default::default()
        };
        assert_eq!(
            request.encode(4).expect_err("too long").kind,
            EncodeErrorKind::TooLong
        );
        let error = FetchRequest::default()
            .encode(3)
            .expect_err("no such version");
        assert_eq!(error.to_string(), "FetchRequest has no version 3");
    }

    #[test]
    fn no_records_are_not_null() {
        let empty = fetch_response(Records::new())
            .encode(4)
            .expect("valid")
            .to_bytes();
        assert!(empty.ends_with(&[0, 0, 0, 0]));
        let mut null = fetch_response(Records::new());
        null.responses[0].partitions[0].records = None;
        assert!(
            null.encode(4)
                .expect("valid")
                .to_bytes()
                .ends_with(&[0xff; 4])
        );
    }
}
