//! What may be asked of the controller, what it answers, and the limits that it keeps.

use std::collections::BTreeMap;

use wiber_model::limit::MAX_PARTITIONS_PER_TOPIC;
use wiber_model::{BrokerId, TopicId};

use crate::quorum::{MAX_ENTRY_BYTES, MAX_IN_FLIGHT_BYTES};
use crate::record::Listener;
use crate::settings::{ConfigChange, ConfigOwner};
use crate::topic_name::is_valid_topic_name;

/// How many producer ids a broker gets at a time, as in Kafka (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK: u32 = 1000;

/// The most topics of a cluster.
pub const MAX_TOPICS: usize = 100_000;

/// The most partitions of a cluster.
pub const MAX_PARTITIONS: usize = 200_000;

/// The most partitions that one command may create, over all of its topics, as in Kafka
/// (`ReplicationControlManager.MAX_PARTITIONS_PER_BATCH`).
pub const MAX_PARTITIONS_PER_COMMAND: usize = MAX_PARTITIONS_PER_TOPIC as usize;

/// The most bytes of the settings of a topic, or of a broker: keys and values together.
pub const MAX_CONFIG_BYTES_PER_TOPIC: usize = 32 * 1024;

/// The most groups that have settings of their own.
pub const MAX_GROUPS_WITH_CONFIGS: usize = 100_000;

/// The most bytes of the strings of a broker's registration.
pub const MAX_REGISTRATION_BYTES: usize = 16 * 1024;

/// A change that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// A broker starts.
    RegisterBroker {
        /// Its id.
        id: BrokerId,
        /// Drawn anew at each start.
        incarnation: [u8; 16],
        /// The identity of its data directory.
        directory: [u8; 16],
        /// Where it listens.
        listeners: Vec<Listener>,
        /// Its rack.
        rack: Option<String>,
    },
    /// Create topics, each on its own: some may fail and others not.
    CreateTopics {
        /// Which.
        topics: Vec<TopicSpec>,
        /// Only say what would come of it.
        validate_only: bool,
    },
    /// Add partitions to topics, each on its own.
    CreatePartitions {
        /// What is added, by the topics' names.
        topics: BTreeMap<String, PartitionsSpec>,
        /// Only say what would come of it.
        validate_only: bool,
    },
    /// Change the settings of topics and brokers, each on its own.
    AlterConfigs {
        /// Whose, and how.
        changes: Vec<(ConfigOwner, ConfigChange)>,
        /// Only say what would come of it.
        validate_only: bool,
    },
    /// Delete topics, each on its own.
    DeleteTopics {
        /// Which.
        ids: Vec<TopicId>,
    },
    /// A block of producer ids, for a broker to give out (KIP-730).
    AllocateProducerIds,
}

/// A topic that is asked for. That its settings are legal was checked by who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets; without meaning where there are assignments.
    pub partitions: i32,
    /// How many replicas each of them gets; without meaning where there are assignments.
    pub replication_factor: i16,
    /// Where each partition's replicas go, by its index; empty to have them placed.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Its settings.
    pub configs: Vec<(String, String)>,
}

/// Partitions that are asked for, beside those that a topic has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionsSpec {
    /// How many the topic is to have with them.
    pub count: i32,
    /// Where the replicas of each new one go, by its index; none to have them placed.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandResult {
    /// The broker is registered; its epoch is in the image.
    Registered,
    /// Of [`Command::CreateTopics`]: one for each, in their order.
    TopicsCreated(Vec<TopicCreation>),
    /// Of [`Command::CreatePartitions`]: one for each, by their names.
    PartitionsCreated(BTreeMap<String, Result<(), CommandError>>),
    /// Of [`Command::AlterConfigs`]: one for each, in their order.
    ConfigsAltered(Vec<(ConfigOwner, Result<(), CommandError>)>),
    /// Of [`Command::DeleteTopics`]: one for each, in their order.
    TopicsDeleted(Vec<(TopicId, Result<(), CommandError>)>),
    /// Of [`Command::AllocateProducerIds`].
    ProducerIds {
        /// The first id of the block.
        first: i64,
        /// How many there are in it.
        count: u32,
    },
}

/// What became of a topic that was to be created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicCreation {
    /// Its name.
    pub name: String,
    /// The topic, or why there is none.
    pub result: Result<CreatedTopic, CommandError>,
}

/// A topic that was created, or could be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Its id; without meaning where it was only validated.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each of them has.
    pub replication_factor: i16,
}

/// Why a command, or a part of it, was not carried out. The broker maps each to Kafka's code.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is such a topic. Kafka's `TOPIC_ALREADY_EXISTS`.
    #[error("topic '{0}' already exists")]
    TopicExists(String),
    /// No topic can be called so. Kafka's `INVALID_TOPIC_EXCEPTION`.
    #[error("{}", describe_name(.0))]
    InvalidName(String),
    /// Another topic's name differs in dots and underscores alone. Kafka's `INVALID_TOPIC_EXCEPTION`.
    #[error("topic '{name}' collides with topic '{other}': dots and underscores count as equal")]
    Collision {
        /// The name.
        name: String,
        /// The other's.
        other: String,
    },
    /// No topic can have so many partitions. Kafka's `INVALID_PARTITIONS`.
    #[error("a topic has at least one partition, and cannot have {0}")]
    InvalidPartitions(i32),
    /// A topic has so many partitions already. Kafka's `INVALID_PARTITIONS`.
    #[error("topic '{name}' has {has} partition(s): {wanted} would not be an increase")]
    NoIncrease {
        /// The topic.
        name: String,
        /// How many it has.
        has: usize,
        /// How many it was to have.
        wanted: i32,
    },
    /// Kafka's `INVALID_REPLICATION_FACTOR`.
    #[error(transparent)]
    InvalidReplicationFactor(#[from] ReplicationFactorError),
    /// Kafka's `INVALID_REPLICA_ASSIGNMENT`.
    #[error(transparent)]
    InvalidAssignment(#[from] AssignmentError),
    /// There is no topic of this name. Kafka's `UNKNOWN_TOPIC_OR_PARTITION`.
    #[error("there is no such topic")]
    UnknownTopicName,
    /// There is no such topic. Kafka's `UNKNOWN_TOPIC_ID`.
    #[error("there is no topic with the id {0}")]
    UnknownTopic(TopicId),
    /// A topic cannot have these settings. Kafka's `INVALID_CONFIG`.
    #[error("{0}")]
    InvalidConfig(String),
    /// A limit would be passed. Kafka's `POLICY_VIOLATION`.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// There are no producer ids left. Kafka's `UNKNOWN_SERVER_ERROR`.
    #[error("all producer ids are given out")]
    NoProducerIds,
    /// This node does not lead the quorum. Kafka's `NOT_CONTROLLER`.
    #[error("this node is not the controller")]
    NotController,
    /// Too much is under way; trying again later helps. Kafka's `REQUEST_TIMED_OUT`.
    #[error(
        "the controller is busy: {MAX_IN_FLIGHT_BYTES} bytes of changes wait to become durable"
    )]
    Busy,
}

/// Why partitions cannot have so many replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplicationFactorError {
    /// It is not positive.
    #[error("the replication factor is at least 1, and cannot be {0}")]
    NotPositive(i16),
    /// There are not as many brokers.
    #[error(
        "the replication factor is {factor}, and the cluster has {brokers} registered broker(s)"
    )]
    TooFewBrokers {
        /// What is asked for.
        factor: i16,
        /// How many brokers there are.
        brokers: usize,
    },
}

/// Why replicas cannot go where they are to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AssignmentError {
    /// A partition is assigned twice.
    #[error("partition {0} is assigned more than once")]
    Repeated(i32),
    /// The indexes of the partitions are not 0, 1, 2 and so on.
    #[error("partitions are numbered from 0 without a gap, and there are {count} and no {missing}")]
    Gap {
        /// How many are assigned.
        count: usize,
        /// The lowest one that is not.
        missing: i32,
    },
    /// Not each new partition is assigned, or more than those are.
    #[error("{added} partition(s) are added, and {assigned} are assigned")]
    Count {
        /// How many are added.
        added: usize,
        /// How many are assigned.
        assigned: usize,
    },
    /// A partition gets no replicas.
    #[error("partition {0} is assigned to no broker")]
    Empty(i32),
    /// A partition goes to a broker that is not there.
    #[error("partition {partition} is assigned to broker {broker}, which is not registered")]
    UnknownBroker {
        /// The partition.
        partition: i32,
        /// The broker.
        broker: BrokerId,
    },
    /// A partition goes to a broker twice.
    #[error("partition {partition} is assigned to broker {broker} more than once")]
    RepeatedBroker {
        /// The partition.
        partition: i32,
        /// The broker.
        broker: BrokerId,
    },
    /// Partitions have different numbers of replicas.
    #[error(
        "partition {partition} is assigned to {replicas} broker(s), those before it to {before}"
    )]
    Uneven {
        /// The partition.
        partition: i32,
        /// How many brokers it is assigned to.
        replicas: usize,
        /// How many those before it are assigned to.
        before: usize,
    },
}

/// Which limit would be passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LimitError {
    /// [`MAX_TOPICS`].
    #[error("a cluster has at most {MAX_TOPICS} topics")]
    Topics,
    /// [`MAX_PARTITIONS`].
    #[error("a cluster has at most {MAX_PARTITIONS} partitions, and has {0}")]
    Partitions(usize),
    /// [`MAX_PARTITIONS_PER_COMMAND`].
    #[error(
        "one request creates at most {MAX_PARTITIONS_PER_COMMAND} partitions, and this one would create {0}"
    )]
    PartitionsPerCommand(usize),
    /// [`MAX_CONFIG_BYTES_PER_TOPIC`].
    #[error(
        "the settings of a topic have at most {MAX_CONFIG_BYTES_PER_TOPIC} bytes, and these have {0}"
    )]
    ConfigBytes(usize),
    /// [`MAX_GROUPS_WITH_CONFIGS`].
    #[error("at most {MAX_GROUPS_WITH_CONFIGS} groups may have settings of their own")]
    GroupConfigs,
    /// [`MAX_REGISTRATION_BYTES`].
    #[error("the listeners and the rack of a broker have at most {MAX_REGISTRATION_BYTES} bytes")]
    RegistrationBytes,
    /// [`MAX_ENTRY_BYTES`].
    #[error("one request changes at most {MAX_ENTRY_BYTES} bytes of metadata, and this one {0}")]
    EntryBytes(usize),
}

fn describe_name(name: &str) -> String {
    debug_assert!(!is_valid_topic_name(name));
    // A name of any length may come in; what goes out is bounded.
    let shown: String = name.chars().take(64).collect();
    let rest = if shown.len() < name.len() { "…" } else { "" };
    format!(
        "'{shown}{rest}' cannot be a topic's name: that is 1 to 249 ASCII letters, digits, '.', '_' and '-', and neither '.' nor '..'"
    )
}
