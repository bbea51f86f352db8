//! All groups of a partition of `__consumer_offsets`, and what they have committed.
//!
//! Invariant: what is durable of a group changes by [`Groups::replay`] or, for a classic group, by the very change that its record is
//! made from.

use std::collections::BTreeMap;

use crate::classic::ClassicGroup;
use crate::cluster::ConsumerProtocol;
use crate::consumer::ConsumerGroup;
use crate::offsets::Offsets;
use crate::record::Record;
use crate::step::Step;

/// A group, of either protocol.
#[derive(Debug)]
pub(crate) enum Group {
    /// Its members assign the partitions among themselves, or it has none and merely keeps offsets.
    Classic(ClassicGroup),
    /// The coordinator assigns (KIP-848).
    Consumer(ConsumerGroup),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) offsets: Offsets,
    pub(crate) protocol: ConsumerProtocol,
}

impl Groups {
    /// No groups.
    pub(crate) fn new(protocol: ConsumerProtocol) -> Groups {
        Groups {
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            protocol,
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
            } => self.offsets.replay(group, topic, partition, value),
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

    /// Checks the invariants of all groups.
    pub(crate) fn validate(&self) {
        self.offsets.validate();
        for (id, group) in &self.groups {
            match group {
                Group::Classic(group) => group.validate(id),
                Group::Consumer(group) => group.validate(id),
            }
        }
    }
}
