//! How a record is shown.

use std::io::{self, IsTerminal, Write};

use wiber_client::ReceivedRecord;

use super::Column;
use crate::moment::rfc3339;
use crate::output::Format;
use crate::record_json;

/// How records are shown.
#[derive(Debug)]
pub struct Show {
    topic: String,
    format: Format,
    columns: Columns,
    /// A terminal is not sent what would control it, and half a character would spoil a line.
    escape: bool,
}

#[derive(Clone, Copy, Default, Debug)]
struct Columns {
    partition: bool,
    offset: bool,
    timestamp: bool,
    headers: bool,
    key: bool,
}

impl Show {
    pub(super) fn new(topic: &str, format: Format, columns: &[Column]) -> Show {
        let has = |column| columns.contains(&column) || columns.contains(&Column::All);
        Show {
            topic: topic.to_owned(),
            format,
            columns: Columns {
                partition: has(Column::Partition),
                offset: has(Column::Offset),
                timestamp: has(Column::Timestamp),
                headers: has(Column::Headers),
                key: has(Column::Key),
            },
            escape: io::stdout().is_terminal(),
        }
    }

    /// Shows a record on a line.
    pub fn record(&self, out: &mut impl Write, record: &ReceivedRecord) -> io::Result<()> {
        if self.format == Format::Json {
            return record_json::write(out, &self.topic, record);
        }
        let columns = self.columns;
        if columns.partition {
            write!(out, "{}\t", record.partition)?;
        }
        if columns.offset {
            write!(out, "{}\t", record.offset)?;
        }
        if columns.timestamp {
            write!(out, "{}\t", rfc3339(record.timestamp_ms))?;
        }
        if columns.headers {
            for (i, (key, value)) in record.headers.iter().enumerate() {
                out.write_all(if i == 0 { b"" } else { b"," })?;
                self.bytes(out, key)?;
                out.write_all(b"=")?;
                self.nullable(out, value.as_deref())?;
            }
            out.write_all(b"\t")?;
        }
        if columns.key {
            self.nullable(out, record.key.as_deref())?;
            out.write_all(b"\t")?;
        }
        self.nullable(out, record.value.as_deref())?;
        out.write_all(b"\n")
    }

    fn nullable(&self, out: &mut impl Write, bytes: Option<&[u8]>) -> io::Result<()> {
        match bytes {
            Some(bytes) => self.bytes(out, bytes),
            None => out.write_all(b"null"),
        }
    }

    fn bytes(&self, out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        if !self.escape {
            return out.write_all(bytes);
        }
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() && character != '\t' {
                    write!(out, "{}", character.escape_default())?;
                } else {
                    write!(out, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn shown(columns: &[Column], escape: bool) -> Vec<u8> {
        let record = ReceivedRecord {
            partition: 1,
            offset: 2,
            timestamp_ms: 1_795_000_000_000,
            key: None,
            value: Some(Bytes::from_static(b"a\x1b[2J\xff\t\xc3\xa4")),
            headers: vec![
                (Bytes::from_static(b"k"), Some(Bytes::from_static(b"v"))),
                (Bytes::from_static(b"k"), None),
            ],
        };
        let mut show = Show::new("t", Format::Text, columns);
        show.escape = escape;
        let mut out = Vec::new();
        show.record(&mut out, &record).unwrap();
        out
    }

    #[test]
    fn a_pipe_gets_the_bytes_and_a_terminal_no_commands() {
        assert_eq!(shown(&[], false), b"a\x1b[2J\xff\t\xc3\xa4\n");
        assert_eq!(shown(&[], true), "a\\u{1b}[2J\\xff\tä\n".as_bytes());
    }

    #[test]
    fn columns_come_in_their_own_order() {
        assert_eq!(
            shown(&[Column::All], true),
            "1\t2\t2026-11-18T11:06:40.000Z\tk=v,k=null\tnull\ta\\u{1b}[2J\\xff\tä\n".as_bytes()
        );
        assert_eq!(
            shown(&[Column::Key, Column::Offset], true),
            "2\tnull\ta\\u{1b}[2J\\xff\tä\n".as_bytes()
        );
    }
}
