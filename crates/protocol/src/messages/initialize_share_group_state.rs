//! InitializeShareGroupState (key 83).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Begins to keep the state of share partitions; from the group coordinator.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct InitializeShareGroupStateRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<InitializeStateData>,
}

/// An element of [`InitializeShareGroupStateRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct InitializeStateData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`InitializeStateData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition: i32,
    /// The epoch of the share partition's state.
    pub state_epoch: i32,
    /// The share partition's first offset; −1 to leave it unset.
    pub start_offset: i64,
}

/// Answers [`InitializeShareGroupStateRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct InitializeShareGroupStateResponse {
    /// The outcomes.
    pub results: Vec<InitializeStateResult>,
}

/// An element of [`InitializeShareGroupStateResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct InitializeStateResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionResult>,
}

/// An element of [`InitializeStateResult::partitions`].
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
