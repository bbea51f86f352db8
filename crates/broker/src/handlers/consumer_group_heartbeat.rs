//! ConsumerGroupHeartbeat: all that a member of the consumer protocol says, and all that it is told (KIP-848).

use wiber_coordinator::{
    ConsumerHeartbeat, ConsumerHeartbeatRequest, GroupError, Request as GroupRequest, Response,
    TopicPartitions,
};
use wiber_protocol::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    RequestTopicPartitions, ResponseTopicPartitions,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    client_id: Option<Str>,
    body: ConsumerGroupHeartbeatRequest,
    fx: &mut Vec<Effect>,
) {
    if !shard.options.groups.consumer_protocol {
        let off =
            GroupError::UnsupportedVersion("The consumer group protocol is not enabled.".into());
        respond(shard, request, refused(&off), fx);
        return;
    }
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => return respond(shard, request, of_code(error), fx),
    };
    // A topic that is named twice is owned twice: what a member seems to have given up, another is given.
    let owned = |owned: Vec<RequestTopicPartitions>| {
        let mut all = TopicPartitions::new();
        for part in owned {
            all.entry(part.topic_id)
                .or_default()
                .extend(part.partitions);
        }
        all
    };
    let asked = ConsumerHeartbeatRequest {
        group: body.group_id.into(),
        member_id: body.member_id.into(),
        member_epoch: body.member_epoch,
        instance_id: body.instance_id.map(String::from),
        rack_id: body.rack_id.map(String::from),
        rebalance_timeout_ms: body.rebalance_timeout_ms,
        topics: body
            .subscribed_topic_names
            .map(|names| names.into_iter().map(String::from).collect()),
        regex: body.subscribed_topic_regex.map(String::from),
        assignor: body.server_assignor.map(String::from),
        owned: body.topic_partitions.map(owned),
        version: shard.version(request),
        caller: groups::caller(shard, request, client_id.as_ref()),
    };
    let asked = vec![(partition, GroupRequest::ConsumerHeartbeat(asked))];
    groups::ask(shard, request, Purpose::ConsumerGroupHeartbeat, asked, fx);
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let response = match groups::only(answers) {
        Ok(Response::ConsumerHeartbeat(Ok(heartbeat))) => response(heartbeat),
        Ok(Response::ConsumerHeartbeat(Err(error))) => refused(&error),
        Ok(other) => groups::mismatch(&other),
        Err(error) => of_code(error),
    };
    respond(shard, request, response, fx);
}

fn response(heartbeat: ConsumerHeartbeat) -> ConsumerGroupHeartbeatResponse {
    let assignment = |partitions: TopicPartitions| Assignment {
        topic_partitions: partitions
            .into_iter()
            .map(|(topic_id, partitions)| ResponseTopicPartitions {
                topic_id,
                partitions,
            })
            .collect(),
    };
    ConsumerGroupHeartbeatResponse {
        member_id: Some(heartbeat.member_id.into()),
        member_epoch: heartbeat.member_epoch,
        heartbeat_interval_ms: heartbeat.heartbeat_interval_ms,
        assignment: heartbeat.assignment.map(assignment),
        ..Default::default()
    }
}

fn refused(error: &GroupError) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: errors::of_group(error).code(),
        error_message: Some(errors::message(error)),
        ..Default::default()
    }
}

fn of_code(error: ErrorCode) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: error.code(),
        ..Default::default()
    }
}

fn respond(
    shard: &mut Shard,
    request: RequestId,
    response: ConsumerGroupHeartbeatResponse,
    fx: &mut Vec<Effect>,
) {
    shard.respond(request, &response, fx);
}
