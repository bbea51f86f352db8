//! DescribeProducers (key 61).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes the producers that have state in partitions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeProducersRequest {
    /// The topics.
    pub topics: Vec<TopicRequest>,
}

/// An element of [`DescribeProducersRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// Answers [`DescribeProducersRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<TopicResponse>,
}

/// An element of [`DescribeProducersResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicResponse {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
}

/// An element of [`TopicResponse::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionResponse {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The producers that have state in the partition.
    pub active_producers: Vec<ProducerState>,
}

/// An element of [`PartitionResponse::active_producers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ProducerState {
    /// The producer's id; −1 for none.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i32,
    /// The last sequence number; −1 for none.
    #[field(default = -1)]
    pub last_sequence: i32,
    /// The last timestamp, in milliseconds since 1970; −1 for none.
    #[field(default = -1)]
    pub last_timestamp: i64,
    /// The transaction coordinator's epoch; −1 if it is unknown.
    pub coordinator_epoch: i32,
    /// Where the open transaction begins; −1 for none.
    #[field(default = -1)]
    pub current_txn_start_offset: i64,
}
