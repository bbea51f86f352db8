//! Brings a member from what it has to what it is to have, one step with each of its heartbeats.
//!
//! A member first gives up what it is not to keep, and stays in its epoch until it says that it has. Then it moves to the epoch of
//! the target assignment and gets what is free; what others have still to give up it gets later. So a partition never has two
//! owners.

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::TopicId;
use wiber_model::mutant::{self, Mutant};

use crate::error::GroupError;
use crate::record::{AssignedPartitions, CurrentAssignmentRecord, TopicPartitions};

/// Kafka's `MemberState`, as it stands in records.
pub(crate) mod state {
    /// The member has what it is to have.
    pub(crate) const STABLE: i8 = 0;
    /// The member has to give partitions up.
    pub(crate) const UNREVOKED: i8 = 1;
    /// Others have to give partitions up that the member is to get.
    pub(crate) const UNRELEASED: i8 = 2;
}

/// What a member is brought to, and what is known about it.
pub(crate) struct Reconciliation<'a> {
    /// The epoch of the target assignment.
    pub(crate) target_epoch: i32,
    /// What the member is to have.
    pub(crate) target: &'a TopicPartitions,
    /// What the member says it has, if it says so.
    pub(crate) owned: Option<&'a TopicPartitions>,
    /// Whether the member has just changed what it subscribes to.
    pub(crate) subscription_changed: bool,
    /// Whether the member subscribes to a topic.
    pub(crate) subscribes: &'a dyn Fn(TopicId) -> bool,
    /// Whether a partition has no owner but perhaps the member itself.
    pub(crate) is_free: &'a dyn Fn(TopicId, i32) -> bool,
}

/// Whether the member has all that the target assignment of an epoch gives it.
pub(crate) fn is_reconciled(current: &CurrentAssignmentRecord, target_epoch: i32) -> bool {
    current.state == state::STABLE && current.epoch == target_epoch
}

/// Whether a member in a state that this version does not know may go on: it has to give everything up and join again.
///
/// # Errors
/// [`GroupError::FencedMemberEpoch`].
pub(crate) fn check_state(
    current: &CurrentAssignmentRecord,
    owned: Option<&TopicPartitions>,
) -> Result<(), GroupError> {
    let known = (state::STABLE..=state::UNRELEASED).contains(&current.state);
    if known || owned.is_some_and(BTreeMap::is_empty) {
        return Ok(());
    }
    Err(GroupError::FencedMemberEpoch(
        "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin."
            .to_owned(),
    ))
}

impl Reconciliation<'_> {
    /// The member's next step, if there is one. A member in an unknown state must have passed [`check_state`].
    pub(crate) fn next(
        &self,
        current: &CurrentAssignmentRecord,
    ) -> Option<CurrentAssignmentRecord> {
        let next = match current.state {
            state::STABLE if current.epoch != self.target_epoch => {
                self.advance(current, current.epoch)
            }
            state::STABLE if self.subscription_changed => self.unsubscribe(current)?,
            state::STABLE => return None,
            state::UNREVOKED if self.owns_any(&current.revoking) && self.subscription_changed => {
                self.unsubscribe(current)?
            }
            state::UNREVOKED if self.owns_any(&current.revoking) => return None,
            state::UNREVOKED | state::UNRELEASED => self.advance(current, current.epoch),
            _ => self.advance(current, self.target_epoch),
        };
        Some(next).filter(|next| next != current)
    }

    /// Whether the member has, or may have, any of `partitions`.
    fn owns_any(&self, partitions: &AssignedPartitions) -> bool {
        let Some(owned) = self.owned else {
            return true;
        };
        owned.iter().any(|(topic, owned)| {
            partitions
                .get(topic)
                .is_some_and(|partitions| owned.iter().any(|p| partitions.contains_key(p)))
        })
    }

    /// Takes away what the member does not subscribe to any more, and nothing else; `None` if there is no such thing.
    fn unsubscribe(&self, current: &CurrentAssignmentRecord) -> Option<CurrentAssignmentRecord> {
        let mut assigned = current.assigned.clone();
        let mut revoking = current.revoking.clone();
        assigned.retain(|topic, partitions| {
            let stays = (self.subscribes)(*topic);
            if !stays {
                let gone = std::mem::take(partitions);
                revoking.entry(*topic).or_default().extend(gone);
            }
            stays
        });
        if assigned.len() == current.assigned.len() {
            return None;
        }
        let mut next = CurrentAssignmentRecord {
            assigned,
            previous_epoch: current.epoch,
            ..current.clone()
        };
        if self.owns_any(&revoking) {
            next.state = state::UNREVOKED;
            next.revoking = revoking;
        }
        Some(next)
    }

    /// The whole step: gives up, or moves on to the target's epoch with what is free.
    fn advance(&self, current: &CurrentAssignmentRecord, epoch: i32) -> CurrentAssignmentRecord {
        let mut assigned = AssignedPartitions::new();
        let mut revoking = AssignedPartitions::new();
        for (topic, partitions) in &current.assigned {
            let target = self.target_of(*topic);
            let (keep, lose): (BTreeMap<i32, i32>, BTreeMap<i32, i32>) = partitions
                .iter()
                .partition(|(partition, _)| target.binary_search(partition).is_ok());
            insert_unless_empty(&mut assigned, *topic, keep);
            insert_unless_empty(&mut revoking, *topic, lose);
        }
        let mut next = CurrentAssignmentRecord {
            epoch,
            previous_epoch: current.epoch,
            state: state::UNREVOKED,
            assigned,
            revoking,
        };
        if !next.revoking.is_empty() && self.owns_any(&next.revoking) {
            return next;
        }

        let mut unreleased = false;
        for (topic, _) in self.target.iter() {
            let has = next.assigned.get(topic);
            let missing = self.target_of(*topic).iter().copied();
            let missing: BTreeSet<i32> = missing
                .filter(|p| !has.is_some_and(|has| has.contains_key(p)))
                .collect();
            let wanted = missing.len();
            let free: BTreeMap<i32, i32> = missing
                .into_iter()
                .filter(|partition| {
                    (self.is_free)(*topic, *partition)
                        || mutant::active(Mutant::AssignBeforeRevocation)
                })
                .map(|partition| (partition, self.target_epoch))
                .collect();
            unreleased |= free.len() < wanted;
            if !free.is_empty() {
                next.assigned.entry(*topic).or_default().extend(free);
            }
        }
        next.epoch = self.target_epoch;
        next.revoking.clear();
        next.state = if unreleased {
            state::UNRELEASED
        } else {
            state::STABLE
        };
        next
    }

    /// What the member is to have of a topic, in order: nothing of one that it does not subscribe to any more.
    fn target_of(&self, topic: TopicId) -> &[i32] {
        match self.target.get(&topic) {
            Some(partitions) if (self.subscribes)(topic) => partitions,
            _ => &[],
        }
    }
}

fn insert_unless_empty(
    into: &mut AssignedPartitions,
    topic: TopicId,
    partitions: BTreeMap<i32, i32>,
) {
    if !partitions.is_empty() {
        into.insert(topic, partitions);
    }
}

#[cfg(test)]
mod tests;
