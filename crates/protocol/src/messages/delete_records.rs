//! DeleteRecords (key 21).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes a partition's records below an offset.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest {
    /// The topics.
    pub topics: Vec<DeleteRecordsTopic>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
}

/// An element of [`DeleteRecordsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteRecordsTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// An element of [`DeleteRecordsTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteRecordsPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The first offset to keep; −1 for the high watermark.
    pub offset: i64,
}

/// Answers [`DeleteRecordsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// An element of [`DeleteRecordsResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteRecordsTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// An element of [`DeleteRecordsTopicResult::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteRecordsPartitionResult {
    /// The partition's index.
    pub partition_index: i32,
    /// The first offset that every replica still has; −1 on error.
    pub low_watermark: i64,
    /// The error, or 0.
    pub error_code: i16,
}
