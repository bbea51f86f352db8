//! What consumers tell each other through a classic group's members, in Kafka's own form: the subscription of a member and the assignment
//! that the leader makes for it. To the broker they are bytes.
//!
//! Both begin with their version. A version that is not known is read as the newest that is: later ones only add to the end.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiber_protocol_derive::Message;

use crate::message::Message;
use crate::reader::{DecodeError, DecodeErrorKind};
use crate::str::Str;
use crate::writer::EncodeError;

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: Str = Str::from_static("consumer");
/// The bytes of the version before a message.
const VERSION_BYTES: usize = 2;

/// What a member wants, and has.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolSubscription {
    /// The topics that the member wants.
    pub topics: Vec<Str>,
    /// What its assignor wants to tell.
    #[field(default = null)]
    pub user_data: Option<Bytes>,
    /// What it has (KIP-429).
    #[field(versions = "1+", ignorable)]
    pub owned_partitions: Vec<TopicPartitions>,
    /// The generation in which it got that (KIP-792); −1 if it is unknown.
    #[field(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    /// Its rack (KIP-881).
    #[field(versions = "3+", default = null, ignorable)]
    pub rack_id: Option<Str>,
}

/// What a member shall read.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolAssignment {
    /// The partitions.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// What the assignor wants to tell.
    #[field(default = null)]
    pub user_data: Option<Bytes>,
}

/// Partitions of a topic.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// The message behind its version.
///
/// # Errors
/// If the bytes are too few or spell no such message.
pub fn decode<M: Message>(mut bytes: Bytes) -> Result<M, DecodeError> {
    if bytes.len() < VERSION_BYTES {
        return Err(DecodeError {
            message: M::NAME,
            field: "version",
            offset: 0,
            kind: DecodeErrorKind::OutOfBytes,
        });
    }
    let version = bytes.get_i16();
    let (message, _) = M::decode_prefix(bytes, version.min(M::VERSIONS.max))?;
    Ok(message)
}

/// The message and, before it, its version.
///
/// # Errors
/// If a field has a value that the version cannot carry.
pub fn encode<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    let body = message.encode(version)?.to_bytes();
    let mut bytes = BytesMut::with_capacity(VERSION_BYTES + body.len());
    bytes.put_i16(version);
    bytes.put(body);
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> ConsumerProtocolAssignment {
        ConsumerProtocolAssignment {
            assigned_partitions: vec![TopicPartitions {
                topic: Str::from_static("chat"),
                partitions: vec![0, 2],
            }],
            user_data: None,
        }
    }

    #[test]
    fn an_assignment_has_kafkas_bytes() {
        let bytes = encode(&assignment(), 3).unwrap();
        let golden = b"\0\x03\0\0\0\x01\0\x04chat\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff";
        assert_eq!(bytes[..], golden[..]);
        assert_eq!(decode(bytes), Ok(assignment()));
    }

    #[test]
    fn a_subscription_tells_what_its_version_can() {
        let told = ConsumerProtocolSubscription {
            topics: vec![Str::from_static("chat")],
            owned_partitions: assignment().assigned_partitions,
            generation_id: 7,
            ..Default::default()
        };
        let sent = |version| decode(encode(&told, version).unwrap());
        assert_eq!(sent(3), Ok(told.clone()));
        let oldest: ConsumerProtocolSubscription = sent(0).unwrap();
        assert_eq!(oldest.topics, told.topics);
        assert_eq!(
            (oldest.owned_partitions.len(), oldest.generation_id),
            (0, -1)
        );
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let mut later = BytesMut::from(&encode(&assignment(), 3).unwrap()[..]);
        later[1] = 9;
        later.put(&b"more"[..]);
        assert_eq!(decode(later.freeze()), Ok(assignment()));
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = encode(&assignment(), 3).unwrap();
        for end in 0..whole.len() {
            let cut = decode::<ConsumerProtocolAssignment>(whole.slice(..end));
            assert!(cut.is_err(), "{end}");
        }
    }
}
