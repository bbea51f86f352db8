//! Heartbeat (key 12).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Tells a classic group that a member is alive.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    /// The group's id.
    pub group_id: Str,
    /// The group's generation.
    pub generation_id: i32,
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "3+", default = null)]
    pub group_instance_id: Option<Str>,
}

/// Answers [`HeartbeatRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
}
