//! OffsetForLeaderEpoch: where leader epochs ended, for clients that check whether their log was truncated (KIP-320).

use wiber_model::LeaderEpoch;
use wiber_protocol::Str;
use wiber_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};

use super::*;
use crate::message::EpochEndAnswer;

/// An OffsetForLeaderEpoch under way.
#[derive(Debug)]
pub(crate) struct EpochEnds {
    /// Topic, partition's index, and the answer.
    parts: Vec<(Str, i32, Option<EpochEndAnswer>)>,
    left: usize,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &OffsetForLeaderEpochRequest,
    fx: &mut Vec<Effect>,
) {
    let mut work = EpochEnds {
        parts: Vec::new(),
        left: 0,
    };
    let mut asks = Vec::new();
    for topic in &body.topics {
        for wanted in &topic.partitions {
            let answer = match list_offsets::find(shard, &topic.topic, wanted.partition) {
                Ok(partition) => {
                    let current = LeaderEpoch(wanted.current_leader_epoch);
                    let epoch = LeaderEpoch(wanted.leader_epoch);
                    asks.push((work.parts.len(), partition, current, epoch));
                    None
                }
                Err(error) => Some(Err(error)),
            };
            work.parts
                .push((topic.topic.detached(), wanted.partition, answer));
        }
    }
    work.left = asks.len();
    if asks.is_empty() {
        finish(shard, request, work, fx);
        return;
    }
    shard.put_back(request, Work::OffsetForLeaderEpoch(work));
    ask_owners(
        shard,
        request,
        asks,
        |part| part.1,
        |parts| Ask::EpochEnds { parts },
        fx,
    );
}

pub(super) fn answered(
    shard: &mut Shard,
    request: RequestId,
    mut work: EpochEnds,
    answers: Vec<(usize, EpochEndAnswer)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for (part, answer) in answers {
        work.parts[part].2 = Some(answer);
    }
    if work.left == 0 {
        finish(shard, request, work, fx);
    } else {
        shard.put_back(request, Work::OffsetForLeaderEpoch(work));
    }
}

fn finish(shard: &mut Shard, request: RequestId, work: EpochEnds, fx: &mut Vec<Effect>) {
    let mut response = OffsetForLeaderEpochResponse::default();
    for (name, partition, answer) in work.parts {
        let mut end = EpochEndOffset {
            partition,
            ..Default::default()
        };
        match answer {
            Some(Ok((epoch, offset))) => {
                end.leader_epoch = epoch.0;
                end.end_offset = offset.0;
            }
            Some(Err(error)) => end.error_code = error.code(),
            None => unreachable!("all parts are answered"),
        }
        match response
            .topics
            .last_mut()
            .filter(|topic| topic.topic == name)
        {
            Some(topic) => topic.partitions.push(end),
            None => response.topics.push(OffsetForLeaderTopicResult {
                topic: name,
                partitions: vec![end],
            }),
        }
    }
    shard.respond(request, &response, fx);
}
