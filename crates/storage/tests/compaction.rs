//! Compaction against a naive model: what a log holds after rounds of it, whatever the codecs, the segments and the memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use wiber_model::batch::{BatchBuilder, Batches, Compression, Records};
use wiber_model::{
    Batch, LeaderEpoch, Monotonic, Now, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence,
    TimestampMs, TopicId,
};
use wiber_storage::clean::CleanDone;
use wiber_storage::compression::{Decoder, compress};
use wiber_storage::log::{LogConfig, PartitionLog, StateForm};
use wiber_storage::store::{
    CleanEnd, CleanerOptions, Read, ReadError, ReadOutput, ShardSection, StoreOptions, Want,
};
use wiber_storage::{DiskError, DiskOp, DiskResult, FileId, Store, StoreEffect};

const EPOCH: LeaderEpoch = LeaderEpoch(3);
const PARTITION: PartitionId = PartitionId {
    topic: TopicId([7; 16]),
    partition: 0,
};
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
const START_MS: i64 = 1_000_000;
const BACKOFF_MS: i64 = 1000;
const RETENTION_MS: i64 = 10_000;

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// A store, its files, and what it said.
struct Bench {
    store: Store,
    files: BTreeMap<FileId, Vec<u8>>,
    fx: Vec<StoreEffect>,
    frames: u64,
    reads: Vec<Result<ReadOutput, ReadError>>,
    sections: Vec<Bytes>,
    ends: Vec<CleanEnd>,
    wants_checkpoint: bool,
    full: bool,
    now: Now,
    checkpoints: u64,
}

impl Bench {
    fn new(logs: Vec<PartitionLog>, map_bytes_max: u64) -> Bench {
        let options = StoreOptions {
            dirty_bytes_max: 1,
            tail_bytes_max: 1,
            ..StoreOptions::default()
        };
        let mut store = Store::new(options, logs, Vec::new());
        store.configure_cleaner(CleanerOptions {
            map_bytes_max,
            buffer_bytes: 16 * 1024,
            backoff_ms: BACKOFF_MS,
            hash_key: (3, 4),
            ..CleanerOptions::default()
        });
        Bench {
            store,
            files: BTreeMap::new(),
            fx: Vec::new(),
            frames: 0,
            reads: Vec::new(),
            sections: Vec::new(),
            ends: Vec::new(),
            wants_checkpoint: false,
            full: false,
            now: Now {
                monotonic: Monotonic(0),
                wall: TimestampMs(START_MS),
            },
            checkpoints: 0,
        }
    }

    fn with(config: LogConfig, map_bytes_max: u64) -> Bench {
        let mut bench = Bench::new(Vec::new(), map_bytes_max);
        bench.store.create(PARTITION, Arc::new(config));
        bench
            .store
            .begin_epochs(&[(PARTITION, EPOCH)], &mut bench.fx);
        bench.settle();
        bench
    }

    fn log(&self) -> &PartitionLog {
        self.store.log(PARTITION).expect("it is there")
    }

    /// Performs one thing that the store wants. False if it wants nothing.
    fn step(&mut self) -> bool {
        if self.fx.is_empty() {
            return false;
        }
        match self.fx.remove(0) {
            StoreEffect::Disk { token, op } => {
                let result = self.perform(op);
                self.store.disk_done(self.now, token, result, &mut self.fx);
            }
            StoreEffect::Clean { partition, job } => {
                let done: CleanDone = job.run();
                self.store.cleaned(self.now, partition, done, &mut self.fx);
            }
            StoreEffect::CleanEnded { end, .. } => self.ends.push(end),
            StoreEffect::Append { frames, .. } => {
                self.frames += frames.len() as u64;
                self.store.written(self.frames, &mut self.fx);
                self.store.durable(self.frames, &mut self.fx);
            }
            StoreEffect::Section { bytes, .. } => self.sections.push(bytes),
            StoreEffect::Read { result, .. } => self.reads.push(result),
            StoreEffect::RequestCheckpoint => self.wants_checkpoint = true,
            StoreEffect::Fatal(reason) => panic!("{reason}"),
            StoreEffect::Cut { .. }
            | StoreEffect::SectionFailed { .. }
            | StoreEffect::Advanced(_)
            | StoreEffect::WakeAt(_) => {}
        }
        self.store.validate();
        true
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    fn perform(&mut self, op: DiskOp) -> DiskResult {
        match op {
            DiskOp::Read { file, at, len } => {
                let bytes = self.files.get(&file).ok_or(DiskError::NotFound)?;
                let end = bytes.len().min(at as usize + len);
                Ok(Bytes::copy_from_slice(&bytes[(at as usize).min(end)..end]))
            }
            DiskOp::Write { .. } if self.full => Err(DiskError::NoSpace),
            DiskOp::Write { file, at, data } => {
                let contents = self.files.entry(file).or_default();
                assert_eq!(contents.len(), at as usize, "{}", file.path());
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

    fn append(&mut self, batch: Batch) {
        let placed = self
            .store
            .append(self.now, PARTITION, batch, EPOCH, &mut self.fx);
        placed.expect("it is taken");
        self.settle();
    }

    fn checkpoint(&mut self) -> ShardSection {
        self.wants_checkpoint = false;
        self.checkpoints += 1;
        self.store.begin_checkpoint(self.checkpoints, &mut self.fx);
        self.settle();
        let section = self.sections.pop().expect("a section was reported");
        self.store.checkpointed(self.checkpoints, &mut self.fx);
        self.settle();
        ShardSection::decode(section, StateForm::V2).expect("a section that was just encoded")
    }

    /// Lets time pass, and the store clean, until it rests.
    fn clean(&mut self) {
        for _ in 0..1000 {
            if self.wants_checkpoint {
                self.checkpoint();
            }
            let next = self.store.next_cleaning();
            if next > self.now.monotonic.plus_ms(BACKOFF_MS) {
                return;
            }
            let wait_ms = (next.0.saturating_sub(self.now.monotonic.0) / 1_000_000) as i64 + 1;
            self.pass(wait_ms);
            self.store.clean(self.now, &mut self.fx);
            self.settle();
        }
        panic!("it does not come to rest");
    }

    fn pass(&mut self, ms: i64) {
        self.now.monotonic = self.now.monotonic.plus_ms(ms);
        self.now.wall = TimestampMs(self.now.wall.0 + ms);
    }

    fn read(&mut self, want: Want) -> Result<ReadOutput, ReadError> {
        match self.store.read(PARTITION, want, &mut self.fx) {
            Read::Done(result) => result,
            Read::Pending(_) => {
                self.settle();
                self.reads.pop().expect("the read has ended")
            }
        }
    }

    fn fetch(&mut self, offset: i64, max_bytes: usize) -> Vec<Batch> {
        let want = Want::Batches {
            offset: Offset(offset),
            limit: self.log().visible_end(),
            max_bytes,
            at_least_one: true,
        };
        match self.read(want).expect("it can be read") {
            ReadOutput::Batches(pieces) => pieces
                .into_iter()
                .flat_map(|piece| Batches::new(piece).map(|batch| batch.expect("whole batches")))
                .collect(),
            ReadOutput::Found(_) => panic!("batches were wanted"),
        }
    }

    /// All batches, by a reader that takes so many bytes at a time.
    fn batches(&mut self, max_bytes: usize) -> Vec<Batch> {
        let mut out = Vec::new();
        let mut next = self.log().start().0;
        while next < self.log().visible_end().0 {
            let batches = self.fetch(next, max_bytes);
            let last = batches.last().expect("a reader always gets on");
            assert!(last.next_offset().0 > next);
            next = last.next_offset().0;
            out.extend(batches);
        }
        out
    }

    fn records(&mut self, max_bytes: usize) -> Vec<Seen> {
        self.batches(max_bytes).iter().flat_map(records).collect()
    }

    /// The same store, started again on the files that a checkpoint lists.
    fn restarted(self, section: ShardSection, config: &LogConfig, map_bytes_max: u64) -> Bench {
        let mut bench = Bench::new(
            section
                .logs
                .into_iter()
                .map(|state| PartitionLog::restore(state, Arc::new(config.clone())))
                .collect(),
            map_bytes_max,
        );
        let mut listed = BTreeSet::new();
        for segment in bench.log().segments() {
            listed.insert(FileId::Segment(segment.id));
            listed.insert(FileId::Index(segment.id));
        }
        let doomed: BTreeSet<_> = section.doomed.into_iter().collect();
        for file in self.files.keys() {
            let known = listed.contains(file) || doomed.contains(file);
            assert!(known, "{} is forgotten", file.path());
        }
        bench.files = self.files;
        bench.files.retain(|file, _| listed.contains(file));
        bench.now = self.now;
        bench.frames = 0;
        bench
    }
}

fn records(batch: &Batch) -> Vec<Seen> {
    batch.check_crc().expect("it is whole");
    let compression = batch.compression().expect("it is one");
    let payload = batch.payload();
    let payload = Decoder::new(compression, &payload, 1 << 24)
        .and_then(Decoder::into_vec)
        .expect("it unfolds");
    Records::new(&payload, batch.record_count())
        .map(|record| {
            let record = record.expect("it is whole");
            Seen {
                offset: batch.base_offset().0 + i64::from(record.offset_delta),
                timestamp: batch.base_timestamp().0 + record.timestamp_delta,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
            }
        })
        .collect()
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        index_interval_bytes: 300,
        delete: false,
        compact: true,
        min_cleanable_ratio: 0.0,
        delete_retention_ms: RETENTION_MS,
        ..LogConfig::default()
    }
}

/// What is written: keys and values of a batch, its codec, and its producer.
#[derive(Clone, Debug)]
struct Written {
    records: Vec<(u8, bool)>,
    codec: usize,
    producer: Option<u8>,
}

fn written() -> impl Strategy<Value = Written> {
    let record = (0..30_u8, prop::bool::weighted(0.8));
    (
        prop::collection::vec(record, 1..6),
        0..CODECS.len(),
        prop::option::of(0..3_u8),
    )
        .prop_map(|(records, codec, producer)| Written {
            records,
            codec,
            producer,
        })
}

/// Makes a batch of it; `sequences` counts what each producer wrote.
fn batch(written: &Written, now: TimestampMs, sequences: &mut BTreeMap<u8, i32>) -> Batch {
    let mut builder = BatchBuilder::new(now);
    if let Some(producer) = written.producer {
        let sequence = sequences.entry(producer).or_default();
        builder = builder.producer(
            ProducerId(i64::from(producer)),
            ProducerEpoch(0),
            Sequence(*sequence),
        );
        *sequence += written.records.len() as i32;
    }
    for (i, (key, valued)) in written.records.iter().enumerate() {
        let value = format!("{key} at {}", now.0).repeat(3);
        let value = valued.then_some(value.as_bytes());
        let time = TimestampMs(now.0 + i as i64);
        builder.push(time, Some(&[*key]), value, &[("h", Some(b"x"))]);
    }
    match CODECS[written.codec] {
        Compression::None => builder.build(),
        codec => {
            let payload = compress(codec, builder.payload());
            builder.build_with(codec, &payload)
        }
    }
}

/// Checks what a log holds against all that was ever written to it: `cleaned` is how far it is compacted at least, `gone` says
/// which keys' tombstones may be gone.
fn check(all: &[Seen], held: &[Seen], cleaned: i64) {
    let by_offset: BTreeMap<_, _> = all.iter().map(|seen| (seen.offset, seen)).collect();
    assert!(held.windows(2).all(|pair| pair[0].offset < pair[1].offset));
    for seen in held {
        assert_eq!(by_offset.get(&seen.offset), Some(&seen));
    }
    let offsets: BTreeSet<_> = held.iter().map(|seen| seen.offset).collect();
    let mut newest = BTreeMap::new();
    for seen in all {
        newest.insert(&seen.key, seen);
    }
    for seen in all {
        let is_newest = newest[&seen.key].offset == seen.offset;
        let there = offsets.contains(&seen.offset);
        if is_newest && seen.value.is_some() || seen.offset >= cleaned {
            assert!(there, "{seen:?} is gone");
        }
    }
    for seen in held.iter().filter(|seen| seen.offset < cleaned) {
        let newer = held.iter().find(|other| {
            other.key == seen.key && seen.offset < other.offset && other.offset < cleaned
        });
        assert_eq!(newer, None, "{seen:?} should be gone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_compacted_log_holds_what_the_model_does(
        rounds in prop::collection::vec(prop::collection::vec(written(), 1..60), 1..5),
        map_bytes in prop::sample::select(vec![200_u64, 600, 1 << 20]),
        max_bytes in prop::sample::select(vec![1_usize, 700, 1 << 20]),
        restarts: bool,
    ) {
        let config = config();
        let mut bench = Bench::with(config.clone(), map_bytes);
        let mut sequences = BTreeMap::new();
        let mut all: Vec<Seen> = Vec::new();
        for round in rounds {
            for written in round {
                bench.pass(7);
                let batch = batch(&written, bench.now.wall, &mut sequences);
                let base = bench.log().end().0;
                all.extend(records(&batch).into_iter().map(|seen| Seen {
                    offset: base + seen.offset,
                    ..seen
                }));
                bench.append(batch);
            }
            bench.clean();
            let done = bench.ends.iter().all(|end| matches!(end, CleanEnd::Done { .. }));
            prop_assert!(done);
            let cleaned = bench.log().first_dirty().0;
            let newest = bench.log().segments().last().expect("there is one");
            prop_assert_eq!(cleaned, if bench.log().segments().len() > 1 { newest.id.base.0 } else { 0 });
            check(&all, &bench.records(max_bytes), cleaned);
            let section = bench.checkpoint();
            // Nothing that was replaced is left.
            let segments = bench.log().segments().len();
            let files = bench.files.keys().filter(|file| matches!(file, FileId::Segment(_)));
            prop_assert_eq!(files.count(), segments);
            if restarts {
                bench = bench.restarted(section, &config, map_bytes);
                check(&all, &bench.records(max_bytes), cleaned);
                prop_assert_eq!(bench.log().first_dirty().0, cleaned);
            }
            // From every offset on, also one that is gone, a reader gets what follows.
            let held = bench.records(1 << 20);
            for offset in (0..bench.log().end().0).step_by(7) {
                let batches = bench.fetch(offset, 1);
                let first = batches.first().expect("there is something behind");
                prop_assert!(first.next_offset().0 > offset);
                let next = held.iter().find(|seen| seen.offset >= offset);
                prop_assert!(next.is_none_or(|seen| seen.offset >= first.base_offset().0));
            }
        }
    }
}

/// Writes one record in a batch of its own.
fn put(bench: &mut Bench, key: &str, value: Option<&str>) {
    bench.pass(1);
    let mut builder = BatchBuilder::new(bench.now.wall);
    builder.push(
        bench.now.wall,
        Some(key.as_bytes()),
        value.map(str::as_bytes),
        &[],
    );
    bench.append(builder.build());
}

/// Fills the newest segment, so that another begins.
fn roll(bench: &mut Bench) {
    let before = bench.log().segments().len();
    let filler = "x".repeat(1_000);
    for _ in 0..5 {
        put(bench, "filler", Some(&filler));
        bench.checkpoint();
        if bench.log().segments().len() > before {
            return;
        }
    }
}

fn keys(bench: &mut Bench) -> Vec<(String, bool)> {
    bench
        .records(1 << 20)
        .into_iter()
        .map(|seen| {
            let key = String::from_utf8(seen.key.expect("it has one")).expect("it is text");
            (key, seen.value.is_some())
        })
        .filter(|(key, _)| key != "filler")
        .collect()
}

#[test]
fn a_tombstone_stays_for_its_time_and_no_longer() {
    let mut bench = Bench::with(config(), 1 << 20);
    let key = |name: &str, valued| (name.to_owned(), valued);
    put(&mut bench, "a", Some("1"));
    put(&mut bench, "b", Some("1"));
    put(&mut bench, "a", None);
    roll(&mut bench);
    bench.clean();
    assert_eq!(keys(&mut bench), [key("b", true), key("a", false)]);
    let marked = bench.batches(1 << 20);
    let marked: Vec<_> = marked.iter().filter_map(Batch::delete_horizon).collect();
    assert_eq!(marked.len(), 1);
    assert!(marked[0].0 >= START_MS + RETENTION_MS);
    let times: Vec<_> = bench.records(1 << 20).iter().map(|r| r.timestamp).collect();
    assert!(times.is_sorted(), "they are what they were");
    // Not before its time, though the log is compacted again.
    bench.pass(RETENTION_MS / 2);
    put(&mut bench, "c", Some("1"));
    roll(&mut bench);
    bench.clean();
    assert!(keys(&mut bench).contains(&key("a", false)));
    bench.pass(RETENTION_MS);
    put(&mut bench, "d", Some("1"));
    roll(&mut bench);
    bench.clean();
    assert_eq!(
        keys(&mut bench),
        ["b", "c", "d"].map(|name| key(name, true))
    );
}

/// What a batch that is too large to be looked into holds nobody knows: what deletes it must not go before it.
#[test]
fn a_tombstone_stays_while_what_it_deletes_does() {
    const TOO_LARGE_BYTES: usize = 129 * 1024 * 1024;
    let mut bench = Bench::with(config(), 1 << 20);
    let mut builder = BatchBuilder::new(bench.now.wall);
    builder.push(
        bench.now.wall,
        Some(b"a"),
        Some(&vec![0; TOO_LARGE_BYTES]),
        &[],
    );
    let bytes = compress(Compression::Zstd, builder.payload());
    bench.append(builder.build_with(Compression::Zstd, &bytes));
    for _ in 0..3 {
        roll(&mut bench);
    }
    // It is in another group of segments than the large one.
    put(&mut bench, "a", None);
    put(&mut bench, "b", Some("1"));
    for round in 0..3 {
        roll(&mut bench);
        bench.clean();
        bench.pass(2 * RETENTION_MS);
        let batches = bench.batches(1 << 20);
        let (large, small): (Vec<_>, Vec<_>) = batches
            .iter()
            .partition(|batch| batch.compression() == Ok(Compression::Zstd));
        assert_eq!(large.len(), 1);
        let mut kept = small.into_iter().flat_map(records);
        let tombstone = kept.find(|seen| seen.key.as_deref() == Some(b"a"));
        assert!(
            tombstone.is_some_and(|seen| seen.value.is_none()),
            "{round}"
        );
    }
    assert!(matches!(bench.ends[..], [_, _, CleanEnd::Done { .. }]));
}

#[test]
fn the_last_batch_of_a_producer_stays_though_it_is_empty() {
    let mut bench = Bench::with(config(), 1 << 20);
    let mut sequences = BTreeMap::new();
    for _ in 0..3 {
        let written = Written {
            records: vec![(1, true), (2, true)],
            codec: 1,
            producer: Some(1),
        };
        let batch = batch(&written, bench.now.wall, &mut sequences);
        bench.append(batch);
    }
    put(&mut bench, "\u{1}", Some("newer"));
    put(&mut bench, "\u{2}", Some("newer"));
    roll(&mut bench);
    bench.clean();
    let batches = bench.batches(1 << 20);
    let of_producer: Vec<_> = batches.iter().filter(|b| b.producer_id().0 == 1).collect();
    assert_eq!(of_producer.len(), 1);
    assert_eq!(of_producer[0].record_count(), 0);
    assert_eq!(of_producer[0].last_sequence(), Sequence(5));
    assert_eq!(of_producer[0].last_offset(), Offset(5));
}

#[test]
fn nothing_is_done_for_a_log_that_is_at_rest() {
    let mut bench = Bench::with(config(), 1 << 20);
    for i in 0..40 {
        put(&mut bench, &format!("key {}", i % 3), Some("value"));
    }
    bench.clean();
    assert_eq!(bench.store.next_cleaning(), Monotonic::NEVER);
    assert!(!bench.ends.is_empty());
    bench.store.clean(bench.now, &mut bench.fx);
    assert!(bench.fx.is_empty());
}

#[test]
fn lags_hold_a_log_back_and_drive_it() {
    let lazy = LogConfig {
        min_cleanable_ratio: 1.0,
        min_compaction_lag_ms: 5_000,
        max_compaction_lag_ms: 60_000,
        ..config()
    };
    let mut bench = Bench::with(lazy, 1 << 20);
    for _ in 0..40 {
        put(&mut bench, "key", Some("some value that fills the segment"));
    }
    bench.checkpoint();
    bench.clean();
    assert!(bench.ends.is_empty(), "the ratio is not reached");
    // It is looked at when the first record has waited for long enough, and not before.
    let wake = bench.store.next_cleaning();
    assert!(wake < Monotonic::NEVER);
    bench.pass(30_000);
    bench.store.clean(bench.now, &mut bench.fx);
    bench.settle();
    assert!(bench.ends.is_empty());
    bench.pass(31_000);
    bench.store.clean(bench.now, &mut bench.fx);
    bench.settle();
    bench.clean();
    assert!(matches!(bench.ends[..], [CleanEnd::Done { .. }, ..]));

    let young = LogConfig {
        min_compaction_lag_ms: 5_000,
        ..config()
    };
    let mut bench = Bench::with(young, 1 << 20);
    for _ in 0..60 {
        put(&mut bench, "key", Some("some value that fills the segment"));
    }
    bench.checkpoint();
    bench.clean();
    assert!(bench.ends.is_empty(), "all of it is too new");
    bench.pass(5_100);
    bench.store.clean(bench.now, &mut bench.fx);
    bench.settle();
    bench.clean();
    assert_eq!(bench.records(1 << 20).len(), bench.batches(1 << 20).len());
    assert!(!bench.ends.is_empty());
}

#[test]
fn what_cannot_be_read_is_left_as_it_is() {
    let mut bench = Bench::with(config(), 1 << 20);
    for i in 0..100 {
        put(&mut bench, &format!("key {}", i % 3), Some("a value"));
    }
    bench.checkpoint();
    let before = bench.log().segments().to_vec();
    let second = FileId::Segment(before[1].id);
    bench.files.get_mut(&second).expect("it is there")[100] ^= 1;
    bench.clean();
    assert!(
        matches!(&bench.ends[..], [CleanEnd::Unreadable { file, .. }] if *file == second.path())
    );
    assert_eq!(bench.log().segments(), before);
    assert_eq!(bench.store.next_cleaning(), Monotonic::NEVER);
    // It is not tried again, whatever comes.
    roll(&mut bench);
    bench.clean();
    assert_eq!(bench.ends.len(), 1);
}

#[test]
fn a_full_disk_is_waited_out_and_leaves_nothing_behind() {
    let mut bench = Bench::with(config(), 1 << 20);
    for i in 0..100 {
        put(&mut bench, &format!("key {}", i % 3), Some("a value"));
    }
    bench.checkpoint();
    let files: Vec<_> = bench.files.keys().copied().collect();
    bench.full = true;
    bench.pass(BACKOFF_MS);
    bench.store.clean(bench.now, &mut bench.fx);
    bench.settle();
    assert!(matches!(bench.ends[..], [CleanEnd::Failed(_)]));
    assert_eq!(bench.files.keys().copied().collect::<Vec<_>>(), files);
    bench.full = false;
    bench.clean();
    assert!(matches!(bench.ends.last(), Some(CleanEnd::Done { .. })));
    assert_eq!(keys(&mut bench).len(), keys(&mut bench).len());
}

/// A round that is given up leaves a file, until the disk has deleted it: a checkpoint of that time lists it as one to be deleted.
#[test]
fn a_checkpoint_lists_what_a_round_gives_up() {
    let mut bench = Bench::with(config(), 1 << 20);
    for i in 0..100 {
        put(&mut bench, &format!("key {}", i % 3), Some("a value"));
    }
    bench.checkpoint();
    let before: BTreeSet<_> = bench.files.keys().copied().collect();
    bench.pass(BACKOFF_MS);
    bench.store.clean(bench.now, &mut bench.fx);
    while bench.files.keys().all(|file| before.contains(file)) {
        assert!(bench.step(), "a round writes something");
    }
    let made = bench.files.keys().find(|file| !before.contains(file));
    let made = *made.expect("it was just written");
    bench.store.stop_cleaning();
    let deletes = |effect: &StoreEffect| matches!(effect, StoreEffect::Disk { op: DiskOp::Delete { files }, .. } if files.contains(&made));
    while !bench.fx.first().is_some_and(deletes) {
        assert!(bench.step(), "the round is given up");
    }
    // The disk takes its time.
    let deletion = bench.fx.remove(0);
    let section = bench.checkpoint();
    assert!(section.doomed.contains(&made), "{:?}", section.doomed);
    bench.fx.push(deletion);
    bench.settle();
    assert!(!bench.files.contains_key(&made));
    assert_eq!(bench.ends, [], "it is nobody's error");
    let section = bench.checkpoint();
    assert!(!section.doomed.contains(&made));
}

#[test]
fn a_round_takes_the_time_that_its_bytes_are_granted() {
    const BYTES_PER_SECOND: f64 = 1_000.0;
    let mut bench = Bench::with(config(), 1 << 20);
    for i in 0..100 {
        put(&mut bench, &format!("key {}", i % 3), Some("a value"));
    }
    bench.checkpoint();
    bench.store.configure_cleaner(CleanerOptions {
        bytes_per_second: BYTES_PER_SECOND,
        backoff_ms: BACKOFF_MS,
        ..CleanerOptions::default()
    });
    let segments = bench.log().segments();
    let bytes: u64 = segments[..segments.len() - 1].iter().map(|s| s.bytes).sum();
    let begun = bench.now.monotonic.0;
    while bench.ends.is_empty() {
        bench.pass(10);
        bench.store.clean(bench.now, &mut bench.fx);
        bench.settle();
    }
    // What is new is read to map its keys, and once more to write what stays.
    let took = (bench.now.monotonic.0 - begun) as f64 / 1e9;
    let least = 2.0 * bytes as f64 / BYTES_PER_SECOND;
    assert!(took >= least && took <= least * 1.5, "{took} and {least}");
}

/// A crash after any operation leaves a directory from which the last checkpoint brings back a log that lacks nothing.
#[test]
fn a_crash_at_any_step_costs_nothing() {
    let mut sequences = BTreeMap::new();
    for steps in 0.. {
        let mut bench = Bench::with(config(), 1 << 20);
        let mut all: Vec<Seen> = Vec::new();
        for i in 0..80_u8 {
            bench.pass(3);
            let written = Written {
                records: vec![(i % 7, i % 5 != 0)],
                codec: usize::from(i % 5),
                producer: None,
            };
            let batch = batch(&written, bench.now.wall, &mut sequences);
            let base = bench.log().end().0;
            all.extend(records(&batch).into_iter().map(|seen| Seen {
                offset: base + seen.offset,
                ..seen
            }));
            bench.append(batch);
        }
        let mut section = bench.checkpoint();
        bench.pass(BACKOFF_MS);
        bench.store.clean(bench.now, &mut bench.fx);
        let mut left = steps;
        while left > 0 && bench.step() {
            left -= 1;
        }
        let rested = left > 0;
        if rested {
            section = bench.checkpoint();
        }
        let doomed = section.doomed.len();
        // What came since the checkpoint is not in it, and may be left behind.
        let known: BTreeSet<_> = section
            .logs
            .iter()
            .flat_map(|log| &log.segments)
            .flat_map(|s| [FileId::Segment(s.id), FileId::Index(s.id)])
            .chain(section.doomed.iter().copied())
            .collect();
        if rested {
            assert!(bench.files.keys().all(|file| known.contains(file)));
        }
        bench.files.retain(|file, _| known.contains(file));
        let mut bench = bench.restarted(section, &config(), 1 << 20);
        check(&all, &bench.records(1), 0.max(bench.log().first_dirty().0));
        bench.clean();
        let cleaned = bench.log().first_dirty().0;
        assert!(cleaned > 0);
        check(&all, &bench.records(1 << 20), cleaned);
        if rested {
            assert!(doomed > 0 && steps > 10);
            return;
        }
    }
}
