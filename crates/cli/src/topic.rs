//! `wiber topic`: creates, shows, changes and deletes topics.

mod create;
mod describe;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use wiber_client::{ClientError, Cluster, Topic};
use wiber_protocol::messages::create_partitions::CreatePartitionsTopic;
use wiber_protocol::messages::delete_topics::DeleteTopicState;
use wiber_protocol::messages::{CreatePartitionsRequest, DeleteTopicsRequest};
use wiber_protocol::{ErrorCode, Str};

use crate::config::{self, Change, Resource, Setting};
use crate::confirm::confirm;
use crate::connect::{self, Connect};
use crate::failure::{Failure, after_printing, say};
use crate::number;
use crate::output::{Output, Table, line, object};

/// Creates, shows, changes and deletes topics.
#[derive(Subcommand)]
pub enum Command {
    Create(create::Arguments),
    List(List),
    Describe(describe::Arguments),
    Alter(Alter),
    Delete(Delete),
}

/// Shows the names of all topics; into a pipe, nothing but the names.
#[derive(Args)]
pub struct List {
    /// Shows the brokers' own topics too.
    #[arg(long)]
    internal: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Adds partitions to a topic, or changes its settings.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber topic alter chat --partitions 6
  wiber topic alter chat --config retention.ms=86400000 --delete-config segment.bytes

Keys that were sent to a partition before may go to another one afterwards: a key's partition follows from how many there are.")]
#[command(arg_required_else_help = true)]
pub struct Alter {
    /// The topic.
    name: String,
    /// How many partitions it shall have: more than it has.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(1, i32::MAX))]
    partitions: Option<i32>,
    /// Changes a setting; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<Setting>,
    /// Takes a setting back to its default; may be given several times.
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
    /// Only checks whether it could be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Deletes topics and all that is in them.
#[derive(Args)]
pub struct Delete {
    /// The topics.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Does not ask first.
    #[arg(short, long)]
    yes: bool,
    /// It is well if there is no such topic.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Create(arguments) => connect::run(create::run(arguments)),
        Command::List(arguments) => connect::run(list(arguments)),
        Command::Describe(arguments) => connect::run(describe::run(arguments)),
        Command::Alter(arguments) => connect::run(alter(arguments)),
        Command::Delete(arguments) => connect::run(delete(arguments)),
    }
}

/// All topics, by name.
async fn all_topics(cluster: &Cluster) -> Result<Vec<Topic>, ClientError> {
    let answer = cluster.metadata(None, false).await?;
    // One that is just being deleted has an error, and is as good as gone.
    let mut topics: Vec<_> = answer
        .topics
        .into_iter()
        .filter_map(|topic| Topic::from_metadata(topic).ok())
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

fn replication_factor(topic: &Topic) -> usize {
    topic.partitions.first().map_or(0, |it| it.replicas.len())
}

async fn list(arguments: List) -> Result<(), Failure> {
    let cluster = arguments.connect.cluster().await?;
    let mut topics = all_topics(&cluster).await?;
    topics.retain(|topic| arguments.internal || !topic.is_internal);
    if arguments.output.is_json() {
        for topic in &topics {
            object(&json!({
                "name": topic.name.as_str(), "id": topic.id.to_string(), "internal": topic.is_internal,
                "partitions": topic.partitions.len(), "replication_factor": replication_factor(topic),
            }))?;
        }
        return Ok(());
    }
    if !io::stdout().is_terminal() {
        return topics.iter().try_for_each(|topic| line(&topic.name));
    }
    if topics.is_empty() {
        return line("There are no topics. `wiber topic create NAME` makes one.");
    }
    let mut table = Table::new(&["TOPIC", "#PARTITIONS", "#REPLICATION"]);
    for topic in &topics {
        table.row([
            topic.name.to_string(),
            topic.partitions.len().to_string(),
            replication_factor(topic).to_string(),
        ]);
    }
    table.print("")
}

async fn alter(arguments: Alter) -> Result<(), Failure> {
    let name = &arguments.name;
    let changes: Vec<_> = arguments
        .config
        .iter()
        .cloned()
        .map(Change::Set)
        .chain(arguments.delete_config.iter().cloned().map(Change::Delete))
        .collect();
    if changes.is_empty() && arguments.partitions.is_none() {
        return Err(Failure::Usage(
            "nothing to change: give --partitions, --config or --delete-config".to_owned(),
        ));
    }
    let cluster = arguments.connect.cluster().await?;
    let outcome = alter_both(&cluster, &arguments, &changes).await;
    if let Err(error) = outcome {
        let printed = refused(
            arguments.output,
            name,
            "altered",
            Some(arguments.dry_run),
            &error,
        );
        return after_printing(Err(Failure::Told), printed);
    }
    let done = if arguments.dry_run {
        "could be altered"
    } else {
        "altered"
    };
    if arguments.output.is_json() {
        object(&json!({
            "topic": name, "altered": !arguments.dry_run, "dry_run": arguments.dry_run,
        }))
    } else {
        line(&format!("{name}: {done}"))
    }
}

/// Changes settings and adds partitions: both, or neither if either is refused.
async fn alter_both(
    cluster: &Cluster,
    arguments: &Alter,
    changes: &[Change],
) -> Result<(), ClientError> {
    let (name, dry_run) = (&arguments.name, arguments.dry_run);
    if let Some(count) = arguments.partitions.filter(|_| !changes.is_empty()) {
        add_partitions(cluster, arguments, count, true).await?;
    }
    if !changes.is_empty() {
        config::alter(cluster, &Resource::topic(name), changes, dry_run).await?;
    }
    match arguments.partitions {
        Some(count) => add_partitions(cluster, arguments, count, dry_run).await,
        None => Ok(()),
    }
}

async fn add_partitions(
    cluster: &Cluster,
    arguments: &Alter,
    count: i32,
    validate_only: bool,
) -> Result<(), ClientError> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: Str::from(arguments.name.as_str()),
            count,
            assignments: None,
        }],
        timeout_ms: arguments.connect.timeout_ms(),
        validate_only,
    };
    let answer = cluster
        .ask_controller(&request, |answer| {
            answer.results.first().map_or(0, |it| it.error_code)
        })
        .await?;
    for result in &answer.results {
        ClientError::check(result.error_code, result.error_message.as_deref())?;
    }
    Ok(())
}

async fn delete(arguments: Delete) -> Result<(), Failure> {
    if !arguments.yes {
        let question = format!(
            "Delete {} and all records in {}?",
            arguments.names.join(", "),
            if arguments.names.len() == 1 {
                "it"
            } else {
                "them"
            }
        );
        confirm(
            &question,
            "deleting takes all records of the topics with them",
        )?;
    }
    let cluster = arguments.connect.cluster().await?;
    let names: Vec<Str> = arguments
        .names
        .iter()
        .map(|name| name.as_str().into())
        .collect();
    // Each version takes one of the two lists and leaves the other out.
    let states = names.iter().map(|name| DeleteTopicState {
        name: Some(name.clone()),
        ..Default::default()
    });
    let controller = cluster.any().await?;
    let with_states =
        controller.highest(wiber_protocol::ApiKey::DeleteTopics) >= Some(DELETE_BY_STATE);
    let request = DeleteTopicsRequest {
        topics: if with_states {
            states.collect()
        } else {
            Vec::new()
        },
        topic_names: if with_states { Vec::new() } else { names },
        timeout_ms: arguments.connect.timeout_ms(),
    };
    let answer = cluster
        .ask_controller(&request, |answer| {
            answer.responses.first().map_or(0, |it| it.error_code)
        })
        .await?;
    let results: BTreeMap<_, _> = answer
        .responses
        .iter()
        .map(|it| (it.name.clone().unwrap_or_default(), it))
        .collect();
    let (mut done, mut printed) = (Ok(()), Ok(()));
    for name in &arguments.names {
        let result = results.get(name.as_str());
        let code = result.map_or(ErrorCode::UnknownServerError.code(), |it| it.error_code);
        let outcome = ClientError::check(code, result.and_then(|it| it.error_message.as_deref()));
        let missing = code == ErrorCode::UnknownTopicOrPartition.code();
        // Each of them is told of, whether anybody reads the results or not.
        printed = printed.and(match outcome {
            _ if missing && arguments.if_exists => {
                told(arguments.output, name, false, "there is no such topic")
            }
            Ok(()) => told(arguments.output, name, true, "deleted"),
            Err(error) => {
                done = Err(Failure::Told);
                refused(arguments.output, name, "deleted", None, &error)
            }
        });
    }
    after_printing(done, printed)
}

/// The first version of DeleteTopics that names topics by name or id.
const DELETE_BY_STATE: i16 = 6;

fn told(output: Output, name: &str, deleted: bool, text: &str) -> Result<(), Failure> {
    if output.is_json() {
        object(&json!({"topic": name, "deleted": deleted}))
    } else {
        line(&format!("{name}: {text}"))
    }
}

/// Says that something was not done to a topic: on standard error, and to programs among the results too.
fn refused(
    output: Output,
    name: &str,
    done: &str,
    dry_run: Option<bool>,
    error: &ClientError,
) -> Result<(), Failure> {
    let mut printed = Ok(());
    if output.is_json() {
        let code = error.code().map(|code| code.to_string());
        let mut told = json!({
            "topic": name, done: false, "error": code, "message": message(error),
        });
        if let Some(dry_run) = dry_run {
            told["dry_run"] = dry_run.into();
        }
        printed = object(&told);
    }
    match Failure::of_topic(name, error) {
        Failure::Failed(reason) => say(&reason),
        other => return Err(other),
    }
    printed
}

/// What the broker says, or what else went wrong.
pub fn message(error: &ClientError) -> String {
    match error {
        ClientError::Refused { message, .. } => {
            message.clone().unwrap_or_else(|| error.to_string())
        }
        _ => error.to_string(),
    }
}
