//! SaslAuthenticate (key 36).

use bytes::Bytes;
use wiber_protocol_derive::Message;

use crate::str::Str;

/// Carries a step of SASL authentication.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateRequest {
    /// What the SASL mechanism says.
    pub auth_bytes: Bytes,
}

/// Answers [`SaslAuthenticateRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// What the SASL mechanism says.
    pub auth_bytes: Bytes,
    /// After this many milliseconds the client has to authenticate again (KIP-368); 0 for never.
    #[field(versions = "1+", ignorable)]
    pub session_lifetime_ms: i64,
}
