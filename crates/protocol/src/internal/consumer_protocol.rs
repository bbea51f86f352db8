//! What consumers of a classic group tell their leader, and what it assigns to them (`ConsumerProtocolSubscription`,
//! `ConsumerProtocolAssignment`; KIP-429, KIP-792, KIP-881).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: Str = Str::from_static("consumer");

/// What a member tells.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolSubscription {
    /// The topics that it wants.
    pub topics: Vec<Str>,
    /// Anything for the assignor.
    #[field(default = null)]
    pub user_data: Option<Bytes>,
    /// What it has.
    #[field(versions = "1+", ignorable)]
    pub owned_partitions: Vec<TopicPartitions>,
    /// The generation in which it had that.
    #[field(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    /// Where it stands.
    #[field(versions = "3+", default = null, ignorable)]
    pub rack_id: Option<Str>,
}

/// What a member is assigned.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolAssignment {
    /// The partitions.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// Anything of the assignor.
    #[field(default = null)]
    pub user_data: Option<Bytes>,
}

/// Partitions of a topic.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: Str,
    /// Its partitions.
    pub partitions: Vec<i32>,
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;
    use crate::Message;
    use crate::internal::{decode_lenient, encode_versioned};

    fn decode<M: Message>(bytes: Bytes) -> Result<M, crate::DecodeError> {
        decode_lenient(bytes).map(|(message, _)| message)
    }

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
        let bytes = encode_versioned(&assignment(), 3).unwrap();
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
        let sent = |version| decode(encode_versioned(&told, version).unwrap());
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
        let mut later = BytesMut::from(&encode_versioned(&assignment(), 3).unwrap()[..]);
        later[1] = 9;
        later.put(&b"more"[..]);
        assert_eq!(decode(later.freeze()), Ok(assignment()));
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = encode_versioned(&assignment(), 3).unwrap();
        for end in 0..whole.len() {
            let cut = decode::<ConsumerProtocolAssignment>(whole.slice(..end));
            assert!(cut.is_err(), "{end}");
        }
    }
}
