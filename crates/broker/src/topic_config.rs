//! A topic's configuration: which keys there are, what they may be, and what they mean to its logs.
//!
//! Names, bounds and defaults are Kafka's (`TopicConfig`, `LogConfig`); `wiber.durability` is ours (S6).

use wiber_model::batch::TimestampType;
use wiber_model::limit::{DEFAULT_MAX_MESSAGE_BYTES, MAX_BATCH_BYTES};
use wiber_storage::LogConfig;
use wiber_storage::validate::Rules;

/// The topic key for durability: `synced` or `relaxed`.
pub const DURABILITY: &str = "wiber.durability";

/// What a key may be set to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A whole number within bounds.
    Number(i64, i64),
    /// A number from 0 to 1.
    Ratio,
    /// One of some words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Any list.
    List,
}

/// Whether a key does something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    Served,
    /// A valid setting of Kafka that has no effect in Wiber: taken, with a warning.
    None,
}

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;

/// Each key once.
const KEYS: &[(&str, Kind, Effect)] = &[
    ("cleanup.policy", Kind::Word(&["delete"]), Effect::Served),
    (
        "compression.type",
        Kind::Word(&["producer"]),
        Effect::Served,
    ),
    (
        "delete.retention.ms",
        Kind::Number(0, LONG_MAX),
        Effect::None,
    ),
    (
        "file.delete.delay.ms",
        Kind::Number(0, LONG_MAX),
        Effect::None,
    ),
    ("flush.messages", Kind::Number(1, LONG_MAX), Effect::None),
    ("flush.ms", Kind::Number(0, LONG_MAX), Effect::None),
    (
        "follower.replication.throttled.replicas",
        Kind::List,
        Effect::None,
    ),
    (
        "index.interval.bytes",
        Kind::Number(0, INT_MAX),
        Effect::Served,
    ),
    (
        "leader.replication.throttled.replicas",
        Kind::List,
        Effect::None,
    ),
    (
        "local.retention.bytes",
        Kind::Number(-2, LONG_MAX),
        Effect::None,
    ),
    (
        "local.retention.ms",
        Kind::Number(-2, LONG_MAX),
        Effect::None,
    ),
    (
        "max.compaction.lag.ms",
        Kind::Number(1, LONG_MAX),
        Effect::None,
    ),
    (
        "max.message.bytes",
        Kind::Number(0, MAX_BATCH_BYTES as i64),
        Effect::Served,
    ),
    (
        "message.timestamp.after.max.ms",
        Kind::Number(0, LONG_MAX),
        Effect::Served,
    ),
    (
        "message.timestamp.before.max.ms",
        Kind::Number(0, LONG_MAX),
        Effect::Served,
    ),
    (
        "message.timestamp.type",
        Kind::Word(&["CreateTime", "LogAppendTime"]),
        Effect::Served,
    ),
    ("min.cleanable.dirty.ratio", Kind::Ratio, Effect::None),
    (
        "min.compaction.lag.ms",
        Kind::Number(0, LONG_MAX),
        Effect::None,
    ),
    (
        "min.insync.replicas",
        Kind::Number(1, INT_MAX),
        Effect::None,
    ),
    ("preallocate", Kind::Flag, Effect::None),
    (
        "remote.storage.enable",
        Kind::Word(&["false"]),
        Effect::None,
    ),
    (
        "retention.bytes",
        Kind::Number(-1, LONG_MAX),
        Effect::Served,
    ),
    ("retention.ms", Kind::Number(-1, LONG_MAX), Effect::Served),
    (
        "segment.bytes",
        Kind::Number(1024 * 1024, INT_MAX),
        Effect::Served,
    ),
    (
        "segment.index.bytes",
        Kind::Number(4, INT_MAX),
        Effect::None,
    ),
    ("segment.jitter.ms", Kind::Number(0, LONG_MAX), Effect::None),
    ("segment.ms", Kind::Number(1, LONG_MAX), Effect::Served),
    ("unclean.leader.election.enable", Kind::Flag, Effect::None),
    (
        DURABILITY,
        Kind::Word(&["synced", "relaxed"]),
        Effect::Served,
    ),
];

/// What a topic's settings come to.
#[derive(Clone, Debug)]
pub(crate) struct TopicConfig {
    log: LogConfig,
    rules: Rules,
}

/// Checks one setting.
///
/// # Errors
/// In words: the key, what it was set to, and what it may be.
pub(crate) fn check(key: &str, value: &str) -> Result<(), String> {
    let Some((_, kind, effect)) = KEYS.iter().find(|(name, _, _)| *name == key) else {
        return Err(format!("Unknown topic config name: {key}"));
    };
    let refuse = |legal: String| {
        Err(format!(
            "Invalid value {value} for configuration {key}: {legal}"
        ))
    };
    match kind {
        Kind::Number(least, most) => match value.trim().parse::<i64>() {
            Ok(number) if (*least..=*most).contains(&number) => {}
            Ok(_) => return refuse(format!("must be from {least} to {most}")),
            Err(_) => return refuse("must be a whole number".to_owned()),
        },
        Kind::Ratio => match value.trim().parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => {}
            _ => return refuse("must be a number from 0 to 1".to_owned()),
        },
        Kind::Word(words) if !words.contains(&value.trim()) => {
            return refuse(format!("must be one of: {}", words.join(", ")));
        }
        Kind::Flag if !["true", "false"].contains(&value.trim()) => {
            return refuse("must be true or false".to_owned());
        }
        Kind::Word(_) | Kind::Flag | Kind::List => {}
    }
    if *effect == Effect::None {
        tracing::warn!("topic config {key}={value} is taken and has no effect in Wiber");
    }
    Ok(())
}

impl TopicConfig {
    /// The configuration that `settings`, which were checked, make of the defaults.
    pub(crate) fn of<'a, V: AsRef<str> + 'a>(
        settings: impl Iterator<Item = (&'a String, &'a V)>,
    ) -> TopicConfig {
        let mut config = TopicConfig {
            log: LogConfig::default(),
            rules: Rules {
                max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
                ..Rules::default()
            },
        };
        for (key, value) in settings {
            config.set(key, value.as_ref().trim());
        }
        config
    }

    /// What it means to a log.
    pub(crate) fn log(&self) -> LogConfig {
        self.log.clone()
    }

    /// What it means to a batch that comes in.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// A value that [`check`] did not pass leaves the default.
    fn set(&mut self, key: &str, value: &str) {
        let number = value.parse::<i64>().ok();
        let log = &mut self.log;
        match (key, number) {
            ("segment.bytes", Some(n)) => {
                log.segment_bytes = n as u64;
                self.rules.segment_bytes = n as usize;
            }
            ("segment.ms", Some(n)) => log.segment_ms = n,
            ("retention.ms", Some(n)) => log.retention_ms = n,
            ("retention.bytes", Some(n)) => log.retention_bytes = n,
            ("index.interval.bytes", Some(n)) => log.index_interval_bytes = n as u64,
            ("max.message.bytes", Some(n)) => self.rules.max_message_bytes = n as usize,
            ("message.timestamp.before.max.ms", Some(n)) => self.rules.timestamp_before_max_ms = n,
            ("message.timestamp.after.max.ms", Some(n)) => self.rules.timestamp_after_max_ms = n,
            ("message.timestamp.type", _) => {
                self.rules.timestamp_type = match value {
                    "LogAppendTime" => TimestampType::LogAppendTime,
                    _ => TimestampType::CreateTime,
                };
            }
            (DURABILITY, _) => log.relaxed = value == "relaxed",
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_but_for_ours() {
        let kafkas = &KEYS[..KEYS.len() - 1];
        assert!(kafkas.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn settings_are_checked_by_key_and_bounds() {
        assert_eq!(check("retention.ms", "-1"), Ok(()));
        assert!(check("retention.ms", "-2").is_err_and(|e| e.contains("retention.ms")));
        assert!(check("retention.ms", "soon").is_err_and(|e| e.contains("whole number")));
        assert!(check("retention.m", "1").is_err_and(|e| e.contains("Unknown topic config name")));
        assert!(check("cleanup.policy", "compact").is_err_and(|e| e.contains("one of: delete")));
        assert_eq!(check(DURABILITY, "relaxed"), Ok(()));
    }

    #[test]
    fn settings_reach_log_and_rules() {
        let settings = [
            ("segment.bytes".to_owned(), "2000000".to_owned()),
            (
                "message.timestamp.type".to_owned(),
                "LogAppendTime".to_owned(),
            ),
            (DURABILITY.to_owned(), "relaxed".to_owned()),
        ];
        let config = TopicConfig::of(settings.iter().map(|(k, v)| (k, v)));
        assert_eq!(config.log().segment_bytes, 2_000_000);
        assert!(config.log().relaxed);
        assert_eq!(config.rules().timestamp_type, TimestampType::LogAppendTime);
    }
}
