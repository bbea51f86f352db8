//! What a member does with the partitions that it has, whatever the protocol: finds where to begin, reads, processes and commits.

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::Offset;
use wiber_protocol::messages as m;
use wiber_protocol::{ApiKey, ErrorCode, Str};

use super::Kind;
use crate::checker::Checker;
use crate::client::{Hands, end_of, fetch, list_offsets};
use crate::coverage::Count;
use crate::exchange::{Ask, Place};

/// The most that a fetch holds of a partition, in bytes.
const PARTITION_BYTES: i32 = 4_000;
/// A fetch waits for records no longer than this, in milliseconds, as one connection serves for everything.
const FETCH_WAIT_MS: u64 = 20;
/// Since this version topics are named by id.
const FIRST_WITH_IDS: i16 = 10;
/// Since this version OffsetFetch asks for several groups at once (KIP-709).
const FIRST_WITH_GROUPS: i16 = 8;
/// Since this version static members are told from others in OffsetCommit (KIP-345).
const FIRST_WITH_INSTANCES: i16 = 7;
/// Since this version members of the consumer protocol may commit, and read what was committed (KIP-848).
const FIRST_WITH_EPOCHS: i16 = 9;

/// A partition that it has.
#[derive(Clone, Debug)]
struct Owned {
    place: Place,
    /// What it reads next; none: it does not know where to begin.
    next: Option<Offset>,
    /// What is committed, as far as it knows.
    committed: Offset,
    /// What was committed for sure when it looked where to begin.
    floor: Offset,
    /// It is to begin at the log start.
    reset: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    group: Str,
    /// How the member shares in this life.
    pub kind: Kind,
    instance: Option<Str>,
    /// What it subscribes to.
    pub topics: BTreeSet<Str>,
    owned: BTreeMap<(Str, i32), Owned>,
    committed_ns: u64,
}

/// A partition, by the name of its topic.
pub(super) fn key(place: &Place) -> (Str, i32) {
    (place.name.clone(), place.index)
}

impl Work {
    pub fn new(group: Str, kind: Kind, instance: Option<Str>) -> Work {
        Work {
            group,
            kind,
            instance,
            topics: BTreeSet::new(),
            owned: BTreeMap::new(),
            committed_ns: 0,
        }
    }

    pub fn subscribe(&mut self, topics: Vec<Str>, hands: &mut Hands<'_>) {
        self.topics = topics.into_iter().collect();
        let client = hands.client;
        hands
            .checker
            .groups
            .subscribed(&self.group, client, self.topics.clone());
    }

    /// The partitions that it has.
    pub fn places(&self) -> Vec<Place> {
        self.owned.values().map(|part| part.place.clone()).collect()
    }

    pub fn has(&self, place: &Place) -> bool {
        self.owned.contains_key(&key(place))
    }

    /// Takes a partition.
    pub fn take(&mut self, place: Place, hands: &mut Hands<'_>) {
        hands.tell(|| format!("gets {} {}", place.name, place.index));
        hands.coverage.add(Count::PartitionsTaken);
        hands.checker.groups.took(&self.group, hands.client, &place);
        let part = Owned {
            place: place.clone(),
            next: None,
            committed: Offset(-1),
            floor: Offset(-1),
            reset: false,
        };
        self.owned.insert(key(&place), part);
    }

    /// Gives a partition up.
    pub fn give_up(&mut self, place: &Place, hands: &mut Hands<'_>) {
        if let Some(part) = self.owned.remove(&key(place)) {
            hands.tell(|| format!("gives up {} {}: {part:?}", place.name, place.index));
            hands
                .checker
                .groups
                .gave_up(&self.group, hands.client, &part.place);
        }
    }

    pub fn drop_all(&mut self, hands: &mut Hands<'_>) {
        for place in self.places() {
            self.give_up(&place, hands);
        }
    }

    /// Where it is in each partition.
    pub fn positions(&self) -> Vec<(Place, Offset)> {
        let known = |part: &Owned| Some((part.place.clone(), part.next?));
        self.owned.values().filter_map(known).collect()
    }

    /// What is processed and not committed.
    pub fn uncommitted(&self) -> Vec<(Place, Offset)> {
        let behind = |part: &Owned| {
            let next = part.next?;
            (next != part.committed && next > Offset::ZERO).then(|| (part.place.clone(), next))
        };
        self.owned.values().filter_map(behind).collect()
    }

    pub fn is_behind(&self) -> bool {
        !self.uncommitted().is_empty()
    }

    pub fn is_commit_due(&self, every_ms: u64, hands: &Hands<'_>) -> bool {
        hands.now_ns >= self.committed_ns + every_ms * 1_000_000
    }

    /// Commits. A late commit has no right to it, and is not this member's any more.
    pub fn send_commit(
        &mut self,
        (epoch, member): &(i32, Str),
        parts: Vec<(Place, Offset)>,
        late: bool,
        hands: &mut Hands<'_>,
    ) {
        let least = match (self.kind, &self.instance) {
            (Kind::Consumer, _) => FIRST_WITH_EPOCHS,
            (_, Some(_)) => FIRST_WITH_INSTANCES,
            _ => 0,
        };
        let version = hands.version_of(ApiKey::OffsetCommit, least);
        let topic =
            |(place, offset): &(Place, Offset)| m::offset_commit::OffsetCommitRequestTopic {
                name: place.name.clone(),
                topic_id: place.topic,
                partitions: vec![m::offset_commit::OffsetCommitRequestPartition {
                    partition_index: place.index,
                    committed_offset: offset.0,
                    committed_leader_epoch: -1,
                    committed_metadata: Some(format!("{}", offset.0).into()),
                }],
            };
        hands.tell(|| {
            let what = if late { "commits too late" } else { "commits" };
            let offsets: Vec<_> = parts
                .iter()
                .map(|(place, offset)| format!("{} {}: {offset}", place.name, place.index))
                .collect();
            format!("{what} as {member} in {epoch}: {offsets:?}")
        });
        let request = m::OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: *epoch,
            member_id: member.clone(),
            group_instance_id: self
                .instance
                .clone()
                .filter(|_| version >= FIRST_WITH_INSTANCES),
            topics: parts.iter().map(topic).collect(),
            ..Default::default()
        };
        self.committed_ns = hands.now_ns;
        hands.send_version(Ask::OffsetCommit(request, parts), version);
    }

    /// A commit was answered. Returns the first error.
    pub fn committed(
        &mut self,
        parts: &[(Place, Offset)],
        response: &m::OffsetCommitResponse,
        hands: &mut Hands<'_>,
    ) -> ErrorCode {
        let codes = response.topics.iter().flat_map(|topic| &topic.partitions);
        let mut first = ErrorCode::None;
        for ((place, offset), part) in parts.iter().zip(codes) {
            match ErrorCode::from_code(part.error_code) {
                Some(ErrorCode::None) => {
                    if let Some(owned) = self.owned.get_mut(&key(place)) {
                        owned.committed = *offset;
                    }
                }
                // The topic is gone, or back with another id.
                Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => {}
                error if first == ErrorCode::None => {
                    first = error.unwrap_or(ErrorCode::UnknownServerError);
                }
                _ => {}
            }
        }
        if first != ErrorCode::None {
            hands.tell(|| format!("its commit is refused: {first}"));
        }
        first
    }

    /// Reads what is to be read, or finds out from where. Returns whether it asks for something.
    pub fn next(
        &mut self,
        identity: &(i32, Str),
        heartbeat_ms: u64,
        hands: &mut Hands<'_>,
    ) -> bool {
        let mut reset = self.owned.values().filter(|part| part.reset);
        if let Some(part) = reset.next() {
            const EARLIEST: i64 = -2;
            let place = part.place.clone();
            hands.send(list_offsets(vec![(place, EARLIEST)], -1), 0);
            return true;
        }
        self.keep_up(hands.checker);
        let live = |part: &&Owned| hands.checker.is_live(&part.place);
        let unknown = self.owned.values().filter(live);
        let unknown: Vec<_> = unknown
            .filter(|part| part.next.is_none())
            .map(|part| part.place.clone())
            .collect();
        if !unknown.is_empty() {
            self.fetch_offsets(identity, unknown, hands);
            return true;
        }
        let positions: Vec<_> = self.owned.values().filter(live).collect();
        let positions: Vec<_> = positions
            .iter()
            .filter_map(|part| Some((part.place.clone(), part.next?)))
            .collect();
        if positions.is_empty() {
            return false;
        }
        let named = vec![true; positions.len()];
        let mut request = fetch(positions.clone(), &named, PARTITION_BYTES);
        request.max_wait_ms = (heartbeat_ms / 2).min(FETCH_WAIT_MS) as i32;
        request.min_bytes = 1;
        request.max_bytes = 1 << 20;
        request.session_epoch = -1;
        hands.send(Ask::Fetch(request, positions), 0);
        true
    }

    /// A topic of the same name may be another one by now, and begins anew.
    fn keep_up(&mut self, checker: &Checker) {
        for part in self.owned.values_mut() {
            let mut live = checker.live_topics();
            let named = live.find(|(_, topic)| topic.name == part.place.name);
            if let Some((id, _)) = named.filter(|(id, _)| *id != part.place.topic) {
                part.place.topic = id;
                part.next = None;
            }
        }
    }

    fn fetch_offsets(
        &mut self,
        (epoch, member): &(i32, Str),
        places: Vec<Place>,
        hands: &mut Hands<'_>,
    ) {
        let least = match self.kind {
            Kind::Consumer => FIRST_WITH_EPOCHS,
            _ => 0,
        };
        let version = hands.version_of(ApiKey::OffsetFetch, least);
        let mut request = m::OffsetFetchRequest::default();
        if version >= FIRST_WITH_GROUPS {
            let topic = |place: &Place| m::offset_fetch::OffsetFetchRequestTopics {
                name: if version < FIRST_WITH_IDS {
                    place.name.clone()
                } else {
                    Str::default()
                },
                topic_id: place.topic,
                partition_indexes: vec![place.index],
            };
            let mut group = m::offset_fetch::OffsetFetchRequestGroup {
                group_id: self.group.clone(),
                topics: Some(places.iter().map(topic).collect()),
                member_epoch: -1,
                member_id: None,
            };
            if self.kind == Kind::Consumer {
                (group.member_id, group.member_epoch) = (Some(member.clone()), *epoch);
            }
            request.groups = vec![group];
        } else {
            let topic = |place: &Place| m::offset_fetch::OffsetFetchRequestTopic {
                name: place.name.clone(),
                partition_indexes: vec![place.index],
            };
            request.group_id = self.group.clone();
            request.topics = Some(places.iter().map(topic).collect());
        }
        hands.send_version(Ask::OffsetFetch(request, places), version);
    }

    /// What was committed. Returns the first error.
    pub fn told_offsets(
        &mut self,
        number: u64,
        places: &[Place],
        response: &m::OffsetFetchResponse,
        hands: &mut Hands<'_>,
    ) -> ErrorCode {
        let group = response.groups.iter().map(|group| group.error_code);
        let all = group.chain([response.error_code]).find(|code| *code != 0);
        if let Some(code) = all {
            return ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        }
        let mut first = ErrorCode::None;
        for place in places {
            let (Some(part), Some((offset, code))) =
                (self.owned.get_mut(&key(place)), told(response, place))
            else {
                continue;
            };
            match ErrorCode::from_code(code) {
                Some(ErrorCode::None) => {
                    part.committed = Offset(offset);
                    part.next = (offset >= 0).then_some(Offset(offset));
                    part.reset = offset < 0;
                    part.floor = hands.checker.groups.floor(number, place);
                    let (next, floor) = (Offset(offset), part.floor);
                    hands.tell(|| {
                        format!(
                            "begins {} {} at {next}; {floor} is committed",
                            place.name, place.index
                        )
                    });
                }
                Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId) => {}
                error => first = error.unwrap_or(ErrorCode::UnknownServerError),
            }
        }
        first
    }

    /// The log start, for a partition that begins there.
    pub fn reset_to(
        &mut self,
        places: &[Place],
        response: &m::ListOffsetsResponse,
        checker: &mut Checker,
    ) {
        let found = response.topics.iter().flat_map(|topic| &topic.partitions);
        for (place, found) in places.iter().zip(found) {
            let Some(part) = self.owned.get_mut(&key(place)) else {
                continue;
            };
            part.reset = false;
            if found.error_code == 0 {
                part.next = Some(Offset(found.offset));
                checker.begin_at_start(&self.group, place, Offset(found.offset));
            }
        }
    }

    /// Processes what was read. Returns whether all went well.
    pub fn fetched(
        &mut self,
        response: &m::FetchResponse,
        by_id: bool,
        hands: &mut Hands<'_>,
    ) -> bool {
        let mut well = response.error_code == 0;
        for topic in &response.responses {
            for data in &topic.partitions {
                let of = |part: &&mut Owned| {
                    let same = if by_id {
                        part.place.topic == topic.topic_id
                    } else {
                        part.place.name == topic.topic
                    };
                    same && part.place.index == data.partition_index
                };
                let Some(part) = self.owned.values_mut().find(of) else {
                    continue;
                };
                let Some(from) = part.next else {
                    continue;
                };
                match ErrorCode::from_code(data.error_code) {
                    Some(ErrorCode::None) => {
                        if let Some(to) = end_of(data) {
                            part.next = Some(to);
                            hands.coverage.add(Count::GroupFetches);
                            hands
                                .checker
                                .process(&self.group, &part.place, from..to, part.floor);
                        }
                    }
                    Some(ErrorCode::OffsetOutOfRange) => part.reset = true,
                    _ => well = false,
                }
            }
        }
        well
    }

    /// A partition that is not read to its end, or whose end is not committed.
    pub fn is_unfinished(&self, checker: &Checker) -> Option<Place> {
        let open = |part: &&Owned| {
            let log = checker.partitions.get(&part.place.partition());
            let log = log.filter(|log| log.present && !log.damaged);
            log.is_some_and(|log| {
                part.next.is_none_or(|next| next < log.visible_end)
                    || part
                        .next
                        .is_some_and(|n| n != part.committed && n > Offset::ZERO)
            })
        };
        self.owned
            .values()
            .find(open)
            .map(|part| part.place.clone())
    }
}

/// What an answer says about a partition: the offset, and the error.
pub fn told(response: &m::OffsetFetchResponse, place: &Place) -> Option<(i64, i16)> {
    let of_name = |topic: &&m::offset_fetch::OffsetFetchResponseTopic| topic.name == place.name;
    let one = response.topics.iter().filter(of_name);
    let one = one.flat_map(|topic| &topic.partitions);
    let one = one.map(|part| (part.partition_index, part.committed_offset, part.error_code));
    let of_either = |topic: &&m::offset_fetch::OffsetFetchResponseTopics| match &*topic.name {
        "" => topic.topic_id == place.topic,
        name => *name == *place.name,
    };
    let several = response.groups.iter().flat_map(|group| &group.topics);
    let several = several
        .filter(of_either)
        .flat_map(|topic| &topic.partitions);
    let several =
        several.map(|part| (part.partition_index, part.committed_offset, part.error_code));
    one.chain(several)
        .find(|(index, ..)| *index == place.index)
        .map(|(_, offset, code)| (offset, code))
}
