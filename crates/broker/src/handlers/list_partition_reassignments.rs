//! ListPartitionReassignments (KIP-455): a node alone moves nothing, so none is under way.

use wiber_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::*;

/// Kafka leaves out whatever is not being moved, whether it exists or not.
pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    _body: &ListPartitionReassignmentsRequest,
    fx: &mut Vec<Effect>,
) {
    let response = ListPartitionReassignmentsResponse {
        error_message: None,
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
