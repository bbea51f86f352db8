//! ApiVersions (key 18): KIP-511.

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Says which versions of which APIs a broker serves.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    /// The name of the client's software.
    #[field(versions = "3+", ignorable)]
    pub client_software_name: Str,
    /// The version of the client's software.
    #[field(versions = "3+", ignorable)]
    pub client_software_version: Str,
}

/// Answers [`ApiVersionsRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    /// The error, or 0.
    pub error_code: i16,
    /// The APIs that the broker serves.
    pub api_keys: Vec<ApiVersion>,
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The features that the broker knows. Up to version 3, those whose lowest version is 0 are left out (KIP-584).
    #[field(versions = "3+", tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Grows with each change of the finalized features; −1 if it is unknown.
    #[field(versions = "3+", tag = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// The features that are switched on in the cluster; to be ignored if the epoch is −1.
    #[field(versions = "3+", tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Whether a controller is ready to take over from ZooKeeper.
    #[field(versions = "3+", tag = 3, ignorable)]
    pub zk_migration_ready: bool,
}

/// An element of [`ApiVersionsResponse::api_keys`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct ApiVersion {
    /// The API's number.
    pub api_key: i16,
    /// The lowest version.
    pub min_version: i16,
    /// The highest version.
    pub max_version: i16,
}

/// An element of [`ApiVersionsResponse::supported_features`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct SupportedFeatureKey {
    /// The feature.
    pub name: Str,
    /// The lowest version.
    pub min_version: i16,
    /// The highest version.
    pub max_version: i16,
}

/// An element of [`ApiVersionsResponse::finalized_features`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FinalizedFeatureKey {
    /// The feature.
    pub name: Str,
    /// The highest version in force.
    pub max_version_level: i16,
    /// The lowest version in force.
    pub min_version_level: i16,
}
