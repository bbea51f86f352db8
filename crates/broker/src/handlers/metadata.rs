//! Metadata: brokers, topics, leaders; and the creation of topics that a client names and nobody has made yet.
//!
//! The answer never waits. As in Kafka (`AutoTopicCreationManager`), it says of a topic that is to be made that there is none, and the client asks
//! again: the metadata of other topics are not held up by a disk that is slow to take a new one. See docs/adr/0013.
//!
//! Invariant: a name is under way in one command of a shard at a time.

use wiber_controller::{
    Command, MAX_PARTITIONS_PER_COMMAND, METADATA_TOPIC, TopicSpec, is_internal_topic,
    is_valid_topic_name,
};
use wiber_model::{BrokerId, Monotonic, TopicId};
use wiber_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::errors;
use crate::groups::OFFSETS_TOPIC;

/// The first Metadata version that names topics by id, and so has answers without a name (KIP-516).
const TOPIC_ID_VERSION: i16 = 12;

/// So many topics of a shard are being made at a time because clients named them. The others are made when their clients ask again.
const CREATIONS_MAX: usize = MAX_PARTITIONS_PER_COMMAND;
/// The log names topics that cannot be made at most so often, in milliseconds: clients ask again and again.
const FAILURES_TOLD_EVERY_MS: i64 = 1000;

/// Topics that are being made because clients named them. Nobody waits for them: the requests have their answers, and their clients may be
/// gone.
#[derive(Debug, Default)]
pub(crate) struct Creations {
    names: BTreeSet<String>,
    /// The names in each command, by the request that gave it.
    commands: BTreeMap<RequestId, Vec<String>>,
    /// When the log may name the next one that failed.
    tell_after: Monotonic,
}

impl Creations {
    /// Whether a request gave a command to make topics that is not done yet.
    pub(crate) fn is_of(&self, request: RequestId) -> bool {
        self.commands.contains_key(&request)
    }

    /// Checks the invariants.
    ///
    /// # Panics
    /// If one does not hold: a bug.
    pub(crate) fn validate(&self) {
        let in_commands: usize = self.commands.values().map(Vec::len).sum();
        assert_eq!(in_commands, self.names.len(), "names in commands");
        assert!(
            self.commands
                .values()
                .flatten()
                .all(|name| self.names.contains(name)),
            "a command makes a topic that is not known to be made"
        );
    }
}

/// Of what the client wants to know what it may do (KIP-430).
#[derive(Clone, Copy, Debug)]
struct Operations {
    cluster: bool,
    topics: bool,
}

/// A topic as the request names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wanted {
    Name(Str),
    Id(TopicId),
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    version: i16,
    body: MetadataRequest,
    fx: &mut Vec<Effect>,
) {
    let all = body
        .topics
        .as_ref()
        .is_none_or(|topics| version == 0 && topics.is_empty());
    let operations = Operations {
        cluster: body.include_cluster_authorized_operations,
        topics: body.include_topic_authorized_operations,
    };
    if all {
        let names = shard
            .image
            .topics()
            .map(|topic| Wanted::Name(topic.name.as_str().into()))
            .collect();
        respond(shard, request, names, operations, fx);
        return;
    }
    let (mut wanted, mut seen) = (Vec::new(), BTreeSet::new());
    for topic in body.topics.unwrap_or_default() {
        let topic = match topic.name {
            Some(name) if topic.topic_id == TopicId::ZERO => Wanted::Name(name.detached()),
            _ => Wanted::Id(topic.topic_id),
        };
        if seen.insert(topic.clone()) {
            wanted.push(topic);
        }
    }
    let allowed =
        shard.options.auto_create_topics && (version < 4 || body.allow_auto_topic_creation);
    if allowed {
        create_missing(shard, request, &wanted, fx);
    }
    respond(shard, request, wanted, operations, fx);
}

/// Gives the command to make those topics that nobody has made and nobody is making: as many as one command can, the others when the client
/// asks again.
fn create_missing(shard: &mut Shard, request: RequestId, wanted: &[Wanted], fx: &mut Vec<Effect>) {
    let (mut names, mut topics) = (Vec::new(), Vec::new());
    let mut partitions = 0;
    for topic in wanted {
        let Wanted::Name(name) = topic else { continue };
        let is_missing = shard.image.topic(name).is_none() && may_be_created(name);
        if !is_missing || shard.creations.names.contains(name.as_str()) {
            continue;
        }
        let spec = spec(shard, name);
        partitions += usize::try_from(spec.partitions).unwrap_or(0);
        let is_full = partitions > MAX_PARTITIONS_PER_COMMAND && !topics.is_empty();
        if is_full || shard.creations.names.len() >= CREATIONS_MAX {
            break;
        }
        shard.creations.names.insert(spec.name.clone());
        names.push(spec.name.clone());
        topics.push(spec);
    }
    if names.is_empty() {
        return;
    }
    shard.creations.commands.insert(request, names);
    let command = Command::CreateTopics {
        topics,
        validate_only: false,
    };
    shard.command(request, command, fx);
}

/// Whether a topic is made when a client names it. Those of the brokers are made by what keeps its state in them, and of that only groups are here.
fn may_be_created(name: &str) -> bool {
    let is_ours = is_internal_topic(name) || name == METADATA_TOPIC;
    is_valid_topic_name(name) && (name == OFFSETS_TOPIC || !is_ours)
}

fn spec(shard: &Shard, name: &str) -> TopicSpec {
    if name == OFFSETS_TOPIC {
        return find_coordinator::offsets_topic(shard);
    }
    TopicSpec {
        name: name.to_owned(),
        partitions: shard.options.num_partitions,
        replication_factor: shard.options.default_replication_factor,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

/// The topics of a command were made, or not. As in Kafka, only the log says why not.
pub(crate) fn created(
    shard: &mut Shard,
    now: Now,
    request: RequestId,
    result: Result<CommandResult, CommandError>,
) {
    let names = shard.creations.commands.remove(&request);
    let names = names.unwrap_or_default();
    for name in &names {
        shard.creations.names.remove(name);
    }
    let failed = match result {
        Ok(CommandResult::TopicsCreated(results)) => results.into_iter().find_map(|created| {
            // Somebody else may have made it meanwhile, which is as good.
            let error = created.result.err()?;
            let is_there = shard.image.topic(&created.name).is_some();
            (!is_there).then_some((created.name, error))
        }),
        Ok(other) => unreachable!("{other:?} does not answer a creation of topics"),
        Err(error) => names.into_iter().next().map(|name| (name, error)),
    };
    if let Some((name, error)) = failed
        && now.monotonic >= shard.creations.tell_after
    {
        shard.creations.tell_after = now.monotonic.plus_ms(FAILURES_TOLD_EVERY_MS);
        tracing::warn!(
            code = errors::of_command(&error).code(),
            "the topic {name}, which a client named, cannot be made: {error}"
        );
    }
}

fn respond(
    shard: &mut Shard,
    request: RequestId,
    wanted: Vec<Wanted>,
    operations: Operations,
    fx: &mut Vec<Effect>,
) {
    let (host, port) = shard.advertised_for(request);
    let mut response = MetadataResponse {
        cluster_id: Some(shard.cluster_id.as_str().into()),
        controller_id: shard.node_id().0,
        ..Default::default()
    };
    response.brokers.push(MetadataResponseBroker {
        node_id: shard.node_id().0,
        host: host.into(),
        port,
        rack: shard.rack(),
    });
    if operations.cluster {
        response.cluster_authorized_operations = describe_cluster::ALL_OPERATIONS;
    }
    let version = shard.version(request);
    let topics = wanted.into_iter().map(|wanted| {
        let mut topic = describe(shard, version, wanted);
        // As in Kafka: an id that nobody knows is no topic that one could do something with, a name is.
        if operations.topics && topic.error_code != ErrorCode::UnknownTopicId.code() {
            topic.topic_authorized_operations = describe_topic_partitions::ALL_OPERATIONS;
        }
        topic
    });
    response.topics = topics.collect();
    shard.respond(request, &response, fx);
}

fn describe(shard: &Shard, version: i16, wanted: Wanted) -> MetadataResponseTopic {
    let (found, name, topic_id, unknown) = match wanted {
        Wanted::Id(id) => (
            shard.image.topic_by_id(id),
            None,
            id,
            ErrorCode::UnknownTopicId,
        ),
        Wanted::Name(name) if !is_valid_topic_name(&name) => (
            None,
            Some(name),
            TopicId::ZERO,
            ErrorCode::InvalidTopicException,
        ),
        Wanted::Name(name) => (
            shard.image.topic(&name),
            Some(name),
            TopicId::ZERO,
            ErrorCode::UnknownTopicOrPartition,
        ),
    };
    let Some(topic) = found else {
        return MetadataResponseTopic {
            error_code: unknown.code(),
            is_internal: name.as_deref().is_some_and(is_internal_topic),
            name: name.or_else(|| (version < TOPIC_ID_VERSION).then(Str::default)),
            topic_id,
            ..Default::default()
        };
    };
    let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    let partition =
        |(index, state): (usize, &wiber_controller::PartitionState)| MetadataResponsePartition {
            partition_index: index as i32,
            leader_id: state.leader.0,
            leader_epoch: state.leader_epoch.0,
            replica_nodes: numbers(&state.replicas),
            isr_nodes: numbers(&state.isr),
            ..Default::default()
        };
    MetadataResponseTopic {
        name: Some(topic.name.as_str().into()),
        topic_id: topic.id,
        is_internal: is_internal_topic(&topic.name),
        partitions: topic.partitions.iter().enumerate().map(partition).collect(),
        ..Default::default()
    }
}
