//! FetchSnapshot (key 59): KIP-853.

use wiber_protocol_derive::Message;

use crate::records::Records;
use crate::str::Str;
use crate::wire::Uuid;

/// Reads a piece of a snapshot of the metadata.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct FetchSnapshotRequest {
    /// The cluster's id.
    #[field(tag = 0, default = null)]
    pub cluster_id: Option<Str>,
    /// The node that asks.
    #[field(default = -1)]
    pub replica_id: i32,
    /// The most that the response should hold, in bytes.
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// The topics.
    pub topics: Vec<RequestTopicSnapshot>,
}

/// An element of [`FetchSnapshotRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestTopicSnapshot {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<RequestPartitionSnapshot>,
}

/// An element of [`RequestTopicSnapshot::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestPartitionSnapshot {
    /// The partition's index.
    pub partition: i32,
    /// The epoch that the client believes in, to be told if it is not the leader's; −1 to skip the check.
    pub current_leader_epoch: i32,
    /// The snapshot.
    pub snapshot_id: RequestSnapshotId,
    /// Where in the snapshot to begin, in bytes.
    pub position: i64,
    /// The follower's log directory (KIP-853).
    #[field(versions = "1+", tag = 0, ignorable)]
    pub replica_directory_id: Uuid,
}

/// The value of [`RequestPartitionSnapshot::snapshot_id`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestSnapshotId {
    /// The offset at which the snapshot ends.
    pub end_offset: i64,
    /// The epoch of the last record in the snapshot.
    pub epoch: i32,
}

/// Answers [`FetchSnapshotRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct FetchSnapshotResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The topics.
    pub topics: Vec<ResponseTopicSnapshot>,
    /// Where to reach the leaders that the response names (KIP-853).
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`FetchSnapshotResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseTopicSnapshot {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<ResponsePartitionSnapshot>,
}

/// An element of [`ResponseTopicSnapshot::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponsePartitionSnapshot {
    /// The partition's index.
    pub index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The snapshot.
    pub snapshot_id: ResponseSnapshotId,
    /// Who leads now.
    #[field(tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
    /// The snapshot's size, in bytes.
    pub size: i64,
    /// Where in the snapshot the bytes begin, in bytes.
    pub position: i64,
    /// A piece of the snapshot, which may begin and end within a batch.
    pub unaligned_records: Records,
}

/// The value of [`ResponsePartitionSnapshot::snapshot_id`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseSnapshotId {
    /// The offset at which the snapshot ends.
    pub end_offset: i64,
    /// The epoch of the last record in the snapshot.
    pub epoch: i32,
}

/// The value of [`ResponsePartitionSnapshot::current_leader`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// An element of [`FetchSnapshotResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}
