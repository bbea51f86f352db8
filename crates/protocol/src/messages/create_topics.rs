//! CreateTopics (key 19): KIP-464, KIP-525, KIP-599.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Creates topics.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest {
    /// The topics to create.
    pub topics: Vec<CreatableTopic>,
    /// How long the broker may take, in milliseconds.
    #[field(default = 60000)]
    pub timeout_ms: i32,
    /// Whether only to check that the request is valid, and change nothing.
    pub validate_only: bool,
}

/// An element of [`CreateTopicsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatableTopic {
    /// The topic's name.
    pub name: Str,
    /// The number of partitions; −1 for the broker's default or if they are assigned by hand.
    pub num_partitions: i32,
    /// The number of replicas of each partition; −1 for the broker's default or if they are assigned by hand.
    pub replication_factor: i16,
    /// Which brokers hold which partition; empty to leave that to the controller.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// The settings.
    pub configs: Vec<CreatableTopicConfig>,
}

/// An element of [`CreatableTopic::assignments`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatableReplicaAssignment {
    /// The partition's index.
    pub partition_index: i32,
    /// The brokers that hold the partition, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// An element of [`CreatableTopic::configs`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatableTopicConfig {
    /// The setting.
    pub name: Str,
    /// The value.
    pub value: Option<Str>,
}

/// Answers [`CreateTopicsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<CreatableTopicResult>,
}

/// An element of [`CreateTopicsResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatableTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The topic's id.
    #[field(versions = "7+", ignorable)]
    pub topic_id: TopicId,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// Why the settings are not told, or 0.
    #[field(versions = "5+", tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    /// The number of partitions; −1 if the client may not know.
    #[field(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    /// The number of replicas; −1 if the client may not know.
    #[field(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    /// The topic's settings; null if the client may not know.
    #[field(versions = "5+", ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// An element of [`CreatableTopicResult::configs`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatableTopicConfigs {
    /// The setting.
    pub name: Str,
    /// The value.
    pub value: Option<Str>,
    /// Whether the value cannot be changed.
    pub read_only: bool,
    /// Where the value comes from: 1 the topic, 2 the broker, 3 all brokers, 4 the broker's file, 5 the default.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is secret, and so left out.
    pub is_sensitive: bool,
}
