//! UpdateFeatures (key 57).

use wiber_protocol_derive::Message;

use crate::str::Str;

/// Changes the cluster's finalized features.
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest {
    /// How long the broker may take, in milliseconds.
    #[field(default = 60000)]
    pub timeout_ms: i32,
    /// The features to change.
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Whether only to check that the request is valid, and change nothing.
    #[field(versions = "1+")]
    pub validate_only: bool,
}

/// An element of [`UpdateFeaturesRequest::feature_updates`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct FeatureUpdateKey {
    /// The feature.
    pub feature: Str,
    /// The version to switch to; less than 1 to switch the feature off.
    pub max_version_level: i16,
    /// Whether the version may be lower than before.
    #[field(versions = "0")]
    pub allow_downgrade: bool,
    /// 1 for upgrades only, 2 for downgrades that lose nothing, 3 for any downgrade.
    #[field(versions = "1+", default = 1)]
    pub upgrade_type: i8,
}

/// Answers [`UpdateFeaturesRequest`].
#[derive(Message, Clone, Debug, PartialEq)]
#[message(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    /// How long the client was, or should be, held back for a quota, in milliseconds; 0 if it was not.
    pub throttle_time_ms: i32,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
    /// The outcomes.
    #[field(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// An element of [`UpdateFeaturesResponse::results`].
#[derive(Message, Clone, Debug, PartialEq)]
pub struct UpdatableFeatureResult {
    /// The feature.
    pub feature: Str,
    /// The error, or 0.
    pub error_code: i16,
    /// What went wrong, in words.
    pub error_message: Option<Str>,
}
