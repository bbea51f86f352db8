//! What a partition's log must be, by everything that the checker has seen.
//!
//! Invariants that it holds the broker to, numbered as in the list of the project:
//! - 6: the same offset and epoch never have two contents.
//! - 8: the visible end never falls within a life of the broker, and never lies beyond what is durable.
//! - 10: epochs rise, their starts never fall.
//! - 14: a producer's batches are in the log once, in sequence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use wiber_model::{Batch, LeaderEpoch, Now, Offset, PartitionId, TimestampMs};
use wiber_storage::PartitionLog;
use wiber_storage::log::{ProducerEntry, REMEMBERED_BATCHES};

use super::compacted::Content;
use crate::disk::wal_watch::WalWatch;

/// A batch at its place.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The offset of its first record.
    pub base: Offset,
    /// The offset after its last record.
    pub next: Offset,
    /// The epoch that it was appended in.
    pub epoch: LeaderEpoch,
    /// Of all its bytes.
    pub hash: u64,
    /// Of its records, which no other batch that was sent has.
    pub content: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The records' timestamps.
    pub timestamps: Rc<[i64]>,
    /// Producer id and epoch, first and last sequence; of an idempotent producer.
    pub producer: Option<(i64, i16, i32, i32)>,
    /// A flipped bit cost it: it is in a hole of the log.
    pub lost: bool,
    /// Its records.
    pub contents: Rc<[Content]>,
    /// When it was appended, by the broker's clock.
    pub appended: TimestampMs,
}

/// A producer's newest batches in a log.
#[derive(Clone, Debug, Default)]
struct Producer {
    epoch: i16,
    batches: VecDeque<(i32, i32, Offset)>,
}

/// The settings that decide what a log may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRules {
    /// Whether the topic is relaxed (S6).
    pub relaxed: bool,
    /// `retention.ms`.
    pub retention_ms: i64,
    /// `retention.bytes`.
    pub retention_bytes: i64,
    /// Whether `cleanup.policy` has `compact`.
    pub compact: bool,
    /// Whether it has `delete`.
    pub delete: bool,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

impl LogRules {
    /// What a topic's settings come to.
    pub fn of(configs: &BTreeMap<String, String>) -> LogRules {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        const WEEK_MS: i64 = 7 * DAY_MS;
        let policy = configs
            .get("cleanup.policy")
            .map_or("delete", String::as_str);
        let number = |key: &str, default: i64| {
            let value = configs.get(key).and_then(|value| value.parse().ok());
            value.unwrap_or(default)
        };
        LogRules {
            relaxed: configs.get("wiber.durability").map(String::as_str) == Some("relaxed"),
            retention_ms: number("retention.ms", WEEK_MS),
            retention_bytes: number("retention.bytes", -1),
            compact: policy.contains("compact"),
            delete: policy.contains("delete"),
            delete_retention_ms: number("delete.retention.ms", DAY_MS),
        }
    }
}

/// What a partition's log must be.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Which.
    pub id: PartitionId,
    /// What the shard that owns it goes by.
    pub rules: LogRules,
    /// Batches below this were appended while the topic was relaxed, in this life of the broker: written is enough for them.
    pub relaxed_until: Offset,
    /// Whether its topic was ever relaxed.
    pub ever_relaxed: bool,
    /// Offsets that clients want the log to start at; none stands for the high watermark.
    pub deletions: Vec<Option<Offset>>,
    /// Where clients were told that the log starts.
    pub promised_start: Offset,
    /// The batches, without a gap from offset 0 on, also those below the log start.
    pub log: Vec<Entry>,
    /// The log start.
    pub start: Offset,
    /// The log end.
    pub end: Offset,
    /// What the running broker shows.
    pub visible_end: Offset,
    /// The furthest that any broker has shown or acknowledged, and so promised.
    pub promised_end: Offset,
    /// The newest epoch that began.
    pub epoch: LeaderEpoch,
    /// The newest epoch when the broker was opened.
    pub epoch_at_open: LeaderEpoch,
    /// Whether the log takes no more, as bits were flipped; records from its end to the promised end are lost.
    pub damaged: bool,
    /// The holes in it.
    pub holes: Vec<(Offset, Offset)>,
    /// Offsets that bits flipped in the write-ahead log may have cost.
    pub hit: Vec<Range<Offset>>,
    /// Offsets that may not be found in a segment in which a bit was flipped.
    pub unreadable: Vec<Range<Offset>>,
    /// Whether the running broker has it.
    pub present: bool,
    /// The newest offset of each key.
    pub(super) newest: BTreeMap<u64, Offset>,
    /// Whether the clock jumps in this run.
    pub clock_jumps: bool,
    contents: BTreeMap<(Offset, LeaderEpoch), u64>,
    producers: BTreeMap<i64, Producer>,
}

impl Partition {
    /// An empty log.
    pub fn new(id: PartitionId, rules: LogRules) -> Partition {
        Partition {
            id,
            rules,
            relaxed_until: Offset::ZERO,
            ever_relaxed: rules.relaxed,
            deletions: Vec::new(),
            promised_start: Offset::ZERO,
            log: Vec::new(),
            start: Offset::ZERO,
            end: Offset::ZERO,
            visible_end: Offset::ZERO,
            promised_end: Offset::ZERO,
            epoch: LeaderEpoch::NONE,
            epoch_at_open: LeaderEpoch::NONE,
            damaged: false,
            holes: Vec::new(),
            hit: Vec::new(),
            unreadable: Vec::new(),
            present: true,
            newest: BTreeMap::new(),
            clock_jumps: false,
            contents: BTreeMap::new(),
            producers: BTreeMap::new(),
        }
    }

    /// The shard goes by other rules from here on.
    pub fn change_rules(&mut self, rules: LogRules) {
        if self.rules.relaxed && !rules.relaxed {
            self.relaxed_until = self.end;
        }
        self.ever_relaxed |= rules.relaxed;
        // What was compacted stays so.
        let compact = rules.compact || self.rules.compact;
        let delete_retention_ms = rules
            .delete_retention_ms
            .min(self.rules.delete_retention_ms);
        self.rules = LogRules {
            compact,
            delete_retention_ms,
            ..rules
        };
    }

    /// Whether batches are, or in this life of the broker were, acknowledged before they are synced.
    pub fn was_relaxed(&self) -> bool {
        self.rules.relaxed || self.relaxed_until > Offset::ZERO
    }

    /// Up to where the disk has what must be there before it is shown.
    pub fn stable_end(&self, wal: &WalWatch) -> Offset {
        let written = wal.written_end(self.id);
        if self.rules.relaxed {
            return written;
        }
        wal.durable_end(self.id)
            .max(written.min(self.relaxed_until))
    }

    /// The batch that starts at `base`.
    pub fn at(&self, base: Offset) -> Option<&Entry> {
        let index = self
            .log
            .binary_search_by_key(&base, |entry| entry.base)
            .ok()?;
        self.log.get(index)
    }

    /// The batches from the one that holds `offset` on.
    pub fn from(&self, offset: Offset) -> &[Entry] {
        let index = self.log.partition_point(|entry| entry.next <= offset);
        &self.log[index..]
    }

    /// The batches from the one that holds `offset` on that are not lost.
    pub fn readable(&self, offset: Offset) -> impl DoubleEndedIterator<Item = &Entry> {
        self.from(offset).iter().filter(|entry| !entry.lost)
    }

    /// Whether `offset` is in a hole.
    pub fn is_hole(&self, offset: Offset) -> bool {
        self.holes
            .iter()
            .any(|(from, to)| *from <= offset && offset < *to)
    }

    /// Whether flipped bits excuse that the log has no such record.
    fn is_hit(&self, offset: Offset) -> bool {
        self.hit.iter().any(|range| range.contains(&offset))
    }

    /// The broker appends a batch.
    pub fn append(&mut self, entry: Entry) -> Result<(), String> {
        if self.damaged {
            return Err(format!("a damaged log takes a batch at {}", entry.base));
        }
        if entry.base != self.end {
            return Err(format!(
                "a batch is placed at {}, and the log ends at {}",
                entry.base, self.end
            ));
        }
        if entry.epoch != self.epoch {
            return Err(format!(
                "a batch at {} has epoch {}, and epoch {} has begun",
                entry.base, entry.epoch, self.epoch
            ));
        }
        if entry.epoch <= self.epoch_at_open {
            return Err(format!(
                "R2: a batch at {} has epoch {}, which an earlier life of the broker had",
                entry.base, entry.epoch
            ));
        }
        let known = self
            .contents
            .entry((entry.base, entry.epoch))
            .or_insert(entry.hash);
        if *known != entry.hash {
            return Err(format!(
                "invariant 6: offset {} of epoch {} has two contents",
                entry.base, entry.epoch
            ));
        }
        self.check_sequence(&entry)?;
        self.remember(&entry);
        self.note_keys(&entry);
        self.end = entry.next;
        self.log.push(entry);
        Ok(())
    }

    /// The broker says that an epoch begins at the log end.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch, start: Offset) -> Result<(), String> {
        if epoch <= self.epoch || start != self.end {
            return Err(format!(
                "invariant 10: epoch {epoch} begins at {start}, after epoch {} and with the log end at {}",
                self.epoch, self.end
            ));
        }
        self.epoch = epoch;
        Ok(())
    }

    /// Compares the running broker's log with this, at the end of a step. `stable_end` is what the disk holds of it (for a
    /// relaxed topic, what was written to it). Returns how many producers expired.
    pub fn observe(&mut self, log: &PartitionLog, stable_end: Offset) -> Result<usize, String> {
        let (start, end, visible) = (log.start(), log.end(), log.visible_end());
        if end != self.end {
            return Err(format!(
                "the log ends at {end}, and what was appended at {}",
                self.end
            ));
        }
        if start != self.start {
            return Err(format!(
                "the log starts at {start} and was moved to {}",
                self.start
            ));
        }
        if visible < self.visible_end {
            return Err(format!(
                "invariant 8: the high watermark fell from {} to {visible}",
                self.visible_end
            ));
        }
        if visible > stable_end.max(start) {
            return Err(format!(
                "invariant 8: the high watermark is {visible}, and {stable_end} is on disk"
            ));
        }
        let entries = log.epochs().entries();
        let rises =
            |pair: &[(LeaderEpoch, Offset)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        if !entries.windows(2).all(rises) || log.epochs().latest() > self.epoch {
            return Err(format!("invariant 10: the epochs are {entries:?}"));
        }
        self.visible_end = visible;
        self.promised_end = self.promised_end.max(visible);
        if log.producers().len() == self.producers.len() {
            return Ok(0);
        }
        Ok(self.forget_producers(log))
    }

    /// The broker was opened again with this log. `floor` is the least that must be there of it. Returns how many batches are
    /// gone that nobody was promised.
    pub fn recovered(
        &mut self,
        log: &PartitionLog,
        floor: Offset,
        expire: bool,
    ) -> Result<usize, String> {
        let end = log.end();
        self.damaged |= log.damage().is_some();
        self.present = true;
        let missed =
            |from: Offset, to: Offset| (from.0..to.0).map(Offset).find(|at| !self.is_hit(*at));
        if let Some(missed) = missed(end, floor) {
            return Err(format!(
                "invariant 1: the log ends at {end} after recovery, and must reach {floor}; nothing happened to offset {missed}"
            ));
        }
        if end < floor && !self.damaged {
            return Err(format!(
                "D8: the log ends at {end} after recovery, records up to {floor} are lost, and it goes on"
            ));
        }
        for (from, to) in log.holes().entries() {
            if let Some(missed) = missed(*from, *to) {
                return Err(format!(
                    "invariant 1: the log has a hole from {from} to {to}, and nothing happened to offset {missed}"
                ));
            }
        }
        if end > self.end {
            return Err(format!(
                "the log ends at {end} after recovery, and nothing was appended beyond {}",
                self.end
            ));
        }
        let kept = self.log.partition_point(|entry| entry.next <= end);
        if self.log.get(kept).is_some_and(|entry| entry.base < end) {
            return Err(format!(
                "the log ends at {end} after recovery, in the middle of a batch"
            ));
        }
        let lost = self.log.len() - kept;
        self.log.truncate(kept);
        self.end = end;
        self.start = log.start();
        self.deletions.clear();
        self.relaxed_until = Offset::ZERO;
        let promised_start = self.promised_start;
        let forgotten =
            |range: &Range<Offset>| range.start <= self.start && range.end >= promised_start;
        if self.hit.iter().any(forgotten) {
            // A log start that is lost moves again.
            self.promised_start = self.start;
        }
        if self.start < self.promised_start {
            return Err(format!(
                "the log starts at {} after recovery, and a client was told that records up to {} are deleted",
                self.start, self.promised_start
            ));
        }
        self.holes = log.holes().entries().to_vec();
        for entry in &mut self.log {
            let within = |(from, to): &(Offset, Offset)| *from <= entry.base && entry.next <= *to;
            entry.lost |= self.holes.iter().any(within);
        }
        self.visible_end = log.visible_end();
        self.promised_end = floor.max(self.visible_end);
        let latest = log.epochs().latest();
        if latest > self.epoch {
            return Err(format!(
                "epoch {latest} was recovered, and the newest that began is {}",
                self.epoch
            ));
        }
        self.epoch_at_open = self.epoch;
        self.producers.clear();
        self.newest.clear();
        for entry in std::mem::take(&mut self.log) {
            self.remember(&entry);
            self.note_keys(&entry);
            self.log.push(entry);
        }
        if self.damaged || !self.hit.is_empty() {
            self.adopt_producers(log);
        } else {
            self.compare_producers(log, expire)?;
        }
        Ok(lost)
    }

    /// Checks that every epoch of a batch is in the broker's epoch cache, as the one that holds the batch.
    pub fn check_epochs(&self, log: &PartitionLog) -> Result<(), String> {
        for entry in self.readable(self.start) {
            match log.epochs().end_of(entry.epoch, log.end()) {
                Some(end) if end.epoch == entry.epoch && end.end >= entry.next => {}
                other => {
                    return Err(format!(
                        "invariant 10: the batch at {} has epoch {}, which ends at {other:?}",
                        entry.base, entry.epoch
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether records may be gone because newer ones have their keys.
    pub fn is_compacted(&self) -> bool {
        self.rules.compact
    }

    /// The first record at or after `from` and below `limit` with this timestamp or a later one that is not compacted away.
    pub fn find_timestamp(
        &self,
        timestamp: i64,
        from: Offset,
        limit: Offset,
        now: Now,
    ) -> Option<(Offset, i64)> {
        self.records(from, limit)
            .find(|(offset, time)| *time >= timestamp && !self.may_be_gone(*offset, now))
    }

    /// The largest timestamp at or after `from` and below `limit` of a record that is not compacted away.
    pub fn max_timestamp(&self, from: Offset, limit: Offset, now: Now) -> Option<i64> {
        let there = self
            .records(from, limit)
            .filter(|(offset, _)| !self.may_be_gone(*offset, now));
        there.map(|(_, time)| time).max()
    }

    /// The timestamp of a record.
    pub fn timestamp_of(&self, offset: Offset) -> Option<i64> {
        self.records(offset, offset.plus(1))
            .next()
            .map(|(_, time)| time)
    }

    /// Whether a client wants the log start moved to `start`, or into a stretch of lost records that ends there.
    pub fn is_wanted(&self, start: Offset) -> bool {
        let is_lost = |wanted: Offset| {
            let mut holes = self.holes.iter();
            holes.any(|(from, to)| (*from..*to).contains(&wanted) && *to == start)
        };
        let wanted = |deletion: &Option<Offset>| {
            deletion.is_none_or(|wanted| wanted == start || is_lost(wanted))
        };
        self.deletions.iter().any(wanted)
    }

    /// Whether retention may move the log start to `start` at `now`.
    pub fn may_expire(&self, start: Offset, now: TimestampMs) -> bool {
        let LogRules {
            retention_ms,
            retention_bytes,
            compact,
            delete,
            ..
        } = self.rules;
        if compact || !delete {
            // What compaction left of a segment may be older and smaller than what was written.
            return delete;
        }
        // Segments go one by one, the first by its size and the next by its age. A batch that goes with its segment is
        // as old as that demands, or what follows it is as long.
        let mut left: u64 = self.readable(start).map(|entry| entry.size).sum();
        let gone: Vec<&Entry> = self
            .readable(self.start)
            .filter(|entry| entry.base >= self.start && entry.next <= start)
            .collect();
        gone.into_iter().rev().all(|entry| {
            let newest = entry.timestamps.iter().max();
            let old =
                retention_ms >= 0 && newest.is_none_or(|newest| now.0 - newest > retention_ms);
            let large = retention_bytes >= 0 && left >= retention_bytes as u64;
            left += entry.size;
            old || large
        })
    }

    /// Whether what a producer wants to append next would be in order.
    pub fn expects(&self, producer: i64, epoch: i16, first: i32) -> bool {
        match self.producers.get(&producer) {
            None => true,
            Some(known) if known.epoch == epoch => {
                known.batches.back().is_none_or(|last| last.1 + 1 == first)
            }
            Some(known) => epoch > known.epoch && first == 0,
        }
    }

    fn records(&self, from: Offset, limit: Offset) -> impl Iterator<Item = (Offset, i64)> + '_ {
        let all = self.readable(from).flat_map(|entry| {
            let offsets = entry.base.0..;
            offsets.map(Offset).zip(entry.timestamps.iter().copied())
        });
        all.skip_while(move |(offset, _)| *offset < from)
            .take_while(move |(offset, _)| *offset < limit)
    }

    fn check_sequence(&self, entry: &Entry) -> Result<(), String> {
        let Some((producer, epoch, first, last)) = entry.producer else {
            return Ok(());
        };
        if !self.producers.contains_key(&producer) {
            return Ok(());
        }
        let same = |other: &Entry| {
            let same = |o: (i64, i16, i32, i32)| (o.0, o.1, o.2) == (producer, epoch, first);
            !other.lost && other.producer.is_some_and(same)
        };
        if let Some(other) = self.log.iter().rev().find(|other| same(other)) {
            return Err(format!(
                "invariant 14: producer {producer}, epoch {epoch}, sequence {first} is stored at {} and again at {}",
                other.base, entry.base
            ));
        }
        if !self.expects(producer, epoch, first) {
            return Err(format!(
                "invariant 14: producer {producer}, epoch {epoch}, sequences {first} to {last} are appended at {} after {:?}",
                entry.base,
                self.producers.get(&producer)
            ));
        }
        Ok(())
    }

    fn remember(&mut self, entry: &Entry) {
        let Some((producer, epoch, first, last)) = entry.producer else {
            return;
        };
        let known = self.producers.entry(producer).or_default();
        if known.epoch != epoch {
            *known = Producer {
                epoch,
                batches: VecDeque::new(),
            };
        }
        if known.batches.len() == REMEMBERED_BATCHES {
            known.batches.pop_front();
        }
        known.batches.push_back((first, last, entry.base));
    }

    /// Takes the recovered producers for right: what was lost may have been theirs.
    fn adopt_producers(&mut self, log: &PartitionLog) {
        let recovered = log.producers().iter();
        self.producers = recovered
            .map(|(id, entry)| (id.0, Producer::of(entry)))
            .collect();
    }

    /// Compares the recovered producers with what the log holds of them. Where producers expire, a part of it is enough.
    fn compare_producers(&mut self, log: &PartitionLog, expire: bool) -> Result<(), String> {
        let rebuilt = std::mem::take(&mut self.producers);
        for (id, entry) in log.producers().iter() {
            let recovered = Producer::of(entry);
            let known = rebuilt.get(&id.0);
            let same = known.is_some_and(|known| recovered.is_of(known, expire));
            if !same {
                return Err(format!(
                    "invariant 14: producer {id} is recovered as {recovered:?}, and was {known:?}"
                ));
            }
            self.producers.insert(id.0, recovered);
        }
        let missing = rebuilt.keys().find(|id| !self.producers.contains_key(id));
        match missing.filter(|_| !expire) {
            Some(id) => Err(format!("invariant 14: producer {id} is not recovered")),
            None => Ok(()),
        }
    }

    /// Forgets the producers that the log has forgotten. Returns how many.
    fn forget_producers(&mut self, log: &PartitionLog) -> usize {
        let before = self.producers.len();
        let kept: BTreeSet<_> = log.producers().iter().map(|(id, _)| id.0).collect();
        self.producers.retain(|id, _| kept.contains(id));
        before - self.producers.len()
    }
}

impl Producer {
    fn of(entry: &ProducerEntry) -> Producer {
        let batches = entry.batches.iter();
        Producer {
            epoch: entry.epoch.0,
            batches: batches
                .map(|b| (b.first_sequence.0, b.last_sequence.0, b.base_offset))
                .collect(),
        }
    }

    /// Whether these are the newest batches of `known`: all of them, unless producers expire.
    fn is_of(&self, known: &Producer, expire: bool) -> bool {
        let newest = known.batches.iter().rev().zip(self.batches.iter().rev());
        let enough = expire || self.batches.len() == known.batches.len();
        self.epoch == known.epoch && enough && newest.clone().all(|(a, b)| a == b)
    }
}

impl Entry {
    /// What a batch is, its records having these timestamps.
    pub fn of(
        batch: &Batch,
        content: u64,
        timestamps: Rc<[i64]>,
        contents: Rc<[Content]>,
        appended: TimestampMs,
    ) -> Entry {
        let producer = (
            batch.producer_id().0,
            batch.producer_epoch().0,
            batch.base_sequence().0,
            batch.last_sequence().0,
        );
        Entry {
            base: batch.base_offset(),
            next: batch.next_offset(),
            epoch: batch.leader_epoch(),
            hash: super::hash(batch.bytes()),
            content,
            size: batch.size_bytes() as u64,
            timestamps,
            producer: (producer.0 >= 0).then_some(producer),
            lost: false,
            contents,
            appended,
        }
    }
}
