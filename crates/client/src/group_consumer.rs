//! A consumer of a topic that shares its partitions with the other members of a group.
//!
//! It goes on where the group left off. Nothing is committed unasked: whoever uses the records says which offsets are done with, and so no
//! record that was not used is ever passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use wiber_protocol::{ErrorCode, Str};

use crate::cluster::{Cluster, RETRY_PAUSE, longer};
use crate::connection::Connection;
use crate::consumer::{Consumer, ConsumerEvent, ReceivedRecord};
use crate::error::ClientError;
use crate::groups::{Committed, commit, commit_request};
use crate::membership::{GroupProtocol, Membership, MembershipEvent, MembershipOptions};
use crate::offsets::{EARLIEST, LATEST, TopicPartition};

/// Where to begin where the group has committed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reset {
    /// With the first record that there is.
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// Which group, and how.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// The group.
    pub group: String,
    /// The id of a static member (KIP-345).
    pub instance: Option<String>,
    /// How its members come to share partitions.
    pub protocol: GroupProtocol,
    /// Where to begin where the group has committed nothing.
    pub reset: Reset,
    /// How long finding offsets is tried before it is told that it does not work.
    pub within: Duration,
}

/// What a member of a group has to tell.
#[derive(Debug)]
pub enum GroupEvent {
    /// Records of a partition, as [`ConsumerEvent::Records`].
    Records {
        /// The partition.
        partition: i32,
        /// The records, in order.
        records: Vec<ReceivedRecord>,
        /// The offset to be read next.
        next_offset: i64,
    },
    /// Offsets that are not there were passed over: they are gone, or there were never so many.
    Skipped {
        /// The partition.
        partition: i32,
        /// The offset that was to be read next.
        from: i64,
        /// The one that is read instead.
        to: i64,
    },
    /// These partitions are read from now on, from these offsets.
    Assigned(BTreeMap<i32, i64>),
    /// These are read no more. What was read of them can be committed until [`GroupConsumer::next`] is called again.
    Revoked(BTreeSet<i32>),
    /// These are somebody else's already. What was read of them and not committed is read again by whoever has them now.
    Lost(BTreeSet<i32>),
    /// Something does not work now, and is tried again.
    Trouble(ClientError),
    /// It works again.
    Resumed,
}

/// Reads what a group has for it.
#[derive(Debug)]
pub struct GroupConsumer {
    cluster: Arc<Cluster>,
    topic: Str,
    options: GroupOptions,
    membership: Membership,
    consumer: Consumer,
    /// Partitions that are to be read, once it is known from where.
    unplaced: BTreeSet<i32>,
    /// When to try that again.
    place_at: Instant,
    pause: Duration,
    /// Partitions that are being read.
    reading: BTreeSet<i32>,
    /// Who waits until what was revoked is committed.
    revoking: Option<oneshot::Sender<()>>,
    /// To the coordinator, for commits alone.
    commits: Option<(i32, Connection)>,
}

impl GroupConsumer {
    /// Joins a group to read a topic.
    #[must_use]
    pub fn join(cluster: Arc<Cluster>, topic: &str, options: GroupOptions) -> GroupConsumer {
        let membership = MembershipOptions {
            group: Str::from(options.group.as_str()),
            topic: Str::from(topic),
            instance: options.instance.as_deref().map(Str::from),
            protocol: options.protocol.clone(),
        };
        GroupConsumer {
            membership: Membership::begin(cluster.clone(), membership),
            consumer: Consumer::new(cluster.clone(), topic, &BTreeMap::new()),
            cluster,
            topic: Str::from(topic),
            options,
            unplaced: BTreeSet::new(),
            place_at: Instant::now(),
            pause: RETRY_PAUSE,
            reading: BTreeSet::new(),
            revoking: None,
            commits: None,
        }
    }

    /// Whether something was read already and not handed out.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.consumer.has_ready()
    }

    /// What comes next. May be dropped and called again.
    ///
    /// # Errors
    /// What will not pass: the topic is gone, a batch is damaged, the group takes no such member.
    pub async fn next(&mut self) -> Result<GroupEvent, ClientError> {
        // Whoever was told of partitions that go has committed what it wanted to.
        if let Some(done) = self.revoking.take() {
            let _ = done.send(());
        }
        self.membership.polled();
        loop {
            if !self.unplaced.is_empty() && self.place_at <= Instant::now() {
                match self.place().await {
                    Ok(placed) => return Ok(GroupEvent::Assigned(placed)),
                    Err(error) if error.is_passing() => {
                        self.place_at = Instant::now() + self.pause;
                        self.pause = longer(self.pause);
                        return Ok(GroupEvent::Trouble(error));
                    }
                    Err(error) => return Err(error),
                }
            }
            let unplaced = !self.unplaced.is_empty();
            tokio::select! {
                biased;
                Some(event) = self.membership.events.recv() => match event {
                    MembershipEvent::Assigned(new) => {
                        self.unplaced.extend(self.own(new));
                        if self.unplaced.is_empty() {
                            return Ok(GroupEvent::Assigned(BTreeMap::new()));
                        }
                    }
                    MembershipEvent::Revoked(gone, done) => {
                        self.revoking = Some(done);
                        return Ok(GroupEvent::Revoked(self.drop_partitions(gone)));
                    }
                    MembershipEvent::Lost(gone) => {
                        return Ok(GroupEvent::Lost(self.drop_partitions(gone)));
                    }
                    MembershipEvent::Trouble(error) => return Ok(GroupEvent::Trouble(error)),
                    MembershipEvent::Resumed => return Ok(GroupEvent::Resumed),
                    MembershipEvent::Failed(error) => return Err(error),
                },
                () = tokio::time::sleep_until(self.place_at), if unplaced => {}
                event = self.consumer.next() => match event {
                    Ok(event) => return Ok(of_consumer(event)),
                    // The topic was made anew, or somebody committed what was never there.
                    Err(ClientError::BeyondEnd { partition, offset, start, end }) => {
                        let to = match self.options.reset {
                            Reset::Earliest => start,
                            Reset::Latest => end,
                        };
                        self.consumer.remove(partition);
                        self.consumer.add(partition, to);
                        return Ok(GroupEvent::Skipped { partition, from: offset, to });
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Finds out where the group left off.
    async fn place(&mut self) -> Result<BTreeMap<i32, i64>, ClientError> {
        let group = Str::from(self.options.group.as_str());
        let within = self.options.within;
        let committed = self.cluster.stable_offsets(&group, within).await?;
        let (mut placed, mut missing) = (BTreeMap::new(), BTreeMap::new());
        for index in &self.unplaced {
            match committed.get(&TopicPartition::new(self.topic.clone(), *index)) {
                Some(it) => {
                    placed.insert(*index, it.offset);
                }
                None => {
                    let which = match self.options.reset {
                        Reset::Earliest => EARLIEST,
                        Reset::Latest => LATEST,
                    };
                    missing.insert(*index, which);
                }
            }
        }
        if !missing.is_empty() {
            let found = self
                .cluster
                .list_offsets(&self.topic, &missing, within)
                .await?;
            placed.extend(
                found
                    .into_iter()
                    .map(|(index, at)| (index, at.unwrap_or(0))),
            );
        }
        for (index, offset) in &placed {
            self.consumer.add(*index, *offset);
        }
        self.reading.append(&mut self.unplaced);
        self.pause = RETRY_PAUSE;
        Ok(placed)
    }

    /// Commits the offsets to be read next, where that is done: tries again for as long as `within`.
    ///
    /// # Errors
    /// Why nothing was committed. Where [`is_lost`] says so of it, somebody else has the partitions now, or is about to.
    pub async fn commit(
        &mut self,
        offsets: &BTreeMap<i32, i64>,
        within: Duration,
    ) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + within;
        let mut pause = RETRY_PAUSE;
        loop {
            match self.commit_once(offsets).await {
                Err(error) if error.is_passing() || is_stale(&error) => {
                    if !is_stale(&error) {
                        self.commits = None;
                    }
                    if Instant::now() + pause > deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
                outcome => return outcome,
            }
        }
    }

    async fn commit_once(&mut self, offsets: &BTreeMap<i32, i64>) -> Result<(), ClientError> {
        let Some(identity) = self.membership.identity() else {
            return ClientError::check(ErrorCode::UnknownMemberId.code(), None);
        };
        let coordinator = identity.coordinator;
        if !matches!(&self.commits, Some((of, it)) if *of == coordinator && !it.is_closed()) {
            let within = self.cluster.options().answer_within;
            let opened = self.cluster.own_connection(coordinator, within).await?;
            self.commits = Some((coordinator, opened));
        }
        let Some((_, connection)) = &self.commits else {
            return Err(ClientError::UnknownBroker(coordinator));
        };
        let offsets = offsets.iter().map(|(index, offset)| {
            let committed = Committed {
                offset: *offset,
                leader_epoch: -1,
                metadata: None,
            };
            (TopicPartition::new(self.topic.clone(), *index), committed)
        });
        let group = Str::from(self.options.group.as_str());
        let mut request = commit_request(&group, &offsets.collect());
        request.generation_id_or_member_epoch = identity.generation;
        request.member_id = identity.member;
        request.group_instance_id = self.options.instance.as_deref().map(Str::from);
        let outcomes = commit(connection, &request).await?;
        outcomes.into_values().collect()
    }

    /// Ends reading and, unless it is a static member, leaves the group: its partitions go to others at once.
    pub async fn leave(self) {
        if let Some(done) = self.revoking {
            let _ = done.send(());
        }
        self.membership.leave().await;
    }

    /// The numbers of those that are of the topic.
    fn own(&self, partitions: BTreeSet<TopicPartition>) -> BTreeSet<i32> {
        let own = partitions.into_iter().filter(|it| it.topic == self.topic);
        own.map(|it| it.partition).collect()
    }

    /// Those of them that were read.
    fn drop_partitions(&mut self, gone: BTreeSet<TopicPartition>) -> BTreeSet<i32> {
        let gone = self.own(gone);
        for index in &gone {
            self.consumer.remove(*index);
            self.unplaced.remove(index);
        }
        gone.into_iter()
            .filter(|it| self.reading.remove(it))
            .collect()
    }
}

/// Whether a commit failed as somebody else has the partitions now, or is about to: whoever it is reads again what was not committed.
#[must_use]
pub fn is_lost(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress
                | ErrorCode::FencedInstanceId
                | ErrorCode::FencedMemberEpoch
                | ErrorCode::StaleMemberEpoch
        )
    )
}

/// Whether a commit came with an epoch that the member has left behind: the next heartbeat brings the new one.
fn is_stale(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::StaleMemberEpoch)
}

fn of_consumer(event: ConsumerEvent) -> GroupEvent {
    match event {
        ConsumerEvent::Records {
            partition,
            records,
            next_offset,
        } => GroupEvent::Records {
            partition,
            records,
            next_offset,
        },
        ConsumerEvent::Skipped {
            partition,
            from,
            to,
        } => GroupEvent::Skipped {
            partition,
            from,
            to,
        },
        ConsumerEvent::Trouble(error) => GroupEvent::Trouble(error),
        ConsumerEvent::Resumed => GroupEvent::Resumed,
    }
}
