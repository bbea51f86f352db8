//! Records as JSON, one a line: what `wiber consume --format json` prints and `wiber produce --format json` reads.
//!
//! `{"topic":"chat","partition":0,"offset":7,"timestamp":1795000000000,"key":null,"value":"Hello","headers":[{"key":"k","value":"v"}]}`.
//! What is not UTF-8 is in a field with `_base64` at the end of its name instead. A timestamp is in milliseconds since 1970; −1 is one that
//! the record does not have, and what is produced gets the time at which it is.
//!
//! Invariant: what is printed of a record reads back as the same key, value, headers, partition and, if it has one, timestamp.

mod problem;

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use wiber_client::{ReceivedRecord, Record};
use wiber_protocol::Str;

/// Kafka's timestamp of a record that has none (`RecordBatch.NO_TIMESTAMP`).
const NO_TIMESTAMP: i64 = -1;

/// Writes a record and the end of the line.
pub fn write(out: &mut impl Write, topic: &str, record: &ReceivedRecord) -> io::Result<()> {
    out.write_all(b"{\"topic\":")?;
    string(out, topic)?;
    write!(
        out,
        ",\"partition\":{},\"offset\":{},\"timestamp\":{}",
        record.partition, record.offset, record.timestamp_ms
    )?;
    field(out, ",\"", "key", record.key.as_deref())?;
    field(out, ",\"", "value", record.value.as_deref())?;
    out.write_all(b",\"headers\":[")?;
    for (i, (key, value)) in record.headers.iter().enumerate() {
        field(out, if i == 0 { "{\"" } else { ",{\"" }, "key", Some(key))?;
        field(out, ",\"", "value", value.as_deref())?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}\n")
}

/// A field after `before`, which ends in the quotation mark of its name.
fn field(out: &mut impl Write, before: &str, name: &str, bytes: Option<&[u8]>) -> io::Result<()> {
    out.write_all(before.as_bytes())?;
    out.write_all(name.as_bytes())?;
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.write_all(b"\":null"),
        Some((_, Ok(text))) => {
            out.write_all(b"\":")?;
            string(out, text)
        }
        Some((bytes, Err(_))) => write!(out, "_base64\":\"{}\"", STANDARD.encode(bytes)),
    }
}

fn string(out: &mut impl Write, text: &str) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

/// A line as it is read. Where a record came from is read over, so that what was consumed can be produced.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<Option<Cow<'a, str>>>,
    #[serde(borrow, default)]
    value_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    headers: Vec<HeaderOfLine<'a>>,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default, rename = "topic")]
    _topic: serde::de::IgnoredAny,
    #[serde(default, rename = "offset")]
    _offset: serde::de::IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderOfLine<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value_base64: Option<Cow<'a, str>>,
}

/// Tells a field that is null from one that is not there.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Cow<'de, str>>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, and which field it is in.
pub fn read(line: &[u8]) -> Result<Record, String> {
    // The parser would take an array for an object whose fields have no names.
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace());
    if start.is_some_and(|at| line[at] != b'{') {
        return Err(problem::not_an_object(line, start.unwrap_or(0)));
    }
    let line: Line<'_> =
        serde_json::from_slice(line).map_err(|error| problem::in_words(line, &error))?;
    let value = match (line.value, line.value_base64) {
        (Some(_), Some(_)) => return Err("value and value_base64 exclude each other".to_owned()),
        (Some(text), None) => text.map(bytes_of),
        (None, Some(code)) => Some(decoded("value_base64", &code)?),
        (None, None) => return Err("it has no value; that of a tombstone is null".to_owned()),
    };
    let timestamp_ms = match line.timestamp {
        None | Some(NO_TIMESTAMP) => None,
        Some(ms) if ms >= 0 => Some(ms),
        Some(ms) => return Err(format!("timestamp: {ms} is before 1970; -1 is none")),
    };
    let mut headers = Vec::with_capacity(line.headers.len());
    for header in line.headers {
        let value = either("value", header.value, header.value_base64)
            .map_err(|problem| format!("header '{}': {problem}", header.key))?;
        headers.push((Str::from(header.key.as_ref()), value));
    }
    Ok(Record {
        key: either("key", line.key, line.key_base64)?,
        value,
        headers,
        timestamp_ms,
        partition: line.partition,
        tag: 0,
    })
}

fn either(
    name: &str,
    text: Option<Cow<'_, str>>,
    code: Option<Cow<'_, str>>,
) -> Result<Option<Bytes>, String> {
    match (text, code) {
        (Some(_), Some(_)) => Err(format!("{name} and {name}_base64 exclude each other")),
        (None, Some(code)) => decoded(&format!("{name}_base64"), &code).map(Some),
        (text, None) => Ok(text.map(bytes_of)),
    }
}

fn bytes_of(text: Cow<'_, str>) -> Bytes {
    Bytes::from(text.into_owned())
}

fn decoded(name: &str, code: &str) -> Result<Bytes, String> {
    STANDARD
        .decode(code)
        .map(Bytes::from)
        .map_err(|_| format!("{name}: '{}' is no Base64", problem::shortened(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received() -> ReceivedRecord {
        ReceivedRecord {
            partition: 3,
            offset: 9,
            timestamp_ms: 1_795_000_000_000,
            key: Some(Bytes::from_static(b"\xff\x00")),
            value: Some(Bytes::from_static("a\"\n\u{1F980}".as_bytes())),
            headers: vec![
                (Bytes::from_static(b"k"), Some(Bytes::from_static(b"1"))),
                (Bytes::from_static(b"k"), None),
                (Bytes::from_static(b"k"), Some(Bytes::from_static(b"\xfe"))),
                (Bytes::from_static(b""), Some(Bytes::new())),
            ],
        }
    }

    fn written(record: &ReceivedRecord) -> String {
        let mut out = Vec::new();
        write(&mut out, "chat", record).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_reads_back_as_it_was() {
        for value in [Some(&b"text"[..]), Some(b""), Some(b"\xc3\x28"), None] {
            let record = ReceivedRecord {
                value: value.map(Bytes::from_static),
                ..received()
            };
            let line = written(&record);
            let back = read(line.trim_end().as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
            assert_eq!(back.key, record.key);
            assert_eq!(back.value, record.value);
            assert_eq!(back.partition, Some(record.partition));
            assert_eq!(back.timestamp_ms, Some(record.timestamp_ms));
            let headers: Vec<_> = back
                .headers
                .iter()
                .map(|(key, value)| (key.as_shared_bytes().clone(), value.clone()))
                .collect();
            assert_eq!(headers, record.headers);
        }
    }

    #[test]
    fn a_timestamp_of_minus_one_is_none() {
        for (timestamp, told) in [("-1", None), ("null", None), ("0", Some(0))] {
            let line = format!("{{\"value\":\"a\",\"timestamp\":{timestamp}}}");
            assert_eq!(read(line.as_bytes()).map(|it| it.timestamp_ms), Ok(told));
        }
    }

    #[test]
    fn the_shape_is_as_documented() {
        assert_eq!(
            written(&received()),
            "{\"topic\":\"chat\",\"partition\":3,\"offset\":9,\"timestamp\":1795000000000,\"key_base64\":\"/wA=\",\
             \"value\":\"a\\\"\\n\u{1F980}\",\"headers\":[{\"key\":\"k\",\"value\":\"1\"},{\"key\":\"k\",\"value\":null},\
             {\"key\":\"k\",\"value_base64\":\"/g==\"},{\"key\":\"\",\"value\":\"\"}]}\n"
        );
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, told) in [
            ("{}", "no value"),
            ("[\"a\"]", "column 1: expected an object"),
            (
                "{\"value\":1}",
                "column 10: expected a string, found the number 1, at '{\"value\":1}'",
            ),
            (
                "{\"value\":\"a\",\"vlaue\":1}",
                "there is no field 'vlaue'; there are key, key_base64, value,",
            ),
            ("{\"value\":\"a\",\"value_base64\":\"YQ==\"}", "exclude"),
            (
                "{\"value\":\"a\",\"key\":\"\",\"key_base64\":\"\"}",
                "exclude",
            ),
            ("{\"value_base64\":\"a\"}", "value_base64"),
            (
                "{\"value\":\"a\"} x",
                "column 15: expected the end of the line",
            ),
            (
                "{\"value\":\"a\",\"partition\":\"0\"}",
                "expected a whole number, found the text \"0\"",
            ),
            ("{\"value\":\"a\",\"timestamp\":-2}", "before 1970"),
        ] {
            let error = read(line.as_bytes()).expect_err(line);
            assert!(error.contains(told), "{line}: {error}");
        }
    }
}
