//! Where to start, in offsets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wiber_client::{Cluster, Consumer, ConsumerEvent, EARLIEST, ReceivedRecord};

use super::{From, bounds};
use crate::failure::{Failure, say};

/// The longest history: its records are held in memory, for each partition.
pub const HISTORY_MAX: u32 = 100_000;
/// So many partitions are named one by one.
const PARTITIONS_TOLD_MAX: usize = 3;
/// Where a partition holds fewer records than its offsets promise, as compaction and transactions leave it, this many times more offsets are
/// looked at.
const WIDEN: i64 = 8;

/// Where to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// With what comes from now on.
    End,
    /// With the first record that there is.
    Beginning,
    /// With the last records.
    History(u32),
    /// At an offset, or before the end if it is negative.
    Offset(i64),
    /// With the first record that is not older than a time in milliseconds.
    Since(i64),
}

impl Start {
    pub(super) fn of(from: &From) -> Start {
        match from {
            From {
                history: Some(count),
                ..
            } => Start::History(*count),
            From {
                from_beginning: true,
                ..
            } => Start::Beginning,
            From {
                offset: Some(offset),
                ..
            } => Start::Offset(*offset),
            From {
                since: Some(ms), ..
            } => Start::Since(*ms),
            _ => Start::End,
        }
    }
}

/// The first offset to read of each partition that `ends` names.
pub async fn positions(
    cluster: &Cluster,
    topic: &str,
    start: Start,
    ends: &BTreeMap<i32, i64>,
    within: Duration,
) -> Result<BTreeMap<i32, i64>, Failure> {
    let ask = |which: i64| ends.keys().map(|index| (*index, which)).collect();
    let positions = match start {
        Start::End | Start::History(_) => ends.clone(),
        Start::Beginning => bounds(cluster, topic, &ask(EARLIEST), within).await?,
        Start::Offset(offset) => {
            let mut starts = bounds(cluster, topic, &ask(EARLIEST), within).await?;
            for (index, start) in &mut starts {
                let end = ends.get(index).copied().unwrap_or(*start);
                let wanted = if offset < 0 {
                    end.saturating_add(offset)
                } else {
                    offset
                };
                *start = wanted.clamp((*start).min(end), end);
            }
            starts
        }
        Start::Since(ms) => {
            let found = cluster
                .list_offsets(topic, &ask(ms), within)
                .await
                .map_err(|error| Failure::of_topic(topic, &error))?;
            // Where no record is that young, with what comes.
            ends.iter()
                .map(|(index, end)| (*index, found.get(index).copied().flatten().unwrap_or(*end)))
                .collect()
        }
    };
    Ok(positions)
}

/// Says which partitions end before `offset`: nothing of them is shown now.
///
/// # Errors
/// If that is so of all of them, and the command shall not wait for what comes.
pub fn beyond_end(
    topic: &str,
    offset: i64,
    ends: &BTreeMap<i32, i64>,
    exit: bool,
) -> Result<(), Failure> {
    let before: Vec<_> = ends.iter().filter(|(_, end)| **end < offset).collect();
    if before.is_empty() {
        return Ok(());
    }
    let mut told: Vec<_> = before
        .iter()
        .take(PARTITIONS_TOLD_MAX)
        .map(|(index, end)| format!("partition {index} ends at offset {end}"))
        .collect();
    if before.len() > PARTITIONS_TOLD_MAX {
        told.push(format!(
            "{} more before {offset}",
            before.len() - PARTITIONS_TOLD_MAX
        ));
    }
    let told = told.join(", ");
    if exit && before.len() == ends.len() {
        return Err(Failure::Failed(format!(
            "{topic}: {told}: there is nothing at offset {offset} yet"
        )));
    }
    say(&format!(
        "{topic}: {told}: nothing before offset {offset} is shown"
    ));
    Ok(())
}

/// The last `count` records before `ends` over all partitions. Those of a partition are in its order; between partitions their timestamps decide.
pub async fn history(
    cluster: &Arc<Cluster>,
    topic: &str,
    ends: &BTreeMap<i32, i64>,
    count: u32,
    within: Duration,
) -> Result<Vec<ReceivedRecord>, Failure> {
    let earliest = ends.keys().map(|index| (*index, EARLIEST)).collect();
    let starts = bounds(cluster, topic, &earliest, within).await?;
    let count = count as usize;
    let mut last: BTreeMap<i32, VecDeque<ReceivedRecord>> = BTreeMap::new();
    let mut span = count as i64;
    let mut missing = ends.clone();
    while !missing.is_empty() {
        let from: BTreeMap<i32, i64> = missing
            .iter()
            .map(|(index, end)| {
                let start = starts.get(index).copied().unwrap_or(0);
                (*index, end.saturating_sub(span).max(start).min(*end))
            })
            .collect();
        let tails = tails(cluster, topic, &from, &missing, count, within).await?;
        last.extend(tails);
        missing.retain(|index, _| {
            let found = last.get(index).map_or(0, VecDeque::len);
            let begun = from.get(index) > starts.get(index);
            found < count && begun
        });
        span = span.saturating_mul(WIDEN);
    }
    Ok(merged(last, count))
}

/// The last records of each partition in a range of offsets.
async fn tails(
    cluster: &Arc<Cluster>,
    topic: &str,
    from: &BTreeMap<i32, i64>,
    ends: &BTreeMap<i32, i64>,
    count: usize,
    within: Duration,
) -> Result<BTreeMap<i32, VecDeque<ReceivedRecord>>, Failure> {
    let mut tails: BTreeMap<i32, VecDeque<ReceivedRecord>> = BTreeMap::new();
    let mut unread = from.clone();
    unread.retain(|index, at| ends.get(index).is_some_and(|end| *at < *end));
    let mut consumer = Consumer::new(cluster.clone(), topic, &unread);
    let mut deadline = Instant::now() + within;
    while !unread.is_empty() {
        let event = consumer.next().await;
        match event.map_err(|error| Failure::of_topic(topic, &error))? {
            ConsumerEvent::Records {
                partition,
                records,
                next_offset,
            } => {
                deadline = Instant::now() + within;
                let end = ends.get(&partition).copied().unwrap_or(0);
                let tail = tails.entry(partition).or_default();
                for record in records.into_iter().filter(|it| it.offset < end) {
                    if tail.len() == count {
                        tail.pop_front();
                    }
                    tail.push_back(record);
                }
                if next_offset >= end {
                    unread.remove(&partition);
                    consumer.remove(partition);
                }
            }
            ConsumerEvent::Skipped { partition, to, .. } => {
                if ends.get(&partition).is_some_and(|end| to >= *end) {
                    unread.remove(&partition);
                    consumer.remove(partition);
                }
            }
            ConsumerEvent::Trouble(error) if Instant::now() > deadline => {
                return Err(Failure::of_topic(topic, &error));
            }
            ConsumerEvent::Trouble(_) | ConsumerEvent::Resumed => {}
        }
    }
    Ok(tails)
}

/// Takes the youngest off the partitions' ends until there are enough.
fn merged(
    mut partitions: BTreeMap<i32, VecDeque<ReceivedRecord>>,
    count: usize,
) -> Vec<ReceivedRecord> {
    let mut taken = VecDeque::new();
    while taken.len() < count {
        let youngest = partitions
            .values_mut()
            .filter(|tail| !tail.is_empty())
            .max_by_key(|tail| tail.back().map(|it| it.timestamp_ms));
        let Some(record) = youngest.and_then(VecDeque::pop_back) else {
            break;
        };
        taken.push_front(record);
    }
    taken.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(partition: i32, timestamps: &[i64]) -> (i32, VecDeque<ReceivedRecord>) {
        let records = timestamps
            .iter()
            .zip(0..)
            .map(|(ms, offset)| ReceivedRecord {
                partition,
                offset,
                timestamp_ms: *ms,
                key: None,
                value: None,
                headers: Vec::new(),
            });
        (partition, records.collect())
    }

    #[test]
    fn the_youngest_records_of_all_partitions_are_taken_in_order() {
        let partitions = BTreeMap::from([tail(0, &[1, 4, 6]), tail(1, &[2, 3, 5]), tail(2, &[])]);
        let taken = |count| {
            let records = merged(partitions.clone(), count);
            records.iter().map(|it| it.timestamp_ms).collect::<Vec<_>>()
        };
        assert_eq!(taken(3), [4, 5, 6]);
        assert_eq!(taken(100), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_partition_keeps_its_order_where_its_times_do_not() {
        let partitions = BTreeMap::from([tail(0, &[9, 1, 8]), tail(1, &[5])]);
        let records = merged(partitions, 10);
        let of_zero: Vec<_> = records
            .iter()
            .filter(|it| it.partition == 0)
            .map(|it| it.offset)
            .collect();
        assert_eq!(of_zero, [0, 1, 2]);
    }
}
