//! DeleteRecords: moves the starts of logs up, so that what lies before them is gone (KIP-107).

use wiber_controller::is_internal_topic;
use wiber_model::{Offset, PartitionId};
use wiber_protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::message::DeletionAnswer;

/// Instead of an offset: the high watermark (`DeleteRecordsRequest.HIGH_WATERMARK`).
const HIGH_WATERMARK: i64 = -1;

/// The low watermark where there is an error (`DeleteRecordsResponse.INVALID_LOW_WATERMARK`).
const INVALID_LOW_WATERMARK: i64 = -1;

/// A DeleteRecords under way.
#[derive(Debug)]
pub(crate) struct DeleteRecords {
    /// Topic, partition's index, and where its log begins now.
    parts: Vec<(Str, i32, Option<DeletionAnswer>)>,
    left: usize,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DeleteRecordsRequest,
    fx: &mut Vec<Effect>,
) {
    let mut work = DeleteRecords {
        parts: Vec::new(),
        left: 0,
    };
    let mut asks = Vec::new();
    for topic in &body.topics {
        for wanted in &topic.partitions {
            let found = list_offsets::find(shard, &topic.name, wanted.partition_index);
            let result = match found.and_then(|partition| may_go(shard, &topic.name, partition)) {
                Ok(partition) => {
                    let up_to = Some(wanted.offset).filter(|offset| *offset != HIGH_WATERMARK);
                    asks.push((work.parts.len(), partition, up_to.map(Offset)));
                    None
                }
                Err(error) => Some(Err(error)),
            };
            work.parts
                .push((topic.name.detached(), wanted.partition_index, result));
        }
    }
    work.left = asks.len();
    if asks.is_empty() {
        finish(shard, request, work, fx);
        return;
    }
    shard.put_back(request, Work::DeleteRecords(work));
    ask_owners(
        shard,
        request,
        asks,
        |part| part.1,
        |parts| Ask::DeleteRecords { parts },
        fx,
    );
}

/// Whether a client may delete records of a partition, as Kafka has it.
fn may_go(shard: &Shard, topic: &str, partition: PartitionId) -> Result<PartitionId, ErrorCode> {
    if is_internal_topic(topic) {
        // A coordinator has in memory what it would find no more at its next start.
        return Err(ErrorCode::InvalidTopicException);
    }
    let log = shard
        .topic_config(partition.topic)
        .map(|config| config.log());
    // The newest value of each key was promised to stay.
    if log.is_some_and(|log| log.compact && !log.delete) {
        return Err(ErrorCode::PolicyViolation);
    }
    Ok(partition)
}

pub(super) fn answered(
    shard: &mut Shard,
    request: RequestId,
    mut work: DeleteRecords,
    answers: Vec<(usize, DeletionAnswer)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for (part, answer) in answers {
        work.parts[part].2 = Some(answer);
    }
    if work.left == 0 {
        finish(shard, request, work, fx);
    } else {
        shard.put_back(request, Work::DeleteRecords(work));
    }
}

fn finish(shard: &mut Shard, request: RequestId, work: DeleteRecords, fx: &mut Vec<Effect>) {
    let mut response = DeleteRecordsResponse::default();
    for (name, partition_index, result) in work.parts {
        let (low_watermark, error) = match result {
            Some(Ok(start)) => (start.0, ErrorCode::None),
            Some(Err(error)) => (INVALID_LOW_WATERMARK, error),
            None => unreachable!("all parts are answered"),
        };
        let partition = DeleteRecordsPartitionResult {
            partition_index,
            low_watermark,
            error_code: error.code(),
        };
        match response
            .topics
            .last_mut()
            .filter(|topic| topic.name == name)
        {
            Some(topic) => topic.partitions.push(partition),
            None => response.topics.push(DeleteRecordsTopicResult {
                name,
                partitions: vec![partition],
            }),
        }
    }
    shard.respond(request, &response, fx);
}
