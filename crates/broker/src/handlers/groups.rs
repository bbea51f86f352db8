//! What the APIs about groups have in common: they ask the coordinators that have the groups, and answer when all have replied.

use std::net::IpAddr;

use wiber_coordinator::{Caller, Request as GroupRequest};
use wiber_model::PartitionId;
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::groups::{OFFSETS_TOPIC, partition_of};
use crate::message::GroupAnswer;

/// A request about groups under way.
#[derive(Debug)]
pub(crate) struct GroupWork {
    purpose: Purpose,
    answers: Vec<Option<GroupAnswer>>,
    left: usize,
}

/// Which API it is, and what its answer needs of the request.
#[derive(Debug)]
pub(super) enum Purpose {
    JoinGroup(join_group::Joining),
    SyncGroup,
    Heartbeat,
    LeaveGroup,
    OffsetCommit(offset_commit::Commit),
    OffsetFetch(offset_fetch::Fetching),
    OffsetDelete(offset_delete::Deletion),
    DeleteGroups(Vec<Str>),
    ListGroups,
    DescribeGroups(describe_groups::Described),
    ConsumerGroupHeartbeat,
    ConsumerGroupDescribe(describe_groups::Described),
}

/// Asks the coordinators of some groups, and keeps the request until they have replied. The purpose's `finish` gets the replies in the
/// order of `asked`, at once if there are none.
pub(super) fn ask(
    shard: &mut Shard,
    request: RequestId,
    purpose: Purpose,
    asked: Vec<(PartitionId, GroupRequest)>,
    fx: &mut Vec<Effect>,
) {
    if asked.is_empty() {
        finish(shard, request, purpose, Vec::new(), fx);
        return;
    }
    let work = GroupWork {
        purpose,
        answers: asked.iter().map(|_| None).collect(),
        left: asked.len(),
    };
    shard.put_back(request, Work::Groups(work));
    for (part, (partition, asked)) in asked.into_iter().enumerate() {
        let owner = shard.owner_of(partition);
        let ask = Ask::Group {
            part,
            partition,
            request: Box::new(asked),
        };
        shard.ask(owner, request, ask, fx);
    }
}

/// What is asked of each group's coordinator. There are groups for all of them, or, without their topic, for none.
pub(super) fn each(
    shard: &Shard,
    groups: &[Str],
    ask: impl Fn(String) -> GroupRequest,
) -> Vec<(PartitionId, GroupRequest)> {
    let asked = |group: &Str| {
        let partition = partition_for(shard, group).ok()?;
        Some((partition, ask(group.to_string())))
    };
    groups.iter().filter_map(asked).collect()
}

/// The partition that a group belongs to.
///
/// # Errors
/// If there are no groups yet.
pub(super) fn partition_for(shard: &Shard, group: &str) -> Result<PartitionId, ErrorCode> {
    let topic = shard
        .image
        .topic(OFFSETS_TOPIC)
        .ok_or(ErrorCode::NotCoordinator)?;
    Ok(PartitionId {
        topic: topic.id,
        partition: partition_of(group, topic.partitions.len() as i32),
    })
}

/// All partitions that have groups.
pub(super) fn all_partitions(shard: &Shard) -> Vec<PartitionId> {
    let Some(topic) = shard.image.topic(OFFSETS_TOPIC) else {
        return Vec::new();
    };
    let partition = |partition| PartitionId {
        topic: topic.id,
        partition,
    };
    (0..topic.partitions.len() as i32).map(partition).collect()
}

/// Who asks, as groups remember it.
pub(super) fn caller(shard: &Shard, request: RequestId, client_id: Option<&Str>) -> Caller {
    Caller {
        client_id: client_id.map(Str::to_string).unwrap_or_default(),
        host: shard.peer_of(request).map(host).unwrap_or_default(),
    }
}

/// An address as Java writes it: that is what groups have in Kafka, and what tools show.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let parts: Vec<_> = address
                .segments()
                .iter()
                .map(|part| format!("{part:x}"))
                .collect();
            format!("/{}", parts.join(":"))
        }
    }
}

/// A coordinator replied.
pub(super) fn answered(
    shard: &mut Shard,
    request: RequestId,
    mut work: GroupWork,
    part: usize,
    answer: GroupAnswer,
    fx: &mut Vec<Effect>,
) {
    work.left -= 1;
    work.answers[part] = Some(answer);
    if work.left > 0 {
        shard.put_back(request, Work::Groups(work));
        return;
    }
    let answers = work.answers.into_iter().flatten().collect();
    finish(shard, request, work.purpose, answers, fx);
}

fn finish(
    shard: &mut Shard,
    request: RequestId,
    purpose: Purpose,
    answers: Vec<GroupAnswer>,
    fx: &mut Vec<Effect>,
) {
    match purpose {
        Purpose::JoinGroup(joining) => join_group::finish(shard, request, joining, answers, fx),
        Purpose::SyncGroup => sync_group::finish(shard, request, answers, fx),
        Purpose::Heartbeat => heartbeat::finish(shard, request, answers, fx),
        Purpose::LeaveGroup => leave_group::finish(shard, request, answers, fx),
        Purpose::OffsetCommit(commit) => offset_commit::finish(shard, request, commit, answers, fx),
        Purpose::OffsetFetch(fetching) => {
            offset_fetch::finish(shard, request, fetching, answers, fx);
        }
        Purpose::OffsetDelete(deletion) => {
            offset_delete::finish(shard, request, deletion, answers, fx);
        }
        Purpose::DeleteGroups(groups) => delete_groups::finish(shard, request, groups, answers, fx),
        Purpose::ListGroups => list_groups::finish(shard, request, answers, fx),
        Purpose::DescribeGroups(described) => {
            describe_groups::finish(shard, request, described, answers, fx);
        }
        Purpose::ConsumerGroupHeartbeat => {
            consumer_group_heartbeat::finish(shard, request, answers, fx);
        }
        Purpose::ConsumerGroupDescribe(described) => {
            consumer_group_describe::finish(shard, request, described, answers, fx);
        }
    }
}

/// The one reply of an API that asks once.
pub(super) fn only(answers: Vec<GroupAnswer>) -> GroupAnswer {
    let mut answers = answers.into_iter();
    answers
        .next()
        .unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
}

/// A reply to something else than what was asked: a bug.
pub(super) fn mismatch(reply: &wiber_coordinator::Response) -> ! {
    unreachable!("a coordinator replied {reply:?}, and was asked something else")
}
