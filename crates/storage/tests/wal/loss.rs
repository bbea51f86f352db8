//! What a start makes of a damaged log: holes in partitions' logs, logs that take no more, or no start.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use wiber_model::batch::BatchBuilder;
use wiber_model::{Batch, LeaderEpoch, Lsn, Offset, PartitionId, TimestampMs, TopicId};
use wiber_storage::recovery::{Recovered, RecoveryError, recover};
use wiber_storage::wal::Scan;
use wiber_storage::{EpochStart, FileId, Frame, LogConfig, Participant, WalEvent};

use crate::disk::MemDisk;
use crate::driver::Driver;
use crate::{PARTICIPANTS, UNCHECKPOINTED, identity};

const HEADER_BYTES: u64 = 48;

fn partition(partition: i32) -> PartitionId {
    PartitionId {
        topic: TopicId([7; 16]),
        partition,
    }
}

/// A batch of three records at `base`.
fn batch(base: i64) -> Batch {
    let mut builder = BatchBuilder::new(TimestampMs(base));
    for _ in 0..3 {
        builder.push(TimestampMs(base), None, Some(b"a value"), &[]);
    }
    builder.build().placed(Offset(base), LeaderEpoch(0))
}

fn appended(to: i32, base: i64) -> Frame {
    Frame::Batch {
        partition: partition(to),
        batch: batch(base),
    }
}

fn epoch(of: i32, start: i64) -> Frame {
    Frame::Epochs(vec![EpochStart {
        partition: partition(of),
        epoch: LeaderEpoch(1),
        start: Offset(start),
    }])
}

fn metadata() -> Frame {
    Frame::Metadata(Bytes::from_static(b"metadata"))
}

/// A log of these frames, each in a group of its own, with a mark behind them; and where each frame lies.
fn log_of(frames: &[Frame]) -> (MemDisk, Vec<(u32, u64)>) {
    let mut driver = Driver::new(UNCHECKPOINTED);
    for frame in frames {
        let from = match frame {
            Frame::Metadata(_) => Participant::CONTROLLER,
            _ => PARTICIPANTS[0],
        };
        driver.append(from, vec![frame.clone()]);
    }
    driver.run(WalEvent::Idle);
    let mut scan = Scan::new(&mut driver.disk, &identity(), None).unwrap();
    let mut places = Vec::new();
    while let Some(group) = scan.next_group().unwrap() {
        if !group.frames.is_empty() {
            places.push((group.extent, group.at + 128));
        }
    }
    (driver.disk, places)
}

/// The log of these frames with a bit flipped in the frame `at`, in its header or in its body.
fn damaged(frames: &[Frame], at: usize, in_header: bool) -> MemDisk {
    let (mut disk, places) = log_of(frames);
    let (extent, byte) = places[at];
    let within = if in_header { 20 } else { HEADER_BYTES + 3 };
    disk.flip(FileId::Wal(extent), (byte + within) * 8 + 1);
    disk
}

fn start(disk: &mut MemDisk) -> Result<Recovered<()>, RecoveryError> {
    let configs = (0..2).map(|index| (partition(index), Arc::new(LogConfig::default())));
    let configs: BTreeMap<_, _> = configs.collect();
    let now = TimestampMs(1_000);
    let (identity, options) = (identity(), UNCHECKPOINTED);
    recover(disk, &identity, options, &PARTICIPANTS, now, |_| {
        Ok(((), configs))
    })
}

/// The end of a log, its holes, and whether it takes more; the same at the next start.
fn outcome(mut disk: MemDisk, index: i32) -> (i64, Vec<(i64, i64)>, bool) {
    let mut look = || {
        let recovered = start(&mut disk).unwrap();
        let log = recovered
            .logs
            .iter()
            .find(|log| log.id() == partition(index))
            .unwrap();
        log.validate();
        let holes = log
            .holes()
            .entries()
            .iter()
            .map(|(from, to)| (from.0, to.0));
        (log.end().0, holes.collect(), log.damage().is_none())
    };
    let first = look();
    assert_eq!(look(), first);
    first
}

#[test]
fn a_lost_batch_leaves_a_hole_between_those_around_it() {
    let frames = [appended(0, 0), appended(0, 3), appended(0, 6)];
    for in_header in [false, true] {
        let expected = (9, vec![(3, 6)], true);
        assert_eq!(outcome(damaged(&frames, 1, in_header), 0), expected);
        let expected = (9, vec![(0, 3)], true);
        assert_eq!(outcome(damaged(&frames, 0, in_header), 0), expected);
    }
}

#[test]
fn a_lost_last_batch_leaves_a_hole_if_its_header_is_whole() {
    let frames = [appended(0, 0), appended(0, 3), appended(1, 0)];
    assert_eq!(
        outcome(damaged(&frames, 1, false), 0),
        (6, vec![(3, 6)], true)
    );
    // Else nobody knows whose it was. A log of which something came later has not lost its end.
    assert_eq!(outcome(damaged(&frames, 1, true), 0), (3, vec![], false));
    assert_eq!(outcome(damaged(&frames, 1, true), 1), (3, vec![], true));
}

#[test]
fn an_epoch_that_begins_later_tells_where_the_log_ended() {
    let frames = [appended(0, 0), appended(0, 3), epoch(0, 6), appended(1, 0)];
    assert_eq!(
        outcome(damaged(&frames, 1, true), 0),
        (6, vec![(3, 6)], true)
    );
    assert_eq!(outcome(damaged(&frames, 1, true), 1), (3, vec![], true));
    // What is lost with the epoch is told by the next batch, or not at all.
    assert_eq!(outcome(damaged(&frames, 2, false), 0), (6, vec![], true));
    assert_eq!(outcome(damaged(&frames, 2, true), 0), (6, vec![], false));
}

#[test]
fn a_log_start_beyond_what_is_lost_leaves_no_hole() {
    let moved = Frame::LogStart {
        partition: partition(0),
        start: Offset(6),
    };
    let frames = [appended(0, 0), appended(0, 3), appended(0, 6), moved];
    let mut disk = damaged(&frames, 1, false);
    let recovered = start(&mut disk).unwrap();
    assert_eq!(recovered.logs[0].start(), Offset(6));
    assert_eq!(outcome(disk, 0), (9, vec![], true));
}

#[test]
fn lost_metadata_end_the_start() {
    let frames = [metadata(), appended(0, 0), metadata(), appended(0, 3)];
    for in_header in [false, true] {
        let mut disk = damaged(&frames, 2, in_header);
        let error = start(&mut disk).unwrap_err();
        assert!(
            matches!(error, RecoveryError::MetadataLost { lsn: Lsn(3), .. }),
            "{error}"
        );
        assert!(error.to_string().contains("wal/0000000001.wal"), "{error}");
        assert!(!error.to_string().contains('\n'));
        // Damaged batches are no reason, not even if nobody can tell that they were batches.
        assert_eq!(
            outcome(damaged(&frames, 1, in_header), 0),
            (6, vec![(0, 3)], true)
        );
        assert!(start(&mut damaged(&frames, 3, in_header)).is_ok());
    }
}

#[test]
fn groups_whose_header_is_damaged_lose_no_frame() {
    // Also where an opening wrote a single group.
    let mut driver = Driver::new(UNCHECKPOINTED);
    for base in [0, 3, 6, 9] {
        driver.append(PARTICIPANTS[0], vec![appended(0, base)]);
        driver = Driver::on(driver.disk, UNCHECKPOINTED).0;
    }
    driver.append(PARTICIPANTS[0], vec![appended(0, 12)]);
    driver.run(WalEvent::Idle);
    for group in 0..4 {
        let mut disk = driver.disk.clone();
        disk.flip(FileId::Wal(1), group * 4096 * 8 + 400);
        assert_eq!(outcome(disk, 0), (15, vec![], true), "group {group}");
    }
}

#[test]
fn what_was_never_durable_is_no_damage_behind_damage() {
    // A synced batch, two relaxed groups of which a power loss takes the first, and a header that goes bad in front.
    let mut driver = Driver::new(UNCHECKPOINTED);
    driver.append(PARTICIPANTS[0], vec![appended(0, 0)]);
    driver.append(PARTICIPANTS[0], vec![appended(0, 3)]);
    let before = driver.disk.clone();
    for base in [6, 9] {
        driver.run(WalEvent::Append {
            from: PARTICIPANTS[0],
            frames: vec![appended(0, base)],
            relaxed: true,
        });
    }
    let mut bytes = driver.disk.contents(FileId::Wal(1)).unwrap().to_vec();
    let old = before.contents(FileId::Wal(1)).unwrap();
    bytes[2 * 4096..3 * 4096].copy_from_slice(&old[2 * 4096..3 * 4096]);
    let mut disk = driver.disk.clone();
    disk.put_contents(FileId::Wal(1), &bytes);
    disk.flip(FileId::Wal(1), 4096 * 8 + 400);
    assert_eq!(outcome(disk.clone(), 0), (6, vec![], true));
    // The log goes on behind, and what follows is found.
    let mut driver = Driver::on(disk, UNCHECKPOINTED).0;
    driver.append(PARTICIPANTS[0], vec![appended(0, 6)]);
    driver.append(PARTICIPANTS[0], vec![appended(0, 9)]);
    assert_eq!(outcome(driver.disk, 0), (12, vec![], true));
}
