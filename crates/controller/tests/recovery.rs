//! The controller against a WAL that may lose what was not durable: what was answered is there after every crash.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::*;
use wiber_controller::{
    ClusterImage, Command, CommandError, CommandResult, Controller, ControllerEffect,
    ControllerEvent, Recovered, TopicSpec,
};
use wiber_model::{BrokerId, LeaderEpoch, PartitionId, Rng, TopicId};

/// A controller, its WAL, and what it said.
struct Node {
    controller: Controller,
    section: Option<Bytes>,
    /// Frames behind the section, and how many of them are durable.
    wal: Vec<Bytes>,
    durable: usize,
    appended: u64,

    /// A second image, folded from what was published.
    follower: ClusterImage,
    replies: Vec<(u64, Result<CommandResult, CommandError>)>,
    next_command: u64,
    seed: u64,
}

impl Node {
    fn start(section: Option<Bytes>, wal: Vec<Bytes>, seed: u64) -> Node {
        let recovered = Recovered::new(section.clone(), wal.clone()).expect("the WAL is in order");
        let follower = recovered.image().clone();
        let controller =
            Controller::new(BrokerId(1), Rng::new(seed), recovered).expect("the log is in order");
        let mut node = Node {
            controller,
            section,
            durable: wal.len(),
            wal,
            appended: 0,

            follower,
            replies: Vec::new(),
            next_command: 0,
            seed,
        };
        node.command(Command::RegisterBroker {
            id: BrokerId(1),
            incarnation: [seed as u8; 16],
            directory: [1; 16],
            listeners: Vec::new(),
            rack: None,
        });
        node
    }

    fn step(&mut self, event: ControllerEvent) {
        let mut fx = Vec::new();
        self.controller.step(event, &mut fx);
        self.controller.validate();
        let mut published = false;
        for effect in fx {
            match effect {
                ControllerEffect::Append(frames) => {
                    assert!(!published, "frames come before what they commit");
                    self.appended += frames.len() as u64;
                    self.wal.extend(frames);
                }
                ControllerEffect::Publish { offset, records } => {
                    published = true;
                    for record in records.iter() {
                        self.follower.apply(offset, record);
                    }
                }
                ControllerEffect::Reply { id, result } => self.replies.push((id, result)),
                ControllerEffect::Fatal(reason) => panic!("{reason}"),
            }
        }
    }

    fn command(&mut self, command: Command) -> u64 {
        let id = self.next_command;
        self.next_command += 1;
        self.step(ControllerEvent::Command { id, command });
        id
    }

    /// Makes some more of the WAL durable.
    fn sync(&mut self, frames: usize) {
        self.durable = (self.durable + frames).min(self.wal.len());
        let behind = (self.wal.len() - self.durable) as u64;
        self.step(ControllerEvent::Durable {
            frames: self.appended - behind,
        });
    }

    fn sync_all(&mut self) {
        while self.durable < self.wal.len() {
            self.sync(usize::MAX - self.durable);
        }
    }

    /// Takes a checkpoint; it counts once all before it is durable.
    fn checkpoint(&mut self) {
        let cut = self.wal.len();
        let section = self.controller.checkpoint_section();
        let offset = self.controller.image().offset();
        while self.durable < cut {
            self.sync(cut - self.durable);
        }
        self.section = Some(section);
        self.wal.drain(..cut);
        self.durable -= cut;

        self.controller.checkpointed(offset);
    }

    fn create(&mut self, names: &[&str], partitions: i32) -> u64 {
        let topics = names
            .iter()
            .map(|name| TopicSpec {
                name: (*name).to_owned(),
                partitions,
                replication_factor: 1,
                assignments: Vec::new(),
                configs: vec![("retention.ms".to_owned(), "5".to_owned())],
            })
            .collect();
        self.command(Command::CreateTopics {
            topics,
            validate_only: false,
        })
    }

    fn reply(&self, id: u64) -> &Result<CommandResult, CommandError> {
        &self
            .replies
            .iter()
            .find(|reply| reply.0 == id)
            .expect("it was answered")
            .1
    }

    fn created(&self, id: u64) -> Vec<Result<TopicId, CommandError>> {
        match self.reply(id) {
            Ok(CommandResult::TopicsCreated(results)) => results
                .iter()
                .map(|r| r.result.clone().map(|created| created.id))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    /// The process dies; a part of what was not durable may be there all the same.
    fn crash(self, survivors: usize) -> Node {
        let keep = (self.durable + survivors).min(self.wal.len());
        Node::start(self.section, self.wal[..keep].to_vec(), self.seed + 1)
    }
}

#[test]
fn a_new_cluster_registers_creates_and_deletes() {
    let mut node = Node::start(None, Vec::new(), 1);
    let create = node.create(&["a", "b"], 3);
    assert!(
        node.replies.is_empty(),
        "nothing is answered before it is durable"
    );
    node.sync_all();
    assert_eq!(node.replies[0], (0, Ok(CommandResult::Registered)));
    let ids = node.created(create);
    let a = *ids[0].as_ref().unwrap();
    assert_eq!(node.follower.topic("a").unwrap().partitions.len(), 3);
    let again = node.create(&["a", "c"], 1);
    node.sync_all();
    assert_eq!(
        node.created(again)[0],
        Err(CommandError::TopicExists("a".to_owned()))
    );
    assert!(node.created(again)[1].is_ok());
    let delete = node.command(Command::DeleteTopics {
        ids: vec![a, TopicId([9; 16])],
    });
    node.sync_all();
    assert!(
        matches!(node.reply(delete), Ok(CommandResult::TopicsDeleted(results))
        if results[0].1.is_ok() && results[1].1 == Err(CommandError::UnknownTopic(TopicId([9; 16]))))
    );
    assert!(node.follower.topic("a").is_none());
    assert_eq!(&node.follower, node.controller.image());
}

#[test]
fn two_commands_under_way_do_not_make_the_same_topic() {
    let mut node = Node::start(None, Vec::new(), 1);
    node.sync_all();
    let (first, second) = (node.create(&["t"], 1), node.create(&["t"], 1));
    let third = node.create(&["t.x", "t_x"], 1);
    node.sync_all();
    assert!(node.created(first)[0].is_ok());
    assert!(matches!(
        node.created(second)[0],
        Err(CommandError::TopicExists(_))
    ));
    assert!(node.created(third)[0].is_ok() && node.created(third)[1].is_err());
}

#[test]
fn every_start_begins_new_epochs_and_producer_ids_never_come_twice() {
    let mut node = Node::start(None, Vec::new(), 1);
    let create = node.create(&["t"], 2);
    node.sync_all();
    let topic = *node.created(create)[0].as_ref().unwrap();
    let partition = PartitionId {
        topic,
        partition: 1,
    };
    let mut blocks = BTreeSet::new();
    for start in 0..4 {
        let epoch = node.follower.partition(partition).unwrap().leader_epoch;
        assert_eq!(epoch, LeaderEpoch(start));
        for _ in 0..2 {
            let id = node.command(Command::AllocateProducerIds);
            node.sync_all();
            match node.reply(id) {
                Ok(CommandResult::ProducerIds { first, .. }) => assert!(blocks.insert(*first)),
                other => panic!("{other:?}"),
            }
        }
        node = node.crash(0);
        node.sync_all();
    }
}

#[test]
fn what_cannot_be_created_is_told_why() {
    let mut node = Node::start(None, Vec::new(), 1);
    node.sync_all();
    let spec = |name: &str, partitions, factor, assignments: &[(i32, &[i32])]| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication_factor: factor,
        assignments: assignments
            .iter()
            .map(|(p, ids)| (*p, ids.iter().map(|id| BrokerId(*id)).collect()))
            .collect(),
        configs: Vec::new(),
    };
    let topics = vec![
        spec("a b", 1, 1, &[]),
        spec("p", 0, 1, &[]),
        spec("q", 1, 2, &[]),
        spec("r", 1, 0, &[]),
        spec("s", -1, -1, &[(0, &[1]), (2, &[1])]),
        spec("t", -1, -1, &[(0, &[1, 1])]),
        spec("u", -1, -1, &[(0, &[7])]),
        spec("v", -1, -1, &[(1, &[1]), (0, &[1])]),
    ];
    let id = node.command(Command::CreateTopics {
        topics,
        validate_only: true,
    });
    let results = node.created(id);
    use CommandError as E;
    assert!(matches!(results[0], Err(E::InvalidName(_))));
    assert!(matches!(results[1], Err(E::InvalidPartitions(_))));
    assert!(matches!(results[2], Err(E::InvalidReplicationFactor(_))));
    assert!(matches!(results[3], Err(E::InvalidReplicationFactor(_))));
    for result in &results[4..7] {
        assert!(matches!(result, Err(E::InvalidAssignment(_))), "{result:?}");
    }
    assert!(results[7].is_ok());
    assert_eq!(node.follower.topic_count(), 0, "nothing was created");
}

#[test]
fn a_wal_without_its_checkpoint_is_refused() {
    let mut node = Node::start(None, Vec::new(), 1);
    node.create(&["a"], 1);
    node.checkpoint();
    node.create(&["b"], 1);
    node.sync_all();
    let error = Recovered::new(None, node.wal.clone()).expect_err("entries are missing");
    assert!(error.to_string().contains("missing"), "{error}");
}

proptest! {
    #[test]
    fn what_was_answered_survives_every_crash(steps in proptest::collection::vec((0..7u8, 0..6usize), 1..60)) {
        const NAMES: [&str; 6] = ["a", "b", "c", "d", "e.f", "e_f"];
        let mut node = Node::start(None, Vec::new(), 1);
        for (what, with) in steps {
            match what {
                0 | 1 => drop(node.create(&[NAMES[with]], 1 + with as i32)),
                2 => {
                    let ids = node.follower.topic(NAMES[with]).map(|topic| topic.id).into_iter().collect();
                    node.command(Command::DeleteTopics { ids });
                }
                3 | 4 => node.sync(with),
                5 => node.checkpoint(),
                _ => {
                    node.sync_all();
                    let before = node.follower.clone();
                    node.create(&["unanswered"], 1);
                    let answered = node.follower.clone();
                    prop_assert_eq!(&answered, &before);
                    node = node.crash(with);
                    node.sync_all();
                    // All that was published is there, but for the epochs that the new start began.
                    for topic in before.topics() {
                        let now = node.follower.topic_by_id(topic.id).expect("an answered topic is there");
                        prop_assert_eq!(&now.configs, &topic.configs);
                        for (now, then) in now.partitions.iter().zip(&topic.partitions) {
                            prop_assert!(now.leader_epoch > then.leader_epoch);
                        }
                    }
                    let id = node.follower.topic("unanswered").map(|topic| topic.id);
                    node.command(Command::DeleteTopics { ids: id.into_iter().collect() });
                    node.sync_all();
                    prop_assert_eq!(node.follower.topic_count(), before.topic_count());
                }
            }
            node.follower.validate();
        }
        node.sync_all();
        // The shards' copy lacks only the offsets of entries without records.
        node.follower.advance(node.controller.image().offset());
        prop_assert_eq!(&node.follower, node.controller.image());
    }
}
