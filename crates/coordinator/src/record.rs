//! What a coordinator stores: records of `__consumer_offsets`, as Kafka has them (`GroupMetadata*`, `OffsetCommit*`,
//! `ConsumerGroup*` in its schemas). The broker knows their bytes.
//!
//! A record without a value is a tombstone: what the key names is gone.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiber_model::{LeaderEpoch, Offset, TimestampMs, TopicId};

/// The most bytes that a client may have stored in one record: so much fits into a batch, whatever else the record has. A
/// member that speaks the classic protocol in a group of the consumer protocol has its subscription in its record twice.
pub(crate) const RECORD_BYTES_MAX: usize = wiber_model::limit::MAX_BATCH_BYTES / 4;

/// What an element of a list takes in a record besides its own bytes, at most: lengths and tags.
pub(crate) const ELEMENT_BYTES: usize = 16;

/// The longest string that a record may have, in bytes.
pub(crate) const STRING_BYTES_MAX: usize = 0x7fff;

/// Partitions by topic, in order.
pub type TopicPartitions = BTreeMap<TopicId, Vec<i32>>;

/// Partitions by topic and, for each, the epoch in which it was assigned to its member (KIP-1251): who commits with an older epoch
/// than that is a zombie.
pub type AssignedPartitions = BTreeMap<TopicId, BTreeMap<i32, i32>>;

/// One record: its key, and its value if it is no tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the fields are the schemas' keys; the values have types of their own"
)]
pub enum Record {
    /// `OffsetCommit` (key 1): where a group goes on in a partition.
    Offset {
        group: String,
        topic: String,
        partition: i32,
        value: Option<OffsetRecord>,
    },
    /// `GroupMetadata` (key 2): a classic group after a rebalance.
    ClassicGroup {
        group: String,
        value: Option<ClassicGroupRecord>,
    },
    /// `ConsumerGroupMetadata` (key 3): the group's epoch, and the hash of the topics' metadata that it goes with.
    ConsumerGroup {
        group: String,
        value: Option<(i32, i64)>,
    },
    /// `ConsumerGroupPartitionMetadata` (key 4): written by Kafka up to 4.0 only, and its value is not looked at; Wiber writes its
    /// tombstones, as Kafka does.
    ConsumerPartitionMetadata { group: String, value: Option<()> },
    /// `ConsumerGroupMemberMetadata` (key 5).
    ConsumerMember {
        group: String,
        member: String,
        value: Option<ConsumerMemberRecord>,
    },
    /// `ConsumerGroupTargetAssignmentMetadata` (key 6): the epoch of the target assignment, and when it was made.
    ConsumerTargetEpoch {
        group: String,
        value: Option<(i32, TimestampMs)>,
    },
    /// `ConsumerGroupTargetAssignmentMember` (key 7).
    ConsumerTarget {
        group: String,
        member: String,
        value: Option<TopicPartitions>,
    },
    /// `ConsumerGroupCurrentMemberAssignment` (key 8).
    ConsumerCurrent {
        group: String,
        member: String,
        value: Option<CurrentAssignmentRecord>,
    },
    /// `ConsumerGroupRegularExpression` (key 16).
    ConsumerRegex {
        group: String,
        regex: String,
        value: Option<RegexRecord>,
    },
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRecord {
    /// The offset to go on from.
    pub offset: Offset,
    /// The leader epoch of the record before it.
    pub leader_epoch: LeaderEpoch,
    /// What the client wrote with it.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it expires, if the client said so (OffsetCommit up to version 4).
    pub expires_at: Option<TimestampMs>,
    /// The topic's id, if known.
    pub topic_id: TopicId,
}

/// A classic group as of its last rebalance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroupRecord {
    /// `consumer`, `connect`, …; empty for a group that has none.
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The chosen protocol.
    pub protocol: Option<String>,
    /// The leader's member id. A group that has members and no leader is to rebalance.
    pub leader: Option<String>,
    /// Since when it is in its state.
    pub state_since: TimestampMs,
    /// The members.
    pub members: Vec<ClassicMemberRecord>,
}

/// A member of a [`ClassicGroupRecord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberRecord {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its client's id.
    pub client_id: String,
    /// Its client's address, as `/host`.
    pub client_host: String,
    /// How long it may take to rejoin.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Its metadata for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

/// A member of a group of the consumer protocol: what it told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerMemberRecord {
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// Its client's id.
    pub client_id: String,
    /// Its client's address, as `/host`.
    pub client_host: String,
    /// The names that it subscribed to.
    pub topics: Vec<String>,
    /// The regular expression that it subscribed to; empty or absent: none.
    pub regex: Option<String>,
    /// How long it may take to give partitions up.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it asks for.
    pub assignor: Option<String>,
    /// For a member that speaks the classic protocol: its session timeout and its protocols.
    pub classic: Option<ClassicProtocols>,
}

/// What a member that speaks the classic protocol told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicProtocols {
    /// How long it may be silent.
    pub session_timeout_ms: i32,
    /// Names and metadata, the best first.
    pub protocols: Vec<(String, Bytes)>,
}

/// Where a member of a group of the consumer protocol stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrentAssignmentRecord {
    /// The member's epoch.
    pub epoch: i32,
    /// The epoch before.
    pub previous_epoch: i32,
    /// Kafka's `MemberState`: 0 stable, 1 unrevoked partitions, 2 unreleased partitions, 127 unknown.
    pub state: i8,
    /// What it has. Where the bytes have no `AssignmentEpochs` of the right length, they are the member's epoch, or 0 if that is negative.
    pub assigned: AssignedPartitions,
    /// What it must give up.
    pub revoking: AssignedPartitions,
}

/// What a regular expression came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegexRecord {
    /// The topics' names.
    pub topics: Vec<String>,
    /// The version of the metadata that it was resolved against.
    pub version: i64,
    /// When.
    pub at: TimestampMs,
}
