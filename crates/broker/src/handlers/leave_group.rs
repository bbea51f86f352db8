//! LeaveGroup: members of a classic group leave, or are removed by an operator (KIP-345).

use wiber_coordinator::{
    LeaveRequest, LeavingMember, LeftMember, Request as GroupRequest, Response,
};
use wiber_protocol::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// The first version in which several members may leave at once.
const BATCH_VERSION: i16 = 3;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: LeaveGroupRequest,
    fx: &mut Vec<Effect>,
) {
    let partition = match groups::partition_for(shard, &body.group_id) {
        Ok(partition) => partition,
        Err(error) => return respond(shard, request, error, Vec::new(), fx),
    };
    let leaving = |member: MemberIdentity| LeavingMember {
        member_id: member.member_id.into(),
        instance_id: member.group_instance_id.map(String::from),
        reason: member.reason.map(String::from),
    };
    let members = if shard.version(request) >= BATCH_VERSION {
        body.members.into_iter().map(leaving).collect()
    } else {
        vec![LeavingMember {
            member_id: body.member_id.into(),
            ..Default::default()
        }]
    };
    let asked = LeaveRequest {
        group: body.group_id.into(),
        members,
    };
    let asked = vec![(partition, GroupRequest::Leave(asked))];
    groups::ask(shard, request, Purpose::LeaveGroup, asked, fx);
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let (error, members) = match groups::only(answers) {
        Ok(Response::Leave(Ok(members))) => (ErrorCode::None, members),
        Ok(Response::Leave(Err(error))) => (errors::of_group(&error), Vec::new()),
        Ok(other) => groups::mismatch(&other),
        Err(error) => (error, Vec::new()),
    };
    respond(shard, request, error, members, fx);
}

fn respond(
    shard: &mut Shard,
    request: RequestId,
    error: ErrorCode,
    members: Vec<LeftMember>,
    fx: &mut Vec<Effect>,
) {
    let code = |member: &LeftMember| match &member.result {
        Ok(()) => ErrorCode::None,
        Err(error) => errors::of_group(error),
    };
    let mut response = LeaveGroupResponse {
        error_code: error.code(),
        ..Default::default()
    };
    if shard.version(request) < BATCH_VERSION {
        // There is one member, and its error is the answer's.
        if let (ErrorCode::None, [member]) = (error, &members[..]) {
            response.error_code = code(member).code();
        }
    } else {
        let left = |member: LeftMember| MemberResponse {
            error_code: code(&member).code(),
            member_id: member.member_id.into(),
            group_instance_id: member.instance_id.map(Str::from),
        };
        response.members = members.into_iter().map(left).collect();
    }
    shard.respond(request, &response, fx);
}
