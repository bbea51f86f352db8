//! DescribeShareGroupOffsets (key 90): KIP-932, KIP-1226.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes where share groups' partitions begin.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct DescribeShareGroupOffsetsRequest {
    /// The groups.
    pub groups: Vec<DescribeShareGroupOffsetsRequestGroup>,
}

/// An element of [`DescribeShareGroupOffsetsRequest::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeShareGroupOffsetsRequestGroup {
    /// The group's id.
    pub group_id: Str,
    /// The topics to look up; null for all.
    pub topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>>,
}

/// An element of [`DescribeShareGroupOffsetsRequestGroup::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeShareGroupOffsetsRequestTopic {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`DescribeShareGroupOffsetsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct DescribeShareGroupOffsetsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribeShareGroupOffsetsResponseGroup>,
}

/// An element of [`DescribeShareGroupOffsetsResponse::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeShareGroupOffsetsResponseGroup {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<DescribeShareGroupOffsetsResponseTopic>,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
}

/// An element of [`DescribeShareGroupOffsetsResponseGroup::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeShareGroupOffsetsResponseTopic {
    /// The topic's name.
    pub topic_name: Str,
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<DescribeShareGroupOffsetsResponsePartition>,
}

/// An element of [`DescribeShareGroupOffsetsResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeShareGroupOffsetsResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The share partition's first offset.
    pub start_offset: i64,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// How many records are left to deliver; −1 if it is unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub lag: i64,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
}
