//! Holds the broker to what it promised: knows every batch that was sent, appended, acknowledged and read.
//!
//! It sees frames on their way to the write-ahead log, answers as they leave the broker, and the logs themselves at the end of
//! each step. [`partition`] says which invariants are checked there; here it is:
//! - 1: an acknowledged record is on disk when its answer leaves the broker, and in the log after every crash.
//! - 11: what is read is what was appended at that offset, byte for byte; and it stays.
//! - Under flipped bits: what is read is right, or an error says so, and that only where a bit was flipped: what a flip did not hit
//!   stays readable. A log that lost records never gives their offsets again.

mod answers;
mod attendance;
mod codes;
mod compacted;
mod groups;
mod operations;
mod partition;
mod register;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use wiber_broker::{Broker, Shard};
use wiber_model::batch::{Records, TimestampType};
use wiber_model::{Batch, Now, Offset, PartitionId, TimestampMs, TopicId};
use wiber_protocol::Str;
use wiber_storage::compression::Decoder;
use wiber_storage::frame::Frame;

use crate::coverage::{Count, Coverage};
use crate::disk::wal_watch::{Cost, WalWatch};
use crate::exchange::{Exchange, Place, Seen};
use crate::story::{About, Story};
pub use answers::{Scene, error_name};
use compacted::contents_in;
pub use compacted::{Content, contents_of};
pub use groups::Groups;
use operations::View;
pub use partition::{Entry, LogRules, Partition};
use settings::Settings;

/// The topic in which the broker keeps groups: nobody else writes there, or changes it.
const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What it is about.
    pub about: About,
    /// What was promised and what happened.
    pub what: String,
}

/// A batch that a client sent.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Where it was sent to.
    pub place: Place,
    /// Of all that its checksum covers.
    pub hash: u64,
    /// The records' timestamps.
    pub timestamps: Rc<[i64]>,
    /// Of the records, not compressed.
    pub records: u64,
    /// Each record.
    pub contents: Rc<[Content]>,
    /// Whether it may be stored once only.
    pub idempotent: bool,
    /// Whether its records are compressed.
    pub compressed: bool,
    /// How often it was appended.
    pub appended: u32,
    /// When it was appended first, in nanoseconds.
    pub appended_ns: u64,
}

/// A topic, by everything that was seen of it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// How many partitions every shard has, as whoever made them was told.
    pub partitions: i32,
    /// How many clients were told of: a shard tells of what it knows, which is durable, before the others know it.
    pub partitions_told: i32,
    /// How many a shard had.
    pub partitions_seen: i32,
    /// Up to where the metadata were applied that the shard had which showed it first.
    pub seen_at: u64,
    /// Its settings, as clients were told.
    pub settings: Settings,
    /// Whether some shard set the timestamps at some time.
    pub append_time: bool,
    /// Whether some shard left them to the producers at some time.
    pub create_time: bool,
    /// Whether some shard compressed batches otherwise at some time.
    pub recompresses: bool,
    /// A client was told that it exists.
    pub acknowledged: bool,
    /// A client asked for its end.
    pub doomed: bool,
    /// A client was told that it is gone.
    pub gone: bool,
}

/// What the broker may be excused by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Excuses {
    /// Bits were flipped.
    pub flips: bool,
    /// In metadata of the write-ahead log, too.
    pub metadata: bool,
    /// So that nobody can tell whose frames are lost.
    pub anonymous: bool,
    /// Reads failed.
    pub read_errors: bool,
    /// The disk, or the log, was full.
    pub space: bool,
    /// Producers' states expire.
    pub expiry: bool,
    /// The clock jumps.
    pub clock: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Checker {
    /// The topics.
    pub topics: BTreeMap<TopicId, Topic>,
    /// The partitions.
    pub partitions: BTreeMap<PartitionId, Partition>,
    /// What excuses the broker.
    pub excuses: Excuses,
    /// Whether the broker said that it serves.
    pub ready: bool,
    /// What was not synced may be gone since the broker was opened last.
    pub lossy: bool,
    /// Broken promises, the first one first.
    pub violations: Vec<Violation>,
    /// The groups.
    pub groups: Groups,
    issued: BTreeMap<u64, Issued>,
    /// The contents of what was sent, by their records.
    by_records: BTreeMap<u64, u64>,
    /// What each shard knows of topics: their settings, and how many partitions they have.
    views: BTreeMap<u16, View>,
    producer_ids: BTreeSet<i64>,
    /// How many logs each shard had when it was looked at last.
    shard_logs: BTreeMap<u16, usize>,
}

impl Checker {
    /// Notes a broken promise.
    pub fn fail(&mut self, about: About, what: impl Into<String>) {
        let what = what.into();
        self.violations.push(Violation { about, what });
    }

    /// The topics that clients may use.
    pub fn live_topics(&self) -> impl Iterator<Item = (TopicId, &Topic)> {
        self.topics
            .iter()
            .filter(|(_, topic)| {
                topic.acknowledged && !topic.doomed && &*topic.name != OFFSETS_TOPIC
            })
            .map(|(id, topic)| (*id, topic))
    }

    /// Whether clients may use a partition.
    pub fn is_live(&self, place: &Place) -> bool {
        let mut live = self.live_topics();
        live.any(|(id, topic)| id == place.topic && place.index < topic.partitions)
    }

    /// Those, and where the broker keeps groups.
    pub fn all_places(&self) -> Vec<Place> {
        let mut places = self.live_places();
        let mut topics = self.topics.iter();
        if let Some((id, topic)) = topics.find(|(_, topic)| &*topic.name == OFFSETS_TOPIC) {
            places.extend((0..topic.partitions).map(|index| Place {
                name: topic.name.clone(),
                topic: *id,
                index,
            }));
        }
        places
    }

    /// The partitions that clients may use.
    pub fn live_places(&self) -> Vec<Place> {
        let places = |(topic, state): (TopicId, &Topic)| {
            let name = state.name.clone();
            (0..state.partitions).map(move |index| Place {
                name: name.clone(),
                topic,
                index,
            })
        };
        self.live_topics().flat_map(places).collect()
    }

    /// A client is going to send a batch.
    pub fn issue(&mut self, content: u64, issued: Issued) {
        self.by_records.insert(issued.records, content);
        if self.issued.insert(content, issued).is_some() {
            self.fail(
                About::Broker,
                "two batches have the same content: the simulation is wrong",
            );
        }
    }

    /// A bit was flipped.
    pub fn flipped(&mut self, cost: &Cost) {
        self.excuses.flips = true;
        self.excuses.metadata |= cost.metadata;
        self.excuses.anonymous |= cost.anonymous;
        for (id, range) in &cost.lost {
            if let Some(partition) = self.partitions.get_mut(id) {
                partition.hit.push(range.clone());
            }
        }
        if let Some((id, range)) = &cost.unreadable
            && let Some(partition) = self.partitions.get_mut(id)
        {
            partition.unreadable.push(range.clone());
        }
    }

    /// A shard hands frames to the write-ahead log.
    pub fn append(
        &mut self,
        frames: &[Frame],
        now: Now,
        (number, shard): (u16, &Shard),
        coverage: &mut Coverage,
        story: &mut Story,
    ) {
        self.learn(number, shard, coverage);
        for frame in frames {
            match frame {
                Frame::Batch { partition, batch } => {
                    self.append_batch(*partition, batch, now, coverage, story)
                }
                Frame::Epochs(starts) => {
                    for start in starts {
                        self.meet(start.partition, shard, coverage);
                        story.tell(About::Partition(start.partition), || {
                            format!("epoch {} begins at {}", start.epoch, start.start)
                        });
                        let result = self
                            .partition(start.partition)
                            .begin_epoch(start.epoch, start.start);
                        self.expect(start.partition, result);
                    }
                }
                Frame::LogStart { partition, start } => {
                    coverage.add(Count::LogStartMoves);
                    story.tell(About::Partition(*partition), || {
                        format!("the log start moves to {start}")
                    });
                    self.move_start(*partition, *start, now.wall);
                }
                Frame::Metadata(_) => {}
            }
        }
    }

    fn append_batch(
        &mut self,
        id: PartitionId,
        batch: &Batch,
        now: Now,
        coverage: &mut Coverage,
        story: &mut Story,
    ) {
        coverage.add(Count::BatchesAppended);
        let about = About::Partition(id);
        story.tell(about, || format!("appended {batch:?}"));
        let topic = self.topics.get(&id.topic);
        let recompresses = topic.is_some_and(|topic| topic.recompresses);
        let append_time = batch.timestamp_type() == TimestampType::LogAppendTime;
        let time_may_be = topic.is_some_and(|topic| match append_time {
            true => topic.append_time,
            false => topic.create_time,
        });
        let as_it_is = hash(&batch.payload());
        let recompressed = recompresses && !self.issued.contains_key(&as_it_is);
        let content = match recompressed {
            true => {
                let known = records_hash(batch).and_then(|hash| self.by_records.get(&hash));
                known.copied().unwrap_or(as_it_is)
            }
            false => as_it_is,
        };
        if topic.is_some_and(|topic| &*topic.name == OFFSETS_TOPIC) {
            self.append_groups(id, batch, content, now);
            return;
        }
        let Some(issued) = self.issued.get_mut(&content) else {
            self.fail(about, format!("{batch:?} was appended, and nobody sent it"));
            return;
        };
        if issued.appended == 0 {
            issued.appended_ns = now.monotonic.0;
        }
        issued.appended += 1;
        if recompressed {
            coverage.add(Count::Recompressed);
        }
        if issued.compressed {
            coverage.add(Count::CompressedBatches);
        }
        let timestamps = if append_time {
            std::iter::repeat_n(batch.max_timestamp().0, issued.timestamps.len()).collect()
        } else {
            Rc::clone(&issued.timestamps)
        };
        let contents = Rc::clone(&issued.contents);
        let as_sent = issued.hash == hash(&batch.bytes()[wiber_model::batch::CRC_START..]);
        let to_its_place = issued.place.index == id.partition
            && self
                .topics
                .get(&id.topic)
                .is_some_and(|topic| topic.name == issued.place.name);
        if !(as_sent || append_time || recompressed) || !time_may_be || batch.check_crc().is_err() {
            self.fail(about, format!("{batch:?} is not what was sent"));
        } else if !to_its_place {
            self.fail(about, format!("{batch:?} was sent elsewhere"));
        }
        let entry = Entry::of(batch, content, timestamps, contents, now.wall);
        let result = self.partition(id).append(entry);
        self.expect(id, result);
    }

    /// The broker writes down what groups are.
    fn append_groups(&mut self, id: PartitionId, batch: &Batch, content: u64, now: Now) {
        let base = batch.base_timestamp().0;
        let payload = batch.payload();
        let deltas = Records::new(&payload, batch.record_count())
            .filter_map(Result::ok)
            .map(|record| base + record.timestamp_delta);
        let contents = contents_in(batch);
        let entry = Entry::of(batch, content, deltas.collect(), contents, now.wall);
        let result = self.partition(id).append(entry);
        self.expect(id, result);
    }

    fn move_start(&mut self, id: PartitionId, start: Offset, now: TimestampMs) {
        let partition = self.partition(id);
        let result = if start <= partition.start || start > partition.visible_end {
            Err(format!(
                "the log start moves from {} to {start}, with the high watermark at {}",
                partition.start, partition.visible_end
            ))
        } else if !partition.is_wanted(start) && !partition.may_expire(start, now) {
            Err(format!(
                "the log start moves to {start}; nobody asked for it, and what lies before it may stay"
            ))
        } else {
            Ok(())
        };
        partition.start = start;
        self.expect(id, result);
    }

    /// Looks at a shard at the end of a step.
    pub fn observe(&mut self, number: u16, shard: &Shard, wal: &WalWatch, coverage: &mut Coverage) {
        self.learn(number, shard, coverage);
        let mut count = 0;
        for log in shard.store().logs() {
            count += 1;
            let id = log.id();
            if !self.partitions.contains_key(&id) {
                self.meet(id, shard, coverage);
            }
            let partition = self.partition(id);
            let stable_end = partition.stable_end(wal);
            let result = partition.observe(log, stable_end);
            partition.present = true;
            let result = result.and_then(|expired| match (expired, self.excuses.expiry) {
                (0, _) => Ok(()),
                (_, true) => {
                    coverage.add_many(Count::ProducersExpired, expired as u64);
                    Ok(())
                }
                _ => Err(format!("invariant 14: {expired} producers are forgotten")),
            });
            self.expect(id, result);
        }
        if self.shard_logs.insert(number, count) != Some(count) {
            self.look_for_missing(shard);
        }
    }

    /// The number of a shard's logs has changed: some may be gone.
    fn look_for_missing(&mut self, shard: &Shard) {
        let mut wrong = Vec::new();
        for (id, partition) in &mut self.partitions {
            let known = shard.image().topic_by_id(id.topic).is_some();
            let topic = self.topics.get(&id.topic);
            let applied = shard.image().offset().0;
            // A shard that is behind does not know it yet.
            let is_behind = topic.is_some_and(|topic| applied < topic.seen_at);
            if known || is_behind || !partition.present {
                continue;
            }
            partition.present = false;
            if self
                .topics
                .get(&id.topic)
                .is_some_and(|topic| !topic.doomed)
            {
                wrong.push(*id);
            }
        }
        for id in wrong {
            self.fail(
                About::Partition(id),
                "a shard has deleted the partition, and nobody asked for that",
            );
        }
    }

    /// The broker was opened. `lossy` says that what was not synced may be gone.
    pub fn recovered(
        &mut self,
        broker: &Broker,
        lossy: bool,
        wal: &WalWatch,
        coverage: &mut Coverage,
    ) {
        self.ready = false;
        self.shard_logs.clear();
        self.views.clear();
        self.partitions
            .values_mut()
            .for_each(|partition| partition.present = false);
        let damaged = !broker.report.damage.is_empty();
        if damaged {
            coverage.add(Count::WalDamage);
            if !self.excuses.flips {
                self.fail(
                    About::Broker,
                    format!(
                        "damage was found where there is none: {:?}",
                        broker.report.damage
                    ),
                );
            }
        }
        for shard in &broker.shards {
            for log in shard.store().logs() {
                let id = log.id();
                self.meet(id, shard, coverage);
                if let Some(damage) = log.damage()
                    && !self.excuses.anonymous
                {
                    self.fail(
                        About::Partition(id),
                        format!("the log counts as damaged, and is not: {damage}"),
                    );
                }
                let expire = self.excuses.expiry;
                let partition = self.partition(id);
                let durable = wal.durable_end(id);
                let relaxed = partition.was_relaxed();
                let floor = partition.promised_end.min(if lossy && relaxed {
                    durable
                } else {
                    Offset(i64::MAX)
                });
                let promised = partition.promised_end;
                let result = partition.recovered(log, floor, expire).and_then(|lost| {
                    coverage.add_many(Count::BatchesLost, lost as u64);
                    partition.check_epochs(log)
                });
                coverage.add_many(Count::Holes, log.holes().entries().len() as u64);
                coverage.add_many(Count::DamagedLogs, u64::from(partition.damaged));
                if partition.end < promised && relaxed && lossy {
                    coverage.add(Count::RelaxedLost);
                }
                let unsynced = partition.end > durable.max(partition.start) && !partition.damaged;
                let end = partition.end;
                self.expect(id, result);
                if unsynced {
                    let what = format!(
                        "S3: the log was recovered up to {end}, and only {durable} is on stable storage"
                    );
                    self.fail(About::Partition(id), what);
                }
            }
        }
        self.check_views_after(broker, coverage);
        let missing = |(id, partition): (&PartitionId, &Partition)| {
            let topic = self.topics.get(&id.topic)?;
            let promised = topic.acknowledged && !topic.doomed;
            (promised && !partition.present).then_some(*id)
        };
        for id in self
            .partitions
            .iter()
            .filter_map(missing)
            .collect::<Vec<_>>()
        {
            self.fail(
                About::Partition(id),
                "a client was told that the topic exists, and it is gone after recovery",
            );
        }
        let back: Vec<_> = self
            .partitions
            .values()
            .filter(|p| p.present)
            .map(|p| p.id)
            .collect();
        for id in back {
            if self.topics.get(&id.topic).is_some_and(|topic| topic.gone) {
                self.fail(
                    About::Partition(id),
                    "a client was told that the topic is gone, and it is back",
                );
            }
        }
    }

    /// A request comes in at a shard.
    pub fn arrive(&mut self, exchange: &mut Exchange, shard: &Shard, now_ns: u64) {
        exchange.arrived_ns = Some(now_ns);
        let by_id = exchange.ask.is_by_id(exchange.version);
        let seen = |place: &Place| {
            let topic = if by_id {
                place.topic
            } else {
                shard.image().topic(&place.name)?.id
            };
            let id = PartitionId {
                topic,
                partition: place.index,
            };
            let partition = self
                .partitions
                .get(&id)
                .filter(|partition| partition.present)?;
            Some(Seen {
                partition: id,
                start: partition.start,
                visible_end: partition.visible_end,
            })
        };
        exchange.seen = exchange.ask.places().into_iter().map(seen).collect();
        self.note_operation(exchange, shard);
        let owned = self.owned_in(&exchange.ask);
        self.groups.arrive(exchange, owned, now_ns);
    }

    /// Makes the acquaintance of a partition, and of its topic.
    fn meet(&mut self, id: PartitionId, shard: &Shard, coverage: &mut Coverage) {
        if self.partitions.contains_key(&id) {
            return;
        }
        let Some(state) = shard.image().topic_by_id(id.topic) else {
            self.fail(
                About::Partition(id),
                "a shard has a log of a topic that it does not know",
            );
            return;
        };
        let partitions = state.partitions.len() as i32;
        let topic = Topic {
            name: Str::from(state.name.as_str()),
            partitions,
            partitions_told: partitions,
            partitions_seen: partitions,
            seen_at: shard.image().offset().0,
            settings: Settings::new(&state.configs),
            append_time: false,
            create_time: false,
            recompresses: false,
            acknowledged: false,
            doomed: false,
            gone: false,
        };
        if !self.topics.contains_key(&id.topic) {
            coverage.add(Count::TopicsCreated);
            if self.topics.values().any(|other| other.name == topic.name) {
                coverage.add(Count::TopicsRecreated);
            }
            self.topics.insert(id.topic, topic);
        }
        let rules = LogRules::of(&state.configs);
        let mut partition = Partition::new(id, rules);
        partition.clock_jumps = self.excuses.clock;
        self.partitions.insert(id, partition);
    }

    fn partition(&mut self, id: PartitionId) -> &mut Partition {
        self.partitions
            .entry(id)
            .or_insert_with(|| Partition::new(id, LogRules::of(&BTreeMap::new())))
    }

    fn expect(&mut self, id: PartitionId, result: Result<(), String>) {
        if let Err(what) = result {
            self.fail(About::Partition(id), what);
        }
    }
}

/// Of a batch's records, not compressed; none if they do not unfold.
fn records_hash(batch: &Batch) -> Option<u64> {
    let payload = batch.payload();
    let decoder = Decoder::new(batch.compression().ok()?, &payload, u64::MAX).ok()?;
    Some(hash(&decoder.into_vec().ok()?))
}

/// A 64-bit hash, the same everywhere. (FNV's prime over words, with a rotation to spread them.)
pub fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    let mut mix = |word: u64| state = (state ^ word).wrapping_mul(PRIME).rotate_left(29);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        mix(u64::from_le_bytes(word.try_into().unwrap_or_default()));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    mix(u64::from_le_bytes(last));
    mix(0);
    state
}
