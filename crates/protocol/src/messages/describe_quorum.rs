//! DescribeQuorum (key 55): KIP-836, KIP-853.

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Describes the controllers' quorum and how far each replica is.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    /// The topics.
    pub topics: Vec<RequestTopicData>,
}

/// An element of [`DescribeQuorumRequest::topics`].
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
}

/// Answers [`DescribeQuorumRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(versions = "2+", ignorable)]
    pub error_message: Option<Str>,
    /// The topics.
    pub topics: Vec<ResponseTopicData>,
    /// The nodes of the quorum.
    #[field(versions = "2+")]
    pub nodes: Vec<Node>,
}

/// An element of [`DescribeQuorumResponse::topics`].
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
    /// What went wrong, in words.
    #[field(versions = "2+", ignorable)]
    pub error_message: Option<Str>,
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
    /// The partition's high watermark.
    pub high_watermark: i64,
    /// The voters.
    pub current_voters: Vec<ReplicaState>,
    /// The observers.
    pub observers: Vec<ReplicaState>,
}

/// An element of [`DescribeQuorumResponse::nodes`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Node {
    /// The node's id.
    pub node_id: i32,
    /// Where the node can be reached.
    pub listeners: Vec<Listener>,
}

/// An element of [`Node::listeners`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// An element of [`ResponsePartitionData::current_voters`] and [`ResponsePartitionData::observers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// The replica's node id.
    pub replica_id: i32,
    /// The replica's directory id.
    #[field(versions = "2+")]
    pub replica_directory_id: Uuid,
    /// The end of the replica's log; −1 if it is unknown.
    pub log_end_offset: i64,
    /// When the replica fetched last, on the leader's clock, in milliseconds since 1970; −1 for the leader or if it is
    /// unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// When the leader appended what the replica last reached, in milliseconds since 1970; −1 if it is unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}
