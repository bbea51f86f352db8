//! Groups change their protocol while they have members (`group.consumer.migration.policy`).
//!
//! A classic group of consumers becomes one of the consumer protocol when the first member comes that speaks it, and a classic one
//! again when the last such member leaves. Members keep what they have, also what they are to give up: they may use it still. What they
//! were to get is dealt out anew.

use std::collections::{BTreeMap, BTreeSet};

use tracing::info;
use wiber_model::{TimestampMs, TopicId};

use super::heartbeat::without_epochs;
use super::reconcile::{self, state};
use super::{ConsumerGroup, ConsumerTimer};
use crate::classic::{self, ClassicGroup};
use crate::cluster::{Cluster, NamedPartitions};
use crate::error::GroupError;
use crate::groups::{Group, Groups};
use crate::record::{
    ClassicProtocols, ConsumerMemberRecord, CurrentAssignmentRecord, Record, TopicPartitions,
};
use crate::request::Caller;
use crate::step::Step;

/// What a classic group is to become.
pub(super) struct Upgrade {
    /// The group.
    pub(super) group: ConsumerGroup,
    /// What makes it.
    records: Vec<Record>,
}

/// What a member of a classic group brings along.
struct Share {
    member: String,
    assigned: TopicPartitions,
    revoking: TopicPartitions,
}

impl Groups {
    /// What a classic group becomes when a member comes that speaks the consumer protocol; `None` if it is empty, and goes.
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] if it has to stay what it is.
    pub(super) fn upgrade(
        &self,
        step: &Step<'_>,
        id: &str,
        classic: &ClassicGroup,
    ) -> Result<Option<Upgrade>, GroupError> {
        if classic.state() == classic::State::Empty {
            return Ok(None);
        }
        let refuse = |why: &str| {
            let why = format!("Cannot upgrade classic group {id} to consumer group because {why}.");
            GroupError::GroupIdNotFound(why)
        };
        if !step.config.consumer_migration.may_upgrade() {
            return Err(refuse("online upgrade is disabled"));
        }
        if !classic.is_of_consumers() {
            return Err(refuse(
                "the group does not use the consumer embedded protocol",
            ));
        }
        if classic.members().len() > usize::try_from(step.config.consumer_max_size).unwrap_or(0) {
            return Err(refuse(
                "the group size exceeds the consumer group maximum size",
            ));
        }

        let mut upgrade = Upgrade {
            group: ConsumerGroup::default(),
            records: Vec::new(),
        };
        let mut taken = BTreeSet::new();
        let mut shares = Vec::new();
        for member in classic.members().values() {
            let protocol = classic.protocol();
            let protocol = protocol.or_else(|| member.protocols.first().map(|(name, _)| &**name));
            let subscription = (self.protocol.subscription)(&member.metadata(protocol));
            let malformed = || refuse("the embedded consumer protocol is malformed");
            let (subscription, _) = subscription.ok_or_else(malformed)?;
            let mut partitions = NamedPartitions::new();
            if !member.assignment.is_empty() {
                let assignment = (self.protocol.assignment)(&member.assignment);
                let assignment = assignment.ok_or_else(malformed)?;
                if assignment.has_user_data {
                    return Err(refuse("an unsupported custom assignor is in use"));
                }
                partitions = assignment.partitions;
            }
            let mut partitions = by_id(partitions, step.cluster);
            // What an assignor of the clients' gave to two belongs to the first: here a partition has one owner.
            take(&mut partitions, &mut taken);
            shares.push(Share {
                member: member.id.clone(),
                assigned: partitions,
                revoking: by_id(subscription.owned, step.cluster),
            });
            upgrade.push(Record::ConsumerMember {
                group: id.to_owned(),
                member: member.id.clone(),
                value: Some(ConsumerMemberRecord {
                    instance_id: member.instance_id.clone(),
                    rack_id: subscription.rack,
                    client_id: member.caller.client_id.clone(),
                    client_host: member.caller.host.clone(),
                    topics: subscription.topics,
                    regex: Some(String::new()),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    assignor: None,
                    classic: Some(ClassicProtocols {
                        session_timeout_ms: member.session_timeout_ms,
                        protocols: member.protocols.clone(),
                    }),
                }),
            });
        }
        // What a member had as it joined, and nobody is assigned, it is giving up: until it has, it joins again.
        for share in &mut shares {
            take(&mut share.revoking, &mut taken);
        }
        upgrade.finish(id, classic.generation(), shares);
        Ok(Some(upgrade))
    }

    /// Puts a group of the consumer protocol in a classic one's place.
    pub(super) fn take_over(&mut self, step: &mut Step<'_>, id: &str, upgrade: Option<Upgrade>) {
        let Some(Group::Classic(classic)) = self.groups.get_mut(id) else {
            return;
        };
        classic.fail_waiting(step, &GroupError::RebalanceInProgress);
        classic.cancel_timers(step);
        self.emit(
            step,
            Record::ClassicGroup {
                group: id.to_owned(),
                value: None,
            },
        );
        let Some(upgrade) = upgrade else {
            info!(
                group = id,
                "an empty classic group gives way to one of the consumer protocol"
            );
            return;
        };
        info!(
            group = id,
            "a classic group becomes one of the consumer protocol"
        );
        for record in upgrade.records {
            self.emit(step, record);
        }
        for (member, value) in &upgrade.group.members {
            let session_ms = value.classic.as_ref().map_or(0, |c| c.session_timeout_ms);
            step.set_timer(ConsumerTimer::session(id, member), i64::from(session_ms));
        }
    }

    /// Whether the group becomes a classic one when these members leave.
    pub(super) fn may_downgrade_without(
        &self,
        step: &Step<'_>,
        id: &str,
        leaving: &BTreeSet<String>,
    ) -> bool {
        let Some(group) = self.consumer(id) else {
            return false;
        };
        let mut remaining = 0;
        for (member, value) in &group.members {
            if leaving.contains(&**member) {
                continue;
            }
            if !value.is_classic() {
                return false;
            }
            remaining += 1;
        }
        remaining > 0
            && step.config.consumer_migration.may_downgrade()
            && remaining <= usize::try_from(step.config.max_size).unwrap_or(0)
    }

    /// Puts a classic group in the place of one of the consumer protocol, whose members all speak the classic one but for those who
    /// leave; and lets it rebalance, if there is a reason or a member has not what it is to have. False if the group stays what it is,
    /// as the classic one could not be stored.
    ///
    /// Kafka gives members what they are to have. If a member comes that speaks the consumer protocol before they have shared it out
    /// among themselves, that would be taken for what they have, and partitions would have two owners.
    pub(super) fn downgrade(
        &mut self,
        step: &mut Step<'_>,
        id: &str,
        leaving: &BTreeSet<String>,
        rebalance: Option<&str>,
    ) -> bool {
        let Some(group) = self.consumer(id) else {
            return false;
        };
        let mut tombstones = Vec::new();
        group.tombstones(id, &mut tombstones);
        let mut members = Vec::new();
        let mut is_settled = true;
        let remaining = group
            .members
            .iter()
            .filter(|(member, _)| !leaving.contains(&***member));
        for (member_id, member) in remaining {
            let Some(spoken) = &member.classic else {
                continue;
            };
            let mut classic = classic::Member::new(
                member_id.to_string(),
                member.instance_id.clone(),
                Caller {
                    client_id: member.client_id.clone(),
                    host: member.client_host.clone(),
                },
                member.rebalance_timeout_ms,
                spoken.session_timeout_ms,
                spoken.protocols.clone(),
            );
            is_settled &= reconcile::is_reconciled(&member.current, group.target_epoch);
            let mut has = without_epochs(&member.current.assigned);
            for (topic, partitions) in without_epochs(&member.current.revoking) {
                has.entry(topic).or_default().extend(partitions);
            }
            classic.assignment = self.encoded(&has, spoken, step.cluster);
            members.push(classic);
        }
        let rebalance = rebalance.or_else(|| {
            (!is_settled).then_some("the group was downgraded while its members shared anew")
        });
        let (generation, now) = (group.epoch, step.now.wall);
        let mut classic =
            ClassicGroup::of_consumers(id.to_owned(), generation, members, now, &self.protocol);
        if !classic.fits_a_record() {
            info!(
                group = id,
                "stays a group of the consumer protocol: as a classic one it would be too large to be stored"
            );
            return false;
        }
        info!(
            group = id,
            "a group of the consumer protocol becomes a classic one"
        );
        self.consumer_cancel_timers(step, id);
        for record in tombstones {
            self.emit(step, record);
        }
        for member in classic.members().keys() {
            classic.extend_session(step, member);
        }
        // What is stored says that it is to rebalance: after a restart nobody else would know.
        if let Some(reason) = rebalance {
            classic.prepare_rebalance(step, &self.protocol, reason);
        }
        step.append(classic.record());
        self.groups.insert(id.to_owned(), Group::Classic(classic));
        true
    }

    /// An assignment in the bytes of the consumers' embedded protocol, in the version that the member speaks.
    pub(super) fn encoded(
        &self,
        assignment: &TopicPartitions,
        spoken: &ClassicProtocols,
        cluster: &dyn Cluster,
    ) -> bytes::Bytes {
        let metadata = spoken.protocols.first().map(|(_, metadata)| metadata);
        let version = metadata
            .and_then(self.protocol.subscription)
            .map_or(0, |(_, version)| version);
        let named: NamedPartitions = assignment
            .iter()
            .filter_map(|(topic, partitions)| {
                let name = cluster.topic_name(*topic)?;
                Some((name.to_owned(), partitions.clone()))
            })
            .collect();
        (self.protocol.encode_assignment)(&named, version)
    }
}

impl Upgrade {
    fn push(&mut self, record: Record) {
        self.group.replay(record.clone());
        self.records.push(record);
    }

    /// All members are in the epoch that is the group's generation, with what they are assigned and what they have still to give up.
    fn finish(&mut self, id: &str, generation: i32, shares: Vec<Share>) {
        self.push(Record::ConsumerGroup {
            group: id.to_owned(),
            value: Some((generation, 0)),
        });
        for share in &shares {
            self.push(Record::ConsumerTarget {
                group: id.to_owned(),
                member: share.member.clone(),
                value: Some(share.assigned.clone()),
            });
        }
        self.push(Record::ConsumerTargetEpoch {
            group: id.to_owned(),
            value: Some((generation, TimestampMs(0))),
        });
        for share in shares {
            let gives_up = !share.revoking.is_empty();
            let value = CurrentAssignmentRecord {
                epoch: generation,
                previous_epoch: generation,
                state: if gives_up {
                    state::UNREVOKED
                } else {
                    state::STABLE
                },
                assigned: with_epoch(share.assigned, generation),
                revoking: with_epoch(share.revoking, generation),
            };
            self.push(Record::ConsumerCurrent {
                group: id.to_owned(),
                member: share.member,
                value: Some(value),
            });
        }
    }
}

/// Partitions that exist, by their topics' ids.
pub(super) fn by_id(partitions: NamedPartitions, cluster: &dyn Cluster) -> TopicPartitions {
    let topics = partitions.into_iter();
    topics
        .filter_map(|(name, mut partitions)| {
            let id = cluster.topic_id(&name)?;
            let there = 0..cluster.partitions(id);
            partitions.retain(|partition| there.contains(partition));
            Some((id, partitions))
        })
        .collect()
}

/// Takes what nobody has taken yet, and leaves the rest out.
fn take(partitions: &mut TopicPartitions, taken: &mut BTreeSet<(TopicId, i32)>) {
    for (topic, partitions) in partitions.iter_mut() {
        partitions.sort_unstable();
        partitions.retain(|partition| taken.insert((*topic, *partition)));
    }
    partitions.retain(|_, partitions| !partitions.is_empty());
}

fn with_epoch(partitions: TopicPartitions, epoch: i32) -> BTreeMap<TopicId, BTreeMap<i32, i32>> {
    let topics = partitions.into_iter();
    topics
        .map(|(topic, partitions)| (topic, partitions.into_iter().map(|p| (p, epoch)).collect()))
        .collect()
}

/// What a member of the classic protocol has, in its bytes.
pub(super) fn encoded_current(
    groups: &Groups,
    current: &CurrentAssignmentRecord,
    spoken: &ClassicProtocols,
    cluster: &dyn Cluster,
) -> bytes::Bytes {
    groups.encoded(&without_epochs(&current.assigned), spoken, cluster)
}
