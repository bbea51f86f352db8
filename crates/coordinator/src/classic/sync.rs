//! SyncGroup to a classic group: the leader brings the assignments, everybody gets its own.

use bytes::Bytes;
use tracing::info;

use super::group::{ClassicGroup, State};
use crate::cluster::ConsumerProtocol;
use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::request::SyncRequest;
use crate::response::{Response, Synced};
use crate::step::Step;

impl ClassicGroup {
    /// A member wants its assignment, or brings everybody's.
    pub(super) fn sync(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        to: ReplyTo,
        request: SyncRequest,
    ) {
        if let Err(error) = self.check_sync(&request) {
            step.reply(to, Response::Sync(Err(error)));
            return;
        }
        let id = &request.member_id;
        match self.state {
            State::Empty => step.reply(to, Response::Sync(Err(GroupError::UnknownMemberId))),
            State::PreparingRebalance => {
                step.reply(to, Response::Sync(Err(GroupError::RebalanceInProgress)));
            }
            State::CompletingRebalance => {
                if let Some(member) = self.members.get_mut(id) {
                    // Whoever waited before was given up by the client; it must hear of it all the same.
                    member.fail_sync(step, GroupError::RebalanceInProgress);
                    member.sync = Some(to);
                }
                self.has_synced(step, id);
                if self.leader.as_ref() == Some(id) {
                    self.assign(step, reader, request.assignments);
                }
            }
            State::Stable => {
                self.has_synced(step, id);
                let synced = self.synced(id);
                step.reply(to, Response::Sync(Ok(synced)));
                self.extend_session(step, id);
            }
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        let differs = |theirs: &Option<String>, ours: &Option<String>| {
            theirs.is_some() && ours.is_some() && theirs != ours
        };
        if request.generation != self.generation {
            Err(GroupError::IllegalGeneration)
        } else if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            Err(GroupError::InconsistentGroupProtocol)
        } else {
            Ok(())
        }
    }

    fn has_synced(&mut self, step: &mut Step<'_>, id: &str) {
        self.pending_syncs.remove(id);
        if self.pending_syncs.is_empty() {
            step.timers.cancel(self.sync_timer());
        }
    }

    /// Stores what the leader assigned, and answers those who wait for it. Who was left out has nothing.
    fn assign(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        assignments: Vec<(String, Bytes)>,
    ) {
        self.set_assignments(assignments);
        if !self.fits_a_record() {
            self.reset_assignment(step, &GroupError::RecordTooLarge);
            self.prepare_rebalance(step, reader, "the assignments are too large to be stored");
            return;
        }
        self.enter(step, State::Stable);
        info!(
            group = self.id,
            generation = self.generation,
            members = self.members.len(),
            "is stable"
        );
        step.append(self.record());
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let waiting = self.members.get_mut(&id).and_then(|m| m.sync.take());
            if let Some(to) = waiting {
                let synced = self.synced(&id);
                step.reply(to, Response::Sync(Ok(synced)));
                // Its silence was excused while it waited.
                self.extend_session(step, &id);
            }
        }
    }

    fn synced(&self, id: &str) -> Synced {
        let member = self.members.get(id);
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.map_or_else(Bytes::new, |member| member.assignment.clone()),
        }
    }
}
