//! What a member's change, or the cluster's, comes to: the group's epoch, the target assignment, and each member's way there.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use tracing::info;
use wiber_model::TopicId;

use super::assignor::{Assignor, Subscriber};
use super::member::Member;
use super::reconcile::{self, Reconciliation};
use super::{ConsumerGroup, ConsumerTimer};
use crate::cluster::Cluster;
use crate::groups::{Group, Groups};
use crate::record::{Record, TopicPartitions};
use crate::step::Step;

/// What a member subscribed to before it told anew.
pub(super) struct MemberBefore {
    pub(super) topics: Arc<BTreeSet<String>>,
    pub(super) regex: String,
}

impl Groups {
    /// A group of the consumer protocol.
    pub(super) fn consumer(&self, group: &str) -> Option<&ConsumerGroup> {
        match self.groups.get(group) {
            Some(Group::Consumer(group)) => Some(group),
            _ => None,
        }
    }

    /// A member has told, and that is recorded: has regular expressions resolved, and bumps the group's epoch if there is something
    /// new to assign. Returns whether the member's subscription has changed.
    pub(super) fn update_subscriptions(
        &mut self,
        step: &mut Step<'_>,
        id: &str,
        member: &str,
        before: &MemberBefore,
    ) -> bool {
        let Some(group) = self.consumer(id) else {
            return false;
        };
        let Some(now) = group.members.get(member) else {
            return false;
        };
        let topics_changed = now.topics != before.topics;
        let regex_changed = now.regex != before.regex;
        // An expression that is not resolved yet gives nothing to assign.
        let regex_known = now.regex.is_empty() || group.regexes.contains_key(&now.regex);
        let is_last = !before.regex.is_empty() && group.regex_subscribers(&before.regex) == 0;
        if is_last && group.regexes.contains_key(&before.regex) {
            let record = Record::ConsumerRegex {
                group: id.to_owned(),
                regex: before.regex.clone(),
                value: None,
            };
            self.emit(step, record);
        }
        self.refresh_regexes(step, id);
        let bump = topics_changed || (regex_changed && regex_known);
        self.bump_epoch(step, id, bump);
        topics_changed || regex_changed
    }

    /// Moves the group to its next epoch, if it is to be, or if the topics are not what they were.
    pub(super) fn bump_epoch(&mut self, step: &mut Step<'_>, id: &str, bump: bool) {
        let Some(Group::Consumer(group)) = self.groups.get_mut(id) else {
            return;
        };
        if !bump && !group.refresh_due {
            return;
        }
        group.refresh_due = false;
        let hash = self.topics.hash(group.topics(), step.cluster);
        let epoch = group.epoch.saturating_add(1);
        let bump = bump || hash != group.metadata_hash;
        let has_partition_metadata = group.has_partition_metadata;
        if bump {
            info!(group = id, epoch, "rebalances");
            let record = Record::ConsumerGroup {
                group: id.to_owned(),
                value: Some((epoch, hash)),
            };
            self.emit(step, record);
        }
        if has_partition_metadata {
            let record = Record::ConsumerPartitionMetadata {
                group: id.to_owned(),
                value: None,
            };
            self.emit(step, record);
        }
    }

    /// Makes the target assignment for the group's epoch, if it was not made yet and the last one is old enough.
    pub(super) fn update_targets(&mut self, step: &mut Step<'_>, id: &str) {
        let Some(group) = self.consumer(id) else {
            return;
        };
        let interval_ms = step.cluster.group_overrides(id).assignment_interval_ms;
        let interval_ms = interval_ms.unwrap_or(step.config.consumer_assignment_interval_ms);
        // One that lies ahead says that the clock was set back, and nothing of the interval.
        let age_ms = step.now.wall.0.saturating_sub(group.target_at.0);
        let is_early = group.target_at.0 != 0 && (0..i64::from(interval_ms)).contains(&age_ms);
        if group.target_epoch >= group.epoch || is_early {
            return;
        }
        let epoch = group.epoch;
        let name = group.preferred_assignor(step.config);
        let assignor = Assignor::named(name).unwrap_or(Assignor::Uniform);
        let targets = new_targets(group, assignor, step.cluster);
        info!(
            group = id,
            epoch,
            assignor = name,
            changed = targets.len(),
            "assigned"
        );
        for (member, target) in targets {
            let record = Record::ConsumerTarget {
                group: id.to_owned(),
                member: member.to_string(),
                value: Some(target),
            };
            self.emit(step, record);
        }
        let record = Record::ConsumerTargetEpoch {
            group: id.to_owned(),
            value: Some((epoch, step.now.wall)),
        };
        self.emit(step, record);
    }

    /// Brings a member one step towards what it is to have.
    pub(super) fn reconcile(
        &mut self,
        step: &mut Step<'_>,
        id: &str,
        member_id: &str,
        owned: Option<&TopicPartitions>,
        subscription_changed: bool,
    ) {
        let Some(group) = self.consumer(id) else {
            return;
        };
        let Some(member) = group.members.get(member_id) else {
            return;
        };
        if !subscription_changed && reconcile::is_reconciled(&member.current, group.target_epoch) {
            return;
        }
        let nothing = TopicPartitions::new();
        let subscribes = |topic: TopicId| {
            let name = step.cluster.topic_name(topic);
            name.is_some_and(|name| group.subscribes(member, name))
        };
        let next = Reconciliation {
            target_epoch: group.target_epoch,
            target: group.targets.get(member_id).unwrap_or(&nothing),
            owned,
            subscription_changed,
            subscribes: &subscribes,
            is_free: &|topic, partition| group.is_free_for(member_id, topic, partition),
        }
        .next(&member.current);
        let Some(next) = next else {
            return;
        };
        // A classic member has a timer for the join that follows, and none for what it gives up; but for the first time after a restart.
        let timer = ConsumerTimer::rebalance(id, member_id);
        if next.state != reconcile::state::UNREVOKED {
            step.timers.cancel(timer);
        } else if !member.is_classic() {
            step.set_timer(timer, i64::from(member.rebalance_timeout_ms));
        }
        let record = Record::ConsumerCurrent {
            group: id.to_owned(),
            member: member_id.to_owned(),
            value: Some(next),
        };
        self.emit(step, record);
    }

    /// Sends members away: their partitions are free, and the group moves to its next epoch. If only members of the classic protocol
    /// remain, the group may become a classic one.
    pub(super) fn fence(&mut self, step: &mut Step<'_>, id: &str, members: &BTreeSet<String>) {
        if members.is_empty() {
            return;
        }
        let reason = Some("the last members of the consumer protocol left");
        if self.may_downgrade_without(step, id, members)
            && self.downgrade(step, id, members, reason)
        {
            return;
        }
        let Some(group) = self.consumer(id) else {
            return;
        };
        let leaving = members
            .iter()
            .filter_map(|member| group.members.get(&**member));
        let regexes: BTreeSet<String> = leaving.map(|member| member.regex.clone()).collect();
        for member in members {
            self.remove_member(step, id, member);
            for timer in ConsumerTimer::all_of(id, member) {
                step.timers.cancel(timer);
            }
        }
        for regex in regexes {
            let unused = |group: &ConsumerGroup| {
                group.regexes.contains_key(&regex) && group.regex_subscribers(&regex) == 0
            };
            if self.consumer(id).is_some_and(unused) {
                let record = Record::ConsumerRegex {
                    group: id.to_owned(),
                    regex,
                    value: None,
                };
                self.emit(step, record);
            }
        }
        self.bump_epoch(step, id, true);
    }

    /// Writes that a member is gone.
    pub(super) fn remove_member(&mut self, step: &mut Step<'_>, group: &str, member: &str) {
        let (group, member) = (|| group.to_owned(), || member.to_owned());
        self.emit(
            step,
            Record::ConsumerCurrent {
                group: group(),
                member: member(),
                value: None,
            },
        );
        self.emit(
            step,
            Record::ConsumerTarget {
                group: group(),
                member: member(),
                value: None,
            },
        );
        self.emit(
            step,
            Record::ConsumerMember {
                group: group(),
                member: member(),
                value: None,
            },
        );
    }
}

/// The target assignments that differ from what they were, by member.
fn new_targets(
    group: &ConsumerGroup,
    assignor: Assignor,
    cluster: &dyn Cluster,
) -> Vec<(Arc<str>, TopicPartitions)> {
    let nothing = TopicPartitions::new();
    // Members share sets of names: which one it is says what is in it.
    let mut subscriptions: BTreeMap<(usize, &str), Rc<[TopicId]>> = BTreeMap::new();
    let mut targets = group.targets.iter().peekable();
    let mut subscribers: Vec<Subscriber<'_>> = Vec::with_capacity(group.members.len());
    for (id, member) in &group.members {
        let key = (Arc::as_ptr(&member.topics) as usize, &*member.regex);
        let topics = subscriptions
            .entry(key)
            .or_insert_with(|| topic_ids(group, member, cluster));
        // Both are in the order of the members' ids: a look-up for each would cost more than the assignment.
        while targets.next_if(|(other, _)| *other < id).is_some() {}
        let current = targets.next_if(|(other, _)| *other == id);
        subscribers.push(Subscriber {
            id,
            instance: member.instance_id.as_deref(),
            topics: Rc::clone(topics),
            current: current.map_or(&nothing, |(_, target)| target),
        });
    }
    let assigned = assignor.assign(&subscribers, &|topic| cluster.partitions(topic));
    group
        .members
        .keys()
        .zip(assigned)
        .filter_map(|(id, target)| Some((Arc::clone(id), target?)))
        .collect()
}

/// The topics that a member subscribes to and that exist, in order.
fn topic_ids(group: &ConsumerGroup, member: &Member, cluster: &dyn Cluster) -> Rc<[TopicId]> {
    let resolved = group.regexes.get(&member.regex);
    let resolved = resolved.into_iter().flat_map(|resolved| &resolved.topics);
    let names = member.topics.iter().chain(resolved);
    let ids: BTreeSet<TopicId> = names.filter_map(|name| cluster.topic_id(name)).collect();
    ids.into_iter().collect()
}
