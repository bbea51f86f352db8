//! ConsumerGroupHeartbeat: a member joins, tells what has changed, says what it has, and hears what it is to have; or leaves.
//!
//! A heartbeat is checked whole before the first record: what is refused leaves no trace.

use std::collections::{BTreeMap, BTreeSet};

use tracing::info;

use super::assign::MemberBefore;
use super::member::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_FOR_A_WHILE_EPOCH, Member};
use super::{ConsumerGroup, ConsumerTimer, pattern, reconcile};
use crate::error::GroupError;
use crate::groups::{Group, Groups};
use crate::record::{AssignedPartitions, RECORD_BYTES_MAX, Record, TopicPartitions};
use crate::request::ConsumerHeartbeatRequest;
use crate::response::ConsumerHeartbeat;
use crate::step::Step;

/// The first version in which a member brings its own id.
const MEMBER_ID_FROM_CLIENT: i16 = 1;

/// The most different regular expressions that a group's members may subscribe to: each is matched with the name of every topic, and
/// what it comes to is kept.
pub(crate) const REGEXES_MAX: usize = 100;

impl Groups {
    /// ConsumerGroupHeartbeat, of any group id: the group may be absent, classic or of the consumer protocol.
    pub(super) fn heartbeat_of_consumer(
        &mut self,
        step: &mut Step<'_>,
        request: ConsumerHeartbeatRequest,
    ) -> Result<ConsumerHeartbeat, GroupError> {
        if !step.config.consumer_protocol {
            return Err(GroupError::UnsupportedVersion(
                "group.coordinator.rebalance.protocols does not have consumer".to_owned(),
            ));
        }
        check_request(&request, &step.config.consumer_assignors)?;
        match request.member_epoch {
            LEAVE_EPOCH | LEAVE_FOR_A_WHILE_EPOCH => self.leave_of_consumer(step, request),
            _ => self.regular_heartbeat(step, request),
        }
    }

    fn regular_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: ConsumerHeartbeatRequest,
    ) -> Result<ConsumerHeartbeat, GroupError> {
        let joins = request.member_epoch == JOIN_EPOCH;
        let absent = ConsumerGroup::default();
        let mut upgrade = None;
        let group = match self.groups.get(&request.group) {
            Some(Group::Consumer(group)) => group,
            None if joins => &absent,
            None => {
                let id = &request.group;
                return Err(GroupError::GroupIdNotFound(format!(
                    "Consumer group {id} not found."
                )));
            }
            Some(Group::Classic(classic)) if joins => {
                upgrade = self.upgrade(step, &request.group, classic)?;
                upgrade.as_ref().map_or(&absent, |upgrade| &upgrade.group)
            }
            Some(Group::Classic(_)) => {
                let id = &request.group;
                return Err(GroupError::GroupIdNotFound(format!(
                    "Group {id} is not a consumer group."
                )));
            }
        };
        check_size(group, step.config.consumer_max_size, &request.member_id)?;
        let replaces = find_member(group, &request)?;
        if let Some(regex) = request.regex.as_deref().filter(|regex| !regex.is_empty())
            && group.regex_subscribers(regex) == 0
        {
            pattern::check(regex)?;
            if group.subscribed_regexes().len() >= REGEXES_MAX {
                return Err(GroupError::InvalidRegularExpression(format!(
                    "The members of the group subscribe to {REGEXES_MAX} different regular expressions already, and no more are taken."
                )));
            }
        }

        if matches!(self.groups.get(&request.group), Some(Group::Classic(_))) {
            self.take_over(step, &request.group, upgrade);
        }
        Ok(self.accept_heartbeat(step, request, replaces))
    }

    /// Does what a heartbeat asks, that has passed all checks. `replaces` is the static member whose place the member takes.
    fn accept_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: ConsumerHeartbeatRequest,
        replaces: Option<String>,
    ) -> ConsumerHeartbeat {
        let group = request.group;
        let id = if request.member_id.is_empty() {
            super::new_member_id(step)
        } else {
            request.member_id
        };
        if let Some(replaced) = replaces {
            self.replace_static_member(step, &group, &replaced, &id);
        }

        let before = self
            .consumer(&group)
            .and_then(|g| g.members.get(&*id))
            .cloned();
        let before = before.unwrap_or_default();
        let mut told = before.clone();
        told.instance_id = request.instance_id.or(told.instance_id);
        told.rack_id = request.rack_id.or(told.rack_id);
        if request.rebalance_timeout_ms != -1 {
            told.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        told.assignor = request.assignor.or(told.assignor);
        let full = request.rebalance_timeout_ms != -1
            && (request.topics.is_some() || request.regex.is_some())
            && request.owned.is_some();
        if let Some(topics) = request.topics {
            set_topics(&mut told, topics);
        }
        told.regex = request.regex.unwrap_or(told.regex);
        told.client_id = request.caller.client_id;
        told.client_host = request.caller.host;
        if told.classic.take().is_some() {
            // It has changed its protocol under its id: it neither joins nor syncs any more.
            step.timers.cancel(ConsumerTimer::join(&group, &id));
            step.timers.cancel(ConsumerTimer::sync(&group, &id));
        }
        if request.member_epoch == JOIN_EPOCH {
            info!(group, member = id, "joins by the consumer protocol");
        }

        let change = MemberBefore {
            topics: before.topics,
            regex: before.regex,
        };
        let is_new = self
            .consumer(&group)
            .is_none_or(|g| !g.members.contains_key(&*id));
        self.tell(step, &group, &id, told, is_new);
        let changed = self.update_subscriptions(step, &group, &id, &change);
        self.update_targets(step, &group);
        self.reconcile(step, &group, &id, request.owned.as_ref(), changed);

        let overrides = step.cluster.group_overrides(&group);
        let session_ms = overrides.session_timeout_ms;
        let session_ms = session_ms.unwrap_or(step.config.consumer_session_timeout_ms);
        step.set_timer(ConsumerTimer::session(&group, &id), i64::from(session_ms));
        let interval_ms = overrides.heartbeat_interval_ms;
        let current = self
            .consumer(&group)
            .and_then(|g| g.members.get(&*id))
            .map(|member| member.current.clone())
            .unwrap_or_default();
        let says_assignment = request.member_epoch == JOIN_EPOCH
            || full
            || before.current.assigned != current.assigned;
        ConsumerHeartbeat {
            member_id: id,
            member_epoch: current.epoch,
            heartbeat_interval_ms: interval_ms
                .unwrap_or(step.config.consumer_heartbeat_interval_ms),
            assignment: says_assignment.then(|| without_epochs(&current.assigned)),
        }
    }

    /// Records what a member told, if anything of it is new.
    pub(super) fn tell(
        &mut self,
        step: &mut Step<'_>,
        group: &str,
        id: &str,
        told: Member,
        is_new: bool,
    ) {
        let known = self.consumer(group).and_then(|g| g.members.get(id));
        if !is_new && known == Some(&told) {
            return;
        }
        let record = Record::ConsumerMember {
            group: group.to_owned(),
            member: id.to_owned(),
            value: Some(told.told()),
        };
        self.emit(step, record);
    }

    /// Gives a static member's place, with all that it has, to a new member id, which begins in epoch 0.
    pub(super) fn replace_static_member(
        &mut self,
        step: &mut Step<'_>,
        group: &str,
        from: &str,
        to: &str,
    ) {
        let Some((member, target)) = self.consumer(group).and_then(|g| {
            let target = g.targets.get(from).cloned().unwrap_or_default();
            Some((g.members.get(from)?.clone(), target))
        }) else {
            return;
        };
        info!(
            group,
            member = to,
            replaced = from,
            "a static member comes back"
        );
        self.remove_member(step, group, from);
        for timer in ConsumerTimer::all_of(group, from) {
            step.timers.cancel(timer);
        }
        let mut current = member.current.clone();
        current.epoch = JOIN_EPOCH;
        current.previous_epoch = JOIN_EPOCH;
        let group = || group.to_owned();
        self.emit(
            step,
            Record::ConsumerMember {
                group: group(),
                member: to.to_owned(),
                value: Some(member.told()),
            },
        );
        self.emit(
            step,
            Record::ConsumerTarget {
                group: group(),
                member: to.to_owned(),
                value: Some(target),
            },
        );
        self.emit(
            step,
            Record::ConsumerCurrent {
                group: group(),
                member: to.to_owned(),
                value: Some(current),
            },
        );
    }

    fn leave_of_consumer(
        &mut self,
        step: &mut Step<'_>,
        request: ConsumerHeartbeatRequest,
    ) -> Result<ConsumerHeartbeat, GroupError> {
        let id = &request.group;
        let group = match self.groups.get(id) {
            Some(Group::Consumer(group)) => group,
            Some(Group::Classic(_)) => {
                return Err(GroupError::GroupIdNotFound(format!(
                    "Group {id} is not a consumer group."
                )));
            }
            None => {
                return Err(GroupError::GroupIdNotFound(format!(
                    "Group {id} not found."
                )));
            }
        };
        let member = match &request.instance_id {
            None => group.member(&request.member_id)?,
            Some(instance) => known_static_member(group, instance, &request.member_id)?,
        };
        let epoch = request.member_epoch;
        if epoch == LEAVE_FOR_A_WHILE_EPOCH && request.instance_id.is_some() {
            info!(group = id, member = request.member_id, "leaves for a while");
            let mut current = member.current.clone();
            current.epoch = LEAVE_FOR_A_WHILE_EPOCH;
            current.revoking.clear();
            for epoch in current.assigned.values_mut().flat_map(BTreeMap::values_mut) {
                *epoch = 0;
            }
            step.timers
                .cancel(ConsumerTimer::rebalance(id, &request.member_id));
            let record = Record::ConsumerCurrent {
                group: request.group,
                member: request.member_id.clone(),
                value: Some(current),
            };
            self.emit(step, record);
        } else {
            info!(group = id, member = request.member_id, "leaves");
            let members = BTreeSet::from([request.member_id.clone()]);
            self.fence(step, &request.group, &members);
        }
        Ok(ConsumerHeartbeat {
            member_id: request.member_id,
            member_epoch: epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }
}

/// Checks what can be checked of a request by itself, as Kafka's `GroupCoordinatorService` does.
fn check_request(
    request: &ConsumerHeartbeatRequest,
    assignors: &[String],
) -> Result<(), GroupError> {
    let invalid = |message: &str| Err(GroupError::InvalidRequest(message.to_owned()));
    if request.stored_bytes() > RECORD_BYTES_MAX {
        return Err(GroupError::RecordTooLarge);
    }
    let is_blank = |text: &str| text.trim().is_empty();
    let epoch = request.member_epoch;
    let needs_id = request.version >= MEMBER_ID_FROM_CLIENT || epoch > 0 || epoch == LEAVE_EPOCH;
    if needs_id && is_blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(&request.group) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_deref().is_some_and(is_blank) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_deref().is_some_and(is_blank) {
        return invalid("RackId can't be empty.");
    }
    if epoch == JOIN_EPOCH {
        let is_ordinary = request.rebalance_timeout_ms == -1 && request.owned.is_none();
        if is_ordinary {
            // A member that lost its epoch, and has to join. Kafka's INVALID_REQUEST would end it (docs/adr/0014).
            return Err(GroupError::FencedMemberEpoch(
                "A heartbeat of a member that has not joined must be one that joins.".to_owned(),
            ));
        }
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if !request.owned.as_ref().is_some_and(BTreeMap::is_empty) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.topics.is_none() && request.regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            );
        }
    } else if epoch == LEAVE_FOR_A_WHILE_EPOCH && request.instance_id.is_none() {
        return invalid("InstanceId can't be null.");
    } else if epoch < LEAVE_FOR_A_WHILE_EPOCH {
        return invalid("MemberEpoch is invalid.");
    }
    match &request.assignor {
        Some(assignor) if !assignors.contains(assignor) => {
            Err(GroupError::UnsupportedAssignor(format!(
                "ServerAssignor {assignor} is not supported. Supported assignors: {}.",
                assignors.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

/// Whether the group has room for a member, or has it already.
pub(super) fn check_size(group: &ConsumerGroup, max: i32, member: &str) -> Result<(), GroupError> {
    let is_full = group.members.len() >= usize::try_from(max).unwrap_or(0);
    if is_full && (member.is_empty() || !group.members.contains_key(member)) {
        return Err(GroupError::GroupMaxSizeReached(format!(
            "The consumer group has reached its maximum capacity of {max} members."
        )));
    }
    Ok(())
}

/// Checks that the member may send this. Returns the static member whose place it takes, if it takes one.
fn find_member(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
) -> Result<Option<String>, GroupError> {
    let joins = request.member_epoch == JOIN_EPOCH;
    let Some(instance) = &request.instance_id else {
        if let Some(member) = group.members.get(&*request.member_id) {
            check_epoch(member, request)?;
        } else if !joins {
            return Err(GroupError::UnknownMemberId);
        }
        return Ok(None);
    };
    if !joins {
        let member = known_static_member(group, instance, &request.member_id)?;
        check_epoch(member, request)?;
        return Ok(None);
    }
    let Some((id, member)) = group.static_member(instance) else {
        return Ok(None);
    };
    if !member.is_classic() && member.current.epoch != LEAVE_FOR_A_WHILE_EPOCH {
        return Err(GroupError::UnreleasedInstanceId(format!(
            "Static member {} with instance id {instance} cannot join the group because the instance id is owned by {id} member.",
            request.member_id
        )));
    }
    Ok(Some(id.to_string()))
}

/// The static member of an instance id, if its member id is this one.
pub(super) fn known_static_member<'a>(
    group: &'a ConsumerGroup,
    instance: &str,
    member: &str,
) -> Result<&'a Member, GroupError> {
    match group.static_member(instance) {
        None => Err(GroupError::UnknownMemberId),
        Some((id, _)) if &**id != member => Err(GroupError::FencedInstanceId),
        Some((_, known)) => Ok(known),
    }
}

/// Checks the epoch that a member comes with: its own; or the one before, if the answer that told it its own may have been lost,
/// and if it has nothing that it should not have.
fn check_epoch(member: &Member, request: &ConsumerHeartbeatRequest) -> Result<(), GroupError> {
    let (epoch, known) = (request.member_epoch, member.current.epoch);
    reconcile::check_state(&member.current, request.owned.as_ref())?;
    let is_retry = epoch == member.current.previous_epoch
        && request
            .owned
            .as_ref()
            .is_some_and(|owned| is_subset(owned, &member.current.assigned));
    if epoch == JOIN_EPOCH || epoch == known || (epoch < known && is_retry) {
        return Ok(());
    }
    let compared = if epoch > known { "greater" } else { "smaller" };
    Err(GroupError::FencedMemberEpoch(format!(
        "The consumer group member has a {compared} member epoch ({epoch}) than the one known by the group coordinator ({known}). \
         The member must abandon all its partitions and rejoin."
    )))
}

fn is_subset(owned: &TopicPartitions, assigned: &AssignedPartitions) -> bool {
    owned.iter().all(|(topic, owned)| {
        assigned
            .get(topic)
            .is_some_and(|assigned| owned.iter().all(|p| assigned.contains_key(p)))
    })
}

/// Takes the names that a member subscribes to. If they are those that it has, it keeps the set that it shares with others.
pub(super) fn set_topics(member: &mut Member, topics: Vec<String>) {
    let topics: BTreeSet<String> = topics.into_iter().collect();
    if *member.topics != topics {
        member.topics = topics.into();
    }
}

pub(super) fn without_epochs(assigned: &AssignedPartitions) -> TopicPartitions {
    let topics = assigned.iter();
    topics
        .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
        .collect()
}
