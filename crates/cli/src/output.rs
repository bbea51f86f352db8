//! What commands print: text for people, JSON for programs.

mod closed;
mod reader;

use std::io::{self, IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::failure::Failure;
pub use reader::reader_gone;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How to print, as an argument.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// How to print: for people, or one JSON object a line.
    #[arg(id = "output", short, long = "output", value_enum, default_value_t = Format::Text, hide_possible_values = true, value_name = "text|json")]
    pub format: Format,
}

impl Output {
    /// Whether programs read the output.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// An error if there is no standard output: what is printed would go nowhere.
pub fn open() -> Result<(), Failure> {
    if closed::is_closed() {
        return Err(Failure::Failed(
            "cannot write the output: standard output is closed".to_owned(),
        ));
    }
    Ok(())
}

/// Prints a line of text.
pub fn line(text: &str) -> Result<(), Failure> {
    open()?;
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Prints whole lines.
pub fn text(lines: &str) -> Result<(), Failure> {
    open()?;
    let mut out = io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints an object on a line.
pub fn object(value: &Value) -> Result<(), Failure> {
    line(&value.to_string())
}

/// Whether control sequences may be sent to standard output: to a terminal, unless the user wants none (no-color.org).
pub fn in_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Rows in aligned columns under their names.
#[derive(Debug)]
pub struct Table {
    names: Vec<&'static str>,
    /// Columns of numbers are aligned to the right.
    numbers: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns. A name that begins with `#` is that of a column of numbers.
    pub fn new(columns: &[&'static str]) -> Table {
        Table {
            names: columns
                .iter()
                .map(|name| name.trim_start_matches('#'))
                .collect(),
            numbers: columns.iter().map(|name| name.starts_with('#')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it, each line after `indent`.
    pub fn print(&self, indent: &str) -> Result<(), Failure> {
        text(&self.as_text(indent))
    }

    /// What would be printed.
    pub fn as_text(&self, indent: &str) -> String {
        self.rendered(indent, in_colour())
    }

    fn rendered(&self, indent: &str, bold: bool) -> String {
        let width = |column: usize, name: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .chain([name.chars().count()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = self
            .names
            .iter()
            .enumerate()
            .map(|(i, name)| width(i, name))
            .collect();
        let laid_out = |cells: &[String]| {
            let mut text = indent.to_owned();
            for (i, cell) in cells.iter().enumerate() {
                let space = " ".repeat(widths[i].saturating_sub(cell.chars().count()));
                let gap = if i == 0 { "" } else { "  " };
                text += gap;
                text += &if self.numbers[i] {
                    space.clone() + cell
                } else {
                    cell.clone() + &space
                };
            }
            text.trim_end().to_owned()
        };
        let names: Vec<_> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let heading = laid_out(&names);
        let mut text = if bold {
            format!("\x1b[1m{heading}\x1b[0m\n")
        } else {
            heading + "\n"
        };
        for row in &self.rows {
            text += &laid_out(row);
            text.push('\n');
        }
        text
    }
}

/// Bytes for people.
pub fn bytes_in_words(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{amount:.1} {}", UNITS[unit])
    }
}

/// A count and what is counted, which takes an `s` where it is not one.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let mut table = Table::new(&["NAME", "#COUNT", "NOTE"]);
        table.row(["a".to_owned(), "1".to_owned(), String::new()]);
        table.row(["häää".to_owned(), "1234567".to_owned(), "x".to_owned()]);
        assert_eq!(
            table.rendered(" ", false),
            " NAME    COUNT  NOTE\n a           1\n häää  1234567  x\n"
        );
        assert!(table.rendered("", true).starts_with("\x1b[1mNAME"));
    }

    #[test]
    fn sizes_have_a_unit_that_fits() {
        assert_eq!(bytes_in_words(0), "0 B");
        assert_eq!(bytes_in_words(1023), "1023 B");
        assert_eq!(bytes_in_words(1536), "1.5 KiB");
        assert_eq!(bytes_in_words(5 << 40), "5.0 TiB");
    }
}
