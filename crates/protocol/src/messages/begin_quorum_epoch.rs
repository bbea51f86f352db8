//! BeginQuorumEpoch (key 53): KIP-853.

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Tells a controller that a leader was elected.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct BeginQuorumEpochRequest {
    /// The cluster's id.
    #[field(default = null)]
    pub cluster_id: Option<Str>,
    /// The node that is told.
    #[field(versions = "1+", default = -1, ignorable)]
    pub voter_id: i32,
    /// The topics.
    pub topics: Vec<RequestTopicData>,
    /// Where to reach the leader.
    #[field(versions = "1+", ignorable)]
    pub leader_endpoints: Vec<LeaderEndpoint>,
}

/// An element of [`BeginQuorumEpochRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestTopicData {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<RequestPartitionData>,
}

/// An element of [`RequestTopicData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestPartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The voter's directory id.
    #[field(versions = "1+", ignorable)]
    pub voter_directory_id: Uuid,
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// An element of [`BeginQuorumEpochRequest::leader_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderEndpoint {
    /// The listener's name.
    pub name: Str,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// Answers [`BeginQuorumEpochRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct BeginQuorumEpochResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// The topics.
    pub topics: Vec<ResponseTopicData>,
    /// Where to reach the leaders that the response names (KIP-853).
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`BeginQuorumEpochResponse::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseTopicData {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<ResponsePartitionData>,
}

/// An element of [`ResponseTopicData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponsePartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// An element of [`BeginQuorumEpochResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}
