//! What a broker is told when it is opened. The names and defaults are Kafka's where Kafka has them.

use wiber_model::BrokerId;
use wiber_storage::store::StoreOptions;
use wiber_storage::wal::WalOptions;

/// Settings of a broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// `node.id`.
    pub node_id: BrokerId,
    /// `log.dirs`: the data directory's absolute path, for clients to read.
    pub log_dir: String,
    /// How many shards the partitions are spread over.
    pub shards: u16,
    /// The host and port that clients are told, where they are not told the address that they reached.
    pub advertised: Option<(String, u16)>,
    /// `num.partitions`: of a topic that is created without a number.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `max.incremental.fetch.session.cache.slots`, per shard.
    pub fetch_sessions_max: usize,
    /// The WAL's sizes.
    pub wal: WalOptions,
    /// The sizes of each shard's store.
    pub store: StoreOptions,
}

impl Default for BrokerOptions {
    fn default() -> BrokerOptions {
        BrokerOptions {
            node_id: BrokerId(1),
            log_dir: String::new(),
            shards: 1,
            advertised: None,
            num_partitions: 1,
            default_replication_factor: 1,
            auto_create_topics: true,
            retention_check_interval_ms: 300_000,
            producer_id_expiration_ms: 86_400_000,
            fetch_sessions_max: 1000,
            wal: WalOptions::default(),
            store: StoreOptions::default(),
        }
    }
}
