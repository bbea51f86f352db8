//! A member of a group of the consumer protocol (KIP-848): it says what it wants, and the coordinator says what it is to read.
//!
//! One request does it all, ConsumerGroupHeartbeat. An assignment is taken in two steps: what is not in it any more is given up, and once that is
//! committed, what is new is read; then the coordinator hears what this member has, and may give to others what it gave up.
//!
//! Invariant: the coordinator is told of partitions that this member has only after what it gave up was handed back.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::sync::oneshot;
use wiber_model::TopicId;
use wiber_protocol::messages::consumer_group_heartbeat::{Assignment, RequestTopicPartitions};
use wiber_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use wiber_protocol::{ErrorCode, Str};

use super::{MembershipEvent, MembershipOptions, REBALANCE_TIMEOUT, Ties, in_ms};
use crate::error::ClientError;
use crate::offsets::TopicPartition;

/// Joins.
const JOIN_EPOCH: i32 = 0;
/// Leaves for good.
const LEAVE_EPOCH: i32 = -1;
/// Leaves, and a static member with the same id takes its place.
const STATIC_LEAVE_EPOCH: i32 = -2;
/// How often a member says that it is alive, where the coordinator does not say: Kafka's default.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// So many times an assignment of nothing is heard before it is taken for this member's share: others may have to give up first.
const EMPTY_HEARD: u32 = 3;

/// A partition, as the coordinator names it.
type Place = (TopicId, i32);

/// The task.
pub(super) struct Member {
    ties: Ties,
    options: MembershipOptions,
    /// The way to assign that it prefers.
    assignor: Option<Str>,
    /// It names itself, so that a request to join that is repeated is of one member (KIP-1082).
    id: Str,
    epoch: i32,
    interval: Duration,
    /// What it has, with the names of the topics.
    owned: BTreeMap<Place, Str>,
    /// What it is to have; none if that is what it has.
    target: Option<BTreeSet<Place>>,
    /// Whether the coordinator is to hear what it has.
    must_tell: bool,
    /// How often it has heard from the group since something was taken from it, until it is told that this is its share.
    unsettled: Option<u32>,
}

impl Member {
    pub(super) fn new(ties: Ties, options: MembershipOptions, assignor: Option<String>) -> Member {
        // The hasher's keys are random.
        let random = || RandomState::new().hash_one(std::process::id());
        let id = format!("{:016x}{:016x}", random(), random());
        Member {
            ties: Ties {
                within: ties.cluster.options().answer_within,
                ..ties
            },
            options,
            assignor: assignor.as_deref().map(Str::from),
            id: Str::from(id.as_str()),
            epoch: JOIN_EPOCH,
            interval: HEARTBEAT_INTERVAL,
            owned: BTreeMap::new(),
            target: None,
            must_tell: false,
            unsettled: Some(0),
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
            None => self.leave().await,
        }
    }

    /// Is a member until something goes wrong for good.
    async fn live(&mut self) -> ClientError {
        loop {
            let outcome = match self.heartbeat().await {
                Ok(()) => self.reconcile().await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(()) if self.must_tell => {}
                Ok(()) => self.rest().await,
                Err(error) => {
                    if let Err(error) = self.recover(error).await {
                        return error;
                    }
                }
            }
        }
    }

    /// Waits until the next heartbeat. Where nobody takes the records, others shall, until somebody asks again.
    async fn rest(&mut self) {
        tokio::time::sleep(self.interval).await;
        if !self.ties.is_polled() {
            self.leave().await;
            self.lose().await;
            self.ties.shared.asked.notified().await;
        }
    }

    /// What an error means for the membership.
    ///
    /// # Errors
    /// One that is for good.
    async fn recover(&mut self, error: ClientError) -> Result<(), ClientError> {
        match error.code() {
            Some(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
                self.lose().await;
                self.ties.pause().await;
            }
            _ if error.is_passing() => self.ties.begin_anew(error).await,
            _ => return Err(error),
        }
        Ok(())
    }

    /// Says that it is alive, and what is new; hears what it is to have.
    async fn heartbeat(&mut self) -> Result<(), ClientError> {
        let joins = self.epoch == JOIN_EPOCH;
        let tells = joins || self.must_tell;
        let mut request = self.request(self.epoch);
        request.topic_partitions = tells.then(|| by_topic(self.owned.keys()));
        if joins {
            request.rebalance_timeout_ms = in_ms(REBALANCE_TIMEOUT);
            request.subscribed_topic_names = Some(vec![self.options.topic.clone()]);
            request.server_assignor = self.assignor.clone();
        }
        let answer = self.ties.connection().await?.call(&request).await?;
        ClientError::check(answer.error_code, answer.error_message.as_deref())?;
        if tells {
            self.must_tell = false;
        }
        self.take(answer);
        Ok(())
    }

    fn take(&mut self, answer: ConsumerGroupHeartbeatResponse) {
        self.epoch = answer.member_epoch;
        if let Ok(interval @ 1..) = u64::try_from(answer.heartbeat_interval_ms) {
            self.interval = Duration::from_millis(interval);
        }
        self.ties.identify(&self.id, self.epoch);
        self.ties.resumed();
        if let Some(assignment) = answer.assignment {
            self.target = Some(places(&assignment));
        }
        if let Some(heard) = &mut self.unsettled {
            *heard += 1;
        }
    }

    /// One step towards what it is to have.
    async fn reconcile(&mut self) -> Result<(), ClientError> {
        if let Some(target) = &self.target {
            let gone = self.owned.keys().filter(|it| !target.contains(it));
            let gone: BTreeSet<_> = gone.copied().collect();
            if !gone.is_empty() {
                self.give_up(gone).await;
                self.must_tell = true;
            }
        }
        // While it gave up, it may have heard of another one.
        let Some(target) = self.target.clone() else {
            return self.tell_of_no_more().await;
        };
        let new: BTreeSet<_> = target
            .iter()
            .filter(|it| !self.owned.contains_key(it))
            .copied()
            .collect();
        if new.is_empty() {
            if self.owned.len() == target.len() {
                self.target = None;
            }
            return self.tell_of_no_more().await;
        }
        let names = self.names(&new).await?;
        let known = new
            .iter()
            .filter_map(|it| Some((*it, names.get(&it.0)?.clone())));
        let known: BTreeMap<_, _> = known.collect();
        if known.len() == new.len() && self.owned.len() + new.len() == target.len() {
            self.target = None;
        }
        if known.is_empty() {
            // Of a topic that this broker does not know yet, or any more.
            return Ok(());
        }
        let told = known.iter().map(named).collect();
        self.owned.extend(known);
        self.must_tell = true;
        self.unsettled = None;
        self.ties.tell(MembershipEvent::Assigned(told)).await;
        Ok(())
    }

    /// Tells that what it has is its share, where nothing new says so; of nothing, once it has stayed so for a while.
    async fn tell_of_no_more(&mut self) -> Result<(), ClientError> {
        let needed = if self.owned.is_empty() {
            EMPTY_HEARD
        } else {
            0
        };
        if self.unsettled.is_some_and(|heard| heard >= needed) {
            self.unsettled = None;
            self.ties
                .tell(MembershipEvent::Assigned(BTreeSet::new()))
                .await;
        }
        Ok(())
    }

    /// The names of topics that are new to it: of the one that it wants, as that is all that it gets.
    async fn names(&self, new: &BTreeSet<Place>) -> Result<BTreeMap<TopicId, Str>, ClientError> {
        let known = self.owned.iter().map(|((id, _), name)| (*id, name.clone()));
        let mut names: BTreeMap<_, _> = known.collect();
        if new.iter().any(|(id, _)| !names.contains_key(id)) {
            let topic = self.options.topic.clone();
            let found = self
                .ties
                .cluster
                .topics(std::slice::from_ref(&topic))
                .await?;
            if let Some(Ok(found)) = found.get(&topic) {
                names.insert(found.id, topic);
            }
        }
        Ok(names)
    }

    /// Hands partitions back, and waits until what was read of them is committed.
    async fn give_up(&mut self, gone: BTreeSet<Place>) {
        let told = self.owned.iter().filter(|(it, _)| gone.contains(it));
        let told: BTreeSet<_> = told.map(named).collect();
        self.owned.retain(|it, _| !gone.contains(it));
        self.unsettled = Some(0);
        let (done, mut is_done) = oneshot::channel();
        self.ties.tell(MembershipEvent::Revoked(told, done)).await;
        loop {
            tokio::select! {
                _ = &mut is_done => return,
                // If it fails, so does the next one, and that is looked at.
                () = tokio::time::sleep(self.interval) => drop(self.say_alive().await),
            }
        }
    }

    /// A heartbeat that tells of nothing, as what was given up may still be committed.
    async fn say_alive(&mut self) -> Result<(), ClientError> {
        let request = self.request(self.epoch);
        let answer = self.ties.connection().await?.call(&request).await?;
        ClientError::check(answer.error_code, answer.error_message.as_deref())?;
        self.take(answer);
        Ok(())
    }

    /// The group goes on without this member.
    async fn lose(&mut self) {
        self.ties.forget_identity();
        self.epoch = JOIN_EPOCH;
        self.target = None;
        self.must_tell = false;
        self.unsettled = Some(0);
        let lost = std::mem::take(&mut self.owned);
        if !lost.is_empty() {
            let lost = lost.iter().map(named).collect();
            self.ties.tell(MembershipEvent::Lost(lost)).await;
        }
    }

    /// Tells the group that its partitions are free; those of a static member are kept for whoever comes with its id.
    async fn leave(&mut self) {
        if self.epoch == JOIN_EPOCH && self.ties.coordinator.is_none() {
            return;
        }
        let request = self.request(match self.options.instance {
            Some(_) => STATIC_LEAVE_EPOCH,
            None => LEAVE_EPOCH,
        });
        // A member that cannot say so is taken for dead after a while.
        if let Ok(connection) = self.ties.connection().await {
            let _ = connection.call(&request).await;
        }
    }

    fn request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group_id: self.ties.group.clone(),
            member_id: self.id.clone(),
            member_epoch: epoch,
            instance_id: self.options.instance.clone(),
            ..Default::default()
        }
    }
}

fn named((place, topic): (&Place, &Str)) -> TopicPartition {
    TopicPartition::new(topic.clone(), place.1)
}

fn places(assignment: &Assignment) -> BTreeSet<Place> {
    let topics = assignment.topic_partitions.iter();
    topics
        .flat_map(|it| it.partitions.iter().map(|index| (it.topic_id, *index)))
        .collect()
}

fn by_topic<'a>(places: impl Iterator<Item = &'a Place>) -> Vec<RequestTopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic, index) in places {
        topics.entry(*topic).or_default().push(*index);
    }
    let request = |(topic_id, partitions)| RequestTopicPartitions {
        topic_id,
        partitions,
    };
    topics.into_iter().map(request).collect()
}
