//! JoinGroup to a classic group.

use tracing::{debug, info};

use super::group::{ClassicGroup, State, accepted, refused};
use super::member::Member;
use crate::cluster::ConsumerProtocol;
use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::request::JoinRequest;
use crate::step::Step;

/// How long a new member's JoinGroup is parked, in milliseconds. It has no id yet to send heartbeats with, and a client that gave up
/// and tries again comes as yet another new member; so it is not waited for without end. Kafka's value.
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

impl ClassicGroup {
    /// A member joins. The session timeout is within its bounds.
    pub(super) fn join(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        to: ReplyTo,
        request: &JoinRequest,
    ) {
        if !self.has_room_for(step, &request.member_id) {
            let error = GroupError::GroupMaxSizeReached(format!(
                "Group {} has the {} members that it may have.",
                self.id, step.config.max_size
            ));
            self.remove(step, &request.member_id);
            step.reply(to, refused(String::new(), error));
            self.complete_if_all_joined(step, reader);
            return;
        }
        if !self.has_room_for_protocols(request) {
            let error = GroupError::GroupMaxSizeReached(format!(
                "The members of group {} have told as much as a group may have.",
                self.id
            ));
            if self.pending_joins.contains(&request.member_id) {
                self.remove(step, &request.member_id);
            }
            step.reply(to, refused(request.member_id.clone(), error));
            self.complete_if_all_joined(step, reader);
            return;
        }
        let names = request.protocols.iter().map(|(name, _)| name);
        if !self.supports(&request.protocol_type, names) {
            let error = GroupError::InconsistentGroupProtocol;
            step.reply(to, refused(request.member_id.clone(), error));
        } else if request.member_id.is_empty() {
            self.join_new(step, reader, to, request);
        } else if self.pending_joins.contains(&request.member_id) && request.instance_id.is_none() {
            self.add(step, reader, to, request, request.member_id.clone());
        } else {
            self.rejoin(step, reader, to, request);
        }
    }

    /// Whether a member may come in. While a rebalance is prepared it is counted who is back, not who was in: so a group that is
    /// larger than it may be, as it may be after a change of the setting, shrinks.
    fn has_room_for(&self, step: &Step<'_>, id: &str) -> bool {
        let max = usize::try_from(step.config.max_size).unwrap_or(0);
        let member = self.members.get(id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.join.is_some()) || self.joining < max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max
            }
        }
    }

    fn join_new(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        to: ReplyTo,
        request: &JoinRequest,
    ) {
        let id = format!("{}-{}", request.id_prefix(), step.uuid());
        match &request.instance_id {
            Some(instance) => match self.static_members.get(instance).cloned() {
                Some(before) => self.rejoin_static(step, reader, to, request, &before, &id),
                None => self.add(step, reader, to, request, id),
            },
            None if request.needs_known_member_id => self.ask_back(step, to, request, id),
            None => self.add(step, reader, to, request, id),
        }
    }

    /// Gives a new member its id, and waits for it to come back with that (KIP-394).
    fn ask_back(&mut self, step: &mut Step<'_>, to: ReplyTo, request: &JoinRequest, id: String) {
        debug!(group = self.id, member = id, "is to join with this id");
        let timeout_ms = i64::from(request.session_timeout_ms);
        step.set_timer(self.session_timer(&id), timeout_ms);
        self.await_join(id.clone());
        step.reply(to, refused(id, GroupError::MemberIdRequired));
    }

    /// Takes a new member in.
    fn add(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        to: ReplyTo,
        request: &JoinRequest,
        id: String,
    ) {
        let mut member = Member::new(
            id.clone(),
            request.instance_id.clone(),
            request.caller.clone(),
            request.rebalance_timeout_ms,
            request.session_timeout_ms,
            request.protocols.clone(),
        );
        member.join = Some(to);
        member.is_new = true;
        if let Some(delay) = &mut self.initial_delay {
            delay.extended = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.insert(member);
        step.set_timer(self.session_timer(&id), NEW_MEMBER_JOIN_TIMEOUT_MS);
        let reason = format!("member {id} joins; {}", why(request));
        self.rebalance_or_complete(step, reader, &reason);
    }

    /// A member joins with the id that it has.
    fn rejoin(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        to: ReplyTo,
        request: &JoinRequest,
    ) {
        let id = &request.member_id;
        if let Err(error) = self.check_member(id, request.instance_id.as_deref()) {
            step.reply(to, refused(id.clone(), error));
            return;
        }
        let same = self
            .members
            .get(id)
            .is_some_and(|member| member.protocols == request.protocols);
        let leads = self.leader.as_ref() == Some(id);
        let unchanged = match self.state {
            State::Empty | State::PreparingRebalance => false,
            // It may not have had the answer to its first attempt.
            State::CompletingRebalance => same,
            // A leader joins again to have partitions assigned anew, for reasons that only it knows.
            State::Stable => same && !leads,
        };
        if unchanged {
            let joined = self.joined(id);
            step.reply(to, accepted(id.clone(), joined));
            self.extend_session(step, id);
        } else {
            self.update(step, to, request, id);
            let reason = format!("member {id} joins again; {}", why(request));
            self.rebalance_or_complete(step, reader, &reason);
        }
    }

    /// A static member is back without its id: it gets another, and who had the former one is fenced.
    fn rejoin_static(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        to: ReplyTo,
        request: &JoinRequest,
        before: &str,
        id: &str,
    ) {
        info!(
            group = self.id,
            before,
            member = id,
            "a static member comes back"
        );
        let leader_before = self.leader.clone();
        self.replace_static(step, before, id);
        self.extend_session(step, id);
        self.update(step, to, request, id);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol && self.fits_a_record() => {
                self.keep_static(step, reader, request, leader_before, id);
            }
            // The leader may be assigning to the former id right now.
            State::Stable | State::CompletingRebalance => {
                let reason = format!("static member {id} comes back; {}", why(request));
                self.prepare_rebalance(step, reader, &reason);
            }
            State::PreparingRebalance | State::Empty => self.complete_if_all_joined(step, reader),
        }
    }

    /// A static member that is back changes nothing for the others: it goes on with what it was assigned.
    fn keep_static(
        &mut self,
        step: &mut Step<'_>,
        reader: &ConsumerProtocol,
        request: &JoinRequest,
        leader_before: Option<String>,
        id: &str,
    ) {
        self.subscribed = self.subscribed_topics(reader);
        step.append(self.record());
        let waiting = self
            .members
            .get_mut(id)
            .and_then(|member| member.join.take());
        let Some(to) = waiting else {
            return;
        };
        self.joining -= 1;
        let mut joined = self.joined(id);
        if request.supports_skipping_assignment {
            joined.skip_assignment = self.leader.as_deref() == Some(id);
        } else {
            // A leader that cannot be told to skip the assignment is told that another leads (KIP-345).
            joined.members.clear();
            joined.leader = leader_before.unwrap_or_default();
        }
        step.reply(to, accepted(id.to_owned(), joined));
    }
}

/// Why a member joins, as it says.
fn why(request: &JoinRequest) -> &str {
    match request.reason.as_deref() {
        None | Some("") => "it does not say why",
        Some(reason) => reason,
    }
}
