//! ListConfigResources: what has settings (KIP-1142). Nothing here subscribes to clients' metrics.

use wiber_protocol::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::describe_configs::resource;
use super::*;

/// The first version that asks for more than clients' metrics.
const TYPES_VERSION: i16 = 1;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    version: i16,
    body: &ListConfigResourcesRequest,
    fx: &mut Vec<Effect>,
) {
    let mut response = ListConfigResourcesResponse::default();
    let types = &body.resource_types;
    if types.iter().any(|kind| !resource::ALL.contains(kind)) {
        response.error_code = ErrorCode::UnsupportedVersion.code();
        shard.respond(request, &response, fx);
        return;
    }
    let is_wanted = |kind| version >= TYPES_VERSION && (types.is_empty() || types.contains(&kind));
    let mut add = |kind, name: Str| {
        response.config_resources.push(ConfigResource {
            resource_name: name,
            resource_type: kind,
        });
    };
    if is_wanted(resource::GROUP) {
        for group in shard.image.groups_with_configs() {
            add(resource::GROUP, group.into());
        }
    }
    for kind in [resource::BROKER, resource::BROKER_LOGGER] {
        if is_wanted(kind) {
            add(kind, shard.node_id().0.to_string().into());
        }
    }
    if is_wanted(resource::TOPIC) {
        for topic in shard.image.topics() {
            add(resource::TOPIC, topic.name.as_str().into());
        }
    }
    shard.respond(request, &response, fx);
}
