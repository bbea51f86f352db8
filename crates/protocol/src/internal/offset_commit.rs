//! `OffsetCommitKey` and `OffsetCommitValue`: where a group goes on in a partition.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// The number that begins the key.
pub const KEY: i16 = 1;
/// What Kafka wrote before 0.9 in its place; the rest is the same.
pub const LEGACY_KEY: i16 = 0;
/// The version in which values are written that no client limited in time.
pub const VALUE_VERSION: i16 = 3;
/// The version in which values are written that carry the topic's id.
pub const TOPIC_ID_VERSION: i16 = 4;
/// The only version that carries the time when the value expires.
pub const EXPIRING_VERSION: i16 = 1;

/// The key.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "none")]
pub struct OffsetCommitKey {
    /// The group.
    pub group: Str,
    /// The topic.
    pub topic: Str,
    /// The partition.
    pub partition: i32,
}

/// The value.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "4+")]
pub struct OffsetCommitValue {
    /// The offset.
    pub offset: i64,
    /// The leader epoch of the record before it.
    #[field(versions = "3+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// What the client wrote with it.
    pub metadata: Str,
    /// When it was committed, in milliseconds since the epoch.
    pub commit_timestamp: i64,
    /// When it expires, in milliseconds since the epoch.
    #[field(versions = "1", default = -1, ignorable)]
    pub expire_timestamp: i64,
    /// The topic's id.
    #[field(versions = "4+", tag = 0, ignorable)]
    pub topic_id: TopicId,
}
