//! EndQuorumEpoch (key 54): KIP-853.

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Tells a controller that the leader resigns.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct EndQuorumEpochRequest {
    /// The cluster's id.
    #[field(default = null)]
    pub cluster_id: Option<Str>,
    /// The topics.
    pub topics: Vec<RequestTopicData>,
    /// Where to reach the leader.
    #[field(versions = "1+", ignorable)]
    pub leader_endpoints: Vec<LeaderEndpoint>,
}

/// An element of [`EndQuorumEpochRequest::topics`].
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
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// Who should stand for election, the best first.
    #[field(versions = "0", ignorable)]
    pub preferred_successors: Vec<i32>,
    /// Who should stand for election, the best first, with directory ids.
    #[field(versions = "1+", ignorable)]
    pub preferred_candidates: Vec<ReplicaInfo>,
}

/// An element of [`RequestPartitionData::preferred_candidates`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReplicaInfo {
    /// The candidate's node id.
    pub candidate_id: i32,
    /// The candidate's directory id.
    pub candidate_directory_id: Uuid,
}

/// An element of [`EndQuorumEpochRequest::leader_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderEndpoint {
    /// The listener's name.
    pub name: Str,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// Answers [`EndQuorumEpochRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct EndQuorumEpochResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// The topics.
    pub topics: Vec<ResponseTopicData>,
    /// Where to reach the leaders that the response names (KIP-853).
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`EndQuorumEpochResponse::topics`].
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

/// An element of [`EndQuorumEpochResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}
