//! Members that speak the classic protocol in a group of the consumer protocol: while a group is upgraded, or downgraded.
//!
//! Such a member joins to reconcile, and syncs to get what it has by then. When there is more to do it is told, by its heartbeats,
//! to join again.

use std::collections::BTreeSet;

use tracing::info;

use super::assign::MemberBefore;
use super::convert::{by_id, encoded_current};
use super::heartbeat::{check_size, known_static_member, set_topics};
use super::member::Member;
use super::reconcile::state;
use super::{ConsumerGroup, ConsumerTimer};
use crate::classic::CONSUMER_PROTOCOL_TYPE;
use crate::cluster::Subscription;
use crate::config::ConsumerMigration;
use crate::error::GroupError;
use crate::groups::Groups;
use crate::record::ClassicProtocols;
use crate::request::{HeartbeatRequest, JoinRequest, LeavingMember, SyncRequest};
use crate::response::{Joined, Synced};
use crate::step::Step;
use crate::timers::Timer;

impl Groups {
    /// JoinGroup. Refused is a member with the id that it is to use.
    pub(super) fn join_of_classic(
        &mut self,
        step: &mut Step<'_>,
        mut request: JoinRequest,
    ) -> Result<(String, Joined), (String, GroupError)> {
        let sent_id = request.member_id.clone();
        let is_unknown = sent_id.is_empty();
        if is_unknown {
            request.member_id = super::new_member_id(step);
        }
        let (subscription, replaces, downgrades) = self
            .check_join(step, &request, is_unknown)
            .map_err(|error| match error {
                GroupError::MemberIdRequired => (request.member_id.clone(), error),
                error => (sent_id, error),
            })?;
        let joined = self.accept_join(step, &request, subscription, replaces, downgrades);
        Ok((request.member_id, joined))
    }

    /// Checks a join whole: what is refused leaves no trace. Returns the member's subscription, the static member whose place it
    /// takes, and whether the group becomes a classic one thereby.
    fn check_join(
        &self,
        step: &Step<'_>,
        request: &JoinRequest,
        is_unknown: bool,
    ) -> Result<(Subscription, Option<String>, bool), GroupError> {
        if step.config.consumer_migration == ConsumerMigration::Disabled {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let group = self
            .consumer(&request.group)
            .ok_or(GroupError::UnknownMemberId)?;
        check_size(group, step.config.consumer_max_size, &request.member_id)?;
        let supported = request.protocol_type == CONSUMER_PROTOCOL_TYPE
            && request
                .protocols
                .iter()
                .any(|(name, _)| group.supports_classic_protocol(name));
        if !supported {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let instance = request.instance_id.as_deref();
        if request.needs_known_member_id && is_unknown && instance.is_none() {
            return Err(GroupError::MemberIdRequired);
        }
        let mut replaces = None;
        let mut downgrades = false;
        if let Some(instance) = instance {
            if !is_unknown {
                known_static_member(group, instance, &request.member_id)?;
            }
            if let Some((id, _)) = group.static_member(instance) {
                let replaced = id.to_string();
                downgrades = self.downgrades_by_replacing(step, group, &replaced);
                replaces = is_unknown.then_some(replaced);
            }
        }
        // All protocols of a member have the same subscription.
        let first = request.protocols.first();
        let subscription = first.and_then(|(_, metadata)| (self.protocol.subscription)(metadata));
        let (subscription, _) = subscription.ok_or(GroupError::InconsistentGroupProtocol)?;
        Ok((subscription, replaces, downgrades))
    }

    /// Whether a member is the only one that speaks the consumer protocol, so that the group becomes a classic one when another takes
    /// its place that does not.
    fn downgrades_by_replacing(
        &self,
        step: &Step<'_>,
        group: &ConsumerGroup,
        member: &str,
    ) -> bool {
        let is_classic = group.members.get(member).is_none_or(Member::is_classic);
        !is_classic
            && group.classic_members() + 1 == group.members.len()
            && step.config.consumer_migration.may_downgrade()
            && group.members.len() <= usize::try_from(step.config.max_size).unwrap_or(0)
    }

    fn accept_join(
        &mut self,
        step: &mut Step<'_>,
        request: &JoinRequest,
        subscription: Subscription,
        replaces: Option<String>,
        downgrades: bool,
    ) -> Joined {
        let (group, id) = (&request.group, &request.member_id);
        info!(group, member = id, "joins by the classic protocol");
        if let Some(replaced) = replaces {
            self.replace_static_member(step, group, &replaced, id);
        }
        let before = self
            .consumer(group)
            .and_then(|g| g.members.get(&**id))
            .cloned();
        let is_new = before.is_none();
        let before = before.unwrap_or_default();
        let mut told = before.clone();
        told.instance_id = request.instance_id.clone().or(told.instance_id);
        told.rack_id = subscription.rack.or(told.rack_id);
        if request.rebalance_timeout_ms != -1 {
            told.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        set_topics(&mut told, subscription.topics);
        told.regex = String::new();
        told.client_id.clone_from(&request.caller.client_id);
        told.client_host.clone_from(&request.caller.host);
        told.classic = Some(ClassicProtocols {
            session_timeout_ms: request.session_timeout_ms,
            protocols: request.protocols.clone(),
        });
        let change = MemberBefore {
            topics: before.topics,
            regex: before.regex,
        };
        self.tell(step, group, id, told, is_new);
        let changed = self.update_subscriptions(step, group, id, &change);

        let owned = by_id(subscription.owned, step.cluster);
        let is_stale = self
            .consumer(group)
            .is_some_and(|g| g.target_epoch < g.epoch);
        if !downgrades {
            self.update_targets(step, group);
        }
        if !downgrades || !is_stale {
            self.reconcile(step, group, id, Some(&owned), changed);
        }
        let epoch = self
            .consumer(group)
            .and_then(|g| g.members.get(&**id))
            .map_or(0, |member| member.current.epoch);
        step.timers.cancel(ConsumerTimer::join(group, id));
        let reason = is_stale.then_some("the group was downgraded with a stale assignment");
        if !downgrades || !self.downgrade(step, group, &BTreeSet::new(), reason) {
            let session_ms = i64::from(request.session_timeout_ms);
            step.set_timer(ConsumerTimer::session(group, id), session_ms);
            let sync_ms = i64::from(request.rebalance_timeout_ms);
            step.set_timer(ConsumerTimer::sync(group, id), sync_ms);
        }
        Joined {
            generation: epoch,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol: request.protocols.first().map(|(name, _)| name.clone()),
            ..Joined::default()
        }
    }

    /// SyncGroup: what the member has.
    pub(super) fn sync_of_classic(
        &mut self,
        step: &mut Step<'_>,
        request: SyncRequest,
    ) -> Result<Synced, GroupError> {
        let id = &request.member_id;
        let group = self
            .consumer(&request.group)
            .ok_or(GroupError::UnknownMemberId)?;
        let (member, spoken) = classic_member(group, id, request.instance_id.as_deref())?;
        if member.current.epoch != request.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let is_other = |said: &Option<String>, known: Option<&str>| {
            said.as_deref().is_some_and(|said| Some(said) != known)
        };
        let protocol = spoken.protocols.first().map(|(name, _)| name.as_str());
        if is_other(&request.protocol_type, Some(CONSUMER_PROTOCOL_TYPE))
            || is_other(&request.protocol, protocol)
        {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        // Who gives partitions up has joined already, and joins again when it has.
        if group.target_epoch > member.current.epoch && member.current.state != state::UNREVOKED {
            let timeout_ms = member.rebalance_timeout_ms;
            expect_join(step, &request.group, id, timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        step.timers.cancel(ConsumerTimer::sync(&request.group, id));
        let session_ms = i64::from(spoken.session_timeout_ms);
        step.set_timer(ConsumerTimer::session(&request.group, id), session_ms);
        Ok(Synced {
            assignment: encoded_current(self, &member.current, spoken, step.cluster),
            protocol_type: request.protocol_type,
            protocol: request.protocol,
        })
    }

    /// Heartbeat: tells a member to join again when there is a new target assignment, when it has to give partitions up, or when all
    /// that it waits for is free.
    pub(super) fn heartbeat_of_classic(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        let id = &request.member_id;
        let group = self
            .consumer(&request.group)
            .ok_or(GroupError::UnknownMemberId)?;
        let (member, spoken) = classic_member(group, id, request.instance_id.as_deref())?;
        let current = &member.current;
        if current.epoch != request.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let session_ms = i64::from(spoken.session_timeout_ms);
        step.set_timer(ConsumerTimer::session(&request.group, id), session_ms);
        let is_complete = current.state == state::UNRELEASED && !group.waits_for_others(id, member);
        // Where no member is left that speaks the consumer protocol, it is by the next join that the group's members share anew.
        if current.epoch < group.epoch || current.state == state::UNREVOKED || is_complete {
            let timeout_ms = member.rebalance_timeout_ms;
            expect_join(step, &request.group, id, timeout_ms);
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// LeaveGroup, of members of either protocol.
    pub(super) fn leave_of_classic(
        &mut self,
        step: &mut Step<'_>,
        id: &str,
        members: &[LeavingMember],
    ) -> Vec<Result<(), GroupError>> {
        let Some(group) = self.consumer(id) else {
            return vec![Err(GroupError::UnknownMemberId); members.len()];
        };
        let mut leaving = BTreeSet::new();
        let results = members
            .iter()
            .map(|member| {
                let found = find_leaving(group, member)?;
                info!(group = id, member = found, reason = member.reason, "leaves");
                leaving.insert(found);
                Ok(())
            })
            .collect();
        self.fence(step, id, &leaving);
        results
    }
}

/// The id of a member that leaves. An operator may know only its instance id.
fn find_leaving(group: &ConsumerGroup, member: &LeavingMember) -> Result<String, GroupError> {
    match &member.instance_id {
        None => group
            .member(&member.member_id)
            .map(|_| member.member_id.clone()),
        Some(instance) if member.member_id.is_empty() => group
            .static_member(instance)
            .map(|(id, _)| id.to_string())
            .ok_or(GroupError::UnknownMemberId),
        Some(instance) => known_static_member(group, instance, &member.member_id)
            .map(|_| member.member_id.clone()),
    }
}

/// A member, if it speaks the classic protocol, and what it told of that.
fn classic_member<'a>(
    group: &'a ConsumerGroup,
    id: &str,
    instance: Option<&str>,
) -> Result<(&'a Member, &'a ClassicProtocols), GroupError> {
    let member = match instance {
        None => group.member(id)?,
        Some(instance) => known_static_member(group, instance, id)?,
    };
    let spoken = member.classic.as_ref();
    Ok((member, spoken.ok_or(GroupError::UnknownMemberId)?))
}

/// From now on, the member has its rebalance timeout to join; unless that was so already.
fn expect_join(step: &mut Step<'_>, group: &str, member: &str, timeout_ms: i32) {
    let timer: Timer = ConsumerTimer::join(group, member);
    if step.timers.due(&timer).is_none() {
        step.set_timer(timer, i64::from(timeout_ms));
    }
}
