//! A member of a classic group: joins, assigns if it leads, keeps itself alive, gives partitions up, leaves.
//!
//! A broker answers JoinGroup only when all members have joined, and nothing behind it before that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
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

use super::{
    MembershipEvent, MembershipOptions, NONE, REBALANCE_TIMEOUT, SESSION_TIMEOUT, Ties, in_ms,
};
use crate::assignor::{self, Assignor, Candidate, by_topic};
use crate::error::ClientError;
use crate::offsets::TopicPartition;

/// How often a member says that it is alive.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// So much later than the others at the latest a broker answers JoinGroup, as Kafka's own client has it.
const JOIN_GRACE: Duration = Duration::from_secs(5);
/// How often the leader looks whether topics have got more partitions.
const NEW_PARTITIONS_INTERVAL: Duration = Duration::from_secs(10);
/// The first version of LeaveGroup that names members in a list.
const LEAVE_MANY: i16 = 3;

/// The task.
pub(super) struct Member {
    ties: Ties,
    options: MembershipOptions,
    /// The ways to assign that the member offers, the best first.
    assignors: Vec<Assignor>,
    id: Str,
    generation: i32,
    owned: BTreeSet<TopicPartition>,
    must_join: bool,
    /// How many partitions each topic had when this member, as the leader, assigned them.
    led: Option<BTreeMap<Str, i32>>,
}

impl Member {
    pub(super) fn new(ties: Ties, options: MembershipOptions, assignors: Vec<Assignor>) -> Member {
        Member {
            ties: Ties {
                within: REBALANCE_TIMEOUT + JOIN_GRACE,
                ..ties
            },
            options,
            assignors,
            id: Str::default(),
            generation: NONE,
            owned: BTreeSet::new(),
            must_join: true,
            led: None,
        }
    }

    pub(super) async fn run(mut self) {
        let shared = self.ties.shared.clone();
        let failed = tokio::select! {
            error = self.live() => Some(error),
            () = shared.leaving.notified() => None,
        };
        match failed {
            Some(error) => {
                self.ties.forget_identity();
                self.ties.tell(MembershipEvent::Failed(error)).await;
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
            _ if error.is_passing() => self.ties.begin_anew(error).await,
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
        let answer = self.ties.connection().await?.call(&request).await?;
        ClientError::check(answer.error_code, None)?;
        let assigned = read_assignment(answer.assignment)?;
        self.ties.identify(&self.id, self.generation);
        self.ties.resumed();
        self.must_join = false;
        let gone: BTreeSet<_> = self.owned.difference(&assigned).cloned().collect();
        let new: BTreeSet<_> = assigned.difference(&self.owned).cloned().collect();
        if !gone.is_empty() {
            self.give_up(gone).await;
            // Those who get them wait for that.
            self.must_join = true;
        }
        self.owned.extend(new.iter().cloned());
        self.ties.tell(MembershipEvent::Assigned(new)).await;
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
        let protocols = self.assignors.iter().map(|it| {
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
        let mut answer = self.ties.connection().await?.call(&request).await?;
        if answer.error_code == ErrorCode::MemberIdRequired.code() {
            // So the group knows its name before it counts on it (KIP-394).
            self.id = answer.member_id;
            request.member_id = self.id.clone();
            answer = self.ties.connection().await?.call(&request).await?;
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
            broker: self.ties.address(),
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
        let known = self.ties.cluster.topics(&topics).await?;
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
            if !self.ties.is_polled() {
                return self.pause_membership().await;
            }
            match self.heartbeat().await {
                Ok(()) => self.ties.resumed(),
                Err(error) if error.is_passing() => {
                    // It may still be a member, and goes on until it is told otherwise.
                    self.ties.cut();
                    self.ties.trouble(error);
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
        self.ties.shared.asked.notified().await;
        Ok(())
    }

    async fn heartbeat(&mut self) -> Result<(), ClientError> {
        let request = HeartbeatRequest {
            group_id: self.options.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.options.instance.clone(),
        };
        let within = self
            .ties
            .cluster
            .options()
            .answer_within
            .min(SESSION_TIMEOUT);
        let connection = self.ties.connection().await?;
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
        self.ties
            .tell(MembershipEvent::Revoked(partitions, done))
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
        self.ties.forget_identity();
        self.generation = NONE;
        self.must_join = true;
        self.led = None;
        let lost = std::mem::take(&mut self.owned);
        if !lost.is_empty() {
            self.ties.tell(MembershipEvent::Lost(lost)).await;
        }
    }

    /// Tells the group that its partitions are free. On a new connection, as the other one may wait for the group.
    async fn leave(&mut self, reason: &'static str) {
        let Some(coordinator) = self.ties.coordinator else {
            return;
        };
        if self.id.is_empty() || self.options.instance.is_some() {
            return;
        }
        let within = self.ties.cluster.options().answer_within;
        let Ok(connection) = self.ties.cluster.own_connection(coordinator, within).await else {
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

    fn read<M: Message>(&self, bytes: Bytes) -> Result<M, ClientError> {
        let read = decode_lenient(bytes).map_err(|error| ClientError::Malformed {
            broker: self.ties.address(),
            problem: format!("what a member of the group says cannot be read: {error}"),
        });
        read.map(|(message, _)| message)
    }

    /// Whether partitions that stay are read on through a rebalance: if every way to assign that is offered knows of that.
    fn is_cooperative(&self) -> bool {
        let offered = &self.assignors;
        offered.iter().all(|it| *it == Assignor::CooperativeSticky)
    }
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
