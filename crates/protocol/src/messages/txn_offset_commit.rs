//! TxnOffsetCommit (key 28): KIP-890.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Commits a group's offsets within a transaction.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitRequest {
    /// The producer's transactional id.
    pub transactional_id: Str,
    /// The group's id.
    pub group_id: Str,
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The producer's epoch; −1 for none.
    pub producer_epoch: i16,
    /// The group's generation; −1 if the producer does not know it.
    #[field(versions = "3+", default = -1)]
    pub generation_id: i32,
    /// The member's id; empty if the producer does not know it.
    #[field(versions = "3+")]
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "3+", default = null)]
    pub group_instance_id: Option<Str>,
    /// The topics.
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

/// An element of [`TxnOffsetCommitRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequestTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

/// An element of [`TxnOffsetCommitRequestTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitRequestPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The committed offset: the next to consume.
    pub committed_offset: i64,
    /// The leader epoch of the last record consumed; −1 if it is unknown.
    #[field(versions = "2+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// What the client wants to keep beside the offset.
    pub committed_metadata: Option<Str>,
}

/// Answers [`TxnOffsetCommitRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

/// An element of [`TxnOffsetCommitResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitResponseTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

/// An element of [`TxnOffsetCommitResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TxnOffsetCommitResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
}
