//! AlterConfigs (key 33).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Replaces all settings of resources.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    /// The resources.
    pub resources: Vec<AlterConfigsResource>,
    /// Whether only to check that the request is valid, and change nothing.
    pub validate_only: bool,
}

/// An element of [`AlterConfigsRequest::resources`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterConfigsResource {
    /// The resource's type.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: Str,
    /// The settings.
    pub configs: Vec<AlterableConfig>,
}

/// An element of [`AlterConfigsResource::configs`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterableConfig {
    /// The setting.
    pub name: Str,
    /// The value; null for the default.
    pub value: Option<Str>,
}

/// Answers [`AlterConfigsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcome for each resource.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// An element of [`AlterConfigsResponse::responses`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct AlterConfigsResourceResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The resource's type.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: Str,
}
