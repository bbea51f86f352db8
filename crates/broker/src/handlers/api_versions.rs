//! ApiVersions: what is served. An unsupported version is answered too, with a body of version 0 (KIP-511).

use wiber_protocol::api::PRODUCE_ADVERTISED_MIN_VERSION;

use super::*;
use wiber_controller::MetadataOffset;
use wiber_protocol::ErrorCode;
use wiber_protocol::messages::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};
use wiber_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

/// The feature that says what the cluster's brokers and controllers agree on (KIP-584, KIP-778). Kafka's others stand for groups,
/// transactions and changing quorums, which are not served: a feature at level 0 is not told.
const METADATA_VERSION: &str = "metadata.version";
/// Kafka's 4.3-IV0, whose requests are served; there is no other level to change to.
const METADATA_LEVEL: i16 = 30;

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
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        supported_features: vec![SupportedFeatureKey {
            name: METADATA_VERSION.into(),
            min_version: METADATA_LEVEL,
            max_version: METADATA_LEVEL,
        }],
        finalized_features_epoch: metadata.0 as i64,
        finalized_features: vec![FinalizedFeatureKey {
            name: METADATA_VERSION.into(),
            max_version_level: METADATA_LEVEL,
            min_version_level: METADATA_LEVEL,
        }],
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
