//! CreateTopics: checks what the broker can, and has the controller do the rest.

use wiber_controller::{Command, METADATA_TOPIC, TopicSpec};
use wiber_model::BrokerId;
use wiber_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::errors;
use crate::topic_config;

/// `ConfigSource` of a topic's own setting, as DescribeConfigs numbers them.
const DYNAMIC_TOPIC_CONFIG: i8 = 1;

/// A CreateTopics under way.
#[derive(Debug)]
pub(crate) struct CreateTopics {
    /// In the order of the request; those that the controller decides have no result yet.
    results: Vec<(Str, Option<CreatableTopicResult>)>,
    specs: BTreeMap<String, TopicSpec>,
}

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &CreateTopicsRequest,
    fx: &mut Vec<Effect>,
) {
    let mut work = CreateTopics {
        results: Vec::new(),
        specs: BTreeMap::new(),
    };
    for topic in &body.topics {
        let name = topic.name.detached();
        if work.results.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let twice = body
            .topics
            .iter()
            .filter(|other| other.name == topic.name)
            .count()
            > 1;
        let spec = if twice {
            Err((
                ErrorCode::InvalidRequest,
                format!("Duplicate topic name: {name}"),
            ))
        } else if name == METADATA_TOPIC {
            Err((
                ErrorCode::InvalidRequest,
                format!("Creation of internal topic {METADATA_TOPIC} is prohibited."),
            ))
        } else {
            spec_of(shard, topic)
        };
        let refused = match spec {
            Ok(spec) => {
                work.specs.insert(spec.name.clone(), spec);
                None
            }
            Err((code, message)) => Some(failure(name.clone(), code, message)),
        };
        work.results.push((name, refused));
    }
    if work.specs.is_empty() {
        respond(shard, request, work, fx);
        return;
    }
    let command = Command::CreateTopics {
        topics: work.specs.values().cloned().collect(),
        validate_only: body.validate_only,
    };
    shard.put_back(request, Work::CreateTopics(work));
    shard.command(request, command, fx);
}

/// What the controller is asked for.
fn spec_of(shard: &Shard, topic: &CreatableTopic) -> Result<TopicSpec, (ErrorCode, String)> {
    let mut configs = Vec::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            return Err((
                ErrorCode::InvalidConfig,
                format!(
                    "Null value not supported for topic configs: {}",
                    config.name
                ),
            ));
        };
        configs.push((config.name.to_string(), value.to_string()));
    }
    topic_config::check_all(&configs.iter().cloned().collect())
        .map_err(|message| (ErrorCode::InvalidConfig, message))?;
    for (name, value) in &configs {
        topic_config::warn_if_without_effect(name, value);
    }
    let manual = !topic.assignments.is_empty();
    if manual && (topic.replication_factor != -1 || topic.num_partitions != -1) {
        let message = "A manual partition assignment was specified, but replication factor or number of partitions was not set to -1.";
        return Err((ErrorCode::InvalidRequest, message.to_owned()));
    }
    let or_default = |number: i32, default: i32| {
        if number == -1 && !manual {
            default
        } else {
            number
        }
    };
    Ok(TopicSpec {
        name: topic.name.to_string(),
        partitions: or_default(topic.num_partitions, shard.options.num_partitions),
        replication_factor: or_default(
            i32::from(topic.replication_factor),
            i32::from(shard.options.default_replication_factor),
        ) as i16,
        assignments: topic
            .assignments
            .iter()
            .map(|a| {
                (
                    a.partition_index,
                    a.broker_ids.iter().map(|id| BrokerId(*id)).collect(),
                )
            })
            .collect(),
        configs,
    })
}

/// The controller has decided.
pub(super) fn done(
    shard: &mut Shard,
    request: RequestId,
    mut work: CreateTopics,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    let mut decided = BTreeMap::new();
    match result {
        Ok(CommandResult::TopicsCreated(results)) => {
            for created in results {
                decided.insert(created.name, created.result);
            }
        }
        Ok(other) => unreachable!("{other:?} does not answer a creation of topics"),
        Err(error) => {
            for name in work.specs.keys() {
                decided.insert(name.clone(), Err(error.clone()));
            }
        }
    }
    for (name, result) in &mut work.results {
        let Some(decision) = decided.remove(name.as_str()) else {
            continue;
        };
        *result = Some(match decision {
            Err(error) => failure(name.clone(), errors::of_command(&error), error.to_string()),
            Ok(created) => CreatableTopicResult {
                name: name.clone(),
                topic_id: created.id,
                num_partitions: created.partitions,
                replication_factor: created.replication_factor,
                configs: Some(configs_of(work.specs.get(name.as_str()))),
                ..Default::default()
            },
        });
    }
    respond(shard, request, work, fx);
}

/// The settings that the topic was given.
fn configs_of(spec: Option<&TopicSpec>) -> Vec<CreatableTopicConfigs> {
    let configs = spec.map(|spec| spec.configs.as_slice()).unwrap_or_default();
    configs
        .iter()
        .map(|(name, value)| CreatableTopicConfigs {
            name: name.as_str().into(),
            value: Some(value.as_str().into()),
            config_source: DYNAMIC_TOPIC_CONFIG,
            ..Default::default()
        })
        .collect()
}

fn failure(name: Str, code: ErrorCode, message: String) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: code.code(),
        error_message: Some(errors::message(message)),
        ..Default::default()
    }
}

fn respond(shard: &mut Shard, request: RequestId, work: CreateTopics, fx: &mut Vec<Effect>) {
    let response = CreateTopicsResponse {
        topics: work
            .results
            .into_iter()
            .filter_map(|(_, result)| result)
            .collect(),
        ..Default::default()
    };
    shard.respond(request, &response, fx);
}
