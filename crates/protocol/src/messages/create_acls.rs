//! CreateAcls (key 30).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Creates ACLs.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct CreateAclsRequest {
    /// The ACLs to create.
    pub creations: Vec<AclCreation>,
}

/// An element of [`CreateAclsRequest::creations`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AclCreation {
    /// The resource's type.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: Str,
    /// The pattern type: 3 literal, 4 prefixed.
    #[field(default = 3)]
    pub resource_pattern_type: i8,
    /// The principal, as in `User:alice`.
    pub principal: Str,
    /// The host from which it applies; `*` for all.
    pub host: Str,
    /// The ACL operation.
    pub operation: i8,
    /// The permission: 2 to deny, 3 to allow.
    pub permission_type: i8,
}

/// Answers [`CreateAclsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct CreateAclsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcomes.
    pub results: Vec<AclCreationResult>,
}

/// An element of [`CreateAclsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AclCreationResult {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
