//! AlterReplicaLogDirs (key 34).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Moves replicas between the log directories of a broker.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsRequest {
    /// The directories, with what is to move there.
    pub dirs: Vec<AlterReplicaLogDir>,
}

/// An element of [`AlterReplicaLogDirsRequest::dirs`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterReplicaLogDir {
    /// The log directory's absolute path.
    pub path: Str,
    /// The topics.
    pub topics: Vec<AlterReplicaLogDirTopic>,
}

/// An element of [`AlterReplicaLogDir::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterReplicaLogDirTopic {
    /// The topic's name.
    pub name: Str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Answers [`AlterReplicaLogDirsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcomes.
    pub results: Vec<AlterReplicaLogDirTopicResult>,
}

/// An element of [`AlterReplicaLogDirsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterReplicaLogDirTopicResult {
    /// The topic's name.
    pub topic_name: Str,
    /// The partitions.
    pub partitions: Vec<AlterReplicaLogDirPartitionResult>,
}

/// An element of [`AlterReplicaLogDirTopicResult::partitions`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterReplicaLogDirPartitionResult {
    /// The partition's index.
    pub partition_index: i32,
    /// The error, or 0.
    pub error_code: i16,
}
