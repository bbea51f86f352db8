//! Single behaviours of the machine, seen from its effects.

use std::mem::take;

use bytes::Bytes;
use wiber_model::Lsn;
use wiber_storage::{
    Checkpoint, Disk, DiskError, DiskOp, FileId, Frame, OpToken, Participant, Wal, WalEffect,
    WalEvent, WalOptions,
};

use crate::disk::MemDisk;
use crate::driver::{Driver, frame};
use crate::{OPTIONS, PARTICIPANTS, UNCHECKPOINTED, open};

const SHARD: Participant = Participant(0);

/// A first extent that does not fill.
const ROOMY: WalOptions = WalOptions {
    initial_extent_bytes: 1024 * 1024,
    ..UNCHECKPOINTED
};

/// Steps a log whose operations are answered by hand.
struct Bench {
    wal: Wal,
    disk: MemDisk,
    ops: Vec<(OpToken, DiskOp)>,
}

impl Bench {
    fn new(options: WalOptions) -> Bench {
        let mut disk = MemDisk::default();
        let wal = open(&mut disk, options).unwrap().wal;
        let ops = Vec::new();
        Bench { wal, disk, ops }
    }

    /// Answers what is said; operations are put aside.
    fn step(&mut self, event: WalEvent) -> Vec<WalEffect> {
        let mut effects = Vec::new();
        self.wal.step(event, &mut effects);
        self.wal.validate();
        let mut said = Vec::new();
        for effect in effects {
            match effect {
                WalEffect::Disk { token, op } => self.ops.push((token, op)),
                effect => said.push(effect),
            }
        }
        said
    }

    fn append(&mut self, number: u64, bytes: usize, relaxed: bool) -> Vec<WalEffect> {
        self.append_all(vec![frame(number, bytes)], relaxed)
    }

    fn append_all(&mut self, frames: Vec<Frame>, relaxed: bool) -> Vec<WalEffect> {
        self.step(WalEvent::Append {
            from: SHARD,
            frames,
            relaxed,
        })
    }

    /// Does the oldest operation that is put aside.
    fn done(&mut self) -> Vec<WalEffect> {
        let (token, op) = self.ops.remove(0);
        let result = self.disk.perform(op);
        self.step(WalEvent::OpDone { token, result })
    }

    fn fails(&mut self, error: DiskError) -> Vec<WalEffect> {
        let (token, _) = self.ops.remove(0);
        let result = Err(error);
        self.step(WalEvent::OpDone { token, result })
    }

    /// The file, length and durability of the only operation that is put aside, which is a write.
    fn write(&self) -> (FileId, usize, bool) {
        match &self.ops[..] {
            [(_, op)] => write(op),
            ops => panic!("{} operations are under way", ops.len()),
        }
    }
}

fn write(op: &DiskOp) -> (FileId, usize, bool) {
    match op {
        DiskOp::WalWrite {
            file, data, sync, ..
        } => (*file, data.len(), *sync),
        _ => panic!("another operation is under way"),
    }
}

fn durable(frames: u64) -> WalEffect {
    WalEffect::Durable {
        to: SHARD,
        frames,
        lsn: Lsn(frames),
    }
}

fn written(frames: u64) -> WalEffect {
    WalEffect::Written { to: SHARD, frames }
}

#[test]
fn what_comes_in_during_a_write_is_the_next_group() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(bench.append(1, 100, false), []);
    assert_eq!(bench.write(), (FileId::Wal(1), 4096, true));
    for number in 2..6 {
        assert_eq!(bench.append(number, 2_000, false), []);
    }
    assert_eq!(bench.ops.len(), 1, "one write at a time");
    assert_eq!(bench.done(), [durable(1)]);
    assert_eq!(
        bench.write(),
        (FileId::Wal(1), 12 * 1024, true),
        "four frames in one group"
    );
    assert_eq!(bench.done(), [durable(5), WalEffect::Quiet]);
}

#[test]
fn a_group_is_bounded_and_a_larger_frame_is_one_by_itself() {
    let mut bench = Bench::new(UNCHECKPOINTED);
    bench.append_all((1..13).map(|number| frame(number, 4_000)).collect(), false);
    // The first extent, of 16 KiB, keeps a block for the link.
    let [(_, first), (_, allocate)] = &bench.ops[..] else {
        panic!("a write, and an extent made beside it");
    };
    assert_eq!(write(first), (FileId::Wal(1), 12 * 1024, true));
    assert!(matches!(
        allocate,
        DiskOp::Allocate {
            file: FileId::Wal(2),
            ..
        }
    ));
    bench.done();
    assert_eq!(bench.done(), []);
    assert_eq!(bench.write(), (FileId::Wal(1), 4096, true), "the link");
    bench.done();
    assert_eq!(
        bench.write(),
        (FileId::Wal(2), UNCHECKPOINTED.group_bytes_max, true)
    );
    while !bench.ops.is_empty() {
        bench.done();
    }
    assert_eq!(bench.wal.durable(), Lsn(12));
    bench.append(13, 40_000, false);
    while !bench.ops.is_empty() {
        bench.done();
    }
    assert_eq!(bench.wal.durable(), Lsn(13));
}

#[test]
fn relaxed_frames_are_written_and_a_strict_one_behind_them_waits_for_a_sync() {
    let mut bench = Bench::new(ROOMY);
    // The first group of an opening is synced in any case.
    bench.append(1, 100, true);
    assert!(bench.write().2);
    assert_eq!(bench.done(), [durable(1), WalEffect::Quiet]);
    bench.append(2, 100, true);
    assert!(!bench.write().2);
    assert_eq!(bench.done(), [written(2), WalEffect::Quiet]);
    bench.append(3, 100, false);
    assert!(
        !bench.write().2,
        "a write that is durable by itself would not cover the one before"
    );
    bench.append(4, 100, false);
    assert_eq!(bench.done(), [written(3)]);
    let sync = DiskOp::Sync {
        files: vec![FileId::Wal(1)],
    };
    assert_eq!(bench.ops[0].1, sync);
    assert_eq!(bench.done(), [durable(3)]);
    assert!(bench.write().2);
    assert_eq!(bench.done(), [durable(4), WalEffect::Quiet]);
}

#[test]
fn when_idle_what_is_relaxed_is_synced_and_then_marked() {
    let mut bench = Bench::new(ROOMY);
    bench.append(1, 100, false);
    bench.done();
    bench.append(2, 100, true);
    assert_eq!(bench.done(), [written(2), WalEffect::Quiet]);
    bench.step(WalEvent::Idle);
    assert!(matches!(bench.ops[0].1, DiskOp::Sync { .. }));
    assert_eq!(bench.done(), [durable(2), WalEffect::Quiet]);
    bench.step(WalEvent::Idle);
    assert_eq!(bench.write(), (FileId::Wal(1), 4096, true));
    assert_eq!(
        bench.done(),
        [],
        "the mark tells all: there is nothing more to do"
    );
    assert_eq!(bench.step(WalEvent::Idle), []);
    assert!(bench.ops.is_empty());
}

#[test]
fn failed_writes_and_syncs_are_fatal() {
    for error in [DiskError::NoSpace, DiskError::Failed("EIO".to_owned())] {
        let mut bench = Bench::new(ROOMY);
        bench.append(1, 100, false);
        let said = bench.fails(error.clone());
        assert!(matches!(&said[..], [WalEffect::Fatal(_)]), "{said:?}");
        assert_eq!(bench.append(2, 100, false), []);
        assert!(bench.ops.is_empty());
    }
}

#[test]
fn a_first_start_makes_one_small_extent_and_the_next_when_it_is_half_full() {
    let mut bench = Bench::new(UNCHECKPOINTED);
    assert_eq!(bench.disk.wal_files(), [FileId::Wal(1)]);
    assert_eq!(
        bench.disk.contents(FileId::Wal(1)).unwrap().len(),
        16 * 1024
    );
    bench.append(1, 100, false);
    bench.done();
    assert!(bench.ops.is_empty());
    bench.append(2, 100, false);
    let allocate = DiskOp::Allocate {
        file: FileId::Wal(2),
        len: UNCHECKPOINTED.extent_bytes,
    };
    assert_eq!(bench.ops[1].1, allocate, "beside the write");
}

#[test]
fn a_full_disk_refuses_in_time_and_goes_on_when_asked() {
    let mut driver = Driver::new(OPTIONS);
    driver.append(SHARD, vec![frame(1, 10_000)]);
    driver.disk.capacity = Some(16 * 1024 + 64 * 1024);
    let mut number = 1;
    while !driver.seen.contains(&WalEffect::Space {
        to: SHARD,
        accepting: false,
    }) {
        number += 1;
        driver.append(SHARD, vec![frame(number, 2_000)]);
        assert!(number < 100);
    }
    // What is on its way still fits into the reserve, all of it.
    let last = number + 7;
    while number < last {
        number += 1;
        driver.append(SHARD, vec![frame(number, 2_000)]);
    }
    assert_eq!(driver.wal.durable(), Lsn(last));
    let said = take(&mut driver.seen);
    assert!(!said.iter().any(|it| matches!(it, WalEffect::Fatal(_))));
    // One more than fits waits, and so does a checkpoint; once there is space, asking is enough.
    driver.append(SHARD, vec![frame(number + 1, 50_000)]);
    assert_eq!(driver.wal.durable(), Lsn(last));
    driver.disk.capacity = None;
    driver.run(WalEvent::RequestCheckpoint);
    assert_eq!(driver.wal.durable(), Lsn(last + 1));
    let accepting = true;
    assert!(driver.seen.contains(&WalEffect::Space {
        to: SHARD,
        accepting
    }));
}

#[test]
fn a_checkpoint_is_durable_before_anything_is_freed() {
    let mut driver = Driver::new(UNCHECKPOINTED);
    for number in 1..30 {
        driver.append(SHARD, vec![frame(number, 6_000)]);
    }
    assert!(driver.disk.wal_files().len() > 3);
    driver.seen.clear();
    driver.run(WalEvent::RequestCheckpoint);
    let ops: Vec<&DiskOp> = driver.ops();
    let (draft, checkpoint) = (FileId::CheckpointDraft, FileId::Checkpoint);
    let [
        DiskOp::Write { file, .. },
        DiskOp::Sync { files },
        DiskOp::Rename { from, to },
        DiskOp::SyncDirectories { files: directories },
    ] = &ops[..]
    else {
        panic!("{} operations", ops.len());
    };
    assert_eq!((file, &files[..], from), (&draft, &[draft][..], &draft));
    assert_eq!((to, &directories[..]), (&checkpoint, &[checkpoint][..]));
    let told = PARTICIPANTS.map(|to| WalEffect::Checkpointed { to, checkpoint: 1 });
    let position = |effect: &WalEffect| driver.seen.iter().position(|it| it == effect).unwrap();
    let synced = driver.seen.len()
        - 1
        - driver
            .seen
            .iter()
            .rev()
            .position(|it| matches!(it, WalEffect::Disk { .. }))
            .unwrap();
    assert!(told.iter().all(|effect| position(effect) > synced));

    // What is free is used again, and nothing new is made.
    driver.seen.clear();
    for number in 30..50 {
        driver.append(SHARD, vec![frame(number, 6_000)]);
    }
    assert!(
        !driver
            .ops()
            .iter()
            .any(|op| matches!(op, DiskOp::Allocate { .. }))
    );
    let stored = Checkpoint::read(&mut driver.disk).unwrap().unwrap();
    assert_eq!(stored.smallest_cut(), Lsn(29));
    let recovered = driver.recover(UNCHECKPOINTED);
    assert_eq!(
        recovered.frames.len(),
        20,
        "the groups of the extents' former life are not taken"
    );
    assert!(recovered.damage.is_empty());
}

#[test]
fn a_checkpoint_waits_for_its_cuts_to_be_durable() {
    let mut bench = Bench::new(ROOMY);
    bench.append(1, 100, false);
    bench.done();
    bench.append(2, 100, true);
    assert_eq!(bench.done(), [written(2), WalEffect::Quiet]);
    let said = bench.step(WalEvent::RequestCheckpoint);
    let begun = PARTICIPANTS.map(|to| WalEffect::BeginCheckpoint { to, checkpoint: 1 });
    assert_eq!(said, begun);
    for from in PARTICIPANTS {
        let checkpoint = 1;
        bench.step(WalEvent::Cut { from, checkpoint });
    }
    for from in PARTICIPANTS {
        assert!(bench.ops.is_empty());
        let bytes = Bytes::new();
        bench.step(WalEvent::Section {
            from,
            checkpoint: 1,
            bytes,
        });
    }
    let [(_, DiskOp::Sync { files })] = &bench.ops[..] else {
        panic!("the relaxed frame is synced first");
    };
    assert_eq!(files, &[FileId::Wal(1)]);
    bench.done();
    let (_, DiskOp::Write { data, .. }) = &bench.ops[0] else {
        panic!("then the draft is written");
    };
    let written = Checkpoint::decode(data.concat().into()).unwrap();
    assert_eq!(written.smallest_cut(), Lsn(2));
}

#[test]
fn a_checkpoint_for_which_there_is_no_space_is_tried_again() {
    let mut bench = Bench::new(ROOMY);
    bench.append(1, 100, false);
    bench.done();
    for (checkpoint, failing) in [(1, 0), (2, 1), (3, 2), (4, 9)] {
        bench.step(WalEvent::RequestCheckpoint);
        for from in PARTICIPANTS {
            bench.step(WalEvent::Cut { from, checkpoint });
            let bytes = Bytes::from_static(b"state");
            bench.step(WalEvent::Section {
                from,
                checkpoint,
                bytes,
            });
        }
        let mut said = Vec::new();
        for _ in 0..failing.min(4) {
            said = bench.done();
        }
        let failed = PARTICIPANTS.map(|to| WalEffect::CheckpointFailed { to, checkpoint });
        let done = PARTICIPANTS.map(|to| WalEffect::Checkpointed { to, checkpoint });
        if failing > 4 {
            assert_eq!(said, done);
            continue;
        }
        assert_eq!(bench.fails(DiskError::NoSpace), failed);
        assert!(
            matches!(&bench.ops[..], [(_, DiskOp::Delete { .. })]),
            "the draft goes"
        );
        bench.done();
        assert!(bench.ops.is_empty(), "nobody asked yet");
    }
    assert!(Checkpoint::read(&mut bench.disk).unwrap().is_some());
}

#[test]
fn a_participant_that_cannot_give_its_section_ends_the_checkpoint() {
    let mut bench = Bench::new(ROOMY);
    bench.step(WalEvent::RequestCheckpoint);
    let (from, checkpoint) = (SHARD, 1);
    let said = bench.step(WalEvent::SectionFailed { from, checkpoint });
    assert_eq!(said.len(), PARTICIPANTS.len());
    bench.done();
    // A cut that was on its way belongs to no checkpoint any longer.
    let from = PARTICIPANTS[1];
    assert_eq!(bench.step(WalEvent::Cut { from, checkpoint }), []);
    let begun = bench.step(WalEvent::RequestCheckpoint);
    assert!(matches!(
        begun[0],
        WalEffect::BeginCheckpoint { checkpoint: 2, .. }
    ));
}

#[test]
fn stopping_makes_all_durable_and_leaves_nothing_to_recover() {
    let mut driver = Driver::new(ROOMY);
    driver.append(SHARD, vec![frame(1, 100)]);
    driver.run(WalEvent::Append {
        from: SHARD,
        frames: vec![frame(2, 100)],
        relaxed: true,
    });
    driver.run(WalEvent::SyncAll);
    assert_eq!(
        driver.seen.last(),
        Some(&WalEffect::Settled { checkpointed: true })
    );
    assert_eq!(driver.wal.durable(), Lsn(2));
    let (mut driver, recovered) = Driver::on(driver.disk, ROOMY);
    assert_eq!((recovered.report.groups, recovered.frames.len()), (0, 0));
    // Nothing was appended since: there is nothing to take a checkpoint of.
    driver.run(WalEvent::SyncAll);
    assert_eq!(driver.seen, [WalEffect::Settled { checkpointed: true }]);
}
