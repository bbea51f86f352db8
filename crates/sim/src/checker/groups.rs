//! What groups promise, by what members asked and were answered.
//!
//! Invariant 16: a partition has one owner in each generation, and a stale generation cannot commit:
//! - A generation of a classic group gives a partition to one member. A commit that comes in after members were told of a newer
//!   generation, or of the member's end, is refused.
//! - A group of the consumer protocol gives a partition to a member only when its last owner said that it gave it up, or left, or was
//!   silent for its session timeout, or did not give it up within the rebalance timeout. Who lost a partition so cannot commit for it.
//!
//! And of offsets:
//! - What was committed and acknowledged, or read, stays until something else is committed, or it is deleted, or nobody has subscribed
//!   to its topic for long enough.
//! - What a group has processed, it processes again only where it was not committed when its owner began. In the end it has processed
//!   everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use wiber_model::{Offset, PartitionId};
use wiber_protocol::Str;
use wiber_protocol::messages as m;

use super::attendance::Attendance;
use super::register::{Register, Write};
use super::{Checker, Scene};
use crate::client::member::{Kind, MemberPlan, assigned_to, owned_by, shares_of, told, topics_of};
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange, Place};
use crate::story::About;

/// The clock counts these, in nanoseconds.
const MILLISECOND_NS: u64 = 1_000_000;

/// A partition, by the name of its topic.
type Key = (Str, i32);

/// The groups of a run.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<Str, Group>,
    next_number: u64,
    /// What was surely committed, by the request that asked for it.
    floors: BTreeMap<(u64, Key), Offset>,
    /// After so long, in nanoseconds, what nobody subscribes to any more may expire; none: that is longer than any run.
    pub retention_ns: Option<u64>,
}

#[derive(Debug)]
struct Group {
    kind: Kind,
    /// Its members speak now the one protocol and now the other.
    migrates: bool,
    session_ns: u64,
    rebalance_ns: u64,
    /// The newest generation that a member was told of, in this life of the broker.
    generation: i32,
    /// The newest that members have shares of: a crash takes newer ones back.
    stored_generation: i32,
    /// Who has what in which generation.
    shares: BTreeMap<(i32, Key), Str>,
    /// Members whose end was answered.
    gone: BTreeSet<Str>,
    /// The members of static members.
    instances: BTreeMap<Str, Str>,
    /// Who was told that it has a partition; of the consumer protocol.
    holders: BTreeMap<PartitionId, Holder>,
    /// The epochs that members were told last; of the consumer protocol.
    epochs: BTreeMap<Str, i32>,
    /// When a member was last heard and answered; of the consumer protocol.
    heard_ns: BTreeMap<Str, u64>,
    /// Until when members are in, if they are not heard again; of the classic protocol, and of this life of the broker.
    classic_until_ns: BTreeMap<Str, u64>,
    /// When heartbeats came in that had no answer yet, or whose answer was lost: they may have had their effect.
    unanswered_ns: BTreeMap<Str, BTreeSet<u64>>,
    /// When a member was told to give up what meanwhile is another's, if the broker may not know yet that it did.
    displaced_ns: BTreeMap<Str, u64>,
    /// What a member last said that it has, and in which request.
    said: BTreeMap<Str, (u64, BTreeSet<PartitionId>)>,
    offsets: BTreeMap<Key, Register>,
    /// What was processed, in ranges that do not touch.
    processed: BTreeMap<PartitionId, Vec<Range<Offset>>>,
    /// What each client subscribes to.
    subscribed: BTreeMap<usize, BTreeSet<Str>>,
    /// Who is surely in, as far as answers tell.
    attendance: Attendance,
    /// Which clients believe that they have a partition.
    believers: BTreeMap<Key, BTreeSet<usize>>,
}

#[derive(Clone, Debug)]
struct Holder {
    member: Str,
    instance: Option<Str>,
    /// It said that it does not have the partition.
    released: bool,
    /// When it was last told to give it up.
    revoked_ns: Option<u64>,
}

impl Group {
    fn new(plan: &MemberPlan) -> Group {
        Group {
            kind: plan.kind,
            migrates: plan.migrates_to.is_some(),
            session_ns: plan.silence_ms * 1_000_000,
            rebalance_ns: plan.rebalance_ms as u64 * 1_000_000,
            generation: -1,
            stored_generation: -1,
            shares: BTreeMap::new(),
            gone: BTreeSet::new(),
            instances: BTreeMap::new(),
            holders: BTreeMap::new(),
            epochs: BTreeMap::new(),
            heard_ns: BTreeMap::new(),
            classic_until_ns: BTreeMap::new(),
            unanswered_ns: BTreeMap::new(),
            displaced_ns: BTreeMap::new(),
            said: BTreeMap::new(),
            offsets: BTreeMap::new(),
            processed: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            attendance: Attendance::default(),
            believers: BTreeMap::new(),
        }
    }

    /// A group of that name may begin anew. Who held partitions of the old one had left by then, or was silent for long enough.
    fn begin_anew(&mut self) {
        (self.generation, self.stored_generation) = (-1, -1);
        self.shares.clear();
    }

    /// A member, and no other one of the same instance, is there.
    fn is_there(&mut self, member: &Str, instance: Option<&Str>) {
        if let Some(instance) = instance {
            let before = self.instances.insert(instance.clone(), member.clone());
            self.gone.extend(before.filter(|before| before != member));
        }
    }

    /// A request comes in by which a member joins, or says what it subscribes to.
    fn subscribe(
        &mut self,
        (member, instance): (&Str, Option<&Str>),
        number: u64,
        topics: BTreeSet<Str>,
        now_ns: u64,
    ) {
        let before = instance.and_then(|instance| self.instances.get(instance));
        if let Some(before) = before.filter(|before| *before != member) {
            self.attendance.end(before, now_ns);
        }
        if !member.is_empty() {
            self.attendance.subscribe(member, number, topics, now_ns);
        }
    }

    /// A request of a member of the classic protocol was answered: it is in, if it is not silent and joins when it is to.
    fn attends(&mut self, member: &Str, exchange: &Exchange, now_ns: u64) {
        let within_ns = self.session_ns.min(self.rebalance_ns);
        let until_ns = exchange.arrived_ns.unwrap_or(0) + within_ns;
        self.attendance
            .attends(member, exchange.group.number, now_ns, until_ns);
        let heard_ns = self.classic_until_ns.entry(member.clone()).or_default();
        *heard_ns = until_ns.max(*heard_ns);
    }

    /// Since when what a write wrote may have expired, if it may by then: after so long, if nobody subscribes to the topic.
    fn expires(&self, topic: &Str, write: &Write, after_ns: u64, by_ns: u64) -> Option<u64> {
        let from_ns = write.from_ns + after_ns;
        let may_be = write.value >= Offset::ZERO
            && from_ns <= by_ns
            && !self.attendance.is_without_gap(Some(topic), from_ns..=by_ns);
        may_be.then_some(from_ns)
    }

    /// A member says, in a request, that it has none of its partitions but for these.
    fn release(&mut self, member: &Str, number: u64, but: BTreeSet<PartitionId>) {
        for (id, holder) in &mut self.holders {
            if holder.member == *member && !but.contains(id) {
                holder.released = true;
            }
        }
        self.said.insert(member.clone(), (number, but));
    }

    /// Whether a member may commit for a partition that is another's: in its own epoch it may for any. It stays in that while it has
    /// others to give up; and one of the classic protocol that was out comes back with its id and with what it had.
    fn may_commit(&self, member: &Str, epoch: i32, id: PartitionId, now_ns: u64) -> bool {
        let said = self.said.get(member);
        let gave_up = said.is_some_and(|(_, owned)| !owned.contains(&id));
        let until_ns = self.classic_until_ns.get(member);
        let is_back = until_ns.is_some_and(|until_ns| now_ns < *until_ns);
        self.epochs.get(member) == Some(&epoch) && (gave_up || is_back)
    }

    /// Whether a member has said since a request that it does not have a partition: an answer that was held back until then, and whose
    /// connection is gone, gives it nothing any more.
    fn has_released_since(&self, member: &Str, number: u64, id: PartitionId) -> bool {
        let said = self.said.get(member);
        said.is_some_and(|(since, owned)| *since > number && !owned.contains(&id))
    }

    /// Who has a partition, in a way that excludes others from it.
    fn holder(&self, id: PartitionId, now_ns: u64) -> Option<&Holder> {
        let holder = self.holders.get(&id).filter(|holder| !holder.released)?;
        let there = now_ns < self.in_until_ns(&holder.member);
        (there && !self.gone.contains(&holder.member)).then_some(holder)
    }

    /// Until when a member is in if it is not heard again: it is silent then, or late.
    fn in_until_ns(&self, member: &Str) -> u64 {
        if let Some(until_ns) = self.classic_until_ns.get(member) {
            return *until_ns;
        }
        let heard_ns = self.heard_ns.get(member).copied().unwrap_or(0);
        // Who does not give up one partition in time loses all of them. Its time begins with the heartbeat that it is to be told by,
        // though it may never get the answer.
        let its = self.holders.values().filter(|it| it.member == *member);
        let asked = its.filter_map(|it| it.revoked_ns);
        let unanswered = self.unanswered_ns.get(member).into_iter().flatten();
        let before = unanswered.chain(self.displaced_ns.get(member));
        let asked_ns = asked.chain(before.copied()).min();
        let late_ns = asked_ns.map_or(u64::MAX, |at| at + self.rebalance_ns);
        late_ns.min(heard_ns + self.session_ns)
    }
}

impl Groups {
    /// A group that there may be.
    pub fn expect(&mut self, plan: &MemberPlan) {
        self.groups
            .entry(plan.group.clone())
            .or_insert_with(|| Group::new(plan));
    }

    /// A client subscribes to topics.
    pub fn subscribed(&mut self, group: &Str, client: usize, topics: BTreeSet<Str>) {
        if let Some(group) = self.groups.get_mut(group) {
            group.subscribed.insert(client, topics);
        }
    }

    /// The topics that somebody in the group subscribes to.
    pub fn topics_of(&self, group: &Str) -> BTreeSet<Str> {
        let group = self.groups.get(group).into_iter();
        group
            .flat_map(|group| group.subscribed.values().flatten().cloned())
            .collect()
    }

    /// The names of all groups.
    pub fn names(&self) -> Vec<Str> {
        self.groups.keys().cloned().collect()
    }

    /// A client has a partition, as far as it knows.
    pub fn took(&mut self, group: &Str, client: usize, place: &Place) {
        if let Some(group) = self.groups.get_mut(group) {
            let key = (place.name.clone(), place.index);
            group.believers.entry(key).or_default().insert(client);
        }
    }

    /// A client has it no longer.
    pub fn gave_up(&mut self, group: &Str, client: usize, place: &Place) {
        if let Some(group) = self.groups.get_mut(group) {
            let key = (place.name.clone(), place.index);
            if let Some(believers) = group.believers.get_mut(&key) {
                believers.remove(&client);
            }
        }
    }

    /// What was surely committed when a request for it was answered.
    pub fn floor(&mut self, number: u64, place: &Place) -> Offset {
        let key = (number, (place.name.clone(), place.index));
        self.floors.remove(&key).unwrap_or(Offset(-1))
    }

    /// A partition that a group is to share, and that not one member has.
    pub fn unowned(&self, group: &Str, checker: &Checker) -> Option<String> {
        let wanted = self.topics_of(group);
        let believers = &self.groups.get(group)?.believers;
        let mut places = checker.live_places().into_iter();
        places.find_map(|place| {
            let key = (place.name.clone(), place.index);
            let owners = believers.get(&key).map_or(0, BTreeSet::len);
            (wanted.contains(&place.name) && owners != 1).then(|| {
                format!(
                    "{owners} members of {group} have {} {}",
                    place.name, place.index
                )
            })
        })
    }

    /// A request comes in, by which a member may say what it has.
    pub fn arrive(&mut self, exchange: &mut Exchange, owned: BTreeSet<PartitionId>, now_ns: u64) {
        self.next_number += 1;
        exchange.group.number = self.next_number;
        let number = self.next_number;
        match &exchange.ask {
            Ask::OffsetCommit(request, parts) => {
                let Some(group) = self.groups.get_mut(&request.group_id) else {
                    return;
                };
                exchange.group.generation = group.generation;
                exchange.group.gone = group.gone.contains(&request.member_id);
                for (place, offset) in parts {
                    let holder = group.holder(place.partition(), now_ns);
                    let other = holder.filter(|it| {
                        let same =
                            it.instance.is_some() && it.instance == request.group_instance_id;
                        let epoch = request.generation_id_or_member_epoch;
                        it.member != request.member_id
                            && !same
                            && !group.may_commit(
                                &request.member_id,
                                epoch,
                                place.partition(),
                                now_ns,
                            )
                    });
                    let other = other.map(|holder| holder.member.clone());
                    exchange.group.holders.push(other);
                    let key = (place.name.clone(), place.index);
                    group
                        .offsets
                        .entry(key)
                        .or_default()
                        .begin(number, *offset, now_ns);
                }
            }
            Ask::OffsetDelete(request) => {
                if let Some(group) = self.groups.get_mut(&request.group_id) {
                    for topic in &request.topics {
                        for part in &topic.partitions {
                            let key = (topic.name.clone(), part.partition_index);
                            let register = group.offsets.entry(key).or_default();
                            register.begin(number, Offset(-1), now_ns);
                        }
                    }
                }
            }
            Ask::DeleteGroups(request) => {
                for name in &request.groups_names {
                    if let Some(group) = self.groups.get_mut(name) {
                        group.begin_anew();
                        for register in group.offsets.values_mut() {
                            register.begin(number, Offset(-1), now_ns);
                        }
                    }
                }
            }
            Ask::JoinGroup(request) => {
                if let Some(group) = self.groups.get_mut(&request.group_id) {
                    if group.migrates {
                        group.release(&request.member_id, number, owned);
                    }
                    let who = (&request.member_id, request.group_instance_id.as_ref());
                    group.subscribe(who, number, topics_of_join(request), now_ns);
                }
            }
            Ask::LeaveGroup(request) => {
                if let Some(group) = self.groups.get_mut(&request.group_id) {
                    let members = request.members.iter().map(|member| &member.member_id);
                    for member in members.chain([&request.member_id]) {
                        group.attendance.end(member, now_ns);
                        group.release(member, number, BTreeSet::new());
                    }
                }
            }
            Ask::ConsumerHeartbeat(request) => {
                let Some(group) = self.groups.get_mut(&request.group_id) else {
                    return;
                };
                let unanswered = group.unanswered_ns.entry(request.member_id.clone());
                unanswered.or_default().insert(now_ns);
                if let Some(topics) = &request.subscribed_topic_names {
                    let who = (&request.member_id, request.instance_id.as_ref());
                    let topics = topics.iter().cloned().collect();
                    group.subscribe(who, number, topics, now_ns);
                }
                if request.member_epoch < 0 {
                    group.attendance.end(&request.member_id, now_ns);
                    group.release(&request.member_id, number, BTreeSet::new());
                } else if let Some(owned) = &request.topic_partitions {
                    let owned = owned.iter().flat_map(|topic| {
                        topic.partitions.iter().map(|partition| PartitionId {
                            topic: topic.topic_id,
                            partition: *partition,
                        })
                    });
                    group.release(&request.member_id, number, owned.collect());
                }
            }
            _ => {}
        }
    }

    /// The broker is gone: what was on its way has had its effect by now, or never has one.
    pub fn crashed(&mut self, now_ns: u64) {
        for group in self.groups.values_mut() {
            for register in group.offsets.values_mut() {
                register.crashed(now_ns);
            }
            group.attendance.end_all(now_ns);
            group.classic_until_ns.clear();
            // What heartbeats brought about counts from the next start on.
            group.unanswered_ns.clear();
            if group.kind != Kind::Consumer || group.migrates {
                // Who is in a generation that nobody has a share of yet is known to nobody but the process.
                group.generation = group.stored_generation;
                group.gone.clear();
                group.instances.clear();
            }
        }
    }
}

impl Checker {
    /// A member processes what it read.
    pub fn process(&mut self, group: &Str, place: &Place, range: Range<Offset>, floor: Offset) {
        let id = place.partition();
        if range.start < floor && self.must_stay(place) {
            let what =
                format!("{group} processes {range:?} again, which was committed up to {floor}");
            self.fail(About::Partition(id), what);
        }
        if let Some(group) = self.groups.groups.get_mut(group) {
            add_range(group.processed.entry(id).or_default(), range);
        }
    }

    /// A member is told where a log starts, and begins there: what lies before is deleted, or somebody wants it to be.
    pub fn begin_at_start(&mut self, group: &Str, place: &Place, start: Offset) {
        if let Some(group) = self.groups.groups.get_mut(group) {
            let processed = group.processed.entry(place.partition()).or_default();
            add_range(processed, Offset::ZERO..start);
        }
    }

    /// Whether nothing excuses that a partition's records, or offsets in it, are gone.
    fn must_stay(&self, place: &Place) -> bool {
        let named = |topic: &&super::Topic| topic.name == place.name;
        let doomed = self.topics.values().filter(named).any(|topic| topic.doomed);
        let partition = self.partitions.get(&place.partition());
        let lossy = partition.is_none_or(|log| log.ever_relaxed || log.damaged || !log.present);
        !self.excuses.flips && !doomed && !lossy
    }

    /// At the end every group has processed everything that it subscribes to.
    pub fn check_processed(&mut self) {
        let mut wrong = Vec::new();
        for (name, group) in &self.groups.groups {
            let wanted = self.groups.topics_of(name);
            for place in self.live_places() {
                if !wanted.contains(&place.name) || !self.must_stay(&place) {
                    continue;
                }
                let Some(log) = self.partitions.get(&place.partition()) else {
                    continue;
                };
                let none = Vec::new();
                let done = group.processed.get(&place.partition()).unwrap_or(&none);
                let missed = log.readable(log.start).find(|entry| {
                    let all = entry.base.max(log.start)..entry.next;
                    let within =
                        |range: &Range<Offset>| range.start <= all.start && all.end <= range.end;
                    !done.iter().any(within)
                });
                if let Some(entry) = missed {
                    let (base, next) = (entry.base, entry.next);
                    wrong.push((place.partition(), format!(
                        "{name} is through with it, and never processed {base} to {next}; it processed {done:?}"
                    )));
                }
            }
        }
        for (id, what) in wrong {
            self.fail(About::Partition(id), what);
        }
    }

    /// An answer about groups leaves the broker.
    pub(super) fn answered_about_groups(
        &mut self,
        exchange: &Exchange,
        answer: &Answer,
        scene: &mut Scene<'_>,
    ) {
        self.check_codes(exchange, answer);
        let now_ns = scene.now.monotonic.0;
        match (&exchange.ask, answer) {
            (Ask::FindCoordinator(_), Answer::FindCoordinator(response)) => {
                let codes = response.coordinators.iter().map(|found| found.error_code);
                if codes.chain([response.error_code]).all(|code| code == 0) {
                    let mut topics = self.topics.values_mut();
                    if let Some(topic) = topics.find(|topic| &*topic.name == super::OFFSETS_TOPIC) {
                        topic.acknowledged = true;
                    }
                }
            }
            (Ask::JoinGroup(request), Answer::JoinGroup(response)) if response.error_code == 0 => {
                let expires = self.groups.retention_ns.is_some();
                if let Some(group) = self.groups.groups.get_mut(&request.group_id) {
                    // A group without members and offsets goes, and begins anew.
                    let arrived_ns = exchange.arrived_ns.unwrap_or(0);
                    let time = arrived_ns..=now_ns;
                    let anew = expires && !group.attendance.is_without_gap(None, time);
                    if anew && response.generation_id <= group.generation {
                        group.begin_anew();
                    }
                    group.generation = group.generation.max(response.generation_id);
                    let (member, instance) =
                        (&response.member_id, request.group_instance_id.as_ref());
                    group.is_there(member, instance);
                    if request.member_id.is_empty() {
                        let number = exchange.group.number;
                        group.subscribe(
                            (member, instance),
                            number,
                            topics_of_join(request),
                            now_ns,
                        );
                    }
                    group.epochs.insert(member.clone(), response.generation_id);
                    group.attends(member, exchange, now_ns);
                }
            }
            (Ask::SyncGroup(request), Answer::SyncGroup(response)) if response.error_code == 0 => {
                let Some(group) = self.groups.groups.get_mut(&request.group_id) else {
                    return;
                };
                group.attends(&request.member_id, exchange, now_ns);
                if group.migrates {
                    let assigned = self.ids_of(&shares_of(&response.assignment));
                    let who = (&request.member_id, request.group_instance_id.as_ref());
                    self.assign(exchange, &request.group_id, who, &assigned, now_ns);
                } else {
                    self.shared(request, response);
                }
            }
            (Ask::Heartbeat(request), Answer::Heartbeat(response)) if response.error_code == 0 => {
                // While groups are loaded every heartbeat is good.
                let group = self.groups.groups.get_mut(&request.group_id);
                let known =
                    |group: &&mut Group| group.classic_until_ns.contains_key(&request.member_id);
                if let Some(group) = group.filter(known) {
                    group.attends(&request.member_id, exchange, now_ns);
                }
            }
            (Ask::LeaveGroup(request), Answer::LeaveGroup(response)) => {
                let code = response.members.iter().map(|member| member.error_code);
                let left = code.chain([response.error_code]).all(|code| code == 0);
                if let Some(group) = self
                    .groups
                    .groups
                    .get_mut(&request.group_id)
                    .filter(|_| left)
                {
                    scene.coverage.add(Count::MembersLeft);
                    group.gone.insert(request.member_id.clone());
                    let members = request
                        .members
                        .iter()
                        .map(|member| member.member_id.clone());
                    group.gone.extend(members);
                    group.gone.remove("");
                }
            }
            (Ask::ConsumerHeartbeat(request), Answer::ConsumerHeartbeat(response)) => {
                self.heard(exchange, request, response, scene);
            }
            (Ask::OffsetCommit(request, parts), Answer::OffsetCommit(response)) => {
                self.committed(exchange, request, parts, response, scene);
            }
            (Ask::OffsetFetch(request, places), Answer::OffsetFetch(response)) => {
                let group = request
                    .groups
                    .first()
                    .map_or(&request.group_id, |group| &group.group_id);
                self.read_offsets(exchange, group, places, response, scene);
            }
            (Ask::OffsetDelete(request), Answer::OffsetDelete(response)) => {
                let Some(group) = self.groups.groups.get_mut(&request.group_id) else {
                    return;
                };
                for topic in &request.topics {
                    for part in &topic.partitions {
                        let found = response
                            .topics
                            .iter()
                            .filter(|found| found.name == topic.name);
                        let found = found.flat_map(|found| &found.partitions);
                        let mut found = found.filter(|f| f.partition_index == part.partition_index);
                        let code = found.next().map(|found| found.error_code);
                        let done = response.error_code == 0 && code == Some(0);
                        let key = (topic.name.clone(), part.partition_index);
                        let register = group.offsets.entry(key).or_default();
                        register.end(exchange.group.number, done, now_ns);
                        if done {
                            scene.coverage.add(Count::OffsetsDeleted);
                        }
                    }
                }
            }
            (Ask::DeleteGroups(_), Answer::DeleteGroups(response)) => {
                for result in &response.results {
                    let Some(group) = self.groups.groups.get_mut(&result.group_id) else {
                        continue;
                    };
                    let done = result.error_code == 0;
                    for register in group.offsets.values_mut() {
                        register.end(exchange.group.number, done, now_ns);
                    }
                    if done {
                        scene.coverage.add(Count::GroupsDeleted);
                        group.begin_anew();
                    }
                }
            }
            _ => {}
        }
    }

    /// A member of a classic group has its share.
    fn shared(&mut self, request: &m::SyncGroupRequest, response: &m::SyncGroupResponse) {
        let Some(group) = self.groups.groups.get_mut(&request.group_id) else {
            return;
        };
        let who = request
            .group_instance_id
            .as_ref()
            .unwrap_or(&request.member_id);
        let generation = request.generation_id;
        group.stored_generation = group.stored_generation.max(generation);
        group.generation = group.generation.max(generation);
        let mut wrong = Vec::new();
        for key in shares_of(&response.assignment) {
            let owner = group
                .shares
                .entry((generation, key.clone()))
                .or_insert_with(|| who.clone());
            if owner != who {
                wrong.push(format!(
                    "invariant 16: {} {} belongs to {owner} and to {who} in generation {generation} of {}",
                    key.0, key.1, request.group_id
                ));
            }
        }
        for what in wrong {
            self.fail(About::Broker, what);
        }
    }

    /// A member of the consumer protocol is told what it has.
    fn heard(
        &mut self,
        exchange: &Exchange,
        request: &m::ConsumerGroupHeartbeatRequest,
        response: &m::ConsumerGroupHeartbeatResponse,
        scene: &mut Scene<'_>,
    ) {
        let Some(group) = self.groups.groups.get_mut(&request.group_id) else {
            return;
        };
        let (member, instance) = (&request.member_id, request.instance_id.as_ref());
        let arrived_ns = exchange.arrived_ns.unwrap_or(0);
        let unanswered = group.unanswered_ns.entry(member.clone()).or_default();
        if response.error_code != 0 {
            // It had no effect. One that was refused, as the disk was full, is no sign of life.
            unanswered.remove(&arrived_ns);
            return;
        }
        let later = unanswered.split_off(&(arrived_ns + 1));
        let asked_ns = std::mem::replace(unanswered, later).first().copied();
        if request.member_epoch < 0 {
            scene.coverage.add(Count::MembersLeft);
            group.gone.insert(member.clone());
            return;
        }
        group.is_there(member, instance);
        group.epochs.insert(member.clone(), response.member_epoch);
        let heard_ns = group.heard_ns.entry(member.clone()).or_default();
        *heard_ns = arrived_ns.max(*heard_ns);
        if request.topic_partitions.is_some() {
            // What it said that it gave up counts as given up from here on.
            let mut its = group.holders.values_mut();
            while let Some(holder) = its.find(|it| it.member == *member && it.released) {
                holder.revoked_ns = None;
            }
            group.displaced_ns.remove(member);
        }
        let (now_ns, number) = (scene.now.monotonic.0, exchange.group.number);
        let Some(assignment) = &response.assignment else {
            let until_ns = group.in_until_ns(member);
            group.attendance.attends(member, number, now_ns, until_ns);
            return;
        };
        // It may be out by now, if the answer took so long.
        if now_ns >= group.in_until_ns(member) {
            return;
        }
        let assigned = assigned_to(assignment);
        self.assign(
            exchange,
            &request.group_id,
            (member, instance),
            &assigned,
            now_ns,
        );
        let Some(group) = self.groups.groups.get_mut(&request.group_id) else {
            return;
        };
        for (id, holder) in &mut group.holders {
            if holder.member == *member && !assigned.contains(id) && holder.revoked_ns.is_none() {
                holder.revoked_ns = asked_ns;
            }
        }
        let until_ns = group.in_until_ns(member);
        group.attendance.attends(member, number, now_ns, until_ns);
    }

    /// What a member says that it has, if it joins a group in which that is followed.
    pub(super) fn owned_in(&self, ask: &Ask) -> BTreeSet<PartitionId> {
        let first = match ask {
            Ask::JoinGroup(request) => request.protocols.first(),
            _ => None,
        };
        first.map_or_else(BTreeSet::new, |first| {
            self.ids_of(&owned_by(&first.metadata))
        })
    }

    /// The partitions of topics that never had another id.
    fn ids_of(&self, keys: &BTreeSet<Key>) -> BTreeSet<PartitionId> {
        let id = |(name, index): &Key| {
            let mut ids = self.topics.iter().filter(|(_, topic)| topic.name == *name);
            let (id, _) = ids.next()?;
            ids.next().is_none().then_some(PartitionId {
                topic: *id,
                partition: *index,
            })
        };
        keys.iter().filter_map(id).collect()
    }

    /// A member is told what it has: nobody else may have it.
    fn assign(
        &mut self,
        exchange: &Exchange,
        group: &Str,
        (member, instance): (&Str, Option<&Str>),
        assigned: &BTreeSet<PartitionId>,
        now_ns: u64,
    ) {
        let name = group;
        let Some(group) = self.groups.groups.get_mut(name) else {
            return;
        };
        let number = exchange.group.number;
        let mut wrong = Vec::new();
        for id in assigned {
            let other = group.holder(*id, now_ns);
            let other = other.filter(|it| {
                it.member != *member && (instance.is_none() || it.instance.as_ref() != instance)
            });
            if let Some(other) = other {
                wrong.push((
                    *id,
                    format!(
                        "invariant 16: {name} gives it to {member}, and {} has not given it up",
                        other.member
                    ),
                ));
            }
            let holder = Holder {
                member: member.clone(),
                instance: instance.cloned(),
                released: group.has_released_since(member, number, *id),
                revoked_ns: None,
            };
            let before = group.holders.insert(*id, holder);
            let displaced = before.filter(|it| it.member != *member);
            if let Some((displaced, asked_ns)) =
                displaced.and_then(|it| Some((it.member, it.revoked_ns?)))
            {
                group.displaced_ns.entry(displaced).or_insert(asked_ns);
            }
        }
        for (id, what) in wrong {
            self.fail(About::Partition(id), what);
        }
    }

    fn committed(
        &mut self,
        exchange: &Exchange,
        request: &m::OffsetCommitRequest,
        parts: &[(Place, Offset)],
        response: &m::OffsetCommitResponse,
        scene: &mut Scene<'_>,
    ) {
        let Some(group) = self.groups.groups.get_mut(&request.group_id) else {
            return;
        };
        let (member, epoch) = (&request.member_id, request.generation_id_or_member_epoch);
        let seen = &exchange.group;
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions);
        let mut wrong = Vec::new();
        let mut attends = false;
        for (at, ((place, offset), part)) in parts.iter().zip(codes).enumerate() {
            let accepted = part.error_code == 0;
            scene.coverage.add(match accepted {
                true => Count::OffsetsCommitted,
                false => Count::OffsetsRefused,
            });
            let key = (place.name.clone(), place.index);
            let register = group.offsets.entry(key).or_default();
            register.end(seen.number, accepted, scene.now.monotonic.0);
            if !accepted {
                continue;
            }
            let about = place.partition();
            let mut fail = |why: String| {
                wrong.push((about, format!(
                    "invariant 16: {} takes offset {offset} from {member} in generation or epoch {epoch}, {why}",
                    request.group_id
                )));
            };
            // Where members speak both protocols each has an epoch of its own.
            let classic = group.kind != Kind::Consumer && !group.migrates;
            if classic && epoch < seen.generation {
                fail(format!("and is in generation {}", seen.generation));
            }
            if classic {
                attends = true;
            }
            if seen.gone {
                fail("which is gone".to_owned());
            }
            if let Some(Some(other)) = seen.holders.get(at) {
                fail(format!("and {other} has the partition"));
            }
        }
        if attends {
            group.attends(member, exchange, scene.now.monotonic.0);
        }
        for (id, what) in wrong {
            self.fail(About::Partition(id), what);
        }
    }

    fn read_offsets(
        &mut self,
        exchange: &Exchange,
        group: &Str,
        places: &[Place],
        response: &m::OffsetFetchResponse,
        scene: &mut Scene<'_>,
    ) {
        let failed = response.groups.iter().any(|group| group.error_code != 0);
        let Some(arrived_ns) = exchange
            .arrived_ns
            .filter(|_| response.error_code == 0 && !failed)
        else {
            return;
        };
        let read = arrived_ns..scene.now.monotonic.0;
        // A clock that jumps makes times longer and shorter. It counts milliseconds, begun ones too.
        let after_ns = match self.excuses.clock {
            true => self.groups.retention_ns.and(Some(0)),
            false => self.groups.retention_ns.map(|ns| ns - MILLISECOND_NS),
        };
        for place in places {
            let Some((offset, code)) = told(response, place) else {
                self.fail(
                    About::Partition(place.partition()),
                    format!("OffsetFetch is not answered about it: {response:?}"),
                );
                continue;
            };
            let Some(state) = self.groups.groups.get_mut(group).filter(|_| code == 0) else {
                continue;
            };
            scene.coverage.add(Count::OffsetsRead);
            let key = (place.name.clone(), place.index);
            let register = state.offsets.entry(key.clone()).or_default();
            let seen: Vec<_> = register.visible(&read).copied().collect();
            let mut may_be: Vec<_> = seen.iter().map(|write| write.value).collect();
            let mut right = register.read(&read, Offset(offset));
            let expired = after_ns.and_then(|after_ns| {
                let since = |write| state.expires(&place.name, write, after_ns, read.end);
                seen.iter().filter_map(since).min()
            });
            if let Some(since_ns) = expired {
                may_be.push(Offset(-1));
                if !right && offset < 0 {
                    right = true;
                    scene.coverage.add(Count::OffsetsExpired);
                    let register = state.offsets.entry(key.clone()).or_default();
                    register.expired(since_ns, read.end);
                }
            }
            let floor = may_be.iter().min().copied().unwrap_or(Offset(-1));
            self.groups
                .floors
                .insert((exchange.group.number, key), floor);
            let named = |topic: &&super::Topic| topic.name == place.name;
            let doomed = self.topics.values().filter(named).any(|topic| topic.doomed);
            if !right && !self.excuses.flips && !doomed {
                self.fail(
                    About::Partition(place.partition()),
                    format!(
                        "{group} is told that {offset} is committed; it may be one of {may_be:?}"
                    ),
                );
            }
        }
    }
}

/// What a member that joins subscribes to.
fn topics_of_join(request: &m::JoinGroupRequest) -> BTreeSet<Str> {
    let first = request.protocols.first();
    first.map_or_else(BTreeSet::new, |protocol| topics_of(&protocol.metadata))
}

/// Adds a range to ranges that do not touch.
fn add_range(ranges: &mut Vec<Range<Offset>>, mut range: Range<Offset>) {
    ranges.retain(|other| {
        let touches = other.start <= range.end && range.start <= other.end;
        if touches {
            range = other.start.min(range.start)..other.end.max(range.end);
        }
        !touches
    });
    ranges.push(range);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_grow_together() {
        let mut ranges = Vec::new();
        for (from, to) in [(0, 2), (4, 6), (2, 3), (3, 4), (8, 9)] {
            add_range(&mut ranges, Offset(from)..Offset(to));
        }
        ranges.sort_by_key(|range| range.start);
        assert_eq!(ranges, [Offset(0)..Offset(6), Offset(8)..Offset(9)]);
    }
}
