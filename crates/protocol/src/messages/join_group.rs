//! JoinGroup (key 11): KIP-559, KIP-800.

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Joins a classic group; the answer waits until all members have joined.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    /// The group's id.
    pub group_id: Str,
    /// A member that is silent for this long is dead, in milliseconds.
    pub session_timeout_ms: i32,
    /// How long members may take to rejoin, in milliseconds.
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// The member's id; empty for a new member.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "5+", default = null)]
    pub group_instance_id: Option<Str>,
    /// The class of protocols, such as `consumer`.
    pub protocol_type: Str,
    /// The protocols that the member supports, the best first.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why, for the log (KIP-800).
    #[field(versions = "8+", default = null, ignorable)]
    pub reason: Option<Str>,
}

/// An element of [`JoinGroupRequest::protocols`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct JoinGroupRequestProtocol {
    /// The protocol's name.
    pub name: Str,
    /// What the member tells the leader: for consumers, its subscription.
    pub metadata: Bytes,
}

/// Answers [`JoinGroupRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The group's generation.
    #[field(default = -1)]
    pub generation_id: i32,
    /// The class of protocols, such as `consumer`.
    #[field(versions = "7+", default = null, ignorable)]
    pub protocol_type: Option<Str>,
    /// The protocol that the group has chosen.
    #[field(nullable = "7+")]
    pub protocol_name: Option<Str>,
    /// The leader's member id.
    pub leader: Str,
    /// Whether the leader need not compute an assignment (KIP-814).
    #[field(versions = "9+")]
    pub skip_assignment: bool,
    /// The member's id.
    pub member_id: Str,
    /// The members.
    pub members: Vec<JoinGroupResponseMember>,
}

/// An element of [`JoinGroupResponse::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct JoinGroupResponseMember {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "5+", default = null, ignorable)]
    pub group_instance_id: Option<Str>,
    /// What the member told: for consumers, its subscription.
    pub metadata: Bytes,
}
