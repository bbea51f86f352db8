//! Where partitions begin and end, and which offset has a timestamp.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use wiber_protocol::messages::ListOffsetsRequest;
use wiber_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use wiber_protocol::{ErrorCode, Str};

use crate::cluster::{Cluster, RETRY_PAUSE, Topic, longer};
use crate::error::ClientError;

/// ListOffsets' name for the end of a partition.
pub const LATEST: i64 = -1;
/// ListOffsets' name for the first offset that there is.
pub const EARLIEST: i64 = -2;

/// The replica id of a consumer.
const CONSUMER: i32 = -1;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Str,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by its topic's name and its number.
    #[must_use]
    pub fn new(topic: impl Into<Str>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

/// As Kafka writes it.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What was found of one partition: an offset, or none if no record is that young.
pub type FoundOffset = Result<Option<i64>, ClientError>;

impl Cluster {
    /// For each partition the first offset at or after a timestamp in milliseconds, or what [`EARLIEST`] and [`LATEST`] name; none if no
    /// record is that young. Tries again while leaders move.
    ///
    /// # Errors
    /// What one of the partitions or its leader says, for good or until `within` is over.
    pub async fn list_offsets(
        &self,
        topic: &str,
        wanted: &BTreeMap<i32, i64>,
        within: Duration,
    ) -> Result<BTreeMap<i32, Option<i64>>, ClientError> {
        let topic = Str::from(topic);
        let wanted = wanted
            .iter()
            .map(|(partition, which)| (TopicPartition::new(topic.clone(), *partition), *which));
        let found = self.find_offsets(&wanted.collect(), within).await;
        found
            .into_iter()
            .map(|(it, offset)| Ok((it.partition, offset?)))
            .collect()
    }

    /// The same for partitions of many topics, each with what became of it: one that cannot be had does not hide the others.
    pub async fn find_offsets(
        &self,
        wanted: &BTreeMap<TopicPartition, i64>,
        within: Duration,
    ) -> BTreeMap<TopicPartition, FoundOffset> {
        let deadline = Instant::now() + within;
        let mut found: BTreeMap<TopicPartition, FoundOffset> = BTreeMap::new();
        let mut pause = RETRY_PAUSE;
        loop {
            let missing: BTreeMap<_, _> = wanted
                .iter()
                .filter(|(it, _)| found.get(*it).is_none_or(will_pass))
                .map(|(it, which)| (it.clone(), *which))
                .collect();
            self.find_offsets_once(&missing, &mut found).await;
            let again = found.values().any(will_pass);
            if !again || Instant::now() >= deadline {
                return found;
            }
            tokio::time::sleep(pause).await;
            pause = longer(pause);
        }
    }

    /// Puts an outcome for each of `wanted` into `found`.
    async fn find_offsets_once(
        &self,
        wanted: &BTreeMap<TopicPartition, i64>,
        found: &mut BTreeMap<TopicPartition, FoundOffset>,
    ) {
        let topics: BTreeSet<Str> = wanted.keys().map(|it| it.topic.clone()).collect();
        let topics: Vec<Str> = topics.into_iter().collect();
        let known = match self.topics(&topics).await {
            Ok(known) => known,
            Err(error) => {
                found.extend(wanted.keys().map(|it| (it.clone(), Err(error.clone()))));
                return;
            }
        };
        let mut by_leader: BTreeMap<i32, BTreeMap<&Str, Vec<ListOffsetsPartition>>> =
            BTreeMap::new();
        for (it, timestamp) in wanted {
            match leader_of(&known, it) {
                Ok((leader, leader_epoch)) => by_leader
                    .entry(leader)
                    .or_default()
                    .entry(&it.topic)
                    .or_default()
                    .push(ListOffsetsPartition {
                        partition_index: it.partition,
                        current_leader_epoch: leader_epoch,
                        timestamp: *timestamp,
                    }),
                Err(error) => {
                    found.insert(it.clone(), Err(error));
                }
            }
        }
        for (leader, topics) in by_leader {
            let asked: Vec<TopicPartition> = topics
                .iter()
                .flat_map(|(topic, partitions)| {
                    let of = |it: &ListOffsetsPartition| it.partition_index;
                    partitions
                        .iter()
                        .map(move |it| TopicPartition::new((*topic).clone(), of(it)))
                })
                .collect();
            let topics = topics
                .into_iter()
                .map(|(name, partitions)| ListOffsetsTopic {
                    name: name.clone(),
                    partitions,
                });
            self.ask_leader(leader, topics.collect(), &asked, found)
                .await;
        }
    }

    async fn ask_leader(
        &self,
        leader: i32,
        topics: Vec<ListOffsetsTopic>,
        asked: &[TopicPartition],
        found: &mut BTreeMap<TopicPartition, FoundOffset>,
    ) {
        let request = ListOffsetsRequest {
            replica_id: CONSUMER,
            topics,
            timeout_ms: self.options().answer_within_ms(),
            ..Default::default()
        };
        let answered = async {
            let connection = self.broker(leader).await?;
            let answer = connection.call(&request).await?;
            Ok((connection, answer))
        };
        let (connection, answer) = match answered.await {
            Ok(answered) => answered,
            Err(error) => {
                let error: ClientError = error;
                found.extend(asked.iter().map(|it| (it.clone(), Err(error.clone()))));
                return;
            }
        };
        let mut told = BTreeMap::new();
        for topic in answer.topics {
            for it in topic.partitions {
                let offset = ClientError::check(it.error_code, None)
                    .map(|()| Some(it.offset).filter(|at| *at >= 0));
                told.insert((topic.name.clone(), it.partition_index), offset);
            }
        }
        for it in asked {
            let offset = told.remove(&(it.topic.clone(), it.partition));
            let offset = offset.unwrap_or_else(|| {
                Err(ClientError::Malformed {
                    broker: connection.address().to_owned(),
                    problem: format!(
                        "its answer lacks partition {}, which was asked for",
                        it.partition
                    ),
                })
            });
            found.insert(it.clone(), offset);
        }
    }
}

fn will_pass(found: &FoundOffset) -> bool {
    // A topic that is not there may just not have come to this broker; what looked it up before was told that it is.
    found.as_ref().is_err_and(ClientError::is_passing)
}

/// Who leads a partition, and in which epoch.
fn leader_of(
    topics: &BTreeMap<Str, Result<Topic, ClientError>>,
    it: &TopicPartition,
) -> Result<(i32, i32), ClientError> {
    let unknown = || ClientError::Refused {
        code: ErrorCode::UnknownTopicOrPartition.code(),
        message: None,
    };
    let topic = topics.get(&it.topic).ok_or_else(unknown)?;
    let partition = topic
        .as_ref()
        .map_err(Clone::clone)?
        .partition(it.partition)?;
    let leader = partition
        .leader
        .ok_or(ClientError::NoLeader(it.partition))?;
    Ok((leader, partition.leader_epoch))
}

#[cfg(test)]
mod tests {
    use wiber_protocol::messages::ListOffsetsResponse;
    use wiber_protocol::messages::list_offsets::{
        ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
    };

    use super::*;
    use crate::fake_broker::{FakeBroker, TOPIC, answer};

    #[tokio::test]
    async fn an_answer_that_lacks_a_partition_ends_it() {
        let broker = FakeBroker::start(2, |request| {
            let first = ListOffsetsPartitionResponse {
                offset: 7,
                ..Default::default()
            };
            let told = ListOffsetsResponse {
                topics: vec![ListOffsetsTopicResponse {
                    name: Str::from_static(TOPIC),
                    partitions: vec![first],
                }],
                ..Default::default()
            };
            answer(request, &told)
        })
        .await;
        let cluster = broker.cluster().await;
        let within = Duration::from_secs(30);
        let ask = async |partitions: &[i32]| {
            let wanted = partitions.iter().map(|it| (*it, LATEST)).collect();
            let found = cluster.list_offsets(TOPIC, &wanted, within);
            let limited = tokio::time::timeout(within, found).await;
            limited.expect("it ends")
        };
        assert_eq!(ask(&[0]).await, Ok(BTreeMap::from([(0, Some(7))])));
        let error = ask(&[0, 1]).await.expect_err("partition 1 is not there");
        assert!(error.to_string().contains("lacks partition 1"), "{error}");
    }
}
