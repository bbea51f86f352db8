//! OffsetForLeaderEpoch (key 23).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Tells where a leader epoch ends, so that a log or a position can be truncated to what is common.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    /// The follower that asks; −1 for a consumer.
    #[field(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    /// The topics.
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// An element of [`OffsetForLeaderEpochRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderTopic {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// An element of [`OffsetForLeaderTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderPartition {
    /// The partition's index.
    pub partition: i32,
    /// The epoch that the client believes in, to be told if it is not the leader's; −1 to skip the check.
    #[field(default = -1)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is asked for.
    pub leader_epoch: i32,
}

/// Answers [`OffsetForLeaderEpochRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// An element of [`OffsetForLeaderEpochResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetForLeaderTopicResult {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<EpochEndOffset>,
}

/// An element of [`OffsetForLeaderTopicResult::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// The error, or 0.
    pub error_code: i16,
    /// The partition's index.
    pub partition: i32,
    /// The leader's epoch; −1 if it is unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The offset after the epoch's last; −1 for none.
    #[field(default = -1)]
    pub end_offset: i64,
}
