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

/// A setting that holds from the start on.
const fn fixed(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    set: fn(&mut NodeOptions, Value<'_>),
    documentation: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default: Some(default),
        alterable: Alterable::Never,
        sets: Sets::Option(set),
        documentation,
    }
}

/// A setting that can be altered for all brokers while they run.
const fn altered(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    set: fn(&mut NodeOptions, Value<'_>),
    documentation: &'static str,
) -> Key {
    Key {
        alterable: Alterable::ForAll,
        ..fixed(name, kind, default, set, documentation)
    }
}

/// The settings of groups, by name.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    altered("group.consumer.assignment.interval.ms", Kind::Int(0, INT_MAX), "1000",
        |node, value| groups(node).consumer_assignment_interval_ms = value.number() as i32,
        "A target assignment of a group of the consumer protocol is made at most this often, in milliseconds; 0 for at once."),
    fixed("group.consumer.assignors", Kind::Words(&["uniform", "range"]), "uniform,range",
        |node, value| groups(node).consumer_assignors = value.elements().map(str::to_owned).collect(),
        "The assignors that groups of the consumer protocol may ask for; those that ask for none get the first."),
    fixed("group.consumer.heartbeat.interval.ms", Kind::Int(1, INT_MAX), "5000",
        |node, value| groups(node).consumer_heartbeat_interval_ms = value.number() as i32,
        "How often members of the consumer protocol are to say that they are alive, in milliseconds."),
    fixed("group.consumer.max.assignment.interval.ms", Kind::Int(0, INT_MAX), "15000",
        |node, value| groups(node).consumer_max_assignment_interval_ms = value.number() as i32,
        "The most that a group may set for `consumer.assignment.interval.ms`."),
    fixed("group.consumer.max.heartbeat.interval.ms", Kind::Int(1, INT_MAX), "15000",
        |node, value| groups(node).consumer_max_heartbeat_interval_ms = value.number() as i32,
        "The most that a group may set for `consumer.heartbeat.interval.ms`."),
    fixed("group.consumer.max.session.timeout.ms", Kind::Int(1, INT_MAX), "60000",
        |node, value| groups(node).consumer_max_session_timeout_ms = value.number() as i32,
        "The most that a group may set for `consumer.session.timeout.ms`."),
    fixed("group.consumer.max.size", Kind::Int(1, INT_MAX), "2147483647",
        |node, value| groups(node).consumer_max_size = value.number() as i32,
        "How many members a group of the consumer protocol may have."),
    fixed("group.consumer.migration.policy", Kind::Word(&["disabled", "downgrade", "upgrade", "bidirectional"]), "bidirectional",
        |node, value| groups(node).consumer_migration = migration(value),
        "Which groups may change their protocol while they have members: `upgrade` from the classic to the consumer protocol, `downgrade`, `bidirectional`, or `disabled`."),
    fixed("group.consumer.min.assignment.interval.ms", Kind::Int(0, INT_MAX), "0",
        |node, value| groups(node).consumer_min_assignment_interval_ms = value.number() as i32,
        "The least that a group may set for `consumer.assignment.interval.ms`."),
    fixed("group.consumer.min.heartbeat.interval.ms", Kind::Int(1, INT_MAX), "5000",
        |node, value| groups(node).consumer_min_heartbeat_interval_ms = value.number() as i32,
        "The least that a group may set for `consumer.heartbeat.interval.ms`."),
    fixed("group.consumer.min.session.timeout.ms", Kind::Int(1, INT_MAX), "45000",
        |node, value| groups(node).consumer_min_session_timeout_ms = value.number() as i32,
        "The least that a group may set for `consumer.session.timeout.ms`."),
    fixed("group.consumer.regex.refresh.interval.ms", Kind::Int(10000, INT_MAX), "600000",
        |node, value| groups(node).consumer_regex_refresh_interval_ms = value.number(),
        "How often the topics that a regular expression names are looked up anew, in milliseconds."),
    fixed("group.consumer.session.timeout.ms", Kind::Int(1, INT_MAX), "45000",
        |node, value| groups(node).consumer_session_timeout_ms = value.number() as i32,
        "A member of the consumer protocol that is silent for so long is taken for dead, in milliseconds."),
    fixed("group.coordinator.rebalance.protocols", Kind::Words(&["consumer", "classic", "share", "streams"]), "classic,consumer,streams",
        |node, value| groups(node).consumer_protocol = value.elements().any(|protocol| protocol == "consumer"),
        "The protocols that groups may speak: `classic`, and `consumer` (KIP-848). The others of Kafka's have no effect."),
    fixed("group.initial.rebalance.delay.ms", Kind::Int(INT_MIN, INT_MAX), "3000",
        |node, value| groups(node).initial_rebalance_delay_ms = value.number() as i32,
        "How long an empty classic group waits for more members before it assigns for the first time, in milliseconds."),
    fixed("group.max.session.timeout.ms", Kind::Int(INT_MIN, INT_MAX), "1800000",
        |node, value| groups(node).max_session_timeout_ms = value.number() as i32,
        "The longest session timeout that a member of a classic group may ask for, in milliseconds."),
    fixed("group.max.size", Kind::Int(1, INT_MAX), "2147483647",
        |node, value| groups(node).max_size = value.number() as i32,
        "How many members a classic group may have."),
    fixed("group.min.session.timeout.ms", Kind::Int(INT_MIN, INT_MAX), "6000",
        |node, value| groups(node).min_session_timeout_ms = value.number() as i32,
        "The shortest session timeout that a member of a classic group may ask for, in milliseconds."),
    fixed("offset.metadata.max.bytes", Kind::Int(0, METADATA_BYTES_MAX), "4096",
        |node, value| groups(node).offset_metadata_max_bytes = value.number() as i32,
        "How many bytes a client may keep with a committed offset."),
    fixed("offsets.retention.check.interval.ms", Kind::Long(1), "600000",
        |node, value| groups(node).offsets_retention_check_interval_ms = value.number(),
        "How often offsets that have expired are looked for, in milliseconds."),
    fixed("offsets.retention.minutes", Kind::Int(1, INT_MAX), "10080",
        |node, value| groups(node).offsets_retention_ms = value.number() * MS_PER_MINUTE,
        "Offsets expire so many minutes after their group lost its last member, or stopped to want their topic."),
    fixed("offsets.topic.num.partitions", Kind::Int(1, INT_MAX), "50",
        |node, value| node.broker.offsets_partitions = value.number() as i32,
        "Over how many partitions groups are spread. It must not change once there are groups."),
    fixed("offsets.topic.replication.factor", Kind::Short(1), "3",
        |node, value| node.broker.offsets_replication_factor = value.number() as i16,
        "How many replicas the topic of groups is made with, as far as there are brokers."),
    fixed("offsets.topic.segment.bytes", Kind::Int(1, INT_MAX), "104857600",
        |node, value| node.broker.offsets_segment_bytes = value.number() as i32,
        "`segment.bytes` of the topic of groups."),
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
