//! The cluster's metadata, as the coordinator asks for them.

use wiber_controller::{ClusterImage, is_internal_topic};
use wiber_coordinator::{Cluster, GroupConfig, GroupOverrides};
use wiber_model::{PartitionId, TopicId};

use crate::group_config;

/// The cluster image, and what the broker allows groups, for a coordinator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata<'a>(pub &'a ClusterImage, pub &'a GroupConfig);

impl Cluster for Metadata<'_> {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.0.topic(name).map(|topic| topic.id)
    }

    fn topic_name(&self, id: TopicId) -> Option<&str> {
        self.0.topic_by_id(id).map(|topic| topic.name.as_str())
    }

    fn partitions(&self, id: TopicId) -> i32 {
        self.0
            .topic_by_id(id)
            .map_or(0, |topic| topic.partitions.len() as i32)
    }

    fn racks(&self, topic: TopicId, partition: i32) -> Vec<&str> {
        let Some(partition) = self.0.partition(PartitionId { topic, partition }) else {
            return Vec::new();
        };
        partition
            .replicas
            .iter()
            .filter_map(|replica| self.0.broker(*replica)?.rack.as_deref())
            .collect()
    }

    fn topic_names<'a>(&'a self, after: &str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let names = self.0.topics_after(after).map(|topic| topic.name.as_str());
        Box::new(names.filter(|name| !is_internal_topic(name)))
    }

    fn version(&self) -> i64 {
        self.0.offset().0 as i64
    }

    fn group_overrides(&self, group: &str) -> GroupOverrides {
        group_config::overrides(self.0, self.1, group)
    }
}
