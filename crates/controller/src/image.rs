//! The cluster as of a metadata offset: the fold over all records up to it.
//!
//! Every broker, and in it every shard, has an image of its own and folds the same records into it; a fold costs what the
//! record changes.
//!
//! Invariants, which [`ClusterImage::validate`] and [`ClusterImage::validate_after`] check:
//! - No two topics have names that are equal, or differ in dots and underscores alone.
//! - A partition is led by one of its in-sync replicas, which are among its replicas.
//! - Offsets, broker epochs, leader epochs, partition epochs and the next producer id never fall, and a partition that changed
//!   has a higher partition epoch.

mod snapshot;

pub use snapshot::SnapshotError;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use wiber_model::{BrokerId, LeaderEpoch, PartitionId, TopicId};

use crate::record::{Listener, MetadataOffset, MetadataRecord, PartitionAssignment};
use crate::topic_name::{collision_key, is_valid_topic_name};

/// Who has a partition, and who leads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Arc<[BrokerId]>,
    /// Those of them that are in sync.
    pub isr: Arc<[BrokerId]>,
    /// The leader.
    pub leader: BrokerId,
    /// The leader's term.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes of this state.
    pub partition_epoch: i32,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicState {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its own settings.
    pub configs: BTreeMap<String, String>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionState>,
}

/// A broker that is, or was, part of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Drawn by it when it started.
    pub incarnation: [u8; 16],
    /// The identity of its data directory.
    pub directory: [u8; 16],
    /// Its broker epoch: the offset of this registration (R9).
    pub epoch: MetadataOffset,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Its rack.
    pub rack: Option<String>,
}

/// The cluster. A clone shares the topics until either changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterImage {
    offset: MetadataOffset,
    brokers: BTreeMap<BrokerId, Registration>,
    /// The settings that brokers were given while they ran; `None` for those of every broker.
    broker_configs: BTreeMap<Option<BrokerId>, BTreeMap<String, String>>,
    /// The settings of groups that have any, by their ids.
    group_configs: BTreeMap<String, BTreeMap<String, String>>,
    topics: BTreeMap<TopicId, Arc<TopicState>>,
    /// The topics by the collision keys of their names, which tell them apart as well as the names do.
    by_key: BTreeMap<String, TopicId>,
    partition_count: usize,
    next_producer_id: i64,
}

/// Why a record does not fit the image.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImageError {
    /// It comes before what is folded in.
    #[error("it has offset {record}, and the image has come to {image}")]
    Offset {
        /// The record's offset.
        record: MetadataOffset,
        /// The image's.
        image: MetadataOffset,
    },
    /// The id that it gives to a topic is another's, or is reserved.
    #[error("the topic id {0} is in use or reserved")]
    TopicId(TopicId),
    /// The name that it gives to a topic is another's, or collides with it, or is not valid.
    #[error("the topic name '{0}' is in use, collides with another or is not valid")]
    TopicName(String),
    /// It names a topic that is not there.
    #[error("there is no topic with the id {0}")]
    UnknownTopic(TopicId),
    /// A partition's replicas are none, or name a broker twice, or its leader is not in sync.
    #[error("the replicas of partition {0} cannot be")]
    Replicas(PartitionId),
    /// It makes a topic of no partitions, or of more than can be numbered, or of as many as it had.
    #[error("a topic of {0} partitions cannot be")]
    Partitions(usize),
    /// It takes producer ids back that were given out.
    #[error("the next producer id would fall to {0}")]
    ProducerIds(i64),
}

impl PartitionState {
    /// The state of a new partition: led by its first replica, and all are in sync.
    #[must_use]
    pub fn new(replicas: &Arc<[BrokerId]>) -> PartitionState {
        PartitionState {
            replicas: Arc::clone(replicas),
            isr: Arc::clone(replicas),
            leader: replicas[0],
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
        }
    }

    /// Whether no replica is named twice, the in-sync ones are among the replicas, and the leader among those.
    fn is_consistent(&self) -> bool {
        let repeats = |(i, id): (usize, &BrokerId)| self.replicas[..i].contains(id);
        !self.replicas.iter().enumerate().any(repeats)
            && self.isr.iter().all(|id| self.replicas.contains(id))
            && self.isr.contains(&self.leader)
    }
}

impl ClusterImage {
    /// How far the log is folded in.
    #[must_use]
    pub fn offset(&self) -> MetadataOffset {
        self.offset
    }

    /// The brokers, by id.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = (BrokerId, &Registration)> {
        self.brokers
            .iter()
            .map(|(id, registration)| (*id, registration))
    }

    /// A broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Registration> {
        self.brokers.get(&id)
    }

    /// The settings that a broker was given while it ran; with `None`, those that every broker has that has none of its own.
    #[must_use]
    pub fn broker_configs(&self, broker: Option<BrokerId>) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.broker_configs.get(&broker).unwrap_or(&NONE)
    }

    /// The settings that a group has of its own.
    #[must_use]
    pub fn group_configs(&self, group: &str) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.group_configs.get(group).unwrap_or(&NONE)
    }

    /// The groups that have settings of their own, by their ids.
    pub fn groups_with_configs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.group_configs.keys().map(String::as_str)
    }

    /// The topics, in the order of their names, where a dot counts as an underscore.
    pub fn topics(&self) -> impl Iterator<Item = &TopicState> {
        self.by_key.values().map(|id| &*self.topics[id])
    }

    /// The topics that stand behind the one of a name, whether that one exists or not, in the order of [`ClusterImage::topics`].
    pub fn topics_after(&self, name: &str) -> impl Iterator<Item = &TopicState> + use<'_> {
        let key = collision_key(name);
        let behind = (Bound::Excluded(&*key), Bound::Unbounded);
        let behind = self.by_key.range::<str, _>(behind);
        behind.map(|(_, id)| &*self.topics[id])
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicState> {
        self.colliding(name).filter(|topic| topic.name == name)
    }

    /// The topic of that id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&TopicState> {
        self.topics.get(&id).map(|topic| &**topic)
    }

    /// The topic because of which none can be called `name`: it has this name, or one that differs in dots and underscores
    /// alone.
    #[must_use]
    pub fn colliding(&self, name: &str) -> Option<&TopicState> {
        self.topic_by_id(*self.by_key.get(&*collision_key(name))?)
    }

    /// A partition.
    #[must_use]
    pub fn partition(&self, partition: PartitionId) -> Option<&PartitionState> {
        let topic = self.topics.get(&partition.topic)?;
        topic
            .partitions
            .get(usize::try_from(partition.partition).ok()?)
    }

    /// The first producer id that was not given out.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Folds in a committed record of the entry at `offset`.
    ///
    /// # Panics
    /// If it does not fit: records are checked against an image before they enter the log, so this is a bug.
    pub fn apply(&mut self, offset: MetadataOffset, record: &MetadataRecord) {
        if let Err(error) = self.try_apply(offset, record) {
            panic!("the metadata record {record:?} at offset {offset} does not fit: {error}");
        }
    }

    /// Folds in a record of the entry at `offset`, which may come from a disk that lies.
    ///
    /// # Errors
    /// As [`ImageError`] says; the image is then as it was.
    pub fn try_apply(
        &mut self,
        offset: MetadataOffset,
        record: &MetadataRecord,
    ) -> Result<(), ImageError> {
        if offset < self.offset {
            return Err(ImageError::Offset {
                record: offset,
                image: self.offset,
            });
        }
        match record {
            MetadataRecord::RegisterBroker {
                id,
                incarnation,
                directory,
                listeners,
                rack,
            } => {
                let registration = Registration {
                    incarnation: *incarnation,
                    directory: *directory,
                    epoch: offset,
                    listeners: listeners.clone(),
                    rack: rack.clone(),
                };
                self.brokers.insert(*id, registration);
                self.begin_epochs_of(*id);
            }
            MetadataRecord::CreateTopic {
                name,
                id,
                configs,
                partitions,
            } => {
                let topic = TopicState {
                    id: *id,
                    name: name.clone(),
                    configs: configs.iter().cloned().collect(),
                    partitions: new_partitions(*id, 0, partitions)?,
                };
                self.insert_topic(topic)?;
            }
            MetadataRecord::AddPartitions { topic, partitions } => {
                self.add_partitions(*topic, partitions)?;
            }
            MetadataRecord::TopicConfigs { topic, configs } => {
                let topic = self
                    .topics
                    .get_mut(topic)
                    .ok_or(ImageError::UnknownTopic(*topic))?;
                Arc::make_mut(topic).configs = configs.iter().cloned().collect();
            }
            MetadataRecord::BrokerConfigs { broker, configs } => {
                self.set_broker_configs(*broker, configs.iter().cloned().collect());
            }
            MetadataRecord::GroupConfigs { group, configs } if configs.is_empty() => {
                self.group_configs.remove(group);
            }
            MetadataRecord::GroupConfigs { group, configs } => {
                let configs = configs.iter().cloned().collect();
                self.group_configs.insert(group.clone(), configs);
            }
            MetadataRecord::DeleteTopic { id } => {
                let topic = self
                    .topics
                    .remove(id)
                    .ok_or(ImageError::UnknownTopic(*id))?;
                self.by_key.remove(&*collision_key(&topic.name));
                self.partition_count -= topic.partitions.len();
            }
            MetadataRecord::ProducerIds { next } => {
                if *next < self.next_producer_id {
                    return Err(ImageError::ProducerIds(*next));
                }
                self.next_producer_id = *next;
            }
        }
        self.offset = offset;
        Ok(())
    }

    /// Notes that the entries up to `offset` are folded in, though the last of them held no record.
    ///
    /// # Panics
    /// If the image is further on already.
    pub fn advance(&mut self, offset: MetadataOffset) {
        assert!(
            self.offset <= offset,
            "an image at {} cannot go back to {offset}",
            self.offset
        );
        self.offset = offset;
    }

    /// Checks what must be true of an image at any time.
    ///
    /// # Panics
    /// If something is not: a bug.
    pub fn validate(&self) {
        assert_eq!(self.topics.len(), self.by_key.len());
        for (key, id) in &self.by_key {
            let topic = &self.topics[id];
            assert_eq!(topic.id, *id);
            assert_eq!(
                collision_key(&topic.name),
                *key,
                "{id} is found under another name"
            );
            validate_topic(topic);
        }
        let partitions = self.topics.values().map(|topic| topic.partitions.len());
        assert_eq!(partitions.sum::<usize>(), self.partition_count);
        for (id, broker) in &self.brokers {
            assert!(
                broker.epoch <= self.offset,
                "broker {id} registered in the future"
            );
        }
        assert!(self.next_producer_id >= 0);
    }

    /// Checks what must be true of an image and an earlier one of the same cluster.
    ///
    /// # Panics
    /// If something is not: a bug.
    pub fn validate_after(&self, earlier: &ClusterImage) {
        assert!(self.offset >= earlier.offset, "the offset fell");
        assert!(
            self.next_producer_id >= earlier.next_producer_id,
            "the next producer id fell"
        );
        for (id, before) in &earlier.brokers {
            let now = self.brokers.get(id);
            assert!(
                now.is_some_and(|now| now.epoch >= before.epoch),
                "the epoch of broker {id} fell"
            );
        }
        for (id, now) in &self.topics {
            let Some(before) = earlier.topics.get(id) else {
                continue;
            };
            assert_eq!(now.name, before.name, "{id} was given another name");
            assert!(
                now.partitions.len() >= before.partitions.len(),
                "{id} lost partitions"
            );
            for (now, before) in now.partitions.iter().zip(&before.partitions) {
                assert!(now.leader_epoch >= before.leader_epoch, "{id}: {now:?}");
                assert!(
                    now == before || now.partition_epoch > before.partition_epoch,
                    "{id}: {before:?} became {now:?}"
                );
            }
        }
    }

    /// No settings leave no trace, so that equal images have equal bytes.
    fn set_broker_configs(&mut self, broker: Option<BrokerId>, configs: BTreeMap<String, String>) {
        match configs.is_empty() {
            true => self.broker_configs.remove(&broker),
            false => self.broker_configs.insert(broker, configs),
        };
    }

    /// Takes in a topic that is in no other's way.
    fn insert_topic(&mut self, topic: TopicState) -> Result<(), ImageError> {
        if is_reserved(topic.id) || self.topics.contains_key(&topic.id) {
            return Err(ImageError::TopicId(topic.id));
        }
        if !is_valid_topic_name(&topic.name) || self.colliding(&topic.name).is_some() {
            return Err(ImageError::TopicName(topic.name));
        }
        let count = topic.partitions.len();
        if count == 0 || i32::try_from(count).is_err() {
            return Err(ImageError::Partitions(count));
        }
        check_replicas(topic.id, 0, &topic.partitions)?;
        self.partition_count += count;
        let key = collision_key(&topic.name).into_owned();
        self.by_key.insert(key, topic.id);
        self.topics.insert(topic.id, Arc::new(topic));
        Ok(())
    }

    /// Numbers new partitions of a topic on from those that it has.
    fn add_partitions(
        &mut self,
        id: TopicId,
        added: &[PartitionAssignment],
    ) -> Result<(), ImageError> {
        let topic = self
            .topics
            .get_mut(&id)
            .ok_or(ImageError::UnknownTopic(id))?;
        let first = topic.partitions.len();
        let count = first + added.len();
        if added.is_empty() || i32::try_from(count).is_err() {
            return Err(ImageError::Partitions(count));
        }
        let partitions = new_partitions(id, first, added)?;
        check_replicas(id, first, &partitions)?;
        Arc::make_mut(topic).partitions.extend(partitions);
        self.partition_count += added.len();
        Ok(())
    }

    /// A broker that starts begins a new leader epoch for each partition that it leads (R2).
    fn begin_epochs_of(&mut self, broker: BrokerId) {
        for topic in self.topics.values_mut() {
            if !topic.partitions.iter().any(|p| p.leader == broker) {
                continue;
            }
            for partition in &mut Arc::make_mut(topic).partitions {
                if partition.leader == broker {
                    partition.leader_epoch.0 += 1;
                    partition.partition_epoch += 1;
                }
            }
        }
    }
}

/// Whether Kafka gives an id a meaning of its own: 0 is "none", 1 is the metadata topic.
pub(crate) fn is_reserved(id: TopicId) -> bool {
    u128::from_be_bytes(id.0) <= 1
}

/// The states of a topic's new partitions, which are numbered from `first`.
fn new_partitions(
    topic: TopicId,
    first: usize,
    assignments: &[PartitionAssignment],
) -> Result<Vec<PartitionState>, ImageError> {
    let state = |(index, assignment): (usize, &PartitionAssignment)| {
        if assignment.replicas.is_empty() {
            return Err(replicas_error(topic, index));
        }
        Ok(PartitionState::new(&assignment.replicas))
    };
    (first..).zip(assignments).map(state).collect()
}

/// Checks the replicas of some of a topic's partitions, which are numbered from `first`.
fn check_replicas(
    topic: TopicId,
    first: usize,
    partitions: &[PartitionState],
) -> Result<(), ImageError> {
    match partitions.iter().position(|p| !p.is_consistent()) {
        Some(wrong) => Err(replicas_error(topic, first + wrong)),
        None => Ok(()),
    }
}

fn replicas_error(topic: TopicId, partition: usize) -> ImageError {
    ImageError::Replicas(PartitionId {
        topic,
        partition: partition as i32,
    })
}

fn validate_topic(topic: &TopicState) {
    assert!(!is_reserved(topic.id));
    assert!(is_valid_topic_name(&topic.name));
    assert!(!topic.partitions.is_empty());
    for partition in &topic.partitions {
        assert!(partition.is_consistent(), "{topic:?}");
        assert!(partition.leader_epoch.0 >= 0, "{topic:?}");
        // A leader epoch never begins without a partition epoch.
        assert!(
            partition.partition_epoch >= partition.leader_epoch.0,
            "{topic:?}"
        );
    }
}
