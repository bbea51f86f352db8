//! DescribeDelegationToken (key 41).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes delegation tokens.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct DescribeDelegationTokenRequest {
    /// Whose tokens to describe; null for all.
    pub owners: Option<Vec<DescribeDelegationTokenOwner>>,
}

/// An element of [`DescribeDelegationTokenRequest::owners`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeDelegationTokenOwner {
    /// The principal's type.
    pub principal_type: Str,
    /// The principal's name.
    pub principal_name: Str,
}

/// Answers [`DescribeDelegationTokenRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct DescribeDelegationTokenResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// The tokens.
    pub tokens: Vec<DescribedDelegationToken>,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
}

/// An element of [`DescribeDelegationTokenResponse::tokens`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribedDelegationToken {
    /// The principal's type.
    pub principal_type: Str,
    /// The principal's name.
    pub principal_name: Str,
    /// The principal type of who asked for the token.
    #[field(versions = "3+")]
    pub token_requester_principal_type: Str,
    /// The name of who asked for the token.
    #[field(versions = "3+")]
    pub token_requester_principal_name: Str,
    /// When the token was made, in milliseconds since 1970.
    pub issue_timestamp: i64,
    /// When the token expires, in milliseconds since 1970.
    pub expiry_timestamp: i64,
    /// When the token can no longer be renewed, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// The token's id.
    pub token_id: Str,
    /// The token's HMAC.
    pub hmac: Bytes,
    /// Who may renew the token.
    pub renewers: Vec<DescribedDelegationTokenRenewer>,
}

/// An element of [`DescribedDelegationToken::renewers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribedDelegationTokenRenewer {
    /// The principal's type.
    pub principal_type: Str,
    /// The principal's name.
    pub principal_name: Str,
}
