//! Metadata: brokers, topics, leaders; and the creation of topics that a client names and nobody has made yet.

use wiber_controller::{
    Command, METADATA_TOPIC, TopicSpec, is_internal_topic, is_valid_topic_name,
};
use wiber_model::{BrokerId, TopicId};
use wiber_protocol::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::errors;

/// The first Metadata version that names topics by id, and so has answers without a name (KIP-516).
const TOPIC_ID_VERSION: i16 = 12;

/// A Metadata request under way: it waits for topics to be created.
#[derive(Debug)]
pub(crate) struct Metadata {
    wanted: Vec<Wanted>,
    operations: Operations,
}

/// Of what the client wants to know what it may do (KIP-430).
#[derive(Clone, Copy, Debug)]
struct Operations {
    cluster: bool,
    topics: bool,
}

/// A topic as the request names it.
#[derive(Clone, PartialEq, Eq, Debug)]
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
        let work = Metadata {
            wanted: names,
            operations,
        };
        respond(shard, request, work, &BTreeMap::new(), fx);
        return;
    }
    let mut wanted = Vec::new();
    for topic in body.topics.unwrap_or_default() {
        let topic = match topic.name {
            Some(name) if topic.topic_id == TopicId::ZERO => Wanted::Name(name.detached()),
            _ => Wanted::Id(topic.topic_id),
        };
        if !wanted.contains(&topic) {
            wanted.push(topic);
        }
    }
    let allowed =
        shard.options.auto_create_topics && (version < 4 || body.allow_auto_topic_creation);
    let missing: Vec<_> = wanted
        .iter()
        .filter_map(|topic| match topic {
            Wanted::Name(name) if shard.image.topic(name).is_none() && may_be_created(name) => {
                Some(name)
            }
            _ => None,
        })
        .filter(|_| allowed)
        .map(|name| TopicSpec {
            name: name.to_string(),
            partitions: shard.options.num_partitions,
            replication_factor: shard.options.default_replication_factor,
            assignments: Vec::new(),
            configs: Vec::new(),
        })
        .collect();
    let work = Metadata { wanted, operations };
    if missing.is_empty() {
        respond(shard, request, work, &BTreeMap::new(), fx);
        return;
    }
    shard.put_back(request, Work::Metadata(work));
    let command = Command::CreateTopics {
        topics: missing,
        validate_only: false,
    };
    shard.command(request, command, fx);
}

/// Whether a topic is made when a client names it. Those of the brokers are made by what keeps its state in them, and that is not here yet.
fn may_be_created(name: &str) -> bool {
    is_valid_topic_name(name) && !is_internal_topic(name) && name != METADATA_TOPIC
}

/// The missing topics were created, or not.
pub(super) fn created(
    shard: &mut Shard,
    request: RequestId,
    work: Metadata,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    let mut failed = BTreeMap::new();
    match result {
        Ok(CommandResult::TopicsCreated(results)) => {
            for created in results {
                // Somebody else may have made it meanwhile, which is as good.
                if let Err(error) = created.result
                    && shard.image.topic(&created.name).is_none()
                {
                    failed.insert(created.name, errors::of_command(&error));
                }
            }
        }
        Ok(other) => unreachable!("{other:?} does not answer a creation of topics"),
        Err(error) => {
            for topic in &work.wanted {
                if let Wanted::Name(name) = topic {
                    failed.insert(name.to_string(), errors::of_command(&error));
                }
            }
        }
    }
    respond(shard, request, work, &failed, fx);
}

fn respond(
    shard: &mut Shard,
    request: RequestId,
    work: Metadata,
    failed: &BTreeMap<String, ErrorCode>,
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
    if work.operations.cluster {
        response.cluster_authorized_operations = describe_cluster::ALL_OPERATIONS;
    }
    let version = shard.version(request);
    let topics = work.wanted.into_iter().map(|wanted| {
        let mut topic = describe(shard, version, wanted, failed);
        // As in Kafka: an id that nobody knows is no topic that one could do something with, a name is.
        if work.operations.topics && topic.error_code != ErrorCode::UnknownTopicId.code() {
            topic.topic_authorized_operations = describe_topic_partitions::ALL_OPERATIONS;
        }
        topic
    });
    response.topics = topics.collect();
    shard.respond(request, &response, fx);
}

fn describe(
    shard: &Shard,
    version: i16,
    wanted: Wanted,
    failed: &BTreeMap<String, ErrorCode>,
) -> MetadataResponseTopic {
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
        Wanted::Name(name) => {
            let error = failed
                .get(name.as_str())
                .copied()
                .unwrap_or(ErrorCode::UnknownTopicOrPartition);
            (shard.image.topic(&name), Some(name), TopicId::ZERO, error)
        }
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
