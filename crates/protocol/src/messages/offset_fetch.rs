//! OffsetFetch (key 9): KIP-848.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Reads groups' committed offsets.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    /// The group's id.
    #[field(versions = "1-7")]
    pub group_id: Str,
    /// The topics to look up; null for all.
    #[field(versions = "1-7", nullable = "2+")]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether to refuse, until it ends, an offset that a transaction is about to change (KIP-447).
    #[field(versions = "7+")]
    pub require_stable: bool,
}

/// An element of [`OffsetFetchRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// An element of [`OffsetFetchRequest::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestGroup {
    /// The group's id.
    pub group_id: Str,
    /// The member's id.
    #[field(versions = "9+", default = null, ignorable)]
    pub member_id: Option<Str>,
    /// The member's epoch in the consumer protocol (KIP-848); −1 for none.
    #[field(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    /// The topics to look up; null for all.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// An element of [`OffsetFetchRequestGroup::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchRequestTopics {
    /// The topic's name.
    #[field(versions = "8-9", ignorable)]
    pub name: Str,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// Answers [`OffsetFetchRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    #[field(versions = "1-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// The error, or 0.
    #[field(versions = "2-7", ignorable)]
    pub error_code: i16,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// An element of [`OffsetFetchResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// An element of [`OffsetFetchResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The committed offset: the next to consume. −1 if there is none.
    pub committed_offset: i64,
    /// The leader epoch of the last record consumed; −1 if it is unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client keeps beside the offset.
    pub metadata: Option<Str>,
    /// The error, or 0.
    pub error_code: i16,
}

/// An element of [`OffsetFetchResponse::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseGroup {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// The error, or 0.
    pub error_code: i16,
}

/// An element of [`OffsetFetchResponseGroup::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponseTopics {
    /// The topic's name.
    #[field(versions = "8-9", ignorable)]
    pub name: Str,
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// An element of [`OffsetFetchResponseTopics::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetFetchResponsePartitions {
    /// The partition's index.
    pub partition_index: i32,
    /// The committed offset: the next to consume. −1 if there is none.
    pub committed_offset: i64,
    /// The leader epoch of the last record consumed; −1 if it is unknown.
    #[field(default = -1)]
    pub committed_leader_epoch: i32,
    /// What the client keeps beside the offset.
    pub metadata: Option<Str>,
    /// The error, or 0.
    pub error_code: i16,
}
