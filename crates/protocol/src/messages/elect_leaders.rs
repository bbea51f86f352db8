//! ElectLeaders (key 43): KIP-460.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Elects leaders for partitions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersRequest {
    /// 0 to elect the preferred replica, 1 to elect a live one even if it is not in sync (KIP-460).
    #[field(versions = "1+")]
    pub election_type: i8,
    /// The partitions that need a leader; null for all.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// How long the broker may take, in milliseconds.
    #[field(default = 60000)]
    pub timeout_ms: i32,
}

/// An element of [`ElectLeadersRequest::topic_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's name.
    pub topic: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`ElectLeadersRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    #[field(versions = "1+")]
    pub error_code: i16,
    /// The outcome for each topic.
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

/// An element of [`ElectLeadersResponse::replica_election_results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReplicaElectionResult {
    /// The topic's name.
    pub topic: Str,
    /// The outcome for each partition.
    pub partition_result: Vec<PartitionResult>,
}

/// An element of [`ReplicaElectionResult::partition_result`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionResult {
    /// The partition's index.
    pub partition_id: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
