//! What groups have committed.
//!
//! Invariant: there are no empty maps; a group without offsets is not in the store.

mod commit;
mod delete;
mod expiry;
mod fetch;
mod sweep;

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::record::OffsetRecord;
pub(crate) use sweep::Sweep;

/// A step takes so many offsets away that nobody asked for by name, and the next one goes on: all that a step stores is held in memory.
const REMOVALS_PER_STEP: usize = 10_000;
/// A step that takes offsets away stops behind the group with which it has looked at so many.
const LOOKED_AT_PER_STEP: usize = 100_000;
/// What is left over from such a step waits for so long, so that requests come in between.
const REMOVAL_PAUSE_MS: i64 = 1;

/// The offsets of one group, by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<String, BTreeMap<i32, OffsetRecord>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    groups: BTreeMap<String, GroupOffsets>,
}

impl Offsets {
    /// What a group has committed.
    pub(crate) fn group(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    /// What a group has committed for a partition.
    pub(crate) fn get(&self, group: &str, topic: &str, partition: i32) -> Option<&OffsetRecord> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    /// The groups that have committed anything, in order, from one on.
    pub(crate) fn from(
        &self,
        group: Option<&str>,
    ) -> impl Iterator<Item = (&String, &GroupOffsets)> {
        let from = group.map_or(Bound::Unbounded, Bound::Included);
        self.groups.range::<str, _>((from, Bound::Unbounded))
    }

    /// The groups that have committed anything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &GroupOffsets)> {
        self.groups.iter()
    }

    /// Folds a record in.
    pub(crate) fn replay(
        &mut self,
        group: String,
        topic: String,
        partition: i32,
        value: Option<OffsetRecord>,
    ) {
        match value {
            Some(value) => self.insert(group, topic, partition, value),
            None => self.remove(&group, &topic, partition),
        }
    }

    fn insert(&mut self, group: String, topic: String, partition: i32, value: OffsetRecord) {
        self.groups
            .entry(group)
            .or_default()
            .entry(topic)
            .or_default()
            .insert(partition, value);
    }

    fn remove(&mut self, group: &str, topic: &str, partition: i32) {
        let Some(topics) = self.groups.get_mut(group) else {
            return;
        };
        if let Some(partitions) = topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                topics.remove(topic);
            }
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Checks the invariant.
    pub(crate) fn validate(&self) {
        for (group, topics) in &self.groups {
            assert!(
                !topics.is_empty(),
                "group {group} has offsets, or is not listed"
            );
            for (topic, partitions) in topics {
                assert!(
                    !partitions.is_empty(),
                    "group {group} has offsets of {topic}, or does not list it"
                );
            }
        }
    }
}
