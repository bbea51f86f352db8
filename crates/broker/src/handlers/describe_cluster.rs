//! DescribeCluster: the brokers (KIP-919, KIP-1073). None is ever fenced.

use wiber_protocol::ErrorCode;
use wiber_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::*;

/// The endpoint of a broker (`EndpointType`).
const BROKER: i8 = 1;
/// The endpoint of a controller, which this is not.
const CONTROLLER: i8 = 2;

/// What everybody may do where nobody is kept from anything: a bit for each operation that Kafka has for a cluster (`AclEntry`). They
/// are CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS and IDEMPOTENT_WRITE.
pub(super) const ALL_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DescribeClusterRequest,
    fx: &mut Vec<Effect>,
) {
    let refusal = match body.endpoint_type {
        BROKER => None,
        CONTROLLER => Some((
            ErrorCode::MismatchedEndpointType,
            "the request is for a controller's endpoint, and this is a broker's".to_owned(),
        )),
        other => Some((
            ErrorCode::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        )),
    };
    let mut response = DescribeClusterResponse::default();
    if let Some((code, message)) = refusal {
        response.error_code = code.code();
        response.error_message = Some(message.into());
        shard.respond(request, &response, fx);
        return;
    }
    let (host, port) = shard.advertised_for(request);
    response.cluster_id = shard.cluster_id.as_str().into();
    response.controller_id = shard.node_id().0;
    response.brokers.push(DescribeClusterBroker {
        broker_id: shard.node_id().0,
        host: host.into(),
        port,
        rack: shard.rack(),
        is_fenced: false,
    });
    if body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = ALL_OPERATIONS;
    }
    shard.respond(request, &response, fx);
}
