//! LeaveGroup (key 13): KIP-800.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Removes members from a classic group.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    /// The group's id.
    pub group_id: Str,
    /// The member's id.
    #[field(versions = "0-2")]
    pub member_id: Str,
    /// The members.
    #[field(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

/// An element of [`LeaveGroupRequest::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MemberIdentity {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(default = null)]
    pub group_instance_id: Option<Str>,
    /// Why, for the log (KIP-800).
    #[field(versions = "5+", default = null, ignorable)]
    pub reason: Option<Str>,
}

/// Answers [`LeaveGroupRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The members.
    #[field(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

/// An element of [`LeaveGroupResponse::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct MemberResponse {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    pub group_instance_id: Option<Str>,
    /// The error, or 0.
    pub error_code: i16,
}
