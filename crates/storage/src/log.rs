//! One partition's log: the tail in memory, the segments behind it, and the state that goes with them.
//!
//! Invariants, which [`PartitionLog::validate`] checks:
//! - `start ≤ visible end ≤ end`.
//! - The segments are in order and do not overlap; what is not in a segment is in the tail. Between two batches, and before the
//!   log's end, there is nothing or a hole: what was lost there is known to be lost, and its offsets are not given again. No segment
//!   reaches over a hole.
//! - The tail's clean part (written to segments) is in front.
//! - While a checkpoint waits for this log, no segment is dropped from the list.

mod compaction;
mod epochs;
mod holes;
mod item;
mod producers;
mod segment;
mod state;
mod tail;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use wiber_model::{Batch, LeaderEpoch, Offset, PartitionId, ProducerEpoch, Sequence, TimestampMs};

use crate::io::{DiskOp, FileId, SegmentId};

pub use compaction::{Cleanable, Round};
pub use epochs::{EpochEnd, Epochs};
pub use holes::{Hole, Holes};
pub use item::{GAP_BYTES, Gap, Item};
pub use producers::{BatchEntry, ProducerEntry, Producers, REMEMBERED_BATCHES, SequenceCheck};
pub use segment::{BatchPlace, INDEX_ENTRY_BYTES, IndexEntry, Segment};
pub use state::{LogState, StateError, StateForm};
pub use tail::Tail;

/// The most bytes that one run writes to a segment.
const RUN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Index entries wait in memory, and in checkpoints, until they fill this many bytes or the segment ends: with a thousand partitions that
/// get little each, their index files would be half of all that a checkpoint has to write and sync.
const INDEX_TAIL_BYTES_MAX: usize = 1024;
/// Where this many readers left off is remembered, so that they need no index to go on.
const READ_HINTS_MAX: usize = 8;

/// What a topic's configuration means to its logs. Kafka's names, units and defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `retention.ms`; −1 keeps for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; −1 keeps all.
    pub retention_bytes: i64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// Whether `cleanup.policy` holds `delete`.
    pub delete: bool,
    /// Whether `cleanup.policy` holds `compact`.
    pub compact: bool,
    /// `min.cleanable.dirty.ratio`: from 0 to 1.
    pub min_cleanable_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// Answered after the write, before the sync (S6).
    pub relaxed: bool,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        LogConfig {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * DAY_MS,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            index_interval_bytes: 4096,
            delete: true,
            compact: false,
            min_cleanable_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: DAY_MS,
            relaxed: false,
        }
    }
}

impl LogConfig {
    /// How far the timestamps in a segment may lie apart: where records must be compacted in time, segments must end in time.
    fn segment_ms_max(&self) -> i64 {
        match self.compact && self.max_compaction_lag_ms > 0 {
            true => self.segment_ms.min(self.max_compaction_lag_ms),
            false => self.segment_ms,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is at its place, at the end of the log.
    Placed(Batch),
    /// It was there before; its base offset then.
    Duplicate(Offset),
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A newer incarnation of the producer has written.
    #[error("the producer's epoch is {epoch}, and epoch {current} has written since")]
    OldProducerEpoch {
        /// The batch's.
        epoch: ProducerEpoch,
        /// The newest.
        current: ProducerEpoch,
    },
    /// A batch before this one is missing.
    #[error("the batch starts at sequence {first}, and the last one that is here ended at {last}")]
    OutOfOrderSequence {
        /// The batch's first sequence.
        first: Sequence,
        /// The last sequence that is here; −1 if none.
        last: Sequence,
    },
    /// The log is damaged, and takes no more: nobody knows where it ended.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The disk takes no more for now (S4).
    #[error("the disk is full: {0}")]
    NoSpace(&'static str),
    /// No such partition is here.
    #[error("the partition is not here")]
    UnknownPartition,
}

/// One write of tail batches to segment files; nothing in the log changes until it is done.
#[derive(Debug)]
pub struct Run {
    /// The operations; they may run at the same time.
    pub ops: Vec<DiskOp>,
    /// The files that they write, whose contents must be synced before a checkpoint lists them.
    pub files: Vec<FileId>,
    /// Whether a file may be made, so that directory entries must be synced too.
    pub creates: bool,
    /// What its batches cost in memory, in bytes.
    pub cost_bytes: usize,
    batches: usize,
    segment: Segment,
    index_tail: Vec<IndexEntry>,
}

/// Where to look for an offset that is no longer in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPosition {
    /// The segment.
    pub segment: Segment,
    /// A batch at or before the one that is wanted; `None` if the segment's index must tell.
    pub place: Option<BatchPlace>,
}

/// A partition's log.
#[derive(Debug)]
pub struct PartitionLog {
    id: PartitionId,
    config: Arc<LogConfig>,
    start: Offset,
    end: Offset,
    visible_end: Offset,
    epochs: Epochs,
    producers: Producers,
    holes: Holes,
    segments: Vec<Segment>,
    /// Entries of the last segment's index that are not in its file yet.
    index_tail: Vec<IndexEntry>,
    tail: Tail,
    run: Option<Run>,
    /// The state at a cut, while a checkpoint waits for the tail below it to be written.
    cut: Option<LogState>,
    hints: VecDeque<(Offset, SegmentId, u64)>,
    damage: Option<String>,
    /// All below is compacted.
    cleaned_end: Offset,
    /// Where the log ended when a checkpoint captured it last, and when one did that is durable.
    captured_end: Offset,
    checkpointed_end: Offset,
    /// The checkpoint encoding, while nothing has changed since it was made.
    encoded: Option<Bytes>,
    changed_since_cut: bool,
}

impl PartitionLog {
    /// An empty log.
    #[must_use]
    pub fn new(id: PartitionId, config: Arc<LogConfig>) -> PartitionLog {
        PartitionLog {
            id,
            config,
            start: Offset::ZERO,
            end: Offset::ZERO,
            visible_end: Offset::ZERO,
            epochs: Epochs::default(),
            producers: Producers::default(),
            holes: Holes::default(),
            segments: Vec::new(),
            index_tail: Vec::new(),
            tail: Tail::default(),
            run: None,
            cut: None,
            hints: VecDeque::new(),
            damage: None,
            cleaned_end: Offset::ZERO,
            captured_end: Offset::ZERO,
            checkpointed_end: Offset::ZERO,
            encoded: None,
            changed_since_cut: false,
        }
    }

    /// Whose log it is.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Takes another configuration from here on.
    pub fn configure(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The offset below which everything is durable (or written, for a relaxed topic).
    #[must_use]
    pub fn visible_end(&self) -> Offset {
        self.visible_end
    }

    /// The leader epochs.
    #[must_use]
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// The idempotent producers.
    #[must_use]
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The batches in memory.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The offsets whose records are lost.
    #[must_use]
    pub fn holes(&self) -> &Holes {
        &self.holes
    }

    /// Why the log takes no more, if so: records behind its end may be lost, and nobody knows how many.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Bytes of batches, in segments and in the tail's unwritten part.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum::<u64>() + self.tail.dirty_batch_bytes() as u64
    }

    /// The run that is being written.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Whether a checkpoint waits for this log.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Gives `batch` its place at the end, in leader epoch `epoch`; or finds that it is there already.
    ///
    /// # Errors
    /// If the producer's epoch or sequence does not fit, or the log is damaged.
    pub fn append(
        &mut self,
        batch: Batch,
        epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<Appended, AppendError> {
        if let Some(damage) = &self.damage {
            return Err(AppendError::Damaged(damage.clone()));
        }
        if batch.producer_id().0 >= 0 {
            match self.producers.check(&batch) {
                SequenceCheck::Next => {}
                SequenceCheck::Duplicate(known) => {
                    return Ok(Appended::Duplicate(known.base_offset));
                }
                SequenceCheck::OldEpoch { current } => {
                    return Err(AppendError::OldProducerEpoch {
                        epoch: batch.producer_epoch(),
                        current,
                    });
                }
                SequenceCheck::OutOfOrder { last } => {
                    return Err(AppendError::OutOfOrderSequence {
                        first: batch.base_sequence(),
                        last,
                    });
                }
            }
        }
        let placed = batch.placed(self.end, epoch);
        self.push(placed.clone(), now);
        Ok(Appended::Placed(placed))
    }

    /// Appends a batch that has its place already: on recovery, and on a follower. One that the log holds is skipped; what is
    /// missing before it is lost.
    pub fn replay(&mut self, batch: Batch, now: TimestampMs) {
        if batch.base_offset() >= self.end {
            self.lose_up_to(batch.base_offset());
            self.push(batch, now);
        }
    }

    /// Records up to `end` were in the log; what it does not have of them is lost, and leaves a hole.
    pub fn lose_up_to(&mut self, end: Offset) {
        if end > self.end {
            self.touch();
            self.holes.push(self.end, end);
            self.end = end;
        }
    }

    fn push(&mut self, placed: Batch, now: TimestampMs) {
        self.touch();
        self.epochs
            .begin(placed.leader_epoch(), placed.base_offset());
        if placed.producer_id().0 >= 0 {
            self.producers.remember(&placed, now);
        }
        self.end = placed.next_offset();
        self.tail.push(placed);
    }

    /// Notes that `epoch` begins at the log's end. Returns whether that is news.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        let new = self.epochs.begin(epoch, start);
        if new {
            self.touch();
        }
        new
    }

    /// All below `end` is durable (or written, for a relaxed topic).
    pub fn advance(&mut self, end: Offset) {
        debug_assert!(
            end <= self.end,
            "{}: {end} is beyond the log end {}",
            self.id,
            self.end
        );
        self.visible_end = self.visible_end.max(end);
    }

    /// Moves the log start, and beyond a hole if it comes to lie in one. Returns whether it moved.
    pub fn move_start(&mut self, start: Offset) -> bool {
        if start <= self.start {
            return false;
        }
        let start = self.holes.skip(start);
        self.touch();
        self.start = start;
        self.visible_end = self.visible_end.max(start);
        self.epochs.cut_front(start);
        self.holes.cut_front(start);
        true
    }

    /// Takes the segments that lie wholly below the log start off the list. None while a run is being written or a
    /// checkpoint waits, as both hold on to the list.
    pub fn drop_segments_below_start(&mut self) -> Vec<SegmentId> {
        if self.run.is_some() || self.cut.is_some() {
            return Vec::new();
        }
        let below = self
            .segments
            .partition_point(|s| s.next_offset <= self.start);
        if below == 0 {
            return Vec::new();
        }
        self.encoded = None;
        if below == self.segments.len() {
            self.index_tail.clear();
        }
        let dropped: Vec<_> = self.segments.drain(..below).map(|s| s.id).collect();
        self.hints.retain(|(_, id, _)| !dropped.contains(id));
        dropped
    }

    /// The offset that retention moves the log start to, if it does: whole segments go, oldest first, while they are older
    /// than `retention.ms` or the log without them is still `retention.bytes` long. The newest segment goes only by age, and
    /// only if nothing came after it.
    #[must_use]
    pub fn expired_start(&self, now: TimestampMs) -> Option<Offset> {
        if !self.config.delete {
            return None;
        }
        let mut excess = match self.config.retention_bytes {
            -1 => 0,
            keep => self.size_bytes() as i64 - keep,
        };
        let mut start = None;
        for segment in &self.segments {
            let last = segment.next_offset == self.segments[self.segments.len() - 1].next_offset;
            let old = self.config.retention_ms >= 0
                && now.0.saturating_sub(segment.max_timestamp.0) > self.config.retention_ms;
            let large = !last && excess >= segment.bytes as i64;
            let whole = !last || self.tail.dirty_bytes() == 0;
            if segment.next_offset > self.visible_end || !whole || !(old || large) {
                break;
            }
            excess -= segment.bytes as i64;
            start = Some(segment.next_offset);
        }
        start.filter(|start| *start > self.start)
    }

    /// Forgets producers that wrote nothing since `oldest`.
    pub fn expire_producers(&mut self, oldest: TimestampMs) {
        if self.producers.expire(oldest) {
            self.touch();
        }
    }

    /// Plans the next write of tail batches to a segment; `None` if there is nothing to write, or a run is under way.
    pub fn start_run(&mut self) -> Option<&Run> {
        if self.run.is_some() {
            return None;
        }
        let cut_end = self.cut.as_ref().map(|cut| cut.end);
        // A run ends where a cut is, so that the segments' lengths at the cut can be told.
        let before_cut = |b: &&Batch| cut_end.is_none_or(|cut| b.next_offset() <= cut);
        let first = self.tail.dirty().next().filter(before_cut)?;
        let segment_ms = self.config.segment_ms_max();
        let fits = |s: &&Segment| s.takes(first, self.config.segment_bytes, segment_ms);
        let appends_to = self.segments.last().filter(fits).copied();
        let mut index_tail = self.index_tail.clone();
        let mut ops = Vec::new();
        let mut files = Vec::new();
        let mut segment = appends_to.unwrap_or_else(|| {
            let id = SegmentId {
                partition: self.id,
                base: first.base_offset(),
                generation: 0,
            };
            Segment::starting_with(id, first)
        });
        if appends_to.is_none()
            && let Some(full) = self.segments.last()
        {
            write_index(full, &mut index_tail, &mut ops, &mut files);
        }
        let at = segment.bytes;
        let mut data = Vec::new();
        let mut bytes = 0;
        let mut cost_bytes = 0;
        for batch in self.tail.dirty().take_while(before_cut) {
            if !data.is_empty()
                && (bytes + batch.size_bytes() > RUN_BYTES_MAX
                    || !segment.takes(batch, self.config.segment_bytes, segment_ms))
            {
                break;
            }
            bytes += batch.size_bytes();
            cost_bytes += Tail::cost_bytes(batch);
            index_tail.extend(segment.push(batch, self.config.index_interval_bytes));
            data.push(batch.bytes().clone());
        }
        let file = FileId::Segment(segment.id);
        let count = data.len();
        ops.push(DiskOp::Write { file, at, data });
        files.push(file);
        if index_tail.len() * INDEX_ENTRY_BYTES >= INDEX_TAIL_BYTES_MAX {
            write_index(&segment, &mut index_tail, &mut ops, &mut files);
        }
        self.run = Some(Run {
            creates: creates(&ops),
            ops,
            files,
            cost_bytes,
            batches: count,
            segment,
            index_tail,
        });
        self.run.as_ref()
    }

    /// The run under way is on disk, though not synced. Returns the bytes of tail that it made clean.
    pub fn finish_run(&mut self) -> usize {
        let Some(run) = self.run.take() else {
            return 0;
        };
        self.encoded = None;
        match self.segments.last_mut() {
            Some(last) if last.id == run.segment.id => *last = run.segment,
            _ => self.segments.push(run.segment),
        }
        self.index_tail = run.index_tail;
        self.tail.clean(run.batches)
    }

    /// The run under way failed; its batches stay in the tail, and are written again by a later run.
    pub fn abandon_run(&mut self) {
        self.run = None;
    }

    /// Drops written batches from memory, up to the one that ends at `next_offset`. Returns the bytes freed.
    pub fn evict(&mut self, next_offset: Offset) -> usize {
        self.tail.evict(next_offset)
    }

    /// Where to find `offset`, which is below the tail.
    #[must_use]
    pub fn locate(&self, offset: Offset) -> Option<SegmentPosition> {
        let after = self.segments.partition_point(|s| s.id.base <= offset);
        let at = after.saturating_sub(1);
        // Where offsets are missing between two segments the next one serves.
        let at = if self.segments.get(at)?.next_offset <= offset {
            at + 1
        } else {
            at
        };
        let segment = *self.segments.get(at)?;
        let hint = self
            .hints
            .iter()
            .find(|(next, id, _)| *next == offset && *id == segment.id)
            .map(|(offset, _, position)| BatchPlace {
                position: *position,
                offset: *offset,
            });
        let in_tail = || {
            let last = at + 1 == self.segments.len();
            let base = segment.id.base;
            let relative = (offset.0 - base.0).max(0) as u32;
            let known = self
                .index_tail
                .first()
                .is_some_and(|e| e.relative_offset <= relative);
            (last && known).then(|| IndexEntry::place_for_offset(&self.index_tail, base, relative))
        };
        let place = hint
            .or_else(in_tail)
            .or_else(|| self.place_without_index(&segment));
        Some(SegmentPosition { segment, place })
    }

    /// The first segment that holds a record of `timestamp` or later.
    #[must_use]
    pub fn locate_timestamp(&self, timestamp: TimestampMs) -> Option<SegmentPosition> {
        let reaches = |s: &&Segment| s.max_timestamp >= timestamp && s.next_offset > self.start;
        let segment = *self.segments.iter().find(reaches)?;
        let place = self.place_without_index(&segment);
        Some(SegmentPosition { segment, place })
    }

    /// Where to begin in a segment that has no index file (yet).
    #[must_use]
    pub fn place_without_index(&self, segment: &Segment) -> Option<BatchPlace> {
        (self.index_file_bytes(segment) == 0).then_some(BatchPlace::beginning(segment.id.base))
    }

    /// Bytes of `segment`'s index that are in its file.
    #[must_use]
    pub fn index_file_bytes(&self, segment: &Segment) -> u64 {
        state::index_file_bytes(segment, self.segments.last(), &self.index_tail)
    }

    /// Remembers that a reader goes on at `next`, at `position` in `segment`.
    pub fn hint(&mut self, next: Offset, segment: SegmentId, position: u64) {
        self.hints.retain(|(offset, _, _)| *offset != next);
        if self.hints.len() == READ_HINTS_MAX {
            self.hints.pop_front();
        }
        self.hints.push_back((next, segment, position));
    }

    /// Takes the state as of now for a checkpoint, which is complete once the tail is written up to here.
    pub fn take_cut(&mut self) {
        self.changed_since_cut = false;
        self.cut = Some(self.state());
    }

    /// The checkpoint's record of this log, once the tail is written up to the cut; `None` if it must still wait.
    pub fn captured(&mut self) -> Option<LogState> {
        let cut = self.cut.as_ref()?;
        let written = self.run.is_none() && self.tail.clean_end(self.end) >= cut.end;
        if !written {
            return None;
        }
        let mut cut = self.cut.take()?;
        self.captured_end = cut.end;
        cut.segments.clone_from(&self.segments);
        cut.index_tail.clone_from(&self.index_tail);
        Some(cut)
    }

    /// Gives a cut up, when its checkpoint failed.
    pub fn drop_cut(&mut self) {
        self.cut = None;
    }

    /// The encoding of the state that was captured last, if nothing has changed since.
    #[must_use]
    pub fn encoded(&self) -> Option<&Bytes> {
        self.encoded.as_ref()
    }

    /// Keeps the encoding of the state that was just captured, unless something has changed since its cut.
    pub fn keep_encoded(&mut self, encoded: Bytes) {
        self.encoded = (!self.changed_since_cut).then_some(encoded);
    }

    fn touch(&mut self) {
        self.encoded = None;
        self.changed_since_cut = true;
    }

    /// The state as a checkpoint holds it.
    #[must_use]
    pub fn state(&self) -> LogState {
        LogState {
            id: self.id,
            start: self.start,
            end: self.end,
            epochs: self.epochs.clone(),
            producers: self.producers.clone(),
            segments: self.segments.clone(),
            index_tail: self.index_tail.clone(),
            holes: self.holes.clone(),
            damage: self.damage.clone(),
            cleaned_end: self.cleaned_end,
        }
    }

    /// The log that a checkpoint describes: all of it is in segments.
    #[must_use]
    pub fn restore(state: LogState, config: Arc<LogConfig>) -> PartitionLog {
        PartitionLog {
            start: state.start,
            end: state.end,
            visible_end: state.end,
            epochs: state.epochs,
            producers: state.producers,
            segments: state.segments,
            index_tail: state.index_tail,
            holes: state.holes,
            damage: state.damage,
            cleaned_end: state.cleaned_end,
            captured_end: state.end,
            checkpointed_end: state.end,
            ..PartitionLog::new(state.id, config)
        }
    }

    /// Marks the log as damaged at its end: it serves what it has and takes no more.
    pub fn mark_damaged(&mut self, reason: String) {
        self.touch();
        self.damage.get_or_insert(reason);
    }

    /// Checks the module's invariants.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        let id = self.id;
        assert!(
            self.start <= self.visible_end && self.visible_end <= self.end,
            "{id}: start {} <= visible {} <= end {}",
            self.start,
            self.visible_end,
            self.end
        );
        for pair in self.segments.windows(2) {
            assert!(
                pair[0].next_offset <= pair[1].id.base,
                "{id}: segments overlap"
            );
        }
        // Below the log start batches may still be there, and holes be forgotten.
        let follows = |next: Offset, at| self.holes.skip(next) == at || at <= self.start;
        self.tail.validate(self.end, follows);
        if let Some(last) = self.segments.last() {
            let clean_end = self.tail.clean_end(self.end);
            assert!(
                follows(last.next_offset, clean_end),
                "{id}: gap at {clean_end}"
            );
        }
        let within = |hole: &Hole| self.start <= hole.0 && hole.1 <= self.end;
        assert!(
            self.holes.entries().iter().all(within),
            "{id}: {:?}",
            self.holes
        );
    }
}

/// Whether one of `ops` makes a file: the first write to it does.
fn creates(ops: &[DiskOp]) -> bool {
    ops.iter()
        .any(|op| matches!(op, DiskOp::Write { at: 0, .. }))
}

/// Plans the write of the index entries in `index_tail` to the end of `segment`'s index file, and empties it.
fn write_index(
    segment: &Segment,
    index_tail: &mut Vec<IndexEntry>,
    ops: &mut Vec<DiskOp>,
    files: &mut Vec<FileId>,
) {
    if index_tail.is_empty() {
        return;
    }
    let len = index_tail.len() * INDEX_ENTRY_BYTES;
    let mut out = BytesMut::with_capacity(len);
    for entry in index_tail.drain(..) {
        entry.put(&mut out);
    }
    let file = FileId::Index(segment.id);
    ops.push(DiskOp::Write {
        file,
        at: segment.index_bytes - len as u64,
        data: vec![out.freeze()],
    });
    files.push(file);
}
