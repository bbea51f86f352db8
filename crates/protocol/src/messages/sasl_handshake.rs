//! SaslHandshake (key 17).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Chooses a SASL mechanism.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "none")]
pub struct SaslHandshakeRequest {
    /// The SASL mechanism that the client wants.
    pub mechanism: Str,
}

/// Answers [`SaslHandshakeRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "none")]
pub struct SaslHandshakeResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// The SASL mechanisms that the broker offers.
    pub mechanisms: Vec<Str>,
}
