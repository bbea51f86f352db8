//! ListGroups: all groups, by state and type if asked (KIP-518, KIP-848).

use wiber_coordinator::{ListGroupsRequest as GroupList, Request as GroupRequest, Response};
use wiber_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::message::GroupAnswer;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &ListGroupsRequest,
    fx: &mut Vec<Effect>,
) {
    let wanted = GroupList {
        states: body.states_filter.iter().map(Str::to_string).collect(),
        types: body.types_filter.iter().map(Str::to_string).collect(),
    };
    let asked = groups::all_partitions(shard)
        .into_iter()
        .map(|partition| (partition, GroupRequest::ListGroups(wanted.clone())))
        .collect();
    groups::ask(shard, request, Purpose::ListGroups, asked, fx);
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let mut response = ListGroupsResponse::default();
    for answer in answers {
        match answer {
            Ok(Response::ListGroups(listed)) => {
                response
                    .groups
                    .extend(listed.into_iter().map(|group| ListedGroup {
                        group_id: group.group.into(),
                        protocol_type: group.protocol_type.into(),
                        group_state: group.state.into(),
                        group_type: group.kind.into(),
                    }));
            }
            Ok(other) => groups::mismatch(&other),
            // Another broker has it now.
            Err(ErrorCode::NotCoordinator) => {}
            Err(error) => response.error_code = error.code(),
        }
    }
    if response.error_code != ErrorCode::None.code() {
        response.groups.clear();
    }
    shard.respond(request, &response, fx);
}
