//! The headers before requests and responses.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Precedes each request.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-2", flexible = "2+")]
pub struct RequestHeader {
    /// The API's number; it need not be one that exists.
    pub request_api_key: i16,
    /// The version of the request, and so of the answer.
    pub request_api_version: i16,
    /// A number of the client's choice, which the answer repeats.
    pub correlation_id: i32,
    /// What the client calls itself. Its length is never compact, so that every broker can read the header of an
    /// ApiVersions request, however new.
    #[field(flexible = "none")]
    pub client_id: Option<Str>,
}

/// Precedes each response.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "1+")]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}
