//! The settings of groups. Names and defaults are Kafka's (`GroupCoordinatorConfig`, `GroupConfig`).

/// What the broker's settings say about groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: the most members of a classic group.
    pub max_size: i32,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: i32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: i64,
    /// Whether `group.coordinator.rebalance.protocols` holds `consumer`.
    pub consumer_protocol: bool,
    /// `group.consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: i32,
    /// `group.consumer.min.session.timeout.ms`.
    pub consumer_min_session_timeout_ms: i32,
    /// `group.consumer.max.session.timeout.ms`.
    pub consumer_max_session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub consumer_min_heartbeat_interval_ms: i32,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub consumer_max_heartbeat_interval_ms: i32,
    /// `group.consumer.assignment.interval.ms`: a target assignment is made at most this often (KIP-1263).
    pub consumer_assignment_interval_ms: i32,
    /// `group.consumer.min.assignment.interval.ms`.
    pub consumer_min_assignment_interval_ms: i32,
    /// `group.consumer.max.assignment.interval.ms`.
    pub consumer_max_assignment_interval_ms: i32,
    /// `group.consumer.max.size`.
    pub consumer_max_size: i32,
    /// `group.consumer.assignors`: the first is what members get that name none.
    pub consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub consumer_migration: ConsumerMigration,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub consumer_regex_refresh_interval_ms: i64,
}

/// `group.consumer.migration.policy`: which groups may change their protocol while they have members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerMigration {
    /// None.
    Disabled,
    /// Classic groups to the consumer protocol.
    Upgrade,
    /// Groups of the consumer protocol to classic ones.
    Downgrade,
    /// Both ways.
    Bidirectional,
}

impl ConsumerMigration {
    /// Whether a classic group may become one of the consumer protocol.
    #[must_use]
    pub fn may_upgrade(self) -> bool {
        matches!(
            self,
            ConsumerMigration::Upgrade | ConsumerMigration::Bidirectional
        )
    }

    /// Whether a group of the consumer protocol may become a classic one.
    #[must_use]
    pub fn may_downgrade(self) -> bool {
        matches!(
            self,
            ConsumerMigration::Downgrade | ConsumerMigration::Bidirectional
        )
    }
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        const MINUTE_MS: i64 = 60_000;
        GroupConfig {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            offset_metadata_max_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 60 * MINUTE_MS,
            offsets_retention_check_interval_ms: 10 * MINUTE_MS,
            consumer_protocol: true,
            consumer_session_timeout_ms: 45_000,
            consumer_min_session_timeout_ms: 45_000,
            consumer_max_session_timeout_ms: 60_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_min_heartbeat_interval_ms: 5_000,
            consumer_max_heartbeat_interval_ms: 15_000,
            consumer_assignment_interval_ms: 1_000,
            consumer_min_assignment_interval_ms: 0,
            consumer_max_assignment_interval_ms: 15_000,
            consumer_max_size: i32::MAX,
            consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
            consumer_migration: ConsumerMigration::Bidirectional,
            consumer_regex_refresh_interval_ms: 10 * MINUTE_MS,
        }
    }
}

/// What is set for one group alone, in place of the broker's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupOverrides {
    /// `consumer.session.timeout.ms`.
    pub session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: Option<i32>,
    /// `consumer.assignment.interval.ms`.
    pub assignment_interval_ms: Option<i32>,
}
