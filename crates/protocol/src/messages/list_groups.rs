//! ListGroups (key 16): KIP-518, KIP-848.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Lists the groups that a broker coordinates.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest {
    /// Only groups in these states; empty for all.
    #[field(versions = "4+")]
    pub states_filter: Vec<Str>,
    /// Only groups of these types; empty for all.
    #[field(versions = "5+")]
    pub types_filter: Vec<Str>,
}

/// Answers [`ListGroupsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

/// An element of [`ListGroupsResponse::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ListedGroup {
    /// The group's id.
    pub group_id: Str,
    /// The class of protocols, such as `consumer`.
    pub protocol_type: Str,
    /// The group's state.
    #[field(versions = "4+", ignorable)]
    pub group_state: Str,
    /// The group's type.
    #[field(versions = "5+", ignorable)]
    pub group_type: Str,
}
