//! A consumer of one topic's partitions, from given offsets on, without a group.
//!
//! Each broker that leads some of the partitions has one fetch under way, which waits there for new records. The next one leaves before the
//! records of the last one are handed out.
//!
//! Invariant: the records of a partition are handed out in order, none twice and none left out, from the offset that was asked for on;
//! where the broker no longer has that offset, [`ConsumerEvent::Skipped`] says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wiber_compression::Decoder;
use wiber_model::batch::{Batch, BatchError, Compression, Records, TimestampType};
use wiber_model::limit::MAX_DECOMPRESSED_BATCH_BYTES;
use wiber_protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use wiber_protocol::messages::{FetchRequest, FetchResponse};
use wiber_protocol::{ErrorCode, Str};

use crate::cluster::{Cluster, RETRY_PAUSE, longer};
use crate::error::ClientError;
use crate::offsets::{EARLIEST, LATEST};

/// How long a broker waits for new records before it answers that there are none, in milliseconds; less for a client that is less patient.
const WAIT_MS: i32 = 500;
/// The most that one answer holds, in bytes; a single batch may be larger.
const FETCH_BYTES: i32 = 16 << 20;
/// The most that one answer holds of a partition, in bytes; a single batch may be larger.
const PARTITION_BYTES: i32 = 1 << 20;
/// The last version that names topics rather than their ids.
const FETCH_VERSION_MAX: i16 = 12;
/// How long finding an offset again may take.
const OFFSETS_WITHIN: Duration = Duration::from_secs(30);

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the Unix epoch, as the producer or the broker set it.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order; keys may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// What a consumer has to tell.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// Records of a partition; there may be none where an offset was passed that holds no record.
    Records {
        /// The partition.
        partition: i32,
        /// The records, in order.
        records: Vec<ReceivedRecord>,
        /// The offset to be read next.
        next_offset: i64,
    },
    /// Offsets that the broker no longer has were passed over.
    Skipped {
        /// The partition.
        partition: i32,
        /// The offset that was to be read next.
        from: i64,
        /// The one that is read instead.
        to: i64,
    },
    /// Something does not work now, and is tried again.
    Trouble(ClientError),
    /// All partitions that there was trouble with are read again.
    Resumed,
}

/// Reads partitions of a topic.
#[derive(Debug)]
pub struct Consumer {
    cluster: Arc<Cluster>,
    topic: Str,
    positions: BTreeMap<i32, Position>,
    fetches: JoinSet<Fetched>,
    /// Brokers with a fetch under way.
    busy: BTreeSet<i32>,
    /// What was read and not handed out.
    ready: VecDeque<ConsumerEvent>,
    /// Where the next fetch begins: after the partition whose records came last. Brokers fill an answer in the order of the request, so
    /// that those at its end would starve if it was always the same.
    first: i32,
    /// When to ask for leaders again, if some are missing.
    refresh_at: Instant,
    pause: Duration,
    /// Partitions that cannot be read now.
    troubled: BTreeSet<i32>,
}

#[derive(Debug)]
struct Position {
    offset: i64,
    leader: Option<i32>,
}

#[derive(Debug)]
struct Fetched {
    broker: i32,
    /// From where each partition was asked for.
    asked: BTreeMap<i32, i64>,
    outcome: Result<FetchResponse, ClientError>,
}

impl Consumer {
    /// A consumer of `topic`'s partitions from the offsets that are given with them.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, topic: &str, positions: &BTreeMap<i32, i64>) -> Consumer {
        let position = |offset: &i64| Position {
            offset: *offset,
            leader: None,
        };
        Consumer {
            cluster,
            topic: Str::from(topic),
            positions: positions.iter().map(|(p, at)| (*p, position(at))).collect(),
            fetches: JoinSet::new(),
            busy: BTreeSet::new(),
            ready: VecDeque::new(),
            first: 0,
            refresh_at: Instant::now(),
            pause: RETRY_PAUSE,
            troubled: BTreeSet::new(),
        }
    }

    /// Begins to read a partition.
    pub fn add(&mut self, partition: i32, offset: i64) {
        let position = Position {
            offset,
            leader: None,
        };
        self.positions.insert(partition, position);
    }

    /// Reads a partition no more, and hands out nothing more of it.
    pub fn remove(&mut self, partition: i32) {
        self.positions.remove(&partition);
        self.troubled.remove(&partition);
        self.ready.retain(|event| match event {
            ConsumerEvent::Records { partition: of, .. }
            | ConsumerEvent::Skipped { partition: of, .. } => *of != partition,
            ConsumerEvent::Trouble(_) | ConsumerEvent::Resumed => true,
        });
    }

    /// Whether something was read already and not handed out.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What comes next. May be dropped and called again.
    ///
    /// # Errors
    /// What will not pass: the topic is gone, a batch is damaged, an offset lies beyond the end.
    pub async fn next(&mut self) -> Result<ConsumerEvent, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let leaderless = self.positions.values().any(|it| it.leader.is_none());
            if leaderless && self.refresh_at <= Instant::now() {
                self.find_leaders().await?;
            }
            self.fetch_more();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                Some(fetched) = self.fetches.join_next() => match fetched {
                    Ok(fetched) => self.take(fetched).await?,
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    Err(_) => {}
                },
                () = tokio::time::sleep_until(self.refresh_at), if leaderless => {}
                else => std::future::pending().await,
            }
        }
    }

    /// Asks who leads the partitions whose leader is not known.
    async fn find_leaders(&mut self) -> Result<(), ClientError> {
        match self.cluster.topic(&self.topic, false).await {
            Ok(topic) => {
                for (index, position) in &mut self.positions {
                    let known = topic.partition(*index).ok();
                    position.leader = position.leader.or(known.and_then(|it| it.leader));
                }
            }
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {
                return Err(error);
            }
            Err(error) => self.trouble(None, error)?,
        }
        if let Some((index, _)) = self.positions.iter().find(|(_, it)| it.leader.is_none()) {
            let index = *index;
            self.trouble(None, ClientError::NoLeader(index))?;
        }
        Ok(())
    }

    /// Sends a fetch to each broker that leads some of the partitions and has none under way.
    fn fetch_more(&mut self) {
        let mut by_leader: BTreeMap<i32, Vec<FetchPartition>> = BTreeMap::new();
        let rotated = self
            .positions
            .range(self.first..)
            .chain(self.positions.range(..self.first));
        for (index, position) in rotated {
            let Some(leader) = position.leader.filter(|it| !self.busy.contains(it)) else {
                continue;
            };
            by_leader.entry(leader).or_default().push(FetchPartition {
                partition: *index,
                fetch_offset: position.offset,
                partition_max_bytes: PARTITION_BYTES,
                ..Default::default()
            });
        }
        let patience_ms = self.cluster.options().answer_within_ms();
        for (broker, partitions) in by_leader {
            let request = FetchRequest {
                max_wait_ms: WAIT_MS.min(patience_ms / 2),
                min_bytes: 1,
                max_bytes: FETCH_BYTES,
                topics: vec![FetchTopic {
                    topic: self.topic.clone(),
                    partitions,
                    ..Default::default()
                }],
                ..Default::default()
            };
            let cluster = self.cluster.clone();
            let asked = request.topics.iter().flat_map(|it| &it.partitions);
            let asked = asked.map(|it| (it.partition, it.fetch_offset)).collect();
            self.busy.insert(broker);
            self.fetches.spawn(async move {
                let outcome = async {
                    let connection = cluster.broker(broker).await?;
                    let answer = connection.call_up_to(&request, FETCH_VERSION_MAX).await?;
                    ClientError::check(answer.error_code, None)?;
                    Ok(answer)
                };
                Fetched {
                    broker,
                    asked,
                    outcome: outcome.await,
                }
            });
        }
    }

    async fn take(&mut self, fetched: Fetched) -> Result<(), ClientError> {
        self.busy.remove(&fetched.broker);
        let answer = match fetched.outcome {
            Ok(answer) => answer,
            Err(error) => return self.trouble(Some(fetched.broker), error),
        };
        self.pause = RETRY_PAUSE;
        let was_troubled = !self.troubled.is_empty();
        let before = self.ready.len();
        for partition in answer.responses.into_iter().flat_map(|it| it.partitions) {
            let index = partition.partition_index;
            let position = self.positions.get(&index).map(|it| it.offset);
            // One that was taken away and has come back meanwhile is read from another place.
            if position == fetched.asked.get(&index).copied() {
                self.take_partition(partition).await?;
            }
        }
        if was_troubled && self.troubled.is_empty() {
            self.ready.insert(before, ConsumerEvent::Resumed);
        }
        // The broker gathers the next records while these are used.
        self.fetch_more();
        Ok(())
    }

    async fn take_partition(&mut self, data: PartitionData) -> Result<(), ClientError> {
        let index = data.partition_index;
        let Some(position) = self.positions.get_mut(&index) else {
            return Ok(());
        };
        match ClientError::check(data.error_code, None) {
            Ok(()) => {
                self.troubled.remove(&index);
            }
            Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                self.troubled.remove(&index);
                return self.skip(index).await;
            }
            // What is damaged stays so: Kafka's own consumer gives up, too (`FetchCollector`).
            Err(error)
                if matches!(
                    error.code(),
                    Some(ErrorCode::KafkaStorageError | ErrorCode::CorruptMessage)
                ) =>
            {
                return Err(ClientError::Records {
                    partition: index,
                    offset: position.offset,
                    problem: match error.code() {
                        Some(ErrorCode::CorruptMessage) => {
                            format!("its batch is damaged ({error})")
                        }
                        _ => error.to_string(),
                    },
                });
            }
            Err(error) => {
                position.leader = None;
                return self.trouble(None, error);
            }
        }
        let bytes = data.records.map(|it| it.to_bytes()).unwrap_or_default();
        let (records, next_offset) = read_records(index, position.offset, bytes)?;
        if next_offset > position.offset {
            position.offset = next_offset;
            self.first = index.saturating_add(1);
            self.ready.push_back(ConsumerEvent::Records {
                partition: index,
                records,
                next_offset,
            });
        }
        Ok(())
    }

    /// Goes on with the first record that there is, if the offset that was wanted lies before it.
    async fn skip(&mut self, index: i32) -> Result<(), ClientError> {
        let earliest = self.bound(index, EARLIEST).await?;
        let latest = self.bound(index, LATEST).await?;
        let Some(position) = self.positions.get_mut(&index) else {
            return Ok(());
        };
        let from = position.offset;
        if from > latest {
            return Err(ClientError::BeyondEnd {
                partition: index,
                offset: from,
                start: earliest,
                end: latest,
            });
        }
        position.offset = from.max(earliest);
        let to = position.offset;
        self.ready.push_back(ConsumerEvent::Skipped {
            partition: index,
            from,
            to,
        });
        Ok(())
    }

    async fn bound(&self, index: i32, which: i64) -> Result<i64, ClientError> {
        let wanted = BTreeMap::from([(index, which)]);
        let found = self
            .cluster
            .list_offsets(&self.topic, &wanted, OFFSETS_WITHIN)
            .await?;
        Ok(found.get(&index).copied().flatten().unwrap_or_default())
    }

    /// Forgets the leaders that a failed broker had, if it will pass, and pauses.
    fn trouble(&mut self, broker: Option<i32>, error: ClientError) -> Result<(), ClientError> {
        if !error.is_passing() {
            return Err(error);
        }
        for (index, position) in &mut self.positions {
            if position.leader == broker {
                position.leader = None;
                self.troubled.insert(*index);
            }
        }
        self.refresh_at = Instant::now() + self.pause;
        self.pause = longer(self.pause);
        self.ready.push_back(ConsumerEvent::Trouble(error));
        Ok(())
    }
}

/// The records of `bytes` from `offset` on, without control records, and the offset to be read next.
fn read_records(
    partition: i32,
    offset: i64,
    mut bytes: Bytes,
) -> Result<(Vec<ReceivedRecord>, i64), ClientError> {
    let mut records = Vec::new();
    let mut next = offset;
    while !bytes.is_empty() {
        let batch = match Batch::split_from(&mut bytes) {
            Ok(batch) => batch,
            // Brokers cut the last batch off where an answer is full.
            Err(BatchError::Truncated { .. }) => break,
            Err(error) => return Err(unreadable(partition, next, &error)),
        };
        let base = batch.base_offset().0;
        let unread = |error: &dyn std::fmt::Display| unreadable(partition, base, error);
        batch.check_crc().map_err(|error| unread(&error))?;
        if !batch.is_control() {
            let compression = batch.compression().map_err(|error| unread(&error))?;
            let payload = match compression {
                Compression::None => batch.payload(),
                _ => Decoder::new(compression, &batch.payload(), MAX_DECOMPRESSED_BATCH_BYTES)
                    .and_then(Decoder::into_vec)
                    .map(Bytes::from)
                    .map_err(|error| unread(&error))?,
            };
            add_records(&mut records, partition, offset, &batch, &payload)
                .map_err(|error| unread(&error))?;
        }
        next = next.max(batch.next_offset().0);
    }
    Ok((records, next))
}

fn add_records(
    out: &mut Vec<ReceivedRecord>,
    partition: i32,
    from: i64,
    batch: &Batch,
    payload: &Bytes,
) -> Result<(), BatchError> {
    let taken = |bytes: &[u8]| payload.slice_ref(bytes);
    for record in Records::new(payload, batch.record_count()) {
        let record = record?;
        // Nothing that a broker says of offsets need be true.
        let offset = batch
            .base_offset()
            .0
            .saturating_add(record.offset_delta.into());
        if offset < from {
            continue;
        }
        let headers: Result<Vec<_>, BatchError> = record
            .headers()
            .map(|header| header.map(|it| (taken(it.key), it.value.map(taken))))
            .collect();
        out.push(ReceivedRecord {
            partition,
            offset,
            timestamp_ms: match batch.timestamp_type() {
                TimestampType::CreateTime => batch
                    .base_timestamp()
                    .0
                    .saturating_add(record.timestamp_delta),
                TimestampType::LogAppendTime => batch.max_timestamp().0,
            },
            key: record.key.map(taken),
            value: record.value.map(taken),
            headers: headers?,
        });
    }
    Ok(())
}

fn unreadable(partition: i32, offset: i64, problem: &dyn std::fmt::Display) -> ClientError {
    ClientError::Records {
        partition,
        offset,
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_broker::{FakeBroker, TOPIC, answer};
    use wiber_compression::compress;
    use wiber_model::batch::BatchBuilder;
    use wiber_model::{LeaderEpoch, Offset, TimestampMs};
    use wiber_protocol::messages::fetch::FetchableTopicResponse;

    /// A batch of values from `base` on, a millisecond apart.
    fn batch(base: i64, values: &[&str], compression: Compression) -> Batch {
        let mut builder = BatchBuilder::new(TimestampMs(1000));
        for (value, ms) in values.iter().zip(1000..) {
            let headers = [("h", None), ("h", Some(&b"2"[..]))];
            builder.push(TimestampMs(ms), None, Some(value.as_bytes()), &headers);
        }
        let payload = compress(compression, builder.payload());
        builder
            .build_with(compression, &payload)
            .placed(Offset(base), LeaderEpoch(0))
    }

    fn bytes(batches: &[Batch]) -> Vec<u8> {
        batches.iter().flat_map(|it| it.bytes().to_vec()).collect()
    }

    fn values(records: &[ReceivedRecord]) -> Vec<(i64, String)> {
        let value = |it: &ReceivedRecord| it.value.as_deref().unwrap_or_default().to_vec();
        let text = |it| String::from_utf8(value(it)).expect("UTF-8");
        records.iter().map(|it| (it.offset, text(it))).collect()
    }

    fn told(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
        let owned = |(offset, value): &(i64, &str)| (*offset, (*value).to_owned());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn records_before_the_offset_are_left_out() {
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ] {
            let answer = bytes(&[
                batch(10, &["a", "b"], compression),
                batch(12, &["c"], compression),
            ]);
            let (records, next) = read_records(3, 11, answer.into()).expect("sound");
            assert_eq!(values(&records), told(&[(11, "b"), (12, "c")]));
            assert_eq!(next, 13);
            let first = &records[0];
            assert_eq!((first.partition, first.timestamp_ms), (3, 1001));
            let headers: Vec<_> = first
                .headers
                .iter()
                .map(|(_, value)| value.as_deref())
                .collect();
            assert_eq!(headers, [None, Some(&b"2"[..])]);
        }
    }

    #[test]
    fn a_batch_that_is_cut_off_is_read_next_time() {
        let whole = batch(0, &["a"], Compression::None);
        let answer = bytes(&[whole.clone(), batch(1, &["b"], Compression::None)]);
        for end in whole.size_bytes()..answer.len() {
            let cut = Bytes::copy_from_slice(&answer[..end]);
            let (records, next) = read_records(0, 0, cut).expect("sound so far");
            assert_eq!((values(&records), next), (told(&[(0, "a")]), 1));
        }
    }

    #[test]
    fn a_flipped_bit_is_told_with_its_place() {
        let answer = bytes(&[batch(7, &["a", "b"], Compression::None)]);
        for at in wiber_model::batch::CRC_START..answer.len() {
            let mut damaged = answer.clone();
            damaged[at] ^= 1;
            match read_records(2, 7, damaged.into()) {
                Err(ClientError::Records {
                    partition: 2,
                    offset: 7,
                    ..
                }) => {}
                other => panic!("byte {at}: {other:?}"),
            }
        }
    }

    #[test]
    fn control_records_are_passed_over() {
        let mut marker = BatchBuilder::new(TimestampMs(0)).control();
        marker.push(TimestampMs(0), Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
        let marker = marker.build().placed(Offset(1), LeaderEpoch(0));
        let answer = bytes(&[batch(0, &["a"], Compression::None), marker]);
        let (records, next) = read_records(0, 0, answer.into()).expect("sound");
        assert_eq!((values(&records), next), (told(&[(0, "a")]), 2));
    }

    #[test]
    fn offsets_near_the_end_of_all_numbers_are_no_panic() {
        let answer = bytes(&[batch(i64::MAX - 1, &["a", "b", "c"], Compression::None)]);
        let (records, next) = read_records(0, 0, answer.into()).expect("sound");
        let offsets: Vec<_> = records.iter().map(|it| it.offset).collect();
        assert_eq!(offsets, [i64::MAX - 1, i64::MAX, i64::MAX]);
        assert_eq!(next, i64::MAX);
    }

    /// A broker that fills its answer with the first partition of the request that has records.
    #[tokio::test]
    async fn no_partition_starves_behind_another() {
        const PARTITIONS: i32 = 3;
        let broker = FakeBroker::start(PARTITIONS, |request| {
            let fetch: FetchRequest = request.decode().expect("a Fetch");
            let wanted = &fetch.topics[0].partitions[0];
            let records = bytes(&[batch(wanted.fetch_offset, &["a"], Compression::None)]);
            let mut told = wiber_protocol::Records::default();
            told.push(records.into());
            let response = FetchResponse {
                responses: vec![FetchableTopicResponse {
                    topic: Str::from_static(TOPIC),
                    partitions: vec![PartitionData {
                        partition_index: wanted.partition,
                        records: Some(told),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            answer(request, &response)
        })
        .await;
        let positions = (0..PARTITIONS).map(|it| (it, 0)).collect();
        let mut consumer = Consumer::new(broker.cluster().await, TOPIC, &positions);
        let mut read = Vec::new();
        while read.len() < 6 {
            match consumer.next().await.expect("sound") {
                ConsumerEvent::Records { partition, .. } => read.push(partition),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read, [0, 1, 2, 0, 1, 2]);
    }
}
