//! A controller with its write-ahead log in memory, and a second image folded from what it published, as a shard has one.

use bytes::Bytes;
use wiber_controller::{
    ClusterImage, Command, CommandError, CommandResult, Controller, ControllerEffect,
    ControllerEvent, CreatedTopic, Listener, MetadataOffset, Recovered, TopicSpec,
};
use wiber_model::{BrokerId, Rng, TopicId};

/// The answer to a command.
pub type Answer = Result<CommandResult, CommandError>;

/// What is left of a controller that stopped.
#[derive(Clone, Default)]
pub struct Disk {
    /// The section of the last checkpoint, and how many frames it stands for.
    pub checkpoint: Option<(usize, Bytes)>,
    /// All frames ever.
    pub frames: Vec<Bytes>,
}

/// A running controller.
pub struct Node {
    pub controller: Controller,
    pub disk: Disk,
    /// How many frames were there before this start.
    before: usize,
    /// How many frames are durable.
    durable: usize,
    /// A checkpoint whose cut is not durable yet.
    pending: Option<(usize, Bytes)>,
    /// The image of a shard.
    pub shard: ClusterImage,
    /// The answers, each with how far the shard was when it came.
    pub answers: Vec<(u64, MetadataOffset, Answer)>,
    commands: u64,
    /// Whether all invariants are checked at each step, which takes longer the more there is.
    pub check: bool,
}

impl Disk {
    /// What a start finds.
    pub fn recover(&self) -> Recovered {
        let (cut, section) = self.checkpoint.clone().unzip();
        let frames = self.frames[cut.unwrap_or(0)..].to_vec();
        Recovered::new(section, frames).unwrap()
    }
}

impl Node {
    /// A new cluster, whose broker 1 is registered.
    pub fn new() -> Node {
        let mut node = Node::start(Disk::default(), 1);
        node.register(1);
        node.sync();
        node
    }

    pub fn start(disk: Disk, seed: u64) -> Node {
        let recovered = disk.recover();
        let shard = recovered.image().clone();
        shard.validate();
        let controller = Controller::new(BrokerId(1), Rng::new(seed), recovered).unwrap();
        assert_eq!(controller.image(), &shard);
        Node {
            controller,
            before: disk.frames.len(),
            durable: disk.frames.len(),
            disk,
            pending: None,
            shard,
            answers: Vec::new(),
            commands: 0,
            check: true,
        }
    }

    fn step(&mut self, event: ControllerEvent) {
        let mut fx = Vec::new();
        self.controller.step(event, &mut fx);
        let before = self.check.then(|| self.shard.clone());
        let mut published = false;
        for effect in fx {
            match effect {
                ControllerEffect::Append(frames) => {
                    assert!(!published, "published before what commits it is appended");
                    self.disk.frames.extend(frames);
                }
                ControllerEffect::Publish { offset, records } => {
                    published = true;
                    assert!(offset > self.shard.offset() && !records.is_empty());
                    for record in records.iter() {
                        self.shard.apply(offset, record);
                    }
                }
                ControllerEffect::Reply { id, result } => {
                    self.answers.push((id, self.shard.offset(), result));
                }
                ControllerEffect::Fatal(reason) => panic!("{reason}"),
            }
        }
        if let Some(before) = before {
            self.controller.validate();
            self.shard.validate();
            self.shard.validate_after(&before);
        }
    }

    /// Gives a command. Returns its number.
    pub fn command(&mut self, command: Command) -> u64 {
        let id = self.commands;
        self.commands += 1;
        self.step(ControllerEvent::Command { id, command });
        id
    }

    pub fn register(&mut self, broker: i32) -> u64 {
        self.command(Command::RegisterBroker {
            id: BrokerId(broker),
            incarnation: [7; 16],
            directory: [broker as u8; 16],
            listeners: vec![Listener {
                name: "PLAINTEXT".to_owned(),
                host: "localhost".to_owned(),
                port: 9092,
            }],
            rack: None,
        })
    }

    pub fn create(&mut self, topics: Vec<TopicSpec>) -> u64 {
        self.command(Command::CreateTopics {
            topics,
            validate_only: false,
        })
    }

    /// How many frames are appended and not durable.
    pub fn in_flight(&self) -> usize {
        self.disk.frames.len() - self.durable
    }

    /// Makes `frames` more durable, and not what these cause to be appended.
    pub fn sync_some(&mut self, frames: usize) {
        self.durable += frames.min(self.in_flight());
        let durable = self.durable;
        if let Some(checkpoint) = self.pending.take_if(|(cut, _)| *cut <= durable) {
            self.disk.checkpoint = Some(checkpoint);
        }
        self.step(ControllerEvent::Durable {
            frames: (durable - self.before) as u64,
        });
    }

    /// Makes all durable. Returns in how many rounds.
    pub fn sync(&mut self) -> usize {
        let mut rounds = 0;
        while self.in_flight() > 0 {
            self.sync_some(usize::MAX);
            rounds += 1;
        }
        rounds
    }

    /// Takes a checkpoint, which counts when all before it is durable.
    pub fn checkpoint(&mut self) {
        let section = self.controller.checkpoint_section();
        self.pending = Some((self.disk.frames.len(), section));
    }

    /// The answer to a command, if there is one yet.
    pub fn answer(&self, id: u64) -> Option<&Answer> {
        let answer = self.answers.iter().find(|answer| answer.0 == id);
        answer.map(|answer| &answer.2)
    }

    /// The answer to a creation of topics.
    pub fn created(&self, id: u64) -> Vec<Result<CreatedTopic, CommandError>> {
        match self.answer(id) {
            Some(Ok(CommandResult::TopicsCreated(topics))) => {
                topics.iter().map(|topic| topic.result.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Creates one topic, which must succeed. Returns its id.
    pub fn create_one(&mut self, topic: TopicSpec) -> TopicId {
        let id = self.create(vec![topic]);
        self.sync();
        self.created(id)[0].as_ref().unwrap().id
    }

    /// The process ends. Of the frames that are not durable, the first `survivors` may be on the disk all the same.
    pub fn crash(mut self, survivors: usize) -> Disk {
        let left = self.durable + survivors.min(self.in_flight());
        self.disk.frames.truncate(left);
        self.disk
    }
}

/// A topic with a number of partitions, of one replica each.
pub fn topic(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication_factor: 1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// A topic whose replicas are assigned.
pub fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> TopicSpec {
    let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    TopicSpec {
        partitions: -1,
        replication_factor: -1,
        assignments: assignments
            .iter()
            .map(|(partition, ids)| (*partition, brokers(ids)))
            .collect(),
        ..topic(name, -1)
    }
}
