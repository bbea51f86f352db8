//! Consumers: read some partitions in order, with a fetch session or without, and now and then from somewhere else.

use std::collections::BTreeMap;

use wiber_model::Offset;
use wiber_protocol::messages as m;
use wiber_protocol::{ErrorCode, Str};

use super::{Client, Connection, Hands, Phase, end_of, fetch, list_offsets};
use crate::checker::Checker;
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange, Place};

/// Since this version topics are named by id.
const FIRST_WITH_IDS: i16 = 13;
/// Since this version there are fetch sessions.
const FIRST_WITH_SESSIONS: i16 = 7;

/// After an error it rests up to so long, in nanoseconds.
const BACKOFF_NS: u64 = 20_000_000;

/// How a consumer works.
#[derive(Clone, Debug)]
pub struct ConsumerPlan {
    /// Whether it opens a fetch session (KIP-227).
    pub session: bool,
    /// It rests up to twice so long between fetches, in microseconds.
    pub pause_us: u64,
    /// Once in so many fetches it goes on from a random place; never, if 0.
    pub seeks: u64,
    /// How long the broker may wait for more, in milliseconds.
    pub wait_ms: i32,
    /// The least that the broker answers with at once, in bytes.
    pub min_bytes: i32,
    /// The most that an answer holds, in bytes.
    pub max_bytes: i32,
    /// The most that it holds of a partition, in bytes.
    pub partition_bytes: i32,
}

#[derive(Clone, Debug)]
struct Position {
    place: Place,
    offset: Offset,
    /// What the broker's session has; none, if it does not know the partition.
    told: Option<Offset>,
}

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    plan: ConsumerPlan,
    connection: Connection,
    positions: BTreeMap<(Str, i32), Position>,
    /// The session's id and the epoch of its next request; 0, 0 to open one.
    session: (i32, i32),
    version: i16,
    busy: bool,
    /// What the session is to drop.
    forgotten: Vec<Place>,
    /// The session was told to drop something, which it may not have heard.
    has_forgotten: bool,
    /// A partition whose position is to be looked up.
    reset: Option<Place>,
    /// It reads to the end as fast as it can.
    hurries: bool,
    /// It waits until then, as something failed.
    rests_until_ns: u64,
}

impl Consumer {
    /// A consumer.
    pub fn new(plan: ConsumerPlan) -> Consumer {
        Consumer {
            plan,
            connection: Connection::default(),
            positions: BTreeMap::new(),
            session: (0, 0),
            version: 0,
            busy: false,
            forgotten: Vec::new(),
            has_forgotten: false,
            reset: None,
            hurries: false,
            rests_until_ns: 0,
        }
    }

    /// Takes up new topics, and drops those that are gone.
    fn subscribe(&mut self, hands: &Hands<'_>) {
        let places = hands.checker.live_places();
        let dropped = |position: &&Position| !places.contains(&position.place);
        self.forgotten.extend(
            self.positions
                .values()
                .filter(dropped)
                .map(|p| p.place.clone()),
        );
        self.has_forgotten |= !self.forgotten.is_empty();
        self.positions
            .retain(|_, position| places.contains(&position.place));
        for place in places {
            let key = (place.name.clone(), place.index);
            self.positions.entry(key).or_insert(Position {
                place,
                offset: Offset::ZERO,
                told: None,
            });
        }
    }

    fn end_session(&mut self) {
        self.session = (0, 0);
        self.forgotten.clear();
        self.has_forgotten = false;
        self.positions
            .values_mut()
            .for_each(|position| position.told = None);
    }

    /// At the end of a run nobody has time for small answers.
    fn hurry(&mut self) {
        self.hurries = true;
        self.plan.wait_ms = 20;
        self.plan.min_bytes = 1;
        self.plan.pause_us = 500;
        self.plan.max_bytes = i32::MAX;
        self.plan.partition_bytes = i32::MAX;
        self.end_session();
    }

    fn seek(&mut self, hands: &mut Hands<'_>) {
        if self.plan.seeks == 0
            || !hands.rng.one_in(self.plan.seeks)
            || hands.phase == Phase::WindingDown
        {
            return;
        }
        let index = hands.rng.below(self.positions.len().max(1) as u64) as usize;
        let Some(position) = self.positions.values_mut().nth(index) else {
            return;
        };
        let Some(partition) = hands.checker.partitions.get(&position.place.partition()) else {
            return;
        };
        let least = partition.start.0.max(2) - 2;
        let most = partition.end.0 + 3;
        position.offset = Offset(least + hands.rng.below((most - least).max(1) as u64) as i64);
        let offset = position.offset;
        hands.tell(|| format!("seeks to {offset}"));
    }

    fn fetch(&mut self, hands: &mut Hands<'_>) {
        let opening = self.session.1 == 0;
        if opening {
            let versions = wiber_protocol::ApiKey::Fetch.versions();
            let least = if self.plan.session {
                FIRST_WITH_SESSIONS
            } else {
                versions.min
            };
            self.version = least + hands.rng.below((versions.max - least + 1) as u64) as i16;
        }
        let in_session = self.plan.session && !opening;
        let named: Vec<_> = self
            .positions
            .values()
            .map(|position| !in_session || position.told != Some(position.offset))
            .collect();
        let positions = self
            .positions
            .values()
            .map(|position| (position.place.clone(), position.offset))
            .collect();
        let mut request = fetch(positions, &named, self.plan.partition_bytes);
        for position in self.positions.values_mut() {
            position.told = Some(position.offset);
        }
        request.max_wait_ms = self.plan.wait_ms;
        request.min_bytes = self.plan.min_bytes;
        request.max_bytes = self.plan.max_bytes;
        (request.session_id, request.session_epoch) = if self.plan.session {
            self.session
        } else {
            (0, -1)
        };
        if in_session {
            hands.coverage.add(Count::SessionFetches);
            self.forget(&mut request);
        }
        let positions = self
            .positions
            .values()
            .map(|position| (position.place.clone(), position.offset))
            .collect();
        self.busy = true;
        hands.send_version(Ask::Fetch(request, positions), self.version);
    }

    /// Has the session drop what is gone. A name that has come back stays: it is named with its new position.
    fn forget(&mut self, request: &mut m::FetchRequest) {
        let by_id = self.version >= FIRST_WITH_IDS;
        for place in self.forgotten.drain(..) {
            let back = self
                .positions
                .contains_key(&(place.name.clone(), place.index));
            if by_id || !back {
                request
                    .forgotten_topics_data
                    .push(m::fetch::ForgottenTopic {
                        topic: place.name,
                        topic_id: place.topic,
                        partitions: vec![place.index],
                    });
            }
        }
    }

    fn fetched(&mut self, response: &m::FetchResponse, by_id: bool, hands: &mut Hands<'_>) {
        if response.error_code != 0 {
            self.end_session();
            return;
        }
        if self.plan.session {
            self.session = match (response.session_id, self.session) {
                (0, _) => (0, 0),
                (id, (_, i32::MAX)) => (id, 1),
                (id, (_, epoch)) => (id, epoch + 1),
            };
        }
        for topic in &response.responses {
            for data in &topic.partitions {
                let of = |position: &&mut Position| {
                    let place = &position.place;
                    let same = if by_id {
                        place.topic == topic.topic_id
                    } else {
                        place.name == topic.topic
                    };
                    same && place.index == data.partition_index
                };
                let Some(position) = self.positions.values_mut().find(of) else {
                    continue;
                };
                match ErrorCode::from_code(data.error_code) {
                    Some(ErrorCode::None) => {
                        position.offset = end_of(data).unwrap_or(position.offset);
                    }
                    Some(ErrorCode::OffsetOutOfRange) => self.reset = Some(position.place.clone()),
                    _ => {
                        hands.tell(|| format!("fetch error {}", data.error_code));
                        self.rests_until_ns = hands.now_ns + hands.rng.below(BACKOFF_NS);
                    }
                }
            }
        }
    }
}

impl Client for Consumer {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        let rests = self.busy || hands.now_ns < self.rests_until_ns;
        if self.connection.is_usable(hands) && !rests {
            if hands.phase == Phase::WindingDown && !self.hurries {
                self.hurry();
            }
            self.subscribe(hands);
            self.seek(hands);
            if let Some(place) = self.reset.take() {
                const EARLIEST: i64 = -2;
                self.busy = true;
                hands.send(list_offsets(vec![(place, EARLIEST)], -1), 0);
            } else if !self.positions.is_empty() {
                self.fetch(hands);
            }
        }
        self.plan.pause_us
    }

    fn answered(&mut self, exchange: &Exchange, answer: &Answer, hands: &mut Hands<'_>) {
        self.busy = false;
        match (&exchange.ask, answer) {
            (Ask::Fetch(request, _), Answer::Fetch(response)) => {
                let waited = hands.now_ns - exchange.sent_ns;
                if request.max_wait_ms > 0 && waited > request.max_wait_ms as u64 * 500_000 {
                    hands.coverage.add(Count::LongPolls);
                }
                self.fetched(response, exchange.ask.is_by_id(exchange.version), hands);
            }
            (Ask::ListOffsets(_, places), Answer::ListOffsets(response)) => {
                let found = response.topics.iter().flat_map(|topic| &topic.partitions);
                for (place, found) in places.iter().zip(found) {
                    let position = self.positions.get_mut(&(place.name.clone(), place.index));
                    if let Some(position) = position.filter(|_| found.error_code == 0) {
                        position.offset = Offset(found.offset);
                    }
                }
            }
            _ => {}
        }
    }

    fn lost(&mut self, hands: &mut Hands<'_>) {
        self.busy = false;
        let (session, forgot) = (self.session, self.has_forgotten);
        self.end_session();
        if !forgot && hands.rng.one_in(2) {
            // It tries the old session, which the broker may not know, or know with another epoch.
            self.session = session;
        }
    }

    fn unfinished(&self, checker: &Checker) -> Option<String> {
        // What cannot be read any more keeps a consumer where it is.
        if checker.excuses.flips {
            return None;
        }
        let behind = |position: &&Position| {
            let partition = checker.partitions.get(&position.place.partition());
            partition.is_some_and(|p| p.present && !p.damaged && position.offset < p.visible_end)
        };
        let position = self.positions.values().find(behind)?;
        Some(format!(
            "a consumer is at {} of {:?}",
            position.offset, position.place
        ))
    }
}
