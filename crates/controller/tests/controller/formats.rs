//! The bytes on disk: golden files for each version, and refusal of those that this release does not know.

use bytes::{BufMut, Bytes, BytesMut};
use wiber_controller::{
    ClusterImage, DecodeError, FrameError, Listener, LogError, MetadataOffset, MetadataRecord,
    PartitionAssignment, RecordError, Recovered, RecoveredError, SnapshotError, TopicSpec,
};
use wiber_model::{BrokerId, TopicId};

use crate::node::{Disk, Node, topic};

fn records() -> Vec<MetadataRecord> {
    let registration = |rack: Option<&str>| MetadataRecord::RegisterBroker {
        id: BrokerId(1),
        incarnation: [0x11; 16],
        directory: [0x22; 16],
        listeners: vec![Listener {
            name: "PLAINTEXT".to_owned(),
            host: "localhost".to_owned(),
            port: 9092,
        }],
        rack: rack.map(str::to_owned),
    };
    let partition = |replicas: &[i32]| PartitionAssignment {
        replicas: replicas.iter().copied().map(BrokerId).collect(),
    };
    vec![
        registration(None),
        registration(Some("r1")),
        MetadataRecord::CreateTopic {
            name: "topic".to_owned(),
            id: TopicId([0x33; 16]),
            configs: vec![("retention.ms".to_owned(), "5".to_owned())],
            partitions: vec![partition(&[1, 2]), partition(&[2, 1])],
        },
        MetadataRecord::ProducerIds { next: 1000 },
        MetadataRecord::DeleteTopic {
            id: TopicId([0x33; 16]),
        },
        MetadataRecord::AddPartitions {
            topic: TopicId([0x33; 16]),
            partitions: vec![partition(&[1, 2])],
        },
        MetadataRecord::TopicConfigs {
            topic: TopicId([0x33; 16]),
            configs: vec![("retention.ms".to_owned(), "7".to_owned())],
        },
        MetadataRecord::BrokerConfigs {
            broker: Some(BrokerId(1)),
            configs: vec![("max.connections".to_owned(), "7".to_owned())],
        },
        MetadataRecord::BrokerConfigs {
            broker: None,
            configs: vec![("log.roll.ms".to_owned(), "9".to_owned())],
        },
        MetadataRecord::GroupConfigs {
            group: "group".to_owned(),
            configs: vec![("consumer.session.timeout.ms".to_owned(), "5".to_owned())],
        },
    ]
}

/// A log that has all kinds of frames and records.
fn node() -> Node {
    let mut node = Node::new();
    node.create_one(TopicSpec {
        configs: vec![("retention.ms".to_owned(), "5".to_owned())],
        ..topic("a", 3)
    });
    node.create(vec![topic("in.flight", 1)]);
    node
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares lines of bytes with a golden file, which holds them in hexadecimal.
fn assert_golden(golden: &str, lines: &[Bytes]) {
    let lines: Vec<_> = lines.iter().map(|line| hex(line)).collect();
    let expected: Vec<_> = golden.lines().collect();
    assert_eq!(lines, expected, "\nnow:\n{}\n", lines.join("\n"));
}

fn unhex(line: &str) -> Bytes {
    let byte = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    (0..line.len()).step_by(2).map(byte).collect()
}

#[test]
fn records_have_their_golden_bytes() {
    let golden = include_str!("../golden/records-v1.hex");
    let lines: Vec<_> = records()
        .iter()
        .map(|record| MetadataRecord::encode_all(std::slice::from_ref(record)))
        .collect();
    assert_golden(golden, &lines);
    let decoded = golden
        .lines()
        .flat_map(|line| MetadataRecord::decode_all(unhex(line)).unwrap());
    assert_eq!(decoded.collect::<Vec<_>>(), records());
}

#[test]
fn frames_have_their_golden_bytes() {
    let node = node();
    assert_golden(include_str!("../golden/frames-v1.hex"), &node.disk.frames);
    let golden = include_str!("../golden/frames-v1.hex");
    let recovered = Recovered::new(None, golden.lines().map(unhex).collect()).unwrap();
    assert!(recovered.image().topic("a").is_some());
    assert!(recovered.image().topic("in.flight").is_some());
}

#[test]
fn a_section_has_its_golden_bytes() {
    let node = node();
    let section = node.controller.checkpoint_section();
    let golden = include_str!("../golden/section-v1.hex");
    assert_golden(golden, &[section]);
    let recovered = Recovered::new(Some(unhex(golden.trim())), Vec::new()).unwrap();
    assert!(recovered.image().topic("in.flight").is_some());
    let from_frames = Recovered::new(None, node.disk.frames.clone()).unwrap();
    assert_eq!(recovered.image(), from_frames.image());
}

#[test]
fn a_snapshot_has_its_golden_bytes() {
    let mut image = ClusterImage::default();
    let mut kept = records();
    kept.truncate(4);
    for (offset, record) in (1..).map(MetadataOffset).zip(&kept) {
        image.apply(offset, record);
    }
    image.advance(MetadataOffset(9));
    let golden = include_str!("../golden/snapshot-v1.hex");
    assert_golden(golden, &[image.to_snapshot()]);
    assert_eq!(ClusterImage::from_snapshot(unhex(golden.trim())), Ok(image));
}

#[test]
fn a_snapshot_with_settings_of_brokers_has_its_golden_bytes() {
    let mut image = ClusterImage::default();
    let mut kept = records().split_off(7);
    kept.truncate(2);
    for (offset, record) in (1..).map(MetadataOffset).zip(&kept) {
        image.apply(offset, record);
    }
    let golden = include_str!("../golden/snapshot-v2.hex");
    assert_golden(golden, &[image.to_snapshot()]);
    assert_eq!(ClusterImage::from_snapshot(unhex(golden.trim())), Ok(image));
}

#[test]
fn a_snapshot_with_settings_of_groups_has_its_golden_bytes() {
    let mut image = ClusterImage::default();
    let kept = records().split_off(7);
    for (offset, record) in (1..).map(MetadataOffset).zip(&kept) {
        image.apply(offset, record);
    }
    let golden = include_str!("../golden/snapshot-v3.hex");
    assert_golden(golden, &[image.to_snapshot()]);
    assert_eq!(
        ClusterImage::from_snapshot(unhex(golden.trim())),
        Ok(image.clone())
    );
    // A group without settings of its own leaves nothing behind.
    let none = MetadataRecord::GroupConfigs {
        group: "group".to_owned(),
        configs: Vec::new(),
    };
    image.apply(MetadataOffset(9), &none);
    assert_eq!(image.to_snapshot()[0], 2);
}

/// What recovery says to a log whose third entry is `data`.
fn recover_with(data: &[u8]) -> RecoveredError {
    let mut frames = Node::new().disk.frames;
    let mut frame = BytesMut::new();
    frame.put_slice(&[1, 3]);
    frame.put_u64_le(3);
    frame.put_u64_le(1);
    frame.put_slice(data);
    frames.push(frame.freeze());
    Recovered::new(None, frames).unwrap_err()
}

#[test]
fn a_record_of_another_release_is_refused() {
    for (kind, version) in [(200, 1), (2, 2), (0, 0)] {
        let error = RecordError::Unknown { kind, version };
        let data = [kind, version, 0, 0, 0, 0];
        assert_eq!(
            MetadataRecord::decode_all(Bytes::copy_from_slice(&data)),
            Err(error)
        );
        let refusal = recover_with(&data);
        assert_eq!(refusal, RecoveredError::Record { index: 3, error });
        assert!(refusal.to_string().contains("entry 3"), "{refusal}");
        assert!(refusal.to_string().contains("release"), "{refusal}");
    }
}

#[test]
fn a_record_longer_than_its_version_says_is_refused() {
    let mut bytes = MetadataRecord::encode_all(&records()[4..5]).to_vec();
    bytes[2] += 1;
    bytes.push(0);
    let error = RecordError::Damaged(DecodeError::Trailing(1));
    assert_eq!(MetadataRecord::decode_all(bytes.into()), Err(error));
}

#[test]
fn frames_sections_and_snapshots_of_another_release_are_refused() {
    for (version, kind) in [(2, 3), (1, 200), (0, 0)] {
        let frames = vec![Bytes::from(vec![version, kind])];
        let refusal = Recovered::new(None, frames).unwrap_err();
        let error = FrameError::Unknown { kind, version };
        assert_eq!(refusal, RecoveredError::Frame(error));
    }
    let mut section = node().controller.checkpoint_section().to_vec();
    section[0] = 2;
    let refusal = Recovered::new(Some(section.into()), Vec::new()).unwrap_err();
    assert_eq!(refusal, RecoveredError::SectionVersion(2));
    let mut snapshot = ClusterImage::default().to_snapshot().to_vec();
    snapshot[0] = 4;
    assert_eq!(
        ClusterImage::from_snapshot(snapshot.into()),
        Err(SnapshotError::Version(4))
    );
}

#[test]
fn a_record_that_does_not_fit_is_refused() {
    let unknown = MetadataRecord::DeleteTopic {
        id: TopicId([5; 16]),
    };
    let refusal = recover_with(&MetadataRecord::encode_all(&[unknown]));
    assert!(
        matches!(refusal, RecoveredError::Contradiction { index: 3, .. }),
        "{refusal}"
    );
    let create = records().swap_remove(2);
    let refusal = recover_with(&MetadataRecord::encode_all(&[create.clone(), create]));
    assert!(refusal.to_string().contains("does not fit"), "{refusal}");
}

#[test]
fn a_log_and_a_checkpoint_that_do_not_belong_together_are_refused() {
    let mut node = Node::new();
    node.create_one(topic("a", 1));
    let cut = node.disk.frames.len();
    let section = node.controller.checkpoint_section();
    node.create_one(topic("b", 1));
    let frames = node.disk.frames;

    let without_section = Recovered::new(None, frames[cut..].to_vec()).unwrap_err();
    assert_eq!(
        without_section,
        RecoveredError::Log(LogError::Gap { index: 4, last: 0 })
    );
    let twice = Recovered::new(Some(section.clone()), frames.clone()).unwrap_err();
    assert!(matches!(twice, RecoveredError::Log(_)), "{twice}");
    // A frame that is missing is noticed, whichever it is, but for the last and those that only say what is committed.
    for missing in 0..cut {
        let mut frames = frames.clone();
        let frame = frames.remove(missing);
        let commits_only = frame[1] == 2 && missing > 1;
        let refusal = Recovered::new(None, frames);
        assert_eq!(refusal.is_ok(), commits_only, "{missing}");
    }
}

#[test]
fn another_nodes_log_is_refused() {
    use wiber_controller::Controller;
    use wiber_model::Rng;
    let disk = Node::new().disk;
    let refusal = Controller::new(BrokerId(2), Rng::new(1), disk.recover()).unwrap_err();
    assert_eq!(refusal, RecoveredError::Owner { owner: 1, node: 2 });
    let new = Disk::default().recover();
    let refusal = Controller::new(BrokerId(-1), Rng::new(1), new).unwrap_err();
    assert_eq!(refusal, RecoveredError::NodeId(-1));
    // Node 0 is a node like others.
    let new = Disk::default().recover();
    assert!(Controller::new(BrokerId(0), Rng::new(1), new).is_ok());
}

#[test]
fn a_quorum_of_several_is_refused() {
    let mut frames = Node::new().disk.frames;
    let mut voters = BytesMut::new();
    voters.put_slice(&[1, 1]);
    voters.put_u32_le(3);
    for id in [1, 2, 3] {
        voters.put_u64_le(id);
    }
    frames[0] = voters.freeze();
    let refusal = Recovered::new(None, frames).unwrap_err();
    assert_eq!(refusal, RecoveredError::Voters(3));
}
