//! ConsumerGroupDescribe: groups of the consumer protocol and their members (KIP-848).

use wiber_coordinator::{
    ConsumerDescription, DescribedConsumerMember, GroupError, Request as GroupRequest, Response,
    TopicPartitions,
};
use wiber_protocol::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    Member, TopicPartitions as DescribedPartitions,
};
use wiber_protocol::{ErrorCode, Str};

use super::describe_groups::Described;
use super::groups::{self, Purpose};
use super::*;
use crate::errors;
use crate::message::GroupAnswer;

/// How a member is described that speaks the classic protocol, and one that speaks the consumer protocol.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &ConsumerGroupDescribeRequest,
    fx: &mut Vec<Effect>,
) -> Result<(), String> {
    check_named(body.group_ids.len())?;
    check_repeated(body.group_ids.iter())?;
    let described = Described {
        groups: body.group_ids.iter().map(Str::detached).collect(),
        operations: body.include_authorized_operations,
    };
    if !shard.options.groups.consumer_protocol {
        let group = |group_id: Str| DescribedGroup {
            error_code: ErrorCode::UnsupportedVersion.code(),
            group_id,
            ..Default::default()
        };
        let response = ConsumerGroupDescribeResponse {
            groups: described.groups.into_iter().map(group).collect(),
            ..Default::default()
        };
        shard.respond(request, &response, fx);
        return Ok(());
    }
    let ask = |group| GroupRequest::DescribeConsumer { group };
    let asked = groups::each(shard, &described.groups, ask);
    groups::ask(
        shard,
        request,
        Purpose::ConsumerGroupDescribe(described),
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
            Some(Ok(Response::DescribeConsumer(Ok(description)))) => group_of(shard, description),
            Some(Ok(Response::DescribeConsumer(Err(error)))) => refused(&error),
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
    let response = ConsumerGroupDescribeResponse {
        groups: described.groups.into_iter().map(group).collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}

fn group_of(shard: &Shard, description: ConsumerDescription) -> DescribedGroup {
    let member = |member: DescribedConsumerMember| Member {
        member_id: member.member_id.into(),
        instance_id: member.instance_id.map(Str::from),
        rack_id: member.rack_id.map(Str::from),
        member_epoch: member.epoch,
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        subscribed_topic_names: member.topics.into_iter().map(Str::from).collect(),
        subscribed_topic_regex: member.regex.map(Str::from),
        assignment: named(shard, member.assignment),
        target_assignment: named(shard, member.target),
        member_type: if member.is_classic {
            CLASSIC_MEMBER
        } else {
            CONSUMER_MEMBER
        },
    };
    DescribedGroup {
        group_state: description.state.into(),
        group_epoch: description.epoch,
        assignment_epoch: description.assignment_epoch,
        assignor_name: description.assignor.into(),
        members: description.members.into_iter().map(member).collect(),
        ..Default::default()
    }
}

/// An assignment, with the names of its topics; one that is gone is left out.
fn named(shard: &Shard, partitions: TopicPartitions) -> Assignment {
    let part = |(topic_id, partitions)| {
        let topic = shard.image.topic_by_id(topic_id)?;
        Some(DescribedPartitions {
            topic_id,
            topic_name: topic.name.as_str().into(),
            partitions,
        })
    };
    Assignment {
        topic_partitions: partitions.into_iter().filter_map(part).collect(),
    }
}

fn refused(error: &GroupError) -> DescribedGroup {
    DescribedGroup {
        error_code: errors::of_group(error).code(),
        error_message: Some(errors::message(error)),
        ..Default::default()
    }
}

fn of_code(error: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        error_code: error.code(),
        ..Default::default()
    }
}
