//! Groups of the consumer protocol (KIP-848): the coordinator assigns.
//!
//! What the coordinator asks of this module stands here; each is a hook that its dispatch calls.

mod group;

pub(crate) use group::ConsumerGroup;

use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::groups::Groups;
use crate::record::Record;
use crate::request::{
    ConsumerHeartbeatRequest, HeartbeatRequest, JoinRequest, LeavingMember, SyncRequest,
};
use crate::response::{ConsumerDescription, Response};
use crate::step::Step;

/// The timers of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConsumerTimer {
    /// A member was silent for its session timeout.
    Session { group: String, member: String },
}

impl Groups {
    /// ConsumerGroupHeartbeat, of any group id: the group may be absent, classic or of the consumer protocol.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        reply_to: ReplyTo,
        request: ConsumerHeartbeatRequest,
    ) {
        let error = GroupError::UnsupportedVersion("the consumer protocol is not there".to_owned());
        drop(request);
        step.reply(reply_to, Response::ConsumerHeartbeat(Err(error)));
    }

    /// ConsumerGroupDescribe.
    pub(crate) fn consumer_describe(&self, group: &str) -> Result<ConsumerDescription, GroupError> {
        Err(GroupError::GroupIdNotFound(format!(
            "Group {group} not found."
        )))
    }

    /// JoinGroup to a group of the consumer protocol that has members.
    pub(crate) fn consumer_classic_join(
        &mut self,
        step: &mut Step<'_>,
        reply_to: ReplyTo,
        request: JoinRequest,
    ) {
        let result = Err(GroupError::InconsistentGroupProtocol);
        let member_id = request.member_id;
        step.reply(reply_to, Response::Join { result, member_id });
    }

    /// SyncGroup to a group of the consumer protocol.
    pub(crate) fn consumer_classic_sync(
        &mut self,
        step: &mut Step<'_>,
        reply_to: ReplyTo,
        request: SyncRequest,
    ) {
        drop(request);
        step.reply(reply_to, Response::Sync(Err(GroupError::UnknownMemberId)));
    }

    /// Heartbeat to a group of the consumer protocol.
    pub(crate) fn consumer_classic_heartbeat(
        &mut self,
        step: &mut Step<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), GroupError> {
        let _ = (step, request);
        Err(GroupError::UnknownMemberId)
    }

    /// LeaveGroup of members of a group of the consumer protocol (members of either protocol, by an operator too): the result of
    /// each, in their order.
    pub(crate) fn consumer_classic_leave(
        &mut self,
        step: &mut Step<'_>,
        group: &str,
        members: &[LeavingMember],
    ) -> Vec<Result<(), GroupError>> {
        let _ = (step, group);
        vec![Err(GroupError::UnknownMemberId); members.len()]
    }

    /// Folds one of the `Consumer*` records in.
    pub(crate) fn consumer_replay(&mut self, record: Record) {
        drop(record);
    }

    /// A timer is due.
    pub(crate) fn consumer_timer(&mut self, step: &mut Step<'_>, timer: ConsumerTimer) {
        let _ = (step, timer);
    }

    /// The group is about to go: none of its timers is to come.
    pub(crate) fn consumer_cancel_timers(&mut self, step: &mut Step<'_>, group: &str) {
        let _ = (step, group);
    }

    /// All records were replayed: members of groups of the consumer protocol have their session timeouts from now on.
    pub(crate) fn consumer_loaded(&mut self, step: &mut Step<'_>) {
        let _ = step;
    }

    /// Topics came, grew, changed or went: the metadata of those who subscribe to them are to be looked at again.
    pub(crate) fn consumer_topics_changed(&mut self, step: &mut Step<'_>, names: &[String]) {
        let _ = (step, names);
    }
}
