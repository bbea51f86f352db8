//! What groups promise, by what members asked and were answered.
//!
//! Invariant 16: a partition has one owner in each generation, and a stale generation cannot commit:
//! - A generation of a classic group gives a partition to one member. A commit that comes in after members were told of a newer
//!   generation, or of the member's end, is refused.
//! - A group of the consumer protocol gives a partition to a member only when its last owner said that it gave it up, or left, or was
//!   silent for its session timeout, or did not give it up within the rebalance timeout. Who lost a partition so cannot commit for it.
//!
//! And of offsets:
//! - What was committed and acknowledged, or read, stays until something else is committed, or it is deleted.
//! - What a group has processed, it processes again only where it was not committed when its owner began. In the end it has processed
//!   everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use wiber_model::{Offset, PartitionId};
use wiber_protocol::messages as m;
use wiber_protocol::{ErrorCode, Str};

use super::{Checker, Scene, error_name};
use crate::client::member::{Kind, MemberPlan, assigned_to, shares_of, told};
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange, Place};
use crate::story::About;

/// A request that came in has its effect within so long, in nanoseconds, if it has one: more than machines stand still.
const EFFECT_WITHIN_NS: u64 = 500_000_000;

/// A partition, by the name of its topic.
type Key = (Str, i32);

/// The groups of a run.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<Str, Group>,
    next_number: u64,
    /// What was surely committed, by the request that asked for it.
    floors: BTreeMap<(u64, Key), Offset>,
}

#[derive(Debug)]
struct Group {
    kind: Kind,
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
    /// When a member was last heard and answered; of the consumer protocol.
    heard_ns: BTreeMap<Str, u64>,
    /// When heartbeats came in that had no answer yet, or whose answer was lost: they may have had their effect.
    unanswered_ns: BTreeMap<Str, BTreeSet<u64>>,
    /// What a member last said that it has, and in which request.
    said: BTreeMap<Str, (u64, BTreeSet<PartitionId>)>,
    offsets: BTreeMap<Key, Register>,
    /// What was processed, in ranges that do not touch.
    processed: BTreeMap<PartitionId, Vec<Range<Offset>>>,
    /// What each client subscribes to.
    subscribed: BTreeMap<usize, BTreeSet<Str>>,
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

/// A write of a committed offset. What may be read is decided as for any register: by what was written when.
#[derive(Clone, Copy, Debug)]
struct Write {
    number: u64,
    /// −1 for a deletion.
    value: Offset,
    from_ns: u64,
    to_ns: u64,
    /// Whether it was acknowledged; else nobody knows whether it took place.
    sure: bool,
}

#[derive(Debug)]
struct Register(Vec<Write>);

impl Default for Register {
    fn default() -> Register {
        Register(vec![Write {
            number: 0,
            value: Offset(-1),
            from_ns: 0,
            to_ns: 0,
            sure: true,
        }])
    }
}

impl Register {
    fn begin(&mut self, number: u64, value: Offset, now_ns: u64) {
        self.0.push(Write {
            number,
            value,
            from_ns: now_ns,
            to_ns: now_ns + EFFECT_WITHIN_NS,
            sure: false,
        });
    }

    fn end(&mut self, number: u64, accepted: bool, now_ns: u64) {
        match accepted {
            false => self.0.retain(|write| write.number != number),
            true => {
                if let Some(write) = self.0.iter_mut().find(|write| write.number == number) {
                    (write.to_ns, write.sure) = (now_ns, true);
                }
            }
        }
    }

    /// The writes that a read in this time may have seen.
    fn visible(&self, read: &Range<u64>) -> impl Iterator<Item = &Write> {
        let before = self
            .0
            .iter()
            .filter(|write| write.sure && write.to_ns < read.start);
        let newest = before.map(|write| write.from_ns).max().unwrap_or(0);
        let end = read.end;
        self.0
            .iter()
            .filter(move |write| write.from_ns <= end && write.to_ns >= newest)
    }

    /// Something was read. From here on it counts as acknowledged.
    fn read(&mut self, read: &Range<u64>, value: Offset) -> bool {
        let seen: Vec<_> = self
            .visible(read)
            .filter(|write| write.value == value)
            .copied()
            .collect();
        let Some(from_ns) = seen.iter().map(|write| write.from_ns).min() else {
            return false;
        };
        if seen.iter().all(|write| !write.sure) {
            self.0.push(Write {
                number: 0,
                value,
                from_ns,
                to_ns: read.end,
                sure: true,
            });
        }
        true
    }
}

impl Group {
    fn new(plan: &MemberPlan) -> Group {
        Group {
            kind: plan.kind,
            session_ns: plan.silence_ms * 1_000_000,
            rebalance_ns: plan.rebalance_ms as u64 * 1_000_000,
            generation: -1,
            stored_generation: -1,
            shares: BTreeMap::new(),
            gone: BTreeSet::new(),
            instances: BTreeMap::new(),
            holders: BTreeMap::new(),
            heard_ns: BTreeMap::new(),
            unanswered_ns: BTreeMap::new(),
            said: BTreeMap::new(),
            offsets: BTreeMap::new(),
            processed: BTreeMap::new(),
            subscribed: BTreeMap::new(),
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

    /// A member says, in a request, that it has none of its partitions but for these.
    fn release(&mut self, member: &Str, number: u64, but: BTreeSet<PartitionId>) {
        for (id, holder) in &mut self.holders {
            if holder.member == *member && !but.contains(id) {
                holder.released = true;
            }
        }
        self.said.insert(member.clone(), (number, but));
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
        let heard = self.heard_ns.get(&holder.member).copied().unwrap_or(0);
        let silent = now_ns >= heard + self.session_ns;
        // Who does not give up one partition in time loses all of them. Its time begins with the heartbeat that it is to be told by,
        // though it may never get the answer.
        let its = self
            .holders
            .values()
            .filter(|it| it.member == holder.member);
        let asked = its.filter_map(|it| it.revoked_ns);
        let unanswered = self.unanswered_ns.get(&holder.member);
        let asked = asked.chain(unanswered.into_iter().flatten().copied());
        let late = asked
            .min()
            .is_some_and(|at| now_ns >= at + self.rebalance_ns);
        (!silent && !late && !self.gone.contains(&holder.member)).then_some(holder)
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

    /// A request comes in.
    pub fn arrive(&mut self, exchange: &mut Exchange, now_ns: u64) {
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
                        it.member != request.member_id && !same
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
            Ask::ConsumerHeartbeat(request) => {
                let Some(group) = self.groups.get_mut(&request.group_id) else {
                    return;
                };
                let unanswered = group.unanswered_ns.entry(request.member_id.clone());
                unanswered.or_default().insert(now_ns);
                if request.member_epoch < 0 {
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
                for write in &mut register.0 {
                    write.to_ns = write.to_ns.min(now_ns);
                }
            }
            // What heartbeats brought about counts from the next start on.
            group.unanswered_ns.clear();
            if group.kind != Kind::Consumer {
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
                if let Some(group) = self.groups.groups.get_mut(&request.group_id) {
                    group.generation = group.generation.max(response.generation_id);
                    group.is_there(&response.member_id, request.group_instance_id.as_ref());
                }
            }
            (Ask::SyncGroup(request), Answer::SyncGroup(response)) if response.error_code == 0 => {
                self.shared(request, response);
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
        let heard_ns = group.heard_ns.entry(member.clone()).or_default();
        *heard_ns = arrived_ns.max(*heard_ns);
        if request.topic_partitions.is_some() {
            // What it said that it gave up counts as given up from here on.
            let mut its = group.holders.values_mut();
            while let Some(holder) = its.find(|it| it.member == *member && it.released) {
                holder.revoked_ns = None;
            }
        }
        let Some(assignment) = &response.assignment else {
            return;
        };
        let assigned = assigned_to(assignment);
        let mut wrong = Vec::new();
        for id in &assigned {
            let other = group.holder(*id, scene.now.monotonic.0);
            let other = other.filter(|it| {
                it.member != *member && (instance.is_none() || it.instance.as_ref() != instance)
            });
            if let Some(other) = other {
                wrong.push((
                    *id,
                    format!(
                        "invariant 16: {} gives it to {member}, and {} has not given it up",
                        request.group_id, other.member
                    ),
                ));
            }
            let number = exchange.group.number;
            let holder = Holder {
                member: member.clone(),
                instance: instance.cloned(),
                released: group.has_released_since(member, number, *id),
                revoked_ns: None,
            };
            group.holders.insert(*id, holder);
        }
        for (id, holder) in &mut group.holders {
            if holder.member == *member && !assigned.contains(id) && holder.revoked_ns.is_none() {
                holder.revoked_ns = asked_ns;
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
            if group.kind != Kind::Consumer && epoch < seen.generation {
                fail(format!("and is in generation {}", seen.generation));
            }
            if seen.gone {
                fail("which is gone".to_owned());
            }
            if let Some(Some(other)) = seen.holders.get(at) {
                fail(format!("and {other} has the partition"));
            }
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
            let may_be: Vec<_> = register.visible(&read).map(|write| write.value).collect();
            let right = register.read(&read, Offset(offset));
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

    /// Errors that there may be, with brokers that start, disks that are full and members that come and go.
    fn check_codes(&mut self, exchange: &Exchange, answer: &Answer) {
        const EXCUSED: &[ErrorCode] = &[
            ErrorCode::None,
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
            ErrorCode::UnknownMemberId,
            ErrorCode::IllegalGeneration,
            ErrorCode::RebalanceInProgress,
            ErrorCode::MemberIdRequired,
            ErrorCode::FencedInstanceId,
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::UnknownTopicId,
            ErrorCode::NonEmptyGroup,
            ErrorCode::GroupIdNotFound,
            ErrorCode::GroupSubscribedToTopic,
            ErrorCode::FencedMemberEpoch,
            ErrorCode::StaleMemberEpoch,
            ErrorCode::UnreleasedInstanceId,
        ];
        let codes: Vec<i16> = match answer {
            Answer::FindCoordinator(response) => {
                let several = response.coordinators.iter().map(|found| found.error_code);
                several.chain([response.error_code]).collect()
            }
            Answer::JoinGroup(response) => vec![response.error_code],
            Answer::SyncGroup(response) => vec![response.error_code],
            Answer::Heartbeat(response) => vec![response.error_code],
            Answer::LeaveGroup(response) => vec![response.error_code],
            Answer::ConsumerHeartbeat(response) => vec![response.error_code],
            Answer::OffsetCommit(response) => {
                let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
                parts.map(|part| part.error_code).collect()
            }
            Answer::OffsetFetch(response) => {
                let groups = response.groups.iter().map(|group| group.error_code);
                groups.chain([response.error_code]).collect()
            }
            Answer::OffsetDelete(response) => vec![response.error_code],
            Answer::DeleteGroups(response) => response
                .results
                .iter()
                .map(|result| result.error_code)
                .collect(),
            Answer::ListGroups(response) => vec![response.error_code],
            Answer::DescribeGroups(response) => response
                .groups
                .iter()
                .map(|group| group.error_code)
                .collect(),
            _ => Vec::new(),
        };
        let wrong = codes.into_iter().find(|code| {
            let code = ErrorCode::from_code(*code);
            !code.is_some_and(|code| EXCUSED.contains(&code))
        });
        if let Some(code) = wrong {
            let what = format!("{} is answered {}", exchange.ask.key(), error_name(code));
            self.fail(About::Broker, what);
        }
    }
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
    fn a_read_sees_the_newest_write_or_one_that_is_under_way() {
        let mut register = Register::default();
        assert!(register.read(&(1..2), Offset(-1)));
        register.begin(1, Offset(10), 10);
        assert!(
            register.read(&(11..12), Offset(-1)),
            "it is not acknowledged"
        );
        register.end(1, true, 20);
        assert!(!register.read(&(21..22), Offset(-1)));
        assert!(register.read(&(15..22), Offset(-1)), "it was under way");
        register.begin(2, Offset(20), 30);
        assert!(register.read(&(31..32), Offset(20)));
        assert!(
            !register.read(&(33..34), Offset(10)),
            "what was read stays, acknowledged or not"
        );
        register.begin(3, Offset(30), 40);
        register.end(3, false, 41);
        assert!(!register.read(&(50..51), Offset(30)), "it was refused");
    }

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
