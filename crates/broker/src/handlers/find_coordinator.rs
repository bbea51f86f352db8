//! FindCoordinator: says that there is none. Groups and transactions are not served yet.
//!
//! It is advertised all the same, because librdkafka takes it for the sign of a broker that knows LZ4: without it, a producer
//! that asks for LZ4 silently sends plain records. The answer is the error that clients take for "not now": any other makes
//! librdkafka fail consumers that assign their partitions themselves and need no group.

use wiber_protocol::ErrorCode;
use wiber_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::*;

/// The first version that asks for several coordinators at once (KIP-699).
const BATCH_VERSION: i16 = 4;
const REASON: &str = "consumer groups and transactions are not served by this release of Wiber; assign partitions instead of subscribing";

/// The type of a coordinator's key that is a transactional id (`FindCoordinatorRequest.CoordinatorType`).
const TRANSACTION: i8 = 1;

pub(super) fn begin(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    body: &FindCoordinatorRequest,
    fx: &mut Vec<Effect>,
) {
    let code = ErrorCode::CoordinatorNotAvailable.code();
    let version = shard.version(request);
    let wanted = match body.key_type {
        TRANSACTION => {
            "asked for a transaction coordinator; transactions are not served yet: produce without a transactional id"
        }
        _ => "asked for a group coordinator; groups are not served yet: assign partitions instead",
    };
    shard.tell_unserved(now, request, wanted);
    let response = if version >= BATCH_VERSION {
        let none = |key: &wiber_protocol::Str| Coordinator {
            key: key.clone(),
            node_id: -1,
            port: -1,
            error_code: code,
            error_message: Some(REASON.into()),
            ..Default::default()
        };
        FindCoordinatorResponse {
            coordinators: body.coordinator_keys.iter().map(none).collect(),
            ..Default::default()
        }
    } else {
        FindCoordinatorResponse {
            error_code: code,
            error_message: Some(REASON.into()),
            node_id: -1,
            port: -1,
            ..Default::default()
        }
    };
    shard.respond(request, &response, fx);
}
