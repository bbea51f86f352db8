//! What a broker is told when it is opened. The names and defaults are Kafka's where Kafka has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use wiber_controller::ClusterImage;
use wiber_coordinator::GroupConfig;
use wiber_model::BrokerId;
use wiber_storage::store::{CleanerOptions, StoreOptions};
use wiber_storage::wal::WalOptions;

use crate::broker_config::{AdmissionLimits, DEFAULT_DESCRIBED_PARTITIONS_MAX, NodeOptions};

/// Settings of a broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `log.dirs`: the data directory's absolute path, for clients to read.
    pub log_dir: String,
    /// How many shards the partitions are spread over.
    pub shards: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// What clients come by: [`Event::Connected`](crate::Event::Connected) counts them from 0 on.
    pub listeners: Vec<ListenerOptions>,
    /// What was set of the broker, by name: each value legal, as Kafka writes it.
    pub settings: BTreeMap<String, String>,
    /// What a topic has that does not set it, where that is not the setting's own default.
    pub topic_defaults: BTreeMap<String, String>,
    /// `num.partitions`: of a topic that is created without a number.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// What is set about groups.
    pub groups: Arc<GroupConfig>,
    /// `offsets.topic.num.partitions`.
    pub offsets_partitions: i32,
    /// `offsets.topic.replication.factor`.
    pub offsets_replication_factor: i16,
    /// `offsets.topic.segment.bytes`.
    pub offsets_segment_bytes: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `max.request.partition.size.limit`.
    pub described_partitions_max: i32,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `max.incremental.fetch.session.cache.slots`, per shard.
    pub fetch_sessions_max: usize,
    /// `log.cleaner.*`, of all shards together.
    pub cleaner: CleanerOptions,
    /// The WAL's sizes.
    pub wal: WalOptions,
    /// The sizes of each shard's store.
    pub store: StoreOptions,
}

/// What clients of a listener are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerOptions {
    /// Its name.
    pub name: String,
    /// The host and port that its clients are told, where they are not told the address that they reached.
    pub advertised: Option<(String, u16)>,
}

impl BrokerOptions {
    /// Takes over the settings that the broker was given while it ran, or lost again; says who may connect since.
    pub(crate) fn alter(&mut self, image: &ClusterImage) -> AdmissionLimits {
        let own = image.broker_configs(Some(self.node_id));
        let (altered, _) = NodeOptions::altered(&self.settings, image.broker_configs(None), own);
        let NodeOptions {
            broker, network, ..
        } = altered;
        self.topic_defaults = broker.topic_defaults;
        self.groups = broker.groups;
        self.producer_id_expiration_ms = broker.producer_id_expiration_ms;
        self.cleaner = CleanerOptions {
            hash_key: self.cleaner.hash_key,
            ..broker.cleaner
        };
        network.admission
    }

    /// Whether the broker was given settings while it ran.
    pub(crate) fn is_altered(&self, image: &ClusterImage) -> bool {
        let own = image.broker_configs(Some(self.node_id));
        !own.is_empty() || !image.broker_configs(None).is_empty()
    }
}

impl Default for BrokerOptions {
    fn default() -> BrokerOptions {
        BrokerOptions {
            node_id: BrokerId(1),
            log_dir: String::new(),
            shards: 1,
            rack: None,
            listeners: Vec::new(),
            settings: BTreeMap::new(),
            topic_defaults: BTreeMap::new(),
            num_partitions: 1,
            default_replication_factor: 1,
            groups: Arc::default(),
            offsets_partitions: 50,
            offsets_replication_factor: 3,
            offsets_segment_bytes: 104_857_600,
            auto_create_topics: true,
            delete_topics: true,
            described_partitions_max: DEFAULT_DESCRIBED_PARTITIONS_MAX,
            retention_check_interval_ms: 300_000,
            producer_id_expiration_ms: 86_400_000,
            fetch_sessions_max: 1000,
            cleaner: CleanerOptions::default(),
            wal: WalOptions::default(),
            store: StoreOptions::default(),
        }
    }
}
