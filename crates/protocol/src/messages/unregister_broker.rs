//! UnregisterBroker (key 64).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Removes a broker's registration.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerRequest {
    /// The broker's node id.
    pub broker_id: i32,
}

/// Answers [`UnregisterBrokerRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
