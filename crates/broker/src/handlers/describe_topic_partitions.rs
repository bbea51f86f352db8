//! DescribeTopicPartitions: topics in the order of their names, page by page (KIP-966). A page has so many partitions at most, and
//! says where the next one begins.

use std::collections::BTreeSet;

use wiber_controller::{PartitionState, TopicState, is_internal_topic, is_valid_topic_name};
use wiber_model::BrokerId;
use wiber_protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, ResponseCursor,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;

/// What everybody may do where nobody is kept from anything: a bit for each operation that Kafka has for a topic (`AclEntry`). They are
/// READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS.
pub(super) const ALL_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DescribeTopicPartitionsRequest,
    fx: &mut Vec<Effect>,
) {
    let response = page(shard, body);
    shard.respond(request, &response, fx);
}

/// The checks are those of Kafka's `DescribeTopicPartitionsRequestHandler`.
fn page(shard: &Shard, body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let (from, index) = match &body.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        None => ("", 0),
    };
    let all = body.topics.is_empty();
    let named = body.topics.iter().map(|topic| topic.name.as_str());
    let existing = shard.image.topics().map(|topic| topic.name.as_str());
    let names: BTreeSet<&str> = if all {
        existing.filter(|name| *name >= from).collect()
    } else {
        named.filter(|name| *name >= from).collect()
    };
    let is_lost = body.cursor.is_some() && !all && !names.contains(from);
    let Some(index) = usize::try_from(index).ok().filter(|_| !is_lost) else {
        let topics = body.topics.iter().map(|topic| {
            let name = topic.name.detached();
            failure(name, ErrorCode::InvalidRequest, i32::MIN)
        });
        return DescribeTopicPartitionsResponse {
            topics: topics.collect(),
            ..Default::default()
        };
    };
    let limit = body.response_partition_limit;
    let mut left = limit.clamp(1, shard.options.described_partitions_max) as usize;
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let cursor = |partition: usize| {
            Some(ResponseCursor {
                topic_name: name.into(),
                partition_index: partition as i32,
            })
        };
        if left == 0 {
            response.next_cursor = cursor(0);
            break;
        }
        let Some(topic) = shard.image.topic(name) else {
            let code = if is_valid_topic_name(name) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            response
                .topics
                .push(failure(name.into(), code, ALL_OPERATIONS));
            continue;
        };
        let first = if name == from { index } else { 0 };
        let described = describe(topic, first, left);
        let end = first + described.partitions.len();
        left -= described.partitions.len();
        response.topics.push(described);
        if end < topic.partitions.len() {
            response.next_cursor = cursor(end);
            break;
        }
    }
    response
}

/// At most `most` of a topic's partitions, from the one with index `first` on.
fn describe(topic: &TopicState, first: usize, most: usize) -> DescribeTopicPartitionsResponseTopic {
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    let partition =
        |(index, state): (usize, &PartitionState)| DescribeTopicPartitionsResponsePartition {
            error_code: ErrorCode::None.code(),
            partition_index: index as i32,
            leader_id: state.leader.0,
            leader_epoch: state.leader_epoch.0,
            replica_nodes: numbers(&state.replicas),
            isr_nodes: numbers(&state.isr),
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: Vec::new(),
        };
    let partitions = topic.partitions.iter().enumerate();
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id,
        is_internal: is_internal_topic(&topic.name),
        partitions: partitions.skip(first).take(most).map(partition).collect(),
        topic_authorized_operations: ALL_OPERATIONS,
    }
}

fn failure(name: Str, code: ErrorCode, operations: i32) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        is_internal: is_internal_topic(&name),
        name: Some(name),
        topic_authorized_operations: operations,
        ..Default::default()
    }
}
