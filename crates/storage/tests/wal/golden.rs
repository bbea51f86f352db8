//! Files of format 1, as they were first written: today's code reads them, and writes the same bytes; checkpoints it writes in version 2.
//!
//! When a format gets another version, its files come beside these, and these stay.

use std::path::PathBuf;

use bytes::Bytes;
use wiber_model::batch::BatchBuilder;
use wiber_model::{LeaderEpoch, Lsn, Offset, PartitionId, TimestampMs, TopicId};
use wiber_storage::log::StateForm;
use wiber_storage::wal::Scan;
use wiber_storage::{
    Checkpoint, EpochStart, FileId, Frame, Identity, Participant, WalEvent, WalOptions,
};

use crate::disk::MemDisk;
use crate::driver::Driver;
use crate::{UNCHECKPOINTED, identity};

const FILES: [FileId; 4] = [
    FileId::Identity,
    FileId::Checkpoint,
    FileId::Wal(1),
    FileId::Wal(2),
];

const OPTIONS: WalOptions = WalOptions {
    initial_extent_bytes: 16 * 1024,
    extent_bytes: 16 * 1024,
    ..UNCHECKPOINTED
};

/// Where a file is; a checkpoint in that form.
fn path(file: FileId, form: StateForm) -> PathBuf {
    let golden = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let folder = match (file, form) {
        (FileId::Checkpoint, StateForm::V2) => "checkpoint-2",
        _ => "format-1",
    };
    golden.join(folder).join(file.path())
}

/// One frame of each kind, by the shard, then one by the controller.
fn frames() -> (Vec<Frame>, Frame) {
    let partition = PartitionId {
        topic: TopicId([0xa5; 16]),
        partition: 3,
    };
    let mut builder = BatchBuilder::new(TimestampMs(1_700_000_000_000));
    builder.push(
        TimestampMs(1_700_000_000_000),
        Some(b"key"),
        Some(b"value"),
        &[("header", Some(b"x"))],
    );
    let batch = builder.build().placed(Offset(41), LeaderEpoch(2));
    let shard = vec![
        Frame::Epochs(vec![EpochStart {
            partition,
            epoch: LeaderEpoch(2),
            start: Offset(41),
        }]),
        Frame::Batch { partition, batch },
        Frame::LogStart {
            partition,
            start: Offset(7),
        },
    ];
    (shard, Frame::Metadata(Bytes::from_static(b"metadata")))
}

/// A directory with two extents, a link and a mark, and a checkpoint taken between the two groups.
fn written() -> MemDisk {
    let mut driver = Driver::new(OPTIONS);
    identity().write(&mut driver.disk).unwrap();
    let (shard, controller) = frames();
    driver.append(Participant(0), shard);
    driver.run(WalEvent::RequestCheckpoint);
    for relaxed in [true, false] {
        driver.run(WalEvent::Append {
            from: Participant::CONTROLLER,
            frames: vec![controller.clone()],
            relaxed,
        });
    }
    driver.append(Participant(1), vec![controller]);
    driver.run(WalEvent::Idle);
    driver.disk
}

fn stored(form: StateForm) -> MemDisk {
    let mut disk = MemDisk::default();
    for file in FILES {
        let bytes = std::fs::read(path(file, form)).expect("the golden files are there");
        disk.put_contents(file, &bytes);
    }
    disk
}

#[test]
fn the_same_bytes_are_written() {
    let (written, stored) = (written(), stored(StateForm::V2));
    for file in FILES {
        let (written, stored) = (written.contents(file), stored.contents(file));
        let differs = written
            .into_iter()
            .flatten()
            .zip(stored.into_iter().flatten())
            .position(|(written, stored)| written != stored);
        assert_eq!(differs, None, "{} differs at this byte", file.path());
        assert_eq!(written.map(<[u8]>::len), stored.map(<[u8]>::len));
    }
}

#[test]
fn the_stored_files_are_read() {
    read_stored(StateForm::V1);
    read_stored(StateForm::V2);
}

fn read_stored(form: StateForm) {
    let mut disk = stored(form);
    assert_eq!(Identity::read(&mut disk), Ok(Some(identity())));
    let checkpoint = Checkpoint::read(&mut disk).unwrap().unwrap();
    assert_eq!(checkpoint.form, form);
    assert_eq!((checkpoint.id, checkpoint.smallest_cut()), (1, Lsn(3)));
    let participants: Vec<Participant> = checkpoint
        .sections
        .iter()
        .map(|it| it.participant)
        .collect();
    assert_eq!(participants, crate::PARTICIPANTS);
    assert_eq!(checkpoint.sections[2].bytes, "state of controller");

    let (shard, controller) = frames();
    let mut scan = Scan::new(&mut disk, &identity(), None).unwrap();
    let mut found = Vec::new();
    let mut kinds = Vec::new();
    while let Some(group) = scan.next_group().unwrap() {
        let header = group.header.unwrap();
        kinds.push((header.frame_count, header.next_extent));
        found.extend(group.frames);
    }
    assert_eq!(
        kinds,
        [
            (3, None),
            (1, None),
            (1, None),
            (0, Some(2)),
            (1, None),
            (0, None)
        ]
    );
    let relaxed: Vec<bool> = found.iter().map(|(_, header, _)| header.relaxed).collect();
    assert_eq!(relaxed, [false, false, false, true, false, false]);
    let found: Vec<Frame> = found.into_iter().map(|(.., frame)| frame).collect();
    let all = [shard, vec![controller; 3]].concat();
    assert_eq!(found, all);

    let recovered = Driver::on(disk, OPTIONS).1;
    let lsns: Vec<u64> = recovered.frames.iter().map(|(lsn, _)| lsn.0).collect();
    assert_eq!(lsns, [4, 5, 6]);
    assert!(recovered.damage.is_empty());
}

/// Writes the files anew: `cargo test -p wiber-storage --test wal -- --ignored write_golden_files`. Only for a format that
/// no release has written.
#[test]
#[ignore = "it writes what the other tests compare with"]
fn write_golden_files() {
    let disk = written();
    for file in FILES {
        let path = path(file, StateForm::V2);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, disk.contents(file).unwrap()).unwrap();
    }
}
