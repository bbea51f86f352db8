//! FindCoordinator (key 10): KIP-699, KIP-890, KIP-932.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Finds the broker that coordinates a group, a transactional id or a share partition.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    /// What the coordinator is asked for.
    #[field(versions = "0-3")]
    pub key: Str,
    /// What the keys are: 0 groups, 1 transactional ids, 2 share partitions.
    #[field(versions = "1+")]
    pub key_type: i8,
    /// The keys to find coordinators for.
    #[field(versions = "4+")]
    pub coordinator_keys: Vec<Str>,
}

/// Answers [`FindCoordinatorRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, or 0.
    #[field(versions = "0-3")]
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(versions = "1-3", ignorable)]
    pub error_message: Option<Str>,
    /// The node's id.
    #[field(versions = "0-3")]
    pub node_id: i32,
    /// The host to connect to.
    #[field(versions = "0-3")]
    pub host: Str,
    /// The port to connect to.
    #[field(versions = "0-3")]
    pub port: i32,
    /// The coordinator for each key.
    #[field(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// An element of [`FindCoordinatorResponse::coordinators`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Coordinator {
    /// What the coordinator is asked for.
    pub key: Str,
    /// The node's id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
