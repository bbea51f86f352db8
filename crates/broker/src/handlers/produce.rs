//! Produce: validate, append at the owners, answer when all is as durable as it must be.

use bytes::Bytes;
use wiber_controller::is_internal_topic;
use wiber_model::batch::TimestampType;
use wiber_model::{Batch, Offset, TimestampMs, TopicId};
use wiber_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse,
    TopicProduceResponse,
};
use wiber_protocol::{ErrorCode, Str};
use wiber_storage::validate::{Checked, Refusal, Rules, is_heavy, validate};

use super::*;
use crate::errors;
use crate::job::Job;
use crate::message::AppendAnswer;

/// The first Produce version that may carry Zstandard (KIP-110).
const ZSTD_VERSION: i16 = 7;
/// The first Produce version that names topics by id (KIP-516).
const TOPIC_ID_VERSION: i16 = 13;

/// A Produce under way.
#[derive(Debug)]
pub(crate) struct Produce {
    acks: i16,
    timeout_ms: i32,
    topics: Vec<(Str, TopicId)>,
    parts: Vec<Part>,
    /// Parts whose fate is open.
    left: usize,
}

/// A partition of the request.
#[derive(Debug)]
struct Part {
    topic: usize,
    partition: PartitionId,
    /// LogAppendTime's stamp, or −1.
    stamp: TimestampMs,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Refused(ErrorCode, String, Vec<(i32, String)>),
    Appended(AppendAnswer),
}

pub(super) fn begin(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    version: i16,
    body: ProduceRequest,
    fx: &mut Vec<Effect>,
) {
    let unauthorized = body.transactional_id.is_none() && has_transactional_batch(&body);
    let acks_known = [-1, 0, 1].contains(&body.acks);
    let mut work = Produce {
        acks: body.acks,
        timeout_ms: body.timeout_ms,
        topics: Vec::with_capacity(body.topic_data.len()),
        parts: Vec::new(),
        left: 0,
    };
    let mut inputs = Vec::new();
    for topic in body.topic_data {
        let known = if version >= TOPIC_ID_VERSION {
            shard.image.topic_by_id(topic.topic_id)
        } else {
            shard.image.topic(&topic.name)
        };
        let id = known.map(|t| t.id);
        let partitions = known.map_or(0, |t| t.partitions.len() as i32);
        let config = id.and_then(|id| shard.topic_config(id));
        let is_internal = known.is_some_and(|t| is_internal_topic(&t.name));
        work.topics
            .push((topic.name.detached(), id.unwrap_or(topic.topic_id)));
        for partition in topic.partition_data {
            let mut part = Part {
                topic: work.topics.len() - 1,
                partition: PartitionId {
                    topic: id.unwrap_or_default(),
                    partition: partition.index,
                },
                stamp: TimestampMs::NONE,
                outcome: None,
            };
            let exists = (0..partitions).contains(&partition.index);
            match (&config, partition.records) {
                // As in Kafka, where nobody may write to a transaction without its id: it is the request that is refused.
                _ if unauthorized => part.refuse(
                    ErrorCode::TransactionalIdAuthorizationFailed,
                    "a batch is part of a transaction, and the request names no transactional id"
                        .to_owned(),
                ),
                _ if !acks_known => {
                    part.refuse(
                        ErrorCode::InvalidRequiredAcks,
                        format!("acks must be -1, 0 or 1, not {}", body.acks),
                    );
                }
                (None, _) if version >= TOPIC_ID_VERSION => {
                    part.refuse(ErrorCode::UnknownTopicId, "no topic has this id".to_owned());
                }
                (Some(_), _) if !exists => part.refuse_unknown(),
                (None, _) => part.refuse_unknown(),
                // What stands there is what the coordinators believe, and they alone write it.
                (Some(_), _) if is_internal => part.refuse(
                    ErrorCode::InvalidTopicException,
                    "the topic belongs to the brokers, and they alone write to it".to_owned(),
                ),
                (Some(_), None) => {
                    part.refuse(ErrorCode::InvalidRecord, "the records are null".to_owned())
                }
                (Some(config), Some(records)) => {
                    let rules = Rules {
                        zstd: version >= ZSTD_VERSION,
                        ..config.rules().clone()
                    };
                    if rules.timestamp_type == TimestampType::LogAppendTime {
                        part.stamp = now.wall;
                    }
                    inputs.push((records, rules));
                }
            }
            work.parts.push(part);
        }
    }
    if inputs
        .iter()
        .any(|(records, rules)| is_heavy(records, rules))
    {
        shard.hold(request);
        shard.park(request, Work::Produce(work), wiber_model::Monotonic::NEVER);
        shard.start_job(
            request,
            Job::Validate {
                parts: inputs,
                now: now.wall,
            },
            fx,
        );
    } else {
        let check = |(records, rules): (Bytes, Rules)| validate(records, &rules, now.wall);
        let checked = inputs.into_iter().map(check).collect();
        validated(shard, now, request, work, checked, fx);
    }
}

/// Whether some partition's batch says that it is part of a transaction.
fn has_transactional_batch(body: &ProduceRequest) -> bool {
    let parts = body
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    parts
        .filter_map(|part| part.records.clone())
        .any(|mut records| {
            Batch::split_from(&mut records).is_ok_and(|batch| batch.is_transactional())
        })
}

/// The batches are checked: those that passed go to the owners of their partitions.
pub(super) fn validated(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    mut work: Produce,
    checked: Vec<Result<Checked, Refusal>>,
    fx: &mut Vec<Effect>,
) {
    let mut batches = Vec::with_capacity(checked.len());
    let open = work
        .parts
        .iter_mut()
        .enumerate()
        .filter(|(_, part)| part.outcome.is_none());
    for ((i, part), checked) in open.zip(checked) {
        match checked {
            Ok(checked) if checked.batch.is_transactional() => part.refuse(
                ErrorCode::InvalidTxnState,
                "the batch is part of a transaction, and no transaction is open on this partition"
                    .to_owned(),
            ),
            Ok(checked) => batches.push((i, part.partition, checked.batch)),
            Err(refusal) => {
                let (code, message, records) = errors::of_refusal(&refusal);
                part.outcome = Some(Outcome::Refused(code, message, records));
            }
        }
    }
    work.left = batches.len();
    if work.left == 0 {
        finish(shard, request, work, fx);
        return;
    }
    let deadline = now.monotonic.plus_ms(i64::from(work.timeout_ms));
    shard.park(request, Work::Produce(work), deadline);
    ask_owners(
        shard,
        request,
        batches,
        |b| b.1,
        |batches| Ask::Append { batches },
        fx,
    );
    shard.release(request);
}

/// An owner has appended its part.
pub(super) fn appended(
    shard: &mut Shard,
    request: RequestId,
    mut work: Produce,
    answers: Vec<(usize, AppendAnswer)>,
    fx: &mut Vec<Effect>,
) {
    work.left -= answers.len();
    for (part, answer) in answers {
        work.parts[part].outcome = Some(Outcome::Appended(answer));
    }
    if work.left == 0 {
        finish(shard, request, work, fx);
    } else {
        shard.put_back(request, Work::Produce(work));
    }
}

/// The disk takes longer than the client waits. The records may still land, and a retry is recognised (S7).
pub(super) fn expired(
    shard: &mut Shard,
    request: RequestId,
    mut work: Produce,
    fx: &mut Vec<Effect>,
) {
    for part in &mut work.parts {
        if part.outcome.is_none() {
            part.refuse(
                ErrorCode::RequestTimedOut,
                "the disk did not answer within the request's timeout".to_owned(),
            );
        }
    }
    finish(shard, request, work, fx);
}

fn finish(shard: &mut Shard, request: RequestId, work: Produce, fx: &mut Vec<Effect>) {
    if work.acks == 0 {
        let failed = work.parts.iter().find_map(Part::failure);
        match failed {
            // The client does not wait for an answer, so a lost connection is the only way to tell it. As in Kafka.
            Some((code, message)) => {
                shard.close_for(
                    request,
                    format!("Produce with acks=0 failed: {code}: {message}"),
                    fx,
                );
            }
            None => shard.respond_nothing(request, fx),
        }
        return;
    }
    let mut response = ProduceResponse::default();
    for (name, topic_id) in work.topics {
        response.responses.push(TopicProduceResponse {
            name,
            topic_id,
            partition_responses: Vec::new(),
        });
    }
    for part in work.parts {
        response.responses[part.topic]
            .partition_responses
            .push(part.response());
    }
    shard.respond(request, &response, fx);
}

impl Part {
    fn refuse(&mut self, code: ErrorCode, message: String) {
        self.outcome = Some(Outcome::Refused(code, message, Vec::new()));
    }

    fn refuse_unknown(&mut self) {
        self.refuse(
            ErrorCode::UnknownTopicOrPartition,
            "there is no such topic or partition".to_owned(),
        );
    }

    fn failure(&self) -> Option<(ErrorCode, &str)> {
        match self.outcome.as_ref()? {
            Outcome::Refused(code, message, _) => Some((*code, message)),
            Outcome::Appended(answer) => answer
                .result
                .as_ref()
                .err()
                .map(|(code, message)| (*code, message.as_str())),
        }
    }

    fn response(self) -> PartitionProduceResponse {
        let mut response = PartitionProduceResponse {
            index: self.partition.partition,
            base_offset: -1,
            ..Default::default()
        };
        match self.outcome {
            Some(Outcome::Appended(AppendAnswer {
                result: Ok(Offset(offset)),
                log_start,
            })) => {
                response.base_offset = offset;
                response.log_append_time_ms = self.stamp.0;
                response.log_start_offset = log_start.0;
            }
            Some(Outcome::Appended(AppendAnswer {
                result: Err((code, message)),
                log_start,
            })) => {
                response.error_code = code.code();
                response.error_message = Some(errors::message(message));
                response.log_start_offset = log_start.0;
            }
            Some(Outcome::Refused(code, message, records)) => {
                response.error_code = code.code();
                response.error_message = Some(errors::message(message));
                response.record_errors = records
                    .into_iter()
                    .map(|(batch_index, message)| BatchIndexAndErrorMessage {
                        batch_index,
                        batch_index_error_message: Some(errors::message(message)),
                    })
                    .collect();
            }
            None => unreachable!("a Produce ends when the fate of all its parts is known"),
        }
        response
    }
}
