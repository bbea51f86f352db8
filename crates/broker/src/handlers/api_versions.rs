//! ApiVersions: what is served. An unsupported version is answered too, with a body of version 0 (KIP-511).

use wiber_protocol::api::PRODUCE_ADVERTISED_MIN_VERSION;

use super::*;
use wiber_controller::MetadataOffset;
use wiber_protocol::ErrorCode;
use wiber_protocol::messages::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};
use wiber_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// The features, each with its only level (KIP-584, KIP-778): Kafka's 4.3-IV0, whose requests are served, and groups of the consumer
/// protocol. Kafka's others stand for transactions and changing quorums, which are not served: a feature at level 0 is not told.
const FEATURES: [(&str, i16); 2] = [("metadata.version", 30), ("group.version", 1)];

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    frame: &RequestFrame,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    let supported = frame.key.versions().contains(frame.version);
    let error = if !supported {
        if let Some(pending) = shard.pending_mut(request) {
            pending.version = 0;
        }
        ErrorCode::UnsupportedVersion
    } else {
        let body: ApiVersionsRequest = frame
            .decode()
            .map_err(|error| format!("the request cannot be read: {error}"))?;
        if frame.version >= 3
            && !(is_valid_name(&body.client_software_name)
                && is_valid_name(&body.client_software_version))
        {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::None
        }
    };
    let response = response(error, shard.image.offset());
    shard.respond(request, &response, fx);
    Ok(())
}

fn response(error: ErrorCode, metadata: MetadataOffset) -> ApiVersionsResponse {
    let api_keys = served_apis().map(|(key, versions)| {
        let min = if key == ApiKey::Produce {
            PRODUCE_ADVERTISED_MIN_VERSION
        } else {
            versions.min
        };
        m::api_versions::ApiVersion {
            api_key: key as i16,
            min_version: min,
            max_version: versions.max,
        }
    });
    let supported = |(name, level): (&str, i16)| SupportedFeatureKey {
        name: name.into(),
        min_version: level,
        max_version: level,
    };
    let finalized = |(name, level): (&str, i16)| FinalizedFeatureKey {
        name: name.into(),
        max_version_level: level,
        min_version_level: level,
    };
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        supported_features: FEATURES.map(supported).into(),
        finalized_features_epoch: metadata.0 as i64,
        finalized_features: FEATURES.map(finalized).into(),
        ..Default::default()
    }
}

/// KIP-511: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_valid_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}
