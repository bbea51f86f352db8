//! `wiber group`: shows consumer groups, moves their offsets, deletes them.

mod delete;
mod describe;
mod partitions;
mod reset;
mod snapshot;
mod watch;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use wiber_client::GroupDescription;

use crate::connect::{self, Connect};
use crate::failure::{Failure, say};
use crate::output::{Output, Table, counted, line, object};
use snapshot::host;

/// So many members are named one by one.
const MEMBERS_TOLD_MAX: usize = 3;

/// Shows consumer groups, moves their offsets, deletes them.
#[derive(Subcommand)]
pub enum Command {
    List(List),
    Describe(describe::Arguments),
    ResetOffsets(reset::Arguments),
    Delete(delete::Arguments),
}

/// Shows the names of all groups, and their states; into a pipe, nothing but the names.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber group list
  wiber group list --state empty,dead
  wiber group list --type consumer -o json")]
pub struct List {
    /// Only groups in these states, such as empty or stable.
    #[arg(long, value_name = "STATE,..", value_delimiter = ',')]
    state: Vec<String>,
    /// Only groups of these types, such as classic or consumer.
    #[arg(long = "type", value_name = "TYPE,..", value_delimiter = ',')]
    types: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Runs the command.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::List(arguments) => connect::run(list(arguments)),
        Command::Describe(arguments) => connect::run(describe::run(arguments)),
        Command::ResetOffsets(arguments) => connect::run(reset::run(arguments)),
        Command::Delete(arguments) => connect::run(delete::run(arguments)),
    }
}

async fn list(arguments: List) -> Result<(), Failure> {
    let cluster = arguments.connect.cluster().await?;
    let mut listed = cluster.list_groups(arguments.connect.timeout()).await?;
    let all = listed.groups.len();
    listed.groups.retain(|it| {
        is_one_of(&it.group_state, &arguments.state) && is_one_of(&it.group_type, &arguments.types)
    });
    if arguments.output.is_json() {
        for it in &listed.groups {
            object(&json!({
                "group": it.group_id.as_str(), "state": told(&it.group_state), "type": told(&it.group_type).map(str::to_lowercase),
                "protocol_type": it.protocol_type.as_str(),
            }))?;
        }
    } else if !io::stdout().is_terminal() {
        for it in &listed.groups {
            line(&it.group_id)?;
        }
    } else if listed.groups.is_empty() {
        line(if all == 0 {
            "There are no groups. `wiber consume TOPIC --group NAME` makes one."
        } else {
            "There are no such groups."
        })?;
    } else {
        let mut table = Table::new(&["GROUP", "STATE", "TYPE", "PROTOCOL"]);
        for it in &listed.groups {
            table.row([
                it.group_id.to_string(),
                told(&it.group_state).unwrap_or("?").to_owned(),
                told(&it.group_type).unwrap_or("?").to_lowercase(),
                it.protocol_type.to_string(),
            ]);
        }
        table.print("")?;
    }
    for error in &listed.failed {
        say(&format!("not all groups are known: {error}"));
    }
    if listed.failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// What the broker says, unless it is too old to.
fn told(text: &str) -> Option<&str> {
    Some(text).filter(|it| !it.is_empty())
}

/// Whether `text` is in the list, or the list is empty. As in Kafka's own tools, case and underscores do not matter.
fn is_one_of(text: &str, list: &[String]) -> bool {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    list.is_empty() || list.iter().any(|it| plain(it) == plain(text))
}

/// Why a group cannot be `done` something to, if it has members: who they are.
fn occupied(group: &GroupDescription, done: &str) -> Option<Failure> {
    if group.members.is_empty() {
        return None;
    }
    let name = &group.group;
    let count = counted(group.members.len() as u64, "member");
    let mut told: Vec<_> = group
        .members
        .iter()
        .take(MEMBERS_TOLD_MAX)
        .map(|it| format!("{} at {}", it.client, host(it)))
        .collect();
    if group.members.len() > MEMBERS_TOLD_MAX {
        told.push(format!("{} more", group.members.len() - MEMBERS_TOLD_MAX));
    }
    Some(Failure::Failed(format!(
        "group {name} has {count}, and can only be {done} when it has none: stop {} first",
        told.join(", ")
    )))
}
