//! UpdateRaftVoter (key 82).

use wiber_protocol_derive::Message;

use crate::str::Str;
use crate::wire::Uuid;

/// Updates a voter's endpoints and versions.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct UpdateRaftVoterRequest {
    /// The cluster's id.
    pub cluster_id: Option<Str>,
    /// The epoch that the client believes in, to be told if it is not the leader's; −1 to skip the check.
    pub current_leader_epoch: i32,
    /// The voter's node id.
    pub voter_id: i32,
    /// The voter's directory id.
    pub voter_directory_id: Uuid,
    /// Where the node can be reached.
    pub listeners: Vec<Listener>,
    /// The versions of the protocol that the node supports.
    pub k_raft_version_feature: KRaftVersionFeature,
}

/// An element of [`UpdateRaftVoterRequest::listeners`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct Listener {
    /// The listener's name.
    pub name: Str,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: u16,
}

/// The value of [`UpdateRaftVoterRequest::k_raft_version_feature`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct KRaftVersionFeature {
    /// The lowest version.
    pub min_supported_version: i16,
    /// The highest version.
    pub max_supported_version: i16,
}

/// Answers [`UpdateRaftVoterRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct UpdateRaftVoterResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// Who leads now.
    #[field(tag = 0)]
    pub current_leader: CurrentLeader,
}

/// The value of [`UpdateRaftVoterResponse::current_leader`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CurrentLeader {
    /// The leader's node id; −1 if there is none.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The leader's epoch; −1 if it is unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The host to connect to.
    pub host: Str,
    /// The port to connect to.
    pub port: i32,
}
