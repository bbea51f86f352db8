//! ConsumerGroupHeartbeat (key 68): KIP-848, KIP-1082.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Joins, keeps alive and leaves a consumer group (KIP-848).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group's id.
    pub group_id: Str,
    /// The member's id.
    pub member_id: Str,
    /// The member's epoch; 0 to join, −1 to leave, −2 for a static member to leave for a while.
    pub member_epoch: i32,
    /// The id of a static member; null for others or for no change.
    #[field(default = null)]
    pub instance_id: Option<Str>,
    /// The member's rack; null for none or for no change.
    #[field(default = null)]
    pub rack_id: Option<Str>,
    /// How long the member may take to give up partitions, in milliseconds; −1 for no change.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The topics that the member wants; null for no change.
    #[field(default = null)]
    pub subscribed_topic_names: Option<Vec<Str>>,
    /// A regular expression for the topics that the member wants; null for no change.
    #[field(versions = "1+", default = null)]
    pub subscribed_topic_regex: Option<Str>,
    /// The assignor that the member prefers; null for none or for no change.
    #[field(default = null)]
    pub server_assignor: Option<Str>,
    /// The partitions that the member has; null for no change.
    #[field(default = null)]
    pub topic_partitions: Option<Vec<RequestTopicPartitions>>,
}

/// An element of [`ConsumerGroupHeartbeatRequest::topic_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestTopicPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`ConsumerGroupHeartbeatRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// The member's id.
    #[field(default = null)]
    pub member_id: Option<Str>,
    /// The member's epoch.
    pub member_epoch: i32,
    /// How often to send heartbeats, in milliseconds.
    pub heartbeat_interval_ms: i32,
    /// The assignment; null for no change.
    #[field(default = null)]
    pub assignment: Option<Assignment>,
}

/// The value of [`ConsumerGroupHeartbeatResponse::assignment`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions assigned.
    pub topic_partitions: Vec<ResponseTopicPartitions>,
}

/// An element of [`Assignment::topic_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseTopicPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}
