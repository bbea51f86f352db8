//! The README's table of APIs says what the broker serves.
//!
//! `WIBER_UPDATE=1 cargo test -p wiber-cli --test readme` writes the table anew.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use wiber_server::served_apis;

const BEGIN: &str = "<!-- The table of APIs is written by crates/cli/tests/readme.rs. -->\n";
const END: &str = "<!-- End of the table of APIs. -->\n";
/// Set to 1, the table is written instead of compared.
const UPDATE: &str = "WIBER_UPDATE";

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// The table as it should be.
fn table() -> String {
    let mut table = "| API | key | versions |\n|---|---|---|\n".to_owned();
    for (api, versions) in served_apis() {
        let (key, number) = (api.name(), api.number());
        writeln!(table, "| {key} | {number} | {versions} |").expect("a String takes everything");
    }
    table
}

/// The parts of a text before, between and after the marks.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (between, after) = rest.split_once(END)?;
    Some((before, between, after))
}

#[test]
fn the_table_of_apis_is_what_is_served() {
    let path = readme();
    let text = std::fs::read_to_string(&path).expect("the README can be read");
    let (before, found, after) = split(&text)
        .unwrap_or_else(|| panic!("the README has no table of APIs between\n{BEGIN}and\n{END}"));
    let wanted = table();
    if std::env::var(UPDATE).is_ok_and(|value| value == "1") {
        let text = [before, BEGIN, &wanted, END, after].concat();
        return std::fs::write(&path, text).expect("the README can be written");
    }
    assert!(
        found == wanted,
        "the README's table of APIs is not what the broker serves. Run\n\n    \
         {UPDATE}=1 cargo test -p wiber-cli --test readme\n\nor put this between its marks:\n\n{wanted}"
    );
}

#[test]
fn the_marks_are_found() {
    let text = ["above\n", BEGIN, "old\n", END, "below\n"].concat();
    assert_eq!(split(&text), Some(("above\n", "old\n", "below\n")));
    assert_eq!(split("nothing"), None);
    assert_eq!(split(BEGIN), None);
}
