//! DescribeLogDirs (key 35).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes a broker's log directories, with their partitions and sizes.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    /// The topics to look up; null for all.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// An element of [`DescribeLogDirsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribableLogDirTopic {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`DescribeLogDirsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    #[field(versions = "3+", ignorable)]
    pub error_code: i16,
    /// The log directories.
    pub results: Vec<DescribeLogDirsResult>,
}

/// An element of [`DescribeLogDirsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeLogDirsResult {
    /// The error, or 0.
    pub error_code: i16,
    /// The log directory's absolute path.
    pub log_dir: Str,
    /// The topics.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// The size of the volume, in bytes; −1 if it is unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    /// What is free on the volume, in bytes; −1 if it is unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
    /// Whether no new replicas are put here.
    #[field(versions = "5+", ignorable)]
    pub is_cordoned: bool,
}

/// An element of [`DescribeLogDirsResult::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeLogDirsTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// An element of [`DescribeLogDirsTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeLogDirsPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The size of the partition's segments, in bytes.
    pub partition_size: i64,
    /// How far the log ends behind the high watermark or, for a future replica, behind the current one.
    pub offset_lag: i64,
    /// Whether it is being built to replace the current replica.
    pub is_future_key: bool,
}
