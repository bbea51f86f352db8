//! Where a broker's settings come from: a file, variables, flags; each stronger than the one before.

mod file;

use std::env;
use std::path::PathBuf;

use clap::Args;
use wiber_server::broker_config::{self, Given, NodeConfig, Origin};

/// What every variable of ours begins with.
const VARIABLE_PREFIX: &str = "WIBER_";
/// What our own settings begin with; their variables leave it out.
const OWN_PREFIX: &str = "wiber.";
/// Variables of ours that are no settings of a broker: those of other commands, and of the tests.
const OTHERS: [&str; 6] = [
    "WIBER_BIN",
    "WIBER_BOOTSTRAP",
    "WIBER_CACHE",
    "WIBER_CLI",
    "WIBER_CONFIG",
    "WIBER_UPDATE",
];
const OTHERS_PREFIXES: [&str; 2] = ["WIBER_FUZZ_", "WIBER_TEST_"];
/// What an address is taken for that has no listener's name.
const DEFAULT_LISTENER: &str = "PLAINTEXT";

/// The settings of a broker. docs/config.md lists them all.
#[derive(Args)]
pub struct Sources {
    /// A TOML file of settings, by Kafka's names.
    #[arg(long, env = "WIBER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets any setting by its name; may be repeated. Each has a variable too: num.partitions has WIBER_NUM_PARTITIONS.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Where the data is kept; the directory is made if it is not there. (log.dirs, or WIBER_DATA_DIR) [default: ./wiber-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// An address to listen on, with a listener's name if it is not PLAINTEXT; port 0 picks a free one. May be repeated. (listeners, or
    /// WIBER_LISTEN) [default: :9092]
    #[arg(long, value_name = "[NAME://]HOST:PORT")]
    listen: Vec<String>,
    /// What clients are told to connect to, if that is not the address that they reached the broker at. May be repeated.
    /// (advertised.listeners, or WIBER_ADVERTISE)
    #[arg(long, value_name = "[NAME://]HOST:PORT")]
    advertise: Vec<String>,
    /// How many threads serve clients and own partitions. (wiber.shards) [default: one for two processors]
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// How log lines look. (wiber.log.format) [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    log_format: Option<String>,
    /// The least important lines that are logged. (wiber.log.level) [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
}

impl Sources {
    /// Reads all of them.
    ///
    /// # Errors
    /// Everything that is wrong, a line each.
    pub fn read(&self) -> Result<NodeConfig, Vec<String>> {
        let (mut given, mut errors) = match &self.config {
            Some(path) => file::read(path),
            None => (Vec::new(), Vec::new()),
        };
        self.variables(&mut given, &mut errors);
        given.extend(self.flags());
        match broker_config::resolve(given) {
            Ok(mut config) if errors.is_empty() => {
                config.warnings.extend(unknown_variables());
                Ok(config)
            }
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }

    fn variables(&self, given: &mut Vec<Given>, errors: &mut Vec<String>) {
        let mut variables: Vec<_> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let known = key_of_variable(&name);
            if let Err(Some(meant)) = &known {
                errors.push(format!(
                    "{name}: there is no such setting; did you mean {meant}?"
                ));
            }
            let Ok(key) = known else {
                continue;
            };
            let Ok(value) = value.into_string() else {
                errors.push(format!("{name}: its value is not UTF-8"));
                continue;
            };
            let value = match name.as_str() {
                "WIBER_LISTEN" | "WIBER_ADVERTISE" => endpoints(value.split(',')),
                _ => value,
            };
            given.push(Given {
                key,
                value,
                origin: Origin::Variable(name),
            });
        }
    }

    fn flags(&self) -> Vec<Given> {
        let one = |key: &str, flag: &str, value: String| Given {
            key: key.to_owned(),
            value,
            origin: Origin::Flag(flag.to_owned()),
        };
        let set = self.set.iter();
        let mut given: Vec<Given> = set
            .map(|(key, value)| one(key, "--set", value.clone()))
            .collect();
        let named = [
            ("log.dirs", "--data-dir", self.data_dir.clone()),
            ("listeners", "--listen", several(&self.listen)),
            (
                "advertised.listeners",
                "--advertise",
                several(&self.advertise),
            ),
            ("wiber.shards", "--shards", self.shards.clone()),
            ("wiber.log.format", "--log-format", self.log_format.clone()),
            ("wiber.log.level", "--log-level", self.log_level.clone()),
        ];
        let named = named.into_iter();
        given.extend(named.filter_map(|(key, flag, value)| Some(one(key, flag, value?))));
        given
    }
}

fn several(addresses: &[String]) -> Option<String> {
    (!addresses.is_empty()).then(|| endpoints(addresses.iter().map(String::as_str)))
}

/// Addresses as Kafka's settings have them: each with a listener's name.
fn endpoints<'a>(addresses: impl Iterator<Item = &'a str>) -> String {
    let named = addresses.map(|address| match address.contains("://") {
        true => address.trim().to_owned(),
        false => format!("{DEFAULT_LISTENER}://{}", address.trim()),
    });
    named.collect::<Vec<_>>().join(",")
}

/// A line for each variable that looks like one of ours and stands for nothing. It is no error: other programs have such variables too.
fn unknown_variables() -> Vec<String> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut unknown: Vec<String> = names.filter(|name| is_unknown(name)).collect();
    unknown.sort();
    unknown
        .iter()
        .map(|name| format!("{name}: there is no such setting, so the variable has no effect"))
        .collect()
}

fn is_unknown(name: &str) -> bool {
    name.starts_with(VARIABLE_PREFIX)
        && !OTHERS.contains(&name)
        && !OTHERS_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
        && key_of_variable(name) == Err(None)
}

/// The setting that a variable of ours stands for.
///
/// # Errors
/// If there is none: the variable that was perhaps meant.
fn key_of_variable(name: &str) -> Result<String, Option<String>> {
    match name {
        "WIBER_DATA_DIR" => return Ok("log.dirs".to_owned()),
        "WIBER_LISTEN" => return Ok("listeners".to_owned()),
        "WIBER_ADVERTISE" => return Ok("advertised.listeners".to_owned()),
        "WIBER_CONFIG" => return Err(None),
        _ => {}
    }
    let keys = broker_config::broker_keys();
    if let Some(key) = keys.iter().find(|key| variable_of_key(key.name) == name) {
        return Ok(key.name.to_owned());
    }
    let dotted = name[VARIABLE_PREFIX.len()..].replace('_', ".");
    let dotted = dotted.to_ascii_lowercase();
    if broker_config::is_known(&dotted) {
        return Ok(dotted);
    }
    Err(broker_config::nearest(&dotted).map(variable_of_key))
}

fn variable_of_key(key: &str) -> String {
    let key = key.strip_prefix(OWN_PREFIX).unwrap_or(key);
    let name = key.replace('.', "_").to_ascii_uppercase();
    format!("{VARIABLE_PREFIX}{name}")
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_setting_has_a_variable_of_its_own() {
        let keys = broker_config::broker_keys();
        let variables: BTreeSet<String> = keys.iter().map(|k| variable_of_key(k.name)).collect();
        assert_eq!(variables.len(), keys.len());
        for (variable, key) in [
            ("WIBER_NUM_PARTITIONS", "num.partitions"),
            ("WIBER_SHARDS", "wiber.shards"),
            ("WIBER_LOG_LEVEL", "wiber.log.level"),
            ("WIBER_LOG_DIRS", "log.dirs"),
            ("WIBER_DATA_DIR", "log.dirs"),
            (
                "WIBER_LISTENER_NAME_OUT_MAX_CONNECTIONS",
                "listener.name.out.max.connections",
            ),
        ] {
            assert_eq!(key_of_variable(variable).as_deref(), Ok(key));
        }
        assert_eq!(key_of_variable("WIBER_BIN"), Err(None));
        let meant = Some("WIBER_NUM_PARTITIONS".to_owned());
        assert_eq!(key_of_variable("WIBER_NUM_PARTITION"), Err(meant));
        for (name, is_told) in [
            ("WIBER_QUUX", true),
            ("WIBER_BIN", false),
            ("WIBER_TEST_WITHOUT_LOOP", false),
            ("WIBER_SHARDS", false),
            ("PATH", false),
        ] {
            assert_eq!(is_unknown(name), is_told, "{name}");
        }
    }

    #[test]
    fn an_address_without_a_name_is_the_plain_listener_s() {
        let addresses = ["127.0.0.1:1", "OUT://:2"].map(str::to_owned);
        assert_eq!(
            several(&addresses).as_deref(),
            Some("PLAINTEXT://127.0.0.1:1,OUT://:2")
        );
        assert_eq!(several(&[]), None);
    }
}
