//! AddRaftVoter (key 80).

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Adds a voter to the controllers' quorum.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AddRaftVoterRequest {
    /// The cluster's id.
    pub cluster_id: Option<Str>,
    /// How long the broker may take, in milliseconds.
    pub timeout_ms: i32,
    /// The voter's node id.
    pub voter_id: i32,
    /// The voter's directory id.
    pub voter_directory_id: Uuid,
    /// Where the node can be reached.
    pub listeners: Vec<Listener>,
    /// Whether to answer when the change is committed; else as soon as the leader has written it.
    #[field(versions = "1+", default = true)]
    pub ack_when_committed: bool,
}

/// An element of [`AddRaftVoterRequest::listeners`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// Answers [`AddRaftVoterRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AddRaftVoterResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
