//! Listeners: what clients connect to, by Kafka's settings (`listeners`, `advertised.listeners`, `listener.security.protocol.map`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::keys::Value;
use super::options::{Fault, Node};
use crate::options::ListenerOptions;

/// The only way in which a listener can be secured.
const PLAINTEXT: &str = "PLAINTEXT";
/// Kafka's ways (`SecurityProtocol`).
const PROTOCOLS: [&str; 4] = [PLAINTEXT, "SASL_PLAINTEXT", "SASL_SSL", "SSL"];

/// An address that the broker listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// In capitals. Listeners of one name are told and limited as one.
    pub name: String,
    /// A name or an address; empty for all addresses of the machine.
    pub host: String,
    /// 0 for any that is free.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listener { name, host, port } = self;
        match host.contains(':') {
            true => write!(f, "{name}://[{host}]:{port}"),
            false => write!(f, "{name}://{host}:{port}"),
        }
    }
}

/// `NAME://HOST:PORT`, with an IPv6 address in brackets.
fn endpoint(text: &str) -> Result<Listener, String> {
    let wanted = || format!("{text:?} is no NAME://HOST:PORT");
    let (name, place) = text.split_once("://").ok_or_else(wanted)?;
    let (host, port) = place.rsplit_once(':').ok_or_else(wanted)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(wanted());
    }
    if name.contains('.') {
        return Err(format!(
            "the name of listener {name} has a dot: where it ends in the listener.name.* settings could not be told"
        ));
    }
    let host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').ok_or_else(wanted)?,
        None if host.contains(':') => {
            return Err(format!("{text:?} needs brackets around its IPv6 address"));
        }
        None => host,
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:%".contains(&byte);
    if !host.bytes().all(is_host) {
        return Err(wanted());
    }
    let port = port
        .parse()
        .map_err(|_| format!("{text:?} needs a port from 0 to 65535"))?;
    Ok(Listener {
        name: name.to_ascii_uppercase(),
        host: host.to_owned(),
        port,
    })
}

/// What the settings of listeners come to.
pub(super) struct Listeners {
    pub listeners: Vec<Listener>,
    /// What clients of each are told, in the same order.
    pub told: Vec<ListenerOptions>,
}

/// Reads and checks all of them together.
pub(super) fn read(node: &Node<'_>, faults: &mut Vec<Fault>) -> Listeners {
    let protocols = protocols(node, faults);
    let controller = node.value("controller.listener.names").map(Value);
    let controller: BTreeSet<String> = controller
        .iter()
        .flat_map(|names| names.elements().map(str::to_ascii_uppercase))
        .collect();
    let mut fault = |key, why| faults.push(Fault { key, why });
    let mut listeners: Vec<Listener> = Vec::new();
    let mut is_readable = true;
    for element in elements(node, "listeners") {
        let listener = match endpoint(element) {
            Ok(listener) => listener,
            Err(why) => {
                fault("listeners", why);
                is_readable = false;
                continue;
            }
        };
        let name = &listener.name;
        if controller.contains(name) {
            // The controller has no door of its own.
            continue;
        }
        match protocols.get(name).map(String::as_str) {
            Some(PLAINTEXT) => {}
            Some(other) => fault(
                "listeners",
                format!("listener {name} is to speak {other}, and only {PLAINTEXT} is served yet"),
            ),
            None => fault(
                "listeners",
                format!(
                    "listener {name} has no protocol: add {name}:{PLAINTEXT} to listener.security.protocol.map"
                ),
            ),
        }
        if listener.port != 0 && listeners.contains(&listener) {
            fault("listeners", format!("{element:?} stands there twice"));
        }
        listeners.push(listener);
    }
    if listeners.is_empty() && is_readable {
        fault(
            "listeners",
            "at least one listener for clients is wanted".to_owned(),
        );
    }
    let names: BTreeSet<&str> = listeners
        .iter()
        .map(|listener| listener.name.as_str())
        .collect();
    if let Some(name) = node.value("inter.broker.listener.name")
        && !names.contains(name.to_ascii_uppercase().as_str())
    {
        fault(
            "inter.broker.listener.name",
            "one of the listeners' names is wanted".to_owned(),
        );
    }
    let mut told: BTreeMap<String, (String, u16)> = BTreeMap::new();
    for element in elements(node, "advertised.listeners") {
        match advertised(element) {
            Ok(to) if controller.contains(&to.name) => {}
            Ok(to) if !names.contains(to.name.as_str()) => fault(
                "advertised.listeners",
                format!("{element:?} belongs to no listener of that name"),
            ),
            Ok(to) => {
                if told.insert(to.name, (to.host, to.port)).is_some() {
                    fault(
                        "advertised.listeners",
                        format!("{element:?} is the second of that name"),
                    );
                }
            }
            Err(why) => fault("advertised.listeners", why),
        }
    }
    let of = |listener: &Listener| ListenerOptions {
        name: listener.name.clone(),
        advertised: told.get(&listener.name).cloned(),
    };
    Listeners {
        told: listeners.iter().map(of).collect(),
        listeners,
    }
}

fn elements<'a>(node: &Node<'a>, key: &str) -> impl Iterator<Item = &'a str> {
    node.value(key)
        .map(Value)
        .into_iter()
        .flat_map(Value::elements)
}

fn advertised(element: &str) -> Result<Listener, String> {
    let to = endpoint(element)?;
    if to.port == 0 {
        return Err(format!("{element:?} needs the port that clients reach"));
    }
    if ["", "0.0.0.0", "::"].contains(&to.host.as_str()) {
        return Err(format!("{element:?} needs a host that clients can reach"));
    }
    Ok(to)
}

/// How each listener's name is secured.
fn protocols(node: &Node<'_>, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
    const KEY: &str = "listener.security.protocol.map";
    let mut protocols = BTreeMap::new();
    for element in elements(node, KEY) {
        let pair = element.rsplit_once(':');
        let protocol = pair.map(|(_, protocol)| protocol.trim().to_ascii_uppercase());
        match (pair, protocol) {
            (Some((name, _)), Some(protocol)) if PROTOCOLS.contains(&protocol.as_str()) => {
                protocols.insert(name.trim().to_ascii_uppercase(), protocol);
            }
            _ => faults.push(Fault {
                key: KEY,
                why: format!(
                    "{element:?} is no NAME:PROTOCOL with a protocol of: {}",
                    PROTOCOLS.join(", ")
                ),
            }),
        }
    }
    protocols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_name_a_host_and_a_port() {
        let of = |name: &str, host: &str, port| {
            Ok(Listener {
                name: name.to_owned(),
                host: host.to_owned(),
                port,
            })
        };
        assert_eq!(endpoint("PLAINTEXT://:9092"), of("PLAINTEXT", "", 9092));
        assert_eq!(
            endpoint("in-side://broker.example:0"),
            of("IN-SIDE", "broker.example", 0)
        );
        assert_eq!(endpoint("A://[::1]:1"), of("A", "::1", 1));
        for wrong in [
            "",
            ":9092",
            "host:9092",
            "A://host",
            "A://host:x",
            "A://host:65536",
            "A://::1:1",
            "A://[::1:1",
            "://h:1",
            "A B://h:1",
            "A.B://h:1",
            "A://h/x:1",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
