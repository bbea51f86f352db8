//! ListOffsets: the ends of a log, and offsets by timestamp.

use wiber_model::{LeaderEpoch, TimestampMs};
use wiber_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::message::{OffsetAnswer, OffsetSpec};

/// A ListOffsets under way.
#[derive(Debug)]
pub(crate) struct ListOffsets {
    /// Topic, partition's index, and the answer.
    parts: Vec<(Str, i32, Option<OffsetAnswer>)>,
    left: usize,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    version: i16,
    body: &ListOffsetsRequest,
    fx: &mut Vec<Effect>,
) {
    let mut work = ListOffsets {
        parts: Vec::new(),
        left: 0,
    };
    let mut asks = Vec::new();
    for topic in &body.topics {
        for wanted in &topic.partitions {
            let found = find(shard, &topic.name, wanted.partition_index)
                .and_then(|partition| Ok((partition, spec(wanted.timestamp, version)?)));
            let answer = match found {
                Ok((partition, spec)) => {
                    let epoch = LeaderEpoch(wanted.current_leader_epoch);
                    asks.push((work.parts.len(), partition, epoch, spec));
                    None
                }
                Err(error) => Some(Err(error)),
            };
            work.parts
                .push((topic.name.detached(), wanted.partition_index, answer));
        }
    }
    work.left = asks.len();
    if asks.is_empty() {
        finish(shard, request, work, fx);
        return;
    }
    shard.put_back(request, Work::ListOffsets(work));
    ask_owners(
        shard,
        request,
        asks,
        |part| part.1,
        |parts| Ask::Offsets { parts },
        fx,
    );
}

pub(super) fn answered(
    shard: &mut Shard,
    request: RequestId,
    mut work: ListOffsets,
    answers: Vec<(usize, OffsetAnswer)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for (part, answer) in answers {
        work.parts[part].2 = Some(answer);
    }
    if work.left == 0 {
        finish(shard, request, work, fx);
    } else {
        shard.put_back(request, Work::ListOffsets(work));
    }
}

fn finish(shard: &mut Shard, request: RequestId, work: ListOffsets, fx: &mut Vec<Effect>) {
    // Clients of before version 4 know no leader epochs.
    let has_epochs = shard.version(request) >= 4;
    let mut response = ListOffsetsResponse::default();
    for (name, partition_index, answer) in work.parts {
        let mut partition = ListOffsetsPartitionResponse {
            partition_index,
            offset: -1,
            timestamp: -1,
            ..Default::default()
        };
        match answer {
            Some(Ok(found)) => {
                partition.offset = found.offset.0;
                partition.timestamp = found.timestamp.0;
                if has_epochs {
                    partition.leader_epoch = found.epoch.0;
                }
            }
            Some(Err(error)) => partition.error_code = error.code(),
            None => unreachable!("all parts are answered"),
        }
        match response
            .topics
            .last_mut()
            .filter(|topic| topic.name == name)
        {
            Some(topic) => topic.partitions.push(partition),
            None => response.topics.push(ListOffsetsTopicResponse {
                name,
                partitions: vec![partition],
            }),
        }
    }
    shard.respond(request, &response, fx);
}

/// What a timestamp asks for. Special ones came with versions: −3 with 7, −4 with 8, −5 with 9, −6 with 11.
fn spec(timestamp: i64, version: i16) -> Result<OffsetSpec, ErrorCode> {
    match timestamp {
        -1 => Ok(OffsetSpec::Latest),
        -2 => Ok(OffsetSpec::Earliest),
        -3 if version >= 7 => Ok(OffsetSpec::MaxTimestamp),
        -4 if version >= 8 => Ok(OffsetSpec::EarliestLocal),
        -5 if version >= 9 => Ok(OffsetSpec::LatestTiered),
        -6 if version >= 11 => Ok(OffsetSpec::EarliestPendingUpload),
        0.. => Ok(OffsetSpec::At(TimestampMs(timestamp))),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

/// The partition of that name and index.
pub(super) fn find(shard: &Shard, topic: &str, partition: i32) -> Result<PartitionId, ErrorCode> {
    let topic = shard
        .image
        .topic(topic)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !(0..topic.partitions.len() as i32).contains(&partition) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    Ok(PartitionId {
        topic: topic.id,
        partition,
    })
}
