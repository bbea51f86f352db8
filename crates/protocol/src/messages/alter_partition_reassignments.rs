//! AlterPartitionReassignments (key 45).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Moves partitions to other brokers, or cancels such moves.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsRequest {
    /// How long the broker may take, in milliseconds.
    #[field(default = 60000)]
    pub timeout_ms: i32,
    /// Whether the number of replicas may change (KIP-860).
    #[field(versions = "1+", default = true)]
    pub allow_replication_factor_change: bool,
    /// The topics.
    pub topics: Vec<ReassignableTopic>,
}

/// An element of [`AlterPartitionReassignmentsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReassignableTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ReassignablePartition>,
}

/// An element of [`ReassignableTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReassignablePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// The replicas to move to; null to cancel what is under way.
    #[field(default = null)]
    pub replicas: Option<Vec<i32>>,
}

/// Answers [`AlterPartitionReassignmentsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// Whether the number of replicas may change (KIP-860).
    #[field(versions = "1+", default = true, ignorable)]
    pub allow_replication_factor_change: bool,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The outcome for each topic.
    pub responses: Vec<ReassignableTopicResponse>,
}

/// An element of [`AlterPartitionReassignmentsResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReassignableTopicResponse {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ReassignablePartitionResponse>,
}

/// An element of [`ReassignableTopicResponse::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReassignablePartitionResponse {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
