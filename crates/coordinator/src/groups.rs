//! All groups of a partition of `__consumer_offsets`, and what they have committed.
//!
//! Invariant: what is durable of a group changes by [`Groups::replay`] or, for a classic group, by the very change that its record is
//! made from.

use std::collections::BTreeMap;

use crate::classic::{ClassicGroup, State};
use crate::cluster::ConsumerProtocol;
use crate::consumer::{ConsumerGroup, Resolver, Topics};
use crate::error::GroupError;
use crate::offsets::{Offsets, Sweep};
use crate::record::Record;
use crate::step::Step;

/// A group, of either protocol.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a group's members weigh more than it does itself"
)]
pub(crate) enum Group {
    /// Its members assign the partitions among themselves, or it has none and merely keeps offsets.
    Classic(ClassicGroup),
    /// The coordinator assigns (KIP-848).
    Consumer(ConsumerGroup),
}

impl Group {
    /// Whether the group has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Group::Classic(group) => group.state() == State::Empty,
            Group::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether a member is subscribed to a topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed(topic),
            Group::Consumer(group) => group.is_subscribed(topic),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) offsets: Offsets,
    /// What of them goes with its topic. Soft: a restart begins it anew.
    pub(crate) sweep: Sweep,
    /// The group to go on with, where the last look for expired offsets found more than a step takes away. Soft.
    pub(crate) expiry_from: Option<String>,
    pub(crate) protocol: ConsumerProtocol,
    /// What groups of the consumer protocol remember of the cluster's topics. Soft.
    pub(crate) topics: Topics,
    /// Which of them have regular expressions to be resolved. Soft.
    pub(crate) resolver: Resolver,
}

impl Groups {
    /// No groups.
    pub(crate) fn new(protocol: ConsumerProtocol) -> Groups {
        Groups {
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            sweep: Sweep::default(),
            expiry_from: None,
            protocol,
            topics: Topics::default(),
            resolver: Resolver::default(),
        }
    }

    /// Folds a record in.
    pub(crate) fn replay(&mut self, record: Record) {
        match record {
            Record::Offset {
                group,
                topic,
                partition,
                value,
            } => {
                if value.is_some() {
                    self.ensure_simple(&group);
                }
                self.offsets.replay(group, topic, partition, value);
            }
            Record::ClassicGroup { group, value } => self.replay_classic(group, value),
            record @ (Record::ConsumerGroup { .. }
            | Record::ConsumerPartitionMetadata { .. }
            | Record::ConsumerMember { .. }
            | Record::ConsumerTargetEpoch { .. }
            | Record::ConsumerTarget { .. }
            | Record::ConsumerCurrent { .. }
            | Record::ConsumerRegex { .. }) => self.consumer_replay(record),
        }
    }

    /// Appends a record and folds it in.
    pub(crate) fn emit(&mut self, step: &mut Step<'_>, record: Record) {
        self.replay(record.clone());
        step.append(record);
    }

    /// All records were replayed: what is soft about the groups begins anew.
    pub(crate) fn loaded(&mut self, step: &mut Step<'_>) {
        let ids: Vec<String> = self.offsets.iter().map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.ensure_simple(&id);
        }
        self.forget_lost_topics(step);
        self.classic_loaded(step);
        self.consumer_loaded(step);
    }

    /// Takes a group away, and all that is stored of it save for its offsets.
    pub(crate) fn remove_group(&mut self, step: &mut Step<'_>, id: &str) {
        let mut records = Vec::new();
        match self.groups.get(id) {
            None => return,
            Some(Group::Classic(group)) => {
                group.cancel_timers(step);
                records.push(Record::ClassicGroup {
                    group: id.to_owned(),
                    value: None,
                });
            }
            Some(Group::Consumer(group)) => {
                group.tombstones(id, &mut records);
                self.consumer_cancel_timers(step, id);
            }
        }
        for record in records {
            self.emit(step, record);
        }
        self.groups.remove(id);
    }

    /// Checks the invariants of all groups.
    pub(crate) fn validate(&self) {
        self.offsets.validate();
        for (id, _) in self.offsets.iter() {
            assert!(
                self.groups.contains_key(id),
                "who keeps offsets is a group: {id}"
            );
        }
        for (id, group) in &self.groups {
            match group {
                Group::Classic(group) => group.validate(id),
                Group::Consumer(group) => group.validate(id),
            }
        }
    }
}

/// There is no such group.
pub(crate) fn not_found(group: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group} not found."))
}
