//! The file of settings: TOML, with Kafka's dotted names as they are.
//!
//! `num.partitions = 3` is, to TOML, a table in a table; so the parts of each name are joined again, be they dotted, quoted or tables. It is
//! read by its events and not as a tree: in a tree, `max.connections` could not stand beside `max.connections.per.ip`. And so each
//! value has its line, and what is wrong in one line does not hide what is wrong in others.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml_parser::decoder::ScalarKind;
use toml_parser::parser::{Event, EventKind, parse_document};
use toml_parser::{ErrorSink, ParseError, Raw, Source};
use wiber_server::broker_config::{Given, Origin};

/// A larger file is none of settings, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// The settings in a file, and what is wrong with it, a line each.
pub fn read(path: &Path) -> (Vec<Given>, Vec<String>) {
    let name = path.display().to_string();
    match text_of(path) {
        Ok(text) => parse(&name, &text),
        Err(reason) => (Vec::new(), vec![format!("{name}: {reason}")]),
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let cannot = |error| format!("cannot read the file of settings: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mut text = String::new();
    let read = file.take(FILE_MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(cannot)?;
    if text.len() as u64 > FILE_MAX_BYTES {
        return Err(format!(
            "a file of settings has {FILE_MAX_BYTES} bytes at most"
        ));
    }
    Ok(text)
}

fn parse(name: &str, text: &str) -> (Vec<Given>, Vec<String>) {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let (mut events, mut errors): (Vec<Event>, Vec<ParseError>) = (Vec::new(), Vec::new());
    parse_document(&tokens, &mut events, &mut errors);
    let mut reading = Reading {
        name,
        source,
        lines: Lines::of(text),
        tables: vec![Vec::new()],
        key: Vec::new(),
        key_line: 0,
        array: None,
        is_broken: false,
        given: Vec::new(),
        seen: BTreeMap::new(),
        errors: Vec::new(),
    };
    for event in events {
        reading.take(&event);
    }
    for error in errors {
        reading.report_error(error);
    }
    reading.errors.sort();
    reading.errors.dedup_by_key(|(line, _)| *line);
    let (mut given, errors) = (reading.given, reading.errors);
    // A line that cannot be read says nothing more.
    given.retain(|given| match given.origin {
        Origin::File { line, .. } => errors.iter().all(|(wrong, _)| *wrong != line),
        _ => true,
    });
    let errors = errors.into_iter();
    let errors = errors.map(|(line, why)| format!("{name}:{line}: {why}"));
    (given, errors.collect())
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Lines(ends.map(|(at, _)| at + 1).collect())
    }

    /// The line of a byte, from 1 on.
    fn number(&self, at: usize) -> usize {
        self.0.partition_point(|begin| *begin <= at) + 1
    }
}

/// A file under way.
struct Reading<'a> {
    name: &'a str,
    source: Source<'a>,
    lines: Lines,
    /// The tables that are open, each inside the one before; the first is the one that a header named.
    tables: Vec<Vec<String>>,
    /// The name that is read.
    key: Vec<String>,
    key_line: usize,
    /// The elements of the list that is read.
    array: Option<Vec<String>>,
    /// The parser has lost its way until the next line.
    is_broken: bool,
    given: Vec<Given>,
    /// The line of each name.
    seen: BTreeMap<String, usize>,
    /// With the line of each.
    errors: Vec<(usize, String)>,
}

impl ErrorSink for Reading<'_> {
    fn report_error(&mut self, error: ParseError) {
        let span = error.unexpected().or(error.context());
        let line = span.map_or(1, |span| self.lines.number(span.start()));
        self.errors
            .push((line, format!("this is no TOML: {}", error.description())));
    }
}

impl<'a> Reading<'a> {
    fn take(&mut self, event: &Event) {
        let span = event.span();
        let line = self.lines.number(span.start());
        match event.kind() {
            EventKind::Newline if self.array.is_none() => {
                self.key.clear();
                self.is_broken = false;
            }
            EventKind::Error => self.is_broken = true,
            EventKind::StdTableOpen => {
                self.tables.truncate(1);
                self.tables[0].clear();
            }
            EventKind::StdTableClose => self.tables[0] = std::mem::take(&mut self.key),
            EventKind::ArrayTableOpen => {
                self.fault(line, "a list of tables is no setting".to_owned());
            }
            EventKind::ArrayTableClose => self.key.clear(),
            EventKind::SimpleKey => {
                let mut part = String::new();
                if let Some(raw) = self.raw(event) {
                    raw.decode_key(&mut part, self);
                }
                self.key.push(part);
                self.key_line = line;
            }
            EventKind::InlineTableOpen if self.array.is_some() => {
                self.fault(line, "a table in a list is no setting".to_owned());
            }
            EventKind::InlineTableOpen => {
                let table = self.tables.last().into_iter().flatten().cloned();
                let table = table.chain(self.key.drain(..)).collect();
                self.tables.push(table);
            }
            EventKind::InlineTableClose if self.tables.len() > 1 => {
                self.tables.pop();
            }
            EventKind::ArrayOpen if self.array.is_some() => {
                self.fault(line, "a list in a list is no setting".to_owned());
            }
            EventKind::ArrayOpen => self.array = Some(Vec::new()),
            EventKind::ArrayClose => {
                if let Some(elements) = self.array.take() {
                    self.set(elements.join(","));
                }
            }
            EventKind::Scalar => {
                let value = self.scalar(event, line);
                match &mut self.array {
                    Some(elements) => elements.push(value),
                    None => self.set(value),
                }
            }
            _ => {}
        }
    }

    fn raw(&self, event: &Event) -> Option<Raw<'a>> {
        self.source.get(event)
    }

    /// A value as a setting has it.
    fn scalar(&mut self, event: &Event, line: usize) -> String {
        let mut value = String::new();
        let Some(raw) = self.raw(event) else {
            return value;
        };
        match raw.decode_scalar(&mut value, self) {
            ScalarKind::DateTime => {
                let why = format!("{value} is a time to TOML: put it in quotes");
                self.fault(line, why);
            }
            ScalarKind::Integer(radix) => match i64::from_str_radix(&value, radix.value()) {
                Ok(number) => return number.to_string(),
                Err(_) => self.fault(line, format!("{value} is too large a number")),
            },
            ScalarKind::String | ScalarKind::Boolean(_) | ScalarKind::Float => {}
        }
        value
    }

    fn set(&mut self, value: String) {
        let table = self.tables.last().into_iter().flatten().cloned();
        let key: Vec<String> = table.chain(self.key.drain(..)).collect();
        let (key, line) = (key.join("."), self.key_line);
        if self.is_broken || key.is_empty() {
            return;
        }
        if let Some(first) = self.seen.insert(key.clone(), line) {
            self.fault(line, format!("{key} is set on line {first} already"));
            return;
        }
        self.given.push(Given {
            key,
            value,
            origin: Origin::File {
                path: self.name.to_owned(),
                line,
            },
        });
    }

    fn fault(&mut self, line: usize, why: String) {
        self.errors.push((line, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Vec<(String, String, usize)> {
        let (given, errors) = parse("w.toml", text);
        assert_eq!(errors, [""; 0]);
        let one = |given: Given| match given.origin {
            Origin::File { line, .. } => (given.key, given.value, line),
            other => panic!("{other}"),
        };
        given.into_iter().map(one).collect()
    }

    fn errors(text: &str) -> Vec<String> {
        parse("w.toml", text).1
    }

    #[test]
    fn names_are_kafka_s_however_toml_has_them() {
        let text = r#"
num.partitions = 3  # dotted
"log.retention.ms" = -1
auto.create."topics".enable = false
listeners = ["PLAINTEXT://:9092", "OUT://:9093"]
broker.rack = 'a "rack"'
[log]
segment.bytes = 0x100_000
cleaner = { min.cleanable.ratio = 0.5, threads = 2 }
[ max . connections ]
per.ip = 5
"#;
        let wanted = [
            ("num.partitions", "3", 2),
            ("log.retention.ms", "-1", 3),
            ("auto.create.topics.enable", "false", 4),
            ("listeners", "PLAINTEXT://:9092,OUT://:9093", 5),
            ("broker.rack", "a \"rack\"", 6),
            ("log.segment.bytes", "1048576", 8),
            ("log.cleaner.min.cleanable.ratio", "0.5", 9),
            ("log.cleaner.threads", "2", 9),
            ("max.connections.per.ip", "5", 11),
        ];
        let wanted = wanted.map(|(key, value, line)| (key.to_owned(), value.to_owned(), line));
        assert_eq!(good(text), wanted);
        assert_eq!(good(""), []);
    }

    #[test]
    fn a_name_may_go_on_from_one_that_has_a_value() {
        let text = "max.connections = 9\nmax.connections.per.ip = 3\n\nlisteners = [\n  'A://:1',\n  'B://:2',\n]\n";
        let lines: Vec<usize> = good(text).into_iter().map(|(.., line)| line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_by_its_line() {
        let text = "num.partitions = many\nbroker.rack = \"ok\"\nbroker.rack = 1\nx = \n[[listeners]]\na = [[1]]\nb = 1979-05-27\nc = 99999999999999999999\n";
        let found = errors(text);
        let lines: Vec<&str> = found.iter().map(|line| &line[..9]).collect();
        assert_eq!(
            lines,
            [
                "w.toml:1:",
                "w.toml:3:",
                "w.toml:4:",
                "w.toml:5:",
                "w.toml:6:",
                "w.toml:7:",
                "w.toml:8:"
            ],
            "{found:#?}"
        );
        assert!(found[1].contains("line 2"));
        let (given, _) = parse("w.toml", text);
        assert!(given.iter().any(|given| given.key == "broker.rack"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let (_, errors) = read(Path::new("/nowhere/w.toml"));
        assert!(
            errors[0].starts_with("/nowhere/w.toml: cannot read"),
            "{errors:?}"
        );
    }
}
