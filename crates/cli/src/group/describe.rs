//! `wiber group describe`: who is in a group, what they read, and how far they are.

use std::time::Duration;

use clap::Args;
use wiber_client::groups::GROUPS_IN_REQUEST;
use wiber_client::{Cluster, TopicPartition};
use wiber_protocol::Str;

use super::snapshot::{Snapshot, Snapshots, by_topic, host, type_name};
use super::watch;
use crate::connect::Connect;
use crate::failure::{Failure, after_printing, say};
use crate::moment::duration;
use crate::output::{self, Output, Table, counted, line, object, text};
use crate::progress::Progress;

/// Shows groups: their state and members, and for each partition what is committed, where it ends, and how far behind the group is.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber group describe billing              # for each partition: committed offset, end, lag, and who reads it
  wiber group describe billing --members    # for each member: where it is and what it reads
  wiber group describe billing --watch      # the same again and again, with how fast it changes, until Ctrl-C
  wiber group describe billing --watch=10s | jq -c '[.time, .lag]'
  wiber group describe -o json | jq '{group, lag}'")]
pub struct Arguments {
    /// The groups [default: all].
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Shows the members and what each of them reads, rather than the partitions.
    #[arg(short, long)]
    pub(super) members: bool,
    /// Shows it again and again, every two seconds or as is said, until Ctrl-C; not on a terminal, as objects.
    #[arg(short, long, value_name = "EVERY", num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_parser = duration)]
    watch: Option<Duration>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connect: Connect,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    output::open()?;
    let cluster = arguments.connect.cluster().await?;
    if let Some(interval) = arguments.watch {
        return watch::run(&cluster, &arguments, interval).await;
    }
    let mut outcome = Ok(());
    let names = match chosen(&cluster, &arguments).await? {
        (names, None) => names,
        (names, Some(told)) => {
            outcome = Err(told);
            names
        }
    };
    let mut progress = Progress::new(true);
    let mut printed = Ok(());
    let mut shown = 0;
    for (i, some) in names.chunks(GROUPS_IN_REQUEST).enumerate() {
        let done = i * GROUPS_IN_REQUEST;
        progress.show(|| format!("{done} of {} groups", names.len()));
        let snapshots = Snapshots::of(&cluster, some, arguments.connect.timeout()).await;
        progress.clear();
        for snapshot in &snapshots.groups {
            printed = printed.and_then(|()| show(snapshot, &arguments, shown > 0));
            shown += 1;
        }
        if let Some(told) = problems(&snapshots) {
            outcome = Err(told);
        }
        if printed.is_err() {
            break;
        }
    }
    if names.is_empty() && !arguments.output.is_json() {
        printed = line("There are no groups. `wiber consume TOPIC --group NAME` makes one.");
    }
    after_printing(outcome, printed)
}

/// The groups that were named, or all; and a failure that was told, if not all are known.
pub(super) async fn chosen(
    cluster: &Cluster,
    arguments: &Arguments,
) -> Result<(Vec<Str>, Option<Failure>), Failure> {
    if !arguments.names.is_empty() {
        let names = arguments.names.iter().map(|it| Str::from(it.as_str()));
        return Ok((names.collect(), None));
    }
    let listed = cluster.list_groups(arguments.connect.timeout()).await?;
    for error in &listed.failed {
        say(&format!("not all groups are known: {error}"));
    }
    let told = (!listed.failed.is_empty()).then_some(Failure::Told);
    // Groups of other kinds, as share groups, have no committed offsets.
    let described = listed.groups.into_iter().filter(|it| {
        let group_type = it.group_type.to_lowercase();
        matches!(group_type.as_str(), "" | "classic" | "consumer")
    });
    Ok((described.map(|it| it.group_id).collect(), told))
}

/// Says what could not be found out.
fn problems(snapshots: &Snapshots) -> Option<Failure> {
    for (group, error) in &snapshots.failed {
        match Failure::of_group(group, error) {
            Failure::Failed(reason) => say(&reason),
            other => return Some(other),
        }
    }
    if let Some(error) = &snapshots.ends_failed {
        say(&format!("where all partitions end is not known: {error}"));
    }
    let any = !snapshots.failed.is_empty() || snapshots.ends_failed.is_some();
    any.then_some(Failure::Told)
}

fn show(snapshot: &Snapshot, arguments: &Arguments, follows: bool) -> Result<(), Failure> {
    if arguments.output.is_json() {
        return object(&snapshot.as_json());
    }
    let gap = if follows { "\n" } else { "" };
    text(&format!(
        "{gap}{}",
        as_text(snapshot, arguments.members, "")
    ))
}

/// A group for people. `more` is said of the group behind all else.
pub(super) fn as_text(snapshot: &Snapshot, by_member: bool, more: &str) -> String {
    let table = if by_member {
        members(snapshot)
    } else {
        partitions(snapshot)
    };
    let table = table.map_or(String::new(), |it| it.as_text("  "));
    format!("{}{more}\n{table}", heading(snapshot))
}

/// All about the group that is not about a member or a partition.
fn heading(snapshot: &Snapshot) -> String {
    let it = &snapshot.description;
    let mut told = vec![it.state.to_string(), type_name(it.group_type).to_owned()];
    told.extend(Some(it.assignor.to_string()).filter(|it| !it.is_empty()));
    told.push(counted(it.members.len() as u64, "member"));
    told.extend(snapshot.lag().map(|lag| format!("lag {lag}")));
    told.push(format!("coordinator {}", it.coordinator));
    format!("Group {}: {}", it.group, told.join(", "))
}

fn partitions(snapshot: &Snapshot) -> Option<Table> {
    let mut table = Table::new(&[
        "TOPIC",
        "#PARTITION",
        "#COMMITTED",
        "#END",
        "#LAG",
        "CLIENT",
        "HOST",
        "MEMBER",
    ]);
    for it in &snapshot.partitions {
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |it| it.to_string());
        let reader = snapshot.reader(it);
        let of_reader = |text: Option<&str>| text.unwrap_or("-").to_owned();
        table.row([
            it.at.topic.to_string(),
            it.at.partition.to_string(),
            number(it.committed.as_ref().map(|it| it.offset)),
            number(it.end),
            number(it.lag()),
            of_reader(reader.map(|it| it.client.as_str())),
            of_reader(reader.map(host)),
            of_reader(reader.map(|it| it.id.as_str())),
        ]);
    }
    (!snapshot.partitions.is_empty()).then_some(table)
}

fn members(snapshot: &Snapshot) -> Option<Table> {
    let members = &snapshot.description.members;
    let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
    for it in members {
        table.row([
            it.id.to_string(),
            it.instance.as_deref().unwrap_or("-").to_owned(),
            it.client.to_string(),
            host(it).to_owned(),
            in_words(&it.assignment),
        ]);
    }
    (!members.is_empty()).then_some(table)
}

/// `chat: 0-2,5; orders: 1`, or `-`.
fn in_words(partitions: &[TopicPartition]) -> String {
    if partitions.is_empty() {
        return "-".to_owned();
    }
    let topics = by_topic(partitions).into_iter();
    let told: Vec<_> = topics
        .map(|(topic, partitions)| format!("{topic}: {}", ranges(&partitions)))
        .collect();
    told.join("; ")
}

/// Ascending numbers with neighbours drawn together: `0-2,5`.
fn ranges(numbers: &[i32]) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let told: Vec<_> = runs
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect();
    told.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_drawn_together() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(ranges(&[i32::MAX]), "2147483647");
        let at = |topic: &str, partition| TopicPartition::new(topic, partition);
        let some = [at("chat", 0), at("chat", 1), at("orders", 3)];
        assert_eq!(in_words(&some), "chat: 0-1; orders: 3");
        assert_eq!(in_words(&[]), "-");
    }
}
