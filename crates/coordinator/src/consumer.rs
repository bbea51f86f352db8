//! Groups of the consumer protocol (KIP-848): the coordinator assigns.
//!
//! What the coordinator asks of this module stands here; each is a hook that its dispatch calls.

mod assign;
mod assignor;
mod classic_members;
mod convert;
mod group;
mod heartbeat;
mod member;
mod pattern;
mod reconcile;
mod resolve;
mod topics;

use std::collections::BTreeSet;

use tracing::info;
use wiber_model::TopicId;

pub(crate) use group::ConsumerGroup;
pub(crate) use resolve::Resolver;
pub(crate) use topics::Topics;

use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::groups::{Group, Groups};
use crate::record::Record;
use crate::request::{
    ConsumerHeartbeatRequest, HeartbeatRequest, JoinRequest, LeavingMember, SyncRequest,
};
use crate::response::{ConsumerDescription, Response};
use crate::step::Step;
use crate::timers::Timer;

/// The timers of the consumer protocol: what a member has failed to do when one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Overdue {
    /// To be heard of, for its session timeout.
    Session,
    /// To give partitions up, for its rebalance timeout.
    Revocation,
    /// To join, after it was told to: a member of the classic protocol.
    Join,
    /// To sync, after it had joined: a member of the classic protocol.
    Sync,
}

/// A timer of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerTimer {
    group: String,
    member: String,
    overdue: Overdue,
}

impl ConsumerTimer {
    /// The group that it is about.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    fn timer(group: &str, member: &str, overdue: Overdue) -> Timer {
        Timer::Consumer(ConsumerTimer {
            group: group.to_owned(),
            member: member.to_owned(),
            overdue,
        })
    }

    fn session(group: &str, member: &str) -> Timer {
        ConsumerTimer::timer(group, member, Overdue::Session)
    }

    fn rebalance(group: &str, member: &str) -> Timer {
        ConsumerTimer::timer(group, member, Overdue::Revocation)
    }

    fn join(group: &str, member: &str) -> Timer {
        ConsumerTimer::timer(group, member, Overdue::Join)
    }

    fn sync(group: &str, member: &str) -> Timer {
        ConsumerTimer::timer(group, member, Overdue::Sync)
    }

    /// All timers that a member can have.
    fn all_of(group: &str, member: &str) -> [Timer; 4] {
        let all = [
            Overdue::Session,
            Overdue::Revocation,
            Overdue::Join,
            Overdue::Sync,
        ];
        all.map(|overdue| ConsumerTimer::timer(group, member, overdue))
    }
}

impl Groups {
    /// ConsumerGroupHeartbeat, of any group id: the group may be absent, classic or of the consumer protocol.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        reply_to: ReplyTo,
        request: ConsumerHeartbeatRequest,
    ) {
        let result = self.heartbeat_of_consumer(step, request);
        step.reply(reply_to, Response::ConsumerHeartbeat(result));
    }

    /// ConsumerGroupDescribe.
    pub(crate) fn consumer_describe(
        &self,
        step: &Step<'_>,
        group: &str,
    ) -> Result<ConsumerDescription, GroupError> {
        match self.groups.get(group) {
            Some(Group::Consumer(group)) => Ok(group.describe(step.config)),
            Some(Group::Classic(_)) => Err(GroupError::GroupIdNotFound(format!(
                "Group {group} is not a consumer group."
            ))),
            None => Err(GroupError::GroupIdNotFound(format!(
                "Group {group} not found."
            ))),
        }
    }

    /// JoinGroup to a group of the consumer protocol that has members.
    pub(crate) fn consumer_classic_join(
        &mut self,
        step: &mut Step<'_>,
        reply_to: ReplyTo,
        request: JoinRequest,
    ) {
        let (member_id, result) = match self.join_of_classic(step, request) {
            Ok((member_id, joined)) => (member_id, Ok(joined)),
            Err((member_id, error)) => (member_id, Err(error)),
        };
        step.reply(reply_to, Response::Join { result, member_id });
    }

    /// SyncGroup to a group of the consumer protocol.
    pub(crate) fn consumer_classic_sync(
        &mut self,
        step: &mut Step<'_>,
        reply_to: ReplyTo,
        request: SyncRequest,
    ) {
        let result = self.sync_of_classic(step, request);
        step.reply(reply_to, Response::Sync(result));
    }

    /// Heartbeat to a group of the consumer protocol.
    pub(crate) fn consumer_classic_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        self.heartbeat_of_classic(step, request)
    }

    /// LeaveGroup of members of a group of the consumer protocol (members of either protocol, by an operator too): the result of
    /// each, in their order.
    pub(crate) fn consumer_classic_leave(
        &mut self,
        step: &mut Step<'_>,
        group: &str,
        members: &[LeavingMember],
    ) -> Vec<Result<(), GroupError>> {
        self.leave_of_classic(step, group, members)
    }

    /// Folds one of the `Consumer*` records in.
    pub(crate) fn consumer_replay(&mut self, record: Record) {
        let (id, is_tombstone) = match &record {
            Record::ConsumerGroup { group, value } => (group, value.is_none()),
            Record::ConsumerPartitionMetadata { group, value } => (group, value.is_none()),
            Record::ConsumerMember { group, value, .. } => (group, value.is_none()),
            Record::ConsumerTargetEpoch { group, value } => (group, value.is_none()),
            Record::ConsumerTarget { group, value, .. } => (group, value.is_none()),
            Record::ConsumerCurrent { group, value, .. } => (group, value.is_none()),
            Record::ConsumerRegex { group, value, .. } => (group, value.is_none()),
            Record::Offset { .. } | Record::ClassicGroup { .. } => return,
        };
        // A classic group that only keeps offsets has no record: it gives way.
        if !is_tombstone && self.consumer(id).is_none() {
            let group = Group::Consumer(ConsumerGroup::default());
            self.groups.insert(id.clone(), group);
        }
        if let Record::ConsumerGroup { group, value: None } = &record {
            if self.consumer(group).is_some() {
                self.groups.remove(group);
            }
        } else if let Some(Group::Consumer(group)) = self.groups.get_mut(id) {
            group.replay(record);
        }
    }

    /// A timer is due.
    pub(crate) fn consumer_timer(&mut self, step: &mut Step<'_>, timer: ConsumerTimer) {
        let ConsumerTimer {
            group,
            member,
            overdue,
        } = timer;
        let found = self.consumer(&group).and_then(|g| g.members.get(&*member));
        let Some(found) = found else {
            return;
        };
        if overdue == Overdue::Revocation && found.current.state != reconcile::state::UNREVOKED {
            return;
        }
        info!(group, member, ?overdue, "fenced");
        self.fence(step, &group, &BTreeSet::from([member]));
    }

    /// The group is about to go: none of its timers is to come.
    pub(crate) fn consumer_cancel_timers(&mut self, step: &mut Step<'_>, group: &str) {
        let members = self
            .consumer(group)
            .into_iter()
            .flat_map(|g| g.members.keys());
        for timer in members.flat_map(|member| ConsumerTimer::all_of(group, member)) {
            step.timers.cancel(timer);
        }
    }

    /// All records were replayed: members of groups of the consumer protocol have their session timeouts from now on.
    pub(crate) fn consumer_loaded(&mut self, step: &mut Step<'_>) {
        self.topics.loaded(step.cluster);
        for (id, group) in &self.groups {
            let Group::Consumer(group) = group else {
                continue;
            };
            let session_ms = step.cluster.group_overrides(id).session_timeout_ms;
            let session_ms = session_ms.unwrap_or(step.config.consumer_session_timeout_ms);
            for (member_id, member) in &group.members {
                step.set_timer(ConsumerTimer::session(id, member_id), i64::from(session_ms));
                if member.current.state == reconcile::state::UNREVOKED {
                    let timer = ConsumerTimer::rebalance(id, member_id);
                    step.set_timer(timer, i64::from(member.rebalance_timeout_ms));
                }
            }
        }
    }

    /// Topics came, grew, changed or went: the metadata of those who subscribe to them are to be looked at again.
    pub(crate) fn consumer_topics_changed(&mut self, step: &mut Step<'_>, names: &[String]) {
        self.topics.changed(names, step.cluster);
        for group in self.groups.values_mut() {
            if let Group::Consumer(group) = group {
                group.refresh_due |= names.iter().any(|name| group.is_subscribed(name));
            }
        }
    }
}

/// An id for a member that brings none, as Kafka makes them: a random UUID in the notation of topics' ids.
fn new_member_id(step: &mut Step<'_>) -> String {
    loop {
        let mut bytes = [0; 16];
        step.rng.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = TopicId(bytes).to_string();
        // Command lines would take it for an option.
        if !id.starts_with('-') {
            return id;
        }
    }
}
