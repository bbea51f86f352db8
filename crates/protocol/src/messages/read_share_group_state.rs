//! ReadShareGroupState (key 84).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Reads the state of share partitions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ReadShareGroupStateRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<ReadStateData>,
}

/// An element of [`ReadShareGroupStateRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReadStateData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`ReadStateData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// Answers [`ReadShareGroupStateRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ReadShareGroupStateResponse {
    /// The outcomes.
    pub results: Vec<ReadStateResult>,
}

/// An element of [`ReadShareGroupStateResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReadStateResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionResult>,
}

/// An element of [`ReadStateResult::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionResult {
    /// The partition's index.
    pub partition: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The epoch of the share partition's state.
    pub state_epoch: i32,
    /// The share partition's first offset; −1 if it is not set yet.
    pub start_offset: i64,
    /// The state of the records.
    pub state_batches: Vec<StateBatch>,
}

/// An element of [`PartitionResult::state_batches`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct StateBatch {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset, included.
    pub last_offset: i64,
    /// 0 available, 2 acknowledged, 4 archived.
    pub delivery_state: i8,
    /// How often the records were delivered.
    pub delivery_count: i16,
}
