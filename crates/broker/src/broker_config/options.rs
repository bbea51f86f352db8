//! What a node's settings come to: typed options, and what is wrong with the settings together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use wiber_model::BrokerId;
use wiber_model::limit::MAX_FRAME_BYTES;

use super::group_keys;
use super::keys::{self, Alterable, Sets, Value};
use super::listeners::{self, Listener};
use crate::options::BrokerOptions;
use crate::topic_config::{self, INT_MAX};

/// `queued.max.request.bytes` where it says nothing: D9 wants a bound.
const DEFAULT_REQUESTS_MAX_BYTES: usize = 256 * 1024 * 1024;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// `log.dirs` or `log.dir`: where the data is kept.
    pub data_dir: String,
    /// `wiber.shards`; by the number of processors where it is not set.
    pub shards: Option<u16>,
    /// `wiber.log.format`: `text` or `json`.
    pub log_format: String,
    /// `wiber.log.level`: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
    /// Listeners, and what clients may take.
    pub network: NetworkOptions,
    /// The broker's own options.
    pub broker: BrokerOptions,
}

/// Listeners, and what clients may take of a broker (D9).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkOptions {
    /// What is listened on.
    pub listeners: Vec<Listener>,
    /// Who may connect.
    pub admission: AdmissionLimits,
    /// `queued.max.request.bytes`.
    pub requests_max_bytes: usize,
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// `wiber.connection.max.requests`.
    pub unanswered_max: usize,
    /// `connections.max.idle.ms`; `None` for any time.
    pub idle_max_ms: Option<u64>,
    /// `wiber.request.stall.ms`.
    pub stalled_max_ms: u64,
    /// `socket.listen.backlog.size`.
    pub backlog: i32,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`; `None` leaves it to the system.
    pub send_buffer_bytes: Option<usize>,
}

/// Who may connect. It can be altered while the broker runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdmissionLimits {
    /// `max.connections`.
    pub connections_max: usize,
    /// `max.connections.per.ip`.
    pub per_address_max: usize,
    /// `max.connections.per.ip.overrides`.
    pub of_addresses: BTreeMap<IpAddr, usize>,
    /// `max.connection.creation.rate`, in a second.
    pub rate_max: u32,
    /// Of listeners that have limits of their own, by name.
    pub of_listeners: BTreeMap<String, ListenerLimits>,
}

/// What a listener's clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerLimits {
    /// `listener.name.NAME.max.connections`.
    pub connections_max: usize,
    /// `listener.name.NAME.max.connection.creation.rate`, in a second.
    pub rate_max: u32,
}

impl Default for ListenerLimits {
    fn default() -> ListenerLimits {
        ListenerLimits {
            connections_max: usize::MAX,
            rate_max: INT_MAX as u32,
        }
    }
}

impl Default for AdmissionLimits {
    /// Everybody.
    fn default() -> AdmissionLimits {
        let ListenerLimits {
            connections_max,
            rate_max,
        } = ListenerLimits::default();
        AdmissionLimits {
            connections_max,
            per_address_max: usize::MAX,
            of_addresses: BTreeMap::new(),
            rate_max,
            of_listeners: BTreeMap::new(),
        }
    }
}

/// A setting that cannot hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub key: &'static str,
    pub why: String,
}

/// A node's settings, each of which is legal by itself.
pub(super) struct Node<'a> {
    settings: &'a BTreeMap<String, String>,
}

impl<'a> Node<'a> {
    /// What was set.
    fn set(&self, name: &str) -> Option<&'a str> {
        self.settings.get(name).map(String::as_str)
    }

    /// What was set, or else what holds.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.set(name).or_else(|| keys::find(name)?.key.default)
    }
}

impl Default for NodeOptions {
    /// What holds where nothing is set.
    fn default() -> NodeOptions {
        NodeOptions::of(&BTreeMap::new()).0
    }
}

impl NodeOptions {
    /// Before any setting is read.
    fn bare() -> NodeOptions {
        NodeOptions {
            data_dir: String::new(),
            shards: None,
            log_format: String::new(),
            log_level: String::new(),
            network: NetworkOptions {
                listeners: Vec::new(),
                admission: AdmissionLimits::default(),
                requests_max_bytes: DEFAULT_REQUESTS_MAX_BYTES,
                request_max_bytes: MAX_FRAME_BYTES,
                unanswered_max: 1,
                idle_max_ms: None,
                stalled_max_ms: 0,
                backlog: 0,
                receive_buffer_bytes: None,
                send_buffer_bytes: None,
            },
            broker: BrokerOptions::default(),
        }
    }

    /// What the settings that a broker was started with come to, together with those that it was given since; and what is wrong with
    /// them together. What this release does not take for a legal setting is left out.
    pub(crate) fn altered<'a>(
        fixed: &BTreeMap<String, String>,
        of_all: impl IntoIterator<Item = (&'a String, &'a String)>,
        own: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> (NodeOptions, Vec<Fault>) {
        let mut settings = fixed.clone();
        for (name, value) in of_all.into_iter().chain(own) {
            let key = keys::find(name).map(|found| found.key);
            let key = key.filter(|key| key.alterable != Alterable::Never);
            if let Some(Ok(value)) = key.map(|key| key.parse_altered(value)) {
                settings.insert(name.clone(), value);
            }
        }
        NodeOptions::of(&settings)
    }

    /// What `settings`, each of which is legal by itself, come to; and what is wrong with them together.
    pub(super) fn of(settings: &BTreeMap<String, String>) -> (NodeOptions, Vec<Fault>) {
        let node = Node { settings };
        let (mut options, mut faults) = (NodeOptions::bare(), Vec::new());
        for key in keys::all() {
            if let Sets::Option(set) = key.sets
                && let Some(value) = settings.get(key.name).map(String::as_str).or(key.default)
            {
                set(&mut options, Value(value));
            }
        }
        let mut fault = |key, why: &str| {
            let why = why.to_owned();
            faults.push(Fault { key, why });
        };
        options.broker.node_id = BrokerId(node_id(&node, &mut fault));
        options.data_dir = data_dir(&node, &mut fault);
        options.broker.topic_defaults = topic_defaults(settings);
        if let Err(why) = topic_config::check_all(&options.broker.topic_defaults) {
            fault("log.cleaner.min.compaction.lag.ms", &why);
        }
        cleaner(&options.broker, &mut faults);
        let listeners = listeners::read(&node, &mut faults);
        options.network.listeners = listeners.listeners;
        options.broker.listeners = listeners.told;
        faults.extend(group_keys::faults(&options.broker.groups));
        admission(&node, &mut options.network.admission, &mut faults);
        options.broker.settings = settings.clone();
        (options, faults)
    }
}

fn node_id(node: &Node<'_>, fault: &mut impl FnMut(&'static str, &str)) -> i32 {
    let number = |key| node.set(key).map(|id| Value(id).number());
    // Kafka's broker.id of -1 leaves it to node.id.
    let old = number("broker.id").filter(|id| *id != -1);
    let id = match (number("node.id"), old) {
        (Some(id), Some(old)) if id != old => {
            fault("broker.id", "it must be the same as node.id, or not be set");
            id
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => node.value("node.id").map_or(0, |id| Value(id).number()),
    };
    if id < 0 {
        fault("broker.id", "a whole number from 0 on, or -1, is wanted");
    }
    id as i32
}

fn data_dir(node: &Node<'_>, fault: &mut impl FnMut(&'static str, &str)) -> String {
    let key = match node.set("log.dirs") {
        Some(_) => "log.dirs",
        None => "log.dir",
    };
    let mut directories = node
        .value(key)
        .map(Value)
        .into_iter()
        .flat_map(Value::elements);
    let (first, second) = (directories.next(), directories.next());
    if first.is_none() || second.is_some() {
        fault(
            key,
            "one directory is wanted: a broker keeps its data on one disk",
        );
    }
    first.unwrap_or_default().to_owned()
}

/// What topics get that set nothing, where it is not the topic's own default.
fn topic_defaults(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut defaults = BTreeMap::new();
    for key in topic_config::KEYS {
        let set = keys::sources_of_topic(key)
            .into_iter()
            .find_map(|(name, unit)| Some((settings.get(name)?, unit)));
        let value = match set {
            Some((value, 1)) => value.clone(),
            // -1 of any unit has no limit.
            Some((value, unit)) => match Value(value).number() {
                negative if negative < 0 => negative.to_string(),
                number => (number * unit).to_string(),
            },
            None => continue,
        };
        defaults.insert(key.name.to_owned(), value);
    }
    defaults
}

/// As Kafka demands it of its cleaners.
fn cleaner(broker: &BrokerOptions, faults: &mut Vec<Fault>) {
    const LEAST_BYTES: u64 = 1024 * 1024;
    let cleaner = &broker.cleaner;
    if cleaner.map_bytes_max / cleaner.rounds_max.max(1) as u64 <= LEAST_BYTES {
        faults.push(Fault {
            key: "log.cleaner.dedupe.buffer.size",
            why: "more than 1048576 bytes are wanted for each of log.cleaner.threads".to_owned(),
        });
    }
}

fn admission(node: &Node<'_>, limits: &mut AdmissionLimits, faults: &mut Vec<Fault>) {
    const OVERRIDES: &str = "max.connections.per.ip.overrides";
    let overrides = node.value(OVERRIDES).map(Value);
    for element in overrides.into_iter().flat_map(Value::elements) {
        let parsed = element.rsplit_once(':').and_then(|(address, number)| {
            let address = address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
            let number = number.parse::<i32>().ok()?;
            Some((address.to_canonical(), usize::try_from(number).ok()?))
        });
        match parsed {
            Some((address, number)) => {
                limits.of_addresses.insert(address, number);
            }
            None => faults.push(Fault {
                key: OVERRIDES,
                why: format!("{element:?} is no ADDRESS:NUMBER"),
            }),
        }
    }
    if limits.per_address_max == 0 && limits.of_addresses.values().all(|number| *number == 0) {
        faults.push(Fault {
            key: "max.connections.per.ip",
            why: format!(
                "0 lets nobody connect, but for those to whom {OVERRIDES} gives a number, and it gives none"
            ),
        });
    }
    for (name, value) in node.settings {
        let Some(keys::Found {
            key,
            listener: Some(listener),
        }) = keys::find(name)
        else {
            continue;
        };
        let of = limits
            .of_listeners
            .entry(listener.to_ascii_uppercase())
            .or_default();
        match key.name {
            "max.connections" => of.connections_max = Value(value).number() as usize,
            "max.connection.creation.rate" => of.rate_max = Value(value).number() as u32,
            _ => {}
        }
    }
}
