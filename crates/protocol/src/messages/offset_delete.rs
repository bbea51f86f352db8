//! OffsetDelete (key 47).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes a group's committed offsets.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "none")]
pub struct OffsetDeleteRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// An element of [`OffsetDeleteRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetDeleteRequestTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// An element of [`OffsetDeleteRequestTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetDeleteRequestPartition {
    /// The partition's index.
    pub partition_index: i32,
}

/// Answers [`OffsetDeleteRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "none")]
pub struct OffsetDeleteResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// An element of [`OffsetDeleteResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetDeleteResponseTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// An element of [`OffsetDeleteResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OffsetDeleteResponsePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
}
