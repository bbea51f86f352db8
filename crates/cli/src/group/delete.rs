//! `wiber group delete`: groups with all that they have committed, or what they have committed for some topics.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use wiber_client::{ClientError, Cluster, TopicPartition};
use wiber_protocol::{ErrorCode, Str};

use super::occupied;
use super::partitions::Partitions;
use crate::confirm::confirm;
use crate::connect::Connect;
use crate::failure::{Failure, after_printing, say};
use crate::output::{Output, counted, line, object};

/// Deletes groups that have no members with all that they have committed, or only what they have committed for some topics.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber group delete billing
  wiber group delete billing --topic chat       # only what is committed for this topic, which no member may read
  wiber group delete billing --topic chat:0,2 --yes")]
pub struct Arguments {
    /// The groups.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Deletes only what is committed for this topic, or for some of its partitions; may be given several times.
    #[arg(long, value_name = "TOPIC[:N,..]")]
    topic: Vec<Partitions>,
    /// Does not ask first.
    #[arg(short, long)]
    yes: bool,
    /// It is well if there is no such group.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if !arguments.yes {
        let names = arguments.names.join(", ");
        let what = if arguments.topic.is_empty() {
            "all that they have committed"
        } else {
            "what they have committed for these topics"
        };
        let question = if arguments.topic.is_empty() {
            format!("Delete {names} and {what}?")
        } else {
            let topics: Vec<_> = arguments.topic.iter().map(|it| it.topic.as_str()).collect();
            format!("Delete what {names} committed for {}?", topics.join(", "))
        };
        confirm(&question, &format!("deleting groups takes {what} with it"))?;
    }
    let cluster = arguments.connect.cluster().await?;
    let mut names: Vec<Str> = Vec::new();
    for name in &arguments.names {
        if !names.iter().any(|it| it == name.as_str()) {
            names.push(name.as_str().into());
        }
    }
    if arguments.topic.is_empty() {
        groups(&cluster, &arguments, &names).await
    } else {
        offsets(&cluster, &arguments, &names).await
    }
}

async fn groups(cluster: &Cluster, arguments: &Arguments, names: &[Str]) -> Result<(), Failure> {
    let within = arguments.connect.timeout();
    let mut outcomes = cluster.delete_groups(names, within).await;
    let (mut done, mut printed) = (Ok(()), Ok(()));
    for name in names {
        let told = Told {
            arguments,
            group: name,
            at: None,
        };
        // Each of them is told of, whether anybody reads the results or not.
        printed = printed.and(match outcomes.remove(name) {
            Some(Err(error)) if is_missing(&error) && arguments.if_exists => {
                told.well(false, "there is no such group")
            }
            Some(Err(error)) => {
                done = Err(Failure::Told);
                let reason = why_not(cluster, name, &error, within).await;
                told.badly(&error, &reason)
            }
            _ => told.well(true, "deleted"),
        });
    }
    after_printing(done, printed)
}

/// Deletes what groups have committed for some partitions.
async fn offsets(cluster: &Cluster, arguments: &Arguments, names: &[Str]) -> Result<(), Failure> {
    let within = arguments.connect.timeout();
    let mut committed = cluster.committed(names, within).await;
    let (mut done, mut printed) = (Ok(()), Ok(()));
    for name in names {
        let told = |at| Told {
            arguments,
            group: name,
            at,
        };
        let of_group = match committed.remove(name) {
            Some(Ok(offsets)) => {
                let chosen = |it: &TopicPartition| arguments.topic.iter().any(|t| t.contains(it));
                let chosen: Vec<_> = offsets.into_keys().filter(|it| chosen(it)).collect();
                // Where nothing is chosen, the broker says whether there is such a group.
                let outcomes = cluster.delete_offsets(name, &chosen, within).await;
                outcomes.map(|outcomes| (chosen, outcomes))
            }
            Some(Err(error)) => Err(error),
            None => continue,
        };
        match of_group {
            Err(error) if is_missing(&error) && arguments.if_exists => {
                printed = printed.and(told(None).well(false, "there is no such group"));
            }
            Err(error) => {
                done = Err(Failure::Told);
                let reason = why_not(cluster, name, &error, within).await;
                printed = printed.and(told(None).badly(&error, &reason));
            }
            Ok((chosen, _)) if chosen.is_empty() => {
                printed = printed.and(told(None).well(false, "nothing is committed there"));
            }
            Ok((chosen, mut outcomes)) => {
                let count = chosen.len();
                let mut failures = 0;
                for at in &chosen {
                    let outcome = outcomes.remove(at).unwrap_or(Ok(()));
                    if let Err(error) = outcome {
                        failures += 1;
                        done = Err(Failure::Told);
                        let reason = of_partition(name, at, &error);
                        printed = printed.and(told(Some(at)).badly(&error, &reason));
                    } else if arguments.output.is_json() {
                        printed = printed.and(told(Some(at)).well(true, ""));
                    }
                }
                if failures < count && !arguments.output.is_json() {
                    let what = counted((count - failures) as u64, "committed offset");
                    printed = printed.and(line(&format!("{name}: {what} deleted")));
                }
            }
        }
    }
    after_printing(done, printed)
}

fn is_missing(error: &ClientError) -> bool {
    error.code() == Some(ErrorCode::GroupIdNotFound)
}

/// Why a group was not deleted; who is in it, if that is why.
async fn why_not(cluster: &Cluster, group: &Str, error: &ClientError, within: Duration) -> Failure {
    if error.code() == Some(ErrorCode::NonEmptyGroup) {
        let mut described = cluster
            .describe_groups(std::slice::from_ref(group), within)
            .await;
        if let Some(Ok(description)) = described.remove(group)
            && let Some(failure) = occupied(&description, "deleted")
        {
            return failure;
        }
        return Failure::Failed(format!(
            "group {group} is not empty, and nothing was deleted"
        ));
    }
    Failure::of_group(group, error)
}

fn of_partition(group: &Str, at: &TopicPartition, error: &ClientError) -> Failure {
    if error.code() == Some(ErrorCode::GroupSubscribedToTopic) {
        return Failure::Failed(format!(
            "group {group} reads {} now, and what it committed for partition {} was not deleted: stop its members first; `wiber group describe {group} --members` shows them",
            at.topic, at.partition
        ));
    }
    Failure::Failed(format!("group {group}: {at}: {error}"))
}

/// Tells what became of a group, or of a partition of it.
struct Told<'a> {
    arguments: &'a Arguments,
    group: &'a Str,
    at: Option<&'a TopicPartition>,
}

impl Told<'_> {
    fn well(&self, deleted: bool, text: &str) -> Result<(), Failure> {
        if self.arguments.output.is_json() {
            object(&self.as_json(deleted))
        } else {
            line(&format!("{}: {text}", self.group))
        }
    }

    /// On standard error, and to programs among the results too.
    fn badly(&self, error: &ClientError, reason: &Failure) -> Result<(), Failure> {
        let mut printed = Ok(());
        let mut words = error.to_string();
        if let Failure::Failed(reason) = reason {
            say(reason);
            words.clone_from(reason);
        }
        if self.arguments.output.is_json() {
            let mut told = self.as_json(false);
            told["error"] = error.code().map(|it| it.to_string()).into();
            told["message"] = words.into();
            printed = object(&told);
        }
        printed
    }

    fn as_json(&self, deleted: bool) -> serde_json::Value {
        match self.at {
            None => json!({"group": self.group.as_str(), "deleted": deleted}),
            Some(at) => json!({
                "group": self.group.as_str(), "topic": at.topic.as_str(), "partition": at.partition, "deleted": deleted,
            }),
        }
    }
}
