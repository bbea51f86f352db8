//! A producer for one topic: batches by partition, sent again until their fate is known.
//!
//! Each partition has a lane: records that are being gathered, and a task with one batch under way. No timer decides when a batch leaves: when
//! the one before it is done, the task takes what was gathered, if that is full or the caller had nothing more to add for now
//! ([`Producer::push`]). So batches grow with the load, as the groups of a write-ahead log do.
//!
//! Invariants:
//! - One batch of a partition is under way at a time, and the next one's sequence follows from its fate. So neither retries nor changes of
//!   leaders reorder records.
//! - An idempotent producer's batch keeps its producer id and sequence as long as nobody knows whether it was stored. One that was given
//!   up with that unknown takes its producer id with it: the lane goes on with a new one.
//! - Each record's fate is told exactly once, in a [`Delivery`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wiber_compression::compress;
use wiber_model::batch::{BatchBuilder, Compression};
use wiber_model::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use wiber_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use wiber_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use wiber_protocol::{ErrorCode, Str};

use crate::cluster::{Cluster, RETRY_PAUSE, Topic, longer};
use crate::error::ClientError;
use crate::partitioner::partition_of;
use crate::shared_attempt::SharedAttempt;

/// The most that the lanes of a producer hold together, in bytes: what is gathered and what is under way. A single record may be larger.
pub const BUFFER_BYTES: usize = 64 << 20;
/// A batch is full with this, in bytes before compression: below the 1 MiB that topics take by default.
const BATCH_BYTES_MAX: usize = 512 << 10;
/// A batch is never called full with less, in bytes, however many partitions share the buffer.
const BATCH_BYTES_MIN: usize = 16 << 10;
/// The batches of a lane: gathered and under way.
const BATCHES_PER_LANE: usize = 2;
/// What a record takes beside its key, value and headers, in bytes; an upper bound.
const RECORD_OVERHEAD_BYTES: usize = 32;
/// The last version that names topics rather than their ids.
const PRODUCE_VERSION_MAX: i16 = 12;

/// Who must have a batch before it is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Nobody: the broker does not answer.
    None,
    /// The leader.
    Leader,
    /// All replicas that are in sync.
    All,
}

/// How to produce.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Who must have a batch.
    pub acks: Acks,
    /// How batches are compressed.
    pub compression: Compression,
    /// Whether a batch that is sent again is stored once. Needs [`Acks::All`].
    pub idempotent: bool,
    /// How long a batch is tried.
    pub deliver_within: Duration,
}

/// A record to be sent.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its key, which chooses the partition where none is given.
    pub key: Option<Bytes>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, in order; keys may repeat.
    pub headers: Vec<(Str, Option<Bytes>)>,
    /// Milliseconds since the Unix epoch; none is now.
    pub timestamp_ms: Option<i64>,
    /// The partition that it must go to.
    pub partition: Option<i32>,
    /// What the caller knows it by.
    pub tag: u64,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Delivery {
    /// Its partition.
    pub partition: i32,
    /// The tags of its records, in order.
    pub tags: Vec<u64>,
    /// The offset of its first record (none with [`Acks::None`], or where the broker does not know it any more), or why it was not
    /// delivered.
    pub outcome: Result<Option<i64>, ClientError>,
}

/// Sends records to one topic.
#[derive(Debug)]
pub struct Producer {
    lanes: Vec<Arc<Gathering>>,
    /// The lane of records with neither key nor partition. It changes with each batch, so that batches are full.
    sticky: usize,
    batch_bytes: usize,
    sent: u64,
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

/// What is gathered for a lane, between the caller and the lane's task.
#[derive(Debug, Default)]
struct Gathering {
    state: std::sync::Mutex<Gathered>,
    /// Something is to be taken, or the lane ends.
    wanted: Notify,
    /// Something was taken: there is room.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    records: Vec<Record>,
    bytes: usize,
    /// The task shall take the records, be they few or many.
    pushed: bool,
    /// No record will follow.
    ended: bool,
}

/// What the lanes of a producer share.
#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    topic: Str,
    options: ProducerOptions,
    leaders: Mutex<Leaders>,
    identity: std::sync::Mutex<Option<Identity>>,
    /// The lanes that want a producer id at the same time ask once.
    asking: SharedAttempt<Result<Identity, ClientError>>,
    /// A batch was given up because of time. Those behind it are tried once: whoever waits has waited long enough.
    hopeless: AtomicBool,
    deliveries: mpsc::UnboundedSender<Delivery>,
}

#[derive(Debug)]
struct Leaders {
    /// Counts the metadata that were asked for, so that lanes that want new ones at the same time ask once.
    generation: u64,
    by_partition: BTreeMap<i32, i32>,
}

#[derive(Clone, Copy, Debug)]
struct Identity {
    id: ProducerId,
    epoch: ProducerEpoch,
}

impl Producer {
    /// A producer for `topic`, and the fates of its records as they become known.
    ///
    /// Must be called within a runtime, which runs the lanes.
    #[must_use]
    pub fn new(
        cluster: Arc<Cluster>,
        topic: &Topic,
        options: ProducerOptions,
    ) -> (Producer, mpsc::UnboundedReceiver<Delivery>) {
        let (deliveries, delivered) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            cluster,
            topic: topic.name.clone(),
            leaders: Mutex::new(Leaders {
                generation: 0,
                by_partition: leaders(topic),
            }),
            identity: std::sync::Mutex::default(),
            asking: SharedAttempt::default(),
            hopeless: AtomicBool::new(false),
            deliveries,
            options,
        });
        let mut tasks = JoinSet::new();
        let lanes: Vec<_> = topic
            .partitions
            .iter()
            .map(|partition| {
                let gathering = Arc::new(Gathering::default());
                let lane = Lane {
                    shared: shared.clone(),
                    partition: partition.index,
                    identity: None,
                    sequence: Sequence(0),
                };
                tasks.spawn(lane.run(gathering.clone()));
                gathering
            })
            .collect();
        let share = BUFFER_BYTES / (BATCHES_PER_LANE * lanes.len().max(1));
        let producer = Producer {
            // Whoever sends one record at a time shall not fill the first partition alone.
            sticky: now_ms() as usize % lanes.len().max(1),
            lanes,
            batch_bytes: share.clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX),
            sent: 0,
            tasks,
            shared,
        };
        (producer, delivered)
    }

    /// Takes a record. Waits while its partition's lane is full.
    ///
    /// # Errors
    /// [`ClientError::NoPartition`].
    pub async fn send(&mut self, record: Record) -> Result<(), ClientError> {
        let count = self.lanes.len();
        let lane = match (record.partition, &record.key) {
            (Some(partition), _) => usize::try_from(partition)
                .ok()
                .filter(|lane| *lane < count)
                .ok_or(ClientError::NoPartition {
                    partition,
                    count: count as i32,
                })?,
            (None, Some(key)) => partition_of(key, count),
            (None, None) => self.sticky,
        };
        self.sent += 1;
        let any_lane = record.partition.is_none() && record.key.is_none();
        if let Some(record) = self.lanes[lane].add(record, self.batch_bytes) {
            let mut lane = lane;
            if any_lane {
                self.sticky = (lane + 1) % count;
                lane = self.sticky;
            }
            self.lanes[lane].add_in_time(record, self.batch_bytes).await;
        }
        Ok(())
    }

    /// How many records were taken.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Lets go what was gathered: the caller has no more for now.
    pub fn push(&mut self) {
        let pushed = self.lanes[self.sticky].push(false);
        if pushed {
            self.sticky = (self.sticky + 1) % self.lanes.len();
        }
        for lane in &self.lanes {
            lane.push(false);
        }
    }

    /// Lets go what was gathered, and waits until the fate of every record was told.
    pub async fn finish(mut self) {
        for lane in &self.lanes {
            lane.push(true);
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        if self.shared.options.acks == Acks::None {
            self.shared.settle().await;
        }
    }
}

impl Gathering {
    /// Adds a record to what is gathered, or gives it back if that is full.
    fn add(&self, record: Record, batch_bytes: usize) -> Option<Record> {
        let mut state = self.state();
        let size = record.size_bytes();
        // Before rather than after: a batch must not become larger than what topics take because of its last record.
        if !state.records.is_empty() && state.bytes + size > batch_bytes {
            state.pushed = true;
            self.wanted.notify_one();
            return Some(record);
        }
        state.bytes += size;
        state.records.push(record);
        None
    }

    /// Adds a record once there is room.
    async fn add_in_time(&self, mut record: Record, batch_bytes: usize) {
        while let Some(again) = self.add(record, batch_bytes) {
            record = again;
            self.taken.notified().await;
        }
    }

    /// Lets the task take what there is; true if there is something.
    fn push(&self, ended: bool) -> bool {
        let mut state = self.state();
        state.ended |= ended;
        state.pushed |= !state.records.is_empty();
        if state.pushed || state.ended {
            self.wanted.notify_one();
        }
        state.pushed
    }

    /// The next batch, once there is one; none at the end.
    async fn take(&self) -> Option<Vec<Record>> {
        loop {
            {
                let mut state = self.state();
                if state.pushed {
                    state.pushed = false;
                    state.bytes = 0;
                    self.taken.notify_one();
                    return Some(std::mem::take(&mut state.records));
                }
                if state.ended {
                    return None;
                }
            }
            self.wanted.notified().await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn size_bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|(key, value)| key.len() + length(value) + RECORD_OVERHEAD_BYTES)
            .sum();
        RECORD_OVERHEAD_BYTES + length(&self.key) + length(&self.value) + headers
    }
}

impl Shared {
    /// The producer id that the lanes share.
    async fn identity(&self, deadline: Instant) -> Result<Identity, ClientError> {
        let attempt = async {
            let known = *self.known_identity();
            match known {
                Some(identity) => Ok(identity),
                None => self.ask_for_identity(deadline).await,
            }
        };
        self.asking.join(attempt).await
    }

    async fn ask_for_identity(&self, deadline: Instant) -> Result<Identity, ClientError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..Default::default()
        };
        let mut pause = RETRY_PAUSE;
        loop {
            let asked = async {
                let answer = self.cluster.any().await?.call(&request).await?;
                ClientError::check(answer.error_code, None)?;
                Ok::<_, ClientError>(Identity {
                    id: ProducerId(answer.producer_id),
                    epoch: ProducerEpoch(answer.producer_epoch),
                })
            };
            match asked.await {
                Ok(identity) => {
                    *self.known_identity() = Some(identity);
                    return Ok(identity);
                }
                Err(error) if !error.is_passing() => return Err(error),
                Err(error) if self.is_over(deadline, pause) => {
                    return Err(ClientError::Undelivered {
                        after: self.options.deliver_within,
                        uncertain: false,
                        last: Box::new(error),
                    });
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = longer(pause);
        }
    }

    /// Gives up the producer id, if it is still the one that the lanes share.
    fn forget(&self, identity: Identity) {
        let mut shared = self.known_identity();
        if shared.is_some_and(|it| it.id == identity.id) {
            *shared = None;
        }
    }

    fn known_identity(&self) -> std::sync::MutexGuard<'_, Option<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is no time for another attempt after a pause; for those behind this batch there is none either, then.
    fn is_over(&self, deadline: Instant, pause: Duration) -> bool {
        let over = self.hopeless.load(Ordering::Relaxed) || Instant::now() + pause > deadline;
        if over {
            self.hopeless.store(true, Ordering::Relaxed);
        }
        over
    }

    /// Waits until the brokers have read what they do not answer: if this process ended before, they might never get it.
    async fn settle(&self) {
        let leaders: BTreeSet<i32> = {
            let known = self.leaders.lock().await;
            known.by_partition.values().copied().collect()
        };
        for leader in leaders {
            if let Ok(connection) = self.cluster.broker(leader).await {
                // Nobody promised anything, so nothing is to be told if it fails.
                let _ = connection.round_trip().await;
            }
        }
    }

    async fn leader(&self, partition: i32) -> (u64, Option<i32>) {
        let leaders = self.leaders.lock().await;
        let leader = leaders.by_partition.get(&partition).copied();
        (leaders.generation, leader)
    }

    /// Asks for the leaders anew, unless somebody did since `generation`.
    async fn refresh(&self, generation: u64) -> Result<(), ClientError> {
        let mut known = self.leaders.lock().await;
        if known.generation == generation {
            let topic = self.cluster.topic(&self.topic, false).await?;
            known.by_partition = leaders(&topic);
            known.generation += 1;
        }
        Ok(())
    }
}

fn leaders(topic: &Topic) -> BTreeMap<i32, i32> {
    let known = topic.partitions.iter();
    known
        .filter_map(|it| Some((it.index, it.leader?)))
        .collect()
}

/// A partition's batches, one after the other.
struct Lane {
    shared: Arc<Shared>,
    partition: i32,
    /// Which producer the sequence is of.
    identity: Option<Identity>,
    /// The sequence of the next record.
    sequence: Sequence,
}

impl Lane {
    async fn run(mut self, gathering: Arc<Gathering>) {
        while let Some(records) = gathering.take().await {
            let mut queue = VecDeque::from([records]);
            while let Some(mut records) = queue.pop_front() {
                let outcome = self.deliver(&mut records).await;
                // A topic may take less than a batch holds: halves may fit. One that may have been stored is not sent again in other pieces.
                let too_large = outcome.as_ref().err().and_then(ClientError::code)
                    == Some(ErrorCode::MessageTooLarge);
                if too_large && records.len() > 1 {
                    let rest = records.split_off(records.len() / 2);
                    queue.push_front(rest);
                    queue.push_front(records);
                    continue;
                }
                // Nobody may be listening.
                let _ = self.shared.deliveries.send(Delivery {
                    partition: self.partition,
                    tags: records.iter().map(|record| record.tag).collect(),
                    outcome,
                });
            }
        }
    }

    /// Sends a batch until its fate is known or time is up.
    async fn deliver(&mut self, records: &mut [Record]) -> Result<Option<i64>, ClientError> {
        let shared = self.shared.clone();
        let after = shared.options.deliver_within;
        let deadline = Instant::now() + after;
        if shared.options.idempotent && self.identity.is_none() {
            self.identity = Some(shared.identity(deadline).await?);
            self.sequence = Sequence(0);
        }
        let batch = self.batch(records);
        let mut uncertain = false;
        let mut pause = RETRY_PAUSE;
        loop {
            let (generation, leader) = shared.leader(self.partition).await;
            let error = match self.attempt(leader, &batch).await {
                Ok(offset) => {
                    self.sequence = self.sequence.plus(records.len() as i32);
                    return Ok(offset);
                }
                Err(error) => error,
            };
            uncertain |= error.is_uncertain();
            if !error.is_passing() {
                self.give_up(&error, uncertain);
                return Err(if uncertain {
                    ClientError::MaybeStored(Box::new(error))
                } else {
                    error
                });
            }
            if shared.is_over(deadline, pause) {
                self.give_up(&error, uncertain);
                return Err(ClientError::Undelivered {
                    after,
                    uncertain,
                    last: Box::new(error),
                });
            }
            tokio::time::sleep(pause).await;
            pause = longer(pause);
            // Whatever went wrong, another broker may lead by now. If nobody can say, the next attempt fails and says why.
            let _ = shared.refresh(generation).await;
        }
    }

    /// A batch that may have been stored took its sequence with it, and a broker that refuses a sequence will refuse the next one.
    fn give_up(&mut self, error: &ClientError, uncertain: bool) {
        let refused = matches!(
            error.code(),
            Some(
                ErrorCode::OutOfOrderSequenceNumber
                    | ErrorCode::UnknownProducerId
                    | ErrorCode::InvalidProducerEpoch
                    | ErrorCode::ProducerFenced
            )
        );
        if (uncertain || refused)
            && let Some(identity) = self.identity.take()
        {
            self.shared.forget(identity);
        }
    }

    fn batch(&self, records: &mut [Record]) -> Bytes {
        let now = now_ms();
        let base = records
            .first()
            .and_then(|record| record.timestamp_ms)
            .unwrap_or(now);
        let mut builder = BatchBuilder::new(TimestampMs(base));
        if let Some(identity) = self.identity {
            builder = builder.producer(identity.id, identity.epoch, self.sequence);
        }
        for record in records {
            // A batch that is built again, in halves, keeps its times.
            let timestamp = *record.timestamp_ms.get_or_insert(now);
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_deref()))
                .collect();
            builder.push(
                TimestampMs(timestamp),
                record.key.as_deref(),
                record.value.as_deref(),
                &headers,
            );
        }
        let compression = self.shared.options.compression;
        let batch = match compression {
            Compression::None => builder.build(),
            _ => {
                let payload = compress(compression, builder.payload());
                builder.build_with(compression, &payload)
            }
        };
        batch.into_bytes()
    }

    async fn attempt(
        &self,
        leader: Option<i32>,
        batch: &Bytes,
    ) -> Result<Option<i64>, ClientError> {
        let shared = &self.shared;
        let leader = leader.ok_or(ClientError::NoLeader(self.partition))?;
        let request = ProduceRequest {
            acks: match shared.options.acks {
                Acks::None => 0,
                Acks::Leader => 1,
                Acks::All => -1,
            },
            timeout_ms: shared.cluster.options().answer_within_ms(),
            topic_data: vec![TopicProduceData {
                name: shared.topic.clone(),
                partition_data: vec![PartitionProduceData {
                    index: self.partition,
                    records: Some(batch.clone()),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let connection = shared.cluster.broker(leader).await?;
        if shared.options.acks == Acks::None {
            connection.tell(&request, PRODUCE_VERSION_MAX).await?;
            return Ok(None);
        }
        let answer = connection.call_up_to(&request, PRODUCE_VERSION_MAX).await?;
        let partition = answer
            .responses
            .into_iter()
            .flat_map(|topic| topic.partition_responses)
            .find(|it| it.index == self.partition)
            .ok_or_else(|| ClientError::Malformed {
                broker: connection.address().to_owned(),
                problem: "its answer lacks the partition that was written to".to_owned(),
            })?;
        if partition.error_code == ErrorCode::DuplicateSequenceNumber.code() {
            return Ok(None);
        }
        let why = partition
            .record_errors
            .iter()
            .find_map(|it| it.batch_index_error_message.as_deref());
        ClientError::check(
            partition.error_code,
            why.or(partition.error_message.as_deref()),
        )?;
        Ok(Some(partition.base_offset).filter(|at| *at >= 0))
    }
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicI64;

    use wiber_model::batch::Batch;
    use wiber_protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
    use wiber_protocol::messages::{InitProducerIdResponse, ProduceResponse};
    use wiber_protocol::{ApiKey, RequestFrame};

    use super::*;
    use crate::fake_broker::{FakeBroker, TOPIC, answer};

    /// What a broker took of a batch: producer id, base sequence.
    type Taken = Arc<Mutex<Vec<(i64, i32)>>>;

    fn producer_id(to: &RequestFrame, id: i64) -> Option<Bytes> {
        let told = InitProducerIdResponse {
            producer_id: id,
            ..Default::default()
        };
        answer(to, &told)
    }

    /// Answers a Produce of one partition.
    fn produced(to: &RequestFrame, code: ErrorCode) -> Option<Bytes> {
        let index = produce(to).index;
        let partition = PartitionProduceResponse {
            index,
            error_code: code.code(),
            ..Default::default()
        };
        let told = ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: Str::from_static(TOPIC),
                partition_responses: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        answer(to, &told)
    }

    fn produce(request: &RequestFrame) -> PartitionProduceData {
        let request: ProduceRequest = request.decode().expect("a Produce");
        let [topic] = request.topic_data.try_into().expect("one topic");
        let [partition] = topic.partition_data.try_into().expect("one partition");
        partition
    }

    fn sequence(request: &RequestFrame) -> (i64, i32) {
        let mut bytes = produce(request).records.expect("records");
        let batch = Batch::split_from(&mut bytes).expect("a batch");
        (batch.producer_id().0, batch.base_sequence().0)
    }

    async fn producer(
        broker: &FakeBroker,
        deliver_within: Duration,
    ) -> (Producer, mpsc::UnboundedReceiver<Delivery>) {
        let cluster = broker.cluster().await;
        let topic = cluster.topic(TOPIC, false).await.expect("there it is");
        let options = ProducerOptions {
            acks: Acks::All,
            compression: Compression::None,
            idempotent: true,
            deliver_within,
        };
        Producer::new(cluster, &topic, options)
    }

    async fn deliver(
        producer: &mut Producer,
        delivered: &mut mpsc::UnboundedReceiver<Delivery>,
    ) -> Result<Option<i64>, ClientError> {
        let record = Record::default();
        producer.send(record).await.expect("there is a partition");
        producer.push();
        delivered.recv().await.expect("its fate").outcome
    }

    /// A leader that may have appended before it answered: the sequence must not be used again for other records.
    #[tokio::test]
    async fn what_may_have_been_stored_takes_its_producer_id_along() {
        for code in [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::KafkaStorageError,
            ErrorCode::UnknownServerError,
        ] {
            let (taken, ids) = (Taken::default(), AtomicI64::new(1));
            let told = taken.clone();
            let broker = FakeBroker::start(1, move |request| match request.key {
                ApiKey::InitProducerId => producer_id(request, ids.fetch_add(1, Ordering::Relaxed)),
                _ => {
                    let (id, sequence) = sequence(request);
                    told.lock().expect("no panic").push((id, sequence));
                    produced(request, if id == 1 { code } else { ErrorCode::None })
                }
            })
            .await;
            let (mut producer, mut delivered) = producer(&broker, Duration::from_millis(200)).await;
            let first = deliver(&mut producer, &mut delivered).await;
            let reason = first.expect_err("it is refused").to_string();
            assert!(
                reason.ends_with("(it may have been stored all the same)"),
                "{reason}"
            );
            deliver(&mut producer, &mut delivered).await.expect("taken");
            producer.finish().await;
            let mut taken = taken.lock().expect("no panic").clone();
            taken.dedup();
            assert_eq!(taken, [(1, 0), (2, 0)], "{code}");
        }
    }

    /// Each lane gives up its producer id, and none gets a new one: that costs the patience of one of them and not of all.
    #[tokio::test]
    async fn lanes_that_get_no_producer_id_wait_together() {
        const PARTITIONS: i32 = 8;
        const PATIENCE: Duration = Duration::from_secs(1);
        let asked = AtomicBool::new(false);
        let broker = FakeBroker::start(PARTITIONS, move |request| match request.key {
            ApiKey::InitProducerId if !asked.swap(true, Ordering::Relaxed) => {
                producer_id(request, 1)
            }
            // Nothing is known of what becomes of the batches.
            _ => None,
        })
        .await;
        let (mut producer, mut delivered) = producer(&broker, PATIENCE).await;
        let begun = Instant::now();
        for _ in 0..2 {
            for partition in 0..PARTITIONS {
                let partition = Some(partition);
                let record = Record {
                    partition,
                    ..Record::default()
                };
                producer.send(record).await.expect("there is the partition");
            }
            producer.push();
            for _ in 0..PARTITIONS {
                let fate = delivered.recv().await.expect("told").outcome;
                assert!(
                    matches!(fate, Err(ClientError::Undelivered { .. })),
                    "{fate:?}"
                );
            }
        }
        producer.finish().await;
        assert!(begun.elapsed() < 3 * PATIENCE, "{:?}", begun.elapsed());
    }
}
