//! The table of a broker's settings: names, what they may be, defaults, and what they mean.
//!
//! Names, bounds and defaults are Kafka's (`AbstractKafkaConfig.CONFIG_DEF`, `DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS`), the sentences are
//! ours; a default that differs says why. What a topic gets that sets nothing is declared with the topic's key, whose synonym is the
//! broker's.

use wiber_model::limit::MAX_FRAME_BYTES;
use wiber_protocol::Str;

use super::group_keys;
use super::options::NodeOptions;
use super::unused::{INTERNAL, UNUSED};
use crate::topic_config::{self, INT_MAX, Kind};

/// `max.request.partition.size.limit`, unless it is set.
pub(crate) const DEFAULT_DESCRIBED_PARTITIONS_MAX: i32 = 2000;
/// The most shards of a broker.
pub(crate) const SHARDS_MAX: i64 = 64;
/// The least of Kafka's INT.
pub(super) const INT_MIN: i64 = i32::MIN as i64;

/// What setting a key does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sets {
    /// One of the node's options.
    Option(fn(&mut NodeOptions, Value<'_>)),
    /// The default of a topic's key, in units of so many of the topic's.
    Topic(&'static str, i64),
    /// Something that is made of several settings: see `options.rs`.
    Together,
    /// Nothing: it is a valid setting of Kafka without effect in Wiber, for this reason, and taken with a warning.
    Nothing(&'static str),
}

/// Whether a setting can be altered while the broker runs (`DynamicBrokerConfig`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alterable {
    Never,
    /// For one broker.
    ForOne,
    /// For one broker, or for all that have none of their own.
    ForAll,
}

/// A setting of a broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// What holds where it is not set; `None` if nothing does.
    pub default: Option<&'static str>,
    pub alterable: Alterable,
    pub sets: Sets,
    /// What it means, in words.
    pub documentation: &'static str,
}

/// A value that its key's kind has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a>(pub &'a str);

impl<'a> Value<'a> {
    pub fn text(self) -> &'a str {
        self.0
    }

    pub fn number(self) -> i64 {
        let number = self.0.parse();
        number.unwrap_or_else(|_| unreachable!("{} was taken for a number", self.0))
    }

    fn int(self) -> i32 {
        self.number() as i32
    }

    fn is_true(self) -> bool {
        self.0 == "true"
    }

    fn float(self) -> f64 {
        let number = self.0.parse();
        number.unwrap_or_else(|_| unreachable!("{} was taken for a number", self.0))
    }

    /// The elements of a list.
    pub fn elements(self) -> impl Iterator<Item = &'a str> {
        self.0.split(',').map(str::trim).filter(|e| !e.is_empty())
    }
}

impl Key {
    /// Reads a value that the broker is given while it runs. What would let nobody connect is refused, as Kafka does
    /// (`ConnectionQuotas.ListenerConnectionQuota.validateReconfiguration`): nobody could take it back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_altered(&self, value: &str) -> Result<String, String> {
        let value = self.kind.parse(value)?;
        if LISTENERS_OWN.contains(&self.name) && value == "0" {
            return Err("0 would let nobody connect, not even to take it back".to_owned());
        }
        Ok(value)
    }

    /// Whether it does something here.
    pub fn is_served(&self) -> bool {
        !matches!(self.sets, Sets::Nothing(_))
    }

    /// Whether it is told of only where somebody set it.
    pub fn is_internal(&self) -> bool {
        INTERNAL.contains(&self.name)
    }

    /// What it means, and why it has no effect if it has none.
    pub fn described(&self) -> Str {
        match self.sets {
            Sets::Nothing(why) => format!("It has no effect in Wiber: {why}.").into(),
            _ => Str::from_static(self.documentation),
        }
    }
}

/// Every key: those that are only the broker's, those that are a topic's default, and those without effect.
pub(crate) fn all() -> impl Iterator<Item = Key> {
    let of_topics = topic_config::KEYS.iter().filter_map(of_topic);
    KEYS.iter()
        .chain(group_keys::KEYS)
        .copied()
        .chain(of_topics)
        .chain(UNUSED.iter().copied())
}

/// A key as it was named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub key: Key,
    /// The listener that it is of, if it is not of all.
    pub listener: Option<&'a str>,
}

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<Found<'_>> {
    let exact = |name: &str| all().find(|key| key.name == name);
    if let Some(key) = exact(name) {
        return Some(Found {
            key,
            listener: None,
        });
    }
    if let Some(rest) = name.strip_prefix(LISTENER_PREFIX) {
        let (listener, rest) = rest.split_once('.')?;
        // Between the two, Kafka may have a SASL mechanism, which limits of connections know nothing of.
        let mut rest = Some(rest);
        let mut is_listeners = true;
        while let Some(of_listener) = rest {
            let is_own = |key: &Key| LISTENERS_OWN.contains(&key.name);
            if let Some(key) = exact(of_listener).filter(|key| is_listeners || !is_own(key)) {
                let sets = match is_own(&key) {
                    true => Sets::Together,
                    false => Sets::Nothing("a listener has no such setting of its own"),
                };
                return Some(Found {
                    key: Key { sets, ..key },
                    listener: Some(listener),
                });
            }
            rest = of_listener.split_once('.').map(|(_, rest)| rest);
            is_listeners = false;
        }
        return None;
    }
    let is_passed_on = PASSED_ON.iter().any(|prefix| name.starts_with(prefix));
    is_passed_on.then_some(Found {
        key: OF_PLUGINS,
        listener: None,
    })
}

/// The name that comes nearest to one that is unknown, if any is near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    /// How many letters may be wrong, and out of how many one.
    const WRONG_MAX: usize = 4;
    const WRONG_ONE_OF: usize = 4;
    let near = WRONG_MAX.min(name.len() / WRONG_ONE_OF);
    all()
        .map(|key| (distance(name, key.name), key.name))
        .min()
        .filter(|(distance, _)| *distance <= near)
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed to make one name of another.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What stands before a setting of one listener, with the listener's name in small letters behind it.
pub(super) const LISTENER_PREFIX: &str = "listener.name.";
/// What a listener may have of its own.
const LISTENERS_OWN: [&str; 2] = ["max.connections", "max.connection.creation.rate"];
/// Kafka hands what stands behind these to classes that it loads.
const PASSED_ON: [&str; 3] = ["rlmm.config.", "rsm.config.", "config.providers."];
const OF_PLUGINS: Key = Key {
    name: "",
    kind: Kind::Text,
    default: None,
    alterable: Alterable::Never,
    sets: Sets::Nothing("there is no JVM to load a class into"),
    documentation: "",
};

/// The broker's key that a topic's default comes from.
fn of_topic(key: &topic_config::Key) -> Option<Key> {
    Some(Key {
        name: key.synonym?,
        kind: key.kind,
        default: Some(key.default),
        alterable: Alterable::ForAll,
        sets: match key.effect {
            topic_config::Effect::Served => Sets::Topic(key.name, 1),
            topic_config::Effect::None => Sets::Nothing("the topic's setting has none"),
        },
        documentation: key.documentation,
    })
}

/// The broker's settings that a topic's default comes from, the strongest first, each with how many of the topic's units one of its is.
pub(crate) fn sources_of_topic(key: &topic_config::Key) -> Vec<(&'static str, i64)> {
    let own = KEYS.iter().filter_map(|own| match own.sets {
        Sets::Topic(topic, unit) if topic == key.name => Some((own.name, unit)),
        _ => None,
    });
    key.synonym
        .map(|name| (name, 1))
        .into_iter()
        .chain(own)
        .collect()
}

/// The settings of a broker of which the first that is set holds, where `name` is one of them; else only itself.
pub(crate) fn stand_ins(name: &str) -> Vec<&str> {
    let topic = KEYS.iter().find_map(|key| match key.sets {
        Sets::Topic(topic, _) if key.name == name => topic_config::key(topic),
        _ => None,
    });
    match topic {
        Some(topic) => sources_of_topic(topic)
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        None => vec![name],
    }
}

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_HOUR: i64 = 60 * MS_PER_MINUTE;
const COUNT: Kind = Kind::Int(1, INT_MAX);

/// Those that are only the broker's.
const KEYS: &[Key] = &[
    Key {
        name: "advertised.listeners",
        kind: Kind::Any,
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "Where clients of a listener are told to connect to, `NAME://HOST:PORT` each; those of a listener that is not named are told the address that they reached.",
    },
    Key {
        name: "auto.create.topics.enable",
        kind: Kind::Flag,
        default: Some("true"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.auto_create_topics = value.is_true()),
        documentation: "Whether a topic is created when a client first names it.",
    },
    Key {
        name: "broker.id",
        kind: Kind::Int(INT_MIN, INT_MAX),
        default: Some("-1"),
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "An older name of `node.id`.",
    },
    Key {
        name: "broker.rack",
        kind: Kind::Text,
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.rack = Some(value.text().to_owned())),
        documentation: "The rack that the broker stands in, as clients are told.",
    },
    Key {
        name: "connections.max.idle.ms",
        kind: Kind::Long(-1),
        default: Some("600000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            node.network.idle_max_ms = u64::try_from(value.number()).ok()
        }),
        documentation: "How long a connection may live without a request or response under way, in milliseconds; -1 for any time.",
    },
    Key {
        name: "controller.listener.names",
        kind: Kind::Any,
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "Listeners of the controller. They are not opened: the controller runs within the broker and needs none.",
    },
    Key {
        name: "default.replication.factor",
        kind: Kind::Int(1, i16::MAX as i64),
        default: Some("1"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            node.broker.default_replication_factor = value.number() as i16
        }),
        documentation: "How many replicas the partitions of a topic get that is created without a number.",
    },
    Key {
        name: "delete.topic.enable",
        kind: Kind::Flag,
        default: Some("true"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.delete_topics = value.is_true()),
        documentation: "Whether topics can be deleted.",
    },
    Key {
        name: "inter.broker.listener.name",
        kind: Kind::Text,
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "The listener that other brokers come to. It must be among `listeners`, and has no effect: a single node has no other brokers.",
    },
    Key {
        name: "listener.security.protocol.map",
        kind: Kind::Text,
        default: Some(
            "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        ),
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "How each listener is secured, `NAME:PROTOCOL` each. Only PLAINTEXT can be served: a listener with another protocol is refused.",
    },
    Key {
        name: "listeners",
        kind: Kind::Any,
        default: Some("PLAINTEXT://:9092"),
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "The addresses to listen on, `NAME://HOST:PORT` each. No host is all addresses, IPv6 ones too where the system has them; port 0 picks a free one.",
    },
    Key {
        name: "log.cleaner.backoff.ms",
        kind: Kind::Long(0),
        default: Some("15000"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.broker.cleaner.backoff_ms = value.number()),
        documentation: "How often logs are looked for that are to be compacted, in milliseconds.",
    },
    Key {
        name: "log.cleaner.dedupe.buffer.size",
        kind: Kind::Long(i64::MIN),
        default: Some("134217728"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| {
            node.broker.cleaner.map_bytes_max = u64::try_from(value.number()).unwrap_or(0);
        }),
        documentation: "How much memory compaction has for the keys of what is new in the logs that are compacted, in bytes; of a log with more of them a part is compacted at a time. More than 1 MiB for each of `log.cleaner.threads`. It is taken as it is needed.",
    },
    Key {
        name: "log.cleaner.enable",
        kind: Kind::Flag,
        default: Some("true"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.cleaner.enabled = value.is_true()),
        documentation: "Whether logs are compacted.",
    },
    Key {
        name: "log.cleaner.io.buffer.load.factor",
        kind: Kind::Double(f64::MIN, f64::MAX),
        default: Some("0.9"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.broker.cleaner.map_load = value.float()),
        documentation: "Which part of `log.cleaner.dedupe.buffer.size` may be filled, from 0 to 1.",
    },
    Key {
        name: "log.cleaner.io.buffer.size",
        kind: Kind::Int(0, INT_MAX),
        default: Some("524288"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.broker.cleaner.buffer_bytes = value.int() as usize),
        documentation: "How much memory compaction has for what it reads and writes, in bytes, in each shard; one batch always fits.",
    },
    Key {
        name: "log.cleaner.io.max.bytes.per.second",
        kind: Kind::Double(f64::MIN, f64::MAX),
        default: None,
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.broker.cleaner.bytes_per_second = value.float()),
        documentation: "How many bytes compaction reads and writes in a second, on average. Any number where it is not set.",
    },
    Key {
        name: "log.cleaner.threads",
        kind: Kind::Int(0, INT_MAX),
        default: Some("1"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.broker.cleaner.rounds_max = value.int() as usize),
        documentation: "How many logs are compacted at the same time; each shard compacts at least one, unless it is 0. There are no threads for it: the work is done by those that there are.",
    },
    Key {
        name: "log.dir",
        kind: Kind::Any,
        default: Some("./wiber-data"),
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "The directory that the data is kept in; it is made if it is not there. `log.dirs` comes first. (Kafka's is /tmp/kafka-logs.)",
    },
    Key {
        name: "log.dirs",
        kind: Kind::Any,
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "The directory that the data is kept in: one, as a broker has one disk.",
    },
    Key {
        name: "log.retention.check.interval.ms",
        kind: Kind::Long(1),
        default: Some("300000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.retention_check_interval_ms = value.number()),
        documentation: "How often segments are looked for that retention lets go, in milliseconds.",
    },
    Key {
        name: "log.retention.ms",
        kind: Kind::Long(-1),
        default: None,
        alterable: Alterable::ForAll,
        sets: Sets::Topic("retention.ms", 1),
        documentation: "How old the newest record of a segment may be before the segment goes, in milliseconds; -1 for any age. Where it is not set, `log.retention.minutes` says it.",
    },
    Key {
        name: "log.retention.minutes",
        kind: Kind::Int(-1, INT_MAX),
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Topic("retention.ms", MS_PER_MINUTE),
        documentation: "As `log.retention.ms`, in minutes. Where it is not set, `log.retention.hours` says it.",
    },
    Key {
        name: "log.retention.hours",
        kind: Kind::Int(-1, INT_MAX),
        default: Some("168"),
        alterable: Alterable::Never,
        sets: Sets::Topic("retention.ms", MS_PER_HOUR),
        documentation: "As `log.retention.ms`, in hours.",
    },
    Key {
        name: "log.roll.ms",
        kind: Kind::Long(1),
        default: None,
        alterable: Alterable::ForAll,
        sets: Sets::Topic("segment.ms", 1),
        documentation: "How far the timestamps in a segment may lie apart, in milliseconds. Where it is not set, `log.roll.hours` says it.",
    },
    Key {
        name: "log.roll.hours",
        kind: COUNT,
        default: Some("168"),
        alterable: Alterable::Never,
        sets: Sets::Topic("segment.ms", MS_PER_HOUR),
        documentation: "As `log.roll.ms`, in hours.",
    },
    Key {
        name: "max.connection.creation.rate",
        kind: Kind::Int(0, INT_MAX),
        default: Some("2147483647"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.network.admission.rate_max = value.int() as u32),
        documentation: "How many connections are accepted in a second; more wait. With `listener.name.NAME.` before it, of that listener.",
    },
    Key {
        name: "max.connections",
        kind: Kind::Int(0, INT_MAX),
        default: Some("2147483647"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| {
            node.network.admission.connections_max = value.int() as usize
        }),
        documentation: "How many connections there may be; more are closed. The file descriptors that the system grants bound it too. With `listener.name.NAME.` before it, of that listener.",
    },
    Key {
        name: "max.connections.per.ip",
        kind: Kind::Int(0, INT_MAX),
        default: Some("2147483647"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| {
            node.network.admission.per_address_max = value.int() as usize
        }),
        documentation: "How many connections one address may have; more are closed.",
    },
    Key {
        name: "max.connections.per.ip.overrides",
        kind: Kind::Text,
        default: Some(""),
        alterable: Alterable::ForAll,
        sets: Sets::Together,
        documentation: "Addresses that may have another number of connections than `max.connections.per.ip` says, `ADDRESS:NUMBER` each. Names are not looked up.",
    },
    Key {
        name: "max.incremental.fetch.session.cache.slots",
        kind: Kind::Int(0, INT_MAX),
        default: Some("1000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.fetch_sessions_max = value.int() as usize),
        documentation: "How many incremental fetch sessions each shard of the broker keeps.",
    },
    Key {
        name: "max.request.partition.size.limit",
        kind: COUNT,
        default: Some("2000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.described_partitions_max = value.int()),
        documentation: "The most partitions that one page of a description of topics has.",
    },
    Key {
        name: "node.id",
        kind: Kind::Int(0, INT_MAX),
        default: Some("1"),
        alterable: Alterable::Never,
        sets: Sets::Together,
        documentation: "The broker's id in the cluster. (Kafka's has no default.)",
    },
    Key {
        name: "num.partitions",
        kind: COUNT,
        default: Some("1"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.broker.num_partitions = value.int()),
        documentation: "How many partitions a topic gets that is created without a number.",
    },
    Key {
        name: "producer.id.expiration.ms",
        kind: COUNT,
        default: Some("86400000"),
        alterable: Alterable::ForAll,
        sets: Sets::Option(|node, value| node.broker.producer_id_expiration_ms = value.number()),
        documentation: "After how many milliseconds without a record a producer's sequence is forgotten.",
    },
    Key {
        name: "queued.max.request.bytes",
        kind: Kind::Long(-1),
        default: Some("-1"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            if value.number() > 0 {
                node.network.requests_max_bytes =
                    usize::try_from(value.number()).unwrap_or(usize::MAX);
            }
        }),
        documentation: "How many bytes of requests the broker holds that are not answered; beyond, nothing is read. One request of the largest size always fits. -1 is 256 MiB. (Kafka's -1 is any number.)",
    },
    Key {
        name: "socket.listen.backlog.size",
        kind: COUNT,
        default: Some("4096"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.network.backlog = value.int()),
        documentation: "How many clients may wait to be accepted; the system may allow fewer (`net.core.somaxconn`). (Kafka's is 50.)",
    },
    Key {
        name: "socket.receive.buffer.bytes",
        kind: Kind::Int(-1, INT_MAX),
        default: Some("-1"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            node.network.receive_buffer_bytes = usize::try_from(value.int()).ok()
        }),
        documentation: "The size of a connection's receive buffer (SO_RCVBUF), in bytes; -1 leaves it to the system, which makes it as large as the client needs. (Kafka's is 102400.)",
    },
    Key {
        name: "socket.request.max.bytes",
        kind: Kind::Int(1, MAX_FRAME_BYTES as i64),
        default: Some("104857600"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.network.request_max_bytes = value.int() as usize),
        documentation: "The largest request that is read, in bytes; a client that announces more is disconnected.",
    },
    Key {
        name: "socket.send.buffer.bytes",
        kind: Kind::Int(-1, INT_MAX),
        default: Some("-1"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| {
            node.network.send_buffer_bytes = usize::try_from(value.int()).ok()
        }),
        documentation: "The size of a connection's send buffer (SO_SNDBUF), in bytes; -1 leaves it to the system. (Kafka's is 102400.)",
    },
    Key {
        name: "wiber.connection.max.requests",
        kind: Kind::Int(1, 10_000),
        default: Some("64"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.network.unanswered_max = value.int() as usize),
        documentation: "How many requests of one connection the broker works on at the same time; more wait in its socket.",
    },
    Key {
        name: "wiber.log.format",
        kind: Kind::Word(&["text", "json"]),
        default: Some("text"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| value.text().clone_into(&mut node.log_format)),
        documentation: "How the lines of the process's log look: `text` for people, `json` for programs.",
    },
    Key {
        name: "wiber.log.level",
        kind: Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        default: Some("info"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| value.text().clone_into(&mut node.log_level)),
        documentation: "The least important lines that are logged.",
    },
    Key {
        name: "wiber.request.stall.ms",
        kind: Kind::Long(1000),
        default: Some("60000"),
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.network.stalled_max_ms = value.number() as u64),
        documentation: "How long half a request may wait for more of it before its connection is closed, in milliseconds.",
    },
    Key {
        name: "wiber.shards",
        kind: Kind::Int(1, SHARDS_MAX),
        default: None,
        alterable: Alterable::Never,
        sets: Sets::Option(|node, value| node.shards = Some(value.int() as u16)),
        documentation: "How many threads serve clients and own partitions; one for two processors where it is not set.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_stands_once_and_its_default_is_legal() {
        let all: Vec<Key> = all().collect();
        for (i, key) in all.iter().enumerate() {
            let name = key.name;
            assert!(
                all[..i].iter().all(|other| other.name != name),
                "{name} twice"
            );
            if let Some(default) = key.default {
                assert_eq!(key.kind.parse(default).as_deref(), Ok(default), "{name}");
            }
            assert!(!key.documentation.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_topic_s_times_come_from_several_keys() {
        let names = |topic: &str| -> Vec<&str> {
            let key = topic_config::key(topic).unwrap();
            sources_of_topic(key)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        let retention = [
            "log.retention.ms",
            "log.retention.minutes",
            "log.retention.hours",
        ];
        assert_eq!(names("retention.ms"), retention);
        assert_eq!(names("segment.ms"), ["log.roll.ms", "log.roll.hours"]);
        assert_eq!(names("segment.bytes"), ["log.segment.bytes"]);
        assert!(names("wiber.durability").is_empty());
    }
}
