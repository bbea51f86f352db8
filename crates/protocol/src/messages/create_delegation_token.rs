//! CreateDelegationToken (key 38).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Creates a delegation token.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct CreateDelegationTokenRequest {
    /// The owner's principal type; null for whoever asks.
    #[field(versions = "3+")]
    pub owner_principal_type: Option<Str>,
    /// The owner's name; null for whoever asks.
    #[field(versions = "3+")]
    pub owner_principal_name: Option<Str>,
    /// Who may renew the token.
    pub renewers: Vec<CreatableRenewers>,
    /// How long the token may live, in milliseconds; −1 for the broker's default.
    pub max_lifetime_ms: i64,
}

/// An element of [`CreateDelegationTokenRequest::renewers`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct CreatableRenewers {
    /// The principal's type.
    pub principal_type: Str,
    /// The principal's name.
    pub principal_name: Str,
}

/// Answers [`CreateDelegationTokenRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-3", flexible = "2+")]
pub struct CreateDelegationTokenResponse {
    /// The error, or 0.
    pub error_code: i16,
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
    pub issue_timestamp_ms: i64,
    /// When the token expires, in milliseconds since 1970.
    pub expiry_timestamp_ms: i64,
    /// When the token can no longer be renewed, in milliseconds since 1970.
    pub max_timestamp_ms: i64,
    /// The token's id.
    pub token_id: Str,
    /// The token's HMAC.
    pub hmac: Bytes,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
}
