//! Groups of the consumer protocol as `__consumer_offsets` holds them (KIP-848). A type's name is Kafka's; its record's key holds
//! the group, and the member or the regular expression where there is one.

use bytes::Bytes;
use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// The number that begins the key of a [`ConsumerGroupMetadataValue`].
pub const METADATA_KEY: i16 = 3;
/// The number that began the key of what topics looked like, in Kafka before 4.1.
pub const PARTITION_METADATA_KEY: i16 = 4;
/// The number that begins the key of a [`ConsumerGroupMemberMetadataValue`].
pub const MEMBER_METADATA_KEY: i16 = 5;
/// The number that begins the key of a [`ConsumerGroupTargetAssignmentMetadataValue`].
pub const TARGET_METADATA_KEY: i16 = 6;
/// The number that begins the key of a [`ConsumerGroupTargetAssignmentMemberValue`].
pub const TARGET_MEMBER_KEY: i16 = 7;
/// The number that begins the key of a [`ConsumerGroupCurrentMemberAssignmentValue`].
pub const CURRENT_ASSIGNMENT_KEY: i16 = 8;
/// The number that begins the key of a [`ConsumerGroupRegularExpressionValue`].
pub const REGULAR_EXPRESSION_KEY: i16 = 16;
/// The version in which values are written.
pub const VALUE_VERSION: i16 = 0;

/// The key of what there is once for a group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "none")]
pub struct ConsumerGroupKey {
    /// The group.
    pub group_id: Str,
}

/// The key of what there is for each member, or for each regular expression.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "none")]
pub struct ConsumerGroupElementKey {
    /// The group.
    pub group_id: Str,
    /// The member's id, or the regular expression.
    pub element: Str,
}

/// The group's epoch.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMetadataValue {
    /// The epoch.
    pub epoch: i32,
    /// The hash of what the topics looked like.
    #[field(tag = 0, versions = "0+", default = 0)]
    pub metadata_hash: i64,
}

/// What a member told.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMemberMetadataValue {
    /// Its `group.instance.id`.
    pub instance_id: Option<Str>,
    /// Its rack.
    pub rack_id: Option<Str>,
    /// Its client's id.
    pub client_id: Str,
    /// Its client's address.
    pub client_host: Str,
    /// The names that it subscribed to.
    pub subscribed_topic_names: Vec<Str>,
    /// The regular expression that it subscribed to.
    pub subscribed_topic_regex: Option<Str>,
    /// How long it may take to give partitions up, in milliseconds.
    #[field(default = -1)]
    pub rebalance_timeout_ms: i32,
    /// The assignor that it asks for.
    pub server_assignor: Option<Str>,
    /// What it told in the classic protocol, if it speaks that.
    #[field(tag = 0, versions = "0+", default = null)]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
}

/// What a member that speaks the classic protocol told.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ClassicMemberMetadata {
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// Its protocols, the best first.
    pub supported_protocols: Vec<ClassicProtocol>,
}

/// An element of [`ClassicMemberMetadata::supported_protocols`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ClassicProtocol {
    /// The protocol's name.
    pub name: Str,
    /// The member's metadata for it.
    pub metadata: Bytes,
}

/// The epoch of the target assignment.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    /// The epoch.
    pub assignment_epoch: i32,
    /// When it was made, in milliseconds since the epoch.
    #[field(tag = 0, versions = "0+", default = 0, ignorable)]
    pub assignment_timestamp: i64,
}

/// What a member is to have.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    /// The partitions.
    pub topic_partitions: Vec<TopicPartitions>,
}

/// What a member has.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    /// Its epoch.
    pub member_epoch: i32,
    /// The epoch before.
    pub previous_member_epoch: i32,
    /// Its state.
    pub state: i8,
    /// What it has.
    pub assigned_partitions: Vec<AssignedPartitions>,
    /// What it must give up.
    pub partitions_pending_revocation: Vec<AssignedPartitions>,
}

/// Partitions of a topic that a member has.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AssignedPartitions {
    /// The topic.
    pub topic_id: TopicId,
    /// Its partitions.
    pub partitions: Vec<i32>,
    /// In which epoch the member got each of them, in their order; null if that is not known.
    #[field(tag = 0, versions = "0+", default = null)]
    pub assignment_epochs: Option<Vec<i32>>,
}

/// What a regular expression came to.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupRegularExpressionValue {
    /// The topics.
    pub topics: Vec<Str>,
    /// The version of the metadata that it was resolved against.
    pub version: i64,
    /// When, in milliseconds since the epoch.
    pub timestamp: i64,
}

/// Partitions of a topic.
#[derive(Message, Clone, Debug, PartialEq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: TopicId,
    /// Its partitions.
    pub partitions: Vec<i32>,
}
