//! DescribeTopicPartitions (key 75).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes topics page by page.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest {
    /// The topics.
    pub topics: Vec<TopicRequest>,
    /// The most partitions to describe.
    #[field(default = 2000)]
    pub response_partition_limit: i32,
    /// Where to begin; null for the start.
    #[field(default = null)]
    pub cursor: Option<RequestCursor>,
}

/// An element of [`DescribeTopicPartitionsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicRequest {
    /// The topic's name.
    pub name: Str,
}

/// The value of [`DescribeTopicPartitionsRequest::cursor`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestCursor {
    /// The first topic.
    pub topic_name: Str,
    /// The partition's index.
    pub partition_index: i32,
}

/// Answers [`DescribeTopicPartitionsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next request should begin; null if this was all.
    #[field(default = null)]
    pub next_cursor: Option<ResponseCursor>,
}

/// An element of [`DescribeTopicPartitionsResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// The error, or 0.
    pub error_code: i16,
    /// The topic's name.
    pub name: Option<Str>,
    /// The topic's id.
    pub topic_id: TopicId,
    /// Whether the topic is one of Kafka's own.
    pub is_internal: bool,
    /// The partitions.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// What the client may do with the topic, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// An element of [`DescribeTopicPartitionsResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// The error, or 0.
    pub error_code: i16,
    /// The partition's index.
    pub partition_index: i32,
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The nodes that hold the partition.
    pub replica_nodes: Vec<i32>,
    /// The nodes that are in sync with the leader.
    pub isr_nodes: Vec<i32>,
    /// The replicas that could lead without loss though they are not in sync (KIP-966).
    #[field(default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last eligible replicas known (KIP-966).
    #[field(default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    /// The replicas that are not available.
    pub offline_replicas: Vec<i32>,
}

/// The value of [`DescribeTopicPartitionsResponse::next_cursor`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseCursor {
    /// The first topic.
    pub topic_name: Str,
    /// The partition's index.
    pub partition_index: i32,
}
