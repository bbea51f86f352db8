//! Metadata (key 3): KIP-700.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes the brokers, and the topics with their partitions and leaders.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-13", flexible = "9+")]
pub struct MetadataRequest {
    /// The topics to describe. All if null, and in version 0 also if empty.
    #[field(nullable = "1+")]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether a topic that does not exist may be created, if the broker is set to.
    #[field(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to say what the client may do with the cluster.
    #[field(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    /// Whether to say what the client may do with each topic.
    #[field(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// An element of [`MetadataRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MetadataRequestTopic {
    /// The topic's id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// The name; null if the id says which topic.
    #[field(nullable = "10+")]
    pub name: Option<Str>,
}

/// Answers [`MetadataRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers that are alive.
    pub brokers: Vec<MetadataResponseBroker>,
    /// The cluster's id.
    #[field(versions = "2+", default = null, ignorable)]
    pub cluster_id: Option<Str>,
    /// The broker to send administrative requests to; −1 if there is none.
    #[field(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic>,
    /// What the client may do with the cluster, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(versions = "8-10", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    /// The error, or 0.
    #[field(versions = "13+", ignorable)]
    pub error_code: i16,
}

/// An element of [`MetadataResponse::brokers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MetadataResponseBroker {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack, if it has one.
    #[field(versions = "1+", default = null, ignorable)]
    pub rack: Option<Str>,
}

/// An element of [`MetadataResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MetadataResponseTopic {
    /// The error, or 0.
    pub error_code: i16,
    /// The name; null if the topic was asked for by an id that does not exist.
    #[field(nullable = "12+")]
    pub name: Option<Str>,
    /// The topic's id; zero if the topic was asked for by a name that does not exist.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Whether the topic is one of Kafka's own.
    #[field(versions = "1+", ignorable)]
    pub is_internal: bool,
    /// The partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// What the client may do with the topic, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(versions = "8+", default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

/// An element of [`MetadataResponseTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MetadataResponsePartition {
    /// The error, or 0.
    pub error_code: i16,
    /// The partition's index.
    pub partition_index: i32,
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    #[field(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The nodes that hold the partition.
    pub replica_nodes: Vec<i32>,
    /// The nodes that are in sync with the leader.
    pub isr_nodes: Vec<i32>,
    /// The replicas that are not available.
    #[field(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}
