//! RenewDelegationToken (key 39).

use bytes::Bytes;
use wiber_protocol_derive::Message;

/// Renews a delegation token.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct RenewDelegationTokenRequest {
    /// The token's HMAC.
    pub hmac: Bytes,
    /// How much longer the token shall live, in milliseconds; −1 for the broker's default.
    pub renew_period_ms: i64,
}

/// Answers [`RenewDelegationTokenRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct RenewDelegationTokenResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// When the token expires, in milliseconds since 1970.
    pub expiry_timestamp_ms: i64,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
}
