//! What consumers of a classic group tell their leader, and what it assigns to them (`ConsumerProtocolSubscription`,
//! `ConsumerProtocolAssignment`; KIP-429, KIP-792, KIP-881).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// What a member tells.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolSubscription {
    /// The topics that it wants.
    pub topics: Vec<Str>,
    /// Anything for the assignor.
    #[field(default = null)]
    pub user_data: Option<Bytes>,
    /// What it has.
    #[field(versions = "1+", ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it had that.
    #[field(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    /// Where it stands.
    #[field(versions = "3+", default = null, ignorable)]
    pub rack_id: Option<Str>,
}

/// What a member is assigned.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "none")]
pub struct ConsumerProtocolAssignment {
    /// The partitions.
    pub assigned_partitions: Vec<TopicPartition>,
    /// Anything of the assignor.
    #[field(default = null)]
    pub user_data: Option<Bytes>,
}

/// Partitions of a topic.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Str,
    /// Its partitions.
    pub partitions: Vec<i32>,
}
