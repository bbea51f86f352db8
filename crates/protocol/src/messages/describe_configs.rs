//! DescribeConfigs (key 32).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Describes the settings of topics, brokers and other resources.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    /// The resources.
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to tell where else the value is set.
    pub include_synonyms: bool,
    /// Whether to tell what the settings mean.
    #[field(versions = "3+")]
    pub include_documentation: bool,
}

/// An element of [`DescribeConfigsRequest::resources`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResource {
    /// The resource's type.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: Str,
    /// The settings to describe; null for all.
    pub configuration_keys: Option<Vec<Str>>,
}

/// Answers [`DescribeConfigsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The outcomes.
    pub results: Vec<DescribeConfigsResult>,
}

/// An element of [`DescribeConfigsResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResult {
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The resource's type.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: Str,
    /// The settings.
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// An element of [`DescribeConfigsResult::configs`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeConfigsResourceResult {
    /// The setting.
    pub name: Str,
    /// The value; null if it is secret or not set.
    pub value: Option<Str>,
    /// Whether the value cannot be changed.
    pub read_only: bool,
    /// Where the value comes from: 1 the topic, 2 the broker, 3 all brokers, 4 the broker's file, 5 the default; −1 if
    /// it is unknown.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is secret, and so left out.
    pub is_sensitive: bool,
    /// Where the value is set, the source that counts first.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// The value's type: 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password; 0 if it is
    /// unknown.
    #[field(versions = "3+", ignorable)]
    pub config_type: i8,
    /// What the setting means.
    #[field(versions = "3+", ignorable)]
    pub documentation: Option<Str>,
}

/// An element of [`DescribeConfigsResourceResult::synonyms`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct DescribeConfigsSynonym {
    /// The setting.
    pub name: Str,
    /// The value; null if it is secret or not set.
    pub value: Option<Str>,
    /// The source, numbered as `config_source` is.
    pub source: i8,
}
