//! OffsetCommit: where a group goes on (KIP-211, KIP-848; topics by id from version 10 on).

use wiber_coordinator::{CommitOffset, CommitRequest, Request as GroupRequest, Response};
use wiber_model::{LeaderEpoch, Offset, TopicId};
use wiber_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// The first version that names topics by their ids.
const TOPIC_ID_VERSION: i16 = 10;

/// What the answer needs of the request.
#[derive(Debug)]
pub(super) struct Commit {
    topics: Vec<CommitTopic>,
}

#[derive(Debug)]
struct CommitTopic {
    name: Str,
    id: TopicId,
    /// Indexes, and why one is refused; the others were put to the coordinator, in order.
    partitions: Vec<(i32, Option<ErrorCode>)>,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: OffsetCommitRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let version = shard.version(request);
    let mut commit = Commit { topics: Vec::new() };
    let mut offsets = Vec::new();
    for topic in body.topics {
        let (known, unknown) = if version >= TOPIC_ID_VERSION {
            let known = shard.image.topic_by_id(topic.topic_id);
            (known, ErrorCode::UnknownTopicId)
        } else {
            let known = shard.image.topic(&topic.name);
            (known, ErrorCode::UnknownTopicOrPartition)
        };
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let index = wanted.partition_index;
            let refusal = match known {
                None => Some(unknown),
                Some(known) if !(0..known.partitions.len() as i32).contains(&index) => {
                    Some(ErrorCode::UnknownTopicOrPartition)
                }
                Some(known) => {
                    offsets.push(CommitOffset {
                        topic: known.name.clone(),
                        topic_id: known.id,
                        partition: index,
                        offset: Offset(wanted.committed_offset),
                        leader_epoch: LeaderEpoch(wanted.committed_leader_epoch),
                        metadata: wanted
                            .committed_metadata
                            .map(String::from)
                            .unwrap_or_default(),
                        timestamp: None,
                    });
                    None
                }
            };
            partitions.push((index, refusal));
        }
        commit.topics.push(CommitTopic {
            name: topic.name.detached(),
            id: topic.topic_id,
            partitions,
        });
    }
    if offsets.is_empty() {
        respond(shard, request, commit, &[], fx);
        return Ok(());
    }
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => {
            let all = vec![error; offsets.len()];
            respond(shard, request, commit, &all, fx);
            return Ok(());
        }
    };
    let asked = CommitRequest {
        group: body.group_id.into(),
        generation_or_epoch: body.generation_id_or_member_epoch,
        member_id: body.member_id.into(),
        instance_id: body.group_instance_id.map(String::from),
        retention_ms: Some(body.retention_time_ms).filter(|ms| *ms >= 0),
        version,
        offsets,
    };
    let asked = vec![(partition, GroupRequest::CommitOffsets(asked))];
    groups::ask(shard, request, Purpose::OffsetCommit(commit), asked, fx);
    Ok(())
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    commit: Commit,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let asked = commit
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .filter(|(_, refusal)| refusal.is_none())
        .count();
    let codes = match groups::only(answers) {
        Ok(Response::CommitOffsets(Ok(results))) => {
            let code = |result: Result<(), _>| match result {
                Ok(()) => ErrorCode::None,
                Err(error) => errors::of_group(&error),
            };
            results.into_iter().map(code).collect()
        }
        Ok(Response::CommitOffsets(Err(error))) => vec![errors::of_group(&error); asked],
        Ok(other) => groups::mismatch(&other),
        Err(error) => vec![error; asked],
    };
    respond(shard, request, commit, &codes, fx);
}

/// Answers; `codes` are those of the partitions that were not refused, in order.
fn respond(
    shard: &mut Shard,
    request: RequestId,
    commit: Commit,
    codes: &[ErrorCode],
    fx: &mut Vec<Effect>,
) {
    let mut codes = codes.iter().copied();
    let mut code = |refusal: Option<ErrorCode>| match refusal {
        Some(error) => error,
        None => codes.next().unwrap_or(ErrorCode::UnknownServerError),
    };
    let mut response = OffsetCommitResponse::default();
    for topic in commit.topics {
        let partitions = topic
            .partitions
            .into_iter()
            .map(|(partition_index, refusal)| OffsetCommitResponsePartition {
                partition_index,
                error_code: code(refusal).code(),
            })
            .collect();
        response.topics.push(OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.id,
            partitions,
        });
    }
    shard.respond(request, &response, fx);
}
