//! What is asked of a coordinator.

use bytes::Bytes;
use wiber_model::{LeaderEpoch, Offset, TopicId};

use crate::record::{ELEMENT_BYTES, TopicPartitions};

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's id; empty if it has none.
    pub client_id: String,
    /// The client's address, as Kafka writes it: `/127.0.0.1`.
    pub host: String,
}

/// A request about one group, or about all that the coordinator has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// JoinGroup.
    Join(JoinRequest),
    /// SyncGroup.
    Sync(SyncRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    Leave(LeaveRequest),
    /// OffsetCommit.
    CommitOffsets(CommitRequest),
    /// OffsetFetch, of one group.
    FetchOffsets(FetchOffsetsRequest),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsetsRequest),
    /// DeleteGroups, of one group.
    DeleteGroup {
        /// The group.
        group: String,
    },
    /// ListGroups: all that pass.
    ListGroups(ListGroupsRequest),
    /// DescribeGroups, of one group.
    DescribeClassic {
        /// The group.
        group: String,
        /// The request's version: from 6 on, a group that does not exist is an error.
        version: i16,
    },
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(ConsumerHeartbeatRequest),
    /// ConsumerGroupDescribe, of one group.
    DescribeConsumer {
        /// The group.
        group: String,
    },
}

impl Request {
    /// Whether the answer may need something to be stored.
    #[must_use]
    pub fn stores(&self) -> bool {
        !matches!(
            self,
            Request::Heartbeat(_)
                | Request::FetchOffsets(_)
                | Request::ListGroups(_)
                | Request::DescribeClassic { .. }
                | Request::DescribeConsumer { .. }
        )
    }
}

/// JoinGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinRequest {
    /// The group.
    pub group: String,
    /// The member's id; empty for a new one.
    pub member_id: String,
    /// The static member's `group.instance.id`.
    pub instance_id: Option<String>,
    /// How long the member may be silent.
    pub session_timeout_ms: i32,
    /// How long it may take to rejoin (the session timeout in version 0, as Kafka has it: the broker fills it in).
    pub rebalance_timeout_ms: i32,
    /// The class of protocols.
    pub protocol_type: String,
    /// Names and metadata, the best first.
    pub protocols: Vec<(String, Bytes)>,
    /// Why, for the log.
    pub reason: Option<String>,
    /// Whether a new dynamic member is first given its id (from version 4 on, KIP-394).
    pub needs_known_member_id: bool,
    /// Whether the answer can carry "skip the assignment" (from version 9 on, KIP-814).
    pub supports_skipping_assignment: bool,
    /// Who.
    pub caller: Caller,
}

impl JoinRequest {
    /// How much of it is stored.
    pub(crate) fn stored_bytes(&self) -> usize {
        told_bytes(&self.protocols)
    }

    /// What the id of a new member begins with.
    pub(crate) fn id_prefix(&self) -> &str {
        let instance = self.instance_id.as_ref();
        instance.unwrap_or(&self.caller.client_id)
    }
}

/// How much a member's protocols are, in bytes.
pub(crate) fn told_bytes(protocols: &[(String, Bytes)]) -> usize {
    let protocols = protocols.iter();
    protocols
        .map(|(name, data)| name.len() + data.len() + ELEMENT_BYTES)
        .sum()
}

/// SyncGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// The group.
    pub group: String,
    /// The generation.
    pub generation: i32,
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// The class of protocols, if the client says (from version 5 on).
    pub protocol_type: Option<String>,
    /// The chosen protocol, if the client says (from version 5 on).
    pub protocol: Option<String>,
    /// From the leader: member ids and assignments.
    pub assignments: Vec<(String, Bytes)>,
}

/// Heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// The group.
    pub group: String,
    /// The generation.
    pub generation: i32,
    /// The member.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
}

/// LeaveGroup, of one member or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveRequest {
    /// The group.
    pub group: String,
    /// Who leaves.
    pub members: Vec<LeavingMember>,
}

/// Who leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeavingMember {
    /// Its id; empty for a static member that an operator removes.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Why, for the log.
    pub reason: Option<String>,
}

/// OffsetCommit. Topics and partitions that do not exist were refused by the broker already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRequest {
    /// The group.
    pub group: String,
    /// The generation of a classic group or the member's epoch; −1 for a commit from outside the group.
    pub generation_or_epoch: i32,
    /// The member; empty for a commit from outside.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// How long the offsets are kept, if the client says so (versions 2 to 4).
    pub retention_ms: Option<i64>,
    /// The request's version: before 9, a member of the consumer protocol cannot be told what is wrong.
    pub version: i16,
    /// The offsets.
    pub offsets: Vec<CommitOffset>,
}

/// One offset to commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOffset {
    /// The topic.
    pub topic: String,
    /// Its id, if known.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: i32,
    /// The offset to go on from.
    pub offset: Offset,
    /// The leader epoch of the record before it.
    pub leader_epoch: LeaderEpoch,
    /// Anything the client wants to keep with it.
    pub metadata: String,
    /// When the commit was made, if the client says (version 1 only).
    pub timestamp: Option<i64>,
}

/// OffsetFetch, of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchOffsetsRequest {
    /// The group.
    pub group: String,
    /// The member, if the client says (from version 9 on).
    pub member_id: Option<String>,
    /// Its epoch; −1 if it does not say.
    pub member_epoch: i32,
    /// Topics and partitions; none: all.
    pub partitions: Option<Vec<(String, Vec<i32>)>>,
}

/// OffsetDelete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOffsetsRequest {
    /// The group.
    pub group: String,
    /// Topics and partitions.
    pub partitions: Vec<(String, i32)>,
}

/// ListGroups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroupsRequest {
    /// States, in any case of letters; none: all.
    pub states: Vec<String>,
    /// Types, in any case of letters; none: all.
    pub types: Vec<String>,
}

/// ConsumerGroupHeartbeat (KIP-848). `None` in a field says "as before".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeatRequest {
    /// The group.
    pub group: String,
    /// The member's id: from the client, or empty in version 0 for one to be given.
    pub member_id: String,
    /// Its epoch; 0 joins, −1 leaves, −2 leaves for a while (static members).
    pub member_epoch: i32,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// How long it may take to give partitions up; −1: as before.
    pub rebalance_timeout_ms: i32,
    /// The names that it subscribes to.
    pub topics: Option<Vec<String>>,
    /// The regular expression that it subscribes to; empty: none.
    pub regex: Option<String>,
    /// The assignor that it asks for.
    pub assignor: Option<String>,
    /// What it has.
    pub owned: Option<TopicPartitions>,
    /// The request's version.
    pub version: i16,
    /// Who.
    pub caller: Caller,
}

impl ConsumerHeartbeatRequest {
    /// How much of it is stored.
    pub(crate) fn stored_bytes(&self) -> usize {
        let topics = self.topics.iter().flatten();
        let regex = self.regex.as_ref().map_or(0, String::len);
        topics.map(|name| name.len() + ELEMENT_BYTES).sum::<usize>() + regex
    }
}
