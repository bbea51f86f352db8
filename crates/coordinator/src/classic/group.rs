//! The state of a classic group: who is in, and what they agreed on.
//!
//! Invariants:
//! - The members have a protocol in common.
//! - A group is empty iff it has no members and nobody joins; without members it has no leader.
//! - Only while it prepares a rebalance do members wait for JoinGroup; only while it completes one do they wait for SyncGroup.
//! - Two members do not have the same `group.instance.id`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use wiber_model::TimestampMs;

use super::member::{Member, each_once};
use crate::cluster::ConsumerProtocol;
use crate::coordinator::ReplyTo;
use crate::error::GroupError;
use crate::held::{MEMBER_BYTES, NAMES_HELD};
use crate::record::{ClassicGroupRecord, ClassicMemberRecord, RECORD_BYTES_MAX, Record};
use crate::request::{Caller, JoinRequest, told_bytes};
use crate::response::{ClassicDescription, Joined, JoinedMember, Response};
use crate::step::Step;
use crate::timers::Timer;

/// The protocol type of consumers: the coordinator can read their metadata.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The most bytes that the members of a group may tell of themselves, all together: a leader is sent much of it with each rebalance.
const TOLD_BYTES_MAX: usize = 8 * RECORD_BYTES_MAX;

/// Where a classic group stands. There is none that is dead: it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no members.
    Empty,
    /// Members are to join.
    PreparingRebalance,
    /// The leader is to assign.
    CompletingRebalance,
    /// All is assigned.
    Stable,
}

impl State {
    /// Kafka's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

/// The first rebalance of an empty group: it waits a little for others, and longer while others come.
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialDelay {
    /// The wait under way.
    pub(super) delay_ms: i32,
    /// How much longer it may be waited after that.
    pub(super) remaining_ms: i32,
    /// Whether a member came in the meantime.
    pub(super) extended: bool,
}

/// A classic group.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) state_since: Option<TimestampMs>,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// The ids of the static members, by `group.instance.id`.
    pub(super) static_members: BTreeMap<String, String>,
    /// Ids that were given out, whose owners have yet to join with them.
    pub(super) pending_joins: BTreeSet<String>,
    /// Members that have yet to sync in this generation.
    pub(super) pending_syncs: BTreeSet<String>,
    /// How many members wait for JoinGroup.
    pub(super) joining: usize,
    /// How many members support a protocol.
    support: BTreeMap<String, usize>,
    /// How much the members have told of themselves, in bytes.
    told_bytes: usize,
    /// What the members and the ids that were given out hold in memory, in bytes.
    held_bytes: usize,
    /// What the members are subscribed to, if that can be known.
    pub(super) subscribed: Option<BTreeSet<String>>,
    /// The group was empty when it began to prepare this rebalance.
    pub(super) initial_delay: Option<InitialDelay>,
}

impl ClassicGroup {
    /// An empty group.
    pub(crate) fn new(id: String, since: Option<TimestampMs>) -> ClassicGroup {
        ClassicGroup {
            id,
            state: State::Empty,
            state_since: since,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            joining: 0,
            support: BTreeMap::new(),
            told_bytes: 0,
            held_bytes: 0,
            subscribed: None,
            initial_delay: None,
        }
    }

    /// A stable group of consumers, made from one of the consumer protocol. All members have a protocol in common, and their assignments.
    pub(crate) fn of_consumers(
        id: String,
        generation: i32,
        members: Vec<Member>,
        now: TimestampMs,
        reader: &ConsumerProtocol,
    ) -> ClassicGroup {
        let mut group = ClassicGroup::new(id, Some(now));
        group.generation = generation;
        group.protocol_type = Some(CONSUMER_PROTOCOL_TYPE.to_owned());
        for member in members {
            group.insert(member);
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
            group.protocol = group.select_protocol();
        }
        group.subscribed = group.subscribed_topics(reader);
        group
    }

    /// The group as a record has it. One that was stored while it prepared a rebalance prepares it still, and has no timer for it.
    pub(crate) fn restore(
        id: String,
        record: ClassicGroupRecord,
        reader: &ConsumerProtocol,
    ) -> ClassicGroup {
        let since = (record.state_since != TimestampMs::NONE).then_some(record.state_since);
        let mut group = ClassicGroup::new(id, since);
        group.generation = record.generation;
        group.protocol_type = Some(record.protocol_type).filter(|name| !name.is_empty());
        group.protocol = record.protocol;
        let protocol = group.protocol.clone().unwrap_or_default();
        for member in record.members {
            group.insert(restore_member(member, &protocol));
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
            group.protocol = Some(protocol);
            match record.leader {
                Some(leader) if group.members.contains_key(&leader) => group.leader = Some(leader),
                Some(_) => {}
                None => group.state = State::PreparingRebalance,
            }
        }
        group.subscribed = group.subscribed_topics(reader);
        group
    }

    /// The record of the group as it is.
    pub(crate) fn record(&self) -> Record {
        let members = self.members.values().map(|member| ClassicMemberRecord {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.caller.client_id.clone(),
            client_host: member.caller.host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_deref()),
            assignment: member.assignment.clone(),
        });
        Record::ClassicGroup {
            group: self.id.clone(),
            value: Some(ClassicGroupRecord {
                protocol_type: self.protocol_type.clone().unwrap_or_default(),
                generation: self.generation,
                protocol: self.protocol.clone(),
                leader: self
                    .leader
                    .clone()
                    .filter(|_| self.state != State::PreparingRebalance),
                state_since: self.state_since.unwrap_or(TimestampMs::NONE),
                members: members.collect(),
            }),
        }
    }

    /// Whether the group as it is can be stored.
    pub(crate) fn fits_a_record(&self) -> bool {
        let members = self.members.values().map(|member| {
            let metadata = member.metadata(self.protocol.as_deref()).len();
            metadata + member.assignment.len() + member.names_bytes()
        });
        members.sum::<usize>() <= RECORD_BYTES_MAX
    }

    /// Where the group stands.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Since when, if that is known.
    pub(crate) fn state_since(&self) -> Option<TimestampMs> {
        self.state_since
    }

    /// The generation.
    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// The class of protocols, if the group ever had members.
    pub(crate) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// The chosen protocol.
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The members, by id.
    pub(crate) fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// Whether its members are consumers, whose metadata can be read.
    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// What its members are subscribed to, if that is known.
    pub(crate) fn subscribed(&self) -> Option<&BTreeSet<String>> {
        self.subscribed.as_ref()
    }

    /// Whether a member is subscribed to a topic. Where it is not known, consumers count as subscribed to everything.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// The group as DescribeGroups shows it.
    pub(crate) fn describe(&self) -> ClassicDescription {
        let settled = (self.state == State::Stable).then_some(self.protocol.as_deref());
        let protocol = settled.flatten();
        ClassicDescription {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: self
                .members
                .values()
                .map(|member| member.describe(protocol))
                .collect(),
        }
    }

    /// Whether there is a member of this id, and under this `group.instance.id` if one is given.
    ///
    /// # Errors
    /// Unknown, or fenced by another member with the instance id.
    pub(crate) fn check_member(
        &self,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMemberId),
                Some(current) if current != member => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) {
            Ok(())
        } else {
            Err(GroupError::UnknownMemberId)
        }
    }

    /// Whether a member with these protocols would leave the members with one in common.
    pub(super) fn supports<'a>(
        &self,
        protocol_type: &str,
        mut protocols: impl Iterator<Item = &'a String>,
    ) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type() == Some(protocol_type)
            && protocols.any(|name| self.support_of(name) == self.members.len())
    }

    /// Whether there is room for what a member tells that joins, in place of what it told before.
    pub(super) fn has_room_for_protocols(&self, request: &JoinRequest) -> bool {
        let instance = request.instance_id.as_ref();
        let known = match instance.filter(|_| request.member_id.is_empty()) {
            Some(instance) => self.static_members.get(instance),
            None => Some(&request.member_id),
        };
        let before = known.and_then(|id| self.members.get(id));
        let before = before.map_or(0, |member| told_bytes(&member.protocols));
        self.told_bytes - before + told_bytes(&request.protocols) <= TOLD_BYTES_MAX
    }

    /// What a member told, in bytes, if there is one of this id or, where it comes without an id, under this `group.instance.id`. One that
    /// has its id and has yet to join told nothing.
    pub(crate) fn told_by(&self, id: &str, instance: Option<&str>) -> Option<usize> {
        let known = match instance.filter(|_| id.is_empty()) {
            Some(instance) => self.static_members.get(instance)?,
            None => id,
        };
        let member = self.members.get(known);
        member.map(|member| told_bytes(&member.protocols))
    }

    /// What the group's members hold in memory, about, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// How much is assigned, in bytes.
    pub(crate) fn assigned_bytes(&self) -> usize {
        let members = self.members.values();
        members.map(|member| member.assignment.len()).sum()
    }

    /// Assigns to members what `assigned` has for them, and nothing to the others.
    pub(super) fn set_assignments(&mut self, assigned: Vec<(String, Bytes)>) {
        self.held_bytes -= self.assigned_bytes();
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for (id, assignment) in assigned {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        self.held_bytes += self.assigned_bytes();
    }

    /// Gives an id out, with which its owner is to join.
    pub(super) fn await_join(&mut self, id: String) {
        self.held_bytes += pending_bytes(&id);
        self.pending_joins.insert(id);
    }

    fn support_of(&self, protocol: &str) -> usize {
        self.support.get(protocol).copied().unwrap_or(0)
    }

    /// The protocol with the most votes of those that all members support: each votes for its best. The first by name if several have.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .find(|(name, _)| self.support_of(name) == self.members.len());
            if let Some((name, _)) = vote {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.values().max().copied()?;
        let chosen = votes.into_iter().find(|(_, count)| *count == most)?;
        Some(chosen.0.to_owned())
    }

    /// What consumers are subscribed to, if their metadata can be read.
    pub(super) fn subscribed_topics(&self, reader: &ConsumerProtocol) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        let protocol = self.protocol.as_deref();
        if protocol.is_none() && !self.members.is_empty() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let (subscription, _) = (reader.subscription)(&member.metadata(protocol))?;
            topics.extend(subscription.topics);
        }
        Some(topics)
    }

    /// Takes a member in. The first is the leader.
    pub(super) fn insert(&mut self, member: Member) {
        self.take(&member.id);
        if let Some(instance) = &member.instance_id {
            // Two members under one name can only come from a record that no coordinator wrote: the later one counts.
            if let Some(other) = self.static_members.get(instance).cloned() {
                self.take(&other);
            }
            self.static_members
                .insert(instance.clone(), member.id.clone());
        }
        for (name, _) in &member.protocols {
            *self.support.entry(name.clone()).or_default() += 1;
        }
        self.told_bytes += told_bytes(&member.protocols);
        self.held_bytes += member.held_bytes();
        self.joining += usize::from(member.join.is_some());
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out, or an id that was given out. The first of the others leads in a leader's place.
    pub(super) fn take(&mut self, id: &str) -> Option<Member> {
        if self.pending_joins.remove(id) {
            self.held_bytes -= pending_bytes(id);
        }
        self.pending_syncs.remove(id);
        let member = self.members.remove(id)?;
        self.forget(&member);
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Takes out what is counted of a member.
    fn forget(&mut self, member: &Member) {
        self.joining -= usize::from(member.join.is_some());
        self.told_bytes -= told_bytes(&member.protocols);
        self.held_bytes -= member.held_bytes();
        for (name, _) in &member.protocols {
            if let Some(count) = self.support.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.support.remove(name);
                }
            }
        }
    }

    /// Takes a member out for good: whoever waits for it is told that it is not known, and its session ends.
    pub(super) fn remove(&mut self, step: &mut Step<'_>, id: &str) {
        step.timers.cancel(self.session_timer(id));
        if let Some(mut member) = self.take(id) {
            if let Some(to) = member.join.take() {
                step.reply(to, refused(String::new(), GroupError::UnknownMemberId));
            }
            member.fail_sync(step, GroupError::UnknownMemberId);
        }
    }

    /// Gives a static member another id; whoever waits under the former is fenced.
    pub(super) fn replace_static(&mut self, step: &mut Step<'_>, from: &str, to: &str) {
        let was_leader = self.leader.as_deref() == Some(from);
        self.fail_join(step, from, GroupError::FencedInstanceId);
        step.timers.cancel(self.session_timer(from));
        let Some(mut member) = self.take(from) else {
            return;
        };
        member.fail_sync(step, GroupError::FencedInstanceId);
        member.id = to.to_owned();
        member.is_new = false;
        self.insert(member);
        if was_leader {
            self.leader = Some(to.to_owned());
        }
    }

    /// Takes what a member says of itself when it joins again, and waits with it.
    pub(super) fn update(
        &mut self,
        step: &mut Step<'_>,
        to: ReplyTo,
        request: &JoinRequest,
        id: &str,
    ) {
        // Whoever waited before was given up by the client; it must hear of it all the same.
        self.fail_join(step, id, GroupError::RebalanceInProgress);
        let Some(mut member) = self.members.remove(id) else {
            return;
        };
        self.forget(&member);
        member.protocols = each_once(request.protocols.clone());
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.session_timeout_ms = request.session_timeout_ms;
        member.join = Some(to);
        self.insert(member);
    }

    /// Ends a member's wait for JoinGroup with an error, if it waits.
    pub(super) fn fail_join(&mut self, step: &mut Step<'_>, id: &str, error: GroupError) {
        let waiting = self
            .members
            .get_mut(id)
            .and_then(|member| member.join.take());
        if let Some(to) = waiting {
            self.joining -= 1;
            step.reply(to, refused(id.to_owned(), error));
        }
    }

    /// Ends all waits with an error.
    pub(crate) fn fail_waiting(&mut self, step: &mut Step<'_>, error: &GroupError) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            self.fail_join(step, &id, error.clone());
            if let Some(member) = self.members.get_mut(&id) {
                member.fail_sync(step, error.clone());
            }
        }
    }

    /// Ends a member's wait for JoinGroup, if it waits, with what it has joined.
    pub(super) fn complete_join(&mut self, step: &mut Step<'_>, id: &str) {
        let waiting = self
            .members
            .get_mut(id)
            .and_then(|member| member.join.take());
        if let Some(to) = waiting {
            self.joining -= 1;
            let joined = self.joined(id);
            step.reply(to, accepted(id.to_owned(), joined));
        }
    }

    /// What a member is told of the generation; the leader of all members.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let members = if self.leader.as_deref() == Some(id) {
            self.joined_members()
        } else {
            Vec::new()
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            members,
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let members = self.members.values().map(|member| JoinedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_deref()),
        });
        members.collect()
    }

    /// How long the members may take to rejoin: as long as the slowest may.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        let timeouts = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0).max(0)
    }

    /// Whether everybody is in who is waited for.
    pub(super) fn all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending_joins.is_empty()
    }

    /// Goes over to a state.
    pub(super) fn enter(&mut self, step: &Step<'_>, state: State) {
        self.state = state;
        self.state_since = Some(step.now.wall);
    }

    /// Begins a member's session anew.
    pub(crate) fn extend_session(&self, step: &mut Step<'_>, id: &str) {
        if let Some(member) = self.members.get(id) {
            let timeout_ms = i64::from(member.session_timeout_ms);
            step.set_timer(self.session_timer(id), timeout_ms);
        }
    }

    /// Takes all timers of the group away.
    pub(crate) fn cancel_timers(&self, step: &mut Step<'_>) {
        for id in self.members.keys().chain(&self.pending_joins) {
            step.timers.cancel(self.session_timer(id));
        }
        step.timers.cancel(self.join_timer());
        step.timers.cancel(self.sync_timer());
    }

    pub(super) fn session_timer(&self, member: &str) -> Timer {
        Timer::ClassicSession {
            group: self.id.clone(),
            member: member.to_owned(),
        }
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::ClassicJoin {
            group: self.id.clone(),
        }
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::ClassicSync {
            group: self.id.clone(),
        }
    }

    /// Checks the group's invariants.
    pub(crate) fn validate(&self, id: &str) {
        assert_eq!(self.id, id, "a group knows its id");
        let members = &self.members;
        let joining = members.values().filter(|member| member.join.is_some());
        assert_eq!(
            self.joining,
            joining.count(),
            "group {id} counts who waits for JoinGroup"
        );
        let mut support: BTreeMap<String, usize> = BTreeMap::new();
        for name in members.values().flat_map(|member| &member.protocols) {
            *support.entry(name.0.clone()).or_default() += 1;
        }
        assert_eq!(
            self.support, support,
            "group {id} counts who supports a protocol"
        );
        let pending = self.pending_joins.iter().map(|id| pending_bytes(id));
        assert_eq!(
            self.held_bytes,
            members.values().map(Member::held_bytes).sum::<usize>() + pending.sum::<usize>(),
            "group {id} counts what it holds"
        );
        let told = members.values().map(|member| told_bytes(&member.protocols));
        assert_eq!(
            self.told_bytes,
            told.sum::<usize>(),
            "group {id} counts what its members told"
        );
        assert_eq!(
            self.leader.is_none(),
            members.is_empty(),
            "group {id} has a leader iff it has members"
        );
        assert!(
            self.leader
                .as_ref()
                .is_none_or(|leader| members.contains_key(leader)),
            "the leader of group {id} is a member"
        );
        assert!(
            members.is_empty() || support.values().any(|count| *count == members.len()),
            "the members of group {id} have a protocol in common"
        );
        for (instance, member) in &self.static_members {
            let known = members.get(member).and_then(|m| m.instance_id.as_ref());
            assert_eq!(known, Some(instance), "group {id} knows its static members");
        }
        let statics = members
            .values()
            .filter(|member| member.instance_id.is_some());
        assert_eq!(
            statics.count(),
            self.static_members.len(),
            "group {id} knows all its static members"
        );
        assert!(
            self.pending_joins
                .iter()
                .all(|member| !members.contains_key(member)),
            "who has joined group {id} is not waited for"
        );
        assert!(
            self.pending_syncs
                .iter()
                .all(|member| members.contains_key(member)),
            "only members of group {id} are to sync"
        );
        self.validate_state(id);
    }

    fn validate_state(&self, id: &str) {
        let waits_for_sync = self.members.values().any(|member| member.sync.is_some());
        let (may_join, may_sync, empty) = match self.state {
            State::Empty => (false, false, true),
            State::PreparingRebalance => (true, false, self.members.is_empty()),
            State::CompletingRebalance => (false, true, false),
            State::Stable => (false, false, false),
        };
        assert_eq!(
            empty,
            self.members.is_empty(),
            "group {id} in state {:?} has the members that it may have",
            self.state
        );
        assert!(
            may_join || self.joining == 0,
            "nobody waits for JoinGroup in group {id} in state {:?}",
            self.state
        );
        assert!(
            may_sync || !waits_for_sync,
            "nobody waits for SyncGroup in group {id} in state {:?}",
            self.state
        );
        assert!(
            may_join || self.initial_delay.is_none(),
            "group {id} in state {:?} is not in its first rebalance",
            self.state
        );
        let settled = matches!(self.state, State::CompletingRebalance | State::Stable);
        assert!(
            !settled || self.protocol.is_some(),
            "group {id} in state {:?} has a protocol",
            self.state
        );
    }
}

/// What an id that was given out holds in memory, about.
fn pending_bytes(id: &str) -> usize {
    MEMBER_BYTES + NAMES_HELD * id.len()
}

/// A refused JoinGroup.
pub(super) fn refused(member_id: String, error: GroupError) -> Response {
    Response::Join {
        result: Err(error),
        member_id,
    }
}

/// An accepted JoinGroup.
pub(super) fn accepted(member_id: String, joined: Joined) -> Response {
    Response::Join {
        result: Ok(joined),
        member_id,
    }
}

fn restore_member(record: ClassicMemberRecord, protocol: &str) -> Member {
    let caller = Caller {
        client_id: record.client_id,
        host: record.client_host,
    };
    // Old records have no rebalance timeout: the session timeout stood for both.
    let rebalance_timeout_ms = if record.rebalance_timeout_ms == -1 {
        record.session_timeout_ms
    } else {
        record.rebalance_timeout_ms
    };
    let mut member = Member::new(
        record.member_id,
        record.instance_id,
        caller,
        rebalance_timeout_ms,
        record.session_timeout_ms,
        vec![(protocol.to_owned(), record.subscription)],
    );
    member.assignment = record.assignment;
    member
}
