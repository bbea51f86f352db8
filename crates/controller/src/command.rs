//! What may be asked of the controller, and the records that it takes.
//!
//! The checks and their order are Kafka's (`ReplicationControlManager.createTopic`), where it has them.

use std::collections::BTreeSet;

use wiber_model::limit::MAX_PARTITIONS_PER_TOPIC;
use wiber_model::{BrokerId, LeaderEpoch, Rng, TopicId};

use crate::image::{ClusterImage, PartitionState};
use crate::record::{Listener, MetadataRecord};
use crate::topic_name::is_valid_topic_name;

/// How many producer ids a broker gets at a time, as in Kafka (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK: u32 = 1000;
/// The most partitions of one cluster.
pub const MAX_PARTITIONS: usize = 200_000;

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
    /// Create topics, each on its own.
    CreateTopics {
        /// What to create.
        topics: Vec<TopicSpec>,
        /// Only say whether it could be done.
        validate_only: bool,
    },
    /// Delete topics, each on its own.
    DeleteTopics {
        /// Which.
        ids: Vec<TopicId>,
    },
    /// A block of producer ids, for a broker to give out.
    AllocateProducerIds,
}

/// A topic that is asked for. Its settings were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions; without meaning where there are assignments.
    pub partitions: i32,
    /// How many replicas of each; without meaning where there are assignments.
    pub replication_factor: i16,
    /// Where the replicas go, by partition; empty to have them placed.
    pub assignments: Vec<(i32, Vec<BrokerId>)>,
    /// Its settings.
    pub configs: Vec<(String, String)>,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandResult {
    /// The broker is registered.
    Registered,
    /// Of [`Command::CreateTopics`], one for each.
    TopicsCreated(Vec<TopicCreation>),
    /// Of [`Command::DeleteTopics`], one for each.
    TopicsDeleted(Vec<(TopicId, Result<(), CommandError>)>),
    /// Of [`Command::AllocateProducerIds`].
    ProducerIds {
        /// The first id of the block.
        first: i64,
        /// How many there are in it.
        count: u32,
    },
}

/// Whether a topic was created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicCreation {
    /// Its name.
    pub name: String,
    /// What it is, or why it is not.
    pub result: Result<CreatedTopic, CommandError>,
}

/// A topic that was created, or could be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas the first of them has.
    pub replication_factor: i16,
}

/// Why a command was not carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// There is such a topic.
    #[error("Topic '{0}' already exists.")]
    TopicExists(String),
    /// It may not be called so.
    #[error(
        "Topic name '{0}' is not valid: 1 to 249 ASCII letters, digits, '.', '_' and '-', and neither '.' nor '..'"
    )]
    InvalidName(String),
    /// The name differs from another in dots and underscores alone.
    #[error("Topic '{name}' collides with existing topic: {other}")]
    Collision {
        /// The name.
        name: String,
        /// The topic that exists.
        other: String,
    },
    /// So many partitions cannot be.
    #[error("{0}")]
    InvalidPartitions(String),
    /// So many replicas cannot be.
    #[error("{0}")]
    InvalidReplicationFactor(String),
    /// The replicas cannot go where they are to.
    #[error("{0}")]
    InvalidAssignment(String),
    /// There is no such topic.
    #[error("there is no topic with id {0}")]
    UnknownTopic(TopicId),
    /// A limit of the cluster is reached.
    #[error("{0}")]
    Limit(String),
}

/// The records that carry `command` out on `image`, and what to answer once they are committed.
pub(crate) fn carry_out(
    image: &ClusterImage,
    command: Command,
    rng: &mut Rng,
) -> (Vec<MetadataRecord>, CommandResult) {
    match command {
        Command::RegisterBroker {
            id,
            incarnation,
            directory,
            listeners,
            rack,
        } => {
            let record = MetadataRecord::RegisterBroker {
                id,
                incarnation,
                directory,
                listeners,
                rack,
            };
            (vec![record], CommandResult::Registered)
        }
        Command::CreateTopics {
            topics,
            validate_only,
        } => create_topics(image, topics, validate_only, rng),
        Command::DeleteTopics { ids } => delete_topics(image, ids),
        Command::AllocateProducerIds => {
            let first = image.next_producer_id();
            let next = first + i64::from(PRODUCER_ID_BLOCK);
            let result = CommandResult::ProducerIds {
                first,
                count: PRODUCER_ID_BLOCK,
            };
            (vec![MetadataRecord::ProducerIds { next }], result)
        }
    }
}

fn create_topics(
    image: &ClusterImage,
    specs: Vec<TopicSpec>,
    validate_only: bool,
    rng: &mut Rng,
) -> (Vec<MetadataRecord>, CommandResult) {
    let mut records: Vec<MetadataRecord> = Vec::new();
    let mut results = Vec::new();
    let mut taken = BTreeSet::new();
    for spec in specs {
        let name = spec.name.clone();
        let result = if taken.insert(crate::topic_name::collision_key(&name)) {
            place(image, &spec)
        } else {
            Err(CommandError::TopicExists(name.clone()))
        };
        let result = result.map(|partitions| {
            let created = CreatedTopic {
                id: new_topic_id(image, rng),
                partitions: partitions.len() as i32,
                replication_factor: partitions.first().map_or(0, |p| p.replicas.len() as i16),
            };
            if !validate_only {
                records.push(MetadataRecord::CreateTopic {
                    name: name.clone(),
                    id: created.id,
                    configs: spec.configs,
                    partitions,
                });
            }
            created
        });
        results.push(TopicCreation { name, result });
    }
    (records, CommandResult::TopicsCreated(results))
}

/// The partitions of a topic that may be created.
fn place(image: &ClusterImage, spec: &TopicSpec) -> Result<Vec<PartitionState>, CommandError> {
    if !is_valid_topic_name(&spec.name) {
        return Err(CommandError::InvalidName(spec.name.clone()));
    }
    if image.topic(&spec.name).is_some() {
        return Err(CommandError::TopicExists(spec.name.clone()));
    }
    if let Some(other) = image.colliding(&spec.name) {
        return Err(CommandError::Collision {
            name: spec.name.clone(),
            other: other.name.clone(),
        });
    }
    let replicas = if spec.assignments.is_empty() {
        place_automatically(image, spec)?
    } else {
        check_assignments(image, &spec.assignments)?
    };
    let present: usize = image.topics().map(|topic| topic.partitions.len()).sum();
    if present + replicas.len() > MAX_PARTITIONS {
        return Err(CommandError::Limit(format!(
            "the cluster has {present} partitions and may have {MAX_PARTITIONS}"
        )));
    }
    Ok(replicas
        .into_iter()
        .map(|replicas| PartitionState {
            leader: replicas[0],
            isr: replicas.clone(),
            replicas,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
        })
        .collect())
}

/// Spreads the replicas over the brokers in turn.
fn place_automatically(
    image: &ClusterImage,
    spec: &TopicSpec,
) -> Result<Vec<Vec<BrokerId>>, CommandError> {
    if spec.partitions < 1 {
        return Err(CommandError::InvalidPartitions(
            "Number of partitions was set to an invalid non-positive value.".to_owned(),
        ));
    }
    if spec.partitions > MAX_PARTITIONS_PER_TOPIC {
        return Err(CommandError::InvalidPartitions(format!(
            "a topic may have {MAX_PARTITIONS_PER_TOPIC} partitions, not {}",
            spec.partitions
        )));
    }
    let factor = usize::try_from(spec.replication_factor).unwrap_or(0);
    if factor == 0 {
        return Err(CommandError::InvalidReplicationFactor(
            "Replication factor must be larger than 0.".to_owned(),
        ));
    }
    let brokers: Vec<_> = image.brokers().map(|(id, _)| id).collect();
    if factor > brokers.len() {
        return Err(CommandError::InvalidReplicationFactor(format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be reached because only {} broker(s) are registered.",
            brokers.len()
        )));
    }
    let replica = |partition: usize, i: usize| brokers[(partition + i) % brokers.len()];
    let partitions = 0..spec.partitions as usize;
    Ok(partitions
        .map(|p| (0..factor).map(|i| replica(p, i)).collect())
        .collect())
}

fn check_assignments(
    image: &ClusterImage,
    assignments: &[(i32, Vec<BrokerId>)],
) -> Result<Vec<Vec<BrokerId>>, CommandError> {
    let refuse = |message: String| Err(CommandError::InvalidAssignment(message));
    let mut sorted = assignments.to_vec();
    sorted.sort();
    let mut placed: Vec<Vec<BrokerId>> = Vec::new();
    for (expected, (partition, replicas)) in sorted.into_iter().enumerate() {
        if partition as usize != expected || partition < 0 {
            return refuse(
                "partitions should be a consecutive 0-based integer sequence".to_owned(),
            );
        }
        if replicas.is_empty() {
            return refuse(format!(
                "The manual partition assignment of partition {partition} includes an empty replica list."
            ));
        }
        let unique: BTreeSet<_> = replicas.iter().collect();
        if unique.len() != replicas.len() {
            return refuse(format!(
                "The manual partition assignment of partition {partition} includes a broker more than once."
            ));
        }
        if let Some(unknown) = replicas
            .iter()
            .find(|id| !image.brokers().any(|(known, _)| known == **id))
        {
            return refuse(format!(
                "The manual partition assignment includes broker {unknown}, but no such broker is registered."
            ));
        }
        if placed
            .first()
            .is_some_and(|first| first.len() != replicas.len())
        {
            return refuse("The manual partition assignment includes partitions with different numbers of replicas.".to_owned());
        }
        placed.push(replicas);
    }
    if placed.len() > MAX_PARTITIONS_PER_TOPIC as usize {
        return Err(CommandError::InvalidPartitions(format!(
            "a topic may have {MAX_PARTITIONS_PER_TOPIC} partitions, not {}",
            placed.len()
        )));
    }
    Ok(placed)
}

fn delete_topics(image: &ClusterImage, ids: Vec<TopicId>) -> (Vec<MetadataRecord>, CommandResult) {
    let mut records = Vec::new();
    let mut results = Vec::new();
    for id in ids {
        let result = match image.topic_by_id(id) {
            Some(_) => {
                records.push(MetadataRecord::DeleteTopic { id });
                Ok(())
            }
            None => Err(CommandError::UnknownTopic(id)),
        };
        results.push((id, result));
    }
    (records, CommandResult::TopicsDeleted(results))
}

/// A random id that is not in use, is not one of Kafka's reserved ones (0 and 1), and does not begin with a dash in base64, which
/// command lines would take for an option.
fn new_topic_id(image: &ClusterImage, rng: &mut Rng) -> TopicId {
    loop {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        let id = TopicId(bytes);
        let reserved = bytes[..15] == [0; 15] && bytes[15] <= 1;
        if !reserved && image.topic_by_id(id).is_none() && !id.to_string().starts_with('-') {
            return id;
        }
    }
}
