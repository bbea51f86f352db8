//! One round of a log's compaction: map the keys of what is new, write the segments anew, group by group, and put each new one in the
//! place of the old ones.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use wiber_model::batch::HEADER_BYTES;
use wiber_model::limit::MAX_BATCH_BYTES;
use wiber_model::mutant::{self, Mutant};
use wiber_model::{Monotonic, Now, Offset, PartitionId, TimestampMs};

use super::super::{Purpose, Store, StoreEffect};
use super::CleanEnd;
use crate::clean::{CleanDone, CleanJob, FilterRules, KeyHasher, OffsetMap, Output, Piece, Walked};
use crate::io::{DiskError, DiskOp, DiskResult, FileId, SegmentId};
use crate::log::{BatchPlace, Epochs, INDEX_ENTRY_BYTES, Round, Segment};

/// Index entries of an output are written when they fill this many bytes, or the output ends.
const INDEX_PIECE_BYTES: usize = 64 * 1024;
/// Segments are read in pieces of at least this many bytes.
const PIECE_BYTES_MIN: usize = 4 * 1024;

/// A round.
#[derive(Debug)]
pub(super) struct Cleaning {
    round: Round,
    epochs: Arc<Epochs>,
    /// None while a job has it.
    map: Option<OffsetMap>,
    begun: TimestampMs,
    stage: Stage,
    /// Groups of segments that are still to be written, the next one last.
    groups: Vec<Vec<Segment>>,
    mapped_end: Offset,
    /// What [`Output::keeps_replaced`] was at the end of the last group.
    keeps_replaced: bool,
    bytes_before: u64,
    bytes_after: u64,
    pub(super) waits: Waits,
}

/// Where a round is.
#[derive(Debug)]
enum Stage {
    /// Keys are mapped, of the segment with this number.
    Map { segment: usize, cursor: Cursor },
    /// A group is written anew.
    Write(Box<Writing>),
    /// The files of what was written last are deleted, and then the round ends.
    Discard {
        end: CleanEnd,
        output: Option<SegmentId>,
    },
}

/// Where a segment is read.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    place: BatchPlace,
    /// Bytes that are needed there.
    needed: usize,
}

/// A group on its way.
#[derive(Debug)]
struct Writing {
    sources: Vec<Segment>,
    source: usize,
    cursor: Cursor,
    rules: Arc<FilterRules>,
    id: SegmentId,
    /// None while a job has it.
    output: Option<Output>,
    /// Bytes of data and index that are on disk.
    written: (u64, u64),
    step: WriteStep,
}

/// The operation that a group has under way, or had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteStep {
    /// What an earlier try left is deleted.
    Clear,
    /// A source is read.
    Read,
    /// So many bytes of batches are written.
    Data(u64),
    /// So many bytes of index entries are written.
    Index(u64),
    Sync,
}

/// What a round waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Disk,
    Job,
    /// For its turn, as operations are limited.
    Turn,
}

impl Cursor {
    fn at(segment: &Segment) -> Cursor {
        Cursor {
            place: BatchPlace::beginning(segment.id.base),
            needed: HEADER_BYTES,
        }
    }
}

impl Store {
    pub(super) fn begin_round(
        &mut self,
        now: Now,
        partition: PartitionId,
        fx: &mut Vec<StoreEffect>,
    ) {
        let Some(log) = self.logs.get(&partition) else {
            return;
        };
        let Some(round) = log.round(now.wall) else {
            return;
        };
        let options = &self.cleaner.options;
        let hasher = KeyHasher::new(options.hash_key.0, options.hash_key.1);
        let map_bytes = options.map_bytes_max / options.rounds_max.max(1) as u64;
        let segment = round
            .segments
            .partition_point(|s| s.next_offset <= round.from);
        let cleaning = Cleaning {
            epochs: Arc::new(log.epochs().clone()),
            map: Some(OffsetMap::new(map_bytes, options.map_load, hasher)),
            begun: now.wall,
            stage: Stage::Map {
                segment,
                cursor: Cursor::at(&round.segments[segment]),
            },
            groups: Vec::new(),
            mapped_end: round.to,
            keeps_replaced: false,
            bytes_before: 0,
            bytes_after: 0,
            waits: Waits::Turn,
            round,
        };
        self.cleaner.rounds.insert(partition, cleaning);
        self.go_on(now, partition, fx);
    }

    /// Does the next step of a round that waits for nothing.
    pub(super) fn go_on(&mut self, now: Now, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        if self.cleaner.free_at > now.monotonic {
            self.wait(partition, Waits::Turn);
            return;
        }
        let wanted = self.is_wanted(partition);
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        if !wanted && !matches!(cleaning.stage, Stage::Discard { .. }) {
            self.discard(partition, CleanEnd::GivenUp, fx);
            return;
        }
        match &mut cleaning.stage {
            Stage::Map { segment, cursor } => {
                let Some(source) = cleaning.round.segments.get(*segment).copied() else {
                    self.begin_groups(now, partition, fx);
                    return;
                };
                if cursor.place.position >= source.bytes {
                    *segment += 1;
                    if let Some(next) = cleaning.round.segments.get(*segment) {
                        *cursor = Cursor::at(next);
                    }
                    self.go_on(now, partition, fx);
                    return;
                }
                let cursor = *cursor;
                self.read_piece(now, partition, source, cursor, fx);
            }
            Stage::Write(_) => self.write_on(now, partition, fx),
            Stage::Discard { .. } => {}
        }
    }

    /// Whether a round may go on.
    fn is_wanted(&self, partition: PartitionId) -> bool {
        let log = self.logs.get(&partition);
        self.cleaner.options.enabled && log.is_some_and(|log| log.config().compact)
    }

    fn wait(&mut self, partition: PartitionId, waits: Waits) {
        if let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) {
            cleaning.waits = waits;
        }
    }

    /// Asks the disk for something, which counts for so many bytes.
    fn clean_op(
        &mut self,
        now: Now,
        partition: PartitionId,
        op: DiskOp,
        bytes: usize,
        fx: &mut Vec<StoreEffect>,
    ) {
        let nanos = bytes as f64 / self.cleaner.options.bytes_per_second.max(1.0) * 1e9;
        let begin = self.cleaner.free_at.max(now.monotonic);
        self.cleaner.free_at = Monotonic(begin.0.saturating_add(nanos as u64));
        self.wait(partition, Waits::Disk);
        self.operate(Purpose::Clean(partition), op, fx);
    }

    fn read_piece(
        &mut self,
        now: Now,
        partition: PartitionId,
        source: Segment,
        cursor: Cursor,
        fx: &mut Vec<StoreEffect>,
    ) {
        let left = source.bytes - cursor.place.position;
        if cursor.needed as u64 > left && cursor.needed > HEADER_BYTES
            || cursor.needed > MAX_BATCH_BYTES
        {
            let problem = format!("a batch of {} bytes cannot be here", cursor.needed);
            self.unreadable(partition, source, cursor.place.position, problem, fx);
            return;
        }
        let buffer = self.cleaner.options.buffer_bytes / 2 / self.cleaner.options.rounds_max.max(1);
        let len = buffer.max(PIECE_BYTES_MIN).max(cursor.needed);
        let len = (len as u64).min(left) as usize;
        let op = DiskOp::Read {
            file: FileId::Segment(source.id),
            at: cursor.place.position,
            len,
        };
        self.clean_op(now, partition, op, len, fx);
    }

    fn unreadable(
        &mut self,
        partition: PartitionId,
        source: Segment,
        position: u64,
        problem: String,
        fx: &mut Vec<StoreEffect>,
    ) {
        let end = CleanEnd::Unreadable {
            file: FileId::Segment(source.id).path(),
            position,
            problem,
        };
        self.discard(partition, end, fx);
    }

    /// A disk operation of a round ended.
    pub(in crate::store) fn clean_op_done(
        &mut self,
        now: Now,
        partition: PartitionId,
        result: DiskResult,
        fx: &mut Vec<StoreEffect>,
    ) {
        let wanted = self.is_wanted(partition);
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        if let Stage::Discard { end, .. } = &cleaning.stage {
            let end = end.clone();
            self.end_round(now, partition, end, fx);
            return;
        }
        if !wanted {
            self.discard(partition, CleanEnd::GivenUp, fx);
            return;
        }
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                self.clean_op_failed(partition, error, fx);
                return;
            }
        };
        match &mut cleaning.stage {
            Stage::Map { segment, cursor } => {
                let (source, cursor) = (cleaning.round.segments[*segment], *cursor);
                self.piece_read(partition, source, cursor, bytes, fx);
            }
            Stage::Write(writing) => match writing.step {
                WriteStep::Clear => self.go_on(now, partition, fx),
                WriteStep::Read => {
                    let (source, cursor) = (writing.sources[writing.source], writing.cursor);
                    self.piece_read(partition, source, cursor, bytes, fx);
                }
                WriteStep::Data(bytes) => {
                    writing.written.0 += bytes;
                    self.go_on(now, partition, fx);
                }
                WriteStep::Index(bytes) => {
                    writing.written.1 += bytes;
                    self.go_on(now, partition, fx);
                }
                WriteStep::Sync => self.swap(now, partition, fx),
            },
            Stage::Discard { .. } => {}
        }
    }

    fn clean_op_failed(
        &mut self,
        partition: PartitionId,
        error: DiskError,
        fx: &mut Vec<StoreEffect>,
    ) {
        let Some(cleaning) = self.cleaner.rounds.get(&partition) else {
            return;
        };
        let writes = match &cleaning.stage {
            Stage::Map { .. } | Stage::Discard { .. } => false,
            Stage::Write(writing) => !matches!(writing.step, WriteStep::Clear | WriteStep::Read),
        };
        match error {
            // It went as its log start moved.
            DiskError::NotFound => self.discard(partition, CleanEnd::GivenUp, fx),
            DiskError::Failed(error) if writes => fx.push(StoreEffect::Fatal(format!(
                "cannot write a compacted segment of {partition}: {error}"
            ))),
            error => self.discard(partition, CleanEnd::Failed(error.to_string()), fx),
        }
    }

    /// Hands a piece to a worker.
    fn piece_read(
        &mut self,
        partition: PartitionId,
        source: Segment,
        cursor: Cursor,
        bytes: Bytes,
        fx: &mut Vec<StoreEffect>,
    ) {
        let left = source.bytes - cursor.place.position;
        if bytes.is_empty() || (bytes.len() as u64) < left && bytes.len() < cursor.needed {
            let problem = format!("the file ends here, and should have {} bytes", source.bytes);
            self.unreadable(partition, source, cursor.place.position, problem, fx);
            return;
        }
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        let Some(map) = cleaning.map.take() else {
            return;
        };
        let piece = Piece {
            bytes,
            at: cursor.place,
            epochs: Arc::clone(&cleaning.epochs),
        };
        let job = match &mut cleaning.stage {
            Stage::Write(writing) => {
                let Some(output) = writing.output.take() else {
                    return;
                };
                let rules = Arc::clone(&writing.rules);
                CleanJob::Filter {
                    map,
                    piece,
                    rules,
                    output,
                }
            }
            Stage::Map { .. } | Stage::Discard { .. } => CleanJob::Map {
                map,
                piece,
                from: cleaning.round.from,
            },
        };
        cleaning.waits = Waits::Job;
        let job = Box::new(job);
        fx.push(StoreEffect::Clean { partition, job });
    }

    /// A job of a round ended.
    pub fn cleaned(
        &mut self,
        now: Now,
        partition: PartitionId,
        done: CleanDone,
        fx: &mut Vec<StoreEffect>,
    ) {
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        let (source, position) = cleaning.reads_at();
        let walked = match done {
            CleanDone::Unreadable(unreadable) => {
                let problem = unreadable.problem.to_string();
                self.unreadable(partition, source, unreadable.position, problem, fx);
                return;
            }
            CleanDone::Mapped {
                map,
                walked,
                full_at,
            } => {
                cleaning.map = Some(map);
                if let Some(full_at) = full_at {
                    cleaning.mapped_end = full_at;
                    self.begin_groups(now, partition, fx);
                    return;
                }
                walked
            }
            CleanDone::Filtered {
                map,
                output,
                walked,
            } => {
                cleaning.map = Some(map);
                if let Stage::Write(writing) = &mut cleaning.stage {
                    writing.output = Some(output);
                }
                walked
            }
        };
        let Walked { next, needed } = walked;
        let stuck = next.position == position && needed <= cleaning.needed_at();
        if stuck && next.position < source.bytes {
            let problem = "the file ends in the middle of a batch".to_owned();
            self.unreadable(partition, source, position, problem, fx);
            return;
        }
        cleaning.move_to(Cursor {
            place: next,
            needed,
        });
        self.go_on(now, partition, fx);
    }

    /// The keys are mapped: writes the segments anew.
    fn begin_groups(&mut self, now: Now, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        let Some(log) = self.logs.get(&partition) else {
            self.discard(partition, CleanEnd::GivenUp, fx);
            return;
        };
        let segment_bytes = log.config().segment_bytes;
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        let mapped_end = cleaning.mapped_end;
        let mapped = cleaning.round.segments.iter();
        let mapped = mapped.take_while(|s| s.id.base < mapped_end).copied();
        cleaning.groups = groups(mapped, segment_bytes);
        cleaning.groups.reverse();
        self.next_group(now, partition, fx);
    }

    /// Begins to write the next group anew; without one, the round is done.
    fn next_group(&mut self, now: Now, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        let Some(log) = self.logs.get_mut(&partition) else {
            self.discard(partition, CleanEnd::GivenUp, fx);
            return;
        };
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        let Some(sources) = cleaning.groups.pop() else {
            log.cleaned_up_to(cleaning.mapped_end);
            let end = CleanEnd::Done {
                from: cleaning.round.from,
                to: cleaning.mapped_end,
                bytes_before: cleaning.bytes_before,
                bytes_after: cleaning.bytes_after,
            };
            self.end_round(now, partition, end, fx);
            return;
        };
        let rules = FilterRules {
            now: cleaning.begun,
            delete_retention_ms: log.config().delete_retention_ms,
            mapped_end: cleaning.mapped_end,
            round_end: cleaning.round.to,
            producers: log.last_offsets().collect(),
            index_interval_bytes: log.config().index_interval_bytes,
        };
        let first = sources[0];
        let id = SegmentId {
            generation: first.id.generation + 1,
            ..first.id
        };
        let writing = Writing {
            source: 0,
            cursor: Cursor::at(&first),
            rules: Arc::new(rules),
            id,
            output: Some(Output::new(
                Segment::compacted(id, &first),
                cleaning.keeps_replaced,
            )),
            written: (0, 0),
            step: WriteStep::Clear,
            sources,
        };
        cleaning.stage = Stage::Write(Box::new(writing));
        let files = vec![FileId::Segment(id), FileId::Index(id)];
        self.clean_op(now, partition, DiskOp::Delete { files }, 0, fx);
    }

    /// Writes what has gathered, or reads on, or syncs.
    fn write_on(&mut self, now: Now, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        let buffer = self.cleaner.options.buffer_bytes / 2 / self.cleaner.options.rounds_max.max(1);
        let Some(Cleaning {
            stage: Stage::Write(writing),
            ..
        }) = self.cleaner.rounds.get_mut(&partition)
        else {
            return;
        };
        while let Some(source) = writing.sources.get(writing.source)
            && writing.cursor.place.position >= source.bytes
        {
            writing.source += 1;
            if let Some(next) = writing.sources.get(writing.source) {
                writing.cursor = Cursor::at(next);
            }
        }
        let ends = writing.source == writing.sources.len();
        if let Some((op, bytes)) = writing.next_write(ends, buffer) {
            self.clean_op(now, partition, op, bytes, fx);
        } else if ends {
            writing.step = WriteStep::Sync;
            let files = writing.files();
            self.clean_op(now, partition, DiskOp::Sync { files }, 0, fx);
        } else {
            writing.step = WriteStep::Read;
            let (source, cursor) = (writing.sources[writing.source], writing.cursor);
            self.read_piece(now, partition, source, cursor, fx);
        }
    }

    /// A group is on disk: it takes the place of its sources.
    fn swap(&mut self, now: Now, partition: PartitionId, fx: &mut Vec<StoreEffect>) {
        let log = self.logs.get_mut(&partition);
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        let Stage::Write(writing) = &cleaning.stage else {
            return;
        };
        let (Some(log), Some(output)) = (log, &writing.output) else {
            self.discard(partition, CleanEnd::GivenUp, fx);
            return;
        };
        let (id, cleaned) = (writing.id, output.segment);
        let keeps_replaced = output.keeps_replaced;
        let ids: Vec<_> = writing.sources.iter().map(|s| s.id).collect();
        if !log.replace(&ids, cleaned) {
            // Retention, or a deletion of records, was faster.
            self.discard(partition, CleanEnd::GivenUp, fx);
            return;
        }
        // What is in memory still has the records that went.
        self.tail_bytes -= log.evict(cleaned.next_offset);
        self.unlinked.extend(writing.files());
        cleaning.keeps_replaced = keeps_replaced;
        cleaning.bytes_before += writing.sources.iter().map(|s| s.bytes).sum::<u64>();
        cleaning.bytes_after += cleaned.bytes;
        let cleaner = &mut self.cleaner;
        cleaner.fresh.entry(partition).or_default().push(id);
        // One that no checkpoint lists yet needs none that lists it no more, but it may be in the section that is being made.
        let replaced = cleaner.replaced.entry(partition).or_default();
        replaced.extend(&ids);
        for id in &ids {
            self.indexes.forget(*id);
        }
        if mutant::active(Mutant::CompactionDeletesBeforeCheckpoint) {
            for id in ids {
                self.doom(id, 0);
            }
            self.delete_doomed(fx);
        }
        self.next_group(now, partition, fx);
    }

    /// Deletes what a round was writing, and then ends it.
    fn discard(&mut self, partition: PartitionId, end: CleanEnd, fx: &mut Vec<StoreEffect>) {
        let Some(cleaning) = self.cleaner.rounds.get_mut(&partition) else {
            return;
        };
        // Until they are gone, checkpoints list them.
        let output = cleaning.output();
        cleaning.stage = Stage::Discard { end, output };
        let files = output.map_or_else(Vec::new, |id| vec![FileId::Segment(id), FileId::Index(id)]);
        cleaning.waits = Waits::Disk;
        self.operate(Purpose::Clean(partition), DiskOp::Delete { files }, fx);
    }

    fn end_round(
        &mut self,
        now: Now,
        partition: PartitionId,
        end: CleanEnd,
        fx: &mut Vec<StoreEffect>,
    ) {
        self.cleaner.rounds.remove(&partition);
        let backoff_ms = self.cleaner.options.backoff_ms;
        let again = match &end {
            // There may be more, or another log may be due.
            CleanEnd::Done { .. } => now.monotonic,
            CleanEnd::Unreadable { .. } => {
                self.cleaner.uncleanable.insert(partition);
                now.monotonic
            }
            CleanEnd::Failed(_) | CleanEnd::GivenUp => now.monotonic.plus_ms(backoff_ms),
        };
        if self.logs.contains_key(&partition) {
            self.cleaner.note(partition, again);
        }
        if self.cleaner.options.enabled && !self.cleaner.candidates.is_empty() {
            self.cleaner.next_look = self.cleaner.next_look.min(again);
        }
        if end != CleanEnd::GivenUp {
            fx.push(StoreEffect::CleanEnded { partition, end });
        }
        // What was replaced takes room until a checkpoint lists it no more.
        if self.cleaner.rounds.is_empty() && !self.cleaner.replaced.is_empty() {
            fx.push(StoreEffect::RequestCheckpoint);
        }
    }
}

impl Cleaning {
    /// The segment that is being made, or given up.
    pub(super) fn output(&self) -> Option<SegmentId> {
        match &self.stage {
            Stage::Write(writing) => Some(writing.id),
            Stage::Discard { output, .. } => *output,
            Stage::Map { .. } => None,
        }
    }

    /// The segment that is being read, and where.
    fn reads_at(&self) -> (Segment, u64) {
        match &self.stage {
            Stage::Write(writing) => {
                let source = writing.sources[writing.source];
                (source, writing.cursor.place.position)
            }
            Stage::Map { segment, cursor } => {
                (self.round.segments[*segment], cursor.place.position)
            }
            Stage::Discard { .. } => (self.round.segments[0], 0),
        }
    }

    /// The bytes that were asked for at least.
    fn needed_at(&self) -> usize {
        match &self.stage {
            Stage::Write(writing) => writing.cursor.needed,
            Stage::Map { cursor, .. } => cursor.needed,
            Stage::Discard { .. } => 0,
        }
    }

    fn move_to(&mut self, to: Cursor) {
        match &mut self.stage {
            Stage::Write(writing) => writing.cursor = to,
            Stage::Map { cursor, .. } => *cursor = to,
            Stage::Discard { .. } => {}
        }
    }
}

impl Writing {
    /// The next write of what has gathered, if it is enough for one or all that there is, and its bytes.
    fn next_write(&mut self, ends: bool, buffer_bytes: usize) -> Option<(DiskOp, usize)> {
        let output = self.output.as_mut()?;
        if ends && let Some(last) = self.sources.last() {
            output.skip_to(last.next_offset);
        }
        let is_due = |bytes: usize, enough: usize| bytes > 0 && (ends || bytes >= enough);
        let index_bytes = output.entries.len() * INDEX_ENTRY_BYTES;
        let (file, at, data) = if is_due(output.data.len(), buffer_bytes) {
            let data = Bytes::from(std::mem::take(&mut output.data));
            self.step = WriteStep::Data(data.len() as u64);
            (FileId::Segment(self.id), self.written.0, data)
        } else if is_due(index_bytes, INDEX_PIECE_BYTES) {
            let mut data = BytesMut::with_capacity(index_bytes);
            output
                .entries
                .drain(..)
                .for_each(|entry| entry.put(&mut data));
            self.step = WriteStep::Index(data.len() as u64);
            (FileId::Index(self.id), self.written.1, data.freeze())
        } else {
            return None;
        };
        let bytes = data.len();
        let data = vec![data];
        Some((DiskOp::Write { file, at, data }, bytes))
    }

    /// The files that were written.
    fn files(&self) -> Vec<FileId> {
        let index = (self.written.1 > 0).then_some(FileId::Index(self.id));
        std::iter::once(FileId::Segment(self.id))
            .chain(index)
            .collect()
    }
}

/// Brings segments together that are one behind the other and not larger than one may be.
fn groups(segments: impl Iterator<Item = Segment>, segment_bytes: u64) -> Vec<Vec<Segment>> {
    let most_bytes = segment_bytes.min(u64::from(u32::MAX));
    let mut groups: Vec<Vec<Segment>> = Vec::new();
    for segment in segments {
        let fits = |group: &&mut Vec<Segment>| {
            let (Some(first), Some(last)) = (group.first(), group.last()) else {
                return false;
            };
            let bytes: u64 = group.iter().map(|s| s.bytes).sum();
            last.next_offset == segment.id.base
                && bytes + segment.bytes <= most_bytes
                && segment.next_offset.0 - first.id.base.0 <= i64::from(i32::MAX)
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(segment),
            None => groups.push(vec![segment]),
        }
    }
    groups
}
