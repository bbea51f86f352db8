//! Heartbeats to a classic group, and sessions without them.

use tracing::info;

use super::group::{ClassicGroup, State};
use crate::cluster::ConsumerProtocol;
use crate::error::GroupError;
use crate::request::HeartbeatRequest;
use crate::step::Step;

impl ClassicGroup {
    /// A member is alive, and learns whether it has to join again.
    pub(super) fn heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.instance_id.as_deref())?;
        if request.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.extend_session(step, &request.member_id);
        match self.state {
            State::Empty => Err(GroupError::UnknownMemberId),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// A member was silent for too long, or did not come back with its id.
    pub(super) fn session_timed_out(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        id: &str,
    ) {
        if self.pending_joins.contains(id) {
            info!(
                group = self.id,
                member = id,
                "did not come back with its id"
            );
            self.remove(step, id);
            self.complete_if_all_joined(step, reader);
        } else if self.members.get(id).is_some_and(|member| !member.waits()) {
            info!(group = self.id, member = id, "was silent for too long");
            self.remove(step, id);
            self.after_removal(step, reader, "a member was silent for too long");
        }
    }

    /// Goes on without those who were removed.
    pub(super) fn after_removal(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        reason: &str,
    ) {
        match self.state {
            State::Empty => {}
            State::PreparingRebalance => self.complete_if_all_joined(step, reader),
            State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(step, reader, reason);
            }
        }
    }
}
