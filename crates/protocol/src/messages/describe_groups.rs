//! DescribeGroups (key 15): KIP-1043.

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes classic groups.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    /// The groups.
    pub groups: Vec<Str>,
    /// Whether to say what the client may do with each group.
    #[field(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// Answers [`DescribeGroupsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The groups.
    pub groups: Vec<DescribedGroup>,
}

/// An element of [`DescribeGroupsResponse::groups`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    #[field(versions = "6+", default = null)]
    pub error_message: Option<Str>,
    /// The group's id.
    pub group_id: Str,
    /// The group's state.
    pub group_state: Str,
    /// The class of protocols, such as `consumer`.
    pub protocol_type: Str,
    /// The protocol that the group has chosen, or empty.
    pub protocol_data: Str,
    /// The members.
    pub members: Vec<DescribedGroupMember>,
    /// What the client may do with the group, a bit for each ACL operation; `i32::MIN` if it did not ask.
    #[field(versions = "3+", default = i32::MIN)]
    pub authorized_operations: i32,
}

/// An element of [`DescribedGroup::members`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribedGroupMember {
    /// The member's id.
    pub member_id: Str,
    /// The id of a static member (KIP-345); null for others.
    #[field(versions = "4+", default = null, ignorable)]
    pub group_instance_id: Option<Str>,
    /// The client's id.
    pub client_id: Str,
    /// The client's host.
    pub client_host: Str,
    /// What the member told about itself, in the protocol's own form.
    pub member_metadata: Bytes,
    /// The member's assignment, in the protocol's own form.
    pub member_assignment: Bytes,
}
