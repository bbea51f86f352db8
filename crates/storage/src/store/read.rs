//! Reads: from the tail at once, from segments as a machine that resumes when the disk has answered.
//!
//! A read below the tail goes index → data. Where a reader left off is remembered, so that one who reads on in order needs no
//! index. What comes from a segment is checked against its checksum before anybody sees it (S5).
//!
//! What the disk does not give is refused, and nothing else (D8): where a read of much fails, only what is needed next is asked
//! for, the header of a batch and then that batch. Without an index the way only is longer. What lies behind bytes that cannot be
//! read is found from the next index entry on.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use wiber_model::batch::HEADER_BYTES;
use wiber_model::limit::MAX_BATCH_BYTES;
use wiber_model::{Batch, BatchError, Offset, PartitionId, TimestampMs};

use super::{Purpose, Store, StoreEffect};
use crate::clean::check_place;
use crate::io::{DiskError, DiskOp, DiskResult, FileId, SegmentId};
use crate::log::{BatchPlace, Epochs, IndexEntry, Item, Segment, SegmentPosition};

/// A read of a segment fetches at least this many bytes: an index entry may lie so far before what is wanted.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Batches that stand apart are copied together if they have fewer bytes on average.
const PIECE_BYTES_MIN: usize = 4 * 1024;
/// A search by timestamp reads this many bytes at a time.
const SEARCH_BYTES: usize = 256 * 1024;

/// Names a read in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadId(pub u64);

/// What is wanted of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Batches from the one that holds `offset` on.
    Batches {
        /// The first offset of interest.
        offset: Offset,
        /// No batch that ends beyond here.
        limit: Offset,
        /// No more bytes than this, but for the first batch.
        max_bytes: usize,
        /// Whether the first batch comes even if it has more bytes.
        at_least_one: bool,
    },
    /// The first batch that reaches beyond `from` and has a record of `timestamp` or later.
    Timestamp {
        /// The timestamp.
        timestamp: TimestampMs,
        /// The first offset of interest.
        from: Offset,
    },
    /// The batch with the largest timestamp, the first of equals.
    NewestTimestamp,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutput {
    /// Whole batches, in order, in pieces of any number of batches; none if the log has none there (yet).
    Batches(Vec<Bytes>),
    /// The batch that was looked for, if there is one.
    Found(Option<Batch>),
}

/// Why a read gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The partition is not (or no longer) here.
    #[error("the partition is not here")]
    UnknownPartition,
    /// The offset is below the log start or beyond the log end.
    #[error("offset {offset} is not within {start} to {end}")]
    OutOfRange {
        /// The offset.
        offset: Offset,
        /// The log start.
        start: Offset,
        /// The log end.
        end: Offset,
    },
    /// The records there were lost, when the write-ahead log was damaged (D8).
    #[error("the records at offsets {from} to {to} are lost")]
    Lost {
        /// The first offset that is lost.
        from: Offset,
        /// The offset after the last one.
        to: Offset,
    },
    /// The bytes on disk are not what was written.
    #[error("{file} is damaged at byte {position}: {problem}")]
    Corrupt {
        /// The path of the file, within the data directory.
        file: String,
        /// The byte position of the batch.
        position: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk did not give the bytes.
    #[error("cannot read {file} at byte {position}: {error}")]
    Disk {
        /// The path of the file, within the data directory.
        file: String,
        /// The byte position of the batch.
        position: u64,
        /// How it failed.
        error: DiskError,
    },
}

/// A read that was asked for.
#[derive(Clone, Debug)]
pub enum Read {
    /// Memory had the answer.
    Done(Result<ReadOutput, ReadError>),
    /// The disk was asked.
    Pending(ReadId),
}

/// What memory knows of what is wanted.
enum Look {
    InMemory(ReadOutput),
    InSegment(SegmentPosition),
}

/// A read that waits for the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingRead {
    id: ReadId,
    partition: PartitionId,
    want: Want,
    segment: Segment,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Index,
    /// `asked` bytes were asked for at `place`, of which `least` are needed to go on.
    Data {
        place: BatchPlace,
        least: usize,
        asked: usize,
    },
}

/// What a stretch of a segment held.
enum Scan {
    Done(ReadOutput, Option<BatchPlace>),
    /// Goes on at `place`, with at least `len` bytes.
    More {
        place: BatchPlace,
        len: usize,
    },
}

impl Store {
    /// Reads from a partition's log. What memory has is there at once; for the rest [`StoreEffect::Read`] follows in a
    /// later step.
    pub fn read(&mut self, partition: PartitionId, want: Want, fx: &mut Vec<StoreEffect>) -> Read {
        match self.look(partition, want) {
            Err(error) => Read::Done(Err(error)),
            Ok(Look::InMemory(output)) => Read::Done(Ok(output)),
            Ok(Look::InSegment(SegmentPosition { segment, place })) => {
                let id = ReadId(self.next_read);
                self.next_read += 1;
                let stage = Stage::Index;
                self.read_segment(
                    PendingRead {
                        id,
                        partition,
                        want,
                        segment,
                        stage,
                    },
                    place,
                    fx,
                );
                Read::Pending(id)
            }
        }
    }

    /// Goes on with a read at another place of the log.
    fn resume(&mut self, read: PendingRead, fx: &mut Vec<StoreEffect>) {
        let result = match self.look(read.partition, read.want) {
            Err(error) => Err(error),
            Ok(Look::InMemory(output)) => Ok(output),
            Ok(Look::InSegment(SegmentPosition { segment, place })) => {
                self.read_segment(PendingRead { segment, ..read }, place, fx);
                return;
            }
        };
        fx.push(StoreEffect::Read {
            id: read.id,
            result,
        });
    }

    /// The answer, if memory has it; else where to look.
    fn look(&self, partition: PartitionId, want: Want) -> Result<Look, ReadError> {
        let found = |batch: Option<&Batch>| Ok(Look::InMemory(ReadOutput::Found(batch.cloned())));
        let nothing = || Ok(Look::InMemory(ReadOutput::Batches(Vec::new())));
        let log = self
            .logs
            .get(&partition)
            .ok_or(ReadError::UnknownPartition)?;
        let located = match want {
            Want::Batches {
                offset,
                limit,
                max_bytes,
                at_least_one,
            } => {
                if offset < log.start() || offset > log.end() {
                    return Err(ReadError::OutOfRange {
                        offset,
                        start: log.start(),
                        end: log.end(),
                    });
                }
                if let Some((from, to)) = log.holes().at(offset) {
                    return Err(ReadError::Lost { from, to });
                }
                if offset >= limit {
                    return nothing();
                }
                if let Some(batches) = log.tail().read(offset, limit, max_bytes, at_least_one) {
                    return Ok(Look::InMemory(ReadOutput::Batches(batches)));
                }
                match log.locate(offset) {
                    Some(located) => located,
                    None => return nothing(),
                }
            }
            Want::Timestamp { timestamp, from } => match log.locate_timestamp(timestamp) {
                Some(located) => located,
                None => {
                    return found(log.tail().find_timestamp(from.max(log.start()), timestamp));
                }
            },
            Want::NewestTimestamp => {
                let segments = log.segments().iter().rev();
                let there = segments.filter(|s| s.next_offset > log.start());
                let in_segments = there.max_by_key(|s| s.max_timestamp);
                let in_tail = log.tail().newest(log.start());
                match in_segments {
                    Some(segment)
                        if in_tail.is_none_or(|b| b.max_timestamp() <= segment.max_timestamp) =>
                    {
                        // As in Kafka also where the record was deleted, and its segment is still there.
                        let offset = segment.max_timestamp_batch;
                        if let Some(mut batches) = log.tail().from(offset) {
                            return found(batches.next());
                        }
                        match log.locate(offset) {
                            Some(located) => located,
                            None => return found(None),
                        }
                    }
                    _ => return found(in_tail),
                }
            }
        };
        Ok(Look::InSegment(located))
    }

    fn read_segment(
        &mut self,
        mut read: PendingRead,
        place: Option<BatchPlace>,
        fx: &mut Vec<StoreEffect>,
    ) {
        let place = place.or_else(|| {
            let entries = self.indexes.get(read.segment.id)?;
            Some(place_in(&entries, &read))
        });
        if let Some(place) = place {
            self.read_data(read, place, HEADER_BYTES, fx);
            return;
        }
        let len = self
            .logs
            .get(&read.partition)
            .map_or(0, |log| log.index_file_bytes(&read.segment));
        read.stage = Stage::Index;
        let op = DiskOp::Read {
            file: FileId::Index(read.segment.id),
            at: 0,
            len: len as usize,
        };
        self.operate(Purpose::Read(read), op, fx);
    }

    /// Reads at least `least` bytes from `place` on, and what is wanted beside.
    fn read_data(
        &mut self,
        read: PendingRead,
        place: BatchPlace,
        least: usize,
        fx: &mut Vec<StoreEffect>,
    ) {
        let len = least.max(wanted_bytes(read.want));
        self.read_stretch(read, place, least, len, fx);
    }

    fn read_stretch(
        &mut self,
        mut read: PendingRead,
        place: BatchPlace,
        least: usize,
        len: usize,
        fx: &mut Vec<StoreEffect>,
    ) {
        let left = read.segment.bytes.saturating_sub(place.position);
        let asked = (len as u64).min(left) as usize;
        read.stage = Stage::Data {
            place,
            least,
            asked,
        };
        let op = DiskOp::Read {
            file: FileId::Segment(read.segment.id),
            at: place.position,
            len: asked,
        };
        self.operate(Purpose::Read(read), op, fx);
    }

    pub(super) fn read_done(
        &mut self,
        read: PendingRead,
        result: DiskResult,
        fx: &mut Vec<StoreEffect>,
    ) {
        let bytes = match result {
            Ok(bytes) => bytes,
            // The segment went while it was read, because its records expired: what is wanted is elsewhere now, or nowhere.
            Err(DiskError::NotFound) if !self.lists(&read) => {
                self.resume(read, fx);
                return;
            }
            Err(error) => {
                self.read_failed(read, error, fx);
                return;
            }
        };
        match read.stage {
            Stage::Index => {
                let entries: Arc<[IndexEntry]> = IndexEntry::parse(&bytes).into();
                let place = place_in(&entries, &read);
                self.indexes.insert(read.segment.id, entries);
                self.read_data(read, place, HEADER_BYTES, fx);
            }
            Stage::Data { place, asked, .. } => {
                let is_short = bytes.len() < asked;
                self.data_read(read, place, bytes, is_short, fx);
            }
        }
    }

    fn read_failed(&mut self, read: PendingRead, error: DiskError, fx: &mut Vec<StoreEffect>) {
        match read.stage {
            // From the beginning of the segment the way is found without it.
            Stage::Index => self.read_data(read, place_in(&[], &read), HEADER_BYTES, fx),
            // Perhaps it is not what comes next that cannot be read.
            Stage::Data {
                place,
                least,
                asked,
            } if least < asked => self.read_stretch(read, place, least, least, fx),
            Stage::Data { place, .. } => {
                let file = FileId::Segment(read.segment.id).path();
                let position = place.position;
                let result = Err(ReadError::Disk {
                    file,
                    position,
                    error,
                });
                fx.push(StoreEffect::Read {
                    id: read.id,
                    result,
                });
            }
        }
    }

    fn data_read(
        &mut self,
        read: PendingRead,
        place: BatchPlace,
        bytes: Bytes,
        is_short: bool,
        fx: &mut Vec<StoreEffect>,
    ) {
        let result = match self.look_through(&read, place, bytes, is_short) {
            Ok(Scan::More { place: next, len }) if next.position < read.segment.bytes => {
                self.read_data(read, next, len, fx);
                return;
            }
            Ok(Scan::More { place: next, .. }) if !has(&read) || passed(&read, next.offset) => {
                self.leave_segment(read, fx);
                return;
            }
            Ok(Scan::More { place, .. }) => Err(ReadError::Corrupt {
                file: FileId::Segment(read.segment.id).path(),
                position: place.position,
                problem: "the batch that was looked for is not where it should be".to_owned(),
            }),
            Ok(Scan::Done(output, next)) => {
                if let Some(next) = next
                    && let Some(log) = self.logs.get_mut(&read.partition)
                {
                    log.hint(next.offset, read.segment.id, next.position);
                }
                Ok(output)
            }
            Err(error) => Err(error),
        };
        fx.push(StoreEffect::Read {
            id: read.id,
            result,
        });
    }

    /// Looks through the bytes of a segment from `place` on; with `is_short`, the file has no more.
    fn look_through(
        &self,
        read: &PendingRead,
        place: BatchPlace,
        bytes: Bytes,
        is_short: bool,
    ) -> Result<Scan, ReadError> {
        let log = self
            .logs
            .get(&read.partition)
            .ok_or(ReadError::UnknownPartition)?;
        let corrupt = |position: u64, problem: String| ReadError::Corrupt {
            file: FileId::Segment(read.segment.id).path(),
            position,
            problem,
        };
        let end = read.segment.bytes;
        if bytes.is_empty() && place.position < end {
            let problem = format!("the file ends here, and should have {end} bytes");
            return Err(corrupt(place.position, problem));
        }
        let scan = scan(read, log.epochs(), place, bytes)
            .map_err(|(at, problem)| corrupt(at, problem.to_string()))?;
        if let Scan::More { place: next, len } = &scan
            && next.position < end
        {
            // A batch that is not whole is asked for again with as many bytes as it needs, if these can be.
            let beyond = *len > HEADER_BYTES && next.position + *len as u64 > end;
            if beyond || *len > MAX_BATCH_BYTES {
                let problem = format!("a batch of {len} bytes cannot be here");
                return Err(corrupt(next.position, problem));
            }
            if is_short || next.position == place.position && *len == HEADER_BYTES {
                let problem = "the file ends in the middle of a batch".to_owned();
                return Err(corrupt(next.position, problem));
            }
        }
        Ok(scan)
    }

    /// The segment has nothing more of what is wanted: what follows it has.
    fn leave_segment(&mut self, read: PendingRead, fx: &mut Vec<StoreEffect>) {
        let next = read.segment.next_offset;
        match read.want {
            Want::Batches {
                limit,
                max_bytes,
                at_least_one,
                ..
            } => {
                let want = Want::Batches {
                    offset: next,
                    limit,
                    max_bytes,
                    at_least_one,
                };
                self.resume(PendingRead { want, ..read }, fx);
            }
            Want::Timestamp { timestamp, from } => {
                let Some(log) = self.logs.get(&read.partition) else {
                    let result = Err(ReadError::UnknownPartition);
                    fx.push(StoreEffect::Read {
                        id: read.id,
                        result,
                    });
                    return;
                };
                // It may be the same one, which has grown since by what was in the tail.
                let after = |s: &&Segment| s.next_offset > next && s.max_timestamp >= timestamp;
                match log.segments().iter().find(after).copied() {
                    Some(segment) => {
                        let place = log.place_without_index(&segment);
                        let from = from.max(next);
                        let want = Want::Timestamp { timestamp, from };
                        let read = PendingRead {
                            segment,
                            want,
                            ..read
                        };
                        self.read_segment(read, place, fx);
                    }
                    None => {
                        let found = log.tail().find_timestamp(next, timestamp).cloned();
                        let result = Ok(ReadOutput::Found(found));
                        fx.push(StoreEffect::Read {
                            id: read.id,
                            result,
                        });
                    }
                }
            }
            Want::NewestTimestamp => {
                let result = Ok(ReadOutput::Found(None));
                fx.push(StoreEffect::Read {
                    id: read.id,
                    result,
                });
            }
        }
    }

    /// Whether the segment of a read still is one of its log's.
    fn lists(&self, read: &PendingRead) -> bool {
        let log = self.logs.get(&read.partition);
        log.is_some_and(|log| log.segments().iter().any(|s| s.id == read.segment.id))
    }
}

fn wanted_bytes(want: Want) -> usize {
    match want {
        Want::Batches { max_bytes, .. } => max_bytes
            .saturating_add(READ_BYTES_MIN)
            .min(MAX_BATCH_BYTES),
        Want::Timestamp { .. } => SEARCH_BYTES,
        Want::NewestTimestamp => READ_BYTES_MIN,
    }
}

/// Whether a segment must have what is wanted.
fn has(read: &PendingRead) -> bool {
    match read.want {
        Want::Batches { offset, .. } => offset < read.segment.next_offset,
        Want::NewestTimestamp => true,
        // The record that made the segment a candidate may lie before what is of interest.
        Want::Timestamp { .. } => false,
    }
}

/// Whether what is wanted was removed by compaction, and lies before `next`, where the segment ends.
fn passed(read: &PendingRead, next: Offset) -> bool {
    matches!(read.want, Want::Batches { offset, .. } if offset < next && read.segment.next_offset == next)
}

fn place_in(entries: &[IndexEntry], read: &PendingRead) -> BatchPlace {
    let base = read.segment.id.base;
    let by_offset = |offset: Offset| {
        let relative = (offset.0 - base.0).clamp(0, i64::from(u32::MAX)) as u32;
        IndexEntry::place_for_offset(entries, base, relative)
    };
    match read.want {
        Want::Batches { offset, .. } => by_offset(offset),
        Want::Timestamp { timestamp, .. } => {
            IndexEntry::place_for_timestamp(entries, base, timestamp)
        }
        Want::NewestTimestamp => by_offset(read.segment.max_timestamp_batch),
    }
}

/// Looks through the batches in `bytes`, which start at `place`. Each is checked: by its place and epoch, and by its checksum,
/// which covers neither. A damaged one ends what is served before it. It does not keep a reader from what lies behind it, if
/// its header still leads there: what is read is checked by a checksum of its own, and by its offset. Marks of gaps are passed over.
fn scan(
    read: &PendingRead,
    epochs: &Epochs,
    place: BatchPlace,
    bytes: Bytes,
) -> Result<Scan, (u64, BatchError)> {
    let mut rest = bytes.clone();
    let mut next = place;
    let mut taken = Taken::default();
    let mut missing = HEADER_BYTES;
    let more = loop {
        let at = next;
        let split = Item::split_from(&mut rest);
        let checked = split.and_then(|item| {
            check_place(&item, at.offset, epochs)?;
            let passed_over =
                matches!(read.want, Want::Batches { offset, .. } if item.next_offset() <= offset);
            if let Item::Batch(batch) = &item
                && !passed_over
            {
                batch.check_crc()?;
            }
            Ok(item)
        });
        let item = match checked {
            Ok(item) => item,
            Err(BatchError::Truncated { needed, .. }) => {
                missing = needed;
                break true;
            }
            Err(_) if !taken.is_empty() => break false,
            Err(error) => return Err((at.position, error)),
        };
        let start = (at.position - place.position) as usize;
        let size = item.size_bytes();
        next = BatchPlace {
            position: at.position + size as u64,
            offset: item.next_offset(),
        };
        let Item::Batch(batch) = item else {
            continue;
        };
        match read.want {
            Want::Batches { offset, .. } if batch.next_offset() <= offset => {}
            Want::Batches {
                limit,
                max_bytes,
                at_least_one,
                ..
            } => {
                let first = taken.is_empty() && at_least_one;
                if batch.next_offset() > limit || (!first && taken.bytes + size > max_bytes) {
                    next = at;
                    break false;
                }
                taken.add(start..start + size);
            }
            Want::Timestamp { timestamp, from } => {
                if batch.max_timestamp() >= timestamp && batch.next_offset() > from {
                    return Ok(Scan::Done(ReadOutput::Found(Some(batch)), None));
                }
            }
            Want::NewestTimestamp => {
                if batch.base_offset() >= read.segment.max_timestamp_batch {
                    return Ok(Scan::Done(ReadOutput::Found(Some(batch)), None));
                }
            }
        }
    };
    Ok(match (taken.is_empty(), more) {
        (false, _) => Scan::Done(ReadOutput::Batches(taken.pieces(&bytes)), Some(next)),
        (true, true) => Scan::More {
            place: next,
            len: missing,
        },
        (true, false) => Scan::Done(ReadOutput::Batches(Vec::new()), None),
    })
}

/// Batches that are taken of a stretch of a segment.
#[derive(Default)]
struct Taken {
    ranges: Vec<Range<usize>>,
    bytes: usize,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds the bytes of a batch.
    fn add(&mut self, range: Range<usize>) {
        self.bytes += range.len();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    /// What was taken, as slices of `bytes`; many short ones cost more than a copy.
    fn pieces(self, bytes: &Bytes) -> Vec<Bytes> {
        if self.bytes >= self.ranges.len() * PIECE_BYTES_MIN {
            let slices = self.ranges.into_iter().map(|range| bytes.slice(range));
            return slices.collect();
        }
        let mut copy = BytesMut::with_capacity(self.bytes);
        for range in self.ranges {
            copy.extend_from_slice(&bytes[range]);
        }
        vec![copy.freeze()]
    }
}

/// Segment indexes in memory, the longest unused going first.
#[derive(Debug)]
pub(super) struct IndexCache {
    bytes_max: usize,
    bytes: usize,
    entries: BTreeMap<SegmentId, Arc<[IndexEntry]>>,
    order: VecDeque<SegmentId>,
}

impl IndexCache {
    pub(super) fn new(bytes_max: usize) -> IndexCache {
        IndexCache {
            bytes_max,
            bytes: 0,
            entries: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    fn get(&mut self, segment: SegmentId) -> Option<Arc<[IndexEntry]>> {
        let entries = self.entries.get(&segment)?.clone();
        self.order.retain(|id| *id != segment);
        self.order.push_back(segment);
        Some(entries)
    }

    fn insert(&mut self, segment: SegmentId, entries: Arc<[IndexEntry]>) {
        self.forget(segment);
        self.bytes += std::mem::size_of_val(&*entries);
        self.entries.insert(segment, entries);
        self.order.push_back(segment);
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            if let Some(oldest) = self.order.pop_front()
                && let Some(entries) = self.entries.remove(&oldest)
            {
                self.bytes -= std::mem::size_of_val(&*entries);
            }
        }
    }

    pub(super) fn forget(&mut self, segment: SegmentId) {
        if let Some(entries) = self.entries.remove(&segment) {
            self.bytes -= std::mem::size_of_val(&*entries);
            self.order.retain(|id| *id != segment);
        }
    }
}
