//! Vote (key 52): KIP-853.

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Asks a controller for its vote.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct VoteRequest {
    /// The cluster's id.
    #[field(default = null)]
    pub cluster_id: Option<Str>,
    /// The node that is asked for its vote.
    #[field(versions = "1+", default = -1, ignorable)]
    pub voter_id: i32,
    /// The topics.
    pub topics: Vec<RequestTopicData>,
}

/// An element of [`VoteRequest::topics`].
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
    /// The epoch of the node that asks.
    pub replica_epoch: i32,
    /// The node that asks for the vote.
    pub replica_id: i32,
    /// The directory id of the node that asks.
    #[field(versions = "1+", ignorable)]
    pub replica_directory_id: Uuid,
    /// The voter's directory id.
    #[field(versions = "1+", ignorable)]
    pub voter_directory_id: Uuid,
    /// The epoch of the last record in the log of the node that asks.
    pub last_offset_epoch: i32,
    /// The end of the log of the node that asks.
    pub last_offset: i64,
    /// Whether it is only asked how a vote would end (KIP-996).
    #[field(versions = "2+")]
    pub pre_vote: bool,
}

/// Answers [`VoteRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct VoteResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// The topics.
    pub topics: Vec<ResponseTopicData>,
    /// Where to reach the leaders that the response names (KIP-853).
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`VoteResponse::topics`].
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
    /// Whether the vote is given.
    pub vote_granted: bool,
}

/// An element of [`VoteResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}
