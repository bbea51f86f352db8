//! The table of a topic's settings: names, what they may be, defaults, and what they mean.
//!
//! Names, bounds and defaults are Kafka's (`TopicConfig`, `LogConfig`, `ServerTopicConfigSynonyms`), the sentences are ours.

use wiber_model::limit::MAX_BATCH_BYTES;

use super::kind::{INT_MAX, Kind};
use super::{DURABILITY, UNCLEAN_LEADER};

/// Whether a key does something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Served,
    /// A valid setting of Kafka that has no effect in Wiber: taken, with a warning.
    None,
}

/// A setting of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub effect: Effect,
    /// What holds where the topic does not set it, as Kafka writes it.
    pub default: &'static str,
    /// The broker's setting that the default comes from, if that has a value.
    pub synonym: Option<&'static str>,
    /// What it means, in words.
    pub documentation: &'static str,
}

/// Keys of which Wiber takes less than Kafka does, and why.
pub(crate) const RESTRICTIONS: &[(&str, &str)] = &[
    (
        "max.message.bytes",
        "the write-ahead log takes no larger batches",
    ),
    ("remote.storage.enable", "there is no tiered storage"),
];

/// Keys that Kafka has for its own tests only: not served.
pub(crate) const FOR_TESTS: &[&str] = &["internal.segment.bytes"];

/// Each key once.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "cleanup.policy",
        kind: Kind::Words(&["compact", "delete"]),
        effect: Effect::Served,
        default: "delete",
        synonym: Some("log.cleanup.policy"),
        documentation: "What becomes of old segments: with `delete` they go as `retention.ms` and `retention.bytes` say; with `compact` the newest record of each key stays, and older ones go; an empty list keeps them for ever.",
    },
    Key {
        name: "compression.gzip.level",
        kind: Kind::IntOr(-1, 1, 9),
        effect: Effect::Served,
        default: "-1",
        synonym: Some("compression.gzip.level"),
        documentation: "How hard gzip tries where `compression.type` is gzip, 1 to 9; -1 for its default.",
    },
    Key {
        name: "compression.lz4.level",
        kind: Kind::Int(1, 17),
        effect: Effect::None,
        default: "9",
        synonym: Some("compression.lz4.level"),
        documentation: "How hard LZ4 tries where `compression.type` is lz4. Taken, without effect: it always tries as hard as at the default.",
    },
    Key {
        name: "compression.type",
        kind: Kind::Word(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        effect: Effect::Served,
        default: "producer",
        synonym: Some("compression.type"),
        documentation: "How batches are compressed on disk: as the producer did, or each in this codec; a batch that comes in another one is brought into it, and refused if it unfolds to more than 128 MiB.",
    },
    Key {
        name: "compression.zstd.level",
        kind: Kind::Int(-131_072, 22),
        effect: Effect::Served,
        default: "3",
        synonym: Some("compression.zstd.level"),
        documentation: "How hard zstd tries where `compression.type` is zstd, up to 22. Below 0 it is faster than it is thorough.",
    },
    Key {
        name: "delete.retention.ms",
        kind: Kind::Long(0),
        effect: Effect::Served,
        default: "86400000",
        synonym: Some("log.cleaner.delete.retention.ms"),
        documentation: "How long tombstones of a compacted topic stay once they were compacted for the first time, in milliseconds.",
    },
    Key {
        name: "file.delete.delay.ms",
        kind: Kind::Long(0),
        effect: Effect::None,
        default: "60000",
        synonym: Some("log.segment.delete.delay.ms"),
        documentation: "How long a file waits before it is deleted, in milliseconds. Taken, without effect: files go once nothing needs them.",
    },
    Key {
        name: "flush.messages",
        kind: Kind::Long(1),
        effect: Effect::None,
        default: "9223372036854775807",
        synonym: Some("log.flush.interval.messages"),
        documentation: "After how many messages a sync is forced. Taken, without effect: `wiber.durability` says what is synced.",
    },
    Key {
        name: "flush.ms",
        kind: Kind::Long(0),
        effect: Effect::None,
        default: "9223372036854775807",
        synonym: None,
        documentation: "After how many milliseconds a sync is forced. Taken, without effect: `wiber.durability` says what is synced.",
    },
    Key {
        name: "follower.replication.throttled.replicas",
        kind: Kind::Replicas,
        effect: Effect::None,
        default: "",
        synonym: None,
        documentation: "The replicas whose followers are held back, as `partition:broker` pairs, or `*` for all. Taken, without effect.",
    },
    Key {
        name: "index.interval.bytes",
        kind: Kind::Int(0, INT_MAX),
        effect: Effect::Served,
        default: "4096",
        synonym: Some("log.index.interval.bytes"),
        documentation: "How many bytes of a segment lie between two entries of its index.",
    },
    Key {
        name: "leader.replication.throttled.replicas",
        kind: Kind::Replicas,
        effect: Effect::None,
        default: "",
        synonym: None,
        documentation: "The replicas whose leaders are held back, as `partition:broker` pairs, or `*` for all. Taken, without effect.",
    },
    Key {
        name: "local.retention.bytes",
        kind: Kind::Long(-2),
        effect: Effect::None,
        default: "-2",
        synonym: Some("log.local.retention.bytes"),
        documentation: "How many bytes of a tiered partition stay on this broker. Taken, without effect.",
    },
    Key {
        name: "local.retention.ms",
        kind: Kind::Long(-2),
        effect: Effect::None,
        default: "-2",
        synonym: Some("log.local.retention.ms"),
        documentation: "How long records of a tiered partition stay on this broker, in milliseconds. Taken, without effect.",
    },
    Key {
        name: "max.compaction.lag.ms",
        kind: Kind::Long(1),
        effect: Effect::Served,
        default: "9223372036854775807",
        synonym: Some("log.cleaner.max.compaction.lag.ms"),
        documentation: "The longest that a record of a compacted topic stays uncompacted, in milliseconds: then it is compacted however little there is.",
    },
    Key {
        name: "max.message.bytes",
        kind: Kind::Int(0, MAX_BATCH_BYTES as i64),
        effect: Effect::Served,
        default: "1048588",
        synonym: Some("message.max.bytes"),
        documentation: "The largest batch that is taken, in bytes, as it is compressed.",
    },
    Key {
        name: "message.timestamp.after.max.ms",
        kind: Kind::Long(0),
        effect: Effect::Served,
        default: "3600000",
        synonym: Some("log.message.timestamp.after.max.ms"),
        documentation: "How far a record's timestamp may be ahead of the broker's clock, in milliseconds.",
    },
    Key {
        name: "message.timestamp.before.max.ms",
        kind: Kind::Long(0),
        effect: Effect::Served,
        default: "9223372036854775807",
        synonym: Some("log.message.timestamp.before.max.ms"),
        documentation: "How far a record's timestamp may be behind the broker's clock, in milliseconds.",
    },
    Key {
        name: "message.timestamp.type",
        kind: Kind::Word(&["CreateTime", "LogAppendTime"]),
        effect: Effect::Served,
        default: "CreateTime",
        synonym: Some("log.message.timestamp.type"),
        documentation: "Whose time a record has: `CreateTime` the producer's, `LogAppendTime` the broker's.",
    },
    Key {
        name: "min.cleanable.dirty.ratio",
        kind: Kind::Ratio,
        effect: Effect::Served,
        default: "0.5",
        synonym: Some("log.cleaner.min.cleanable.ratio"),
        documentation: "Which part of a compacted topic's log must be new since it was compacted last, before it is compacted again.",
    },
    Key {
        name: "min.compaction.lag.ms",
        kind: Kind::Long(0),
        effect: Effect::Served,
        default: "0",
        synonym: Some("log.cleaner.min.compaction.lag.ms"),
        documentation: "The least that a record of a compacted topic stays uncompacted, in milliseconds.",
    },
    Key {
        name: "min.insync.replicas",
        kind: Kind::Int(1, INT_MAX),
        effect: Effect::None,
        default: "1",
        synonym: Some("min.insync.replicas"),
        documentation: "How many replicas must be in sync for acks=all. Taken, without effect: a partition has one replica.",
    },
    Key {
        name: "preallocate",
        kind: Kind::Flag,
        effect: Effect::None,
        default: "false",
        synonym: Some("log.preallocate"),
        documentation: "Whether segments get their space on disk when they begin. Taken, without effect.",
    },
    Key {
        name: "remote.log.copy.disable",
        kind: Kind::Flag,
        effect: Effect::None,
        default: "false",
        synonym: None,
        documentation: "Whether a tiered topic is copied no further. Taken, without effect: no topic is tiered.",
    },
    Key {
        name: "remote.log.delete.on.disable",
        kind: Kind::Flag,
        effect: Effect::None,
        default: "false",
        synonym: None,
        documentation: "Whether what was copied of a tiered topic goes when it is tiered no longer. Taken, without effect: no topic is tiered.",
    },
    Key {
        name: "remote.storage.enable",
        kind: Kind::Off,
        effect: Effect::None,
        default: "false",
        synonym: None,
        documentation: "Whether the topic is tiered: it cannot be.",
    },
    Key {
        name: "retention.bytes",
        kind: Kind::Long(i64::MIN),
        effect: Effect::Served,
        default: "-1",
        synonym: Some("log.retention.bytes"),
        documentation: "How many bytes a partition may have before its oldest segments go; below 0 for any number.",
    },
    Key {
        name: "retention.ms",
        kind: Kind::Long(-1),
        effect: Effect::Served,
        default: "604800000",
        synonym: None,
        documentation: "How old the newest record of a segment may be before the segment goes, in milliseconds; -1 for any age.",
    },
    Key {
        name: "segment.bytes",
        kind: Kind::Int(1024 * 1024, INT_MAX),
        effect: Effect::Served,
        default: "1073741824",
        synonym: Some("log.segment.bytes"),
        documentation: "How large a segment may become, in bytes.",
    },
    Key {
        name: "segment.index.bytes",
        kind: Kind::Int(4, INT_MAX),
        effect: Effect::None,
        default: "10485760",
        synonym: Some("log.index.size.max.bytes"),
        documentation: "How large the index of a segment may become, in bytes. Taken, without effect: an index is as large as its segment makes it.",
    },
    Key {
        name: "segment.jitter.ms",
        kind: Kind::Long(0),
        effect: Effect::None,
        default: "0",
        synonym: None,
        documentation: "How much earlier than `segment.ms` a segment may end at random, in milliseconds. Taken, without effect.",
    },
    Key {
        name: "segment.ms",
        kind: Kind::Long(1),
        effect: Effect::Served,
        default: "604800000",
        synonym: None,
        documentation: "How far the timestamps in a segment may lie apart, in milliseconds.",
    },
    Key {
        name: UNCLEAN_LEADER,
        kind: Kind::Flag,
        effect: Effect::Served,
        default: "false",
        synonym: Some(UNCLEAN_LEADER),
        documentation: "Whether a replica may lead although it has lost records. A partition has one replica, which leads; so it matters for `__consumer_offsets` only: groups whose stored state is damaged are served without what is lost.",
    },
    Key {
        name: DURABILITY,
        kind: Kind::Word(&["synced", "relaxed"]),
        effect: Effect::Served,
        default: "synced",
        synonym: None,
        documentation: "When a producer is answered: `synced` once its records are synced to disk, `relaxed` once they are written.",
    },
];
