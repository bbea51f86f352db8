//! docs/config.md lists the settings as the broker has them.
//!
//! `WIBER_UPDATE=1 cargo test -p wiber-cli --test config_reference` writes the tables anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use wiber_server::broker_config::{KeyReference, broker_keys, topic_keys};

const BEGIN: &str =
    "<!-- The tables of settings are written by crates/cli/tests/config_reference.rs. -->\n";
const END: &str = "<!-- End of the tables of settings. -->\n";
/// Set to 1, the tables are written instead of compared.
const UPDATE: &str = "WIBER_UPDATE";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md")
}

fn row(key: &KeyReference) -> String {
    let default = match key.default {
        None => "—".to_owned(),
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{default}`"),
    };
    let altered = if key.dynamic { "yes" } else { "no" };
    let of_topics = key
        .of_topics
        .map(|topic| format!(" (What a topic has that does not set `{topic}`.)"));
    let (name, legal, documentation) = (key.name, &key.legal, key.documentation);
    let of_topics = of_topics.unwrap_or_default();
    format!("| `{name}` | {default} | {legal} | {altered} | {documentation}{of_topics} |")
}

fn table(out: &mut String, keys: &[KeyReference], is_served: bool, last: &str) {
    let head = format!("| setting | default | may be | altered | {last} |\n|---|---|---|---|---|");
    let rows = keys.iter().filter(|key| key.served == is_served).map(row);
    for line in std::iter::once(head).chain(rows) {
        writeln!(out, "{line}").expect("a String takes everything");
    }
}

/// The tables as they should be.
fn tables() -> String {
    let (broker, topic) = (broker_keys(), topic_keys());
    let mut out = "\n".to_owned();
    table(&mut out, &broker, true, "what it means");
    out.push_str("\n## Settings of a topic\n\nThey are given when a topic is created, and altered by clients and tools.\n\n");
    table(&mut out, &topic, true, "what it means");
    out.push_str(
        "\n## Settings of a topic without effect\n\nThey are taken, with a warning in the log.\n\n",
    );
    table(
        &mut out,
        &topic,
        false,
        "what it means in Kafka, and why not here",
    );
    out.push_str("\n## Settings of a broker without effect\n\nThey are Kafka's, and are taken with a warning in the log. DescribeConfigs tells of them as Kafka does.\n\n");
    table(&mut out, &broker, false, "why it has no effect");
    out.push('\n');
    out
}

#[test]
fn the_tables_of_settings_are_what_the_broker_has() {
    let path = document();
    let text = std::fs::read_to_string(&path).expect("docs/config.md can be read");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the tables' beginning is marked");
    let (found, after) = rest.split_once(END).expect("the tables' end is marked");
    let wanted = tables();
    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        let text = [before, BEGIN, &wanted, END, after].concat();
        return std::fs::write(&path, text).expect("docs/config.md can be written");
    }
    assert!(
        found == wanted,
        "docs/config.md has not the settings that the broker has. Run\n\n    \
         {UPDATE}=1 cargo test -p wiber-cli --test config_reference"
    );
}
