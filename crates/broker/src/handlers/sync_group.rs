//! SyncGroup: a member of a classic group gets its assignment, and the leader gives all of them.

use bytes::Bytes;
use wiber_coordinator::{Request as GroupRequest, Response, SyncRequest};
use wiber_protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// From this version on a member has to name the protocol that it was told of (KIP-559).
const VERSION_WITH_PROTOCOL: i16 = 5;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: SyncGroupRequest,
    fx: &mut Vec<Effect>,
) {
    let names_protocol = body.protocol_type.is_some() && body.protocol_name.is_some();
    if shard.version(request) >= VERSION_WITH_PROTOCOL && !names_protocol {
        return respond_error(shard, request, ErrorCode::InconsistentGroupProtocol, fx);
    }
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => return respond_error(shard, request, error, fx),
    };
    let assigned = |given: wiber_protocol::messages::sync_group::SyncGroupRequestAssignment| {
        let assignment = Bytes::copy_from_slice(&given.assignment);
        (given.member_id.into(), assignment)
    };
    let asked = SyncRequest {
        group: body.group_id.into(),
        generation: body.generation_id,
        member_id: body.member_id.into(),
        instance_id: body.group_instance_id.map(String::from),
        protocol_type: body.protocol_type.map(String::from),
        protocol: body.protocol_name.map(String::from),
        assignments: body.assignments.into_iter().map(assigned).collect(),
    };
    let asked = vec![(partition, GroupRequest::Sync(asked))];
    groups::ask(shard, request, Purpose::SyncGroup, asked, fx);
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    match groups::only(answers) {
        Ok(Response::Sync(Ok(synced))) => {
            let response = SyncGroupResponse {
                protocol_type: synced.protocol_type.map(Str::from),
                protocol_name: synced.protocol.map(Str::from),
                assignment: synced.assignment,
                ..Default::default()
            };
            shard.respond(request, &response, fx);
        }
        Ok(Response::Sync(Err(error))) => {
            respond_error(shard, request, errors::of_group(&error), fx);
        }
        Ok(other) => groups::mismatch(&other),
        // As Kafka has it: the exchange was lost with the coordinator's last life, so the member joins again.
        Err(ErrorCode::CoordinatorLoadInProgress) => {
            respond_error(shard, request, ErrorCode::RebalanceInProgress, fx);
        }
        Err(error) => respond_error(shard, request, error, fx),
    }
}

fn respond_error(shard: &mut Shard, request: RequestId, error: ErrorCode, fx: &mut Vec<Effect>) {
    let response = SyncGroupResponse {
        error_code: error.code(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
