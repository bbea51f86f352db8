//! DeleteAcls (key 31).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Deletes the ACLs that match filters.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct DeleteAclsRequest {
    /// Which ACLs to delete: all that match any filter.
    pub filters: Vec<DeleteAclsFilter>,
}

/// An element of [`DeleteAclsRequest::filters`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteAclsFilter {
    /// The type of resource; 1 for any.
    pub resource_type_filter: i8,
    /// The resource's name; null for any.
    pub resource_name_filter: Option<Str>,
    /// The pattern type; 1 for any, 2 for those that apply to the name.
    #[field(default = 3)]
    pub pattern_type_filter: i8,
    /// The principal; null for any.
    pub principal_filter: Option<Str>,
    /// The host; null for any.
    pub host_filter: Option<Str>,
    /// The ACL operation; 1 for any.
    pub operation: i8,
    /// The permission: 1 for any, 2 to deny, 3 to allow.
    pub permission_type: i8,
}

/// Answers [`DeleteAclsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct DeleteAclsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcome for each filter.
    pub filter_results: Vec<DeleteAclsFilterResult>,
}

/// An element of [`DeleteAclsResponse::filter_results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteAclsFilterResult {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The ACLs that matched the filter.
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

/// An element of [`DeleteAclsFilterResult::matching_acls`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DeleteAclsMatchingAcl {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The resource's type.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: Str,
    /// The pattern type: 3 literal, 4 prefixed.
    #[field(default = 3)]
    pub pattern_type: i8,
    /// The principal, as in `User:alice`.
    pub principal: Str,
    /// The host from which it applies; `*` for all.
    pub host: Str,
    /// The ACL operation.
    pub operation: i8,
    /// The permission: 2 to deny, 3 to allow.
    pub permission_type: i8,
}
