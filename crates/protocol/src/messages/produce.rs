//! Produce (key 0): KIP-110, KIP-467, KIP-516, KIP-890, KIP-951.

use bytes::Bytes;
use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Appends record batches to partitions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    /// The producer's transactional id; null if it is not transactional.
    #[field(default = null)]
    pub transactional_id: Option<Str>,
    /// When to answer: 0 for not at all, 1 once the leader has the records, −1 once all in-sync replicas have them.
    pub acks: i16,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
    /// The topics to append to.
    pub topic_data: Vec<TopicProduceData>,
}

/// An element of [`ProduceRequest::topic_data`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicProduceData {
    /// The topic's name.
    #[field(versions = "3-12", ignorable)]
    pub name: Str,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions to append to.
    pub partition_data: Vec<PartitionProduceData>,
}

/// An element of [`TopicProduceData::partition_data`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionProduceData {
    /// The partition's index.
    pub index: i32,
    /// Record batches, as a slice of the frame.
    #[field(default = null)]
    pub records: Option<Bytes>,
}

/// Answers [`ProduceRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    /// The outcome for each topic.
    pub responses: Vec<TopicProduceResponse>,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// Where to reach the leaders that the response names (KIP-951).
    #[field(versions = "10+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`ProduceResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicProduceResponse {
    /// The topic's name.
    #[field(versions = "3-12", ignorable)]
    pub name: Str,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The outcome for each partition.
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// An element of [`TopicProduceResponse::partition_responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionProduceResponse {
    /// The partition's index.
    pub index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The offset of the first record appended; −1 on error.
    pub base_offset: i64,
    /// When the broker appended, if the topic has LogAppendTime; else −1. In milliseconds since 1970.
    #[field(default = -1)]
    pub log_append_time_ms: i64,
    /// The partition's first offset; −1 if it is unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records that made the broker refuse the batch (KIP-467).
    #[field(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// What went wrong, in words.
    #[field(versions = "8+", default = null, ignorable)]
    pub error_message: Option<Str>,
    /// Who leads now, if the request came to the wrong broker (KIP-951).
    #[field(versions = "10+", tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

/// An element of [`PartitionProduceResponse::record_errors`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct BatchIndexAndErrorMessage {
    /// The record's position in the batch.
    pub batch_index: i32,
    /// What is wrong with it.
    #[field(default = null)]
    pub batch_index_error_message: Option<Str>,
}

/// The value of [`PartitionProduceResponse::current_leader`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader's node id; −1 if there is none.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// An element of [`ProduceResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack, if it has one.
    #[field(default = null)]
    pub rack: Option<Str>,
}
