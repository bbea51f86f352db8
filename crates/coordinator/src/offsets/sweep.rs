//! Offsets whose topics are gone go, too: a bounded number in a step, so that nobody waits for the end of a topic that many have read.
//!
//! Invariant: what is going to go is not told any more.

use std::collections::BTreeSet;

use wiber_model::TopicId;

use super::delete::tombstone;
use super::{GroupOffsets, LOOKED_AT_PER_STEP, REMOVAL_PAUSE_MS, REMOVALS_PER_STEP};
use crate::cluster::Cluster;
use crate::groups::Groups;
use crate::record::{OffsetRecord, Record};
use crate::step::Step;
use crate::timers::Timer;

/// What is to go, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// These topics were deleted; some may have come anew since.
    deleted: BTreeSet<String>,
    /// Any topic may have been deleted, or come anew, while nobody was here to hear of it.
    unheard: bool,
    /// The group to go on with.
    from: Option<String>,
}

impl Sweep {
    /// Whether anything may have to go still.
    pub(crate) fn is_under_way(&self) -> bool {
        self.unheard || !self.deleted.is_empty()
    }

    /// Whether what was committed for a topic goes.
    pub(super) fn takes(
        &self,
        cluster: &dyn Cluster,
        topic: &str,
        committed: &OffsetRecord,
    ) -> bool {
        self.takes_of(cluster.topic_id(topic), topic, committed)
    }

    fn takes_of(&self, id: Option<TopicId>, topic: &str, committed: &OffsetRecord) -> bool {
        let is_of_this_one = id == Some(committed.topic_id);
        let is_of_no_other = id.is_some() && committed.topic_id == TopicId::ZERO;
        self.deleted.contains(topic) && !is_of_this_one
            || self.unheard && !is_of_this_one && !is_of_no_other
    }

    /// Adds the tombstones of what a group loses, as far as a step takes them. Returns how many offsets were looked at.
    fn look_at(
        &self,
        cluster: &dyn Cluster,
        group: &str,
        offsets: &GroupOffsets,
        gone: &mut Vec<Record>,
    ) -> usize {
        let mut count = 0;
        let mut look = |topic: &String| {
            let id = cluster.topic_id(topic);
            for (partition, committed) in offsets.get(topic).into_iter().flatten() {
                count += 1;
                if gone.len() < REMOVALS_PER_STEP && self.takes_of(id, topic, committed) {
                    gone.push(tombstone(group, topic.clone(), *partition));
                }
            }
        };
        match self.unheard {
            true => offsets.keys().for_each(&mut look),
            false => self.deleted.iter().for_each(&mut look),
        }
        count
    }
}

impl Groups {
    /// Topics are gone, and with them what was committed for them.
    pub(crate) fn forget_topics(&mut self, step: &mut Step<'_>, names: &[String]) {
        self.sweep.deleted.extend(names.iter().cloned());
        self.sweep.from = None;
        self.sweep(step);
    }

    /// Drops what was committed for topics that went while nobody was here to hear of it, or that came anew since.
    pub(crate) fn forget_lost_topics(&mut self, step: &mut Step<'_>) {
        self.sweep.unheard = true;
        self.sweep.from = None;
        self.sweep(step);
    }

    /// Takes the next part away.
    pub(crate) fn sweep(&mut self, step: &mut Step<'_>) {
        let mut gone = Vec::new();
        let mut looked_at = 0;
        let mut left = None;
        for (group, offsets) in self.offsets.from(self.sweep.from.as_deref()) {
            if looked_at >= LOOKED_AT_PER_STEP {
                left = Some(group.clone());
                break;
            }
            looked_at += self.sweep.look_at(step.cluster, group, offsets, &mut gone);
            if gone.len() >= REMOVALS_PER_STEP {
                // There may be more of this one.
                left = Some(group.clone());
                break;
            }
        }
        for record in gone {
            self.emit(step, record);
        }
        if left.is_some() {
            self.sweep.from = left;
            step.set_timer(Timer::Sweep, REMOVAL_PAUSE_MS);
        } else {
            self.sweep = Sweep::default();
            step.timers.cancel(Timer::Sweep);
        }
    }
}
