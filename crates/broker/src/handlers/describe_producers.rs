//! DescribeProducers: the idempotent producers that partitions remember (KIP-664).

use std::collections::BTreeSet;

use wiber_controller::is_valid_topic_name;
use wiber_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::message::ProducersAnswer;

/// The epoch of the transaction coordinator, which a producer without transactions does not have.
const NO_COORDINATOR_EPOCH: i32 = -1;

/// A partition's index, and its answer.
type Part = (i32, Option<ProducersAnswer>);

/// A DescribeProducers under way.
#[derive(Debug)]
pub(crate) struct DescribeProducers {
    /// Each topic with the indexes of its partitions, and their answers.
    topics: Vec<(Str, Vec<Part>)>,
    left: usize,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DescribeProducersRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(
        body.topics
            .iter()
            .map(|topic| topic.partition_indexes.len())
            .sum(),
    )?;
    let mut work = DescribeProducers {
        topics: Vec::new(),
        left: 0,
    };
    let mut asks = Vec::new();
    // A partition that is named often must not make an answer out of proportion: it is described once.
    let mut seen = BTreeSet::new();
    for topic in &body.topics {
        let mut partitions = Vec::new();
        for &index in &topic.partition_indexes {
            let found = if is_valid_topic_name(&topic.name) {
                list_offsets::find(shard, &topic.name, index)
            } else {
                Err(ErrorCode::InvalidTopicException)
            };
            if found.is_ok_and(|partition| !seen.insert(partition)) {
                continue;
            }
            let part = (work.topics.len(), partitions.len());
            partitions.push(match found {
                Ok(partition) => {
                    asks.push((part, partition));
                    (index, None)
                }
                Err(error) => (index, Some(Err(error))),
            });
        }
        work.topics.push((topic.name.detached(), partitions));
    }
    work.left = asks.len();
    if asks.is_empty() {
        finish(shard, request, work, fx);
        return Ok(());
    }
    shard.put_back(request, Work::DescribeProducers(work));
    ask_owners(
        shard,
        request,
        asks,
        |part| part.1,
        |parts| Ask::Producers { parts },
        fx,
    );
    Ok(())
}

pub(super) fn answered(
    shard: &mut Shard,
    request: RequestId,
    mut work: DescribeProducers,
    answers: Vec<((usize, usize), ProducersAnswer)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for ((topic, part), answer) in answers {
        work.topics[topic].1[part].1 = Some(answer);
    }
    if work.left == 0 {
        finish(shard, request, work, fx);
    } else {
        shard.put_back(request, Work::DescribeProducers(work));
    }
}

fn finish(shard: &mut Shard, request: RequestId, work: DescribeProducers, fx: &mut Vec<Effect>) {
    let topic = |(name, partitions): (Str, Vec<_>)| TopicResponse {
        name,
        partitions: partitions.into_iter().map(partition).collect(),
    };
    let response = DescribeProducersResponse {
        topics: work.topics.into_iter().map(topic).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}

fn partition((partition_index, answer): Part) -> PartitionResponse {
    let mut response = PartitionResponse {
        partition_index,
        ..Default::default()
    };
    match answer {
        Some(Ok(producers)) => {
            response.active_producers = producers
                .into_iter()
                .map(|producer| ProducerState {
                    producer_id: producer.id.0,
                    producer_epoch: i32::from(producer.epoch.0),
                    last_sequence: producer.last_sequence.0,
                    last_timestamp: producer.last_timestamp.0,
                    coordinator_epoch: NO_COORDINATOR_EPOCH,
                    ..Default::default()
                })
                .collect();
        }
        Some(Err(error)) => response.error_code = error.code(),
        None => unreachable!("all parts are answered"),
    }
    response
}
