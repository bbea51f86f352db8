//! Brings a data directory to life: the one way to make a broker, for the server and the simulator alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use wiber_controller::{Command, Controller, Listener, Recovered as RecoveredMetadata};
use wiber_model::{Now, PartitionId, Rng, TopicId};
use wiber_storage::frame::Participant;
use wiber_storage::io::FileId;
use wiber_storage::recovery::{RecoveryError, Report, recover};
use wiber_storage::{DirectoryId, Disk, Identity, IdentityError, LogConfig, PartitionLog, Store};

use crate::broker_config::AdmissionLimits;
use crate::controller::ControllerMachine;
use crate::disk::DiskMachine;
use crate::options::BrokerOptions;
use crate::shard::{Shard, shard_of};
use crate::topic_config::{self, TopicConfig};

/// The machines of a broker, ready to be driven. The controller's first event (an [`Event::Timer`](crate::Event::Timer))
/// starts it; [`Effect::Ready`](crate::Effect::Ready) follows when it serves.
#[derive(Debug)]
pub struct Broker {
    /// The shards, by number.
    pub shards: Vec<Shard>,
    /// The controller.
    pub controller: ControllerMachine,
    /// The disk.
    pub disk: DiskMachine,
    /// Whose directory it is.
    pub identity: Identity,
    /// What recovery found.
    pub report: Report,
    /// Who may connect, if the broker was told otherwise while it ran.
    pub admission: Option<AdmissionLimits>,
}

/// Why a broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is of another format, or damaged.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The directory belongs to another node.
    #[error("the data directory belongs to node {found}, and node {wanted} was asked for")]
    Node {
        /// As the directory has it.
        found: i32,
        /// As the options have it.
        wanted: i32,
    },
    /// What is in it cannot be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
}

/// Opens the broker of a data directory; an empty one becomes a new cluster of one node.
///
/// # Errors
/// As [`OpenError`] says.
pub fn open(
    disk: &mut dyn Disk,
    mut options: BrokerOptions,
    now: Now,
    seed: u64,
) -> Result<Broker, OpenError> {
    let mut rng = Rng::new(seed);
    let identity = identify(disk, &options, &mut rng)?;
    let mut participants: Vec<_> = (0..options.shards).map(Participant).collect();
    participants.push(Participant::CONTROLLER);
    let metadata_seed = rng.fork();
    let mut admission = None;
    let recovered = recover(
        disk,
        &identity,
        options.wal,
        &participants,
        now.wall,
        |bytes| {
            let metadata =
                RecoveredMetadata::new(bytes.section, bytes.frames).map_err(|e| e.to_string())?;
            if options.is_altered(metadata.image()) {
                admission = Some(options.alter(metadata.image()));
            }
            let configs = log_configs(metadata.image(), &options.topic_defaults);
            Ok((metadata, configs))
        },
    )?;
    for damage in &recovered.report.damage {
        tracing::error!(
            "the write-ahead log is damaged: extent {} at byte {}, from LSN {} on {} frames are lost",
            damage.extent,
            damage.at,
            damage.first,
            damage.frames
        );
    }
    for log in &recovered.logs {
        if let Some(reason) = log.damage() {
            tracing::error!(partition = %log.id(), "the log is damaged and takes no more: {reason}");
        }
        for (from, to) in log.holes().entries() {
            tracing::error!(partition = %log.id(), "the records from offset {from} to before {to} are lost");
        }
    }
    for short in &recovered.report.short {
        tracing::error!("{short}; what is missing cannot be read");
    }
    let mut controller = Controller::new(options.node_id, metadata_seed, recovered.metadata)
        .map_err(|error| RecoveryError::Metadata(error.to_string()))?;
    controller.set_config_check(topic_config::check_all);
    let shards = shards(
        &options,
        &identity,
        &controller,
        recovered.logs,
        recovered.doomed,
        &mut rng,
        now,
    );
    let registration = registration(&options, &identity, &mut rng);
    Ok(Broker {
        controller: ControllerMachine::new(controller, options.shards, registration),
        disk: DiskMachine::new(recovered.wal),
        shards,
        identity,
        report: recovered.report,
        admission,
    })
}

/// The directory's identity; a new one if it is empty.
fn identify(
    disk: &mut dyn Disk,
    options: &BrokerOptions,
    rng: &mut Rng,
) -> Result<Identity, OpenError> {
    if let Some(identity) = Identity::read(disk)? {
        if identity.node_id != options.node_id {
            return Err(OpenError::Node {
                found: identity.node_id.0,
                wanted: options.node_id.0,
            });
        }
        return Ok(identity);
    }
    let mut random = || {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        bytes
    };
    let identity = Identity {
        cluster_id: TopicId(random()).to_string(),
        directory: DirectoryId(random()),
        node_id: options.node_id,
    };
    identity.write(disk)?;
    Ok(identity)
}

/// The partitions that the metadata know, with the configurations of their logs.
fn log_configs(
    image: &wiber_controller::ClusterImage,
    defaults: &BTreeMap<String, String>,
) -> BTreeMap<PartitionId, Arc<LogConfig>> {
    let mut configs = BTreeMap::new();
    for topic in image.topics() {
        let config = Arc::new(TopicConfig::of(defaults, &topic.configs).log());
        for partition in 0..topic.partitions.len() as i32 {
            let id = PartitionId {
                topic: topic.id,
                partition,
            };
            configs.insert(id, Arc::clone(&config));
        }
    }
    configs
}

fn shards(
    options: &BrokerOptions,
    identity: &Identity,
    controller: &Controller,
    logs: Vec<PartitionLog>,
    doomed: Vec<FileId>,
    rng: &mut Rng,
    now: Now,
) -> Vec<Shard> {
    let mut by_shard: Vec<Vec<PartitionLog>> = (0..options.shards).map(|_| Vec::new()).collect();
    for log in logs {
        by_shard[usize::from(shard_of(log.id(), options.shards))].push(log);
    }
    // Who deletes a file does not matter, as long as one does.
    let mut doomed = Some(doomed);
    let mut shards = Vec::new();
    for (number, logs) in by_shard.into_iter().enumerate() {
        let store = Store::new(
            options.store.clone(),
            logs,
            doomed.take().unwrap_or_default(),
        );
        let mut options = options.clone();
        options.cleaner.hash_key = (rng.next_u64(), rng.next_u64());
        shards.push(Shard::new(
            number as u16,
            options,
            identity.cluster_id.clone(),
            controller.image().clone(),
            store,
            rng.next_u64(),
            now,
        ));
    }
    shards
}

fn registration(options: &BrokerOptions, identity: &Identity, rng: &mut Rng) -> Command {
    let mut incarnation = [0; 16];
    rng.fill(&mut incarnation);
    let told = options.listeners.iter().filter_map(|listener| {
        let (host, port) = listener.advertised.clone()?;
        let name = listener.name.clone();
        Some(Listener { name, host, port })
    });
    let listeners = told.collect();
    Command::RegisterBroker {
        id: options.node_id,
        incarnation,
        directory: identity.directory.0,
        listeners,
        rack: options.rack.clone(),
    }
}
