//! OffsetDelete: what a group has committed for some partitions goes (KIP-496).

use wiber_coordinator::{DeleteOffsetsRequest, Request as GroupRequest, Response};
use wiber_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// What the answer needs of the request.
#[derive(Debug)]
pub(super) struct Deletion {
    /// Topics with indexes, and why one is refused; the others were put to the coordinator, in order.
    topics: Vec<(Str, Vec<DeletionPart>)>,
}

/// A partition's index, and why it is refused.
type DeletionPart = (i32, Option<ErrorCode>);

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: OffsetDeleteRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let mut deletion = Deletion { topics: Vec::new() };
    let mut partitions = Vec::new();
    for topic in body.topics {
        let mut parts = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let index = wanted.partition_index;
            let refusal = list_offsets::find(shard, &topic.name, index).err();
            if refusal.is_none() {
                partitions.push((topic.name.to_string(), index));
            }
            parts.push((index, refusal));
        }
        deletion.topics.push((topic.name.detached(), parts));
    }
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => {
            respond_error(shard, request, error, fx);
            return Ok(());
        }
    };
    let asked = DeleteOffsetsRequest {
        group: body.group_id.into(),
        partitions,
    };
    let asked = vec![(partition, GroupRequest::DeleteOffsets(asked))];
    groups::ask(shard, request, Purpose::OffsetDelete(deletion), asked, fx);
    Ok(())
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    deletion: Deletion,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let results = match groups::only(answers) {
        Ok(Response::DeleteOffsets(Ok(results))) => results,
        Ok(Response::DeleteOffsets(Err(error))) => {
            return respond_error(shard, request, errors::of_group(&error), fx);
        }
        Ok(other) => groups::mismatch(&other),
        Err(error) => return respond_error(shard, request, error, fx),
    };
    let mut results = results.into_iter();
    let mut response = OffsetDeleteResponse::default();
    for (name, parts) in deletion.topics {
        let part = |(partition_index, refusal): DeletionPart| {
            let error = match refusal {
                Some(error) => error,
                None => match results.next() {
                    Some(Ok(())) => ErrorCode::None,
                    Some(Err(error)) => errors::of_group(&error),
                    None => ErrorCode::UnknownServerError,
                },
            };
            OffsetDeleteResponsePartition {
                partition_index,
                error_code: error.code(),
            }
        };
        response.topics.push(OffsetDeleteResponseTopic {
            name,
            partitions: parts.into_iter().map(part).collect(),
        });
    }
    shard.respond(request, &response, fx);
}

fn respond_error(shard: &mut Shard, request: RequestId, error: ErrorCode, fx: &mut Vec<Effect>) {
    let response = OffsetDeleteResponse {
        error_code: error.code(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
