//! DescribeConfigs: the settings of topics and of this broker, with where each value comes from (KIP-226, KIP-569).
//!
//! Nothing of a broker can be altered while it runs, so all of its settings are read-only, and there are no settings of the whole
//! cluster. The levels of loggers are not settings here: a broker has none. A resource that is named twice is described once, so the
//! answer is bounded by what there is to describe.

use std::collections::BTreeSet;

use wiber_controller::{TopicState, is_valid_topic_name};
use wiber_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use wiber_protocol::{ErrorCode, Str};

use super::*;
use crate::broker_config::{self, Setting};
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
    pub(super) const STATIC_BROKER: i8 = 4;
    pub(super) const DEFAULT: i8 = 5;
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
            Err((code, message)) => (code, Some(message.into()), Vec::new()),
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
            keys.map(|key| of_topic(topic, key)).collect()
        }
        resource::BROKER if name.is_empty() => Vec::new(),
        resource::BROKER => {
            check_broker(shard, name, " or empty string,")?;
            let settings = broker_config::settings(&shard.options).into_iter();
            settings
                .filter(|setting| is_wanted(setting.name))
                .map(of_broker)
                .collect()
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

fn of_topic(topic: &TopicState, key: &Key) -> DescribeConfigsResourceResult {
    let synonym = |name: &'static str, value: Str, source| DescribeConfigsSynonym {
        name: Str::from_static(name),
        value: Some(value),
        source,
    };
    let default = Str::from_static(key.default);
    let mut synonyms = Vec::new();
    let set = topic.configs.get(key.name).map(|value| {
        // What is kept was checked when it was set.
        let value = key.kind.parse(value).unwrap_or_else(|_| value.clone());
        Str::from(value)
    });
    if let Some(value) = &set {
        synonyms.push(synonym(key.name, value.clone(), source::TOPIC));
    }
    if let Some(name) = key.synonym {
        synonyms.push(synonym(name, default.clone(), source::DEFAULT));
    }
    DescribeConfigsResourceResult {
        name: Str::from_static(key.name),
        config_source: if set.is_some() {
            source::TOPIC
        } else {
            source::DEFAULT
        },
        value: Some(set.unwrap_or(default)),
        read_only: false,
        is_sensitive: false,
        synonyms,
        config_type: key.kind.number(),
        documentation: Some(Str::from_static(key.documentation)),
    }
}

fn of_broker(setting: Setting) -> DescribeConfigsResourceResult {
    let name = Str::from_static(setting.name);
    let is_set = setting.value != setting.default;
    let value = |value: Option<String>| value.map(Str::from);
    let mut synonyms = Vec::new();
    let mut add = |value: Option<Str>, source| {
        if value.is_some() {
            synonyms.push(DescribeConfigsSynonym {
                name: name.clone(),
                value,
                source,
            });
        }
    };
    if is_set {
        add(value(setting.value.clone()), source::STATIC_BROKER);
    }
    add(value(setting.default), source::DEFAULT);
    DescribeConfigsResourceResult {
        name,
        value: value(setting.value),
        read_only: true,
        config_source: if is_set {
            source::STATIC_BROKER
        } else {
            source::DEFAULT
        },
        is_sensitive: false,
        synonyms,
        config_type: setting.kind.number(),
        documentation: Some(Str::from_static(setting.documentation)),
    }
}
