//! A membership in a group: a member that joins, keeps itself alive, takes and gives up partitions, and leaves.
//!
//! It runs as a task of its own, so that the group hears of it however long the records take that somebody shows. It has a connection of its
//! own. There are members of two kinds: of the classic protocol, and of the consumer protocol.
//!
//! Invariants, of both:
//! - Partitions that are given up are handed back first: whoever reads them says when all that was read of them is committed. Only then the
//!   group is told that they are free.
//! - What is lost, as the group went on without this member, is told before anything new is assigned.
//! - Whoever does not ask for records for as long as a rebalance may take is no member any more, until records are asked for again.

mod classic;
mod consumer;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wiber_protocol::{ErrorCode, Str};

use crate::assignor::Assignor;
use crate::cluster::{Cluster, RETRY_PAUSE, longer};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::offsets::TopicPartition;

/// A member that is silent for this long is taken for dead: Kafka's default.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a member may take to give partitions up, and to come back for records: Kafka's default (`max.poll.interval.ms`).
const REBALANCE_TIMEOUT: Duration = Duration::from_mins(5);
/// What is told and not taken: more wait.
const EVENTS: usize = 16;
/// No generation.
const NONE: i32 = -1;

/// How the members of a group come to share partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupProtocol {
    /// One of them assigns, in one of these ways; the best that it can do first. Where only cooperative ones are offered, partitions that stay are
    /// read on through a rebalance.
    Classic(Vec<Assignor>),
    /// The coordinator assigns (KIP-848), in the way that is named, or else in one of its own choice.
    Consumer(Option<String>),
}

/// What to join, and how.
#[derive(Clone, Debug)]
pub(crate) struct MembershipOptions {
    pub(crate) group: Str,
    pub(crate) topic: Str,
    /// The id of a static member (KIP-345).
    pub(crate) instance: Option<Str>,
    pub(crate) protocol: GroupProtocol,
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
    /// The generation of a classic group, or the member's epoch.
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
        let ties = Ties {
            cluster,
            tell,
            shared: shared.clone(),
            group: options.group.clone(),
            within: REBALANCE_TIMEOUT,
            connection: None,
            coordinator: None,
            pause: RETRY_PAUSE,
            troubled: false,
        };
        let task = match options.protocol.clone() {
            GroupProtocol::Classic(assignors) => {
                tokio::spawn(classic::Member::new(ties, options, assignors).run())
            }
            GroupProtocol::Consumer(assignor) => {
                tokio::spawn(consumer::Member::new(ties, options, assignor).run())
            }
        };
        Membership {
            events,
            shared,
            task,
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

/// What ties a member to its group, and to whoever reads its partitions.
struct Ties {
    cluster: Arc<Cluster>,
    tell: mpsc::Sender<MembershipEvent>,
    shared: Arc<Shared>,
    group: Str,
    /// How long the coordinator may take over a request.
    within: Duration,
    connection: Option<Connection>,
    coordinator: Option<i32>,
    pause: Duration,
    troubled: bool,
}

impl Ties {
    /// The connection to the coordinator; both are found again where they were lost.
    async fn connection(&mut self) -> Result<&Connection, ClientError> {
        if self.connection.as_ref().is_none_or(Connection::is_closed) {
            let group = std::slice::from_ref(&self.group);
            let mut found = self.cluster.coordinators(group).await?;
            let not_found = || {
                let code = ErrorCode::CoordinatorNotAvailable.code();
                Err(ClientError::Refused {
                    code,
                    message: None,
                })
            };
            let coordinator = found.remove(&self.group).unwrap_or_else(not_found)?;
            let opened = self
                .cluster
                .own_connection(coordinator, self.within)
                .await?;
            self.connection = Some(opened);
            self.coordinator = Some(coordinator);
            if let Some(identity) = &mut *locked(&self.shared.identity) {
                identity.coordinator = coordinator;
            }
        }
        self.connection
            .as_ref()
            .ok_or(ClientError::UnknownBroker(NONE))
    }

    /// The coordinator is to be found again.
    fn cut(&mut self) {
        self.connection = None;
        self.coordinator = None;
    }

    /// Something does not work now: says so, waits, and has the coordinator found again.
    async fn begin_anew(&mut self, error: ClientError) {
        self.cut();
        self.trouble(error);
        self.pause().await;
    }

    fn address(&self) -> String {
        let connection = self.connection.as_ref();
        connection.map_or(String::new(), |it| it.address().to_owned())
    }

    /// Who commits from now on.
    fn identify(&self, member: &Str, generation: i32) {
        if let Some(coordinator) = self.coordinator {
            *locked(&self.shared.identity) = Some(Identity {
                generation,
                member: member.clone(),
                coordinator,
            });
        }
    }

    /// Nobody can commit any more.
    fn forget_identity(&self) {
        *locked(&self.shared.identity) = None;
    }

    /// Whether records were asked for within the time that a member has for that.
    fn is_polled(&self) -> bool {
        let polled = *locked(&self.shared.polled);
        polled.elapsed() <= REBALANCE_TIMEOUT
    }

    /// Tells of it; waits where much waits to be taken.
    async fn tell(&self, event: MembershipEvent) {
        let _ = self.tell.send(event).await;
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

    /// Waits, longer each time until something works again.
    async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = longer(self.pause);
    }
}

fn in_ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
