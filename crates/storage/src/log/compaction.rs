//! Which segments of a log may be compacted, whether that is due, and how compacted ones take their place.
//!
//! As in Kafka (`LogCleanerManager`): the newest segment is never compacted, nor what is newer than `min.compaction.lag.ms`, nor what
//! is not visible yet. And nothing that the newest durable checkpoint does not cover (S2).

use wiber_model::{Offset, ProducerId, TimestampMs};

use super::{PartitionLog, Segment};
use crate::io::SegmentId;

/// Whether a log is to be compacted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cleanable {
    /// Now: which part of it is new.
    Now(f64),
    /// As soon as a checkpoint covers more of it.
    AfterCheckpoint,
    /// Not before something is appended, or that time has come.
    NotYet(Option<TimestampMs>),
}

/// The range of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// The segments, oldest first, those of earlier rounds included.
    pub segments: Vec<Segment>,
    /// The first offset that was not compacted.
    pub from: Offset,
    /// The offset after the last one that may be.
    pub to: Offset,
}

impl PartitionLog {
    /// The first offset that was not compacted yet.
    #[must_use]
    pub fn first_dirty(&self) -> Offset {
        match self.cleaned_end <= self.end {
            true => self.cleaned_end.max(self.start),
            // The log lost its end: nobody knows what was compacted.
            false => self.start,
        }
    }

    /// Whether the log is to be compacted.
    #[must_use]
    pub fn cleanable(&self, now: TimestampMs) -> Cleanable {
        if !self.config.compact || self.damage.is_some() {
            return Cleanable::NotYet(None);
        }
        let covered = self.dirtiness(&self.covered_segments(), now);
        if covered.is_due(self, now) {
            return Cleanable::Now(covered.ratio());
        }
        let all = self.dirtiness(&self.closed_segments(), now);
        if all.is_due(self, now) {
            return Cleanable::AfterCheckpoint;
        }
        Cleanable::NotYet(all.look_again(self))
    }

    /// What a round at `now` would be over; none if nothing can be compacted.
    #[must_use]
    pub fn round(&self, now: TimestampMs) -> Option<Round> {
        let from = self.first_dirty();
        let segments = self.until_too_new(&self.covered_segments(), now).to_vec();
        let to = segments.last()?.next_offset;
        (from < to).then_some(Round { segments, from, to })
    }

    /// The last offset that each idempotent producer wrote.
    pub(crate) fn last_offsets(&self) -> impl Iterator<Item = (ProducerId, Offset)> {
        self.producers
            .iter()
            .filter_map(|(id, entry)| Some((id, entry.batches.back()?.last_offset)))
    }

    /// Puts `cleaned` in the place of `sources`, which are all in the list, one behind the other; false if they are not any more.
    pub fn replace(&mut self, sources: &[SegmentId], cleaned: Segment) -> bool {
        let Some(at) = sources
            .first()
            .and_then(|first| self.segments.iter().position(|s| s.id == *first))
        else {
            return false;
        };
        let there = &self.segments[at..];
        let same = there.len() > sources.len()
            && there.iter().zip(sources).all(|(s, id)| s.id == *id)
            && there[sources.len() - 1].next_offset == cleaned.next_offset;
        if !same {
            return false;
        }
        self.touch();
        self.segments
            .splice(at..at + sources.len(), std::iter::once(cleaned));
        self.hints.retain(|(_, id, _)| !sources.contains(id));
        true
    }

    /// All below `end` is compacted.
    pub fn cleaned_up_to(&mut self, end: Offset) {
        self.touch();
        self.cleaned_end = end;
    }

    /// The checkpoint that captured the log last is durable.
    pub fn checkpointed(&mut self) {
        self.checkpointed_end = self.captured_end;
    }

    /// The segments but for the newest one, as far as a durable checkpoint covers them.
    fn covered_segments(&self) -> Vec<Segment> {
        let end = self.checkpointed_end.min(self.visible_end);
        let mut segments = self.segments.clone();
        segments.pop();
        segments.truncate(segments.partition_point(|s| s.next_offset <= end));
        segments
    }

    /// The segments but for the newest one, with those that the unwritten tail would make.
    fn closed_segments(&self) -> Vec<Segment> {
        let segment_ms = self.config.segment_ms_max();
        let mut segments = self.segments.clone();
        for batch in self.tail.dirty() {
            let last = segments
                .last_mut()
                .filter(|last| last.takes(batch, self.config.segment_bytes, segment_ms));
            let segment = match last {
                Some(last) => last,
                None => {
                    let id = SegmentId {
                        partition: self.id,
                        base: batch.base_offset(),
                        generation: 0,
                    };
                    segments.push(Segment::starting_with(id, batch));
                    let last = segments.len() - 1;
                    &mut segments[last]
                }
            };
            segment.push(batch, self.config.index_interval_bytes);
        }
        segments.pop();
        segments.truncate(segments.partition_point(|s| s.next_offset <= self.visible_end));
        segments
    }

    /// Those of `segments` before the first one that was not compacted and is too new to be.
    fn until_too_new<'a>(&self, segments: &'a [Segment], now: TimestampMs) -> &'a [Segment] {
        let lag_ms = self.config.min_compaction_lag_ms;
        let from = self.first_dirty();
        let too_new =
            |s: &Segment| s.next_offset > from && s.max_timestamp.0 > now.0.saturating_sub(lag_ms);
        let end = match lag_ms > 0 {
            true => segments.iter().position(too_new),
            false => None,
        };
        &segments[..end.unwrap_or(segments.len())]
    }

    fn dirtiness(&self, segments: &[Segment], now: TimestampMs) -> Dirtiness {
        let from = self.first_dirty();
        let old_enough = self.until_too_new(segments, now);
        let bytes = |segments: &[Segment], is_dirty: bool| {
            let such = segments
                .iter()
                .filter(|s| (s.next_offset > from) == is_dirty);
            such.map(|s| s.bytes).sum()
        };
        let dirty = segments.iter().filter(|s| s.next_offset > from);
        let oldest = dirty.map(|s| s.first_timestamp).filter(|at| at.0 > 0).min();
        Dirtiness {
            clean_bytes: bytes(old_enough, false),
            dirty_bytes: bytes(old_enough, true),
            oldest,
            blocked: segments.get(old_enough.len()).map(|s| s.max_timestamp),
        }
    }
}

/// How much of a log is new.
#[derive(Clone, Copy, Debug)]
struct Dirtiness {
    clean_bytes: u64,
    dirty_bytes: u64,
    /// Of the first batch of a segment that was not compacted.
    oldest: Option<TimestampMs>,
    /// The largest timestamp of the first segment that is too new.
    blocked: Option<TimestampMs>,
}

impl Dirtiness {
    fn ratio(&self) -> f64 {
        self.dirty_bytes as f64 / (self.clean_bytes + self.dirty_bytes).max(1) as f64
    }

    fn is_due(&self, log: &PartitionLog, now: TimestampMs) -> bool {
        let lag_ms = log.config.max_compaction_lag_ms;
        let late = |oldest: TimestampMs| oldest.0 < now.0.saturating_sub(lag_ms);
        self.dirty_bytes > 0
            && (self.ratio() > log.config.min_cleanable_ratio || self.oldest.is_some_and(late))
    }

    /// When the passing of time may have changed the answer.
    fn look_again(&self, log: &PartitionLog) -> Option<TimestampMs> {
        let after = |at: TimestampMs, lag_ms: i64| {
            TimestampMs(at.0.saturating_add(lag_ms).saturating_add(1))
        };
        let old_enough = self
            .blocked
            .map(|at| after(at, log.config.min_compaction_lag_ms));
        let late = self
            .oldest
            .map(|at| after(at, log.config.max_compaction_lag_ms));
        let times = [old_enough, late].into_iter().flatten();
        times.filter(|at| at.0 < i64::MAX).min()
    }
}
