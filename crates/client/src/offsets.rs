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
            let request = ListOffsetsRequest {
                replica_id: CONSUMER,
                topics: vec![ListOffsetsTopic {
                    name: Str::from(topic),
                    partitions,
                }],
                timeout_ms: self.options().answer_within.as_millis() as i32,
                ..Default::default()
            };
            let answer = self.broker(leader).await?.call(&request).await?;
            for it in answer.topics.into_iter().flat_map(|it| it.partitions) {
                ClientError::check(it.error_code, None)?;
                found.insert(it.partition_index, Some(it.offset).filter(|at| *at >= 0));
            }
        }
        Ok(())
    }
}
