//! DeleteShareGroupState (key 86).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes the state of share partitions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DeleteShareGroupStateRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<DeleteStateData>,
}

/// An element of [`DeleteShareGroupStateRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteStateData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`DeleteStateData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition: i32,
}

/// Answers [`DeleteShareGroupStateRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DeleteShareGroupStateResponse {
    /// The outcomes.
    pub results: Vec<DeleteStateResult>,
}

/// An element of [`DeleteShareGroupStateResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteStateResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionResult>,
}

/// An element of [`DeleteStateResult::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionResult {
    /// The partition's index.
    pub partition: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
}
