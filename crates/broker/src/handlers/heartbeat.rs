//! Heartbeat: a member of a classic group is alive, and learns whether the group rebalances.

use wiber_coordinator::{HeartbeatRequest as GroupHeartbeat, Request as GroupRequest, Response};
use wiber_protocol::ErrorCode;
use wiber_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: HeartbeatRequest,
    fx: &mut Vec<Effect>,
) {
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => return respond(shard, request, error, fx),
    };
    let asked = GroupHeartbeat {
        group: body.group_id.into(),
        generation: body.generation_id,
        member_id: body.member_id.into(),
        instance_id: body.group_instance_id.map(String::from),
    };
    let asked = vec![(partition, GroupRequest::Heartbeat(asked))];
    groups::ask(shard, request, Purpose::Heartbeat, asked, fx);
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let error = match groups::only(answers) {
        Ok(Response::Heartbeat(Ok(()))) => ErrorCode::None,
        Ok(Response::Heartbeat(Err(error))) => errors::of_group(&error),
        Ok(other) => groups::mismatch(&other),
        // As Kafka has it: sessions begin anew once groups are loaded, and some clients stop to send heartbeats at any other error.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Err(error) => error,
    };
    respond(shard, request, error, fx);
}

fn respond(shard: &mut Shard, request: RequestId, error: ErrorCode, fx: &mut Vec<Effect>) {
    let response = HeartbeatResponse {
        error_code: error.code(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
