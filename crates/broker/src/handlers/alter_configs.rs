//! AlterConfigs and IncrementalAlterConfigs (KIP-339): the settings of topics are changed, by the controller.
//!
//! A broker's own settings, which another resource stands for, are those that it was started with; a change of them is refused.

use std::collections::BTreeSet;

use wiber_controller::{
    Command, ConfigChange, ConfigEdit, LimitError, MAX_CONFIG_BYTES_PER_TOPIC, is_valid_topic_name,
};
use wiber_model::TopicId;
use wiber_protocol::messages::{alter_configs as legacy, incremental_alter_configs as incremental};
use wiber_protocol::{ErrorCode, Str};

use super::describe_configs::{check_broker, resource};
use super::*;
use crate::errors;
use crate::topic_config::{self, check_all};

/// What is to be done with a setting (`AlterConfigOp.OpType`).
mod operation {
    pub(super) const SET: i8 = 0;
    pub(super) const DELETE: i8 = 1;
    pub(super) const APPEND: i8 = 2;
    pub(super) const SUBTRACT: i8 = 3;
}

/// An alteration under way.
#[derive(Debug)]
pub(crate) struct AlterConfigs {
    incremental: bool,
    /// In the order of the request.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    kind: i8,
    name: Str,
    /// The topic that the controller is asked to change.
    topic: Option<TopicId>,
    error: Option<Refusal>,
}

/// Why a resource is not altered.
type Refusal = (ErrorCode, String);

/// A resource as either request names it: type, name, and each setting with its operation and value.
type Resource<'a> = (i8, &'a Str, Vec<(&'a Str, i8, Option<&'a Str>)>);

pub(super) fn begin_incremental(
    shard: &mut Shard,
    request: RequestId,
    body: &incremental::IncrementalAlterConfigsRequest,
    fx: &mut Vec<Effect>,
) {
    let resources = body.resources.iter().map(|each| {
        let configs = each.configs.iter();
        let configs = configs.map(|c| (&c.name, c.config_operation, c.value.as_ref()));
        (each.resource_type, &each.resource_name, configs.collect())
    });
    let resources = resources.collect();
    begin(shard, request, true, resources, body.validate_only, fx);
}

pub(super) fn begin_legacy(
    shard: &mut Shard,
    request: RequestId,
    body: &legacy::AlterConfigsRequest,
    fx: &mut Vec<Effect>,
) {
    let resources = body.resources.iter().map(|each| {
        let configs = each.configs.iter();
        let configs = configs.map(|c| (&c.name, operation::SET, c.value.as_ref()));
        (each.resource_type, &each.resource_name, configs.collect())
    });
    let resources = resources.collect();
    begin(shard, request, false, resources, body.validate_only, fx);
}

fn begin(
    shard: &mut Shard,
    request: RequestId,
    incremental: bool,
    resources: Vec<Resource<'_>>,
    validate_only: bool,
    fx: &mut Vec<Effect>,
) {
    let mut times: BTreeMap<(i8, &str), usize> = BTreeMap::new();
    for (kind, name, _) in &resources {
        *times.entry((*kind, name.as_str())).or_default() += 1;
    }
    let mut work = AlterConfigs {
        incremental,
        parts: Vec::new(),
    };
    let mut topics = Vec::new();
    for resource in &resources {
        let (kind, name, _) = resource;
        let change = if times[&(*kind, name.as_str())] > 1 {
            refuse("Each resource must appear at most once.".to_owned())
        } else {
            change(shard, resource, incremental)
        };
        let (topic, error) = match change {
            Ok(Some((id, change))) => {
                topics.push((id, change));
                (Some(id), None)
            }
            Ok(None) => (None, None),
            Err(error) => (None, Some(error)),
        };
        work.parts.push(Part {
            kind: *kind,
            name: name.detached(),
            topic,
            error,
        });
    }
    if topics.is_empty() {
        respond(shard, request, work, fx);
        return;
    }
    shard.put_back(request, Work::AlterConfigs(work));
    let command = Command::AlterConfigs {
        topics,
        validate_only,
    };
    shard.command(request, command, fx);
}

fn refuse<T>(message: String) -> Result<T, Refusal> {
    Err((ErrorCode::InvalidRequest, message))
}

/// What the controller is to do, if anything. The checks and their order are Kafka's (`ConfigAdminManager.preprocess`,
/// `ConfigurationControlManager`).
fn change(
    shard: &Shard,
    (kind, name, configs): &Resource<'_>,
    incremental: bool,
) -> Result<Option<(TopicId, ConfigChange)>, Refusal> {
    let keys: BTreeSet<&str> = configs.iter().map(|(key, ..)| key.as_str()).collect();
    if keys.len() < configs.len() {
        return refuse("Error due to duplicate config keys".to_owned());
    }
    let is_null = |(_, op, value): &&(&Str, i8, Option<&Str>)| {
        value.is_none() && (!incremental || *op != operation::DELETE)
    };
    let nulls: Vec<_> = configs
        .iter()
        .filter(is_null)
        .map(|c| c.0.as_str())
        .collect();
    if !nulls.is_empty() {
        return refuse(format!(
            "Null value not supported for : {}",
            nulls.join(", ")
        ));
    }
    let bytes = configs
        .iter()
        .map(|(key, _, value)| key.len() + value.map_or(0, |v| v.len()));
    let bytes: usize = bytes.sum();
    if bytes > MAX_CONFIG_BYTES_PER_TOPIC {
        let error = CommandError::from(LimitError::ConfigBytes(bytes));
        return Err((errors::of_command(&error), error.to_string()));
    }
    match *kind {
        resource::TOPIC => {}
        resource::BROKER => {
            if !name.is_empty() {
                check_broker(shard, name, ",")?;
            }
            if configs.is_empty() {
                return Ok(None);
            }
            let keys: Vec<_> = keys.into_iter().collect();
            let keys = keys.join(", ");
            return refuse(format!("Cannot update these configs dynamically: [{keys}]"));
        }
        resource::BROKER_LOGGER if incremental => {
            check_broker(shard, name, "")?;
            return match keys.first() {
                None => Ok(None),
                Some(key) => {
                    let message = format!("Logger {key} does not exist!");
                    Err((ErrorCode::InvalidConfig, message))
                }
            };
        }
        resource::CLIENT_METRICS | resource::GROUP => {
            return refuse(format!("Unsupported resource type {kind}"));
        }
        _ => return refuse(format!("Unknown resource type {kind}")),
    }
    let change = if incremental {
        let edit = |(key, op, value): &(&Str, i8, Option<&Str>)| {
            Ok((key.to_string(), edit(key, *op, *value)?))
        };
        ConfigChange::Edit(configs.iter().map(edit).collect::<Result<_, Refusal>>()?)
    } else {
        let set = |(key, _, value): &(&Str, i8, Option<&Str>)| {
            (
                key.to_string(),
                value.map(Str::to_string).unwrap_or_default(),
            )
        };
        ConfigChange::Replace(configs.iter().map(set).collect())
    };
    if name.is_empty() {
        return refuse("Default topic resources are not allowed.".to_owned());
    }
    if !is_valid_topic_name(name) {
        let message = "no topic can have this name".to_owned();
        return Err((ErrorCode::InvalidTopicException, message));
    }
    let Some(topic) = shard.image.topic(name) else {
        check_all(&change.apply(&BTreeMap::new()))
            .map_err(|message| (ErrorCode::InvalidConfig, message))?;
        let message = format!("The topic '{name}' does not exist.");
        return Err((ErrorCode::UnknownTopicOrPartition, message));
    };
    for (key, _, value) in configs {
        if let Some(value) = value {
            topic_config::warn_if_without_effect(key, value);
        }
    }
    Ok(Some((topic.id, change)))
}

fn edit(key: &str, op: i8, value: Option<&Str>) -> Result<ConfigEdit, Refusal> {
    let value = value.map(Str::to_string).unwrap_or_default();
    let list = |name| match topic_config::key(key) {
        Some(key) if key.kind.is_list() => Ok(key.default.to_owned()),
        _ => {
            let message = format!("Can't {name} to key {key} because its type is not LIST.");
            Err((ErrorCode::InvalidConfig, message))
        }
    };
    match op {
        operation::SET => Ok(ConfigEdit::Set(value)),
        operation::DELETE => Ok(ConfigEdit::Delete),
        operation::APPEND => Ok(ConfigEdit::Append {
            elements: value,
            default: list("APPEND")?,
        }),
        operation::SUBTRACT => Ok(ConfigEdit::Subtract {
            elements: value,
            default: list("SUBTRACT")?,
        }),
        other => refuse(format!("Unknown operations type {other}")),
    }
}

/// The controller has decided.
pub(super) fn done(
    shard: &mut Shard,
    request: RequestId,
    mut work: AlterConfigs,
    result: Result<CommandResult, CommandError>,
    fx: &mut Vec<Effect>,
) {
    let mut decided: BTreeMap<TopicId, CommandError> = BTreeMap::new();
    match result {
        Ok(CommandResult::ConfigsAltered(results)) => {
            for (id, result) in results {
                decided.extend(result.err().map(|error| (id, error)));
            }
        }
        Ok(other) => unreachable!("{other:?} does not answer an alteration of settings"),
        Err(error) => {
            let asked = work.parts.iter().filter_map(|part| part.topic);
            decided.extend(asked.map(|id| (id, error.clone())));
        }
    }
    for part in &mut work.parts {
        let Some(error) = part.topic.and_then(|id| decided.remove(&id)) else {
            continue;
        };
        let code = match error {
            // The request named the topic, which went meanwhile.
            CommandError::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            _ => errors::of_command(&error),
        };
        part.error = Some((code, error.to_string()));
    }
    respond(shard, request, work, fx);
}

fn respond(shard: &mut Shard, request: RequestId, work: AlterConfigs, fx: &mut Vec<Effect>) {
    let parts = work.parts.into_iter().map(|part| {
        let (code, message) = part.error.unzip();
        let code = code.unwrap_or(ErrorCode::None).code();
        (code, message.map(Str::from), part.kind, part.name)
    });
    if work.incremental {
        let of = |(error_code, error_message, resource_type, resource_name)| {
            incremental::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type,
                resource_name,
            }
        };
        let response = incremental::IncrementalAlterConfigsResponse {
            responses: parts.map(of).collect(),
            ..Default::default()
        };
        shard.respond(request, &response, fx);
    } else {
        let of = |(error_code, error_message, resource_type, resource_name)| {
            legacy::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type,
                resource_name,
            }
        };
        let response = legacy::AlterConfigsResponse {
            responses: parts.map(of).collect(),
            ..Default::default()
        };
        shard.respond(request, &response, fx);
    }
}
