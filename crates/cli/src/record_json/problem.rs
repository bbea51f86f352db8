//! What is wrong with a line of JSON, for whoever wrote it: where, what was expected, and what stands there.

use serde_json::error::Category;

/// So much of the line is shown before the place, and half of it after, in bytes.
const SHOWN_BEFORE: usize = 24;
const SHOWN_AFTER: usize = 12;
/// So much is shown of a text that is wrong, in characters.
const SHOWN_CHARACTERS: usize = 24;

/// What the parser expects by its own names, and what it is for people.
const EXPECTED: [(&str, &str); 8] = [
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("a string", "a string"),
    ("a sequence", "an array of objects"),
    ("struct HeaderOfLine", "an object with key and value"),
    ("struct Line", "an object"),
    ("a borrowed string", "a string"),
    ("option", "a string or null"),
];
/// What the parser finds by its own names, up to what was found.
const FOUND: [(&str, &str); 7] = [
    ("integer ", "the number "),
    ("floating point ", "the number "),
    ("boolean ", ""),
    ("string ", "the text "),
    ("null", "null"),
    ("sequence", "an array"),
    ("map", "an object"),
];

/// A line that begins otherwise than with an object.
pub fn not_an_object(line: &[u8], at: usize) -> String {
    placed(
        line,
        at + 1,
        "expected an object, such as {\"value\":\"Hello\"}",
    )
}

/// The parser's words in plain ones.
pub fn in_words(line: &[u8], error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    let said = match error.classify() {
        Category::Eof => "expected more: the line ends before the object does".to_owned(),
        Category::Syntax | Category::Io => syntax(what),
        Category::Data => data(what),
    };
    // A record that is an argument may have several lines.
    let lines = line.split_inclusive(|byte| *byte == b'\n');
    let before = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len);
    placed(line, before.sum::<usize>() + error.column(), &said)
}

/// The beginning of a text that may be long.
pub fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown.escape_debug().to_string()
}

fn syntax(what: &str) -> String {
    match what {
        "trailing characters" => {
            "expected the end of the line: each object has a line of its own".to_owned()
        }
        "trailing comma" => "expected something after the comma".to_owned(),
        "key must be a string" => "expected the name of a field in double quotes".to_owned(),
        "expected value" | "expected ident" => {
            "expected a value: a string in double quotes, a number, null, an array or an object"
                .to_owned()
        }
        "number out of range" => "expected a smaller number".to_owned(),
        _ if what.starts_with("control character") => {
            "expected no control character in a string: write \\n, \\t or \\u00XX".to_owned()
        }
        _ => plain(what),
    }
}

fn data(what: &str) -> String {
    if let Some(named) = what.strip_prefix("unknown field ") {
        let (field, known) = named.split_once(", expected ").unwrap_or((named, ""));
        let known = known.trim_start_matches("one of ");
        return format!(
            "there is no field '{}'; there are {}",
            shortened(field.trim_matches('`')),
            known.replace('`', "")
        );
    }
    if let Some(field) = what.strip_prefix("missing field ") {
        return format!("expected a field {}", plain(field));
    }
    if let Some(field) = what.strip_prefix("duplicate field ") {
        return format!("expected the field {} once", plain(field));
    }
    let wrong = ["invalid type: ", "invalid value: "];
    let wrong = wrong.iter().find_map(|prefix| what.strip_prefix(prefix));
    if let Some((found, expected)) = wrong.and_then(|it| it.rsplit_once(", expected ")) {
        let told = EXPECTED.iter().find(|(name, _)| *name == expected);
        return format!(
            "expected {}, found {}",
            told.map_or(expected, |(_, told)| told),
            named(found)
        );
    }
    plain(what)
}

fn named(found: &str) -> String {
    for (name, told) in FOUND {
        let Some(value) = found.strip_prefix(name) else {
            continue;
        };
        let value = value.trim_matches('`');
        return match value.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
            Some(text) => format!("{told}\"{}\"", shortened(text)),
            None => format!("{told}{}", shortened(value)),
        };
    }
    plain(found)
}

fn plain(what: &str) -> String {
    what.replace('`', "'")
}

/// With the column, from 1, and what stands around it.
fn placed(line: &[u8], column: usize, said: &str) -> String {
    let line = line.trim_ascii_end();
    let column = column.clamp(1, line.len().max(1));
    let from = column.saturating_sub(SHOWN_BEFORE);
    let to = (column + SHOWN_AFTER).min(line.len());
    let cut = |is_cut: bool| if is_cut { "..." } else { "" };
    let around = String::from_utf8_lossy(&line[from..to]);
    let around: String = around
        .trim_matches(char::REPLACEMENT_CHARACTER)
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect();
    format!(
        "column {column}: {said}, at '{}{around}{}'",
        cut(from > 0),
        cut(to < line.len())
    )
}

#[cfg(test)]
mod tests {
    use crate::record_json::read;

    #[test]
    fn people_are_told_in_their_words() {
        for (line, told) in [
            ("{\"value\":", "the line ends before the object does"),
            ("{\"value\":x}", "column 10: expected a value: a string"),
            ("{value:\"x\"}", "name of a field in double quotes"),
            ("{\"value\":\"x\",}", "expected something after the comma"),
            ("{\"value\":\"x\" \"k\":1}", "expected ',' or '}'"),
            ("{\"value\":\"a\tb\"}", "write \\n, \\t or"),
            ("{\"value\":true}", "expected a string, found true"),
            (
                "{\"value\":{\"a\":1}}",
                "expected a string, found an object",
            ),
            ("{\"value\":[1]}", "expected a string, found an array"),
            (
                "{\"value\":\"x\",\"timestamp\":1.5}",
                "found the number 1.5",
            ),
            (
                "{\"value\":\"x\",\"partition\":3000000000}",
                "expected a whole number, found the number 3000000000",
            ),
            (
                "{\"value\":\"x\",\"headers\":{}}",
                "expected an array of objects",
            ),
            (
                "{\"value\":\"x\",\"headers\":[1]}",
                "an object with key and value",
            ),
            (
                "{\"value\":\"x\",\"headers\":[{}]}",
                "expected a field 'key'",
            ),
            (
                "{\"value\":\"x\",\"value\":\"x\"}",
                "the field 'value' once",
            ),
            ("  7", "column 3: expected an object"),
            ("{\"value\":\n1}", "column 11: expected a string"),
        ] {
            let error = read(line.as_bytes()).expect_err(line);
            assert!(error.contains(told), "{line}: {error}");
            assert!(
                !error.contains("invalid") && !error.contains('`'),
                "{error}"
            );
        }
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let line = format!(
            "{{\"key\":\"{}\",\"value\":1,\"headers\":[]}}",
            "ü".repeat(5000)
        );
        let error = read(line.as_bytes()).expect_err("a number");
        assert!(error.starts_with("column 10019: "), "{error}");
        assert!(error.ends_with("...'"), "{error}");
        assert!(error.len() < 200, "{error}");
        let long = format!("{{\"value\":\"\",\"partition\":\"{}\"}}", "x".repeat(5000));
        assert!(read(long.as_bytes()).expect_err("a text").len() < 200);
    }
}
