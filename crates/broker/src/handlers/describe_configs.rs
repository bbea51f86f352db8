//! DescribeConfigs: the settings of topics, of groups and of this broker, with where each value comes from (KIP-226, KIP-569).
//!
//! A broker without a name stands for what all brokers were given while they ran. The levels of loggers are not settings here: a broker has
//! none. A resource that is named twice is described once, so the
//! answer is bounded by what there is to describe.

use std::collections::BTreeSet;

use wiber_controller::{TopicState, is_valid_topic_name};
use wiber_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::broker_config::{self, Alterable, is_sensitive, sources_of_topic};
use crate::errors;
use crate::group_config;
use crate::topic_config::{KEYS, Key};

/// The types of resources (`org.apache.kafka.common.config.ConfigResource.Type`).
pub(super) mod resource {
    pub(crate) const TOPIC: i8 = 2;
    pub(crate) const BROKER: i8 = 4;
    pub(crate) const BROKER_LOGGER: i8 = 8;
    pub(crate) const CLIENT_METRICS: i8 = 16;
    pub(crate) const GROUP: i8 = 32;
    /// All that Kafka knows.
    pub(crate) const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
}

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
mod source {
    pub(super) const TOPIC: i8 = 1;
    pub(super) const DYNAMIC_BROKER: i8 = 2;
    pub(super) const DYNAMIC_DEFAULT_BROKER: i8 = 3;
    pub(super) const STATIC_BROKER: i8 = 4;
    pub(super) const DEFAULT: i8 = 5;
    pub(super) const GROUP: i8 = 8;
}

/// Why a resource is not described.
type Refusal = (ErrorCode, String);

pub(super) fn begin(
    shard: &mut Shard,
    request: RequestId,
    body: &DescribeConfigsRequest,
    fx: &mut Vec<Effect>,
) {
    // Kafka finds a type that it does not know before it looks at any resource.
    let malformed = body
        .resources
        .iter()
        .any(|wanted| !resource::ALL.contains(&wanted.resource_type));
    let mut seen = BTreeSet::new();
    let mut response = DescribeConfigsResponse::default();
    for wanted in &body.resources {
        if !seen.insert((wanted.resource_type, &wanted.resource_name)) {
            continue;
        }
        let described = if malformed {
            let message = "the request names a type of resource that does not exist";
            Err((ErrorCode::InvalidRequest, message.to_owned()))
        } else {
            describe(shard, wanted, body)
        };
        let (code, message, configs) = match described {
            Ok(configs) => (ErrorCode::None, None, configs),
            Err((code, message)) => (code, Some(errors::message(message)), Vec::new()),
        };
        response.results.push(DescribeConfigsResult {
            error_code: code.code(),
            error_message: message,
            resource_type: wanted.resource_type,
            resource_name: wanted.resource_name.detached(),
            configs,
        });
    }
    shard.respond(request, &response, fx);
}

fn describe(
    shard: &Shard,
    wanted: &DescribeConfigsResource,
    body: &DescribeConfigsRequest,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = wanted.resource_name.as_str();
    let keys = wanted.configuration_keys.as_deref().unwrap_or_default();
    // No names ask for all settings, as none do.
    let keys: BTreeSet<&str> = keys.iter().map(Str::as_str).collect();
    let is_wanted = |name: &str| keys.is_empty() || keys.contains(name);
    let mut configs: Vec<_> = match wanted.resource_type {
        resource::TOPIC => {
            let topic = topic(shard, name)?;
            let keys = KEYS.iter().filter(|key| is_wanted(key.name));
            keys.map(|key| of_topic(shard, topic, key)).collect()
        }
        resource::BROKER if name.is_empty() => {
            let set = shard.image.broker_configs(None).keys();
            let names = set.filter(|name| is_wanted(name));
            names
                .filter_map(|name| of_all_brokers(shard, name))
                .collect()
        }
        resource::BROKER => {
            check_broker(shard, name, " or empty string,")?;
            let told = broker_config::all().filter(|key| !key.is_internal());
            let mut names: BTreeSet<&str> = told.map(|key| key.name).collect();
            let (of_all, own) = altered(shard);
            let set = [&shard.options.settings, of_all, own].into_iter();
            names.extend(set.flat_map(BTreeMap::keys).map(String::as_str));
            let names = names.into_iter().filter(|name| is_wanted(name));
            names.filter_map(|name| of_broker(shard, name)).collect()
        }
        resource::GROUP if name.is_empty() => {
            let message = "Group name must not be empty".to_owned();
            return Err((ErrorCode::InvalidRequest, message));
        }
        resource::GROUP => {
            let keys = group_config::KEYS.iter().filter(|key| is_wanted(key.name));
            keys.map(|key| of_group(shard, name, key)).collect()
        }
        resource::BROKER_LOGGER if name.is_empty() => {
            let message = "Broker id must not be empty".to_owned();
            return Err((ErrorCode::InvalidRequest, message));
        }
        resource::BROKER_LOGGER => {
            check_broker(shard, name, "")?;
            Vec::new()
        }
        other => {
            let message = format!("Unsupported resource type: {other}");
            return Err((ErrorCode::InvalidRequest, message));
        }
    };
    for config in &mut configs {
        if !body.include_synonyms {
            config.synonyms.clear();
        }
        if !body.include_documentation {
            config.documentation = None;
        }
    }
    Ok(configs)
}

fn topic<'a>(shard: &'a Shard, name: &str) -> Result<&'a TopicState, Refusal> {
    if !is_valid_topic_name(name) {
        let message = "no topic can have this name".to_owned();
        return Err((ErrorCode::InvalidTopicException, message));
    }
    shard.image.topic(name).ok_or_else(|| {
        let message = "there is no such topic".to_owned();
        (ErrorCode::UnknownTopicOrPartition, message)
    })
}

/// Checks that a resource's name is this broker's id.
pub(super) fn check_broker(shard: &Shard, name: &str, or: &str) -> Result<(), Refusal> {
    let own = shard.node_id().0;
    let message = match name.parse::<i32>() {
        Ok(id) if id == own => return Ok(()),
        Ok(_) => format!("Unexpected broker id, expected {own}{or} but received {name}"),
        Err(_) => format!("Broker id must be an integer, but it is: {name}"),
    };
    Err((ErrorCode::InvalidRequest, message))
}

fn of_topic(shard: &Shard, topic: &TopicState, key: &Key) -> DescribeConfigsResourceResult {
    let own = topic.configs.get(key.name).map(|value| {
        // What is kept was checked when it was set.
        let value = key.kind.parse(value).unwrap_or_else(|_| value.clone());
        Str::from(value)
    });
    let mut synonyms = Vec::new();
    if let Some(value) = &own {
        synonyms.push(DescribeConfigsSynonym {
            name: Str::from_static(key.name),
            value: Some(value.clone()),
            source: source::TOPIC,
        });
    }
    if let Some((name, _)) = sources_of_topic(key).first() {
        synonyms.append(&mut broker_synonyms(shard, name));
    }
    let default = || {
        let of_broker = shard.options.topic_defaults.get(key.name);
        of_broker.map_or(Str::from_static(key.default), |value| value.as_str().into())
    };
    DescribeConfigsResourceResult {
        name: Str::from_static(key.name),
        config_source: source_of(&synonyms),
        value: Some(own.unwrap_or_else(default)),
        read_only: false,
        is_sensitive: false,
        synonyms,
        config_type: key.kind.number(),
        documentation: Some(Str::from_static(key.documentation)),
    }
}

fn of_group(shard: &Shard, group: &str, key: &group_config::Key) -> DescribeConfigsResourceResult {
    let own = shard.image.group_configs(group).get(key.name);
    let mut synonyms: Vec<_> = own
        .map(|value| DescribeConfigsSynonym {
            name: Str::from_static(key.name),
            value: Some(value.as_str().into()),
            source: source::GROUP,
        })
        .into_iter()
        .collect();
    match key.default {
        group_config::Default::Broker(name) => {
            synonyms.append(&mut broker_synonyms(shard, name));
        }
        group_config::Default::Value(value) => synonyms.push(DescribeConfigsSynonym {
            name: Str::from_static(key.name),
            value: Some(Str::from_static(value)),
            source: source::DEFAULT,
        }),
    }
    DescribeConfigsResourceResult {
        name: Str::from_static(key.name),
        value: synonyms.first().and_then(|first| first.value.clone()),
        read_only: false,
        config_source: source_of(&synonyms),
        is_sensitive: false,
        synonyms,
        config_type: key.kind.number(),
        documentation: Some(Str::from_static(key.documentation)),
    }
}

fn of_broker(shard: &Shard, name: &str) -> Option<DescribeConfigsResourceResult> {
    let key = broker_config::find(name)?.key;
    let (of_all, own) = altered(shard);
    let set = [own, of_all, &shard.options.settings].into_iter();
    let set = set.filter_map(|set| set.get(name)).next();
    let set = set.map(|value| as_read(&key, value));
    let is_sensitive = is_sensitive(name);
    let default = || key.default.map(str::to_owned);
    let value = set.or_else(default).filter(|_| !is_sensitive);
    let synonyms = broker_synonyms(shard, name);
    Some(DescribeConfigsResourceResult {
        name: name.into(),
        value: value.map(Str::from),
        read_only: key.alterable == Alterable::Never,
        config_source: source_of(&synonyms),
        is_sensitive,
        synonyms,
        config_type: key.kind.number(),
        documentation: Some(key.described()),
    })
}

/// A value as Kafka writes what it has read.
fn as_read(key: &broker_config::Key, value: &str) -> String {
    key.kind.parse(value).unwrap_or_else(|_| value.to_owned())
}

/// A setting that all brokers were given while they ran. As in Kafka, what else it may be is not told.
fn of_all_brokers(shard: &Shard, name: &str) -> Option<DescribeConfigsResourceResult> {
    let value = shard.image.broker_configs(None).get(name)?;
    let mut config = of_broker(shard, name)?;
    config.value = Some(value.as_str().into()).filter(|_| !config.is_sensitive);
    config.synonyms = broker_synonyms(shard, name);
    let is_theirs =
        |synonym: &DescribeConfigsSynonym| synonym.source == source::DYNAMIC_DEFAULT_BROKER;
    config.synonyms.retain(is_theirs);
    config.config_source = source_of(&config.synonyms);
    Some(config)
}

/// What all brokers were given while they ran, and what this one was.
fn altered(shard: &Shard) -> (&BTreeMap<String, String>, &BTreeMap<String, String>) {
    let own = shard.image.broker_configs(Some(shard.node_id()));
    (shard.image.broker_configs(None), own)
}

fn source_of(synonyms: &[DescribeConfigsSynonym]) -> i8 {
    synonyms
        .first()
        .map_or(source::DEFAULT, |first| first.source)
}

/// Where a setting of the broker, or one that stands in for it, has a value; the strongest first. As Kafka has it, those that are
/// stronger than every value of the setting itself are left out.
fn broker_synonyms(shard: &Shard, name: &str) -> Vec<DescribeConfigsSynonym> {
    let names = broker_config::stand_ins(name);
    let (of_all, own) = altered(shard);
    let own = |name: &&str| own.get(*name).cloned();
    let of_all = |name: &&str| of_all.get(*name).cloned();
    let set = |name: &&str| shard.options.settings.get(*name).cloned();
    let default = |name: &&str| broker_config::find(name)?.key.default.map(str::to_owned);
    let of = |source, value: &dyn Fn(&&str) -> Option<String>| -> Vec<_> {
        let synonym = |name: &&str| {
            Some(DescribeConfigsSynonym {
                name: (*name).into(),
                value: Some(value(name)?.into()).filter(|_| !is_sensitive(name)),
                source,
            })
        };
        names.iter().filter_map(synonym).collect()
    };
    let all = [
        of(source::DYNAMIC_BROKER, &own),
        of(source::DYNAMIC_DEFAULT_BROKER, &of_all),
        of(source::STATIC_BROKER, &set),
        of(source::DEFAULT, &default),
    ];
    let all = all.into_iter().flatten();
    all.skip_while(|synonym| synonym.name.as_str() != name)
        .collect()
}
