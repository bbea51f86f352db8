//! `wiber topic describe`: everything about topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wiber_client::{ClientError, Cluster, EARLIEST, LATEST, Partition, Topic};
use wiber_protocol::ApiKey;
use wiber_protocol::messages::DescribeLogDirsRequest;
use wiber_protocol::messages::describe_log_dirs::DescribableLogDirTopic;

use super::{all_topics, replication_factor};
use crate::config::{self, Described, Resource};
use crate::connect::Connect;
use crate::failure::{Failure, after_printing, say};
use crate::output::{Output, Table, bytes_in_words, counted, line, object};

/// Shows topics: partitions, leaders, replicas, offsets, sizes, and the settings that are not the default.
#[derive(Args)]
pub struct Arguments {
    /// The topics [default: all but the brokers' own].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let cluster = arguments.connect.cluster().await?;
    let mut topics = Vec::new();
    if arguments.names.is_empty() {
        topics = all_topics(&cluster).await?;
        topics.retain(|topic| !topic.is_internal);
    }
    for name in &arguments.names {
        let topic = cluster.topic(name, false).await;
        topics.push(topic.map_err(|error| Failure::of_topic(name, &error))?);
    }
    let sizes = sizes(&cluster, &topics).await;
    let resources: Vec<_> = topics.iter().map(|it| Resource::topic(&it.name)).collect();
    let settings = config::describe(&cluster, &resources).await?;
    let deadline = Instant::now() + arguments.connect.timeout();
    let (mut outcome, mut printed) = (Ok(()), Ok(()));
    for (i, (topic, settings)) in topics.iter().zip(&settings).enumerate() {
        let (offsets, unknown) = Offsets::of(&cluster, topic, deadline).await;
        // Each of them is asked for, whether anybody reads the results or not.
        printed = printed.and_then(|()| {
            if arguments.output.is_json() {
                return object(&as_json(topic, &offsets, &sizes, settings));
            }
            if i > 0 {
                line("")?;
            }
            print(topic, &offsets, &sizes, settings)
        });
        if let Some(error) = unknown {
            outcome = Err(Failure::Told);
            say(&format!(
                "{}: where all its partitions begin and end is not known: {error}",
                topic.name
            ));
        }
    }
    after_printing(outcome, printed)
}

/// Where the partitions begin and end, as far as their leaders say.
#[derive(Default)]
struct Offsets {
    start: BTreeMap<i32, Option<i64>>,
    end: BTreeMap<i32, Option<i64>>,
}

impl Offsets {
    /// Asks the leaders, each by itself; and what went wrong, if one does not answer.
    async fn of(
        cluster: &Arc<Cluster>,
        topic: &Topic,
        deadline: Instant,
    ) -> (Offsets, Option<ClientError>) {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in &topic.partitions {
            if let Some(leader) = partition.leader {
                by_leader.entry(leader).or_default().push(partition.index);
            }
        }
        let mut asked = JoinSet::new();
        for partitions in by_leader.into_values() {
            let (cluster, name) = (cluster.clone(), topic.name.clone());
            let within = deadline.saturating_duration_since(Instant::now());
            asked.spawn(async move {
                let wanted = |which| partitions.iter().map(|it| (*it, which)).collect();
                let (earliest, latest) = (wanted(EARLIEST), wanted(LATEST));
                tokio::try_join!(
                    cluster.list_offsets(&name, &earliest, within),
                    cluster.list_offsets(&name, &latest, within)
                )
            });
        }
        let mut offsets = Offsets::default();
        let mut unknown = None;
        for outcome in asked.join_all().await {
            match outcome {
                Ok((start, end)) => {
                    offsets.start.extend(start);
                    offsets.end.extend(end);
                }
                Err(error) => unknown = Some(error),
            }
        }
        (offsets, unknown)
    }

    fn of_partition(&self, index: i32) -> (Option<i64>, Option<i64>) {
        let at = |map: &BTreeMap<_, _>| map.get(&index).copied().flatten();
        (at(&self.start), at(&self.end))
    }
}

/// Bytes of the leader's replica, by topic and partition.
type Sizes = BTreeMap<(String, i32), i64>;

/// What the partitions take on their leaders' disks; nothing where a broker does not say.
async fn sizes(cluster: &Cluster, topics: &[Topic]) -> Sizes {
    let mut by_leader: BTreeMap<i32, Vec<DescribableLogDirTopic>> = BTreeMap::new();
    for topic in topics {
        let mut led: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in &topic.partitions {
            if let Some(leader) = partition.leader {
                led.entry(leader).or_default().push(partition.index);
            }
        }
        for (leader, partitions) in led {
            by_leader
                .entry(leader)
                .or_default()
                .push(DescribableLogDirTopic {
                    topic: topic.name.clone(),
                    partitions,
                });
        }
    }
    let mut sizes = Sizes::new();
    for (leader, topics) in by_leader {
        let Ok(connection) = cluster.broker(leader).await else {
            continue;
        };
        if !connection.serves(ApiKey::DescribeLogDirs) {
            continue;
        }
        let request = DescribeLogDirsRequest {
            topics: Some(topics),
        };
        let Ok(answer) = connection.call(&request).await else {
            continue;
        };
        for topic in answer.results.into_iter().flat_map(|it| it.topics) {
            for partition in topic.partitions.iter().filter(|it| !it.is_future_key) {
                let key = (topic.name.to_string(), partition.partition_index);
                sizes.insert(key, partition.partition_size);
            }
        }
    }
    sizes
}

fn size_of(sizes: &Sizes, topic: &Topic, partition: &Partition) -> Option<i64> {
    sizes
        .get(&(topic.name.to_string(), partition.index))
        .copied()
}

fn print(
    topic: &Topic,
    offsets: &Offsets,
    sizes: &Sizes,
    settings: &[Described],
) -> Result<(), Failure> {
    line(&format!(
        "Topic {}: {}, replication factor {}, id {}",
        topic.name,
        counted(topic.partitions.len() as u64, "partition"),
        replication_factor(topic),
        topic.id
    ))?;
    let changed: Vec<_> = settings
        .iter()
        .filter(|it| !it.is_default())
        .map(|it| format!("{}={}", it.name, it.shown_value()))
        .collect();
    if !changed.is_empty() {
        line(&format!("  Settings: {}", changed.join(", ")))?;
    }
    let mut table = Table::new(&[
        "#PARTITION",
        "LEADER",
        "REPLICAS",
        "IN SYNC",
        "#START",
        "#END",
        "#SIZE",
    ]);
    for partition in &topic.partitions {
        let (start, end) = offsets.of_partition(partition.index);
        let shown = |offset: Option<i64>| offset.map_or("?".to_owned(), |it| it.to_string());
        table.row([
            partition.index.to_string(),
            partition
                .leader
                .map_or("none".to_owned(), |it| it.to_string()),
            ids(&partition.replicas),
            ids(&partition.isr),
            shown(start),
            shown(end),
            size_of(sizes, topic, partition).map_or("?".to_owned(), bytes_in_words),
        ]);
    }
    table.print("  ")
}

fn ids(ids: &[i32]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

fn as_json(topic: &Topic, offsets: &Offsets, sizes: &Sizes, settings: &[Described]) -> Value {
    let partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|it| {
            let (start, end) = offsets.of_partition(it.index);
            json!({
                "partition": it.index, "leader": it.leader, "leader_epoch": it.leader_epoch, "replicas": it.replicas,
                "isr": it.isr, "offline": it.offline, "start_offset": start, "end_offset": end,
                "size_bytes": size_of(sizes, topic, it),
            })
        })
        .collect();
    let configs: Map<_, _> = settings
        .iter()
        .filter(|it| !it.is_default())
        .map(|it| (it.name.clone(), json!(it.value)))
        .collect();
    json!({
        "name": topic.name.as_str(), "id": topic.id.to_string(), "internal": topic.is_internal,
        "replication_factor": replication_factor(topic), "configs": configs, "partitions": partitions,
    })
}
