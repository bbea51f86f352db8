//! ListConfigResources (key 74): KIP-1142.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Lists the resources that have settings.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    /// The types of resource to list; empty for all that have settings.
    #[field(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// Answers [`ListConfigResourcesRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// The resources.
    pub config_resources: Vec<ConfigResource>,
}

/// An element of [`ListConfigResourcesResponse::config_resources`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ConfigResource {
    /// The resource's name.
    pub resource_name: Str,
    /// The resource's type.
    #[field(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}
