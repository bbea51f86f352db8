//! ShareGroupHeartbeat (key 76): KIP-932.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Joins, keeps alive and leaves a share group (KIP-932).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1", flexible = "0+")]
pub struct ShareGroupHeartbeatRequest {
    /// The group's id.
    pub group_id: Str,
    /// The member's id.
    pub member_id: Str,
    /// The member's epoch; 0 to join, −1 to leave.
    pub member_epoch: i32,
    /// The member's rack; null for none or for no change.
    #[field(default = null)]
    pub rack_id: Option<Str>,
    /// The topics that the member wants; null for no change.
    #[field(default = null)]
    pub subscribed_topic_names: Option<Vec<Str>>,
}

/// Answers [`ShareGroupHeartbeatRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1", flexible = "0+")]
pub struct ShareGroupHeartbeatResponse {
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

/// The value of [`ShareGroupHeartbeatResponse::assignment`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The partitions assigned.
    pub topic_partitions: Vec<TopicPartitions>,
}

/// An element of [`Assignment::topic_partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}
