//! `wiber group describe --watch`: the same again and again, with how fast it changes.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};
use wiber_client::{ClientError, Cluster, TopicPartition};
use wiber_protocol::Str;

use super::describe::{Arguments, as_text, chosen};
use super::snapshot::{Snapshot, Snapshots};
use crate::failure::{Failure, say};
use crate::moment::{now_ms, rfc3339};
use crate::output::{self, object, text};

/// Control sequences: to the first line and no wrapping of long ones; to the end of a line gone; all below gone, and wrapping again.
const BEGIN: &str = "\x1b[H\x1b[?7l";
const END_OF_LINE: &str = "\x1b[K\n";
const END: &str = "\x1b[J\x1b[?7h";
/// A terminal that does not say how many lines it has.
const LINES: usize = 24;

/// Shows groups until Ctrl-C, or until nobody reads it.
pub async fn run(cluster: &Cluster, arguments: &Arguments, every: Duration) -> Result<(), Failure> {
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::Failed(format!("cannot wait for Ctrl-C: {error}")))?;
    tokio::select! {
        outcome = watch(cluster, arguments, every) => outcome,
        _ = interrupts.recv() => Ok(()),
        Ok(()) = output::reader_gone() => Err(Failure::ReaderGone),
    }
}

async fn watch(cluster: &Cluster, arguments: &Arguments, every: Duration) -> Result<(), Failure> {
    let drawn = io::stdout().is_terminal() && !arguments.output.is_json();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rates = Rates::default();
    let mut told: Vec<String> = Vec::new();
    loop {
        ticks.tick().await;
        let names = match chosen(cluster, arguments).await {
            Ok((names, _)) => names,
            Err(Failure::Failed(reason)) if rates.began() => {
                tell_once(&mut told, vec![format!("{reason}; trying again")], drawn);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let snapshots = Snapshots::of(cluster, &names, arguments.connect.timeout()).await;
        // One that is not there from the start may be a slip of the pen.
        if let (false, Some((group, error))) = (rates.began(), snapshots.failed.first()) {
            return Err(Failure::of_group(group, error));
        }
        let changes = rates.next(&snapshots.groups);
        let problems = problems(&snapshots);
        if drawn {
            draw(&snapshots.groups, &changes, arguments.members, &problems)?;
        } else {
            for (snapshot, change) in snapshots.groups.iter().zip(&changes) {
                print(snapshot, *change)?;
            }
        }
        tell_once(&mut told, problems, drawn);
    }
}

/// What could not be found out, in words.
fn problems(snapshots: &Snapshots) -> Vec<String> {
    let failed = snapshots.failed.iter();
    let mut told: Vec<String> = failed
        .filter_map(|(group, error)| match Failure::of_group(group, error) {
            Failure::Failed(reason) => Some(reason),
            _ => None,
        })
        .collect();
    let ends = |error: &ClientError| format!("where all partitions end is not known: {error}");
    told.extend(snapshots.ends_failed.as_ref().map(ends));
    told
}

/// Says what is not said already, where it is not drawn.
fn tell_once(told: &mut Vec<String>, problems: Vec<String>, drawn: bool) {
    for it in problems.iter().filter(|it| !drawn && !told.contains(it)) {
        say(it);
    }
    *told = problems;
}

/// Records in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    consumed: f64,
    produced: f64,
}

/// How fast groups go on and their topics grow, between two looks.
#[derive(Debug, Default)]
struct Rates {
    last: Option<(Instant, BTreeMap<Str, Offsets>)>,
}

/// Where a group and the partitions that it reads were.
type Offsets = BTreeMap<TopicPartition, (i64, i64)>;

impl Rates {
    fn began(&self) -> bool {
        self.last.is_some()
    }

    /// The change of each group since the last time; none where it was not there.
    fn next(&mut self, groups: &[Snapshot]) -> Vec<Option<Change>> {
        let now = Instant::now();
        let current: Vec<_> = groups.iter().map(offsets).collect();
        let changes = groups.iter().zip(&current).map(|(group, offsets)| {
            let (then, before) = self.last.as_ref()?;
            let before = before.get(&group.description.group)?;
            Some(change(before, offsets, now - *then))
        });
        let changes = changes.collect();
        let names = groups.iter().map(|it| it.description.group.clone());
        self.last = Some((now, names.zip(current).collect()));
        changes
    }
}

fn offsets(group: &Snapshot) -> Offsets {
    let known = group.partitions.iter().filter_map(|it| {
        let committed = it.committed.as_ref()?.offset;
        Some((it.at.clone(), (committed, it.end?)))
    });
    known.collect()
}

/// Of the partitions that both have.
fn change(before: &Offsets, now: &Offsets, within: Duration) -> Change {
    let (mut consumed, mut produced) = (0.0, 0.0);
    for (at, (committed, end)) in now {
        if let Some((committed_before, end_before)) = before.get(at) {
            consumed += committed.saturating_sub(*committed_before) as f64;
            produced += end.saturating_sub(*end_before) as f64;
        }
    }
    let seconds = within.as_secs_f64().max(f64::EPSILON);
    Change {
        consumed: consumed / seconds,
        produced: produced / seconds,
    }
}

fn print(snapshot: &Snapshot, change: Option<Change>) -> Result<(), Failure> {
    let rounded = |rate: f64| (rate * 10.0).round() / 10.0;
    let mut told = snapshot.as_json();
    told["time"] = rfc3339(now_ms()).into();
    told["consumed_per_s"] = json!(change.map(|it| rounded(it.consumed)));
    told["produced_per_s"] = json!(change.map(|it| rounded(it.produced)));
    object(&told)
}

/// Writes over what the terminal shows.
fn draw(
    groups: &[Snapshot],
    changes: &[Option<Change>],
    members: bool,
    problems: &[String],
) -> Result<(), Failure> {
    let mut lines: Vec<String> = problems.to_vec();
    for (snapshot, change) in groups.iter().zip(changes) {
        let more = change.map_or(String::new(), |it| {
            format!(
                ", {:.1}/s consumed, {:.1}/s produced",
                it.consumed, it.produced
            )
        });
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(as_text(snapshot, members, &more).lines().map(str::to_owned));
    }
    let height = rustix::termios::tcgetwinsize(io::stdout())
        .map_or(LINES, |size| usize::from(size.ws_row))
        .max(3);
    // The cursor rests on the line below.
    if lines.len() >= height {
        let hidden = lines.len() - (height - 2);
        lines.truncate(height - 2);
        lines.push(format!("({hidden} more lines)"));
    }
    text(&(BEGIN.to_owned() + &lines.join(END_OF_LINE) + END_OF_LINE + END))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_partitions_that_both_looks_have() {
        let at = |partition| TopicPartition::new("t", partition);
        let before = Offsets::from([(at(0), (10, 20)), (at(1), (5, 5))]);
        let now = Offsets::from([(at(0), (30, 60)), (at(2), (7, 9))]);
        let told = change(&before, &now, Duration::from_secs(2));
        assert_eq!((told.consumed, told.produced), (10.0, 20.0));
        // Whoever moved a group back sees it.
        let told = change(&now, &before, Duration::from_secs(1));
        assert_eq!((told.consumed, told.produced), (-20.0, -40.0));
    }
}
