//! A coordinator with a clock, topics and a log, driven through its public surface.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use wiber_coordinator::{
    Assignment, Caller, Cluster, CommitOffset, CommitRequest, ConsumerProtocol, Coordinator,
    FetchOffsetsRequest, GroupConfig, GroupError, GroupOverrides, HeartbeatRequest, JoinRequest,
    Joined, LeaveRequest, LeavingMember, NamedPartitions, Output, Record, ReplyTo, Request,
    Response, Subscription, SyncRequest, Synced,
};
use wiber_model::{LeaderEpoch, Monotonic, Now, Offset, Rng, TimestampMs, TopicId};

/// The group that most tests use.
pub const GROUP: &str = "group";

/// The session timeout that members ask for, unless they say otherwise.
pub const SESSION_MS: i32 = 10_000;

/// The rebalance timeout that members ask for, unless they say otherwise.
pub const REBALANCE_MS: i32 = 30_000;

/// Ten topics, `topic0` to `topic9`.
#[derive(Default)]
pub struct Topics {
    /// Those that were deleted.
    pub gone: BTreeSet<String>,
    /// Those that were made anew since.
    pub anew: BTreeSet<String>,
}

impl Cluster for Topics {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        let number: u8 = name.strip_prefix("topic")?.parse().ok()?;
        let number = match self.anew.contains(name) {
            true => number + 100,
            false => number,
        };
        (!self.gone.contains(name)).then_some(TopicId([number; 16]))
    }

    fn topic_name(&self, _: TopicId) -> Option<&str> {
        None
    }

    fn partitions(&self, _: TopicId) -> i32 {
        4
    }

    fn racks(&self, _: TopicId, _: i32) -> Vec<&str> {
        Vec::new()
    }

    fn topic_names<'a>(&'a self, _: &str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        Box::new(std::iter::empty())
    }

    fn version(&self) -> i64 {
        0
    }

    fn group_overrides(&self, _: &str) -> GroupOverrides {
        GroupOverrides::default()
    }
}

/// Stands in for the consumers' embedded protocol: the names of topics with commas between them; `?` cannot be read.
fn read_subscription(metadata: &Bytes) -> Option<(Subscription, i16)> {
    let text = std::str::from_utf8(metadata).ok()?;
    if text.starts_with('?') {
        return None;
    }
    let topics = text.split(',').filter(|name| !name.is_empty());
    let subscription = Subscription {
        topics: topics.map(str::to_owned).collect(),
        ..Subscription::default()
    };
    Some((subscription, 0))
}

fn no_assignment(_: &Bytes) -> Option<Assignment> {
    None
}

fn no_partitions(_: &NamedPartitions, _: i16) -> Bytes {
    Bytes::new()
}

/// See the module.
pub struct World {
    pub coordinator: Coordinator,
    pub config: Arc<GroupConfig>,
    pub topics: Topics,
    pub now: Now,
    /// The most records that a step had.
    pub most_records: usize,
    /// All records since the beginning.
    pub log: Vec<Record>,
    /// The replies, and how long the log was when they were given.
    replies: BTreeMap<ReplyTo, (usize, Response)>,
    /// How much of the log is durable for sure, as somebody had a reply that rests on it.
    heard: usize,
    /// Requests that have no reply yet.
    pub unanswered: BTreeSet<ReplyTo>,
    next: u64,
    starts: u64,
}

impl World {
    pub fn new() -> World {
        World::with(|_| {})
    }

    pub fn with(set: impl FnOnce(&mut GroupConfig)) -> World {
        let mut config = GroupConfig::default();
        set(&mut config);
        let mut world = World {
            coordinator: coordinator(&config, 0),
            config: Arc::new(config),
            topics: Topics::default(),
            now: Now {
                monotonic: Monotonic(1),
                wall: TimestampMs(1_700_000_000_000),
            },
            most_records: 0,
            log: Vec::new(),
            replies: BTreeMap::new(),
            heard: 0,
            unanswered: BTreeSet::new(),
            next: 0,
            starts: 0,
        };
        world.restart();
        world
    }

    /// The process is lost: of what nobody has heard of yet so much is left in the log, in percent.
    pub fn restart_with(&mut self, percent: usize) {
        let unheard = self.log.len() - self.heard;
        let lost = unheard - unheard * percent / 100;
        self.log.truncate(self.log.len() - lost);
        self.restart();
    }

    /// The process is lost: another coordinator replays what was written.
    pub fn restart(&mut self) {
        self.starts += 1;
        self.coordinator = coordinator(&self.config, self.starts);
        self.replies.clear();
        self.unanswered.clear();
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

    /// Sends a request; its reply may come later.
    pub fn send(&mut self, request: Request) -> ReplyTo {
        self.next += 1;
        let to = ReplyTo(self.next);
        self.unanswered.insert(to);
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
        let (length, response) = self.replies.remove(&to)?;
        self.heard = self.heard.max(length);
        Some(response)
    }

    /// Lets time pass, and does what is due meanwhile when it is due.
    pub fn pass(&mut self, ms: i64) {
        let end = self.now.monotonic.plus_ms(ms);
        while self.coordinator.next_deadline() <= end {
            let due = self.coordinator.next_deadline().max(self.now.monotonic);
            self.advance_to(due);
            let mut out = Output::default();
            self.coordinator.tick(self.now, &self.topics, &mut out);
            assert!(
                self.coordinator.next_deadline() > self.now.monotonic,
                "what was due is done"
            );
            self.take(out);
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, instant: Monotonic) {
        let ms = instant.ms_since(self.now.monotonic);
        self.now.monotonic = instant;
        self.now.wall.0 += i64::try_from(ms).expect("a short time");
    }

    pub fn delete_topics(&mut self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.topics.gone.extend(names.iter().cloned());
        let mut out = Output::default();
        self.coordinator
            .topics_deleted(self.now, &self.topics, &names, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Output) {
        self.coordinator.validate();
        self.most_records = self.most_records.max(out.records.len());
        self.log.extend(out.records);
        for (to, response) in out.replies {
            assert!(self.unanswered.remove(&to), "{to:?} is replied to once");
            self.replies.insert(to, (self.log.len(), response));
        }
    }

    /// How many records were written since the log had this length.
    pub fn written_since(&self, length: usize) -> &[Record] {
        &self.log[length..]
    }

    // Requests, in short.

    pub fn join(&mut self, request: JoinRequest) -> ReplyTo {
        self.send(Request::Join(request))
    }

    pub fn joined(&mut self, to: ReplyTo) -> (String, Joined) {
        match self.reply(to) {
            Some(Response::Join {
                result: Ok(joined),
                member_id,
            }) => (member_id, joined),
            other => panic!("not joined: {other:?}"),
        }
    }

    pub fn refused(&mut self, to: ReplyTo) -> (String, GroupError) {
        match self.reply(to) {
            Some(Response::Join {
                result: Err(error),
                member_id,
            }) => (member_id, error),
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn sync(&mut self, request: SyncRequest) -> ReplyTo {
        self.send(Request::Sync(request))
    }

    pub fn synced(&mut self, to: ReplyTo) -> Result<Synced, GroupError> {
        match self.reply(to) {
            Some(Response::Sync(result)) => result,
            other => panic!("not synced: {other:?}"),
        }
    }

    pub fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), GroupError> {
        let response = self.ask(Request::Heartbeat(HeartbeatRequest {
            group: GROUP.to_owned(),
            generation,
            member_id: member.to_owned(),
            instance_id: None,
        }));
        match response {
            Response::Heartbeat(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(
        &mut self,
        members: &[(&str, Option<&str>)],
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let members = members.iter().map(|(id, instance)| LeavingMember {
            member_id: (*id).to_owned(),
            instance_id: instance.map(str::to_owned),
            reason: None,
        });
        let response = self.ask(Request::Leave(LeaveRequest {
            group: GROUP.to_owned(),
            members: members.collect(),
        }));
        match response {
            Response::Leave(result) => {
                result.map(|left| left.into_iter().map(|left| left.result).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn commit(
        &mut self,
        request: CommitRequest,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        match self.ask(Request::CommitOffsets(request)) {
            Response::CommitOffsets(result) => result,
            other => panic!("{other:?}"),
        }
    }

    /// What is committed for a partition.
    pub fn committed(&mut self, topic: &str, partition: i32) -> Option<Offset> {
        self.committed_by(GROUP, topic, partition)
    }

    /// What another group has committed.
    pub fn committed_by(&mut self, group: &str, topic: &str, partition: i32) -> Option<Offset> {
        let response = self.ask(Request::FetchOffsets(FetchOffsetsRequest {
            group: group.to_owned(),
            member_id: None,
            member_epoch: -1,
            partitions: Some(vec![(topic.to_owned(), vec![partition])]),
        }));
        match response {
            Response::FetchOffsets(Ok(topics)) => {
                let (_, committed) = &topics[0].partitions[0];
                committed.as_ref().map(|committed| committed.offset)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Kafka's word for the group's state.
    pub fn state(&mut self) -> &'static str {
        let response = self.ask(Request::DescribeClassic {
            group: GROUP.to_owned(),
            version: 5,
        });
        match response {
            Response::DescribeClassic(Ok(description)) => description.state,
            other => panic!("{other:?}"),
        }
    }

    /// A group of this many dynamic members that is stable: their ids, the leader first, and the generation.
    pub fn stable(&mut self, members: usize) -> (Vec<String>, i32) {
        let waiting: Vec<ReplyTo> = (0..members).map(|_| self.join(old_client())).collect();
        self.pass(i64::from(self.config.initial_rebalance_delay_ms) * 2);
        self.settle(waiting)
    }

    /// Brings members that wait for JoinGroup, which was completed, to a stable group. Their ids, the leader first.
    pub fn settle(&mut self, waiting: Vec<ReplyTo>) -> (Vec<String>, i32) {
        let joined: Vec<(String, Joined)> = waiting.into_iter().map(|to| self.joined(to)).collect();
        let (generation, leader) = (joined[0].1.generation, joined[0].1.leader.clone());
        let mut ids: Vec<String> = joined.into_iter().map(|(id, _)| id).collect();
        ids.sort_by_key(|id| *id != leader);
        let syncs: Vec<ReplyTo> = ids
            .iter()
            .rev()
            .map(|id| self.sync(sync_of(id, generation, &ids)))
            .collect();
        for to in syncs {
            self.synced(to).expect("an assignment");
        }
        (ids, generation)
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

/// A coordinator of nothing yet.
pub fn coordinator(config: &GroupConfig, seed: u64) -> Coordinator {
    let protocol = ConsumerProtocol {
        subscription: read_subscription,
        assignment: no_assignment,
        encode_assignment: no_partitions,
    };
    Coordinator::new(Arc::new(config.clone()), protocol, Rng::new(seed))
}

/// A consumer of `topic1`, with a client that is not first given its id.
pub fn old_client() -> JoinRequest {
    JoinRequest {
        group: GROUP.to_owned(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range", "roundrobin"]),
        caller: Caller {
            client_id: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
        },
        ..JoinRequest::default()
    }
}

/// A consumer of `topic1`, as clients are today.
pub fn new_client() -> JoinRequest {
    JoinRequest {
        needs_known_member_id: true,
        supports_skipping_assignment: true,
        ..old_client()
    }
}

/// A static member.
pub fn static_client(instance: &str) -> JoinRequest {
    JoinRequest {
        instance_id: Some(instance.to_owned()),
        ..new_client()
    }
}

/// The same client with an id.
pub fn with_id(request: JoinRequest, id: &str) -> JoinRequest {
    JoinRequest {
        member_id: id.to_owned(),
        ..request
    }
}

/// Protocols that all go with a subscription to `topic1`.
pub fn protocols(names: &[&str]) -> Vec<(String, Bytes)> {
    let protocols = names
        .iter()
        .map(|name| ((*name).to_owned(), Bytes::from_static(b"topic1")));
    protocols.collect()
}

/// The leader's SyncGroup, with an assignment for each member: its own id. From a follower the coordinator takes no assignments.
pub fn sync_of(member: &str, generation: i32, assigned: &[String]) -> SyncRequest {
    let assignments = assigned
        .iter()
        .map(|id| (id.clone(), Bytes::from(id.clone())));
    SyncRequest {
        group: GROUP.to_owned(),
        generation,
        member_id: member.to_owned(),
        assignments: assignments.collect(),
        ..SyncRequest::default()
    }
}

/// A commit of one offset for a partition of `topic1`.
pub fn commit_of(member: &str, generation: i32, partition: i32, offset: i64) -> CommitRequest {
    CommitRequest {
        group: GROUP.to_owned(),
        generation_or_epoch: generation,
        member_id: member.to_owned(),
        version: 8,
        offsets: vec![CommitOffset {
            topic: "topic1".to_owned(),
            partition,
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(0),
            ..CommitOffset::default()
        }],
        ..CommitRequest::default()
    }
}
