//! The phases of a rebalance: members join, a generation begins, the leader assigns.
//!
//! Empty → PreparingRebalance → CompletingRebalance → Stable, and back to PreparingRebalance whenever members come, go or change.

use tracing::{debug, info};
use wiber_model::mutant::{self, Mutant};

use super::group::{ClassicGroup, InitialDelay, State};
use crate::cluster::ConsumerProtocol;
use crate::error::GroupError;
use crate::step::Step;

/// How long a rebalance waits at least, in milliseconds, before it looks again whether static members came back that are all away: a
/// member may say that it needs no time at all to rejoin.
const STATIC_MEMBERS_RECHECK_MS: i32 = 1_000;

impl ClassicGroup {
    /// Prepares a rebalance, or ends the preparation of the one under way if nobody else is waited for.
    pub(super) fn rebalance_or_complete(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        reason: &str,
    ) {
        if self.state == State::PreparingRebalance {
            self.complete_if_all_joined(step, reader);
        } else {
            self.prepare_rebalance(step, reader, reason);
        }
    }

    /// Prepares a rebalance: the members are to join again.
    pub(crate) fn prepare_rebalance(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        reason: &str,
    ) {
        if self.state == State::CompletingRebalance {
            self.reset_assignment(step, &GroupError::RebalanceInProgress);
        }
        self.pending_syncs.clear();
        step.timers.cancel(self.sync_timer());
        info!(
            group = self.id,
            generation = self.generation,
            reason,
            "rebalances"
        );
        let was_empty = self.state == State::Empty;
        self.enter(step, State::PreparingRebalance);
        if was_empty {
            self.wait_for_first_members(step);
        } else if self.all_joined() {
            self.complete_joins(step, reader);
        } else {
            self.wait_for_joins(step);
        }
    }

    /// A new group waits for more members to come, so that they need not rebalance one by one.
    fn wait_for_first_members(&mut self, step: &mut Step<'_>) {
        let delay_ms = step.config.initial_rebalance_delay_ms;
        let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
        self.initial_delay = Some(InitialDelay {
            delay_ms,
            remaining_ms,
            extended: false,
        });
        step.set_timer(self.join_timer(), i64::from(delay_ms));
    }

    fn wait_for_joins(&self, step: &mut Step<'_>) {
        step.set_timer(self.join_timer(), i64::from(self.rebalance_timeout_ms()));
    }

    /// Ends the preparation if nobody else is waited for. A new group waits all the same.
    pub(super) fn complete_if_all_joined(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
    ) {
        let prepares = self.state == State::PreparingRebalance && self.initial_delay.is_none();
        if prepares && self.all_joined() {
            self.complete_joins(step, reader);
        }
    }

    /// The members had their time to join.
    pub(super) fn join_timed_out(&mut self, step: &mut Step<'_>, reader: &ConsumerProtocol) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match &mut self.initial_delay {
            Some(delay) if delay.extended && delay.remaining_ms > 0 => {
                let next_ms = step
                    .config
                    .initial_rebalance_delay_ms
                    .min(delay.remaining_ms);
                *delay = InitialDelay {
                    delay_ms: next_ms,
                    remaining_ms: (delay.remaining_ms - delay.delay_ms).max(0),
                    extended: false,
                };
                step.set_timer(self.join_timer(), i64::from(next_ms));
            }
            _ => self.complete_joins(step, reader),
        }
    }

    /// Ends the preparation: who is not back is out, save for static members; those who are in begin a generation.
    pub(super) fn complete_joins(&mut self, step: &mut Step<'_>, reader: &ConsumerProtocol) {
        step.timers.cancel(self.join_timer());
        let late = self.members.values();
        let late = late.filter(|member| member.join.is_none() && member.instance_id.is_none());
        let late: Vec<String> = late.map(|member| member.id.clone()).collect();
        for id in late {
            debug!(group = self.id, member = id, "did not rejoin in time");
            self.remove(step, &id);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members are left and none came back: their sessions decide.
            let wait_ms = self.rebalance_timeout_ms().max(STATIC_MEMBERS_RECHECK_MS);
            step.set_timer(self.join_timer(), i64::from(wait_ms));
            return;
        }
        self.initial_delay = None;
        self.begin_generation(step, reader);
    }

    /// Sees to it that a member leads which has joined. Whether there is one.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|m| m.join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.values().find(|member| member.join.is_some());
        let Some(joined) = joined else {
            return false;
        };
        self.leader = Some(joined.id.clone());
        true
    }

    fn begin_generation(&mut self, step: &mut Step<'_>, reader: &ConsumerProtocol) {
        if self.generation <= 0 || !mutant::active(Mutant::RebalanceKeepsGeneration) {
            self.generation = self.generation.checked_add(1).unwrap_or(0);
        }
        self.pending_syncs.clear();
        self.protocol = self.select_protocol();
        self.subscribed = self.subscribed_topics(reader);
        if self.members.is_empty() {
            self.enter(step, State::Empty);
            info!(
                group = self.id,
                generation = self.generation,
                "has no members any more"
            );
            step.append(self.record());
            return;
        }
        self.enter(step, State::CompletingRebalance);
        info!(
            group = self.id,
            generation = self.generation,
            members = self.members.len(),
            "begins a generation"
        );
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.complete_join(step, &id);
            self.extend_session(step, &id);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
            self.pending_syncs.insert(id);
        }
        step.set_timer(self.sync_timer(), i64::from(self.rebalance_timeout_ms()));
    }

    /// Takes the assignments back; those who wait for theirs learn why.
    pub(super) fn reset_assignment(&mut self, step: &mut Step<'_>, error: &GroupError) {
        self.set_assignments(Vec::new());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            if member.sync.is_some() {
                member.fail_sync(step, error.clone());
                self.extend_session(step, &id);
            }
        }
    }

    /// The members had their time to sync: who did not is out.
    pub(super) fn sync_timed_out(&mut self, step: &mut Step<'_>, reader: &ConsumerProtocol) {
        let settled = matches!(self.state, State::CompletingRebalance | State::Stable);
        if !settled || self.pending_syncs.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_syncs) {
            debug!(group = self.id, member = id, "did not sync in time");
            self.remove(step, &id);
        }
        self.prepare_rebalance(step, reader, "members did not sync");
    }
}
