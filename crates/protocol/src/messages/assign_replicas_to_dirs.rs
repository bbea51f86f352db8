//! AssignReplicasToDirs (key 73).

use wiber_model::TopicId;
use wiber_protocol_derive::Message;

use crate::wire::Uuid;

/// Tells the controller in which log directories a broker's replicas are.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AssignReplicasToDirsRequest {
    /// The broker's node id.
    pub broker_id: i32,
    /// The broker's epoch; −1 for none.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// The directories.
    pub directories: Vec<RequestDirectoryData>,
}

/// An element of [`AssignReplicasToDirsRequest::directories`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestDirectoryData {
    /// The directory's id.
    pub id: Uuid,
    /// The topics.
    pub topics: Vec<RequestTopicData>,
}

/// An element of [`RequestDirectoryData::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestTopicData {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<RequestPartitionData>,
}

/// An element of [`RequestTopicData::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct RequestPartitionData {
    /// The partition's index.
    pub partition_index: i32,
}

/// Answers [`AssignReplicasToDirsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct AssignReplicasToDirsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The directories.
    pub directories: Vec<ResponseDirectoryData>,
}

/// An element of [`AssignReplicasToDirsResponse::directories`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseDirectoryData {
    /// The directory's id.
    pub id: Uuid,
    /// The topics.
    pub topics: Vec<ResponseTopicData>,
}

/// An element of [`ResponseDirectoryData::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ResponseTopicData {
    /// The topic's id.
    pub topic_id: TopicId,
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
}
