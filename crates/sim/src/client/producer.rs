//! Producers: idempotent ones, which retry as Kafka's client does, and plain ones, whose retries may store a batch twice.
//!
//! Up to five batches per partition are in flight. After a failure an idempotent producer sends a partition's batches one at a
//! time, in order, until the last that failed is through; what fails for good is abandoned, and with it the producer's epoch.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use wiber_model::batch::{BatchBuilder, Compression};
use wiber_model::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use wiber_protocol::messages as m;
use wiber_protocol::{ErrorCode, Str};
use wiber_storage::compression::compress;

use super::{Client, Connection, Hands, Phase, first_version_by_id};
use crate::checker::{Checker, Issued, contents_of, hash};
use crate::coverage::Count;
use crate::exchange::{Answer, Ask, Exchange, Place};
use crate::story::About;

/// After a failure nothing is sent for so long, in nanoseconds: about Kafka's `retry.backoff.ms`.
const BACKOFF_NS: u64 = 50_000_000;
/// Kafka's `max.in.flight.requests.per.connection`.
const IN_FLIGHT_MAX: usize = 5;

/// How many keys there are where every record has one.
const KEYS: u64 = 8;

/// How a producer works.
#[derive(Clone, Debug)]
pub struct ProducerPlan {
    /// Whether it has a producer id.
    pub idempotent: bool,
    /// How many batches it sends.
    pub batches: u32,
    /// It rests up to twice so long between sends, in microseconds.
    pub pause_us: u64,
    /// The most records of a batch.
    pub records_max: u64,
    /// Whether every record has a key, one of few, and some have no value.
    pub keyed: bool,
    /// The most bytes of a record's value.
    pub value_bytes_max: u64,
    /// One in so many batches is compressed; none, if 0.
    pub compressed: u64,
    /// Record times lie up to so many milliseconds off the clock.
    pub time_spread_ms: u64,
    /// What it waits for: −1, 1 or 0.
    pub acks: i16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is to be sent, again if it was.
    Due,
    InFlight,
}

#[derive(Clone, Debug)]
struct Pending {
    content: u64,
    bytes: Bytes,
    first: i32,
    state: State,
    tries: u32,
}

/// The batches for one partition.
#[derive(Debug)]
struct Lane {
    place: Place,
    /// The producer id and epoch of its batches.
    identity: (i64, i16),
    next_sequence: i32,
    pending: VecDeque<Pending>,
    /// Something failed: one batch at a time, until all that were sent before are through.
    careful: bool,
}

/// A producer.
#[derive(Debug)]
pub struct Producer {
    plan: ProducerPlan,
    connection: Connection,
    identity: Option<(i64, i16)>,
    asking: bool,
    lanes: BTreeMap<(Str, i32), Lane>,
    made: u32,
    left: u32,
    rests_until_ns: u64,
}

impl Producer {
    /// A producer.
    pub fn new(plan: ProducerPlan) -> Producer {
        Producer {
            left: plan.batches,
            plan,
            connection: Connection::default(),
            identity: None,
            asking: false,
            lanes: BTreeMap::new(),
            made: 0,
            rests_until_ns: 0,
        }
    }

    /// Gets the producer its id. Returns whether it has one, or needs none.
    fn has_identity(&mut self, hands: &mut Hands<'_>) -> bool {
        if !self.plan.idempotent || self.identity.is_some() {
            return true;
        }
        if !self.asking {
            self.asking = true;
            let request = m::InitProducerIdRequest {
                transactional_id: None,
                transaction_timeout_ms: 1000,
                producer_id: -1,
                producer_epoch: -1,
            };
            hands.send(Ask::InitProducerId(request), 0);
        }
        false
    }

    /// Makes new batches for some partitions.
    fn make_batches(&mut self, hands: &mut Hands<'_>) {
        let lanes = 1 + hands.rng.below(3);
        for _ in 0..lanes {
            if self.left == 0 || hands.phase == Phase::WindingDown {
                return;
            }
            let Some(place) = hands.some_place() else {
                return;
            };
            let identity = self.identity.unwrap_or((-1, -1));
            let lane = self
                .lanes
                .entry((place.name.clone(), place.index))
                .or_insert_with(|| Lane {
                    place: place.clone(),
                    identity,
                    next_sequence: 0,
                    pending: VecDeque::new(),
                    careful: false,
                });
            if lane.identity != identity && lane.pending.is_empty() {
                (lane.identity, lane.next_sequence) = (identity, 0);
            }
            if lane.careful || lane.identity != identity || lane.pending.len() >= IN_FLIGHT_MAX {
                continue;
            }
            let pending = make_batch(&self.plan, lane, self.made, hands);
            lane.pending.push_back(pending);
            self.made += 1;
            self.left -= 1;
        }
    }

    /// Sends what is due, at most one batch of a partition.
    fn send_due(&mut self, hands: &mut Hands<'_>) {
        let mut request = m::ProduceRequest {
            acks: self.plan.acks,
            timeout_ms: 5 + hands.rng.below(3000) as i32,
            ..Default::default()
        };
        self.forget_what_is_gone(hands.checker);
        let mut parts = Vec::new();
        // What was tried least comes first: partitions that take nothing any more keep nobody else waiting.
        let mut lanes: Vec<_> = self.lanes.values_mut().collect();
        lanes.sort_by_key(|lane| lane.pending.front().map_or(0, |p| p.tries));
        for lane in lanes {
            let in_flight = lane.pending.iter().any(|p| p.state == State::InFlight);
            let retried = lane.pending.front().is_some_and(|p| p.tries > 0);
            if (lane.careful || (self.plan.idempotent && retried)) && in_flight {
                continue;
            }
            let Some(due) = lane.pending.iter_mut().find(|p| p.state == State::Due) else {
                continue;
            };
            due.state = State::InFlight;
            due.tries += 1;
            // The topic may have been created again.
            let mut live = hands.checker.live_topics();
            let named = live.find(|(_, topic)| topic.name == lane.place.name);
            lane.place.topic = named.map_or(lane.place.topic, |(id, _)| id);
            request.topic_data.push(m::produce::TopicProduceData {
                name: lane.place.name.clone(),
                topic_id: lane.place.topic,
                partition_data: vec![m::produce::PartitionProduceData {
                    index: lane.place.index,
                    records: Some(due.bytes.clone()),
                }],
            });
            parts.push((lane.place.clone(), due.content));
            if parts.len() == 3 {
                break;
            }
        }
        if parts.is_empty() {
            return;
        }
        // zstd came with version 7.
        let ask = Ask::Produce(request, parts);
        match hands.rng.one_in(2) {
            true => hands.send(ask, first_version_by_id(wiber_protocol::ApiKey::Produce)),
            false => hands.send(ask, 7),
        }
    }

    /// A topic that was created again may have fewer partitions: what was made for others goes nowhere.
    fn forget_what_is_gone(&mut self, checker: &Checker) {
        self.lanes.retain(|(name, index), lane| {
            let mut live = checker.live_topics();
            let topic = live.find(|(_, topic)| topic.name == *name);
            let in_flight = lane.pending.iter().any(|p| p.state == State::InFlight);
            in_flight || topic.is_none_or(|(_, topic)| *index < topic.partitions)
        });
    }

    /// The outcome of one batch.
    fn settle(&mut self, place: &Place, content: u64, error: ErrorCode, hands: &mut Hands<'_>) {
        let Some(lane) = self.lanes.get_mut(&(place.name.clone(), place.index)) else {
            return;
        };
        let Some(index) = lane.pending.iter().position(|p| p.content == content) else {
            return;
        };
        match error {
            ErrorCode::None => {
                lane.pending.remove(index);
                lane.careful &= lane.pending.iter().any(|p| p.tries > 0);
            }
            ErrorCode::OutOfOrderSequenceNumber if index > 0 => lane.retry(index),
            ErrorCode::OutOfOrderSequenceNumber | ErrorCode::InvalidProducerEpoch => {
                let first = lane.pending[index].first;
                let identity = lane.identity;
                self.check_refusal(place, identity, first, error, hands);
                self.abandon(hands);
            }
            _ if lane.pending[index].tries > 30 && hands.phase == Phase::Chaos => {
                self.abandon(hands)
            }
            _ => lane.retry(index),
        }
    }

    /// A batch that is next in line was refused as out of order: only a log that lost records, or a new one, may do so.
    fn check_refusal(
        &self,
        place: &Place,
        identity: (i64, i16),
        first: i32,
        error: ErrorCode,
        hands: &mut Hands<'_>,
    ) {
        let id = place.partition();
        let Some(partition) = hands.checker.partitions.get(&id) else {
            return;
        };
        let excused = partition.ever_relaxed
            || partition.damaged
            || !partition.holes.is_empty()
            || !partition.present
            || hands.checker.excuses.expiry;
        if !excused && partition.expects(identity.0, identity.1, first) {
            let what = format!(
                "producer {identity:?} sends sequence {first}, which is next, and the answer is {}",
                error.name()
            );
            hands.checker.fail(About::Partition(id), what);
        }
    }

    /// Gives up all batches: the producer goes on with a new epoch, or as another one.
    fn abandon(&mut self, hands: &mut Hands<'_>) {
        hands.tell(|| "abandons its batches".to_owned());
        self.lanes.clear();
        match &mut self.identity {
            Some((_, epoch)) if hands.rng.one_in(2) => {
                *epoch += 1;
                hands.coverage.add(Count::ProducerEpochBumps);
            }
            identity => *identity = None,
        }
    }
}

impl Lane {
    /// What was sent before is sent again, one by one.
    fn retry(&mut self, index: usize) {
        self.pending[index].state = State::Due;
        self.careful = true;
    }
}

impl Client for Producer {
    fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn wake(&mut self, hands: &mut Hands<'_>) -> u64 {
        let usable = self.connection.is_usable(hands) && hands.now_ns >= self.rests_until_ns;
        if usable && self.has_identity(hands) && self.connection.in_flight() < IN_FLIGHT_MAX {
            self.make_batches(hands);
            self.send_due(hands);
        }
        self.plan.pause_us
    }

    fn answered(&mut self, exchange: &Exchange, answer: &Answer, hands: &mut Hands<'_>) {
        match (&exchange.ask, answer) {
            (Ask::InitProducerId(_), Answer::InitProducerId(response)) => {
                self.asking = false;
                if response.error_code == 0 {
                    self.identity = Some((response.producer_id, response.producer_epoch));
                }
            }
            (Ask::Produce(_, parts), Answer::Nothing) => {
                for (place, content) in parts {
                    self.settle(place, *content, ErrorCode::None, hands);
                }
            }
            (Ask::Produce(_, parts), Answer::Produce(response)) => {
                let by_id = exchange.ask.is_by_id(exchange.version);
                for (place, content) in parts {
                    let error = outcome(response, place, by_id);
                    if error != ErrorCode::None {
                        hands.tell(|| format!("{} {}: {error}", place.name, place.index));
                        self.rests_until_ns = hands.now_ns + hands.rng.below(2 * BACKOFF_NS);
                    }
                    self.settle(place, *content, error, hands);
                }
            }
            _ => {}
        }
    }

    fn lost(&mut self, _hands: &mut Hands<'_>) {
        self.asking = false;
        for lane in self.lanes.values_mut() {
            for pending in &mut lane.pending {
                lane.careful |= pending.state == State::InFlight;
                pending.state = State::Due;
            }
        }
        if self.plan.acks == 0 {
            // Nobody knows what became of them.
            self.lanes.clear();
        }
    }

    fn unfinished(&self, checker: &Checker) -> Option<String> {
        let open = |lane: &&Lane| {
            let partition = checker.partitions.get(&lane.place.partition());
            !lane.pending.is_empty()
                && partition.is_some_and(|partition| partition.present && !partition.damaged)
        };
        self.lanes
            .values()
            .find(open)
            .map(|lane| format!("a producer has batches for {:?}", lane.place))
    }
}

/// What became of the batch for `place`.
fn outcome(response: &m::ProduceResponse, place: &Place, by_id: bool) -> ErrorCode {
    let of_topic = |topic: &&m::produce::TopicProduceResponse| {
        if by_id {
            topic.topic_id == place.topic
        } else {
            topic.name == place.name
        }
    };
    let parts = response
        .responses
        .iter()
        .filter(of_topic)
        .flat_map(|topic| &topic.partition_responses);
    let code = parts
        .filter(|part| part.index == place.index)
        .map(|part| part.error_code)
        .next();
    code.and_then(ErrorCode::from_code)
        .unwrap_or(ErrorCode::UnknownServerError)
}

/// A batch that no other is equal to.
fn make_batch(plan: &ProducerPlan, lane: &mut Lane, number: u32, hands: &mut Hands<'_>) -> Pending {
    let records = 1 + hands.rng.below(plan.records_max);
    let spread = |hands: &mut Hands<'_>| match plan.time_spread_ms {
        0 => 0,
        ms => hands.rng.below(2 * ms) as i64 - ms as i64,
    };
    let base = TimestampMs(hands.wall.0 + spread(hands));
    let mut builder = BatchBuilder::new(base);
    if plan.idempotent {
        let (id, epoch) = lane.identity;
        builder = builder.producer(
            ProducerId(id),
            ProducerEpoch(epoch),
            Sequence(lane.next_sequence),
        );
    }
    let mut timestamps = Vec::with_capacity(records as usize);
    let mut value = Vec::new();
    for record in 0..records {
        let timestamp = TimestampMs(hands.wall.0 + spread(hands));
        value.clear();
        value.extend_from_slice(format!("{}-{number}-{record} ", hands.client).as_bytes());
        let mut padding = vec![0; hands.rng.below(plan.value_bytes_max) as usize];
        hands.rng.fill(&mut padding);
        value.extend_from_slice(&padding);
        if plan.keyed {
            let key = format!("key {}", hands.rng.below(KEYS));
            let tombstone = hands.rng.one_in(5);
            // Not even batches of tombstones are equal.
            let mark = format!("{}-{number}-{record}", hands.client);
            let value = (!tombstone).then_some(&value[..]);
            let headers = [("mark", Some(mark.as_bytes()))];
            builder.push(timestamp, Some(key.as_bytes()), value, &headers);
        } else {
            let key = hands.rng.one_in(2).then_some(&b"key"[..]);
            builder.push(timestamp, key, Some(&value), &[]);
        }
        timestamps.push(timestamp.0);
    }
    let records_of_it = builder.payload().to_vec();
    let contents = contents_of(&builder);
    let compressed = plan.compressed > 0 && hands.rng.one_in(plan.compressed);
    let batch = if compressed {
        let codecs = [
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        let codec = codecs[hands.rng.below(codecs.len() as u64) as usize];
        let payload = compress(codec, builder.payload());
        builder.build_with(codec, &payload)
    } else {
        builder.build()
    };
    let content = hash(&batch.payload());
    let issued = Issued {
        place: lane.place.clone(),
        hash: hash(&batch.bytes()[wiber_model::batch::CRC_START..]),
        timestamps: Rc::from(timestamps),
        records: hash(&records_of_it),
        contents,
        idempotent: plan.idempotent,
        compressed,
        appended: 0,
        appended_ns: 0,
    };
    hands.tell(|| {
        format!(
            "makes content {content:016x} for {} {}: {batch:?}",
            lane.place.name, lane.place.index
        )
    });
    hands.checker.issue(content, issued);
    let first = lane.next_sequence;
    lane.next_sequence += records as i32;
    Pending {
        content,
        bytes: batch.into_bytes(),
        first,
        state: State::Due,
        tries: 0,
    }
}
