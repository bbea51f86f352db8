//! The settings of groups: names, what they may be, and what holds where a group has none (KIP-848; `GroupConfig` of Kafka 4.3).

use std::collections::BTreeMap;

use wiber_controller::ClusterImage;
use wiber_coordinator::{GroupConfig, GroupOverrides};

use crate::topic_config::{INT_MAX, Kind};

/// What a group has that sets nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Default {
    /// What the broker has by this name.
    Broker(&'static str),
    /// This.
    Value(&'static str),
}

/// A setting of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// What it means, or why it means nothing here.
    pub documentation: &'static str,
    /// Whether it does something.
    pub is_served: bool,
}

const SHARE: &str = "without effect: there are no share groups yet";
const STREAMS: &str = "without effect: there are no Streams groups yet";
const FROM_1: Kind = Kind::Int(1, INT_MAX);
const FROM_0: Kind = Kind::Int(0, INT_MAX);

const SESSION_TIMEOUT: &str = "consumer.session.timeout.ms";
const HEARTBEAT_INTERVAL: &str = "consumer.heartbeat.interval.ms";
const ASSIGNMENT_INTERVAL: &str = "consumer.assignment.interval.ms";

const fn served(
    name: &'static str,
    kind: Kind,
    of: &'static str,
    documentation: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default: Default::Broker(of),
        documentation,
        is_served: true,
    }
}

const fn taken(name: &'static str, kind: Kind, default: Default, why: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
        documentation: why,
        is_served: false,
    }
}

/// By name.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    served(ASSIGNMENT_INTERVAL, FROM_0, "group.consumer.assignment.interval.ms", "A target assignment is made at most this often, in milliseconds."),
    served(HEARTBEAT_INTERVAL, FROM_1, "group.consumer.heartbeat.interval.ms", "How often members are to say that they are alive, in milliseconds."),
    served(SESSION_TIMEOUT, FROM_1, "group.consumer.session.timeout.ms", "A member that is silent for so long is taken for dead, in milliseconds."),
    taken("share.assignment.interval.ms", FROM_0, Default::Broker("group.share.assignment.interval.ms"), SHARE),
    taken("share.auto.offset.reset", Kind::Text, Default::Value("latest"), SHARE),
    taken("share.delivery.count.limit", Kind::Int(2, INT_MAX), Default::Broker("group.share.delivery.count.limit"), SHARE),
    taken("share.heartbeat.interval.ms", FROM_1, Default::Broker("group.share.heartbeat.interval.ms"), SHARE),
    taken("share.isolation.level", Kind::Word(&["read_committed", "read_uncommitted"]), Default::Value("read_uncommitted"), SHARE),
    taken("share.partition.max.record.locks", Kind::Int(100, INT_MAX), Default::Broker("group.share.partition.max.record.locks"), SHARE),
    taken("share.record.lock.duration.ms", Kind::Int(1000, INT_MAX), Default::Broker("group.share.record.lock.duration.ms"), SHARE),
    taken("share.renew.acknowledge.enable", Kind::Flag, Default::Value("true"), SHARE),
    taken("share.session.timeout.ms", FROM_1, Default::Broker("group.share.session.timeout.ms"), SHARE),
    taken("streams.assignment.interval.ms", FROM_0, Default::Broker("group.streams.assignment.interval.ms"), STREAMS),
    taken("streams.heartbeat.interval.ms", FROM_1, Default::Broker("group.streams.heartbeat.interval.ms"), STREAMS),
    taken("streams.initial.rebalance.delay.ms", FROM_0, Default::Broker("group.streams.initial.rebalance.delay.ms"), STREAMS),
    taken("streams.num.standby.replicas", FROM_0, Default::Broker("group.streams.num.standby.replicas"), STREAMS),
    taken("streams.session.timeout.ms", FROM_1, Default::Broker("group.streams.session.timeout.ms"), STREAMS),
];

/// The setting of that name.
pub(crate) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Checks all settings that a group would have, within what the broker allows (`GroupConfig.validate`).
///
/// # Errors
/// What is wrong with the first that cannot be.
pub(crate) fn check(
    configs: &BTreeMap<String, String>,
    of_broker: &GroupConfig,
) -> Result<(), String> {
    for (name, value) in configs {
        let key = key(name).ok_or_else(|| format!("Unknown group config name: {name}"))?;
        key.kind
            .parse(value)
            .map_err(|why| format!("Invalid value {value} for configuration {name}: {why}"))?;
    }
    let number = |name: &str, default: i32| {
        let value = configs
            .get(name)
            .and_then(|value| value.trim().parse().ok());
        value.unwrap_or(default)
    };
    let session = number(SESSION_TIMEOUT, of_broker.consumer_session_timeout_ms);
    let heartbeat = number(HEARTBEAT_INTERVAL, of_broker.consumer_heartbeat_interval_ms);
    let assignment = number(
        ASSIGNMENT_INTERVAL,
        of_broker.consumer_assignment_interval_ms,
    );
    for (name, value, least, most) in [
        (
            HEARTBEAT_INTERVAL,
            heartbeat,
            of_broker.consumer_min_heartbeat_interval_ms,
            of_broker.consumer_max_heartbeat_interval_ms,
        ),
        (
            SESSION_TIMEOUT,
            session,
            of_broker.consumer_min_session_timeout_ms,
            of_broker.consumer_max_session_timeout_ms,
        ),
        (
            ASSIGNMENT_INTERVAL,
            assignment,
            of_broker.consumer_min_assignment_interval_ms,
            of_broker.consumer_max_assignment_interval_ms,
        ),
    ] {
        let bound = |word: &str| name.replacen("consumer.", &format!("group.consumer.{word}."), 1);
        if value < least {
            let bound = bound("min");
            return Err(format!("{name} must be greater than or equal to {bound}"));
        }
        if value > most {
            let bound = bound("max");
            return Err(format!("{name} must be less than or equal to {bound}"));
        }
    }
    if session <= heartbeat {
        return Err(format!(
            "{SESSION_TIMEOUT} must be greater than {HEARTBEAT_INTERVAL}"
        ));
    }
    Ok(())
}

/// What a group has in place of the broker's settings: within the bounds that the broker has now, which may be others than when it was set.
pub(crate) fn overrides(
    image: &ClusterImage,
    of_broker: &GroupConfig,
    group: &str,
) -> GroupOverrides {
    let configs = image.group_configs(group);
    if configs.is_empty() {
        return GroupOverrides::default();
    }
    let number = |name: &str, least: i32, most: i32| {
        let value: i32 = configs.get(name)?.trim().parse().ok()?;
        Some(value.min(most).max(least))
    };
    GroupOverrides {
        session_timeout_ms: number(
            SESSION_TIMEOUT,
            of_broker.consumer_min_session_timeout_ms,
            of_broker.consumer_max_session_timeout_ms,
        ),
        heartbeat_interval_ms: number(
            HEARTBEAT_INTERVAL,
            of_broker.consumer_min_heartbeat_interval_ms,
            of_broker.consumer_max_heartbeat_interval_ms,
        ),
        assignment_interval_ms: number(
            ASSIGNMENT_INTERVAL,
            of_broker.consumer_min_assignment_interval_ms,
            of_broker.consumer_max_assignment_interval_ms,
        ),
    }
}

/// Logs that a setting is taken and does nothing.
pub(crate) fn warn_if_without_effect(group: &str, name: &str, value: &str) {
    if let Some(key) = key(name).filter(|key| !key.is_served) {
        tracing::warn!(group, "{name}={value} is {}", key.documentation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(configs: &[(&str, &str)]) -> Result<(), String> {
        let configs = configs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        check(&configs.collect(), &GroupConfig::default())
    }

    #[test]
    fn bounds_are_the_brokers() {
        assert_eq!(checked(&[(SESSION_TIMEOUT, "50000")]), Ok(()));
        assert_eq!(checked(&[("share.auto.offset.reset", "earliest")]), Ok(()));
        for (name, value, wrong) in [
            (
                SESSION_TIMEOUT,
                "1000",
                "greater than or equal to group.consumer.min.session.timeout.ms",
            ),
            (
                SESSION_TIMEOUT,
                "90000",
                "less than or equal to group.consumer.max.session.timeout.ms",
            ),
            (
                HEARTBEAT_INTERVAL,
                "1",
                "equal to group.consumer.min.heartbeat.interval.ms",
            ),
            (
                ASSIGNMENT_INTERVAL,
                "90000",
                "equal to group.consumer.max.assignment.interval.ms",
            ),
            (
                SESSION_TIMEOUT,
                "x",
                "Invalid value x for configuration consumer.session.timeout.ms",
            ),
            ("nonsense", "1", "Unknown group config name: nonsense"),
        ] {
            let error = checked(&[(name, value)]).unwrap_err();
            assert!(error.contains(wrong), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_group_that_sets_nothing_has_the_brokers() {
        let image = ClusterImage::default();
        let overrides = overrides(&image, &GroupConfig::default(), "group");
        assert_eq!(overrides, GroupOverrides::default());
    }
}
