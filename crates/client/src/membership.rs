//! A member of a classic group: joins, assigns if it leads, keeps itself alive, gives partitions up, leaves.
//!
//! It runs as a task of its own, so that the group hears of it however long the records take that somebody shows. It has a connection of its
//! own, as a broker answers JoinGroup only when all members have joined, and nothing behind it before that.
//!
//! Invariants:
//! - Partitions that are given up are handed back first: whoever reads them says when all that was read of them is committed. Only then the
//!   group is joined again, or told that they are free.
//! - What is lost, as the group went on without this member, is told before anything new is assigned.
//! - Whoever does not ask for records for as long as a rebalance may take is no member any more, until records are asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wiber_protocol::internal::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, PROTOCOL_TYPE,
};
use wiber_protocol::internal::{decode_lenient, encode_versioned};
use wiber_protocol::messages::join_group::JoinGroupRequestProtocol;
use wiber_protocol::messages::leave_group::MemberIdentity;
use wiber_protocol::messages::sync_group::SyncGroupRequestAssignment;
use wiber_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use wiber_protocol::{ErrorCode, Message, Str};

use crate::assignor::{self, Assignor, Candidate, by_topic};
use crate::cluster::{Cluster, RETRY_PAUSE, longer};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::offsets::TopicPartition;

/// How often a member says that it is alive.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// A member that is silent for this long is taken for dead: Kafka's default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a member may take to give partitions up, and to come back for records: Kafka's default (`max.poll.interval.ms`).
const REBALANCE_TIMEOUT: Duration = Duration::from_mins(5);
/// So much later than the others at the latest a broker answers JoinGroup, as Kafka's own client has it.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// How often the leader looks whether topics have got more partitions.
const NEW_PARTITIONS_INTERVAL: Duration = Duration::from_secs(10);
/// What is told and not taken: more wait.
const EVENTS: usize = 16;
/// No generation.
const NONE: i32 = -1;

/// What to join, and how.
#[derive(Clone, Debug)]
pub(crate) struct MembershipOptions {
    pub(crate) group: Str,
    pub(crate) topic: Str,
    /// The id of a static member (KIP-345).
    pub(crate) instance: Option<Str>,
    /// The ways to assign that the member offers, the best first.
    pub(crate) assignors: Vec<Assignor>,
}

/// What a member has to tell.
#[derive(Debug)]
pub(crate) enum MembershipEvent {
    /// These are to be read.
    Assigned(BTreeSet<TopicPartition>),
    /// These are to be read no more, and somebody waits until what was read of them is committed.
    Revoked(BTreeSet<TopicPartition>, oneshot::Sender<()>),
    /// These are somebody else's already: nothing can be committed for them.
    Lost(BTreeSet<TopicPartition>),
    /// Something does not work now, and is tried again.
    Trouble(ClientError),
    /// It works again.
    Resumed,
    /// It is no member any more, for good.
    Failed(ClientError),
}

/// What a commit says of who commits.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) generation: i32,
    pub(crate) member: Str,
    pub(crate) coordinator: i32,
}

/// A membership, which ends when it is told to.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) events: mpsc::Receiver<MembershipEvent>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    identity: Mutex<Option<Identity>>,
    /// When somebody last asked for records.
    polled: Mutex<Instant>,
    asked: Notify,
    leaving: Notify,
}

impl Membership {
    /// Joins, in a task of its own.
    pub(crate) fn begin(cluster: Arc<Cluster>, options: MembershipOptions) -> Membership {
        let (tell, events) = mpsc::channel(EVENTS);
        let shared = Arc::new(Shared {
            identity: Mutex::new(None),
            polled: Mutex::new(Instant::now()),
            asked: Notify::new(),
            leaving: Notify::new(),
        });
        let member = Member {
            cluster,
            options,
            tell,
            shared: shared.clone(),
            connection: None,
            coordinator: None,
            id: Str::default(),
            generation: NONE,
            owned: BTreeSet::new(),
            must_join: true,
            led: None,
            pause: RETRY_PAUSE,
            troubled: false,
        };
        Membership {
            events,
            shared,
            task: tokio::spawn(member.run()),
        }
    }

    /// Somebody asks for records.
    pub(crate) fn polled(&self) {
        *locked(&self.shared.polled) = Instant::now();
        self.shared.asked.notify_one();
    }

    /// Who commits; none while there is no membership.
    pub(crate) fn identity(&self) -> Option<Identity> {
        locked(&self.shared.identity).clone()
    }

    /// Leaves. A static member does not: its partitions stay its own until it comes back, or does not within the session timeout.
    pub(crate) async fn leave(mut self) {
        self.shared.leaving.notify_one();
        // Nobody takes what it may still want to tell.
        self.events.close();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task.
struct Member {
    cluster: Arc<Cluster>,
    options: MembershipOptions,
    tell: mpsc::Sender<MembershipEvent>,
    shared: Arc<Shared>,
    connection: Option<Connection>,
    coordinator: Option<i32>,
    id: Str,
    generation: i32,
    owned: BTreeSet<TopicPartition>,
    must_join: bool,
    /// How many partitions each topic had when this member, as the leader, assigned them.
    led: Option<BTreeMap<Str, i32>>,
    pause: Duration,
    troubled: bool,
}

impl Member {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let failed = tokio::select! {
            error = self.live() => Some(error),
            () = shared.leaving.notified() => None,
        };
        match failed {
            Some(error) => {
                *locked(&self.shared.identity) = None;
                let _ = self.tell.send(MembershipEvent::Failed(error)).await;
                shared.leaving.notified().await;
            }
            None => self.leave("the consumer ends").await,
        }
    }

    /// Is a member until something goes wrong for good.
    async fn live(&mut self) -> ClientError {
        loop {
            let outcome = if self.must_join {
                self.join().await
            } else {
                self.stay().await
            };
            if let Err(error) = outcome
                && let Err(error) = self.recover(error).await
            {
                return error;
            }
        }
    }

    /// What an error means for the membership.
    ///
    /// # Errors
    /// One that is for good.
    async fn recover(&mut self, error: ClientError) -> Result<(), ClientError> {
        match error.code() {
            Some(ErrorCode::RebalanceInProgress) => self.must_join = true,
            Some(code @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)) => {
                self.lose().await;
                if code == ErrorCode::UnknownMemberId {
                    self.id = Str::default();
                }
            }
            _ if error.is_passing() => {
                self.connection = None;
                self.coordinator = None;
                self.trouble(error);
                tokio::time::sleep(self.pause).await;
                self.pause = longer(self.pause);
            }
            _ => return Err(error),
        }
        Ok(())
    }

    /// Joins the group, and takes what is assigned.
    async fn join(&mut self) -> Result<(), ClientError> {
        if !self.is_cooperative() {
            self.give_up(self.owned.clone()).await;
        }
        let joined = self.join_group().await?;
        self.id = joined.member_id.clone();
        self.generation = joined.generation_id;
        let protocol = joined.protocol_name.clone().unwrap_or_default();
        let assignments = if joined.leader == self.id && !joined.skip_assignment {
            self.assign(&protocol, &joined).await?
        } else {
            self.led = None;
            Vec::new()
        };
        let request = SyncGroupRequest {
            group_id: self.options.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.options.instance.clone(),
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name: Some(protocol),
            assignments,
        };
        let answer = self.connection().await?.call(&request).await?;
        ClientError::check(answer.error_code, None)?;
        let assigned = read_assignment(answer.assignment)?;
        if let Some(coordinator) = self.coordinator {
            *locked(&self.shared.identity) = Some(Identity {
                generation: self.generation,
                member: self.id.clone(),
                coordinator,
            });
        }
        self.resumed();
        self.must_join = false;
        let gone: BTreeSet<_> = self.owned.difference(&assigned).cloned().collect();
        let new: BTreeSet<_> = assigned.difference(&self.owned).cloned().collect();
        if !gone.is_empty() {
            self.give_up(gone).await;
            // Those who get them wait for that.
            self.must_join = true;
        }
        self.owned.extend(new.iter().cloned());
        let _ = self.tell.send(MembershipEvent::Assigned(new)).await;
        Ok(())
    }

    async fn join_group(&mut self) -> Result<JoinGroupResponse, ClientError> {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![self.options.topic.clone()],
            owned_partitions: by_topic(self.owned.iter()),
            generation_id: self.generation,
            ..Default::default()
        };
        let metadata = written(&subscription)?;
        let protocols = self.options.assignors.iter().map(|it| {
            let metadata = metadata.clone();
            let name = it.name();
            JoinGroupRequestProtocol { name, metadata }
        });
        let mut request = JoinGroupRequest {
            group_id: self.options.group.clone(),
            session_timeout_ms: in_ms(SESSION_TIMEOUT),
            rebalance_timeout_ms: in_ms(REBALANCE_TIMEOUT),
            member_id: self.id.clone(),
            group_instance_id: self.options.instance.clone(),
            protocol_type: PROTOCOL_TYPE,
            protocols: protocols.collect(),
            reason: None,
        };
        let mut answer = self.connection().await?.call(&request).await?;
        if answer.error_code == ErrorCode::MemberIdRequired.code() {
            // So the group knows its name before it counts on it (KIP-394).
            self.id = answer.member_id;
            request.member_id = self.id.clone();
            answer = self.connection().await?.call(&request).await?;
        }
        ClientError::check(answer.error_code, None)?;
        Ok(answer)
    }

    /// What each member gets.
    async fn assign(
        &mut self,
        protocol: &str,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let assignor = Assignor::named(protocol).ok_or_else(|| ClientError::Malformed {
            broker: self.address(),
            problem: format!("it chose '{protocol}', which this member did not offer"),
        })?;
        let candidates: Result<Vec<_>, ClientError> = joined
            .members
            .iter()
            .map(|it| {
                Ok(Candidate {
                    member: it.member_id.clone(),
                    instance: it.group_instance_id.clone(),
                    subscription: self.read(it.metadata.clone())?,
                })
            })
            .collect();
        let candidates = candidates?;
        let topics: BTreeSet<Str> = candidates
            .iter()
            .flat_map(|it| it.subscription.topics.iter().cloned())
            .collect();
        let partitions = self.counts(topics.into_iter().collect()).await?;
        let assigned = assignor::assign(assignor, &candidates, &partitions);
        self.led = Some(partitions);
        assigned
            .into_iter()
            .map(|(member_id, assignment)| {
                let assignment = written(&assignment)?;
                Ok(SyncGroupRequestAssignment {
                    member_id,
                    assignment,
                })
            })
            .collect()
    }

    /// How many partitions topics have; none has one that is not there.
    async fn counts(&self, topics: Vec<Str>) -> Result<BTreeMap<Str, i32>, ClientError> {
        let known = self.cluster.topics(&topics).await?;
        let count = |topic: &Str| match known.get(topic) {
            Some(Ok(known)) => known.partitions.len() as i32,
            _ => 0,
        };
        Ok(topics.iter().map(|it| (it.clone(), count(it))).collect())
    }

    /// Says that it is alive until the group is to be joined again.
    async fn stay(&mut self) -> Result<(), ClientError> {
        let mut look_again = Instant::now() + NEW_PARTITIONS_INTERVAL;
        loop {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
            let polled = *locked(&self.shared.polled);
            if polled.elapsed() > REBALANCE_TIMEOUT {
                return self.pause_membership().await;
            }
            match self.heartbeat().await {
                Ok(()) => self.resumed(),
                Err(error) if error.is_passing() => {
                    // It may still be a member, and goes on until it is told otherwise.
                    self.connection = None;
                    self.coordinator = None;
                    self.trouble(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            if look_again <= Instant::now()
                && let Some(led) = &self.led
            {
                look_again = Instant::now() + NEW_PARTITIONS_INTERVAL;
                let topics = led.keys().cloned().collect();
                // If it fails, so will the next heartbeat, and say so.
                if let Ok(now) = self.counts(topics).await
                    && self.led.as_ref() != Some(&now)
                {
                    self.must_join = true;
                    return Ok(());
                }
            }
        }
    }

    /// Nobody takes the records: others shall, until somebody asks again.
    async fn pause_membership(&mut self) -> Result<(), ClientError> {
        self.leave("nobody takes its records").await;
        self.id = Str::default();
        self.lose().await;
        self.shared.asked.notified().await;
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<(), ClientError> {
        let request = HeartbeatRequest {
            group_id: self.options.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.options.instance.clone(),
        };
        let within = self.cluster.options().answer_within.min(SESSION_TIMEOUT);
        let connection = self.connection().await?;
        let answer = tokio::time::timeout(within, connection.call(&request));
        let answer = answer.await.map_err(|_| ClientError::TimedOut {
            broker: connection.address().to_owned(),
            api: wiber_protocol::ApiKey::Heartbeat,
            after: within,
        })??;
        ClientError::check(answer.error_code, None)
    }

    /// Hands partitions back, and waits until what was read of them is committed.
    async fn give_up(&mut self, partitions: BTreeSet<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        self.owned.retain(|it| !partitions.contains(it));
        let (done, mut is_done) = oneshot::channel();
        let _ = self
            .tell
            .send(MembershipEvent::Revoked(partitions, done))
            .await;
        loop {
            tokio::select! {
                _ = &mut is_done => return,
                // Whatever it says, the group is joined next.
                () = tokio::time::sleep(HEARTBEAT_INTERVAL) => drop(self.heartbeat().await),
            }
        }
    }

    /// The group goes on without this member.
    async fn lose(&mut self) {
        *locked(&self.shared.identity) = None;
        self.generation = NONE;
        self.must_join = true;
        self.led = None;
        let lost = std::mem::take(&mut self.owned);
        if !lost.is_empty() {
            let _ = self.tell.send(MembershipEvent::Lost(lost)).await;
        }
    }

    /// Tells the group that its partitions are free. On a new connection, as the other one may wait for the group.
    async fn leave(&mut self, reason: &'static str) {
        let Some(coordinator) = self.coordinator else {
            return;
        };
        if self.id.is_empty() || self.options.instance.is_some() {
            return;
        }
        let within = self.cluster.options().answer_within;
        let Ok(connection) = self.cluster.own_connection(coordinator, within).await else {
            return;
        };
        let many = connection.highest(wiber_protocol::ApiKey::LeaveGroup) >= Some(LEAVE_MANY);
        let member = MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: None,
            reason: Some(Str::from_static(reason)),
        };
        let request = LeaveGroupRequest {
            group_id: self.options.group.clone(),
            member_id: if many {
                Str::default()
            } else {
                self.id.clone()
            },
            members: if many { vec![member] } else { Vec::new() },
        };
        // A member that cannot say so is taken for dead after a while.
        let _ = connection.call(&request).await;
    }

    /// The connection to the coordinator; both are found again where they were lost.
    async fn connection(&mut self) -> Result<&Connection, ClientError> {
        if self.connection.as_ref().is_none_or(Connection::is_closed) {
            let group = std::slice::from_ref(&self.options.group);
            let mut found = self.cluster.coordinators(group).await?;
            let not_found = || {
                let code = ErrorCode::CoordinatorNotAvailable.code();
                Err(ClientError::Refused {
                    code,
                    message: None,
                })
            };
            let coordinator = found
                .remove(&self.options.group)
                .unwrap_or_else(not_found)?;
            let within = REBALANCE_TIMEOUT + JOIN_GRACE;
            self.connection = Some(self.cluster.own_connection(coordinator, within).await?);
            self.coordinator = Some(coordinator);
            if let Some(identity) = &mut *locked(&self.shared.identity) {
                identity.coordinator = coordinator;
            }
        }
        self.connection
            .as_ref()
            .ok_or(ClientError::UnknownBroker(NONE))
    }

    fn address(&self) -> String {
        let connection = self.connection.as_ref();
        connection.map_or(String::new(), |it| it.address().to_owned())
    }

    fn read<M: Message>(&self, bytes: Bytes) -> Result<M, ClientError> {
        let read = decode_lenient(bytes).map_err(|error| ClientError::Malformed {
            broker: self.address(),
            problem: format!("what a member of the group says cannot be read: {error}"),
        });
        read.map(|(message, _)| message)
    }

    /// Whether partitions that stay are read on through a rebalance: if every way to assign that is offered knows of that.
    fn is_cooperative(&self) -> bool {
        let offered = &self.options.assignors;
        offered.iter().all(|it| *it == Assignor::CooperativeSticky)
    }

    fn trouble(&mut self, error: ClientError) {
        self.troubled = true;
        // Where many wait to be taken, nobody reads them now.
        let _ = self.tell.try_send(MembershipEvent::Trouble(error));
    }

    fn resumed(&mut self) {
        self.pause = RETRY_PAUSE;
        if std::mem::take(&mut self.troubled) {
            let _ = self.tell.try_send(MembershipEvent::Resumed);
        }
    }
}

/// The first version of LeaveGroup that names members in a list.
const LEAVE_MANY: i16 = 3;

fn in_ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn written<M: Message>(message: &M) -> Result<Bytes, ClientError> {
    let newest = M::VERSIONS.max;
    encode_versioned(message, newest).map_err(|error| ClientError::Unwritable(error.to_string()))
}

/// What the leader has assigned; nothing, where it gave nothing.
fn read_assignment(bytes: Bytes) -> Result<BTreeSet<TopicPartition>, ClientError> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (assignment, _): (ConsumerProtocolAssignment, _) =
        decode_lenient(bytes).map_err(|error| ClientError::Malformed {
            broker: "the leader of the group".to_owned(),
            problem: format!("its assignment cannot be read: {error}"),
        })?;
    let topics = assignment.assigned_partitions.into_iter();
    Ok(topics
        .flat_map(|it| {
            let topic = it.topic;
            let partitions = it.partitions.into_iter();
            partitions.map(move |partition| TopicPartition::new(topic.clone(), partition))
        })
        .collect())
}
