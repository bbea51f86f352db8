//! A topic's configuration: which keys there are, what they may be, and what they mean to its logs.
//!
//! Names, bounds and defaults are Kafka's (`TopicConfig`, `LogConfig`); `wiber.durability` is ours (S6).

mod keys;
mod kind;

use std::collections::BTreeMap;

use wiber_model::batch::{Compression, TimestampType};
use wiber_model::limit::DEFAULT_MAX_MESSAGE_BYTES;
use wiber_storage::LogConfig;
use wiber_storage::compression::Codec;
use wiber_storage::validate::Rules;

pub(crate) use keys::{Effect, KEYS, Key};
use keys::{FOR_TESTS, RESTRICTIONS};
pub(crate) use kind::{INT_MAX, Kind};

/// The topic key for durability: `synced` or `relaxed`.
pub const DURABILITY: &str = "wiber.durability";

/// The topic key that says whether a replica may lead that lost records: the groups of `__consumer_offsets` are then served without.
pub(crate) const UNCLEAN_LEADER: &str = "unclean.leader.election.enable";

/// For a retention without a bound.
const NO_LIMIT: i64 = -1;

/// The codecs that `compression.type` chooses between, at the levels that are set.
struct Codecs {
    /// None where each batch keeps its own.
    chosen: Option<Compression>,
    gzip: Codec,
    zstd: Codec,
}

/// What a topic's settings come to.
#[derive(Clone, Debug)]
pub(crate) struct TopicConfig {
    log: LogConfig,
    rules: Rules,
    unclean_leader: bool,
}

/// The setting of that name.
pub(crate) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Checks one setting.
///
/// # Errors
/// In words: the key, what it was set to, and what it may be.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    let Some(key) = key(name) else {
        if FOR_TESTS.contains(&name) {
            return Err(format!(
                "{name} is not served: Kafka has it for its own tests only"
            ));
        }
        return Err(format!("Unknown topic config name: {name}"));
    };
    let refuse = |legal: String| {
        let mut message = format!("Invalid value {value} for configuration {name}: {legal}");
        if let Some((_, why)) = RESTRICTIONS.iter().find(|(of, _)| *of == name) {
            message.push_str(", as ");
            message.push_str(why);
        }
        message
    };
    key.kind.parse(value).map_err(refuse)?;
    Ok(())
}

/// Checks all settings of a topic, each and together.
///
/// # Errors
/// In words: the first that cannot be.
pub(crate) fn check_all(settings: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in settings {
        check(name, value)?;
    }
    let number = |name: &str| {
        let set = settings.get(name).map(String::as_str);
        set.or_else(|| key(name).map(|key| key.default))
            .and_then(|value| value.trim().parse::<i64>().ok())
    };
    if let (Some(min), Some(max)) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    ) && min > max
    {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ));
    }
    Ok(())
}

/// Warns of a setting that is taken and does nothing.
pub(crate) fn warn_if_without_effect(name: &str, value: &str) {
    if key(name).is_some_and(|key| key.effect == Effect::None) {
        tracing::warn!("topic config {name}={value} is taken and has no effect in Wiber");
    }
}

impl TopicConfig {
    /// The configuration that `settings`, which were checked, make of the broker's defaults, and these of the keys'.
    pub(crate) fn of(
        defaults: &BTreeMap<String, String>,
        settings: &BTreeMap<String, String>,
    ) -> TopicConfig {
        let mut config = TopicConfig {
            log: LogConfig::default(),
            rules: Rules {
                max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
                ..Rules::default()
            },
            unclean_leader: false,
        };
        let mut codecs = Codecs::default();
        for (key, value) in defaults.iter().chain(settings) {
            let value = value.trim();
            config.set(key, value);
            codecs.set(key, value);
        }
        config.rules.codec = codecs.codec();
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

    /// Whether a replica may lead that lost records.
    pub(crate) fn unclean_leader(&self) -> bool {
        self.unclean_leader
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
            ("retention.bytes", Some(n)) => log.retention_bytes = n.max(NO_LIMIT),
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
            ("cleanup.policy", _) => {
                let has = |policy| value.split(',').any(|each| each.trim() == policy);
                log.delete = has("delete");
                log.compact = has("compact");
                self.rules.compacted = log.compact;
            }
            ("delete.retention.ms", Some(n)) => log.delete_retention_ms = n,
            ("min.compaction.lag.ms", Some(n)) => log.min_compaction_lag_ms = n,
            ("max.compaction.lag.ms", Some(n)) => log.max_compaction_lag_ms = n,
            ("min.cleanable.dirty.ratio", _) => {
                if let Ok(ratio) = value.parse() {
                    log.min_cleanable_ratio = ratio;
                }
            }
            (UNCLEAN_LEADER, _) => self.unclean_leader = value.eq_ignore_ascii_case("true"),
            (DURABILITY, _) => log.relaxed = value == "relaxed",
            _ => {}
        }
    }
}

impl Codecs {
    fn set(&mut self, key: &str, value: &str) {
        let level = value.parse::<i32>().ok();
        match (key, level) {
            ("compression.gzip.level", Some(level @ 1..)) => self.gzip.level = level,
            ("compression.gzip.level", _) => self.gzip = Codec::of(Compression::Gzip),
            ("compression.zstd.level", Some(level)) => self.zstd.level = level,
            ("compression.type", _) => {
                self.chosen = match value {
                    "uncompressed" => Some(Compression::None),
                    "gzip" => Some(Compression::Gzip),
                    "snappy" => Some(Compression::Snappy),
                    "lz4" => Some(Compression::Lz4),
                    "zstd" => Some(Compression::Zstd),
                    _ => None,
                };
            }
            _ => {}
        }
    }

    fn codec(&self) -> Option<Codec> {
        Some(match self.chosen? {
            Compression::Gzip => self.gzip,
            Compression::Zstd => self.zstd,
            other => Codec::of(other),
        })
    }
}

impl Default for Codecs {
    fn default() -> Codecs {
        Codecs {
            chosen: None,
            gzip: Codec::of(Compression::Gzip),
            zstd: Codec::of(Compression::Zstd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_but_for_ours() {
        let kafkas = &KEYS[..KEYS.len() - 1];
        assert!(kafkas.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn defaults_are_legal_and_are_what_holds() {
        let none = BTreeMap::new();
        let defaults = KEYS
            .iter()
            .map(|key| (key.name.to_owned(), key.default.to_owned()));
        let all: BTreeMap<_, _> = defaults.collect();
        assert_eq!(check_all(&all), Ok(()));
        for key in KEYS {
            assert_eq!(key.kind.parse(key.default).as_deref(), Ok(key.default));
        }
        let (set, unset) = (TopicConfig::of(&none, &all), TopicConfig::of(&none, &none));
        assert_eq!(set.log(), unset.log());
        assert_eq!(format!("{:?}", set.rules()), format!("{:?}", unset.rules()));
    }

    #[test]
    fn settings_are_checked_together() {
        let lags = |min: &str, max: &str| {
            BTreeMap::from([
                ("min.compaction.lag.ms".to_owned(), min.to_owned()),
                ("max.compaction.lag.ms".to_owned(), max.to_owned()),
            ])
        };
        assert_eq!(check_all(&lags("5", "10")), Ok(()));
        assert!(check_all(&lags("10", "5")).is_err_and(|e| e.contains("(10) >")));
    }

    #[test]
    fn settings_are_checked_by_key_and_bounds() {
        assert_eq!(check("retention.ms", "-1"), Ok(()));
        assert!(check("retention.ms", "-2").is_err_and(|e| e.contains("retention.ms")));
        assert!(check("retention.ms", "soon").is_err_and(|e| e.contains("whole number")));
        assert!(check("retention.m", "1").is_err_and(|e| e.contains("Unknown topic config name")));
        assert!(check("cleanup.policy", "burn").is_err_and(|e| e.contains("of: compact, delete")));
        assert_eq!(check(DURABILITY, "relaxed"), Ok(()));
    }

    #[test]
    fn settings_reach_log_and_rules() {
        let settings = BTreeMap::from([
            ("segment.bytes".to_owned(), "2000000".to_owned()),
            (
                "message.timestamp.type".to_owned(),
                "LogAppendTime".to_owned(),
            ),
            (DURABILITY.to_owned(), "relaxed".to_owned()),
            ("compression.zstd.level".to_owned(), "-5".to_owned()),
            ("compression.type".to_owned(), "zstd".to_owned()),
        ]);
        let defaults = BTreeMap::from([
            ("segment.bytes".to_owned(), "3000000".to_owned()),
            ("segment.ms".to_owned(), "77".to_owned()),
        ]);
        let config = TopicConfig::of(&defaults, &settings);
        assert_eq!(config.log().segment_ms, 77);
        assert_eq!(config.log().segment_bytes, 2_000_000);
        assert!(config.log().relaxed);
        assert_eq!(config.rules().timestamp_type, TimestampType::LogAppendTime);
        let codec = Codec {
            compression: Compression::Zstd,
            level: -5,
        };
        assert_eq!(config.rules().codec, Some(codec));
    }

    #[test]
    fn policies_are_a_list() {
        let config = |value: &str| {
            let settings = BTreeMap::from([
                ("cleanup.policy".to_owned(), value.to_owned()),
                ("min.cleanable.dirty.ratio".to_owned(), "0.25".to_owned()),
            ]);
            let config = TopicConfig::of(&BTreeMap::new(), &settings);
            assert_eq!(config.log().min_cleanable_ratio, 0.25);
            assert_eq!(config.rules().compacted, config.log().compact);
            (config.log().compact, config.log().delete)
        };
        assert_eq!(config(""), (false, false));
        assert_eq!(config("delete"), (false, true));
        assert_eq!(config("compact"), (true, false));
        assert_eq!(config("compact,delete"), (true, true));
    }

    #[test]
    fn what_is_refused_says_why() {
        let why = |name, value| check(name, value).unwrap_err();
        assert!(why("max.message.bytes", "16777217").contains("write-ahead log"));
        assert!(why("remote.storage.enable", "true").contains("no tiered storage"));
        assert!(why("internal.segment.bytes", "1").contains("tests only"));
    }
}
