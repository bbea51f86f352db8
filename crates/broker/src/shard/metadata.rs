//! What committed metadata mean to a shard: logs come and go, have other settings, and begin new leader epochs.

use std::sync::Arc;

use wiber_controller::{MetadataOffset, MetadataRecord};
use wiber_model::mutant::{self, Mutant};
use wiber_model::{LeaderEpoch, Now, PartitionId, TopicId};

use super::Shard;
use crate::machine::{Address, Effect};
use crate::topic_config::TopicConfig;

impl Shard {
    /// Folds committed records in, and does what they mean to this shard's partitions.
    pub(super) fn apply(
        &mut self,
        now: Now,
        offset: MetadataOffset,
        records: &[MetadataRecord],
        fx: &mut Vec<Effect>,
    ) {
        let mut begun = Vec::new();
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                MetadataRecord::DeleteTopic { id } => {
                    let topic = self.image.topic_by_id(*id);
                    deleted.extend(topic.map(|topic| topic.name.clone()));
                    let partitions = topic.map_or(0, |t| t.partitions.len());
                    for partition in 0..partitions as i32 {
                        let partition = PartitionId {
                            topic: *id,
                            partition,
                        };
                        self.store.remove(partition, &mut self.storage);
                        self.forget_partition(partition, fx);
                    }
                    self.configs.remove(id);
                    self.image.apply(offset, record);
                }
                MetadataRecord::CreateTopic { id, name, .. } => {
                    self.image.apply(offset, record);
                    self.create_partitions(now, *id, 0, &mut begun);
                    changed.push(name.clone());
                }
                MetadataRecord::AddPartitions { topic, .. } => {
                    let had = self.image.topic_by_id(*topic);
                    let first = had.map_or(0, |topic| topic.partitions.len());
                    self.image.apply(offset, record);
                    self.create_partitions(now, *topic, first, &mut begun);
                    let topic = self.image.topic_by_id(*topic);
                    changed.extend(topic.map(|topic| topic.name.clone()));
                }
                MetadataRecord::TopicConfigs { topic, .. } => {
                    self.image.apply(offset, record);
                    self.configure(now, *topic);
                }
                MetadataRecord::BrokerConfigs { broker, .. } => {
                    self.image.apply(offset, record);
                    if broker.is_none_or(|id| id == self.node_id()) {
                        self.reconfigure(now, fx);
                    }
                }
                MetadataRecord::RegisterBroker { id, .. } if *id == self.node_id() => {
                    self.image.apply(offset, record);
                    self.begin_own_epochs(&mut begun);
                }
                _ => self.image.apply(offset, record),
            }
        }
        if !changed.is_empty() || !deleted.is_empty() {
            self.tell_groups(now, &changed, &deleted, fx);
        }
        let ticket = self.store.begin_epochs(&begun, &mut self.storage);
        if self.serving {
            // Groups of partitions that were just made can be asked for at once.
            self.tick_groups(now, fx);
        }
        self.owner.applied.push_back((offset, ticket));
        self.acknowledge(fx);
    }

    /// Makes the logs of a topic's partitions from the one with index `first` on.
    fn create_partitions(
        &mut self,
        now: Now,
        topic: TopicId,
        first: usize,
        begun: &mut Vec<(PartitionId, LeaderEpoch)>,
    ) {
        let Some(state) = self.image.topic_by_id(topic) else {
            return;
        };
        let config = Arc::new(TopicConfig::of(
            &self.options.topic_defaults,
            &state.configs,
        ));
        self.configs.insert(topic, Arc::clone(&config));
        let config = Arc::new(config.log());
        let mut created = Vec::new();
        for (index, partition) in state.partitions.iter().enumerate().skip(first) {
            let id = PartitionId {
                topic,
                partition: index as i32,
            };
            if self.owner_of(id) == Address::Shard(self.number) {
                self.store.create(id, Arc::clone(&config));
                begun.push((id, partition.leader_epoch));
                created.push(id);
            }
        }
        for id in created {
            self.host_groups(now, id);
        }
    }

    /// Gives the logs of a topic's partitions the settings that it has now.
    fn configure(&mut self, now: Now, topic: TopicId) {
        let Some(state) = self.image.topic_by_id(topic) else {
            return;
        };
        let config = Arc::new(TopicConfig::of(
            &self.options.topic_defaults,
            &state.configs,
        ));
        let partitions = state.partitions.len() as i32;
        self.configs.insert(topic, Arc::clone(&config));
        let config = Arc::new(config.log());
        for partition in 0..partitions {
            // The store knows its own.
            let id = PartitionId { topic, partition };
            self.store.configure(id, Arc::clone(&config));
        }
        self.retry_groups(now, topic);
    }

    /// Takes over the settings that the broker has now: its topics have them where they set nothing.
    fn reconfigure(&mut self, now: Now, fx: &mut Vec<Effect>) {
        let before = self.options.topic_defaults.clone();
        let admission = self.options.alter(&self.image);
        let cleaner = self.options.cleaner.share_of(self.options.shards);
        self.store.configure_cleaner(cleaner);
        if self.options.topic_defaults != before {
            let topics: Vec<_> = self.image.topics().map(|topic| topic.id).collect();
            for topic in topics {
                self.configure(now, topic);
            }
        }
        self.configure_groups();
        if self.number == 0 {
            fx.push(Effect::Admit(Box::new(admission)));
        }
    }

    /// A new registration of this broker is a new epoch for each partition that it leads (R2).
    fn begin_own_epochs(&mut self, begun: &mut Vec<(PartitionId, LeaderEpoch)>) {
        if mutant::active(Mutant::NoNewEpochOnRestart) {
            return;
        }
        for log in self.store.logs() {
            if let Some(state) = self.image.partition(log.id())
                && state.leader == self.node_id()
            {
                begun.push((log.id(), state.leader_epoch));
            }
        }
    }
}
