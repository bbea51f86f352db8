//! The brokers of a cluster: finds them by those that the caller names, and keeps a connection to each that is needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wiber_model::TopicId;
use wiber_protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use wiber_protocol::messages::{MetadataRequest, MetadataResponse};
use wiber_protocol::{ErrorCode, Request, Str};

use crate::connection::Connection;
use crate::error::ClientError;
use crate::shared_attempt::SharedAttempt;

/// The pause before something that failed for now is tried again; it doubles up to [`RETRY_PAUSE_MAX`].
pub const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between two attempts.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a request for the controller is sent to another broker, as controllers move.
const CONTROLLER_ATTEMPTS: u32 = 5;
/// So long a broker may say of a topic that it was just asked to create that there is none: it says so until the topic is made, which a slow disk
/// delays. A broker that makes none says the same.
const CREATION_GRACE: Duration = Duration::from_secs(5);

/// Where and how patiently to connect.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Addresses, as `HOST:PORT`, of which one must answer.
    pub bootstrap: Vec<String>,
    /// How long connecting may take, the first answer included.
    pub connect_within: Duration,
    /// How long a broker may take over a request.
    pub answer_within: Duration,
}

/// The cluster, as one client sees it.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Brokers by id, as the last metadata had them.
    brokers: BTreeMap<i32, String>,
    controller: Option<i32>,
    connections: BTreeMap<String, Arc<Connection>>,
    /// By address. One connection to an address is opened at a time: requests that must stay in order, and that nobody answers, all go
    /// through the same.
    openings: BTreeMap<String, Arc<Opening>>,
}

/// The attempts to connect to an address; in words, why there is no connection.
type Opening = SharedAttempt<Result<Arc<Connection>, String>>;

/// A topic, as the metadata have it.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Its id; zero where the broker is too old to have ids.
    pub id: TopicId,
    /// Whether it belongs to the brokers themselves.
    pub is_internal: bool,
    /// Its partitions, by ascending index.
    pub partitions: Vec<Partition>,
}

/// A partition, as the metadata have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub index: i32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// The leader's epoch; −1 where the broker does not say.
    pub leader_epoch: i32,
    /// The brokers that shall have it.
    pub replicas: Vec<i32>,
    /// Those that have all of it.
    pub isr: Vec<i32>,
    /// Those that are away.
    pub offline: Vec<i32>,
}

impl ClusterOptions {
    /// How long a broker may take, for requests that carry it: in milliseconds.
    #[must_use]
    pub fn answer_within_ms(&self) -> i32 {
        i32::try_from(self.answer_within.as_millis()).unwrap_or(i32::MAX)
    }
}

impl Cluster {
    /// Connects to the first address that answers, and learns of the brokers.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] if none does; else what went wrong with the metadata.
    pub async fn connect(options: ClusterOptions) -> Result<Arc<Cluster>, ClientError> {
        let cluster = Arc::new(Cluster {
            options,
            state: Mutex::default(),
        });
        cluster.metadata(Some(&[]), false).await?;
        Ok(cluster)
    }

    /// How this was made.
    #[must_use]
    pub fn options(&self) -> &ClusterOptions {
        &self.options
    }

    /// The brokers' ids and addresses, by id.
    #[must_use]
    pub fn brokers(&self) -> Vec<(i32, String)> {
        let state = self.state();
        state.brokers.iter().map(|(i, a)| (*i, a.clone())).collect()
    }

    /// A connection to any broker: one that there is, or the first address that answers.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        let open = {
            let mut state = self.state();
            state.connections.retain(|_, it| !it.is_closed());
            state.connections.values().next().cloned()
        };
        if let Some(connection) = open {
            return Ok(connection);
        }
        // Those that the caller named come first: what the metadata said may be out of date.
        let mut addresses = self.options.bootstrap.clone();
        addresses.extend(self.brokers().into_iter().map(|(_, address)| address));
        let mut failed: Vec<(String, String)> = Vec::new();
        for address in addresses {
            if failed.iter().any(|(tried, _)| *tried == address) {
                continue;
            }
            match self.connection(&address).await {
                Ok(connection) => return Ok(connection),
                Err(reason) => failed.push((address, reason)),
            }
        }
        Err(ClientError::Unreachable(failed))
    }

    /// A connection to the broker with this id.
    ///
    /// # Errors
    /// If the metadata do not know it, or it cannot be reached where they say that it is.
    pub async fn broker(&self, id: i32) -> Result<Arc<Connection>, ClientError> {
        let address = self.address(id)?;
        self.connection(&address)
            .await
            .map_err(|reason| ClientError::BrokerUnreachable {
                id,
                address,
                reason,
            })
    }

    /// A connection to a broker that nobody else uses: requests that it answers late hold nothing else up.
    ///
    /// # Errors
    /// As [`Cluster::broker`].
    pub(crate) async fn own_connection(
        &self,
        id: i32,
        answer_within: Duration,
    ) -> Result<Connection, ClientError> {
        let address = self.address(id)?;
        Connection::open(&address, self.options.connect_within, answer_within)
            .await
            .map_err(|reason| ClientError::BrokerUnreachable {
                id,
                address,
                reason,
            })
    }

    fn address(&self, id: i32) -> Result<String, ClientError> {
        let known = self.state().brokers.get(&id).cloned();
        known.ok_or(ClientError::UnknownBroker(id))
    }

    /// Asks the controller, or whichever broker the metadata name as the one to ask. Where the controller has moved, the new one is asked.
    ///
    /// # Errors
    /// As [`Connection::call`]. `code` finds the error that would say that another broker is the controller.
    pub async fn ask_controller<R: Request>(
        &self,
        request: &R,
        code: impl Fn(&R::Response) -> i16,
    ) -> Result<R::Response, ClientError> {
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            let controller = self.state().controller;
            let connection = match controller {
                Some(id) => self.broker(id).await?,
                None => self.any().await?,
            };
            let answer = connection.call(request).await?;
            let elsewhere = code(&answer) == ErrorCode::NotController.code();
            if !elsewhere || attempt == CONTROLLER_ATTEMPTS {
                return Ok(answer);
            }
            tokio::time::sleep(pause).await;
            pause = longer(pause);
            self.metadata(Some(&[]), false).await?;
        }
        unreachable!("the loop returns")
    }

    /// Asks for topics, or for all of them, and remembers the brokers.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn metadata(
        &self,
        topics: Option<&[Str]>,
        create: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let request = MetadataRequest {
            topics: topics.map(|names| {
                let named = names.iter().map(|name| MetadataRequestTopic {
                    name: Some(name.clone()),
                    ..Default::default()
                });
                named.collect()
            }),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let answer = match self.any().await?.call(&request).await {
            // A connection that lay idle may have been closed meanwhile; the next one is new.
            Err(ClientError::Broken { .. }) => self.any().await?.call(&request).await?,
            answer => answer?,
        };
        ClientError::check(answer.error_code, None)?;
        let mut state = self.state();
        state.brokers = answer
            .brokers
            .iter()
            .map(|broker| (broker.node_id, joined(&broker.host, broker.port)))
            .collect();
        state.controller = Some(answer.controller_id).filter(|id| state.brokers.contains_key(id));
        Ok(answer)
    }

    /// One topic. Where it may be created, waits until that is done; no longer than a broker may take over a request.
    ///
    /// # Errors
    /// As [`Connection::call`]; [`ClientError::Refused`] if there is no such topic.
    pub async fn topic(&self, name: &str, create: bool) -> Result<Topic, ClientError> {
        let names = [Str::from(name)];
        let mut pause = RETRY_PAUSE;
        let patience = self.options.answer_within;
        let begun = Instant::now();
        loop {
            let answer = self.metadata(Some(&names), create).await?;
            let topic = answer.topics.into_iter().next();
            let topic = topic.ok_or_else(|| ClientError::Refused {
                code: ErrorCode::UnknownTopicOrPartition.code(),
                message: None,
            })?;
            let found = Topic::from_metadata(topic);
            let within = match &found {
                Ok(topic) if topic.partitions.iter().all(|it| it.leader.is_some()) => return found,
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                    CREATION_GRACE.min(patience)
                }
                Err(error) if !error.is_passing() => return found,
                _ => patience,
            };
            if !create || begun.elapsed() + pause > within {
                return found;
            }
            tokio::time::sleep(pause).await;
            pause = longer(pause);
        }
    }

    /// Topics by name, each with what the metadata say of it. None is created.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn topics(
        &self,
        names: &[Str],
    ) -> Result<BTreeMap<Str, Result<Topic, ClientError>>, ClientError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answer = self.metadata(Some(names), false).await?;
        let topics = answer.topics.into_iter().map(|topic| {
            let name = topic.name.clone().unwrap_or_default();
            (name, Topic::from_metadata(topic))
        });
        Ok(topics.collect())
    }

    /// Remembers where a broker is that another one told of.
    pub(crate) fn learn(&self, id: i32, host: &str, port: i32) {
        self.state().brokers.insert(id, joined(host, port));
    }

    async fn connection(&self, address: &str) -> Result<Arc<Connection>, String> {
        if let Some(open) = self.open_connection(address) {
            return Ok(open);
        }
        let opening = {
            let mut state = self.state();
            state
                .openings
                .entry(address.to_owned())
                .or_default()
                .clone()
        };
        let attempt = async {
            if let Some(open) = self.open_connection(address) {
                return Ok(open);
            }
            let (connect, answer) = (self.options.connect_within, self.options.answer_within);
            let opened = Arc::new(Connection::open(address, connect, answer).await?);
            self.state()
                .connections
                .insert(address.to_owned(), opened.clone());
            Ok(opened)
        };
        opening.join(attempt).await
    }

    fn open_connection(&self, address: &str) -> Option<Arc<Connection>> {
        let known = self.state().connections.get(address).cloned();
        known.filter(|it| !it.is_closed())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    /// A topic of a Metadata answer.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if the answer says so of the topic, or names no partition of it.
    pub fn from_metadata(topic: MetadataResponseTopic) -> Result<Topic, ClientError> {
        ClientError::check(topic.error_code, None)?;
        if topic.partitions.is_empty() {
            ClientError::check(ErrorCode::LeaderNotAvailable.code(), None)?;
        }
        let mut partitions: Vec<_> = topic
            .partitions
            .into_iter()
            .map(|it| Partition {
                index: it.partition_index,
                leader: Some(it.leader_id).filter(|id| *id >= 0),
                leader_epoch: it.leader_epoch,
                replicas: it.replica_nodes,
                isr: it.isr_nodes,
                offline: it.offline_replicas,
            })
            .collect();
        partitions.sort_by_key(|it| it.index);
        Ok(Topic {
            name: topic.name.unwrap_or_default(),
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions,
        })
    }

    /// The partition with this number.
    ///
    /// # Errors
    /// [`ClientError::NoPartition`].
    pub fn partition(&self, index: i32) -> Result<&Partition, ClientError> {
        self.partitions
            .iter()
            .find(|it| it.index == index)
            .ok_or(ClientError::NoPartition {
                partition: index,
                count: self.partitions.len() as i32,
            })
    }
}

/// The pause after the next failure.
#[must_use]
pub fn longer(pause: Duration) -> Duration {
    (pause * 2).min(RETRY_PAUSE_MAX)
}

fn joined(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::fake_broker::FakeBroker;

    #[tokio::test]
    async fn many_at_once_share_one_connection() {
        let broker = FakeBroker::start(1, |_| None).await;
        let cluster = broker.cluster().await;
        // The bootstrap address is the broker's own.
        assert_eq!(broker.accepted(), 1);
        cluster.state().connections.clear();
        let mut lanes = JoinSet::new();
        for _ in 0..64 {
            let cluster = cluster.clone();
            lanes.spawn(async move { cluster.broker(1).await.expect("it answers") });
        }
        let opened = lanes.join_all().await;
        assert!(opened.iter().all(|it| Arc::ptr_eq(it, &opened[0])));
        assert_eq!(broker.accepted(), 2);
    }
}
