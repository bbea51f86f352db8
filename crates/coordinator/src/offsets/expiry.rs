//! Offsets that expire, and groups that nobody needs any more.
//!
//! What a group still uses does not expire: topics that its members are subscribed to. For the rest counts how long the group has
//! been without members, or how long ago the commit was made, as Kafka's `OffsetExpirationConditionImpl` has it.

use std::ops::Bound;

use tracing::info;
use wiber_model::TimestampMs;

use super::delete::tombstone;
use super::{LOOKED_AT_PER_STEP, REMOVAL_PAUSE_MS, REMOVALS_PER_STEP};
use crate::classic::{ClassicGroup, State};
use crate::groups::{Group, Groups};
use crate::record::{OffsetRecord, Record};
use crate::step::Step;
use crate::timers::Timer;

/// From when on the retention of a group's offsets counts.
#[derive(Clone, Copy)]
enum Retention {
    /// They do not expire.
    Unlimited,
    /// From each commit.
    FromCommit,
    /// From when the group became empty.
    From(TimestampMs),
}

impl Groups {
    /// Looks for offsets that have expired, and for groups that have neither members nor offsets. Goes on where it left off, if it did, and
    /// says when it wants to be called again.
    pub(crate) fn expire(&mut self, step: &mut Step<'_>) {
        let mut expired = Vec::new();
        let mut unused = Vec::new();
        let mut looked_at = 0;
        let from = self.expiry_from.take();
        let from = from.as_deref().map_or(Bound::Unbounded, Bound::Included);
        for (id, group) in self.groups.range::<str, _>((from, Bound::Unbounded)) {
            if looked_at >= LOOKED_AT_PER_STEP || unused.len() >= REMOVALS_PER_STEP {
                self.expiry_from = Some(id.clone());
                break;
            }
            let before = expired.len();
            let has = self.find_expired(step, id, group, &mut expired);
            // A group is looked at, too.
            looked_at += has + 1;
            if has == expired.len() - before && group.is_empty() {
                unused.push(id.clone());
            } else if expired.len() >= REMOVALS_PER_STEP {
                // There may be more of this one.
                self.expiry_from = Some(id.clone());
                break;
            }
        }
        let next_ms = match self.expiry_from {
            Some(_) => REMOVAL_PAUSE_MS,
            None => step.config.offsets_retention_check_interval_ms.max(1),
        };
        step.set_timer(Timer::Expiry, next_ms);
        if !expired.is_empty() || !unused.is_empty() {
            info!(
                offsets = expired.len(),
                groups = unused.len(),
                "what has expired goes"
            );
        }
        for record in expired {
            self.emit(step, record);
        }
        for id in unused {
            self.remove_group(step, &id);
        }
    }

    /// Adds the tombstones of a group's expired offsets, as far as a step takes them. How many offsets the group has.
    fn find_expired(
        &self,
        step: &Step<'_>,
        id: &str,
        group: &Group,
        expired: &mut Vec<Record>,
    ) -> usize {
        let retention = retention(group);
        let mut count = 0;
        for (topic, partitions) in self.offsets.group(id).into_iter().flatten() {
            count += partitions.len();
            if group.is_subscribed(topic) {
                continue;
            }
            for (partition, committed) in partitions {
                if expired.len() < REMOVALS_PER_STEP && is_expired(step, retention, committed) {
                    expired.push(tombstone(id, topic.clone(), *partition));
                }
            }
        }
        count
    }
}

fn retention(group: &Group) -> Retention {
    match group {
        Group::Consumer(_) => Retention::FromCommit,
        Group::Classic(group) => retention_classic(group),
    }
}

fn retention_classic(group: &ClassicGroup) -> Retention {
    if group.protocol_type().is_none() {
        return Retention::FromCommit;
    }
    match group.state() {
        State::Empty => group
            .state_since()
            .map_or(Retention::FromCommit, Retention::From),
        State::Stable if group.is_of_consumers() && group.subscribed().is_some() => {
            Retention::FromCommit
        }
        State::Stable | State::PreparingRebalance | State::CompletingRebalance => {
            Retention::Unlimited
        }
    }
}

fn is_expired(step: &Step<'_>, retention: Retention, committed: &OffsetRecord) -> bool {
    let now = step.now.wall;
    let from = match retention {
        Retention::Unlimited => return false,
        Retention::FromCommit => committed.committed_at,
        Retention::From(since) => since,
    };
    match committed.expires_at {
        Some(at) => now >= at,
        None => now.0.saturating_sub(from.0) >= step.config.offsets_retention_ms,
    }
}
