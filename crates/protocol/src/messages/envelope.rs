//! Envelope (key 58).

use bytes::Bytes;
use wiber_protocol_derive::Message;

/// Forwards a client's request to the controller.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct EnvelopeRequest {
    /// The request that is forwarded, with its header.
    pub request_data: Bytes,
    /// The principal of the client.
    pub request_principal: Option<Bytes>,
    /// The client's address.
    pub client_host_address: Bytes,
}

/// Answers [`EnvelopeRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0", flexible = "0+")]
pub struct EnvelopeResponse {
    /// The response, with its header.
    #[field(default = null)]
    pub response_data: Option<Bytes>,
    /// The error, or 0.
    pub error_code: i16,
}
