//! CreatePartitions (key 37): KIP-599.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Adds partitions to topics.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    /// The topics.
    pub topics: Vec<CreatePartitionsTopic>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
    /// Whether only to check that the request is valid, and change nothing.
    pub validate_only: bool,
}

/// An element of [`CreatePartitionsRequest::topics`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopic {
    /// The topic's name.
    pub name: Str,
    /// The new number of partitions.
    pub count: i32,
    /// Which brokers hold each new partition; null to leave that to the controller.
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// An element of [`CreatePartitionsTopic::assignments`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatePartitionsAssignment {
    /// The brokers that hold the partition, the preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// Answers [`CreatePartitionsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcomes.
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// An element of [`CreatePartitionsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopicResult {
    /// The topic's name.
    pub name: Str,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(default = null)]
    pub error_message: Option<Str>,
}
