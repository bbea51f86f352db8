//! Compaction: a log of many records of few keys, and how soon what is old of it is gone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use wiber_model::Rng;
use wiber_model::batch::BatchBuilder;
use wiber_protocol::ApiKey;
use wiber_protocol::messages::describe_log_dirs::DescribableLogDirTopic;
use wiber_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use wiber_protocol::messages::{DescribeLogDirsRequest, IncrementalAlterConfigsRequest};

use crate::client::Client;
use crate::error::BenchError;
use crate::load::wall_clock;

const ALTER_CONFIGS_VERSION: i16 = 1;
const DESCRIBE_LOG_DIRS_VERSION: i16 = 4;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
/// Bytes of values in a batch: what a client sends that has much to send.
const BATCH_BYTES: usize = 64 * 1024;
/// A log that did not shrink for so long, and has shrunk by half, is compacted.
const SETTLED: Duration = Duration::from_secs(2);
const POLL_PAUSE: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_secs(300);

/// Records with keys.
#[derive(Args)]
pub struct FillKeys {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The topic, which exists.
    #[arg(long)]
    topic: String,
    /// How many keys; each record has one of them, drawn from a fixed seed.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
    /// How many records.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Bytes of each record's value.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    size: u32,
}

/// A topic that is to be compacted from now on.
#[derive(Args)]
pub struct Compact {
    /// The broker.
    #[arg(long, value_name = "HOST:PORT")]
    connect: SocketAddr,
    /// The topic, of one partition.
    #[arg(long)]
    topic: String,
}

/// How long a compaction took.
#[derive(Serialize)]
pub struct Compacted {
    bytes_before: i64,
    bytes_after: i64,
    /// From the setting to the last time that the log got smaller.
    seconds: f64,
}

impl FillKeys {
    /// Produces them, one request at a time.
    pub fn run(&self) -> Result<serde_json::Value, BenchError> {
        let mut client = Client::connect(self.connect)?;
        let topic = self.topic.as_str().into();
        let mut rng = Rng::new(1);
        let mut value = vec![0; self.size as usize];
        rng.fill(&mut value);
        let of_a_batch = (BATCH_BYTES / value.len()).max(1) as u64;
        let mut left = self.records;
        while left > 0 {
            let count = left.min(of_a_batch);
            let now = wall_clock();
            let mut batch = BatchBuilder::new(now);
            for _ in 0..count {
                let key = format!("key-{:08}", rng.below(self.keys));
                batch.push(now, Some(key.as_bytes()), Some(&value), &[]);
            }
            client.produce(&topic, 0, batch.build().into_bytes())?;
            left -= count;
        }
        Ok(serde_json::json!({ "records": self.records }))
    }
}

impl Compact {
    /// Has the topic compacted, and waits until that is done.
    pub fn run(&self) -> Result<Compacted, BenchError> {
        let mut client = Client::connect(self.connect)?;
        // The broker looks at once for what is to be compacted, not every 15 s.
        alter(&mut client, BROKER, "", &[("log.cleaner.backoff.ms", "50")])?;
        let bytes_before = self.log_bytes(&mut client)?;
        let begun = Instant::now();
        let settings = [
            ("cleanup.policy", "compact"),
            ("min.cleanable.dirty.ratio", "0.01"),
        ];
        alter(&mut client, TOPIC, &self.topic, &settings)?;
        let (mut bytes, mut changed) = (bytes_before, begun);
        while bytes > bytes_before / 2 || changed.elapsed() < SETTLED {
            if begun.elapsed() > DEADLINE {
                let what = "a compaction to half the size";
                return Err(BenchError::Deadline {
                    what,
                    deadline: DEADLINE,
                });
            }
            std::thread::sleep(POLL_PAUSE);
            let now = self.log_bytes(&mut client)?;
            if now != bytes {
                (bytes, changed) = (now, Instant::now());
            }
        }
        Ok(Compacted {
            bytes_before,
            bytes_after: bytes,
            seconds: (changed - begun).as_secs_f64(),
        })
    }

    /// The size of partition 0's log.
    fn log_bytes(&self, client: &mut Client) -> Result<i64, BenchError> {
        let request = DescribeLogDirsRequest {
            topics: Some(vec![DescribableLogDirTopic {
                topic: self.topic.as_str().into(),
                partitions: vec![0],
            }]),
        };
        let answer = client.call(&request, DESCRIBE_LOG_DIRS_VERSION)?;
        BenchError::check(ApiKey::DescribeLogDirs, answer.error_code)?;
        let topics = answer
            .results
            .iter()
            .flat_map(|directory| &directory.topics);
        topics
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.partition_size)
            .next()
            .ok_or(BenchError::Lacking(ApiKey::DescribeLogDirs))
    }
}

fn alter(
    client: &mut Client,
    resource_type: i8,
    name: &str,
    settings: &[(&str, &str)],
) -> Result<(), BenchError> {
    let set = |&(name, value): &(&str, &str)| AlterableConfig {
        name: name.into(),
        config_operation: SET,
        value: Some(value.into()),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type,
            resource_name: name.into(),
            configs: settings.iter().map(set).collect(),
        }],
        validate_only: false,
    };
    let answer = client.call(&request, ALTER_CONFIGS_VERSION)?;
    let mut resources = answer.responses.iter();
    resources.try_for_each(|it| BenchError::check(ApiKey::IncrementalAlterConfigs, it.error_code))
}
