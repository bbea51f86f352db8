//! DeleteGroups (key 42).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes empty groups, with their offsets.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsRequest {
    /// The groups to delete.
    pub groups_names: Vec<Str>,
}

/// Answers [`DeleteGroupsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcomes.
    pub results: Vec<DeletableGroupResult>,
}

/// An element of [`DeleteGroupsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeletableGroupResult {
    /// The group's id.
    pub group_id: Str,
    /// The error, or 0.
    pub error_code: i16,
}
