//! A broker's configuration: which keys there are, what was set and where, and what that comes to.
//!
//! A value may be given in several places; the strongest one holds. Whatever is wrong is told at once, each in a line that names the
//! place, the key, the value and what it may be. A key of Kafka's that has no effect in Wiber is a warning, an unknown one an error.

mod group_keys;
mod keys;
mod listeners;
mod options;
mod reference;
mod unused;

use std::collections::BTreeMap;
use std::fmt;

pub use keys::nearest;
pub(crate) use keys::{
    Alterable, DEFAULT_DESCRIBED_PARTITIONS_MAX, Key, Sets, all, find, sources_of_topic, stand_ins,
};
pub use listeners::Listener;
pub use options::{AdmissionLimits, ListenerLimits, NetworkOptions, NodeOptions};
pub use reference::{KeyReference, broker_keys, topic_keys};

use crate::topic_config::Kind;

/// A setting, as somebody gave it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// Kafka's name, or ours.
    pub key: String,
    /// As it was written.
    pub value: String,
    /// Where.
    pub origin: Origin,
}

/// Where a setting was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In a file.
    File {
        /// Its path, as it was named.
        path: String,
        /// The line, from 1 on.
        line: usize,
    },
    /// In a variable of the environment.
    Variable(String),
    /// As a flag of the command.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{path}:{line}"),
            Origin::Variable(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// What was given comes to this.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What holds.
    pub options: NodeOptions,
    /// What was set, by name, each where it was set last. What must not be shown has no value.
    pub set: Vec<(String, Option<String>, Origin)>,
    /// What has no effect, a line each.
    pub warnings: Vec<String>,
}

/// Reads what was given, the weakest first.
///
/// # Errors
/// Everything that is wrong, a line each.
pub fn resolve(given: Vec<Given>) -> Result<NodeConfig, Vec<String>> {
    let mut errors = Vec::new();
    let mut set: BTreeMap<String, Given> = BTreeMap::new();
    for given in given {
        let Given { key, value, origin } = &given;
        let Some(found) = find(key) else {
            let hint = match keys::nearest(key) {
                Some(name) => format!("; did you mean {name}?"),
                None => String::new(),
            };
            errors.push(format!("{origin}: {key}: there is no such setting{hint}"));
            continue;
        };
        match found.key.kind.parse(value) {
            Ok(value) => {
                set.insert(key.clone(), Given { value, ..given });
            }
            Err(_) => {
                let wanted = found.key.kind.wanted();
                errors.push(format!("{origin}: {key} = {value:?}: {wanted} is wanted"));
            }
        }
    }
    let settings: BTreeMap<_, _> = set
        .iter()
        .map(|(key, given)| (key.clone(), given.value.clone()))
        .collect();
    let (options, faults) = NodeOptions::of(&settings);
    for options::Fault { key, why } in faults {
        match set.get(key) {
            Some(Given { value, origin, .. }) => {
                errors.push(format!("{origin}: {key} = {value:?}: {why}"));
            }
            None => errors.push(format!("{key}: {why}")),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let warnings = set.values().filter_map(|given| warning(given, &options));
    Ok(NodeConfig {
        warnings: warnings.collect(),
        set: set
            .into_iter()
            .map(|(name, given)| {
                let shown = (!is_sensitive(&name)).then_some(given.value);
                (name, shown, given.origin)
            })
            .collect(),
        options,
    })
}

/// Why a setting has no effect, if it has none.
fn warning(given: &Given, options: &NodeOptions) -> Option<String> {
    let Given { key, origin, .. } = given;
    let found = find(key)?;
    let listeners = &options.network.listeners;
    let is_open = |name: &str| listeners.iter().any(|l| l.name.eq_ignore_ascii_case(name));
    let why = match (found.key.sets, found.listener) {
        (Sets::Nothing(why), _) => why.to_owned(),
        (_, Some(listener)) if !is_open(listener) => format!("there is no listener {listener}"),
        _ if key == "controller.listener.names" => {
            "the controller runs within the broker, so its listeners are not opened".to_owned()
        }
        _ if key == "inter.broker.listener.name" => {
            "a single node has no other brokers to talk to".to_owned()
        }
        _ => return None,
    };
    Some(format!(
        "{origin}: {key} is taken and has no effect in Wiber: {why}"
    ))
}

/// Warns of a setting that is taken while the broker runs and does nothing.
pub(crate) fn warn_if_without_effect(name: &str, value: &str) {
    if let Some(Sets::Nothing(why)) = find(name).map(|found| found.key.sets) {
        let shown = if is_sensitive(name) {
            "(hidden)"
        } else {
            value
        };
        tracing::warn!("broker config {name}={shown} is taken and has no effect in Wiber: {why}");
    }
}

/// Whether there is a setting of that name.
#[must_use]
pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// Whether a setting's value is not to be shown.
pub(crate) fn is_sensitive(name: &str) -> bool {
    find(name).is_none_or(|found| matches!(found.key.kind, Kind::Password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(settings: &[(&str, &str)]) -> Vec<Given> {
        let one = |(i, (key, value)): (usize, &(&str, &str))| Given {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            origin: Origin::File {
                path: "w.toml".to_owned(),
                line: i + 1,
            },
        };
        settings.iter().enumerate().map(one).collect()
    }

    fn good(settings: &[(&str, &str)]) -> NodeConfig {
        resolve(given(settings)).unwrap()
    }

    fn errors(settings: &[(&str, &str)]) -> Vec<String> {
        resolve(given(settings)).unwrap_err()
    }

    #[test]
    fn nothing_set_is_a_node_that_works() {
        let config = good(&[]);
        let options = config.options;
        assert!(config.warnings.is_empty() && config.set.is_empty());
        assert_eq!(options.data_dir, "./wiber-data");
        assert_eq!(options.broker.node_id.0, 1);
        assert_eq!(options.network.listeners.len(), 1);
        assert_eq!(options.broker.listeners[0].advertised, None);
        assert!(options.broker.topic_defaults.is_empty());
        // What a broker has that is opened without settings, as in simulation.
        let bare = crate::BrokerOptions::default();
        assert_eq!(options.broker.num_partitions, bare.num_partitions);
        assert_eq!(options.broker.fetch_sessions_max, bare.fetch_sessions_max);
        assert_eq!(
            options.broker.described_partitions_max,
            bare.described_partitions_max
        );
        assert_eq!(
            options.broker.producer_id_expiration_ms,
            bare.producer_id_expiration_ms
        );
    }

    #[test]
    fn the_last_one_holds() {
        let config = good(&[("num.partitions", "3"), ("num.partitions", " +4")]);
        assert_eq!(config.options.broker.num_partitions, 4);
        let (name, value, origin) = &config.set[0];
        assert_eq!(
            (name.as_str(), value.as_deref()),
            ("num.partitions", Some("4"))
        );
        assert_eq!(origin.to_string(), "w.toml:2");
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let wrong = [
            ("num.partitions", "many"),
            ("num.partition", "1"),
            ("zz", "1"),
            ("log.dirs", "a,b"),
            ("auto.create.topics.enable", "yes"),
            ("listeners", "SSL://:1,IN://:2,x"),
        ];
        let lines = [
            "w.toml:1: num.partitions = \"many\": a whole number from 1 to 2147483647 is wanted",
            "w.toml:2: num.partition: there is no such setting; did you mean num.partitions?",
            "w.toml:3: zz: there is no such setting",
            "w.toml:5: auto.create.topics.enable = \"yes\": true or false is wanted",
            "w.toml:4: log.dirs = \"a,b\": one directory is wanted: a broker keeps its data on one disk",
            "w.toml:6: listeners = \"SSL://:1,IN://:2,x\": listener SSL is to speak SSL, and only PLAINTEXT is served yet",
            "w.toml:6: listeners = \"SSL://:1,IN://:2,x\": listener IN has no protocol: add IN:PLAINTEXT to listener.security.protocol.map",
            "w.toml:6: listeners = \"SSL://:1,IN://:2,x\": \"x\" is no NAME://HOST:PORT",
        ];
        assert_eq!(errors(&wrong), lines);
    }

    #[test]
    fn kafka_s_other_settings_are_warnings() {
        let config = good(&[
            ("num.io.threads", "8"),
            ("listener.name.plaintext.ssl.keystore.password", "secret"),
            ("process.roles", "broker,controller"),
            ("rsm.config.any", "x"),
        ]);
        assert_eq!(config.warnings.len(), 4);
        let password = config
            .set
            .iter()
            .find(|(name, ..)| name.ends_with("password"));
        assert_eq!(password.unwrap().1, None);
        assert!(errors(&[("num.io.threads", "0")])[0].contains("from 1"));
    }

    #[test]
    fn listeners_are_as_kafka_has_them() {
        let config = good(&[
            (
                "listeners",
                "PLAINTEXT://:9092,out://0.0.0.0:0,CONTROLLER://:9093",
            ),
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT",
            ),
            ("advertised.listeners", "OUT://example.org:19092"),
            ("controller.listener.names", "CONTROLLER"),
            ("listener.name.out.max.connections", "5"),
        ]);
        let names: Vec<_> = config
            .options
            .network
            .listeners
            .iter()
            .map(|l| l.name.as_str())
            .collect();
        assert_eq!(names, ["PLAINTEXT", "OUT"]);
        let told = Some(("example.org".to_owned(), 19092));
        let listeners = config.options.broker.listeners.into_iter();
        assert_eq!(
            listeners.map(|l| l.advertised).collect::<Vec<_>>(),
            [None, told]
        );
        assert_eq!(
            config.options.network.admission.of_listeners["OUT"].connections_max,
            5
        );
        for (key, value) in [
            ("advertised.listeners", "PLAINTEXT://0.0.0.0:1"),
            ("advertised.listeners", "PLAINTEXT://h:0"),
            ("advertised.listeners", "OTHER://h:1"),
            ("advertised.listeners", "PLAINTEXT://h:1,PLAINTEXT://i:1"),
            ("inter.broker.listener.name", "OTHER"),
            ("listener.security.protocol.map", "PLAINTEXT:TLS"),
            ("controller.listener.names", "PLAINTEXT"),
            ("listeners", ""),
        ] {
            assert!(!errors(&[(key, value)]).is_empty(), "{key}={value}");
        }
    }

    #[test]
    fn topics_get_what_the_broker_sets() {
        let defaults = |settings: &[(&str, &str)]| good(settings).options.broker.topic_defaults;
        let hours = ("log.retention.hours", "2");
        assert_eq!(defaults(&[hours])["retention.ms"], "7200000");
        let minutes = ("log.retention.minutes", "-1");
        assert_eq!(defaults(&[hours, minutes])["retention.ms"], "-1");
        let ms = ("log.retention.ms", "5");
        assert_eq!(defaults(&[hours, minutes, ms])["retention.ms"], "5");
        assert_eq!(
            defaults(&[("message.max.bytes", "77")])["max.message.bytes"],
            "77"
        );
    }

    #[test]
    fn addresses_may_have_limits_of_their_own() {
        let overrides = (
            "max.connections.per.ip.overrides",
            "127.0.0.1:2,[::1]:3,::2:4",
        );
        let none = ("max.connections.per.ip", "0");
        let limits = good(&[overrides, none]).options.network.admission;
        assert_eq!(
            limits.of_addresses.values().copied().collect::<Vec<_>>(),
            [2, 3, 4]
        );
        assert_eq!(errors(&[none]).len(), 1);
        assert_eq!(
            errors(&[("max.connections.per.ip.overrides", "localhost:1")]).len(),
            1
        );
    }

    #[test]
    fn each_cleaner_wants_memory() {
        assert!(errors(&[("log.cleaner.threads", "128")])[0].contains("1048576 bytes"));
        let config = good(&[
            ("log.cleaner.threads", "127"),
            ("log.cleaner.io.max.bytes.per.second", "2.5E6"),
            ("log.cleaner.enable", "false"),
        ]);
        let cleaner = config.options.broker.cleaner;
        assert_eq!((cleaner.rounds_max, cleaner.enabled), (127, false));
        assert_eq!(cleaner.bytes_per_second, 2.5e6);
        assert_eq!(cleaner.map_bytes_max, 134_217_728);
        let share = cleaner.share_of(2);
        assert_eq!((share.rounds_max, share.map_bytes_max), (64, 67_108_864));
    }

    #[test]
    fn an_older_name_of_the_id_is_understood() {
        let id = |settings: &[(&str, &str)]| good(settings).options.broker.node_id.0;
        assert_eq!(id(&[("broker.id", "7")]), 7);
        assert_eq!(id(&[("broker.id", "-1"), ("node.id", "3")]), 3);
        assert_eq!(errors(&[("broker.id", "7"), ("node.id", "3")]).len(), 1);
    }
}
