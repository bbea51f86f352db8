//! Where partitions begin and end, and which offset has a timestamp.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wiber_protocol::Str;
use wiber_protocol::messages::ListOffsetsRequest;
use wiber_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};

use crate::cluster::{Cluster, RETRY_PAUSE, longer};
use crate::error::ClientError;

/// ListOffsets' name for the end of a partition.
pub const LATEST: i64 = -1;
/// ListOffsets' name for the first offset that there is.
pub const EARLIEST: i64 = -2;

/// The replica id of a consumer.
const CONSUMER: i32 = -1;

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
        let deadline = Instant::now() + within;
        let mut found = BTreeMap::new();
        let mut pause = RETRY_PAUSE;
        loop {
            let missing: BTreeMap<_, _> = wanted
                .iter()
                .filter(|(partition, _)| !found.contains_key(*partition))
                .map(|(partition, timestamp)| (*partition, *timestamp))
                .collect();
            if missing.is_empty() {
                return Ok(found);
            }
            match self.list_offsets_once(topic, &missing, &mut found).await {
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = longer(pause);
                }
                outcome => outcome?,
            }
        }
    }

    async fn list_offsets_once(
        &self,
        topic: &str,
        wanted: &BTreeMap<i32, i64>,
        found: &mut BTreeMap<i32, Option<i64>>,
    ) -> Result<(), ClientError> {
        let known = self.topic(topic, false).await?;
        let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (partition, timestamp) in wanted {
            let it = known.partition(*partition)?;
            let leader = it.leader.ok_or(ClientError::NoLeader(*partition))?;
            by_leader
                .entry(leader)
                .or_default()
                .push(ListOffsetsPartition {
                    partition_index: *partition,
                    current_leader_epoch: it.leader_epoch,
                    timestamp: *timestamp,
                });
        }
        for (leader, partitions) in by_leader {
            let asked: Vec<i32> = partitions.iter().map(|it| it.partition_index).collect();
            let request = ListOffsetsRequest {
                replica_id: CONSUMER,
                topics: vec![ListOffsetsTopic {
                    name: Str::from(topic),
                    partitions,
                }],
                timeout_ms: self.options().answer_within_ms(),
                ..Default::default()
            };
            let connection = self.broker(leader).await?;
            let answer = connection.call(&request).await?;
            for it in answer.topics.into_iter().flat_map(|it| it.partitions) {
                ClientError::check(it.error_code, None)?;
                found.insert(it.partition_index, Some(it.offset).filter(|at| *at >= 0));
            }
            if let Some(lacking) = asked.iter().find(|it| !found.contains_key(*it)) {
                return Err(ClientError::Malformed {
                    broker: connection.address().to_owned(),
                    problem: format!("its answer lacks partition {lacking}, which was asked for"),
                });
            }
        }
        Ok(())
    }
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
