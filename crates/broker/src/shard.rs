//! A shard: some connections, some partitions, and the requests under way between them.
//!
//! A shard has two sides. In *front* it decodes requests, asks the shards that own the partitions (itself included, by the same
//! messages), gathers the answers and responds. As *owner* it appends, reads and watches its partitions. The two meet only through
//! [`Ask`] and [`Answer`].
//!
//! Invariants:
//! - A connection's requests are handled in order; while one waits for validation the next ones wait behind it, so that no
//!   append overtakes another.
//! - Every request that was begun is in `pending` until it is answered or its connection is gone.
//! - A shard that said that it is quiet appends nothing any more.

mod connection;
mod groups;
mod metadata;
mod owner;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::Bound;
use std::sync::Arc;

use wiber_controller::{ClusterImage, Command, CommandError, CommandResult};
use wiber_model::{BrokerId, Monotonic, Now, PartitionId, Rng, TimestampMs, TopicId};
use wiber_protocol::{DecodeErrorKind, RequestFrame, Response, Str, encode_response};
use wiber_storage::{DiskOp, OpToken, Store, StoreEffect};

use crate::handlers::{self, Work};
use crate::job::{Job, JobOutput};
use crate::machine::{Address, ConnectionId, Effect, Event, JobToken, Machine};
use crate::message::{Answer, Ask, Message, RequestId};
use crate::options::BrokerOptions;
use crate::sessions::Sessions;
use crate::topic_config::TopicConfig;

use connection::Connection;
use groups::Groups;
use owner::Owner;

/// The log names a client that wants what is not served at most so often, in milliseconds.
const UNSERVED_TOLD_EVERY_MS: i64 = 1000;
/// A retention sweep looks at this many partitions in a step.
const SWEEP_PARTITIONS: usize = 100;
/// How long a sweep pauses between two such portions.
const SWEEP_PAUSE_MS: i64 = 10;

/// A request under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub connection: ConnectionId,
    pub version: i16,
    pub correlation_id: i32,
    pub deadline: Monotonic,
    pub work: Work,
}

/// One shard of a broker.
#[derive(Debug)]
pub struct Shard {
    pub(crate) number: u16,
    pub(crate) options: BrokerOptions,
    pub(crate) cluster_id: String,
    pub(crate) image: ClusterImage,
    pub(crate) store: Store,
    configs: BTreeMap<TopicId, Arc<TopicConfig>>,
    pub(crate) sessions: Sessions,
    pub(crate) producer_ids: handlers::init_producer_id::Block,
    pub(crate) creations: handlers::metadata::Creations,
    owner: Owner,
    groups: Groups,
    connections: BTreeMap<ConnectionId, Connection>,
    /// When the log may name the next client that wants what is not served.
    tell_unserved_after: Monotonic,
    pending: BTreeMap<RequestId, Pending>,
    next_request: u64,
    deadlines: BTreeSet<(Monotonic, RequestId)>,
    jobs: BTreeMap<JobToken, JobFor>,
    /// Requests that wait for the disk.
    disk_ops: BTreeMap<OpToken, RequestId>,
    next_job: u64,
    /// What this shard says to itself.
    inbox: VecDeque<Message>,
    /// What the store wants done.
    pub(crate) storage: Vec<StoreEffect>,
    /// Whether requests may begin: not before this start's leader epochs are durable on every shard (R2).
    serving: bool,
    /// Appends and deletions of records that owners were asked for and have not answered, also those that nobody waits for any
    /// more.
    appends_asked: usize,
    stopping: Stopping,
    sweep: Sweep,
    store_wake: Monotonic,
    wake: Monotonic,
}

/// Who a job's output is for.
#[derive(Clone, Copy, Debug)]
enum JobFor {
    Front(RequestId),
    Owner(u64),
    /// The compaction of a log.
    Cleaner(PartitionId),
}

/// How far the end of the broker has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stopping {
    No,
    /// No request begins any more; what was begun is finished.
    Quiescing,
    /// Nothing will be appended any more.
    Quiet,
}

/// Where the retention sweep is.
#[derive(Debug)]
struct Sweep {
    next: Monotonic,
    after: Option<PartitionId>,
}

impl Shard {
    /// A shard over recovered logs, with the metadata as of recovery.
    #[must_use]
    pub(crate) fn new(
        number: u16,
        options: BrokerOptions,
        cluster_id: String,
        image: ClusterImage,
        mut store: Store,
        seed: u64,
        now: Now,
    ) -> Shard {
        store.configure_cleaner(options.cleaner.share_of(options.shards));
        let configs = image
            .topics()
            .map(|topic| {
                (
                    topic.id,
                    Arc::new(TopicConfig::of(&options.topic_defaults, &topic.configs)),
                )
            })
            .collect();
        let sweep = Sweep {
            next: now.monotonic.plus_ms(options.retention_check_interval_ms),
            after: None,
        };
        let mut rng = Rng::new(seed);
        Shard {
            number,
            sessions: Sessions::new(options.fetch_sessions_max, rng.next_u64()),
            options,
            cluster_id,
            image,
            store,
            configs,
            producer_ids: handlers::init_producer_id::Block::default(),
            creations: handlers::metadata::Creations::default(),
            owner: Owner::default(),
            groups: Groups::new(rng.fork()),
            connections: BTreeMap::new(),
            tell_unserved_after: Monotonic::default(),
            pending: BTreeMap::new(),
            next_request: 0,
            deadlines: BTreeSet::new(),
            jobs: BTreeMap::new(),
            disk_ops: BTreeMap::new(),
            next_job: 0,
            inbox: VecDeque::new(),
            storage: Vec::new(),
            serving: false,
            appends_asked: 0,
            stopping: Stopping::No,
            sweep,
            store_wake: Monotonic::NEVER,
            wake: Monotonic::NEVER,
        }
    }

    /// The partitions' logs, for tests and simulation to look at.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The metadata, as far as this shard has them.
    #[must_use]
    pub fn image(&self) -> &ClusterImage {
        &self.image
    }

    /// Checks the invariants of all that the shard holds.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub fn validate(&self) {
        self.store.validate();
        self.groups.validate();
        self.creations.validate();
        for (id, pending) in &self.pending {
            let connection = self.connections.get(&pending.connection);
            assert!(
                connection.is_some_and(|c| c.awaits(*id)),
                "{id:?} is worked on and no connection waits for it"
            );
        }
    }

    /// Which shard a partition belongs to.
    #[must_use]
    pub(crate) fn owner_of(&self, partition: PartitionId) -> Address {
        Address::Shard(shard_of(partition, self.options.shards))
    }

    /// Where clients are told to find this broker, if they came to `connection`.
    pub(crate) fn advertised(&self, connection: ConnectionId) -> (String, i32) {
        let Some(connection) = self.connections.get(&connection) else {
            return (String::new(), -1);
        };
        let listener = self.options.listeners.get(usize::from(connection.listener));
        match listener.and_then(|listener| listener.advertised.as_ref()) {
            Some((host, port)) => (host.clone(), i32::from(*port)),
            None => {
                let local = connection.local;
                (
                    local.ip().to_canonical().to_string(),
                    i32::from(local.port()),
                )
            }
        }
    }

    /// The name of the listener that a request's client came by.
    pub(crate) fn listener_for(&self, request: RequestId) -> &str {
        let listener = || {
            let connection = self.pending.get(&request)?.connection;
            let number = self.connections.get(&connection)?.listener;
            self.options.listeners.get(usize::from(number))
        };
        listener().map_or("", |listener| listener.name.as_str())
    }

    /// Where a request's client is.
    pub(crate) fn peer_of(&self, request: RequestId) -> Option<IpAddr> {
        let connection = self.pending.get(&request)?.connection;
        let peer = self.connections.get(&connection)?.peer;
        Some(peer.ip().to_canonical())
    }

    /// Logs that a client wants what is not served yet: once for its connection, and not oftener than once in a while for all.
    pub(crate) fn tell_unserved(&mut self, now: Now, request: RequestId, wanted: &str) {
        let Some(pending) = self.pending.get(&request) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&pending.connection) else {
            return;
        };
        if connection.is_told || now.monotonic < self.tell_unserved_after {
            return;
        }
        connection.is_told = true;
        self.tell_unserved_after = now.monotonic.plus_ms(UNSERVED_TOLD_EVERY_MS);
        tracing::info!(peer = %connection.peer, "a client {wanted}");
    }

    /// The same as [`Shard::advertised`], for a request.
    pub(crate) fn advertised_for(&self, request: RequestId) -> (String, i32) {
        match self.pending.get(&request) {
            Some(pending) => self.advertised(pending.connection),
            None => (String::new(), -1),
        }
    }

    /// A topic's configuration.
    pub(crate) fn topic_config(&self, topic: TopicId) -> Option<Arc<TopicConfig>> {
        self.configs.get(&topic).cloned()
    }

    /// The rack that this broker stands in.
    pub(crate) fn rack(&self) -> Option<Str> {
        self.options.rack.as_deref().map(Str::from)
    }

    /// This broker's id.
    pub(crate) fn node_id(&self) -> BrokerId {
        self.options.node_id
    }

    /// Asks the owner of some partitions.
    pub(crate) fn ask(&mut self, to: Address, request: RequestId, ask: Ask, fx: &mut Vec<Effect>) {
        if matches!(ask, Ask::Append { .. } | Ask::DeleteRecords { .. }) {
            self.appends_asked += 1;
        }
        self.send(to, Message::Ask { request, ask }, fx);
    }

    /// Asks the controller for a change of the metadata.
    pub(crate) fn command(&mut self, request: RequestId, command: Command, fx: &mut Vec<Effect>) {
        self.send(
            Address::Controller,
            Message::Command { request, command },
            fx,
        );
    }

    /// Asks the controller where the metadata log stands.
    pub(crate) fn describe_quorum(&mut self, request: RequestId, fx: &mut Vec<Effect>) {
        let message = Message::DescribeQuorum { request };
        self.send(Address::Controller, message, fx);
    }

    fn send(&mut self, to: Address, message: Message, fx: &mut Vec<Effect>) {
        if to == Address::Shard(self.number) {
            self.inbox.push_back(message);
        } else {
            fx.push(Effect::Send { to, message });
        }
    }

    /// Hands work to a worker, for a request that stays pending.
    pub(crate) fn start_job(&mut self, request: RequestId, job: Job, fx: &mut Vec<Effect>) {
        self.emit_job(JobFor::Front(request), job, fx);
    }

    /// Asks the disk for something that a request waits for.
    pub(crate) fn start_disk_op(&mut self, request: RequestId, op: DiskOp, fx: &mut Vec<Effect>) {
        let token = self.store.token();
        self.disk_ops.insert(token, request);
        fx.push(Effect::Disk { token, op });
    }

    fn emit_job(&mut self, receiver: JobFor, job: Job, fx: &mut Vec<Effect>) {
        let token = JobToken(self.next_job);
        self.next_job += 1;
        self.jobs.insert(token, receiver);
        fx.push(Effect::Job { token, job });
    }

    /// The request's state, if it is still wanted.
    pub(crate) fn pending_mut(&mut self, request: RequestId) -> Option<&mut Pending> {
        self.pending.get_mut(&request)
    }

    /// The version that a request came in, which is also its answer's.
    pub(crate) fn version(&self, request: RequestId) -> i16 {
        self.pending
            .get(&request)
            .map_or(0, |pending| pending.version)
    }

    /// Keeps the work of a request until answers come, or until `deadline`.
    pub(crate) fn park(&mut self, request: RequestId, work: Work, deadline: Monotonic) {
        if let Some(pending) = self.pending.get_mut(&request) {
            self.deadlines.remove(&(pending.deadline, request));
            pending.work = work;
            pending.deadline = deadline;
            if deadline != Monotonic::NEVER {
                self.deadlines.insert((deadline, request));
            }
        }
    }

    /// Gives a request its work back; its deadline stays.
    pub(crate) fn put_back(&mut self, request: RequestId, work: Work) {
        if let Some(pending) = self.pending.get_mut(&request) {
            pending.work = work;
        }
    }

    /// Takes the work of a request out, to go on with it; [`Shard::put_back`], [`Shard::park`] or a response follows.
    pub(crate) fn take_work(&mut self, request: RequestId) -> Option<Work> {
        let pending = self.pending.get_mut(&request)?;
        Some(std::mem::replace(&mut pending.work, Work::Begun))
    }

    /// Lets the requests behind this one begin; they were held back so that none overtakes it.
    pub(crate) fn release(&mut self, request: RequestId) {
        if let Some(pending) = self.pending.get(&request)
            && let Some(connection) = self.connections.get_mut(&pending.connection)
        {
            let released = connection
                .held_by
                .take_if(|held| *held == request)
                .is_some();
            if released {
                self.owner.ready.push_back(pending.connection);
            }
        }
    }

    /// Holds the requests behind this one back until [`Shard::release`].
    pub(crate) fn hold(&mut self, request: RequestId) {
        if let Some(pending) = self.pending.get(&request)
            && let Some(connection) = self.connections.get_mut(&pending.connection)
        {
            connection.held_by = Some(request);
        }
    }

    /// Answers a request.
    pub(crate) fn respond<R: Response>(
        &mut self,
        request: RequestId,
        response: &R,
        fx: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.pending.get(&request) else {
            return;
        };
        match encode_response(response, pending.version, pending.correlation_id) {
            Ok(frame) => self.finish(request, Some(frame), fx),
            Err(error) => {
                let reason = format!("the answer cannot be written: {error}");
                self.close_for(request, reason, fx);
            }
        }
    }

    /// Ends a request that gets no answer (acks=0).
    pub(crate) fn respond_nothing(&mut self, request: RequestId, fx: &mut Vec<Effect>) {
        self.finish(request, None, fx);
    }

    fn finish(
        &mut self,
        request: RequestId,
        frame: Option<wiber_protocol::Frame>,
        fx: &mut Vec<Effect>,
    ) {
        self.release(request);
        let Some(pending) = self.pending.remove(&request) else {
            return;
        };
        self.deadlines.remove(&(pending.deadline, request));
        handlers::abandon(self, request, pending.work, fx);
        let Some(connection) = self.connections.get_mut(&pending.connection) else {
            return;
        };
        connection.answer(request, frame);
        while let Some(frame) = connection.next_answer() {
            if !connection.gone {
                fx.push(Effect::Respond {
                    connection: pending.connection,
                    frame,
                });
            }
        }
        if connection.gone && connection.is_idle() {
            self.connections.remove(&pending.connection);
        }
    }

    /// Closes the connection of a request, as Kafka does where a request cannot be answered.
    pub(crate) fn close_for(&mut self, request: RequestId, reason: String, fx: &mut Vec<Effect>) {
        if let Some(pending) = self.pending.get(&request) {
            self.close(pending.connection, reason, fx);
        }
    }

    fn close(&mut self, connection: ConnectionId, reason: String, fx: &mut Vec<Effect>) {
        let gone = self.connections.get(&connection).is_none_or(|c| c.gone);
        self.drop_connection(connection, fx);
        if !gone {
            fx.push(Effect::Close { connection, reason });
        }
    }

    /// The client is gone: nobody waits for answers, but what it sent to be stored is stored.
    fn disconnected(&mut self, connection: ConnectionId, fx: &mut Vec<Effect>) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        state.gone = true;
        state.frames.retain(handlers::stores);
        let unanswered: Vec<_> = state.unanswered().collect();
        let idle = state.is_idle();
        for request in unanswered {
            let produces = |pending: &Pending| matches!(pending.work, Work::Produce(_));
            if !self.pending.get(&request).is_some_and(produces) {
                self.finish(request, None, fx);
            }
        }
        if idle {
            self.connections.remove(&connection);
        }
    }

    /// Forgets a connection and all that was asked on it.
    fn drop_connection(&mut self, connection: ConnectionId, fx: &mut Vec<Effect>) {
        let Some(state) = self.connections.remove(&connection) else {
            return;
        };
        for request in state.unanswered() {
            if let Some(pending) = self.pending.remove(&request) {
                self.deadlines.remove(&(pending.deadline, request));
                handlers::abandon(self, request, pending.work, fx);
            }
        }
    }

    /// Begins the requests of a connection that nothing holds back.
    fn pump(&mut self, now: Now, connection: ConnectionId, fx: &mut Vec<Effect>) {
        if !self.serving || self.stopping != Stopping::No {
            return;
        }
        while let Some(frame) = self
            .connections
            .get_mut(&connection)
            .and_then(Connection::next_frame)
        {
            if let Err(reason) = self.begin(now, connection, frame, fx) {
                self.close(connection, reason, fx);
                return;
            }
        }
    }

    fn begin(
        &mut self,
        now: Now,
        connection: ConnectionId,
        frame: bytes::Bytes,
        fx: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let frame = RequestFrame::parse(frame).map_err(|error| match error.kind {
            DecodeErrorKind::UnknownApiKey(key) => format!("API key {key} is not defined"),
            _ => format!("the request header cannot be read: {error}"),
        })?;
        let request = RequestId(self.next_request);
        self.next_request += 1;
        let pending = Pending {
            connection,
            version: frame.version,
            correlation_id: frame.correlation_id,
            deadline: Monotonic::NEVER,
            work: Work::Begun,
        };
        self.pending.insert(request, pending);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.expect(request);
        }
        handlers::begin(self, now, request, frame, fx)
    }

    fn message(&mut self, now: Now, from: Address, message: Message, fx: &mut Vec<Effect>) {
        match message {
            Message::Ask { request, ask } => self.answer_ask(now, from, request, ask, fx),
            Message::Answer { request, answer } => {
                if matches!(answer, Answer::Appended(_) | Answer::RecordsDeleted(_)) {
                    self.appends_asked -= 1;
                }
                handlers::answered(self, now, request, answer, fx);
            }
            Message::CommandDone { request, result } => {
                self.command_done(now, request, result, fx);
            }
            Message::Quorum { request, state } => {
                handlers::quorum_described(self, now, request, state, fx);
            }
            Message::Serve => {
                self.serving = true;
                self.host_all_groups(now);
                self.tick_groups(now, fx);
                self.owner.ready.extend(self.connections.keys());
            }
            Message::Quiesce => {
                self.stopping = Stopping::Quiescing;
                self.sweep.next = Monotonic::NEVER;
                self.store.stop_cleaning();
                // Answers that were held back to slow producers down.
                self.acknowledge(fx);
                self.end_groups(fx);
            }
            Message::Metadata { offset, records } => self.apply(now, offset, &records, fx),
            Message::Durable { frames } => {
                self.store.durable(frames, &mut self.storage);
                self.acknowledge(fx);
            }
            Message::Written { frames } => {
                self.store.written(frames, &mut self.storage);
                self.acknowledge(fx);
            }
            Message::BeginCheckpoint { checkpoint } => {
                self.store.begin_checkpoint(checkpoint, &mut self.storage);
            }
            Message::Checkpointed { checkpoint } => {
                self.store.checkpointed(checkpoint, &mut self.storage);
            }
            Message::CheckpointFailed { .. } => self.store.abandon_checkpoint(),
            Message::Space { accepting } => {
                self.store
                    .set_wal_accepts(now, accepting, &mut self.storage);
            }
            Message::Append { .. }
            | Message::Cut { .. }
            | Message::Section { .. }
            | Message::SectionFailed { .. }
            | Message::RequestCheckpoint
            | Message::Close
            | Message::Closed { .. }
            | Message::Command { .. }
            | Message::DescribeQuorum { .. }
            | Message::Quiet
            | Message::MetadataApplied { .. } => {
                unreachable!(
                    "a message for another machine came to shard {}",
                    self.number
                )
            }
        }
    }

    fn command_done(
        &mut self,
        now: Now,
        request: RequestId,
        result: Result<CommandResult, CommandError>,
        fx: &mut Vec<Effect>,
    ) {
        if request == handlers::init_producer_id::REFILL {
            handlers::init_producer_id::refilled(self, result, fx);
        } else if self.creations.is_of(request) {
            handlers::metadata::created(self, now, request, result);
        } else {
            handlers::command_done(self, request, result, fx);
        }
    }

    /// Answers what became durable, and tells the controller how far the metadata are applied.
    fn acknowledge(&mut self, fx: &mut Vec<Effect>) {
        self.answer_appends(fx);
        self.reply_to_groups(fx);
        while let Some((offset, _)) = self
            .owner
            .applied
            .pop_front_if(|(_, ticket)| self.store.is_done(*ticket))
        {
            let message = Message::MetadataApplied { offset };
            self.send(Address::Controller, message, fx);
        }
    }

    fn job_done(&mut self, now: Now, token: JobToken, output: JobOutput, fx: &mut Vec<Effect>) {
        match self.jobs.remove(&token) {
            Some(JobFor::Front(request)) => handlers::job_done(self, now, request, output, fx),
            Some(JobFor::Owner(lookup)) => self.lookup_done(lookup, output, fx),
            Some(JobFor::Cleaner(partition)) => {
                if let JobOutput::Cleaned(done) = output {
                    self.store.cleaned(now, partition, *done, &mut self.storage);
                }
            }
            None => {}
        }
    }

    fn timer(&mut self, now: Now, fx: &mut Vec<Effect>) {
        while let Some((deadline, request)) = self.deadlines.first().copied() {
            if deadline > now.monotonic {
                break;
            }
            self.deadlines.pop_first();
            handlers::expired(self, now, request, fx);
        }
        if self.store_wake <= now.monotonic {
            self.store_wake = Monotonic::NEVER;
            self.store.tick(now, &mut self.storage);
            self.acknowledge(fx);
        }
        if self.groups.wake() <= now.monotonic {
            self.tick_groups(now, fx);
        }
        if self.sweep.next <= now.monotonic {
            self.sweep_some(now);
        }
        if self.store.next_cleaning() <= now.monotonic {
            self.store.clean(now, &mut self.storage);
        }
    }

    /// Applies retention to the next few partitions.
    fn sweep_some(&mut self, now: Now) {
        let from = match self.sweep.after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Unbounded,
        };
        let some: Vec<_> = self
            .store
            .partitions_from(from)
            .take(SWEEP_PARTITIONS)
            .collect();
        let oldest = TimestampMs(now.wall.0 - self.options.producer_id_expiration_ms);
        for partition in &some {
            self.store
                .expire(*partition, now.wall, oldest, &mut self.storage);
        }
        let more = some.len() == SWEEP_PARTITIONS;
        self.sweep.after = some.last().copied().filter(|_| more);
        let pause = if more {
            SWEEP_PAUSE_MS
        } else {
            self.options.retention_check_interval_ms
        };
        self.sweep.next = now.monotonic.plus_ms(pause);
    }

    /// Goes on until nothing is left to do within this step.
    fn settle(&mut self, now: Now, fx: &mut Vec<Effect>) {
        loop {
            if !self.storage.is_empty() {
                for effect in std::mem::take(&mut self.storage) {
                    self.storage_effect(now, effect, fx);
                }
            } else if let Some(message) = self.inbox.pop_front() {
                self.message(now, Address::Shard(self.number), message, fx);
            } else if let Some(connection) = self.owner.ready.pop_front() {
                self.pump(now, connection, fx);
            } else {
                break;
            }
        }
        if self.stopping == Stopping::Quiescing && self.has_settled() {
            self.stopping = Stopping::Quiet;
            self.send(Address::Controller, Message::Quiet, fx);
        }
        let first = self
            .deadlines
            .first()
            .map_or(Monotonic::NEVER, |(deadline, _)| *deadline);
        let wake = first
            .min(self.store_wake)
            .min(self.sweep.next)
            .min(self.groups.wake())
            .min(self.store.next_cleaning());
        if wake != self.wake {
            self.wake = wake;
            fx.push(Effect::WakeAt(wake));
        }
    }

    /// Whether all that was begun has appended what it will, and that is durable. Metadata are the controller's to wait for.
    fn has_settled(&self) -> bool {
        let validates = |receiver: &JobFor| matches!(receiver, JobFor::Front(_));
        self.appends_asked == 0
            && !self.jobs.values().any(validates)
            && self.store.is_done(self.store.ticket())
    }

    fn storage_effect(&mut self, now: Now, effect: StoreEffect, fx: &mut Vec<Effect>) {
        let to_disk = |message| Effect::Send {
            to: Address::Disk,
            message,
        };
        match effect {
            StoreEffect::Disk { token, op } => fx.push(Effect::Disk { token, op }),
            StoreEffect::Append { frames, relaxed } => {
                fx.push(to_disk(Message::Append { frames, relaxed }));
            }
            StoreEffect::Cut { checkpoint } => fx.push(to_disk(Message::Cut { checkpoint })),
            StoreEffect::Section { checkpoint, bytes } => {
                fx.push(to_disk(Message::Section { checkpoint, bytes }));
            }
            StoreEffect::SectionFailed { checkpoint } => {
                fx.push(to_disk(Message::SectionFailed { checkpoint }));
            }
            StoreEffect::RequestCheckpoint => fx.push(to_disk(Message::RequestCheckpoint)),
            StoreEffect::Advanced(partition) => self.advanced(partition, fx),
            StoreEffect::Read { id, result } => self.read_done(now, id, result, fx),
            StoreEffect::WakeAt(at) => self.store_wake = at,
            StoreEffect::Clean { partition, job } => {
                self.emit_job(JobFor::Cleaner(partition), Job::Clean(job), fx);
            }
            StoreEffect::CleanEnded { partition, end } => self.tell_cleaned(partition, &end),
            StoreEffect::Fatal(reason) => fx.push(Effect::Fatal(reason)),
        }
    }
}

impl Machine for Shard {
    fn step(&mut self, now: Now, event: Event, fx: &mut Vec<Effect>) {
        match event {
            Event::Connected {
                connection,
                peer,
                local,
                listener,
            } => {
                self.connected(connection, peer, local, listener);
            }
            Event::Frame { connection, frame } => {
                if let Some(state) = self.connections.get_mut(&connection) {
                    state.frames.push_back(frame);
                    self.pump(now, connection, fx);
                }
            }
            Event::Disconnected { connection } => self.disconnected(connection, fx),
            Event::Message { from, message } => self.message(now, from, message, fx),
            Event::DiskDone { token, result } if self.disk_ops.contains_key(&token) => {
                if let Some(request) = self.disk_ops.remove(&token) {
                    handlers::disk_done(self, request, result, fx);
                }
            }
            Event::DiskDone { token, result } => {
                self.store.disk_done(now, token, result, &mut self.storage);
                // Answers that waited for tails to be written out may go now.
                self.acknowledge(fx);
            }
            Event::JobDone { token, output } => self.job_done(now, token, output, fx),
            Event::Timer => {
                self.wake = Monotonic::NEVER;
                self.timer(now, fx);
            }
            Event::Shutdown => {}
        }
        self.settle(now, fx);
    }
}

impl Shard {
    fn connected(
        &mut self,
        connection: ConnectionId,
        peer: SocketAddr,
        local: SocketAddr,
        listener: u16,
    ) {
        tracing::debug!(%peer, shard = self.number, "connected");
        let state = Connection::new(peer, local, listener);
        self.connections.insert(connection, state);
    }
}

/// Which of `shards` shards a partition belongs to: the same on every machine and in every release.
pub(crate) fn shard_of(partition: PartitionId, shards: u16) -> u16 {
    // FNV-1a: topic ids are random, partition indexes are not.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in partition
        .topic
        .0
        .iter()
        .chain(&partition.partition.to_be_bytes())
    {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // Its last byte, the index, does not reach the bits that a modulo looks at: mix once more, as MurmurHash3 ends.
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((hash >> 32) % u64::from(shards.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_of_a_topic_spread_over_the_shards() {
        for shards in [2, 3, 4, 8, 16] {
            for seed in 0..20 {
                let mut topic = TopicId::ZERO;
                wiber_model::Rng::new(seed).fill(&mut topic.0);
                let mut counts = vec![0; usize::from(shards)];
                for partition in 0..100 * i32::from(shards) {
                    counts[usize::from(shard_of(PartitionId { topic, partition }, shards))] += 1;
                }
                assert!(
                    counts.iter().all(|count| (50..200).contains(count)),
                    "{shards} shards: {counts:?}"
                );
            }
        }
    }
}
