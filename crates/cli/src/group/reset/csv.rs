//! Offsets in a file, as Kafka's own kafka-consumer-groups writes and reads them: `topic,partition,offset` on a line, or
//! `group,topic,partition,offset` where there are several groups.

use std::collections::BTreeMap;

use wiber_client::TopicPartition;
use wiber_protocol::Str;

/// The offsets of groups.
pub type Offsets = BTreeMap<Str, BTreeMap<TopicPartition, i64>>;

/// A line of the file.
pub fn line(group: Option<&str>, at: &TopicPartition, offset: i64) -> String {
    let group = group.map_or(String::new(), |group| quoted(group) + ",");
    format!("{group}{},{},{offset}", quoted(&at.topic), at.partition)
}

/// Reads a file for these groups.
///
/// # Errors
/// Which line is wrong, and why.
pub fn read(text: &str, groups: &[Str]) -> Result<Offsets, String> {
    let mut offsets = Offsets::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let (group, at, offset) =
            row(line, groups).map_err(|problem| format!("line {number}: {problem}"))?;
        let twice = format!(
            "line {number}: partition {} of {} again",
            at.partition, at.topic
        );
        if offsets
            .entry(group)
            .or_default()
            .insert(at, offset)
            .is_some()
        {
            return Err(twice);
        }
    }
    if offsets.is_empty() {
        return Err("there are no offsets in it".to_owned());
    }
    Ok(offsets)
}

fn row(line: &str, groups: &[Str]) -> Result<(Str, TopicPartition, i64), String> {
    let mut fields = fields(line)?;
    let group = match (fields.len(), groups) {
        (3, [group]) => group.clone(),
        (3, _) => {
            return Err("the group is missing, as several are named: GROUP,TOPIC,PARTITION,OFFSET is wanted".to_owned());
        }
        (4, _) => {
            let name = fields.remove(0);
            let known = groups.iter().find(|it| it.as_str() == name);
            known
                .cloned()
                .ok_or_else(|| format!("it is for group '{name}', which was not named"))?
        }
        _ => return Err("TOPIC,PARTITION,OFFSET is wanted".to_owned()),
    };
    let partition = fields[1].trim().parse().ok().filter(|it| *it >= 0);
    let partition = partition.ok_or_else(|| format!("'{}' is no partition", fields[1]))?;
    let offset = fields[2].trim().parse().ok().filter(|it| *it >= 0);
    let offset = offset.ok_or_else(|| format!("'{}' is no offset", fields[2]))?;
    let topic = fields[0].as_str();
    Ok((group, TopicPartition::new(topic, partition), offset))
}

/// The fields of a line; one in quotes may hold commas, and quotes twice.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars().peekable();
    let mut within = false;
    while let Some(character) = characters.next() {
        let field = fields.last_mut().ok_or("no field")?;
        match character {
            '"' if within && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if within || field.is_empty() => within = !within,
            ',' if !within => fields.push(String::new()),
            _ => field.push(character),
        }
    }
    if within {
        return Err("a quote is not closed".to_owned());
    }
    Ok(fields)
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<Str> {
        names.iter().map(|it| Str::from(*it)).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let at = TopicPartition::new("chat", 2);
        assert_eq!(line(None, &at, 7), "chat,2,7");
        let odd = "a, \"b\"";
        assert_eq!(line(Some(odd), &at, 7), "\"a, \"\"b\"\"\",chat,2,7");
        let text = [line(Some("g"), &at, 7), line(Some(odd), &at, 8)].join("\n");
        let read = read(&text, &groups(&["g", odd])).unwrap();
        assert_eq!(read["g"][&at], 7);
        assert_eq!(read[odd][&at], 8);
    }

    #[test]
    fn kafka_quotes_long_names() {
        let read = read(
            "\"a-topic-with-a-rather-long-name\",0,5\r\n\n",
            &groups(&["g"]),
        );
        let at = TopicPartition::new("a-topic-with-a-rather-long-name", 0);
        assert_eq!(read.unwrap()["g"][&at], 5);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            ("", "no offsets"),
            (
                "chat,0,1\nchat,0",
                "line 2: TOPIC,PARTITION,OFFSET is wanted",
            ),
            ("chat,-1,1", "line 1: '-1' is no partition"),
            ("chat,0,x", "line 1: 'x' is no offset"),
            ("chat,0,-1", "line 1: '-1' is no offset"),
            ("\"chat,0,1", "line 1: a quote is not closed"),
            ("other,chat,0,1", "line 1: it is for group 'other'"),
            ("chat,0,1\nchat,0,2", "line 2: partition 0 of chat again"),
        ] {
            let error = read(text, &groups(&["g"])).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let error = read("chat,0,1", &groups(&["g", "h"])).unwrap_err();
        assert!(error.contains("the group is missing"), "{error}");
    }
}
