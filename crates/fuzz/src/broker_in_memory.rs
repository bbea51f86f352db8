//! A whole broker on one thread, over a disk in memory: what it wants done is done at once.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use wiber_broker::inspect::{Depth, Found, inspect};
use wiber_broker::{
    Address, Broker, BrokerOptions, ConnectionId, Effect, Event, Machine, OpenError, open,
};
use wiber_model::batch::{BatchBuilder, Compression};
use wiber_model::{Monotonic, Now, TimestampMs};
use wiber_protocol::messages as m;
use wiber_protocol::{Frame, Request, SIZE_PREFIX_BYTES, decode_response, encode_request};
use wiber_storage::frame::Participant;
use wiber_storage::store::StoreOptions;
use wiber_storage::{FileId, WalOptions};

use crate::memory_disk::MemoryDisk;

/// When the broker is opened.
const BEGIN: Now = Now {
    monotonic: Monotonic(1_000_000_000),
    wall: TimestampMs(1_700_000_000_000),
};
/// Time goes on so far with each event, in nanoseconds.
const STEP_NS: u64 = 1_000;
/// A broker that takes more events than this for one request goes round in circles.
const EVENTS_MAX: usize = 200_000;
const SEED: u64 = 1;

/// The topic that every broker here has, with two partitions.
pub const TOPIC: &str = "topic";
/// The versions that are spoken here.
pub const PRODUCE_VERSION: i16 = 12;
pub const FETCH_VERSION: i16 = 12;
const CREATE_TOPICS_VERSION: i16 = 7;

/// A broker with its clients.
pub struct BrokerInMemory {
    broker: Broker,
    pub disk: MemoryDisk,
    now: Now,
    queue: VecDeque<(Address, Event)>,
    wake_at: BTreeMap<Address, Monotonic>,
    /// What each open connection has been answered and nobody has taken.
    connections: BTreeMap<ConnectionId, VecDeque<Frame>>,
    /// Why the broker gave up.
    pub fatal: Option<String>,
}

impl BrokerInMemory {
    /// Opens what is on the disk, and runs until it serves or has given up.
    pub fn open(mut disk: MemoryDisk) -> Result<BrokerInMemory, OpenError> {
        let broker = open(&mut disk, options(), BEGIN, SEED)?;
        let shards = (0..broker.shards.len() as u16).map(Address::Shard);
        let all: Vec<_> = shards.chain([Address::Controller, Address::Disk]).collect();
        let mut opened = BrokerInMemory {
            broker,
            disk,
            now: BEGIN,
            queue: all.iter().map(|at| (*at, Event::Timer)).collect(),
            wake_at: BTreeMap::new(),
            connections: BTreeMap::new(),
            fatal: None,
        };
        opened.run();
        Ok(opened)
    }

    /// A client connects to the shard that its number says.
    pub fn connect(&mut self, connection: ConnectionId) {
        if self
            .connections
            .insert(connection, VecDeque::new())
            .is_none()
        {
            let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
            let local = SocketAddr::from(([127, 0, 0, 1], 9092));
            let event = Event::Connected {
                connection,
                peer,
                local,
                listener: 0,
            };
            self.queue.push_back((self.shard_of(connection), event));
            self.run();
        }
    }

    /// A client goes away.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        if self.connections.remove(&connection).is_some() {
            let event = Event::Disconnected { connection };
            self.queue.push_back((self.shard_of(connection), event));
            self.run();
        }
    }

    /// A frame comes in, if its connection is open.
    pub fn send(&mut self, connection: ConnectionId, frame: Bytes) {
        if self.connections.contains_key(&connection) {
            let event = Event::Frame { connection, frame };
            self.queue.push_back((self.shard_of(connection), event));
            self.run();
        }
    }

    /// Lets time pass, with all that was to happen in it.
    pub fn wait(&mut self, ms: i64) {
        let until = self.now.monotonic.plus_ms(ms);
        while let Some((at, time)) = self.next_timer()
            && time <= until
        {
            self.now.monotonic = self.now.monotonic.max(time);
            self.wake_at.remove(&at);
            self.queue.push_back((at, Event::Timer));
            self.run();
        }
        self.now.monotonic = self.now.monotonic.max(until);
        self.now.wall = TimestampMs(self.now.wall.0 + ms);
    }

    /// The answers that came on a connection; none if the broker closed it.
    pub fn take_answers(&mut self, connection: ConnectionId) -> Option<VecDeque<Frame>> {
        self.connections.get_mut(&connection).map(std::mem::take)
    }

    /// Asks, and waits for the answer for up to a minute; none if the connection was closed.
    pub fn ask<R: Request>(&mut self, request: &R, version: i16) -> Option<R::Response> {
        let connection = ConnectionId(u64::MAX - 1);
        self.connect(connection);
        let frame = encode_request(request, version, 1, None).ok()?;
        self.send(connection, frame.to_bytes().slice(SIZE_PREFIX_BYTES..));
        for wait_ms in [0, 1, 1_000, 59_000] {
            self.wait(wait_ms);
            if let Some(answer) = self.take_answers(connection)?.pop_front() {
                let bytes = answer.to_bytes().slice(SIZE_PREFIX_BYTES..);
                let (_, response) = decode_response(bytes, version).ok()?;
                return Some(response);
            }
        }
        assert!(self.fatal.is_some(), "{request:?} was not answered");
        None
    }

    fn shard_of(&self, connection: ConnectionId) -> Address {
        Address::Shard((connection.0 % self.broker.shards.len() as u64) as u16)
    }

    fn next_timer(&self) -> Option<(Address, Monotonic)> {
        let timers = self.wake_at.iter().map(|(at, time)| (*at, *time));
        timers.min_by_key(|(_, time)| *time)
    }

    /// Steps until nothing is under way.
    fn run(&mut self) {
        let (mut effects, mut events) = (Vec::new(), 0);
        while let Some((to, event)) = self.queue.pop_front() {
            if self.fatal.is_some() {
                return self.queue.clear();
            }
            events += 1;
            assert!(events < EVENTS_MAX, "the broker does not come to rest");
            self.now.monotonic.0 += STEP_NS;
            let machine: &mut dyn Machine = match to {
                Address::Shard(number) => &mut self.broker.shards[usize::from(number)],
                Address::Controller => &mut self.broker.controller,
                Address::Disk => &mut self.broker.disk,
            };
            machine.step(self.now, event, &mut effects);
            for effect in effects.drain(..) {
                self.perform(to, effect);
            }
        }
    }

    fn perform(&mut self, from: Address, effect: Effect) {
        use wiber_storage::Disk;
        match effect {
            Effect::Respond { connection, frame } => {
                if let Some(answers) = self.connections.get_mut(&connection) {
                    answers.extend(frame);
                }
            }
            Effect::Close { connection, .. } => {
                if self.connections.remove(&connection).is_some() {
                    let event = Event::Disconnected { connection };
                    self.queue.push_back((from, event));
                }
            }
            Effect::Send { to, message } => {
                self.queue.push_back((to, Event::Message { from, message }));
            }
            Effect::Disk { token, op } => {
                let result = self.disk.perform(op);
                self.queue
                    .push_back((from, Event::DiskDone { token, result }));
            }
            Effect::Job { token, job } => {
                let output = job.run();
                self.queue
                    .push_back((from, Event::JobDone { token, output }));
            }
            Effect::WakeAt(Monotonic::NEVER) => {
                self.wake_at.remove(&from);
            }
            Effect::WakeAt(time) => {
                self.wake_at.insert(from, time);
            }
            Effect::Fatal(reason) => self.fatal = Some(reason),
            Effect::Ready | Effect::Stopped | Effect::Admit(_) => {}
        }
    }
}

/// Everything small, so that an input of a few kilobytes rolls segments and takes checkpoints.
fn options() -> BrokerOptions {
    BrokerOptions {
        shards: 2,
        wal: WalOptions {
            initial_extent_bytes: 64 << 10,
            extent_bytes: 64 << 10,
            wal_bytes_max: 256 << 10,
            checkpoint_bytes: 32 << 10,
            group_bytes_max: 16 << 10,
            reserve_bytes: 32 << 10,
        },
        store: StoreOptions {
            dirty_bytes_max: 8 << 10,
            behind_bytes: 8 << 10,
            tail_bytes_max: 16 << 10,
            index_cache_bytes_max: 4 << 10,
        },
        ..BrokerOptions::default()
    }
}

/// A data directory as a kill left it: a topic with records in segments and in the log, a checkpoint, and frames behind it.
#[derive(Clone)]
pub struct KilledDirectory {
    pub disk: MemoryDisk,
    metadata: Vec<Bytes>,
}

/// The same directory each time.
pub fn killed_directory() -> &'static KilledDirectory {
    static DIRECTORY: LazyLock<KilledDirectory> = LazyLock::new(KilledDirectory::make);
    &DIRECTORY
}

impl KilledDirectory {
    fn make() -> KilledDirectory {
        let mut broker = BrokerInMemory::open(MemoryDisk::default()).expect("an empty directory");
        let topic = m::create_topics::CreatableTopic {
            name: TOPIC.into(),
            num_partitions: 2,
            replication_factor: 1,
            configs: vec![m::create_topics::CreatableTopicConfig {
                name: "segment.ms".into(),
                value: Some("10".into()),
            }],
            ..Default::default()
        };
        let request = m::CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 1000,
            validate_only: false,
        };
        let created = broker.ask(&request, CREATE_TOPICS_VERSION);
        let created = created.expect("an answer").topics;
        assert_eq!(created[0].error_code, 0, "{:?}", created[0].error_message);
        for number in 0..60 {
            let request = produce(number % 2, batch(number));
            let answer = broker.ask(&request, PRODUCE_VERSION).expect("an answer");
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        }
        assert_eq!(broker.fatal, None);
        let mut disk = broker.disk;
        let mut metadata = Vec::new();
        let summary = inspect(&mut disk, Depth::Batches, &mut |found| {
            if let Found::Frame {
                participant: Participant::CONTROLLER,
                frame: wiber_storage::Frame::Metadata(bytes),
                ..
            } = found
            {
                metadata.push(bytes.clone());
            }
        });
        assert_eq!(summary.expect("a directory").problems, []);
        let has = |wanted: fn(&FileId) -> bool| disk.0.keys().any(wanted);
        assert!(has(|file| matches!(file, FileId::Segment(_))), "no segment");
        assert!(disk.0.contains_key(&FileId::Checkpoint), "no checkpoint");
        KilledDirectory { disk, metadata }
    }

    /// The checkpoint's bytes.
    pub fn checkpoint(&self) -> Option<Bytes> {
        let checkpoint = self.disk.0.get(&FileId::Checkpoint)?;
        Some(Bytes::copy_from_slice(checkpoint))
    }

    /// The metadata's frames in the log.
    pub fn metadata_frames(&self) -> Vec<Bytes> {
        self.metadata.clone()
    }
}

/// A batch of a kilobyte or two, of each compression in turn.
pub fn batch(number: i32) -> Bytes {
    let time = TimestampMs(BEGIN.wall.0 + i64::from(number));
    let mut builder = BatchBuilder::new(time);
    for record in 0..4u8 {
        let value = [record; 400];
        builder.push(
            time,
            Some(&[record]),
            Some(&value),
            &[("number", Some(&[record]))],
        );
    }
    let compression = [
        Compression::None,
        Compression::Gzip,
        Compression::None,
        Compression::Zstd,
        Compression::None,
    ][number as usize % 5];
    let payload = wiber_storage::compression::compress(compression, builder.payload());
    builder.build_with(compression, &payload).into_bytes()
}

/// A request that appends to a partition of the topic.
pub fn produce(partition: i32, records: Bytes) -> m::ProduceRequest {
    m::ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![m::produce::TopicProduceData {
            name: TOPIC.into(),
            partition_data: vec![m::produce::PartitionProduceData {
                index: partition,
                records: Some(records),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A request for what a partition of the topic has from an offset on.
pub fn fetch(partition: i32, offset: i64) -> m::FetchRequest {
    m::FetchRequest {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![m::fetch::FetchTopic {
            topic: TOPIC.into(),
            partitions: vec![m::fetch::FetchPartition {
                partition,
                fetch_offset: offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}
