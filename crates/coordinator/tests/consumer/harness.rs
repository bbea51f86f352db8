//! A coordinator with a clock, topics and a log, and consumers as their library has them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use wiber_coordinator::{
    Assignment, Caller, Cluster, ConsumerDescription, ConsumerHeartbeat, ConsumerHeartbeatRequest,
    ConsumerProtocol, Coordinator, GroupConfig, GroupError, GroupOverrides, NamedPartitions,
    Output, Record, ReplyTo, Request, Response, Subscription, TopicPartitions,
};
use wiber_model::{Monotonic, Now, Rng, TimestampMs, TopicId};

/// The group that all tests use.
pub const GROUP: &str = "group";

/// How long members may take to give partitions up, in milliseconds.
pub const REBALANCE_MS: i32 = 30_000;

/// How long members may be silent, in milliseconds.
pub const SESSION_MS: i64 = 45_000;

/// The topics.
#[derive(Default)]
pub struct Topics {
    topics: BTreeMap<String, (TopicId, i32)>,
    names: BTreeMap<TopicId, String>,
    made: u32,
    version: i64,
    pub overrides: GroupOverrides,
}

impl Cluster for Topics {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.topics.get(name).map(|(id, _)| *id)
    }

    fn topic_name(&self, id: TopicId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    fn partitions(&self, id: TopicId) -> i32 {
        let name = self.names.get(&id);
        name.map_or(0, |name| self.topics[name].1)
    }

    fn racks(&self, _: TopicId, _: i32) -> Vec<&str> {
        Vec::new()
    }

    fn topic_names<'a>(&'a self, after: &str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let behind = self.topics.range::<str, _>(behind);
        Box::new(behind.map(|(name, _)| name.as_str()))
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn group_overrides(&self, _: &str) -> GroupOverrides {
        self.overrides
    }
}

/// Stands in for the consumers' embedded protocol: `version;topic,topic;topic=1.2,topic=3`. What begins with `?` cannot be read.
pub fn write_subscription(subscription: &Subscription, version: i16) -> Bytes {
    let topics = subscription.topics.join(",");
    let owned = write_partitions(&subscription.owned);
    Bytes::from(format!("{version};{topics};{owned}"))
}

fn read_subscription(metadata: &Bytes) -> Option<(Subscription, i16)> {
    let text = std::str::from_utf8(metadata).ok()?;
    let mut parts = text.split(';');
    let version = parts.next()?.parse().ok()?;
    let topics = parts.next()?.split(',').filter(|name| !name.is_empty());
    let subscription = Subscription {
        topics: topics.map(str::to_owned).collect(),
        owned: read_partitions(parts.next()?)?,
        ..Subscription::default()
    };
    Some((subscription, version))
}

fn write_partitions(partitions: &NamedPartitions) -> String {
    let topics = partitions.iter().map(|(topic, partitions)| {
        let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
        format!("{topic}={}", partitions.join("."))
    });
    topics.collect::<Vec<_>>().join(",")
}

fn read_partitions(text: &str) -> Option<NamedPartitions> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (topic, partitions) = part.split_once('=')?;
            let partitions = partitions.split('.').map(|p| p.parse().ok());
            Some((topic.to_owned(), partitions.collect::<Option<_>>()?))
        })
        .collect()
}

/// An assignment: `topic=1.2,topic=3`, and `!` at the end if it has data of an assignor's.
pub fn write_assignment(partitions: &NamedPartitions, _: i16) -> Bytes {
    Bytes::from(write_partitions(partitions))
}

pub fn read_assignment(bytes: &Bytes) -> Option<Assignment> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (text, has_user_data) = match text.strip_suffix('!') {
        Some(text) => (text, true),
        None => (text, false),
    };
    Some(Assignment {
        partitions: read_partitions(text)?,
        has_user_data,
    })
}

/// See the module.
pub struct World {
    pub coordinator: Coordinator,
    pub config: Arc<GroupConfig>,
    pub topics: Topics,
    pub now: Now,
    /// All records since the beginning.
    pub log: Vec<Record>,
    replies: BTreeMap<ReplyTo, Response>,
    next: u64,
    starts: u64,
    /// Whether the invariants are checked after each step.
    pub validates: bool,
}

impl World {
    /// A coordinator that assigns without delay, and topics of these sizes.
    pub fn new(topics: &[(&str, i32)]) -> World {
        World::with(topics, |_| {})
    }

    pub fn with(topics: &[(&str, i32)], set: impl FnOnce(&mut GroupConfig)) -> World {
        let mut config = GroupConfig {
            consumer_assignment_interval_ms: 0,
            ..GroupConfig::default()
        };
        set(&mut config);
        let mut world = World {
            coordinator: coordinator(&config, 0),
            config: Arc::new(config),
            topics: Topics::default(),
            now: Now {
                monotonic: Monotonic(1),
                wall: TimestampMs(1_700_000_000_000),
            },
            log: Vec::new(),
            replies: BTreeMap::new(),
            next: 0,
            starts: 0,
            validates: true,
        };
        for (name, partitions) in topics {
            world.set_topic(name, *partitions);
        }
        world.restart();
        world
    }

    /// The process is lost: another coordinator replays what was written.
    pub fn restart(&mut self) {
        self.starts += 1;
        self.coordinator = coordinator(&self.config, self.starts);
        self.replies.clear();
        for record in self.log.clone() {
            self.coordinator.replay(record);
        }
        let mut out = Output::default();
        self.coordinator.loaded(self.now, &self.topics, &mut out);
        self.take(out);
    }

    pub fn set(&mut self, set: impl FnOnce(&mut GroupConfig)) {
        let mut config = (*self.config).clone();
        set(&mut config);
        self.config = Arc::new(config);
        self.coordinator.configure(self.config.clone());
    }

    /// Makes a topic, or gives it another size.
    pub fn set_topic(&mut self, name: &str, partitions: i32) {
        self.topics.version += 1;
        if let Some(topic) = self.topics.topics.get_mut(name) {
            topic.1 = partitions;
        } else {
            self.topics.made += 1;
            let mut id = TopicId::ZERO;
            id.0[12..].copy_from_slice(&self.topics.made.to_be_bytes());
            self.topics.topics.insert(name.to_owned(), (id, partitions));
            self.topics.names.insert(id, name.to_owned());
        }
        let mut out = Output::default();
        let names = [name.to_owned()];
        let (now, topics) = (self.now, &self.topics);
        self.coordinator
            .topics_changed(now, topics, &names, &mut out);
        self.take(out);
    }

    pub fn delete_topic(&mut self, name: &str) {
        self.topics.version += 1;
        if let Some((id, _)) = self.topics.topics.remove(name) {
            self.topics.names.remove(&id);
        }
        let mut out = Output::default();
        let names = [name.to_owned()];
        let (now, topics) = (self.now, &self.topics);
        self.coordinator
            .topics_deleted(now, topics, &names, &mut out);
        self.take(out);
    }

    pub fn topic_names(&self) -> Vec<String> {
        self.topics.topics.keys().cloned().collect()
    }

    /// Partitions of a topic, by its id.
    pub fn parts(&self, topics: &[(&str, &[i32])]) -> TopicPartitions {
        let topics = topics.iter();
        topics
            .map(|(name, partitions)| (self.topics.topics[*name].0, partitions.to_vec()))
            .collect()
    }

    /// Sends a request; its reply may come later.
    pub fn send(&mut self, request: Request) -> ReplyTo {
        self.next += 1;
        let to = ReplyTo(self.next);
        let mut out = Output::default();
        self.coordinator
            .handle(self.now, &self.topics, to, request, &mut out);
        self.take(out);
        to
    }

    /// Sends a request whose reply comes at once.
    pub fn ask(&mut self, request: Request) -> Response {
        let to = self.send(request);
        self.reply(to).expect("a reply at once")
    }

    /// The reply to a request, if it came; once.
    pub fn reply(&mut self, to: ReplyTo) -> Option<Response> {
        self.replies.remove(&to)
    }

    pub fn beat(
        &mut self,
        request: ConsumerHeartbeatRequest,
    ) -> Result<ConsumerHeartbeat, GroupError> {
        match self.ask(Request::ConsumerHeartbeat(request)) {
            Response::ConsumerHeartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn describe(&mut self) -> Result<ConsumerDescription, GroupError> {
        let group = GROUP.to_owned();
        match self.ask(Request::DescribeConsumer { group }) {
            Response::DescribeConsumer(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&mut self) -> &'static str {
        self.describe()
            .expect("a group of the consumer protocol")
            .state
    }

    /// Lets time pass, and does what is due meanwhile when it is due.
    pub fn pass(&mut self, ms: i64) {
        let end = self.now.monotonic.plus_ms(ms);
        while self.coordinator.next_deadline() <= end {
            let due = self.coordinator.next_deadline().max(self.now.monotonic);
            self.advance_to(due);
            let mut out = Output::default();
            self.coordinator.tick(self.now, &self.topics, &mut out);
            assert!(self.coordinator.next_deadline() > self.now.monotonic);
            self.take(out);
        }
        self.advance_to(end);
    }

    /// Sets the clock back, as an operator or a time server does; no time passes.
    pub fn set_clock_back(&mut self, ms: i64) {
        self.now.wall.0 -= ms;
    }

    fn advance_to(&mut self, instant: Monotonic) {
        let ms = instant.ms_since(self.now.monotonic);
        self.now.monotonic = instant;
        self.now.wall.0 += i64::try_from(ms).expect("a short time");
    }

    fn take(&mut self, out: Output) {
        if self.validates {
            self.coordinator.validate();
        }
        self.log.extend(out.records);
        for (to, response) in out.replies {
            let before = self.replies.insert(to, response);
            assert!(before.is_none(), "{to:?} is replied to once");
        }
    }
}

fn coordinator(config: &GroupConfig, seed: u64) -> Coordinator {
    let protocol = ConsumerProtocol {
        subscription: read_subscription,
        assignment: read_assignment,
        encode_assignment: write_assignment,
    };
    Coordinator::new(Arc::new(config.clone()), protocol, Rng::new(seed))
}

/// The first heartbeat of a member.
pub fn join(member: &str, topics: &[&str]) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        group: GROUP.to_owned(),
        member_id: member.to_owned(),
        rebalance_timeout_ms: REBALANCE_MS,
        topics: Some(topics.iter().map(|topic| (*topic).to_owned()).collect()),
        owned: Some(TopicPartitions::new()),
        version: 1,
        caller: caller(),
        ..ConsumerHeartbeatRequest::default()
    }
}

/// A heartbeat that says nothing but the epoch.
pub fn plain(member: &str, epoch: i32) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        group: GROUP.to_owned(),
        member_id: member.to_owned(),
        member_epoch: epoch,
        rebalance_timeout_ms: -1,
        version: 1,
        caller: caller(),
        ..ConsumerHeartbeatRequest::default()
    }
}

/// A heartbeat that says what the member has.
pub fn owning(member: &str, epoch: i32, owned: TopicPartitions) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        owned: Some(owned),
        ..plain(member, epoch)
    }
}

/// The same heartbeat from a static member.
pub fn of_instance(request: ConsumerHeartbeatRequest, instance: &str) -> ConsumerHeartbeatRequest {
    ConsumerHeartbeatRequest {
        instance_id: Some(instance.to_owned()),
        ..request
    }
}

pub fn caller() -> Caller {
    Caller {
        client_id: "client".to_owned(),
        host: "/127.0.0.1".to_owned(),
    }
}
