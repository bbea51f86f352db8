//! JoinGroup: a member of a classic group joins, and waits until all have (KIP-62, KIP-345, KIP-394).

use wiber_coordinator::{JoinRequest, Joined, JoinedMember, Request as GroupRequest, Response};
use wiber_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// The first version in which a new member is first given its id, and has to come again with it (KIP-394).
const KNOWN_MEMBER_ID_VERSION: i16 = 4;
/// The first version that can say that there is no protocol.
const NULLABLE_PROTOCOL_VERSION: i16 = 7;
/// The first version that can tell a leader not to assign (KIP-814).
const SKIP_ASSIGNMENT_VERSION: i16 = 9;
/// The first version with a rebalance timeout of its own (KIP-62).
const REBALANCE_TIMEOUT_VERSION: i16 = 1;

/// What the answer repeats.
#[derive(Debug)]
pub(super) struct Joining {
    member_id: Str,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    client_id: Option<Str>,
    body: JoinGroupRequest,
    fx: &mut Vec<Effect>,
) {
    let joining = Joining {
        member_id: body.member_id.detached(),
    };
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => {
            respond_error(shard, request, error, joining.member_id, fx);
            return;
        }
    };
    let version = shard.version(request);
    let copy = |protocol: wiber_protocol::messages::join_group::JoinGroupRequestProtocol| {
        let metadata = bytes::Bytes::copy_from_slice(&protocol.metadata);
        (protocol.name.into(), metadata)
    };
    let asked = JoinRequest {
        group: body.group_id.into(),
        member_id: body.member_id.into(),
        instance_id: body.group_instance_id.map(String::from),
        session_timeout_ms: body.session_timeout_ms,
        rebalance_timeout_ms: if version < REBALANCE_TIMEOUT_VERSION {
            body.session_timeout_ms
        } else {
            body.rebalance_timeout_ms
        },
        protocol_type: body.protocol_type.into(),
        protocols: body.protocols.into_iter().map(copy).collect(),
        reason: body.reason.map(String::from),
        needs_known_member_id: version >= KNOWN_MEMBER_ID_VERSION,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_VERSION,
        caller: groups::caller(shard, request, client_id.as_ref()),
    };
    let asked = vec![(partition, GroupRequest::Join(asked))];
    groups::ask(shard, request, Purpose::JoinGroup(joining), asked, fx);
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    joining: Joining,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    match groups::only(answers) {
        Ok(Response::Join {
            result: Ok(joined),
            member_id,
        }) => {
            let response = response(joined, member_id);
            shard.respond(request, &response, fx);
        }
        Ok(Response::Join {
            result: Err(error),
            member_id,
        }) => respond_error(
            shard,
            request,
            errors::of_group(&error),
            member_id.into(),
            fx,
        ),
        Ok(other) => groups::mismatch(&other),
        Err(error) => respond_error(shard, request, error, joining.member_id, fx),
    }
}

fn response(joined: Joined, member_id: String) -> JoinGroupResponse {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Str::from),
        metadata: member.metadata,
    };
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.map(Str::from),
        protocol_name: joined.protocol.map(Str::from),
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment,
        member_id: member_id.into(),
        members: joined.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn respond_error(
    shard: &mut Shard,
    request: RequestId,
    error: ErrorCode,
    member_id: Str,
    fx: &mut Vec<Effect>,
) {
    let nullable = shard.version(request) >= NULLABLE_PROTOCOL_VERSION;
    let response = JoinGroupResponse {
        error_code: error.code(),
        protocol_name: (!nullable).then(Str::default),
        member_id,
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
