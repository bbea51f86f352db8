//! What Kafka keeps in its own topics, and what its consumers tell each other through a coordinator.
//!
//! Each of these byte strings begins with a version of 16 bits, and goes on as a message of that version: [`encode_versioned`],
//! [`decode_versioned`]. In a key of `__consumer_offsets` that number is no version but says what the record is about.

pub mod consumer_group;
pub mod consumer_protocol;
pub mod group_metadata;
pub mod offset_commit;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::message::Message;
use crate::reader::{DecodeError, DecodeErrorKind};
use crate::writer::EncodeError;

/// Writes `number`, and then the message as `version` has it.
///
/// # Errors
/// If the version cannot carry what the message holds.
pub fn encode_numbered<M: Message>(
    message: &M,
    number: i16,
    version: i16,
) -> Result<Bytes, EncodeError> {
    let frame = message.encode(version)?;
    let mut bytes = BytesMut::with_capacity(size_of::<i16>() + frame.len());
    bytes.put_i16(number);
    for chunk in frame.chunks() {
        bytes.put_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Writes `version`, and then the message as that version has it.
///
/// # Errors
/// If the version cannot carry what the message holds.
pub fn encode_versioned<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    encode_numbered(message, version, version)
}

/// Reads a version, and then a message of it. Returns both. Bytes behind the message are not an error, and a version above the
/// newest is read as the newest: that is how these protocols grow (`ConsumerProtocol.deserializeVersion`).
///
/// # Errors
/// If the bytes do not hold such a message.
pub fn decode_lenient<M: Message>(mut bytes: Bytes) -> Result<(M, i16), DecodeError> {
    let version = take_number::<M>(&mut bytes)?;
    let known = version.min(M::VERSIONS.max);
    let (message, _) = M::decode_prefix(bytes, known)?;
    Ok((message, version))
}

/// Reads a version, and then a message of exactly that version, which ends the bytes.
///
/// # Errors
/// If the bytes do not hold such a message.
pub fn decode_versioned<M: Message>(mut bytes: Bytes) -> Result<(M, i16), DecodeError> {
    let version = take_number::<M>(&mut bytes)?;
    Ok((M::decode(bytes, version)?, version))
}

fn take_number<M: Message>(bytes: &mut Bytes) -> Result<i16, DecodeError> {
    bytes.try_get_i16().map_err(|_| DecodeError {
        message: M::NAME,
        field: "",
        offset: 0,
        kind: DecodeErrorKind::OutOfBytes,
    })
}
