//! SyncGroup (key 14): KIP-559.

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Brings a member of a classic group its assignment; from the leader, everybody's.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    /// The group's id.
    pub group_id: Str,
    /// The group's generation.
    pub generation_id: i32,
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "3+", default = null)]
    pub group_instance_id: Option<Str>,
    /// The class of protocols, such as `consumer`.
    #[field(versions = "5+", default = null, ignorable)]
    pub protocol_type: Option<Str>,
    /// The protocol that the group has chosen.
    #[field(versions = "5+", default = null, ignorable)]
    pub protocol_name: Option<Str>,
    /// The assignment of each member, from the leader; empty from others.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// An element of [`SyncGroupRequest::assignments`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct SyncGroupRequestAssignment {
    /// The member's id.
    pub member_id: Str,
    /// The member's assignment, in the protocol's own form.
    pub assignment: Bytes,
}

/// Answers [`SyncGroupRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The class of protocols, such as `consumer`.
    #[field(versions = "5+", default = null, ignorable)]
    pub protocol_type: Option<Str>,
    /// The protocol that the group has chosen.
    #[field(versions = "5+", default = null, ignorable)]
    pub protocol_name: Option<Str>,
    /// The member's assignment, in the protocol's own form.
    pub assignment: Bytes,
}
