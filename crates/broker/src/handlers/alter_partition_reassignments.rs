//! AlterPartitionReassignments (KIP-455): a node alone has every replica already, so what can be asked for holds, and the rest is refused.

use std::collections::BTreeSet;

use wiber_controller::PartitionState;
use wiber_model::BrokerId;
use wiber_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: AlterPartitionReassignmentsRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let mut response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: body.allow_replication_factor_change,
        error_message: None,
        ..Default::default()
    };
    for topic in body.topics {
        let partition = |wanted: &wiber_protocol::messages::alter_partition_reassignments::ReassignablePartition| {
            let refusal = partition(shard, &topic.name, wanted.partition_index)
                .and_then(|state| reassign(shard, state, wanted.replicas.as_deref()))
                .err();
            let (code, message) = refusal.unzip();
            ReassignablePartitionResponse {
                partition_index: wanted.partition_index,
                error_code: code.unwrap_or(ErrorCode::None).code(),
                error_message: message.flatten().map(Str::from),
            }
        };
        let partitions = topic.partitions.iter().map(partition).collect();
        response.responses.push(ReassignableTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    shard.respond(request, &response, fx);
    Ok(())
}

/// Why a partition is not reassigned: Kafka's code, and its words where it has any.
type Refusal = (ErrorCode, Option<String>);

fn partition<'a>(shard: &'a Shard, topic: &str, index: i32) -> Result<&'a PartitionState, Refusal> {
    let unknown = |message| (ErrorCode::UnknownTopicOrPartition, Some(message));
    let state = shard
        .image
        .topic(topic)
        .ok_or_else(|| unknown(format!("Unable to find a topic named {topic}.")))?;
    usize::try_from(index)
        .ok()
        .and_then(|at| state.partitions.get(at))
        .ok_or_else(|| unknown(format!("Unable to find partition {topic}:{index}.")))
}

/// Checks a target (`ReplicationControlManager.changePartitionReassignment`); none ends a reassignment.
fn reassign(shard: &Shard, state: &PartitionState, target: Option<&[i32]>) -> Result<(), Refusal> {
    let target = target.ok_or((ErrorCode::NoReassignmentInProgress, None))?;
    let invalid = |problem: String| {
        let message = format!("The manual partition assignment includes {problem}.");
        Err((ErrorCode::InvalidReplicaAssignment, Some(message)))
    };
    if target.is_empty() {
        return invalid("an empty replica list".to_owned());
    }
    let mut seen = BTreeSet::new();
    for id in target {
        if !seen.insert(id) {
            return invalid(format!("the broker {id} more than once"));
        }
        if shard.image.broker(BrokerId(*id)).is_none() {
            return invalid(format!("broker {id}, but no such broker is registered"));
        }
    }
    let has = |id: &i32| state.replicas.contains(&BrokerId(*id));
    debug_assert!(target.iter().all(has), "one broker has every replica");
    Ok(())
}
