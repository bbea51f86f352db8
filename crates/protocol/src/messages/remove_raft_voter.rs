//! RemoveRaftVoter (key 81).

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Removes a voter from the controllers' quorum.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterRequest {
    /// The cluster's id.
    pub cluster_id: Option<Str>,
    /// The voter's node id.
    pub voter_id: i32,
    /// The voter's directory id.
    pub voter_directory_id: Uuid,
}

/// Answers [`RemoveRaftVoterRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
