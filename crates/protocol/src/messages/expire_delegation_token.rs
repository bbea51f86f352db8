//! ExpireDelegationToken (key 40).

use bytes::Bytes;
use wiber_protocol_derive::Message;

/// Changes when a delegation token expires.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct ExpireDelegationTokenRequest {
    /// The token's HMAC.
    pub hmac: Bytes,
    /// How much longer the token shall live, in milliseconds; negative to end it now.
    pub expiry_time_period_ms: i64,
}

/// Answers [`ExpireDelegationTokenRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct ExpireDelegationTokenResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// When the token expires, in milliseconds since 1970.
    pub expiry_timestamp_ms: i64,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
}
