//! Files of one partition, as they were first written: a segment, its index, and the shard's section of checkpoints of both versions.
//! Today's code writes the same bytes, sections in version 2, and reads what was stored.
//!
//! When a format gets another version, its files come beside these, and these stay.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::batch::{BatchBuilder, Batches};
use wiber_model::{
    LeaderEpoch, Monotonic, Now, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence,
    TimestampMs, TopicId,
};
use wiber_storage::log::{LogConfig, PartitionLog, StateForm};
use wiber_storage::store::{Read, ReadOutput, ShardSection, StoreOptions, Want};
use wiber_storage::{DiskOp, FileId, Store, StoreEffect};

const PARTITION: PartitionId = PartitionId {
    topic: TopicId([0xa5; 16]),
    partition: 3,
};
const NOW: Now = Now {
    monotonic: Monotonic(0),
    wall: TimestampMs(1_700_000_000_000),
};
const EPOCH: LeaderEpoch = LeaderEpoch(2);
const BATCHES: i64 = 60;
/// After so many a first checkpoint is taken. Their index entries are enough for a file; those of the rest stay in the section.
const BATCHES_FIRST: i64 = 53;
const RECORDS: i64 = 2;

/// What a store left on its disk, and the section that it gave.
#[derive(Default)]
struct Written {
    files: BTreeMap<FileId, Vec<u8>>,
    section: Bytes,
}

impl Written {
    /// Performs what the store wants until it wants nothing more. Returns what was read.
    fn settle(&mut self, store: &mut Store, fx: &mut Vec<StoreEffect>) -> Vec<ReadOutput> {
        let mut reads = Vec::new();
        while !fx.is_empty() {
            for effect in std::mem::take(fx) {
                match effect {
                    StoreEffect::Disk { token, op } => {
                        let result = Ok(self.perform(op));
                        store.disk_done(NOW, token, result, fx);
                    }
                    StoreEffect::Section { bytes, .. } => self.section = bytes,
                    StoreEffect::Read { result, .. } => reads.push(result.expect("it is read")),
                    StoreEffect::Fatal(reason) => panic!("{reason}"),
                    _ => {}
                }
            }
        }
        reads
    }

    fn perform(&mut self, op: DiskOp) -> Bytes {
        match op {
            DiskOp::Write { file, at, data } => {
                let contents = self.files.entry(file).or_default();
                assert_eq!(
                    contents.len(),
                    at as usize,
                    "files are written from the front"
                );
                data.iter()
                    .for_each(|piece| contents.extend_from_slice(piece));
                Bytes::new()
            }
            DiskOp::Read { file, at, len } => {
                let contents = &self.files[&file];
                let end = contents.len().min(at as usize + len);
                Bytes::copy_from_slice(&contents[at as usize..end])
            }
            _ => Bytes::new(),
        }
    }
}

fn config() -> LogConfig {
    LogConfig {
        index_interval_bytes: 1,
        ..LogConfig::default()
    }
}

/// Batches of an idempotent producer, and two checkpoints.
fn written() -> Written {
    let mut written = Written::default();
    let mut fx = Vec::new();
    let mut store = Store::new(StoreOptions::default(), Vec::new(), Vec::new());
    store.create(PARTITION, Arc::new(config()));
    store.begin_epochs(&[(PARTITION, EPOCH)], &mut fx);
    for number in 0..BATCHES {
        let start = TimestampMs(NOW.wall.0 + 10 * number);
        let mut builder = BatchBuilder::new(start).producer(
            ProducerId(4_711),
            ProducerEpoch(1),
            Sequence((RECORDS * number) as i32),
        );
        for record in 0..RECORDS {
            let time = TimestampMs(start.0 + record);
            builder.push(time, Some(b"key"), Some(b"value"), &[("header", None)]);
        }
        let placed = store.append(NOW, PARTITION, builder.build(), EPOCH, &mut fx);
        placed.expect("it is appended");
        written.settle(&mut store, &mut fx);
        if [BATCHES_FIRST, BATCHES].contains(&(number + 1)) {
            let frames = number as u64 + 2;
            store.written(frames, &mut fx);
            store.durable(frames, &mut fx);
            store.begin_checkpoint(frames, &mut fx);
            written.settle(&mut store, &mut fx);
            store.checkpointed(frames, &mut fx);
            written.settle(&mut store, &mut fx);
        }
    }
    written
}

/// Where a file is; the section in that form.
fn path(name: &str, form: StateForm) -> PathBuf {
    let golden = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let folder = match (name, form) {
        ("shard.section", StateForm::V2) => "checkpoint-2",
        _ => "format-1",
    };
    golden.join(folder).join(name)
}

/// What is compared, by its name among the golden files.
fn named(written: Written) -> BTreeMap<String, Vec<u8>> {
    let files = written.files.into_iter().map(|(file, bytes)| {
        let name = if matches!(file, FileId::Index(_)) {
            "segment.index"
        } else {
            "segment.log"
        };
        (name.to_owned(), bytes)
    });
    files
        .chain([("shard.section".to_owned(), written.section.to_vec())])
        .collect()
}

fn stored(name: &str, form: StateForm) -> Vec<u8> {
    std::fs::read(path(name, form)).expect("the golden files are there")
}

#[test]
fn the_same_bytes_are_written() {
    let names: Vec<String> = named(written()).into_keys().collect();
    assert_eq!(names, ["segment.index", "segment.log", "shard.section"]);
    for (name, bytes) in named(written()) {
        let stored = stored(&name, StateForm::V2);
        let differs = bytes.iter().zip(&stored).position(|(new, old)| new != old);
        assert_eq!(differs, None, "{name} differs at this byte");
        assert_eq!(bytes.len(), stored.len(), "{name}");
    }
}

#[test]
fn the_stored_files_are_read() {
    read_stored(StateForm::V1);
    read_stored(StateForm::V2);
}

fn read_stored(form: StateForm) {
    let section = stored("shard.section", form).into();
    let section = ShardSection::decode(section, form).expect("it is a section");
    let [state] = section.logs.try_into().expect("it is of one log");
    assert_eq!(
        (state.id, state.start, state.end),
        (PARTITION, Offset(0), Offset(BATCHES * RECORDS))
    );
    assert_eq!(state.epochs.latest(), EPOCH);
    assert_eq!((state.segments.len(), state.producers.len()), (1, 1));
    let segment = state.segments[0];
    let mut disk = Written::default();
    let (log, index) = (FileId::Segment(segment.id), FileId::Index(segment.id));
    disk.files.insert(log, stored("segment.log", form));
    disk.files.insert(index, stored("segment.index", form));
    assert_eq!(segment.bytes, disk.files[&log].len() as u64);
    assert_eq!(state.index_tail.len() as i64, BATCHES - BATCHES_FIRST);
    let in_file = state.index_file_bytes(&segment);
    assert_eq!(in_file, disk.files[&index].len() as u64);
    assert!(0 < in_file && in_file < segment.index_bytes);

    let log = PartitionLog::restore(state, Arc::new(config()));
    let mut store = Store::new(StoreOptions::default(), vec![log], Vec::new());
    for offset in 0..BATCHES * RECORDS {
        let mut fx = Vec::new();
        let want = Want::Batches {
            offset: Offset(offset),
            limit: Offset(BATCHES * RECORDS),
            max_bytes: 1,
            at_least_one: true,
        };
        let read = match store.read(PARTITION, want, &mut fx) {
            Read::Done(result) => result.expect("it is read"),
            Read::Pending(_) => disk.settle(&mut store, &mut fx).pop().expect("it is read"),
        };
        let ReadOutput::Batches(pieces) = read else {
            panic!("batches were wanted");
        };
        let batch = Batches::new(pieces[0].clone()).next().expect("one came");
        let batch = batch.expect("it is whole");
        assert_eq!(batch.base_offset(), Offset(offset - offset % RECORDS));
        assert_eq!(batch.leader_epoch(), EPOCH);
    }
}

/// Writes the files anew: `cargo test -p wiber-storage --test golden_log -- --ignored write_golden_files`. Only for a format
/// that no release has written.
#[test]
#[ignore = "it writes what the other tests compare with"]
fn write_golden_files() {
    for (name, bytes) in named(written()) {
        std::fs::write(path(&name, StateForm::V2), bytes).expect("it is written");
    }
}
