//! Random commands, crashes at any point of the write-ahead log, checkpoints at any time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use proptest::prelude::*;
use wiber_controller::{
    ClusterImage, Command, CommandResult, MetadataOffset, MetadataRecord, PartitionsSpec,
    Recovered, TopicSpec,
};
use wiber_model::{BrokerId, TopicId};

use crate::node::{Disk, Node, topic};

/// Names that exist, collide, or cannot be.
const NAMES: [&str; 8] = ["a", "b", "c", "d.e", "d_e", "d-e", "f", "?"];

#[derive(Clone, Debug)]
enum Step {
    Create(Vec<TopicSpec>),
    /// The topic of that name, if there is one.
    Delete(usize),
    /// More partitions for the topic of that name.
    Add(usize, i32),
    Allocate,
    Register(i32),
    Sync(usize),
    Checkpoint,
    /// With how many of the frames that were not durable.
    Crash(usize),
}

fn spec() -> impl Strategy<Value = TopicSpec> {
    let replicas = prop::collection::vec((1..4).prop_map(BrokerId), 1..3);
    let assignments = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((0..3, replicas), 1..4),
    ];
    let configs = prop::collection::vec(("[a-c]", "[0-9]{0,3}"), 0..3);
    (0..NAMES.len(), 0..4, 0..3i16, assignments, configs).prop_map(
        |(name, partitions, replication_factor, assignments, configs)| TopicSpec {
            partitions,
            replication_factor,
            assignments,
            configs,
            ..topic(NAMES[name], 0)
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(spec(), 1..4).prop_map(Step::Create),
        2 => (0..NAMES.len()).prop_map(Step::Delete),
        2 => (0..NAMES.len(), 0..8).prop_map(|(name, count)| Step::Add(name, count)),
        1 => Just(Step::Allocate),
        1 => (1..4).prop_map(Step::Register),
        5 => (0..5usize).prop_map(Step::Sync),
        1 => Just(Step::Checkpoint),
        2 => (0..6usize).prop_map(Step::Crash),
    ]
}

/// The entries in frames, by what `docs/format.md` says.
fn entries(frames: &[Bytes]) -> Vec<(MetadataOffset, Vec<MetadataRecord>)> {
    let mut entries: Vec<(MetadataOffset, Vec<MetadataRecord>)> = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        let (version, kind) = (frame.get_u8(), frame.get_u8());
        assert_eq!(version, 1);
        if kind != 3 {
            continue;
        }
        let (index, _term) = (frame.get_u64_le(), frame.get_u64_le());
        entries.retain(|(offset, _)| offset.0 < index);
        let records = MetadataRecord::decode_all(frame).unwrap();
        entries.push((MetadataOffset(index), records));
    }
    entries
}

/// What must be so at every start.
#[derive(Default)]
struct History {
    /// Topics that some client knows to be there, and to be gone.
    created: BTreeSet<TopicId>,
    deleted: BTreeSet<TopicId>,
    producer_ids: BTreeSet<i64>,
}

impl History {
    /// Takes in what a node answered, just before it ends.
    fn learn(&mut self, node: &Node) {
        for (_, _, answer) in &node.answers {
            match answer {
                Ok(CommandResult::TopicsCreated(topics)) => {
                    let ids = topics.iter().filter_map(|topic| topic.result.as_ref().ok());
                    self.created.extend(ids.map(|created| created.id));
                }
                Ok(CommandResult::TopicsDeleted(topics)) => {
                    let gone = topics.iter().filter(|(_, result)| result.is_ok());
                    self.deleted.extend(gone.map(|(id, _)| *id));
                }
                Ok(CommandResult::ProducerIds { first, .. }) => {
                    assert!(self.producer_ids.insert(*first), "a block was given twice");
                }
                _ => {}
            }
        }
    }

    /// Checks what came back from the disk.
    fn check(&self, disk: &Disk, image: &ClusterImage) {
        let entries = entries(&disk.frames);
        let mut folded = ClusterImage::default();
        let mut ids = BTreeSet::new();
        for (offset, records) in &entries {
            for record in records {
                folded.apply(*offset, record);
                if let MetadataRecord::CreateTopic { id, .. } = record {
                    assert!(ids.insert(*id), "a topic id was given twice");
                }
            }
            folded.advance(*offset);
        }
        assert_eq!(image, &folded, "the image is not the fold of what is there");
        let without_checkpoint = Recovered::new(None, disk.frames.clone()).unwrap();
        assert_eq!(image, without_checkpoint.image());
        let snapshot = ClusterImage::from_snapshot(image.to_snapshot()).unwrap();
        assert_eq!(image, &snapshot);
        for id in &self.deleted {
            assert!(image.topic_by_id(*id).is_none(), "a deleted topic is back");
        }
        for id in &self.created {
            // A deletion may have come to the disk and its answer not to the client.
            let was_deleted = entries
                .iter()
                .any(|(_, records)| records.contains(&MetadataRecord::DeleteTopic { id: *id }));
            assert!(
                image.topic_by_id(*id).is_some() || was_deleted,
                "{id} is lost"
            );
        }
    }
}

/// Runs steps. Returns all frames that were ever appended.
fn run(steps: &[Step]) -> Vec<Bytes> {
    let mut node = Node::new();
    let mut history = History::default();
    let mut appended = Vec::new();
    for step in steps {
        match step {
            Step::Create(topics) => drop(node.create(topics.clone())),
            Step::Delete(name) => {
                let topic = node.shard.topic(NAMES[*name]);
                let ids = topic.map(|topic| topic.id).into_iter().collect();
                node.command(Command::DeleteTopics { ids });
            }
            Step::Add(name, count) => {
                let spec = PartitionsSpec {
                    count: *count,
                    assignments: None,
                };
                node.command(Command::CreatePartitions {
                    topics: BTreeMap::from([(NAMES[*name].to_owned(), spec)]),
                    validate_only: false,
                });
            }
            Step::Allocate => drop(node.command(Command::AllocateProducerIds)),
            Step::Register(broker) => drop(node.register(*broker)),
            Step::Sync(frames) => node.sync_some(*frames),
            Step::Checkpoint => node.checkpoint(),
            Step::Crash(survivors) => {
                history.learn(&node);
                appended.extend(node.disk.frames.iter().cloned());
                let published = node.shard.clone();
                let answered = node.answers.iter().map(|answer| answer.1).max();
                let disk = node.crash(*survivors);
                let image = disk.recover().image().clone();
                history.check(&disk, &image);
                image.validate_after(&published);
                assert!(answered.is_none_or(|answered| answered <= image.offset()));
                // The seed is the same at every start: ids differ all the same.
                node = Node::start(disk, 1);
                node.register(1);
            }
        }
    }
    node.sync();
    let mut shard = node.shard.clone();
    // A shard is not told of entries without records.
    shard.advance(node.controller.image().offset());
    assert_eq!(&shard, node.controller.image());
    appended.extend(node.disk.frames.iter().cloned());
    appended
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_answered_survives_every_crash(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps);
    }

    #[test]
    fn the_same_seed_writes_the_same_bytes(steps in prop::collection::vec(step(), 1..40)) {
        prop_assert_eq!(run(&steps), run(&steps));
    }
}

#[test]
fn every_prefix_of_a_log_can_be_started_from() {
    let mut node = Node::new();
    for name in ["a", "b", "c"] {
        node.create(vec![topic(name, 2)]);
    }
    node.sync();
    let disk = node.crash(0);
    let mut topics = BTreeSet::new();
    for end in 0..=disk.frames.len() {
        let disk = Disk {
            checkpoint: None,
            frames: disk.frames[..end].to_vec(),
        };
        let mut node = Node::start(disk, 9);
        let found = node.shard.topic_count();
        topics.insert(found);
        node.register(1);
        node.create_one(topic("new", 1));
        assert_eq!(node.shard.topic_count(), found + 1);
    }
    assert_eq!(topics, (0..=3).collect());
}
