//! WriteShareGroupState (key 85): KIP-932, KIP-1226.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Writes the state of share partitions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct WriteShareGroupStateRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<WriteStateData>,
}

/// An element of [`WriteShareGroupStateRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WriteStateData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`WriteStateData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition: i32,
    /// The epoch of the share partition's state.
    pub state_epoch: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// The share partition's first offset; −1 to leave it as it is.
    pub start_offset: i64,
    /// How many offsets from the first on are done with (KIP-1226).
    #[field(versions = "1+", default = -1, ignorable)]
    pub delivery_complete_count: i32,
    /// The state of the records.
    pub state_batches: Vec<StateBatch>,
}

/// An element of [`PartitionData::state_batches`].
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

/// Answers [`WriteShareGroupStateRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct WriteShareGroupStateResponse {
    /// The outcomes.
    pub results: Vec<WriteStateResult>,
}

/// An element of [`WriteShareGroupStateResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct WriteStateResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionResult>,
}

/// An element of [`WriteStateResult::partitions`].
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
