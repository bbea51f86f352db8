//! Groups as they are at a moment: members, and for each partition what is committed, where it ends, and who reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use wiber_client::groups::OfPartitions;
use wiber_client::{
    ClientError, Cluster, Committed, GroupDescription, GroupMember, GroupType, LATEST,
    TopicPartition,
};
use wiber_protocol::{ErrorCode, Str};

/// A group at a moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The group and its members.
    pub description: GroupDescription,
    /// What it has committed or reads, by topic and partition.
    pub partitions: Vec<PartitionState>,
}

/// A partition, as a group reads it.
#[derive(Debug)]
pub struct PartitionState {
    /// Which.
    pub at: TopicPartition,
    /// What is committed.
    pub committed: Option<Committed>,
    /// The offset that the next record will get; none where it is not known.
    pub end: Option<i64>,
    /// The member that reads it, by its place among the members.
    pub member: Option<usize>,
}

/// Groups, and what could not be found out about them.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that there are, in the order in which they were asked for.
    pub groups: Vec<Snapshot>,
    /// What went wrong with others.
    pub failed: Vec<(Str, ClientError)>,
    /// Why the ends of some partitions are not known.
    pub ends_failed: Option<ClientError>,
}

impl Snapshots {
    /// Asks for groups, what they have committed, and the ends of these partitions.
    pub async fn of(cluster: &Cluster, groups: &[Str], within: Duration) -> Snapshots {
        let mut snapshots = Snapshots::default();
        let mut described = cluster.describe_groups(groups, within).await;
        let mut committed = cluster.committed(groups, within).await;
        let mut found = Vec::new();
        for group in groups {
            let both = (described.remove(group), committed.remove(group));
            match both {
                (Some(Ok(description)), Some(Ok(committed))) => {
                    found.push((description, committed));
                }
                (Some(Err(error)), _) | (_, Some(Err(error))) => {
                    snapshots.failed.push((group.clone(), error));
                }
                // It was named twice.
                _ => {}
            }
        }
        let read = found.iter().flat_map(|(description, committed)| {
            let assigned = description.members.iter().flat_map(|it| &it.assignment);
            committed.keys().chain(assigned).cloned()
        });
        let ends = offsets_of(cluster, &read.collect(), LATEST, within).await;
        snapshots.ends_failed = ends
            .values()
            .filter_map(|it| it.as_ref().err())
            .find(|it| !is_gone(it))
            .cloned();
        snapshots.groups = found
            .into_iter()
            .map(|(description, committed)| Snapshot::new(description, committed, &ends))
            .collect();
        snapshots
    }
}

/// What ListOffsets finds for partitions, 0 where there is nothing yet. Those that are not there are not asked for.
pub async fn offsets_of(
    cluster: &Cluster,
    partitions: &BTreeSet<TopicPartition>,
    which: i64,
    within: Duration,
) -> OfPartitions<i64> {
    let mut outcomes = OfPartitions::new();
    let names: BTreeSet<Str> = partitions.iter().map(|it| it.topic.clone()).collect();
    let names: Vec<Str> = names.into_iter().collect();
    let topics = match cluster.topics(&names).await {
        Ok(topics) => topics,
        Err(error) => {
            let failed = partitions.iter().map(|it| (it.clone(), Err(error.clone())));
            return failed.collect();
        }
    };
    let mut wanted = BTreeMap::new();
    for it in partitions {
        let known = topics.get(&it.topic).map(|topic| {
            let topic = topic.as_ref().map_err(Clone::clone)?;
            topic.partition(it.partition).map(drop)
        });
        match known {
            Some(Ok(())) => {
                wanted.insert(it.clone(), which);
            }
            Some(Err(error)) => {
                outcomes.insert(it.clone(), Err(error));
            }
            None => {
                let code = ErrorCode::UnknownTopicOrPartition.code();
                let message = None;
                outcomes.insert(it.clone(), Err(ClientError::Refused { code, message }));
            }
        }
    }
    let found = cluster.find_offsets(&wanted, within).await;
    outcomes.extend(
        found
            .into_iter()
            .map(|(it, offset)| (it, offset.map(|offset| offset.unwrap_or(0)))),
    );
    outcomes
}

/// Whether the partition is not there any more: offsets are kept longer than topics.
pub fn is_gone(error: &ClientError) -> bool {
    matches!(error, ClientError::NoPartition { .. })
        || error.code() == Some(ErrorCode::UnknownTopicOrPartition)
}

impl Snapshot {
    fn new(
        description: GroupDescription,
        mut committed: BTreeMap<TopicPartition, Committed>,
        ends: &OfPartitions<i64>,
    ) -> Snapshot {
        let mut readers: BTreeMap<TopicPartition, usize> = BTreeMap::new();
        for (i, member) in description.members.iter().enumerate() {
            readers.extend(member.assignment.iter().map(|it| (it.clone(), i)));
        }
        let all: BTreeSet<_> = committed.keys().chain(readers.keys()).cloned().collect();
        let partitions = all.into_iter().map(|at| PartitionState {
            committed: committed.remove(&at),
            end: ends.get(&at).and_then(|it| it.as_ref().ok()).copied(),
            member: readers.get(&at).copied(),
            at,
        });
        Snapshot {
            partitions: partitions.collect(),
            description,
        }
    }

    /// How many records were not read yet, over all partitions of which that is known; none if it is known of none of them.
    pub fn lag(&self) -> Option<i64> {
        let lags = self.partitions.iter().filter_map(PartitionState::lag);
        lags.reduce(i64::saturating_add)
    }

    /// Who reads a partition.
    pub fn reader(&self, partition: &PartitionState) -> Option<&GroupMember> {
        self.description.members.get(partition.member?)
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        let it = &self.description;
        let members: Vec<_> = it.members.iter().map(member_json).collect();
        let partitions = self.partitions.iter().map(|it| {
            let reader = self.reader(it);
            json!({
                "topic": it.at.topic.as_str(), "partition": it.at.partition,
                "committed": it.committed.as_ref().map(|it| it.offset),
                "leader_epoch": it.committed.as_ref().map(|it| it.leader_epoch).filter(|it| *it >= 0),
                "metadata": it.committed.as_ref().and_then(|it| it.metadata.as_deref()),
                "end": it.end, "lag": it.lag(), "member": reader.map(|it| it.id.as_str()),
                "client": reader.map(|it| it.client.as_str()), "host": reader.map(host),
            })
        });
        let partitions: Vec<_> = partitions.collect();
        json!({
            "group": it.group.as_str(), "state": it.state.as_str(), "type": type_name(it.group_type),
            "protocol_type": it.protocol_type.as_str(), "assignor": it.assignor.as_str(), "epoch": it.epoch,
            "coordinator": it.coordinator, "lag": self.lag(), "members": members, "partitions": partitions,
        })
    }
}

impl PartitionState {
    /// How many records were not read yet.
    pub fn lag(&self) -> Option<i64> {
        let committed = self.committed.as_ref()?.offset;
        Some(self.end?.saturating_sub(committed).max(0))
    }
}

/// Kafka's name of a type.
pub fn type_name(group_type: GroupType) -> &'static str {
    match group_type {
        GroupType::Classic => "classic",
        GroupType::Consumer => "consumer",
    }
}

/// Where a member is: Kafka writes addresses with a slash before them.
pub fn host(member: &GroupMember) -> &str {
    member.host.trim_start_matches('/')
}

/// Partitions by topic.
pub fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&Str, Vec<i32>> {
    let mut topics: BTreeMap<&Str, Vec<i32>> = BTreeMap::new();
    for it in partitions {
        topics.entry(&it.topic).or_default().push(it.partition);
    }
    topics
}

fn member_json(member: &GroupMember) -> Value {
    let assigned = |partitions: &[TopicPartition]| -> Map<String, Value> {
        let topics = by_topic(partitions).into_iter();
        topics
            .map(|(topic, partitions)| (topic.to_string(), json!(partitions)))
            .collect()
    };
    json!({
        "member": member.id.as_str(), "instance": member.instance.as_deref(), "client": member.client.as_str(),
        "host": host(member), "rack": member.rack.as_deref(), "epoch": member.epoch,
        "assignment": assigned(&member.assignment), "target": member.target.as_deref().map(assigned),
    })
}
