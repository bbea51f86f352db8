//! Turns a command into the records that carry it out.
//!
//! The checks and their order are Kafka's (`ReplicationControlManager.createTopics`, `createPartitions`), where it has them. Nothing is changed here:
//! a plan takes effect when its records are folded in.

use std::collections::{BTreeMap, BTreeSet};

use wiber_model::{Rng, TopicId};

use crate::command::{
    AssignmentError, Command, CommandError, CommandResult, CreatedTopic, LimitError,
    MAX_CONFIG_BYTES_PER_TOPIC, MAX_PARTITIONS, MAX_PARTITIONS_PER_COMMAND, MAX_REGISTRATION_BYTES,
    MAX_TOPICS, PRODUCER_ID_BLOCK, PartitionsSpec, ReplicationFactorError, TopicCreation,
    TopicSpec,
};
use crate::image::{ClusterImage, TopicState, is_reserved};
use crate::placement;
use crate::record::{Listener, MetadataRecord, PartitionAssignment};
use crate::settings::{self, ConfigCheck};
use crate::topic_name::{collision_key, is_valid_topic_name};

/// The first six bits of an id whose notation begins with a dash.
const DASH: u8 = 62;

/// The records that carry a command out, and the answer once they are committed. They fit the image together.
pub(crate) struct Plan {
    pub records: Vec<MetadataRecord>,
    pub result: CommandResult,
}

/// Plans `command` on `image`. `check` knows which settings a topic may have.
pub(crate) fn plan(
    image: &ClusterImage,
    command: Command,
    rng: &mut Rng,
    check: ConfigCheck,
) -> Result<Plan, CommandError> {
    match command {
        Command::RegisterBroker {
            id,
            incarnation,
            directory,
            listeners,
            rack,
        } => {
            check_registration(&listeners, rack.as_deref())?;
            let record = MetadataRecord::RegisterBroker {
                id,
                incarnation,
                directory,
                listeners,
                rack,
            };
            Ok(Plan {
                records: vec![record],
                result: CommandResult::Registered,
            })
        }
        Command::CreateTopics {
            topics,
            validate_only,
        } => create_topics(image, topics, validate_only, rng),
        Command::CreatePartitions {
            topics,
            validate_only,
        } => create_partitions(image, topics, validate_only, rng),
        Command::AlterConfigs {
            changes,
            validate_only,
        } => Ok(settings::plan(image, changes, validate_only, check)),
        Command::DeleteTopics { ids } => Ok(delete_topics(image, ids)),
        Command::AllocateProducerIds => {
            let first = image.next_producer_id();
            let next = first
                .checked_add(i64::from(PRODUCER_ID_BLOCK))
                .ok_or(CommandError::NoProducerIds)?;
            Ok(Plan {
                records: vec![MetadataRecord::ProducerIds { next }],
                result: CommandResult::ProducerIds {
                    first,
                    count: PRODUCER_ID_BLOCK,
                },
            })
        }
    }
}

fn check_registration(listeners: &[Listener], rack: Option<&str>) -> Result<(), LimitError> {
    let bytes: usize = listeners
        .iter()
        .map(|listener| listener.name.len() + listener.host.len())
        .sum();
    if bytes + rack.map_or(0, str::len) > MAX_REGISTRATION_BYTES {
        return Err(LimitError::RegistrationBytes);
    }
    Ok(())
}

fn create_topics(
    image: &ClusterImage,
    specs: Vec<TopicSpec>,
    validate_only: bool,
    rng: &mut Rng,
) -> Result<Plan, CommandError> {
    let wanted: usize = specs.iter().map(partitions_of).sum();
    if wanted > MAX_PARTITIONS_PER_COMMAND {
        return Err(LimitError::PartitionsPerCommand(wanted).into());
    }
    let mut creation = Creation {
        image,
        partitions: image.partition_count(),
        names: BTreeMap::new(),
    };
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(specs.len());
    for spec in specs {
        let name = spec.name.clone();
        let result = creation.add(&spec, rng).map(|partitions| {
            let created = CreatedTopic {
                id: new_topic_id(image, rng),
                partitions: partitions.len() as i32,
                replication_factor: partitions[0].replicas.len() as i16,
            };
            records.push(MetadataRecord::CreateTopic {
                name: spec.name,
                id: created.id,
                configs: spec.configs,
                partitions,
            });
            created
        });
        results.push(TopicCreation { name, result });
    }
    if validate_only {
        records.clear();
    }
    Ok(Plan {
        records,
        result: CommandResult::TopicsCreated(results),
    })
}

/// How many partitions are asked for, whether they can be or not.
fn partitions_of(spec: &TopicSpec) -> usize {
    if spec.assignments.is_empty() {
        usize::try_from(spec.partitions).unwrap_or(0)
    } else {
        spec.assignments.len()
    }
}

/// The topics that one command creates, so far.
struct Creation<'a> {
    image: &'a ClusterImage,
    /// Of the cluster, with them.
    partitions: usize,
    /// Their names, by collision key.
    names: BTreeMap<String, String>,
}

impl Creation<'_> {
    /// Takes one more topic, if it can be. Returns where its partitions go.
    fn add(
        &mut self,
        spec: &TopicSpec,
        rng: &mut Rng,
    ) -> Result<Vec<PartitionAssignment>, CommandError> {
        self.check_name(&spec.name)?;
        check_config_bytes(spec.configs.iter())?;
        let partitions = self.place(spec, rng)?;
        if self.image.topic_count() + self.names.len() >= MAX_TOPICS {
            return Err(LimitError::Topics.into());
        }
        if self.partitions + partitions.len() > MAX_PARTITIONS {
            return Err(LimitError::Partitions(self.partitions).into());
        }
        self.partitions += partitions.len();
        let key = collision_key(&spec.name).into_owned();
        self.names.insert(key, spec.name.clone());
        Ok(partitions)
    }

    fn check_name(&self, name: &str) -> Result<(), CommandError> {
        if !is_valid_topic_name(name) {
            return Err(CommandError::InvalidName(name.to_owned()));
        }
        let other = match self.names.get(&*collision_key(name)) {
            Some(other) => other,
            None => match self.image.colliding(name) {
                Some(other) => &other.name,
                None => return Ok(()),
            },
        };
        if other == name {
            return Err(CommandError::TopicExists(name.to_owned()));
        }
        Err(CommandError::Collision {
            name: name.to_owned(),
            other: other.clone(),
        })
    }

    fn place(
        &self,
        spec: &TopicSpec,
        rng: &mut Rng,
    ) -> Result<Vec<PartitionAssignment>, CommandError> {
        if !spec.assignments.is_empty() {
            return Ok(placement::check(self.image, &spec.assignments)?);
        }
        if spec.replication_factor < 1 {
            return Err(ReplicationFactorError::NotPositive(spec.replication_factor).into());
        }
        if spec.partitions < 1 {
            return Err(CommandError::InvalidPartitions(spec.partitions));
        }
        let partitions = spec.partitions as usize;
        Ok(placement::place(
            self.image,
            partitions,
            spec.replication_factor,
            rng,
        )?)
    }
}

fn check_config_bytes<'a>(
    configs: impl Iterator<Item = &'a (String, String)>,
) -> Result<(), LimitError> {
    let bytes = configs.map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MAX_CONFIG_BYTES_PER_TOPIC {
        return Err(LimitError::ConfigBytes(bytes));
    }
    Ok(())
}

/// A random id that is not in use, not one of Kafka's reserved ones, and does not begin with a dash in its notation, which command
/// lines would take for an option (as Kafka's `Uuid.randomUuid`).
fn new_topic_id(image: &ClusterImage, rng: &mut Rng) -> TopicId {
    loop {
        let mut id = TopicId::ZERO;
        rng.fill(&mut id.0);
        if !is_reserved(id) && id.0[0] >> 2 != DASH && image.topic_by_id(id).is_none() {
            return id;
        }
    }
}

fn create_partitions(
    image: &ClusterImage,
    topics: BTreeMap<String, PartitionsSpec>,
    validate_only: bool,
    rng: &mut Rng,
) -> Result<Plan, CommandError> {
    let wanted: usize = topics
        .iter()
        .filter_map(|(name, spec)| added(image.topic(name)?, spec))
        .sum();
    if wanted > MAX_PARTITIONS_PER_COMMAND {
        return Err(LimitError::PartitionsPerCommand(wanted).into());
    }
    let mut records = Vec::new();
    let mut results = BTreeMap::new();
    let mut partitions = image.partition_count();
    for (name, spec) in topics {
        let record = match image.topic(&name) {
            Some(topic) => add_partitions(image, topic, &spec, &mut partitions, rng),
            None => Err(CommandError::UnknownTopicName),
        };
        results.insert(name, record.map(|record| records.push(record)));
    }
    if validate_only {
        records.clear();
    }
    Ok(Plan {
        records,
        result: CommandResult::PartitionsCreated(results),
    })
}

/// How many partitions a topic gets, if it gets any.
fn added(topic: &TopicState, spec: &PartitionsSpec) -> Option<usize> {
    let count = usize::try_from(spec.count).ok()?;
    count.checked_sub(topic.partitions.len()).filter(|n| *n > 0)
}

/// `partitions` counts those of the cluster, with what the command has added so far.
fn add_partitions(
    image: &ClusterImage,
    topic: &TopicState,
    spec: &PartitionsSpec,
    partitions: &mut usize,
    rng: &mut Rng,
) -> Result<MetadataRecord, CommandError> {
    let has = topic.partitions.len();
    let added = added(topic, spec).ok_or_else(|| CommandError::NoIncrease {
        name: topic.name.clone(),
        has,
        wanted: spec.count,
    })?;
    let factor = topic.partitions[0].replicas.len();
    let assignments = match &spec.assignments {
        None => placement::place(image, added, factor as i16, rng)?,
        Some(assignments) if assignments.len() != added => {
            let assigned = assignments.len();
            return Err(AssignmentError::Count { added, assigned }.into());
        }
        Some(assignments) => placement::check_added(image, has as i32, factor, assignments)?,
    };
    if *partitions + added > MAX_PARTITIONS {
        return Err(LimitError::Partitions(*partitions).into());
    }
    *partitions += added;
    Ok(MetadataRecord::AddPartitions {
        topic: topic.id,
        partitions: assignments,
    })
}

fn delete_topics(image: &ClusterImage, ids: Vec<TopicId>) -> Plan {
    let mut records: Vec<MetadataRecord> = Vec::new();
    let mut results = Vec::with_capacity(ids.len());
    let mut deleted = BTreeSet::new();
    for id in ids {
        let result = if image.topic_by_id(id).is_some() && deleted.insert(id) {
            records.push(MetadataRecord::DeleteTopic { id });
            Ok(())
        } else {
            Err(CommandError::UnknownTopic(id))
        };
        results.push((id, result));
    }
    Plan {
        records,
        result: CommandResult::TopicsDeleted(results),
    }
}
