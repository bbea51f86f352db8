//! DeleteGroups: groups without members go, with all that they have committed (KIP-229).

use wiber_coordinator::{Request as GroupRequest, Response};
use wiber_protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DeleteGroupsRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.groups_names.len())?;
    let names: Vec<_> = body.groups_names.iter().map(Str::detached).collect();
    let asked = groups::each(shard, &names, |group| GroupRequest::DeleteGroup { group });
    groups::ask(shard, request, Purpose::DeleteGroups(names), asked, fx);
    Ok(())
}

pub(super) fn finish(
    shard: &mut Shard,
    request: RequestId,
    names: Vec<Str>,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    let mut answers = answers.into_iter();
    let result = |group_id| {
        let error = match answers.next() {
            Some(Ok(Response::DeleteGroup(Ok(())))) => ErrorCode::None,
            Some(Ok(Response::DeleteGroup(Err(error)))) => errors::of_group(&error),
            Some(Ok(other)) => groups::mismatch(&other),
            Some(Err(error)) => error,
            None => ErrorCode::NotCoordinator,
        };
        DeletableGroupResult {
            group_id,
            error_code: error.code(),
        }
    };
    let response = DeleteGroupsResponse {
        results: names.into_iter().map(result).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
