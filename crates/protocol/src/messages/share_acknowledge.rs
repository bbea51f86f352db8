//! ShareAcknowledge (key 79): KIP-932, KIP-1222.

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Acknowledges records of a share group (KIP-932).
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "0+")]
pub struct ShareAcknowledgeRequest {
    /// The group's id.
    #[field(default = null)]
    pub group_id: Option<Str>,
    /// The member's id.
    pub member_id: Option<Str>,
    /// The position of the request in its share session: 0 opens one, −1 closes it.
    pub share_session_epoch: i32,
    /// Whether some acknowledgements extend the lock (KIP-1222).
    #[field(versions = "2+")]
    pub is_renew_ack: bool,
    /// The topics.
    pub topics: Vec<AcknowledgeTopic>,
}

/// An element of [`ShareAcknowledgeRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AcknowledgeTopic {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<AcknowledgePartition>,
}

/// An element of [`AcknowledgeTopic::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AcknowledgePartition {
    /// The partition's index.
    pub partition_index: i32,
    /// What the client acknowledges.
    pub acknowledgement_batches: Vec<AcknowledgementBatch>,
}

/// An element of [`AcknowledgePartition::acknowledgement_batches`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AcknowledgementBatch {
    /// The first offset.
    pub first_offset: i64,
    /// The last offset, included.
    pub last_offset: i64,
    /// For each offset, or once for all: 0 a gap, 1 accept, 2 release, 3 reject, 4 extend the lock.
    pub acknowledge_types: Vec<i8>,
}

/// Answers [`ShareAcknowledgeRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "0+")]
pub struct ShareAcknowledgeResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// How long acquired records stay locked, in milliseconds.
    #[field(versions = "2+", ignorable)]
    pub acquisition_lock_timeout_ms: i32,
    /// The outcome for each topic.
    pub responses: Vec<ShareAcknowledgeTopicResponse>,
    /// Where to reach the leaders that the response names (KIP-951).
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// An element of [`ShareAcknowledgeResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ShareAcknowledgeTopicResponse {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionData>,
}

/// An element of [`ShareAcknowledgeTopicResponse::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
    /// Who leads now.
    pub current_leader: LeaderIdAndEpoch,
}

/// The value of [`PartitionData::current_leader`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The leader's node id; −1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    pub leader_epoch: i32,
}

/// An element of [`ShareAcknowledgeResponse::node_endpoints`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The rack, if it has one.
    #[field(default = null)]
    pub rack: Option<Str>,
}
