//! AlterShareGroupOffsets (key 91).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Sets where share groups' partitions begin.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AlterShareGroupOffsetsRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<AlterShareGroupOffsetsRequestTopic>,
}

/// An element of [`AlterShareGroupOffsetsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterShareGroupOffsetsRequestTopic {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<AlterShareGroupOffsetsRequestPartition>,
}

/// An element of [`AlterShareGroupOffsetsRequestTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterShareGroupOffsetsRequestPartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The share partition's first offset.
    pub start_offset: i64,
}

/// Answers [`AlterShareGroupOffsetsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AlterShareGroupOffsetsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The outcome for each topic.
    pub responses: Vec<AlterShareGroupOffsetsResponseTopic>,
}

/// An element of [`AlterShareGroupOffsetsResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterShareGroupOffsetsResponseTopic {
    /// The topic's name.
    pub topic_name: Str,
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<AlterShareGroupOffsetsResponsePartition>,
}

/// An element of [`AlterShareGroupOffsetsResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterShareGroupOffsetsResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
}
