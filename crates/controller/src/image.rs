//! The cluster as of a metadata offset: the fold over all records up to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use wiber_model::{BrokerId, LeaderEpoch, PartitionId, TopicId};

use crate::record::{Listener, MetadataOffset, MetadataRecord};
use crate::topic_name::collision_key;

/// Who has a partition, and who leads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those that are in sync.
    pub isr: Vec<BrokerId>,
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
    /// Its start, drawn by it.
    pub incarnation: [u8; 16],
    /// Its data directory.
    pub directory: [u8; 16],
    /// The offset of its registration (R9).
    pub epoch: MetadataOffset,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Its rack.
    pub rack: Option<String>,
}

/// The cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterImage {
    offset: MetadataOffset,
    brokers: BTreeMap<BrokerId, Registration>,
    topics: BTreeMap<TopicId, Arc<TopicState>>,
    ids: BTreeMap<String, TopicId>,
    collisions: BTreeMap<String, TopicId>,
    next_producer_id: i64,
}

impl ClusterImage {
    /// How far the image goes.
    #[must_use]
    pub fn offset(&self) -> MetadataOffset {
        self.offset
    }

    /// The brokers.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerId, &Registration)> {
        self.brokers
            .iter()
            .map(|(id, registration)| (*id, registration))
    }

    /// The topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &TopicState> {
        self.ids.values().filter_map(|id| self.topic_by_id(*id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// The topic of that name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicState> {
        self.topic_by_id(*self.ids.get(name)?)
    }

    /// The topic of that id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&TopicState> {
        self.topics.get(&id).map(AsRef::as_ref)
    }

    /// The topic whose name collides with `name`, or is it.
    #[must_use]
    pub fn colliding(&self, name: &str) -> Option<&TopicState> {
        self.topic_by_id(*self.collisions.get(&collision_key(name))?)
    }

    /// A partition's state.
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

    /// Folds in a record of the entry at `offset`.
    pub fn apply(&mut self, offset: MetadataOffset, record: &MetadataRecord) {
        self.offset = offset;
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
                    partitions: partitions.clone(),
                };
                self.topics.insert(*id, Arc::new(topic));
                self.ids.insert(name.clone(), *id);
                self.collisions.insert(collision_key(name), *id);
            }
            MetadataRecord::DeleteTopic { id } => {
                if let Some(topic) = self.topics.remove(id) {
                    self.ids.remove(&topic.name);
                    self.collisions.remove(&collision_key(&topic.name));
                }
            }
            MetadataRecord::ProducerIds { next } => self.next_producer_id = *next,
        }
    }

    /// Notes that entries up to `offset` are folded in, though they held no record.
    pub fn advance(&mut self, offset: MetadataOffset) {
        self.offset = self.offset.max(offset);
    }

    /// Records that fold into this image, given an empty one. Broker epochs are kept apart: a registration's is the offset of its
    /// record.
    #[must_use]
    pub fn to_records(&self) -> Vec<(MetadataOffset, MetadataRecord)> {
        let mut records = Vec::new();
        for (id, broker) in &self.brokers {
            let record = MetadataRecord::RegisterBroker {
                id: *id,
                incarnation: broker.incarnation,
                directory: broker.directory,
                listeners: broker.listeners.clone(),
                rack: broker.rack.clone(),
            };
            records.push((broker.epoch, record));
        }
        // Topics come after the brokers, whose registrations would begin new epochs.
        for topic in self.topics() {
            let record = MetadataRecord::CreateTopic {
                name: topic.name.clone(),
                id: topic.id,
                configs: topic.configs.clone().into_iter().collect(),
                partitions: topic.partitions.clone(),
            };
            records.push((self.offset, record));
        }
        let next = self.next_producer_id;
        records.push((self.offset, MetadataRecord::ProducerIds { next }));
        records
    }

    /// Checks that names and ids are one to one, and that every partition is led by an in-sync replica.
    ///
    /// # Panics
    /// If not: a bug.
    pub fn validate(&self) {
        assert_eq!(self.topics.len(), self.ids.len());
        assert_eq!(self.topics.len(), self.collisions.len());
        for (name, id) in &self.ids {
            assert!(
                self.topics
                    .get(id)
                    .is_some_and(|topic| topic.name == *name && topic.id == *id)
            );
        }
        for partition in self.topics.values().flat_map(|topic| &topic.partitions) {
            assert!(partition.isr.contains(&partition.leader));
            assert!(
                partition
                    .isr
                    .iter()
                    .all(|id| partition.replicas.contains(id))
            );
        }
    }

    /// R2: a broker that starts begins a new epoch for each partition that it leads.
    fn begin_epochs_of(&mut self, broker: BrokerId) {
        for topic in self.topics.values_mut() {
            if topic
                .partitions
                .iter()
                .any(|partition| partition.leader == broker)
            {
                for partition in &mut Arc::make_mut(topic).partitions {
                    if partition.leader == broker {
                        partition.leader_epoch.0 += 1;
                        partition.partition_epoch += 1;
                    }
                }
            }
        }
    }
}
