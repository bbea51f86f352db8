//! OffsetCommit (key 8): KIP-848.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Commits a group's offsets.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest {
    /// The group's id.
    pub group_id: Str,
    /// The group's generation, or in the consumer protocol the member's epoch; −1 outside any group.
    #[field(default = -1)]
    pub generation_id_or_member_epoch: i32,
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "7+", default = null)]
    pub group_instance_id: Option<Str>,
    /// How long to keep the offsets, in milliseconds; −1 for the broker's default.
    #[field(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// The topics.
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// An element of [`OffsetCommitRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestTopic {
    /// The topic's name.
    #[field(versions = "2-9", ignorable)]
    pub name: Str,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// An element of [`OffsetCommitRequestTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetCommitRequestPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The committed offset: the next to consume.
    pub committed_offset: i64,
    /// The leader epoch of the last record consumed; −1 if it is unknown.
    #[field(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client wants to keep beside the offset.
    pub committed_metadata: Option<Str>,
}

/// Answers [`OffsetCommitRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// An element of [`OffsetCommitResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetCommitResponseTopic {
    /// The topic's name.
    #[field(versions = "2-9", ignorable)]
    pub name: Str,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// An element of [`OffsetCommitResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetCommitResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
}
