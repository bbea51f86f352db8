//! ListOffsets (key 2): KIP-405, KIP-734, KIP-1005, KIP-1023, KIP-1075.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Finds offsets by timestamp, and the ends of a log.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    /// The follower that asks; −1 for a consumer.
    pub replica_id: i32,
    /// 0 to read everything up to the high watermark, 1 to read only what is committed.
    #[field(versions = "2+")]
    pub isolation_level: i8,
    /// The topics.
    pub topics: Vec<ListOffsetsTopic>,
    /// How long the broker may take, in milliseconds.
    #[field(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

/// An element of [`ListOffsetsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ListOffsetsTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// An element of [`ListOffsetsTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ListOffsetsPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The epoch that the client believes in, to be told if it is not the leader's; −1 to skip the check.
    #[field(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The time to look up, in milliseconds since 1970. Special: −1 the latest offset, −2 the earliest, −3 that of the
    /// largest timestamp, −4 the earliest on local disk, −5 the latest in remote storage, −6 the earliest not yet
    /// there.
    pub timestamp: i64,
}

/// Answers [`ListOffsetsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// An element of [`ListOffsetsResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ListOffsetsTopicResponse {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// An element of [`ListOffsetsTopicResponse::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ListOffsetsPartitionResponse {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The timestamp of the record found, in milliseconds since 1970; −1 if there is none.
    #[field(default = -1)]
    pub timestamp: i64,
    /// The offset found; −1 if there is none.
    #[field(default = -1)]
    pub offset: i64,
    /// The epoch of the record found; −1 if it is unknown.
    #[field(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}
