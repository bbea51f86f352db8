//! What a coordinator replies.

use bytes::Bytes;

use crate::error::GroupError;
use crate::record::{OffsetRecord, TopicPartitions};

/// The reply to a [`Request`](crate::Request), of the variant of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// JoinGroup. With an error, the member id is what the client is to use from now on, or what it sent.
    Join {
        /// What the member is now, or why not.
        result: Result<Joined, GroupError>,
        /// The member's id.
        member_id: String,
    },
    /// SyncGroup.
    Sync(Result<Synced, GroupError>),
    /// Heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// LeaveGroup: of each member; or why of none.
    Leave(Result<Vec<LeftMember>, GroupError>),
    /// OffsetCommit: of each offset, in the request's order; or why of none.
    CommitOffsets(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// OffsetFetch: topics in the request's order (by name if all were asked for) with partitions, and what is committed there.
    FetchOffsets(Result<Vec<FetchedTopic>, GroupError>),
    /// OffsetDelete: of each partition, in the request's order; or why of none.
    DeleteOffsets(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// DeleteGroups.
    DeleteGroup(Result<(), GroupError>),
    /// ListGroups.
    ListGroups(Vec<ListedGroup>),
    /// DescribeGroups.
    DescribeClassic(Result<ClassicDescription, GroupError>),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Result<ConsumerHeartbeat, GroupError>),
    /// ConsumerGroupDescribe.
    DescribeConsumer(Result<ConsumerDescription, GroupError>),
}

/// A member that has joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The class of protocols.
    pub protocol_type: Option<String>,
    /// The chosen protocol.
    pub protocol: Option<String>,
    /// The leader's member id.
    pub leader: String,
    /// Whether the leader need not assign (KIP-814).
    pub skip_assignment: bool,
    /// For the leader: the members.
    pub members: Vec<JoinedMember>,
}

/// A member, as the leader is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// A member that has its assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The class of protocols.
    pub protocol_type: Option<String>,
    /// The chosen protocol.
    pub protocol: Option<String>,
    /// The assignment.
    pub assignment: Bytes,
}

/// A member that has left, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftMember {
    /// Its id, as the request had it.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Whether it is gone.
    pub result: Result<(), GroupError>,
}

/// What is committed for a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchedTopic {
    /// The topic.
    pub topic: String,
    /// Partitions, and what is committed there.
    pub partitions: Vec<(i32, Option<OffsetRecord>)>,
}

/// A group in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: String,
    /// The class of protocols; empty if it has none.
    pub protocol_type: String,
    /// Kafka's word for its state.
    pub state: &'static str,
    /// `classic` or `consumer`, as Kafka writes it.
    pub kind: &'static str,
}

/// A classic group (DescribeGroups).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassicDescription {
    /// Kafka's word for its state.
    pub state: &'static str,
    /// The class of protocols.
    pub protocol_type: String,
    /// The chosen protocol; empty where it is not settled.
    pub protocol: String,
    /// The members.
    pub members: Vec<DescribedClassicMember>,
}

/// A member of a [`ClassicDescription`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedClassicMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its client's id.
    pub client_id: String,
    /// Its client's address.
    pub client_host: String,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// The answer to a heartbeat of the consumer protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The member's id, which the coordinator may have given.
    pub member_id: String,
    /// Its epoch.
    pub member_epoch: i32,
    /// When to send the next one.
    pub heartbeat_interval_ms: i32,
    /// What it has now, if there is something to say.
    pub assignment: Option<TopicPartitions>,
}

/// A group of the consumer protocol (ConsumerGroupDescribe).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Kafka's word for its state.
    pub state: &'static str,
    /// The group's epoch.
    pub epoch: i32,
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// The chosen assignor.
    pub assignor: String,
    /// The members.
    pub members: Vec<DescribedConsumerMember>,
}

/// A member of a [`ConsumerDescription`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedConsumerMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// Its client's id.
    pub client_id: String,
    /// Its client's address.
    pub client_host: String,
    /// The names that it subscribed to.
    pub topics: Vec<String>,
    /// The regular expression that it subscribed to.
    pub regex: Option<String>,
    /// What it has.
    pub assignment: TopicPartitions,
    /// What it is to have.
    pub target: TopicPartitions,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
}
