//! AlterConfigs and IncrementalAlterConfigs (KIP-339): the settings of topics, of groups and of brokers are changed, by the controller.
//!
//! A broker's are changed for it alone, or, with an empty name, for all that have none of their own (KIP-226); what it was started with
//! comes after both.

use std::collections::BTreeSet;

use wiber_controller::{
    Command, ConfigChange, ConfigEdit, ConfigOwner, LimitError, MAX_CONFIG_BYTES_PER_TOPIC,
    is_valid_topic_name,
};
use wiber_protocol::messages::{alter_configs as legacy, incremental_alter_configs as incremental};
use wiber_protocol::{ErrorCode, Str};

use super::describe_configs::{check_broker, resource};
use super::*;
use crate::broker_config::{self, Alterable, Key, NodeOptions};
use crate::errors;
use crate::group_config;
use crate::topic_config::{self, check_all};

/// What is to be done with a setting (`AlterConfigOp.OpType`).
mod operation {
    pub(super) const SET: i8 = 0;
    pub(super) const DELETE: i8 = 1;
    pub(super) const APPEND: i8 = 2;
    pub(super) const SUBTRACT: i8 = 3;
}

/// What Kafka reloads while it runs for a listener that is named, and never for all (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const PER_LISTENER: [&str; 10] = [
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

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
    /// Whose settings the controller is asked to change.
    owner: Option<ConfigOwner>,
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
    let mut changes = Vec::new();
    for resource in &resources {
        let (kind, name, _) = resource;
        let change = if times[&(*kind, name.as_str())] > 1 {
            refuse("Each resource must appear at most once.".to_owned())
        } else {
            change(shard, request, resource, incremental)
        };
        let (owner, error) = match change {
            Ok(Some((owner, change))) => {
                changes.push((owner.clone(), change));
                (Some(owner), None)
            }
            Ok(None) => (None, None),
            Err(error) => (None, Some(error)),
        };
        work.parts.push(Part {
            kind: *kind,
            name: name.detached(),
            owner,
            error,
        });
    }
    if changes.is_empty() {
        respond(shard, request, work, fx);
        return;
    }
    shard.put_back(request, Work::AlterConfigs(work));
    let command = Command::AlterConfigs {
        changes,
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
    request: RequestId,
    (kind, name, configs): &Resource<'_>,
    incremental: bool,
) -> Result<Option<(ConfigOwner, ConfigChange)>, Refusal> {
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
            let change = read_change(configs, incremental, &broker_list)?;
            return of_broker(shard, request, name, change).map(Some);
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
        resource::GROUP => return of_group(shard, name, configs, incremental).map(Some),
        resource::CLIENT_METRICS => {
            return refuse(format!("Unsupported resource type {kind}"));
        }
        _ => return refuse(format!("Unknown resource type {kind}")),
    }
    let defaults = &shard.options.topic_defaults;
    let change = read_change(configs, incremental, &|name| topic_list(defaults, name))?;
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
    Ok(Some((ConfigOwner::Topic(topic.id), change)))
}

/// What a list is where it is not set; `None` if the setting is no list.
type DefaultList<'a> = &'a dyn Fn(&str) -> Option<String>;

fn topic_list(defaults: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let key = topic_config::key(name).filter(|key| key.kind.is_list())?;
    let of_broker = defaults.get(name).cloned();
    Some(of_broker.unwrap_or_else(|| key.default.to_owned()))
}

fn broker_list(name: &str) -> Option<String> {
    let key = broker_config::find(name)?.key;
    let default = key.default.unwrap_or_default().to_owned();
    key.kind.is_list().then_some(default)
}

fn read_change(
    configs: &[(&Str, i8, Option<&Str>)],
    incremental: bool,
    list: DefaultList<'_>,
) -> Result<ConfigChange, Refusal> {
    if incremental {
        let edit = |(key, op, value): &(&Str, i8, Option<&Str>)| {
            Ok((key.to_string(), edit(key, *op, *value, list)?))
        };
        let edits = configs.iter().map(edit).collect::<Result<_, Refusal>>();
        return Ok(ConfigChange::Edit(edits?));
    }
    let set = |(key, _, value): &(&Str, i8, Option<&Str>)| {
        let value = value.map(Str::to_string).unwrap_or_default();
        (key.to_string(), value)
    };
    Ok(ConfigChange::Replace(configs.iter().map(set).collect()))
}

/// Checks a change of a broker's settings, as Kafka's broker does (`DynamicBrokerConfig.validateConfigs`). Unlike Kafka, which leaves them to
/// what it may have loaded, settings that nobody knows are refused; and so is what would keep out the client that asks for it, which could
/// not take it back.
fn of_broker(
    shard: &Shard,
    request: RequestId,
    name: &str,
    change: ConfigChange,
) -> Result<(ConfigOwner, ConfigChange), Refusal> {
    let own = shard.node_id();
    let (owner, of_all, of_one) = (
        ConfigOwner::Broker(own),
        shard.image.broker_configs(None),
        shard.image.broker_configs(Some(own)),
    );
    let (owner, before) = match name.is_empty() {
        true => (ConfigOwner::AllBrokers, of_all),
        false => (owner, of_one),
    };
    let after = change.apply(before);
    let names = |is_meant: &dyn Fn(&Key, &str) -> bool| {
        let found = after
            .keys()
            .filter_map(|name| Some((broker_config::find(name)?, name)));
        let meant = found.filter(|(found, name)| is_meant(&found.key, name));
        let meant: Vec<&str> = meant.map(|(_, name)| name.as_str()).collect();
        (!meant.is_empty()).then(|| meant.join(", "))
    };
    if let Some(unknown) = after.keys().find(|name| !broker_config::is_known(name)) {
        return refuse(format!("Unknown broker config name: {unknown}"));
    }
    if let Some(fixed) = names(&|key, _| key.alterable == Alterable::Never) {
        return refuse(format!(
            "Cannot update these configs dynamically: [{fixed}]"
        ));
    }
    if let Some(security) = names(&|_, name| PER_LISTENER.contains(&name)) {
        return refuse(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: [{security}]"
        ));
    }
    for (name, value) in &after {
        let key = broker_config::find(name).map(|found| found.key);
        if let Some(Err(why)) = key.map(|key| key.parse_altered(value)) {
            return refuse(format!(
                "Invalid value {value} for configuration {name}: {why}"
            ));
        }
    }
    if owner == ConfigOwner::AllBrokers
        && let Some(of_one) = names(&|key, _| key.alterable == Alterable::ForOne)
    {
        return refuse(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: [{of_one}]"
        ));
    }
    let fixed = &shard.options.settings;
    let (altered, faults) = match owner {
        ConfigOwner::AllBrokers => NodeOptions::altered(fixed, &after, of_one),
        _ => NodeOptions::altered(fixed, of_all, &after),
    };
    if let Some(fault) = faults.into_iter().next() {
        return refuse(format!("{}: {}", fault.key, fault.why));
    }
    let (now, then) = (
        shard.options.cleaner.rounds_max,
        altered.broker.cleaner.rounds_max,
    );
    // As Kafka's LogCleaner has it (`validateReconfiguration`).
    if then != now && (then < 1 || then < now / 2 || then > now.saturating_mul(2)) {
        return refuse(format!(
            "log.cleaner.threads: {now} can become half or double of that and what is between, and at least 1"
        ));
    }
    let limits = &altered.network.admission;
    if let Some(peer) = shard.peer_of(request)
        && limits
            .of_addresses
            .get(&peer)
            .copied()
            .unwrap_or(limits.per_address_max)
            == 0
    {
        return refuse(format!(
            "This would not let {peer} connect again, which asks for it: give it a number in max.connections.per.ip.overrides"
        ));
    }
    for (name, value) in after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value))
    {
        broker_config::warn_if_without_effect(name, value);
    }
    Ok((owner, change))
}

/// Checks a change of a group's settings, as Kafka's controller does (`ControllerConfigurationValidator.validate`).
fn of_group(
    shard: &Shard,
    group: &str,
    configs: &[(&Str, i8, Option<&Str>)],
    incremental: bool,
) -> Result<(ConfigOwner, ConfigChange), Refusal> {
    // No setting of a group is a list.
    let change = read_change(configs, incremental, &|_| None)?;
    if group.is_empty() {
        return refuse("Default group resources are not allowed.".to_owned());
    }
    let before = shard.image.group_configs(group);
    let after = change.apply(before);
    group_config::check(&after, &shard.options.groups)
        .map_err(|message| (ErrorCode::InvalidConfig, message))?;
    for (name, value) in &after {
        if before.get(name) != Some(value) {
            group_config::warn_if_without_effect(group, name, value);
        }
    }
    Ok((ConfigOwner::Group(group.to_owned()), change))
}

fn edit(
    key: &str,
    op: i8,
    value: Option<&Str>,
    list: DefaultList<'_>,
) -> Result<ConfigEdit, Refusal> {
    let value = value.map(Str::to_string).unwrap_or_default();
    let list = |name| {
        list(key).ok_or_else(|| {
            let message = format!("Can't {name} to key {key} because its type is not LIST.");
            (ErrorCode::InvalidConfig, message)
        })
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
    let mut decided: BTreeMap<ConfigOwner, CommandError> = BTreeMap::new();
    match result {
        Ok(CommandResult::ConfigsAltered(results)) => {
            for (owner, result) in results {
                decided.extend(result.err().map(|error| (owner, error)));
            }
        }
        Ok(other) => unreachable!("{other:?} does not answer an alteration of settings"),
        Err(error) => {
            let asked = work.parts.iter().filter_map(|part| part.owner.clone());
            decided.extend(asked.map(|owner| (owner, error.clone())));
        }
    }
    for part in &mut work.parts {
        let Some(error) = part.owner.as_ref().and_then(|owner| decided.remove(owner)) else {
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
        (code, message.map(errors::message), part.kind, part.name)
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
