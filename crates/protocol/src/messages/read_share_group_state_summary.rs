//! ReadShareGroupStateSummary (key 87): KIP-932, KIP-1226.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Reads where share partitions begin, without their records' state.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ReadShareGroupStateSummaryRequest {
    /// The group's id.
    pub group_id: Str,
    /// The topics.
    pub topics: Vec<ReadStateSummaryData>,
}

/// An element of [`ReadShareGroupStateSummaryRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReadStateSummaryData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`ReadStateSummaryData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// Answers [`ReadShareGroupStateSummaryRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ReadShareGroupStateSummaryResponse {
    /// The outcomes.
    pub results: Vec<ReadStateSummaryResult>,
}

/// An element of [`ReadShareGroupStateSummaryResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReadStateSummaryResult {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionResult>,
}

/// An element of [`ReadStateSummaryResult::partitions`].
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
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// The share partition's first offset.
    pub start_offset: i64,
    /// How many offsets from the first on are done with (KIP-1226).
    #[field(versions = "1+", default = -1, ignorable)]
    pub delivery_complete_count: i32,
}
