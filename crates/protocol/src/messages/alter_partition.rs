//! AlterPartition (key 56): KIP-704, KIP-841, KIP-903.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

/// Changes a partition's in-sync replicas; from its leader to the controller.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-3", flexible = "0+")]
pub struct AlterPartitionRequest {
    /// The broker's node id.
    pub broker_id: i32,
    /// The broker's epoch; −1 for none.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// The topics.
    pub topics: Vec<RequestTopicData>,
}

/// An element of [`AlterPartitionRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestTopicData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<RequestPartitionData>,
}

/// An element of [`RequestTopicData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestPartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// The in-sync replicas.
    #[field(versions = "2")]
    pub new_isr: Vec<i32>,
    /// The in-sync replicas, with their broker epochs (KIP-903).
    #[field(versions = "3+")]
    pub new_isr_with_epochs: Vec<BrokerState>,
    /// 1 while the leader recovers from an unclean election, else 0 (KIP-704).
    pub leader_recovery_state: i8,
    /// The partition epoch that the change is based on.
    pub partition_epoch: i32,
}

/// An element of [`RequestPartitionData::new_isr_with_epochs`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct BrokerState {
    /// The broker's node id.
    pub broker_id: i32,
    /// The broker's epoch; −1 for none.
    #[field(default = -1)]
    pub broker_epoch: i64,
}

/// Answers [`AlterPartitionRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-3", flexible = "0+")]
pub struct AlterPartitionResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The topics.
    pub topics: Vec<ResponseTopicData>,
}

/// An element of [`AlterPartitionResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseTopicData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<ResponsePartitionData>,
}

/// An element of [`ResponseTopicData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponsePartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// The in-sync replicas.
    pub isr: Vec<i32>,
    /// 1 while the leader recovers from an unclean election, else 0 (KIP-704).
    pub leader_recovery_state: i8,
    /// The partition epoch.
    pub partition_epoch: i32,
}
