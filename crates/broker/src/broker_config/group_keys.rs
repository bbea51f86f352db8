//! The table of the settings of groups: rows as in `keys.rs`, by name.

use std::sync::Arc;

use wiber_coordinator::{ConsumerMigration, GroupConfig};

use super::keys::{Alterable, INT_MIN, Key, Sets, Value};
use super::options::{Fault, NodeOptions};
use crate::topic_config::{INT_MAX, Kind};

const MS_PER_MINUTE: i64 = 60_000;
/// A committed offset's metadata are a string of the protocol, which has no more bytes.
const METADATA_BYTES_MAX: i64 = 0x7fff;

fn groups(node: &mut NodeOptions) -> &mut GroupConfig {
    Arc::make_mut(&mut node.broker.groups)
}

fn migration(value: Value<'_>) -> ConsumerMigration {
    match value.text() {
        "disabled" => ConsumerMigration::Disabled,
        "upgrade" => ConsumerMigration::Upgrade,
        "downgrade" => ConsumerMigration::Downgrade,
        _ => ConsumerMigration::Bidirectional,
    }
}

/// The settings of groups.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "group.consumer.assignment.interval.ms",
        kind: Kind::Int(0, INT_MAX),
        default: Some("1000"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_assignment_interval_ms = value.number() as i32
        }),
        documentation: "A target assignment of a group of the consumer protocol is made at most this often, in milliseconds; 0 for at once.",
    },
    Key {
        name: "group.consumer.assignors",
        kind: Kind::Words(&["uniform", "range"]),
        default: Some("uniform,range"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_assignors = value.elements().map(str::to_owned).collect()
        }),
        documentation: "The assignors that groups of the consumer protocol may ask for; those that ask for none get the first.",
    },
    Key {
        name: "group.consumer.heartbeat.interval.ms",
        kind: Kind::Int(1, INT_MAX),
        default: Some("5000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_heartbeat_interval_ms = value.number() as i32
        }),
        documentation: "How often members of the consumer protocol are to say that they are alive, in milliseconds.",
    },
    Key {
        name: "group.consumer.max.assignment.interval.ms",
        kind: Kind::Int(0, INT_MAX),
        default: Some("15000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_max_assignment_interval_ms = value.number() as i32
        }),
        documentation: "The most that a group may set for `consumer.assignment.interval.ms`.",
    },
    Key {
        name: "group.consumer.max.heartbeat.interval.ms",
        kind: Kind::Int(1, INT_MAX),
        default: Some("15000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_max_heartbeat_interval_ms = value.number() as i32
        }),
        documentation: "The most that a group may set for `consumer.heartbeat.interval.ms`.",
    },
    Key {
        name: "group.consumer.max.session.timeout.ms",
        kind: Kind::Int(1, INT_MAX),
        default: Some("60000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_max_session_timeout_ms = value.number() as i32
        }),
        documentation: "The most that a group may set for `consumer.session.timeout.ms`.",
    },
    Key {
        name: "group.consumer.max.size",
        kind: Kind::Int(1, INT_MAX),
        default: Some("2147483647"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| groups(node).consumer_max_size = value.number() as i32),
        documentation: "How many members a group of the consumer protocol may have.",
    },
    Key {
        name: "group.consumer.migration.policy",
        kind: Kind::Word(&["disabled", "downgrade", "upgrade", "bidirectional"]),
        default: Some("bidirectional"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| groups(node).consumer_migration = migration(value)),
        documentation: "Which groups may change their protocol while they have members: `upgrade` from the classic to the consumer protocol, `downgrade`, `bidirectional`, or `disabled`.",
    },
    Key {
        name: "group.consumer.min.assignment.interval.ms",
        kind: Kind::Int(0, INT_MAX),
        default: Some("0"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_min_assignment_interval_ms = value.number() as i32
        }),
        documentation: "The least that a group may set for `consumer.assignment.interval.ms`.",
    },
    Key {
        name: "group.consumer.min.heartbeat.interval.ms",
        kind: Kind::Int(1, INT_MAX),
        default: Some("5000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_min_heartbeat_interval_ms = value.number() as i32
        }),
        documentation: "The least that a group may set for `consumer.heartbeat.interval.ms`.",
    },
    Key {
        name: "group.consumer.min.session.timeout.ms",
        kind: Kind::Int(1, INT_MAX),
        default: Some("45000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_min_session_timeout_ms = value.number() as i32
        }),
        documentation: "The least that a group may set for `consumer.session.timeout.ms`.",
    },
    Key {
        name: "group.consumer.regex.refresh.interval.ms",
        kind: Kind::Int(10000, INT_MAX),
        default: Some("600000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_regex_refresh_interval_ms = value.number()
        }),
        documentation: "How often the topics that a regular expression names are looked up anew, in milliseconds.",
    },
    Key {
        name: "group.consumer.session.timeout.ms",
        kind: Kind::Int(1, INT_MAX),
        default: Some("45000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_session_timeout_ms = value.number() as i32
        }),
        documentation: "A member of the consumer protocol that is silent for so long is taken for dead, in milliseconds.",
    },
    Key {
        name: "group.coordinator.rebalance.protocols",
        kind: Kind::Words(&["consumer", "classic", "share", "streams"]),
        default: Some("classic,consumer,streams"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).consumer_protocol = value.elements().any(|protocol| protocol == "consumer")
        }),
        documentation: "The protocols that groups may speak: `classic`, and `consumer` (KIP-848). The others of Kafka's have no effect.",
    },
    Key {
        name: "group.initial.rebalance.delay.ms",
        kind: Kind::Int(INT_MIN, INT_MAX),
        default: Some("3000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).initial_rebalance_delay_ms = value.number() as i32
        }),
        documentation: "How long an empty classic group waits for more members before it assigns for the first time, in milliseconds.",
    },
    Key {
        name: "group.max.session.timeout.ms",
        kind: Kind::Int(INT_MIN, INT_MAX),
        default: Some("1800000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).max_session_timeout_ms = value.number() as i32
        }),
        documentation: "The longest session timeout that a member of a classic group may ask for, in milliseconds.",
    },
    Key {
        name: "group.max.size",
        kind: Kind::Int(1, INT_MAX),
        default: Some("2147483647"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| groups(node).max_size = value.number() as i32),
        documentation: "How many members a classic group may have.",
    },
    Key {
        name: "group.min.session.timeout.ms",
        kind: Kind::Int(INT_MIN, INT_MAX),
        default: Some("6000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).min_session_timeout_ms = value.number() as i32
        }),
        documentation: "The shortest session timeout that a member of a classic group may ask for, in milliseconds.",
    },
    Key {
        name: "offset.metadata.max.bytes",
        kind: Kind::Int(0, METADATA_BYTES_MAX),
        default: Some("4096"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).offset_metadata_max_bytes = value.number() as i32
        }),
        documentation: "How many bytes a client may keep with a committed offset.",
    },
    Key {
        name: "offsets.retention.check.interval.ms",
        kind: Kind::Long(1),
        default: Some("600000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).offsets_retention_check_interval_ms = value.number()
        }),
        documentation: "How often offsets that have expired are looked for, in milliseconds.",
    },
    Key {
        name: "offsets.retention.minutes",
        kind: Kind::Int(1, INT_MAX),
        default: Some("10080"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            groups(node).offsets_retention_ms = value.number() * MS_PER_MINUTE
        }),
        documentation: "Offsets expire so many minutes after their group lost its last member, or stopped to want their topic.",
    },
    Key {
        name: "offsets.topic.num.partitions",
        kind: Kind::Int(1, INT_MAX),
        default: Some("50"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.offsets_partitions = value.number() as i32),
        documentation: "Over how many partitions groups are spread. It must not change once there are groups.",
    },
    Key {
        name: "offsets.topic.replication.factor",
        kind: Kind::Short(1),
        default: Some("3"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            node.broker.offsets_replication_factor = value.number() as i16
        }),
        documentation: "How many replicas the topic of groups is made with, as far as there are brokers.",
    },
    Key {
        name: "offsets.topic.segment.bytes",
        kind: Kind::Int(1, INT_MAX),
        default: Some("104857600"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.offsets_segment_bytes = value.number() as i32),
        documentation: "`segment.bytes` of the topic of groups.",
    },
];

/// What is wrong with the settings together (`GroupCoordinatorConfig`).
pub(super) fn faults(config: &GroupConfig) -> Vec<Fault> {
    let ordered = [
        (
            "group.min.session.timeout.ms",
            config.min_session_timeout_ms <= config.max_session_timeout_ms,
            "it must not be above group.max.session.timeout.ms",
        ),
        (
            "group.consumer.session.timeout.ms",
            (config.consumer_min_session_timeout_ms..=config.consumer_max_session_timeout_ms)
                .contains(&config.consumer_session_timeout_ms),
            "it must be from group.consumer.min.session.timeout.ms to group.consumer.max.session.timeout.ms",
        ),
        (
            "group.consumer.heartbeat.interval.ms",
            (config.consumer_min_heartbeat_interval_ms..=config.consumer_max_heartbeat_interval_ms)
                .contains(&config.consumer_heartbeat_interval_ms),
            "it must be from group.consumer.min.heartbeat.interval.ms to group.consumer.max.heartbeat.interval.ms",
        ),
        (
            "group.consumer.heartbeat.interval.ms",
            config.consumer_heartbeat_interval_ms < config.consumer_session_timeout_ms,
            "it must be below group.consumer.session.timeout.ms",
        ),
        (
            "group.consumer.assignment.interval.ms",
            (config.consumer_min_assignment_interval_ms
                ..=config.consumer_max_assignment_interval_ms)
                .contains(&config.consumer_assignment_interval_ms),
            "it must be from group.consumer.min.assignment.interval.ms to group.consumer.max.assignment.interval.ms",
        ),
        (
            "group.consumer.assignors",
            !config.consumer_assignors.is_empty(),
            "at least one of uniform and range is wanted",
        ),
    ];
    let fault = |(key, holds, why): (&'static str, bool, &str)| {
        let why = why.to_owned();
        (!holds).then_some(Fault { key, why })
    };
    ordered.into_iter().filter_map(fault).collect()
}
