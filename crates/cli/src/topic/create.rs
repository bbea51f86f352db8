//! `wiber topic create`: one topic by flags, or many by a file.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};
use wiber_client::ClientError;
use wiber_protocol::messages::CreateTopicsRequest;
use wiber_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use wiber_protocol::{ErrorCode, Str};

use super::refused;
use crate::config::Setting;
use crate::connect::Connect;
use crate::failure::{Failure, after_printing};
use crate::number;
use crate::output::{Output, counted, line, object};

/// What the broker shall decide by its own settings.
const BROKERS_DEFAULT: i16 = -1;
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Creates a topic, or the topics of a file.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber topic create chat
  wiber topic create chat --partitions 3 --config retention.ms=86400000
  wiber topic create --file topics.json --if-not-exists --dry-run

A file is a JSON array; `-` reads it from standard input. All but the name may be left out:
  [{\"name\": \"chat\", \"partitions\": 3, \"replication_factor\": 1, \"configs\": {\"retention.ms\": \"86400000\"}}]")]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    /// The topic.
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// Into how many partitions it is divided [default: what the broker's num.partitions says].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1, i32::MAX), conflicts_with = "file")]
    partitions: Option<i32>,
    /// On how many brokers each record is kept [default: what the broker's default.replication.factor says].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1, i16::MAX), conflicts_with = "file")]
    replication_factor: Option<i16>,
    /// A setting of the topic; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "file")]
    config: Vec<Setting>,
    /// Creates the topics of a JSON file instead.
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    file: Option<PathBuf>,
    /// It is well if the topic is there already, however it is made.
    #[arg(long)]
    if_not_exists: bool,
    /// Only checks whether it could be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let topics = match &arguments.file {
        Some(path) => read_file(path)?,
        None => vec![topic(
            arguments.name.as_deref().unwrap_or_default(),
            arguments.partitions,
            arguments.replication_factor,
            &arguments.config,
        )],
    };
    if topics.is_empty() {
        return Ok(());
    }
    let cluster = arguments.connect.cluster().await?;
    let request = CreateTopicsRequest {
        topics,
        timeout_ms: arguments.connect.timeout_ms(),
        validate_only: arguments.dry_run,
    };
    let answer = cluster
        .ask_controller(&request, |answer| {
            answer.topics.first().map_or(0, |it| it.error_code)
        })
        .await?;
    let (mut done, mut printed) = (Ok(()), Ok(()));
    for asked in &request.topics {
        let result = answer.topics.iter().find(|it| it.name == asked.name);
        let (well, told) = tell(&arguments, &asked.name, result);
        if !well {
            done = Err(Failure::Told);
        }
        // Each of them is told of, whether anybody reads the results or not.
        printed = printed.and(told);
    }
    after_printing(done, printed)
}

fn topic(
    name: &str,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    configs: &[Setting],
) -> CreatableTopic {
    CreatableTopic {
        name: Str::from(name),
        num_partitions: partitions.unwrap_or(BROKERS_DEFAULT.into()),
        replication_factor: replication_factor.unwrap_or(BROKERS_DEFAULT),
        assignments: Vec::new(),
        configs: configs
            .iter()
            .map(|setting| CreatableTopicConfig {
                name: setting.key.as_str().into(),
                value: Some(setting.value.as_str().into()),
            })
            .collect(),
    }
}

/// Says what became of a topic: false if it failed, and whether it could be said.
fn tell(
    arguments: &Arguments,
    name: &str,
    result: Option<&CreatableTopicResult>,
) -> (bool, Result<(), Failure>) {
    let output = arguments.output;
    let code = result.map_or(ErrorCode::UnknownServerError.code(), |it| it.error_code);
    if code == ErrorCode::TopicAlreadyExists.code() && arguments.if_not_exists {
        let told = if output.is_json() {
            object(&json!({
                "topic": name, "created": false, "dry_run": arguments.dry_run, "exists": true,
            }))
        } else {
            line(&format!("{name}: is there already"))
        };
        return (true, told);
    }
    let message = result.and_then(|it| it.error_message.as_deref());
    if let Err(error) = ClientError::check(code, message) {
        return (
            false,
            refused(output, name, "created", Some(arguments.dry_run), &error),
        );
    }
    // Brokers before KIP-525 do not say what they made.
    let partitions = result
        .map(|it| it.num_partitions)
        .filter(|count| *count >= 0);
    let replication = result
        .map(|it| it.replication_factor)
        .filter(|count| *count >= 0);
    if output.is_json() {
        let id = result.map(|it| it.topic_id.to_string());
        let told = object(&json!({
            "topic": name, "created": !arguments.dry_run, "dry_run": arguments.dry_run,
            "id": id.filter(|_| !arguments.dry_run), "partitions": partitions, "replication_factor": replication,
        }));
        return (true, told);
    }
    let done = if arguments.dry_run {
        "could be created"
    } else {
        "created"
    };
    let with = match (partitions, replication) {
        (Some(partitions), Some(replication)) => format!(
            " with {}, replication factor {replication}",
            counted(partitions as u64, "partition")
        ),
        _ => String::new(),
    };
    (true, line(&format!("{name}: {done}{with}")))
}

fn read_file(path: &Path) -> Result<Vec<CreatableTopic>, Failure> {
    let shown = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Failed(format!("cannot read {shown}: {error}")))?;
    parse(&text).map_err(|problem| Failure::Failed(format!("{shown}: {problem}")))
}

/// The topics of a file.
fn parse(text: &str) -> Result<Vec<CreatableTopic>, String> {
    let entries: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Array(entries) = entries else {
        return Err(
            "an array of topics is wanted: [{\"name\": \"chat\", \"partitions\": 3}]".to_owned(),
        );
    };
    let mut names = BTreeSet::new();
    let mut topics = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        let name = entry.get("name").and_then(Value::as_str);
        let place = match name {
            Some(name) => format!("entry {} (\"{name}\")", i + 1),
            None => format!("entry {}", i + 1),
        };
        let topic = entry_of(entry).map_err(|problem| format!("{place}: {problem}"))?;
        if !names.insert(topic.name.clone()) {
            return Err(format!("{place}: name: another entry has the same"));
        }
        topics.push(topic);
    }
    Ok(topics)
}

const FIELDS: [&str; 4] = ["name", "partitions", "replication_factor", "configs"];

fn entry_of(entry: &Value) -> Result<CreatableTopic, String> {
    let Value::Object(fields) = entry else {
        return Err("an object is wanted".to_owned());
    };
    if let Some(unknown) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(format!(
            "{unknown}: no such field; there are {}",
            FIELDS.join(", ")
        ));
    }
    let name = match fields.get("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        Some(_) => return Err("name: a string that is not empty is wanted".to_owned()),
        None => return Err("name: is missing".to_owned()),
    };
    let partitions = count(fields, "partitions", i32::MAX.into())?;
    let replication_factor = count(fields, "replication_factor", i16::MAX.into())?;
    let configs = match fields.get("configs") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(configs)) => configs
            .iter()
            .map(|(key, value)| setting(key, value))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("configs: an object of settings is wanted".to_owned()),
    };
    Ok(topic(
        name,
        partitions.map(|count| count as i32),
        replication_factor.map(|count| count as i16),
        &configs,
    ))
}

fn count(fields: &Map<String, Value>, field: &str, most: i64) -> Result<Option<i64>, String> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_i64()
            .filter(|count| (1..=most).contains(count))
            .map(Some)
            .ok_or_else(|| format!("{field}: {value} is no number from 1 to {most}")),
    }
}

/// Settings are text for Kafka; numbers and truths may be written as such.
fn setting(key: &str, value: &Value) -> Result<Setting, String> {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => {
            return Err(format!(
                "configs: {key}: a string, number or truth is wanted"
            ));
        }
    };
    Ok(Setting {
        key: key.to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_to_create() {
        let topics = parse(
            "[{\"name\": \"a\", \"partitions\": 3, \"replication_factor\": 1, \"configs\": {\"retention.ms\": 5, \"x\": \"y\"}},
              {\"name\": \"b\"}]",
        )
        .unwrap();
        assert_eq!(topics.len(), 2);
        assert_eq!(
            (topics[0].num_partitions, topics[0].replication_factor),
            (3, 1)
        );
        assert_eq!(topics[0].configs[0].value.as_deref(), Some("5"));
        assert_eq!(
            (topics[1].num_partitions, topics[1].replication_factor),
            (-1, -1)
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_entry_and_field() {
        for (text, told) in [
            ("{}", "an array of topics"),
            ("[", "EOF while parsing"),
            ("[1]", "entry 1: an object is wanted"),
            ("[{}]", "entry 1: name: is missing"),
            ("[{\"name\": 1}]", "entry 1: name: a string"),
            (
                "[{\"name\": \"a\"}, {\"name\": \"b\", \"partitions\": 0}]",
                "entry 2 (\"b\"): partitions: 0 is no number",
            ),
            (
                "[{\"name\": \"a\", \"partitions\": \"3\"}]",
                "partitions: \"3\" is no number",
            ),
            (
                "[{\"name\": \"a\", \"replication_factor\": 40000}]",
                "replication_factor: 40000",
            ),
            (
                "[{\"name\": \"a\", \"partition\": 1}]",
                "partition: no such field; there are name, partitions",
            ),
            ("[{\"name\": \"a\", \"configs\": []}]", "configs: an object"),
            (
                "[{\"name\": \"a\", \"configs\": {\"k\": null}}]",
                "configs: k: a string",
            ),
            (
                "[{\"name\": \"a\"}, {\"name\": \"a\"}]",
                "entry 2 (\"a\"): name: another entry",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
