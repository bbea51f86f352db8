//! Compaction: which logs are due, and the way of each through its round.
//!
//! A round maps the keys of what is new in a log, then writes its segments anew, small ones together, with what stays. It is a machine that
//! waits for one disk operation or one job at a time. What it makes are new files. When a group of segments is written and synced, the
//! new segment takes the place of the old ones in memory; the next checkpoint lists it; when that is durable the old files go.
//!
//! Invariants:
//! - A round has at most one operation or job under way; no file is written by two.
//! - A segment that was replaced is deleted only once a durable checkpoint does not list it.
//! - Every file that was made here is listed by a checkpoint, as a segment or as one to be deleted, unless it is younger.
//! - Nothing is done for logs to which nothing was appended, and which no time makes due.

mod round;

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::{Monotonic, Now, Offset, PartitionId, TimestampMs};

use super::{Store, StoreEffect};
use crate::io::SegmentId;
use crate::log::Cleanable;

use round::{Cleaning, Waits};

/// The settings of compaction, as they hold for one store.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerOptions {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// How many logs are compacted at the same time: the store's share of `log.cleaner.threads`.
    pub rounds_max: usize,
    /// Bytes of maps: the store's share of `log.cleaner.dedupe.buffer.size`.
    pub map_bytes_max: u64,
    /// `log.cleaner.io.buffer.load.factor`: which part of a map may be filled, from 0 to 1.
    pub map_load: f64,
    /// `log.cleaner.io.buffer.size`, of each store: a share would be too small to read with where there are many of them.
    pub buffer_bytes: usize,
    /// Bytes that are read and written in a second: the store's share of `log.cleaner.io.max.bytes.per.second`.
    pub bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`: how often the store looks for logs that are due.
    pub backoff_ms: i64,
    /// What keys are hashed with; nobody outside may know it.
    pub hash_key: (u64, u64),
}

/// Kafka's defaults, for a broker of one store.
impl Default for CleanerOptions {
    fn default() -> CleanerOptions {
        CleanerOptions {
            enabled: true,
            rounds_max: 1,
            map_bytes_max: 128 * 1024 * 1024,
            map_load: 0.9,
            buffer_bytes: 512 * 1024,
            bytes_per_second: f64::MAX,
            backoff_ms: 15_000,
            hash_key: (0, 0),
        }
    }
}

impl CleanerOptions {
    /// The part of these, which are a broker's, that each of so many stores has.
    #[must_use]
    pub fn share_of(&self, stores: u16) -> CleanerOptions {
        let stores = usize::from(stores.max(1));
        CleanerOptions {
            rounds_max: self.rounds_max.div_ceil(stores),
            map_bytes_max: self.map_bytes_max / stores as u64,
            bytes_per_second: self.bytes_per_second / stores as f64,
            ..self.clone()
        }
    }
}

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanEnd {
    /// All below `to` is compacted.
    Done {
        /// Where what was new began.
        from: Offset,
        /// Up to where the log is compacted now.
        to: Offset,
        /// Bytes of the segments before.
        bytes_before: u64,
        /// Bytes of the segments now.
        bytes_after: u64,
    },
    /// The log cannot be read: it is left as it is until the broker is started again (D8).
    Unreadable {
        /// The path of the file, within the data directory.
        file: String,
        /// The byte position.
        position: u64,
        /// What is wrong there.
        problem: String,
    },
    /// The disk did not give or take the bytes; it is tried again.
    Failed(String),
    /// The log was changed or deleted, or is to be compacted no more.
    GivenUp,
}

/// What compaction has under way in a store.
#[derive(Debug)]
pub(super) struct Cleaner {
    options: CleanerOptions,
    /// Logs that may be due.
    candidates: BTreeSet<PartitionId>,
    /// Logs that time may make due.
    later: BTreeSet<(TimestampMs, PartitionId)>,
    /// Logs that cannot be read.
    uncleanable: BTreeSet<PartitionId>,
    rounds: BTreeMap<PartitionId, Cleaning>,
    /// Segments that were replaced, by log, and that the newest checkpoint may list.
    replaced: BTreeMap<PartitionId, Vec<SegmentId>>,
    /// Segments that took their places, and that no checkpoint lists yet.
    fresh: BTreeMap<PartitionId, Vec<SegmentId>>,
    next_look: Monotonic,
    /// A log waits for a checkpoint.
    awaits_checkpoint: bool,
    /// When the next operation may begin.
    free_at: Monotonic,
}

impl Cleaner {
    pub(super) fn new(options: CleanerOptions) -> Cleaner {
        Cleaner {
            options,
            candidates: BTreeSet::new(),
            later: BTreeSet::new(),
            uncleanable: BTreeSet::new(),
            rounds: BTreeMap::new(),
            replaced: BTreeMap::new(),
            fresh: BTreeMap::new(),
            next_look: Monotonic::NEVER,
            awaits_checkpoint: false,
            free_at: Monotonic::default(),
        }
    }

    /// Something happened to a compacted log: looks at it before long.
    pub(super) fn note(&mut self, partition: PartitionId, by: Monotonic) {
        if self.options.enabled && self.candidates.insert(partition) {
            self.next_look = self.next_look.min(by);
        }
    }

    /// The same after an append.
    pub(super) fn note_append(&mut self, partition: PartitionId, now: Monotonic) {
        self.note(partition, now.plus_ms(self.options.backoff_ms));
    }

    /// A section lists the log as it is now. Returns the segments that it does not list any more.
    pub(super) fn captured(&mut self, partition: PartitionId) -> Vec<SegmentId> {
        self.fresh.remove(&partition);
        self.replaced.remove(&partition).unwrap_or_default()
    }

    /// The checkpoint of that section failed.
    pub(super) fn not_captured(&mut self, segments: Vec<SegmentId>) {
        for segment in segments {
            let replaced = self.replaced.entry(segment.partition).or_default();
            replaced.push(segment);
        }
    }

    /// The segments that were made and that the section which is reported now does not list.
    pub(super) fn unlisted(&self) -> impl Iterator<Item = SegmentId> + '_ {
        let under_way = self.rounds.values().filter_map(Cleaning::output);
        self.fresh.values().flatten().copied().chain(under_way)
    }
}

impl Store {
    /// When [`Store::clean`] wants to be called.
    #[must_use]
    pub fn next_cleaning(&self) -> Monotonic {
        let waits = |round: &Cleaning| round.waits == Waits::Turn;
        match self.cleaner.rounds.values().any(waits) {
            true => self.cleaner.next_look.min(self.cleaner.free_at),
            false => self.cleaner.next_look,
        }
    }

    /// Takes over other settings.
    pub fn configure_cleaner(&mut self, options: CleanerOptions) {
        if self.cleaner.options == options {
            return;
        }
        self.cleaner.options = options;
        self.cleaner.free_at = Monotonic::default();
        self.cleaner.next_look = Monotonic::default();
    }

    /// No round begins any more, and those under way end at their next step.
    pub fn stop_cleaning(&mut self) {
        self.cleaner.options.enabled = false;
        self.cleaner.next_look = Monotonic::NEVER;
    }

    /// Begins rounds of logs that are due, and goes on with those whose turn it is.
    pub fn clean(&mut self, now: Now, fx: &mut Vec<StoreEffect>) {
        if self.cleaner.free_at <= now.monotonic {
            let waiting: Vec<_> = self
                .cleaner
                .rounds
                .iter()
                .filter(|(_, round)| round.waits == Waits::Turn)
                .map(|(partition, _)| *partition)
                .collect();
            for partition in waiting {
                self.go_on(now, partition, fx);
            }
        }
        if self.cleaner.next_look <= now.monotonic {
            self.look_for_dirty_logs(now, fx);
        }
    }

    /// Begins the rounds of the dirtiest logs that are due.
    fn look_for_dirty_logs(&mut self, now: Now, fx: &mut Vec<StoreEffect>) {
        if !self.accepts() {
            // A compacted segment needs room before it gives some.
            self.look_again(now);
            return;
        }
        let cleaner = &mut self.cleaner;
        while let Some((at, partition)) = cleaner.later.first().copied()
            && at <= now.wall
        {
            cleaner.later.pop_first();
            cleaner.candidates.insert(partition);
        }
        let mut due: Vec<(f64, PartitionId)> = Vec::new();
        let mut awaits_checkpoint = false;
        for partition in std::mem::take(&mut cleaner.candidates) {
            let usable = !cleaner.uncleanable.contains(&partition)
                && !cleaner.rounds.contains_key(&partition);
            let Some(log) = self.logs.get(&partition).filter(|_| usable) else {
                continue;
            };
            match log.cleanable(now.wall) {
                Cleanable::Now(ratio) => due.push((ratio, partition)),
                Cleanable::AfterCheckpoint => {
                    awaits_checkpoint = true;
                    cleaner.candidates.insert(partition);
                }
                Cleanable::NotYet(None) => {}
                Cleanable::NotYet(Some(at)) => {
                    cleaner.later.insert((at, partition));
                }
            }
        }
        due.sort_by(|a, b| a.0.total_cmp(&b.0));
        let room = cleaner
            .options
            .rounds_max
            .saturating_sub(cleaner.rounds.len());
        let begun = due.split_off(due.len().saturating_sub(room));
        cleaner
            .candidates
            .extend(due.into_iter().map(|(_, partition)| partition));
        cleaner.awaits_checkpoint = awaits_checkpoint;
        if awaits_checkpoint {
            fx.push(StoreEffect::RequestCheckpoint);
        }
        for (_, partition) in begun.into_iter().rev() {
            self.begin_round(now, partition, fx);
        }
        self.look_again(now);
    }

    /// Says when to look for dirty logs next: never, if no log can have become due by then.
    fn look_again(&mut self, now: Now) {
        let cleaner = &mut self.cleaner;
        let backoff_ms = cleaner.options.backoff_ms;
        cleaner.next_look = if !cleaner.options.enabled {
            Monotonic::NEVER
        } else if !cleaner.candidates.is_empty() {
            now.monotonic.plus_ms(backoff_ms)
        } else if let Some((at, _)) = cleaner.later.first() {
            let wait_ms = at.0.saturating_sub(now.wall.0);
            now.monotonic.plus_ms(wait_ms.max(backoff_ms))
        } else {
            Monotonic::NEVER
        };
    }

    /// The checkpoint is durable: what waited for it may be due.
    pub(super) fn checkpoint_lets_clean(&mut self) {
        if std::mem::take(&mut self.cleaner.awaits_checkpoint) && self.cleaner.options.enabled {
            self.cleaner.next_look = Monotonic::default();
        }
    }

    /// A partition was deleted: its files go, those included that wait for a checkpoint.
    pub(super) fn forget_cleaning(&mut self, partition: PartitionId) {
        let cleaner = &mut self.cleaner;
        cleaner.candidates.remove(&partition);
        cleaner.uncleanable.remove(&partition);
        cleaner.fresh.remove(&partition);
        for segment in cleaner.replaced.remove(&partition).unwrap_or_default() {
            self.doom(segment, 0);
        }
    }
}
