//! Simulated clients: each a state machine with one connection, that speaks the wire protocol and gives up as real ones do.

pub mod admin;
pub mod asker;
pub mod caretaker;
pub mod consumer;
pub mod member;
pub mod operator;
pub mod prober;
pub mod producer;
pub mod verifier;

use wiber_model::{Batches, Offset, Rng, TimestampMs};
use wiber_protocol::messages as m;
use wiber_protocol::{ApiKey, Str};

use crate::checker::Checker;
use crate::coverage::{Count, Coverage};
use crate::exchange::{Answer, Ask, Exchange, Place};
use crate::story::{About, Story};

/// A client gives a request up after this long, in nanoseconds: it closes its connection and tries on another one.
pub const REQUEST_TIMEOUT_NS: u64 = 10_000_000_000;

/// How the run goes, for its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Anything may happen.
    Chaos,
    /// Nothing breaks any more; what was begun is brought to its end.
    WindingDown,
}

/// What a client wants done.
#[derive(Debug)]
pub enum Action {
    /// Opens a connection.
    Connect,
    /// Sends a request of this version.
    Send(Box<Ask>, i16),
    /// Closes the connection.
    Disconnect,
}

/// What a client has to act with.
pub struct Hands<'a> {
    /// The client's number.
    pub client: usize,
    /// The time, in nanoseconds.
    pub now_ns: u64,
    /// The time of day.
    pub wall: TimestampMs,
    /// How the run goes.
    pub phase: Phase,
    /// The client's own draws.
    pub rng: &'a mut Rng,
    /// What everybody knows; topics are looked up here.
    pub checker: &'a mut Checker,
    /// Counts what happens.
    pub coverage: &'a mut Coverage,
    /// The story.
    pub story: &'a mut Story,
    /// What is wanted, in order.
    pub actions: Vec<Action>,
}

/// A client.
pub trait Client {
    /// What it keeps of its connection.
    fn connection(&mut self) -> &mut Connection;

    /// It is time to do something. Returns how long it rests then, in microseconds: up to twice as long, and longer while it has
    /// nothing to do. What comes on its connection wakes it before.
    fn wake(&mut self, hands: &mut Hands<'_>) -> u64;

    /// A request was answered.
    fn answered(&mut self, exchange: &Exchange, answer: &Answer, hands: &mut Hands<'_>);

    /// The connection is gone, with all that was asked on it, or could not be opened.
    fn lost(&mut self, hands: &mut Hands<'_>);

    /// Why the run cannot end yet, if it cannot.
    fn unfinished(&self, checker: &Checker) -> Option<String>;
}

impl Hands<'_> {
    /// Sends a request in any version that is served from `least` on.
    pub fn send(&mut self, ask: Ask, least: i16) {
        let version = self.version_of(ask.key(), least);
        self.send_version(ask, version);
    }

    /// Any version of an API that is served from `least` on.
    pub fn version_of(&mut self, key: ApiKey, least: i16) -> i16 {
        let versions = key.versions();
        let from = versions.min.max(least);
        from + self.rng.below((versions.max - from + 1) as u64) as i16
    }

    /// Sends a request in one version.
    pub fn send_version(&mut self, ask: Ask, version: i16) {
        self.actions.push(Action::Send(Box::new(ask), version));
    }

    /// Notes that a request is given up, and closes the connection.
    pub fn give_up(&mut self, sent_ns: u64) {
        self.coverage.add(Count::RequestTimeouts);
        let waited = self.now_ns - sent_ns;
        self.tell(|| format!("gives up after {} ms", waited / 1_000_000));
        if self.phase == Phase::WindingDown && waited > 3 * REQUEST_TIMEOUT_NS {
            self.checker.fail(
                About::Broker,
                "a request is not answered, and nothing is wrong any more",
            );
        }
        self.actions.push(Action::Disconnect);
    }

    /// One of the live partitions.
    pub fn some_place(&mut self) -> Option<Place> {
        let places = self.checker.live_places();
        let index = self.rng.below(places.len().max(1) as u64) as usize;
        places.into_iter().nth(index)
    }

    /// Adds a line to the story.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        self.story.tell(About::Client(self.client), text);
    }
}

/// What a client keeps of its connection.
#[derive(Debug, Default)]
pub struct Connection {
    open: bool,
    asked: bool,
    /// When what is not answered was sent, oldest first.
    waiting: std::collections::VecDeque<u64>,
}

impl Connection {
    /// Whether requests can be sent; opens a connection if there is none. Gives up what waits for too long.
    pub fn is_usable(&mut self, hands: &mut Hands<'_>) -> bool {
        if let Some(sent_ns) = self.waiting.front().copied()
            && hands.now_ns - sent_ns > REQUEST_TIMEOUT_NS
        {
            hands.give_up(sent_ns);
            return false;
        }
        if !self.open && !self.asked {
            self.asked = true;
            hands.actions.push(Action::Connect);
        }
        self.open
    }

    /// The connection is open.
    pub fn opened(&mut self) {
        self.open = true;
        self.asked = false;
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        *self = Connection::default();
    }

    /// A request is being sent.
    pub fn sent(&mut self, now_ns: u64) {
        self.waiting.push_back(now_ns);
    }

    /// A request was answered.
    pub fn answered(&mut self) {
        self.waiting.pop_front();
    }

    /// How many requests wait for answers.
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }
}

/// Where the next fetch goes on, after the last whole batch of these records; `None` if there is none.
pub fn end_of(data: &m::fetch::PartitionData) -> Option<Offset> {
    let records = data.records.as_ref()?.to_bytes();
    let batches = Batches::new(records).filter_map(Result::ok);
    batches.last().map(|last| last.next_offset())
}

/// A request for the offsets at `timestamp` of these partitions, by a client that believes in `epoch`.
pub fn list_offsets(places: Vec<(Place, i64)>, epoch: i32) -> Ask {
    let topic = |(place, timestamp): &(Place, i64)| m::list_offsets::ListOffsetsTopic {
        name: place.name.clone(),
        partitions: vec![m::list_offsets::ListOffsetsPartition {
            partition_index: place.index,
            current_leader_epoch: epoch,
            timestamp: *timestamp,
        }],
    };
    let request = m::ListOffsetsRequest {
        replica_id: -1,
        topics: places.iter().map(topic).collect(),
        ..Default::default()
    };
    Ask::ListOffsets(
        request,
        places.into_iter().map(|(place, _)| place).collect(),
    )
}

/// A fetch of these partitions, by no replica; `named` are those that the request itself names, as in a session it need not name all.
pub fn fetch(
    positions: Vec<(Place, wiber_model::Offset)>,
    named: &[bool],
    partition_bytes: i32,
) -> m::FetchRequest {
    let mut request = m::FetchRequest {
        replica_id: -1,
        ..Default::default()
    };
    for ((place, offset), _) in positions.iter().zip(named).filter(|(_, named)| **named) {
        request.topics.push(m::fetch::FetchTopic {
            topic: place.name.clone(),
            topic_id: place.topic,
            partitions: vec![m::fetch::FetchPartition {
                partition: place.index,
                fetch_offset: offset.0,
                partition_max_bytes: partition_bytes,
                ..Default::default()
            }],
        });
    }
    request
}

/// A topic that may be created.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    /// Its name.
    pub name: Str,
    /// How many partitions.
    pub partitions: i32,
    /// Its settings.
    pub configs: Vec<(String, String)>,
    /// Whether it is deleted and created again in the run.
    pub restless: bool,
}

/// The lowest version of an API that says topic ids in requests.
pub fn first_version_by_id(key: ApiKey) -> i16 {
    match key {
        ApiKey::Produce | ApiKey::Fetch => 13,
        _ => 0,
    }
}
