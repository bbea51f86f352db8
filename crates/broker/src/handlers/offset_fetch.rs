//! OffsetFetch: where groups go on; several groups at once from version 8 on (KIP-709), topics by id from version 10 on.

use wiber_coordinator::{
    FetchOffsetsRequest, FetchedTopic, OffsetRecord, Request as GroupRequest, Response,
};
use wiber_model::TopicId;
use wiber_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// The first version with an error for the whole group.
const GROUP_ERROR_VERSION: i16 = 2;
/// The first version that asks for several groups.
const BATCH_VERSION: i16 = 8;
/// The first version that names topics by their ids.
const TOPIC_ID_VERSION: i16 = 10;
/// "Nothing is committed there" (`OffsetFetchResponse.INVALID_OFFSET`).
const INVALID_OFFSET: i64 = -1;

/// What the answer needs of the request.
#[derive(Debug)]
pub(super) struct Fetching {
    groups: Vec<FetchingGroup>,
}

#[derive(Debug)]
struct FetchingGroup {
    group: Str,
    /// What was asked for; none: all.
    topics: Option<Vec<FetchingTopic>>,
    /// Why it was not put to a coordinator.
    refusal: Option<ErrorCode>,
}

#[derive(Debug)]
struct FetchingTopic {
    /// None if the id is unknown.
    name: Option<Str>,
    id: TopicId,
    partitions: Vec<i32>,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: OffsetFetchRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    let version = shard.version(request);
    let wanted = if version >= BATCH_VERSION {
        body.groups
    } else {
        vec![one_group(body)]
    };
    let named = |group: &OffsetFetchRequestGroup| {
        let topics = group.topics.iter().flatten();
        topics
            .map(|topic| topic.partition_indexes.len())
            .sum::<usize>()
    };
    check_named(wanted.iter().map(named).sum())?;
    check_repeated(wanted.iter().map(|group| &group.group_id))?;
    for group in &wanted {
        let topics = group.topics.iter().flatten();
        check_repeated(topics.flat_map(|topic| {
            let partitions = topic.partition_indexes.iter();
            partitions.map(|partition| (&topic.name, topic.topic_id, *partition))
        }))?;
    }
    let mut fetching = Fetching { groups: Vec::new() };
    let mut asked = Vec::new();
    for group in wanted {
        let topic = |topic: OffsetFetchRequestTopics| {
            let name = if version >= TOPIC_ID_VERSION {
                let known = shard.image.topic_by_id(topic.topic_id);
                known.map(|known| Str::from(known.name.as_str()))
            } else {
                Some(topic.name.detached())
            };
            FetchingTopic {
                name,
                id: topic.topic_id,
                partitions: topic.partition_indexes,
            }
        };
        let topics: Option<Vec<_>> = group
            .topics
            .map(|topics| topics.into_iter().map(topic).collect());
        let partition = groups::partition_for(shard, &group.group_id);
        let refusal = partition.err();
        if let Ok(partition) = partition {
            let named = |topic: &FetchingTopic| {
                let name = topic.name.as_ref()?;
                Some((name.to_string(), topic.partitions.clone()))
            };
            let request = FetchOffsetsRequest {
                group: group.group_id.to_string(),
                member_id: group.member_id.map(String::from),
                member_epoch: group.member_epoch,
                partitions: topics
                    .as_ref()
                    .map(|topics| topics.iter().filter_map(named).collect()),
            };
            asked.push((partition, GroupRequest::FetchOffsets(request)));
        }
        fetching.groups.push(FetchingGroup {
            group: group.group_id.detached(),
            topics,
            refusal,
        });
    }
    groups::ask(shard, request, Purpose::OffsetFetch(fetching), asked, fx);
    Ok(())
}

/// The group of a version that asks for one.
fn one_group(body: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: wiber_protocol::messages::offset_fetch::OffsetFetchRequestTopic| {
        OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: TopicId::ZERO,
            partition_indexes: topic.partition_indexes,
        }
    };
    OffsetFetchRequestGroup {
        group_id: body.group_id,
        topics: body
            .topics
            .map(|topics| topics.into_iter().map(topic).collect()),
        ..Default::default()
    }
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    fetching: Fetching,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let mut answers = answers.into_iter();
    let mut results = Vec::new();
    for group in fetching.groups {
        let result = match group.refusal {
            Some(error) => Err(error),
            None => match answers.next() {
                Some(Ok(Response::FetchOffsets(result))) => {
                    result.map_err(|error| errors::of_group(&error))
                }
                Some(Ok(other)) => groups::mismatch(&other),
                Some(Err(error)) => Err(error),
                None => Err(ErrorCode::CoordinatorNotAvailable),
            },
        };
        results.push(group_response(
            shard,
            shard.version(request),
            group.group,
            group.topics,
            result,
        ));
    }
    let response = if shard.version(request) >= BATCH_VERSION {
        OffsetFetchResponse {
            groups: results,
            ..Default::default()
        }
    } else {
        results.pop().map(old_response).unwrap_or_default()
    };
    shard.respond(request, &response, fx);
}

fn group_response(
    shard: &Shard,
    version: i16,
    group_id: Str,
    wanted: Option<Vec<FetchingTopic>>,
    result: Result<Vec<FetchedTopic>, ErrorCode>,
) -> OffsetFetchResponseGroup {
    let error = result.as_ref().err().copied();
    let topics = match (wanted, result) {
        (Some(wanted), Ok(found)) => {
            let mut found = found.into_iter();
            let topic = |topic: FetchingTopic| match topic.name {
                Some(name) => {
                    let found = found.next().unwrap_or_default();
                    let partitions = found.partitions.into_iter().map(committed).collect();
                    topic_response(name, topic.id, partitions)
                }
                None => {
                    let unknown = |index| nothing(index, ErrorCode::UnknownTopicId);
                    let partitions = topic.partitions.into_iter().map(unknown).collect();
                    topic_response(Str::default(), topic.id, partitions)
                }
            };
            wanted.into_iter().map(topic).collect()
        }
        (None, Ok(found)) => {
            let topic = |topic: FetchedTopic| {
                let id = shard.image.topic(&topic.topic).map(|known| known.id);
                // A topic that is gone has no id to be named by.
                if version >= TOPIC_ID_VERSION && id.is_none() {
                    return None;
                }
                let partitions = topic.partitions.into_iter().map(committed).collect();
                let id = id.unwrap_or(TopicId::ZERO);
                Some(topic_response(topic.topic.into(), id, partitions))
            };
            found.into_iter().filter_map(topic).collect()
        }
        // The version has no place for the group's error.
        (Some(wanted), Err(error)) if version < GROUP_ERROR_VERSION => {
            let topic = |topic: FetchingTopic| {
                let failed = |index| nothing(index, error);
                let partitions = topic.partitions.into_iter().map(failed).collect();
                topic_response(topic.name.unwrap_or_default(), topic.id, partitions)
            };
            wanted.into_iter().map(topic).collect()
        }
        (_, Err(_)) => Vec::new(),
    };
    OffsetFetchResponseGroup {
        group_id,
        topics,
        error_code: error.unwrap_or(ErrorCode::None).code(),
    }
}

fn topic_response(
    name: Str,
    topic_id: TopicId,
    partitions: Vec<OffsetFetchResponsePartitions>,
) -> OffsetFetchResponseTopics {
    OffsetFetchResponseTopics {
        name,
        topic_id,
        partitions,
    }
}

fn committed((index, offset): (i32, Option<OffsetRecord>)) -> OffsetFetchResponsePartitions {
    match offset {
        Some(offset) => OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: offset.offset.0,
            committed_leader_epoch: offset.leader_epoch.0,
            metadata: Some(offset.metadata.into()),
            error_code: ErrorCode::None.code(),
        },
        None => nothing(index, ErrorCode::None),
    }
}

fn nothing(partition_index: i32, error: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: INVALID_OFFSET,
        metadata: Some(Str::default()),
        error_code: error.code(),
        ..Default::default()
    }
}

/// The answer of a version that asks for one group.
fn old_response(group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    };
    OffsetFetchResponse {
        topics: group.topics.into_iter().map(topic).collect(),
        error_code: group.error_code,
        ..Default::default()
    }
}
