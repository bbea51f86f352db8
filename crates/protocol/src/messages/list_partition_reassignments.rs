//! ListPartitionReassignments (key 46).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Lists the moves of partitions that are under way.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsRequest {
    /// How long the broker may take, in milliseconds.
    #[field(default = 60000)]
    pub timeout_ms: i32,
    /// The topics to look up; null for all.
    #[field(default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
}

/// An element of [`ListPartitionReassignmentsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ListPartitionReassignmentsTopics {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

/// Answers [`ListPartitionReassignmentsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The topics.
    pub topics: Vec<OngoingTopicReassignment>,
}

/// An element of [`ListPartitionReassignmentsResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OngoingTopicReassignment {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<OngoingPartitionReassignment>,
}

/// An element of [`OngoingTopicReassignment::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct OngoingPartitionReassignment {
    /// The partition's index.
    pub partition_index: i32,
    /// The partition's replicas.
    pub replicas: Vec<i32>,
    /// The replicas that are being added.
    pub adding_replicas: Vec<i32>,
    /// The replicas that are being removed.
    pub removing_replicas: Vec<i32>,
}
