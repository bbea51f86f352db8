//! DescribeGroups: classic groups and their members (KIP-430, KIP-1043).

use wiber_coordinator::{
    ClassicDescription, DescribedClassicMember, GroupError, Request as GroupRequest, Response,
};
use wiber_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// Read, delete, describe, describe and alter the settings (`AclEntry.supportedOperations` of a group), as bits by Kafka's codes.
pub(super) const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// What the answer needs of the request.
#[derive(Debug)]
pub(super) struct Described {
    /// The groups.
    pub groups: Vec<Str>,
    /// Whether the answer says what the client may do.
    pub operations: bool,
}

impl Described {
    /// What the client may do, if it wants to know: all, as nobody is kept from anything.
    pub fn authorized_operations(&self) -> i32 {
        if self.operations {
            ALL_OPERATIONS
        } else {
            i32::MIN
        }
    }
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DescribeGroupsRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.groups.len())?;
    check_repeated(body.groups.iter())?;
    let described = Described {
        groups: body.groups.iter().map(Str::detached).collect(),
        operations: body.include_authorized_operations,
    };
    let version = shard.version(request);
    let ask = |group| GroupRequest::DescribeClassic { group, version };
    let asked = groups::each(shard, &described.groups, ask);
    groups::ask(
        shard,
        request,
        Purpose::DescribeGroups(described),
        asked,
        fx,
    );
    Ok(())
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    described: Described,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let authorized_operations = described.authorized_operations();
    let mut answers = answers.into_iter();
    let group = |group_id| {
        let described = match answers.next() {
            Some(Ok(Response::DescribeClassic(Ok(description)))) => group_of(description),
            Some(Ok(Response::DescribeClassic(Err(error)))) => refused(&error),
            Some(Ok(other)) => groups::mismatch(&other),
            Some(Err(error)) => of_code(error),
            None => of_code(ErrorCode::NotCoordinator),
        };
        let known = described.error_code == ErrorCode::None.code();
        DescribedGroup {
            group_id,
            authorized_operations: if known {
                authorized_operations
            } else {
                i32::MIN
            },
            ..described
        }
    };
    let response = DescribeGroupsResponse {
        groups: described.groups.into_iter().map(group).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}

fn group_of(description: ClassicDescription) -> DescribedGroup {
    let member = |member: DescribedClassicMember| DescribedGroupMember {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Str::from),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    };
    DescribedGroup {
        group_state: description.state.into(),
        protocol_type: description.protocol_type.into(),
        protocol_data: description.protocol.into(),
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

fn refused(error: &GroupError) -> DescribedGroup {
    let dead = match error {
        // Kafka says that such a group is dead.
        GroupError::GroupIdNotFound(_) => "Dead".into(),
        _ => Str::default(),
    };
    DescribedGroup {
        error_code: errors::of_group(error).code(),
        error_message: Some(errors::message(error)),
        group_state: dead,
        ..Default::default()
    }
}

fn of_code(error: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        error_code: error.code(),
        ..Default::default()
    }
}
