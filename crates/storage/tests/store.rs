//! The store against a disk in memory: what is appended is read back from the tail, from segments and after a restart.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::batch::{BatchBuilder, Batches};
use wiber_model::{
    Batch, LeaderEpoch, Monotonic, Now, Offset, PartitionId, ProducerEpoch, ProducerId, Rng,
    Sequence, TimestampMs, TopicId,
};
use wiber_storage::frame::Frame;
use wiber_storage::log::{AppendError, LogConfig, LogState, PartitionLog, StateForm};
use wiber_storage::store::{
    Placement, Read, ReadError, ReadOutput, ShardSection, StoreOptions, Want,
};
use wiber_storage::{DiskError, DiskOp, DiskResult, FileId, Store, StoreEffect};

const EPOCH: LeaderEpoch = LeaderEpoch(3);

/// A store, its files, and what it said.
struct Bench {
    store: Store,
    files: BTreeMap<FileId, Vec<u8>>,
    fx: Vec<StoreEffect>,
    frames: Vec<Frame>,
    reads: Vec<Result<ReadOutput, ReadError>>,
    sections: Vec<Bytes>,
    full: bool,
    /// Bytes of a file that cannot be read.
    unreadable: Option<(FileId, Range<u64>)>,
    now: Now,
    ops: usize,
}

impl Bench {
    fn new(options: StoreOptions, logs: Vec<PartitionLog>) -> Bench {
        Bench {
            store: Store::new(options, logs, Vec::new()),
            files: BTreeMap::new(),
            fx: Vec::new(),
            frames: Vec::new(),
            reads: Vec::new(),
            sections: Vec::new(),
            full: false,
            unreadable: None,
            now: Now {
                monotonic: Monotonic(0),
                wall: TimestampMs(1_000_000),
            },
            ops: 0,
        }
    }

    fn small(config: LogConfig) -> Bench {
        let mut bench = Bench::new(small_options(), Vec::new());
        bench.store.create(partition(0), Arc::new(config));
        bench
    }

    /// Performs what the store wants until it wants nothing more.
    fn settle(&mut self) {
        while !self.fx.is_empty() {
            for effect in std::mem::take(&mut self.fx) {
                match effect {
                    StoreEffect::Disk { token, op } => {
                        self.ops += 1;
                        let result = self.perform(op);
                        self.store.disk_done(self.now, token, result, &mut self.fx);
                    }
                    StoreEffect::Append { frames, .. } => self.frames.extend(frames),
                    StoreEffect::Section { bytes, .. } => self.sections.push(bytes),
                    StoreEffect::Read { result, .. } => self.reads.push(result),
                    StoreEffect::Fatal(reason) => panic!("{reason}"),
                    StoreEffect::Clean { .. } | StoreEffect::CleanEnded { .. } => {
                        panic!("nobody asked for a compaction")
                    }
                    StoreEffect::Cut { .. }
                    | StoreEffect::SectionFailed { .. }
                    | StoreEffect::RequestCheckpoint
                    | StoreEffect::Advanced(_)
                    | StoreEffect::WakeAt(_) => {}
                }
                self.store.validate();
            }
        }
    }

    fn perform(&mut self, op: DiskOp) -> DiskResult {
        match op {
            DiskOp::Read { file, at, len }
                if self.unreadable.as_ref().is_some_and(|(bad, range)| {
                    *bad == file && at < range.end && at + len as u64 > range.start
                }) =>
            {
                Err(DiskError::Failed(format!("read {}: EIO", file.path())))
            }
            DiskOp::Read { file, at, len } => {
                let bytes = self.files.get(&file).ok_or(DiskError::NotFound)?;
                let end = bytes.len().min(at as usize + len);
                Ok(Bytes::copy_from_slice(&bytes[(at as usize).min(end)..end]))
            }
            DiskOp::Write { .. } if self.full => Err(DiskError::NoSpace),
            DiskOp::Write { file, at, data } => {
                let contents = self.files.entry(file).or_default();
                contents.resize(contents.len().max(at as usize), 0);
                contents.truncate(at as usize);
                data.iter()
                    .for_each(|piece| contents.extend_from_slice(piece));
                Ok(Bytes::new())
            }
            DiskOp::Sync { .. } | DiskOp::SyncDirectories { .. } => Ok(Bytes::new()),
            DiskOp::Delete { files } => {
                files.iter().for_each(|file| drop(self.files.remove(file)));
                Ok(Bytes::new())
            }
            other => panic!("a store does not {other:?}"),
        }
    }

    fn append(&mut self, partition: PartitionId, batch: Batch) -> Result<Placement, AppendError> {
        let placed = self
            .store
            .append(self.now, partition, batch, EPOCH, &mut self.fx);
        self.settle();
        placed
    }

    fn all_durable(&mut self) {
        self.store.durable(self.frames.len() as u64, &mut self.fx);
        self.store.written(self.frames.len() as u64, &mut self.fx);
        self.settle();
    }

    fn read(&mut self, partition: PartitionId, want: Want) -> Result<ReadOutput, ReadError> {
        match self.store.read(partition, want, &mut self.fx) {
            Read::Done(result) => result,
            Read::Pending(_) => {
                self.settle();
                self.reads.pop().expect("the read has ended")
            }
        }
    }

    fn fetch(&mut self, offset: i64, max_bytes: usize) -> Result<Vec<Batch>, ReadError> {
        let limit = self
            .store
            .log(partition(0))
            .expect("it is there")
            .visible_end();
        let want = Want::Batches {
            offset: Offset(offset),
            limit,
            max_bytes,
            at_least_one: true,
        };
        match self.read(partition(0), want)? {
            ReadOutput::Batches(pieces) => Ok(pieces
                .into_iter()
                .flat_map(|piece| Batches::new(piece).map(|batch| batch.expect("whole batches")))
                .collect()),
            ReadOutput::Found(_) => panic!("batches were wanted"),
        }
    }

    fn checkpoint(&mut self, id: u64) -> ShardSection {
        self.store.begin_checkpoint(id, &mut self.fx);
        self.settle();
        let section = self.sections.pop().expect("a section was reported");
        self.store.checkpointed(id, &mut self.fx);
        self.settle();
        ShardSection::decode(section, StateForm::V2).expect("a section that was just encoded")
    }
}

fn small_options() -> StoreOptions {
    StoreOptions {
        dirty_bytes_max: 4000,
        behind_bytes: 8000,
        tail_bytes_max: 2000,
        index_cache_bytes_max: 200,
    }
}

fn small_log() -> LogConfig {
    LogConfig {
        segment_bytes: 5000,
        index_interval_bytes: 600,
        ..LogConfig::default()
    }
}

fn partition(partition: i32) -> PartitionId {
    PartitionId {
        topic: TopicId([7; 16]),
        partition,
    }
}

/// A batch of `records` records, the value filled with the batch's time.
fn batch(time: i64, records: usize) -> Batch {
    let mut builder = BatchBuilder::new(TimestampMs(time));
    for i in 0..records {
        builder.push(
            TimestampMs(time + i as i64),
            None,
            Some(&[time as u8; 100]),
            &[],
        );
    }
    builder.build()
}

#[test]
fn every_offset_is_read_back_from_tail_and_segments() {
    let mut bench = Bench::small(small_log());
    let mut rng = Rng::new(5);
    let mut bases = Vec::new();
    for i in 0..200 {
        let placed = bench
            .append(partition(0), batch(i * 10, 1 + rng.below(5) as usize))
            .unwrap();
        bases.push(placed.base_offset);
    }
    bench.all_durable();
    let log = bench.store.log(partition(0)).unwrap();
    let end = log.end();
    assert!(
        log.segments().len() > 5,
        "rolled into {} segments",
        log.segments().len()
    );
    assert!(
        log.tail().bytes() < 10_000,
        "most of the log is not in memory"
    );
    for offset in 0..end.0 {
        let max_bytes = 1 + rng.below(3000) as usize;
        let batches = bench.fetch(offset, max_bytes).unwrap();
        let first = batches.first().expect("something is there");
        assert!(first.base_offset().0 <= offset && offset <= first.last_offset().0);
        for pair in batches.windows(2) {
            assert_eq!(pair[0].next_offset(), pair[1].base_offset());
        }
        let bytes: usize = batches.iter().map(Batch::size_bytes).sum();
        assert!(batches.len() == 1 || bytes <= max_bytes);
        let i = bases.partition_point(|base| *base <= first.base_offset()) as i64 - 1;
        assert_eq!(first.base_timestamp(), TimestampMs(i * 10));
        assert_eq!(first.leader_epoch(), EPOCH);
    }
    assert_eq!(bench.fetch(end.0, 100).unwrap(), []);
    assert!(matches!(
        bench.fetch(end.0 + 1, 100),
        Err(ReadError::OutOfRange { .. })
    ));
}

#[test]
fn reading_on_in_order_needs_no_index() {
    let mut bench = Bench::small(LogConfig {
        segment_bytes: 1 << 20,
        ..small_log()
    });
    for i in 0..500 {
        bench.append(partition(0), batch(i, 1)).unwrap();
    }
    bench.all_durable();
    bench.checkpoint(1);
    let mut next = 0;
    let before = bench.ops;
    let mut fetches = 0;
    while next < 400 {
        next = bench
            .fetch(next, 2000)
            .unwrap()
            .last()
            .unwrap()
            .next_offset()
            .0;
        fetches += 1;
    }
    assert!(
        bench.ops - before <= fetches + 1,
        "{} operations for {fetches} fetches",
        bench.ops - before
    );
}

#[test]
fn timestamps_lead_to_the_first_batch_that_reaches_them() {
    let mut bench = Bench::small(small_log());
    for i in 0..100 {
        // Every tenth batch lies back in time.
        let time = if i % 10 == 9 { i * 100 - 500 } else { i * 100 };
        bench.append(partition(0), batch(time, 2)).unwrap();
    }
    bench.all_durable();
    for timestamp in (0..9_800).step_by(37) {
        let want = Want::Timestamp {
            timestamp: TimestampMs(timestamp),
            from: Offset(0),
        };
        let ReadOutput::Found(Some(found)) = bench.read(partition(0), want).unwrap() else {
            panic!("nothing at {timestamp}");
        };
        let expected = (0..100).find(|i| {
            let time = if i % 10 == 9 { i * 100 - 500 } else { i * 100 };
            time + 1 >= timestamp
        });
        assert_eq!(
            Some(found.base_offset().0 / 2),
            expected,
            "timestamp {timestamp}"
        );
    }
    let want = Want::Timestamp {
        timestamp: TimestampMs(99_999),
        from: Offset(0),
    };
    assert_eq!(bench.read(partition(0), want), Ok(ReadOutput::Found(None)));
    let newest = bench.read(partition(0), Want::NewestTimestamp).unwrap();
    assert!(matches!(newest, ReadOutput::Found(Some(b)) if b.base_offset() == Offset(196)));
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let mut bench = Bench::small(small_log());
    bench.append(partition(0), batch(0, 2)).unwrap();
    bench.append(partition(0), batch(1, 2)).unwrap();
    assert_eq!(bench.fetch(0, 1000).unwrap().len(), 0);
    bench.store.durable(1, &mut bench.fx);
    assert_eq!(bench.fetch(0, 1000).unwrap().len(), 1);
    assert_eq!(bench.fetch(2, 1000).unwrap().len(), 0);
}

#[test]
fn a_relaxed_log_is_visible_when_written() {
    let mut bench = Bench::small(LogConfig {
        relaxed: true,
        ..small_log()
    });
    let placed = bench.append(partition(0), batch(0, 2)).unwrap();
    assert!(!bench.store.is_done(placed.ticket));
    bench.store.written(1, &mut bench.fx);
    assert!(bench.store.is_done(placed.ticket));
    assert_eq!(bench.fetch(0, 1000).unwrap().len(), 1);
}

#[test]
fn a_duplicate_waits_for_its_original() {
    let mut bench = Bench::small(small_log());
    let idempotent = || {
        let mut builder = BatchBuilder::new(TimestampMs(1)).producer(
            ProducerId(9),
            ProducerEpoch(0),
            Sequence(0),
        );
        builder.push(TimestampMs(1), None, Some(b"v"), &[]);
        builder.build()
    };
    let first = bench.append(partition(0), idempotent()).unwrap();
    let again = bench.append(partition(0), idempotent()).unwrap();
    assert!(again.duplicate && again.base_offset == first.base_offset);
    assert!(!bench.store.is_done(again.ticket));
    assert_eq!(bench.frames.len(), 1);
    bench.all_durable();
    assert!(bench.store.is_done(again.ticket));
}

#[test]
fn a_section_brings_the_log_back_as_of_its_cut() {
    let mut bench = Bench::small(small_log());
    for i in 0..50 {
        bench.append(partition(0), batch(i, 2)).unwrap();
    }
    bench.all_durable();
    bench.store.begin_checkpoint(1, &mut bench.fx);
    // What comes after the cut is none of the section's business, although it may be written before the section is.
    let mut late = Vec::new();
    for i in 50..70 {
        let batch = batch(i, 2);
        bench
            .store
            .append(bench.now, partition(0), batch, EPOCH, &mut late)
            .unwrap();
    }
    bench.fx.extend(late);
    bench.settle();
    let section = ShardSection::decode(bench.sections.pop().unwrap(), StateForm::V2).unwrap();
    let state = section.logs[0].clone();
    assert_eq!(state.end, Offset(100));
    assert_eq!(state.segments.last().unwrap().next_offset, Offset(100));
    let log = PartitionLog::restore(state.clone(), Arc::new(small_log()));
    let mut restored = Bench::new(small_options(), vec![log]);
    restored.files = bench.files.clone();
    for segment in &state.segments {
        // As recovery does: the files are cut back to what the checkpoint says.
        restored
            .files
            .get_mut(&FileId::Segment(segment.id))
            .unwrap()
            .truncate(segment.bytes as usize);
    }
    for offset in 0..100 {
        assert_eq!(
            restored.fetch(offset, 1).unwrap(),
            bench.fetch(offset, 1).unwrap()
        );
    }
    let placed = restored.append(partition(0), batch(99, 1)).unwrap();
    assert_eq!(placed.base_offset, Offset(100));
}

#[test]
fn a_log_that_did_not_change_is_not_looked_at_again() {
    let mut bench = Bench::small(small_log());
    bench.append(partition(0), batch(0, 1)).unwrap();
    bench.all_durable();
    let first = bench.checkpoint(1);
    let before = bench.ops;
    let second = bench.checkpoint(2);
    assert_eq!(first.logs, second.logs);
    assert_eq!(bench.ops, before, "no disk operation for a clean log");
}

#[test]
fn retention_by_time_frees_files_once_the_log_start_is_durable() {
    let mut bench = Bench::small(LogConfig {
        retention_ms: 1000,
        ..small_log()
    });
    for i in 0..100 {
        bench.append(partition(0), batch(i * 100, 2)).unwrap();
    }
    bench.all_durable();
    bench.checkpoint(1);
    bench.now.wall = TimestampMs(8_000);
    bench
        .store
        .expire(partition(0), bench.now.wall, TimestampMs(0), &mut bench.fx);
    bench.settle();
    let start = bench.store.log(partition(0)).unwrap().start();
    assert!(
        start > Offset(100) && start < Offset(140),
        "the log starts at {start}"
    );
    assert!(matches!(bench.frames.last(), Some(Frame::LogStart { start: s, .. }) if *s == start));
    let first = bench.files.keys().next().copied();
    assert!(
        matches!(first, Some(FileId::Segment(s)) if s.base == Offset(0)),
        "files stay until the move is durable"
    );
    assert!(matches!(
        bench.fetch(0, 100),
        Err(ReadError::OutOfRange { .. })
    ));
    bench.all_durable();
    let bases = bench.files.keys().filter_map(|file| match file {
        FileId::Segment(segment) => Some(segment.base),
        _ => None,
    });
    assert_eq!(bases.min(), Some(start), "only what is listed is left");
    assert_eq!(bench.fetch(start.0, 1).unwrap()[0].base_offset(), start);
}

#[test]
fn retention_by_size_keeps_at_least_the_size() {
    let mut bench = Bench::small(LogConfig {
        retention_bytes: 12_000,
        retention_ms: -1,
        ..small_log()
    });
    for i in 0..200 {
        bench.append(partition(0), batch(i, 1)).unwrap();
    }
    bench.all_durable();
    bench.checkpoint(1);
    let before = bench.store.log(partition(0)).unwrap().size_bytes();
    bench
        .store
        .expire(partition(0), bench.now.wall, TimestampMs(0), &mut bench.fx);
    bench.settle();
    let after = bench.store.log(partition(0)).unwrap().size_bytes();
    assert!(
        before > 20_000 && (12_000..17_000).contains(&after),
        "{before} bytes became {after}"
    );
}

#[test]
fn a_full_disk_refuses_before_an_offset_and_recovers() {
    let mut bench = Bench::small(small_log());
    bench.full = true;
    let mut refused = false;
    for i in 0..200 {
        let end = bench.store.log(partition(0)).unwrap().end();
        if bench.append(partition(0), batch(i, 1)).is_err() {
            assert_eq!(bench.store.log(partition(0)).unwrap().end(), end);
            refused = true;
            break;
        }
    }
    assert!(refused);
    bench.all_durable();
    assert!(!bench.fetch(0, 100).unwrap().is_empty(), "reads go on");
    bench.full = false;
    bench.store.tick(bench.now, &mut bench.fx);
    bench.settle();
    bench
        .append(partition(0), batch(1, 1))
        .expect("the disk has room again");
}

#[test]
fn a_deleted_partition_leaves_no_file() {
    let mut bench = Bench::small(small_log());
    for i in 0..100 {
        bench.append(partition(0), batch(i, 1)).unwrap();
    }
    bench.checkpoint(1);
    assert!(!bench.files.is_empty());
    bench.store.remove(partition(0), &mut bench.fx);
    bench.settle();
    bench.checkpoint(2);
    assert!(bench.files.is_empty(), "{:?}", bench.files.keys());
    assert!(
        bench
            .store
            .partitions_from(Bound::Unbounded)
            .next()
            .is_none()
    );
}

#[test]
fn a_flipped_bit_on_disk_is_an_error_that_names_the_place() {
    let mut bench = Bench::small(small_log());
    for i in 0..100 {
        bench.append(partition(0), batch(i, 1)).unwrap();
    }
    bench.all_durable();
    let (file, contents) = bench.files.iter_mut().next().unwrap();
    let path = file.path();
    contents[100] ^= 4;
    match bench.fetch(0, 100) {
        Err(ReadError::Corrupt { file, position, .. }) => assert_eq!((file, position), (path, 0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_batch_in_a_segment_alone_is_refused() {
    let sparse = LogConfig {
        index_interval_bytes: 1 << 20,
        ..small_log()
    };
    let mut bench = Bench::small(sparse);
    for i in 0..100 {
        bench.append(partition(0), batch(i, 2)).unwrap();
    }
    bench.all_durable();
    bench.checkpoint(1);
    let (file, contents) = bench.files.iter_mut().next().unwrap();
    assert!(matches!(file, FileId::Segment(_)));
    // The fourth batch; somewhere in its records.
    let size = Batch::split_from(&mut Bytes::copy_from_slice(contents))
        .unwrap()
        .size_bytes();
    contents[4 * size - 1] ^= 1;
    let before = bench.fetch(0, 1 << 20).unwrap();
    assert_eq!(before.last().unwrap().next_offset(), Offset(6));
    for lost in [6, 7] {
        let refused = bench.fetch(lost, 1 << 20);
        assert!(
            matches!(refused, Err(ReadError::Corrupt { position, .. }) if position == 3 * size as u64)
        );
    }
    let behind = bench.fetch(8, 1 << 20).unwrap();
    assert_eq!(behind[0].base_offset(), Offset(8));
}

#[test]
fn what_the_disk_does_not_give_alone_is_refused() {
    let index_interval_bytes = 600;
    let mut bench = Bench::small(LogConfig {
        index_interval_bytes,
        segment_bytes: 1 << 20,
        ..small_log()
    });
    for i in 0..100 {
        bench.append(partition(0), batch(i, 2)).unwrap();
    }
    bench.all_durable();
    bench.checkpoint(1);
    let segment = bench.files.keys().find(|f| matches!(f, FileId::Segment(_)));
    let segment = *segment.expect("a segment was written");
    let size = bench.files[&segment].len() as u64 / 100;
    // In the records of the eleventh batch, and the first byte of the twelfth.
    bench.unreadable = Some((segment, 10 * size + 70..11 * size + 1));
    let mut refused = Vec::new();
    for offset in 0..200 {
        match bench.fetch(offset, 1 << 20) {
            Ok(got) => assert_eq!(got[0].base_offset().0, offset / 2 * 2),
            Err(ReadError::Disk { position, .. }) => {
                assert!((10 * size..12 * size).contains(&position));
                refused.push(offset);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    // Behind, the way leads from the next entry of the index.
    let last = refused[refused.len() - 1];
    assert_eq!(refused, (20..=last).collect::<Vec<_>>());
    let unindexed = i64::from(index_interval_bytes as u32 / size as u32 + 1) * 2;
    assert!((23..24 + unindexed).contains(&last), "{last}");
}

#[test]
fn an_index_that_cannot_be_read_is_done_without() {
    let mut bench = Bench::small(small_log());
    for i in 0..100 {
        bench.append(partition(0), batch(i, 2)).unwrap();
    }
    bench.all_durable();
    bench.checkpoint(1);
    let indexes: Vec<FileId> = bench
        .files
        .keys()
        .copied()
        .filter(|f| matches!(f, FileId::Index(_)))
        .collect();
    assert!(indexes.len() > 1);
    for index in indexes {
        bench.unreadable = Some((index, 0..u64::MAX));
        for offset in (0..200).step_by(7) {
            let got = bench.fetch(offset, 100).unwrap();
            assert_eq!(got[0].base_offset().0, offset / 2 * 2);
        }
    }
}

#[test]
fn a_hole_alone_is_refused_and_stays() {
    let mut log = PartitionLog::new(partition(0), Arc::new(small_log()));
    for base in [0, 2, 6, 8, 12] {
        log.replay(batch(base, 2).placed(Offset(base), EPOCH), TimestampMs(0));
    }
    // Lost at its end, with a header that tells how far it went.
    log.lose_up_to(Offset(16));
    log.advance(log.end());
    let holes = [(4, 6), (10, 12), (14, 16)];
    let check = |bench: &mut Bench| {
        bench.store.validate();
        let end = bench.store.log(partition(0)).unwrap().end().0;
        let mut next = 0;
        while next < end {
            match bench.fetch(next, 1 << 20) {
                Ok(batches) => {
                    assert_eq!(batches[0].base_offset(), Offset(next));
                    // All that is there, and nothing from beyond a hole.
                    next = batches.last().unwrap().next_offset().0;
                    assert!(next == end || holes.iter().any(|(from, _)| *from == next));
                }
                Err(ReadError::Lost { from, to }) => {
                    assert!(holes.contains(&(from.0, to.0)) && from.0 <= next && next < to.0);
                    next += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    let mut bench = Bench::new(small_options(), vec![log]);
    check(&mut bench);
    let placed = bench.append(partition(0), batch(16, 2)).unwrap();
    assert_eq!(placed.base_offset, Offset(16));
    bench.all_durable();
    check(&mut bench);
    // The same from segments, and from the log that a checkpoint describes.
    let state = bench.checkpoint(1).logs.remove(0);
    check(&mut bench);
    assert_eq!(state.holes.entries().len(), holes.len());
    let bytes = state.encode();
    let mut rest = bytes.clone();
    assert_eq!(LogState::decode(&mut rest, StateForm::V2).unwrap(), state);
    let log = PartitionLog::restore(state, Arc::new(small_log()));
    let mut restored = Bench::new(small_options(), vec![log]);
    restored.files = bench.files.clone();
    check(&mut restored);
    // A log start that comes to lie in a hole goes beyond it.
    restored
        .store
        .move_start(partition(0), Offset(5), &mut restored.fx);
    restored.settle();
    let log = restored.store.log(partition(0)).unwrap();
    assert_eq!((log.start(), log.holes().entries().len()), (Offset(6), 2));
}

/// The files that an operation syncs: their contents, or their directory entries.
fn synced(op: &DiskOp, directories: bool) -> Option<Vec<FileId>> {
    match op {
        DiskOp::Sync { files } if !directories => Some(files.clone()),
        DiskOp::SyncDirectories { files } if directories => Some(files.clone()),
        _ => None,
    }
}

#[test]
fn syncs_of_a_checkpoint_that_was_given_up_do_not_count_for_the_next() {
    for directories in [false, true] {
        let mut bench = Bench::small(small_log());
        for i in 0..10 {
            bench.append(partition(0), batch(i, 2)).unwrap();
        }
        bench.all_durable();
        bench.store.begin_checkpoint(1, &mut bench.fx);
        let mut held = None;
        while held.is_none() {
            for effect in std::mem::take(&mut bench.fx) {
                match effect {
                    StoreEffect::Disk { token, op } if synced(&op, directories).is_some() => {
                        held = Some((token, synced(&op, directories).unwrap()));
                    }
                    StoreEffect::Disk { token, op } => {
                        let result = bench.perform(op);
                        bench
                            .store
                            .disk_done(bench.now, token, result, &mut bench.fx);
                    }
                    _ => {}
                }
            }
        }
        let (token, files) = held.unwrap();
        bench.store.abandon_checkpoint();
        bench.store.begin_checkpoint(2, &mut bench.fx);
        let mut answers = Vec::new();
        bench
            .store
            .disk_done(bench.now, token, Ok(Bytes::new()), &mut answers);
        assert!(answers.is_empty(), "the old sync says nothing: {answers:?}");
        // Before the second checkpoint reports, all that the first one was syncing is synced again.
        let mut again = Vec::new();
        while bench.sections.is_empty() {
            for effect in std::mem::take(&mut bench.fx) {
                match effect {
                    StoreEffect::Disk { token, op } => {
                        again.extend(synced(&op, directories).into_iter().flatten());
                        let result = bench.perform(op);
                        bench
                            .store
                            .disk_done(bench.now, token, result, &mut bench.fx);
                    }
                    StoreEffect::Section { bytes, .. } => bench.sections.push(bytes),
                    _ => {}
                }
            }
        }
        assert!(
            files.iter().all(|file| again.contains(file)),
            "{files:?}: {again:?}"
        );
    }
}
