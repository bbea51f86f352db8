//! `wiber group reset-offsets`: moves what groups have committed.
//!
//! Nothing is changed unless `--execute` says so, as in Kafka's own tool: what would be done is shown. A group with members is left alone,
//! as their own next commits would undo it.

mod csv;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use wiber_client::{
    ClientError, Cluster, Committed, EARLIEST, GroupDescription, LATEST, TopicPartition,
    groups::OfPartitions,
};
use wiber_protocol::{ErrorCode, Str};

use super::occupied;
use super::partitions::{self, Partitions};
use super::snapshot::{is_gone, offsets_of};
use crate::connect::Connect;
use crate::failure::{Failure, after_printing, say};
use crate::moment::{moment, past};
use crate::number;
use crate::output::{Output, Table, line, object};

/// The largest file of offsets, in bytes: room for 100,000 partitions.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// Moves the offsets that groups without members have committed. Shows what it would do, and does it with --execute.
#[derive(Args)]
#[command(after_help = "\
Examples:
  wiber group reset-offsets billing --topic chat --to-earliest              # shows what would be done
  wiber group reset-offsets billing --topic chat --to-earliest --execute    # does it
  wiber group reset-offsets billing --topic chat:0,2 --shift-by -10 --execute
  wiber group reset-offsets billing --all-topics --to-datetime 2026-11-21T10:00:00Z --execute
  wiber group reset-offsets billing --all-topics --to-current --export > saved.csv
  wiber group reset-offsets billing --from-file saved.csv --execute")]
pub struct Arguments {
    /// The groups.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// A topic, or some of its partitions; may be given several times.
    #[arg(long, value_name = "TOPIC[:N,..]", conflicts_with = "from_file")]
    topic: Vec<Partitions>,
    /// All partitions for which the group has committed something.
    #[arg(long, conflicts_with_all = ["topic", "from_file"])]
    all_topics: bool,
    #[command(flatten)]
    to: To,
    /// Does it. Without this, what would be done is shown.
    #[arg(long, conflicts_with = "dry_run")]
    execute: bool,
    /// Only shows what would be done; so it is without --execute, too.
    #[arg(long)]
    dry_run: bool,
    /// Prints the offsets in the form that --from-file takes, and kafka-consumer-groups too; changes nothing.
    #[arg(long, conflicts_with_all = ["execute", "output"])]
    export: bool,
    /// Makes groups that are not there.
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

/// Where to.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct To {
    /// To the first record that there is.
    #[arg(long)]
    to_earliest: bool,
    /// To the end: what comes from now on.
    #[arg(long)]
    to_latest: bool,
    /// To what is committed, or the end where nothing is; to look at it, or to --export it.
    #[arg(long)]
    to_current: bool,
    /// To this offset, or the nearest that there is.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::within(0, i64::MAX))]
    to_offset: Option<i64>,
    /// To the first record that is not older: a time, a date, Unix milliseconds, or how long ago, such as 10m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment)]
    to_datetime: Option<i64>,
    /// To the first record that is not older than this, such as 1h30m or PT1H30M.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = past)]
    by_duration: Option<i64>,
    /// So many records on, or back with a negative number, from what is committed.
    #[arg(long, value_name = "N|-N", allow_negative_numbers = true, value_parser = number::any)]
    shift_by: Option<i64>,
    /// To what a file says, in lines TOPIC,PARTITION,OFFSET or GROUP,TOPIC,PARTITION,OFFSET; - is standard input.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

/// What shall become of a partition of a group.
#[derive(Debug)]
struct Move {
    at: TopicPartition,
    committed: Option<i64>,
    offset: i64,
    end: i64,
    /// What was wanted, where there is no such offset.
    wanted: Option<i64>,
}

/// Runs the command.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.topic.is_empty() && !arguments.all_topics && arguments.to.from_file.is_none() {
        return Err(Failure::Usage(
            "of which topics? Name them with --topic, or say --all-topics".to_owned(),
        ));
    }
    let names: BTreeSet<Str> = arguments
        .names
        .iter()
        .map(|it| it.as_str().into())
        .collect();
    let names: Vec<Str> = names.into_iter().collect();
    let file = match &arguments.to.from_file {
        Some(path) => Some(read_file(path, &names)?),
        None => None,
    };
    let cluster = arguments.connect.cluster().await?;
    let within = arguments.connect.timeout();
    let reset = Reset {
        cluster: &cluster,
        arguments: &arguments,
        scope: partitions::existing(&cluster, &arguments.topic).await?,
        file,
        several: names.len() > 1,
    };
    let mut described = cluster.describe_groups(&names, within).await;
    let mut committed = cluster.committed(&names, within).await;
    let (mut outcome, mut printed) = (Ok(()), Ok(()));
    for name in &names {
        let (Some(description), Some(committed)) = (described.remove(name), committed.remove(name))
        else {
            continue;
        };
        let done = reset.group(name, description, committed, &mut printed);
        if let Err(failure) = done.await {
            outcome = Err(told(failure)?);
        }
    }
    after_printing(outcome, printed)
}

/// One command for all its groups.
struct Reset<'a> {
    cluster: &'a Cluster,
    arguments: &'a Arguments,
    /// The partitions that were named.
    scope: BTreeSet<TopicPartition>,
    file: Option<csv::Offsets>,
    /// Whether there is more than one group.
    several: bool,
}

impl Reset<'_> {
    async fn group(
        &self,
        name: &Str,
        description: Result<GroupDescription, ClientError>,
        committed: Result<BTreeMap<TopicPartition, Committed>, ClientError>,
        printed: &mut Result<(), Failure>,
    ) -> Result<(), Failure> {
        let arguments = self.arguments;
        let refusal = match description {
            Ok(description) => occupied(&description, "moved"),
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => {
                if !arguments.create {
                    return Err(Failure::Failed(format!(
                        "there is no group '{name}'; with --create it is made"
                    )));
                }
                None
            }
            Err(error) => return Err(Failure::of_group(name, &error)),
        };
        let committed = committed.map_err(|error| Failure::of_group(name, &error))?;
        let mut moves = self.moves(name, &committed).await?;
        if arguments.export {
            let group = self.several.then_some(name.as_str());
            let mut lines = moves.iter().map(|it| csv::line(group, &it.at, it.offset));
            if printed.is_ok() {
                *printed = lines.try_for_each(|it| line(&it));
            }
            return Ok(());
        }
        let mut executed = OfPartitions::new();
        if arguments.execute && !moves.is_empty() {
            match refusal {
                Some(failure) => return Err(failure),
                None => executed = self.execute(name, &moves).await?,
            }
        }
        let mut done = Ok(());
        for it in &moves {
            if let Some(Err(error)) = executed.get(&it.at) {
                done = Err(Failure::Told);
                say(&format!("group {name}: {}: {error}", it.at));
            }
        }
        if !arguments.output.is_json() {
            // They were told of.
            moves.retain(|it| !matches!(executed.get(&it.at), Some(Err(_))));
        }
        if printed.is_ok() {
            *printed = show(name, &moves, &executed, arguments);
        }
        // What is only tried out fails as the real thing would.
        refusal.map_or(done, Err)
    }

    /// Where the group's partitions shall be.
    async fn moves(
        &self,
        name: &Str,
        committed: &BTreeMap<TopicPartition, Committed>,
    ) -> Result<Vec<Move>, Failure> {
        let plan = Plan {
            cluster: self.cluster,
            to: &self.arguments.to,
            committed,
            within: self.arguments.connect.timeout(),
        };
        match &self.file {
            Some(file) => match file.get(name) {
                Some(offsets) => plan.to_given(offsets).await,
                None => Ok(Vec::new()),
            },
            None if self.arguments.all_topics => {
                let all: BTreeSet<_> = committed.keys().cloned().collect();
                plan.of(&all).await
            }
            None => plan.of(&self.scope).await,
        }
    }

    async fn execute(&self, group: &Str, moves: &[Move]) -> Result<OfPartitions<()>, Failure> {
        let offsets = moves.iter().map(|it| {
            let committed = Committed {
                offset: it.offset,
                leader_epoch: -1,
                metadata: None,
            };
            (it.at.clone(), committed)
        });
        let offsets: BTreeMap<_, _> = offsets.collect();
        let within = self.arguments.connect.timeout();
        let outcome = self.cluster.commit_offsets(group, &offsets, within).await;
        outcome.map_err(|error| match error.code() {
            // So a coordinator refuses whoever is no member (`validateOffsetCommit`).
            Some(
                ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::StaleMemberEpoch,
            ) => Failure::Failed(format!(
                "group {group} has just got members, and nothing was moved: stop them first; `wiber group describe {group} --members` shows them"
            )),
            _ => Failure::of_group(group, &error),
        })
    }
}

/// Says what went wrong with one group, so that the others have their turn.
fn told(failure: Failure) -> Result<Failure, Failure> {
    match failure {
        Failure::Failed(reason) => {
            say(&reason);
            Ok(Failure::Told)
        }
        Failure::Told => Ok(Failure::Told),
        other => Err(other),
    }
}

fn read_file(path: &Path, groups: &[Str]) -> Result<csv::Offsets, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| Failure::Failed(format!("cannot read {shown}: {error}"));
    let mut text = String::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(fs::File::open(path).map_err(failed)?)
    };
    source
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::Failed(format!(
            "{shown} is larger than {} MiB",
            FILE_BYTES_MAX >> 20
        )));
    }
    csv::read(&text, groups).map_err(|problem| Failure::Failed(format!("{shown}: {problem}")))
}

/// Finds out where a group's partitions shall be.
struct Plan<'a> {
    cluster: &'a Cluster,
    to: &'a To,
    committed: &'a BTreeMap<TopicPartition, Committed>,
    within: Duration,
}

impl Plan<'_> {
    async fn of(&self, partitions: &BTreeSet<TopicPartition>) -> Result<Vec<Move>, Failure> {
        let bounds = self.bounds(partitions).await?;
        let time = self.to.to_datetime.or(self.to.by_duration);
        let since = match time {
            Some(ms) => {
                let wanted = bounds.keys().map(|it| (it.clone(), ms)).collect();
                self.cluster.find_offsets(&wanted, self.within).await
            }
            None => BTreeMap::new(),
        };
        let mut moves = Vec::new();
        for (at, (start, end)) in bounds {
            let committed = self.committed.get(&at).map(|it| it.offset);
            let wanted = if self.to.to_earliest {
                start
            } else if self.to.to_latest {
                end
            } else if time.is_some() {
                match since.get(&at) {
                    Some(Err(error)) => return Err(Failure::of_topic(&at.topic, error)),
                    // Where no record is that young, with what comes.
                    found => found
                        .and_then(|it| it.clone().ok().flatten())
                        .unwrap_or(end),
                }
            } else if let Some(offset) = self.to.to_offset {
                offset
            } else if let Some(shift) = self.to.shift_by {
                let committed = committed.ok_or_else(|| {
                    Failure::Failed(format!(
                        "{}: partition {}: nothing is committed that could be shifted; name the partitions that shall be, as in --topic {}:0",
                        at.topic, at.partition, at.topic
                    ))
                })?;
                committed.saturating_add(shift)
            } else {
                // What is committed is shown and saved as it is.
                let offset = committed.unwrap_or(end);
                moves.push(Move {
                    at,
                    committed,
                    offset,
                    end,
                    wanted: None,
                });
                continue;
            };
            moves.push(Move::new(at, committed, wanted, start, end));
        }
        Ok(moves)
    }

    async fn to_given(
        &self,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Vec<Move>, Failure> {
        let bounds = self.bounds(&offsets.keys().cloned().collect()).await?;
        let moves = bounds.into_iter().filter_map(|(at, (start, end))| {
            let wanted = *offsets.get(&at)?;
            let committed = self.committed.get(&at).map(|it| it.offset);
            Some(Move::new(at, committed, wanted, start, end))
        });
        Ok(moves.collect())
    }

    /// Where partitions begin and end. Those that are gone are told of, and left as they are.
    async fn bounds(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, (i64, i64)>, Failure> {
        let mut starts = offsets_of(self.cluster, partitions, EARLIEST, self.within).await;
        let ends = offsets_of(self.cluster, partitions, LATEST, self.within).await;
        let mut bounds = BTreeMap::new();
        for (at, end) in ends {
            let start = starts.remove(&at).unwrap_or(Ok(0));
            match start.and_then(|start| Ok((start, end?))) {
                Ok(found) => {
                    bounds.insert(at, found);
                }
                Err(error) if is_gone(&error) && self.to.from_file.is_none() => say(&format!(
                    "partition {} of topic {} is not there any more, and is left out",
                    at.partition, at.topic
                )),
                Err(error) => return Err(Failure::of_topic(&at.topic, &error)),
            }
        }
        Ok(bounds)
    }
}

impl Move {
    fn new(at: TopicPartition, committed: Option<i64>, wanted: i64, start: i64, end: i64) -> Move {
        let offset = wanted.clamp(start.min(end), end);
        Move {
            at,
            committed,
            offset,
            end,
            wanted: (offset != wanted).then_some(wanted),
        }
    }
}

fn show(
    group: &Str,
    moves: &[Move],
    executed: &OfPartitions<()>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    if arguments.output.is_json() {
        return moves.iter().try_for_each(|it| {
            let error = executed.get(&it.at).and_then(|it| it.as_ref().err());
            object(&as_json(group, it, arguments.execute, error))
        });
    }
    if moves.is_empty() {
        return line(&format!("Group {group}: there is nothing to move"));
    }
    line(&if arguments.execute {
        format!("Group {group} goes on at these offsets now:")
    } else {
        format!(
            "Group {group} would go on at these offsets; nothing was changed, --execute does it:"
        )
    })?;
    let mut table = Table::new(&[
        "TOPIC",
        "#PARTITION",
        "#COMMITTED",
        "#NEW",
        "#END",
        "#LAG",
        "NOTE",
    ]);
    for it in moves {
        table.row([
            it.at.topic.to_string(),
            it.at.partition.to_string(),
            it.committed.map_or("-".to_owned(), |it| it.to_string()),
            it.offset.to_string(),
            it.end.to_string(),
            it.lag().to_string(),
            it.wanted.map_or(String::new(), |wanted| {
                format!("there is no offset {wanted}")
            }),
        ]);
    }
    table.print("  ")
}

impl Move {
    /// How far behind the group is afterwards.
    fn lag(&self) -> i64 {
        self.end.saturating_sub(self.offset).max(0)
    }
}

fn as_json(group: &Str, it: &Move, executed: bool, error: Option<&ClientError>) -> Value {
    let mut told = json!({
        "group": group.as_str(), "topic": it.at.topic.as_str(), "partition": it.at.partition, "committed": it.committed,
        "offset": it.offset, "wanted": it.wanted, "end": it.end, "lag": it.lag(),
        "reset": executed && error.is_none(), "dry_run": !executed,
    });
    if let Some(error) = error {
        told["error"] = error.code().map(|it| it.to_string()).into();
        told["message"] = error.to_string().into();
    }
    told
}
